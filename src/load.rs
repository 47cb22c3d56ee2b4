//! Plan → Handover: open, count, verify, unpack. Reports outward, stops when told, and leaves nothing of a root
//! that failed. What is done with the finished [`Handover`] is the supervisor's.

mod bytes;
mod failure;
mod fitting;
mod image;
mod interfaces;
mod kexec;
mod modules;
mod once;
mod reader;
mod shared;
mod stage;
mod tries;

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use crate::archive::{Image, Limits, Unpacked};
use crate::catalog::Artifact;
use crate::cmdline::ExtraMount;
use crate::fetch::{Fetcher, Location, Retrying};
use crate::handover::Handover;
use crate::handover::root::{Root, SYSROOT};
use crate::handover::shared::Shared;
use crate::plan::{ModulesFrom, RootPlan, mib};
use crate::verify::{Sha256, Trust, Verified};
pub use failure::{Failure, Phase, clean};
pub use fitting::{Absent, Fitted};
use image::RootAndImage;
pub use kexec::{Second, load_kexec};
pub use modules::{ModulesOfRoot, copy_of_initrd};
pub use shared::{finish_shared, load_shared};
pub use stage::{CARRIED, HANDOFF};
use tries::Tries;

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
    /// It is an image: nothing is unpacked, it is read in place.
    Image(Image),
    /// A try failed. Where the next one begins with the first byte, it does so in an emptied root.
    Retrying(Retrying),
    /// Every byte was read and the digest compared, or nothing had to be.
    Verified { artifact: String, trust: Trust },
    /// All is here; the running kernel takes in a second one, so many bytes in all.
    HandingOver { bytes: u64 },
}

/// Is told each [`Report`]; `Break` stops the load.
pub type OnReport<'a> = &'a (dyn Fn(Report) -> ControlFlow<()> + Sync);

/// What the artifact of a root is called in reports.
pub const ROOT: &str = "root";

/// Why there is no handover.
#[derive(Debug)]
pub enum LoadError {
    /// The callback said stop.
    Stopped,
    Failed(Failure),
}

/// Where an archive is unpacked to. A try that broke leaves a half-made tree; the next one starts in an empty one.
pub trait Target {
    /// The directory, with nothing in it of what is to come.
    ///
    /// # Errors
    /// It cannot be emptied or opened.
    fn fresh(&mut self) -> io::Result<OwnedFd>;

    /// Its name in a failure.
    fn name(&self) -> String;

    /// Whether there is a tree in it already, to be added to.
    fn has_tree(&self) -> bool {
        false
    }

    /// Bytes of memory for an image that may stand in the place of a tree; absent: there may be none.
    fn room_for_image(&self) -> Option<u64> {
        None
    }
}

/// What an artifact is in memory.
#[derive(Debug)]
pub enum Contents {
    /// In the target.
    Tree(Unpacked),
    /// As it came, in a file in memory.
    Image(Image, File),
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
    /// What it is called in reports: `root`, `kernel`, `initrd 1`, `modules`.
    pub name: String,
    pub trust: Trust,
    /// The tree it became, if it was unpacked.
    pub unpacked: Option<Unpacked>,
    /// The image it is, if it is read in place.
    pub image: Option<Image>,
    /// Digest of the bytes as fetched, whether it was asked for or not.
    pub sha256: Sha256,
    /// The mirror it came from in the end.
    pub location: Location,
    /// All mirrors, in the order in which they are tried.
    pub mirrors: Vec<Location>,
    /// Bytes as fetched.
    pub bytes: u64,
    /// Tries before the one that worked.
    pub retries: u32,
    /// What went wrong until then, in order: the newest [`MOST_TRIES`].
    pub tries: Vec<Tried>,
    /// How many chunks were held against their digests, if the archive was fetched so.
    pub chunks: Option<u64>,
    /// From the first try to the last byte.
    pub elapsed: Duration,
}

/// A try that failed, and what was done then.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Since the first try began.
    pub at: Duration,
    pub what: Retrying,
}

/// A link that breaks every second must not fill the memory with what it says.
pub const MOST_TRIES: usize = 50;

/// All that came for a handover.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Came {
    /// In the order in which they came.
    pub artifacts: Vec<Fetched>,
    /// Whether the root has modules for the kernel it will run on; absent where there is no root yet.
    pub modules: Option<ModulesOfRoot>,
    /// What in the root did not fit this machine.
    pub fitted: Fitted,
}

/// What a load needs beside its plan.
pub struct Loader<'a> {
    pub fetcher: &'a Fetcher,
    /// Budget of silent time for each artifact.
    pub retry_for: Duration,
    pub on: OnReport<'a>,
}

/// A root that is there; nothing of it runs yet. Dropped, it is gone.
pub struct Made<R> {
    pub root: R,
    /// What the host shares beside it.
    pub beside: Shared,
    pub came: Came,
}

/// Carries out a plan up to a root in memory, with what the host shares mounted beside it.
///
/// # Errors
/// [`LoadError`]; nothing is mounted then.
pub fn load(
    plan: &RootPlan,
    id: &str,
    mounts: &[ExtraMount],
    loader: &Loader<'_>,
) -> Result<Made<Verified<Root>>, LoadError> {
    let beside = shared::beside(mounts, loader)?;
    let (root, came) = load_root(plan, id, loader)?;
    Ok(Made { root, beside, came })
}

/// The handover into a root that was loaded: its init is looked for now, whatever was done to the root meanwhile.
///
/// # Errors
/// [`LoadError`]; nothing is mounted then.
pub fn finish(made: Made<Verified<Root>>, plan: &RootPlan, id: &str) -> Result<(Handover, Came), LoadError> {
    let Made { root, beside, mut came } = made;
    let at = root.get().path();
    came.fitted = fit(root.get(), plan)?;
    shared::can_move_into(at, id)?;
    let init = shared::find_init(at, id, &beside, (&plan.inits, plan.init_named), &plan.init_args)?;
    if plan.modules == ModulesFrom::Initrd && came.modules == Some(ModulesOfRoot::Missing) {
        came.modules = Some(modules::hand_on(root.get())?);
    }
    beside.keep();
    Ok((Handover::switch_root(root, init), came))
}

/// Makes a root fit this machine: lines of its fstab, the mark of a container, the network of ramroot's.
///
/// # Errors
/// What could not be read or written in it.
pub fn fit(root: &Root, plan: &RootPlan) -> Result<Fitted, LoadError> {
    let fitted = fitting::of(root, plan.fstab)?;
    if let Some(mac) = plan.interface {
        interfaces::write(&root.open(), mac);
    }
    Ok(fitted)
}

/// Fetches, verifies and unpacks a root into a tmpfs of its own, or puts that over an image, with modules for its kernel where it has none and they
/// are to be had. Dropped, it is gone.
///
/// # Errors
/// [`LoadError`]; the tmpfs is unmounted by then.
pub fn load_root(
    plan: &RootPlan,
    id: &str,
    loader: &Loader<'_>,
) -> Result<(Verified<Root>, Came), LoadError> {
    load_root_at(Path::new(SYSROOT), plan, id, loader)
}

/// The same at another place: where somebody else's initrd wants it.
///
/// # Errors
/// [`LoadError`]; the tmpfs is unmounted by then.
pub fn load_root_at(
    at: &Path,
    plan: &RootPlan,
    id: &str,
    loader: &Loader<'_>,
) -> Result<(Verified<Root>, Came), LoadError> {
    let failed = |e: io::Error| LoadError::Failed(Failure::new(Phase::Unpack, at.display().to_string(), e));
    let mut root = Root::mount(at, plan.limit).map_err(failed)?;
    let limits = Limits {
        bytes: plan.archive.unpacked.unwrap_or(plan.limit).min(plan.limit),
        // Directories that are not members of their own count too: no exact number is known before.
        entries: plan
            .archive
            .entries
            .map_or(plan.memory.available / 1024, |n| n.saturating_mul(8).saturating_add(1024)),
    };
    let mut target = RootAndImage { root: &mut root, available: plan.memory.available };
    let (contents, fetched) =
        fetch_into(&mut target, &plan.archive, ROOT, &limits, loader).map_err(|e| e.of(id))?;
    let mut came = Came { artifacts: vec![fetched], ..Came::default() };
    // Here its digest has matched, if it has one: before that the kernel reads nothing of an image.
    let root = contents.try_map(|contents| image::stand(root, contents, id))?;
    let (tree, modules) = modules::give(root, plan, &mut came.artifacts, loader)?;
    came.modules = Some(modules);
    Ok((tree, came))
}

impl LoadError {
    /// The same, as something that happened to this entry.
    fn of(self, id: &str) -> Self {
        match self {
            Self::Failed(failure) => Self::Failed(Failure { thing: id.to_owned(), ..failure }),
            Self::Stopped => Self::Stopped,
        }
    }
}

/// Fetches and verifies an artifact, and unpacks it or keeps it as an image, trying again and over all mirrors as long as the budget allows.
///
/// # Errors
/// [`LoadError`]; what a failed try left in the target is the target's to throw away.
pub fn fetch_into(
    target: &mut dyn Target,
    artifact: &Artifact,
    name: &str,
    limits: &Limits,
    loader: &Loader<'_>,
) -> Result<(Verified<Contents>, Fetched), LoadError> {
    let (contents, fetched) =
        Tries::of(artifact, name, loader).drive(&mut |once, source| once.unpack(source, target, limits))?;
    let (unpacked, image) = match contents.get() {
        Contents::Tree(unpacked) => (Some(unpacked.clone()), None),
        Contents::Image(image, _) => (None, Some(*image)),
    };
    Ok((contents, Fetched { unpacked, image, ..fetched }))
}

/// What is done is done: the answer does not matter any more.
fn on_last(on: OnReport<'_>, report: Report) {
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = on(report);
}

#[cfg(test)]
mod tests;
