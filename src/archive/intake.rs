//! Threads joined by bounded queues of reused buffers: one reads, one decodes, the calling one takes the bytes apart.
//! Whoever writes them shares the buffers. Own memory is a constant, whatever the archive's size. What the bytes mean is
//! `tar`'s and `cpio`'s, writing `tree`'s and `writers`'.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;
use std::time::Duration;

use super::ahead::{Ahead, Failure};
use super::decode::{self, Opened, Plain};
use super::error::UnpackError;
use super::members::Members;
use super::shared::{Shared, Slice};
use super::side::{self, JOBS, Next, Side};
use super::sniff::{Compression, Format, HEAD};
use super::{Input, Progress};
use crate::privileges::Part;

/// Bytes of one buffer, and how many there are: large enough that threads wake each other seldom, and as many as the
/// writers' queue (`writers`) and either side's running ahead need. From 64 KiB to 512 KiB less and less was spent.
pub(super) const BUFFER: usize = 512 << 10;
const BUFFERS: usize = 16;

/// How long nothing may arrive before the caller is asked again.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// Asks the caller whether to go on, and tells how far things are.
pub(super) struct Ticker<'a> {
    progress: &'a dyn Fn(Progress) -> ControlFlow<()>,
    now: Cell<Progress>,
}

impl<'a> Ticker<'a> {
    pub(super) fn new(progress: &'a dyn Fn(Progress) -> ControlFlow<()>) -> Self {
        Self { progress, now: Cell::default() }
    }

    /// Notes how far things are; the caller hears of it at the next tick.
    pub(super) fn set(&self, now: Progress) {
        self.now.set(now);
    }

    pub(super) fn tick(&self) -> Result<(), UnpackError> {
        match (self.progress)(self.now.get()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(UnpackError::Stopped),
        }
    }
}

/// What the decoding thread sends.
enum Piece {
    /// What the archive is and how it is compressed; the first thing said.
    Opened(Format, Compression),
    /// A buffer and how many of its bytes count.
    Data(Vec<u8>, usize),
    /// The same, when somebody else is done with it.
    Coming(Receiver<side::Done>),
    /// Every byte of the source was read.
    End,
    Failed(UnpackError),
}

/// Runs `consume` on the members of `input` while one thread reads it, another shows it to who wants to see it, and a third
/// decodes it. With a `copy` the plain bytes are written there too. What is made of them takes at most `room` bytes of memory.
pub(super) fn through<'a, T>(
    input: Input<'_>,
    room: u64,
    ticker: &'a Ticker<'a>,
    copy: Option<&'a mut dyn Write>,
    consume: impl FnOnce(&mut Members<'a>) -> Result<T, UnpackError>,
) -> Result<T, UnpackError> {
    let (full, pieces) = sync_channel(BUFFERS);
    let (free, empties) = channel();
    for _ in 0..BUFFERS {
        // Cannot fail: the receiver is right here.
        let _ = free.send(vec![0; BUFFER]);
    }
    std::thread::scope(|scope| {
        let (source, failure) = Ahead::start(scope, input).map_err(not_started)?;
        let out = Out { full, empties };
        let produce = move || produce(scope, source, room, &failure, &out);
        let spawned = std::thread::Builder::new().name("decode".into()).spawn_scoped(scope, produce);
        spawned.map_err(not_started)?;
        // Moved in, so that they are dropped, and the thread let go, before the scope waits for it.
        let mut intake = Intake::new(pieces, free, ticker, copy);
        let (format, compression) = intake.opened()?;
        consume(&mut Members::new(intake, format, compression))
    })
}

pub(super) fn not_started(error: io::Error) -> UnpackError {
    UnpackError::Read(io::Error::new(error.kind(), format!("starting a thread: {error}")))
}

/// Everybody waits for the decoder: where threads are more than cores, it goes first. Nobody else of this process has
/// to wait long.
const SOONER: i32 = 5;

/// The decoding thread's end of the queue: what it sends, and buffers that come back.
struct Out {
    full: SyncSender<Piece>,
    empties: Receiver<Vec<u8>>,
}

/// Nobody listens any more.
struct Unheard;

impl Out {
    fn send(&self, piece: Piece) -> Result<(), Unheard> {
        self.full.send(piece).map_err(|_| Unheard)
    }

    fn empty(&self) -> Result<Vec<u8>, Unheard> {
        self.empties.recv().map_err(|_| Unheard)
    }
}

/// Why the decoding thread ends before the source does.
enum Over {
    Unheard,
    Failed(UnpackError),
}

impl From<Unheard> for Over {
    fn from(_: Unheard) -> Self {
        Self::Unheard
    }
}

impl From<UnpackError> for Over {
    fn from(error: UnpackError) -> Self {
        Self::Failed(error)
    }
}

/// The decoding thread. It ends when the source does, when something fails, or when nobody listens any more.
fn produce<'scope>(scope: &'scope Scope<'scope, '_>, source: Ahead, room: u64, failure: &Failure, out: &Out) {
    let now = rustix::process::getpriority_process(None);
    if let Err(e) = now.and_then(|now| rustix::process::setpriority_process(None, now - SOONER)) {
        // Not root: as it comes.
        log::debug!("the decoder goes no sooner than others: {e}");
    }
    Part::Plain.keep();
    let last = match decode_all(scope, source, room, failure, out) {
        Ok(()) => Piece::End,
        Err(Over::Unheard) => return,
        Err(Over::Failed(error)) => Piece::Failed(error),
    };
    // A failed send means that the other side is gone and has its own reason.
    let _ = out.send(last);
}

fn decode_all<'scope>(
    scope: &'scope Scope<'scope, '_>,
    mut source: Ahead,
    room: u64,
    failure: &Failure,
    out: &Out,
) -> Result<(), Over> {
    let threads = side::worth_having(room);
    if threads > 1 && side::is_for_us(&mut source).map_err(|e| failure.explain(e, Compression::None))? {
        let side = Side::start(scope, threads, &source).map_err(not_started)?;
        return side_by_side(&side, source, failure, out);
    }
    let Opened { format, compression, bytes } = decode::open(source, failure)?;
    out.send(Piece::Opened(format, compression))?;
    match bytes {
        Plain::Raw(source) => pass_on(source, failure, out),
        Plain::Decoded(plain) => pour(plain, compression, failure, out, Vec::new()),
    }
}

/// Nothing to decode: the source's buffers go on as they are, and empty ones take their place.
fn pass_on(mut source: Ahead, failure: &Failure, out: &Out) -> Result<(), Over> {
    while let Some((buffer, filled)) = source.buffer().map_err(|e| failure.explain(e, Compression::None))? {
        out.send(Piece::Data(buffer, filled))?;
        source.give(out.empty()?);
    }
    Ok(())
}

/// Decodes one buffer after the other, into those that are at hand and into those that come back.
fn pour(
    mut plain: impl Read,
    compression: Compression,
    failure: &Failure,
    out: &Out,
    mut at_hand: Vec<Vec<u8>>,
) -> Result<(), Over> {
    loop {
        let mut buffer = at_hand.pop().map_or_else(|| out.empty(), Ok)?;
        let (filled, outcome) = fill(&mut plain, &mut buffer);
        let full = filled == buffer.len();
        if filled > 0 {
            out.send(Piece::Data(buffer, filled))?;
        }
        // What came before the error is handed on first: it names the member that was cut.
        outcome.map_err(|e| failure.explain(e, compression))?;
        if !full {
            return Ok(());
        }
    }
}

/// Small frames of zstd, for as long as they are such: many of them at once.
fn side_by_side(side: &Side, mut source: Ahead, failure: &Failure, out: &Out) -> Result<(), Over> {
    let zstd = Compression::Zstd;
    let explain = |e| failure.explain(e, zstd);
    // A few large buffers in place of many.
    let mut at_hand = Vec::with_capacity(BUFFERS);
    for _ in 0..BUFFERS {
        at_hand.push(out.empty()?);
    }
    at_hand.truncate(JOBS);
    let mut is_known = false;
    loop {
        let plain = at_hand.pop().map_or_else(|| out.empty(), Ok)?;
        match side.next(&mut source, plain).map_err(explain)? {
            Next::Coming(done) if is_known => out.send(Piece::Coming(done))?,
            Next::Coming(done) => {
                let (buffer, filled) = done.recv().unwrap_or_else(|_| Err(side::gone())).map_err(explain)?;
                out.send(Piece::Opened(decode::format(&buffer[..filled.min(HEAD)], zstd)?, zstd))?;
                out.send(Piece::Data(buffer, filled))?;
                is_known = true;
            }
            // One after the other from here on. A file may keep some of these until it is whole: none may be small.
            Next::Other(plain) => {
                at_hand.push(plain);
                at_hand.iter_mut().for_each(side::make_large);
                return pour(decode::zstd(source), zstd, failure, out, at_hand);
            }
        }
    }
}

/// Fills a buffer; fewer bytes only at the end or before an error.
fn fill(plain: &mut dyn Read, buffer: &mut [u8]) -> (usize, io::Result<()>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match plain.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) => return (filled, Err(e)),
        }
    }
    (filled, Ok(()))
}

/// The calling thread's end of the queue: bytes that can be looked at before they are taken.
pub(super) struct Intake<'a> {
    pieces: Receiver<Piece>,
    free: Sender<Vec<u8>>,
    ticker: &'a Ticker<'a>,
    copy: Option<&'a mut dyn Write>,
    /// What is taken now is not copied.
    paused: bool,
    /// The buffer at hand, and which of its bytes are still to be taken.
    buffer: Arc<Shared>,
    from: usize,
    to: usize,
    /// Bytes that come before `buffer`: where a look went across two buffers.
    carry: Vec<u8>,
    carry_from: usize,
    ended: bool,
    taken: u64,
}

impl<'a> Intake<'a> {
    fn new(
        pieces: Receiver<Piece>,
        free: Sender<Vec<u8>>,
        ticker: &'a Ticker<'a>,
        copy: Option<&'a mut dyn Write>,
    ) -> Self {
        let buffer = Shared::new(Vec::new(), &free);
        Self {
            pieces,
            free,
            ticker,
            copy,
            paused: false,
            buffer,
            from: 0,
            to: 0,
            carry: Vec::new(),
            carry_from: 0,
            ended: false,
            taken: 0,
        }
    }

    fn opened(&mut self) -> Result<(Format, Compression), UnpackError> {
        match self.receive()? {
            Piece::Opened(format, compression) => Ok((format, compression)),
            Piece::Failed(error) => Err(error),
            Piece::Data(..) | Piece::Coming(_) | Piece::End => {
                Err(UnpackError::archive("the decoder ended before it began"))
            }
        }
    }

    /// Bytes taken so far: the offset in the archive.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The next bytes, at least `want` of them unless the archive ends before.
    pub(super) fn peek(&mut self, want: usize) -> Result<&[u8], UnpackError> {
        if self.carry_from == self.carry.len() && self.to - self.from >= want {
            return Ok(&self.buffer.bytes[self.from..self.to]);
        }
        self.carry.drain(..self.carry_from);
        self.carry_from = 0;
        while self.carry.len() < want {
            let n = (want - self.carry.len()).min(self.to - self.from);
            self.carry.extend_from_slice(&self.buffer.bytes[self.from..self.from + n]);
            self.from += n;
            if self.carry.len() < want && !self.refill()? {
                break;
            }
        }
        Ok(&self.carry)
    }

    /// Takes `n` bytes that were peeked at.
    pub(super) fn consume(&mut self, n: usize) -> Result<(), UnpackError> {
        let carried = n.min(self.carry.len() - self.carry_from);
        if !self.paused {
            copied(&mut self.copy, &self.carry[self.carry_from..self.carry_from + carried])?;
            copied(&mut self.copy, &self.buffer.bytes[self.from..self.from + n - carried])?;
        }
        self.carry_from += carried;
        self.from += n - carried;
        self.taken += n as u64;
        Ok(())
    }

    /// What is taken from now on is not copied; who asked for a copy writes one himself, or it is at its end.
    pub(super) fn stop_copying(&mut self) -> Option<&'a mut dyn Write> {
        self.copy.take()
    }

    /// Whether what is taken from now on is left out of the copy.
    pub(super) fn pause_copying(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Takes at most `max` bytes, all that are at hand; none only at the end of the archive.
    pub(super) fn take(&mut self, max: u64) -> Result<&[u8], UnpackError> {
        let limit = usize::try_from(max).unwrap_or(usize::MAX);
        if self.carry_from < self.carry.len() {
            let start = self.carry_from;
            let n = limit.min(self.carry.len() - start);
            self.carry_from += n;
            self.taken += n as u64;
            if !self.paused {
                copied(&mut self.copy, &self.carry[start..start + n])?;
            }
            return Ok(&self.carry[start..start + n]);
        }
        if self.from == self.to {
            self.refill()?;
        }
        let start = self.from;
        let n = limit.min(self.to - start);
        self.from += n;
        self.taken += n as u64;
        let bytes = &self.buffer.bytes[start..start + n];
        if !self.paused {
            copied(&mut self.copy, bytes)?;
        }
        Ok(bytes)
    }

    /// The same, to be kept: the buffer is shared, not copied.
    pub(super) fn take_shared(&mut self, max: u64) -> Result<Slice, UnpackError> {
        if self.carry_from < self.carry.len() {
            return self.take(max).map(|bytes| Slice::Own(bytes.to_vec()));
        }
        let n = self.take(max)?.len();
        Ok(Slice::Part(Arc::clone(&self.buffer), self.from - n..self.from))
    }

    /// The next buffer, once this one is used up; `false` at the end.
    fn refill(&mut self) -> Result<bool, UnpackError> {
        if self.ended {
            return Ok(false);
        }
        self.buffer = Shared::new(Vec::new(), &self.free);
        (self.from, self.to) = (0, 0);
        let (buffer, filled) = match self.receive()? {
            Piece::Data(buffer, filled) => (buffer, filled),
            Piece::Coming(done) => self.wait(&done)?.map_err(|e| decode::damaged(&e, Compression::Zstd))?,
            Piece::Failed(error) => return Err(error),
            Piece::End | Piece::Opened(..) => {
                self.ended = true;
                return Ok(false);
            }
        };
        self.buffer = Shared::new(buffer, &self.free);
        self.to = filled;
        self.ticker.tick()?;
        Ok(true)
    }

    fn receive(&self) -> Result<Piece, UnpackError> {
        self.wait(&self.pieces)
    }

    fn wait<T>(&self, what: &Receiver<T>) -> Result<T, UnpackError> {
        loop {
            match what.recv_timeout(TICK) {
                Ok(piece) => return Ok(piece),
                Err(RecvTimeoutError::Timeout) => self.ticker.tick()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(UnpackError::archive("the decoding thread is gone"));
                }
            }
        }
    }
}

/// The plain bytes as they are taken, for who wants them too.
fn copied(copy: &mut Option<&mut dyn Write>, bytes: &[u8]) -> Result<(), UnpackError> {
    let Some(copy) = copy else { return Ok(()) };
    copy.write_all(bytes).map_err(UnpackError::new_archive)
}
