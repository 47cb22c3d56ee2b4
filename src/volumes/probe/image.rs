//! Bytes of a device that may end, fail or lie anywhere: every read is whole or nothing. Numbers and names in them.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

/// No superblock, directory block or table of partitions is larger: what says so is not one.
const MOST: usize = 1 << 20;

/// An opened device or image.
pub struct Image {
    file: File,
    size: u64,
}

impl Image {
    /// # Errors
    /// Of lseek(2), which tells how long a device is.
    pub fn of(mut file: File) -> io::Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, size })
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Exactly `length` bytes; nothing where the device has not so many, or does not give them.
    pub fn at(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let end = offset.checked_add(length as u64)?;
        if length > MOST || end > self.size {
            return None;
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// Whether its first sector can be read.
    ///
    /// # Errors
    /// Of read(2).
    pub fn answers(&self) -> io::Result<()> {
        self.file.read_at(&mut [0; 512], 0).map(drop)
    }
}

/// A little-endian number of up to 8 bytes; 0 beyond the end.
pub fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let digits = bytes.get(at..at.saturating_add(length)).unwrap_or_default();
    digits.iter().rev().fold(0, |sum, digit| sum << 8 | u64::from(*digit))
}

/// A name in a field: up to the first NUL, without the blanks behind it; nothing left is no name.
pub fn text(field: &[u8]) -> Option<String> {
    let field = field.split(|b| *b == 0).next().unwrap_or_default();
    named(&String::from_utf8_lossy(field))
}

/// The same of an identifier that is written as text: letters, digits and marks, or none.
pub fn id(field: &[u8]) -> Option<String> {
    text(field).filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// The same in UTF-16, little-endian or big-endian.
pub fn utf16(field: &[u8], big: bool) -> Option<String> {
    let unit = |pair: &[u8]| match big {
        true => u16::from_be_bytes([pair[0], pair[1]]),
        false => u16::from_le_bytes([pair[0], pair[1]]),
    };
    let units = field.chunks_exact(2).map(unit).take_while(|unit| *unit != 0);
    named(&char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect::<String>())
}

fn named(text: &str) -> Option<String> {
    let text = text.trim_end_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// 16 bytes as RFC 9562 writes them; all zeros are none.
pub fn uuid(bytes: &[u8]) -> Option<String> {
    if bytes.len() != 16 || bytes.iter().all(|b| *b == 0) {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (n, byte) in bytes.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    Some(text)
}
