//! Small zstd frames, as `pack` makes them, decoded side by side: a thread finds where each ends, others decode them, and
//! the order stays. Whatever else a zstd file may hold is `frames`' and `decode`'s, one after the other.

use std::io::{self, ErrorKind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::ahead::Ahead;
use super::frames::{self, Header};
use super::memory::Memory;
use super::shared::Slice;
use super::sniff::HEAD;
use crate::sys;

/// Plain bytes that are decoded at once: frames of together no more. A frame that is larger is not decoded here. `pack`
/// makes them as large as that.
pub(super) const JOB: usize = 4 << 20;

/// Buffers of that size. Three may be kept by files that are being written (`writers`), so that one is always on its way.
pub(super) const JOBS: usize = 4;

/// More threads than this would wait for buffers.
const MOST: usize = 2;

/// Buffers of the source beyond those it has: frames lie in them until they are decoded. Three jobs of frames that shrink to
/// a third, or one of frames that do not.
const AHEAD: usize = 8;

/// Threads that are worth having beside a tree of at most so many bytes. With one processor there is nothing to do side by
/// side, and in a small machine no memory for it.
pub(super) fn worth_having(tree: u64) -> usize {
    match std::thread::available_parallelism() {
        Ok(cores) if Memory::of_this_machine().has_room_beside(tree) => cores.get().min(MOST),
        _ => 1,
    }
}

/// What a job became: the buffer and how many of its bytes count.
pub(super) type Done = io::Result<(Vec<u8>, usize)>;

/// Frames, one after the other, as the source has them, and what they are decoded into.
struct Job {
    frames: Receiver<Slice>,
    plain: Vec<u8>,
    reply: SyncSender<Done>,
}

/// The threads that decode.
pub(super) struct Side {
    jobs: Sender<Job>,
}

impl Side {
    /// Starts at most so many. They end when this is gone; the scope waits for them.
    ///
    /// # Errors
    /// Of starting the first.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        threads: usize,
        source: &Ahead,
    ) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            let work = move || decode_all(&queue);
            match std::thread::Builder::new().name("decode".into()).spawn_scoped(scope, work) {
                Err(e) if number == 0 => return Err(e),
                // The system has no more to spare.
                _ => {}
            }
        }
        source.add(AHEAD);
        Ok(Self { jobs })
    }

    /// Has the next frames of `source` decoded into `plain`, as many as fit: what comes of it is received later. Nothing
    /// if what follows is no such frame; then none of it was taken.
    ///
    /// # Errors
    /// Of the source, and a frame that is damaged so that its end cannot be found.
    pub(super) fn next(&self, source: &mut Ahead, plain: Vec<u8>) -> io::Result<Next> {
        let mut left = JOB;
        let Some(mut header) = suitable(source, left)? else { return Ok(Next::Other(plain)) };
        let (to, frames) = channel();
        let (reply, done) = sync_channel(1);
        self.jobs.send(Job { frames, plain, reply }).map_err(|_| gone())?;
        let mut taking = Taking { source, to, last: None, bytes: 0 };
        loop {
            left -= header.content.unwrap_or(0) as usize;
            taking.frame(&header)?;
            // Frames with nothing in them may be many.
            let more = if taking.bytes < JOB { suitable(taking.source, left)? } else { None };
            match more {
                Some(next) => header = next,
                None => break,
            }
        }
        taking.hand_on(None)?;
        Ok(Next::Coming(done))
    }
}

/// Makes a buffer as large as a job; it comes back and stays so.
pub(super) fn make_large(plain: &mut Vec<u8>) {
    if plain.len() < JOB {
        *plain = sys::large_buffer(JOB);
    }
}

/// What follows in a source.
pub(super) enum Next {
    Coming(Receiver<Done>),
    /// Not a frame for this; the buffer is given back.
    Other(Vec<u8>),
}

pub(super) fn gone() -> io::Error {
    io::Error::other("a decoding thread is gone")
}

/// Whether a file begins with a frame that is decoded here. It is one of an archive: what is in it tells which.
///
/// # Errors
/// Of the source.
pub(super) fn is_for_us(source: &mut Ahead) -> io::Result<bool> {
    let found = suitable(source, JOB)?;
    Ok(found.is_some_and(|header| header.content.is_some_and(|n| n >= HEAD as u64)))
}

/// The header of the frame that follows, if it says how much is in it and that is no more than `most`. One that lies
/// across two buffers of the source is looked at all the same.
fn suitable(source: &mut Ahead, most: usize) -> io::Result<Option<Header>> {
    let bytes = source.look(frames::HEADER)?;
    let header = Header::read(bytes);
    Ok(header.filter(|header| header.content.is_some_and(|n| n <= most as u64)))
}

/// A job's frames on their way, while the source still brings them.
struct Taking<'a> {
    source: &'a mut Ahead,
    to: Sender<Slice>,
    /// What may still grow before it is handed on.
    last: Option<Slice>,
    bytes: usize,
}

impl Taking<'_> {
    /// Takes the frame whose header was read: up to and with its last block (RFC 8878, 3.1.1.2) and its checksum.
    fn frame(&mut self, header: &Header) -> io::Result<()> {
        self.take(header.length)?;
        loop {
            if self.bytes > MOST_BYTES {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "a frame that is larger than what is in it",
                ));
            }
            let [low, middle, high, ..] = *self.source.look(BLOCK_HEADER)? else { return Err(cut()) };
            let block = u32::from_le_bytes([low, middle, high, 0]);
            let (last, kind, size) = (block & 1 == 1, block >> 1 & 3, (block >> 3) as usize);
            let size = match kind {
                // One byte, so many times.
                1 => 1,
                0 | 2 if size <= BLOCK => size,
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "a block that cannot be")),
            };
            self.take(BLOCK_HEADER + size)?;
            if last {
                return self.take(if header.checksum { 4 } else { 0 });
            }
        }
    }

    fn take(&mut self, mut n: usize) -> io::Result<()> {
        while n > 0 {
            let part = self.source.take_shared(n)?;
            if part.is_empty() {
                return Err(cut());
            }
            n -= part.len();
            self.bytes += part.len();
            if !self.last.as_mut().is_some_and(|last| last.join(&part)) {
                self.hand_on(Some(part))?;
            }
        }
        Ok(())
    }

    /// Hands on what there is, to begin with what comes now.
    fn hand_on(&mut self, next: Option<Slice>) -> io::Result<()> {
        match std::mem::replace(&mut self.last, next) {
            Some(part) => self.to.send(part).map_err(|_| gone()),
            None => Ok(()),
        }
    }
}

fn cut() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "incomplete frame")
}

/// Bytes of a job's frames: what cannot be compressed grows by little, and a job ends with the frame that makes it as large
/// as [`JOB`]. More is no honest frame, but one of blocks with nothing in them.
const MOST_BYTES: usize = 2 * JOB + (JOB >> 4);

/// The largest block (RFC 8878, 3.1.1.2.4).
const BLOCK: usize = 128 << 10;

/// Bytes before each (RFC 8878, 3.1.1.2).
const BLOCK_HEADER: usize = 3;

/// A thread: until there are no more jobs.
fn decode_all(queue: &Mutex<Receiver<Job>>) {
    let mut context = None;
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { frames, plain, reply }) = job else { return };
        // Nobody waits for it when unpacking has failed elsewhere.
        let _ = reply.send(decode(&mut context, &frames, plain));
    }
}

/// Decodes the parts as they come.
fn decode(context: &mut Option<DCtx<'static>>, parts: &Receiver<Slice>, mut plain: Vec<u8>) -> Done {
    let context = match context {
        Some(context) => context,
        None => context.insert(new_context()?),
    };
    context.reset(ResetDirective::SessionOnly).map_err(frames::named)?;
    make_large(&mut plain);
    let mut out = OutBuffer::around(&mut plain[..]);
    let mut within = false;
    for part in parts {
        let mut bytes = InBuffer::around(&part[..]);
        while bytes.pos() < part.len() {
            within = context.decompress_stream(&mut out, &mut bytes).map_err(frames::named)? != 0;
        }
    }
    let filled = out.pos();
    if within { Err(cut()) } else { Ok((plain, filled)) }
}

/// One that decodes into the buffer it is given, with none of its own between: the buffer stays the same until the job is
/// done, and has room for all of it.
fn new_context() -> io::Result<DCtx<'static>> {
    let mut context = DCtx::try_create().ok_or_else(|| io::Error::from(ErrorKind::OutOfMemory))?;
    for parameter in [DParameter::StableOutBuffer(true), DParameter::WindowLogMax(frames::WINDOW_LOG)] {
        context.set_parameter(parameter).map_err(frames::named)?;
    }
    Ok(context)
}
