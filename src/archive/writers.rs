//! Files that are filled beside the thread that takes the archive apart. That thread makes every name, in the archive's
//! order, and hands over open files with their bytes; what becomes of a name later is nothing to whoever writes into
//! the file. So the order of the archive holds, whoever is faster. Which files come here is `files`' to say.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown, futimens};
use rustix::io::Errno;

use super::attributes::{CHMOD, CHOWN, UTIMENS, times};
use super::error::UnpackError;
use super::intake::{BUFFER, TICK, Ticker};
use super::pax::Time;
use super::shared::Slice;
use crate::privileges::Part;

/// Bytes up to which a file is handed over whole. A larger one is written as it comes.
pub(super) const WHOLE: u64 = 2 * BUFFER as u64;

/// Files and bytes that are handed over at once: waking a thread takes about as long as making a file. Every file
/// that waits is an open one, and a process has 1,024 (`RLIMIT_NOFILE`).
const FILES: usize = 32;
const BYTES: usize = BUFFER / 2;

/// Buffers that a batch may keep from the decoding thread, which has but few (`intake`, `side`): with one that waits in it
/// and two for the file that comes next, three of the large ones are kept, and there are four.
const BUFFERS: usize = 2;

/// More threads than that wait for the one that makes the names.
const MOST: usize = 4;

/// An open, empty file and what it becomes.
pub(super) struct Blank {
    pub name: Vec<u8>,
    pub file: OwnedFd,
    /// Its bytes. Most files lie in one buffer, and need no list.
    pub data: Option<Slice>,
    pub more: Vec<Slice>,
    /// Where creating it did not give them.
    pub owner: Option<(u32, u32)>,
    pub mode: Option<u32>,
    pub mtime: Time,
    /// What the tree held when it was made, for messages.
    pub written: u64,
}

impl Blank {
    fn slices(&self) -> impl DoubleEndedIterator<Item = &Slice> {
        self.data.iter().chain(&self.more)
    }
}

/// The threads, and what was not handed to them yet.
pub(super) struct Writers {
    queue: SyncSender<Batch>,
    shared: Arc<Shared>,
    files: Vec<Blank>,
    bytes: usize,
    buffers: usize,
    next: u64,
}

/// Files in the archive's order.
struct Batch {
    number: u64,
    files: Vec<Blank>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    /// Batches handed over and not done.
    under_way: usize,
    /// What went wrong first in the archive's order, and in which batch.
    failed: Option<(u64, UnpackError)>,
    /// Memory of batches that are done, for others: freed by another thread than took it, it would be asked of the
    /// system anew for each, which costs as much as some files.
    used: Vec<Vec<Blank>>,
}

/// Threads that are worth having: one for each core but the one that takes the archive apart.
pub(super) fn worth_having() -> usize {
    std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1).min(MOST)
}

impl Writers {
    /// Starts at most so many; the scope waits for them. Nothing if there is to be none, or the system has none to
    /// spare.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, threads: usize) -> Option<Self> {
        let (queue, batches) = sync_channel(2 * threads);
        let batches = Arc::new(Mutex::new(batches));
        let shared = Arc::<Shared>::default();
        let begin = |_| {
            let (batches, shared) = (Arc::clone(&batches), Arc::clone(&shared));
            let work = move || {
                Part::Write.keep();
                work(&batches, &shared);
            };
            std::thread::Builder::new().name("write".into()).spawn_scoped(scope, work).is_ok()
        };
        let started = (0..threads).map(begin).filter(|started| *started).count();
        (started > 0).then(|| Self { queue, shared, files: Vec::new(), bytes: 0, buffers: 0, next: 0 })
    }

    /// Takes a file on. One of an earlier file's errors may come out.
    pub(super) fn add(&mut self, blank: Blank) -> Result<(), UnpackError> {
        let mut last = self.files.iter().rev().find_map(|blank| blank.slices().next_back());
        for slice in blank.slices() {
            self.bytes += slice.len();
            self.buffers += usize::from(!last.is_some_and(|last| last.shares_with(slice)));
            last = Some(slice);
        }
        self.files.push(blank);
        if self.files.len() < FILES && self.bytes < BYTES && self.buffers < BUFFERS {
            return Ok(());
        }
        self.hand_over()
    }

    /// Waits until everything that was taken on is done.
    pub(super) fn settle(&mut self, ticker: &Ticker<'_>) -> Result<(), UnpackError> {
        self.hand_over()?;
        let mut state = self.shared.lock();
        loop {
            state.outcome()?;
            if state.under_way == 0 {
                return Ok(());
            }
            let waited = self.shared.idle.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            ticker.tick()?;
        }
    }

    /// With nobody free to take it, the batch is done here.
    fn hand_over(&mut self) -> Result<(), UnpackError> {
        if self.files.is_empty() {
            return self.shared.lock().outcome();
        }
        let used = {
            let mut state = self.shared.lock();
            state.outcome()?;
            state.under_way += 1;
            state.used.pop()
        };
        let empty = used.unwrap_or_else(|| Vec::with_capacity(FILES));
        let batch = Batch { number: self.next, files: std::mem::replace(&mut self.files, empty) };
        (self.bytes, self.buffers, self.next) = (0, 0, self.next + 1);
        match self.queue.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => self.shared.fill(batch),
        }
        Ok(())
    }
}

impl Drop for Writers {
    /// What waits is not wanted any more, unless it was settled before.
    fn drop(&mut self) {
        let gone = || UnpackError::Stopped;
        self.shared.lock().failed.get_or_insert_with(|| (0, gone()));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the files of a batch; after a failure nobody wants them.
    fn fill(&self, batch: Batch) {
        let Batch { number, mut files } = batch;
        let is_wanted = self.lock().failed.is_none();
        let outcome = if is_wanted { files.drain(..).try_for_each(fill) } else { Ok(()) };
        files.clear();
        let mut state = self.lock();
        state.used.push(files);
        state.under_way -= 1;
        if let Err(error) = outcome
            && state.failed.as_ref().is_none_or(|(earlier, _)| number < *earlier)
        {
            state.failed = Some((number, error));
        }
        if state.under_way == 0 {
            self.idle.notify_all();
        }
    }
}

impl State {
    /// The error goes to the caller; that there was one stays known.
    fn outcome(&mut self) -> Result<(), UnpackError> {
        match &mut self.failed {
            None => Ok(()),
            Some((_, error)) => Err(std::mem::replace(error, UnpackError::Stopped)),
        }
    }
}

/// A thread: fills what it is given until there is no more.
fn work(batches: &Mutex<Receiver<Batch>>, shared: &Shared) {
    loop {
        let next = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(batch) => shared.fill(batch),
            Err(_) => return,
        }
    }
}

/// The file is closed, and its part of the buffers let go.
fn fill(blank: Blank) -> Result<(), UnpackError> {
    let Blank { name, written, .. } = &blank;
    put(&blank).map_err(|(doing, errno)| UnpackError::system(name, doing, errno, *written))
}

/// In the order that keeps all: the data, the owner (takes setuid away), the mode, the time.
fn put(blank: &Blank) -> Result<(), (&'static str, Errno)> {
    let file = &blank.file;
    for slice in blank.slices() {
        write_all(file, slice, None).map_err(|errno| ("writing", errno))?;
    }
    if let Some((uid, gid)) = blank.owner {
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        fchown(file, owner.0, owner.1).map_err(|errno| (CHOWN, errno))?;
    }
    if let Some(mode) = blank.mode {
        fchmod(file, Mode::from_raw_mode(mode)).map_err(|errno| (CHMOD, errno))?;
    }
    futimens(file, &times(blank.mtime)).map_err(|errno| (UTIMENS, errno))
}

/// Writes all of it, at the file's position or at this one.
pub(super) fn write_all(file: &OwnedFd, data: &[u8], at: Option<u64>) -> Result<(), Errno> {
    let mut done = 0;
    while done < data.len() {
        let rest = &data[done..];
        let wrote = match at {
            Some(at) => rustix::io::pwrite(file, rest, at + done as u64),
            None => rustix::io::write(file, rest),
        };
        match wrote {
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
