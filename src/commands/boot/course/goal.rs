//! What a course is given at its beginning, and what it may have to do next.

use std::time::Duration;

use super::hands::Restart;
use crate::catalog::{Action, Entry};
use crate::cmdline::Params;
use crate::commands::boot::words::{Legacy, Policy};
use crate::fetch::Location;
use crate::load::Failure;

/// What it begins with.
#[derive(Clone, Debug, Default)]
pub struct Start {
    pub params: Params,
    pub legacy: Legacy,
    /// What the first stage handed on, in a second one.
    pub second: Option<Second>,
}

/// What a second stage is to boot. There is no menu that it could go back to.
#[derive(Clone, Debug)]
pub struct Second {
    /// The root to unpack.
    pub entry: Entry,
    pub policy: Policy,
    pub attended: bool,
    pub attempt: u32,
    /// Where the catalog came from; absent: from the initrd.
    pub catalog: Option<Location>,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Goal {
    Menu,
    Boot(Box<Boot>),
    /// The entry with this id, of the catalog that was asked for, or else of the built-in one if that will do too.
    Named {
        id: String,
        or_built_in: bool,
    },
    /// Something that a person must see.
    Fail(Box<Failed>),
    Reboot,
    PowerOff,
    /// What a person chose of the firmware.
    Restart(Restart),
}

/// An entry to boot, from its plan to its end.
#[derive(Clone, Debug)]
pub(super) struct Boot {
    pub(super) entry: Entry,
    /// What its catalog says of failures.
    pub(super) policy: Policy,
    /// The console it was chosen on.
    pub(super) console: Option<usize>,
    /// Where that catalog came from.
    pub(super) catalog: Option<Location>,
    /// It was asked for by its name, and whether the built-in catalog would do: to try again is to look it up again.
    pub(super) named: Option<bool>,
    /// A person changed it: it is booted as it is here, and nowhere else.
    pub(super) edited: bool,
}

/// A failure, or the end of a job, and what may follow.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// The end of a job that went well.
    pub(super) went_well: bool,
    /// What trying again means; absent where it cannot help.
    pub(super) again: Option<Goal>,
    pub(super) policy: Policy,
    /// The entry it happened to: what is declared for its failure must not be itself.
    pub(super) id: Option<String>,
    /// What was booted: a person may change it.
    pub(super) boot: Option<Boot>,
}

impl Goal {
    /// Id of the entry it leads to.
    pub(super) fn entry(&self) -> Option<&str> {
        match self {
            Self::Boot(boot) => Some(&boot.entry.id),
            Self::Named { id, .. } => Some(id),
            Self::Menu | Self::Fail(_) | Self::Reboot | Self::PowerOff | Self::Restart(_) => None,
        }
    }
}

impl Boot {
    /// The same with the next mirror of everything; absent where there is no other.
    pub(super) fn with_other_mirrors(&self) -> Option<Self> {
        Some(Self { entry: self.entry.with_other_mirrors()?, named: None, ..self.clone() })
    }

    pub(super) fn again(self) -> Goal {
        match self.named {
            Some(or_built_in) => Goal::Named { id: self.entry.id, or_built_in },
            None => Goal::Boot(Box::new(self)),
        }
    }
}

/// How long a boot is tried again when nobody says (`menu.retry_for`).
const RETRY_FOR: Duration = Duration::from_secs(600);

impl Default for Policy {
    fn default() -> Self {
        Self { retry_for: RETRY_FOR, on_failure: Action::Reboot }
    }
}

impl Policy {
    /// No trying again: what follows, follows.
    pub fn at_once(then: Action) -> Self {
        Self { retry_for: Duration::ZERO, on_failure: then }
    }
}
