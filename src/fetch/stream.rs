//! The bytes of one artifact as one stream, over all its mirrors: where a connection breaks, the next try goes on in the
//! middle, at this mirror or at another, and whoever reads does not notice. That is done only where it is sure, or where a
//! digest will tell, that the bytes belong together; else the reader ends with [`FetchError::StartOver`]. Checking chunk by
//! chunk is `chunked`'s, which mirror is next `mirrors`'.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chunked::Chunked;
use super::mirrors::{Failed, Mirrors};
use super::range::At;
use super::slow::Slow;
use super::{FetchError, Fetcher, Flow, Location, Source};
use crate::verify::ChunkList;

/// Bytes that are read at once to be passed over.
const PASSED_OVER: usize = 256 << 10;

/// What is known of an artifact before it comes.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// A digest over all of it will be compared: bytes of several answers may be put together.
    pub digest: bool,
    /// Its bytes, exactly.
    pub size: Option<u64>,
    /// Every chunk is held against its own digest before a byte of it is handed out.
    pub chunks: Option<Arc<ChunkList>>,
    /// So many connections at once, where there are chunks and the server sends parts.
    pub connections: u8,
}

impl Terms {
    /// Where an answer of this mirror that begins with byte `start` is to end, if that is before the whole does: with the chunk.
    fn part(&self, mirrors: &Mirrors<'_>, mirror: usize, start: u64) -> Option<u64> {
        let list = self.chunks.as_ref().filter(|_| self.connections > 1)?;
        let sends_parts = matches!(mirrors.location(mirror), Location::Http(_));
        let end = list.at(start)?.range().end;
        (sends_parts && mirrors.may_know_ranges(mirror) && end < list.total()).then_some(end)
    }
}

/// A server may send less than it was asked for, and is asked for the rest; but not byte for byte.
pub(super) const LEAST_PART: u64 = 64 << 10;

/// The answer that is read, and where it stands in the whole.
pub(super) struct Stream<'a> {
    fetcher: &'a Fetcher,
    mirrors: &'a Mirrors<'a>,
    terms: Terms,
    source: Source<'static>,
    /// Whose it is.
    mirror: usize,
    /// Which byte of the whole comes next, and which came first of this answer.
    at: u64,
    since: u64,
    /// Of the whole, as the first answer said.
    length: Option<u64>,
    flow: Flow,
    slow: Slow,
}

impl<'a> Stream<'a> {
    /// Opens the mirror that is to be tried.
    pub(super) fn open(
        fetcher: &'a Fetcher,
        mirrors: &'a Mirrors<'a>,
        terms: &Terms,
    ) -> Result<Source<'a>, FetchError> {
        mirrors.unmix();
        let mirror = mirrors.current();
        let source = match mirrors.take_kept() {
            Some(kept) => kept,
            None => Self::first(fetcher, mirrors, terms)?,
        };
        let flow = Flow::default();
        flow.stand_before(&source.flow);
        let (length, location, version) = (source.length, source.location.clone(), source.version.clone());
        let (slow, terms, flows) = (Slow::new(fetcher.config.pace), terms.clone(), flow.clone());
        let chunks = terms.chunks.clone();
        let stream =
            Self { fetcher, mirrors, terms, source, mirror, at: 0, since: 0, length, flow: flows, slow };
        let mut seal = None;
        let reader: Box<dyn Read + Send + 'a> = match chunks {
            None => Box::new(stream),
            Some(list) => {
                let chunked = Chunked::new(stream, list);
                seal = Some(chunked.seal());
                Box::new(chunked)
            }
        };
        Ok(Source { reader, length, location, flow, start: 0, end: None, version, seal })
    }

    /// The first answer: of the first chunk alone, where others come over other connections.
    fn first(fetcher: &Fetcher, mirrors: &Mirrors<'_>, terms: &Terms) -> Result<Source<'static>, FetchError> {
        let mirror = mirrors.current();
        let open = |end| {
            let at = At { end, ..At::default() };
            fetcher.open_at(mirrors.location(mirror), &at, mirrors.timing(), mirrors.on())
        };
        let Some(end) = terms.part(mirrors, mirror, 0) else { return open(None) };
        let (why, source) = match open(Some(end)) {
            Ok(source) if source.end.is_some() => return Ok(source),
            Ok(source) => ("it sends everything".to_owned(), Ok(source)),
            Err(FetchError::StartOver(why)) => (why, open(None)),
            Err(other) => return Err(other),
        };
        mirrors.knows_no_ranges(mirror);
        log::info!("{}: asked for a part: {why}: over one connection", mirrors.location(mirror));
        source
    }

    pub(super) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Whose bytes are read now.
    pub(super) fn mirror(&self) -> usize {
        self.mirror
    }

    pub(super) fn mirrors(&self) -> &'a Mirrors<'a> {
        self.mirrors
    }

    pub(super) fn location(&self) -> &Location {
        &self.source.location
    }

    pub(super) fn fetcher(&self) -> &'a Fetcher {
        self.fetcher
    }

    pub(super) fn connections(&self) -> u8 {
        self.terms.connections
    }

    /// The byte behind the last that comes of this answer, if others are to bring what follows.
    pub(super) fn ends(&self) -> Option<u64> {
        self.source.end
    }

    /// Others brought this chunk from the mirror, and it was waited for so long: the answer is of no more use.
    pub(super) fn passed_by(&mut self, until: u64, waited: Duration) {
        self.slow.note(usize::try_from(until.saturating_sub(self.at)).unwrap_or(usize::MAX), waited);
        (self.at, self.source.reader) = (until, Box::new(io::empty()));
    }

    /// What another mirror had here is wrong: this one is asked, which is not to blame.
    ///
    /// # Errors
    /// As [`Stream::go_on`].
    pub(super) fn ask_here(&mut self, why: String) -> Result<(), FetchError> {
        self.mirrors.leave(why, self.mirror, self.at)?;
        match self.reopen(self.mirror, Forced::Yes) {
            Err(failure @ (FetchError::Transient { .. } | FetchError::Permanent(_))) => {
                self.go_on(failure, false)
            }
            done => done,
        }
    }

    /// The next try begins with this byte.
    pub(super) fn go_back_to(&mut self, at: u64) {
        self.at = at;
    }

    /// One read of the answer; nothing only at the end of the whole.
    ///
    /// # Errors
    /// What broke it: nothing more comes of it before [`Stream::go_on`].
    pub(super) fn once(&mut self, buf: &mut [u8]) -> Result<usize, FetchError> {
        let begun = Instant::now();
        loop {
            match self.source.reader.read(buf) {
                Ok(0) if self.is_a_part() && !buf.is_empty() => self.next_part()?,
                Ok(n) => {
                    self.at += n as u64;
                    self.slow.note(n, begun.elapsed());
                    return Ok(n);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.source.failure(&e)),
            }
        }
    }

    /// A server may send less than was asked for (RFC 9110, section 15.3.7).
    fn is_a_part(&self) -> bool {
        // An answer with all of it ends where it ends; one in the middle need not say how much there is.
        let known = self.since > 0 || self.source.length.is_some();
        known && self.has_more() && self.at > self.since
    }

    /// Whether bytes are known to be missing.
    fn has_more(&self) -> bool {
        let length = self.source.length.or(self.length).or(self.terms.size);
        length.is_some_and(|length| self.at < length)
    }

    fn next_part(&mut self) -> Result<(), FetchError> {
        let came = self.at - self.since;
        if came < LEAST_PART {
            let text = format!("{}: it sends no more than {came} bytes at a time", self.source.location);
            return Err(FetchError::transient(text));
        }
        self.reopen(self.mirror, Forced::Yes)
    }

    /// Waits for the next try, and opens what it is to read, until there is something to be read.
    ///
    /// # Errors
    /// [`FetchError::StartOver`], [`FetchError::GaveUp`], [`FetchError::Stopped`].
    pub(super) fn go_on(&mut self, mut error: FetchError, mut wrong_bytes: bool) -> Result<(), FetchError> {
        loop {
            let (from, stopped) = (|mirror| self.goes_on_at(mirror), || self.flow.stopped());
            let failed = Failed { error, reached: self.at, wrong_bytes, from: &from, stopped: &stopped };
            self.mirrors.failed(failed)?;
            match self.reopen(self.mirrors.current(), Forced::Yes) {
                Ok(()) => return Ok(()),
                Err(again @ (FetchError::Transient { .. } | FetchError::Permanent(_))) => {
                    (error, wrong_bytes) = (again, false);
                }
                Err(over) => return Err(over),
            }
        }
    }

    /// Looks whether the mirror is slow, and turns to another one, if that can be read from here on. Nobody is forced to: what
    /// cannot is left alone, and this one read on.
    ///
    /// # Errors
    /// [`FetchError::Stopped`].
    pub(super) fn mind_the_pace(&mut self) -> Result<(), FetchError> {
        if !self.mirrors.are_many() || !self.has_more() || !self.slow.is_slow() {
            return Ok(());
        }
        let here = self.mirror;
        let ready = self.mirrors.ready().into_iter().filter(|&mirror| self.can_turn_to(mirror));
        let Some((to, why)) = self.slow.better(here, ready) else { return Ok(()) };
        let why = format!("{}: {why}", self.source.location);
        self.slow.leaves(here, to);
        self.mirrors.leave(why, to, self.at)?;
        match self.reopen(to, Forced::No) {
            Ok(()) => Ok(()),
            Err(FetchError::Stopped) => Err(FetchError::Stopped),
            Err(why) => {
                self.slow.is_no_better(to);
                self.flow.stand_before(&self.source.flow);
                self.mirrors.stay_with(here, why.to_string(), self.at)
            }
        }
    }

    /// Whether there is hope that nothing is lost by it.
    fn can_turn_to(&self, mirror: usize) -> bool {
        let location = self.mirrors.location(mirror);
        let knows = !matches!(location, Location::Ftp(_) | Location::Tftp(_));
        knows && self.mirrors.may_know_ranges(mirror) && self.goes_on_at(mirror) == self.at
    }

    /// From which byte on a mirror will be asked: from where this stands, or it has to be the first.
    fn goes_on_at(&self, mirror: usize) -> u64 {
        if self.has_to_be_looked_for(mirror) {
            return 0;
        }
        // A digest finds out whoever calls other bytes by the same name; once it did, no name is believed.
        let belongs = match self.terms.digest {
            true => self.mirrors.may_mix(),
            false => mirror == self.mirror && self.source.version.strong().is_some(),
        };
        let goes_on = self.mirrors.may_know_ranges(mirror) && belongs;
        if self.terms.chunks.is_some() || goes_on { self.at } else { 0 }
    }

    /// Disks are looked for and put together, by programs that may do more than a thread that reads (`privileges`).
    pub(super) fn has_to_be_looked_for(&self, mirror: usize) -> bool {
        matches!(self.mirrors.location(mirror), Location::Volume { .. })
    }

    /// Opens a mirror where this stands.
    fn reopen(&mut self, mirror: usize, forced: Forced) -> Result<(), FetchError> {
        let location = self.mirrors.location(mirror);
        if self.has_to_be_looked_for(mirror) {
            return Err(FetchError::StartOver(format!("{location}: a disk is read from its first byte on")));
        }
        if self.goes_on_at(mirror) != self.at {
            let text = format!("{location}: nothing says that its bytes are still the same: starting over");
            return Err(FetchError::StartOver(text));
        }
        let version = self.source.version.clone();
        let unchanged = (mirror == self.mirror).then_some(&version);
        let start = if self.mirrors.may_know_ranges(mirror) { self.at } else { 0 };
        let at = At { start, end: self.terms.part(self.mirrors, mirror, start), unchanged };
        let opened = self.fetcher.open_at(location, &at, self.mirrors.timing(), self.mirrors.on());
        match opened {
            Err(FetchError::StartOver(why)) => {
                self.mirrors.knows_no_ranges(mirror);
                match self.terms.chunks {
                    // It is asked for everything, and what is there already passed over.
                    Some(_) if start > 0 && forced == Forced::Yes => self.reopen(mirror, forced),
                    Some(_) => Err(FetchError::Permanent(why)),
                    None => Err(FetchError::StartOver(why)),
                }
            }
            opened => self.take(opened?, mirror, forced),
        }
    }

    /// Reads on in this answer, if it fits.
    fn take(&mut self, mut source: Source<'static>, mirror: usize, forced: Forced) -> Result<(), FetchError> {
        let location = &source.location;
        let wanted = self.terms.chunks.as_ref().map(|list| list.total()).or(self.terms.size);
        if let (Some(wanted), Some(has)) = (wanted, source.length)
            && wanted != has
        {
            return Err(FetchError::Permanent(format!(
                "{location}: has {has} bytes, the catalog says {wanted}"
            )));
        }
        if forced == Forced::No && source.start != self.at {
            let text = format!("{location}: asked for byte {} on, it sends everything", self.at);
            return Err(FetchError::StartOver(text));
        }
        self.flow.stand_before(&source.flow);
        if self.terms.chunks.is_some() {
            pass_over(&mut source, self.at)?;
        } else if self.at > 0 {
            if let Err(why) = self.fits(&source, mirror) {
                let text = format!("{location}: {why}");
                if source.start == 0 {
                    self.mirrors.keep(source);
                }
                return Err(FetchError::StartOver(text));
            }
        } else {
            self.length = source.length;
        }
        // Not every answer says again what the first one did (RFC 9110, section 15.3.7).
        let old = &self.source.version;
        if mirror == self.mirror && source.version.strong().is_none() && old.is_confirmed_by(&source.version)
        {
            source.version = old.clone();
        }
        self.flow.set_place(&source.location);
        (self.source, self.mirror, self.since) = (source, mirror, self.at);
        Ok(())
    }

    /// Whether these bytes are the rest of those that came.
    fn fits(&self, source: &Source<'_>, mirror: usize) -> Result<(), String> {
        let changed = mirror == self.mirror && self.source.version.differs(&source.version);
        if changed {
            return Err("it was changed in between: starting over".into());
        }
        if source.start != self.at {
            self.mirrors.knows_no_ranges(mirror);
            return Err(format!("asked for byte {} on, it sends everything: starting over", self.at));
        }
        if let (Some(had), Some(has)) = (self.length, source.length)
            && had != has
        {
            return Err(format!("it has {has} bytes, those before were of {had}: starting over"));
        }
        // Nothing is left to come: no bytes that could be others'.
        let is_over = source.length == Some(self.at);
        let confirmed = mirror == self.mirror && self.source.version.is_confirmed_by(&source.version);
        match self.terms.digest {
            _ if is_over => Ok(()),
            true => {
                self.mirrors.mix();
                Ok(())
            }
            false if confirmed => Ok(()),
            false => Err("it does not say that it is still the same: starting over".into()),
        }
    }
}

/// Whether there is another way: a mirror that broke has to be left, one that is slow need not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Forced {
    Yes,
    No,
}

/// Reads what is there already.
fn pass_over(source: &mut Source<'_>, until: u64) -> Result<(), FetchError> {
    let mut left = until.saturating_sub(source.start);
    let mut buffer = if left > 0 { vec![0; PASSED_OVER] } else { Vec::new() };
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match source.reader.read(&mut buffer[..most]) {
            Ok(0) => {
                let text = format!("{}: the body ended before byte {until}", source.location);
                return Err(FetchError::Permanent(text));
            }
            Ok(n) => left -= n as u64,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(source.failure(&e)),
        }
    }
    Ok(())
}

impl Read for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.flow.broken() {
            return Err(error);
        }
        loop {
            let done = match self.once(buf) {
                Ok(n) => self.mind_the_pace().map(|()| Some(n)),
                Err(failure) => self.go_on(failure, false).map(|()| None),
            };
            match done {
                Ok(None) => {}
                Ok(Some(n)) => {
                    self.flow.passed(n);
                    return Ok(n);
                }
                Err(over) => return Err(self.flow.fail(over, ErrorKind::Other)),
            }
        }
    }
}
