//! A directory, or an archive compressed in any way, becomes a root archive: `.tar.zst` of independent frames, the same
//! bytes whatever the number of threads. Walking a directory is `walk`'s, making tar of cpio `convert`'s.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use super::error::UnpackError;
use super::intake::{self, Ticker};
use super::leave_out::LeaveOut;
use super::members::Members;
use super::outline::survey;
use super::side::JOB;
use super::sniff::{HEAD, Image};
use super::{Input, Progress, convert, image, walk};
use crate::verify::{Hashing, Sha256};

/// How an archive is packed.
#[derive(Clone, Debug)]
pub struct PackOptions {
    /// zstd level, 1 to 22.
    pub level: i32,
    /// Plain bytes of one frame. Larger frames compress better, smaller ones leave more to do side by side.
    pub frame: usize,
    /// Threads that compress; the result does not depend on them.
    pub threads: u32,
    /// No modification time is later than this (seconds since 1970): the `SOURCE_DATE_EPOCH` of reproducible builds.
    /// The members of an existing archive keep theirs.
    pub source_date_epoch: Option<i64>,
    pub leave_out: LeaveOut,
}

impl Default for PackOptions {
    /// Level 12 on all cores: a wait one can bear while trying things out; 19 is for what is fetched often. Frames as large
    /// as are decoded side by side in little memory (measured: docs/images.md).
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let leave_out = LeaveOut::default();
        Self { level: 12, frame: JOB, threads, source_date_epoch: None, leave_out }
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
    /// Bytes and digest of each part that can be verified, and decompressed, on its own: the frames, or pieces of an archive
    /// that is as others made it.
    #[serde(skip)]
    pub parts: Parts,
}

/// In order: how many bytes, and their digest.
pub type Parts = Vec<(u64, Sha256)>;

/// Packs a directory, the tree of a squashfs or erofs image, or an existing archive anew, into `out`. The bytes of a tar archive are not touched: members that
/// are left out are missing, the others as they were.
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
    let level = options.level;
    std::thread::scope(|scope| {
        let threads = options.threads.clamp(1, 256);
        for _ in 0..threads {
            scope.spawn(|| compress_all(&queue, level));
        }
        // Moved in, so that the threads are let go before the scope waits for them.
        let mut frames = Frames::new(out, jobs, options.frame, threads as usize);
        let context = || format!("packing {}", source.display());
        let done = fill(source, options, &mut frames, progress).with_context(context)?;
        let (bytes, sha256, parts) = frames.finish().with_context(context)?;
        Ok(Packed { bytes, sha256, unpacked: done.bytes, entries: done.entries, parts })
    })
}

/// Writes the tar bytes, and counts what they will become.
fn fill(
    source: &Path,
    options: &PackOptions,
    out: &mut dyn Write,
    progress: &dyn Fn(Progress),
) -> Result<Progress> {
    let (latest, leave_out) = (options.source_date_epoch, &options.leave_out);
    if source.is_dir() {
        let root = File::open(source)?;
        return walk::pack(root.into(), latest, leave_out, out, progress);
    }
    let mut input = open(source)?;
    let mut head = Vec::with_capacity(HEAD);
    (&input).take(HEAD as u64).read_to_end(&mut head)?;
    if let Some(kind) = Image::of(&head) {
        let mounted = image::mount(&input, kind)?;
        let root = mounted.root.try_clone()?;
        return walk::pack(root, latest, leave_out, out, progress);
    }
    input.rewind()?;
    again(&mut input, leave_out, out, progress)
}

/// Copies the tar bytes of an existing archive, or makes them.
fn again(
    input: &mut File,
    leave_out: &LeaveOut,
    out: &mut dyn Write,
    progress: &dyn Fn(Progress),
) -> Result<Progress> {
    let listen = |now| {
        progress(now);
        ControlFlow::Continue(())
    };
    let ticker = Ticker::new(&listen);
    Ok(intake::through(input.into(), 0, &ticker, Some(out), |members| match members {
        Members::Tar(tar) => {
            tar.leave_out(leave_out);
            survey(members, &ticker)
        }
        Members::Cpio(cpio) => convert::convert(cpio, leave_out, &ticker),
    })?)
}

/// What an existing archive is, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// `tar`, `cpio`, `squashfs` or `erofs`.
    pub format: &'static str,
    /// `plain`, `gzip`, `zstd`, `xz`, `bzip2` or `lz4`; absent for an image, which is not looked into.
    pub compression: Option<&'static str>,
    pub packed: Packed,
}

/// Reads an archive to its end as [`unpack`](super::unpack) does, with its checks, and makes nothing of it. An image of a
/// file system is read, and that is all: nothing of it is unpacked in a boot either.
///
/// # Errors
/// What cannot be read; an archive that unpacking would refuse.
pub fn inspect(source: &Path, progress: &dyn Fn(Progress)) -> Result<Inspected> {
    let listen = |now| {
        progress(now);
        ControlFlow::Continue(())
    };
    let read = || -> Result<Inspected> {
        let (mut input, ticker) = (Hashing::new(open(source)?), Ticker::new(&listen));
        let mut pieces = Pieces::default();
        let (file, mut seeing) = input.apart();
        let mut head = Vec::with_capacity(HEAD);
        (&*file).take(HEAD as u64).read_to_end(&mut head)?;
        file.rewind()?;
        if let Some(kind) = Image::of(&head) {
            let mut buffer = vec![0; PIECE];
            loop {
                let n = file.read(&mut buffer)?;
                if n == 0 {
                    break;
                }
                seeing.see(&buffer[..n]);
                pieces.see(&buffer[..n]);
            }
            let (bytes, sha256) = (input.count(), input.finish());
            let packed = Packed { bytes, sha256, unpacked: 0, entries: 0, parts: pieces.finish() };
            return Ok(Inspected { format: kind.name(), compression: None, packed });
        }
        let all = Input::seen(file, |bytes| {
            seeing.see(bytes);
            pieces.see(bytes);
        });
        let (done, (format, compression)) = intake::through(all, 0, &ticker, None, |members| {
            Ok::<_, UnpackError>((survey(members, &ticker)?, members.kind()))
        })?;
        let (bytes, sha256) = (input.count(), input.finish());
        let parts = pieces.finish();
        let packed = Packed { bytes, sha256, unpacked: done.bytes, entries: done.entries, parts };
        Ok(Inspected { format: format.name(), compression: Some(compression.name()), packed })
    };
    read().with_context(|| format!("reading {}", source.display()))
}

/// Bytes of a part of what others made.
const PIECE: usize = 4 << 20;

/// Cuts what it sees into parts of [`PIECE`] bytes.
#[derive(Default)]
struct Pieces {
    parts: Parts,
    now: Option<Hashing<io::Sink>>,
}

impl Pieces {
    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let now = self.now.get_or_insert_with(|| Hashing::new(io::sink()));
            let n = bytes.len().min(PIECE - now.count() as usize);
            now.apart().1.see(&bytes[..n]);
            bytes = &bytes[n..];
            if now.count() == PIECE as u64 {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        if let Some(now) = self.now.take() {
            self.parts.push((now.count(), now.finish()));
        }
    }

    fn finish(mut self) -> Parts {
        self.end();
        self.parts
    }
}

fn open(source: &Path) -> Result<File> {
    let file = File::open(source)?;
    if !file.metadata()?.is_file() {
        bail!("this is neither a directory nor a file");
    }
    Ok(file)
}

/// One frame to be, and where it goes.
struct Job {
    plain: Vec<u8>,
    reply: SyncSender<Frame>,
}

/// A frame and its own digest.
type Frame = io::Result<(Vec<u8>, Sha256)>;

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
            Ok(compressor) => compressor.compress(&plain).map(|frame| {
                let sha256 = Sha256::of(&frame);
                (frame, sha256)
            }),
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
    frame: usize,
    pending: VecDeque<Receiver<Frame>>,
    most: usize,
    parts: Parts,
}

impl<'a> Frames<'a> {
    fn new(out: &'a mut dyn Write, jobs: Sender<Job>, frame: usize, threads: usize) -> Self {
        let (plain, pending) = (Vec::with_capacity(frame), VecDeque::new());
        Self { out: Hashing::new(out), jobs, plain, frame, pending, most: threads + 1, parts: Vec::new() }
    }

    fn submit(&mut self) -> io::Result<()> {
        let plain = std::mem::replace(&mut self.plain, Vec::with_capacity(self.frame));
        let (reply, frame) = sync_channel(1);
        self.jobs.send(Job { plain, reply }).map_err(|_| gone())?;
        self.pending.push_back(frame);
        if self.pending.len() > self.most { self.write_first() } else { Ok(()) }
    }

    fn write_first(&mut self) -> io::Result<()> {
        let Some(frame) = self.pending.pop_front() else { return Ok(()) };
        let (frame, sha256) = frame.recv().map_err(|_| gone())??;
        self.parts.push((frame.len() as u64, sha256));
        self.out.write_all(&frame)
    }

    /// Size and digest of all frames, and of each.
    fn finish(mut self) -> io::Result<(u64, Sha256, Parts)> {
        if !self.plain.is_empty() {
            self.submit()?;
        }
        while !self.pending.is_empty() {
            self.write_first()?;
        }
        self.out.flush()?;
        Ok((self.out.count(), self.out.finish(), self.parts))
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread is gone")
}

impl Write for Frames<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = buf.len().min(self.frame - self.plain.len());
        self.plain.extend_from_slice(&buf[..n]);
        if self.plain.len() == self.frame {
            self.submit()?;
        }
        Ok(n)
    }

    /// A frame is not cut short for it: the same tree gives the same bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
