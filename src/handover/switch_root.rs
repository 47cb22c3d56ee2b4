//! From the initramfs into the new root, keeping the kernel: move the mounts, give back the initramfs' memory, become
//! the new init. What the new root holds was verified before.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, fstatfs, open, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, unmount};
use rustix::process::{chdir, chroot, pivot_root};

use super::init::Init;

/// What moves into the new root: the kernel's views, and `/run` with the report.
pub(super) const MUST_MOVE: &[&str] = &["/dev", "/proc", "/sys", "/run"];

/// Magic numbers of statfs(2): only these file systems give memory back when their files go.
const RAMFS_MAGIC: u64 = 0x8584_58f6;
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// How a handover failed.
#[derive(Debug)]
pub enum Fallen {
    /// Everything is as it was.
    Back(anyhow::Error),
    /// The old root is gone: nothing of it can be started any more.
    Gone(anyhow::Error),
}

/// Whether the mounts of the old root can move into the tree at `root`: a link in the place of a directory would lead
/// them out of it.
///
/// # Errors
/// The path that is no directory, and what it is.
pub fn can_move_into(root: &Path) -> anyhow::Result<()> {
    for from in MUST_MOVE {
        let target = root.join(from.trim_start_matches('/'));
        if let Ok(found) = target.symlink_metadata() {
            ensure!(found.is_dir(), "{from} of the root is no directory but {}", kind(&found));
        }
    }
    Ok(())
}

fn kind(found: &fs::Metadata) -> &'static str {
    if found.is_symlink() { "a symbolic link" } else { "something else" }
}

/// Makes the tree mounted at `root` the root and `init` process 1.
///
/// # Errors
/// [`Fallen`]: before the point of no return with every mount back in its place.
pub fn switch_root(root: &Path, init: &Init) -> Result<Infallible, Fallen> {
    let mut moved = Vec::new();
    let (old, left) = match prepare(root, &mut moved) {
        Ok(prepared) => prepared,
        Err(e) => {
            for back in moved.iter().rev() {
                let there = root.join(back.trim_start_matches('/'));
                if let Err(e) = mount_move(&there, *back) {
                    log::error!("moving {} back: {e}", there.display());
                }
            }
            return Err(Fallen::Back(e));
        }
    };
    for from in left {
        if let Err(e) = unmount(from, UnmountFlags::DETACH) {
            log::warn!("unmounting {from}: {e}");
        }
    }
    leave_old_root(old).and_then(|()| become_init(init)).map_err(Fallen::Gone)
}

/// All that can still be undone; the old root, to be emptied, and the mounts that the new one has no place for.
fn prepare(root: &Path, moved: &mut Vec<&'static str>) -> anyhow::Result<(OwnedFd, Vec<&'static str>)> {
    ensure!(std::process::id() == 1, "only process 1 can switch root");
    let old = open("/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context("opening the old root")?;
    let mut left = Vec::new();
    for &from in MUST_MOVE {
        if !move_into(root, from, moved)? {
            log::warn!("the root is read-only and has no {from}: it gets none");
            left.push(from);
        }
    }
    // A root may keep its /tmp elsewhere, as a link: then ours is of no use to it.
    if root.join("tmp").symlink_metadata().is_ok_and(|m| m.is_dir()) {
        move_into(root, "/tmp", moved)?;
    }
    chdir(root).with_context(|| format!("entering {}", root.display()))?;
    Ok((old, left))
}

/// False if the root has no place for it and none can be made: it is read-only.
fn move_into(root: &Path, from: &'static str, moved: &mut Vec<&'static str>) -> anyhow::Result<bool> {
    if !is_mount_point(Path::new(from)) {
        return Ok(true);
    }
    let target = root.join(from.trim_start_matches('/'));
    if !target.symlink_metadata().is_ok_and(|m| m.is_dir()) {
        match fs::create_dir(&target) {
            Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => return Ok(false),
            made => made.with_context(|| format!("making {from} in the new root"))?,
        }
    }
    mount_move(from, &target).with_context(|| format!("moving {from} into the new root"))?;
    moved.push(from);
    Ok(true)
}

fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |p: &Path| p.symlink_metadata().map(|m| m.dev()).ok();
    device(path).is_some() && device(path) != device(Path::new("/"))
}

/// Puts the current directory in the place of `/`. Kernels from 7.0 pivot out of the initramfs; older ones answer EINVAL, and the
/// initramfs has to be emptied by hand, or its memory is lost to the new system.
fn leave_old_root(old: OwnedFd) -> anyhow::Result<()> {
    match pivot_root(".", ".") {
        Ok(()) => {
            unmount(".", UnmountFlags::DETACH).context("unmounting the old root")?;
            return chdir("/").context("entering the new root");
        }
        Err(e) => log::debug!("pivot_root: {e}; emptying the initramfs instead"),
    }
    give_back_memory(old);
    mount_move(".", "/").context("moving the new root to /")?;
    chroot(".").context("entering the new root")?;
    chdir("/").context("entering the new root")
}

/// Deletes what the initramfs holds. What cannot be deleted costs memory, not the boot.
fn give_back_memory(old: OwnedFd) {
    match fstatfs(&old).map(|s| s.f_type as u64) {
        Ok(RAMFS_MAGIC | TMPFS_MAGIC) => {}
        Ok(other) => return log::warn!("the old root is no ramfs or tmpfs (0x{other:x}): left as it is"),
        Err(e) => return log::warn!("statfs of the old root: {e}: left as it is"),
    }
    let device = match fstat(&old) {
        Ok(stat) => stat.st_dev,
        Err(e) => return log::warn!("stat of the old root: {e}: left as it is"),
    };
    if let Err(e) = empty(old.as_fd(), device) {
        log::warn!("emptying the old root: {e}");
    }
}

/// Removes everything below `dir` that lies on the file system `device`; never goes into a mount.
fn empty(dir: BorrowedFd<'_>, device: u64) -> io::Result<()> {
    let names: Vec<_> = Dir::read_from(dir)?.collect::<Result<_, _>>()?;
    for entry in names {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if stat.st_dev != device {
            continue;
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let child = openat(dir, name, flags, Mode::empty())?;
            empty(child.as_fd(), device)?;
            match unlinkat(dir, name, AtFlags::REMOVEDIR) {
                // A directory that something is mounted on stays, and so do those above it.
                Ok(()) | Err(Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(e) => log::warn!("removing {name:?} of the old root: {e}"),
            }
        } else if let Err(e) = unlinkat(dir, name, AtFlags::empty()) {
            log::warn!("removing {name:?} of the old root: {e}");
        }
    }
    Ok(())
}

fn become_init(init: &Init) -> anyhow::Result<Infallible> {
    if !Path::new("/dev/console").exists() {
        // A kernel whose devtmpfs could not be mounted at the start: systemd and busybox want a console at once.
        if let Err(e) = mount("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, Some(c"mode=0755")) {
            log::warn!("mounting /dev: {e}");
        }
    }
    let mut command = Command::new(&init.path);
    command.args(&init.args).env_clear().envs(kernels_environment());
    if let Ok(console) = File::options().read(true).write(true).open("/dev/console") {
        command.stdin(console.try_clone()?).stdout(console.try_clone()?).stderr(Stdio::from(console));
    }
    nix::sys::signal::SigSet::empty().thread_set_mask().context("unblocking signals")?;
    Err(command.exec()).with_context(|| format!("starting {}", init.path))
}

/// The environment the kernel gave to process 1, without what is only meant for bootjack.
fn kernels_environment() -> impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let ours = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
        !ours("bootjack.") && !ours("rd.tmpfs.") && name != OsStr::new("BOOT_IMAGE")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_root_without_a_place_for_a_mount_goes_without() {
        let dir = tempfile::tempdir().unwrap();
        mount("none", dir.path(), "tmpfs", MountFlags::RDONLY, None).unwrap();
        let mut moved = Vec::new();
        let went = move_into(dir.path(), "/proc", &mut moved);
        unmount(dir.path(), UnmountFlags::DETACH).unwrap();
        assert!(!went.unwrap());
        assert!(moved.is_empty() && Path::new("/proc/self").exists());
    }

    #[test]
    fn emptying_takes_all_that_is_not_a_mount() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        fs::create_dir_all(at.join("a/b")).unwrap();
        fs::create_dir_all(at.join("mounted/on")).unwrap();
        fs::write(at.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", at.join("link")).unwrap();
        mount("none", at.join("mounted/on"), "tmpfs", MountFlags::empty(), None).unwrap();
        fs::write(at.join("mounted/on/kept"), "x").unwrap();
        let fd = open(at, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        empty(fd.as_fd(), fstat(&fd).unwrap().st_dev).unwrap();
        let left: Vec<_> = fs::read_dir(at).unwrap().map(|e| e.unwrap().file_name()).collect();
        let kept = at.join("mounted/on/kept").exists();
        unmount(at.join("mounted/on"), UnmountFlags::DETACH).unwrap();
        assert_eq!(left, ["mounted"]);
        assert!(kept, "a mount was not entered");
        assert!(Path::new("/etc/passwd").exists(), "a link was not followed");
    }
}
