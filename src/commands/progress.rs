//! Progress on standard error: a bar on a terminal, a line every tenth elsewhere. What is in progress is the caller's.

use std::fmt;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

use crate::fetch::Retrying;
use crate::load::Report;
use crate::verify::Trust;

/// A bar is drawn at most so often.
const FRAME: Duration = Duration::from_millis(100);

/// Without a known total a line is due every so many bytes.
const STRIDE: u64 = 64 << 20;

/// Columns of the bar: with all that stands beside it no more than a terminal has.
const BAR: usize = 20;

/// How far something is.
pub struct Progress {
    /// The word for what is done.
    doing: &'static str,
    terminal: bool,
    total: Option<u64>,
    started: Instant,
    drawn: Option<Instant>,
    /// The tenth, or stride, that was told last.
    told: u64,
    bar: bool,
}

impl Progress {
    /// For this process's standard error.
    pub fn to_stderr(doing: &'static str) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { doing, terminal, total: None, started: Instant::now(), drawn: None, told: 0, bar: false }
    }

    /// The same, and lines on a terminal too: the console of an initrd may be a printer, or a log.
    pub fn in_lines(doing: &'static str) -> Self {
        Self { terminal: false, ..Self::to_stderr(doing) }
    }

    /// Starts (again), with the bytes to come where they are known.
    pub fn start(&mut self, total: Option<u64>) {
        self.end();
        let total = total.filter(|&bytes| bytes > 0);
        *self = Self { total, terminal: self.terminal, ..Self::to_stderr(self.doing) };
    }

    /// So many bytes and members are done.
    pub fn at(&mut self, bytes: u64, entries: u64) {
        if self.terminal {
            let now = Instant::now();
            if self.drawn.is_none_or(|at| now.duration_since(at) >= FRAME) {
                self.drawn = Some(now);
                self.bar = true;
                say(format_args!("\r{}\x1b[K", self.line(bytes, entries)));
            }
        } else if self.due(bytes) {
            say(format_args!("{}\n", self.line(bytes, entries)));
        }
    }

    /// Ends the bar; what follows begins on a line of its own.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.bar) {
            say(format_args!("\r\x1b[K"));
        }
    }

    /// The same from a load's reports.
    pub fn report(&mut self, report: &Report) {
        match report {
            Report::Tick | Report::Opening { .. } | Report::HandingOver { .. } => {}
            Report::Started { location, bytes } => {
                self.start(*bytes);
                say(format_args!("fetching {location}\n"));
            }
            Report::Progress { fetched, entries, .. } => self.at(*fetched, *entries),
            Report::Image(image) => say(format_args!("{image}: read in place, nothing is unpacked\n")),
            Report::Retrying(Retrying { error, wait, next, from, .. }) => {
                self.end();
                let on = if *from > 0 { format!(", from byte {from} on, at {next}") } else { String::new() };
                say(format_args!("{error}; next try in {:.1} s{on}\n", wait.as_secs_f64()));
            }
            Report::Verified { trust, .. } => {
                self.end();
                say(format_args!(
                    "{}\n",
                    match trust {
                        Trust::Sha256(_) | Trust::Chunks(_) => "verified",
                        Trust::Unverified => "not verified",
                    }
                ));
            }
        }
    }

    /// Whether a line is due, where lines are told.
    fn due(&mut self, bytes: u64) -> bool {
        let step = match self.total {
            Some(total) => parts_done(bytes, total, 10),
            None => bytes / STRIDE,
        };
        let due = step > self.told;
        self.told = self.told.max(step);
        due
    }

    fn line(&self, bytes: u64, entries: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = bytes as f64 / seconds / f64::from(1 << 20);
        let done = format!("{} MiB, {entries} entries, {rate:.0} MiB/s", bytes >> 20);
        let Some(total) = self.total else { return format!("{} {done}", self.doing) };
        let percent = parts_done(bytes, total, 100);
        let bar = if self.terminal { bar(percent) } else { String::new() };
        format!("{} {bar}{percent:>3} % {done}", self.doing)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// How many of `parts` parts are done, and never more: whole pages are counted by some, and come to a little more.
fn parts_done(bytes: u64, total: u64, parts: u64) -> u64 {
    (bytes.saturating_mul(parts) / total.max(1)).min(parts)
}

fn bar(percent: u64) -> String {
    let full = usize::try_from(percent).unwrap_or(100) * BAR / 100;
    format!("[{}{}] ", "#".repeat(full), " ".repeat(BAR.saturating_sub(full)))
}

/// A standard error that nobody reads any more is no reason to stop.
fn say(what: fmt::Arguments<'_>) {
    let mut err = io::stderr().lock();
    let _closed = err.write_fmt(what).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(terminal: bool, total: Option<u64>) -> Progress {
        let mut progress = Progress::to_stderr("packing");
        progress.start(total);
        progress.terminal = terminal;
        progress
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_line_says_how_much_of_what() {
        let line = |terminal, total, bytes| progress(terminal, total).line(bytes, 12);
        assert!(line(false, Some(100 * MIB), 50 * MIB).starts_with("packing  50 % 50 MiB, 12 entries, "));
        assert!(line(true, None, 50 * MIB).starts_with("packing 50 MiB, 12 entries, "));
        assert!(line(true, Some(0), MIB).starts_with("packing 1 MiB, "));
        let half = line(true, Some(100 * MIB), 50 * MIB);
        assert!(half.starts_with("packing [##########          ]  50 % 50 MiB"), "{half}");
        assert!(line(true, Some(1), MIB).starts_with("packing [####################] 100 % "));
        assert!(line(true, Some(u64::MAX), u64::MAX).starts_with("packing ["));
    }

    #[test]
    fn elsewhere_than_on_a_terminal_a_line_is_due_every_tenth_or_64_mib() {
        let lines = |total, step: u64| {
            let mut progress = progress(false, total);
            (0..=1000).filter(|n| progress.due(n * step)).count()
        };
        assert_eq!(lines(Some(1000), 1), 10);
        assert_eq!(lines(Some(1000), 7), 10);
        assert_eq!(lines(None, MIB), 15);
    }
}
