//! A failure: phase, thing, cause, way out; what now? It stays until somebody answers, or until the declared action
//! of an unattended machine is due.

use std::time::Duration;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::keys::{self, Command};
use super::log::LogView;
use super::page::{self, Head};
use super::pager::Pager;
use super::{Event, Look, Screen, text};
use crate::load;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAnswer {
    Retry,
    Menu,
    /// The entry is to be changed first.
    Edit,
    /// The same from the next mirror.
    OtherMirror,
    Shell,
    Reboot,
    /// To choose how the machine is left.
    Power,
    /// Nobody answered in time: what the catalog declares for that.
    Declared,
}

/// The screen.
#[derive(Debug)]
pub struct Failure {
    failure: load::Failure,
    /// It is none, but the end of a job that went well.
    went_well: bool,
    facts: Vec<String>,
    log: Vec<String>,
    /// Keys that make no sense here.
    without: Vec<Command>,
    /// The question begins with it.
    shell_first: bool,
    declared: Option<Declared>,
    asked: Option<Command>,
    /// First line of the text that is shown, as far as there are so many.
    top: usize,
    over: Option<Pager>,
}

#[derive(Debug)]
struct Declared {
    /// "rebooting", "trying again": what the status line says.
    doing: String,
    /// What it starts from.
    after: Duration,
    /// Until it happens; absent while somebody is there.
    left: Option<Duration>,
    /// Without a key for so long, nobody is there any more.
    idle: Duration,
    quiet: Duration,
}

impl Failure {
    /// The screen of a failure; `facts` for its head, `log` with the newest line last.
    pub fn new(failure: load::Failure, facts: Vec<String>, log: Vec<String>) -> Self {
        let without = vec![Command::Edit, Command::OtherMirror];
        let (went_well, shell_first, declared, asked, over) = (false, false, None, None, None);
        Self { failure, went_well, facts, log, without, shell_first, declared, asked, top: 0, over }
    }

    /// The same screen for the end of a job that went well.
    pub fn went_well(mut self) -> Self {
        self.went_well = true;
        self
    }

    /// The entry can be changed.
    pub fn with_edit(mut self) -> Self {
        self.without.retain(|command| *command != Command::Edit);
        self
    }

    /// Another mirror can be asked.
    pub fn with_other_mirror(mut self) -> Self {
        self.without.retain(|command| *command != Command::OtherMirror);
        self
    }

    /// There is no menu to go back to.
    pub fn without_menu(mut self) -> Self {
        self.without.push(Command::Menu);
        self
    }

    /// Trying the same again makes no sense.
    pub fn without_retry(mut self) -> Self {
        self.without.push(Command::Retry);
        self
    }

    /// Nobody may have a shell now.
    pub fn without_shell(mut self) -> Self {
        self.without.push(Command::Shell);
        self
    }

    /// A shell is what whoever comes is expected to want.
    pub fn with_shell_first(mut self) -> Self {
        self.shell_first = true;
        self
    }

    /// Unless a key is pressed, [`FailureAnswer::Declared`] after this long; `doing` is the action in words
    /// ("rebooting"). A key stops it until there was none for the time `idle`.
    pub fn declare(mut self, doing: impl Into<String>, after: Duration, idle: Duration) -> Self {
        let doing = doing.into();
        self.declared = Some(Declared { doing, after, left: Some(after), idle, quiet: Duration::ZERO });
        self
    }

    /// The same for a person who is there already.
    pub fn held(mut self) -> Self {
        if let Some(declared) = &mut self.declared {
            declared.left = None;
        }
        self
    }

    fn key(&mut self, key: KeyEvent) -> Option<FailureAnswer> {
        if let Some(declared) = &mut self.declared {
            declared.left = None;
            declared.quiet = Duration::ZERO;
        }
        let asked = self.asked.take();
        if let Some(pager) = &mut self.over {
            if !pager.on(key) {
                self.over = None;
            }
            return None;
        }
        let command = keys::command(keys::FAILURE, key).filter(|c| !self.without.contains(c))?;
        match command {
            Command::Retry => return Some(FailureAnswer::Retry),
            Command::Menu => return Some(FailureAnswer::Menu),
            Command::Edit => return Some(FailureAnswer::Edit),
            Command::OtherMirror => return Some(FailureAnswer::OtherMirror),
            Command::Shell => return Some(FailureAnswer::Shell),
            Command::Reboot if asked == Some(command) => return Some(FailureAnswer::Reboot),
            Command::Reboot => self.asked = Some(command),
            Command::Power => return Some(FailureAnswer::Power),
            Command::Help => self.over = Some(Pager::help(keys::FAILURE, &self.without)),
            Command::Log => self.over = Some(Pager::log()),
            Command::Up => self.top = self.top.saturating_sub(1),
            Command::Down => self.top = (self.top + 1).min(self.longest()),
            Command::PageUp => self.top = self.top.saturating_sub(8),
            Command::PageDown => self.top = (self.top + 8).min(self.longest()),
            Command::First => self.top = 0,
            _ => {}
        }
        None
    }

    /// No console is narrower than the lines of this; a key beyond the end is not remembered for ever.
    fn longest(&self) -> usize {
        self.lines(&Look::MONO, 20).len()
    }

    fn lines(&self, look: &Look, cells: usize) -> Vec<Line<'static>> {
        let failure = &self.failure;
        if self.went_well {
            let mut lines = page::fact(look, "what", &failure.thing, Style::new(), cells);
            let said = failure.cause.iter().flat_map(|said| page::fact(look, "", said, look.good(), cells));
            lines.extend(said);
            return lines;
        }
        let mut lines = page::fact(look, "phase", &failure.phase.to_string(), Style::new(), cells);
        lines.extend(page::fact(look, "what", &failure.thing, Style::new(), cells));
        for (i, cause) in failure.cause.iter().enumerate() {
            let label = if i == 0 { "cause" } else { "because" };
            lines.extend(page::fact(look, label, cause, look.bad(), cells));
        }
        if let Some(hint) = &failure.hint {
            lines.extend(page::fact(look, "hint", hint, look.title(), cells));
        }
        lines
    }

    fn status(&self, look: &Look) -> Span<'static> {
        let said = match (self.asked, &self.declared) {
            (Some(_), _) => "Press b again to reboot, any other key not to.".into(),
            (None, Some(Declared { doing, left: Some(left), .. })) => {
                let mut doing = doing.clone();
                if let Some(first) = doing.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                format!("{doing} in {} - any key stops", text::span(*left))
            }
            (None, Some(Declared { doing, left: None, .. })) => format!("Stopped: not {doing}. What now?"),
            (None, None) if self.shell_first => "Press s for a shell. What now?".into(),
            (None, None) => "What now?".into(),
        };
        Span::styled(format!(" {said}"), look.warn().patch(look.title()))
    }
}

impl Screen for Failure {
    type Answer = FailureAnswer;

    fn on(&mut self, event: Event) -> Option<FailureAnswer> {
        match event {
            Event::Key(key) => self.key(key),
            Event::Tick(passed) => {
                let declared = self.declared.as_mut()?;
                let Some(left) = &mut declared.left else {
                    declared.quiet += passed;
                    declared.left = (declared.quiet >= declared.idle).then_some(declared.after);
                    return None;
                };
                *left = left.saturating_sub(passed);
                left.is_zero().then_some(FailureAnswer::Declared)
            }
        }
    }

    fn takes_text(&self) -> bool {
        self.over.as_ref().is_some_and(Pager::takes_text)
    }

    fn log(&mut self) -> Option<&mut LogView> {
        self.over.as_mut()?.grows()
    }

    fn draw(&self, frame: &mut Frame, look: &Look) {
        if let Some(pager) = &self.over {
            return pager.draw(frame, look);
        }
        let cells = usize::from(frame.area().width);
        let title = if self.went_well { "Done" } else { "Failed" };
        let head = Head { title: title.into(), facts: self.facts.clone() };
        let legend = page::legend(look, keys::FAILURE, &self.without, frame.area().width);
        let mut area = page::frame(frame, look, &head, legend);
        let buffer = frame.buffer_mut();
        let status = page::row(area, area.bottom().saturating_sub(1));
        area.height = area.height.saturating_sub(1);
        let lines = self.lines(look, cells);
        let height = usize::from(area.height);
        let hidden = lines.len().saturating_sub(height);
        let top = self.top.min(hidden);
        let more = match (hidden - top, top) {
            (0, 0) => String::new(),
            (0, above) => format!("{above} above: Up"),
            (below, _) => format!("{below} below: Down"),
        };
        page::split(buffer, status, self.status(look), Span::styled(more, look.key()));
        let used = page::lines(buffer, area, lines.into_iter().skip(top));
        // The end of the log, where there is room.
        let room = usize::from(area.height - used);
        if room >= 4 && !self.log.is_empty() {
            page::rule(buffer, page::row(area, area.y + used + 1), look);
            let tail = self.log.iter().skip(self.log.len().saturating_sub(room - 2));
            for (i, line) in tail.enumerate() {
                let line = text::clip(line, cells.saturating_sub(2));
                page::put(buffer, page::row(area, area.y + used + 2 + i as u16), format!(" {line}"));
            }
        }
    }
}
