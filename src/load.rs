//! Plan → Handover: open, count, verify, unpack. Reports outward, stops when told, and leaves nothing of a root
//! that failed. What is done with the finished [`Handover`] is the supervisor's.

use std::cell::Cell;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::archive::{self, Limits, UnpackError, Unpacked};
use crate::catalog::Artifact;
use crate::fetch::{self, Attempt, Event, Exhausted, FetchError, Fetcher, Flow, Location, Source, Timing};
use crate::handover::root::{Root, SYSROOT};
use crate::handover::{self, Handover, init};
use crate::plan::{RootPlan, mib};
use crate::verify::{self, Refused, Sha256, Trust, Verified};

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
    let phase = Cell::new(Phase::Fetch);
    let retries = AtomicU32::new(0);
    let on_event = |event: Event| match event {
        Event::Tick => on(Report::Tick),
        Event::Retry { location, error, attempt, wait, .. } => {
            retries.store(attempt, Ordering::Relaxed);
            on(Report::Retrying { location, error, attempt, wait })
        }
    };
    let done = fetch::drive(&artifact.locations, retry_for, &on_event, |location, timing| {
        phase.set(Phase::Fetch);
        let once = Once { artifact, name, limits, on, phase: &phase };
        let source = once.open(fetcher, location, timing, &on_event)?;
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
            let failure = Failure::because(phase.get(), name, exhausted.to_string());
            Err(LoadError::Failed(match phase.get() {
                Phase::Verify => {
                    failure.hint("the file on the server is not the one the catalog means: see sha256sum")
                }
                Phase::Unpack => failure.hint("make the archive anew: bootjack pack"),
                _ => failure.hint("check the URL, the server and the network"),
            }))
        }
    }
}

/// What is done is done: the answer does not matter any more.
fn on_last(on: OnReport<'_>, report: Report) {
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = on(report);
}

/// One try at one mirror.
struct Once<'a> {
    artifact: &'a Artifact,
    name: &'a str,
    limits: &'a Limits,
    on: OnReport<'a>,
    phase: &'a Cell<Phase>,
}

impl Once<'_> {
    fn open(
        &self,
        fetcher: &Fetcher,
        location: &Location,
        timing: &Timing,
        on_event: fetch::OnEvent<'_>,
    ) -> Result<Source, Attempt<Failure>> {
        if (self.on)(Report::Opening { artifact: ROOT.into(), location: location.clone() }).is_break() {
            return Err(Attempt::Stopped);
        }
        let source = fetcher.open(location, timing, on_event)?;
        let bytes = source.length.or(self.artifact.size);
        self.right_size(location, source.length)?;
        if (self.on)(Report::Started { location: source.location.clone(), bytes }).is_break() {
            return Err(Attempt::Stopped);
        }
        Ok(source)
    }

    /// The catalog knows how many bytes there must be.
    fn right_size(&self, location: &Location, bytes: Option<u64>) -> Result<(), Attempt<Failure>> {
        match (self.artifact.size, bytes) {
            (Some(wanted), Some(got)) if wanted != got => {
                self.phase.set(Phase::Verify);
                Err(Attempt::Permanent(format!("{location}: has {got} bytes, the catalog says {wanted}")))
            }
            _ => Ok(()),
        }
    }

    fn unpack(
        &self,
        source: Source,
        target: &mut dyn Target,
    ) -> Result<(Verified<Unpacked>, Fetched), Attempt<Failure>> {
        let Source { reader, location, flow, .. } = source;
        let directory =
            target.fresh().map_err(|e| Attempt::Fatal(Failure::new(Phase::Unpack, target.name(), e)))?;
        let progress = |now: archive::Progress| {
            let fetched = flow.bytes();
            let answer = (self.on)(Report::Progress { fetched, unpacked: now.bytes, entries: now.entries });
            if answer.is_break() {
                flow.stop();
            }
            answer
        };
        let read = verify::through(reader, &self.artifact.trust, |bytes| {
            archive::unpack(bytes, directory.as_fd(), self.limits, &progress)
        });
        match read {
            Ok((tree, sha256)) => {
                self.right_size(&location, Some(flow.bytes()))?;
                let unpacked = tree.get().clone();
                Ok((tree, Fetched { unpacked, sha256, bytes: flow.bytes(), location, retries: 0 }))
            }
            Err(refused) => Err(self.classify(refused, &location, &flow, target)),
        }
    }

    /// Whether another try, another mirror, or nothing can help.
    fn classify(
        &self,
        refused: Refused<UnpackError>,
        location: &Location,
        flow: &Flow,
        target: &dyn Target,
    ) -> Attempt<Failure> {
        // A decoder calls a broken connection a damaged archive: the flow knows better.
        if let Some(failure) = flow.failure() {
            return Attempt::fetching(failure, flow.bytes());
        }
        match refused {
            Refused::Consume(UnpackError::Stopped) => Attempt::Stopped,
            Refused::Consume(UnpackError::Read(e)) | Refused::Drain(e) => match FetchError::of(&e) {
                Some(failure) => Attempt::fetching(failure.clone(), flow.bytes()),
                None => Attempt::Permanent(format!("{location}: {e}")),
            },
            Refused::Digest { expected, got, bytes } => {
                self.phase.set(Phase::Verify);
                Attempt::Permanent(format!(
                    "{location}: SHA-256 does not match: expected {expected}, got {got} over {bytes} bytes"
                ))
            }
            Refused::Consume(error @ UnpackError::Damaged { .. }) => {
                self.phase.set(Phase::Unpack);
                Attempt::Permanent(format!("{location}: {error}"))
            }
            Refused::Consume(error @ UnpackError::NoSpace { .. }) => Attempt::Fatal(
                Failure::because(Phase::Unpack, self.name, format!("{}: {error}", target.name()))
                    .hint("raise root_size (rd.tmpfs.size=), or use a machine with more memory"),
            ),
            Refused::Consume(error @ UnpackError::Write { .. }) => {
                Attempt::Fatal(Failure::because(Phase::Unpack, self.name, error.to_string()))
            }
        }
    }
}

/// Where in the story something happened; the first word of every failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Early,
    Drivers,
    Network,
    Catalog,
    Plan,
    Fetch,
    Verify,
    Unpack,
    Handover,
    Worker,
    Menu,
    Pack,
    Initrd,
    Serve,
    Vm,
}

/// What a failure screen, the log and the report say: phase, thing, cause, way out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    pub phase: Phase,
    /// The entry, location, interface or file it happened to.
    pub thing: String,
    /// The original diagnostic, outermost first, a line each; never empty.
    pub cause: Vec<String>,
    pub hint: Option<String>,
}

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

impl Failure {
    /// A failure with the whole chain of an error, outermost first.
    pub fn new(phase: Phase, thing: impl Into<String>, error: impl Into<anyhow::Error>) -> Self {
        let error: anyhow::Error = error.into();
        let mut cause: Vec<String> = Vec::new();
        for link in error.chain() {
            let text = link.to_string();
            // Many libraries repeat their source in their own text.
            if !cause.last().is_some_and(|last| last.contains(&text)) {
                cause.push(text);
            }
        }
        Self { phase, thing: thing.into(), cause, hint: None }
    }

    /// A failure in words of our own.
    pub fn because(phase: Phase, thing: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { phase, thing: thing.into(), cause: vec![cause.into()], hint: None }
    }

    /// The same with a way out.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Early => "early",
            Self::Drivers => "drivers",
            Self::Network => "network",
            Self::Catalog => "catalog",
            Self::Plan => "plan",
            Self::Fetch => "fetch",
            Self::Verify => "verify",
            Self::Unpack => "unpack",
            Self::Handover => "handover",
            Self::Worker => "worker",
            Self::Menu => "menu",
            Self::Pack => "pack",
            Self::Initrd => "initrd",
            Self::Serve => "serve",
            Self::Vm => "vm",
        })
    }
}

/// `phase: thing: cause: inner cause`, one line; the hint stands on a line of its own where there is room for one.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.phase, self.thing)?;
        self.cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}
