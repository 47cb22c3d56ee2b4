//! Complaints with place and way out, and the page they are collected on. What is worth a complaint is decided by
//! the readers of the written catalog.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use super::places::Placed;
use crate::order;
use crate::secrets::{hidden, starred, valueless};

/// Whether a problem stops something from booting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Error,
    Warning,
}

/// Something wrong in a catalog, at the place of the wrong key or value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    pub severity: Severity,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Characters that are marked, at least 1, never beyond the line.
    pub width: usize,
    pub message: String,
    pub hint: Option<String>,
    /// The line as written, without its end; of an endless line only the part around the problem.
    pub source_line: String,
    /// Characters of the line that come before `source_line`.
    #[serde(skip)]
    pub(super) left_out: usize,
}

/// More are counted, but not kept: nobody reads them, and a catalog of nothing but errors must not fill the memory.
const MOST_KEPT: usize = 1000;

/// Characters of a line that are shown; of a longer one, the part around the problem.
const LINE_SHOWN: usize = 160;

/// Characters of a wrong value that are repeated in a message.
const VALUE_SHOWN: usize = 80;

impl Problem {
    /// A problem with the bytes `span` of `text`, which begin in `line`.
    pub(super) fn at(
        text: &str,
        line: usize,
        span: Range<usize>,
        severity: Severity,
        message: String,
    ) -> Self {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |n| n + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |n| start + n);
        let line_text = &*starred(&valueless(&text[line_start..line_end]));
        let end = floor(text, span.end).clamp(start, line_end);
        let before = text[line_start..start].chars().count();
        let long = line_text.chars().nth(LINE_SHOWN).is_some();
        let left_out = if long { before.saturating_sub(LINE_SHOWN / 2) } else { 0 };
        Self {
            severity,
            line,
            column: before + 1,
            width: text[start..end].trim_end().chars().count().max(1),
            message: hidden(&message),
            hint: None,
            source_line: line_text.trim_end_matches('\r').chars().skip(left_out).take(LINE_SHOWN).collect(),
            left_out,
        }
    }

    /// `FILE:LINE:COLUMN: error: message`, the line, a caret under the place, and the hint if there is one. Nothing in
    /// it can steer a terminal, whatever the catalog holds. Ends without a newline.
    pub fn render(&self, origin: &str) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut text = format!("{origin}:{}:{}: {severity}: {}\n", self.line, self.column, self.message);
        let shown: Vec<char> = self.source_line.chars().map(harmless).collect();
        let at = (self.column - 1 - self.left_out).min(shown.len());
        text.extend(&shown);
        text.push('\n');
        for &c in &shown[..at] {
            match c {
                '\t' => text.push('\t'),
                c => text.extend(std::iter::repeat_n(' ', cells(c))),
            }
        }
        let marked = &shown[at..shown.len().min(at + self.width)];
        let width: usize = marked.iter().map(|&c| cells(c)).sum();
        text.extend(std::iter::repeat_n('^', width.max(1)));
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }
}

/// The text of a catalog and what was found wrong in it so far.
pub(super) struct Page<'a> {
    text: &'a str,
    /// Where the lines after the first begin.
    lines: Vec<usize>,
    noted: RefCell<Vec<(usize, Option<usize>, Problem)>>,
    /// The entry that is being read.
    entry: Cell<Option<usize>>,
    errors: Cell<usize>,
    refused: Cell<bool>,
    artifacts: RefCell<Vec<Placed>>,
}

impl<'a> Page<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            lines: text.match_indices('\n').map(|(at, _)| at + 1).collect(),
            noted: RefCell::default(),
            entry: Cell::new(None),
            errors: Cell::new(0),
            refused: Cell::new(false),
            artifacts: RefCell::default(),
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The line, from 1, that the byte `at` stands in.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at) + 1
    }

    /// An error: inside an entry it refuses the entry, else the file.
    pub(super) fn error(&self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.refused.set(self.refused.get() || self.entry.get().is_none());
        self.fault(span, message, hint);
    }

    /// An error that refuses nothing beyond what is refused already.
    pub(super) fn fault(&self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.errors.set(self.errors.get() + 1);
        self.note(span, Severity::Error, message.into(), hint);
    }

    pub(super) fn warning(&self, span: &Range<usize>, message: impl Into<String>, hint: &str) {
        self.note(span, Severity::Warning, message.into(), Some(hint.into()));
    }

    /// Runs `read` for the entry `index`; with what it gave, whether it found errors.
    pub(super) fn within<T>(&self, index: usize, read: impl FnOnce() -> T) -> (T, bool) {
        let before = self.errors.get();
        self.entry.set(Some(index));
        let value = read();
        self.entry.set(None);
        (value, self.errors.get() > before)
    }

    /// Whether more problems are only counted.
    pub(super) fn full(&self) -> bool {
        self.noted.borrow().len() > MOST_KEPT
    }

    /// Whether the file as a whole is refused.
    pub(super) fn refused(&self) -> bool {
        self.refused.get()
    }

    /// Everything noted, in file order, each with the entry it was found in.
    pub(super) fn finish(self) -> Vec<(Option<usize>, Problem)> {
        let mut noted = self.noted.into_inner();
        order::by_key(&mut noted, |(start, _, _)| *start);
        noted.into_iter().map(|(_, entry, problem)| (entry, problem)).collect()
    }

    /// Keeps where an artifact's locations stand.
    pub(super) fn place(&self, artifact: Placed) {
        self.artifacts.borrow_mut().push(artifact);
    }

    /// Every artifact that was read.
    pub(super) fn into_artifacts(self) -> Vec<Placed> {
        self.artifacts.into_inner()
    }

    fn note(&self, span: &Range<usize>, severity: Severity, message: String, hint: Option<String>) {
        let mut noted = self.noted.borrow_mut();
        if noted.len() < MOST_KEPT {
            let problem = Problem::at(self.text, self.line(span.start), span.clone(), severity, message);
            noted.push((span.start, self.entry.get(), Problem { hint, ..problem }));
        } else if noted.len() == MOST_KEPT {
            let message = format!("only the first {MOST_KEPT} problems found are shown");
            noted.push((self.text.len(), None, Problem::at(self.text, 1, 0..0, Severity::Warning, message)));
        }
    }
}

/// A value as it may stand in a message: quoted, escaped, not endless.
pub(super) fn quoted(value: &str) -> String {
    match value.char_indices().nth(VALUE_SHOWN) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// The known word that `word` was probably meant to be.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word: Vec<char> = word.to_lowercase().chars().take(64).collect();
    let (distance, best) =
        known.into_iter().map(|k| (distance(&word, k), k)).min_by_key(|(distance, _)| *distance)?;
    (distance <= (best.chars().count().min(word.len()) / 4).max(1)).then_some(best)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

fn harmless(c: char) -> char {
    if c != '\t' && steers(c) { '?' } else { c }
}

/// Characters that steer a terminal or turn the order of what is read.
pub(super) fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Cells of a character on a terminal, nearly (Unicode TR 11): enough to put a caret under it.
fn cells(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, span: Range<usize>) -> String {
        let line = Page::new(text).line(span.start);
        Problem::at(text, line, span, Severity::Error, "m".into()).render("f")
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        assert_eq!(rendered("a = 1\nbb = 22\n", 11..13), "f:2:6: error: m\nbb = 22\n     ^^");
        assert_eq!(rendered("\tbb = 22", 6..8), "f:1:7: error: m\n\tbb = 22\n\t     ^^");
        assert_eq!(rendered("\"日本\" = 1", 11..12), "f:1:8: error: m\n\"日本\" = 1\n         ^");
    }

    #[test]
    fn any_span_has_a_place() {
        assert_eq!(rendered("", 0..0), "f:1:1: error: m\n\n^");
        assert_eq!(rendered("a\r\nb", 0..9), "f:1:1: error: m\na\n^");
        assert_eq!(rendered("é", 1..7), "f:1:1: error: m\né\n^");
        let long = "x".repeat(1000);
        assert!(rendered(&long, 900..910).ends_with(&format!("\n{}^^^^^^^^^^", " ".repeat(80))));
    }

    #[test]
    fn nothing_in_a_rendering_steers_a_terminal() {
        assert!(!rendered("a\u{1b}[31m\u{202e}b", 0..1).contains(['\u{1b}', '\u{202e}']));
        assert_eq!(quoted("\u{1b}x"), r#""\u{1b}x""#);
    }

    #[test]
    fn a_slip_of_the_finger_is_known() {
        let known = ["title", "timeout", "default", "id"];
        assert_eq!(nearest("tiltle", known), Some("title"));
        assert_eq!(nearest("Timeuot", known), Some("timeout"));
        assert_eq!(nearest("ident", known), None);
        assert_eq!(nearest("colour", known), None);
    }
}
