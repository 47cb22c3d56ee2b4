//! The menu: which entry? Everything it knows is plain data that was computed before ([`MenuModel`]); what an
//! answer leads to is `commands`' business.

mod details;
mod draw;
mod facts;
mod list;
mod rows;

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::countdown::Countdown;
use super::keys::{self, Command};
use super::log::LogView;
use super::pager::Pager;
use super::{Event, Look, Screen};

pub use facts::{Fact, Mood};
use list::List;
pub use rows::{Broken, Outcome, Row, action_in_words, rows};

/// What the menu shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MenuModel {
    /// The catalog's title.
    pub title: String,
    /// Host, address, time, as they are to be read; the last go first where there is no room.
    pub header: Vec<String>,
    /// Where the catalog came from.
    pub source: String,
    /// Why it is believed: by whom it is signed, or how it came.
    pub trust: String,
    pub rows: Vec<Row>,
    /// Catalog index of the default entry.
    pub default: Option<usize>,
    pub timeout: Option<Duration>,
    pub idle: Duration,
    /// What the operator has to know, most important first: a line each in the menu, all of it behind `!`.
    pub notices: Vec<String>,
    /// Groups that are closed at first.
    pub folded: Vec<String>,
    /// Nobody may have one, and nobody may change an entry.
    pub without_shell: bool,
    /// On a workstation: q, Esc and Ctrl-C leave, and keys for a booting machine are not there.
    pub preview: bool,
}

/// A second digit that comes later begins another number.
const SECOND_DIGIT: Duration = Duration::from_secs(1);

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MenuAnswer {
    /// The catalog's entry with this index.
    Boot(usize),
    Shell,
    Power,
    Network,
    /// To be changed before it is booted: the entry with this index.
    Edit(usize),
    Reload,
    /// Left without choosing; only in a preview.
    Leave,
}

/// The screen.
#[derive(Debug)]
pub struct Menu {
    model: MenuModel,
    list: List,
    /// The number that is being typed, and since when.
    number: Option<(usize, Duration)>,
    countdown: Countdown,
    over: Option<Pager>,
}

impl Menu {
    /// A menu with its default selected, counting down if the catalog says so.
    pub fn new(model: MenuModel) -> Self {
        let selected = model.rows.iter().position(|r| r.entry.is_some() && r.entry == model.default);
        let countdown = Countdown::new(model.timeout, model.idle, selected.is_some());
        let list = List::new(&model.folded, &model.rows, selected);
        Self { list, number: None, countdown, over: None, model }
    }

    /// The same for a person who is coming back to it: stopped until the idle time is over. With a timeout and no default
    /// the answer is then to reload: a machine that is to boot by itself must not stay here for ever.
    pub fn held(model: MenuModel) -> Self {
        let mut menu = Self::new(model);
        menu.countdown = Countdown::new(menu.model.timeout, menu.model.idle, true);
        menu.countdown.hold();
        menu
    }

    /// New facts for the head, new notices, a longer log; what is selected and the countdown stay.
    pub fn tell(&mut self, change: impl FnOnce(&mut MenuModel)) {
        let rows = self.model.rows.len();
        change(&mut self.model);
        // The head is told anew many times a second.
        if self.model.rows.len() != rows {
            self.list.settle(&self.model.rows);
        }
    }

    /// Selects the entry with this catalog index, as after a failed boot of it.
    pub fn select(&mut self, entry: usize) {
        if let Some(row) = self.model.rows.iter().position(|r| r.entry == Some(entry)) {
            self.list.select(&self.model.rows, row);
        }
    }

    fn default_row(&self) -> Option<&Row> {
        self.model.rows.iter().find(|r| r.entry.is_some() && r.entry == self.model.default)
    }

    fn key(&mut self, key: KeyEvent) -> Option<MenuAnswer> {
        self.countdown.key();
        if let Some(pager) = &mut self.over {
            if !pager.on(key) {
                self.over = None;
            }
            return None;
        }
        let number = self.number.take();
        if self.list.types(&self.model.rows, key) {
            return None;
        }
        if key.code == KeyCode::Esc && self.list.end_search(&self.model.rows) {
            return None;
        }
        if self.model.preview && (keys::leaves(key) || key.code == KeyCode::Esc) {
            return Some(MenuAnswer::Leave);
        }
        if let KeyCode::Char(digit @ '0'..='9') = key.code {
            self.digit(digit, number);
            return None;
        }
        let Some(command) = keys::command(keys::MENU, key) else {
            self.hotkey(key);
            return None;
        };
        if self.unavailable().contains(&command) {
            return None;
        }
        self.act(command)
    }

    fn act(&mut self, command: Command) -> Option<MenuAnswer> {
        let rows = &self.model.rows;
        let page = draw::PAGE as isize;
        match command {
            Command::Up => self.list.step(rows, -1),
            Command::Down => self.list.step(rows, 1),
            Command::PageUp => self.list.step(rows, -page),
            Command::PageDown => self.list.step(rows, page),
            Command::First => self.list.step(rows, isize::MIN),
            Command::Last => self.list.step(rows, isize::MAX),
            Command::Fold => self.list.fold(rows),
            Command::Unfold => drop(self.list.unfold(rows)),
            Command::Search => self.list.search(),
            Command::Accept => return self.accept(),
            Command::Edit => return self.edit(),
            Command::Shell => return Some(MenuAnswer::Shell),
            Command::Network => return Some(MenuAnswer::Network),
            Command::Reload => return Some(MenuAnswer::Reload),
            Command::Power => return Some(MenuAnswer::Power),
            Command::Details => {
                let row = self.selected()?;
                self.over = Some(Pager::text(row.title.clone(), details::lines(row)));
            }
            Command::Notices => self.over = Some(Pager::text("Notices", self.spaced_notices())),
            Command::Log => {
                self.over = Some(Pager::log());
            }
            Command::Help => self.over = Some(Pager::help(keys::MENU, &self.unavailable())),
            _ => {}
        }
        None
    }

    /// A row is counted as it stands in the whole list. Two digits are one number if the second comes soon.
    fn digit(&mut self, digit: char, typed: Option<(usize, Duration)>) {
        let digit = digit.to_digit(10).map_or(0, |digit| digit as usize);
        let both = typed.map_or(0, |(before, _)| before * 10 + digit);
        let number = if both > 0 && both <= self.model.rows.len() { both } else { digit };
        if (1..=self.model.rows.len()).contains(&number) {
            self.list.select(&self.model.rows, number - 1);
        }
        self.number = Some((number, Duration::ZERO));
    }

    fn hotkey(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let row = self.model.rows.iter().position(|r| r.hotkey.is_some_and(|c| key.code == KeyCode::Char(c)));
        if let (Some(row), false) = (row, control) {
            self.list.select(&self.model.rows, row);
        }
    }

    fn selected(&self) -> Option<&Row> {
        self.model.rows.get(self.list.row()?)
    }

    fn accept(&mut self) -> Option<MenuAnswer> {
        if self.list.unfold(&self.model.rows) {
            return None;
        }
        let row = self.selected()?;
        match (&row.outcome, row.entry) {
            (Outcome::Broken(complaints), _) => {
                self.over = Some(Pager::text(row.title.clone(), complaints.clone()));
                None
            }
            (_, entry) => entry.map(MenuAnswer::Boot),
        }
    }

    /// One that makes no root has nothing that could be changed.
    fn edit(&mut self) -> Option<MenuAnswer> {
        let row = self.selected()?;
        let fixed = match &row.outcome {
            Outcome::Plan(plan) => plan.artifacts().is_empty(),
            Outcome::Refused(_) => false,
            Outcome::Broken(_) => true,
        };
        if fixed {
            self.over = Some(Pager::text(row.title.clone(), vec!["Nothing of it can be changed.".into()]));
            return None;
        }
        row.entry.map(MenuAnswer::Edit)
    }

    fn spaced_notices(&self) -> Vec<String> {
        self.model.notices.iter().flat_map(|n| [n.clone(), String::new()]).collect()
    }

    /// Keys that do nothing here now, and are not offered.
    fn unavailable(&self) -> Vec<Command> {
        let mut none = Vec::new();
        if self.model.notices.is_empty() {
            none.push(Command::Notices);
        }
        if self.model.without_shell {
            // Whoever changes what a kernel is told has a shell.
            none.extend([Command::Shell, Command::Edit]);
        }
        if self.model.preview {
            none.extend([
                Command::Shell,
                Command::Log,
                Command::Edit,
                Command::Network,
                Command::Reload,
                Command::Power,
                Command::Cancel,
            ]);
        }
        none
    }
}

impl Screen for Menu {
    type Answer = MenuAnswer;

    fn on(&mut self, event: Event) -> Option<MenuAnswer> {
        match event {
            Event::Key(key) => self.key(key),
            Event::Tick(passed) if self.countdown.tick(passed) => {
                Some(self.model.default.map_or(MenuAnswer::Reload, MenuAnswer::Boot))
            }
            Event::Tick(passed) => {
                self.number =
                    self.number.map(|(n, since)| (n, since + passed)).filter(|(_, s)| *s < SECOND_DIGIT);
                None
            }
        }
    }

    fn takes_text(&self) -> bool {
        match &self.over {
            Some(pager) => pager.takes_text(),
            None => self.list.query().is_some_and(|(_, typing)| typing),
        }
    }

    fn log(&mut self) -> Option<&mut LogView> {
        self.over.as_mut()?.grows()
    }

    fn draw(&self, frame: &mut ratatui::Frame, look: &Look) {
        match &self.over {
            Some(pager) => pager.draw(frame, look),
            None => draw::draw(self, frame, look),
        }
    }
}
