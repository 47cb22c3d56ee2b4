//! How this machine is left: restarted, switched off, or restarted into its firmware's set-up or into another of its boot
//! entries. To choose is all this does.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::keys::{self, Command};
use super::page::{self, Head};
use super::pager::Pager;
use super::{Event, Look, Screen, text};
use crate::handover::Firmware;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAnswer {
    Reboot,
    PowerOff,
    /// Restart into the firmware's own screens.
    Setup,
    /// Restart into the boot entry with this number, once.
    Next(u16),
    Back,
}

/// The screen.
#[derive(Debug)]
pub struct Power {
    facts: Vec<String>,
    choices: Vec<(PowerAnswer, String, &'static str)>,
    /// Why there are not more of them.
    remark: Option<&'static str>,
    selected: usize,
    /// Without a key for so long nobody is there.
    idle: Duration,
    since: Duration,
    over: Option<Pager>,
}

impl Power {
    /// The choices that there are with this firmware; absent: it is no UEFI. After `idle` without a key it is left.
    pub fn new(firmware: Option<&Firmware>, idle: Duration, facts: Vec<String>) -> Self {
        let choice = |answer, name: &str, remark| (answer, name.to_owned(), remark);
        let mut choices =
            vec![choice(PowerAnswer::Reboot, "Reboot", ""), choice(PowerAnswer::PowerOff, "Power off", "")];
        if firmware.is_some_and(|firmware| firmware.setup) {
            choices.push(choice(PowerAnswer::Setup, "Firmware set-up", "reboots into it"));
        }
        for entry in firmware.iter().flat_map(|firmware| &firmware.entries) {
            let name = format!("Boot{:04X}  {}", entry.number, entry.name);
            let remark = if entry.current { "reboots into it; this boot" } else { "reboots into it, once" };
            choices.push((PowerAnswer::Next(entry.number), name, remark));
        }
        let remark = match firmware {
            None => {
                Some("The firmware is not UEFI: it has no set-up or boot entries that could be asked for.")
            }
            Some(Firmware { setup: false, .. }) => Some("The firmware cannot be asked for its set-up."),
            Some(_) => None,
        };
        Self { facts, choices, remark, selected: 0, idle, since: Duration::ZERO, over: None }
    }

    /// New facts for the head.
    pub fn tell(&mut self, facts: Vec<String>) {
        self.facts = facts;
    }

    fn key(&mut self, key: KeyEvent) -> Option<PowerAnswer> {
        self.since = Duration::ZERO;
        if let Some(pager) = &mut self.over {
            if !pager.on(key) {
                self.over = None;
            }
            return None;
        }
        let last = self.choices.len() - 1;
        match keys::command(keys::POWER, key)? {
            Command::Accept => return self.choices.get(self.selected).map(|(answer, ..)| *answer),
            Command::Cancel => return Some(PowerAnswer::Back),
            Command::Up => self.selected = self.selected.saturating_sub(1),
            Command::Down => self.selected = (self.selected + 1).min(last),
            Command::First => self.selected = 0,
            Command::Last => self.selected = last,
            Command::Number => {
                let number = match key.code {
                    KeyCode::Char(digit) => digit.to_digit(10).map_or(0, |digit| digit as usize),
                    _ => 0,
                };
                self.selected = number.checked_sub(1).filter(|at| *at <= last).unwrap_or(self.selected);
            }
            Command::Help => self.over = Some(Pager::help(keys::POWER, &[])),
            _ => {}
        }
        None
    }

    fn row(
        &self,
        buffer: &mut ratatui::buffer::Buffer,
        look: &Look,
        at: ratatui::layout::Rect,
        index: usize,
    ) {
        let Some((_, name, remark)) = self.choices.get(index) else { return };
        let selected = index == self.selected;
        let style = if selected { look.selected() } else { Style::new() };
        let cursor = if selected { '>' } else { ' ' };
        let number = if index < 9 { (index + 1).to_string() } else { " ".into() };
        let at = ratatui::layout::Rect { width: at.width.saturating_sub(1), ..at };
        let left = Span::styled(format!(" {cursor} {number}  {name}"), style);
        let room = usize::from(at.width).saturating_sub(left.width() + 3);
        let remark = if text::width(remark) <= room { *remark } else { "" };
        page::split(buffer, at, left, Span::styled(remark, style));
    }
}

impl Screen for Power {
    type Answer = PowerAnswer;

    fn on(&mut self, event: Event) -> Option<PowerAnswer> {
        match event {
            Event::Key(key) => self.key(key),
            Event::Tick(passed) => {
                self.since += passed;
                (self.since >= self.idle).then_some(PowerAnswer::Back)
            }
        }
    }

    fn draw(&self, frame: &mut Frame, look: &Look) {
        if let Some(pager) = &self.over {
            return pager.draw(frame, look);
        }
        let cells = usize::from(frame.area().width);
        let head = Head { title: "Power".into(), facts: self.facts.clone() };
        let legend = page::legend(look, keys::POWER, &[], frame.area().width);
        let mut area = page::frame(frame, look, &head, legend);
        let buffer = frame.buffer_mut();
        let status = page::row(area, area.bottom().saturating_sub(1));
        let said = "Enter does it at once; Esc leaves the machine as it is.";
        let said = format!(" {}", text::clip(said, cells.saturating_sub(2)));
        page::put(buffer, status, Line::styled(said, look.title()));
        area.height = area.height.saturating_sub(1);
        let height = usize::from(area.height);
        // The selected one in the middle, as far as the ends allow.
        let top = self.selected.saturating_sub(height / 2).min(self.choices.len().saturating_sub(height));
        for (line, index) in (top..self.choices.len()).take(height).enumerate() {
            self.row(buffer, look, page::row(area, area.y + line as u16), index);
        }
        let used = (self.choices.len() + 1).min(height);
        let below = ratatui::layout::Rect { y: area.y + used as u16, height: (height - used) as u16, ..area };
        let remark =
            self.remark.map(|remark| text::wrap(remark, cells.saturating_sub(2))).unwrap_or_default();
        page::lines(buffer, below, remark.into_iter().map(|line| Line::from(format!(" {line}"))));
    }
}
