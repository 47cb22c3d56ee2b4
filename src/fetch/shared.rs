//! Files in a directory that the host shares by virtiofs.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::mount::MountFlags;

use super::{FetchError, Location, Source, mounted};
use crate::volumes::{Mounted, Tag, may_appear, why_not_mounted};

/// Mounts the tag read-only for as long as the file is read.
pub(super) fn open(tag: &Tag, file: &Path, location: &Location) -> Result<Source, FetchError> {
    let mounted = Mounted::mount(tag.as_str(), "virtiofs", MountFlags::RDONLY, "");
    let mounted = mounted.map_err(|e| failed(tag, location, &e))?;
    mounted::open(mounted, file, location)
}

/// A device appears when its driver does.
fn failed(tag: &Tag, location: &Location, error: &io::Error) -> FetchError {
    let text = format!("{location}: {}", why_not_mounted(tag, error));
    match may_appear(error) {
        true => FetchError::Transient { text, silent: Duration::ZERO, retry_after: None },
        false => FetchError::Permanent(text),
    }
}
