//! Puts together what a wanted block device is made of, where no udev does: logical volumes and RAID arrays. The
//! programs are those that `bootjack initrd --with` brought, or that the machine has; without them nothing is done.
//! What was put together is taken apart again, also by another process than the one that did it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use super::{Assembly, Volume, lvm, md, tool};

/// How to take apart again what was put together: a line each, the words of a program with tabs between them. A worker
/// that dies leaves it to the next one.
const ASSEMBLED: &str = "/run/bootjack/assembled";

/// What is new may be part of something else: a volume group on an array on another array. No more than this.
const LAYERS: usize = 4;

/// Taking everything apart may take so long.
const DISMANTLE: Duration = Duration::from_secs(20);

/// Who looks for a device looks more often than that.
const PAUSE: Duration = Duration::from_secs(3);

/// A program did not do what it was run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembleError {
    pub tool: &'static str,
    /// What it was to do.
    pub what: String,
    /// What it said.
    pub words: String,
}

impl AssembleError {
    pub(super) fn new(tool: &'static str, what: &str, words: impl fmt::Display) -> Self {
        Self { tool, what: what.to_owned(), words: words.to_string() }
    }
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words.lines().map(str::trim).collect::<Vec<_>>().join("; ");
        write!(f, "{}: {}: {words}", self.tool, self.what)
    }
}

impl std::error::Error for AssembleError {}

/// What the last call saw: it is repeated only when there is something new.
struct Seen {
    devices: BTreeSet<String>,
    asked: (Assembly, Volume),
    since: Instant,
    /// The end of the last call.
    last: Instant,
    /// Whether arrays without all their disks had their chance.
    degraded: bool,
}

impl Seen {
    fn nothing(asked: (Assembly, Volume)) -> Self {
        let (devices, now) = (BTreeSet::new(), Instant::now());
        Self { devices, asked, since: now, last: now, degraded: false }
    }
}

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);

/// Puts together what the command line names, and what `wanted` by its name is: `/dev/mapper/VG-LV`, `/dev/VG/LV`,
/// `/dev/md…`. To be called on each round of looking for it; does nothing if there is no program for it, or no device
/// that was not there the last time. An array that lacks disks is started only 10 s after the first call.
///
/// # Errors
/// A program failed, for another reason than that something has not appeared yet. Stopped by `on` is none.
pub fn assemble(
    assembly: &Assembly,
    wanted: &Volume,
    on: &dyn Fn() -> ControlFlow<()>,
) -> Result<(), AssembleError> {
    let mut seen = match SEEN.try_lock() {
        Ok(seen) => seen,
        Err(TryLockError::Poisoned(seen)) => seen.into_inner(),
        // Somebody who is not waited for any more is still at it.
        Err(TryLockError::WouldBlock) => return Ok(()),
    };
    let work = |degraded| {
        md::assemble(assembly, wanted, degraded, on)?;
        lvm::activate(assembly, wanted, on)
    };
    rounds(&mut seen, (assembly, wanted), &block_devices, &work, on)
}

/// Does the `work` as often as there is something new. Not done is not seen: whoever asks again, after an error or a
/// stop, begins anew.
fn rounds(
    seen: &mut Option<Seen>,
    asked: (&Assembly, &Volume),
    devices: &dyn Fn() -> BTreeSet<String>,
    work: &dyn Fn(bool) -> Result<(), AssembleError>,
    on: &dyn Fn() -> ControlFlow<()>,
) -> Result<(), AssembleError> {
    let asked = (asked.0.clone(), asked.1.clone());
    let mut now = match seen.take() {
        Some(seen) if seen.asked == asked => seen,
        _ => Seen::nothing(asked),
    };
    if now.last.elapsed() > PAUSE {
        // A new search: a person may have mended something.
        now.devices.clear();
    }
    let degraded = now.since.elapsed() >= md::PATIENCE;
    for _ in 0..LAYERS {
        let there = devices();
        if there == now.devices && degraded == now.degraded {
            break;
        }
        work(degraded)?;
        if on().is_break() {
            return Ok(());
        }
        (now.devices, now.degraded) = (there, degraded);
    }
    now.last = Instant::now();
    *seen = Some(now);
    Ok(())
}

/// The program that would put together what is wanted, where that is not here.
pub fn lacking(assembly: &Assembly, wanted: &Volume) -> Option<&'static str> {
    let lvm = (lvm::LVM, !lvm::volumes(assembly, wanted).is_empty());
    let md = (md::MDADM, md::is_wanted(assembly, wanted));
    let mut lacking = [lvm, md].into_iter().filter(|(name, wanted)| *wanted && tool::find(name).is_none());
    lacking.next().map(|(name, _)| name)
}

/// Names of all block devices.
fn block_devices() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/class/block").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Remembers the program and its words that undo what was just done.
pub(super) fn remember(words: &[&str]) {
    let write = || -> io::Result<()> {
        if let Some(directory) = Path::new(ASSEMBLED).parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        writeln!(File::options().append(true).create(true).open(ASSEMBLED)?, "{}", words.join("\t"))
    };
    if let Err(e) = write() {
        log::error!("{ASSEMBLED}: {e}: {} stays as it is", words.join(" "));
    }
}

/// Takes apart what was put together, the last first, so that the next system finds the disks as the firmware left
/// them. What is still in use stays, and the log says so.
pub fn dismantle() {
    let lines = match fs::read_to_string(ASSEMBLED) {
        Ok(lines) => lines,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return,
        Err(e) => return log::error!("{ASSEMBLED}: {e}"),
    };
    let until = Instant::now() + DISMANTLE;
    let mut left = Vec::new();
    for line in lines.lines().rev() {
        let words: Vec<&str> = line.split('\t').collect();
        if let Err(e) = undo(&words, until) {
            log::error!("{}: {e}", words.join(" "));
            left.push(line);
        }
    }
    // What failed is tried again: a reader that was left behind may have gone by then.
    left.reverse();
    let kept = left.iter().map(|line| format!("{line}\n")).collect::<String>();
    let written = if left.is_empty() { fs::remove_file(ASSEMBLED) } else { fs::write(ASSEMBLED, kept) };
    if let Err(e) = written {
        log::error!("{ASSEMBLED}: {e}");
    }
}

fn undo(words: &[&str], until: Instant) -> io::Result<()> {
    let Some((name, args)) = words.split_first() else { return Ok(()) };
    let program = tool::find(name).ok_or_else(|| io::Error::other("the program is gone"))?;
    let in_time = || if Instant::now() < until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    match tool::run(&program, args, b"", &in_time)? {
        Some(done) if done.status.success() => Ok(()),
        Some(done) => Err(io::Error::other(done.words)),
        None => Err(io::Error::other(format!("not done within {} s", DISMANTLE.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// What is asked for, the devices that there are, and how often anything was run.
    struct Search {
        asked: (Assembly, Volume),
        seen: RefCell<Option<Seen>>,
        devices: RefCell<BTreeSet<String>>,
        runs: Cell<u32>,
    }

    impl Search {
        fn new() -> Self {
            let asked = (Assembly::default(), Volume::parse("/dev/vg/lv").unwrap());
            let devices = RefCell::new(BTreeSet::from(["vda".to_owned()]));
            Self { asked, seen: RefCell::new(None), devices, runs: Cell::new(0) }
        }

        /// One call; says how often it ran anything.
        fn call(
            &self,
            work: impl Fn() -> Result<(), AssembleError>,
            stopped: bool,
        ) -> (u32, Result<(), AssembleError>) {
            let before = self.runs.get();
            let on = || if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            let work = |_| {
                self.runs.set(self.runs.get() + 1);
                work()
            };
            let devices = || self.devices.borrow().clone();
            let asked = (&self.asked.0, &self.asked.1);
            let done = rounds(&mut self.seen.borrow_mut(), asked, &devices, &work, &on);
            (self.runs.get() - before, done)
        }

        fn appears(&self, name: &str) -> bool {
            self.devices.borrow_mut().insert(name.to_owned())
        }
    }

    #[test]
    fn nothing_is_run_again_before_there_is_something_new() {
        let search = Search::new();
        assert_eq!(search.call(|| Ok(()), false), (1, Ok(())));
        assert_eq!(search.call(|| Ok(()), false), (0, Ok(())));
        search.appears("vdb");
        // What appears by it may be part of something else.
        let made = || {
            search.appears("md0");
            Ok(())
        };
        assert_eq!(search.call(made, false), (2, Ok(())));
        assert_eq!(search.call(made, false), (0, Ok(())));
        let endless = || {
            search.appears(&format!("md{}", search.runs.get()));
            Ok(())
        };
        search.appears("vdc");
        assert_eq!(search.call(endless, false).0 as usize, LAYERS);
    }

    #[test]
    fn what_failed_or_was_stopped_is_run_again_when_it_is_asked_for_again() {
        let search = Search::new();
        let failed = AssembleError::new("lvm", "activating vg/lv", "no");
        assert_eq!(search.call(|| Err(failed.clone()), false), (1, Err(failed.clone())));
        assert_eq!(search.call(|| Err(failed.clone()), false), (1, Err(failed)));
        assert_eq!(search.call(|| Ok(()), true), (1, Ok(())));
        assert_eq!(search.call(|| Ok(()), true), (1, Ok(())));
        assert_eq!(search.call(|| Ok(()), false), (1, Ok(())));
        assert_eq!(search.call(|| Ok(()), false), (0, Ok(())));
    }
}
