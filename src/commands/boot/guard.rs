//! Who may have a shell, change an entry, or leave the machine by the screen for that, where the catalog has a password
//! (`menu.password`). What is typed is tried on a thread of its own; what the password opens stays open for a while.

use std::time::{Duration, Instant};

use super::source::{self, Offer};
use super::words::Word;
use super::worker::Story;
use crate::answer::{self, NoAnswer};
use crate::machine::Machine;
use crate::tui::passphrase::{Passphrase, PassphraseAnswer};
use crate::verify::Password;

/// What it opened stays open until nobody has used it for so long.
const OPEN: Duration = Duration::from_secs(300);

/// A person who does not type is none; the machine goes on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Wrong ones at a time. Each costs what the hash costs.
const TRIES: u32 = 3;

/// What has to stay free beside what the hash takes.
const SPARE: u64 = 16 << 20;

/// The password of the last catalog that had one, and since when it is open.
#[derive(Debug, Default)]
pub struct Guard {
    password: Option<Password>,
    opened: Option<Instant>,
}

impl Guard {
    /// With what the worker before, or the first stage, knew; else with the built-in catalog's.
    pub fn new(known: Option<Password>) -> Self {
        let password = known.or_else(|| source::built_in().ok()?.catalog()?.password.clone());
        let mut guard = Self::default();
        guard.learn(password.as_ref());
        guard
    }

    /// A catalog without one takes none away: whoever can put one in the way of ours must not open what ours has closed.
    fn learn(&mut self, password: Option<&Password>) {
        let Some(new) = password.filter(|new| self.password.as_ref() != Some(*new)) else { return };
        (self.password, self.opened) = (Some(new.clone()), None);
        Word::Password(new.clone()).say();
    }

    /// What a catalog says.
    pub fn read(&mut self, offer: &Offer) {
        self.learn(offer.catalog().and_then(|catalog| catalog.password.as_ref()));
    }

    /// Closes what was open: something else was done.
    pub fn close(&mut self) {
        self.opened = None;
    }

    /// The password that has to be asked for now.
    fn asks(&self) -> Option<&Password> {
        let open = self.opened.is_some_and(|at| at.elapsed() < OPEN);
        self.password.as_ref().filter(|_| !open)
    }

    /// For the second stage.
    pub fn password(&self) -> Option<&Password> {
        self.password.as_ref()
    }
}

impl Story {
    /// Whether a person may do what takes the password: asks for it if that has to be.
    pub fn may(&mut self, what: &str) -> bool {
        let Some(password) = self.guard.asks().cloned() else {
            // Used again.
            self.guard.opened = self.guard.opened.map(|_| Instant::now());
            return true;
        };
        Word::Doing("asking for the password".into()).say();
        let mut screen = Passphrase::for_password(what, TRIES, PATIENCE, self.header());
        loop {
            let answered = self.consoles.ask(&mut screen, &mut |_| None);
            self.touched(answered.console);
            if answered.answer != PassphraseAnswer::Open {
                return false;
            }
            match self.try_password(&mut screen, &password) {
                None => return false,
                Some(Ok(true)) => {
                    log::info!("the password was given, for {what}");
                    self.guard.opened = Some(Instant::now());
                    return true;
                }
                Some(Ok(false)) => {
                    log::warn!("a wrong password was given, for {what}");
                    if !screen.refused("it is another one") {
                        return false;
                    }
                }
                Some(Err(why)) => {
                    log::error!("the password cannot be tried: {why}");
                    if !screen.refused(why) {
                        return false;
                    }
                }
            }
        }
    }

    /// Whether it is what was typed; nothing if a person did not want to wait for that.
    fn try_password(&mut self, screen: &mut Passphrase, password: &Password) -> Option<Result<bool, String>> {
        let (needs, free) = (password.memory() + SPARE, Machine::probe().memory_available);
        let typed = screen.opening();
        if free < needs {
            let [needs, free] = [needs, free].map(crate::tui::text::bytes);
            return Some(Err(format!("trying it takes {needs} of memory, {free} are free")));
        }
        let password = password.clone();
        let finished = match answer::ask("password", move || password.is(typed.bytes())) {
            Ok(finished) => finished,
            Err(e) => return Some(Err(format!("starting a thread: {e}"))),
        };
        let mut tried = None;
        let answered = self.consoles.ask(screen, &mut |_| match finished.try_take() {
            Ok(value) => {
                tried = Some(value);
                Some(PassphraseAnswer::Done)
            }
            Err(NoAnswer::Yet) => None,
            Err(NoAnswer::Ever) => Some(PassphraseAnswer::Done),
        });
        self.touched(answered.console);
        tried
    }
}
