//! The hands of a test: a clock that is set, servers that answer as the setting says, people who press keys, a
//! supervisor that starts another worker, kernels that take over or refuse. The screens are the real ones.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent};

use super::chance::Chance;
use super::model::{Model, Over, Shown};
use super::setting::{SECOND, SERVER, Setting, parsed};
use crate::catalog::{Action, Boot, Catalog, Entry, Job, Root};
use crate::cmdline::BreakAt;
use crate::commands::boot::course::{Attempt, Course, End, Ended, Hands, JobEnd, Second, Start, Wanted};
use crate::commands::boot::source::{NoOffer, Offer, Origin};
use crate::commands::boot::words::{Legacy, Word};
use crate::fetch::Location;
use crate::handover::{BootEntry, Firmware};
use crate::load::{Failure, Phase};
use crate::machine::Machine;
use crate::tui::menu::MenuModel;
use crate::tui::network::{Awaited, Network};
use crate::tui::{Answered, Event, Screen};

/// What ends a worker from outside.
enum Stop {
    Died,
    /// Nothing more is going to happen.
    Horizon,
}

/// What a load leads to.
pub enum Loaded {
    System(String),
    Kernel(Box<Second>),
    Reboot,
    PowerOff,
}

pub struct World {
    pub setting: Setting,
    pub model: Model,
    chance: Chance,
    now: Duration,
    /// When the running kernel started.
    kernel: Duration,
    horizon: Duration,
    keys: VecDeque<(Duration, KeyEvent)>,
    deaths: VecDeque<Duration>,
    touched: bool,
    /// A shell interrupted a boot; once in a life, as somebody has to come and leave it.
    broke: bool,
    legacy: Legacy,
    second: Option<Second>,
    /// Whether its archive came with the kexec, and was read.
    carried: bool,
    used_up: bool,
}

impl World {
    pub fn new(setting: Setting, chance: Chance) -> Self {
        let model = Model::new(&setting);
        let horizon = setting.quiet() + model.longest();
        Self {
            keys: setting.keys.iter().copied().collect(),
            deaths: setting.deaths.iter().copied().collect(),
            horizon,
            setting,
            model,
            chance,
            now: Duration::ZERO,
            kernel: Duration::ZERO,
            touched: false,
            broke: false,
            legacy: Legacy::default(),
            second: None,
            carried: false,
            used_up: false,
        }
    }

    /// Lives until a system runs, the machine restarts or is off, or nothing more happens.
    pub fn live(&mut self) {
        loop {
            let mut params = self.setting.params.clone();
            // A second kernel's command line has no such word.
            params.shell &= self.second.is_none();
            let start = Start { params, legacy: self.legacy.clone(), second: self.second.clone() };
            let mut course = Course::new(start);
            let lived = catch_unwind(AssertUnwindSafe(|| course.live(self)));
            match lived {
                Ok(end) => {
                    if self.hand_over(end) {
                        return;
                    }
                }
                Err(why) => match why.downcast::<Stop>().map(|stop| *stop) {
                    Ok(Stop::Died) => self.bury("killed by SIGSEGV"),
                    Ok(Stop::Horizon) => return self.model.ends(self.now, Over::Nothing),
                    Err(why) => resume_unwind(why),
                },
            }
        }
    }

    /// The supervisor's part; true: it is over.
    fn hand_over(&mut self, end: End<Loaded>) -> bool {
        match end {
            End::Loaded(Loaded::System(_) | Loaded::Kernel(_)) if self.chance.one_in(12) => {
                self.bury("the kernel refused it");
                return false;
            }
            End::Loaded(Loaded::System(id)) => self.model.ends(self.now, Over::System(id)),
            End::Loaded(Loaded::Reboot) => self.model.ends(self.now, Over::Chosen),
            End::Loaded(Loaded::PowerOff) => self.model.ends(self.now, Over::Chosen),
            End::Reboot => self.model.ends(self.now, Over::Reboot),
            End::PowerOff => self.model.ends(self.now, Over::PowerOff),
            End::Restart(_) => self.model.ends(self.now, Over::Reboot),
            End::Loaded(Loaded::Kernel(second)) => {
                self.now += Duration::from_secs(5);
                self.kernel = self.now;
                self.legacy = Legacy::default();
                self.model.second_stage(self.now, &second);
                (self.second, self.used_up, self.carried) = (Some(*second), false, self.chance.one_in(2));
                return false;
            }
        }
        true
    }

    fn bury(&mut self, how: &str) {
        self.touched = false;
        self.legacy.worker += 1;
        self.legacy.failure = Some(Failure::because(Phase::Worker, "a worker", how));
        self.model.died(self.now, self.legacy.attended);
        self.now += Duration::from_secs(1);
    }

    /// Time goes by until `until` or a key, which is returned.
    fn pass(&mut self, until: Duration) -> Option<KeyEvent> {
        let key = self.keys.front().filter(|(at, _)| *at <= until).copied();
        let next = key.map_or(until, |(at, _)| at.max(self.now));
        let death = self.deaths.front().copied().filter(|at| *at <= next);
        if let Some(at) = death {
            self.deaths.pop_front();
            self.now = self.now.max(at);
            resume_unwind(Box::new(Stop::Died));
        }
        self.now = self.now.max(next);
        if self.now >= self.horizon {
            resume_unwind(Box::new(Stop::Horizon));
        }
        key.map(|(_, key)| key)
    }

    /// The key that is due is pressed.
    fn press(&mut self, key: KeyEvent) {
        self.keys.pop_front();
        self.model.key(self.now, key.code);
    }

    /// Work with a screen to watch: false if Esc stops it.
    fn work(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        while self.now < end {
            let Some(key) = self.pass(end) else { continue };
            self.press(key);
            self.touched = true;
            if key.code == KeyCode::Esc {
                return false;
            }
        }
        true
    }

    /// False if Esc stops it, or an error when nobody is there and it takes too long.
    fn wait_for_address(&mut self, patience: Option<Duration>) -> Result<bool, Failure> {
        self.model.awaits_address = patience.is_none();
        let left = match self.setting.lease {
            Some(at) => at.saturating_sub(self.now),
            None => self.horizon.saturating_sub(self.now) + Duration::from_secs(1),
        };
        let most = patience.map(|left| left.max(ADDRESS)).filter(|most| *most < left);
        let waited = self.work(most.unwrap_or(left));
        self.model.awaits_address = false;
        match most {
            Some(_) if waited => Err(Failure::because(Phase::Network, "an address", "none")),
            _ => Ok(waited),
        }
    }

    fn is_since(&self, from: Option<Duration>) -> bool {
        from.is_some_and(|from| self.now >= from)
    }

    fn fetch(&mut self, or_built_in: bool, patience: Option<Duration>) -> Result<Offer, NoOffer> {
        let there = self.wait_for_address(patience);
        let why = if let Err(failure) = there {
            NoOffer::Failed(failure)
        } else if matches!(there, Ok(true)) && self.work(Duration::from_secs(1)) {
            if self.is_since(self.setting.served)
                && let Some(catalog) = &self.setting.remote
            {
                let origin = Origin::Fetched(Location::parse(SERVER).unwrap());
                return Ok(offer(catalog, origin));
            }
            // Silent, or an answer that is no catalog.
            let time = self.chance.of(&[0, 60]);
            match self.work(Duration::from_secs(time)) {
                true => NoOffer::Failed(Failure::because(Phase::Catalog, SERVER, "cannot be had")),
                false => NoOffer::Left,
            }
        } else {
            NoOffer::Left
        };
        match (&self.setting.built_in, or_built_in) {
            (Some(built_in), true) => Ok(offer(built_in, Origin::BuiltIn)),
            _ => Err(why),
        }
    }

    /// Whoever is in it types what is no key of ours.
    fn in_a_shell(&mut self) {
        self.model.key(self.now, KeyCode::Null);
        self.model.leaves_shell();
    }

    fn run(&mut self, attempt: &Attempt, job: &Job) -> Ended<Loaded> {
        for word in attempt.job_begins(&job.on_failure) {
            self.say(word);
        }
        self.model.job_begins(&attempt.entry.id, &job.on_failure);
        let end = self.now + self.chance.within(600);
        // Nothing ends a job by accident.
        while self.now < end {
            if let Some(key) = self.pass(end) {
                self.press(key);
                self.touched = true;
            }
        }
        let success = self.chance.one_in(2);
        let then = if success { job.on_success.clone() } else { job.on_failure.clone() };
        let failure = (!success).then(|| Failure::because(Phase::Worker, "job", "exit status 1"));
        self.model.job_ended(self.now, success, &then, self.touched);
        Ended::Job(JobEnd { success, then, failure })
    }

    fn load(&mut self, attempt: &Attempt) -> Option<Ended<Loaded>> {
        // The root alone is carried, not the kernel it belongs to.
        let root = matches!(attempt.entry.boot, Boot::SwitchRoot(_));
        let carried = root
            && self.carried
            && self.second.as_ref().is_some_and(|second| second.entry.id == attempt.entry.id);
        if !carried {
            match self.wait_for_address(attempt.patience) {
                Ok(true) => {}
                Ok(false) => return Some(Ended::Stopped),
                Err(failure) => return Some(Ended::Failed { failure, again: true }),
            }
        }
        // The first place of all is before the course.
        if !self.broke && attempt.breaks.iter().any(|at| *at != BreakAt::Start) {
            self.broke = true;
            self.now += self.chance.within(300);
            self.in_a_shell();
            self.touched = true;
            if self.chance.one_in(4) {
                let failure = Failure::because(Phase::Handover, &attempt.entry.id, "no init that can run");
                return Some(Ended::Failed { failure, again: true });
            }
        }
        let time = self.chance.within(90);
        if !self.work(time) {
            return Some(Ended::Stopped);
        }
        let second = root && attempt.entry.id == "kexec";
        let good = self.setting.good(if second { SECOND } else { &attempt.entry.id });
        if self.is_since(good) && !(carried && self.used_up) {
            self.used_up = true;
            return None;
        }
        let cause = self.chance.of(&["404", "wrong digest", "no space"]);
        let failure = Failure::because(Phase::Fetch, &attempt.entry.id, cause);
        self.used_up = true;
        Some(Ended::Failed { failure, again: !carried })
    }
}

impl Hands for World {
    type Loaded = Loaded;

    fn catalog(
        &mut self,
        wanted: &Wanted,
        or_built_in: bool,
        patience: Option<Duration>,
    ) -> Result<Offer, NoOffer> {
        self.model.asks_for_catalog(self.now);
        let bad = || NoOffer::Failed(Failure::because(Phase::Catalog, "bootjack.catalog=", "wrong"));
        let got = match (wanted, &self.setting.built_in) {
            (Some(Ok(_)), _) => self.fetch(or_built_in, patience),
            (Some(Err(_)), Some(built_in)) if or_built_in => Ok(offer(built_in, Origin::BuiltIn)),
            (Some(Err(_)), _) => Err(bad()),
            (None, Some(built_in)) => Ok(offer(built_in, Origin::BuiltIn)),
            (None, None) => Ok(offer(&Catalog::empty(), Origin::Nothing)),
        };
        let stopped = matches!(&got, Err(NoOffer::Left));
        self.model.catalog(got.as_ref().ok(), self.touched || stopped);
        got
    }

    fn model(&mut self, offer: &Offer) -> MenuModel {
        MenuModel::of(&offer.parsed, &self.machine()).expect("a catalog that stands")
    }

    fn machine(&mut self) -> Machine {
        Machine { memory_total: 1 << 32, memory_available: 1 << 31, ..Machine::default() }
    }

    fn firmware(&mut self) -> Option<Firmware> {
        let entry = |number, name: &str| BootEntry { number, name: name.into(), current: number == 1 };
        let entries = vec![entry(1, "network"), entry(2, "disk")];
        self.setting.uefi.then_some(Firmware { setup: true, entries })
    }

    fn ask<S: Screen>(&mut self, screen: &mut S, facts: fn(&mut S, Vec<String>)) -> Answered<S::Answer> {
        let shown = Shown::of::<S>();
        self.model.asked(shown, self.now, self.uptime().as_secs());
        let mut passed = Duration::ZERO;
        loop {
            facts(screen, vec!["10.0.2.15".into()]);
            if let Some(answer) = screen.on(Event::Tick(passed)) {
                self.model.answered(shown, self.now, false);
                return Answered { answer, console: None };
            }
            let before = self.now;
            let key = self.pass(before + self.setting.tick);
            passed = self.now - before;
            if let Some(key) = key {
                if let Some(answer) = screen.on(Event::Tick(passed)) {
                    self.model.answered(shown, self.now, false);
                    return Answered { answer, console: None };
                }
                passed = Duration::ZERO;
                self.press(key);
                if let Some(answer) = screen.on(Event::Key(key)) {
                    self.model.answered(shown, self.now, true);
                    return Answered { answer, console: Some(0) };
                }
            }
        }
    }

    fn boot(&mut self, attempt: &Attempt) -> Ended<Loaded> {
        self.model.boots(attempt, self.now);
        let ended = match &attempt.entry.boot {
            Boot::Reboot => Ended::Loaded(Loaded::Reboot),
            Boot::PowerOff => Ended::Loaded(Loaded::PowerOff),
            Boot::SwitchRoot(_) => {
                self.load(attempt).unwrap_or_else(|| Ended::Loaded(Loaded::System(attempt.entry.id.clone())))
            }
            Boot::Kexec(kexec) => self.load(attempt).unwrap_or_else(|| {
                let root = kexec.root.clone().expect("a root");
                Ended::Loaded(Loaded::Kernel(Box::new(told(attempt, root))))
            }),
            Boot::Run(job) => match self.load(attempt) {
                Some(ended) => ended,
                None => self.run(attempt, job),
            },
            Boot::Shell | Boot::Local | Boot::Shared(_) => unreachable!("no such entry in a setting"),
        };
        self.model.boot_ended(&ended, self.touched);
        ended
    }

    fn shell(&mut self, _: Option<usize>) -> Result<(), Failure> {
        self.model.asks_for_shell();
        self.now += self.chance.within(300);
        // What follows the failure of the first shell is what was asked for, not what failed.
        if self.chance.one_in(5) && !self.model.is_at_the_beginning() {
            return Err(Failure::because(Phase::Worker, "shell", "there is none"));
        }
        self.in_a_shell();
        Ok(())
    }

    fn may(&mut self, _: &str) -> bool {
        !self.setting.locked
    }

    fn look_at_network(&mut self) {
        let awaited = Awaited { over: true, ..Awaited::default() };
        self.ask(&mut Network::new(awaited, vec![]), |_, _| {});
    }

    fn was_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    /// As the supervisor hears it (`child`).
    fn say(&mut self, word: Word) {
        match word {
            Word::Attended(now) => self.legacy.attended = now,
            Word::Booting { id, policy } => self.legacy.booting = Some((id, policy)),
            Word::Failing(standing) => self.legacy.failing_since = standing,
            Word::Doing(_) => {}
            Word::Failed(_) | Word::Order(_) | Word::Password(_) => unreachable!("not the course's to say"),
        }
    }

    fn uptime(&self) -> Duration {
        self.now - self.kernel
    }

    fn facts(&self) -> Vec<String> {
        vec![]
    }

    fn log_tail(&self, _: usize) -> Vec<String> {
        vec!["a line".into()]
    }
}

fn offer(catalog: &Catalog, origin: Origin) -> Offer {
    Offer { parsed: parsed(catalog), origin, trust: None, sha256: None, notices: vec![] }
}

/// The least that an address may take with nobody there.
const ADDRESS: Duration = Duration::from_secs(60);

/// What a first stage hands on.
fn told(attempt: &Attempt, root: Root) -> Second {
    let entry = Entry { boot: Boot::SwitchRoot(Box::new(root)), ..attempt.entry.clone() };
    Second {
        entry,
        policy: attempt.policy.clone(),
        attended: attempt.attended,
        attempt: attempt.attempt,
        catalog: attempt.catalog.cloned(),
    }
}

/// The actions that end a machine's story.
pub fn ends(action: &Action) -> Option<Over> {
    match action {
        Action::Reboot => Some(Over::Reboot),
        Action::PowerOff => Some(Over::PowerOff),
        _ => None,
    }
}
