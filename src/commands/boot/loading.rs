//! A load with a screen to watch: in a thread of its own, stopped by Esc. What is loaded is `load`'s; what follows a
//! failure is decided elsewhere.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::second::{Outlook, console_of};
use super::waiting;
use super::worker::Story;
use crate::answer::{self, Answer, NoAnswer};
use crate::fetch::Retrying;
use crate::handover::Handover;
use crate::load::{self, Came, Failure, LoadError, Loader, Phase, Report, Second};
use crate::machine;
use crate::plan::{KexecPlan, Plan, Way};
use crate::tui::loading::{Cancel, Loading};

/// Budget of silent time for one artifact within one attempt; longer outages are the policy's to sit out. With
/// nobody there it is no more than what is left of the policy's time.
const ARTIFACT_RETRY_FOR: Duration = Duration::from_secs(300);

/// How often the screen is told how much memory there is.
const LOOK: Duration = Duration::from_secs(1);

/// What a worker does with something that came too late to be wanted.
type Unwanted<T> = fn(T);

impl Story {
    /// Does `work`, with what is left of `patience`, showing what it reports; what it made although it was stopped goes to `unwanted`.
    pub fn watched<T: Send>(
        &mut self,
        plan: &Plan,
        patience: Option<Duration>,
        unwanted: Unwanted<T>,
        work: impl FnOnce(&Loader<'_>) -> Result<T, LoadError> + Send,
    ) -> Result<T, LoadError> {
        let stop = AtomicBool::new(false);
        let (reports, told) = channel();
        let on = |report: Report| {
            log_try(&plan.id, &report);
            // The screen is gone only when nobody needs to know any more.
            drop(reports.send(report));
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (fetcher, facts) = (self.fetcher.clone(), self.header());
        let retry_for = waiting::budget(ARTIFACT_RETRY_FOR, patience);
        let mut screen = Loading::new(plan, facts);
        std::thread::scope(|scope| {
            let loader = Loader { fetcher: &fetcher, retry_for, on: &on };
            let finished = answer::ask_within(scope, "load", move || work(&loader))
                .map_err(|e| LoadError::Failed(Failure::new(Phase::Worker, "starting a thread", e)))?;
            self.watch(&mut screen, &told, finished, &stop, unwanted)
        })
    }

    /// Shows the load until it is over; Esc stops it.
    fn watch<T>(
        &mut self,
        screen: &mut Loading,
        told: &Receiver<Report>,
        finished: Answer<Result<T, LoadError>>,
        stop: &AtomicBool,
        unwanted: Unwanted<T>,
    ) -> Result<T, LoadError> {
        let mut result = None;
        let mut looked: Option<Instant> = None;
        let answered = self.consoles.ask(screen, &mut |screen| {
            if looked.is_none_or(|at| at.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                screen.tell_free(machine::memory_available());
            }
            told.try_iter().for_each(|report| screen.report(report));
            match finished.try_take() {
                Ok(done) => {
                    result = Some(done);
                    Some(Cancel)
                }
                Err(NoAnswer::Yet) => None,
                Err(NoAnswer::Ever) => Some(Cancel),
            }
        });
        self.touched(answered.console);
        if let Some(done) = result {
            return done;
        }
        stop.store(true, Ordering::Relaxed);
        match finished.take() {
            // It was done at the very moment: stopped is stopped.
            Some(Ok(made)) => {
                unwanted(made);
                Err(LoadError::Stopped)
            }
            Some(Err(e)) => Err(e),
            None => {
                let cause = "the loading thread ended without a word";
                Err(LoadError::Failed(Failure::because(Phase::Worker, "load", cause)))
            }
        }
    }

    /// Loads a second kernel with all that goes with it.
    pub fn load_kexec(
        &mut self,
        plan: &Plan,
        kexec: &KexecPlan,
        outlook: &Outlook,
        patience: Option<Duration>,
    ) -> Result<(Handover, Came, Way), LoadError> {
        let work = |loader: &Loader<'_>| {
            let cmdline = |kernel: &_, came: &[_], way: &_| outlook.cmdline(kernel, came, way);
            let handoff = |came: &[_], way: &_| outlook.handoff(came, way);
            let second = Second { cmdline: &cmdline, handoff: &handoff, ca: &outlook.params.ca };
            load::load_kexec(kexec, &plan.id, loader, &second)
        };
        self.watched(plan, patience, |(handover, ..)| discard(handover), work)
    }

    /// The console a person used, as the second kernel is told.
    pub fn used_console(&self, index: Option<usize>) -> Option<(String, Option<u32>)> {
        console_of(self.consoles.path(index?)?)
    }
}

/// Not wanted any more.
pub fn discard(handover: Handover) {
    if let Err(e) = handover.discard() {
        log::error!("throwing away what was loaded: {e}");
    }
}

/// Each try that failed, with its cause, outlives the screen.
fn log_try(id: &str, report: &Report) {
    if let Report::Retrying(Retrying { location, error, attempt, next, from, .. }) = report {
        let on = if *from > 0 { format!("; going on at byte {from} of {next}") } else { String::new() };
        log::warn!("{id}: try {attempt} of {location}: {error}{on}");
    }
}
