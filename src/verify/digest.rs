//! SHA-256 as a value and as a stream adapter. What a mismatch leads to is decided in `verify`.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use sha2::Digest as _;

/// A SHA-256 digest (FIPS 180-4), written as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sha256([u8; 32]);

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseDigestError {
    Length(usize),
    NotHex(char),
}

impl Sha256 {
    /// The digest of bytes that are all in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ParseDigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(n) => {
                write!(f, "a SHA-256 digest has 64 hexadecimal digits, this has {n} characters")
            }
            Self::NotHex(c) => write!(f, "{c:?} is not a hexadecimal digit"),
        }
    }
}

impl std::error::Error for ParseDigestError {}

impl FromStr for Sha256 {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        if let Some(c) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(ParseDigestError::NotHex(c));
        }
        if text.len() != 64 {
            return Err(ParseDigestError::Length(text.len()));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let nibble = |c: u8| (c as char).to_digit(16).unwrap_or(0) as u8;
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl serde::Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Takes a digest of bytes that come in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Taking(sha2::Sha256);

impl Taking {
    pub(super) fn see(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of what was seen, and begins anew.
    pub(super) fn finish(&mut self) -> Sha256 {
        Sha256(self.0.finalize_reset().into())
    }
}

/// Counts and hashes every byte that is read, or written, through it.
pub struct Hashing<R> {
    inner: R,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl<R> Hashing<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: sha2::Sha256::new(), bytes: 0 }
    }

    /// Bytes read or written so far.
    pub fn count(&self) -> u64 {
        self.bytes
    }

    /// The same in two halves, so that reading goes on while what was read is hashed, in another thread: every byte that
    /// is read has to be seen, once and in order. What was not seen is not in the digest, which then matches nothing.
    pub fn apart(&mut self) -> (&mut R, Seeing<'_>) {
        (&mut self.inner, Seeing { hasher: &mut self.hasher, bytes: &mut self.bytes })
    }

    /// The digest of what was read or written.
    pub fn finish(self) -> Sha256 {
        Sha256(self.hasher.finalize().into())
    }
}

/// The half of a [`Hashing`] that counts and hashes.
pub struct Seeing<'a> {
    hasher: &'a mut sha2::Sha256,
    bytes: &'a mut u64,
}

impl Seeing<'_> {
    /// Takes the next bytes that were read.
    pub fn see(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        *self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hasher.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-4 example: SHA-256("abc").
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hashing_gives_the_published_digest() {
        let mut reader = Hashing::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.count(), 3);
        assert_eq!(reader.finish().to_string(), ABC);
    }

    #[test]
    fn what_is_written_is_hashed_as_what_is_read() {
        let mut writer = Hashing::new(Vec::new());
        writer.write_all(b"ab").unwrap();
        writer.write_all(b"c").unwrap();
        assert_eq!((writer.count(), writer.finish().to_string().as_str()), (3, ABC));
    }

    #[test]
    fn halves_give_the_same_digest_and_one_byte_unseen_another() {
        for (seen, whole) in [(3, true), (2, false)] {
            let mut hashing = Hashing::new(&b"abc"[..]);
            let mut text = Vec::new();
            let (reader, mut seeing) = hashing.apart();
            reader.read_to_end(&mut text).unwrap();
            seeing.see(&text[..seen]);
            assert_eq!(hashing.count(), seen as u64);
            assert_eq!(hashing.finish().to_string() == ABC, whole);
        }
    }

    #[test]
    fn a_digest_reads_back_in_either_case() {
        assert_eq!(ABC.parse::<Sha256>().unwrap().to_string(), ABC);
        assert_eq!(ABC.to_uppercase().parse::<Sha256>().unwrap().to_string(), ABC);
    }

    #[test]
    fn a_wrong_digest_text_says_what_is_wrong() {
        assert_eq!("abc".parse::<Sha256>(), Err(ParseDigestError::Length(3)));
        assert_eq!(ABC.replace('b', "g").parse::<Sha256>(), Err(ParseDigestError::NotHex('g')));
    }
}
