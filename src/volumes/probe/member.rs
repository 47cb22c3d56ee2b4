//! What cannot be mounted as it is, told apart so that a message can say what lies there: parts of arrays and volume
//! groups, encrypted containers, swap, NTFS.

use super::Content;
use super::image::{Image, id, number, text, uuid};

/// `struct mdp_superblock_1` and `mdp_superblock_s`, include/uapi/linux/raid/md_p.h. Versions 1.1 and 1.2 lie in front, 1.0
/// and 0.90 behind the file system, which then begins at byte 0 as if there were no array.
pub fn raid(image: &Image) -> Option<Content> {
    const MAGIC: u64 = 0xa92b_4efc;
    let end = image.size() / 512;
    let version_1_0 = end.checked_sub(16).map(|sectors| (sectors & !7) * 512);
    let places = [Some(0), Some(4096), version_1_0];
    let found = places.into_iter().flatten().find_map(|at| {
        let block = image.at(at, 256)?;
        // It says itself at which sector it lies.
        let is_one =
            number(&block, 0, 4) == MAGIC && number(&block, 4, 4) == 1 && number(&block, 144, 8) == at / 512;
        is_one.then(|| Content {
            label: text(&block[32..64]),
            uuid: uuid(&block[16..32]),
            ..Content::of(RAID)
        })
    });
    found.or_else(|| {
        let at = (image.size() & !0xffff).checked_sub(0x10000)?;
        let block = image.at(at, 64)?;
        let is_one = number(&block, 0, 4) == MAGIC && number(&block, 4, 4) == 0;
        // Four numbers of a little-endian machine.
        let words = [&block[20..24], &block[52..56], &block[56..60], &block[60..64]];
        let id: Vec<u8> = words.iter().flat_map(|word| word.iter().rev().copied()).collect();
        is_one.then(|| Content { uuid: uuid(&id), ..Content::of(RAID) })
    })
}

const RAID: &str = "linux_raid_member";

/// The label of a physical volume, in one of the first four sectors (lvm2, lib/label/label.h).
pub fn lvm(image: &Image) -> Option<Content> {
    let block = (0..4).filter_map(|sector| image.at(sector * 512, 512));
    let mut labels = block.filter(|b| b.starts_with(b"LABELONE") && b[24..].starts_with(b"LVM2 001"));
    let id = id(&labels.next()?[32..64]).unwrap_or_default();
    let parts = [0..6, 6..10, 10..14, 14..18, 18..22, 22..26, 26..32];
    let parts: Option<Vec<&str>> = parts.into_iter().map(|part| id.get(part)).collect();
    Some(Content { uuid: parts.map(|parts| parts.join("-")), ..Content::of("LVM2_member") })
}

/// The headers of LUKS 1 and 2 (their on-disk format specifications).
pub fn luks(image: &Image) -> Option<Content> {
    let block = image.at(0, 512)?;
    if !block.starts_with(b"LUKS\xba\xbe") {
        return None;
    }
    let label = if block[7] == 2 { text(&block[24..72]) } else { None };
    Some(Content { label, uuid: id(&block[168..208]), ..Content::of("crypto_LUKS") })
}

/// `union swap_header`, include/linux/swap.h: the mark stands at the end of the first page, whose size is the maker's.
pub fn swap(image: &Image) -> Option<Content> {
    let marked = |page: &u64| {
        let mark = image.at(page - 10, 10).unwrap_or_default();
        mark == b"SWAPSPACE2" || mark == b"SWAP-SPACE"
    };
    [4096, 8192, 16384, 32768, 65536].iter().find(|page| marked(page))?;
    let block = image.at(1024, 64)?;
    Some(Content { label: text(&block[28..44]), uuid: uuid(&block[12..28]), ..Content::of("swap") })
}

/// The boot sector of NTFS; its label lies in a file.
pub fn ntfs(image: &Image) -> Option<Content> {
    let boot = image.at(0, 512)?;
    let serial = format!("{:016X}", number(&boot, 0x48, 8));
    boot[3..].starts_with(b"NTFS    ").then(|| Content { uuid: Some(serial), ..Content::of("ntfs") })
}
