//! Waiting for the network: what each card is doing, what is waited for and since when. The facts come from
//! outside as plain data; the only thing that grows by itself is the time.

use std::time::Duration;

use ratatui::Frame;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::keys::{self, Command};
use super::log::LogView;
use super::page::{self, Head};
use super::pager::Pager;
use super::{Event, Look, Screen, text};

/// An operator who only looks and presses no key for so long went away: what waits behind this screen goes on.
const IDLE: Duration = Duration::from_secs(300);

/// What one network card is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicLine {
    pub name: String,
    /// `52:54:00:12:34:56`.
    pub mac: String,
    /// The kernel's driver of it; empty: unknown.
    pub driver: String,
    pub link: Link,
    pub doing: Doing,
    /// The last thing that went wrong with it.
    pub error: Option<String>,
}

/// Whether there is a cable with somebody at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Up,
    Down,
    Unknown,
}

/// How it gets its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Nothing: not one of those that are used.
    Idle,
    AwaitingLink,
    /// Asking for a lease: the number of this try; after a try without an answer, how long until the next.
    Dhcp {
        attempt: u32,
        next: Option<Duration>,
    },
    /// It has its addresses; in words where they came from ("DHCP from 10.0.2.2", "ip=").
    Ready {
        addresses: Vec<String>,
        from: String,
    },
}

/// What the wait is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// "an address", "the catalog http://…".
    pub what: String,
    /// What the operator should know of the network meanwhile: words that cannot be had.
    pub notes: Vec<String>,
    /// The last try's error.
    pub error: Option<String>,
    /// In how long it is tried again, as of the first time this was said; the screen counts it down.
    pub next: Option<Duration>,
    /// Whether the built-in catalog may be used instead.
    pub built_in: bool,
    /// Nothing is waited for: the operator only looks.
    pub over: bool,
    /// How to log in over it, where one can.
    pub ssh: Option<String>,
}

/// One step on the way to the server, as far as a test came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// "link", "gateway".
    pub what: &'static str,
    pub verdict: Verdict,
    pub words: String,
    pub took: Duration,
    /// The way out.
    pub hint: Option<&'static str>,
}

/// How a step came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// It cannot be said, or is no fault of the network.
    Unknown,
    /// Here the way ends.
    Bad,
}

/// A test of the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tested {
    /// What is to be reached.
    pub what: String,
    pub steps: Vec<Step>,
    /// There is a step yet to come.
    pub goes_on: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkAnswer {
    Retry,
    /// Look where the way ends.
    Test,
    /// An address is to be given by hand.
    Address,
    BuiltIn,
    Shell,
    Back,
}

/// The screen.
#[derive(Debug, Default)]
pub struct Network {
    facts: Vec<String>,
    nics: Vec<NicLine>,
    awaited: Awaited,
    since: Duration,
    /// Since the last key.
    quiet: Duration,
    /// How much of `awaited.next` is over.
    paused: Duration,
    top: usize,
    without_shell: bool,
    tested: Option<Tested>,
    over: Option<Pager>,
}

impl Network {
    /// The screen of a wait; `facts` for its head.
    pub fn new(awaited: Awaited, facts: Vec<String>) -> Self {
        Self { awaited, facts, ..Self::default() }
    }

    /// Nobody may have a shell.
    pub fn without_shell(self) -> Self {
        Self { without_shell: true, ..self }
    }

    /// How things are now; called as often as one likes.
    pub fn update(&mut self, nics: Vec<NicLine>, awaited: Awaited) {
        if awaited.what != self.awaited.what {
            self.since = Duration::ZERO;
        }
        if (&awaited.what, &awaited.error, awaited.next)
            != (&self.awaited.what, &self.awaited.error, self.awaited.next)
        {
            self.paused = Duration::ZERO;
        }
        (self.nics, self.awaited) = (nics, awaited);
    }

    /// How far a test came.
    pub fn tested(&mut self, tested: Option<Tested>) {
        self.tested = tested;
    }

    /// The steps of a test, the last one with the way out.
    fn test_lines(&self, look: &Look, cells: usize) -> Vec<Line<'static>> {
        let Some(tested) = &self.tested else { return vec![] };
        let what = text::clip_middle(&format!("Test: {}", tested.what), cells.saturating_sub(2));
        let mut lines = vec![Line::styled(format!(" {what}"), look.title())];
        for step in &tested.steps {
            let (mark, style) = match step.verdict {
                Verdict::Good => ('+', look.good()),
                Verdict::Unknown => ('?', look.warn()),
                Verdict::Bad => ('x', look.bad()),
            };
            let words = format!("{} ({} ms)", step.words, step.took.as_millis());
            lines.extend(page::fact(look, &format!("{mark} {}", step.what), &words, style, cells));
            lines.extend(step.hint.iter().flat_map(|hint| page::fact(look, "", hint, look.title(), cells)));
        }
        if tested.goes_on {
            lines.push(Line::from(" the next step is under way"));
        }
        lines
    }

    fn unavailable(&self) -> Vec<Command> {
        let mut none = Vec::new();
        if !self.awaited.built_in {
            none.push(Command::BuiltIn);
        }
        if self.without_shell {
            // Nor say where this machine is to be found.
            none.extend([Command::Shell, Command::Address]);
        }
        none
    }

    fn lines(&self, look: &Look, cells: usize) -> Vec<Line<'static>> {
        if self.nics.is_empty() {
            return vec![Line::styled(" No network card found yet.".to_owned(), look.warn())];
        }
        self.nics.iter().flat_map(|nic| nic.lines(look, cells)).collect()
    }

    /// What is waited for, and what comes next.
    fn wait_lines(&self, look: &Look, cells: usize) -> Vec<Line<'static>> {
        let awaited = &self.awaited;
        let ssh = awaited.ssh.as_deref().map(|ssh| text::wrap(ssh, cells.saturating_sub(2)));
        let ssh = ssh.into_iter().flatten().map(|line| Line::from(format!(" {line}")));
        if awaited.over {
            return ssh.collect();
        }
        let since = text::span(Duration::from_secs(self.since.as_secs()));
        let what = format!("Waiting for {}", awaited.what);
        let mut lines: Vec<Line> = text::wrap(&what, cells.saturating_sub(2))
            .into_iter()
            .map(|l| Line::styled(format!(" {l}"), look.title()))
            .collect();
        for note in &awaited.notes {
            let note = text::wrap(note, cells.saturating_sub(2));
            lines.extend(note.into_iter().map(|l| Line::styled(format!(" {l}"), look.warn())));
        }
        if let Some(error) = &awaited.error {
            let error = text::wrap(error, cells.saturating_sub(2));
            lines.extend(error.into_iter().map(|l| Line::styled(format!(" {l}"), look.bad())));
        }
        let next = match awaited.next.map(|n| n.saturating_sub(self.paused)) {
            None => String::new(),
            Some(Duration::ZERO) => "; trying now".into(),
            Some(left) => format!("; next try in {}", text::span(left)),
        };
        lines.push(Line::from(format!(" since {since}{next}")));
        lines.extend(ssh);
        lines
    }
}

impl NicLine {
    fn lines(&self, look: &Look, cells: usize) -> Vec<Line<'static>> {
        let (link, style) = match self.link {
            Link::Up => ("link up", look.good()),
            Link::Down => ("no link", look.warn()),
            Link::Unknown => ("link ?", Style::new()),
        };
        let driver = if self.driver.is_empty() { "driver ?" } else { &self.driver };
        let mut first = vec![
            Span::styled(format!(" {:<9} ", text::clip(&self.name, 9)), look.title()),
            Span::styled(format!("{link:<9}"), style),
        ];
        if cells >= 48 {
            first.push(Span::raw(format!("{:<19}{driver}", self.mac)));
        } else {
            first.push(Span::raw(text::clip(driver, cells.saturating_sub(21))));
        }
        let mut lines = vec![Line::from(first)];
        let (doing, style) = match &self.doing {
            Doing::Idle => ("not used".into(), Style::new()),
            Doing::AwaitingLink => ("waiting for a link".into(), look.warn()),
            Doing::Dhcp { attempt, next: None } => (format!("DHCP try {attempt}, asking now"), Style::new()),
            Doing::Dhcp { attempt, next: Some(next) } => {
                (format!("DHCP try {attempt}, no answer; next in {}", text::span(*next)), look.warn())
            }
            Doing::Ready { addresses, from } => (format!("{} ({from})", addresses.join(", ")), look.good()),
        };
        lines.extend(page::fact(look, "", &doing, style, cells));
        if let Some(error) = &self.error {
            lines.extend(page::fact(look, "", &format!("last error: {error}"), look.bad(), cells));
        }
        lines
    }
}

impl Screen for Network {
    type Answer = NetworkAnswer;

    fn on(&mut self, event: Event) -> Option<NetworkAnswer> {
        let key = match event {
            Event::Tick(passed) => {
                self.since += passed;
                self.paused += passed;
                self.quiet += passed;
                return (self.awaited.over && self.quiet >= IDLE).then_some(NetworkAnswer::Back);
            }
            Event::Key(key) => key,
        };
        self.quiet = Duration::ZERO;
        if let Some(pager) = &mut self.over {
            if !pager.on(key) {
                self.over = None;
            }
            return None;
        }
        let command = keys::command(keys::NETWORK, key).filter(|c| !self.unavailable().contains(c))?;
        match command {
            Command::Retry => return Some(NetworkAnswer::Retry),
            Command::Address => return Some(NetworkAnswer::Address),
            Command::Test => return Some(NetworkAnswer::Test),
            Command::BuiltIn => return Some(NetworkAnswer::BuiltIn),
            Command::Shell => return Some(NetworkAnswer::Shell),
            Command::Cancel => return Some(NetworkAnswer::Back),
            Command::Help => self.over = Some(Pager::help(keys::NETWORK, &self.unavailable())),
            Command::Log => self.over = Some(Pager::log()),
            Command::Up => self.top = self.top.saturating_sub(1),
            Command::Down => {
                self.top = (self.top + 1)
                    .min(self.nics.len() * 3 + self.tested.as_ref().map_or(0, |t| t.steps.len() * 3))
            }
            _ => {}
        }
        None
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
        let head = Head { title: "Network".into(), facts: self.facts.clone() };
        let legend = page::legend(look, keys::NETWORK, &self.unavailable(), frame.area().width);
        let area = page::frame(frame, look, &head, legend);
        let mut lines = self.wait_lines(look, cells);
        if !lines.is_empty() && area.height >= 12 {
            lines.push(Line::default());
        }
        let fixed = page::lines(frame.buffer_mut(), area, lines);
        let rest = ratatui::layout::Rect { y: area.y + fixed, height: area.height - fixed, ..area };
        // What was asked for last comes first.
        let mut nics = self.test_lines(look, cells);
        if !nics.is_empty() {
            nics.push(Line::default());
        }
        nics.extend(self.lines(look, cells));
        let top = self.top.min(nics.len().saturating_sub(usize::from(rest.height)));
        page::lines(frame.buffer_mut(), rest, nics.into_iter().skip(top));
    }
}
