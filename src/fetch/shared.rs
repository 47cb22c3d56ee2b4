//! Files in a directory that the host shares by virtiofs.

use std::path::Path;

use rustix::mount::MountFlags;

use super::{FetchError, Location, Source, mounted};
use crate::volumes::{Mounted, Tag};

/// Mounts the tag read-only for as long as the file is read.
pub(super) fn open(tag: &Tag, file: &Path, location: &Location) -> Result<Source, FetchError> {
    let mounted = Mounted::mount(tag.as_str(), "virtiofs", MountFlags::RDONLY, "");
    let mounted = mounted.map_err(|e| FetchError::Permanent(format!("{location}: mounting: {e}")))?;
    mounted::open(mounted, file, location)
}
