//! [`Unwritten`]: block devices that nothing is written to while they are mounted. Mounting is for others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::libc;
use rustix::io::Errno;

use crate::sys;

/// The devices that are held, a line each: a worker that dies leaves them to the next one.
const HELD_LIST: &str = "/run/bootjack/unwritten";

/// How many hold each device.
static HELD: Mutex<BTreeMap<PathBuf, u32>> = Mutex::new(BTreeMap::new());

/// A device to which the kernel writes nothing as long as one of these lives. `ro` alone does not keep ext4 and f2fs
/// from throwing away files that were open and without a name when the power failed (`ext4_orphan_cleanup`).
#[derive(Debug)]
pub struct Unwritten(PathBuf);

impl Unwritten {
    /// Nothing where it is read-only by itself, or in use already: then somebody may be writing to it, and goes on.
    ///
    /// # Errors
    /// Of opening the device, of ioctl(2) `BLKROSET`, and of noting it down in /run.
    pub fn hold(path: &Path) -> io::Result<Option<Self>> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(path) {
            *count += 1;
            return Ok(Some(Self(path.to_owned())));
        }
        let alone = File::options().read(true).custom_flags(libc::O_EXCL).open(path);
        match alone {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::BUSY) => return Ok(None),
            // Closed: the mount wants it alone, too.
            alone => drop(alone?),
        }
        let device = File::open(path)?;
        if sys::is_read_only(&device)? {
            return Ok(None);
        }
        held.insert(path.to_owned(), 1);
        if let Err(e) = note(&held).and_then(|()| sys::set_read_only(&device, true)) {
            // Nobody holds it: the next one has to try for itself.
            held.remove(path);
            return Err(e);
        }
        Ok(Some(Self(path.to_owned())))
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get_mut(&self.0);
        if let Some(count) = count.filter(|count| **count > 1) {
            *count -= 1;
            return;
        }
        held.remove(&self.0);
        if let Err(e) = writable(&self.0).and_then(|()| note(&held)) {
            log::error!("{} stays read-only: {e}", self.0.display());
        }
    }
}

fn writable(path: &Path) -> io::Result<()> {
    sys::set_read_only(&File::open(path)?, false)
}

fn note(held: &BTreeMap<PathBuf, u32>) -> io::Result<()> {
    if held.is_empty() {
        return match fs::remove_file(HELD_LIST) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create("/run/bootjack")?;
    let lines: Vec<String> = held.keys().map(|path| format!("{}\n", path.display())).collect();
    fs::write(HELD_LIST, lines.concat())
}

/// Gives back what is still held, by this worker or one before it: of a mount that hangs, nobody waits for the end. The
/// next system finds the devices as they were.
pub fn release_all() {
    let lines = match fs::read_to_string(HELD_LIST) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return,
        Err(e) => return log::error!("{HELD_LIST}: {e}"),
        Ok(lines) => lines,
    };
    for path in lines.lines() {
        match writable(Path::new(path)) {
            Ok(()) => log::warn!("{path}: a mount of it that never ended was given up"),
            Err(e) => log::error!("{path} stays read-only: {e}"),
        }
    }
    if let Err(e) = fs::remove_file(HELD_LIST) {
        log::error!("{HELD_LIST}: {e}");
    }
}
