//! One boot of one entry: plan, wait for the network, load with a screen to watch. And what follows when it failed.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use super::LOG;
use super::words::{Policy, Word};
use super::worker::{Failed, Goal, Story};
use super::{report, source};
use crate::catalog::{Action, Entry};
use crate::cmdline::OnFailure;
use crate::early;
use crate::handover::{Handover, root};
use crate::load::{self, Failure, Fetched, LoadError, Phase, Report};
use crate::machine::Machine;
use crate::plan::{self, Plan, RootPlan, Step};
use crate::tui::failure::FailureAnswer;
use crate::tui::loading::{Cancel, Loading};
use crate::tui::{self};

/// Budget of silent time for one archive within one attempt; longer outages are the policy's to sit out.
const ARCHIVE_RETRY_FOR: Duration = Duration::from_secs(300);

/// An unattended machine shows a failure this long before it tries again: first, at most.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A failure screen without a key for so long is one that nobody looks at.
const IDLE: Duration = Duration::from_secs(300);

/// What became of an attempt.
enum Ended {
    Handover(Handover),
    /// A person stopped it.
    Stopped,
    Failed(Failure),
}

impl Story {
    /// One attempt, and what follows.
    pub fn attempt(&mut self, entry: Box<Entry>, policy: Policy, console: Option<usize>) -> Goal {
        Word::Booting { id: entry.id.clone(), policy: policy.clone() }.say();
        match self.boot(&entry, console) {
            Ended::Handover(handover) => Goal::HandOver(handover),
            Ended::Stopped if self.is_told_what_to_boot() => {
                let id = entry.id.clone();
                self.left(&id, Goal::Boot { entry, policy: policy.clone(), console: None }, policy)
            }
            Ended::Stopped => Goal::Menu,
            Ended::Failed(failure) => {
                self.fail(failure, Some(Goal::Boot { entry, policy: policy.clone(), console }), policy)
            }
        }
    }

    /// Plans and carries out.
    fn boot(&mut self, entry: &Entry, console: Option<usize>) -> Ended {
        Word::Doing(format!("planning {}", entry.id)).say();
        let plan = match plan::plan(entry, &Machine::probe()) {
            Ok(plan) => plan,
            Err(refusal) => {
                let failure = Failure::because(Phase::Plan, &entry.id, refusal.cause);
                return Ended::Failed(Failure { hint: refusal.hint, ..failure });
            }
        };
        log::info!("booting {}: {}", plan.id, plan.title);
        match &plan.step {
            Step::Shell => match self.shell(console) {
                Ok(()) => Ended::Stopped,
                Err(failure) => Ended::Failed(failure),
            },
            Step::Reboot => Ended::Handover(Handover::reboot()),
            Step::PowerOff => Ended::Handover(Handover::power_off()),
            Step::Local => Ended::Handover(Handover::local()),
            Step::SwitchRoot(root) => self.load(&plan, root),
            Step::Kexec(_) | Step::Run(_) => {
                let cause = "such an entry is not in this version";
                Ended::Failed(Failure::because(Phase::Plan, &plan.id, cause))
            }
        }
    }

    fn load(&mut self, plan: &Plan, root: &RootPlan) -> Ended {
        if root.archive.locations.iter().all(|l| l.is_remote()) && !self.wait_for_network(&plan.title) {
            return Ended::Stopped;
        }
        Word::Doing(format!("loading {}", plan.id)).say();
        let stop = AtomicBool::new(false);
        let (reports, told) = channel();
        let on = |report: Report| {
            log_try(&plan.id, &report);
            // The screen is gone only when nobody needs to know any more.
            drop(reports.send(report));
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (fetcher, facts) = (self.fetcher.clone(), source::header(&self.network));
        let mut screen = Loading::new(plan, facts);
        let (done, finished) = channel();
        let loaded = std::thread::scope(|scope| {
            let load = || drop(done.send(load::load(root, &plan.id, &fetcher, ARCHIVE_RETRY_FOR, &on)));
            if let Err(e) = std::thread::Builder::new().name("load".into()).spawn_scoped(scope, load) {
                return Err(LoadError::Failed(Failure::new(Phase::Worker, "starting a thread", e)));
            }
            self.watch(&mut screen, &told, &finished, &stop)
        });
        match loaded {
            Ok((handover, fetched)) => {
                report::say_what_came(plan, root, &fetched);
                Ended::Handover(handover)
            }
            Err(LoadError::Stopped) => Ended::Stopped,
            Err(LoadError::Failed(failure)) => Ended::Failed(failure),
        }
    }

    /// Shows the load until it is over; Esc stops it.
    fn watch(
        &mut self,
        screen: &mut Loading,
        told: &Receiver<Report>,
        finished: &Receiver<Result<(Handover, Fetched), LoadError>>,
        stop: &AtomicBool,
    ) -> Result<(Handover, Fetched), LoadError> {
        let mut result = None;
        let answered = self.consoles.ask(screen, &mut |screen| {
            told.try_iter().for_each(|report| screen.report(report));
            match finished.try_recv() {
                Ok(done) => {
                    result = Some(done);
                    Some(Cancel)
                }
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Cancel),
            }
        });
        self.touched(answered.console);
        if let Some(done) = result {
            return done;
        }
        stop.store(true, Ordering::Relaxed);
        match finished.recv() {
            // It was done at the very moment: stopped is stopped.
            Ok(Ok(_)) => {
                if let Err(e) = root::discard() {
                    log::error!("unmounting {}: {e}", root::SYSROOT);
                }
                Err(LoadError::Stopped)
            }
            Ok(Err(e)) => Err(e),
            Err(_) => {
                let cause = "the loading thread ended without a word";
                Err(LoadError::Failed(Failure::because(Phase::Worker, "load", cause)))
            }
        }
    }

    /// The failure screen; if nobody answers, what the policy says.
    pub fn failed(&mut self, failed: Failed) -> Goal {
        let Failed { failure, mut again, policy } = failed;
        log::error!("{failure}");
        if let Some(hint) = &failure.hint {
            log::error!("hint: {hint}");
        }
        let trying = self.failing_for();
        let retry = again.is_some() && trying < policy.retry_for;
        loop {
            Word::Doing("showing a failure".into()).say();
            let screen = self.failure_screen(&failure, again.is_some(), retry, trying, &policy);
            let answered = self.consoles.ask(&mut { screen }, &mut |_| None);
            self.touched(answered.console);
            match (answered.answer, again) {
                (FailureAnswer::Shell, kept) => {
                    if let Err(failure) = self.shell(answered.console) {
                        log::error!("{failure}");
                    }
                    again = kept;
                }
                (FailureAnswer::Retry, Some(again)) => return again,
                (FailureAnswer::Declared, Some(again)) if retry => {
                    self.attended(false);
                    return again;
                }
                (FailureAnswer::Declared, again) => return self.declared(failure, again, policy),
                (FailureAnswer::Menu | FailureAnswer::Retry, _) => return Goal::Menu,
                (FailureAnswer::Reboot, _) => return Goal::HandOver(Handover::reboot()),
                (FailureAnswer::PowerOff, _) => return Goal::HandOver(Handover::power_off()),
            }
        }
    }

    /// How long nothing has worked while nobody was there. It counts across workers: see `words`.
    fn failing_for(&mut self) -> Duration {
        if self.legacy.attended {
            self.failing(None);
            return Duration::ZERO;
        }
        let now = uptime().as_secs();
        let since = self.legacy.failing_since.unwrap_or(now);
        self.failing(Some(since));
        Duration::from_secs(now.saturating_sub(since))
    }

    fn failing(&mut self, since: Option<u64>) {
        if self.legacy.failing_since != since {
            self.legacy.failing_since = since;
            Word::Failing(since).say();
        }
    }

    fn failure_screen(
        &self,
        failure: &Failure,
        again: bool,
        retry: bool,
        trying: Duration,
        policy: &Policy,
    ) -> tui::failure::Failure {
        let log = early::log_tail(Path::new(LOG), 200);
        let mut screen = tui::failure::Failure::new(failure.clone(), source::header(&self.network), log);
        if !again {
            screen = screen.without_retry();
        }
        if self.legacy.attended && !self.by_itself {
            return screen;
        }
        screen = match (&policy.on_failure, retry) {
            // As long again as it has been failing: a storm of reboots must not become one of requests.
            (_, true) => screen.declare("trying again", trying.clamp(FIRST_PAUSE, LONGEST_PAUSE), IDLE),
            // It stays until somebody comes.
            (Action::Hold, false) => return screen,
            (action, false) => screen.declare(in_words(action), LONGEST_PAUSE / 2, IDLE),
        };
        if self.legacy.attended { screen.held() } else { screen }
    }

    /// Nobody came, and trying again is over.
    fn declared(&mut self, failure: Failure, again: Option<Goal>, policy: Policy) -> Goal {
        log::error!("nobody answered: {}", in_words(&policy.on_failure));
        match policy.on_failure.clone() {
            Action::Reboot => Goal::HandOver(Handover::reboot()),
            Action::PowerOff => Goal::HandOver(Handover::power_off()),
            Action::Menu => Goal::Menu,
            Action::Hold => self.fail(failure, again, policy),
            Action::Entry(id) => {
                self.failing(None);
                // Its own failure must not lead back to it.
                self.params.on_failure = Some(OnFailure::Reboot);
                Goal::Named { id, or_built_in: true }
            }
        }
    }
}

/// Each try that failed, with its cause, outlives the screen.
fn log_try(id: &str, report: &Report) {
    if let Report::Retrying { location, error, attempt, .. } = report {
        log::warn!("{id}: try {attempt} of {location}: {error}");
    }
}

fn in_words(action: &Action) -> String {
    match action {
        Action::Reboot => "rebooting".into(),
        Action::PowerOff => "powering off".into(),
        Action::Hold => "holding this screen".into(),
        Action::Menu => "going back to the menu".into(),
        Action::Entry(id) => format!("booting {id}"),
    }
}

/// Time since the kernel started: the one clock that nobody sets.
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0))
}
