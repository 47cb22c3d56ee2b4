//! The log while it grows: from the line somebody is interested in, at the level they want, at its end if they follow it.
//! Who reads the file is [`Consoles`](super::Consoles); a screen keeps a view while it is open, as it does a pager.

use std::cell::Cell;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::field::Field;
use super::keys::{self, Command};
use super::page::{self, Head};
use super::text;
use super::theme::Look;

/// How much a line matters; those that matter less are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    All,
    Warning,
    Error,
}

impl Level {
    /// Of a line as `early::log` writes it: `[    1.234] warning: …`.
    fn of(line: &str) -> Self {
        let said = line.split_once("] ").map_or(line, |(_, said)| said);
        if said.starts_with("error: ") {
            Self::Error
        } else if said.starts_with("warning: ") {
            Self::Warning
        } else {
            Self::All
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Warning => "warnings and errors",
            Self::Error => "errors",
        }
    }
}

/// The view.
#[derive(Clone, Debug)]
pub struct LogView {
    lines: Vec<String>,
    least: Level,
    query: Field,
    typing: bool,
    /// At the end, whatever comes.
    follow: bool,
    /// The line of the log at the top, among those of this level.
    top: usize,
    /// Lines of a page and cells of a line as last drawn, for the keys that move by them.
    seen: Cell<(usize, usize)>,
}

impl Default for LogView {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            least: Level::All,
            query: Field::default(),
            typing: false,
            follow: true,
            top: 0,
            seen: Cell::new((1, 80)),
        }
    }
}

impl LogView {
    /// What is in the log now, the newest line last.
    pub fn told(&mut self, lines: Vec<String>) {
        self.lines = lines;
    }

    /// Whether it was told anything.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether what is searched for is typed just now.
    pub fn takes_text(&self) -> bool {
        self.typing
    }

    /// Whether it is still open after this key.
    pub fn on(&mut self, key: KeyEvent) -> bool {
        if self.typing {
            self.types(key);
            return true;
        }
        let page = self.seen.get().0.max(1);
        let end = self.end();
        let top = if self.follow { end } else { self.top.min(end) };
        let command = keys::command(keys::LOG_VIEW, key);
        let to = match command {
            Some(Command::Up) => top.saturating_sub(1),
            Some(Command::Down) => top + 1,
            Some(Command::PageUp) => top.saturating_sub(page),
            Some(Command::PageDown) => top + page,
            Some(Command::First) => 0,
            Some(Command::Last) => end,
            Some(Command::Next) => self.find(top + 1, true).unwrap_or(top),
            Some(Command::Previous) => self.find(top, false).unwrap_or(top),
            Some(Command::Search) => {
                self.typing = true;
                return true;
            }
            Some(Command::Follow) => {
                (self.follow, self.top) = (!self.follow, end);
                return true;
            }
            Some(Command::Level(least)) => {
                (self.least, self.follow) = (least, true);
                return true;
            }
            Some(Command::Cancel) => return false,
            _ if keys::leaves(key) => return false,
            _ => return true,
        };
        self.top = to.min(end);
        // At its end it is followed, as before; above it, what somebody reads must not move away.
        self.follow = self.top == end && command != Some(Command::Next);
        true
    }

    fn types(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Esc => (self.typing, self.query) = (false, Field::default()),
            KeyCode::Enter => {
                self.typing = false;
                // The last one before what is seen, as what went wrong stands at the end.
                let from = if self.follow { self.shown().len() } else { self.top + 1 };
                if let Some(found) = self.find(from, false) {
                    (self.top, self.follow) = (found.min(self.end()), false);
                }
            }
            _ => drop(self.query.on(key)),
        }
    }

    /// The lines of this level.
    fn shown(&self) -> Vec<&str> {
        self.lines.iter().map(String::as_str).filter(|line| Level::of(line) >= self.least).collect()
    }

    fn matches(&self, line: &str) -> bool {
        !self.query.is_empty() && line.to_lowercase().contains(&self.query.text().to_lowercase())
    }

    /// The next line from `from` on that is searched for, or the last one before it.
    fn find(&self, from: usize, forward: bool) -> Option<usize> {
        let shown = self.shown();
        let mut all = shown.iter().enumerate().filter(|(_, line)| self.matches(line)).map(|(at, _)| at);
        if forward { all.find(|at| *at >= from) } else { all.take_while(|at| *at < from).last() }
    }

    /// The top line with which the last one is at the foot of the page, as it was last drawn.
    fn end(&self) -> usize {
        let (page, cells) = self.seen.get();
        end(&self.shown(), page, cells)
    }

    /// Draws it over the whole console.
    pub fn draw(&self, frame: &mut Frame, look: &Look) {
        let cells = usize::from(frame.area().width);
        let legend = page::legend(look, keys::LOG_VIEW, &[], frame.area().width);
        // The last line is the view's own.
        let height = usize::from(page::body(frame.area().height).saturating_sub(1));
        self.seen.set((height, cells));
        let shown = self.shown();
        let last = end(&shown, height, cells);
        let top = if self.follow { last } else { self.top.min(last) };
        let mut facts = vec![text::count(shown.len(), "line")];
        if self.least != Level::All {
            facts.insert(0, self.least.in_words().into());
        }
        let area = page::frame(frame, look, &Head { title: "Log".into(), facts }, legend);
        let status = page::row(area, area.bottom().saturating_sub(1));
        let lines = shown.iter().skip(top).flat_map(|line| {
            let style = match Level::of(line) {
                _ if self.matches(line) => look.title(),
                Level::Error => look.bad(),
                Level::Warning => look.warn(),
                Level::All => Style::new(),
            };
            wrapped(line, cells).into_iter().map(move |part| Line::styled(format!(" {part}"), style))
        });
        page::lines(frame.buffer_mut(), area, lines.take(height));
        page::put(frame.buffer_mut(), status, self.status(look, cells));
    }

    fn status(&self, look: &Look, cells: usize) -> Line<'static> {
        let found = self.shown().iter().filter(|line| self.matches(line)).count();
        let said = match (self.typing, self.query.is_empty(), self.follow) {
            (true, _, _) => "  Enter finds it, Esc does not".into(),
            (false, true, true) => return Line::styled(" Following: new lines appear.", look.title()),
            (false, true, false) => return Line::styled(" Standing still: f follows.", look.title()),
            (false, false, _) => format!("  {}; n next, N before", text::count(found, "line")),
        };
        let room = cells.saturating_sub(text::width(&said) + 3);
        let mut spans = vec![Span::styled(" /", look.title())];
        spans.extend(self.query.line(look, room, self.typing).spans);
        spans.push(Span::raw(said));
        Line::from(spans)
    }
}

/// At least one line, so that an empty one stays.
fn wrapped(line: &str, cells: usize) -> Vec<String> {
    let parts = text::wrap(line, cells.saturating_sub(2));
    if parts.is_empty() { vec![String::new()] } else { parts }
}

/// The first line of the last page of so many lines, each wrapped.
fn end(lines: &[&str], page: usize, cells: usize) -> usize {
    let mut left = page;
    for (at, line) in lines.iter().enumerate().rev() {
        let takes = wrapped(line, cells).len();
        if takes > left {
            return (at + 1).min(lines.len() - 1);
        }
        left -= takes;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> LogView {
        let line = |n: usize| match n % 10 {
            3 => format!("[    1.{n:03}] warning: eth0: no answer, line {n}"),
            7 => format!("[    1.{n:03}] error: fetching r.tar: 404, line {n}"),
            _ => format!("[    1.{n:03}] line {n}"),
        };
        let mut view = LogView::default();
        view.told((0..100).map(line).collect());
        view.seen.set((10, 80));
        view
    }

    fn press(view: &mut LogView, keys: &str) {
        for key in keys.chars() {
            let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
            assert!(view.on(KeyEvent::from(code)), "{key}");
        }
    }

    #[test]
    fn it_follows_until_somebody_reads_and_again_at_the_end() {
        let mut view = view();
        assert!(view.follow);
        view.on(KeyEvent::from(KeyCode::PageUp));
        assert_eq!((view.follow, view.top), (false, 80));
        // What comes meanwhile moves nothing.
        view.told((0..200).map(|n| format!("line {n}")).collect());
        assert_eq!(view.top, 80);
        press(&mut view, "G");
        assert_eq!((view.follow, view.top), (true, 190));
        press(&mut view, "f");
        assert!(!view.follow);
    }

    #[test]
    fn levels_leave_out_what_matters_less() {
        let mut view = view();
        press(&mut view, "w");
        assert_eq!(view.shown().len(), 20);
        press(&mut view, "e");
        assert!(view.shown().len() == 10 && view.shown().iter().all(|line| line.contains("404")));
        press(&mut view, "a");
        assert_eq!(view.shown().len(), 100);
    }

    #[test]
    fn what_is_searched_is_found_backwards_first_and_then_either_way() {
        let mut view = view();
        press(&mut view, "/NO ANSWER\n");
        // The last page begins with line 90: the match in it is seen there.
        assert_eq!((view.top, view.follow), (90, false));
        press(&mut view, "N");
        assert_eq!(view.top, 83);
        press(&mut view, "NNn");
        assert_eq!(view.top, 73);
        press(&mut view, "/q");
        view.on(KeyEvent::from(KeyCode::Esc));
        assert!(view.query.is_empty() && !view.typing);
        assert!(!view.on(KeyEvent::from(KeyCode::Esc)));
    }
}
