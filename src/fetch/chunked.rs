//! A stream whose chunks are held against their digests before a byte of them is handed out. A bad one comes from the next
//! mirror; what was right is never fetched again, and a broken connection is gone on with in the middle of a chunk. What a
//! chunk list is, `verify` knows; how the next mirror is opened, `stream`.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;

use super::FetchError;
use super::parallel::{Parallel, Taken};
use super::stream::Stream;
use crate::verify::chunks::{Chunk, Gate, WrongChunk};
use crate::verify::{ChunkList, Seal, Sha256};

pub(super) struct Chunked<'a> {
    stream: Stream<'a>,
    gate: Gate,
    /// The chunk that passed last, and how much of it was handed out.
    chunk: Vec<u8>,
    from: usize,
    blame: Blame,
    list: Arc<ChunkList>,
    /// What fetches other chunks meanwhile, where the server sends parts.
    parallel: Option<Parallel>,
    /// Whose this chunk is, if others brought it.
    brought: Option<usize>,
}

/// Who had which wrong bytes for the chunk that is fetched.
#[derive(Default)]
struct Blame {
    got: HashMap<usize, Sha256>,
    /// Put out for it: for the chunks after this one they are as good as others.
    put_out: Vec<usize>,
    /// Its bytes came from several answers.
    mixed: bool,
    /// They turned out wrong: all of it comes from one.
    unmixable: bool,
}

impl<'a> Chunked<'a> {
    pub(super) fn new(stream: Stream<'a>, list: Arc<ChunkList>) -> Self {
        let gate = Gate::new(list.clone());
        let (chunk, blame) = (Vec::new(), Blame::default());
        Self { stream, gate, chunk, from: 0, blame, list, parallel: None, brought: None }
    }

    pub(super) fn seal(&self) -> Seal {
        self.gate.seal()
    }

    /// Fetches the next chunk until it is the right one; `false` after the last.
    fn next(&mut self) -> Result<bool, FetchError> {
        let Some(wanted) = self.gate.expects().cloned() else { return Ok(false) };
        self.from = 0;
        self.brought = self.take_ahead(&wanted)?;
        loop {
            if self.brought.is_none() {
                self.fill(&wanted)?;
            }
            let Err(wrong) = self.gate.pass() else { break };
            self.refetch(&wanted, &wrong)?;
        }
        let Blame { put_out, .. } = std::mem::take(&mut self.blame);
        self.stream.mirrors().take_back(put_out);
        Ok(true)
    }

    /// The chunk as others brought it, and from which mirror; nothing if it is the stream's to fetch.
    fn take_ahead(&mut self, wanted: &Chunk) -> Result<Option<usize>, FetchError> {
        let Some(ends) = self.stream.ends() else {
            // All that follows comes of this answer.
            self.parallel = None;
            return Ok(None);
        };
        let (mirrors, fetcher, mirror) = (self.stream.mirrors(), self.stream.fetcher(), self.stream.mirror());
        let parallel = self.parallel.get_or_insert_with(|| {
            Parallel::new(self.list.clone(), self.stream.connections(), mirrors, fetcher)
        });
        let number = self.gate.number().0 - 1;
        let own = usize::from(wanted.offset < ends && !parallel.has(number));
        parallel.keep_up(mirrors, fetcher, mirror, number + own, own);
        if own > 0 {
            return Ok(None);
        }
        match parallel.take(number, wanted.offset, self.stream.flow(), mirrors)? {
            Taken::Here { mirror, bytes, waited } => {
                self.gate.see(&bytes);
                self.chunk = bytes;
                self.stream.passed_by(wanted.range().end, waited);
                self.stream.mind_the_pace()?;
                Ok(Some(mirror))
            }
            Taken::Nobody(why) => {
                self.stream.go_back_to(wanted.offset);
                let why = match why {
                    FetchError::StartOver(text) => {
                        mirrors.knows_no_ranges(mirror);
                        FetchError::transient(text)
                    }
                    why => why,
                };
                self.stream.go_on(why, false)?;
                Ok(None)
            }
        }
    }

    /// All bytes of a chunk, whatever breaks in between.
    fn fill(&mut self, wanted: &Chunk) -> Result<(), FetchError> {
        self.chunk.resize(wanted.length as usize, 0);
        let mut have = 0;
        while have < self.chunk.len() {
            let failure = match self.stream.once(&mut self.chunk[have..]) {
                Ok(0) => self.ended(wanted.offset + have as u64),
                Ok(n) => {
                    self.gate.see(&self.chunk[have..have + n]);
                    have += n;
                    let ahead = self.parallel.as_ref().map_or(0, Parallel::ahead);
                    self.stream.flow().set_arrived(wanted.offset + have as u64 + ahead);
                    let here = self.stream.mirror();
                    self.stream.mind_the_pace()?;
                    self.blame.mixed |= have < self.chunk.len() && self.stream.mirror() != here;
                    continue;
                }
                Err(failure) => failure,
            };
            if self.blame.unmixable {
                have = 0;
                self.gate.forget();
                self.stream.go_back_to(wanted.offset);
            }
            self.blame.mixed |= have > 0;
            self.stream.go_on(failure, false)?;
        }
        Ok(())
    }

    fn ended(&self, at: u64) -> FetchError {
        FetchError::transient(format!("{}: the body ended at byte {at}", self.stream.location()))
    }

    /// Whoever sent a wrong chunk is asked again, as bits turn over on the way, too; who sends the same wrong bytes twice has
    /// others than the catalog means.
    fn refetch(&mut self, wanted: &Chunk, wrong: &WrongChunk) -> Result<(), FetchError> {
        let (number, all) = self.gate.number();
        let WrongChunk { expected, got } = wrong;
        let (from, to) = (wanted.offset, wanted.range().end);
        let mirror = self.stream.mirror();
        let other = self.brought.take().filter(|&other| other != mirror);
        let at = other.map_or(self.stream.location(), |other| self.stream.mirrors().location(other));
        let text = format!(
            "{at}: chunk {number} of {all} (bytes {from} to {to}): SHA-256 does not match: expected {expected}, got {got}"
        );
        self.stream.go_back_to(from);
        if other.is_some() {
            return self.stream.ask_here(text);
        }
        let transient = FetchError::transient;
        if std::mem::take(&mut self.blame.mixed) {
            self.blame.unmixable = true;
            return self.stream.go_on(transient(text + ", of bytes from several answers"), true);
        }
        let again = self.blame.got.insert(mirror, got.clone()).as_ref() == Some(got);
        // What a disk has, it has.
        if again || self.stream.has_to_be_looked_for(mirror) {
            self.blame.put_out.push(mirror);
            return self.stream.go_on(FetchError::Permanent(text), true);
        }
        self.stream.go_on(transient(text), true)
    }
}

impl Read for Chunked<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.stream.flow().broken() {
            return Err(error);
        }
        if self.from == self.chunk.len() && !buf.is_empty() {
            match self.next() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(over) => return Err(self.stream.flow().fail(over, ErrorKind::Other)),
            }
        }
        let n = buf.len().min(self.chunk.len() - self.from);
        buf[..n].copy_from_slice(&self.chunk[self.from..self.from + n]);
        self.from += n;
        self.stream.flow().passed(n);
        Ok(n)
    }
}
