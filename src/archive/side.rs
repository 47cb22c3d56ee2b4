//! Small zstd frames, as `pack` makes them, decoded side by side: a thread finds where each ends, others decode them, and
//! the order stays. Whatever else a zstd file may hold is `frames`' and `decode`'s, one after the other.

use std::io::{self, BufRead, ErrorKind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use zstd::zstd_safe::DCtx;

use super::ahead::Ahead;
use super::frames::{self, Header};
use super::memory::Memory;
use super::sniff::HEAD;
use crate::sys;

/// Plain bytes that are decoded at once: frames of together no more. A frame that is larger is not decoded here. `pack`
/// makes them as large as that.
pub(super) const JOB: usize = 4 << 20;

/// Buffers of that size. Three may be kept by files that are being written (`writers`), so that one is always on its way.
pub(super) const JOBS: usize = 4;

/// More threads than this would wait for buffers.
const MOST: usize = 2;

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

/// Whole frames, one after the other, and what they are decoded into.
struct Job {
    frames: Vec<u8>,
    plain: Vec<u8>,
    reply: SyncSender<Done>,
}

/// The threads that decode, and buffers for frames to come.
pub(super) struct Side {
    jobs: Sender<Job>,
    /// They come back from the threads.
    used: Receiver<Vec<u8>>,
}

impl Side {
    /// Starts at most so many. They end when this is gone; the scope waits for them.
    ///
    /// # Errors
    /// Of starting the first.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, threads: usize) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let (done, used) = channel();
        let queue = Arc::new(Mutex::new(queue));
        // One for each thread, and one to be filled: what cannot be compressed is as large as what it becomes.
        for _ in 0..=threads {
            // Cannot fail: the receiver is right here.
            let _ = done.send(Vec::new());
        }
        for number in 0..threads {
            let (queue, done) = (Arc::clone(&queue), done.clone());
            let work = move || decode_all(&queue, &done);
            match std::thread::Builder::new().name("decode".into()).spawn_scoped(scope, work) {
                Err(e) if number == 0 => return Err(e),
                // The system has no more to spare.
                _ => {}
            }
        }
        Ok(Self { jobs, used })
    }

    /// Has the next frames of `source` decoded into `plain`, as many as fit: what comes of it is received later. Nothing
    /// if what follows is no such frame; then none of it was taken.
    ///
    /// # Errors
    /// Of the source, and a frame that is damaged so that its end cannot be found.
    pub(super) fn next(&self, source: &mut Ahead, plain: Vec<u8>) -> io::Result<Next> {
        let mut frames = self.used.recv().map_err(|_| gone())?;
        frames.clear();
        let mut left = JOB;
        // Frames with nothing in them may be many.
        while frames.len() < JOB
            && let Some(header) = suitable(source, left)?
        {
            left -= header.content.unwrap_or(0) as usize;
            take(source, &header, &mut frames)?;
        }
        if frames.is_empty() {
            return Ok(Next::Other(plain));
        }
        let (reply, done) = sync_channel(1);
        self.jobs.send(Job { frames, plain, reply }).map_err(|_| gone())?;
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

/// Takes the frame whose header was read: up to and with its last block (RFC 8878, 3.1.1.2) and its checksum.
fn take(source: &mut Ahead, header: &Header, frames: &mut Vec<u8>) -> io::Result<()> {
    copy(source, header.length, frames)?;
    loop {
        if frames.len() > MOST_BYTES {
            return Err(io::Error::new(ErrorKind::InvalidData, "a frame that is larger than what is in it"));
        }
        copy(source, 3, frames)?;
        let at = frames.len() - 3;
        let block = u32::from_le_bytes([frames[at], frames[at + 1], frames[at + 2], 0]);
        let (last, kind, size) = (block & 1 == 1, block >> 1 & 3, (block >> 3) as usize);
        match kind {
            // One byte, so many times.
            1 => copy(source, 1, frames)?,
            0 | 2 if size <= BLOCK => copy(source, size, frames)?,
            _ => return Err(io::Error::new(ErrorKind::InvalidData, "a block that cannot be")),
        }
        if last {
            return copy(source, if header.checksum { 4 } else { 0 }, frames);
        }
    }
}

/// Bytes of a job's frames: what cannot be compressed grows by little, and a job ends with the frame that makes it as large
/// as [`JOB`]. More is no honest frame, but one of blocks with nothing in them.
const MOST_BYTES: usize = 2 * JOB + (JOB >> 4);

/// The largest block (RFC 8878, 3.1.1.2.4).
const BLOCK: usize = 128 << 10;

fn copy(source: &mut Ahead, mut n: usize, frames: &mut Vec<u8>) -> io::Result<()> {
    while n > 0 {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "incomplete frame"));
        }
        let part = n.min(bytes.len());
        frames.extend_from_slice(&bytes[..part]);
        source.consume(part);
        n -= part;
    }
    Ok(())
}

/// A thread: until there are no more jobs.
fn decode_all(queue: &Mutex<Receiver<Job>>, used: &Sender<Vec<u8>>) {
    let mut context = None;
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { frames, plain, reply }) = job else { return };
        let done = decode(&mut context, &frames, plain);
        // Nobody waits for it when unpacking has failed elsewhere; nor for the buffer at the end.
        let _ = reply.send(done);
        let _ = used.send(frames);
    }
}

fn decode(context: &mut Option<DCtx<'static>>, frames: &[u8], mut plain: Vec<u8>) -> Done {
    let context = match context {
        Some(context) => context,
        None => {
            let new = DCtx::try_create().ok_or_else(|| io::Error::from(ErrorKind::OutOfMemory))?;
            context.insert(new)
        }
    };
    make_large(&mut plain);
    let n = context.decompress(&mut plain[..], frames).map_err(frames::named)?;
    Ok((plain, n))
}
