//! An encrypted device: which one it is, and what opens it? What is typed is never drawn. Where nobody types, the
//! question ends by itself.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::keys::{self, Command};
use super::page::{self, Head};
use super::{Event, Look, Screen, text};
use crate::volumes::{Locked, Secret};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassphraseAnswer {
    /// Try what was typed: [`Passphrase::opening`].
    Open,
    Leave,
    /// Nobody typed for so long.
    TimeUp,
    /// What was waited for is over.
    Done,
}

/// What goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The device has not appeared; how long it may take.
    Looking(Duration),
    Asking,
    Opening,
}

/// What is asked for, in words.
#[derive(Clone, Copy, Debug)]
struct Asks {
    title: &'static str,
    what: &'static str,
    opening: &'static str,
}

const DEVICE: Asks = Asks { title: "Encrypted device", what: "passphrase", opening: "Opening it" };
const PASSWORD: Asks = Asks { title: "Password", what: "password", opening: "Trying it" };

/// The screen.
#[derive(Debug)]
pub struct Passphrase {
    asks: Asks,
    facts: Vec<String>,
    /// What the device is called: labels and values.
    device: Vec<(&'static str, String)>,
    /// The number of this try, and how many there are.
    tries: (u32, u32),
    /// Why the try before this one did not open it.
    refused: Option<String>,
    secret: Secret,
    state: State,
    /// How long that has been so, or since the last key.
    since: Duration,
    /// Without a key for so long nobody is there; absent: a person is waited for.
    patience: Option<Duration>,
}

impl Passphrase {
    /// The screen of a device that is not there yet, but may be for `at_most`; `named` is what is known of it.
    pub fn looking_for(named: &str, at_most: Duration, facts: Vec<String>) -> Self {
        let device = vec![("wanted", named.to_owned())];
        Self { state: State::Looking(at_most), ..Self::of(device, 1, None, facts) }
    }

    /// The same, of a device of which it is not known yet whether it is encrypted.
    pub fn looking_at(named: &str, at_most: Duration, facts: Vec<String>) -> Self {
        let asks = Asks { title: "Looking at a device", ..DEVICE };
        Self { asks, ..Self::looking_for(named, at_most, facts) }
    }

    /// The question for a device's passphrase, with so many tries.
    pub fn new(locked: &Locked, tries: u32, patience: Option<Duration>, facts: Vec<String>) -> Self {
        let device = locked.device();
        let device = vec![("device", device.to_string()), ("UUID", locked.uuid().to_owned())];
        Self::of(device, tries, patience, facts)
    }

    /// The question for the catalog's password, which `what` takes.
    pub fn for_password(what: &str, tries: u32, patience: Duration, facts: Vec<String>) -> Self {
        let what = vec![("for", what.to_owned())];
        Self { asks: PASSWORD, ..Self::of(what, tries, Some(patience), facts) }
    }

    fn of(
        device: Vec<(&'static str, String)>,
        tries: u32,
        patience: Option<Duration>,
        facts: Vec<String>,
    ) -> Self {
        let (secret, state, since) = (Secret::default(), State::Asking, Duration::ZERO);
        Self { asks: DEVICE, facts, device, tries: (1, tries), refused: None, secret, state, since, patience }
    }

    /// What was typed, to be tried now: keys mean nothing meanwhile.
    pub fn opening(&mut self) -> Secret {
        (self.state, self.since) = (State::Opening, Duration::ZERO);
        std::mem::take(&mut self.secret)
    }

    /// It did not fit. Asks again, if there is a try left.
    pub fn refused(&mut self, why: impl Into<String>) -> bool {
        self.secret.clear();
        (self.state, self.since) = (State::Asking, Duration::ZERO);
        self.refused = Some(why.into());
        self.tries.0 += 1;
        self.tries.0 <= self.tries.1
    }

    fn key(&mut self, key: KeyEvent) -> Option<PassphraseAnswer> {
        let command = keys::command(keys::PASSPHRASE, key);
        if self.state != State::Asking {
            return (command == Some(Command::Cancel)).then_some(PassphraseAnswer::Leave);
        }
        self.since = Duration::ZERO;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (command, key.code) {
            (Some(Command::Accept), _) => return Some(PassphraseAnswer::Open),
            (Some(Command::Cancel), _) => {
                self.secret.clear();
                return Some(PassphraseAnswer::Leave);
            }
            (_, KeyCode::Char('u')) if control => self.secret.clear(),
            (_, KeyCode::Backspace) => self.secret.pop(),
            (_, KeyCode::Char(letter)) if !control => self.secret.push(letter),
            _ => {}
        }
        None
    }

    /// What is going on, in words; and until when.
    fn status(&self) -> String {
        let whole = |time: Duration| text::span(Duration::from_secs(time.as_secs()));
        let left = |most: Duration| whole(most.saturating_sub(self.since) + Duration::from_millis(999));
        match (&self.state, self.patience) {
            (State::Looking(most), _) => format!("Waiting for the device, {} more", left(*most)),
            (State::Opening, _) => format!("{}, for {}", self.asks.opening, whole(self.since)),
            (State::Asking, Some(patience)) => format!("If nobody types: giving up in {}", left(patience)),
            (State::Asking, None) => format!("Type the {}, then Enter", self.asks.what),
        }
    }
}

impl Screen for Passphrase {
    type Answer = PassphraseAnswer;

    fn takes_text(&self) -> bool {
        true
    }

    fn on(&mut self, event: Event) -> Option<PassphraseAnswer> {
        match event {
            Event::Key(key) => self.key(key),
            Event::Tick(passed) => {
                self.since += passed;
                let over = self.patience.is_some_and(|patience| self.since >= patience);
                (over && self.state == State::Asking).then_some(PassphraseAnswer::TimeUp)
            }
        }
    }

    fn draw(&self, frame: &mut Frame, look: &Look) {
        let cells = usize::from(frame.area().width);
        let head = Head { title: self.asks.title.into(), facts: self.facts.clone() };
        let legend = page::legend(look, keys::PASSPHRASE, &[], frame.area().width);
        let mut area = page::frame(frame, look, &head, legend);
        let buffer = frame.buffer_mut();
        let status = page::row(area, area.bottom().saturating_sub(1));
        let said = Span::styled(format!(" {}", self.status()), look.warn().patch(look.title()));
        page::split(buffer, status, said, Span::raw(""));
        area.height = area.height.saturating_sub(1);
        let fact = |label: &str, value: &str, style: Style| page::fact(look, label, value, style, cells);
        let mut lines: Vec<Line> = Vec::new();
        for (label, value) in &self.device {
            lines.extend(fact(label, value, Style::new()));
        }
        if !matches!(self.state, State::Looking(_)) {
            let (this, all) = self.tries;
            lines.extend(fact("try", &format!("{} of {all}", this.min(all)), Style::new()));
            if let Some(why) = &self.refused {
                lines.extend(fact("", why, look.bad()));
            }
            // A star a letter, as many as there is room for.
            let room = cells.saturating_sub(page::LABEL + 2);
            let stars = "*".repeat(self.secret.letters().min(room));
            lines.extend(fact("typed", &format!("{stars}_"), look.title()));
        }
        page::lines(buffer, area, lines);
    }
}
