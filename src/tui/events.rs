//! What happened to a screen, in the log where `debug` is on: its keys and how much time went by between them, so that it can be
//! let happen again (tests/integration/replay.rs). Nothing of what is typed into a field, not even how long it is.

use std::path::Path;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Of one screen, from its beginning to its answer.
pub(super) struct Events {
    /// What the screen was told of time since the last one.
    passed: Duration,
    /// The last one was a text.
    in_text: bool,
}

impl Events {
    /// A screen of this kind begins.
    pub fn of<S>() -> Self {
        let kind = std::any::type_name::<S>().rsplit("::").next().unwrap_or_default();
        log::debug!("event: {kind} begins");
        Self { passed: Duration::ZERO, in_text: false }
    }

    /// The screen was told of it.
    pub fn passed(&mut self, time: Duration) {
        self.passed += time;
    }

    /// A key, which is a letter of a text where the screen takes text.
    pub fn key(&mut self, key: KeyEvent, takes_text: bool, console: Option<&Path>) {
        let was_in_text = std::mem::replace(&mut self.in_text, takes_text && is_of_a_text(key));
        if self.in_text && was_in_text {
            return;
        }
        let name = if self.in_text { "a text".to_owned() } else { name(key) };
        log::debug!("event: {}, {name} on {}", self.time(), console.unwrap_or(Path::new("?")).display());
    }

    /// Seconds, to the last nanosecond, and from here on anew.
    fn time(&mut self) -> String {
        let time = std::mem::take(&mut self.passed);
        format!("{}.{:09} s", time.as_secs(), time.subsec_nanos())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        log::debug!("event: {}, answered", self.time());
    }
}

/// Whether it puts something into a field, or takes it out.
fn is_of_a_text(key: KeyEvent) -> bool {
    matches!(key.code, KeyCode::Char(_) | KeyCode::Backspace | KeyCode::Delete)
}

/// As in the help of the screens: `Down`, `F1`, `x`, `Ctrl-L`.
fn name(key: KeyEvent) -> String {
    let name = match key.code {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::F(n) => format!("F{n}"),
        code => format!("{code:?}"),
    };
    match key.modifiers.contains(KeyModifiers::CONTROL) {
        true => format!("Ctrl-{}", name.to_uppercase()),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_names_of_the_help() {
        let key = |code, modifiers| name(KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Down, none), "Down");
        assert_eq!(key(KeyCode::F(1), none), "F1");
        assert_eq!(key(KeyCode::Char('?'), none), "?");
        assert_eq!(key(KeyCode::Char(' '), none), "Space");
        assert_eq!(key(KeyCode::Char('l'), KeyModifiers::CONTROL), "Ctrl-L");
    }

    #[test]
    fn time_is_told_once() {
        let mut events = Events { passed: Duration::ZERO, in_text: false };
        events.passed(Duration::from_millis(250));
        events.passed(Duration::from_nanos(1_000_000_001));
        assert_eq!(events.time(), "1.250000001 s");
        assert_eq!(events.time(), "0.000000000 s");
    }
}
