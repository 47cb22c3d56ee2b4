//! The worker: the story itself. It may die of whatever it meets; the supervisor starts another, which is told why.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::LOG;
use super::beginning::{complaint, load_drivers, lower_kernel, make_fetcher, open_consoles};
use super::source;
use super::words::{Legacy, Policy, Word};
use crate::catalog::{Action, Catalog, Entry};
use crate::cmdline::Params;
use crate::commands::rescue;
use crate::early::{self, Quiet};
use crate::fetch::Fetcher;
use crate::handover::Handover;
use crate::load::{Failure, Phase};
use crate::net::{self, Network};
use crate::tui::Consoles;
use crate::tui::menu::{Menu, MenuAnswer, MenuModel};

/// What the story carries with it.
pub struct Story {
    pub params: Params,
    pub network: Arc<Network>,
    pub fetcher: Fetcher,
    pub consoles: Consoles,
    pub legacy: Legacy,
    /// What a person should know of the beginning: words that mean nothing, certificates that could not be read.
    pub notices: Vec<String>,
    /// Whether the machine is to boot without a person: told so on the command line, or by a menu with a timeout.
    pub by_itself: bool,
    quiet: Option<Quiet>,
}

/// What is to be done next.
pub enum Goal {
    Menu,
    /// An entry, what its catalog says of failures, and the console it was chosen on.
    Boot {
        entry: Box<Entry>,
        policy: Policy,
        console: Option<usize>,
    },
    /// The entry with this id, of the catalog that was asked for, or else of the built-in one if that will do too.
    Named {
        id: String,
        or_built_in: bool,
    },
    /// Something failed that a person must see.
    Fail(Box<Failed>),
    /// The end of the story.
    HandOver(Handover),
}

/// A failure, and what may follow.
pub struct Failed {
    pub failure: Failure,
    /// What trying again means; absent where it cannot help.
    pub again: Option<Goal>,
    pub policy: Policy,
}

/// Lives the story; its last word is the order.
///
/// # Errors
/// Only what keeps the story from beginning.
pub fn run() -> Result<ExitCode, Failure> {
    if let Err(e) = early::log_to(true, Some(Path::new(LOG)), log::LevelFilter::Info) {
        eprintln!("bootjack: early: log: {e}");
    }
    std::panic::set_hook(Box::new(|panic| log::error!("the worker panics: {panic}")));
    let mut story = Story::begin().inspect_err(|failure| Word::Failed(failure.clone()).say())?;
    let handover = story.live();
    story.end();
    Word::Order(handover.into_order()).say();
    Ok(ExitCode::SUCCESS)
}

impl Story {
    /// Knows the machine, starts the network, takes the consoles.
    fn begin() -> Result<Self, Failure> {
        let legacy = Legacy::read();
        let text = fs::read_to_string("/proc/cmdline").unwrap_or_else(|e| {
            log::error!("/proc/cmdline: {e}");
            String::new()
        });
        let params = Params::parse(&text);
        let mut notices: Vec<String> = params.problems.iter().map(complaint).collect();
        Word::Doing("bringing up the network".into()).say();
        let (config, complaints) = net::Config::parse(&params.network);
        notices.extend(complaints);
        let network = Network::start(config).map_err(|e| Failure::new(Phase::Network, "netlink", e))?;
        Word::Doing("loading drivers".into()).say();
        load_drivers();
        let quiet = lower_kernel();
        let consoles = open_consoles(&params, &mut notices);
        let fetcher = make_fetcher(&params, &mut notices)?;
        notices.iter().for_each(|notice| log::warn!("{notice}"));
        let by_itself = params.root.is_some() || params.entry.is_some();
        Ok(Self { params, network: Arc::new(network), fetcher, consoles, legacy, notices, by_itself, quiet })
    }

    fn live(&mut self) -> Handover {
        let mut goal = self.first_goal();
        loop {
            goal = match goal {
                Goal::Menu => self.menu(),
                Goal::Named { id, or_built_in } => self.named(id, or_built_in),
                Goal::Boot { entry, policy, console } => self.attempt(entry, policy, console),
                Goal::Fail(failed) => self.failed(*failed),
                Goal::HandOver(handover) => return handover,
            };
        }
    }

    /// The root words of the command line come before an entry, an entry before the menu; the death of the worker before
    /// this one comes before them all.
    fn first_goal(&mut self) -> Goal {
        if self.params.shell && self.legacy.worker == 0 {
            match self.shell(None) {
                Ok(()) => {}
                Err(failure) => return self.fail(failure, Some(self.asked_for()), self.policy(None)),
            }
        }
        let goal = self.asked_for();
        let Some(failure) = self.legacy.failure.take() else { return goal };
        match self.legacy.booting.take() {
            // Chosen from a menu, by a person or the timeout: that entry again, not the menu.
            Some((id, policy)) if matches!(goal, Goal::Menu) => {
                self.fail(failure, Some(Goal::Named { id, or_built_in: true }), policy)
            }
            booting => {
                let policy = booting.map_or_else(|| self.policy(None), |(_, policy)| policy);
                self.fail(failure, Some(goal), policy)
            }
        }
    }

    /// What the kernel command line asks for.
    fn asked_for(&self) -> Goal {
        match (self.params.root_entry(), &self.params.entry) {
            (Some(Ok(entry)), _) => {
                Goal::Boot { entry: Box::new(entry), policy: self.policy(None), console: None }
            }
            // Never anything else than what was asked for: a word that is wrong now is wrong the next time too.
            (Some(Err(problem)), _) => {
                let failure = Failure::because(Phase::Plan, "the kernel command line", complaint(&problem));
                self.fail(failure, None, self.policy(None))
            }
            (None, Some(id)) => Goal::Named { id: id.clone(), or_built_in: false },
            (None, None) => Goal::Menu,
        }
    }

    /// Whether the machine is to boot by itself, whatever a menu says.
    pub fn is_told_what_to_boot(&self) -> bool {
        self.params.root.is_some() || self.params.entry.is_some()
    }

    pub fn fail(&self, failure: Failure, again: Option<Goal>, policy: Policy) -> Goal {
        Goal::Fail(Box::new(Failed { failure, again, policy }))
    }

    /// What the command line says of failures, then the catalog, then the defaults.
    pub fn policy(&self, catalog: Option<&Catalog>) -> Policy {
        let retry_for = self.params.retry_for.or(catalog.map(|c| c.retry_for));
        let on_failure =
            self.params.on_failure.clone().map(Action::from).or(catalog.map(|c| c.on_failure.clone()));
        Policy {
            retry_for: retry_for.unwrap_or(Duration::from_secs(600)),
            on_failure: on_failure.unwrap_or(Action::Reboot),
        }
    }

    fn named(&mut self, id: String, or_built_in: bool) -> Goal {
        let again = Goal::Named { id: id.clone(), or_built_in };
        let offer = match source::get(self, or_built_in) {
            Ok(offer) => offer,
            Err(source::NoOffer::Failed(failure)) => {
                return self.fail(failure, Some(again), self.policy(None));
            }
            Err(source::NoOffer::Left) => return self.left(&id, again, self.policy(None)),
        };
        let policy = self.policy(offer.catalog());
        let named = offer.catalog().and_then(|c| c.entries.iter().find(|e| e.id == id));
        match named {
            Some(entry) => Goal::Boot { entry: Box::new(entry.clone()), policy, console: None },
            None => {
                let missing = || vec!["the catalog has no such entry".to_owned()];
                let cause = offer.complaints(&id).unwrap_or_else(missing);
                let hint = format!("the catalog is {}", offer.origin);
                let failure = Failure { phase: Phase::Catalog, thing: id, cause, hint: Some(hint) };
                self.fail(failure, Some(again), policy)
            }
        }
    }

    /// A person stopped what the machine was told to do: they decide what follows, and if they go away it goes on.
    pub fn left(&self, what: &str, again: Goal, policy: Policy) -> Goal {
        let failure = Failure::because(Phase::Fetch, what, "stopped from the keyboard");
        self.fail(failure, Some(again), policy)
    }

    fn menu(&mut self) -> Goal {
        let offer = match source::get(self, true) {
            Ok(offer) => offer,
            Err(source::NoOffer::Failed(failure)) => {
                return self.fail(failure, Some(Goal::Menu), self.policy(None));
            }
            Err(source::NoOffer::Left) => return self.left("the catalog", Goal::Menu, self.policy(None)),
        };
        let policy = self.policy(offer.catalog());
        let model = self.model(&offer);
        if let Some(failure) = self.nothing_to_boot(&model) {
            return self.fail(failure, Some(Goal::Menu), policy);
        }
        self.by_itself |= model.timeout.is_some();
        let mut menu = if self.legacy.attended { Menu::held(model) } else { Menu::new(model) };
        loop {
            Word::Doing("showing the menu".into()).say();
            let network = Arc::clone(&self.network);
            let answered = self.consoles.ask(&mut menu, &mut |menu| {
                let header = source::header(&network);
                menu.tell(|model| model.header = header);
                None
            });
            // Chosen by the countdown, nobody is there to be waited for.
            self.attended(answered.console.is_some());
            let console = answered.console;
            match answered.answer {
                MenuAnswer::Boot(index) => match offer.catalog().and_then(|c| c.entries.get(index)) {
                    Some(entry) => return Goal::Boot { entry: Box::new(entry.clone()), policy, console },
                    None => log::error!("the menu chose entry {index}, which is not there"),
                },
                MenuAnswer::Shell => {
                    if let Err(failure) = self.shell(console) {
                        return self.fail(failure, Some(Goal::Menu), policy);
                    }
                }
                MenuAnswer::Network => self.look_at_network(),
                MenuAnswer::Reload | MenuAnswer::Leave => return Goal::Menu,
                MenuAnswer::Reboot => return Goal::HandOver(Handover::reboot()),
                MenuAnswer::PowerOff => return Goal::HandOver(Handover::power_off()),
            }
        }
    }

    /// A menu that is to boot by itself and has nothing to boot would wait for a person who may never come.
    fn nothing_to_boot(&self, model: &MenuModel) -> Option<Failure> {
        if self.legacy.attended || model.timeout.is_none() || model.default.is_some() {
            return None;
        }
        let mut failure = Failure::because(Phase::Catalog, &model.source, "its default entry was refused");
        failure.cause.extend(model.notices.iter().cloned());
        Some(failure.hint("'bootjack check' names every fault of a catalog"))
    }

    /// A key was pressed: somebody is there.
    pub fn touched(&mut self, console: Option<usize>) {
        if console.is_some() {
            self.attended(true);
        }
    }

    /// Whether a person asked for what is going on now.
    pub fn attended(&mut self, now: bool) {
        if self.legacy.attended != now {
            self.legacy.attended = now;
            Word::Attended(now).say();
        }
    }

    /// A shell on the console that asked for it, with the kernel's messages as they were.
    ///
    /// # Errors
    /// There is none in the initrd, or no console for it.
    pub fn shell(&mut self, console: Option<usize>) -> Result<(), Failure> {
        let Some(tty) = self.consoles.path(console.unwrap_or(0)).map(Path::to_owned) else {
            return Err(Failure::because(Phase::Worker, "shell", "there is no console for it"));
        };
        Word::Doing(format!("in a shell on {}", tty.display())).say();
        self.consoles.give_back();
        self.quiet = None;
        let ended = rescue::shell(&tty);
        self.quiet = lower_kernel();
        self.consoles.take();
        let status =
            ended.map_err(|e| Failure::new(Phase::Worker, format!("shell on {}", tty.display()), e))?;
        log::info!("the shell on {} ended: {status}", tty.display());
        Ok(())
    }

    fn end(mut self) {
        self.consoles.give_back();
        drop(self.quiet.take());
    }
}
