//! Plan → Handover: open, count, verify, unpack. Reports outward, stops when told, and leaves nothing of a root
//! that failed. What is done with the finished [`Handover`] is the supervisor's.

mod failure;
mod once;
mod reader;

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::archive::{Limits, Unpacked};
use crate::catalog::Artifact;
use crate::fetch::{self, Event, Exhausted, Fetcher, Location};
use crate::handover::root::{Root, SYSROOT};
use crate::handover::{self, Handover, init};
use crate::plan::{RootPlan, mib};
use crate::verify::{Sha256, Trust, Verified};
pub use failure::{Failure, Phase, clean};
use once::{Once, Verdict};

/// What is told while loading; the answer may be "stop".
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Nothing to say; comes at least four times a second.
    Tick,
    /// An artifact is opened.
    Opening { artifact: String, location: Location },
    /// Its bytes begin to come; how many, where known.
    Started { location: Location, bytes: Option<u64> },
    /// So many bytes fetched, so many members and bytes in the tmpfs.
    Progress { fetched: u64, unpacked: u64, entries: u64 },
    /// A try failed; the next one begins after `wait`, from byte 0 of an emptied root.
    Retrying { location: Location, error: String, attempt: u32, wait: Duration },
    /// Every byte was read and the digest compared, or nothing had to be.
    Verified { artifact: String, trust: Trust },
}

/// Is told each [`Report`]; `Break` stops the load.
pub type OnReport<'a> = &'a (dyn Fn(Report) -> ControlFlow<()> + Sync);

/// What the artifact of a root is called in reports.
const ROOT: &str = "root";

/// Why there is no handover.
#[derive(Debug)]
pub enum LoadError {
    /// The callback said stop.
    Stopped,
    Failed(Failure),
}

/// Where an archive is unpacked to. A try that broke leaves a half-made tree; the next one starts in an empty one.
pub trait Target {
    /// The directory, with nothing in it.
    ///
    /// # Errors
    /// It cannot be emptied or opened.
    fn fresh(&mut self) -> io::Result<OwnedFd>;

    /// Its name in a failure.
    fn name(&self) -> String;
}

impl Target for Root {
    fn fresh(&mut self) -> io::Result<OwnedFd> {
        self.empty()
    }
    fn name(&self) -> String {
        format!("{} (limit {})", self.path().display(), mib(self.limit()))
    }
}

/// How an artifact came, for the report.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    pub unpacked: Unpacked,
    /// Digest of the bytes as fetched, whether it was asked for or not.
    pub sha256: Sha256,
    /// The mirror it came from in the end.
    pub location: Location,
    /// Bytes as fetched.
    pub bytes: u64,
    /// Tries before the one that worked.
    pub retries: u32,
}

/// Carries out a plan up to the handover. `fetch` is the budget of silent time for the archive.
///
/// # Errors
/// [`LoadError`]; the tmpfs is unmounted by then.
pub fn load(
    plan: &RootPlan,
    id: &str,
    fetcher: &Fetcher,
    retry_for: Duration,
    on: OnReport<'_>,
) -> Result<(Handover, Fetched), LoadError> {
    let failed = |phase, thing: &str, e: io::Error| LoadError::Failed(Failure::new(phase, thing, e));
    let mut root =
        Root::mount(Path::new(SYSROOT), plan.limit).map_err(|e| failed(Phase::Unpack, SYSROOT, e))?;
    let limits = Limits {
        bytes: plan.archive.unpacked.unwrap_or(plan.limit).min(plan.limit),
        // Directories that are not members of their own count too: no exact number is known before.
        entries: plan
            .archive
            .entries
            .map_or(plan.memory.available / 1024, |n| n.saturating_mul(8).saturating_add(1024)),
    };
    let (tree, fetched) = fetch_into(&mut root, &plan.archive, id, &limits, fetcher, retry_for, on)?;
    let init = init::find(root.path(), &plan.inits, &plan.init_args).map_err(|e| {
        let failure = Failure::because(Phase::Handover, id, e.to_string());
        LoadError::Failed(failure.hint(if plan.init_named {
            "name a program that the root has: init= on the kernel command line, init in the catalog"
        } else {
            "put an init into the root archive, or name one: init in the catalog"
        }))
    })?;
    handover::can_move_into(root.path()).map_err(|e| {
        let failure = Failure::new(Phase::Handover, id, e);
        LoadError::Failed(failure.hint("make /dev, /proc, /sys and /run directories in the root archive"))
    })?;
    Ok((Handover::switch_root(tree.map(|_| root), init), fetched))
}

/// Fetches, verifies and unpacks an artifact, trying again and over all mirrors as long as `retry_for` allows.
///
/// # Errors
/// [`LoadError`]; what a failed try left in the target is the target's to throw away.
pub fn fetch_into(
    target: &mut dyn Target,
    artifact: &Artifact,
    name: &str,
    limits: &Limits,
    fetcher: &Fetcher,
    retry_for: Duration,
    on: OnReport<'_>,
) -> Result<(Verified<Unpacked>, Fetched), LoadError> {
    let said = RefCell::new(vec![Verdict::FETCH; artifact.locations.len()]);
    let retries = AtomicU32::new(0);
    let on_event = |event: Event| match event {
        Event::Tick => on(Report::Tick),
        Event::Retry { location, error, attempt, wait, .. } => {
            retries.store(attempt, Ordering::Relaxed);
            on(Report::Retrying { location, error, attempt, wait })
        }
    };
    let done = fetch::drive(&artifact.locations, retry_for, &on_event, |location, timing| {
        let once = Once { artifact, name, limits, on, said: &said, asked: location };
        once.says(Verdict::FETCH);
        let source = once.open(fetcher, timing, &on_event)?;
        once.unpack(source, target)
    });
    match done {
        Ok((tree, fetched)) => {
            on_last(on, Report::Verified { artifact: ROOT.into(), trust: artifact.trust.clone() });
            Ok((tree, Fetched { retries: retries.into_inner(), ..fetched }))
        }
        Err(Exhausted::Stopped) => Err(LoadError::Stopped),
        Err(Exhausted::Fatal { error, .. }) => Err(LoadError::Failed(error)),
        Err(exhausted @ Exhausted::GaveUp { .. }) => {
            let Verdict { phase, hint } = Verdict::of_all(&said.into_inner());
            Err(LoadError::Failed(Failure::because(phase, name, exhausted.to_string()).hint(hint)))
        }
    }
}

/// What is done is done: the answer does not matter any more.
fn on_last(on: OnReport<'_>, report: Report) {
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = on(report);
}

#[cfg(test)]
mod tests;
