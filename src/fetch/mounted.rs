//! A file on something mounted: opened below the mount, never outside of it. The mount is gone when it is open.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::{FetchError, Location, Source, file};
use crate::volumes::Mounted;

/// Opens a regular file, and unmounts.
pub(super) fn open(
    mounted: Mounted,
    path: &Path,
    location: &Location,
    start: u64,
) -> Result<Source<'static>, FetchError> {
    let opened = below(&mounted, path);
    let opened = opened.map_err(|e| FetchError::Permanent(format!("{location}: opening: {e}")))?;
    // The open file keeps what it needs (umount2(2), MNT_DETACH): whatever happens, no mount is left behind.
    drop(mounted);
    file::reading(opened, location, start)
}

/// Symbolic links are followed as if the mount were `/` (openat2(2), RESOLVE_IN_ROOT).
pub(super) fn below(mounted: &Mounted, path: &Path) -> io::Result<File> {
    let root = File::open(mounted.path())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(openat2(&root, path, flags, Mode::empty(), resolve)?))
}
