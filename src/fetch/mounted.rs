//! A file on something mounted: opened below the mount, never outside of it, and unmounted when its reader is gone.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::{FetchError, Location, Source, file};
use crate::volumes::Mounted;

/// Opens a regular file.
pub(super) fn open(mounted: Mounted, path: &Path, location: &Location) -> Result<Source, FetchError> {
    let opened = below(&mounted, path);
    let opened = opened.map_err(|e| FetchError::Permanent(format!("{location}: opening: {e}")))?;
    let source = file::reading(opened, location)?;
    let reader = Held { reader: source.reader, _mounted: mounted };
    Ok(Source { reader: Box::new(reader), ..source })
}

/// Symbolic links are followed as if the mount were `/` (openat2(2), RESOLVE_IN_ROOT).
pub(super) fn below(mounted: &Mounted, path: &Path) -> io::Result<File> {
    let root = File::open(mounted.path())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(openat2(&root, path, flags, Mode::empty(), resolve)?))
}

/// A reader and what must stay mounted for it; the file is closed first.
struct Held {
    reader: Box<dyn Read + Send>,
    _mounted: Mounted,
}

impl Read for Held {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}
