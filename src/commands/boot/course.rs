//! What the machine does next, with a person and without one, as a state machine: every decision of a boot is here, and
//! every effect is asked of [`Hands`]. So it can be lived through in no time, in any order of events: see `tests`. The
//! promise: whatever fails, a machine that nobody stands at ends in the action that is declared for it.

mod choosing;
mod failing;
mod goal;
mod hands;
mod job;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::time::Duration;

use super::source::{NoOffer, Offer, Origin};
use super::words::{Legacy, Policy, Standing, Word};
use crate::catalog::{Action, Boot as Kind, Catalog};
use crate::cmdline::Params;
use crate::load::{Failure, Phase};
use goal::{Boot, Failed, Goal};
pub use goal::{Second, Start};
pub use hands::{Attempt, End, Ended, Hands, JobEnd, Restart, Wanted};

/// The state of the story.
pub struct Course {
    params: Params,
    second: Option<Second>,
    legacy: Legacy,
    /// Whether a person asked for what is going on now.
    attended: bool,
    standing: Standing,
    /// Jobs that ended, and how.
    ended: Vec<(String, String)>,
}

impl Course {
    pub fn new(start: Start) -> Self {
        let Start { params, mut legacy, second } = start;
        let mut standing = std::mem::take(&mut legacy.failing_since);
        let mut attended = legacy.attended;
        if attended {
            standing = Standing { attempt: standing.attempt.min(1), failing_since: None, ..standing };
        }
        // The first worker that gets so far: those before it, if any, knew nothing.
        if standing.attempt == 0 {
            standing.attempt = second.as_ref().map_or(1, |second| second.attempt.max(1));
            standing.policy = second.as_ref().map(|second| second.policy.clone());
            attended |= second.as_ref().is_some_and(|second| second.attended);
        }
        Self { params, second, legacy, attended, standing, ended: Vec::new() }
    }

    /// Lives through it.
    pub fn live<H: Hands>(&mut self, hands: &mut H) -> End<H::Loaded> {
        hands.say(Word::Attended(self.attended));
        hands.say(Word::Failing(self.standing.clone()));
        let mut goal = self.first_goal(hands);
        loop {
            goal = match goal {
                Goal::Menu => self.menu(hands),
                Goal::Named { id, or_built_in } => self.named(hands, id, or_built_in),
                Goal::Boot(boot) => match self.boot(hands, *boot) {
                    ControlFlow::Continue(goal) => goal,
                    ControlFlow::Break(loaded) => return End::Loaded(loaded),
                },
                Goal::Fail(failed) => self.failed(hands, *failed),
                Goal::Reboot => return End::Reboot,
                Goal::PowerOff => return End::PowerOff,
                Goal::Restart(how) => return End::Restart(how),
            };
        }
    }

    /// What the first stage handed on comes before the root words of the command line, these before an entry, an entry
    /// before the menu; the death of the worker before this one comes before them all.
    fn first_goal(&mut self, hands: &mut impl Hands) -> Goal {
        if self.params.shell && self.legacy.worker == 0 {
            match hands.shell(None) {
                // Whoever left it is there.
                Ok(true) => self.attend(hands, true),
                Ok(false) => {}
                Err(failure) => {
                    let again = Some(self.asked_for());
                    return self.fail(failure, again, self.policy());
                }
            }
        }
        let goal = self.asked_for();
        let Some(failure) = self.legacy.failure.take() else { return goal };
        // What a person left for the menu is over.
        let booting = self.legacy.booting.take().filter(|_| !self.standing.in_menu);
        let Some((id, policy)) = booting else {
            let id = goal.entry().map(str::to_owned);
            return self.fail_of(id, failure, Some(goal), self.policy());
        };
        // Chosen from a menu, or declared for a failure: that entry again, not what led to it.
        let named = || Goal::Named { id: id.clone(), or_built_in: true };
        let again = if goal.entry() == Some(id.as_str()) { goal } else { named() };
        self.fail_of(Some(id), failure, Some(again), policy)
    }

    /// What the first stage or the kernel command line asks for.
    fn asked_for(&self) -> Goal {
        let boot = |entry, catalog| {
            let policy = self.policy();
            Goal::Boot(Box::new(Boot { entry, policy, console: None, catalog, named: None, edited: false }))
        };
        if let Some(second) = &self.second {
            return boot(second.entry.clone(), second.catalog.clone());
        }
        match (self.params.root_entry(), &self.params.entry) {
            (Some(Ok(entry)), _) => boot(entry, None),
            // Never anything else than what was asked for: a word that is wrong now is wrong the next time too.
            (Some(Err(problem)), _) => {
                let cause = vec![problem.to_string()];
                let thing = "the kernel command line".to_owned();
                let failure = Failure { phase: Phase::Plan, thing, cause, hint: problem.hint };
                self.fail(failure, None, self.policy())
            }
            // A job is not told twice.
            (None, Some(id)) if self.standing.ran.contains(id) => Goal::Menu,
            (None, Some(id)) => Goal::Named { id: id.clone(), or_built_in: false },
            (None, None) => Goal::Menu,
        }
    }

    /// Whether the machine is to boot by itself, whatever a menu says.
    fn is_told_what_to_boot(&self) -> bool {
        self.second.is_some() || self.params.root.is_some() || self.params.entry.is_some()
    }

    /// Whether it goes on when a person was there and went away. Before there was a menu nobody knows better.
    fn goes_on_by_itself(&self) -> bool {
        self.is_told_what_to_boot() || !self.standing.waits
    }

    fn named(&mut self, hands: &mut impl Hands, id: String, or_built_in: bool) -> Goal {
        let again = Goal::Named { id: id.clone(), or_built_in };
        let patience = self.patience(hands, &self.policy());
        let offer = match self.offer(hands, or_built_in, patience) {
            Ok(offer) => offer,
            Err(NoOffer::Failed(failure)) => {
                return self.fail_of(Some(id), failure, Some(again), self.policy());
            }
            Err(NoOffer::Left) => return self.left(&id, again, self.policy()),
        };
        let policy = self.policy();
        self.go_for(hands, &id, &policy);
        if let Some(entry) = offer.catalog().and_then(|c| c.entries.iter().find(|e| e.id == id)) {
            let (entry, catalog) = (entry.clone(), offer.location());
            return Goal::Boot(Box::new(Boot {
                entry,
                policy,
                console: None,
                catalog,
                named: Some(or_built_in),
                edited: false,
            }));
        }
        let missing = || vec!["the catalog has no such entry".to_owned()];
        let cause = offer.complaints(&id).unwrap_or_else(missing);
        let hint = Some(format!("the catalog is {}", offer.origin));
        let failure = Failure { phase: Phase::Catalog, thing: id.clone(), cause, hint };
        self.fail_of(Some(id), failure, Some(again), policy)
    }

    /// The catalog, and what it says of failures remembered.
    fn offer(
        &mut self,
        hands: &mut impl Hands,
        or_built_in: bool,
        patience: Option<Duration>,
    ) -> Result<Offer, NoOffer> {
        let wanted = match &self.second {
            Some(second) => second.catalog.clone().map(Ok),
            None => self.params.catalog.clone(),
        };
        let offer = hands.catalog(&wanted, or_built_in, patience);
        self.notice_keys(hands);
        let offer = offer?;
        // One that nobody wrote says nothing.
        if let (Some(Catalog { retry_for, on_failure, .. }), false) =
            (offer.catalog(), matches!(offer.origin, Origin::Nothing))
        {
            let policy = Policy { retry_for: *retry_for, on_failure: on_failure.clone() };
            self.stand(hands, |standing| standing.policy = Some(policy));
        }
        Ok(offer)
    }

    /// What our words on the command line say of failures, then the last catalog, then the ancestors' words, then the
    /// defaults. Only a shell that is asked for with `rd.shell` comes before a catalog: nobody may reboot it away.
    fn policy(&self) -> Policy {
        let Params { retry_for, on_failure, rd_shell, .. } = &self.params;
        let known = self.standing.policy.clone().unwrap_or_else(|| self.of_the_ancestors());
        let held = (*rd_shell == Some(true)).then_some(Action::Hold);
        Policy {
            retry_for: retry_for.unwrap_or(known.retry_for),
            on_failure: on_failure.clone().map(Action::from).or(held).unwrap_or(known.on_failure),
        }
    }

    /// `panic=N` is a reboot, whatever `rd.emergency=` says.
    fn of_the_ancestors(&self) -> Policy {
        let usual = Policy::default();
        let emergency = self.params.emergency.clone().filter(|_| self.params.panic.is_none());
        Policy { on_failure: emergency.map_or(usual.on_failure, Action::from), ..usual }
    }

    /// One attempt, and what follows.
    fn boot<H: Hands>(&mut self, hands: &mut H, boot: Boot) -> ControlFlow<H::Loaded, Goal> {
        let (id, policy) = (boot.entry.id.clone(), boot.policy.clone());
        self.go_for(hands, &id, &policy);
        if matches!(boot.entry.boot, Kind::Shell) && self.params.forbids_shell() {
            let why =
                "shells are forbidden: panic=, rd.shell=0 or bootjack.shell=0 on the kernel command line";
            let failure = Failure::because(Phase::Plan, &id, why);
            return ControlFlow::Continue(self.fail_of(Some(id), failure, None, policy));
        }
        let ended = hands.boot(&Attempt {
            entry: &boot.entry,
            policy: &boot.policy,
            console: boot.console,
            attended: self.attended,
            attempt: self.attempt(),
            patience: self.patience(hands, &boot.policy),
            catalog: boot.catalog.as_ref(),
            standing: &self.standing,
            edited: boot.edited,
            breaks: if self.legacy.worker == 0 { &self.params.break_at } else { &[] },
        });
        self.notice_keys(hands);
        if matches!(ended, Ended::Stopped) {
            // The end of a shell, too, is typed.
            self.attend(hands, true);
        }
        ControlFlow::Continue(match ended {
            Ended::Loaded(loaded) => return ControlFlow::Break(loaded),
            Ended::Stopped if self.is_told_what_to_boot() => self.left(&id, boot.again(), policy),
            Ended::Stopped => Goal::Menu,
            Ended::Failed { failure, again } => {
                let again = again.then(|| boot.clone().again());
                let boot = again.is_some().then_some(boot);
                Goal::Fail(Box::new(Failed { failure, went_well: false, again, policy, id: Some(id), boot }))
            }
            Ended::Job(end) => self.after_job(hands, &boot, end),
        })
    }

    /// From here on it is this entry: a worker that comes after a death goes on with it.
    fn go_for(&mut self, hands: &mut impl Hands, id: &str, policy: &Policy) {
        hands.say(Word::Booting { id: id.to_owned(), policy: policy.clone() });
        self.stand(hands, |standing| standing.in_menu = false);
    }

    fn fail(&self, failure: Failure, again: Option<Goal>, policy: Policy) -> Goal {
        self.fail_of(None, failure, again, policy)
    }

    fn fail_of(&self, id: Option<String>, failure: Failure, again: Option<Goal>, policy: Policy) -> Goal {
        Goal::Fail(Box::new(Failed { failure, went_well: false, again, policy, id, boot: None }))
    }

    /// A person stopped what the machine was told to do: they decide what follows, and if they go away it goes on.
    fn left(&self, what: &str, again: Goal, policy: Policy) -> Goal {
        let failure = Failure::because(Phase::Fetch, what, "stopped from the keyboard");
        let id = again.entry().map(str::to_owned);
        self.fail_of(id, failure, Some(again), policy)
    }

    /// How many boots of this chain there were, this one too.
    pub fn attempt(&self) -> u32 {
        self.standing.attempt
    }

    /// A key in what was done: somebody is there.
    fn notice_keys(&mut self, hands: &mut impl Hands) {
        if hands.was_touched() {
            self.attend(hands, true);
        }
    }

    /// Whether a person asked for what is going on now. With one there, nothing of what failed before counts.
    fn attend(&mut self, hands: &mut impl Hands, now: bool) {
        if self.attended != now {
            self.attended = now;
            hands.say(Word::Attended(now));
        }
        if now {
            self.stand(hands, |standing| (standing.attempt, standing.failing_since) = (1, None));
        }
    }

    /// Changes how the story stands, and leaves word of it.
    fn stand(&mut self, hands: &mut impl Hands, change: impl FnOnce(&mut Standing)) {
        let before = self.standing.clone();
        change(&mut self.standing);
        if self.standing != before {
            hands.say(Word::Failing(self.standing.clone()));
        }
    }
}
