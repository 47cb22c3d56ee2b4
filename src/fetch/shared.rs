//! Files in a directory that the host shares by virtiofs.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::MountFlags;

use super::apart::{Place, apart};
use super::beside::beside;
use super::{FetchError, Location, OnEvent, Source, Timing, mounted};
use crate::volumes::{Mounted, Tag, may_appear, why_not_mounted};

/// Mounts the tag read-only for as long as it takes to open the file. The host may be dead: threads wait for it.
pub(super) fn open(
    tag: &Tag,
    file: &Path,
    location: &Location,
    start: u64,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Source<'static>, FetchError> {
    let name = location.to_string();
    let begun = Instant::now();
    let (tag, file, place) = (tag.clone(), file.to_owned(), location.clone());
    let opened = beside(&name, timing.connect + timing.stall, on, move || {
        let mounted = Mounted::mount(tag.as_str(), "virtiofs", MountFlags::RDONLY, "");
        let mounted = mounted.map_err(|e| failed(&tag, &place, &e))?;
        mounted::open(mounted, &file, &place, start)
    })?;
    apart(opened, Place { name, opening: begun.elapsed(), stall: timing.stall, passes: true })
}

/// A device appears when its driver does.
fn failed(tag: &Tag, location: &Location, error: &io::Error) -> FetchError {
    let text = format!("{location}: {}", why_not_mounted(tag, error));
    match may_appear(error) {
        true => FetchError::Transient { text, silent: Duration::ZERO, retry_after: None },
        false => FetchError::Permanent(text),
    }
}
