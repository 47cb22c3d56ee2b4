//! The worker: the story itself. It may die of whatever it meets; the supervisor starts another, which is told why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::LOG;
use super::attempt::Ended;
use super::source;
use super::words::{Legacy, Word};
use crate::catalog::{Action, Entry};
use crate::cmdline::Params;
use crate::commands::rescue;
use crate::drivers;
use crate::early::{self, Quiet};
use crate::fetch::{self, Fetcher};
use crate::handover::Handover;
use crate::load::{Failure, Phase};
use crate::machine::Machine;
use crate::net::{self, Network};
use crate::tui::Consoles;
use crate::tui::menu::{Menu, MenuAnswer, MenuModel};

/// Certificate authorities that came with the initrd, and the mark that only they count.
const CA_DIR: &str = "/etc/bootjack/ca";
const CA_ONLY: &str = "/etc/bootjack/ca-only";

/// What the story carries with it.
pub struct Story {
    pub params: Params,
    pub network: Arc<Network>,
    pub fetcher: Fetcher,
    pub consoles: Consoles,
    pub legacy: Legacy,
    quiet: Option<Quiet>,
}

/// What is to be done next.
pub enum Goal {
    Menu,
    /// An entry, and what its catalog says of failures.
    Boot(Box<Entry>, Policy),
    /// The entry that `bootjack.entry` names.
    Named(String),
    /// Something failed that a person must see.
    Fail(Failure, Box<Goal>, Policy),
    /// The end of the story.
    HandOver(Handover),
}

/// What an unattended machine does when a boot fails.
#[derive(Clone, Debug)]
pub struct Policy {
    pub retry_for: Duration,
    pub on_failure: Action,
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
    let mut story = Story::begin()?;
    let handover = story.live();
    story.end();
    Word::Order(handover.into_order()).say();
    Ok(ExitCode::SUCCESS)
}

impl Story {
    /// Knows the machine, starts the network, takes the consoles.
    fn begin() -> Result<Self, Failure> {
        let legacy = Legacy::read();
        let text = fs::read_to_string("/proc/cmdline")
            .map_err(|e| Failure::new(Phase::Early, "/proc/cmdline", e))?;
        let params = Params::parse(&text);
        Word::Doing("bringing up the network".into()).say();
        let (config, complaints) = net::Config::parse(&params.network);
        let network = Network::start(config).map_err(|e| Failure::new(Phase::Network, "netlink", e))?;
        for complaint in complaints {
            log::warn!("network: {complaint}");
        }
        Word::Doing("loading drivers".into()).say();
        load_drivers();
        let paths = match &params.consoles[..] {
            [] => kernels_consoles(),
            named => named.iter().map(|name| Path::new("/dev").join(name)).collect(),
        };
        let quiet = lower_kernel();
        let (consoles, lost) = Consoles::open(&paths);
        for (path, e) in lost {
            log::warn!("console {}: {e}", path.display());
        }
        let fetcher = Fetcher::new(&fetch_config(&params))
            .map_err(|e| Failure::new(Phase::Fetch, "certificates", e))?;
        Ok(Self { params, network: Arc::new(network), fetcher, consoles, legacy, quiet })
    }

    fn live(&mut self) -> Handover {
        if self.params.shell && self.legacy.worker == 0 {
            self.shell(None);
        }
        let mut goal = self.first_goal();
        loop {
            goal = match goal {
                Goal::Menu => self.menu(),
                Goal::Named(id) => self.named(id),
                Goal::Boot(entry, policy) => match self.boot(&entry) {
                    Ended::Handover(handover) => Goal::HandOver(handover),
                    Ended::Stopped => Goal::Menu,
                    Ended::Failed(failure) => {
                        Goal::Fail(failure, Box::new(Goal::Boot(entry, policy.clone())), policy)
                    }
                },
                Goal::Fail(failure, again, policy) => self.failed(failure, *again, &policy),
                Goal::HandOver(handover) => return handover,
            };
        }
    }

    /// The root words of the command line come before an entry, an entry before the menu; the death of the worker before
    /// this one comes before them all.
    fn first_goal(&mut self) -> Goal {
        let policy = self.policy(None);
        let goal = match self.params.root_entry() {
            Some(Ok(entry)) => Goal::Boot(Box::new(entry), policy.clone()),
            Some(Err(problem)) => {
                let failure = Failure::because(Phase::Plan, "the kernel command line", problem.to_string());
                Goal::Fail(failure, Box::new(Goal::Menu), policy.clone())
            }
            None => match self.params.entry.clone() {
                Some(id) => Goal::Named(id),
                None => Goal::Menu,
            },
        };
        match self.legacy.failure.take() {
            Some(failure) => Goal::Fail(failure, Box::new(goal), policy),
            None => goal,
        }
    }

    /// What the command line says of failures, then the catalog, then the defaults.
    pub fn policy(&self, catalog: Option<&crate::catalog::Catalog>) -> Policy {
        let retry_for = self.params.retry_for.or(catalog.map(|c| c.retry_for));
        let on_failure =
            self.params.on_failure.clone().map(Action::from).or(catalog.map(|c| c.on_failure.clone()));
        Policy {
            retry_for: retry_for.unwrap_or(Duration::from_secs(600)),
            on_failure: on_failure.unwrap_or(Action::Reboot),
        }
    }

    /// The entry of the catalog that was asked for, and no other; no other catalog either.
    fn named(&mut self, id: String) -> Goal {
        let again = Box::new(Goal::Named(id.clone()));
        let offer = match source::get(self, false) {
            Ok(offer) => offer,
            Err(source::None::Failed(failure)) => return Goal::Fail(failure, again, self.policy(None)),
            Err(source::None::Back) => return Goal::Menu,
        };
        let policy = self.policy(offer.catalog());
        let named = offer.catalog().and_then(|c| c.entries.iter().find(|e| e.id == id));
        match named {
            Some(entry) => Goal::Boot(Box::new(entry.clone()), policy),
            None => {
                let missing = || vec!["the catalog has no such entry".to_owned()];
                let cause = offer.complaints(&id).unwrap_or_else(missing);
                let hint = format!("bootjack.entry= asks for it; the catalog is {}", offer.origin);
                let failure = Failure { phase: Phase::Catalog, thing: id, cause, hint: Some(hint) };
                Goal::Fail(failure, again, policy)
            }
        }
    }

    fn menu(&mut self) -> Goal {
        let offer = match source::get(self, true) {
            Ok(offer) => offer,
            Err(source::None::Failed(failure)) => {
                return Goal::Fail(failure, Box::new(Goal::Menu), self.policy(None));
            }
            Err(source::None::Back) => return Goal::Menu,
        };
        let policy = self.policy(offer.catalog());
        let model = self.model(&offer);
        if let Some(failure) = self.nothing_to_boot(&model) {
            return Goal::Fail(failure, Box::new(Goal::Menu), policy);
        }
        let mut menu = if self.legacy.attended { Menu::held(model) } else { Menu::new(model) };
        loop {
            Word::Doing("showing the menu".into()).say();
            let network = Arc::clone(&self.network);
            let answered = self.consoles.ask(&mut menu, &mut |menu| {
                let header = source::header(&network);
                menu.tell(|model| model.header = header);
                None
            });
            self.touched(answered.console);
            match answered.answer {
                MenuAnswer::Boot(index) => match offer.catalog().and_then(|c| c.entries.get(index)) {
                    Some(entry) => return Goal::Boot(Box::new(entry.clone()), policy),
                    None => log::error!("the menu chose entry {index}, which is not there"),
                },
                MenuAnswer::Shell => self.shell(answered.console),
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
        if console.is_some() && !self.legacy.attended {
            self.legacy.attended = true;
            Word::Attended(true).say();
        }
    }

    /// A shell on the console that asked for it, with the kernel's messages as they were.
    pub fn shell(&mut self, console: Option<usize>) {
        let Some(tty) = self.consoles.path(console.unwrap_or(0)).map(Path::to_owned) else {
            return log::error!("there is no console for a shell");
        };
        Word::Doing(format!("in a shell on {}", tty.display())).say();
        self.consoles.give_back();
        self.quiet = None;
        match rescue::shell(&tty) {
            Ok(status) => log::info!("the shell on {} ended: {status}", tty.display()),
            Err(e) => log::error!("shell: {e:#}"),
        }
        self.quiet = lower_kernel();
        self.consoles.take();
    }

    fn end(mut self) {
        self.consoles.give_back();
        drop(self.quiet.take());
    }
}

fn lower_kernel() -> Option<Quiet> {
    Quiet::now().map_err(|e| log::warn!("console loglevel: {e}")).ok()
}

fn load_drivers() {
    let dir = Path::new("/lib/modules").join(Machine::probe().kernel);
    match drivers::coldplug(&dir, &mut |loaded| log::debug!("{loaded}")) {
        Ok(found) => {
            log::info!("{} modules for {} devices", found.loaded.len(), found.devices);
            if let Err(e) = found.drivers.watch(|loaded| log::info!("{loaded}")) {
                log::warn!("watching for new devices: {e}");
            }
        }
        Err(e) => log::warn!("drivers from {}: {e}", dir.display()),
    }
}

/// The consoles of the kernel (Documentation/ABI/testing/sysfs-tty), the last of which is `/dev/console`.
fn kernels_consoles() -> Vec<PathBuf> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    active.split_whitespace().rev().map(|name| Path::new("/dev").join(name)).collect()
}

fn fetch_config(params: &Params) -> fetch::Config {
    let mut ca = params.ca.clone();
    if let Ok(files) = fs::read_dir(CA_DIR) {
        ca.extend(
            files
                .filter_map(|file| Some(file.ok()?.path()))
                .filter(|p| p.extension().is_some_and(|e| e == "pem")),
        );
    }
    fetch::Config { ca, ca_only: Path::new(CA_ONLY).exists(), ..fetch::Config::default() }
}
