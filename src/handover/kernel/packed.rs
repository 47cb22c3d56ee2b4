//! A kernel file that is compressed as a whole, unpacked into memory and no further than a bound.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use super::{FETCH_AGAIN, MEMORY, NotAKernel, WANTED, memory};

/// What a kernel file may be packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

/// More than any kernel with its initrd; what unpacks to more is a mistake, or meant to fill the memory.
pub(super) const MOST: u64 = 1 << 30;

impl Packing {
    /// By the first bytes (RFC 1952, RFC 8878).
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What is in `file`, as a file in memory.
    pub(super) fn unpack(self, file: &File) -> Result<File, NotAKernel> {
        self.unpack_at_most(file, MOST)
    }

    pub(super) fn unpack_at_most(self, mut file: &File, most: u64) -> Result<File, NotAKernel> {
        let mut out = memory("kernel")?;
        let copied = file.rewind().and_then(|()| {
            let decoder: Box<dyn Read + '_> = match self {
                Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(file))),
                Self::Zstd => {
                    let mut decoder = zstd::Decoder::new(file)?;
                    decoder.window_log_max(most.ilog2())?;
                    Box::new(decoder)
                }
            };
            io::copy(&mut decoder.take(most + 1), &mut out)
        });
        match copied {
            Ok(bytes) if bytes <= most => Ok(out),
            Ok(_) => Err(NotAKernel::new(format!("{} of more than {} MiB", self.name(), most >> 20), WANTED)),
            // The system's errors have numbers, the decoders' have not.
            Err(e) if e.raw_os_error().is_some() => {
                Err(NotAKernel::new(format!("unpacking {}: {e}", self.name()), MEMORY))
            }
            Err(e) => Err(NotAKernel::new(format!("damaged {}: {e}", self.name()), FETCH_AGAIN)),
        }
    }
}
