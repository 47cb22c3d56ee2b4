//! One boot of one entry: plan, wait for the network, load with a screen to watch. And what follows when it failed.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use super::LOG;
use super::source;
use super::words::Word;
use super::worker::{Goal, Policy, Story};
use crate::catalog::{Action, Entry};
use crate::early;
use crate::handover::Handover;
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

/// What became of an attempt.
pub enum Ended {
    Handover(Handover),
    /// A person stopped it.
    Stopped,
    Failed(Failure),
}

impl Story {
    /// Plans and carries out.
    pub fn boot(&mut self, entry: &Entry) -> Ended {
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
            Step::Shell => {
                self.shell(None);
                Ended::Stopped
            }
            Step::Reboot => Ended::Handover(Handover::reboot()),
            Step::PowerOff => Ended::Handover(Handover::power_off()),
            Step::Local => Ended::Handover(Handover::local()),
            Step::SwitchRoot(root) => self.load(&plan, root),
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
                say_what_came(&plan.id, &fetched);
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
        finished.recv().unwrap_or_else(|_| {
            let cause = "the loading thread ended without a word";
            Err(LoadError::Failed(Failure::because(Phase::Worker, "load", cause)))
        })
    }

    /// The failure screen; unattended, what the policy says.
    pub fn failed(&mut self, failure: Failure, again: Goal, policy: &Policy) -> Goal {
        log::error!("{failure}");
        if let Some(hint) = &failure.hint {
            log::error!("hint: {hint}");
        }
        let now = uptime();
        let since = *self.legacy.failing_since.get_or_insert(now.as_secs());
        let trying = now.saturating_sub(Duration::from_secs(since));
        let unattended = !self.legacy.attended;
        let retry = trying < policy.retry_for;
        loop {
            Word::Doing("showing a failure".into()).say();
            let log = early::log_tail(Path::new(LOG), 200);
            let mut screen = tui::failure::Failure::new(failure.clone(), source::header(&self.network), log);
            if unattended {
                screen = if retry {
                    // As long again as it has been failing: a storm of reboots must not become one of requests.
                    screen.declare("trying again", trying.clamp(FIRST_PAUSE, LONGEST_PAUSE))
                } else {
                    screen.declare(in_words(&policy.on_failure), LONGEST_PAUSE / 2)
                };
            }
            let answered = self.consoles.ask(&mut screen, &mut |_| None);
            self.touched(answered.console);
            return match answered.answer {
                FailureAnswer::Retry => again,
                FailureAnswer::Menu => Goal::Menu,
                FailureAnswer::Reboot => Goal::HandOver(Handover::reboot()),
                FailureAnswer::PowerOff => Goal::HandOver(Handover::power_off()),
                FailureAnswer::Shell => {
                    self.shell(answered.console);
                    continue;
                }
                FailureAnswer::Declared if retry => again,
                FailureAnswer::Declared => match &policy.on_failure {
                    Action::Reboot => Goal::HandOver(Handover::reboot()),
                    Action::PowerOff => Goal::HandOver(Handover::power_off()),
                    Action::Menu => Goal::Menu,
                    Action::Entry(id) => {
                        self.legacy.failing_since = None;
                        Goal::Named(id.clone())
                    }
                    // Held: the screen stays, without a countdown.
                    Action::Hold => {
                        self.legacy.attended = true;
                        Goal::Fail(failure, Box::new(again), policy.clone())
                    }
                },
            };
        }
    }
}

fn say_what_came(id: &str, fetched: &Fetched) {
    let Fetched { unpacked, sha256, location, bytes, retries } = fetched;
    log::info!("{id}: {bytes} bytes from {location} ({retries} retries), sha256 {sha256}");
    log::info!("{id}: {} entries, {} bytes", unpacked.entries, unpacked.bytes);
    if let Some(lost) = &unpacked.lost_xattrs {
        let (first, name) = (lost.first_member.display(), &lost.first_name);
        log::warn!(
            "{id}: {} xattrs could not be stored; first {name} of {first}, errno {}",
            lost.count,
            lost.errno
        );
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
