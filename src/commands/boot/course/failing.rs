//! A failure: who decides what follows, when, and what that is if nobody does.

use std::time::Duration;

use super::goal::Boot;
use super::{Course, Failed, Goal, Hands};
use crate::catalog::Action;
use crate::commands::boot::words::{Policy, Word};
use crate::tui::failure::{Failure, FailureAnswer};

/// An unattended machine shows a failure this long before it tries again: first, at most.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(5);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// And so long, at most, before the action that is declared.
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(30);

/// A failure screen without a key for so long is one that nobody looks at.
pub(super) const IDLE: Duration = Duration::from_secs(300);

/// So many boots, each for the failure of the one before, and no further entry: what fails so often needs another
/// firmware, another server or a person, and only a reboot leads to one of them.
pub(super) const MOST_ATTEMPTS: u32 = 3;

impl Course {
    /// The failure screen; if nobody answers, what the policy says.
    pub(super) fn failed(&mut self, hands: &mut impl Hands, failed: Failed) -> Goal {
        if !failed.went_well {
            log::error!("{}", failed.failure);
            failed.failure.hint.iter().for_each(|hint| log::error!("hint: {hint}"));
        }
        loop {
            let trying = self.failing_for(hands);
            let retry = failed.again.is_some() && trying < failed.policy.retry_for;
            hands.say(Word::Doing("showing a failure".into()));
            let mut screen = self.failure_screen(hands, &failed, retry, trying);
            let answered = hands.ask(&mut screen, |_, _| {});
            self.attend(hands, answered.console.is_some());
            match (answered.answer, failed.again.is_some()) {
                (FailureAnswer::Shell, _) => {
                    if let Err(failure) = hands.shell(answered.console) {
                        log::error!("{failure}");
                    }
                }
                (FailureAnswer::Edit, _) => {
                    if let Some(goal) = failed.boot.clone().and_then(|boot| self.edit(hands, boot)) {
                        return goal;
                    }
                }
                (FailureAnswer::OtherMirror, _) => {
                    if let Some(boot) = failed.boot.as_ref().and_then(Boot::with_other_mirrors) {
                        return Goal::Boot(Box::new(boot));
                    }
                }
                (FailureAnswer::Retry, true) => return failed.again.unwrap_or(Goal::Menu),
                (FailureAnswer::Declared, _) if retry => return failed.again.unwrap_or(Goal::Menu),
                (FailureAnswer::Declared, _) => return self.declared(hands, failed),
                (FailureAnswer::Menu | FailureAnswer::Retry, _) => return Goal::Menu,
                (FailureAnswer::Reboot, _) => return Goal::Reboot,
                (FailureAnswer::Power, _) => {
                    if let Some(goal) = self.power(hands) {
                        return goal;
                    }
                }
            }
        }
    }

    /// How long nothing has worked while nobody was there. It counts across workers: see `words`.
    fn failing_for(&mut self, hands: &mut impl Hands) -> Duration {
        let now = hands.uptime().as_secs();
        if self.attended {
            return Duration::ZERO;
        }
        let since = self.standing.failing_since.unwrap_or(now);
        self.stand(hands, |standing| standing.failing_since = Some(since));
        Duration::from_secs(now.saturating_sub(since))
    }

    /// How long what is tried now may go on while nothing comes: what is left of the time for all tries. With a person
    /// there, who may go away, all of it after the idle time; absent where a person is waited for anyway.
    pub(super) fn patience(&self, hands: &impl Hands, policy: &Policy) -> Option<Duration> {
        let now = hands.uptime().as_secs();
        let failing = now.saturating_sub(self.standing.failing_since.unwrap_or(now));
        match (self.attended, self.goes_on_by_itself()) {
            (false, _) => Some(policy.retry_for.saturating_sub(Duration::from_secs(failing))),
            (true, true) => Some(IDLE + policy.retry_for),
            (true, false) => None,
        }
    }

    fn failure_screen(&self, hands: &impl Hands, failed: &Failed, retry: bool, trying: Duration) -> Failure {
        let mut facts = hands.facts();
        if self.attempt() > 1 {
            facts.insert(0, format!("attempt {} of {MOST_ATTEMPTS}", self.attempt()));
        }
        let mut screen = Failure::new(failed.failure.clone(), facts, hands.log_tail(200));
        if failed.went_well {
            screen = screen.went_well();
        }
        if failed.again.is_none() {
            screen = screen.without_retry();
        }
        if self.second.is_some() {
            screen = screen.without_menu();
        }
        if failed.boot.as_ref().is_some_and(|boot| boot.entry.edits().is_some())
            && !self.params.forbids_shell()
        {
            screen = screen.with_edit();
        }
        if failed.boot.as_ref().and_then(Boot::with_other_mirrors).is_some() {
            screen = screen.with_other_mirror();
        }
        screen = match self.params.rd_shell {
            Some(false) => screen.without_shell(),
            Some(true) => screen.with_shell_first(),
            None => screen,
        };
        if self.attended && !self.goes_on_by_itself() {
            return screen;
        }
        screen = match (self.due(failed), retry) {
            // As long again as it has been failing: a storm of reboots must not become one of requests.
            (_, true) => screen.declare("trying again", trying.clamp(FIRST_PAUSE, LONGEST_PAUSE), IDLE),
            // It stays until somebody comes.
            (Action::Hold, false) => return screen,
            (action, false) => {
                screen.declare(in_words(&action), self.last_pause(&action, &failed.policy), IDLE)
            }
        };
        if self.attended { screen.held() } else { screen }
    }

    /// Whoever wants no long tries wants no long wait after them. `panic=N` is a reboot after so many seconds, or at once.
    fn last_pause(&self, action: &Action, policy: &Policy) -> Duration {
        match (action, self.params.panic) {
            (Action::Reboot, Some(seconds)) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
            _ => policy.retry_for.clamp(FIRST_PAUSE, LAST_PAUSE),
        }
    }

    /// What is to be done when trying again is over: what is declared, if that leads anywhere.
    fn due(&self, failed: &Failed) -> Action {
        match &failed.policy.on_failure {
            Action::Entry(id) if !self.may_follow(id, failed.id.as_deref()) => Action::Reboot,
            // The way to the menu is through the firmware and the first stage.
            Action::Menu if self.second.is_some() => Action::Reboot,
            action => action.clone(),
        }
    }

    /// Whether the failure of `failed` may lead to the entry `id`. Its own failure must not lead back to it, unless
    /// another stage may do what this one cannot.
    fn may_follow(&self, id: &str, failed: Option<&str>) -> bool {
        let own = failed == Some(id);
        let other_stage = self.second.as_ref().is_some_and(|second| second.entry.id == id);
        self.attempt() < MOST_ATTEMPTS && (!own || other_stage) && !self.standing.ran.iter().any(|r| r == id)
    }

    /// Nobody came, and trying again is over.
    fn declared(&mut self, hands: &mut impl Hands, failed: Failed) -> Goal {
        let due = self.due(&failed);
        log::error!("nobody answered: {}", in_words(&due));
        match due {
            Action::Reboot => Goal::Reboot,
            Action::PowerOff => Goal::PowerOff,
            Action::Menu => Goal::Menu,
            Action::Hold => Goal::Fail(Box::new(failed)),
            Action::Entry(id) => self.next_attempt(hands, &id, true),
        }
    }

    /// Another entry, for the failure of this one.
    pub(super) fn next_attempt(&mut self, hands: &mut impl Hands, id: &str, or_built_in: bool) -> Goal {
        self.stand(hands, |standing| standing.attempt += 1);
        self.turn_to(hands, id, or_built_in)
    }

    /// Another entry, as it is declared.
    pub(super) fn turn_to(&mut self, hands: &mut impl Hands, id: &str, or_built_in: bool) -> Goal {
        self.stand(hands, |standing| standing.failing_since = None);
        self.go_for(hands, id, &self.policy());
        Goal::Named { id: id.to_owned(), or_built_in }
    }
}

pub(super) fn in_words(action: &Action) -> String {
    match action {
        Action::Reboot => "rebooting".into(),
        Action::PowerOff => "powering off".into(),
        Action::Hold => "holding this screen".into(),
        Action::Menu => "going back to the menu".into(),
        Action::Entry(id) => format!("booting {id}"),
    }
}
