//! The tmpfs a root is unpacked into: mounted with a limit, thrown away whole unless it is kept for a handover. Of an image
//! it is the upper layer: that is `image`'s.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

/// Where the next root is built. Not below `/run`, which moves into it.
pub const SYSROOT: &str = "/sysroot";

/// A mounted tmpfs. Dropping it unmounts it, and with it goes all that was in it.
#[derive(Debug)]
pub struct Root {
    at: PathBuf,
    limit: u64,
    mounted: bool,
}

impl Root {
    /// Mounts a tmpfs at `at` (made if missing) that may hold `limit` bytes.
    ///
    /// `nr_inodes=0` because the kernel's default (half the pages of memory) is met by trees of small files;
    /// `mode=0755` because it is a root directory (tmpfs(5)).
    ///
    /// # Errors
    /// Of mkdir(2) or mount(2).
    pub fn mount(at: &Path, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(at)?;
        let mut root = Self { at: at.to_owned(), limit, mounted: false };
        root.mount_again()?;
        Ok(root)
    }

    /// Throws away all that is in it and gives an empty tree.
    ///
    /// # Errors
    /// Of umount2(2) or mount(2).
    pub fn empty(&mut self) -> io::Result<OwnedFd> {
        self.unmount()?;
        self.mount_again()?;
        self.open()
    }

    /// The root directory.
    ///
    /// # Errors
    /// Of open(2).
    pub fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(open(&self.at, flags, Mode::empty())?)
    }

    /// Makes the limit smaller: something else takes of the memory, too.
    ///
    /// # Errors
    /// Of mount(2): it holds more already.
    pub fn shrink(&mut self, limit: u64) -> io::Result<()> {
        if limit < self.limit {
            mount_remount(&self.at, MountFlags::empty(), format!("size={limit}"))?;
            self.limit = limit;
        }
        Ok(())
    }

    /// Bytes its limit allows.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Where it is mounted; it stays so after `self` is gone.
    pub fn keep(mut self) -> PathBuf {
        self.mounted = false;
        std::mem::take(&mut self.at)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Puts another tree in its place; nothing is mounted there after a failure. Whatever `put` mounts may still use what
    /// was there.
    pub(super) fn replace(&mut self, put: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        self.unmount()?;
        put(&self.at)?;
        self.mounted = true;
        Ok(())
    }

    fn mount_again(&mut self) -> io::Result<()> {
        let options = std::ffi::CString::new(format!("mode=0755,nr_inodes=0,size={}", self.limit))?;
        mount("bootjack", &self.at, "tmpfs", MountFlags::empty(), options.as_c_str())?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.mounted) {
            unmount(&self.at, UnmountFlags::DETACH)?;
        }
        Ok(())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(e) = self.unmount() {
            log::error!("unmounting {}: {e}", self.at.display());
        }
    }
}

/// Unmounts whatever a worker that died left at [`SYSROOT`]. Says whether there was something.
///
/// # Errors
/// Of umount2(2).
pub fn discard() -> io::Result<bool> {
    let mut found = false;
    loop {
        match unmount(SYSROOT, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => found = true,
            // EINVAL: not a mount point; ENOENT: never made (umount2(2)).
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(found),
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // These need the right to mount, as the machine that runs the tests has in CI and in the VMs.
    #[test]
    fn a_root_that_is_not_kept_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("root");
        let mut root = Root::mount(&at, 1 << 20).unwrap();
        fs::write(at.join("file"), "x").unwrap();
        root.empty().unwrap();
        assert!(!at.join("file").exists(), "emptied");
        fs::write(at.join("file"), "x").unwrap();
        drop(root);
        assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    }

    #[test]
    fn a_limit_becomes_smaller_and_never_larger() {
        let dir = tempfile::tempdir().unwrap();
        let mut root = Root::mount(&dir.path().join("root"), 1 << 20).unwrap();
        root.shrink(2 << 20).unwrap();
        let fits = |bytes: usize| fs::write(root.path().join("file"), vec![0; bytes]).is_ok();
        assert!(fits(1 << 20) && !fits(2 << 20), "it grew");
        assert!(fits(0));
        root.shrink(64 << 10).unwrap();
        assert!(
            fs::write(root.path().join("file"), vec![0; 128 << 10]).is_err(),
            "it holds as much as before"
        );
        assert_eq!(root.limit(), 64 << 10);
    }

    #[test]
    fn a_kept_root_stays_mounted_and_holds_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let at = Root::mount(&dir.path().join("root"), 1 << 20).unwrap().keep();
        assert!(fs::write(at.join("fits"), vec![0; 512 << 10]).is_ok());
        let full = fs::write(at.join("does-not"), vec![0; 1 << 20]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        unmount(&at, UnmountFlags::DETACH).unwrap();
    }
}
