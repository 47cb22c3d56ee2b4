//! What a block device holds, told by the bytes on it as blkid(8) tells it: type, label and UUID. Own, because there is no
//! udev and no libblkid here. Which devices there are is `device`'s, partition tables are `table`'s.

mod fat;
mod image;
mod iso;
mod linux;
mod member;

pub(super) use image::{Image, number, utf16, uuid};

/// What was found on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// As blkid names it: `ext4`, `vfat`, `LVM2_member`.
    pub kind: &'static str,
    pub label: Option<String>,
    pub uuid: Option<String>,
    /// Whether what was written last is still in its journal alone: it was not unmounted cleanly.
    pub unclean: bool,
    /// How many devices together make this file system: more than one only on btrfs.
    pub devices: u64,
}

impl Content {
    /// Something of this kind, on one device, without a name.
    fn of(kind: &'static str) -> Self {
        Self { kind, devices: 1, ..Self::default() }
    }
}

/// Tells what `image` holds, if it is anything known. What may lie around a file system (the parts of an array, a
/// container) is looked for first: their file system begins at the same byte.
pub(super) fn probe(image: &Image) -> Option<Content> {
    const KNOWN: &[fn(&Image) -> Option<Content>] = &[
        member::raid,
        member::lvm,
        member::luks,
        linux::xfs,
        linux::ext,
        linux::btrfs,
        linux::f2fs,
        linux::erofs,
        linux::squashfs,
        iso::iso9660,
        member::swap,
        fat::exfat,
        member::ntfs,
        fat::vfat,
    ];
    KNOWN.iter().find_map(|look| look(image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Seek, Write};

    fn image(bytes: &[u8]) -> Image {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        Image::of(file).unwrap()
    }

    /// Numbers that look random and are the same each time (xorshift).
    fn noise(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        }
    }

    /// Marks at their places, so that every parser comes beyond its first line.
    const MARKS: &[(usize, &[u8])] = &[
        (0, b"XFSB"),
        (0x438, b"\x53\xef"),
        (0x10040, b"_BHRfS_M"),
        (1024, b"\x10\x20\xf5\xf2"),
        (1024, b"\xe2\xe1\xf5\xe0"),
        (0, b"hsqs"),
        (0x8001, b"CD001"),
        (4086, b"SWAPSPACE2"),
        (3, b"EXFAT   "),
        (3, b"NTFS    "),
        (0x52, b"FAT32   "),
        (0x36, b"FAT16   "),
        (512, b"LABELONE"),
        (536, b"LVM2 001"),
        (0, b"LUKS\xba\xbe"),
        (4096, b"\xfc\x4e\x2b\xa9"),
    ];

    #[test]
    fn nothing_that_lies_on_a_disk_makes_the_probe_panic() {
        let mut next = noise(42);
        let mut known = 0;
        for round in 0..400 {
            let (at, mark) = MARKS[round % MARKS.len()];
            let size = [70_000, at + mark.len(), 600, 4096][round / MARKS.len() % 4].max(at + mark.len());
            let mut bytes: Vec<u8> = (0..size).map(|_| next() as u8).collect();
            // Extremes are likelier than chance makes them.
            for _ in 0..next() % 64 {
                let extreme = [0, 0xff, 0x80, 1][next() as usize % 4];
                let place = next() as usize % size.min(1200);
                bytes[place] = extreme;
            }
            bytes[at..at + mark.len()].copy_from_slice(mark);
            known += usize::from(probe(&image(&bytes)).is_some());
        }
        assert!(known > 50, "only {known} of the marks were seen at all");
    }

    #[test]
    fn an_empty_and_a_tiny_device_hold_nothing() {
        for size in [0, 1, 511, 512, 513] {
            assert_eq!(probe(&image(&vec![0; size])), None);
            assert_eq!(probe(&image(&vec![0xff; size])), None);
        }
        assert!(Image::of(File::open("/dev/null").unwrap()).is_ok());
    }
}
