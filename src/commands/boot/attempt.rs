//! One boot of one entry: plan, wait for the network, load with a screen to watch, or run its job. What follows is the
//! course's.

use std::fs;

use super::course::{self, Ended, JobEnd};
use super::handoff::Handoff;
use super::kernel::uptime;
use super::report::{self, Part};
use super::second::{self, Outlook};
use super::waiting::Waited;
use super::words::Word;
use super::worker::Story;
use crate::catalog::{Boot, Entry, Kexec};
use crate::cmdline::BreakAt;
use crate::handover::Handover;
use crate::handover::run::Outcome;
use crate::load::{self, Came, Failure, LoadError, Loader, Phase};
use crate::machine::Machine;
use crate::plan::{self, KexecPlan, ModulesFrom, Plan, ROOT_WORD_ID, Refusal, RunPlan, SHARED_TRUST, Step};
use crate::volumes;

impl Story {
    /// Plans and carries out.
    pub fn attempt(&mut self, attempt: &course::Attempt) -> Ended<Handover> {
        let entry = attempt.entry;
        Word::Doing(format!("planning {}", entry.id)).say();
        let mut machine = Machine::probe();
        let handoff = self.handoff.as_ref().filter(|handoff| handoff.is_of(entry));
        machine.memory_available += handoff.map_or(0, Handoff::carried);
        let mut plan = match self.planned(entry, &machine) {
            Ok(plan) => plan,
            Err(refusal) => {
                let failure = Failure::because(Phase::Plan, &entry.id, refusal.cause);
                return self.failed(attempt, Failure { hint: refusal.hint, ..failure });
            }
        };
        log::info!("booting {}: {}", plan.id, plan.title);
        if let (Step::SwitchRoot(root), ROOT_WORD_ID) = (&mut plan.step, entry.id.as_str()) {
            self.params.complete(root, self.bootif);
        }
        if let (Step::SwitchRoot(root), true) = (&mut plan.step, self.has_modules_for_the_root(attempt)) {
            root.modules = ModulesFrom::Initrd;
        }
        report::add(|report, _| report.begin_attempt(attempt, &plan, &machine));
        if plan.makes_a_root() {
            self.break_at(BreakAt::BeforeRoot, attempt);
        }
        match &plan.step {
            Step::Shell => match self.shell(attempt.console) {
                Ok(()) => Ended::Stopped,
                Err(failure) => self.failed(attempt, failure),
            },
            Step::Reboot => Ended::Loaded(Handover::reboot()),
            Step::PowerOff => Ended::Loaded(Handover::power_off()),
            Step::Local => Ended::Loaded(Handover::local()),
            Step::SwitchRoot(root) => {
                let mounts = self.params.mounts.clone();
                let made = |loader: &Loader<'_>| load::load(root, &plan.id, &mounts, loader);
                self.load(&plan, attempt, made, |made| load::finish(made, root, &plan.id))
            }
            Step::Shared(shared) => {
                let mounts = self.params.mounts.clone();
                let warning = format!("{} is {SHARED_TRUST}", shared.location());
                log::warn!("{warning}");
                report::add(|report, _| report.warn(&warning));
                let made = |loader: &Loader<'_>| load::load_shared(shared, &plan.id, &mounts, loader);
                self.load(&plan, attempt, made, |made| load::finish_shared(made, shared, &plan.id))
            }
            Step::Kexec(kexec) => match &entry.boot {
                Boot::Kexec(written) => self.load_second(&plan, kexec, written, attempt),
                _ => Ended::Stopped,
            },
            Step::Run(run) => self.run(&plan, run, attempt),
        }
    }

    /// The plan, if nothing is beside it that nobody vouches for.
    fn planned(&self, entry: &Entry, machine: &Machine) -> Result<Plan, Refusal> {
        let plan = plan::plan(entry, machine)?;
        if plan.makes_a_root() {
            self.params.demand(machine)?;
        }
        Ok(plan)
    }

    /// Whether the first stage put modules for the root into this initrd.
    fn has_modules_for_the_root(&self, attempt: &course::Attempt) -> bool {
        self.handoff.as_ref().is_some_and(|handoff| handoff.modules && handoff.is_of(attempt.entry))
    }

    /// A root for the kernel that runs.
    fn load<M: Send>(
        &mut self,
        plan: &Plan,
        attempt: &course::Attempt,
        make: impl FnOnce(&Loader<'_>) -> Result<M, LoadError> + Send,
        finish: impl FnOnce(M) -> Result<(Handover, Came), LoadError>,
    ) -> Ended<Handover> {
        if let Some(ended) = self.unreachable(plan, attempt) {
            return ended;
        }
        Word::Doing(format!("loading {}", plan.id)).say();
        let made = self.watched(plan, attempt.patience, drop, make);
        if made.is_ok() {
            self.break_at(BreakAt::BeforeInit, attempt);
        }
        match made.and_then(finish) {
            Ok((handover, came)) => {
                report::add(|report, now| {
                    report.end(Part::Load, now);
                    report.came(&plan.id, &came);
                });
                Ended::Loaded(handover)
            }
            Err(e) => self.not_loaded(attempt, e),
        }
    }

    fn load_second(
        &mut self,
        plan: &Plan,
        kexec: &KexecPlan,
        written: &Kexec,
        attempt: &course::Attempt,
    ) -> Ended<Handover> {
        if let Some(ended) = self.unreachable(plan, attempt) {
            return ended;
        }
        Word::Doing(format!("loading {}", plan.id)).say();
        let running = match fs::read_to_string("/proc/cmdline") {
            Ok(running) => running,
            Err(e) => return self.failed(attempt, Failure::new(Phase::Plan, "/proc/cmdline", e)),
        };
        let lease = self.network.lease();
        let outlook = Outlook {
            entry: attempt.entry.clone(),
            kexec: written.clone(),
            running: second::with_address_by_hand(running, lease.as_ref()),
            console: self.used_console(attempt.console),
            lease,
            attended: attempt.attended,
            policy: attempt.policy.clone(),
            password: self.guard.password().cloned(),
            attempt: attempt.attempt,
            catalog: attempt.catalog.cloned(),
            params: self.params.clone(),
            report: report::current(),
        };
        match self.load_kexec(plan, kexec, &outlook, attempt.patience) {
            Ok((handover, came, way)) => {
                report::add(|report, now| {
                    report.end(Part::Load, now);
                    report.carry(&way);
                    report.came(&plan.id, &came);
                });
                Ended::Loaded(handover)
            }
            Err(e) => self.not_loaded(attempt, e),
        }
    }

    /// The job of an entry, from its root to its end. Nothing of it is left then.
    fn run(&mut self, plan: &Plan, run: &RunPlan, attempt: &course::Attempt) -> Ended<Handover> {
        if let Some(ended) = self.unreachable(plan, attempt) {
            return ended;
        }
        Word::Doing(format!("loading {}", plan.id)).say();
        let patience = attempt.patience;
        let loaded =
            self.watched(plan, patience, drop, |loader| load::load_root(&run.root, &plan.id, loader));
        let (root, came) = match loaded {
            Ok(loaded) => loaded,
            Err(e) => return self.not_loaded(attempt, e),
        };
        report::add(|report, now| {
            report.end(Part::Load, now);
            report.came(&plan.id, &came);
        });
        // Whatever disks the job works on, none is in use.
        volumes::dismantle();
        self.break_at(BreakAt::BeforeInit, attempt);
        attempt.job_begins(&run.on_failure).into_iter().for_each(|word| word.say());
        let started = uptime().as_secs_f64();
        report::add(|report, now| report.begin(Part::Job, now));
        let facts = facts(&Machine::probe(), self.network.lease().as_ref(), attempt.attempt);
        let outcome = self.run_job(plan, run, root.get().path(), &facts);
        // The memory of its root is free before anything else begins.
        drop(root);
        report::add(|report, now| {
            report.end(Part::Job, now);
            report.job(report::Job::of(plan, run, &outcome, started));
        });
        Ended::Job(end_of(plan, run, &outcome))
    }

    fn not_loaded(&self, attempt: &course::Attempt, error: LoadError) -> Ended<Handover> {
        report::add(|report, now| report.end(Part::Load, now));
        match error {
            LoadError::Stopped => Ended::Stopped,
            LoadError::Failed(failure) => self.failed(attempt, failure),
        }
    }

    /// Trying again may help, unless what has to be read was read already.
    pub fn failed(&self, attempt: &course::Attempt, mut failure: Failure) -> Ended<Handover> {
        report::add(|report, now| report.fail(&failure, now));
        let handed = self.handoff.as_ref().filter(|handoff| handoff.is_of(attempt.entry));
        let again = !handed.is_some_and(Handoff::is_used_up);
        if !again {
            failure
                .cause
                .push("what was carried can be read once, and was read: only another boot helps".into());
        }
        Ended::Failed { failure, again }
    }

    /// The end of the attempt if what it needs cannot be reached, a network or an encrypted device: a person does not
    /// want to wait, or nobody is there and it took too long.
    fn unreachable(&mut self, plan: &Plan, attempt: &course::Attempt) -> Option<Ended<Handover>> {
        let ended = if plan.needs_network() || self.needs_network {
            self.without_network(plan, attempt)
        } else {
            None
        };
        let ended = ended.or_else(|| self.unlock(plan, attempt));
        if ended.is_none() {
            report::add(|report, now| report.begin(Part::Load, now));
        }
        ended
    }

    fn without_network(&mut self, plan: &Plan, attempt: &course::Attempt) -> Option<Ended<Handover>> {
        report::add(|report, now| report.begin(Part::Network, now));
        let waited = self.wait_for_network(&plan.title, attempt.patience);
        let lease = self.network.lease();
        report::add(|report, now| {
            report.end(Part::Network, now);
            report.running().lease = lease.as_ref().map(Into::into);
        });
        match waited {
            Waited::For(Ok(())) => None,
            Waited::For(Err(failure)) => Some(self.failed(attempt, failure)),
            Waited::Left => Some(Ended::Stopped),
        }
    }
}

/// What the job of an entry is told beside its plan; what is not known is not set.
fn facts(machine: &Machine, lease: Option<&crate::net::Lease>, attempt: u32) -> Vec<(String, String)> {
    let known = [
        ("ATTEMPT", Some(attempt.to_string())),
        ("ARCH", Some(machine.arch.clone())),
        ("KERNEL", Some(machine.kernel.clone())),
        ("PRODUCT", machine.product.clone()),
        ("SERIAL", machine.serial.clone()),
        ("UUID", machine.uuid.clone()),
        ("MAC", lease.map(|lease| lease.mac.to_string())),
        ("ADDRESS", lease.map(|lease| lease.address.to_string())),
        ("HOSTNAME", lease.and_then(|lease| lease.hostname.clone())),
    ];
    let named = known.into_iter().filter_map(|(name, value)| Some((format!("BOOTJACK_{name}"), value?)));
    named.collect()
}

/// What its entry says of such an end.
fn end_of(plan: &Plan, run: &RunPlan, outcome: &Outcome) -> JobEnd {
    if outcome.succeeded() {
        return JobEnd { success: true, then: run.on_success.clone(), failure: None };
    }
    let mut failure = Failure::because(Phase::Job, &plan.id, outcome.end.to_string());
    let last = outcome.log.iter().rev().take(LAST_LINES).rev();
    failure.cause.extend(last.map(|line| format!("it said: {line}")));
    let failure = failure.hint(format!("all it said is in /run/bootjack/job-{}.log", plan.id));
    JobEnd { success: false, then: run.on_failure.clone(), failure: Some(failure) }
}

/// Lines of a failed job's output on the failure screen.
const LAST_LINES: usize = 5;
