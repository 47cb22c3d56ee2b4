//! Progress on standard error: a bar on a terminal, a line every tenth elsewhere. What is in progress is the caller's.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::load::Report;

/// A bar is drawn at most so often.
const FRAME: Duration = Duration::from_millis(100);

/// Without a known total a line is due every so many bytes.
const STRIDE: u64 = 64 << 20;

/// How far something is.
pub struct Progress {
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
    pub fn to_stderr() -> Self {
        let terminal = io::stderr().is_terminal();
        Self { terminal, total: None, started: Instant::now(), drawn: None, told: 0, bar: false }
    }

    /// Starts (again), with the bytes to come where they are known.
    pub fn start(&mut self, total: Option<u64>) {
        *self = Self { total, ..Self::to_stderr() };
    }

    /// So many bytes are done.
    pub fn at(&mut self, bytes: u64) {
        let step = match self.total {
            Some(total) if total > 0 => bytes.saturating_mul(10) / total,
            _ => bytes / STRIDE,
        };
        if self.terminal {
            let now = Instant::now();
            if self.drawn.is_none_or(|at| now.duration_since(at) >= FRAME) {
                self.drawn = Some(now);
                self.bar = true;
                eprint!("\r{}\x1b[K", self.line(bytes));
                drop(io::stderr().flush());
            }
        } else if step > self.told {
            self.told = step;
            eprintln!("{}", self.line(bytes));
        }
    }

    /// Ends the bar; what follows begins on a line of its own.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.bar) {
            eprint!("\r\x1b[K");
        }
    }

    /// The same from a load's reports.
    pub fn report(&mut self, report: &Report) {
        match report {
            Report::Tick | Report::Opening { .. } => {}
            Report::Started { location, bytes } => {
                self.end();
                eprintln!("fetching {location}");
                self.start(*bytes);
            }
            Report::Progress { fetched, .. } => self.at(*fetched),
            Report::Retrying { error, wait, .. } => {
                self.end();
                eprintln!("{error}; next try in {:.1} s", wait.as_secs_f64());
            }
            Report::Verified { trust, .. } => {
                self.end();
                match trust {
                    crate::verify::Trust::Sha256(_) => eprintln!("verified"),
                    crate::verify::Trust::Unverified => eprintln!("not verified"),
                }
            }
        }
    }

    fn line(&self, bytes: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = bytes as f64 / seconds / f64::from(1 << 20);
        let done = bytes / (1 << 20);
        match self.total {
            Some(total) if total > 0 => {
                let percent = bytes.saturating_mul(100) / total;
                format!("{percent:3} % of {} MiB, {rate:.0} MiB/s", total.div_ceil(1 << 20))
            }
            _ => format!("{done} MiB, {rate:.0} MiB/s"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
