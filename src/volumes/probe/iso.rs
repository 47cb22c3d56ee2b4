//! ISO 9660 with Joliet (ECMA-119): the label of the primary volume descriptor, or what Joliet makes of it; the date
//! of the last change stands for a UUID.

use super::Content;
use super::image::{Image, text, utf16};

/// Descriptors are sectors from this one on.
const FIRST: u64 = 0x8000;
const SECTOR: u64 = 0x800;

/// So many are looked at before the last one has to come.
const DESCRIPTORS: u64 = 16;

pub fn iso9660(image: &Image) -> Option<Content> {
    let (mut primary, mut joliet) = (None, None);
    for n in 0..DESCRIPTORS {
        let Some(descriptor) = image.at(FIRST + n * SECTOR, SECTOR as usize) else { break };
        if &descriptor[1..6] != b"CD001" {
            break;
        }
        match descriptor[0] {
            1 if primary.is_none() => primary = Some(descriptor),
            2 if joliet.is_none() && matches!(&descriptor[88..91], b"%/@" | b"%/C" | b"%/E") => {
                joliet = Some(descriptor);
            }
            255 => break,
            _ => {}
        }
    }
    let primary = primary?;
    let plain = &primary[40..72];
    let label = match joliet {
        Some(joliet) => merged(plain, &joliet[40..72]),
        None => text(plain),
    };
    let uuid = date(&primary[830..847]).or_else(|| date(&primary[813..830]));
    Some(Content { label, uuid, ..Content::of("iso9660") })
}

/// Joliet has the letters that the plain label writes as `_`, and half as many: where both say the same, the plain one
/// goes on behind the other.
fn merged(plain: &[u8], joliet: &[u8]) -> Option<String> {
    let pairs = joliet.chunks_exact(2);
    let length = pairs.len();
    let same = pairs.zip(plain).all(|(pair, letter)| *letter == b'_' || *pair == [0, *letter]);
    if !same {
        return utf16(joliet, true);
    }
    let rest = plain.get(length..).unwrap_or_default();
    let rest = rest.iter().flat_map(|letter| [0, *letter]);
    utf16(&joliet.iter().copied().chain(rest).collect::<Vec<u8>>(), true)
}

/// `2026112117010200` and a time zone become `2026-11-21-17-01-02-00`; all zeros are no date, nor is what is no number.
fn date(field: &[u8]) -> Option<String> {
    let (digits, zone) = (field.get(..16)?, *field.get(16)?);
    if !digits.iter().all(u8::is_ascii_digit) || (digits.iter().all(|b| *b == b'0') && zone == 0) {
        return None;
    }
    let digits = String::from_utf8_lossy(digits).into_owned();
    let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16];
    let parts: Option<Vec<&str>> = parts.into_iter().map(|part| digits.get(part)).collect();
    Some(parts?.join("-"))
}
