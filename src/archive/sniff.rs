//! What a stream is, told by its first bytes, never by its name. Decoding it is `decode`'s.

/// Bytes that are enough to tell: the superblock of an erofs begins with its mark at 1024.
pub const HEAD: usize = 1028;

/// A tar header.
const BLOCK: usize = 512;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Lz4,
}

impl Compression {
    /// As messages say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
        }
    }
}

/// What an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Tar,
    Cpio,
}

impl Format {
    /// As messages say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Cpio => "cpio",
        }
    }
}

/// An image of a file system that is mounted as it is: no archive, and nothing here unpacks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    Squashfs,
    Erofs,
}

impl Image {
    /// The image whose first [`HEAD`] bytes are `head`, if it is one: the superblock's mark, as the kernel looks for it
    /// (squashfs_fs.h, erofs_fs.h).
    pub fn of(head: &[u8]) -> Option<Self> {
        let marks = [(0, b"hsqs", Self::Squashfs), (1024, b"\xe2\xe1\xf5\xe0", Self::Erofs)];
        let is = |at: usize, mark: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(mark));
        marks.into_iter().find_map(|(at, mark, image)| is(at, mark).then_some(image))
    }

    /// What the kernel calls its file system.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
        }
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Squashfs => "a squashfs image",
            Self::Erofs => "an erofs image",
        })
    }
}

/// Kinds that are known by sight and not read: where the mark stands, the mark, its name.
const FOREIGN: &[(usize, &[u8], &str)] = &[
    (0, b"\x02\x21\x4c\x18", "lz4 of the old kind (lz4 -l; pack it without -l)"),
    (0, b"\x5d\x00\x00", "lzma (not xz)"),
    (0, b"LZIP", "lzip"),
    (0, b"\x89LZO", "lzop"),
    (0, b"\x1f\x9d", "compress (.Z)"),
    (0, b"070701", "a cpio archive"),
    (0, b"070702", "a cpio archive"),
    (0, b"070707", "a cpio archive of an old kind (not newc)"),
    (0, b"\xc7\x71", "a cpio archive of an old kind (not newc)"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-zip archive"),
    (0, b"!<arch>", "an ar archive or Debian package"),
    (0, b"\xed\xab\xee\xdb", "an RPM package"),
    (0, b"\x7fELF", "an ELF program"),
    (0, b"QFI\xfb", "a qcow2 image"),
    (510, b"\x55\xaa", "a disk image or kernel"),
];

/// The compression of a stream that begins with `head`.
pub(super) fn compression(head: &[u8]) -> Compression {
    match head {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        // A skippable frame (RFC 8878, 3.1.2); pzstd begins with one.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        // Level, and the mark of the first block or of the end.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Compression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x04, 0x22, 0x4d, 0x18, ..] => Compression::Lz4,
        _ => Compression::None,
    }
}

/// The format of an archive whose plain bytes begin with `head`.
pub(super) fn format(head: &[u8]) -> Option<Format> {
    // Before an erofs there is room for a boot sector: zeros, as at the end of a tar archive.
    if Image::of(head).is_some() {
        return None;
    }
    if is_tar(head) {
        return Some(Format::Tar);
    }
    (head.starts_with(b"070701") || head.starts_with(b"070702")).then_some(Format::Cpio)
}

/// Whether `head` is the first block of a tar archive: a header whose sum is right, or the end marker of an empty one.
fn is_tar(head: &[u8]) -> bool {
    let Some(Ok(block)) = head.get(..BLOCK).map(<&[u8; BLOCK]>::try_from) else { return false };
    block.iter().all(|b| *b == 0) || tar_core::Header::from_bytes(block).verify_checksum().is_ok()
}

/// What something that is no archive seems to be.
pub(super) fn describe(head: &[u8]) -> String {
    if head.is_empty() {
        return "nothing (0 bytes)".to_owned();
    }
    match compression(head) {
        Compression::None => {}
        known => return known.name().to_owned(),
    }
    if let Some(image) = Image::of(head) {
        return image.to_string();
    }
    for (at, mark, name) in FOREIGN {
        if head.get(*at..).is_some_and(|rest| rest.starts_with(mark)) {
            return (*name).to_owned();
        }
    }
    if head.get(257..262) == Some(b"ustar") {
        return "a tar archive whose first header is damaged".to_owned();
    }
    let text = String::from_utf8_lossy(head);
    let start = text.trim_start().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return "an HTML page".to_owned();
    }
    let line: String = text.trim_start().chars().take_while(|c| !c.is_control()).take(40).collect();
    if line.len() >= 4 && !text.contains('\u{fffd}') {
        return format!("text beginning with {line:?}");
    }
    let bytes: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("data beginning with {}", bytes.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_an_archive_is_named() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "nothing (0 bytes)"),
            (b"BZh91AY", "bzip2"),
            (b"\x04\x22\x4d\x18xx", "lz4"),
            (b"\x02\x21\x4c\x18xx", "lz4 of the old kind (lz4 -l; pack it without -l)"),
            (b"hsqs....", "a squashfs image"),
            (b"070701000", "a cpio archive"),
            (b"PK\x03\x04..", "a zip archive"),
            (b"\n <!DOCTYPE HTML><p>", "an HTML page"),
            (b"Not Found\n", "text beginning with \"Not Found\""),
            (b"\x01\x02\xff", "data beginning with 01 02 ff"),
            (b"\x1f\x8b\x08", "gzip"),
        ];
        for (head, want) in cases {
            assert_eq!(describe(head), *want);
        }
    }

    #[test]
    fn an_image_is_told_by_its_superblock_and_by_nothing_else() {
        let with = |at: usize, mark: &[u8]| {
            let mut head = vec![0; HEAD];
            head[at..at + mark.len()].copy_from_slice(mark);
            head
        };
        let erofs = with(1024, &0xe0f5_e1e2_u32.to_le_bytes());
        assert_eq!(Image::of(&with(0, b"hsqs")), Some(Image::Squashfs));
        assert_eq!(Image::of(&erofs), Some(Image::Erofs));
        // The other byte order is one no kernel mounts.
        for other in [with(0, b"sqsh"), with(1024, b"\xe0\xf5\xe1\xe2"), with(1, b"hsqs"), vec![]] {
            assert_eq!(Image::of(&other), None);
        }
        assert_eq!(Image::of(&erofs[..HEAD - 1]), None);
        // The zeros before it are no empty tar archive.
        assert_eq!((format(&erofs), describe(&erofs).as_str()), (None, "an erofs image"));
        assert_eq!(format(&[0; HEAD]), Some(Format::Tar));
    }

    #[test]
    fn a_skippable_frame_is_zstd() {
        assert_eq!(compression(b"\x50\x2a\x4d\x18\x04\0\0\0"), Compression::Zstd);
    }
}
