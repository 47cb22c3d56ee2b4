//! What a worker tells its supervisor: one JSON value a line, through the worker's standard output. A worker that dies
//! leaves behind what it was doing, and its successor is told.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::catalog::Action;
use crate::handover::Order;
use crate::load::Failure;

/// One line.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// What it begins to do: the first thing to know should it die of it.
    Doing(String),
    /// Whether what goes on was asked for by a person; then a person is waited for when it fails.
    Attended(bool),
    /// What to boot and what to do when it fails, for the worker that comes after a death.
    Booting { id: String, policy: Policy },
    /// Seconds since the kernel started at which an unattended boot began to fail; none: it does not.
    Failing(Option<u64>),
    /// Why it cannot even begin; it exits.
    Failed(Failure),
    /// The last word: it exits, and this is to be done.
    Order(Order),
}

/// What an unattended machine does when a boot fails.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Policy {
    /// How long it is tried again.
    pub retry_for: Duration,
    pub on_failure: Action,
}

/// What became of the worker before this one.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Legacy {
    /// How many workers there were before.
    pub worker: u32,
    /// Why the last one is not there any more.
    pub failure: Option<Failure>,
    /// Whether a person asked for what was going on.
    pub attended: bool,
    /// The entry that was being booted, and what its catalog says of failures.
    pub booting: Option<(String, Policy)>,
    /// Seconds since the kernel started at which an unattended boot began to fail, for the deadline of all tries.
    pub failing_since: Option<u64>,
}

const LEGACY: &str = "/run/bootjack/legacy.json";

impl Word {
    /// Says it. A supervisor that cannot be reached is none: nothing better can be done than to go on.
    pub fn say(&self) {
        let line = serde_json::to_string(self).map_err(io::Error::from);
        let said = line.and_then(|line| {
            let mut out = io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()
        });
        if let Err(e) = said {
            log::error!("telling the supervisor {self:?}: {e}");
        }
    }
}

impl Legacy {
    /// Leaves it to the next worker.
    pub fn write(&self) -> io::Result<()> {
        fs::write(LEGACY, serde_json::to_vec(self)?)
    }

    /// What the last worker left; nothing for the first.
    pub fn read() -> Self {
        if !Path::new(LEGACY).exists() {
            return Self::default();
        }
        let read = fs::read(LEGACY).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        read.unwrap_or_else(|e| {
            log::error!("reading {LEGACY}: {e}");
            Self::default()
        })
    }
}
