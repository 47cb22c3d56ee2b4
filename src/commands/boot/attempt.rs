//! One boot of one entry: plan, wait for the network, load with a screen to watch. What follows is the course's.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use super::course::{Attempt, Ended};
use super::words::Word;
use super::worker::Story;
use super::{report, source};
use crate::handover::{Handover, root};
use crate::load::{self, Failure, Fetched, LoadError, Phase, Report};
use crate::machine::Machine;
use crate::plan::{self, Plan, RootPlan, Step};
use crate::tui::loading::{Cancel, Loading};

/// Budget of silent time for one archive within one attempt; longer outages are the policy's to sit out.
const ARCHIVE_RETRY_FOR: Duration = Duration::from_secs(300);

impl Story {
    /// Plans and carries out.
    pub fn attempt(&mut self, attempt: &Attempt) -> Ended<Handover> {
        let entry = attempt.entry;
        Word::Doing(format!("planning {}", entry.id)).say();
        let plan = match plan::plan(entry, &Machine::probe()) {
            Ok(plan) => plan,
            Err(refusal) => {
                let failure = Failure::because(Phase::Plan, &entry.id, refusal.cause);
                return failed(Failure { hint: refusal.hint, ..failure });
            }
        };
        log::info!("booting {}: {}", plan.id, plan.title);
        match &plan.step {
            Step::Shell => match self.shell(attempt.console) {
                Ok(()) => Ended::Stopped,
                Err(failure) => failed(failure),
            },
            Step::Reboot => Ended::Loaded(Handover::reboot()),
            Step::PowerOff => Ended::Loaded(Handover::power_off()),
            Step::Local => Ended::Loaded(Handover::local()),
            Step::SwitchRoot(root) => self.load(&plan, root),
            Step::Kexec(_) | Step::Run(_) => {
                let cause = "such an entry is not in this version";
                failed(Failure::because(Phase::Plan, &plan.id, cause))
            }
        }
    }

    fn load(&mut self, plan: &Plan, root: &RootPlan) -> Ended<Handover> {
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
                Ended::Loaded(handover)
            }
            Err(LoadError::Stopped) => Ended::Stopped,
            Err(LoadError::Failed(failure)) => failed(failure),
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
}

/// Trying again may help.
fn failed(failure: Failure) -> Ended<Handover> {
    Ended::Failed { failure, again: true }
}

/// Each try that failed, with its cause, outlives the screen.
fn log_try(id: &str, report: &Report) {
    if let Report::Retrying { location, error, attempt, .. } = report {
        log::warn!("{id}: try {attempt} of {location}: {error}");
    }
}
