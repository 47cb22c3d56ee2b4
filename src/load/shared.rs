//! Directories that the host shares: as the root itself, and beside any root (`mount=`, `mount-ro=`). Waits for a tag
//! whose device is not there yet, and leaves nothing mounted when it fails.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Came, Failure, LoadError, Loader, Made, Phase, ROOT, Report, modules, on_last};
use crate::cmdline::ExtraMount;
use crate::fetch::{self, Attempt, Event, Exhausted, Location};
use crate::handover::init::{self, Init};
use crate::handover::root::SYSROOT;
use crate::handover::shared::{BESIDE, RunInside, Shared};
use crate::handover::{self, Handover};
use crate::plan::SharedPlan;
use crate::verify::{self, Trust};
use crate::volumes::{NO_TAG_HINT, Tag, may_appear, why_not_mounted};

/// A tag's device appears when its driver does, which is before this; so long for a slow one (seconds of silence).
const TAG_WAIT: Duration = Duration::from_secs(15);

/// Mounts a shared root and what goes beside it.
///
/// # Errors
/// [`LoadError`]; nothing is mounted then.
pub fn load_shared(
    plan: &SharedPlan,
    id: &str,
    mounts: &[ExtraMount],
    loader: &Loader<'_>,
) -> Result<Made<Shared>, LoadError> {
    let location = plan.location();
    let opening = Report::Opening { artifact: ROOT.into(), location: location.clone() };
    if (loader.on)(opening).is_break() {
        return Err(LoadError::Stopped);
    }
    let mount = || Shared::root(&plan.tag, plan.writable);
    let root = waiting(id, &plan.tag, &location, loader, mount)?;
    on_last(loader.on, Report::Verified { artifact: ROOT.into(), trust: Trust::Unverified });
    let beside = beside(mounts, loader)?;
    Ok(Made { root, beside, came: Came::default() })
}

/// The handover into a shared root: its init is looked for now.
///
/// # Errors
/// [`LoadError`]; nothing is mounted then.
pub fn finish_shared(made: Made<Shared>, plan: &SharedPlan, id: &str) -> Result<(Handover, Came), LoadError> {
    let Made { root, beside, came } = made;
    let at = Path::new(SYSROOT);
    can_move_into(at, id)?;
    let init = find_init(at, id, &beside, (&plan.inits, plan.init_named), &plan.init_args)?;
    let directory = File::open(at).map_err(|e| failed(id, e))?;
    let modules = Some(modules::of_root(&directory.into()));
    let held = verify::through(io::empty(), &Trust::Unverified, None, |_| Ok::<_, io::Error>(root));
    let (root, _) = held.map_err(|e| failed(id, io::Error::other(format!("{e:?}"))))?;
    beside.keep();
    Ok((Handover::shared_root(root, init), Came { modules, ..came }))
}

/// Mounts what is shared beside the root, in the order of the command line.
pub(super) fn beside(mounts: &[ExtraMount], loader: &Loader<'_>) -> Result<Shared, LoadError> {
    each_once(mounts).map_err(LoadError::Failed)?;
    let mut shared = Shared::default();
    for mount in mounts {
        let (ExtraMount { tag, writable }, word) = (mount, word_of(mount));
        let location = Location::Virtiofs { tag: tag.clone(), file: PathBuf::new() };
        waiting(&word, tag, &location, loader, || shared.beside(tag, *writable))?;
        let access = if *writable { "writable" } else { "read-only" };
        log::info!("{word}: {access} at {BESIDE}/{tag}");
    }
    Ok(shared)
}

/// The second of one tag would hide the first.
fn each_once(mounts: &[ExtraMount]) -> Result<(), Failure> {
    for (n, mount) in mounts.iter().enumerate() {
        if let Some(earlier) = mounts[..n].iter().find(|earlier| earlier.tag == mount.tag) {
            let why = format!("{} mounts it already", word_of(earlier));
            let failure = Failure::because(Phase::Plan, word_of(mount), why);
            return Err(failure.hint("name each tag once: mount=TAG or mount-ro=TAG"));
        }
    }
    Ok(())
}

fn word_of(mount: &ExtraMount) -> String {
    format!("mount{}={}", if mount.writable { "" } else { "-ro" }, mount.tag)
}

/// Mounts a tag, again and again while its device may still appear.
fn waiting<T>(
    thing: &str,
    tag: &Tag,
    location: &Location,
    loader: &Loader<'_>,
    mut mount: impl FnMut() -> io::Result<T>,
) -> Result<T, LoadError> {
    let on = |event: Event| match event {
        Event::Tick => (loader.on)(Report::Tick),
        Event::Retry(what) => (loader.on)(Report::Retrying(*what)),
    };
    let absent = AtomicBool::new(false);
    let mounted = fetch::drive(std::slice::from_ref(location), loader.retry_for.min(TAG_WAIT), &on, |_| {
        mount().map_err(|e| {
            let text = why_not_mounted(tag, &e);
            absent.store(may_appear(&e), Ordering::Relaxed);
            match may_appear(&e) {
                true => {
                    let silent = Duration::ZERO;
                    Attempt::<Failure>::Transient { text, silent, bytes: 0, retry_after: None }
                }
                false => Attempt::Permanent(text),
            }
        })
    });
    mounted.map_err(|why| match why {
        Exhausted::Stopped => LoadError::Stopped,
        why => {
            let failure = Failure::because(Phase::Fetch, thing, why.to_string());
            LoadError::Failed(if absent.into_inner() { failure.hint(NO_TAG_HINT) } else { failure })
        }
    })
}

/// The mounts of the old root have to find their places in the new one.
pub(super) fn can_move_into(root: &Path, id: &str) -> Result<(), LoadError> {
    handover::can_move_into(root).map_err(|e| {
        let failure = Failure::new(Phase::Handover, id, e);
        LoadError::Failed(failure.hint("make /dev, /proc, /sys and /run directories in the root"))
    })
}

/// The init, looked for with what is shared where it will be; `inits` with whether they were named.
pub(super) fn find_init(
    root: &Path,
    id: &str,
    beside: &Shared,
    (inits, named): (&[String], bool),
    args: &[String],
) -> Result<Init, LoadError> {
    let shown = match beside.is_empty() {
        true => None,
        false => Some(RunInside::show(Path::new("/run"), root).map_err(|e| without_run(id, e))?),
    };
    let found = init::find(root, inits, args);
    drop(shown);
    found.map_err(|e| {
        let failure = Failure::because(Phase::Handover, id, e.to_string());
        LoadError::Failed(failure.hint(if named {
            "name a program that the root has: init= on the kernel command line, init in the catalog"
        } else {
            "put an init into the root, or name one: init= on the kernel command line, init in the catalog"
        }))
    })
}

fn without_run(id: &str, error: io::Error) -> LoadError {
    if error.kind() != io::ErrorKind::ReadOnlyFilesystem {
        return failed(id, error);
    }
    let why = "the root has no /run, and what mount= shares lies below it";
    let failure = Failure::because(Phase::Handover, id, why);
    LoadError::Failed(failure.hint("make the directory run in the root, or say rw: then it is made"))
}

fn failed(id: &str, error: io::Error) -> LoadError {
    LoadError::Failed(Failure::new(Phase::Handover, id, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;
    use std::sync::Mutex;

    use crate::fetch::{Config, Fetcher};

    fn mount(tag: &str, writable: bool) -> ExtraMount {
        ExtraMount { tag: Tag::parse(tag).unwrap(), writable }
    }

    /// What loading these comes to, and what was reported.
    fn tried(
        mounts: &[ExtraMount],
        retry_for: Duration,
        go_on: bool,
    ) -> (Result<Shared, LoadError>, Vec<Report>) {
        let fetcher = Fetcher::new(&Config::default()).unwrap();
        let said = Mutex::new(Vec::new());
        let on = |report| {
            said.lock().unwrap().push(report);
            if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let tried = beside(mounts, &Loader { fetcher: &fetcher, retry_for, on: &on });
        (tried, said.into_inner().unwrap())
    }

    #[test]
    fn a_tag_named_twice_is_refused_before_anything_is_mounted() {
        for again in [true, false] {
            let mounts = [mount("a", true), mount("b", true), mount("a", again)];
            let (Err(LoadError::Failed(failure)), said) = tried(&mounts, Duration::ZERO, true) else {
                panic!("taken")
            };
            assert!(failure.to_string().ends_with(": mount=a mounts it already"), "{failure}");
            assert_eq!(said, []);
        }
    }

    #[test]
    fn a_tag_that_is_not_there_fails_by_its_word_and_leaves_nothing() {
        let (Err(LoadError::Failed(failure)), _) = tried(&[mount("no-such", false)], Duration::ZERO, true)
        else {
            panic!("mounted")
        };
        assert!(failure.to_string().starts_with("fetch: mount-ro=no-such: "), "{failure}");
        assert!(!Path::new(BESIDE).join("no-such").exists());
    }

    #[test]
    fn waiting_for_a_tag_is_seen_and_can_be_stopped() {
        let (tried, said) = tried(&[mount("no-such", true)], Duration::from_secs(60), false);
        assert!(matches!(tried, Err(LoadError::Stopped)), "{tried:?}");
        assert!(matches!(&said[..], [Report::Retrying(what)] if what.error.contains("no-such")), "{said:?}");
    }
}
