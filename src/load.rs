//! Plan → Handover: open, count, verify, unpack. Reports outward, stops when told, and leaves nothing of a root
//! that failed. What is done with the finished handover is the supervisor's.

use std::time::Duration;

use crate::fetch::Location;
use crate::verify::Trust;

/// Where in the story something happened; the first word of every failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Early,
    Drivers,
    Network,
    Catalog,
    Plan,
    Fetch,
    Verify,
    Unpack,
    Handover,
    Worker,
    Menu,
    Pack,
    Initrd,
    Serve,
    Vm,
}

/// What a failure screen, the log and the report say: phase, thing, cause, way out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    pub phase: Phase,
    /// The entry, location, interface or file it happened to.
    pub thing: String,
    /// The original diagnostic, outermost first, a line each; never empty.
    pub cause: Vec<String>,
    pub hint: Option<String>,
}

/// What is told while loading; the answer may be "stop".
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Nothing to say; comes at least four times a second.
    Tick,
    /// An artifact is opened.
    Opening { artifact: String, location: Location },
    /// Its bytes begin to come; how many, where known.
    Started { location: Location, bytes: Option<u64> },
    /// So many bytes fetched, so many members and bytes in the tmpfs.
    Progress { fetched: u64, unpacked: u64, entries: u64 },
    /// A try failed; the next one begins after `wait`, from byte 0 of an emptied root.
    Retrying { location: Location, error: String, attempt: u32, wait: Duration },
    /// Every byte was read and the digest compared, or nothing had to be.
    Verified { artifact: String, trust: Trust },
}

impl Failure {
    /// A failure with the whole chain of an error, outermost first.
    pub fn new(phase: Phase, thing: impl Into<String>, error: impl Into<anyhow::Error>) -> Self {
        let error: anyhow::Error = error.into();
        let mut cause: Vec<String> = Vec::new();
        for link in error.chain() {
            let text = link.to_string();
            // Many libraries repeat their source in their own text.
            if !cause.last().is_some_and(|last| last.contains(&text)) {
                cause.push(text);
            }
        }
        Self { phase, thing: thing.into(), cause, hint: None }
    }

    /// A failure in words of our own.
    pub fn because(phase: Phase, thing: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { phase, thing: thing.into(), cause: vec![cause.into()], hint: None }
    }

    /// The same with a way out.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Early => "early",
            Self::Drivers => "drivers",
            Self::Network => "network",
            Self::Catalog => "catalog",
            Self::Plan => "plan",
            Self::Fetch => "fetch",
            Self::Verify => "verify",
            Self::Unpack => "unpack",
            Self::Handover => "handover",
            Self::Worker => "worker",
            Self::Menu => "menu",
            Self::Pack => "pack",
            Self::Initrd => "initrd",
            Self::Serve => "serve",
            Self::Vm => "vm",
        })
    }
}

/// `phase: thing: cause: inner cause`, one line; the hint stands on a line of its own where there is room for one.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.phase, self.thing)?;
        self.cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}
