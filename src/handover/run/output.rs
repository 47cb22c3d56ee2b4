//! What a job said: as bytes in a bounded file, and as lines a person can read. Showing it as a terminal would is the
//! screen's.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The file of what was said; when it is full, the older half goes, and its first line says how much went.
#[derive(Debug)]
pub struct Record {
    file: File,
    /// Bytes the file may hold.
    most: u64,
    /// Bytes in the file now.
    length: u64,
    /// Bytes that were said in all.
    said: u64,
}

impl Record {
    /// Begins a new one; what was there before goes.
    ///
    /// # Errors
    /// Of making it, and the directory it is in.
    pub fn create(path: &Path, most: u64) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        file.set_len(0)?;
        Ok(Self { file, most, length: 0, said: 0 })
    }

    /// Appends, byte for byte.
    ///
    /// # Errors
    /// Of reading or writing it.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.said += bytes.len() as u64;
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        if self.length > self.most { self.halve() } else { Ok(()) }
    }

    /// Keeps the newer half, from the beginning of a line on where there is one.
    fn halve(&mut self) -> io::Result<()> {
        let mut from = &self.file;
        from.seek(SeekFrom::Start(self.length.saturating_sub(self.most / 2)))?;
        let mut newer = Vec::new();
        from.read_to_end(&mut newer)?;
        let line = newer.as_slice().skip_until(b'\n')?;
        if line < newer.len() {
            newer.drain(..line);
        }
        let head = format!("[bootjack: the first {} bytes are not kept]\n", self.said - newer.len() as u64);
        self.file.set_len(0)?;
        self.file.write_all(head.as_bytes())?;
        self.file.write_all(&newer)?;
        self.length = (head.len() + newer.len()) as u64;
        Ok(())
    }
}

/// A longer line than this is broken (bytes).
const LINE_MAX: usize = 4096;

/// Lines as they look at last: what a carriage return overwrote is gone, and so is what moves a cursor or colours.
#[derive(Debug)]
pub struct Lines {
    done: VecDeque<String>,
    most: usize,
    dropped: usize,
    open: Vec<u8>,
    /// A carriage return came: the next character writes over the line.
    returned: bool,
    state: State,
}

/// Where in a control sequence of ECMA-48 the last byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Escape,
    /// `ESC [`: until a final byte.
    Control,
    /// `ESC ]` and its like: until BEL or `ESC \`.
    String,
    StringEscape,
    /// `ESC (` and its like: one more byte.
    Designate,
}

impl Lines {
    /// Keeps the newest `most` lines.
    pub fn new(most: usize) -> Self {
        let (done, open) = (VecDeque::new(), Vec::new());
        Self { done, most, dropped: 0, open, returned: false, state: State::Text }
    }

    /// Takes what was said.
    pub fn push(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.byte(byte));
    }

    /// What is kept, oldest first, with a line that says so if older ones are not.
    pub fn all(&self) -> Vec<String> {
        let gone = (self.dropped > 0).then(|| format!("({} earlier lines are not kept)", self.dropped));
        gone.into_iter().chain(self.kept()).collect()
    }

    /// The newest `n`.
    pub fn last(&self, n: usize) -> Vec<String> {
        let all: Vec<String> = self.kept().collect();
        all[all.len().saturating_sub(n)..].to_vec()
    }

    fn kept(&self) -> impl Iterator<Item = String> {
        let open = (!self.open.is_empty()).then(|| text(&self.open));
        self.done.iter().cloned().chain(open)
    }

    fn byte(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::String, 0x07) => State::Text,
            (State::String, 0x1b) => State::StringEscape,
            (State::String, _) => State::String,
            (State::StringEscape, b'\\') => State::Text,
            (State::StringEscape, _) => State::String,
            (_, 0x1b) => State::Escape,
            (State::Escape, b'[') => State::Control,
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
            (State::Escape, 0x20..=0x2f) | (State::Designate, 0x20..=0x2f) => State::Designate,
            (State::Control, 0x20..=0x3f) => State::Control,
            (State::Escape | State::Control | State::Designate, 0x20..) => State::Text,
            // Control characters act within a sequence too.
            (state, byte) => {
                self.act(byte);
                state
            }
        };
    }

    fn act(&mut self, byte: u8) {
        match byte {
            b'\n' => return self.end_line(),
            b'\r' => {
                self.returned = true;
                return;
            }
            0x08 => {
                self.open.pop();
                return;
            }
            b'\t' => {}
            0..0x20 | 0x7f => return,
            _ => {}
        }
        if std::mem::take(&mut self.returned) {
            self.open.clear();
        }
        match byte {
            b'\t' => self.open.resize((self.open.len() / 8 + 1) * 8, b' '),
            _ => self.open.push(byte),
        }
        if self.open.len() >= LINE_MAX {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        self.returned = false;
        self.done.push_back(text(&self.open));
        self.open.clear();
        if self.done.len() > self.most {
            self.done.pop_front();
            self.dropped += 1;
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(said: &str) -> Vec<String> {
        let mut lines = Lines::new(100);
        lines.push(said.as_bytes());
        lines.all()
    }

    #[test]
    fn a_progress_bar_is_one_line_as_it_looked_at_last() {
        assert_eq!(lines("flashing\r\n 1 %\r50 %\r100 %\r\ndone\r\n"), ["flashing", "100 %", "done"]);
        assert_eq!(lines("12\x08\x083\n"), ["3"]);
        assert_eq!(lines("a\tb\nno end"), ["a       b", "no end"]);
    }

    #[test]
    fn what_moves_a_cursor_or_colours_is_no_text() {
        assert_eq!(
            lines("\x1b[1;31mred\x1b[m \x1b]0;title\x07x \x1b]8;;u\x1b\\y\x1b(B\x1b[2Kz\n"),
            ["red x yz"]
        );
        assert_eq!(lines("\x1b[12\x00;3Hhere\x07\n"), ["here"]);
        assert_eq!(lines("gr\u{fc}n\n"), ["gr\u{fc}n"]);
    }

    #[test]
    fn the_newest_lines_are_kept_and_the_rest_is_counted() {
        let mut lines = Lines::new(2);
        lines.push(b"1\n2\n3\n4\n");
        assert_eq!(lines.all(), ["(2 earlier lines are not kept)", "3", "4"]);
        assert_eq!(lines.last(1), ["4"]);
        lines.push(&vec![b'x'; 3 * LINE_MAX]);
        assert!(lines.all().iter().all(|l| l.len() <= LINE_MAX), "a line without an end is broken");
    }

    #[test]
    fn a_full_record_keeps_the_newest_and_says_what_it_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below/job.log");
        let mut record = Record::create(&path, 1000).unwrap();
        for n in 0..1000 {
            record.write(format!("line {n}\n").as_bytes()).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() <= 1000 + 50, "{} bytes", text.len());
        assert!(text.ends_with("line 998\nline 999\n"), "{text}");
        let said: usize = (0..1000).map(|n| format!("line {n}\n").len()).sum();
        let (head, kept) = text.split_once('\n').unwrap();
        assert_eq!(head, format!("[bootjack: the first {} bytes are not kept]", said - kept.len()));
        assert!(kept.starts_with("line "), "{kept}");
        assert_eq!(Record::create(&path, 1000).unwrap().length, 0);
        assert_eq!(fs::read(&path).unwrap(), b"", "a second run begins anew");
    }

    #[test]
    fn one_line_that_is_longer_than_the_record_is_bounded_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.log");
        let mut record = Record::create(&path, 1000).unwrap();
        (0..100).for_each(|_| record.write(&[b'x'; 100]).unwrap());
        assert!(fs::metadata(&path).unwrap().len() <= 1050);
        assert!(fs::read(&path).unwrap().ends_with(b"xxxx"));
    }
}
