//! An artifact as bytes in a file in memory: kernels, initrds, and an archive that travels. What is unpacked instead is
//! `once`'s; what a kernel does with them is `handover`'s.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};

use super::once::{self, Once, Verdict};
use super::reader::{Bound, Bounded};
use super::{Failure, Fetched, LoadError, Loader, Phase, Report, Tries};
use crate::catalog::Artifact;
use crate::fetch::{Attempt, FetchError, Flow, Source};
use crate::plan::mib;
use crate::verify::{self, Refused, Verified};

/// How often the screen hears of progress.
const TELL: Duration = Duration::from_millis(100);

/// Bytes of one read.
pub(super) const BUFFER: usize = 256 << 10;

/// Where bytes go: emptied before each try.
pub(super) type Put<'a> = dyn FnMut(&mut dyn Read) -> io::Result<()> + 'a;

/// A file in memory, gone with its last descriptor.
pub(super) fn in_memory(name: &str) -> Result<File, LoadError> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC);
    file.map(File::from).map_err(|e| {
        LoadError::Failed(Failure::new(Phase::Fetch, format!("a file in memory for the {name}"), e))
    })
}

/// Fetches and verifies an artifact into the end of `file`; what a failed try left there is cut off.
pub(super) fn append(
    file: &File,
    artifact: &Artifact,
    name: &str,
    most: u64,
    loader: &Loader<'_>,
) -> Result<(Verified<()>, Fetched), LoadError> {
    let at = end(file).map_err(|e| unwritten(name, e))?;
    fetch(artifact, name, most, loader, &mut |bytes| {
        cut(file, at)?;
        copy(bytes, &mut &*file)
    })
}

/// Fetches and verifies an artifact; `put` is called anew with each try. Of one whose size nobody says there may be
/// `most` bytes.
pub(super) fn fetch(
    artifact: &Artifact,
    name: &str,
    most: u64,
    loader: &Loader<'_>,
    put: &mut Put<'_>,
) -> Result<(Verified<()>, Fetched), LoadError> {
    Tries::of(artifact, name, loader).drive(&mut |once, source| once.keep(source, most, put))
}

/// Back to the first byte.
pub(super) fn rewind(file: &mut File) -> io::Result<()> {
    file.seek(SeekFrom::Start(0)).map(drop)
}

/// The end of the file, where the next part begins.
pub(super) fn end(file: &File) -> io::Result<u64> {
    (&*file).seek(SeekFrom::End(0))
}

/// Throws away what comes after `at`, and goes on there.
pub(super) fn cut(file: &File, at: u64) -> io::Result<()> {
    file.set_len(at)?;
    (&*file).seek(SeekFrom::Start(at)).map(drop)
}

/// All of it, in pieces of our own size: `io::copy` reads 8 KiB at a time.
pub(super) fn copy(from: &mut dyn Read, to: &mut dyn io::Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return to.flush(),
            Ok(n) => to.write_all(&buffer[..n])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

pub(super) fn unwritten(name: &str, error: io::Error) -> LoadError {
    LoadError::Failed(Failure::new(Phase::Fetch, format!("keeping the {name} in memory"), error))
}

impl Once<'_> {
    /// Hands the bytes on as they come, and compares their digest at the end.
    fn keep(
        &self,
        source: Source<'_>,
        most: u64,
        put: &mut Put<'_>,
    ) -> Result<(Verified<()>, once::Read), Attempt<Failure>> {
        let Source { reader, location, flow, length, seal, .. } = source;
        if let Some(bytes) = length.or(self.artifact.size).filter(|&bytes| bytes > most) {
            let why = format!("has {}, there is room for {}", mib(bytes), mib(most));
            return Err(self.refuse(Verdict::FETCH, &location, &why));
        }
        let bound = Bound::new(Some(self.artifact.size.unwrap_or(most)));
        let stopped = AtomicBool::new(false);
        let read = self.watched(&flow, &stopped, || {
            let trust = &self.artifact.trust;
            verify::through(Bounded::new(reader, &bound), trust, seal.as_ref(), |bytes| put(bytes))
        });
        let location = flow.place().unwrap_or(location);
        let why = match read {
            Ok((verified, sha256)) => {
                self.right_size(&location, Some(flow.bytes()))?;
                return Ok((verified, once::Read { sha256, location, bytes: flow.bytes() }));
            }
            Err(_) if stopped.into_inner() => return Err(Attempt::Stopped),
            Err(why) => why,
        };
        let too_many = |why| match self.artifact.size {
            Some(_) => why,
            None => format!("more than the {} there is room for", mib(most)),
        };
        if let Some(why) = bound.broken(Some(self.artifact.size.unwrap_or(most))).map(too_many) {
            return Err(self.refuse(Verdict::OTHER_BYTES, &location, &why));
        }
        if let Some(failure) = flow.failure() {
            return Err(Attempt::fetching(failure, flow.bytes()));
        }
        Err(match why {
            Refused::Digest { expected, got, bytes } => {
                let why =
                    format!("SHA-256 does not match: expected {expected}, got {got} over {bytes} bytes");
                self.refuse(Verdict::OTHER_BYTES, &location, &why)
            }
            Refused::Unsealed(list) => {
                let why = format!("not every chunk of the list {list} was seen to be right");
                self.refuse(Verdict::OTHER_BYTES, &location, &why)
            }
            Refused::Consume(e) | Refused::Drain(e) => match FetchError::of(&e) {
                Some(failure) => Attempt::fetching(failure.clone(), flow.bytes()),
                // Reading did not break: writing did.
                None => Attempt::Fatal(
                    Failure::new(Phase::Fetch, self.name, e)
                        .hint("use a machine with more memory, or carry = \"no\""),
                ),
            },
        })
    }

    /// Tells how far things are while `work` waits for bytes, and ends the flow when told so.
    pub(super) fn watched<T>(&self, flow: &Flow, stopped: &AtomicBool, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::thread::park_timeout(TELL);
                    let report = Report::Progress { fetched: flow.arrived(), unpacked: 0, entries: 0 };
                    if (self.on)(report).is_break() {
                        stopped.store(true, Ordering::Relaxed);
                        return flow.stop();
                    }
                }
            });
            let worked = work();
            done.store(true, Ordering::Relaxed);
            watcher.thread().unpark();
            worked
        })
    }
}
