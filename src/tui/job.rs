//! A job at work: what runs, since when, what it says, as it would look on a terminal of its own, and that nobody should
//! switch the machine off now. Only a deliberate answer ends it.

use std::num::NonZero;
use std::time::Duration;

use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::keys::{self, Command};
use super::page::{self, Head};
use super::pager::Pager;
use super::{Event, Look, Screen, text};
use crate::handover::run::{End, Lines};

/// Rows of a console that are not the job's: head, banner, command, rules, status and legend.
const AROUND: u16 = 8;

/// Columns and rows that a tool can count on, on consoles that are smaller too: what they have no room for is cut off
/// there. What is left of 80x24 is what every tool knows how to draw on.
const LEAST: (u16, u16) = (80, 16);

/// Columns and rows of a job's terminal, on consoles of which the smallest is so big.
pub fn size_on((columns, rows): (u16, u16)) -> (u16, u16) {
    (columns.max(LEAST.0), rows.saturating_sub(AROUND).max(LEAST.1))
}

/// Rows that went off the job's terminal, for consoles that are higher.
const ABOVE: usize = 44;

/// Lines for whoever looks back.
const LOG: usize = 2000;

/// The end is shown for so long before the story goes on.
const SHOWN: Duration = Duration::from_secs(3);

const ASKED: &str = "Press x again to end the job: a half-written firmware may not start again";

/// What comes out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAnswer {
    /// A person wants it to end. Once said, it is not asked again.
    Stop,
    /// It has ended, and that was shown.
    Over,
}

/// The screen.
pub struct Job {
    title: String,
    command: String,
    timeout: Duration,
    facts: Vec<String>,
    elapsed: Duration,
    /// Columns and rows of its terminal.
    size: (u16, u16),
    terminal: vt100::Parser,
    /// What went off the terminal at its top, the newest last.
    above: Vec<String>,
    lines: Lines,
    asked: bool,
    stopping: bool,
    /// How it ended, and how long that has been shown.
    ended: Option<(End, Duration)>,
    over: Option<Pager>,
}

impl Job {
    /// The screen of a job that starts now on a terminal of this size, see [`size_on`]; `facts` for its head.
    pub fn new(
        title: &str,
        command: &[String],
        timeout: Duration,
        (columns, rows): (u16, u16),
        facts: Vec<String>,
    ) -> Self {
        let size = |n| NonZero::new(n).unwrap_or(NonZero::<u16>::MIN);
        Self {
            title: title.to_owned(),
            command: command.join(" "),
            timeout,
            facts,
            elapsed: Duration::ZERO,
            size: (columns, rows),
            terminal: vt100::Parser::new(size(rows), size(columns), ABOVE),
            above: Vec::new(),
            lines: Lines::new(LOG),
            asked: false,
            stopping: false,
            ended: None,
            over: None,
        }
    }

    /// Takes what it says. Nothing of it reaches a console but the characters it leaves on its own terminal.
    pub fn output(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.lines.push(bytes);
        self.terminal.process(bytes);
        self.above = self.scrolled_off();
    }

    /// It ended, and nothing of it is left.
    pub fn end(&mut self, end: &End) {
        self.asked = false;
        self.ended = Some((end.clone(), Duration::ZERO));
    }

    /// Whether it has been told of the end.
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// The view goes back a screen at a time: the emulator has no other way to its history.
    fn scrolled_off(&mut self) -> Vec<String> {
        let (columns, height) = self.size;
        let screen = self.terminal.screen_mut();
        let mut rows = Vec::new();
        let mut left = screen.scrollback_len();
        while left > 0 {
            screen.set_scrollback(left);
            let here = left.min(usize::from(height));
            rows.extend(screen.rows(0, columns).take(here));
            left -= here;
        }
        screen.set_scrollback(0);
        rows
    }

    fn key(&mut self, key: crossterm::event::KeyEvent) -> Option<JobAnswer> {
        let asked = std::mem::take(&mut self.asked);
        if let Some(pager) = &mut self.over {
            if !pager.on(key) {
                self.over = None;
            }
            return None;
        }
        match keys::command(keys::JOB, key) {
            Some(Command::Stop) if self.stopping || self.is_over() => {}
            Some(Command::Stop) if asked => {
                self.stopping = true;
                return Some(JobAnswer::Stop);
            }
            Some(Command::Stop) => self.asked = true,
            Some(Command::Help) => self.over = Some(Pager::help(keys::JOB, self.without())),
            Some(Command::Log) => self.over = Some(Pager::text("Log", self.lines.all()).from_the_end()),
            _ => {}
        }
        None
    }

    /// Keys that do nothing any more.
    fn without(&self) -> &'static [Command] {
        if self.stopping || self.is_over() { &[Command::Stop] } else { &[] }
    }

    /// What must be seen from across the room.
    fn banner(&self, look: &Look) -> Span<'static> {
        match &self.ended {
            None => Span::styled(" WORKING - DO NOT POWER OFF", look.warn().patch(look.title())),
            Some((End::Exit(0), _)) => Span::styled(" DONE", look.good().patch(look.title())),
            Some((end, _)) => Span::styled(format!(" FAILED: {end}"), look.bad().patch(look.title())),
        }
    }

    /// As much of it as leaves the banner whole.
    fn time_in_words(&self, room: usize) -> String {
        let elapsed = text::span(Duration::from_secs(self.elapsed.as_secs()));
        let whole = format!("{elapsed} of {}", text::span(self.timeout));
        [whole, elapsed].into_iter().find(|time| text::width(time) <= room).unwrap_or_default()
    }

    fn status(&self) -> &'static str {
        match (self.asked, self.stopping && !self.is_over()) {
            (true, _) => ASKED,
            (false, true) => "Ending the job: it was asked to, and is made to after 10 s",
            (false, false) => "",
        }
    }

    /// The terminal's rows down to the last one in use, with what went off above them; at most `room`.
    fn pane(&self, look: &Look, room: usize) -> Vec<Line<'static>> {
        let screen = self.terminal.screen();
        let rows: Vec<Line> = (0..self.size.1).map(|row| row_of(screen, row, look)).collect();
        let written = rows.iter().rposition(|row| row.width() > 0).map_or(0, |at| at + 1);
        let rows = &rows[..written];
        let above = self.above.iter().map(|row| Line::from(plain(row)));
        let all = self.above.len() + rows.len();
        above.chain(rows.iter().cloned()).skip(all.saturating_sub(room)).collect()
    }
}

fn row_of(screen: &vt100::Screen, row: u16, look: &Look) -> Line<'static> {
    let mut spans: Vec<(String, Style)> = Vec::new();
    for cell in (0..screen.size().1.get()).filter_map(|column| screen.cell(row, column)) {
        if cell.is_wide_continuation() {
            continue;
        }
        let shown = if cell.has_contents() { plain(cell.contents()) } else { " ".to_owned() };
        let style = style_of(cell, look);
        match spans.last_mut() {
            Some((text, last)) if *last == style => text.push_str(&shown),
            _ => spans.push((shown, style)),
        }
    }
    // What is neither seen nor coloured is not there.
    while let Some((text, style)) = spans.last_mut()
        && *style == Style::new()
    {
        text.truncate(text.trim_end().len());
        if !text.is_empty() {
            break;
        }
        spans.pop();
    }
    Line::from_iter(spans.into_iter().map(|(text, style)| Span::styled(text, style)))
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn style_of(cell: &vt100::Cell, look: &Look) -> Style {
    let mut style = Style::new();
    let modifiers = [
        (cell.bold(), Modifier::BOLD),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ];
    for (_, modifier) in modifiers.into_iter().filter(|(on, _)| *on) {
        style = style.add_modifier(modifier);
    }
    if look.colour {
        style.fg = colour(cell.fgcolor());
        style.bg = colour(cell.bgcolor());
    }
    style
}

/// One of the eight, bright ones as the plain ones; any other is left to the console's own.
fn colour(colour: vt100::Color) -> Option<Color> {
    const EIGHT: [Color; 8] = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
    ];
    match colour {
        vt100::Color::Idx(n @ 0..16) => Some(EIGHT[usize::from(n % 8)]),
        _ => None,
    }
}

impl Screen for Job {
    type Answer = JobAnswer;

    fn on(&mut self, event: Event) -> Option<JobAnswer> {
        match (event, &mut self.ended) {
            (Event::Key(key), _) => self.key(key),
            (Event::Tick(passed), None) => {
                self.elapsed += passed;
                None
            }
            (Event::Tick(passed), Some((_, shown))) => {
                *shown += passed;
                (*shown >= SHOWN).then_some(JobAnswer::Over)
            }
        }
    }

    fn draw(&self, frame: &mut Frame, look: &Look) {
        if let Some(pager) = &self.over {
            return pager.draw(frame, look);
        }
        let cells = usize::from(frame.area().width);
        let head = Head { title: format!("Running \"{}\"", self.title), facts: self.facts.clone() };
        let legend = page::legend(look, keys::JOB, self.without(), frame.area().width);
        let mut area = page::frame(frame, look, &head, legend);
        let buffer = frame.buffer_mut();
        let banner = self.banner(look);
        let room = cells.saturating_sub(banner.width() + 3);
        page::split(buffer, page::row(area, area.y), banner, Span::raw(self.time_in_words(room)));
        page::put(
            buffer,
            page::row(area, area.y + 1),
            format!(" {}", text::clip(&self.command, cells.saturating_sub(2))),
        );
        let status: Vec<Line> = text::wrap(self.status(), cells.saturating_sub(2))
            .into_iter()
            .map(|line| Line::styled(format!(" {line}"), look.warn().patch(look.title())))
            .collect();
        let foot = (status.len() as u16).min(area.height.saturating_sub(2));
        area.height = area.height.saturating_sub(foot);
        let at = ratatui::layout::Rect { y: area.bottom(), height: foot, ..area };
        page::lines(buffer, at, status);
        let mut top = 2;
        if area.height > self.size.1 + 2 {
            page::rule(buffer, page::row(area, area.y + top), look);
            top += 1;
        }
        area.y += top.min(area.height);
        area.height = area.height.saturating_sub(top);
        page::lines(buffer, area, self.pane(look, usize::from(area.height)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    fn press(job: &mut Job, c: char) -> Option<JobAnswer> {
        job.on(Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)))
    }

    fn job() -> Job {
        let command = ["/usr/sbin/flash".to_owned(), "--yes".into()];
        Job::new("Flash", &command, Duration::from_secs(1800), size_on((80, 24)), vec![])
    }

    fn shown(job: &Job, room: usize) -> Vec<String> {
        let text = |line: Line| line.spans.iter().map(|s| s.content.clone()).collect();
        job.pane(&Look::MONO, room).into_iter().map(text).collect()
    }

    #[test]
    fn only_the_same_key_twice_ends_a_job() {
        let mut job = job();
        for c in "qcbrpms \rX".chars() {
            assert_eq!(press(&mut job, c), None, "{c:?}");
        }
        assert_eq!(job.on(Event::Key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE))), None);
        assert_eq!(job.on(Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL))), None);
        assert_eq!(press(&mut job, 'x'), None);
        assert_eq!(press(&mut job, 'y'), None, "any other key takes it back");
        assert_eq!(press(&mut job, 'x'), None);
        assert_eq!(press(&mut job, 'x'), Some(JobAnswer::Stop));
        assert_eq!((press(&mut job, 'x'), press(&mut job, 'x')), (None, None), "it was said");
    }

    #[test]
    fn the_key_is_not_counted_across_the_log() {
        let mut job = job();
        assert_eq!(press(&mut job, 'x'), None);
        press(&mut job, 'l');
        assert_eq!(press(&mut job, 'x'), None, "the log has no such key");
        press(&mut job, 'q');
        assert_eq!(press(&mut job, 'x'), None);
        assert!(job.asked);
    }

    #[test]
    fn the_end_is_shown_for_a_while_and_time_stands_still() {
        let mut job = job();
        job.on(Event::Tick(Duration::from_secs(12)));
        press(&mut job, 'x');
        job.end(&End::Exit(3));
        assert_eq!((press(&mut job, 'x'), press(&mut job, 'x')), (None, None), "nothing is left to end");
        assert_eq!(job.on(Event::Tick(SHOWN / 2)), None);
        assert_eq!(job.on(Event::Tick(SHOWN)), Some(JobAnswer::Over));
        assert_eq!(job.elapsed, Duration::from_secs(12));
    }

    #[test]
    fn output_looks_as_on_a_terminal() {
        let mut job = job();
        job.output(b"erasing\r\n  1 %\r 50 %\r100 %\r\n\x1b[1Adone \x1b[K\r\n\x07\x1b]0;title\x07");
        assert_eq!(shown(&job, 9), ["erasing", "done"]);
        for n in 0..100 {
            job.output(format!("line {n}\r\n").as_bytes());
        }
        assert_eq!(shown(&job, 3), ["line 97", "line 98", "line 99"]);
        let all = shown(&job, 1000);
        let kept = ABOVE + usize::from(LEAST.1) - 1;
        assert_eq!(all, (100 - kept..100).map(|n| format!("line {n}")).collect::<Vec<_>>());
        assert_eq!(job.lines.all().len(), 103);
    }

    #[test]
    fn its_terminal_is_as_big_as_the_console_has_room_for() {
        for (console, size) in [((80, 24), (80, 16)), ((200, 60), (200, 52)), ((40, 12), (80, 16))] {
            assert_eq!(size_on(console), size);
        }
        for (columns, rows) in [(80, 24), (200, 60)] {
            let (width, height) = size_on((columns, rows));
            let mut job = Job::new("Flash", &[], SHOWN, (width, height), vec![]);
            let lines: Vec<String> =
                (1..=height).map(|n| format!("{n:>w$}", w = usize::from(width))).collect();
            job.output(lines.join("\r\n").as_bytes());
            let backend = ratatui::backend::TestBackend::new(columns, rows);
            let Ok(mut terminal) = ratatui::Terminal::new(backend);
            let Ok(_) = terminal.draw(|frame| job.draw(frame, &Look::MONO));
            let shown = terminal.backend().to_string();
            assert!(lines.iter().all(|line| shown.contains(line)), "{shown}");
        }
    }

    #[test]
    fn no_output_can_end_the_screen_or_get_out_of_it() {
        let pieces: &[&[u8]] = &[
            b"\x1b[",
            b"\x1b]",
            b"\x1b(0",
            b"\x1bP",
            b"\x1bc",
            b"\x1b[?1049h",
            b"\x1b[?1049l",
            b"\x1b[?6h",
            b";",
            b"65535",
            b"99999999999",
            b"1",
            b"0",
            b"H",
            b"J",
            b"K",
            b"L",
            b"M",
            b"P",
            b"S",
            b"T",
            b"X",
            b"@",
            b"r",
            b"m",
            b"\x1b7",
            b"\x1b8",
            b"\x1bM",
            b"\r",
            b"\n",
            b"\t",
            b"\x08",
            b"\x07",
            b"\x9b",
            b"\xff",
            b"\xe5\xae\xbf",
            b"e\xcc\x81",
            b"\xc2\x9b",
            b"\0",
            b"A",
            b"B",
            b"C",
            b"D",
            b"abcdefghijklmnop",
            b" ",
            b"d",
            b"G",
        ];
        let mut job = job();
        let mut seed: u32 = 1;
        for round in 0..60_000 {
            // Numbers of a linear congruence (Numerical Recipes): the same in every run.
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            job.output(pieces[(seed >> 16) as usize % pieces.len()]);
            if round % 500 == 0 {
                let pane = shown(&job, 60);
                assert!(pane.iter().all(|line| !line.chars().any(char::is_control)), "{pane:?}");
            }
        }
    }
}
