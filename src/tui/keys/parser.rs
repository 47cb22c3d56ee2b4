//! Bytes from a terminal become keys, one byte at a time, as a serial line delivers them. Terminals disagree and
//! answer questions nobody asked; what is not a key is swallowed, and nothing here can fail. When a sequence is
//! given up for want of bytes is the caller's to decide: there is no clock in here.
//!
//! Sequences: ECMA-48 (CSI, SS3, control strings), xterm's ctlseqs, console_codes(4) for the Linux console.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a terminal said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Key(KeyEvent),
    /// A character of a text that was pasted; of such a text nothing else is told.
    Pasted(char),
    /// Where the cursor is (the answer to `ESC [ 6 n`): sent far out first, it is the size of the screen.
    Size {
        columns: u16,
        rows: u16,
    },
}

/// No key or reply is longer; what is gets swallowed to its end.
const LONGEST_SEQUENCE: usize = 64;

/// Keeps what an unfinished sequence has brought so far.
#[derive(Debug, Default)]
pub struct Parser {
    state: State,
    /// Parameters of a CSI or SS3 sequence, or the bytes of a character.
    held: Vec<u8>,
    /// Between the brackets that a terminal puts around what is pasted (xterm's mode 2004).
    pasting: bool,
    /// The byte before was a carriage return: a line feed now belongs to it.
    after_return: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Csi,
    Ss3,
    /// `ESC [ [`: the function keys of the Linux console.
    LinuxFunction,
    /// The old mouse report `ESC [ M` brings so many more bytes.
    Mouse(u8),
    /// A control string (DCS, OSC, …), a reply to somebody else's question.
    Text,
    TextEscape,
    /// A character that needs so many more bytes.
    Utf8(u8),
}

impl Parser {
    /// Takes one byte; what it completes is added to `out`.
    pub fn push(&mut self, byte: u8, out: &mut Vec<Input>) {
        let (from, pasting) = (out.len(), self.pasting);
        self.take(byte, out);
        if pasting {
            let text: Vec<Input> = out.drain(from..).filter_map(as_text).collect();
            out.extend(text);
        }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<Input>) {
        let after_return = std::mem::replace(&mut self.after_return, false);
        match self.state {
            State::Ground if byte == b'\n' && after_return => {}
            State::Ground => self.ground(byte, out),
            State::Escape => self.escape(byte, out),
            State::Csi => self.csi(byte, out),
            State::Ss3 => self.ss3(byte, out),
            State::LinuxFunction => {
                self.reset();
                if let n @ b'A'..=b'E' = byte {
                    out.push(key(KeyCode::F(n - b'A' + 1)));
                }
            }
            State::Mouse(left) => self.state = if left > 1 { State::Mouse(left - 1) } else { State::Ground },
            State::Text => match byte {
                0x07 | 0x18 | 0x1a => self.reset(),
                0x1b => self.state = State::TextEscape,
                _ => {}
            },
            State::TextEscape if byte == b'\\' => self.reset(),
            State::TextEscape => self.escape(byte, out),
            State::Utf8(left) => self.utf8(byte, left, out),
        }
    }

    /// Whether a sequence is half there, or a text.
    pub fn is_waiting(&self) -> bool {
        self.pasting || self.state != State::Ground
    }

    /// No more bytes came in time: a lone escape was the Esc key; half of anything else is dropped, because acting
    /// on the pieces could cancel a boot.
    pub fn give_up(&mut self) -> Option<Input> {
        // Whose closing bracket was lost is at its end, too.
        let pasting = std::mem::take(&mut self.pasting);
        let lone = self.state == State::Escape && !pasting;
        self.reset();
        lone.then(|| key(KeyCode::Esc))
    }

    fn reset(&mut self) {
        self.state = State::Ground;
        self.held.clear();
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.held.clear();
    }

    fn ground(&mut self, byte: u8, out: &mut Vec<Input>) {
        match byte {
            0x1b => self.enter(State::Escape),
            // The 8-bit forms of CSI and SS3: no character begins with these bytes.
            0x9b => self.enter(State::Csi),
            0x8f => self.enter(State::Ss3),
            b'\r' => {
                self.after_return = true;
                out.push(key(KeyCode::Enter));
            }
            b'\n' => out.push(key(KeyCode::Enter)),
            b'\t' => out.push(key(KeyCode::Tab)),
            0x08 | 0x7f => out.push(key(KeyCode::Backspace)),
            // Telnet puts it behind a carriage return.
            0x00 => {}
            0x01..=0x1a => out.push(control(byte - 1 + b'a')),
            0x1c..=0x1f => out.push(control(byte + 0x40)),
            0x20..=0x7e => out.push(key(KeyCode::Char(char::from(byte)))),
            0xc2..=0xdf => self.begin_utf8(byte, 1),
            0xe0..=0xef => self.begin_utf8(byte, 2),
            0xf0..=0xf4 => self.begin_utf8(byte, 3),
            _ => {}
        }
    }

    fn begin_utf8(&mut self, byte: u8, more: u8) {
        self.enter(State::Utf8(more));
        self.held.push(byte);
    }

    fn utf8(&mut self, byte: u8, left: u8, out: &mut Vec<Input>) {
        if !(0x80..=0xbf).contains(&byte) {
            self.reset();
            return self.ground(byte, out);
        }
        self.held.push(byte);
        if left > 1 {
            self.state = State::Utf8(left - 1);
            return;
        }
        if let Some(c) = std::str::from_utf8(&self.held).ok().and_then(|s| s.chars().next()) {
            out.push(key(KeyCode::Char(c)));
        }
        self.reset();
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<Input>) {
        match byte {
            b'[' => self.enter(State::Csi),
            b'O' => self.enter(State::Ss3),
            b'P' | b']' | b'X' | b'^' | b'_' => self.enter(State::Text),
            0x1b => {
                out.push(key(KeyCode::Esc));
                self.enter(State::Escape);
            }
            // Esc and another key soon after it; nothing here has a meaning for Alt.
            _ => {
                out.push(key(KeyCode::Esc));
                self.reset();
                self.ground(byte, out);
            }
        }
    }

    fn csi(&mut self, byte: u8, out: &mut Vec<Input>) {
        match byte {
            b'[' if self.held.is_empty() => self.enter(State::LinuxFunction),
            b'M' if self.held.is_empty() => self.enter(State::Mouse(3)),
            0x20..=0x3f => {
                if self.held.len() < LONGEST_SEQUENCE {
                    self.held.push(byte);
                }
            }
            b'~' if matches!(self.held.as_slice(), b"200" | b"201") => {
                self.pasting = self.held.ends_with(b"0");
                self.reset();
            }
            0x40..=0x7e => {
                out.extend(csi_input(&self.held, byte));
                self.reset();
            }
            0x00..=0x1f => {
                // Broken off; what breaks it off still counts.
                self.reset();
                self.ground(byte, out);
            }
            _ => self.reset(),
        }
    }

    fn ss3(&mut self, byte: u8, out: &mut Vec<Input>) {
        match byte {
            // Modifiers, as some terminals send them.
            b'0'..=b'9' | b';' if self.held.len() < LONGEST_SEQUENCE => self.held.push(byte),
            b'A'..=b'Z' => {
                out.extend(final_letter(byte).or((byte == b'M').then_some(KeyCode::Enter)).map(key));
                self.reset();
            }
            // The keypad in application mode: `p` is 0, `l` a comma.
            b'j'..=b'y' => {
                out.push(key(KeyCode::Char(char::from(byte - b'j' + b'*'))));
                self.reset();
            }
            0x00..=0x1f => {
                self.reset();
                self.ground(byte, out);
            }
            _ => self.reset(),
        }
    }
}

/// What it is as a part of a text that is pasted. The answer to a question may come in between.
fn as_text(input: Input) -> Option<Input> {
    match input {
        Input::Key(KeyEvent { code: KeyCode::Char(c), modifiers: KeyModifiers::NONE, .. }) => {
            Some(Input::Pasted(c))
        }
        Input::Key(_) => None,
        other => Some(other),
    }
}

fn key(code: KeyCode) -> Input {
    Input::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn control(letter: u8) -> Input {
    Input::Key(KeyEvent::new(KeyCode::Char(char::from(letter)), KeyModifiers::CONTROL))
}

/// A finished `ESC [ parameters final`; absent: a reply to a question that was not ours, or no key we know.
fn csi_input(parameters: &[u8], last: u8) -> Option<Input> {
    let text = std::str::from_utf8(parameters).ok()?;
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b';') {
        return None;
    }
    let mut numbers = text.split(';').map(|n| n.parse::<u16>().ok());
    let (first, second) = (numbers.next().flatten(), numbers.next().flatten());
    if let (b'R', Some(rows), Some(columns)) = (last, first, second) {
        // Row 1 would be F3 with a modifier; a screen of one row does not exist.
        return (rows > 1).then_some(Input::Size { columns, rows });
    }
    let code = match (last, first) {
        (b'~', Some(number)) => numbered(number)?,
        (b'Z', _) => KeyCode::BackTab,
        _ => final_letter(last)?,
    };
    Some(Input::Key(KeyEvent::new(code, modifiers(second))))
}

fn final_letter(last: u8) -> Option<KeyCode> {
    Some(match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'H' => KeyCode::Home,
        b'F' => KeyCode::End,
        b'P'..=b'S' => KeyCode::F(last - b'P' + 1),
        _ => return None,
    })
}

fn numbered(number: u16) -> Option<KeyCode> {
    Some(match number {
        1 | 7 => KeyCode::Home,
        2 => KeyCode::Insert,
        3 => KeyCode::Delete,
        4 | 8 => KeyCode::End,
        5 => KeyCode::PageUp,
        6 => KeyCode::PageDown,
        11..=15 => KeyCode::F(number as u8 - 10),
        17..=21 => KeyCode::F(number as u8 - 11),
        23 | 24 => KeyCode::F(number as u8 - 12),
        _ => return None,
    })
}

/// xterm's second parameter: one more than the sum of Shift 1, Alt 2, Ctrl 4.
fn modifiers(parameter: Option<u16>) -> KeyModifiers {
    let bits = parameter.unwrap_or(1).saturating_sub(1);
    let mut all = KeyModifiers::NONE;
    for (bit, modifier) in [(1, KeyModifiers::SHIFT), (2, KeyModifiers::ALT), (4, KeyModifiers::CONTROL)] {
        all.set(modifier, bits & bit != 0);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeyCode::{BackTab, Backspace, Char, Delete, Down, End, Enter, Esc, F, Home, PageDown, PageUp, Up};

    /// Every key a terminal may send, with what it means.
    const KEYS: &[(&[u8], KeyCode)] = &[
        (b"\x1b[A", Up),
        (b"\x1bOA", Up),
        (b"\x1b[B", Down),
        (b"\x1bOB", Down),
        (b"\x9bB", Down),
        (b"\x1b[C", KeyCode::Right),
        (b"\x1bOD", KeyCode::Left),
        (b"\x1b[H", Home),
        (b"\x1bOH", Home),
        (b"\x1b[1~", Home),
        (b"\x1b[7~", Home),
        (b"\x1b[F", End),
        (b"\x1bOF", End),
        (b"\x1b[4~", End),
        (b"\x1b[8~", End),
        (b"\x1b[5~", PageUp),
        (b"\x1b[6~", PageDown),
        (b"\x1b[3~", Delete),
        (b"\x1b[2~", KeyCode::Insert),
        (b"\x1b[Z", BackTab),
        (b"\x1bOP", F(1)),
        (b"\x1b[11~", F(1)),
        (b"\x1b[[A", F(1)),
        (b"\x1b[[E", F(5)),
        (b"\x1b[15~", F(5)),
        (b"\x1b[17~", F(6)),
        (b"\x1b[21~", F(10)),
        (b"\x1b[24~", F(12)),
        (b"\x1bOM", Enter),
        (b"\x1bOq", Char('1')),
        (b"\r", Enter),
        (b"\n", Enter),
        (b"\r\n", Enter),
        (b"\r\0", Enter),
        (b"\x7f", Backspace),
        (b"\x08", Backspace),
        (b"\t", KeyCode::Tab),
        (b"j", Char('j')),
        (b"?", Char('?')),
        ("\u{e4}".as_bytes(), Char('\u{e4}')),
        ("\u{20ac}".as_bytes(), Char('\u{20ac}')),
        ("\u{1f97e}".as_bytes(), Char('\u{1f97e}')),
    ];

    /// What terminals say without being a key.
    const STRAY: &[&[u8]] = &[
        b"\x1b[?1;2c",
        b"\x1b[>41;354;0c",
        b"\x1b[0n",
        b"\x1b[?2026;2$y",
        b"\x1b]11;rgb:0000/0000/0000\x1b\\",
        b"\x1b]11;rgb:0000/0000/0000\x07",
        b"\x1bP1$r0m\x1b\\",
        b"\x1bP>|XTerm(370)\x1b\\",
        b"\x1b[200~\x1b[201~",
        b"\x1b[200~\r\x1b[A\x03\x1b[201~",
        b"\x1b[I",
        b"\x1b[O",
        b"\x1b[M !!",
        b"\x1b[<0;10;10M",
        b"\x1b[1;2R",
        b"\x1b[13;1u",
        b"\x1b[99999999999999999999~",
        b"\xff\xfe\x80",
        b"\xc3",
        b"\0",
    ];

    fn all(parser: &mut Parser, bytes: &[u8]) -> Vec<Input> {
        let mut out = Vec::new();
        bytes.iter().for_each(|b| parser.push(*b, &mut out));
        out
    }

    fn parsed(bytes: &[u8]) -> Vec<Input> {
        let mut parser = Parser::default();
        let mut out = all(&mut parser, bytes);
        out.extend(parser.give_up());
        out
    }

    #[test]
    fn every_encoding_of_a_key_is_that_key() {
        for (bytes, code) in KEYS {
            assert_eq!(parsed(bytes), [key(*code)], "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_key_is_swallowed_and_the_next_key_is_heard() {
        for bytes in STRAY {
            assert_eq!(parsed(bytes), [], "{}", bytes.escape_ascii());
            let then_key = [bytes, &b"\x1b[A"[..]].concat();
            assert_eq!(parsed(&then_key), [key(Up)], "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_sequence_given_up_anywhere_never_leaves_a_key_that_was_not_pressed() {
        for (bytes, _) in KEYS.iter().filter(|(b, _)| b.len() > 1 && b[0] == 0x1b) {
            for cut in 1..bytes.len() {
                let mut parser = Parser::default();
                assert_eq!(all(&mut parser, &bytes[..cut]), [], "{}", bytes[..cut].escape_ascii());
                assert!(parser.is_waiting());
                let expected = (cut == 1).then(|| key(Esc));
                assert_eq!(parser.give_up(), expected, "{}", bytes[..cut].escape_ascii());
                assert!(!parser.is_waiting());
                assert_eq!(all(&mut parser, b"x"), [key(Char('x'))]);
            }
        }
    }

    #[test]
    fn two_sequences_run_together_are_two_keys() {
        for (first, one) in KEYS {
            for (second, two) in KEYS {
                if first.ends_with(b"\r") && second.starts_with(b"\n") {
                    continue;
                }
                let both = [*first, *second].concat();
                assert_eq!(parsed(&both), [key(*one), key(*two)], "{}", both.escape_ascii());
            }
        }
    }

    #[test]
    fn escape_before_another_key_is_the_escape_key() {
        assert_eq!(parsed(b"\x1b"), [key(Esc)]);
        assert_eq!(parsed(b"\x1b\x1b"), [key(Esc), key(Esc)]);
        assert_eq!(parsed(b"\x1bj"), [key(Esc), key(Char('j'))]);
        assert_eq!(parsed(b"\x1b\r"), [key(Esc), key(Enter)]);
        assert_eq!(parsed(b"\x1b\x1b[A"), [key(Esc), key(Up)]);
    }

    #[test]
    fn the_cursors_place_is_the_size() {
        assert_eq!(parsed(b"\x1b[24;80R"), [Input::Size { columns: 80, rows: 24 }]);
        assert_eq!(parsed(b"\x1b[60;200R"), [Input::Size { columns: 200, rows: 60 }]);
    }

    #[test]
    fn control_and_modified_keys_say_so() {
        assert_eq!(parsed(b"\x0c"), [control(b'l')]);
        assert_eq!(parsed(b"\x03"), [control(b'c')]);
        let ctrl_up = KeyEvent::new(Up, KeyModifiers::CONTROL);
        assert_eq!(parsed(b"\x1b[1;5A"), [Input::Key(ctrl_up)]);
    }

    #[test]
    fn a_text_that_is_pasted_is_no_keys() {
        let pasted = |text: &str| text.chars().map(Input::Pasted).collect::<Vec<_>>();
        let q = || Input::Key(KeyEvent::new(Char('q'), KeyModifiers::NONE));
        let all = [pasted("rry\u{e4}"), vec![q()]].concat();
        assert_eq!(parsed("\x1b[200~r\x1br\r\ny\u{e4}\x1b[201~q".as_bytes()), all);
        let size = Input::Size { columns: 80, rows: 24 };
        assert_eq!(parsed(b"\x1b[200~a\x1b[24;80R\x1b[201~"), [Input::Pasted('a'), size]);
        // The end of it got lost.
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        b"\x1b[200~r".iter().for_each(|b| parser.push(*b, &mut out));
        assert!(parser.is_waiting() && parser.give_up().is_none() && !parser.is_waiting());
        parser.push(b'q', &mut out);
        assert_eq!(out, [Input::Pasted('r'), q()]);
    }

    #[test]
    fn a_sequence_broken_off_by_a_key_lets_the_key_through() {
        assert_eq!(parsed(b"\x1b[1\r"), [key(Enter)]);
        assert_eq!(parsed(b"\x1b[1\x1b[A"), [key(Up)]);
    }

    #[test]
    fn noise_is_survived() {
        // A fixed linear congruential generator: the same noise at every run.
        let mut seed = 1u32;
        let mut parser = Parser::default();
        let mut out = Vec::new();
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            parser.push((seed >> 24) as u8, &mut out);
            assert!(parser.held.len() <= LONGEST_SEQUENCE);
        }
        parser.give_up();
        out.clear();
        parser.push(b'x', &mut out);
        assert_eq!(out, [key(Char('x'))]);
    }
}
