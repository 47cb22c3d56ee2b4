//! A terminal at the other end of the serial line: what it shows, what was ever said, and the answers that a terminal
//! gives by itself.

use std::num::NonZero;
use std::time::{Duration, Instant};

/// ECMA-48 device status report: where is the cursor?
const CURSOR_PLACE: (char, u16) = ('n', 6);

pub struct Screen {
    parser: vt100::Parser<Answers>,
    /// Every byte.
    pub raw: Vec<u8>,
    /// How many bytes there were when.
    pub arrived: Vec<(Duration, usize)>,
    began: Instant,
    /// What was said as text, without escape sequences and line ends' CR.
    pub log: String,
    stripping: Stripping,
}

/// What the terminal has to answer.
#[derive(Default)]
struct Answers(Vec<u8>);

impl vt100::Callbacks for Answers {
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        first: Option<u8>,
        _: Option<u8>,
        params: &[&[u16]],
        c: char,
    ) {
        if first.is_none() && (c, params.first().map_or(0, |p| p[0])) == CURSOR_PLACE {
            let (row, column) = screen.cursor_position();
            self.0.extend(format!("\x1b[{};{}R", row + 1, column + 1).bytes());
        }
    }
}

/// Where in an escape sequence the stream is.
#[derive(Clone, Copy, PartialEq)]
enum Stripping {
    Text,
    Escape,
    /// Until a letter (CSI).
    Sequence,
    /// One character more (character sets).
    Single,
}

impl Screen {
    pub fn new(rows: u16, columns: u16) -> Self {
        let [rows, columns] = [rows, columns].map(|n| NonZero::new(n).expect("a screen has a size"));
        Self {
            parser: vt100::Parser::new_with_callbacks(rows, columns, 0, Answers::default()),
            raw: Vec::new(),
            arrived: Vec::new(),
            began: Instant::now(),
            log: String::new(),
            stripping: Stripping::Text,
        }
    }

    /// Takes what came, returns what to send back.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.raw.extend(bytes);
        self.arrived.push((self.began.elapsed(), self.raw.len()));
        self.parser.process(bytes);
        let text: Vec<u8> = bytes.iter().copied().filter(|&b| self.is_text(b)).collect();
        self.log.push_str(&String::from_utf8_lossy(&text));
        std::mem::take(&mut self.parser.callbacks_mut().0)
    }

    /// The lines on the screen, without blanks at their ends.
    pub fn text(&self) -> String {
        let screen = self.parser.screen();
        let lines = screen.rows(0, screen.size().1.get()).map(|line| line.trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    pub fn vt(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    fn is_text(&mut self, byte: u8) -> bool {
        let (next, text) = match (self.stripping, byte) {
            (_, 0x1b) => (Stripping::Escape, false),
            (Stripping::Escape, b'[') => (Stripping::Sequence, false),
            (Stripping::Escape, b'(' | b')') => (Stripping::Single, false),
            (Stripping::Sequence, 0x40..=0x7e) => (Stripping::Text, false),
            (Stripping::Sequence, _) => (Stripping::Sequence, false),
            (Stripping::Escape | Stripping::Single, _) => (Stripping::Text, false),
            (Stripping::Text, _) => (Stripping::Text, byte != b'\r'),
        };
        self.stripping = next;
        text
    }
}

#[test]
fn the_screen_answers_where_its_cursor_is_even_in_pieces() {
    let mut screen = Screen::new(24, 80);
    assert_eq!(screen.take(b"\x1b[999;999H\x1b["), b"");
    assert_eq!(screen.take(b"6n"), b"\x1b[24;80R");
    assert_eq!(screen.take(b"\x1b[2J\x1b[H\x1b[1mab\x1b[0m\r\nc"), b"");
    assert_eq!((screen.text().as_str(), screen.log.as_str()), ("ab\nc", "ab\nc"));
}
