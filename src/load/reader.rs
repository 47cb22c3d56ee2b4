//! A reader that ends where the catalog says the bytes end: a body without a length could go on for ever. The digest
//! is `verify`'s.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes that may follow an archive whose size nobody knows: they are part of the digest and of nothing else.
const AFTERWARDS: u64 = 64 << 20;

/// How many bytes there may be, and whether there were more; shared with a [`Bounded`].
#[derive(Debug)]
pub(super) struct Bound {
    most: AtomicU64,
    broken: AtomicBool,
}

impl Bound {
    /// `size`: what the catalog says, if it does.
    pub(super) fn new(size: Option<u64>) -> Self {
        Self { most: AtomicU64::new(size.unwrap_or(u64::MAX)), broken: AtomicBool::new(false) }
    }

    /// The archive was read to its end, `bytes` in all: of what comes after it there may be only so much.
    pub(super) fn archive_ended(&self, bytes: u64) {
        self.most.fetch_min(bytes.saturating_add(AFTERWARDS), Ordering::Relaxed);
    }

    /// The error that broke the reader, in words, if there were too many bytes.
    pub(super) fn broken(&self, size: Option<u64>) -> Option<String> {
        self.broken.load(Ordering::Relaxed).then(|| match size {
            Some(size) => format!("more than the {size} bytes the catalog says"),
            None => format!("more than {} MiB after the archive's end", AFTERWARDS >> 20),
        })
    }
}

/// Hands out the bytes of another reader; one more than the bound is an error, this time and each later one.
pub(super) struct Bounded<'a, R> {
    inner: R,
    had: u64,
    bound: &'a Bound,
}

impl<'a, R> Bounded<'a, R> {
    pub(super) fn new(inner: R, bound: &'a Bound) -> Self {
        Self { inner, had: 0, bound }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = self.bound.most.load(Ordering::Relaxed);
        // One more than there may be, to see whether it comes.
        let room = most.saturating_sub(self.had).saturating_add(1);
        let want = buf.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut buf[..want])?;
        self.had += n as u64;
        if self.had > most {
            self.bound.broken.store(true, Ordering::Relaxed);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes than there should be"));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_so_many_bytes_pass_and_one_more_is_an_error() {
        let bound = Bound::new(Some(5));
        assert_eq!(io::read_to_string(Bounded::new(&b"hello"[..], &bound)).unwrap(), "hello");
        assert_eq!(bound.broken(Some(5)), None);
        let mut reader = Bounded::new(io::repeat(b'x').take(6), &bound);
        assert!(io::read_to_string(&mut reader).is_err());
        assert_eq!(bound.broken(Some(5)).as_deref(), Some("more than the 5 bytes the catalog says"));
    }

    #[test]
    fn without_a_size_only_what_follows_the_archive_is_bounded() {
        let bound = Bound::new(None);
        let mut reader = Bounded::new(io::repeat(0), &bound);
        let read = io::copy(&mut (&mut reader).take(AFTERWARDS + 9), &mut io::sink()).unwrap();
        assert_eq!(read, AFTERWARDS + 9);
        bound.archive_ended(read);
        assert!(io::copy(&mut reader, &mut io::sink()).is_err(), "an endless body was read for ever");
        assert_eq!(bound.broken(None).as_deref(), Some("more than 64 MiB after the archive's end"));
    }
}
