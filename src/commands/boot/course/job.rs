//! What follows a job: what its entry says, as long as that leads to an end.

use super::failing::MOST_ATTEMPTS;
use super::{Boot, Course, Failed, Goal, Hands, JobEnd};
use crate::catalog::Action;
use crate::commands::boot::words::{Policy, Standing, Word};
use crate::load::{Failure, Phase};

impl Course {
    /// The action its entry declares. Each job runs once unless a person wants it again, so that jobs that lead to each
    /// other come to an end.
    pub(super) fn after_job(&mut self, hands: &mut impl Hands, boot: &Boot, end: JobEnd) -> Goal {
        let id = &boot.entry.id;
        self.stand(hands, |standing| standing.ran(id));
        // Should the worker die before that is done.
        hands.say(Word::Booting { id: id.clone(), policy: Policy::at_once(end.then.clone()) });
        self.remember(id, &end);
        match &end.then {
            Action::Reboot => Goal::Reboot,
            Action::PowerOff => Goal::PowerOff,
            Action::Menu => self.back_to_menu(id, end),
            Action::Hold => self.show_end(id, end),
            Action::Entry(next) if self.standing.ran.contains(next) => {
                log::error!("{id}: {next} follows, which already ran");
                if self.attended { self.back_to_menu(id, end) } else { Goal::Reboot }
            }
            Action::Entry(next) if end.success || self.attended => {
                self.turn_to(hands, next, boot.named.unwrap_or(true))
            }
            Action::Entry(next) if self.attempt() < MOST_ATTEMPTS => {
                self.next_attempt(hands, next, boot.named.unwrap_or(true))
            }
            Action::Entry(next) => {
                log::error!("{id}: {next} follows, which would be one attempt too many: rebooting");
                Goal::Reboot
            }
        }
    }

    /// For the notices of a menu.
    fn remember(&mut self, id: &str, end: &JobEnd) {
        let how = match &end.failure {
            Some(failure) => format!("failed: {}", failure.cause.join(": ")),
            None if end.success => "ended well".into(),
            None => "failed".into(),
        };
        log::info!("job {id}: {how}");
        self.ended.retain(|(other, _)| other != id);
        self.ended.push((id.to_owned(), how));
    }

    /// Where there is one.
    fn back_to_menu(&self, id: &str, end: JobEnd) -> Goal {
        match &self.second {
            None => Goal::Menu,
            Some(_) if self.attended => self.show_end(id, end),
            // The way to the menu is through the firmware and the first stage.
            Some(_) => Goal::Reboot,
        }
    }

    /// Its end stays on the screen, if it is to be held, until somebody comes; else for the person that is there.
    fn show_end(&self, id: &str, end: JobEnd) -> Goal {
        let said = if end.success { "the job ended well" } else { "the job failed" };
        let failure = end.failure.unwrap_or_else(|| Failure::because(Phase::Worker, id, said));
        Goal::Fail(Box::new(Failed {
            failure,
            went_well: end.success,
            again: None,
            policy: Policy::at_once(end.then),
            id: Some(id.to_owned()),
            boot: None,
        }))
    }
}

impl Standing {
    /// The job of this entry was started.
    pub fn ran(&mut self, id: &str) {
        if !self.ran.iter().any(|ran| ran == id) {
            self.ran.push(id.to_owned());
        }
    }
}
