//! One line that is typed: what is in it, and where the next letter goes. What it is for, and which keys leave it, is its
//! screen's. The keys are those of a shell's line.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::text;
use super::theme::Look;

/// Letters of the longest line: more than any kernel takes, and no more than fits into a message.
const LONGEST: usize = 4096;

/// A line, and the place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    letters: Vec<char>,
    /// Letters before the cursor.
    at: usize,
}

impl Field {
    /// A line to be changed, the cursor at its end.
    pub fn new(text: &str) -> Self {
        let letters: Vec<char> = text.chars().collect();
        Self { at: letters.len(), letters }
    }

    /// What is in it.
    pub fn text(&self) -> String {
        self.letters.iter().collect()
    }

    /// Whether anything is in it.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// A key; whether what is in it changed.
    pub fn on(&mut self, key: KeyEvent) -> bool {
        let before = self.letters.len();
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (key.code, control) {
            (KeyCode::Left, _) | (KeyCode::Char('b'), true) => self.at = self.at.saturating_sub(1),
            (KeyCode::Right, _) | (KeyCode::Char('f'), true) => self.at = (self.at + 1).min(before),
            (KeyCode::Home, _) | (KeyCode::Char('a'), true) => self.at = 0,
            (KeyCode::End, _) | (KeyCode::Char('e'), true) => self.at = before,
            (KeyCode::Backspace, _) if self.at > 0 => self.cut(self.at - 1, self.at),
            (KeyCode::Delete, _) | (KeyCode::Char('d'), true) => self.cut(self.at, self.at + 1),
            (KeyCode::Char('u'), true) => self.cut(0, self.at),
            (KeyCode::Char('k'), true) => self.cut(self.at, before),
            (KeyCode::Char('w'), true) => self.cut(self.word(), self.at),
            (KeyCode::Char(letter), false) if !letter.is_control() && before < LONGEST => {
                self.letters.insert(self.at, letter);
                self.at += 1;
            }
            _ => {}
        }
        self.letters.len() != before
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.letters.drain(from..to.min(self.letters.len()));
        self.at = from;
    }

    /// Where the word before the cursor begins.
    fn word(&self) -> usize {
        let before = &self.letters[..self.at];
        let end = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |last| last + 1);
        before[..end].iter().rposition(|c| c.is_whitespace()).map_or(0, |gap| gap + 1)
    }

    /// So many cells of it: all, or those around the cursor with a mark where something is left out. With `active` the
    /// cursor is seen, also where there are no attributes: as `_` at the end.
    pub fn line(&self, look: &Look, cells: usize, active: bool) -> Line<'static> {
        if !active {
            return Line::from(text::clip(&self.text(), cells));
        }
        let room = cells.saturating_sub(1).max(1);
        let first = if self.letters.len() < cells { 0 } else { self.first(room) };
        let shown = self.letters.iter().skip(first).take(room).map(|c| if c.is_control() { ' ' } else { *c });
        let mut shown: Vec<char> = shown.collect();
        let hidden = self.letters.len() > first + shown.len();
        let at = self.at - first;
        if first > 0 && at > 0 {
            shown[0] = '<';
        }
        if let (true, Some(last)) = (hidden && at + 1 < shown.len(), shown.last_mut()) {
            *last = '>';
        }
        let part = |letters: &[char]| letters.iter().collect::<String>();
        let under = shown.get(at).map_or("_".to_owned(), |c| c.to_string());
        let after = shown.get(at + 1..).map(part).unwrap_or_default();
        Line::from(vec![
            Span::styled(part(&shown[..at.min(shown.len())]), Style::new()),
            Span::styled(under, look.selected()),
            Span::styled(after, Style::new()),
        ])
    }

    /// The first letter of a window of `room`: the cursor in its middle, as far as the ends allow. Nothing to keep, so that
    /// consoles of any width show the same.
    fn first(&self, room: usize) -> usize {
        self.at.saturating_sub(room / 2).min((self.letters.len() + 1).saturating_sub(room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(field: &mut Field, keys: &[(KeyCode, bool)]) {
        for (code, control) in keys {
            let with = if *control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
            field.on(KeyEvent::new(*code, with));
        }
    }

    fn ctrl(letter: char) -> (KeyCode, bool) {
        (KeyCode::Char(letter), true)
    }

    #[test]
    fn it_is_typed_as_in_a_shell() {
        let mut field = Field::new("console=ttyS0 quiet");
        typed(&mut field, &[ctrl('w'), (KeyCode::Char('x'), false)]);
        assert_eq!(field.text(), "console=ttyS0 x");
        typed(&mut field, &[ctrl('a'), (KeyCode::Delete, false), (KeyCode::Char('C'), false)]);
        assert_eq!(field.text(), "Console=ttyS0 x");
        typed(&mut field, &[ctrl('k'), (KeyCode::Right, false), (KeyCode::Backspace, false)]);
        assert_eq!((field.text().as_str(), field.is_empty()), ("", true));
        typed(&mut field, &[(KeyCode::Backspace, false), ctrl('w'), ctrl('u'), ctrl('d')]);
        assert!(
            !field.on(KeyEvent::from(KeyCode::Tab)) && !field.on(KeyEvent::from(KeyCode::Char('\u{1b}')))
        );
        let mut field = Field::new("ab cd  ");
        typed(&mut field, &[ctrl('w')]);
        assert_eq!(field.text(), "ab ");
        typed(&mut field, &[(KeyCode::Left, false), ctrl('u')]);
        assert_eq!(field.text(), " ");
    }

    #[test]
    fn the_place_is_seen_at_any_width() {
        let mut field = Field::new("0123456789");
        let seen = |field: &Field, cells| {
            let line = field.line(&Look::MONO, cells, true);
            line.spans.iter().map(|span| span.content.as_ref()).collect::<Vec<_>>().join("|")
        };
        assert_eq!(seen(&field, 20), "0123456789|_|");
        assert_eq!(seen(&field, 6), "<789|_|");
        typed(&mut field, &[(KeyCode::Home, false)]);
        assert_eq!(seen(&field, 6), "|0|123>");
        typed(&mut field, &[(KeyCode::Right, false); 5]);
        assert_eq!(seen(&field, 6), "<4|5|6>");
        for (cells, at) in (0..14).flat_map(|cells| (0..=10).map(move |at| (cells, at))) {
            let field = Field { at, ..field.clone() };
            assert!(field.line(&Look::MONO, cells, true).width() <= cells.max(2), "{cells} {at}");
        }
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let mut field = Field::new(&"x".repeat(LONGEST));
        assert!(!field.on(KeyEvent::from(KeyCode::Char('y'))));
        assert!(field.on(KeyEvent::from(KeyCode::Backspace)) && field.on(KeyEvent::from(KeyCode::Char('y'))));
    }
}
