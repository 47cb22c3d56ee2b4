//! The menu: which entry, and whether the countdown may choose.

use std::time::Duration;

use super::failing::IDLE;
use super::{Boot, Course, Goal, Hands, Restart};
use crate::commands::boot::source::{NoOffer, Offer};
use crate::commands::boot::words::Word;
use crate::load::{Failure, Phase};
use crate::tui::edit::{Edit, EditAnswer};
use crate::tui::menu::{Menu, MenuAnswer, MenuModel};
use crate::tui::power::{Power, PowerAnswer};

impl Course {
    pub(super) fn menu(&mut self, hands: &mut impl Hands) -> Goal {
        self.stand(hands, |standing| standing.in_menu = true);
        // Nothing was said to be booted: what there is to choose from is waited for, however long it takes.
        let offer = match self.offer(hands, true, None) {
            Ok(offer) => offer,
            Err(NoOffer::Failed(failure)) => return self.fail(failure, Some(Goal::Menu), self.policy()),
            Err(NoOffer::Left) => return self.left("the catalog", Goal::Menu, self.policy()),
        };
        let mut model = hands.model(&offer);
        model.timeout = self.params.timeout.or(model.timeout);
        model.without_shell = self.params.forbids_shell();
        self.stand(hands, |standing| standing.waits = model.timeout.is_none());
        if let Some(failure) = self.nothing_to_boot(&model) {
            return self.fail(failure, Some(Goal::Menu), self.policy());
        }
        // There is something to choose from: what kept it away is over.
        self.stand(hands, |standing| standing.failing_since = None);
        self.leave_out_what_ran(&offer, &mut model);
        let goes_back = self.goes_back(&model);
        let default = model.default;
        if goes_back {
            (model.timeout, model.default) = (Some(Duration::ZERO), None);
        }
        let mut menu = if self.attended { Menu::held(model) } else { Menu::new(model) };
        default.into_iter().for_each(|entry| menu.select(entry));
        match self.choose(hands, &offer, menu) {
            Goal::Menu if goes_back && !self.attended => self.asked_for(),
            goal => goal,
        }
    }

    /// Whether a person who goes away leaves the machine to what it was told to boot: the menu has no countdown of its
    /// own, and is none that such a machine may wait in for ever. A job is not told twice.
    fn goes_back(&self, model: &MenuModel) -> bool {
        let ran = self.params.entry.as_ref().is_some_and(|id| self.standing.ran.contains(id));
        self.attended && self.is_told_what_to_boot() && model.timeout.is_none() && !ran
    }

    fn choose(&mut self, hands: &mut impl Hands, offer: &Offer, mut menu: Menu) -> Goal {
        loop {
            hands.say(Word::Doing("showing the menu".into()));
            let answered = hands.ask(&mut menu, |menu, facts| menu.tell(|model| model.header = facts));
            let console = answered.console;
            // Chosen by the countdown, nobody is there to be waited for.
            self.attend(hands, console.is_some());
            match answered.answer {
                MenuAnswer::Boot(index) => {
                    if let Some(boot) = self.chosen(offer, index, console) {
                        return Goal::Boot(Box::new(boot));
                    }
                }
                MenuAnswer::Edit(index) => {
                    let boot = self.chosen(offer, index, console);
                    if let Some(goal) = boot.and_then(|boot| self.edit(hands, boot)) {
                        return goal;
                    }
                }
                MenuAnswer::Shell => {
                    if let Err(failure) = hands.shell(console) {
                        return self.fail(failure, Some(Goal::Menu), self.policy());
                    }
                }
                MenuAnswer::Network => hands.look_at_network(),
                MenuAnswer::Reload | MenuAnswer::Leave => return Goal::Menu,
                MenuAnswer::Power => {
                    if let Some(goal) = self.power(hands) {
                        return goal;
                    }
                }
            }
            self.notice_keys(hands);
        }
    }

    /// The entry with this index, as its catalog has it.
    fn chosen(&self, offer: &Offer, index: usize, console: Option<usize>) -> Option<Boot> {
        let Some(entry) = offer.catalog().and_then(|c| c.entries.get(index)) else {
            log::error!("the menu chose entry {index}, which is not there");
            return None;
        };
        let (entry, policy, catalog) = (entry.clone(), self.policy(), offer.location());
        Some(Boot { entry, policy, console, catalog, named: None, edited: false })
    }

    /// The boot of an entry as a person wants it; absent: as it is in the catalog, or not at all.
    pub(super) fn edit(&mut self, hands: &mut impl Hands, boot: Boot) -> Option<Goal> {
        let mut screen = Edit::new(&boot.entry, hands.machine(), IDLE, hands.facts())?;
        if !hands.may("changing an entry") {
            return None;
        }
        hands.say(Word::Doing(format!("changing {}", boot.entry.id)));
        let answered = hands.ask(&mut screen, Edit::tell);
        self.attend(hands, answered.console.is_some());
        match answered.answer {
            EditAnswer::Back => None,
            EditAnswer::Boot(entry) => {
                log::info!("{} was changed for this boot", entry.id);
                let console = answered.console;
                let boot = Boot { entry: *entry, console, named: None, edited: true, ..boot };
                Some(Goal::Boot(Box::new(boot)))
            }
        }
    }

    /// How a person wants to leave the machine; absent: not at all.
    pub(super) fn power(&mut self, hands: &mut impl Hands) -> Option<Goal> {
        if !hands.may("leaving the machine") {
            return None;
        }
        let mut screen = Power::new(hands.firmware().as_ref(), IDLE, hands.facts());
        hands.say(Word::Doing("asking how to leave the machine".into()));
        let answered = hands.ask(&mut screen, Power::tell);
        self.attend(hands, answered.console.is_some());
        match answered.answer {
            PowerAnswer::Reboot => Some(Goal::Reboot),
            PowerAnswer::PowerOff => Some(Goal::PowerOff),
            PowerAnswer::Setup => Some(Goal::Restart(Restart::Setup)),
            PowerAnswer::Next(entry) => Some(Goal::Restart(Restart::Next(entry))),
            PowerAnswer::Back => None,
        }
    }

    /// A menu that is to boot by itself and has nothing to boot would wait for a person who may never come.
    fn nothing_to_boot(&self, model: &MenuModel) -> Option<Failure> {
        if self.attended || model.timeout.is_none() || model.default.is_some() {
            return None;
        }
        let mut failure = Failure::because(Phase::Catalog, &model.source, "its default entry was refused");
        failure.cause.extend(model.notices.iter().cloned());
        Some(failure.hint("'bootjack check' names every fault of a catalog"))
    }

    /// A job that led to the menu must not be started by its countdown again, for ever.
    fn leave_out_what_ran(&self, offer: &Offer, model: &mut MenuModel) {
        let ended = self.ended.iter().map(|(id, how)| format!("{id}: {how}"));
        let mut notices: Vec<String> = ended.collect();
        let default = model.default.and_then(|index| offer.catalog()?.entries.get(index));
        if let (Some(default), Some(_)) = (default, model.timeout)
            && self.standing.ran.contains(&default.id)
        {
            model.timeout = None;
            notices.push(format!("{} already ran and is not started again by itself", default.id));
        }
        model.notices.splice(0..0, notices);
    }
}
