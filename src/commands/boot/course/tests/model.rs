//! What is promised, followed from outside: from what happened the model knows what has to come next, and what must not.
//! It knows nothing of how a course decides.

use std::any::type_name;
use std::time::Duration;

use crossterm::event::KeyCode;

use super::setting::Setting;
use super::world::{Loaded, ends};
use crate::catalog::Action;
use crate::commands::boot::course::{Attempt, Ended, Second};
use crate::commands::boot::source::{Offer, Origin};
use crate::commands::boot::words::Policy;

/// As the documentation has them: a failure screen without a key, attempts of one chain.
const IDLE: Duration = Duration::from_secs(300);
const MOST_ATTEMPTS: u32 = 3;

/// The screens of a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Menu,
    Failure,
    Network,
    Edit,
    Power,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    System(String),
    /// An entry that reboots or powers off.
    Chosen,
    Reboot,
    PowerOff,
    /// Nothing happened any more.
    Nothing,
}

/// What is being tried.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Menu,
    Entry(String),
    /// Words of a root that is refused.
    Nothing,
}

/// What has to come next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// The target is tried.
    Try,
    /// Any entry, chosen by a key.
    Chosen,
    /// A key asked for an end.
    Left,
    End(Over),
}

pub struct Model {
    pub faults: Vec<String>,
    pub trace: Vec<String>,
    pub over: Option<Over>,
    pub awaits_address: bool,
    told: Option<Target>,
    retry_for: Option<Duration>,
    on_failure: Option<Action>,
    /// `panic=`, `rd.emergency=`, `rd.shell`, and whether shells are forbidden altogether.
    panic: Option<i64>,
    emergency: Option<Action>,
    rd_shell: Option<bool>,
    forbids_shell: bool,
    locked: bool,
    timeout: Option<Duration>,
    longest: Duration,
    second: Option<Second>,
    /// Of the last catalog: what it says of failures, its default, its timeout, its idle time.
    known: Option<Policy>,
    default: Option<String>,
    menu: Option<(Option<Duration>, Duration)>,
    /// A job ended, or died, with "menu", and nothing was booted since: to wait there is what was declared.
    parked: bool,
    /// Whether the last menu had no timeout.
    waits: bool,
    attended: bool,
    attempt: u32,
    ran: Vec<String>,
    /// What a person booted last, unless it ran.
    wanted: Option<String>,
    kernels: u32,
    /// Boots of what a person changed.
    pub edited: u32,
    /// A worker of this kernel died.
    mourns: bool,
    target: Target,
    /// What was booted last, unless a menu came after it.
    booted: bool,
    /// What is declared for the failure of the target.
    declared: Policy,
    again: bool,
    failing_since: Option<u64>,
    /// How long it was failing when the failure was shown.
    failing: Duration,
    next: Next,
    shown: Option<Shown>,
    /// Since when, and what was shown last.
    since: Duration,
    left: Option<Shown>,
    /// A key was pressed since then.
    keyed: bool,
    /// That nobody went away after, and what it was.
    last_key: Option<Duration>,
    code: KeyCode,
}

impl Shown {
    pub fn of<S>() -> Self {
        match type_name::<S>() {
            name if name.ends_with("Menu") => Self::Menu,
            name if name.ends_with("Failure") => Self::Failure,
            name if name.ends_with("Edit") => Self::Edit,
            name if name.ends_with("Power") => Self::Power,
            _ => Self::Network,
        }
    }
}

impl Model {
    pub fn new(setting: &Setting) -> Self {
        let params = &setting.params;
        let told = match (&params.root, &params.entry) {
            (Some(Ok(_)), _) => Some(Target::Entry("root=".into())),
            (Some(Err(_)), _) => Some(Target::Nothing),
            (None, Some(id)) => Some(Target::Entry(id.clone())),
            (None, None) => None,
        };
        let mut model = Self {
            faults: vec![],
            trace: vec![],
            over: None,
            awaits_address: false,
            target: told.clone().unwrap_or(Target::Menu),
            again: told != Some(Target::Nothing),
            told,
            retry_for: params.retry_for,
            on_failure: params.on_failure.clone().map(Action::from),
            panic: params.panic,
            emergency: params.emergency.clone().map(Action::from),
            rd_shell: params.rd_shell,
            locked: setting.locked,
            forbids_shell: setting.orders.iter().any(|order| {
                order == "bootjack.shell=0"
                    || order == "rd.shell=0"
                    || (order.starts_with("panic=") && order != "panic=0")
            }),
            timeout: params.timeout,
            longest: Duration::ZERO,
            second: None,
            known: None,
            default: None,
            menu: None,
            parked: false,
            waits: false,
            attended: false,
            attempt: 1,
            ran: vec![],
            wanted: None,
            kernels: 0,
            edited: 0,
            mourns: false,
            booted: false,
            declared: Policy { retry_for: Duration::ZERO, on_failure: Action::Reboot },
            failing_since: None,
            failing: Duration::ZERO,
            next: Next::Try,
            shown: None,
            since: Duration::ZERO,
            left: None,
            keyed: false,
            last_key: None,
            code: KeyCode::Null,
        };
        model.declared = model.policy();
        model.longest = model.bound(setting);
        model
    }

    /// So long after the last thing that comes from outside it must be over: three attempts, each with its tries, its
    /// jobs and its kernel, and the times a person is waited for.
    fn bound(&self, setting: &Setting) -> Duration {
        let catalogs = || setting.remote.iter().chain(&setting.built_in);
        let s = Duration::from_secs;
        let most = |of: &mut dyn Iterator<Item = Duration>| of.max().unwrap_or_default();
        let retry = self.retry_for.unwrap_or(most(&mut catalogs().map(|c| c.retry_for)).max(s(600)));
        let timeout = self.timeout.unwrap_or(most(&mut catalogs().filter_map(|c| c.timeout)));
        // One target: tried for `retry`, the last try with catalog, archive and job, and the pauses around it.
        let target = retry + s(60 + 61 + 90 + 600 + 60 + 60);
        // A target fails, or leads to a job that was not yet run on this kernel.
        target * (MOST_ATTEMPTS * 4) + timeout * 2 + IDLE * 6
    }

    pub fn longest(&self) -> Duration {
        self.longest
    }

    fn policy(&self) -> Policy {
        // The first that says something: our word, a shell that is wanted, the catalog, panic=, rd.emergency=.
        let known = self.known.as_ref();
        let held = self.rd_shell == Some(true) && !self.forbids_shell;
        let on_failure = match (&self.on_failure, known) {
            (Some(ours), _) => ours.clone(),
            (None, _) if held => Action::Hold,
            (None, Some(known)) => known.on_failure.clone(),
            (None, None) if self.panic.is_some() => Action::Reboot,
            (None, None) => self.emergency.clone().unwrap_or(Action::Reboot),
        };
        let usual = Duration::from_secs(600);
        Policy { retry_for: self.retry_for.or(known.map(|k| k.retry_for)).unwrap_or(usual), on_failure }
    }

    fn told(&self) -> bool {
        self.told.is_some() || self.second.is_some()
    }

    /// A person is waited for, however long it takes.
    fn waits(&self) -> bool {
        !self.told() && self.waits
    }

    fn note(&mut self, at: Duration, what: String) {
        self.trace.push(format!("{:>9.2} {what}", at.as_secs_f64()));
    }

    fn fault(&mut self, why: impl Into<String>) {
        let why = why.into();
        self.trace.push(format!("          FAULT {why}"));
        self.faults.push(why);
    }

    fn attend(&mut self, now: bool) {
        self.attended = now;
        if now {
            (self.attempt, self.failing_since, self.kernels) = (1, None, 0);
        }
    }

    /// Nothing is begun, be it by time or by chance, that is not due.
    fn goes_on(&mut self, what: &str) {
        if let Next::End(over) = &self.next {
            let why = format!("{what} although {over:?} is due");
            self.fault(why);
        }
    }

    fn held_for(&mut self, at: Duration, least: Duration, what: &str) {
        if let Some(key) = self.last_key.take()
            && at - key < least
        {
            self.fault(format!("{what} {:?} after a key", at - key));
        }
    }

    pub fn key(&mut self, at: Duration, code: KeyCode) {
        (self.last_key, self.code, self.keyed) = (Some(at), code, true);
        self.note(at, format!("key {code:?}"));
    }

    pub fn asks_for_catalog(&mut self, at: Duration) {
        self.note(at, "asks for the catalog".into());
        self.goes_on("asks for a catalog");
        if self.target == Target::Nothing {
            self.fault("asks for a catalog, although only a root was wanted");
        }
    }

    pub fn catalog(&mut self, offer: Option<&Offer>, touched: bool) {
        if touched {
            self.attend(true);
        }
        let Some(offer) = offer else { return };
        let catalog = offer.catalog().expect("a catalog that stands");
        if !matches!(offer.origin, Origin::Nothing) {
            let (retry_for, on_failure) = (catalog.retry_for, catalog.on_failure.clone());
            self.known = Some(Policy { retry_for, on_failure });
        }
        self.default = catalog.default.map(|at| catalog.entries[at].id.clone());
        let timeout = self.timeout.or(catalog.timeout);
        self.menu = Some((timeout, catalog.idle));
        if self.target == Target::Menu {
            self.waits = timeout.is_none();
        }
        // It may not be in it, and that is a failure like any other.
        (self.declared, self.again) = (self.policy(), true);
    }

    pub fn asked(&mut self, shown: Shown, at: Duration, uptime: u64) {
        self.note(at, format!("shows {shown:?}, target {:?}", self.target));
        self.shown = Some(shown);
        (self.since, self.keyed) = (at, false);
        self.goes_on("shows a screen");
        match shown {
            Shown::Menu => {
                if self.second.is_some() {
                    self.fault("a menu in a second stage");
                }
                if self.target != Target::Menu {
                    self.fault(format!("a menu, although {:?} was not over", self.target));
                }
                self.back_to_menu();
                self.failing_since = None;
            }
            Shown::Failure => {
                if !self.attended {
                    self.failing_since.get_or_insert(uptime);
                }
                self.failing = Duration::from_secs(uptime - self.failing_since.unwrap_or(uptime));
            }
            Shown::Edit if self.forbids_shell => self.fault("an entry is changed, and shells are forbidden"),
            Shown::Edit | Shown::Power if self.locked => self.fault("nobody gave the password"),
            Shown::Network | Shown::Edit | Shown::Power => {}
        }
    }

    pub fn answered(&mut self, shown: Shown, at: Duration, by_key: bool) {
        self.note(at, format!("answered {}", if by_key { "by a key" } else { "by time" }));
        self.shown = None;
        self.left = Some(shown);
        if by_key {
            self.attend(true);
            return self.asked_by_key(shown);
        }
        match shown {
            Shown::Menu => self.counted_down(at),
            Shown::Failure => self.nobody_answered(at),
            Shown::Network => self.held_for(at, IDLE, "the network is left"),
            Shown::Edit | Shown::Power => {
                self.attend(false);
                self.held_for(at, IDLE, "what a person looks at is left");
            }
        }
    }

    fn asked_by_key(&mut self, shown: Shown) {
        use KeyCode::{Char, Enter, Esc};
        self.next = match (shown, self.code) {
            (Shown::Menu | Shown::Edit, Enter) => Next::Chosen,
            (Shown::Power, Enter) | (Shown::Failure, Char('b')) => Next::Left,
            _ => Next::Try,
        };
        match (shown, self.code) {
            (Shown::Failure, Esc | Char('m')) => self.back_to_menu(),
            (Shown::Failure, Enter | Char('r')) if self.target == Target::Nothing => self.again = false,
            _ => {}
        }
    }

    fn back_to_menu(&mut self) {
        (self.target, self.booted) = (Target::Menu, false);
        (self.declared, self.again, self.next) = (self.policy(), true, Next::Try);
    }

    fn counted_down(&mut self, at: Duration) {
        self.attend(false);
        let Some((timeout, idle)) = self.menu else { return self.fault("a menu without a catalog") };
        self.held_for(at, idle, "the menu boots");
        self.next = Next::Try;
        let default = self.default.clone();
        let barred = default.as_ref().is_some_and(|id| self.ran.contains(id));
        match default {
            _ if self.told() && (timeout.is_none() || barred) => {
                self.target = self.told.clone().unwrap_or(Target::Menu);
                self.again = self.target != Target::Nothing;
            }
            _ if timeout.is_none() => self.fault("a menu without a timeout boots"),
            Some(id) if barred => self.fault(format!("the menu starts {id} again")),
            Some(id) => self.target = Target::Entry(id),
            None => self.target = Target::Menu,
        }
    }

    /// `panic=`: a countdown of so many seconds. The clock moves by up to 10 s at once.
    fn reboots_after(&mut self, shown: Duration, wanted: Duration, was_attended: bool) {
        let late = !was_attended && shown > wanted + Duration::from_secs(11) && !self.keyed;
        if shown < wanted || late {
            self.fault(format!("reboots after {shown:?}, panic= wants {wanted:?}"));
        }
    }

    /// Somebody is to have a shell, and it was not on the way to a root.
    pub fn asks_for_shell(&mut self) {
        if self.forbids_shell {
            self.fault("a shell, and every one is forbidden");
        }
        if self.left == Some(Shown::Failure) && self.rd_shell == Some(false) {
            self.fault("a shell for a failure, in spite of rd.shell=0");
        }
    }

    /// No screen was left yet.
    pub fn is_at_the_beginning(&self) -> bool {
        self.left.is_none()
    }

    /// Before there was a screen; after one a key did it.
    pub fn leaves_shell(&mut self) {
        if self.left.is_none() {
            self.attend(true);
        }
    }

    fn nobody_answered(&mut self, at: Duration) {
        let was_attended = self.attended;
        self.held_for(at, IDLE, "a failure goes on");
        if self.attended && self.waits() {
            self.fault("a failure goes on without the person that is waited for");
        }
        self.attend(false);
        if self.again && self.failing < self.declared.retry_for {
            self.again = self.target != Target::Nothing;
            self.next = Next::Try;
            return;
        }
        let due = self.due();
        self.note(at, format!("due: {due:?}"));
        if let (Action::Reboot, Some(seconds)) = (&due, self.panic) {
            self.reboots_after(at - self.since, Duration::from_secs(seconds.max(0) as u64), was_attended);
        }
        match due {
            Action::Hold => self.fault("a hold was left"),
            Action::Menu => {
                self.parked = true;
                self.back_to_menu();
            }
            Action::Entry(id) => {
                self.attempt += 1;
                self.turn_to(id);
            }
            action => self.next = Next::End(ends(&action).expect("an end")),
        }
    }

    fn due(&self) -> Action {
        let second = self.second.as_ref();
        match &self.declared.on_failure {
            Action::Menu if second.is_some() => Action::Reboot,
            Action::Entry(id) => {
                let own = self.target == Target::Entry(id.clone());
                let staged = second.is_some_and(|second| second.entry.id == *id);
                let leads = self.attempt < MOST_ATTEMPTS && (!own || staged) && !self.ran.contains(id);
                if leads { Action::Entry(id.clone()) } else { Action::Reboot }
            }
            action => action.clone(),
        }
    }

    fn turn_to(&mut self, id: String) {
        (self.target, self.booted) = (Target::Entry(id), true);
        (self.failing_since, self.again, self.declared) = (None, true, self.policy());
        self.next = Next::Try;
    }

    pub fn boots(&mut self, attempt: &Attempt, at: Duration) {
        let id = &attempt.entry.id;
        let by = if attempt.attended { "attended" } else { "unattended" };
        self.note(at, format!("boots {id}, {by}, attempt {}", attempt.attempt));
        if attempt.edited {
            self.edited += 1;
        }
        self.goes_on("boots an entry");
        if self.next != Next::Chosen && self.target != Target::Entry(id.clone()) {
            self.fault(format!("boots {id}, wanted is {:?}", self.target));
        }
        if attempt.attended != self.attended {
            self.fault("is mistaken whether somebody is there");
        }
        if attempt.attempt != self.attempt || self.attempt > MOST_ATTEMPTS {
            self.fault(format!("calls it attempt {}, it is {}", attempt.attempt, self.attempt));
        }
        if (self.forbids_shell || self.mourns) && !attempt.breaks.is_empty() {
            self.fault("is to be interrupted by a shell, and that is forbidden or a worker died");
        }
        if *attempt.policy != self.policy() {
            self.fault(format!("boots with {:?}, declared is {:?}", attempt.policy, self.policy()));
        }
        self.parked = false;
        if attempt.attended {
            self.wanted = Some(id.clone());
        }
        (self.target, self.booted) = (Target::Entry(id.clone()), true);
        (self.declared, self.again, self.next) = (attempt.policy.clone(), true, Next::Try);
    }

    pub fn boot_ended(&mut self, ended: &Ended<Loaded>, touched: bool) {
        match ended {
            Ended::Job(_) => return,
            Ended::Stopped => self.attend(true),
            _ if touched => self.attend(true),
            _ => {}
        }
        match ended {
            Ended::Stopped if !self.told() => self.back_to_menu(),
            Ended::Failed { again, .. } => self.again = *again,
            _ => {}
        }
    }

    pub fn job_begins(&mut self, id: &str, on_failure: &Action) {
        if self.ran.iter().any(|ran| ran == id) && self.wanted.take().as_deref() != Some(id) {
            self.fault(format!("{id} runs again, and nobody wanted it"));
        }
        self.ran.push(id.into());
        self.declared = Policy { retry_for: Duration::ZERO, on_failure: on_failure.clone() };
    }

    pub fn job_ended(&mut self, at: Duration, success: bool, then: &Action, touched: bool) {
        self.note(at, format!("the job ended, success {success}, then {then:?}"));
        if touched {
            self.attend(true);
        }
        self.declared = Policy { retry_for: Duration::ZERO, on_failure: then.clone() };
        self.again = false;
        let held = self.second.is_some() && self.attended;
        match then {
            Action::Hold => {}
            // For the person that is there; then what is due.
            Action::Menu if held => {}
            Action::Menu if self.second.is_none() => {
                self.parked = true;
                self.back_to_menu();
            }
            Action::Menu => self.next = Next::End(Over::Reboot),
            Action::Entry(id) if self.ran.contains(id) => match (self.attended, held) {
                (false, _) => self.next = Next::End(Over::Reboot),
                (true, true) => {}
                (true, false) => self.back_to_menu(),
            },
            Action::Entry(id) if success || self.attended => self.turn_to(id.clone()),
            Action::Entry(_) if self.attempt >= MOST_ATTEMPTS => self.next = Next::End(Over::Reboot),
            Action::Entry(id) => {
                self.attempt += 1;
                self.turn_to(id.clone());
            }
            action => self.next = Next::End(ends(action).expect("an end")),
        }
    }

    /// What it knew of keys that were no answers died with it.
    pub fn died(&mut self, at: Duration, attended: bool) {
        self.note(at, format!("the worker dies, attended {attended}, target {:?}", self.target));
        if !attended {
            self.last_key = None;
        }
        self.attend(attended);
        self.mourns = true;
        self.shown = None;
        self.awaits_address = false;
        if !self.booted {
            let ran = matches!(&self.told, Some(Target::Entry(id)) if self.ran.contains(id));
            self.target = self.told.clone().filter(|_| !ran).unwrap_or(Target::Menu);
            self.declared = self.policy();
        }
        (self.again, self.next) = (true, Next::Try);
    }

    pub fn second_stage(&mut self, at: Duration, second: &Second) {
        self.note(at, format!("a second kernel, attempt {}", second.attempt));
        self.kernels += 1;
        (self.mourns, self.left) = (false, None);
        if !second.attended {
            // It was pressed while the kernel was loaded, and ended with the first stage.
            self.last_key = None;
        }
        if self.kernels > MOST_ATTEMPTS {
            self.fault("one kernel after the other, without an end");
        }
        self.known = Some(second.policy.clone());
        (self.attended, self.attempt, self.menu) = (second.attended, second.attempt, None);
        self.ran.clear();
        self.second = Some(second.clone());
        self.turn_to(second.entry.id.clone());
        self.told = Some(self.target.clone());
    }

    pub fn ends(&mut self, at: Duration, over: Over) {
        self.note(at, format!("over: {over:?}, next {:?}", self.next));
        self.over = Some(over.clone());
        match &over {
            Over::System(_) | Over::Chosen => {}
            Over::Nothing => self.sits(),
            _ if self.next == Next::End(over.clone()) => {}
            Over::Reboot | Over::PowerOff if self.next == Next::Left => {}
            _ => self.fault(format!("{over:?}, which nobody asked for")),
        }
    }

    /// It is well where it is.
    fn sits(&mut self) {
        let held = self.due() == Action::Hold && !(self.again && self.failing < self.declared.retry_for);
        let barred = self.default.as_ref().is_some_and(|id| self.ran.contains(id));
        let ran = |told: &Option<Target>| match told {
            Some(Target::Entry(id)) => self.ran.contains(id),
            _ => false,
        };
        let fine = match self.shown {
            _ if self.awaits_address => true,
            Some(Shown::Failure) => held || (self.attended && self.waits()),
            Some(Shown::Menu) if self.told() && self.attended && !self.parked => ran(&self.told),
            Some(Shown::Menu) => self.menu.is_none_or(|(timeout, _)| timeout.is_none()) || barred,
            Some(Shown::Network | Shown::Edit | Shown::Power) | None => false,
        };
        if !fine {
            self.fault(format!("sits for ever, shows {:?}", self.shown));
        }
    }
}
