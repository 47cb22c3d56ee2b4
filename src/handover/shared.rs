//! Directories that the host shares by virtiofs: one as the root itself, others below [`BESIDE`] for whatever runs in
//! any root. Which, and how long one is waited for, is `load`'s.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};

use super::root::SYSROOT;
use crate::volumes::Tag;

/// Where shared directories beside the root are mounted, each in one of its tag's name; it moves with `/run`.
pub const BESIDE: &str = "/run/mnt";

/// Mounted directories of the host. Dropped, they are unmounted, the last first.
#[derive(Debug, Default)]
pub struct Shared {
    at: Vec<PathBuf>,
}

impl Shared {
    /// Mounts `tag` as the next root.
    ///
    /// # Errors
    /// Of mkdir(2) or mount(2).
    pub fn root(tag: &Tag, writable: bool) -> io::Result<Self> {
        let mut shared = Self::default();
        shared.mount(tag.as_str(), "virtiofs", Path::new(SYSROOT), writable)?;
        Ok(shared)
    }

    /// Mounts `tag` beside the root.
    ///
    /// # Errors
    /// Of mkdir(2) or mount(2).
    pub fn beside(&mut self, tag: &Tag, writable: bool) -> io::Result<()> {
        self.mount(tag.as_str(), "virtiofs", &Path::new(BESIDE).join(tag.as_str()), writable)
    }

    /// The mount alone is read-only, not its file system: every mount of one tag shares that, and the next may be
    /// writable.
    fn mount(&mut self, source: &str, kind: &str, at: &Path, writable: bool) -> io::Result<()> {
        fs::create_dir_all(at)?;
        if let Err(e) = mount(source, at, kind, MountFlags::empty(), None) {
            // An empty directory is in nobody's way.
            let _left = fs::remove_dir(at);
            return Err(e.into());
        }
        self.at.push(at.to_owned());
        if !writable {
            mount_remount(at, MountFlags::BIND | MountFlags::RDONLY, "")?;
        }
        Ok(())
    }

    /// Whether nothing is mounted.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// They stay mounted after `self` is gone.
    pub fn keep(mut self) {
        self.at.clear();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for at in self.at.drain(..).rev() {
            if let Err(e) = unmount(&at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                log::error!("unmounting {}: {e}", at.display());
            }
            let _left = fs::remove_dir(&at);
        }
    }
}

/// Unmounts whatever a worker that died left below [`BESIDE`]. Says whether there was something.
///
/// # Errors
/// Of readdir(3) or umount2(2).
pub(super) fn discard() -> io::Result<bool> {
    discard_below(Path::new(BESIDE))
}

fn discard_below(place: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(place) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    let mut found = false;
    for entry in entries {
        let at = entry?.path();
        loop {
            match unmount(&at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                Ok(()) => found = true,
                // EINVAL: not a mount point (any more).
                Err(Errno::INVAL) => break,
                Err(e) => return Err(e.into()),
            }
        }
        let _left = fs::remove_dir(&at);
    }
    Ok(found)
}

/// `/run` as the root will have it, for a look at what lies below it before it moves there. Dropped, it is gone again.
#[derive(Debug)]
pub struct RunInside {
    at: PathBuf,
}

impl RunInside {
    /// Shows `run` in the tree at `root`, with all that is mounted below it.
    ///
    /// # Errors
    /// Of mkdir(2), where the root has none, or mount(2).
    pub fn show(run: &Path, root: &Path) -> io::Result<Self> {
        let at = root.join("run");
        if !at.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            fs::create_dir(&at)?;
        }
        mount_bind_recursive(run, &at)?;
        let shown = Self { at };
        // Or taking it away again took the originals along, where mounts are shared.
        mount_change(&shown.at, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        Ok(shown)
    }
}

impl Drop for RunInside {
    fn drop(&mut self) {
        if let Err(e) = unmount(&self.at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            log::error!("unmounting {}: {e}", self.at.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // These need the right to mount, as the machine that runs the tests has in CI and in the VMs. A tmpfs stands for
    // what a host shares: who mounts it is the same.
    fn mounted(at: &Path, writable: bool) -> Shared {
        let mut shared = Shared::default();
        shared.mount("shared", "tmpfs", at, writable).unwrap();
        shared
    }

    fn is_mounted(at: &Path) -> bool {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.lines().any(|line| line.split(' ').nth(4) == at.to_str())
    }

    #[test]
    fn what_is_shared_is_read_only_unless_it_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (closed, open) = (dir.path().join("closed"), dir.path().join("open"));
        let shared = [mounted(&closed, false), mounted(&open, true)];
        let refused = fs::write(closed.join("file"), "x").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
        fs::write(open.join("file"), "x").unwrap();
        drop(shared);
    }

    #[test]
    fn what_is_not_kept_is_unmounted_and_its_directory_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let mut shared = mounted(&one, true);
        shared.mount("shared", "tmpfs", &two, false).unwrap();
        drop(shared);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        mounted(&one, true).keep();
        assert!(is_mounted(&one));
        assert!(discard_below(dir.path()).unwrap(), "something was there");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(!discard_below(dir.path()).unwrap(), "and is not any more");
    }

    #[test]
    fn what_cannot_be_mounted_leaves_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("one");
        Shared::default().mount("shared", "nosuchfs", &at, true).unwrap_err();
        assert!(!at.exists());
    }

    #[test]
    fn a_program_below_run_is_seen_in_the_root_and_the_original_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (run, root) = (dir.path().join("run"), dir.path().join("root"));
        let tag = run.join("mnt/tools");
        fs::create_dir_all(&root).unwrap();
        let shared = mounted(&tag, true);
        fs::write(tag.join("vm.py"), "#!/bin/sh\n").unwrap();
        {
            let _shown = RunInside::show(&run, &root).unwrap();
            assert!(root.join("run/mnt/tools/vm.py").exists());
        }
        assert_eq!(fs::read_dir(root.join("run")).unwrap().count(), 0);
        assert!(tag.join("vm.py").exists(), "the original went along");
        drop(shared);
    }
}
