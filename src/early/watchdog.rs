//! A hardware watchdog that runs: found, petted, and left armed for whatever comes next. That it is petted only while
//! process 1 goes round its loop, and so tells something, is the supervisor's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::order;
use crate::sys;

/// Documentation/ABI/testing/sysfs-class-watchdog.
const CLASS: &str = "/sys/class/watchdog";

/// What softdog calls itself (drivers/watchdog/softdog.c): a timer of this kernel, of no use once the kernel hangs.
const SOFTWARE: &str = "Software Watchdog";

/// Drivers are loaded while a boot goes on: so often one that runs is looked for.
const LOOK: Duration = Duration::from_secs(2);

/// A watchdog is petted three times within its timeout, and at least so often.
const SELDOM: Duration = Duration::from_secs(10);

/// The device of a driver that is older than the class, and does not say whether it runs: ipmi_watchdog's.
const OLD: &str = "watchdog";

/// Seconds for the time in which nobody pets it: a kexec with its silence, an init that is not there yet.
const JUMP: u32 = 300;

/// What is tried where the driver does not say how long it can wait: 8 bits of seconds, 6 of them, a minute.
const SHORTER: &[u32] = &[JUMP, 255, 180, 120, 63, 60];

/// `WDIOF_MAGICCLOSE` of linux/watchdog.h: closing the device does not stop it.
const MAGIC_CLOSE: u32 = 0x0100;

/// Looks for a watchdog that runs, and pets it, each time its turn has come. Dropped or closed by an exec, it goes on
/// running: the character that would stop it is never written.
#[derive(Debug)]
pub struct Watchdog {
    class: PathBuf,
    devices: PathBuf,
    /// Start one with this timeout (seconds) if none runs.
    start: Option<u32>,
    running: Option<Running>,
    /// When there is something to do again.
    next: Instant,
    /// What was said last of one that cannot be had: once is enough.
    complaint: String,
}

/// One that is held open.
#[derive(Debug)]
struct Running {
    device: File,
    identity: String,
    /// Seconds; 0 where the driver does not know.
    timeout: u32,
    /// The longest it takes (seconds), where the driver says so.
    longest: Option<u32>,
}

/// One that the kernel shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shown {
    /// `watchdog0`.
    name: String,
    identity: String,
    running: bool,
    /// What its timeout may be (seconds).
    shortest: Option<u32>,
    longest: Option<u32>,
}

impl Watchdog {
    /// `start`: the timeout in seconds with which to start the first hardware watchdog, should none run. Without it one
    /// that does not run is left alone.
    pub fn new(start: Option<u32>) -> Self {
        Self::at(Path::new(CLASS), Path::new("/dev"), start)
    }

    /// One that finds nothing, on whatever machine a test runs.
    #[cfg(test)]
    pub fn nowhere() -> Self {
        Self::at(Path::new("/nonexistent"), Path::new("/nonexistent"), None)
    }

    fn at(class: &Path, devices: &Path, start: Option<u32>) -> Self {
        let (class, devices) = (class.to_owned(), devices.to_owned());
        Self { class, devices, start, running: None, next: Instant::now(), complaint: String::new() }
    }

    /// How long nothing has to be done: the longest that may be waited before [`Watchdog::tend`].
    pub fn due(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Pets it, or looks for one, if the time has come. What goes wrong is logged: a boot does not fail of it.
    pub fn tend(&mut self) {
        if self.due().is_zero() {
            self.pet();
        }
    }

    /// Before another system takes over, or the machine starts anew: pets it once more and gives it as long as it takes,
    /// up to 300 s. It stays armed.
    pub fn before_jump(&mut self) {
        self.pet();
        let Some(running) = &mut self.running else { return };
        let (identity, before) = (running.identity.clone(), running.timeout);
        let seconds = running.stretch();
        if seconds < JUMP {
            log::info!("watchdog {identity}: {seconds} s is the longest it takes");
        }
        log::info!("watchdog {identity} stays armed, {seconds} s");
        if sys::watchdog_info(&running.device).is_ok_and(|info| info.options & MAGIC_CLOSE == 0) {
            log::warn!("watchdog {identity}: its driver may stop it when the next init starts");
        }
        // In case it is not left after all.
        running.timeout = before;
    }

    /// Nothing came of the jump: its timeout is again what it was.
    pub fn after_failed_jump(&mut self) {
        if let Some(running) = self.running.as_mut().filter(|r| r.timeout > 0)
            && let Err(e) = sys::set_watchdog_timeout(&running.device, running.timeout)
        {
            log::warn!("watchdog {}: setting {} s again: {e}", running.identity, running.timeout);
        }
        self.pet();
    }

    fn pet(&mut self) {
        match &mut self.running {
            Some(running) => {
                if let Err(e) = running.pet() {
                    log::error!("watchdog {}: petting it: {e}", running.identity);
                    self.running = None;
                }
            }
            None => self.look(),
        }
        self.next = Instant::now() + self.running.as_ref().map_or(LOOK, Running::interval);
    }

    fn look(&mut self) {
        let mut shown = shown(&self.class);
        if shown.is_empty() && self.devices.join(OLD).exists() {
            shown.push(Shown { name: OLD.into(), identity: OLD.into(), ..Shown::default() });
        }
        let Some(found) = choose(&shown, self.start.is_some()) else { return };
        match Running::take(&self.devices.join(&found.name), &found, self.start) {
            Ok(running) => {
                let how = if found.running { "runs" } else { "was started" };
                log::info!("watchdog {} {how}: {} s, petted from now on", running.identity, running.timeout);
                self.running = Some(running);
            }
            Err(e) => {
                let complaint = format!("watchdog {} ({}): {e}", found.identity, found.name);
                if complaint != self.complaint {
                    log::warn!("{complaint}");
                    self.complaint = complaint;
                }
            }
        }
    }
}

impl Running {
    /// Opens it, which starts it if it does not run (watchdog-api.rst).
    fn take(path: &Path, shown: &Shown, start: Option<u32>) -> io::Result<Self> {
        let device = File::options().write(true).open(path)?;
        let mut timeout = sys::watchdog_timeout(&device).unwrap_or(0);
        if let Some(wanted) = start {
            let wanted = wanted.max(shown.shortest.unwrap_or(1)).min(shown.longest.unwrap_or(u32::MAX));
            match sys::set_watchdog_timeout(&device, wanted) {
                Ok(set) => timeout = set,
                Err(e) => log::warn!("watchdog {}: setting {wanted} s: {e}", shown.identity),
            }
        }
        let mut taken = Self { device, identity: shown.identity.clone(), timeout, longest: shown.longest };
        taken.pet()?;
        Ok(taken)
    }

    /// Any byte but the magic one (`V`) will do, and takes back a magic one that was written before.
    fn pet(&mut self) -> io::Result<()> {
        self.device.write_all(b"\0")
    }

    fn interval(&self) -> Duration {
        if self.timeout == 0 {
            return Duration::from_secs(1);
        }
        SELDOM.min(Duration::from_secs(u64::from(self.timeout)) / 3)
    }

    /// Sets the longest timeout it takes, up to [`JUMP`], never a shorter one than it has; what it came to (seconds).
    fn stretch(&self) -> u32 {
        let most = self.longest.unwrap_or(JUMP).min(JUMP);
        let tries = [most].into_iter().chain(SHORTER.iter().copied().filter(|&s| s < most));
        for seconds in tries.filter(|&s| s > self.timeout) {
            match sys::set_watchdog_timeout(&self.device, seconds) {
                Ok(set) => return set,
                Err(e) => log::debug!("watchdog {}: {seconds} s: {e}", self.identity),
            }
        }
        self.timeout
    }
}

/// All that the kernel shows, in its own order. Nothing where it has none, or no such class.
fn shown(class: &Path) -> Vec<Shown> {
    let Ok(entries) = fs::read_dir(class) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    order::by_key(&mut names, |name| (name.len(), name.clone()));
    let read = |name: &str, what: &str| fs::read_to_string(class.join(name).join(what)).unwrap_or_default();
    let limit = |name: &str, what: &str| read(name, what).trim().parse().ok().filter(|&seconds| seconds > 0);
    let about = |name: String| Shown {
        identity: read(&name, "identity").trim().to_owned(),
        running: read(&name, "state").trim() == "active",
        shortest: limit(&name, "min_timeout"),
        longest: limit(&name, "max_timeout"),
        name,
    };
    names.into_iter().map(about).collect()
}

/// The first that runs, hardware before software; with `start` the first at all, software only where nothing else is.
fn choose(shown: &[Shown], start: bool) -> Option<Shown> {
    let first = |running: bool| {
        let hardware = |s: &&Shown| s.identity != SOFTWARE;
        let mut able = shown.iter().filter(|s| s.running || !running);
        able.clone().find(hardware).or_else(|| able.next())
    };
    first(true).or_else(|| first(false).filter(|_| start)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_as(name: &str, identity: &str, running: bool) -> Shown {
        Shown { name: name.into(), identity: identity.into(), running, shortest: None, longest: None }
    }

    fn chosen(shown: &[Shown], start: bool) -> Option<String> {
        choose(shown, start).map(|s| s.name)
    }

    /// A class with one watchdog, and a directory of devices in which it is a plain file.
    fn machine(state: &str) -> (tempfile::TempDir, Watchdog, Watchdog) {
        let dir = tempfile::tempdir().unwrap();
        let (class, devices) = (dir.path().join("class"), dir.path().join("dev"));
        fs::create_dir_all(class.join("watchdog0")).unwrap();
        fs::create_dir(&devices).unwrap();
        for (what, text) in [("state", state), ("identity", "i6300ESB timer\n"), ("max_timeout", "2046\n")] {
            fs::write(class.join("watchdog0").join(what), text).unwrap();
        }
        fs::write(devices.join("watchdog0"), "").unwrap();
        let (left, started) =
            (Watchdog::at(&class, &devices, None), Watchdog::at(&class, &devices, Some(10)));
        (dir, left, started)
    }

    #[test]
    fn one_that_does_not_run_is_never_touched_unless_asked_for() {
        let (dir, mut left, mut started) = machine("inactive\n");
        left.tend();
        left.before_jump();
        assert!(left.running.is_none());
        assert_eq!(fs::read(dir.path().join("dev/watchdog0")).unwrap(), b"");
        started.tend();
        assert!(started.running.is_some());
    }

    #[test]
    fn one_that_runs_is_petted_when_its_time_has_come_and_never_stopped() {
        let (dir, mut watchdog, _) = machine("active\n");
        let device = dir.path().join("dev/watchdog0");
        let petted = || fs::read(&device).unwrap();
        assert!(watchdog.due().is_zero(), "the first look is at once");
        watchdog.tend();
        assert_eq!(petted(), b"\0");
        watchdog.tend();
        assert_eq!(petted(), b"\0", "too early");
        watchdog.next = Instant::now();
        watchdog.tend();
        assert_eq!(petted(), b"\0\0");
        watchdog.before_jump();
        assert_eq!(petted(), b"\0\0\0");
        watchdog.after_failed_jump();
        drop(watchdog);
        assert!(!petted().contains(&b'V'));
    }

    #[test]
    fn one_that_comes_late_is_found_and_one_that_cannot_be_had_is_tried_again() {
        let (dir, mut watchdog, _) = machine("active\n");
        let (class, away) = (dir.path().join("class/watchdog0"), dir.path().join("away"));
        fs::rename(&class, &away).unwrap();
        watchdog.tend();
        assert!(watchdog.running.is_none());
        assert!(watchdog.due() > Duration::from_secs(1) && watchdog.due() <= LOOK, "no busy loop");
        fs::rename(&away, &class).unwrap();
        let device = dir.path().join("dev/watchdog0");
        fs::remove_file(&device).unwrap();
        watchdog.next = Instant::now();
        watchdog.tend();
        assert!(watchdog.running.is_none() && watchdog.complaint.contains("i6300ESB timer"));
        fs::write(&device, "").unwrap();
        watchdog.next = Instant::now();
        watchdog.tend();
        assert!(watchdog.running.is_some());
    }

    #[test]
    fn hardware_comes_before_software_and_what_runs_before_what_does_not() {
        let soft = |running| shown_as("watchdog0", SOFTWARE, running);
        let hard = |running| shown_as("watchdog1", "iTCO_wdt", running);
        assert_eq!(chosen(&[soft(true), hard(true)], false).as_deref(), Some("watchdog1"));
        assert_eq!(chosen(&[soft(false), hard(false)], true).as_deref(), Some("watchdog1"));
        assert_eq!(chosen(&[soft(true), hard(false)], true).as_deref(), Some("watchdog0"), "it would fire");
        assert_eq!(chosen(&[soft(false)], true).as_deref(), Some("watchdog0"));
        assert_eq!(chosen(&[soft(false), hard(false)], false), None);
        assert_eq!(chosen(&[], true), None);
    }

    #[test]
    fn one_that_the_class_does_not_show_is_started_when_asked_for() {
        let (dir, mut left, mut started) = machine("inactive\n");
        fs::remove_dir_all(dir.path().join("class/watchdog0")).unwrap();
        fs::rename(dir.path().join("dev/watchdog0"), dir.path().join("dev").join(OLD)).unwrap();
        left.tend();
        started.tend();
        assert!(left.running.is_none() && started.running.is_some());
    }

    #[test]
    fn ten_comes_after_nine() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["watchdog10", "watchdog9"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let names: Vec<String> = shown(dir.path()).into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["watchdog9", "watchdog10"]);
        assert_eq!(shown(&dir.path().join("none")), []);
    }

    #[test]
    fn it_is_petted_three_times_within_its_timeout_and_every_ten_seconds_at_least() {
        let null = || File::options().write(true).open("/dev/null").unwrap();
        let of = |timeout| {
            Running { device: null(), identity: String::new(), timeout, longest: None }.interval().as_millis()
        };
        assert_eq!((of(1), of(6), of(30), of(600), of(0)), (333, 2000, 10_000, 10_000, 1000));
    }
}
