//! What a [`Course`](super::Course) asks for: effects, and what came of them. The worker's hands are the consoles, the
//! network and the loader; a test's are a clock that it sets itself.

use std::time::Duration;

use crate::catalog::{Action, Entry};
use crate::cmdline::{BreakAt, CmdlineProblem};
use crate::commands::boot::source::{NoOffer, Offer};
use crate::commands::boot::words::{Policy, Standing, Word};
use crate::fetch::Location;
use crate::handover::Firmware;
use crate::load::Failure;
use crate::machine::Machine;
use crate::tui::menu::MenuModel;
use crate::tui::{Answered, Screen};

/// Where the catalog is asked to be; none: in the initrd.
pub type Wanted = Option<Result<Location, CmdlineProblem>>;

/// Effects. None of them decides what comes next.
pub trait Hands {
    /// What a load that succeeded leads to.
    type Loaded;

    /// The catalog to choose from. Without `or_built_in` only the one that is wanted will do. `patience` as in
    /// [`Attempt::patience`].
    fn catalog(
        &mut self,
        wanted: &Wanted,
        or_built_in: bool,
        patience: Option<Duration>,
    ) -> Result<Offer, NoOffer>;

    /// All that a menu of it shows, computed now.
    fn model(&mut self, offer: &Offer) -> MenuModel;

    /// The machine as it is now: what an entry that a person changes would come to.
    fn machine(&mut self) -> Machine;

    /// What the firmware can be asked for; absent: nothing.
    fn firmware(&mut self) -> Option<Firmware>;

    /// Asks on all consoles; `facts` puts the newest facts into the head of the screen.
    fn ask<S: Screen>(&mut self, screen: &mut S, facts: fn(&mut S, Vec<String>)) -> Answered<S::Answer>;

    /// One attempt at an entry, from its plan to its end.
    fn boot(&mut self, attempt: &Attempt) -> Ended<Self::Loaded>;

    /// A shell on that console, until it ends.
    ///
    /// # Errors
    /// There is none, or no console for it.
    fn shell(&mut self, console: Option<usize>) -> Result<(), Failure>;

    /// Whether a person may do what takes the catalog's password, if it has one; asks for it then.
    fn may(&mut self, what: &str) -> bool;

    /// Shows the network until a person has seen enough.
    fn look_at_network(&mut self);

    /// Whether a key was pressed in any of these, but for `ask`, since this was asked last.
    fn was_touched(&mut self) -> bool;

    /// Leaves word for the worker that comes after a death.
    fn say(&mut self, word: Word);

    /// Time since the kernel started: the one clock that nobody sets.
    fn uptime(&self) -> Duration;

    /// Who this machine is, for the head of a screen.
    fn facts(&self) -> Vec<String>;

    /// The last lines of the log.
    fn log_tail(&self, lines: usize) -> Vec<String>;
}

/// An entry that is booted now, with all that a second stage has to know of it.
pub struct Attempt<'a> {
    pub entry: &'a Entry,
    pub policy: &'a Policy,
    /// The console it was chosen on.
    pub console: Option<usize>,
    /// Whether a person asked for it.
    pub attended: bool,
    /// The number of this attempt, the first is 1: see [`Standing::attempt`].
    pub attempt: u32,
    /// How long trying goes on while nothing comes, as nobody is there who could decide; absent: for as long as it takes.
    pub patience: Option<Duration>,
    /// Where its catalog came from; absent: from the initrd, or there is none.
    pub catalog: Option<&'a Location>,
    pub standing: &'a Standing,
    /// Whether a person changed the entry.
    pub edited: bool,
    /// Where a shell interrupts it, once after a start of the kernel; none where shells are forbidden, and none after
    /// the death of a worker.
    pub breaks: &'a [BreakAt],
}

impl Attempt<'_> {
    /// To be said when the job of the entry begins, before its first instruction: if the worker dies of it, the job ran,
    /// is not tried again, and what the entry declares for its failure follows.
    pub fn job_begins(&self, on_failure: &Action) -> [Word; 2] {
        let id = self.entry.id.clone();
        let mut standing = self.standing.clone();
        standing.ran(&id);
        [Word::Booting { id, policy: Policy::at_once(on_failure.clone()) }, Word::Failing(standing)]
    }
}

/// What became of an attempt.
pub enum Ended<L> {
    Loaded(L),
    /// A person stopped it, or it was a shell.
    Stopped,
    Failed {
        failure: Failure,
        /// Whether trying again can help: an archive that came with the kexec is there only once.
        again: bool,
    },
    Job(JobEnd),
}

/// How a job ended, and what its entry says of that.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEnd {
    pub success: bool,
    pub then: Action,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// The end of the story.
#[derive(Debug)]
pub enum End<L> {
    Loaded(L),
    Reboot,
    PowerOff,
    Restart(Restart),
}

/// A restart into something of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Setup,
    /// The boot entry with this number.
    Next(u16),
}
