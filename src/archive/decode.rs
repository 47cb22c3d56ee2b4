//! A stream, compressed or not, becomes the bytes of an archive: gzip (many members), zstd (many frames), xz (many
//! streams), bzip2 (many streams), with zeros behind them, as on a disk that is larger than the archive. Reading the
//! source is `ahead`'s, threads and buffers `intake`'s.

use std::io::{self, BufRead, Cursor, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;

use super::MOST_ZEROS;
use super::ahead::{Ahead, Failure};
use super::error::UnpackError;
use super::sniff::{self, Compression, Format, HEAD};

/// A decoder may always take so much: `zstd --long` without a number, `xz -9`.
const LEAST_BUDGET: u64 = 128 << 20;

/// Memory xz may spend on decoding blocks side by side: two of the 24 MiB blocks of `xz -6 -T0`, in and out, for
/// each of some threads. A file that needs more is decoded by one thread.
const XZ_THREAD_MEMORY: u64 = 256 << 20;

/// What a decoder may take for its window: a quarter of what is free, the tree needs the rest.
fn budget() -> u64 {
    let system = rustix::system::sysinfo();
    let free = system.freeram.saturating_mul(system.mem_unit.into());
    (free / 4).max(LEAST_BUDGET)
}

impl Failure {
    /// What an error that came out of a decoder means: the source's own, or a damaged archive.
    pub(super) fn explain(&self, error: io::Error, compression: Compression) -> UnpackError {
        match self.take() {
            Some(source) => UnpackError::Read(source),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                UnpackError::archive(format!("the {} stream ends too early: {error}", name(compression)))
            }
            None if error.to_string().contains("memory") => UnpackError::archive(format!(
                "decoding {}: {error}: {} MiB are there for its window; pack it with a smaller one",
                name(compression),
                budget() >> 20
            )),
            None => UnpackError::archive(format!("decoding {}: {error}", name(compression))),
        }
    }
}

fn name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "plain",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
        Compression::Xz => "xz",
        Compression::Bzip2 => "bzip2",
    }
}

/// An archive: what it is, how it was compressed, and its bytes.
pub(super) struct Opened<'a> {
    pub format: Format,
    pub compression: Compression,
    pub bytes: Plain<'a>,
}

/// Plain bytes.
pub(super) enum Plain<'a> {
    /// Those of the source itself.
    Raw(Ahead),
    Decoded(Box<dyn Read + 'a>),
}

/// Opens `source`, once it is known to be an archive.
pub(super) fn open<'a>(mut source: Ahead, failure: &Failure) -> Result<Opened<'a>, UnpackError> {
    let none = Compression::None;
    let head = source.head().map_err(|e| failure.explain(e, none))?;
    let compression = sniff::compression(head);
    let mut plain: Box<dyn Read + 'a> = match compression {
        Compression::None => {
            let format = format(head, none)?;
            return Ok(Opened { format, compression, bytes: Plain::Raw(source) });
        }
        Compression::Gzip => Box::new(Streams::<GzDecoder<_>, _>::Between(source)),
        Compression::Xz => Box::new(Streams::<XzDecoder<_>, _>::Between(source)),
        Compression::Bzip2 => Box::new(Streams::<BzDecoder<_>, _>::Between(source)),
        Compression::Zstd => Box::new(Streams::<zstd::Decoder<'static, _>, _>::Between(source)),
    };
    let head = self::head(&mut plain).map_err(|e| failure.explain(e, compression))?;
    let format = format(&head, compression)?;
    Ok(Opened { format, compression, bytes: Plain::Decoded(Box::new(Cursor::new(head).chain(plain))) })
}

/// Only archives pass; anything else is named.
fn format(head: &[u8], compression: Compression) -> Result<Format, UnpackError> {
    if let Some(format) = sniff::format(head) {
        return Ok(format);
    }
    let inside = match compression {
        Compression::None => String::new(),
        outer => format!(" inside {}", name(outer)),
    };
    Err(UnpackError::archive(format!(
        "this is {}{inside}, not a tar or cpio archive (plain, gzip, zstd, xz or bzip2)",
        sniff::describe(head)
    )))
}

/// The first block, or less where the stream is shorter.
fn head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    stream.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn zstd<R: BufRead>(raw: R, budget: u64) -> io::Result<zstd::Decoder<'static, R>> {
    let mut decoder = zstd::Decoder::with_buffer(raw)?;
    // 2 GiB, as `zstd --long=31` makes, is the largest the format's reference decoder takes.
    decoder.window_log_max(budget.ilog2().min(31))?;
    Ok(decoder)
}

/// A format in which whole streams may follow each other in a file, with zeros between and after them.
trait Stream<R>: Read + Sized {
    /// Zeros come in multiples of this.
    const PADDING: u64;
    const NAME: &'static str;

    /// Whether a stream may begin with this byte.
    fn is_mark(byte: u8) -> bool;
    fn begin(raw: R) -> io::Result<Self>;
    fn end(self) -> R;
}

impl<R: BufRead> Stream<R> for GzDecoder<R> {
    const PADDING: u64 = 1;
    const NAME: &'static str = "gzip member";

    fn is_mark(byte: u8) -> bool {
        byte == 0x1f
    }

    fn begin(raw: R) -> io::Result<Self> {
        Ok(GzDecoder::new(raw))
    }

    fn end(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Stream<R> for BzDecoder<R> {
    const PADDING: u64 = 1;
    const NAME: &'static str = "bzip2 stream";

    fn is_mark(byte: u8) -> bool {
        byte == b'B'
    }

    fn begin(raw: R) -> io::Result<Self> {
        Ok(BzDecoder::new(raw))
    }

    fn end(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Stream<R> for XzDecoder<R> {
    /// The .xz file format, 2.2.
    const PADDING: u64 = 4;
    const NAME: &'static str = "xz stream";

    fn is_mark(byte: u8) -> bool {
        byte == 0xfd
    }

    fn begin(raw: R) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let decoder = MtStreamBuilder::new()
            .threads(threads)
            .memlimit_threading(XZ_THREAD_MEMORY.min(budget()))
            .memlimit_stop(budget())
            .decoder()?;
        Ok(XzDecoder::new_stream(raw, decoder))
    }

    fn end(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Stream<R> for zstd::Decoder<'static, R> {
    const PADDING: u64 = 1;
    const NAME: &'static str = "zstd frame";

    /// Of a frame, or of one that is passed over (RFC 8878, 3.1).
    fn is_mark(byte: u8) -> bool {
        matches!(byte, 0x28 | 0x50..=0x5f)
    }

    fn begin(raw: R) -> io::Result<Self> {
        Ok(zstd(raw, budget())?.single_frame())
    }

    fn end(self) -> R {
        self.finish()
    }
}

/// A reader of all streams of a file in turn.
enum Streams<D, R> {
    Inside(D),
    Between(R),
    End,
}

impl<D: Stream<R>, R: BufRead> Streams<D, R> {
    /// What follows a stream: another one, or zeros up to the end of the file.
    fn next(mut raw: R) -> io::Result<Self> {
        let garbage =
            |what| io::Error::new(io::ErrorKind::InvalidData, format!("{what} after the {}", D::NAME));
        let mut zeros = 0;
        loop {
            let bytes = raw.fill_buf()?;
            let (n, first) = match bytes.iter().position(|b| *b != 0) {
                Some(at) => (at, Some(bytes[at])),
                None => (bytes.len(), None),
            };
            let end = bytes.is_empty();
            raw.consume(n);
            zeros += n as u64;
            if zeros > MOST_ZEROS {
                return Err(garbage("more than 1 GiB of zeros"));
            }
            match first {
                Some(byte) if !D::is_mark(byte) => return Err(garbage("other data")),
                Some(_) if zeros % D::PADDING == 0 => return Ok(Self::Inside(D::begin(raw)?)),
                None if end && zeros % D::PADDING == 0 => return Ok(Self::End),
                None if !end => {}
                _ => return Err(garbage("padding of an odd length")),
            }
        }
    }
}

impl<D: Stream<R>, R: BufRead> Read for Streams<D, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(self, Self::End) {
                Self::End => return Ok(0),
                Self::Between(raw) => *self = Self::next(raw)?,
                Self::Inside(mut stream) => match stream.read(buf)? {
                    0 => *self = Self::Between(stream.end()),
                    n => {
                        *self = Self::Inside(stream);
                        return Ok(n);
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A frame that asks for a window of 256 MiB, whatever it holds.
    fn wide() -> Vec<u8> {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(b"small").unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn frames_follow_each_other_with_zeros_behind_them_and_nothing_else() {
        let frame = |text: &[u8]| ::zstd::encode_all(text, 3).unwrap();
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let read = |parts: &[&[u8]]| {
            let all = Streams::<::zstd::Decoder<'static, _>, _>::Between(Cursor::new(parts.concat()));
            io::read_to_string(all).map_err(|e| e.to_string())
        };
        let (one, two) = (frame(b"one "), frame(b"two"));
        assert_eq!(read(&[&skipped, &one, &skipped, &two, &[0; 700]]).as_deref(), Ok("one two"));
        assert_eq!(read(&[&one, b"x"]), Err("other data after the zstd frame".into()));
        assert!(read(&[&one, &two[..two.len() - 1]]).is_err(), "a frame that is cut short");
    }

    #[test]
    fn a_window_beyond_the_budget_is_refused() {
        let wide = wide();
        let read = |budget| io::read_to_string(zstd(&wide[..], budget).unwrap());
        assert_eq!(read(256 << 20).unwrap(), "small");
        assert!(read(128 << 20).unwrap_err().to_string().contains("memory"));
    }
}
