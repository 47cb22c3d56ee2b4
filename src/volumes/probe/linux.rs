//! The file systems of Linux itself: ext2 to ext4, XFS, Btrfs, F2FS, EROFS, SquashFS. Where each field lies is in the
//! header named beside it.

use super::image::{Image, number, text, utf16, uuid};
use super::Content;

/// `struct ext4_super_block`, fs/ext4/ext4.h; 1024 bytes from the start.
pub fn ext(image: &Image) -> Option<Content> {
    /// What makes it ext3, what an unclean one has, what is no file system but somebody's journal.
    const HAS_JOURNAL: u64 = 0x4;
    const RECOVER: u64 = 0x4;
    const JOURNAL_DEV: u64 = 0x8;
    /// What ext3 knows of the incompatible (file types, recovery, meta block groups) and of the read-only ones.
    const EXT3_INCOMPAT: u64 = 0x2 | RECOVER | 0x10;
    const EXT3_READ_ONLY: u64 = 0x7;

    let block = image.at(1024, 1024)?;
    if number(&block, 0x38, 2) != 0xef53 {
        return None;
    }
    let (compatible, incompatible) = (number(&block, 0x5c, 4), number(&block, 0x60, 4));
    let kind = if incompatible & JOURNAL_DEV != 0 {
        "jbd"
    } else if incompatible & !EXT3_INCOMPAT != 0 || number(&block, 0x64, 4) & !EXT3_READ_ONLY != 0 {
        "ext4"
    } else if compatible & HAS_JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    };
    let (label, uuid) = (text(&block[0x78..0x88]), uuid(&block[0x68..0x78]));
    Some(Content { label, uuid, unclean: incompatible & RECOVER != 0, ..Content::of(kind) })
}

/// `struct xfs_dsb`, fs/xfs/libxfs/xfs_format.h. Whether its log is clean stands nowhere in it.
pub fn xfs(image: &Image) -> Option<Content> {
    let block = image.at(0, 512)?;
    let named = || Content { label: text(&block[108..120]), uuid: uuid(&block[32..48]), ..Content::of("xfs") };
    block.starts_with(b"XFSB").then(named)
}

/// `struct btrfs_super_block`, fs/btrfs/ctree.h; 64 KiB from the start.
pub fn btrfs(image: &Image) -> Option<Content> {
    let block = image.at(64 << 10, 4096)?;
    if &block[0x40..0x48] != b"_BHRfS_M" {
        return None;
    }
    Some(Content {
        label: text(&block[0x12b..0x22b]),
        uuid: uuid(&block[0x20..0x30]),
        // A tree of what was synced last, to be written into the others.
        unclean: number(&block, 0x60, 8) != 0,
        devices: number(&block, 0x88, 8).max(1),
        ..Content::of("btrfs")
    })
}

/// `struct f2fs_super_block`, include/linux/f2fs_fs.h; 1024 bytes from the start.
pub fn f2fs(image: &Image) -> Option<Content> {
    let block = image.at(1024, 1152)?;
    let named = || Content {
        label: utf16(&block[0x7c..0x47c], false),
        uuid: uuid(&block[0x6c..0x7c]),
        ..Content::of("f2fs")
    };
    (number(&block, 0, 4) == 0xf2f5_2010).then(named)
}

/// `struct erofs_super_block`, fs/erofs/erofs_fs.h; 1024 bytes from the start.
pub fn erofs(image: &Image) -> Option<Content> {
    let block = image.at(1024, 128)?;
    let named = || Content { label: text(&block[64..80]), uuid: uuid(&block[48..64]), ..Content::of("erofs") };
    (number(&block, 0, 4) == 0xe0f5_e1e2).then(named)
}

/// `struct squashfs_super_block`, fs/squashfs/squashfs_fs.h: it has neither label nor UUID.
pub fn squashfs(image: &Image) -> Option<Content> {
    let block = image.at(0, 96)?;
    // Older majors are of another layout, and no kernel mounts them any more.
    (block.starts_with(b"hsqs") && number(&block, 28, 2) == 4).then(|| Content::of("squashfs"))
}
