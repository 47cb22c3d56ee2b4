//! A stream, compressed or not, becomes the bytes of an archive: gzip (many members), zstd and lz4 (many frames), xz (many
//! streams), bzip2 (many streams), with zeros behind them, as on a disk that is larger than the archive. Reading the
//! source is `ahead`'s, threads and buffers `intake`'s, single frames `frames`'.

use std::io::{self, BufRead, Cursor, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;

use super::MOST_ZEROS;
use super::ahead::{Ahead, Failure};
use super::error::UnpackError;
use super::frames::{Lz4, Zstd};
use super::memory::Memory;
use super::sniff::{self, Compression, Format, HEAD};

impl Failure {
    /// What an error that came out of a decoder means: the source's own, or a damaged archive.
    pub(super) fn explain(&self, error: io::Error, compression: Compression) -> UnpackError {
        match self.take() {
            Some(source) => UnpackError::Read(source),
            None => damaged(&error, compression),
        }
    }
}

/// What an error of a decoder means that is not its source's.
pub(super) fn damaged(error: &io::Error, compression: Compression) -> UnpackError {
    let name = compression.name();
    UnpackError::archive(match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("the {name} stream ends too early: {error}"),
        _ => format!("decoding {name}: {error}"),
    })
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
        Compression::Gzip => Box::new(Streams::<GzDecoder<_>, _>::of(source)),
        Compression::Xz => Box::new(Streams::<Xz<_>, _>::of(source)),
        Compression::Bzip2 => Box::new(Streams::<BzDecoder<_>, _>::of(source)),
        Compression::Zstd => Box::new(Streams::<Zstd<_>, _>::of(source)),
        Compression::Lz4 => Box::new(Streams::<Lz4<_>, _>::of(source)),
    };
    let head = self::head(&mut plain).map_err(|e| failure.explain(e, compression))?;
    let format = format(&head, compression)?;
    Ok(Opened { format, compression, bytes: Plain::Decoded(Box::new(Cursor::new(head).chain(plain))) })
}

/// All frames of a zstd file that are left, one after the other.
pub(super) fn zstd(source: Ahead) -> impl Read {
    Streams::<Zstd<_>, _>::of(source)
}

/// Only archives pass; anything else is named.
pub(super) fn format(head: &[u8], compression: Compression) -> Result<Format, UnpackError> {
    if let Some(format) = sniff::format(head) {
        return Ok(format);
    }
    let inside = match compression {
        Compression::None => String::new(),
        outer => format!(" inside {}", outer.name()),
    };
    Err(UnpackError::archive(format!(
        "this is {}{inside}, not a tar or cpio archive (plain, gzip, zstd, xz, bzip2 or lz4)",
        sniff::describe(head)
    )))
}

/// The first block, or less where the stream is shorter.
fn head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    stream.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A format in which whole streams may follow each other in a file, with zeros between and after them.
trait Stream<R>: Read + Sized {
    /// Zeros come in multiples of this.
    const PADDING: u64;
    const NAME: &'static str;
    /// So many may have nothing in them: each takes a new decoder, and a few bytes of a file could be one.
    const MOST_EMPTY: u32 = 1 << 14;

    /// Whether a stream may begin with this byte.
    fn is_mark(byte: u8) -> bool;
    fn begin(raw: R, memory: &mut Memory) -> io::Result<Self>;
    fn end(self, memory: &mut Memory) -> R;
}

impl<R: BufRead> Stream<R> for GzDecoder<R> {
    const PADDING: u64 = 1;
    const NAME: &'static str = "gzip member";

    fn is_mark(byte: u8) -> bool {
        byte == 0x1f
    }

    fn begin(raw: R, _: &mut Memory) -> io::Result<Self> {
        Ok(GzDecoder::new(raw))
    }

    fn end(self, _: &mut Memory) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Stream<R> for BzDecoder<R> {
    const PADDING: u64 = 1;
    const NAME: &'static str = "bzip2 stream";

    fn is_mark(byte: u8) -> bool {
        byte == b'B'
    }

    fn begin(raw: R, _: &mut Memory) -> io::Result<Self> {
        Ok(BzDecoder::new(raw))
    }

    fn end(self, _: &mut Memory) -> R {
        self.into_inner()
    }
}

/// An xz stream; what it may take, for the message that it wants more.
struct Xz<R> {
    decoder: XzDecoder<R>,
    window: u64,
}

impl<R: BufRead> Stream<R> for Xz<R> {
    /// The .xz file format, 2.2.
    const PADDING: u64 = 4;
    const NAME: &'static str = "xz stream";

    fn is_mark(byte: u8) -> bool {
        byte == 0xfd
    }

    fn begin(raw: R, memory: &mut Memory) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let decoder = MtStreamBuilder::new()
            .threads(threads)
            .memlimit_threading(memory.xz_threads())
            .memlimit_stop(memory.window())
            .decoder()?;
        Ok(Self { decoder: XzDecoder::new_stream(raw, decoder), window: memory.window() })
    }

    fn end(self, _: &mut Memory) -> R {
        self.decoder.into_inner()
    }
}

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buf).map_err(|error| match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(liblzma::stream::Error::MemLimit) => io::Error::other(format!(
                "its window is larger than the {} MiB of memory it may take; pack it with a smaller one (xz -6)",
                self.window >> 20
            )),
            _ => error,
        })
    }
}

impl<R: BufRead> Stream<R> for Zstd<R> {
    const PADDING: u64 = 1;
    const NAME: &'static str = "zstd frame";
    /// One decoder is used for all.
    const MOST_EMPTY: u32 = u32::MAX;

    /// Of a frame, or of one that is passed over (RFC 8878, 3.1).
    fn is_mark(byte: u8) -> bool {
        matches!(byte, 0x28 | 0x50..=0x5f)
    }

    fn begin(raw: R, memory: &mut Memory) -> io::Result<Self> {
        Self::begin(raw, memory)
    }

    fn end(self, memory: &mut Memory) -> R {
        Self::end(self, memory)
    }
}

impl<R: BufRead> Stream<R> for Lz4<R> {
    const PADDING: u64 = 1;
    const NAME: &'static str = "lz4 frame";
    /// The decoder of one takes no memory before there is a block.
    const MOST_EMPTY: u32 = u32::MAX;

    /// Of a frame, or of one that is passed over (lz4_Frame_format.md, "Skippable Frames").
    fn is_mark(byte: u8) -> bool {
        matches!(byte, 0x04 | 0x50..=0x5f)
    }

    fn begin(raw: R, _: &mut Memory) -> io::Result<Self> {
        Self::begin(raw)
    }

    fn end(self, _: &mut Memory) -> R {
        Self::end(self)
    }
}

/// A reader of all streams of a file in turn.
struct Streams<D, R> {
    at: At<D, R>,
    /// Whether the stream at hand gave nothing yet, and how many gave nothing at all.
    is_empty: bool,
    empty: u32,
    memory: Memory,
}

enum At<D, R> {
    Inside(D),
    Between(R),
    End,
}

impl<D: Stream<R>, R: BufRead> Streams<D, R> {
    fn of(raw: R) -> Self {
        Self { at: At::Between(raw), is_empty: false, empty: 0, memory: Memory::of_this_machine() }
    }
}

impl<D: Stream<R>, R: BufRead> At<D, R> {
    /// What follows a stream: another one, or zeros up to the end of the file.
    fn next(mut raw: R, memory: &mut Memory) -> io::Result<Self> {
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
                Some(_) if zeros % D::PADDING == 0 => return Ok(Self::Inside(D::begin(raw, memory)?)),
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
            match std::mem::replace(&mut self.at, At::End) {
                At::End => return Ok(0),
                At::Between(raw) => {
                    self.at = At::next(raw, &mut self.memory)?;
                    self.is_empty = true;
                }
                At::Inside(mut stream) => match stream.read(buf)? {
                    0 => {
                        self.empty += u32::from(self.is_empty);
                        if self.empty > D::MOST_EMPTY {
                            let why =
                                format!("more than {} times a {} with nothing in it", D::MOST_EMPTY, D::NAME);
                            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                        }
                        self.at = At::Between(stream.end(&mut self.memory));
                    }
                    n => {
                        self.is_empty = false;
                        self.at = At::Inside(stream);
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

    fn read<D: Stream<Cursor<Vec<u8>>>>(parts: &[&[u8]]) -> Result<String, String> {
        let all = Streams::<D, _>::of(Cursor::new(parts.concat()));
        io::read_to_string(all).map_err(|e| e.to_string())
    }

    #[test]
    fn frames_follow_each_other_with_zeros_behind_them_and_nothing_else() {
        let frame = |text: &[u8]| zstd::encode_all(text, 3).unwrap();
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let (one, two) = (frame(b"one "), frame(b"two"));
        let read = read::<Zstd<_>>;
        assert_eq!(read(&[&skipped, &one, &skipped, &two, &[0; 700]]).as_deref(), Ok("one two"));
        assert_eq!(read(&[&one, b"x"]), Err("other data after the zstd frame".into()));
        for cut in 1..two.len() {
            assert!(read(&[&one, &two[..cut]]).is_err(), "a frame that is cut short at {cut}");
        }
    }

    #[test]
    fn lz4_frames_do_so_too_and_end_where_they_say() {
        let frame = |text: &[u8]| {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            io::Write::write_all(&mut encoder, text).unwrap();
            encoder.finish().unwrap()
        };
        let skipped = b"\x5f\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let (one, two) = (frame(b"one "), frame(b"two"));
        let read = read::<Lz4<_>>;
        assert_eq!(read(&[&one, &skipped, &two, &[0; 700]]).as_deref(), Ok("one two"));
        assert_eq!(read(&[&one, b"x"]), Err("other data after the lz4 frame".into()));
        for whole in [&two, &skipped] {
            for cut in 1..whole.len() {
                assert!(read(&[&one, &whole[..cut]]).is_err(), "cut short at {cut} of {}", whole.len());
            }
        }
        let mut legacy = two.clone();
        legacy[..4].copy_from_slice(b"\x02\x21\x4c\x18");
        assert_eq!(read(&[&one, &legacy]), Err("other data after the lz4 frame".into()));
    }

    #[test]
    fn an_xz_window_beyond_the_memory_is_refused_with_a_number() {
        use liblzma::stream::{Check, Filters, LzmaOptions};
        let mut options = LzmaOptions::new_preset(0).unwrap();
        options.dict_size(256 << 20);
        let encoder =
            liblzma::stream::Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc32);
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), encoder.unwrap());
        io::Write::write_all(&mut encoder, b"small").unwrap();
        let file = encoder.finish().unwrap();
        let read = |free| {
            let text = Xz::begin(&file[..], &mut Memory::of(free)).and_then(io::read_to_string);
            text.map_err(|e| e.to_string())
        };
        assert_eq!(read(1 << 30).as_deref(), Ok("small"));
        let error = read(400 << 20).unwrap_err();
        assert!(error.starts_with("its window is larger than the 200 MiB of memory it may take"), "{error}");
    }
}
