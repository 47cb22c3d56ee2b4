//! The worker: makes the kernel habitable, then lives the story. It may die of whatever it meets; the supervisor starts
//! another, which is told why. What is done is here; what is decided is [`Course`]'s.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::LOG;
use super::beginning::{
    complaint, load_drivers, lower_kernel, make_fetcher, network_complaint, open_consoles,
};
use super::breaks;
use super::course::{Attempt, Course, End, Ended, Hands, Restart, Start, Wanted};
use super::guard::Guard;
use super::handoff::Handoff;
use super::report::{self, Part};
use super::source::{self, NoOffer, Offer};
use super::ssh::Ssh;
use super::trust;
use super::words::{Legacy, Word};
use crate::answer;
use crate::cmdline::{BreakAt, Params};
use crate::commands::rescue;
use crate::early::{self, Quiet};
use crate::fetch::{Fetcher, Proxy, parse_proxy};
use crate::handover::{Firmware, Handover, Order};
use crate::load::{Failure, HANDOFF, Phase};
use crate::machine::Machine;
use crate::net::{self, Mac, Network};
use crate::privileges;
use crate::tui::menu::MenuModel;
use crate::tui::{Answered, Consoles, Screen};
use crate::verify::signature::Keyring;
use crate::volumes;

/// What the story carries with it.
pub struct Story {
    pub params: Params,
    pub network: Arc<Network>,
    /// Nothing is booted without an address, even what needs none.
    pub needs_network: bool,
    /// The interface the firmware booted from.
    pub bootif: Option<Mac>,
    pub fetcher: Fetcher,
    /// The keys of the initrd, if it has any: then a catalog that is fetched has to be signed.
    pub keyring: Option<Keyring>,
    pub consoles: Consoles,
    pub guard: Guard,
    pub ssh: Ssh,
    /// What a person should know of the beginning: words that mean nothing, certificates that could not be read.
    pub notices: Vec<String>,
    /// What a first stage left for this one.
    pub handoff: Option<Handoff>,
    quiet: Option<Quiet>,
    /// Somebody was in a shell on the way.
    pub broken_into: bool,
    /// Where the boot was interrupted already.
    pub broke: Vec<BreakAt>,
}

/// Lives the story; its last word is the order.
///
/// # Errors
/// Only what keeps the story from beginning.
pub fn run() -> Result<ExitCode, Failure> {
    let text = fs::read_to_string("/proc/cmdline");
    let handed = Path::new(HANDOFF).exists();
    let params = Params::parse(text.as_deref().unwrap_or_default()).obeying(handed);
    let level = if params.debug { log::LevelFilter::Debug } else { log::LevelFilter::Info };
    if let Err(e) = early::log_to(true, Some(Path::new(LOG)), level) {
        eprintln!("bootjack: early: log: {e}");
    }
    if let Err(e) = text {
        log::error!("/proc/cmdline: {e}");
    }
    privileges::Part::Worker.keep();
    std::panic::set_hook(Box::new(|panic| log::error!("the worker panics: {panic}")));
    let mut story = Story::begin(params).inspect_err(|failure| Word::Failed(failure.clone()).say())?;
    let second = story.handoff.as_ref().map(Handoff::second);
    let legacy = Legacy::read();
    report::add(|report, now| {
        story.notices.iter().for_each(|notice| report.warn(notice));
        // The death of the worker before this one.
        legacy.failure.iter().for_each(|failure| report.fail(failure, now));
    });
    let start = Start { params: story.params.clone(), legacy, second };
    let handover = match Course::new(start).live(&mut story) {
        End::Loaded(handover) => handover,
        End::Reboot => Handover::reboot(),
        End::PowerOff => Handover::power_off(),
        End::Restart(Restart::Setup) => Handover::setup(),
        End::Restart(Restart::Next(entry)) => Handover::next(entry),
    };
    let order = handover.into_order();
    story.end(&order);
    Word::Order(order).say();
    Ok(ExitCode::SUCCESS)
}

impl Story {
    /// Knows the machine, starts the network, takes the consoles.
    fn begin(mut params: Params) -> Result<Self, Failure> {
        match fs::read("/proc/1/cmdline") {
            Ok(handed) => params.as_handed(&handed),
            Err(e) => log::warn!("/proc/1/cmdline: {e}"),
        }
        let mut notices: Vec<String> = params.problems.iter().map(complaint).collect();
        let handoff = Handoff::read().unwrap_or_else(|e| {
            // The words of the command line name the root, too: what else was handed on is lost.
            notices.push(format!("{HANDOFF}: {e}: is the first stage another version of bootjack?"));
            None
        });
        if let Some(handoff) = &handoff {
            match handoff.proxy.as_deref().map(parse_proxy).transpose() {
                Ok(Some(url)) => {
                    let not_for = params.proxy.take().map(|proxy| proxy.not_for).unwrap_or_default();
                    params.proxy = Some(Proxy { url, not_for });
                }
                Ok(None) => {}
                Err(e) => notices.push(format!("{HANDOFF}: the proxy: {e}")),
            }
            report::begin(handoff);
        }
        let legacy = Legacy::read();
        let handed = handoff.as_ref().and_then(|handoff| handoff.password.clone());
        let guard = Guard::new(legacy.password.or(handed));
        let breaks = legacy.worker == 0 && params.break_at.contains(&BreakAt::Start);
        let broken_into = breaks && breaks::before_anything(&guard, &mut notices);
        Word::Doing("bringing up the network".into()).say();
        let (config, problems) = net::Config::parse(&params.network);
        let complaints: Vec<String> = problems.iter().map(network_complaint).collect();
        let (needs_network, bootif) = (config.needed, config.bootif);
        let network = Network::start(config).map_err(|e| Failure::new(Phase::Network, "netlink", e))?;
        complaints.iter().for_each(|complaint| network.remark(complaint.clone()));
        notices.extend(complaints);
        Word::Doing("loading drivers".into()).say();
        report::add(|report, now| report.begin(Part::Drivers, now));
        load_drivers();
        report::add(|report, now| report.end(Part::Drivers, now));
        let quiet = lower_kernel();
        let consoles = open_consoles(&params, &mut notices);
        let ssh = Ssh::start(&mut notices);
        let fetcher = make_fetcher(&params, &mut notices)?;
        let keyring = trust::keys(&mut notices);
        notices.iter().for_each(|notice| log::warn!("{notice}"));
        let network = Arc::new(network);
        Ok(Self {
            params,
            network,
            needs_network,
            bootif,
            fetcher,
            keyring,
            consoles,
            guard,
            ssh,
            notices,
            handoff,
            quiet,
            broken_into,
            broke: vec![],
        })
    }

    /// A key was pressed: somebody is there, whatever becomes of this worker.
    pub fn touched(&self, console: Option<usize>) {
        if console.is_some() {
            Word::Attended(true).say();
        }
    }

    /// A shell on the console that asked for it, with the kernel's messages as they were.
    ///
    /// # Errors
    /// There is none in the initrd, or no console for it, or nobody may have one. Whoever does not know the password gets
    /// none, which is no error.
    pub fn shell(&mut self, console: Option<usize>) -> Result<(), Failure> {
        self.shell_about(console, "")
    }

    /// The same with a line about what it is for.
    ///
    /// # Errors
    /// As of [`Story::shell`].
    pub fn shell_about(&mut self, console: Option<usize>, about: &str) -> Result<(), Failure> {
        if self.params.forbids_shell() {
            return Err(Failure::because(
                Phase::Worker,
                "shell",
                "panic=, rd.shell=0 or bootjack.shell=0 forbids it",
            ));
        }
        if !self.may("a shell") {
            return Ok(());
        }
        if console.is_some_and(|index| self.consoles.lend(index, about)) {
            return Ok(());
        }
        let Some(tty) = self.consoles.path(console.unwrap_or(0)).map(Path::to_owned) else {
            return Err(Failure::because(Phase::Worker, "shell", "there is no console for it"));
        };
        Word::Doing(format!("in a shell on {}", tty.display())).say();
        self.consoles.give_back();
        self.quiet = None;
        let ended = rescue::shell(&tty, about);
        self.quiet = lower_kernel();
        self.consoles.take();
        let status =
            ended.map_err(|e| Failure::new(Phase::Worker, format!("shell on {}", tty.display()), e))?;
        log::info!("the shell on {} ended: {status}", tty.display());
        Ok(())
    }

    /// Gives back what was taken, for what comes next: volumes and arrays that were put together, disks, consoles. Links
    /// stay up for a system that goes on with this kernel; for another one they go down: its driver must not find a card
    /// that writes into its memory.
    fn end(mut self, order: &Order) {
        report::add(|report, now| {
            report.end(Part::Menu, now);
            report.handover = Some(report::Handover::of(order, now));
        });
        volumes::dismantle();
        give_disks_back();
        if matches!(order, Order::Kexec(_)) {
            self.network.down();
        }
        self.consoles.give_back();
        drop(self.quiet.take());
    }
}

/// Opening a dead disk may never end.
fn give_disks_back() {
    match answer::ask("disks", volumes::release_all) {
        Err(e) => log::error!("disks that are read-only stay so: starting a thread: {e}"),
        Ok(given) if given.take_within(Duration::from_secs(2)).is_ok() => {}
        Ok(_) => log::error!("disks that are read-only stay so: one does not answer"),
    }
}

impl Hands for Story {
    type Loaded = Handover;

    fn catalog(
        &mut self,
        wanted: &Wanted,
        or_built_in: bool,
        patience: Option<Duration>,
    ) -> Result<Offer, NoOffer> {
        report::add(|report, now| report.begin(Part::Catalog, now));
        let got = source::get(self, wanted, or_built_in, patience);
        report::add(|report, now| {
            report.end(Part::Catalog, now);
            match &got {
                Ok(offer) => report.catalog(offer),
                Err(NoOffer::Failed(failure)) => report.fail(failure, now),
                Err(NoOffer::Left) => {}
            }
        });
        got.iter().for_each(|offer| self.guard.read(offer));
        got
    }

    fn may(&mut self, what: &str) -> bool {
        Self::may(self, what)
    }

    fn model(&mut self, offer: &Offer) -> MenuModel {
        report::add(|report, now| report.begin(Part::Menu, now));
        Self::model(self, offer)
    }

    fn machine(&mut self) -> Machine {
        Machine::probe()
    }

    fn firmware(&mut self) -> Option<Firmware> {
        if !Path::new("/sys/firmware/efi").is_dir() {
            return None;
        }
        Firmware::look().inspect_err(|e| log::warn!("the firmware's variables: {e:#}")).ok()
    }

    fn ask<S: Screen>(&mut self, screen: &mut S, facts: fn(&mut S, Vec<String>)) -> Answered<S::Answer> {
        let (network, fetcher) = (Arc::clone(&self.network), self.fetcher.clone());
        let answered = self.consoles.ask(screen, &mut |screen| {
            facts(screen, source::header(&network, &fetcher));
            None
        });
        // The answer says whether it came from a key; those before it were the screen's.
        self.consoles.was_touched();
        answered
    }

    fn boot(&mut self, attempt: &Attempt) -> Ended<Handover> {
        report::add(|report, now| report.end(Part::Menu, now));
        // Of a shell, it is asked for on the way.
        let ended = self.attempt(attempt);
        self.guard.close();
        ended
    }

    fn shell(&mut self, console: Option<usize>) -> Result<(), Failure> {
        Self::shell(self, console)
    }

    fn look_at_network(&mut self) {
        Self::look_at_network(self);
    }

    fn was_touched(&mut self) -> bool {
        std::mem::take(&mut self.broken_into) | self.consoles.was_touched()
    }

    fn say(&mut self, word: Word) {
        word.say();
    }

    fn uptime(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0))
    }

    fn facts(&self) -> Vec<String> {
        self.header()
    }

    fn log_tail(&self, lines: usize) -> Vec<String> {
        early::log_tail(Path::new(LOG), lines)
    }
}
