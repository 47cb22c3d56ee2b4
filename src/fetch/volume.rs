//! Files on a block device, and the device itself: looked for until it is there, mounted so that nothing is ever written
//! to it. Which device is meant is `volumes`'.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::apart::{Place, apart};
use super::beside::beside;
use super::error::seconds;
use super::{Config, Event, FetchError, Location, OnEvent, Retrying, Source, Timing, file, mounted};
use crate::volumes::{self, Content, Found, Mounted, NotFound, Unwritten, Volume};

/// A device that is not there is looked for so often: disks behind USB and SAS take seconds to appear.
const AGAIN: Duration = Duration::from_millis(200);

/// A disk may take its time where a server may not: a drive that spins up, an error that the kernel tries to get over
/// (30 s for each command of SCSI, `/sys/block/*/device/timeout`).
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens a file on the volume, or the volume itself.
pub(super) fn open(
    volume: &Volume,
    path: Option<&Path>,
    location: &Location,
    start: u64,
    config: &Config,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Source<'static>, FetchError> {
    let found = wait(volume, location, config, timing, on)?;
    let name = location.to_string();
    let begun = Instant::now();
    let stall = timing.stall.max(PATIENCE);
    let (path, place) = (path.map(Path::to_owned), location.clone());
    let opened = beside(&name, stall, on, move || on_device(&found, path.as_deref(), &place, start))?;
    apart(opened, Place { name, opening: begun.elapsed(), stall, passes: false })
}

/// A device as a whole is read from its first byte.
fn on_device(
    found: &Found,
    path: Option<&Path>,
    location: &Location,
    start: u64,
) -> Result<Source<'static>, FetchError> {
    let device = &found.device;
    let Some(path) = path else {
        let opened = File::open(&device.path).map_err(|e| permanent(location, &format!("opening: {e}")))?;
        return file::device(opened, location);
    };
    let name = device.path.display();
    let content = device.content.as_ref().ok_or_else(|| {
        let why = device.unreadable.as_deref().unwrap_or("there is no file system on it that is known");
        permanent(location, &format!("{name}: {why}"))
    })?;
    let mounted = mount(found, content).map_err(|why| permanent(location, &format!("{name}: {why}")))?;
    if content.unclean {
        log::warn!("{location}: {name} was not unmounted cleanly: what was written last is not seen");
    }
    mounted::open(mounted, path, location, start).map_err(|error| match error {
        FetchError::Permanent(text) => FetchError::Permanent(format!("{text} ({name}, {})", content.kind)),
        other => other,
    })
}

/// Looks until the device is there, or the time for one try, or the time that was asked for, is over.
fn wait(
    volume: &Volume,
    location: &Location,
    config: &Config,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Found, FetchError> {
    let begun = Instant::now();
    let most = config.device_wait.unwrap_or(timing.connect);
    let mut said = Duration::ZERO;
    let mut times = 0;
    loop {
        let why = match look(volume, location, timing, on)? {
            Ok(found) => return Ok(found),
            Err(why @ NotFound::None { .. }) => why,
            Err(why) => return Err(permanent(location, &why.to_string())),
        };
        // What is put together now is found in the next round.
        assemble(volume, location, config, on)?;
        let waited = begun.elapsed();
        let lacking = volumes::lacking(&config.assembly, volume);
        let lacking =
            lacking.map(|program| format!("; it may need {program}: bootjack initrd --with {program}"));
        let lacking = lacking.unwrap_or_default();
        let text = || format!("{location}: {why} (waited {}){lacking}", seconds(waited));
        if waited >= most {
            return Err(match config.device_wait {
                // It was said how long, and trying again would double it.
                Some(_) => FetchError::Permanent(text()),
                None => FetchError::Transient { text: text(), silent: waited, retry_after: None },
            });
        }
        // A wait of minutes is seen, as tries are.
        let event = if waited.saturating_sub(said) >= timing.connect {
            (said, times) = (waited, times + 1);
            let left = most.saturating_sub(waited);
            Event::Retry(Box::new(Retrying {
                location: location.clone(),
                error: text(),
                attempt: times,
                wait: Duration::ZERO,
                budget_left: left,
                next: location.clone(),
                from: 0,
                wrong_bytes: false,
            }))
        } else {
            Event::Tick
        };
        if on(event).is_break() {
            return Err(FetchError::Stopped);
        }
        std::thread::sleep(AGAIN.min(most.saturating_sub(waited)));
    }
}

/// On a thread, too: disks are read for it, and its programs read them. Told to stop, it ends what it runs.
fn assemble(
    volume: &Volume,
    location: &Location,
    config: &Config,
    on: OnEvent<'_>,
) -> Result<(), FetchError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (told, assembly, wanted) = (Arc::clone(&stop), config.assembly.clone(), volume.clone());
    let work = move || {
        let go_on = || match told.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        Ok(volumes::assemble(&assembly, &wanted, &go_on))
    };
    let done = beside(&location.to_string(), 2 * PATIENCE, on, work);
    stop.store(true, Ordering::Relaxed);
    done?.map_err(|e| permanent(location, &e.to_string()))
}

/// Looks once, on a thread: what is on a device is learned by reading from it. In an encrypted device that is open it
/// is what is inside that counts.
fn look(
    volume: &Volume,
    location: &Location,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Result<Found, NotFound>, FetchError> {
    let volume = volume.clone();
    let find = move || {
        let found = volumes::find(&volume);
        Ok(found.and_then(|found| match volumes::opened(&found.device) {
            Some(inside) => volumes::find(&inside),
            None => Ok(found),
        }))
    };
    beside(&location.to_string(), timing.stall.max(PATIENCE), on, find)
}

/// Mounts a file system so that neither a file nor a journal is written: what it says was not in order when it was left
/// stays as it is. Options: Documentation/filesystems and Documentation/admin-guide of the kernel.
fn mount(found: &Found, content: &Content) -> Result<Mounted, String> {
    let (kind, options) = match content.kind {
        // One driver for all three.
        "ext2" | "ext3" | "ext4" => ("ext4", "noload"),
        // A copy of a disk has the UUID of the disk, and both may be there.
        "xfs" => ("xfs", "norecovery,nouuid"),
        "btrfs" => ("btrfs", "rescue=nologreplay"),
        "f2fs" => ("f2fs", "norecovery"),
        "vfat" => ("vfat", "utf8"),
        "iso9660" => ("iso9660", "iocharset=utf8"),
        kind @ ("exfat" | "squashfs" | "erofs") => (kind, ""),
        other => return Err(format!("it holds {other}, which is no file system that can be mounted")),
    };
    let others = found.others.iter().map(|other| format!("device={}", other.display()));
    let options: Vec<String> = std::iter::once(options.to_owned()).chain(others).collect();
    let source = found.device.path.to_str().ok_or("its name is no text")?;
    let devices = std::iter::once(&found.device.path).chain(&found.others);
    let held: io::Result<Vec<Option<Unwritten>>> = devices.map(|path| Unwritten::hold(path)).collect();
    let _held = held.map_err(|e| format!("keeping it from being written to: {e}"))?;
    Mounted::mount(source, kind, MountFlags::RDONLY, &options.join(",")).map_err(|e| in_words(&e, kind))
}

fn in_words(error: &io::Error, kind: &str) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NODEV) => {
            format!("mounting: this kernel has no {kind}: was this initrd made with --drivers storage?")
        }
        Some(Errno::BUSY) => format!("mounting: {error}: it is in use; name the file where it is mounted"),
        _ => format!("mounting {kind}: {error}: the kernel's log says more"),
    }
}

fn permanent(location: &Location, why: &str) -> FetchError {
    FetchError::Permanent(format!("{location}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;
    use std::sync::Mutex;

    const NONE: &str = "LABEL=bootjack-test-no-such-label:/r.tar";

    fn opened(config: &Config, connect: u64, on: OnEvent<'_>) -> FetchError {
        let location = Location::parse(NONE).unwrap();
        let Location::Volume { volume, file } = &location else { panic!("a volume") };
        let connect = Duration::from_millis(connect);
        let timing = Timing { connect, stall: connect };
        let opened = open(volume, file.as_deref(), &location, 0, config, &timing, on);
        opened.map(|source| source.location).expect_err("nothing has that label")
    }

    #[test]
    fn a_device_that_is_not_there_is_waited_for_as_long_as_a_try_may_take() {
        let ticks = Mutex::new(0);
        let on = |event| {
            assert_eq!(event, Event::Tick);
            *ticks.lock().unwrap() += 1;
            ControlFlow::Continue(())
        };
        let FetchError::Transient { text, silent, .. } = opened(&Config::default(), 500, &on) else {
            panic!("it may come later")
        };
        assert!(silent >= Duration::from_millis(500) && silent < Duration::from_secs(5), "{silent:?}");
        assert!(text.starts_with(NONE) && text.contains("block device"), "{text}");
        assert!(*ticks.lock().unwrap() >= 2);
    }

    #[test]
    fn a_wait_of_a_length_that_was_asked_for_is_seen_and_final() {
        let retries = Mutex::new(Vec::new());
        let on = |event| {
            if let Event::Retry(again) = event {
                retries.lock().unwrap().push(again.attempt);
            }
            ControlFlow::Continue(())
        };
        let config = Config { device_wait: Some(Duration::from_secs(3)), ..Config::default() };
        assert!(matches!(opened(&config, 200, &on), FetchError::Permanent(_)));
        assert_eq!(retries.lock().unwrap()[..2], [1, 2]);
        let at_once = Config { device_wait: Some(Duration::ZERO), ..Config::default() };
        assert!(matches!(opened(&at_once, 60_000, &on), FetchError::Permanent(_)));
    }

    #[test]
    fn a_wait_for_a_device_ends_when_told_to_stop() {
        assert_eq!(opened(&Config::default(), 60_000, &|_| ControlFlow::Break(())), FetchError::Stopped);
    }
}
