//! A text to read and to leave again: the help, the notices, the log. A screen keeps one while it is open and hands
//! it the keys; it is not a screen of its own, so that what is behind it goes on.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::text::{Line, Span};
use std::cell::Cell;

use super::keys::{self, Binding, Command};
use super::log::LogView;
use super::page::{self, Head};
use super::text;
use super::theme::Look;

/// What is read, and how far.
#[derive(Clone, Debug)]
pub struct Pager {
    title: String,
    body: Body,
    /// First line shown. What the last line is depends on the console's width, which is known only when it is
    /// drawn: drawing cuts this to what there is.
    top: usize,
    /// Lines of a page and of the whole as last drawn, for the keys that move by them; of several consoles the
    /// last one's.
    seen: Cell<(usize, usize)>,
}

/// Cells of a key in the help, with the space before it.
const KEY: usize = 15;

#[derive(Clone, Debug)]
enum Body {
    Text(Vec<String>),
    Keys(&'static [Binding], Vec<Command>),
    Log(Box<LogView>),
}

impl Pager {
    /// Lines of text; each is wrapped to the width of the console.
    pub fn text(title: impl Into<String>, lines: Vec<String>) -> Self {
        Self { title: title.into(), body: Body::Text(lines), top: 0, seen: Cell::default() }
    }

    /// The keys of a screen, without those that do nothing there now.
    pub fn help(table: &'static [Binding], without: &[Command]) -> Self {
        let body = Body::Keys(table, without.to_vec());
        Self { title: "Keys".into(), body, top: 0, seen: Cell::default() }
    }

    /// The log of the boot, while it grows.
    pub fn log() -> Self {
        Self { title: "Log".into(), body: Body::Log(Box::default()), top: 0, seen: Cell::default() }
    }

    /// The log, if that is what is read.
    pub fn grows(&mut self) -> Option<&mut LogView> {
        match &mut self.body {
            Body::Log(view) => Some(view),
            Body::Text(_) | Body::Keys(..) => None,
        }
    }

    /// Whether there is a field for text just now.
    pub fn takes_text(&self) -> bool {
        matches!(&self.body, Body::Log(view) if view.takes_text())
    }

    /// The same text, from its end: for what a job said.
    pub fn from_the_end(self) -> Self {
        Self { top: usize::MAX, ..self }
    }

    /// Whether it is still open after this key.
    pub fn on(&mut self, key: KeyEvent) -> bool {
        if let Body::Log(view) = &mut self.body {
            return view.on(key);
        }
        let (page, all) = self.seen.get();
        let last = all.saturating_sub(page);
        let top = self.top.min(last);
        self.top = match keys::command(keys::PAGER, key) {
            Some(Command::Up) => top.saturating_sub(1),
            Some(Command::Down) => (top + 1).min(last),
            Some(Command::PageUp) => top.saturating_sub(page),
            Some(Command::PageDown) => (top + page).min(last),
            Some(Command::First) => 0,
            Some(Command::Last) => usize::MAX,
            Some(Command::Cancel) => return false,
            _ if keys::leaves(key) => return false,
            _ => self.top,
        };
        true
    }

    /// Draws it over the whole console.
    pub fn draw(&self, frame: &mut Frame, look: &Look) {
        if let Body::Log(view) = &self.body {
            return view.draw(frame, look);
        }
        let cells = usize::from(frame.area().width);
        let lines = self.lines(look, cells);
        let legend = page::legend(look, keys::PAGER, &[], frame.area().width);
        let page_lines = usize::from(page::body(frame.area().height));
        let top = self.top.min(lines.len().saturating_sub(page_lines));
        self.seen.set((page_lines, lines.len()));
        let shown = (top + page_lines).min(lines.len());
        let place = match lines.len() {
            all if all > page_lines => vec![format!("{}-{shown} of {all}", top + 1)],
            _ => vec![],
        };
        let head = Head { title: self.title.clone(), facts: place };
        let area = page::frame(frame, look, &head, legend);
        page::lines(frame.buffer_mut(), area, lines.into_iter().skip(top));
    }

    fn lines(&self, look: &Look, cells: usize) -> Vec<Line<'static>> {
        match &self.body {
            Body::Text(lines) => lines
                .iter()
                .flat_map(|l| {
                    let wrapped = text::wrap(l, cells.saturating_sub(2));
                    if wrapped.is_empty() { vec![String::new()] } else { wrapped }
                })
                .map(|l| Line::from(format!(" {l}")))
                .collect(),
            Body::Keys(table, without) => table
                .iter()
                .filter(|b| !without.contains(&b.command))
                .flat_map(|b| {
                    let does = text::wrap(b.does, cells.saturating_sub(KEY + 1)).into_iter().enumerate();
                    does.map(|(at, part)| {
                        let name = if at == 0 { b.name } else { "" };
                        let name = Span::styled(format!(" {name:<w$}", w = KEY - 1), look.key());
                        Line::from(vec![name, Span::raw(part)])
                    })
                })
                .collect(),
            Body::Log(_) => Vec::new(),
        }
    }
}
