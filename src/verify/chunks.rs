//! The chunk list: digests of the parts of an archive, so that each is checked before anything is made of it, and a bad
//! one fetched again alone. Where the list and the chunks come from is `fetch`'s, cutting them `archive`'s.
//!
//! It is text: a first line `bootjack-chunks 1`, a line `LENGTH SHA256` for each chunk, contiguous from the first byte,
//! and a last line `end TOTAL`. The catalog has the digest of the list, which so stands for all of the archive.

use std::fmt;
use std::ops::Range;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Sha256;
use super::digest::Taking;

/// What a list begins with.
const HEAD: &str = "bootjack-chunks 1";

/// Bytes of the longest chunk: it is in memory as a whole until its digest matched.
pub const MOST_CHUNK: u64 = 16 << 20;

/// Bytes of the longest list: some 230 000 chunks.
pub const MOST_LIST: u64 = 16 << 20;

/// One part of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its first byte.
    pub offset: u64,
    /// In bytes, at least one.
    pub length: u64,
    pub sha256: Sha256,
}

impl Chunk {
    /// Its bytes in the archive.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }
}

/// All parts of an archive, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkList {
    chunks: Vec<Chunk>,
    /// Of the list itself.
    sha256: Sha256,
}

/// Why a text is no chunk list: the line, counted from 1, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoChunkList {
    pub line: usize,
    pub why: String,
}

impl fmt::Display for NoChunkList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the chunk list: {}", self.line, self.why)
    }
}

impl std::error::Error for NoChunkList {}

impl ChunkList {
    /// Reads a list. Whether it is the one that was meant, [`ChunkList::sha256`] says.
    ///
    /// # Errors
    /// [`NoChunkList`]: it is written otherwise, even if only slightly, or a chunk is longer than [`MOST_CHUNK`].
    pub fn parse(text: &[u8]) -> Result<Self, NoChunkList> {
        let wrong = |line: usize, why: &str| NoChunkList { line, why: why.to_owned() };
        let Some(body) = text.strip_suffix(b"\n") else {
            return Err(wrong(text.split(|b| *b == b'\n').count(), "it is cut off: no end of the line"));
        };
        let mut lines = (1..).zip(body.split(|b| *b == b'\n'));
        if lines.next().is_none_or(|(_, first)| first != HEAD.as_bytes()) {
            return Err(wrong(1, "it does not begin with \"bootjack-chunks 1\""));
        }
        let (mut chunks, mut offset, mut last) = (Vec::new(), 0_u64, 1);
        while let Some((number, line)) = lines.next() {
            let line = std::str::from_utf8(line).map_err(|_| wrong(number, "it is no text"))?;
            let (word, rest) = line.split_once(' ').ok_or_else(|| wrong(number, "it is not two words"))?;
            if word == "end" {
                return match (decimal(rest), lines.next()) {
                    (Some(total), None) if total == offset => Ok(Self { chunks, sha256: Sha256::of(text) }),
                    (Some(_), None) => {
                        Err(wrong(number, &format!("the chunks have {offset} bytes together")))
                    }
                    (None, _) => Err(wrong(number, "no number of bytes after \"end\"")),
                    (_, Some((more, _))) => Err(wrong(more, "something follows the end")),
                };
            }
            let length = decimal(word).ok_or_else(|| wrong(number, "no number of bytes"))?;
            if !(1..=MOST_CHUNK).contains(&length) {
                return Err(wrong(number, &format!("a chunk of {length} bytes, there may be {MOST_CHUNK}")));
            }
            let sha256 = Sha256::from_str(rest).map_err(|why| wrong(number, &why.to_string()))?;
            chunks.push(Chunk { offset, length, sha256 });
            offset = offset.checked_add(length).ok_or_else(|| wrong(number, "more than 2^64 bytes"))?;
            last = number;
        }
        Err(wrong(last + 1, "it is cut off: no line \"end TOTAL\""))
    }

    /// The list of chunks that were made, and its text.
    pub fn of(chunks: impl IntoIterator<Item = (u64, Sha256)>) -> (Self, String) {
        let mut text = format!("{HEAD}\n");
        let mut offset = 0;
        let mut all = Vec::new();
        for (length, sha256) in chunks {
            text += &format!("{length} {sha256}\n");
            all.push(Chunk { offset, length, sha256 });
            offset += length;
        }
        text += &format!("end {offset}\n");
        let sha256 = Sha256::of(text.as_bytes());
        (Self { chunks: all, sha256 }, text)
    }

    /// The digest of the list: what a catalog says as `chunks`.
    pub fn sha256(&self) -> &Sha256 {
        &self.sha256
    }

    /// Bytes of the archive.
    pub fn total(&self) -> u64 {
        self.chunks.last().map_or(0, |last| last.range().end)
    }

    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The chunk that this byte is in.
    pub fn at(&self, byte: u64) -> Option<&Chunk> {
        self.chunks.get(self.chunks.partition_point(|chunk| chunk.range().end <= byte))
    }
}

/// A number as the list has it: digits, no sign, no zeros before it.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// A chunk is not the one on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongChunk {
    pub expected: Sha256,
    pub got: Sha256,
}

/// Lets chunks pass, one after the other, each only if its digest is the one on the list.
#[derive(Debug)]
pub struct Gate {
    list: Arc<ChunkList>,
    next: usize,
    /// Of the chunk that is coming.
    digest: Taking,
    seal: Seal,
}

impl Gate {
    pub fn new(list: Arc<ChunkList>) -> Self {
        let whole = AtomicBool::new(list.chunks.is_empty());
        let seal = Seal { list: list.sha256.clone(), whole: Arc::new(whole) };
        Self { list, next: 0, digest: Taking::default(), seal }
    }

    /// The chunk that has to come next; nothing after the last.
    pub fn expects(&self) -> Option<&Chunk> {
        self.list.chunks.get(self.next)
    }

    /// Its number, from 1 on, and how many there are.
    pub fn number(&self) -> (usize, usize) {
        (self.next + 1, self.list.chunks.len())
    }

    /// Looks at the next bytes of the chunk that is coming: while they are still in the processor's cache.
    pub fn see(&mut self, bytes: &[u8]) {
        self.digest.see(bytes);
    }

    /// Forgets what was seen of the chunk: it comes anew.
    pub fn forget(&mut self) {
        self.digest = Taking::default();
    }

    /// The chunk was seen whole.
    ///
    /// # Errors
    /// It is another one: then the gate stays where it is, and the chunk has to be seen anew.
    pub fn pass(&mut self) -> Result<(), WrongChunk> {
        let got = self.digest.finish();
        match self.expects() {
            Some(chunk) if chunk.sha256 == got => {
                self.next += 1;
                if self.next == self.list.chunks.len() {
                    self.seal.whole.store(true, Ordering::Release);
                }
                Ok(())
            }
            expected => {
                let expected = expected.map_or_else(|| Sha256::of(b""), |chunk| chunk.sha256.clone());
                Err(WrongChunk { expected, got })
            }
        }
    }

    /// What tells the others that all have passed.
    pub fn seal(&self) -> Seal {
        self.seal.clone()
    }
}

/// Tells whether every chunk of a list has passed its [`Gate`], which alone makes it.
#[derive(Clone, Debug)]
pub struct Seal {
    list: Sha256,
    whole: Arc<AtomicBool>,
}

impl Seal {
    /// Whether all chunks of this very list have passed.
    pub fn holds(&self, list: &Sha256) -> bool {
        self.list == *list && self.whole.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (ChunkList, String) {
        ChunkList::of([(3, Sha256::of(b"abc")), (2, Sha256::of(b"de"))])
    }

    #[test]
    fn a_list_reads_back_as_it_was_written() {
        let (list, text) = two();
        assert!(text.starts_with("bootjack-chunks 1\n3 ba7816bf") && text.ends_with("\nend 5\n"), "{text}");
        let read = ChunkList::parse(text.as_bytes()).unwrap();
        assert_eq!((&read, read.total(), read.sha256()), (&list, 5, &Sha256::of(text.as_bytes())));
        assert_eq!(read.chunks()[1].range(), 3..5);
        let at = |byte| read.at(byte).map(|chunk| chunk.offset);
        assert_eq!([0, 2, 3, 4, 5].map(at), [Some(0), Some(0), Some(3), Some(3), None]);
        let (empty, text) = ChunkList::of([]);
        assert_eq!(ChunkList::parse(text.as_bytes()).unwrap(), empty);
    }

    #[test]
    fn what_is_written_otherwise_is_refused_with_its_line() {
        let (_, text) = two();
        let with = |from: &str, to: &str| text.replacen(from, to, 1);
        for (text, line, why) in [
            (String::new(), 1, "cut off"),
            (with("chunks 1", "chunks 2"), 1, "does not begin"),
            (with("chunks 1\n", "chunks 1\r\n"), 1, "does not begin"),
            (with("end 5\n", "end 5"), 4, "cut off: no end of the line"),
            (with("end 5\n", ""), 4, "cut off: no line"),
            (with("end 5", "end 6"), 4, "have 5 bytes together"),
            (with("end 5", "end x"), 4, "no number of bytes after"),
            (with("end 5\n", "end 5\n\n"), 5, "something follows"),
            (with("\n3 ", "\n03 "), 2, "no number of bytes"),
            (with("\n3 ", "\n+3 "), 2, "no number of bytes"),
            (with("\n3 ", "\n0 "), 2, "a chunk of 0 bytes"),
            (with("\n3 ", "\n16777217 "), 2, "a chunk of 16777217 bytes, there may be 16777216"),
            (with("\n3 ", "\n99999999999999999999 "), 2, "no number of bytes"),
            (with("\n3 b", "\n3 "), 2, "64 hexadecimal digits, this has 63"),
            (with("\n3 b", "\n3  b"), 2, "' ' is not a hexadecimal digit"),
            (with("\n2 ", "\n\n2 "), 3, "not two words"),
        ] {
            let error = ChunkList::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.why.contains(why), "{text:?}: {error}");
        }
        assert!(ChunkList::parse(b"bootjack-chunks 1\n\xff\n").is_err());
    }

    #[test]
    fn only_the_right_chunks_in_order_make_the_seal_hold() {
        let (list, _) = two();
        let digest = list.sha256().clone();
        let mut gate = Gate::new(Arc::new(list));
        let seal = gate.seal();
        let pass = |gate: &mut Gate, pieces: &[&[u8]]| {
            pieces.iter().for_each(|piece| gate.see(piece));
            gate.pass()
        };
        assert_eq!(pass(&mut gate, &[b"de"]).unwrap_err().got, Sha256::of(b"de"));
        gate.see(b"half of it");
        gate.forget();
        pass(&mut gate, &[b"a", b"bc"]).unwrap();
        assert!(pass(&mut gate, &[b"dE"]).is_err() && !seal.holds(&digest));
        assert_eq!(gate.number(), (2, 2));
        pass(&mut gate, &[b"de"]).unwrap();
        assert!(seal.holds(&digest) && !seal.holds(&Sha256::of(b"another list")));
        assert!(gate.pass().is_err(), "nothing comes after the last");
    }
}
