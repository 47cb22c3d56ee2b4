//! What a worker tells its supervisor: one JSON value a line, through the worker's standard output. A worker that dies
//! leaves behind what it was doing, and its successor is told.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::catalog::Action;
use crate::handover::Order;
use crate::load::Failure;
use crate::verify::Password;

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
    /// How the story stands, as often as that changes.
    Failing(Standing),
    /// What a shell takes from now on: there is none without it, after a death neither.
    Password(Password),
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
    /// What a shell takes.
    #[serde(default)]
    pub password: Option<Password>,
    /// How the story stood.
    pub failing_since: Standing,
}

/// How the story stands: what must not begin anew with each worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Standing {
    /// Seconds since the kernel started at which an unattended boot began to fail, for the deadline of all tries; none:
    /// it does not fail.
    pub failing_since: Option<u64>,
    /// How many boots of this chain there were, this one too, each for the failure of the one before; 0: nothing was
    /// said yet.
    pub attempt: u32,
    /// Jobs that ran since the kernel started: nothing but a person starts them again.
    pub ran: Vec<String>,
    /// The last menu has no timeout: a person is waited for, however long it takes.
    pub waits: bool,
    /// There is a menu again, and what was booted before it is over.
    pub in_menu: bool,
    /// What the last catalog says of failures, for the time when it cannot be had.
    pub policy: Option<Policy>,
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
        let mut options = fs::File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(LEGACY)?.write_all(&serde_json::to_vec(self)?)
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
