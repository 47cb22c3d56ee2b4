//! FAT12, FAT16, FAT32 and exFAT: a boot sector, a chain of clusters, and a root directory with the label in it
//! (Microsoft's fatgen103 and its exFAT specification).

use super::image::{Image, number, text, utf16};
use super::Content;

/// Bytes of a directory entry.
const ENTRY: usize = 32;

/// Clusters of a root directory that are looked at: the label is made with the file system, in the first.
const CLUSTERS: usize = 64;

/// A cluster's bytes that are looked at; exFAT's may have 32 MiB.
const CLUSTER: u64 = 64 << 10;

pub fn vfat(image: &Image) -> Option<Content> {
    let boot = image.at(0, 512)?;
    let says = |at: usize, mark: &[u8]| boot[at..].starts_with(mark);
    let marked = says(0x52, b"MSWIN")
        || says(0x52, b"FAT32   ")
        || says(0x36, b"MSDOS")
        || [&b"FAT16   "[..], b"FAT12   ", b"FAT     "].iter().any(|mark| says(0x36, mark));
    let sector = number(&boot, 0x0b, 2);
    let (per_cluster, reserved, fats) = (number(&boot, 0x0d, 1), number(&boot, 0x0e, 2), number(&boot, 0x10, 1));
    let sane = marked
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && fats > 0
        && matches!(boot[0x15], 0xf0 | 0xf8..);
    if !sane {
        return None;
    }
    let (short, long) = (number(&boot, 0x16, 2), number(&boot, 0x24, 4));
    let after_fats = (reserved + fats * if short > 0 { short } else { long }) * sector;
    let cluster = per_cluster * sector;
    let (label, serial) = if short > 0 {
        let entries = number(&boot, 0x11, 2);
        (label_in(&directory(image, after_fats, entries * ENTRY as u64)), 0x27)
    } else {
        let place = |n: u64| after_fats + n.saturating_sub(2) * cluster;
        let chain = chain(image, reserved * sector, number(&boot, 0x2c, 4), 0x0fff_fff0);
        (chain.into_iter().find_map(|n| label_in(&directory(image, place(n), cluster))), 0x43)
    };
    Some(Content { label, uuid: Some(serial_at(&boot, serial)), ..Content::of("vfat") })
}

/// The label among the entries of a root directory; one that was given up says `NO NAME`.
fn label_in(entries: &[u8]) -> Option<String> {
    const VOLUME: u8 = 0x08;
    const DIRECTORY: u8 = 0x10;
    const LONG_NAME: u8 = 0x0f;
    let used = entries.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0);
    let mut labels = used.filter(|entry| {
        let (attributes, cluster) = (entry[11] & 0x3f, number(entry, 20, 2) | number(entry, 26, 2));
        entry[0] != 0xe5
            && cluster == 0
            && attributes != LONG_NAME
            && attributes & (VOLUME | DIRECTORY) == VOLUME
    });
    let label = &labels.next()?[..11];
    if label == b"NO NAME    " { None } else { text(label) }
}

pub fn exfat(image: &Image) -> Option<Content> {
    let boot = image.at(0, 512)?;
    let (sector, cluster) = (u32::from(boot[108]), u32::from(boot[109]));
    if &boot[3..11] != b"EXFAT   " || !(9..=12).contains(&sector) || sector + cluster > 25 {
        return None;
    }
    let (fat, heap) = (number(&boot, 80, 4) << sector, number(&boot, 88, 4) << sector);
    let place = |n: u64| heap + (n.saturating_sub(2) << (sector + cluster));
    let label = chain(image, fat, number(&boot, 96, 4), 0xffff_fff6).into_iter().find_map(|n| {
        let entries = directory(image, place(n), 1 << (sector + cluster));
        let mut used = entries.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0);
        let label = used.find(|entry| entry[0] == 0x83)?;
        utf16(&label[2..2 + 2 * usize::from(label[1].min(11))], false)
    });
    Some(Content { label, uuid: Some(serial_at(&boot, 100)), ..Content::of("exfat") })
}

/// The clusters from `first` on, as a table of 32-bit numbers at `table` strings them together. A chain that bites its
/// own tail ends, too.
fn chain(image: &Image, table: u64, first: u64, end: u64) -> Vec<u64> {
    let mut clusters = Vec::new();
    let mut next = Some(first);
    while let Some(cluster) = next.filter(|n| (2..end).contains(n) && clusters.len() < CLUSTERS) {
        clusters.push(cluster);
        let entry = image.at(table + cluster * 4, 4);
        // The upper bits of FAT32's are somebody else's.
        next = entry.map(|entry| number(&entry, 0, 4) & end.next_power_of_two().wrapping_sub(1));
    }
    clusters
}

/// Entries at `offset`; a device that ends before has none.
fn directory(image: &Image, offset: u64, length: u64) -> Vec<u8> {
    image.at(offset, length.min(CLUSTER) as usize).unwrap_or_default()
}

/// A serial number as DOS writes it: `1A2B-3C4D`.
fn serial_at(boot: &[u8], at: usize) -> String {
    format!("{:04X}-{:04X}", number(boot, at + 2, 2), number(boot, at, 2))
}
