//! `check --watch`: checks again whenever a catalog, or the signatures beside it, are another file than before. What is
//! said of them is `check`'s.

use std::convert::Infallible;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};

use super::CheckArgs;
use crate::commands::{output, signed};
use crate::fetch::{Location, date};
use crate::load::{Failure, Phase};

/// Between two looks. Asked, not told: inotify(7) sees nothing of what another machine writes to a shared directory, and
/// editors put another file in the place of the one that would be watched.
const LOOK: Duration = Duration::from_millis(250);

/// To the first cell, and the picture away; what was scrolled out before stays (ECMA-48, CUP and ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Checks, and checks again after each change, until a signal ends it with the status of the last round.
///
/// # Errors
/// The only way back: a catalog that is no file, or nobody reads standard output any more.
pub fn run(args: &CheckArgs) -> Failure {
    match on_each_change(args) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

fn on_each_change(args: &CheckArgs) -> Result<Infallible, Failure> {
    let files = files(args)?;
    let status = end_with_the_last_status().map_err(|e| Failure::new(Phase::Catalog, "--watch", e))?;
    let mut seen = Seen { before: marks(&files), checked: None };
    loop {
        if seen.is_due(marks(&files)) {
            round(args, &status)?;
        }
        thread::sleep(LOOK);
    }
}

/// What the files were like at the last look, and at that before the last round.
struct Seen {
    before: Vec<Mark>,
    checked: Option<Vec<Mark>>,
}

impl Seen {
    /// Whether it is time for a round. What is still being written is left alone until it rests: half a file has many
    /// problems.
    fn is_due(&mut self, now: Vec<Mark>) -> bool {
        let due = now == self.before && self.checked.as_ref() != Some(&now);
        if due {
            self.checked = Some(now.clone());
        }
        self.before = now;
        due
    }
}

/// A catalog that is not there is told like any other problem: it may come back. The status is known before anything is
/// read: whoever leaves then leaves with it.
fn round(args: &CheckArgs, status: &AtomicI32) -> Result<(), Failure> {
    output::print(Phase::Catalog, &heading())?;
    let (text, right, unread) = match super::say(args) {
        Ok(said) => (said.text, said.right, said.unread),
        Err(failure) => (String::new(), false, vec![failure]),
    };
    status.store(i32::from(!right), Ordering::Relaxed);
    output::print(Phase::Catalog, &text)?;
    unread.iter().for_each(output::complain);
    Ok(())
}

/// The time, on a page of its own where a person looks at one.
fn heading() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let clear = io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    format!("{}-- {}\n", if clear { CLEAR } else { "" }, date::readable(now))
}

/// The catalogs, and with `--key` what lies beside them.
fn files(args: &CheckArgs) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for name in &args.catalogs {
        let location = Location::parse(name).ok();
        // What is not there may come; a pipe is read only once.
        let file = location.as_ref().and_then(path).filter(|path| path.is_file() || !path.exists());
        files.push(file.ok_or_else(|| {
            Failure::because(Phase::Catalog, name, "--watch sees changes of files only")
                .hint("without --watch a catalog may be a URL or a pipe")
        })?);
        let beside = location.as_ref().and_then(signed::place_of);
        files.extend(beside.as_ref().and_then(path).filter(|_| args.keys.any()));
    }
    Ok(files)
}

fn path(location: &Location) -> Option<PathBuf> {
    match location {
        Location::File(path) | Location::Initramfs(path) => Some(path.clone()),
        _ => None,
    }
}

/// Which file it is, and when it was written; nothing where there is none.
type Mark = Option<(u64, u64, u64, i64, i64)>;

fn marks(files: &[PathBuf]) -> Vec<Mark> {
    files.iter().map(|path| mark(path)).collect()
}

fn mark(path: &Path) -> Mark {
    let about = fs::metadata(path).ok()?;
    Some((about.dev(), about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}

/// From here on a signal to end ends the command at once, with this status. To be called before there are threads: they
/// take over which signals are held back (pthread_sigmask(3)).
fn end_with_the_last_status() -> anyhow::Result<Arc<AtomicI32>> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().context("holding back signals")?;
    // Who leaves before the first round is over has seen nothing that is right.
    let status = Arc::new(AtomicI32::new(1));
    let last = status.clone();
    let wait = move || match signals.wait() {
        Ok(_) => std::process::exit(last.load(Ordering::Relaxed)),
        Err(e) => drop(writeln!(io::stderr(), "bootjack: warning: waiting for signals: {e}")),
    };
    thread::Builder::new().name("signals".into()).spawn(wait).context("starting a thread")?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_of_the_same_name_and_length_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        assert_eq!(mark(&path), None);
        fs::write(&path, "one").unwrap();
        let first = mark(&path);
        assert_eq!(mark(&path), first);
        let other = dir.path().join("c.toml.new");
        fs::write(&other, "two").unwrap();
        let times = fs::FileTimes::new().set_modified(fs::metadata(&path).unwrap().modified().unwrap());
        fs::File::options().write(true).open(&other).unwrap().set_times(times).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(mark(&path), first);
    }

    #[test]
    fn a_file_is_checked_once_it_rests_and_not_again() {
        let at = |second| vec![Some((1, 2, 3, second, 0))];
        let mut seen = Seen { before: at(0), checked: None };
        let due: Vec<bool> = [0, 0, 1, 2, 2, 2, 0, 0].iter().map(|second| seen.is_due(at(*second))).collect();
        assert_eq!(due, [true, false, false, false, true, false, false, true]);
        assert!(!seen.is_due(vec![None]) && seen.is_due(vec![None]));
    }

    #[test]
    fn what_is_no_file_is_refused_before_anything_is_watched() {
        for name in ["http://a/c.toml", "LABEL=x:/c.toml", "/dev/null", ""] {
            let args = CheckArgs { catalogs: vec![name.to_owned()], ..CheckArgs::default() };
            let refused = run(&args);
            assert!(refused.to_string().ends_with("--watch sees changes of files only"), "{refused}");
        }
    }
}
