//! Decoders of one frame: zstd, whose window is looked at before memory is taken for it, and lz4, whose decoder does not
//! notice where a frame is cut. Which frames may follow each other is `decode`'s.

use std::io::{self, BufRead, Read};

use lz4_flex::frame::FrameDecoder;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::memory::Memory;

/// The largest window, and its logarithm: what `zstd --long=31` makes and the format's reference decoder takes.
const WINDOW: u64 = 1 << WINDOW_LOG;
pub(super) const WINDOW_LOG: u32 = 31;

/// The longest header of a frame: mark, descriptor, window, dictionary, size (RFC 8878, 3.1.1.1).
pub(super) const HEADER: usize = 4 + 1 + 1 + 4 + 8;

/// What the header of a whole frame says.
pub(super) struct Header {
    /// Bytes of the header itself.
    pub length: usize,
    /// Plain bytes in the frame, where it says so.
    pub content: Option<u64>,
    /// Whether four bytes follow the last block.
    pub checksum: bool,
}

impl Header {
    /// Nothing where these bytes are no header, or not all of one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [0x28, 0xb5, 0x2f, 0xfd, descriptor, ..] = *bytes else { return None };
        let at = 5 + usize::from(!is_single(descriptor)) + dictionary(descriptor);
        let field = bytes.get(at..at + content(descriptor))?;
        let size = (!field.is_empty()).then(|| number(field));
        Some(Self { length: at + field.len(), content: size, checksum: descriptor & 4 != 0 })
    }
}

/// One zstd frame, or one that is passed over.
pub(super) struct Zstd<R> {
    raw: R,
    context: DCtx<'static>,
    /// The header, which was read for the window, and which of its bytes were not decoded yet.
    header: Vec<u8>,
    from: usize,
    done: bool,
}

impl<R: BufRead> Zstd<R> {
    pub(super) fn begin(mut raw: R, memory: &mut Memory) -> io::Result<Self> {
        let header = header(&mut raw)?;
        if let Some(window) = window(&header) {
            allow(window, memory)?;
        }
        let context = match memory.zstd.take() {
            Some(context) => context,
            None => {
                let mut context =
                    DCtx::try_create().ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
                context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(named)?;
                context
            }
        };
        Ok(Self { raw, context, header, from: 0, done: false })
    }

    pub(super) fn end(self, memory: &mut Memory) -> R {
        memory.zstd = Some(self.context);
        self.raw
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut plain = OutBuffer::around(buf);
        while plain.pos() == 0 && !self.done {
            let in_header = self.from < self.header.len();
            let bytes = if in_header { &self.header[self.from..] } else { self.raw.fill_buf()? };
            let end = bytes.is_empty();
            let mut bytes = InBuffer::around(bytes);
            self.done = self.context.decompress_stream(&mut plain, &mut bytes).map_err(named)? == 0;
            let used = bytes.pos();
            if in_header {
                self.from += used;
            } else {
                self.raw.consume(used);
            }
            if end && plain.pos() == 0 && !self.done {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"));
            }
        }
        Ok(plain.pos())
    }
}

pub(super) fn named(code: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, get_error_name(code))
}

/// Takes the header of a frame, or the beginning of what is none.
fn header(raw: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER);
    let mut more = |header: &mut Vec<u8>, n: usize| {
        let from = header.len();
        header.resize(from + n, 0);
        raw.read_exact(&mut header[from..])
    };
    more(&mut header, 5)?;
    if header.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let rest = if is_single(header[4]) { dictionary(header[4]) + size(header[4]) } else { 1 };
        more(&mut header, rest)?;
    }
    Ok(header)
}

/// The window that a frame with this header asks for. One without is as large as what is in it.
fn window(header: &[u8]) -> Option<u64> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = header else { return None };
    if !is_single(*descriptor) {
        let (exponent, mantissa) = (rest[0] >> 3, u64::from(rest[0] & 7));
        let base = 1_u64 << (10 + exponent);
        return Some(base + base / 8 * mantissa);
    }
    Some(number(&rest[dictionary(*descriptor)..]))
}

/// What the field for the size says.
fn number(field: &[u8]) -> u64 {
    let bytes = field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    // Two bytes begin where one ends.
    if field.len() == 2 { bytes + 256 } else { bytes }
}

fn is_single(descriptor: u8) -> bool {
    descriptor & 0x20 != 0
}

/// Bytes of the field for a dictionary.
fn dictionary(descriptor: u8) -> usize {
    [0, 1, 2, 4][usize::from(descriptor & 3)]
}

/// Bytes of the field for the size, in a frame that has no window.
fn size(descriptor: u8) -> usize {
    1 << (descriptor >> 6)
}

/// The same of any frame: one that has a window need not have it.
fn content(descriptor: u8) -> usize {
    match descriptor >> 6 {
        0 if !is_single(descriptor) => 0,
        _ => size(descriptor),
    }
}

fn allow(window: u64, memory: &Memory) -> io::Result<()> {
    let needed = window.div_ceil(1 << 20);
    let reason = if window > WINDOW {
        format!("it asks for a window of {needed} MiB; the format's decoders take at most 2048 MiB")
    } else if window > memory.window() {
        format!(
            "it asks for a window of {needed} MiB, and {} MiB may be taken for one, {} MiB of memory being free",
            memory.window() >> 20,
            memory.free() >> 20
        )
    } else {
        return Ok(());
    };
    Err(io::Error::other(format!("{reason}: pack it with a smaller one (zstd --long=27, bootjack pack)")))
}

/// One lz4 frame, or one that is passed over.
pub(super) enum Lz4<R: Read> {
    Frame(Box<FrameDecoder<Noticing<R>>>),
    Passed(R, u64),
}

impl<R: BufRead> Lz4<R> {
    pub(super) fn begin(mut raw: R) -> io::Result<Self> {
        if raw.fill_buf()?.first() == Some(&0x04) {
            return Ok(Self::Frame(Box::new(FrameDecoder::new(Noticing { raw, end: false }))));
        }
        let mut header = [0; 8];
        raw.read_exact(&mut header)?;
        let [0x50..=0x5f, 0x2a, 0x4d, 0x18, size @ ..] = header else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of an unknown kind"));
        };
        Ok(Self::Passed(raw, u32::from_le_bytes(size).into()))
    }

    pub(super) fn end(self) -> R {
        match self {
            Self::Frame(decoder) => decoder.into_inner().raw,
            Self::Passed(raw, _) => raw,
        }
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame");
        match self {
            Self::Frame(decoder) => match decoder.read(buf)? {
                // A frame has an end mark: who reads on after the source's end did not see it.
                0 if decoder.get_ref().end => Err(cut()),
                n => Ok(n),
            },
            Self::Passed(raw, left) => {
                let passed = io::copy(&mut raw.take(*left), &mut io::sink())?;
                *left -= passed;
                if *left == 0 { Ok(0) } else { Err(cut()) }
            }
        }
    }
}

/// Notices when its end was met: the decoder takes an end between two blocks for that of the frame.
pub(super) struct Noticing<R> {
    raw: R,
    end: bool,
}

impl<R: Read> Read for Noticing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.raw.read(buf)?;
        self.end |= n == 0 && !buf.is_empty();
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// A frame that asks for a window of 256 MiB, whatever it holds.
    fn wide() -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(b"small").unwrap();
        encoder.finish().unwrap()
    }

    fn read(frame: &[u8], free: u64) -> Result<String, String> {
        let text = Zstd::begin(frame, &mut Memory::of(free)).and_then(io::read_to_string);
        text.map_err(|e| e.to_string())
    }

    #[test]
    fn a_window_beyond_the_memory_is_refused_with_both_numbers() {
        assert_eq!(read(&wide(), 512 << 20).as_deref(), Ok("small"));
        let error = read(&wide(), 300 << 20).unwrap_err();
        assert_eq!(
            error,
            "it asks for a window of 256 MiB, and 150 MiB may be taken for one, 300 MiB of memory being free: \
             pack it with a smaller one (zstd --long=27, bootjack pack)"
        );
    }

    #[test]
    fn windows_are_read_as_the_format_has_them() {
        let mark = [0x28, 0xb5, 0x2f, 0xfd];
        let with = |rest: &[u8]| [&mark[..], rest].concat();
        let mib = 1 << 20;
        for (rest, want) in [
            (&[0x00, 17 << 3][..], 128 * mib),
            (&[0x00, 17 << 3 | 4], 192 * mib),
            (&[0x00, 21 << 3], 2048 * mib),
            (&[0x20, 5], 5),
            (&[0x60, 1, 1], 513),
            (&[0xa0, 0, 0, 0x10, 0], mib),
            (&[0xe3, 9, 9, 9, 9, 0, 0, 0, 0, 1, 0, 0, 0], 4096 * mib),
        ] {
            let frame = [&with(rest)[..], b"and more"].concat();
            assert_eq!(
                header(&mut &frame[..]).map(|header| window(&header)).unwrap(),
                Some(want),
                "{rest:?}"
            );
        }
        assert_eq!(window(b"\x50\x2a\x4d\x18\x03"), None);
        let error = read(&with(&[0x00, 22 << 3, 0, 0]), u64::MAX).unwrap_err();
        assert!(error.starts_with("it asks for a window of 4096 MiB; the format's"), "{error}");
    }
}
