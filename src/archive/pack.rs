//! A directory, or a tar archive compressed in any way, becomes a root archive: `.tar.zst` of independent frames, the same
//! bytes whatever the number of threads. Walking a directory is `walk`'s.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use super::error::UnpackError;
use super::intake::{self, Ticker};
use super::members::Members;
use super::outline::Outline;
use super::{Progress, tree, walk};
use crate::verify::{Hashing, Sha256};

/// Tar bytes of one frame: as large as the window of level 19. Larger frames compress better, smaller ones leave more to
/// do side by side.
const FRAME: usize = 8 << 20;

/// How an archive is packed.
#[derive(Clone, Copy, Debug)]
pub struct PackOptions {
    /// zstd level, 1 to 22.
    pub level: i32,
    /// Threads that compress; the result does not depend on them.
    pub threads: u32,
    /// No modification time is later than this (seconds since 1970): the `SOURCE_DATE_EPOCH` of reproducible builds.
    /// The members of an existing archive keep theirs.
    pub source_date_epoch: Option<i64>,
}

impl Default for PackOptions {
    /// Level 12 on all cores: a wait one can bear while trying things out; 19 is for what is fetched often.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Self { level: 12, threads, source_date_epoch: None }
    }
}

/// What was packed: what a catalog says of a root archive.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Packed {
    /// Size of the archive.
    pub bytes: u64,
    pub sha256: Sha256,
    /// What [`Unpacked::bytes`](super::Unpacked::bytes) will be.
    pub unpacked: u64,
    /// What [`Unpacked::entries`](super::Unpacked::entries) will be.
    pub entries: u64,
}

/// Packs a directory, or packs an existing tar archive anew without touching the tar bytes, into `out`.
///
/// A directory is walked in order of names and without leaving its file system; sockets are left out, with a word on
/// stderr. `progress` hears of file data and entries as they go in.
///
/// # Errors
/// Whatever cannot be read or written, named; an archive that [`unpack`](super::unpack) would refuse.
pub fn pack(
    source: &Path,
    out: &mut dyn Write,
    options: &PackOptions,
    progress: &dyn Fn(Progress),
) -> Result<Packed> {
    let (jobs, queue) = channel();
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        let threads = options.threads.clamp(1, 256);
        for _ in 0..threads {
            scope.spawn(|| compress_all(&queue, options.level));
        }
        // Moved in, so that the threads are let go before the scope waits for them.
        let mut frames = Frames::new(out, jobs, threads as usize);
        let context = || format!("packing {}", source.display());
        let done = if source.is_dir() {
            walk::pack(source, options.source_date_epoch, &mut frames, progress)
        } else {
            again(source, &mut frames, progress)
        };
        let done = done.with_context(context)?;
        let (bytes, sha256) = frames.finish().with_context(context)?;
        Ok(Packed { bytes, sha256, unpacked: done.bytes, entries: done.entries })
    })
}

/// Copies the tar bytes of an existing archive, and counts what they will become.
fn again(source: &Path, out: &mut dyn Write, progress: &dyn Fn(Progress)) -> Result<Progress> {
    let mut input = File::open(source)?;
    if !input.metadata()?.is_file() {
        bail!("this is neither a directory nor a file");
    }
    let listen = |now| {
        progress(now);
        ControlFlow::Continue(())
    };
    let ticker = Ticker::new(&listen);
    Ok(intake::through(&mut input, &ticker, Some(out), |members| {
        let Members::Tar(members) = members else {
            return Err(UnpackError::archive("this is a cpio archive; only tar archives are packed anew"));
        };
        let mut outline = Outline::default();
        let (mut bytes, mut count) = (0_u64, 0);
        while let Some(member) = members.next()? {
            tree::check(&member)?;
            outline.add(&member);
            bytes = bytes.saturating_add(member.bytes());
            count += 1;
            ticker.set(Progress { bytes, entries: count + outline.made });
        }
        members.end()?;
        Ok(ticker.now())
    })?)
}

/// One frame to be, and where it goes.
struct Job {
    plain: Vec<u8>,
    reply: SyncSender<io::Result<Vec<u8>>>,
}

/// A compressing thread: until there are no more jobs.
fn compress_all(queue: &Mutex<Receiver<Job>>, level: i32) {
    let mut compressor = zstd::bulk::Compressor::new(level).and_then(|mut compressor| {
        compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
        Ok(compressor)
    });
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { plain, reply }) = job else { return };
        let frame = match &mut compressor {
            Ok(compressor) => compressor.compress(&plain),
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        };
        // Nobody waits for it only when packing has failed elsewhere.
        let _ = reply.send(frame);
    }
}

/// Cuts what is written into frames, has them compressed side by side, and writes them out in order.
struct Frames<'a> {
    out: Hashing<&'a mut dyn Write>,
    jobs: Sender<Job>,
    plain: Vec<u8>,
    pending: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    most: usize,
}

impl<'a> Frames<'a> {
    fn new(out: &'a mut dyn Write, jobs: Sender<Job>, threads: usize) -> Self {
        let (plain, pending) = (Vec::with_capacity(FRAME), VecDeque::new());
        Self { out: Hashing::new(out), jobs, plain, pending, most: threads + 1 }
    }

    fn submit(&mut self) -> io::Result<()> {
        let plain = std::mem::replace(&mut self.plain, Vec::with_capacity(FRAME));
        let (reply, frame) = sync_channel(1);
        self.jobs.send(Job { plain, reply }).map_err(|_| gone())?;
        self.pending.push_back(frame);
        if self.pending.len() > self.most { self.write_first() } else { Ok(()) }
    }

    fn write_first(&mut self) -> io::Result<()> {
        let Some(frame) = self.pending.pop_front() else { return Ok(()) };
        let frame = frame.recv().map_err(|_| gone())??;
        self.out.write_all(&frame)
    }

    /// Size and digest of all frames.
    fn finish(mut self) -> io::Result<(u64, Sha256)> {
        if !self.plain.is_empty() {
            self.submit()?;
        }
        while !self.pending.is_empty() {
            self.write_first()?;
        }
        self.out.flush()?;
        Ok((self.out.count(), self.out.finish()))
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread is gone")
}

impl Write for Frames<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = buf.len().min(FRAME - self.plain.len());
        self.plain.extend_from_slice(&buf[..n]);
        if self.plain.len() == FRAME {
            self.submit()?;
        }
        Ok(n)
    }

    /// A frame is not cut short for it: the same tree gives the same bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
