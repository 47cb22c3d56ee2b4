//! An entry before it is booted, to be changed for this one time: its line, the limit of its root, the place it comes from.
//! Below stands what would come of it, anew with each letter. The catalog is never touched.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::style::Style;
use ratatui::text::{Line as TextLine, Span};

use super::field::Field;
use super::keys::{self, Command};
use super::page::{self, Head};
use super::pager::Pager;
use super::{Event, Look, Screen, text};
use crate::catalog::{Edited, Edits, Entry, Line};
use crate::machine::Machine;
use crate::plan::{Check, Mark, plan, verdict};

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum EditAnswer {
    /// As it was changed.
    Boot(Box<Entry>),
    /// Nothing of it.
    Back,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Line,
    Size,
    Mirror,
    Location,
}

/// The screen.
#[derive(Debug)]
pub struct Edit {
    entry: Entry,
    machine: Machine,
    facts: Vec<String>,
    before: Edits,
    rows: Vec<Row>,
    selected: usize,
    line: Field,
    size: Field,
    mirror: usize,
    location: Field,
    /// What would come of it, or what is wrong.
    outcome: Result<(Edited, Vec<Check>), String>,
    /// Without a key for so long nobody is there.
    idle: Duration,
    since: Duration,
    over: Option<Pager>,
}

impl Edit {
    /// The screen of an entry on a machine; absent: nothing of it can be changed. After `idle` without a key it is left.
    pub fn new(entry: &Entry, machine: Machine, idle: Duration, facts: Vec<String>) -> Option<Self> {
        let before = entry.edits()?;
        let rows = [
            (Row::Line, entry.line().is_some()),
            (Row::Size, entry.root().is_some()),
            (Row::Mirror, entry.places().is_some_and(|places| places.len() > 1)),
            (Row::Location, true),
        ];
        let rows = rows.into_iter().filter_map(|(row, there)| there.then_some(row)).collect();
        let mut edit = Self {
            entry: entry.clone(),
            machine,
            facts,
            rows,
            selected: 0,
            line: Field::new(&before.line),
            size: Field::new(&before.root_size),
            mirror: before.mirror,
            location: Field::new(&before.location),
            before,
            outcome: Err(String::new()),
            idle,
            since: Duration::ZERO,
            over: None,
        };
        edit.judge();
        Some(edit)
    }

    /// New facts for the head.
    pub fn tell(&mut self, facts: Vec<String>) {
        self.facts = facts;
    }

    fn edits(&self) -> Edits {
        let (line, root_size) = (self.line.text(), self.size.text());
        Edits { line, root_size, mirror: self.mirror, location: self.location.text() }
    }

    fn judge(&mut self) {
        self.outcome = self.entry.edited(&self.edits()).and_then(|edited| {
            let outcome = plan(&edited.entry, &self.machine);
            let checks = verdict(&edited.entry, &outcome, &self.machine);
            outcome.map(|_| (edited, checks)).map_err(|refusal| refusal.cause)
        });
    }

    fn key(&mut self, key: KeyEvent) -> Option<EditAnswer> {
        self.since = Duration::ZERO;
        if let Some(pager) = &mut self.over {
            if !pager.on(key) {
                self.over = None;
            }
            return None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let last = self.rows.len() - 1;
        match keys::command(keys::EDIT, key) {
            Some(Command::Accept) => {
                return self
                    .outcome
                    .as_ref()
                    .ok()
                    .map(|(edited, _)| EditAnswer::Boot(Box::new(edited.entry.clone())));
            }
            Some(Command::Cancel) => return Some(EditAnswer::Back),
            Some(Command::Up) => self.selected = self.selected.checked_sub(1).unwrap_or(last),
            Some(Command::Down) => self.selected = if self.selected < last { self.selected + 1 } else { 0 },
            Some(Command::Help) => self.over = Some(Pager::help(keys::EDIT, &[])),
            _ if control && key.code == KeyCode::Char('r') => self.reset(),
            _ => self.change(key),
        }
        None
    }

    fn change(&mut self, key: KeyEvent) {
        let changed = match self.rows[self.selected] {
            Row::Line => self.line.on(key),
            Row::Size => self.size.on(key),
            Row::Location => self.location.on(key),
            Row::Mirror => self.turn(key.code),
        };
        if changed {
            self.judge();
        }
    }

    /// Another of the places: the next, the one before, or the one with this number.
    fn turn(&mut self, code: KeyCode) -> bool {
        let all = self.entry.places().map_or(1, <[_]>::len);
        let before = self.mirror;
        self.mirror = match code {
            KeyCode::Right | KeyCode::Char(' ') => (before + 1) % all,
            KeyCode::Left => before.checked_sub(1).unwrap_or(all - 1),
            KeyCode::Char(digit) => match digit.to_digit(10).map(|d| d as usize) {
                Some(d) if (1..=all).contains(&d) => d - 1,
                _ => before,
            },
            _ => before,
        };
        self.mirror != before
    }

    fn reset(&mut self) {
        self.line = Field::new(&self.before.line);
        self.size = Field::new(&self.before.root_size);
        (self.mirror, self.location) = (self.before.mirror, Field::new(&self.before.location));
        self.judge();
    }

    fn label(&self, row: Row) -> &'static str {
        match row {
            Row::Line if self.entry.line() == Some(Line::Cmdline) => "cmdline",
            Row::Line => "init args",
            Row::Size => "root size",
            Row::Mirror => "first from",
            Row::Location => "or from",
        }
    }

    fn row(&self, look: &Look, index: usize, cells: usize) -> TextLine<'static> {
        let row = self.rows[index];
        let active = index == self.selected;
        let cursor = if active { '>' } else { ' ' };
        let label = format!(" {cursor} {:<w$}", self.label(row), w = LABEL - 3);
        let room = cells.saturating_sub(LABEL + 1);
        let value = match row {
            Row::Line => self.line.line(look, room, active),
            Row::Size => self.size.line(look, room, active),
            Row::Location if self.location.is_empty() && !active => {
                TextLine::from(text::clip("(another place, asked before all others)", room))
            }
            Row::Location => self.location.line(look, room, active),
            Row::Mirror => {
                let places = self.entry.places().unwrap_or_default();
                let place = places.get(self.mirror).map(ToString::to_string).unwrap_or_default();
                let said = format!("{} of {}: {place}", self.mirror + 1, places.len());
                TextLine::from(text::clip_middle(&said, room))
            }
        };
        let style = if active { look.title() } else { look.label() };
        TextLine::from([vec![Span::styled(label, style)], value.spans].concat())
    }

    /// What would come of it, the worst first.
    fn verdict(&self, look: &Look, cells: usize) -> Vec<TextLine<'static>> {
        let (edited, checks) = match &self.outcome {
            Ok(judged) => judged,
            Err(why) => return page::fact(look, "cannot", why, look.bad(), cells),
        };
        let warnings = edited.warnings.iter().flat_map(|why| page::fact(look, "!", why, look.warn(), cells));
        let mut lines: Vec<TextLine> = warnings.collect();
        let mut checks: Vec<&Check> = checks.iter().collect();
        checks.sort_by_key(|check| std::cmp::Reverse(check.mark));
        for check in checks {
            let style = if check.mark >= Mark::Unknown { look.warn() } else { Style::new() };
            let label = format!("{} {}", check.mark, check.what);
            lines.extend(page::fact(look, &label, &check.words, style, cells));
        }
        lines
    }

    fn status(&self, look: &Look) -> Span<'static> {
        let said = match (&self.outcome, self.edits() == self.before) {
            (Err(_), _) => "So it cannot be booted.",
            (Ok(_), true) => "Nothing is changed. Enter boots it.",
            (Ok(_), false) => "Changed, for this boot alone. Enter boots it.",
        };
        Span::styled(format!(" {said}"), look.warn().patch(look.title()))
    }
}

/// Cells of a label with the cursor before it.
const LABEL: usize = 14;

impl Screen for Edit {
    type Answer = EditAnswer;

    fn on(&mut self, event: Event) -> Option<EditAnswer> {
        match event {
            Event::Key(key) => self.key(key),
            Event::Tick(passed) => {
                self.since += passed;
                (self.since >= self.idle).then_some(EditAnswer::Back)
            }
        }
    }

    fn takes_text(&self) -> bool {
        self.over.is_none() && self.rows[self.selected] != Row::Mirror
    }

    fn draw(&self, frame: &mut Frame, look: &Look) {
        if let Some(pager) = &self.over {
            return pager.draw(frame, look);
        }
        let cells = usize::from(frame.area().width);
        let head = Head { title: format!("Edit: {}", self.entry.title), facts: self.facts.clone() };
        let legend = page::legend(look, keys::EDIT, &[], frame.area().width);
        let mut area = page::frame(frame, look, &head, legend);
        let buffer = frame.buffer_mut();
        let status = page::row(area, area.bottom().saturating_sub(1));
        page::split(buffer, status, self.status(look), Span::raw(""));
        area.height = area.height.saturating_sub(1);
        let rows = (0..self.rows.len()).map(|index| self.row(look, index, cells));
        let used = page::lines(buffer, area, rows);
        page::rule(buffer, page::row(area, area.y + used), look);
        let used = (used + 1).min(area.height);
        let below = ratatui::layout::Rect { y: area.y + used, height: area.height - used, ..area };
        page::lines(buffer, below, self.verdict(look, cells));
    }
}
