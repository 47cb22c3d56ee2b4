//! Modules for the kernel a root will run on, where the root has none: from an artifact of the catalog, or those that
//! came with the second stage's initrd. Loading them is the new system's business.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::{Failure, Fetched, LoadError, Loader, Phase, Target, fetch_into};
use crate::archive::Limits;
use crate::handover::root::Root;
use crate::machine::Machine;
use crate::plan::{ModulesFrom, RootPlan};
use crate::verify::Verified;

/// What became of a root's modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModulesOfRoot {
    /// The root brought its own.
    InTheRoot,
    /// It had none, and got those that were to be had.
    Added,
    /// It has none, and there were none to give.
    Missing,
}

/// What the artifact is called in reports.
pub(super) const MODULES: &str = "modules";

/// Files that are no modules: no kernel has so many.
const MOST_FILES: u64 = 100_000;

/// Where modules lie in a root.
const PLACES: &[&str] = &["lib/modules", "usr/lib/modules"];

/// Gives `root` modules for the running kernel if it has none.
pub(super) fn give(
    root: Verified<Root>,
    plan: &RootPlan,
    artifacts: &mut Vec<Fetched>,
    loader: &Loader<'_>,
) -> Result<(Verified<Root>, ModulesOfRoot), LoadError> {
    let release = Machine::probe().kernel;
    let directory = root.get().open().map_err(|e| failed(root.get().path(), e))?;
    if has_modules(&directory, &release) {
        return Ok((root, ModulesOfRoot::InTheRoot));
    }
    match &plan.modules {
        // Those of the initrd can be given once: not before the root is sure to be used.
        ModulesFrom::Nowhere | ModulesFrom::Initrd => Ok((root, ModulesOfRoot::Missing)),
        ModulesFrom::Artifact(artifact) => {
            let limits = Limits { bytes: plan.limit, entries: MOST_FILES };
            let mut target = Beside { root: directory, release: release.clone() };
            let (unpacked, fetched) = fetch_into(&mut target, artifact, MODULES, &limits, loader)?;
            artifacts.push(fetched);
            let found = has_modules(&target.root, &release);
            let root = root.and(unpacked).map(|(root, _)| root);
            if !found {
                let why = format!("it has no modules of the running kernel {release}");
                let failure = Failure::because(Phase::Unpack, MODULES, why);
                let hint = "make it of this kernel: bootjack initrd --modules-only --modules DIR";
                return Err(LoadError::Failed(failure.hint(hint)));
            }
            Ok((root, ModulesOfRoot::Added))
        }
    }
}

/// Moves the modules of this initrd, which the first stage put there for the root, into it. Says whether there were any.
pub(super) fn hand_on(root: &Root) -> Result<ModulesOfRoot, LoadError> {
    let from = Path::new("/lib/modules").join(Machine::probe().kernel);
    // Half of them are none: an earlier try may have come so far.
    if !from.join("modules.dep").exists() {
        return Ok(ModulesOfRoot::Missing);
    }
    let directory = root.open().map_err(|e| failed(root.path(), e))?;
    put_into(&from, &directory, "lib/modules", Old::Goes).map_err(|e| failed(&from, e))?;
    Ok(ModulesOfRoot::Added)
}

/// Whether a root that is used as it is has modules for the running kernel.
pub(super) fn of_root(root: &OwnedFd) -> ModulesOfRoot {
    match has_modules(root, &Machine::probe().kernel) {
        true => ModulesOfRoot::InTheRoot,
        false => ModulesOfRoot::Missing,
    }
}

/// Copies modules and firmware of somebody else's initrd, which goes on to need them, into a root that has neither, as
/// ramroot's users expect.
///
/// # Errors
/// What could not be copied.
pub fn copy_of_initrd(root: &Root) -> Result<ModulesOfRoot, LoadError> {
    let release = Machine::probe().kernel;
    let directory = root.open().map_err(|e| failed(root.path(), e))?;
    let mut came = ModulesOfRoot::Missing;
    for (from, to) in
        [(Path::new("/lib/modules").join(release), "lib/modules"), (PathBuf::from("/lib/firmware"), "lib")]
    {
        if from.is_dir() {
            put_into(&from, &directory, to, Old::Stays).map_err(|e| failed(&from, e))?;
            came = ModulesOfRoot::Added;
        }
    }
    Ok(came)
}

fn failed(path: &Path, error: io::Error) -> LoadError {
    LoadError::Failed(Failure::new(Phase::Unpack, format!("{MODULES} in {}", path.display()), error))
}

fn has_modules(root: &OwnedFd, release: &str) -> bool {
    PLACES.iter().any(|place| inside(root, &format!("{place}/{release}")).is_ok())
}

/// Opens a directory as a process whose root is `root` would: a merged-/usr root's `lib` is a link.
pub(super) fn inside(root: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path, flags, Mode::empty(), resolve)?)
}

/// The root as the target of modules: what a failed try left of them is thrown away, and nothing else.
struct Beside {
    root: OwnedFd,
    release: String,
}

impl Target for Beside {
    fn fresh(&mut self) -> io::Result<OwnedFd> {
        for place in PLACES {
            let Ok(modules) = inside(&self.root, place) else { continue };
            let half = of(&modules).join(&self.release);
            if half.exists() {
                fs::remove_dir_all(half)?;
            }
        }
        self.root.as_fd().try_clone_to_owned()
    }

    fn name(&self) -> String {
        format!("{MODULES} in the root")
    }

    fn has_tree(&self) -> bool {
        true
    }
}

/// A path that leads to an open directory, whatever lies on the way to it.
fn of(directory: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// What becomes of the files that were copied.
#[derive(Clone, Copy, PartialEq)]
enum Old {
    Stays,
    /// There may be no memory for both.
    Goes,
}

/// Puts a directory into another one of the root, which is made. A copy never touches one of that name that is there.
fn put_into(from: &Path, root: &OwnedFd, place: &str, old: Old) -> io::Result<()> {
    let mut at = root.try_clone()?;
    let mut path = PathBuf::new();
    for part in Path::new(place) {
        path.push(part);
        let text = path.to_string_lossy();
        at = match inside(root, &text) {
            Ok(there) => there,
            Err(_) => {
                fs::create_dir(of(&at).join(part))?;
                inside(root, &text)?
            }
        };
    }
    let name = from.file_name().ok_or_else(|| io::Error::other("a directory without a name"))?;
    let to = of(&at).join(name);
    if old == Old::Stays && fs::symlink_metadata(&to).is_ok() {
        return Ok(());
    }
    put_tree(from, &to, old)
}

/// A file at a time.
fn put_tree(from: &Path, to: &Path, old: Old) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            put_tree(&source, &target, old)?;
        } else if kind.is_symlink() {
            // `build` and `source` lead nowhere outside of the machine that built the kernel.
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
        match old {
            Old::Stays => {}
            Old::Goes if kind.is_dir() => fs::remove_dir(&source)?,
            Old::Goes => fs::remove_file(&source)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_put_inside_of_a_root_whose_lib_is_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (from, root) = (dir.path().join("6.1-test"), dir.path().join("root"));
        fs::create_dir_all(from.join("kernel")).unwrap();
        fs::write(from.join("kernel/a.ko"), "a").unwrap();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        // Absolute: outside of the root it leads to the machine's own.
        std::os::unix::fs::symlink("/usr/lib", root.join("lib")).unwrap();
        let directory = OwnedFd::from(fs::File::open(&root).unwrap());
        let there = root.join("usr/lib/modules/6.1-test/kernel/a.ko");
        put_into(&from, &directory, "lib/modules", Old::Stays).unwrap();
        assert_eq!(fs::read_to_string(&there).unwrap(), "a");
        fs::write(&there, "its own").unwrap();
        put_into(&from, &directory, "lib/modules", Old::Stays).unwrap();
        assert_eq!(fs::read_to_string(&there).unwrap(), "its own");
        assert!(from.join("kernel/a.ko").exists());
        fs::remove_dir_all(root.join("usr/lib/modules")).unwrap();
        put_into(&from, &directory, "lib/modules", Old::Goes).unwrap();
        assert!(there.exists() && !from.join("kernel").exists());
    }
}
