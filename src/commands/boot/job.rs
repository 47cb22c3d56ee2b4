//! A job and the screen that shows it, until it has ended. What its end leads to is decided by who asked for it.

use std::path::Path;
use std::time::Instant;

use super::words::{Policy, Word};
use super::worker::Story;
use crate::handover::run::{End, Job, Outcome, Running};
use crate::plan::{Plan, RunPlan};
use crate::tui::job::{self, JobAnswer};

impl Story {
    /// Runs the command of a plan in the verified tree mounted at `tree`, and shows it. `facts` become its environment,
    /// beside what the plan says. Nothing of it is left when this returns: the tree can be unmounted.
    pub fn run_job(
        &mut self,
        plan: &Plan,
        run: &RunPlan,
        tree: &Path,
        facts: &[(String, String)],
    ) -> Outcome {
        Word::Doing(format!("running the job {}", plan.id)).say();
        let mut job = Job::new(&plan.id, tree, run.command.clone(), run.timeout);
        job.size = job::size_on(self.consoles.common_size().unwrap_or_default());
        job.environment = known(plan, run).into_iter().chain(facts.iter().cloned()).collect();
        log::info!("job {}: {:?}, at most {} s", plan.id, run.command, run.timeout.as_secs());
        let outcome = match job.start(Instant::now()) {
            Ok(running) => self.watch_job(plan, run, job.size, running),
            Err(e) => Outcome::refused(format!("{e:#}")),
        };
        log::info!("job {}: {} after {} s", plan.id, outcome.end, outcome.elapsed.as_secs());
        if outcome.left_running > 0 {
            log::warn!("job {}: it left {} processes running; killed", plan.id, outcome.left_running);
        }
        outcome
    }

    fn watch_job(&mut self, plan: &Plan, run: &RunPlan, size: (u16, u16), mut running: Running) -> Outcome {
        let facts = self.header();
        let mut screen = job::Job::new(&plan.title, &run.command, run.timeout, size, facts);
        loop {
            let answered = self.consoles.ask(&mut screen, &mut |screen| {
                feed(screen, &mut running, |end| follows(plan, run, end));
                None
            });
            self.touched(answered.console);
            match answered.answer {
                JobAnswer::Stop => {
                    log::warn!("job {}: a person asked for its end", plan.id);
                    running.terminate(Instant::now());
                }
                JobAnswer::Over => return running.finish(),
            }
        }
    }
}

/// How it ended is known from here on, whatever becomes of this worker.
fn follows(plan: &Plan, run: &RunPlan, end: &End) {
    let then = if *end == End::Exit(0) { &run.on_success } else { &run.on_failure };
    Word::Booting { id: plan.id.clone(), policy: Policy::at_once(then.clone()) }.say();
}

fn feed(screen: &mut job::Job, running: &mut Running, ended: impl FnOnce(&End)) {
    if screen.is_over() {
        return;
    }
    let news = running.poll(Instant::now());
    screen.output(&news.output);
    if let Some(end) = news.ended {
        ended(&end);
        screen.end(&end);
    }
}

/// What the plan itself knows.
fn known(plan: &Plan, run: &RunPlan) -> Vec<(String, String)> {
    [
        ("BOOTJACK_ENTRY", plan.id.clone()),
        ("BOOTJACK_TITLE", plan.title.clone()),
        ("BOOTJACK_DEADLINE", run.timeout.as_secs().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
