//! [`Mounted`]: something mounted for as long as it is read from, at a place of its own below [`MOUNTS`].

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Where sources are mounted, one directory each.
pub const MOUNTS: &str = "/run/bootjack/mnt";

/// A mounted file system. Dropped, it is unmounted.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
}

/// Every mount of this process has a number of its own.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Mounted {
    /// Mounts `source` with the options of its file system; `flags` go beside nosuid, nodev and noexec: data is read
    /// from it, and nothing else.
    ///
    /// # Errors
    /// Of mkdir(2) or mount(2).
    pub fn mount(source: &str, kind: &str, flags: MountFlags, options: &str) -> io::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let at = Path::new(MOUNTS).join(format!("{}-{number}", std::process::id()));
        // Nobody else's business: what is on the source may say that everybody can read it.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&at)?;
        let flags = flags | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let options = CString::new(options)?;
        match mount(source, &at, kind, flags, options.as_c_str()) {
            Ok(()) => Ok(Self { at }),
            Err(e) => {
                // An empty directory is in nobody's way.
                let _left = fs::remove_dir(&at);
                Err(e.into())
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Busy only if a file of it is still open: it goes when that is closed.
        if let Err(e) = unmount(&self.at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            log::error!("unmounting {}: {e}", self.at.display());
        }
        let _left = fs::remove_dir(&self.at);
    }
}

/// Unmounts whatever a worker that died left below [`MOUNTS`]. Says what it was.
///
/// # Errors
/// Of readdir(3) or umount2(2); the rest is unmounted all the same.
pub fn discard_all() -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(MOUNTS) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let (mut found, mut failed) = (Vec::new(), None);
    for entry in entries {
        let path = entry?.path();
        match unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => found.push(path.clone()),
            // EINVAL: not a mount point (umount2(2)).
            Err(rustix::io::Errno::INVAL) => {}
            Err(e) => failed = Some(e),
        }
        let _left = fs::remove_dir(&path);
    }
    failed.map_or(Ok(found), |e| Err(e.into()))
}
