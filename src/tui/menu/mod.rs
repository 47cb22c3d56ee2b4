//! The menu: which entry? Everything it knows is plain data that was computed before ([`MenuModel`]); what an
//! answer leads to is `commands`' business.

mod draw;
mod facts;
mod rows;

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent};

use super::countdown::Countdown;
use super::keys::{self, Command};
use super::pager::Pager;
use super::{Event, Look, Screen};

pub use facts::{Fact, Mood};
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
    /// Lines of the log, for `l`.
    pub log: Vec<String>,
    /// Nobody may have one.
    pub without_shell: bool,
    /// On a workstation: q, Esc and Ctrl-C leave, and keys for a booting machine are not there.
    pub preview: bool,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MenuAnswer {
    /// The catalog's entry with this index.
    Boot(usize),
    Shell,
    Reboot,
    PowerOff,
    Network,
    Reload,
    /// Left without choosing; only in a preview.
    Leave,
}

/// The screen.
#[derive(Debug)]
pub struct Menu {
    model: MenuModel,
    selected: usize,
    countdown: Countdown,
    /// Asked once, waiting for the same key again.
    asked: Option<Command>,
    over: Option<Pager>,
}

impl Menu {
    /// A menu with its default selected, counting down if the catalog says so.
    pub fn new(model: MenuModel) -> Self {
        let selected = model.rows.iter().position(|r| r.entry.is_some() && r.entry == model.default);
        let countdown = Countdown::new(model.timeout, model.idle, selected.is_some());
        Self { selected: selected.unwrap_or(0), countdown, asked: None, over: None, model }
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
        change(&mut self.model);
        self.selected = self.selected.min(self.model.rows.len().saturating_sub(1));
    }

    /// Selects the entry with this catalog index, as after a failed boot of it.
    pub fn select(&mut self, entry: usize) {
        if let Some(row) = self.model.rows.iter().position(|r| r.entry == Some(entry)) {
            self.selected = row;
        }
    }

    fn default_row(&self) -> Option<&Row> {
        self.model.rows.iter().find(|r| r.entry.is_some() && r.entry == self.model.default)
    }

    fn key(&mut self, key: KeyEvent) -> Option<MenuAnswer> {
        self.countdown.key();
        let asked = self.asked.take();
        if let Some(pager) = &mut self.over {
            if !pager.on(key) {
                self.over = None;
            }
            return None;
        }
        if self.model.preview && (keys::leaves(key) || key.code == KeyCode::Esc) {
            return Some(MenuAnswer::Leave);
        }
        let command = keys::command(keys::MENU, key)?;
        if self.unavailable().contains(&command) {
            return None;
        }
        self.act(command, key, asked)
    }

    fn act(&mut self, command: Command, key: KeyEvent, asked: Option<Command>) -> Option<MenuAnswer> {
        let last = self.model.rows.len().saturating_sub(1);
        match command {
            Command::Up => self.selected = self.selected.saturating_sub(1),
            Command::Down => self.selected = (self.selected + 1).min(last),
            Command::PageUp => self.selected = self.selected.saturating_sub(draw::PAGE),
            Command::PageDown => self.selected = (self.selected + draw::PAGE).min(last),
            Command::First => self.selected = 0,
            Command::Last => self.selected = last,
            Command::Number => {
                if let KeyCode::Char(digit) = key.code {
                    let row = digit.to_digit(10).map_or(0, |d| d as usize).saturating_sub(1);
                    self.selected = if row <= last { row } else { self.selected };
                }
            }
            Command::Accept => return self.accept(),
            Command::Shell => return Some(MenuAnswer::Shell),
            Command::Network => return Some(MenuAnswer::Network),
            Command::Reload => return Some(MenuAnswer::Reload),
            Command::Reboot if asked == Some(command) => return Some(MenuAnswer::Reboot),
            Command::PowerOff if asked == Some(command) => return Some(MenuAnswer::PowerOff),
            Command::Reboot | Command::PowerOff => self.asked = Some(command),
            Command::Notices => self.over = Some(Pager::text("Notices", self.spaced_notices())),
            Command::Log => {
                self.over = Some(Pager::log(self.model.log.clone()));
            }
            Command::Help => self.over = Some(Pager::help(keys::MENU, &self.unavailable())),
            _ => {}
        }
        None
    }

    fn accept(&mut self) -> Option<MenuAnswer> {
        let row = self.model.rows.get(self.selected)?;
        match (&row.outcome, row.entry) {
            (Outcome::Broken(complaints), _) => {
                self.over = Some(Pager::text(row.title.clone(), complaints.clone()));
                None
            }
            (_, entry) => entry.map(MenuAnswer::Boot),
        }
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
        if self.model.log.is_empty() {
            none.push(Command::Log);
        }
        if self.model.without_shell {
            none.push(Command::Shell);
        }
        if self.model.preview {
            none.extend([
                Command::Shell,
                Command::Network,
                Command::Reload,
                Command::Reboot,
                Command::PowerOff,
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
            Event::Tick(_) => None,
        }
    }

    fn shows_log(&self) -> bool {
        self.over.as_ref().is_some_and(Pager::is_log)
    }

    fn draw(&self, frame: &mut ratatui::Frame, look: &Look) {
        match &self.over {
            Some(pager) => pager.draw(frame, look),
            None => draw::draw(self, frame, look),
        }
    }
}
