//! Names of partitions, read from the table itself: the kernel's own word for them (uevent) has names in ASCII alone, and
//! their UUIDs only of late. GPT: UEFI specification, chapter 5; MBR: only its signature matters here.

use super::probe::{Image, number, utf16, uuid};

/// What a table says of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) label: Option<String>,
    pub(super) uuid: Option<String>,
}

/// Entries of a table are of 128 bytes or more; there are 128 of them.
const ENTRY: u64 = 128;
const MOST_ENTRIES: u64 = 1024;

/// What the table of `disk` says of the partition with this number; `sector`: bytes of its logical blocks.
pub(super) fn entry(disk: &Image, sector: u64, partition: u64) -> Option<Entry> {
    let mbr = disk.at(0, 512)?;
    if mbr[510..] != [0x55, 0xaa] || partition == 0 {
        return None;
    }
    let protects = |n: usize| mbr[446 + 16 * n + 4] == 0xee;
    if (0..4).any(protects) {
        let last = (disk.size() / sector).checked_sub(1)?;
        // The second copy counts where the first is damaged.
        return [1, last].into_iter().find_map(|block| gpt(disk, sector, block, partition));
    }
    // The kernel's own way to tell partitions of an MBR apart (block/partitions/msdos.c); logical ones count from 5 on.
    let signature = number(&mbr, 440, 4);
    let uuid = (signature != 0).then(|| format!("{signature:08x}-{partition:02x}"));
    Some(Entry { label: None, uuid })
}

/// The entry in the copy of a GPT whose header is at `block`, if both of its checksums are right.
fn gpt(disk: &Image, sector: u64, block: u64, partition: u64) -> Option<Entry> {
    let header = disk.at(block.checked_mul(sector)?, 512)?;
    let length = number(&header, 12, 4) as usize;
    let sane = header.starts_with(b"EFI PART") && (92..=512).contains(&length) && number(&header, 24, 8) == block;
    let (begin, count, size) = (number(&header, 72, 8), number(&header, 80, 4), number(&header, 84, 4));
    if !sane || !(ENTRY..=4096).contains(&size) || count > MOST_ENTRIES || partition > count {
        return None;
    }
    // Its own checksum is taken as zero.
    let whole = [&header[..16], &[0; 4], &header[20..length]].concat();
    let entries = disk.at(begin.checked_mul(sector)?, (count * size) as usize)?;
    if crc32(&whole) != number(&header, 16, 4) || crc32(&entries) != number(&header, 88, 4) {
        return None;
    }
    let entry = entries.chunks_exact(size as usize).nth(partition as usize - 1)?;
    Some(Entry { label: utf16(&entry[56..128], false), uuid: uuid(&mixed(&entry[16..32])) })
}

/// A GUID on disk has its first three numbers little-endian.
fn mixed(guid: &[u8]) -> Vec<u8> {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    ORDER.iter().filter_map(|&at| guid.get(at).copied()).collect()
}

fn crc32(bytes: &[u8]) -> u64 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    u64::from(sum.sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SECTOR: usize = 512;
    const BLOCKS: usize = 100;

    /// A disk of 100 sectors with both copies of a GPT of four entries, the second of which has a name.
    fn disk() -> Vec<u8> {
        let mut disk = vec![0; SECTOR * BLOCKS];
        disk[446 + 4] = 0xee;
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let mut entries = vec![0; 4 * 128];
        for (n, byte) in entries[128 + 16..128 + 32].iter_mut().enumerate() {
            *byte = n as u8;
        }
        for (n, unit) in "böot".encode_utf16().enumerate() {
            entries[128 + 56 + 2 * n..][..2].copy_from_slice(&unit.to_le_bytes());
        }
        for (block, begin) in [(1, 2), (BLOCKS - 1, BLOCKS - 2)] {
            let mut header = vec![0; 92];
            header[..8].copy_from_slice(b"EFI PART");
            let mut put = |at: usize, number: u64, length: usize| {
                header[at..at + length].copy_from_slice(&number.to_le_bytes()[..length]);
            };
            put(12, 92, 4);
            put(24, block as u64, 8);
            put(72, begin as u64, 8);
            put(80, 4, 4);
            put(84, 128, 4);
            put(88, crc32(&entries), 4);
            let sum = crc32(&header);
            header[16..20].copy_from_slice(&sum.to_le_bytes()[..4]);
            disk[block * SECTOR..][..92].copy_from_slice(&header);
            disk[begin * SECTOR..][..512].copy_from_slice(&entries);
        }
        disk
    }

    fn found(disk: &[u8], partition: u64) -> Option<Entry> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(disk).unwrap();
        entry(&Image::of(file).unwrap(), SECTOR as u64, partition)
    }

    fn named() -> Option<Entry> {
        let uuid = Some("03020100-0504-0706-0809-0a0b0c0d0e0f".into());
        Some(Entry { label: Some("böot".into()), uuid })
    }

    #[test]
    fn a_table_whose_checksum_is_wrong_is_not_believed() {
        let good = disk();
        assert_eq!(found(&good, 2), named());
        assert_eq!(found(&good, 1), Some(Entry::default()));
        assert_eq!((found(&good, 0), found(&good, 5)), (None, None));
        // A name in the first copy is changed: the second copy still has the old one.
        let mut first = good.clone();
        first[2 * SECTOR + 128 + 56] = b'x';
        assert_eq!(found(&first, 2), named());
        let mut both = first.clone();
        both[(BLOCKS - 2) * SECTOR + 128 + 56] = b'x';
        assert_eq!(found(&both, 2), None);
        // The same for a header that lies about its entries.
        let mut header = good.clone();
        header[SECTOR + 80] = 3;
        header[(BLOCKS - 1) * SECTOR + 80] = 3;
        assert_eq!(found(&header, 2), None);
    }

    #[test]
    fn partitions_of_an_mbr_are_its_signature_and_their_number() {
        let mut disk = vec![0; SECTOR * BLOCKS];
        disk[440..444].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
        assert_eq!(found(&disk, 1), None, "a sector without the mark is no table");
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let uuid = |n| found(&disk, n).and_then(|entry| entry.uuid);
        assert_eq!(uuid(1).as_deref(), Some("12345678-01"));
        assert_eq!(uuid(12).as_deref(), Some("12345678-0c"));
    }

    #[test]
    fn no_table_makes_the_reader_panic() {
        let good = disk();
        for at in (0..3 * SECTOR).step_by(7) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                for partition in [0, 1, 4, 200, u64::MAX] {
                    let _whatever = found(&bad[..bad.len() - at], partition);
                }
            }
        }
    }
}
