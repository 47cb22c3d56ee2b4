//! Splitting the command line into words as the kernel does (`next_arg` and `parse_args` of its lib/cmdline.c and
//! kernel/params.c), and finding the word that was meant. What the words mean is not known here.

use super::{CmdlineProblem, example};
use crate::secrets::hidden;

/// `name` or `name=value`, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

impl Word {
    /// The word again, without the quotes that it needed.
    pub(super) fn text(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.name),
            None => self.name.clone(),
        }
    }

    /// The value; empty where there is none.
    pub(super) fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    /// What is wrong with it, and how it is written right.
    pub(super) fn problem(&self, cause: impl Into<String>) -> CmdlineProblem {
        let harmless = |c: char| if c.is_control() { '?' } else { c };
        let hint = example::of(&self.name).map(|example| format!("such as {example}"));
        let word = hidden(&self.text().chars().map(harmless).collect::<String>());
        let cause = hidden(&cause.into().chars().map(harmless).collect::<String>());
        CmdlineProblem { word, cause, hint }
    }
}

/// The words before a bare `--`, and the texts after it, which are init's.
pub(super) fn split(text: &str) -> (Vec<Word>, Vec<String>) {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((word, after)) = next(rest) {
        rest = after;
        if word.name == "--" && word.value.is_none() {
            break;
        }
        words.push(word);
    }
    let mut arguments = Vec::new();
    while let Some((word, after)) = next(rest) {
        rest = after;
        arguments.push(word.text());
    }
    (words, arguments)
}

/// Every word with its text as written, quotes and all.
pub(super) fn pieces(text: &str) -> Vec<(Word, &str)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((word, after)) = next(rest) {
        let start = rest.trim_start_matches(is_space);
        pieces.push((word, &start[..start.len() - after.len()]));
        rest = after;
    }
    pieces
}

/// The first word and what comes after it. A quote opens or closes anywhere and keeps white space together; it is
/// taken off only around the whole word or the whole value. There are no escapes.
fn next(text: &str) -> Option<(Word, &str)> {
    let text = text.trim_start_matches(is_space);
    if text.is_empty() {
        return None;
    }
    let (quoted, text) = match text.strip_prefix('"') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let mut in_quote = quoted;
    let end = text.find(|c| {
        in_quote ^= c == '"';
        is_space(c) && !in_quote
    });
    let (word, after) = text.split_at(end.unwrap_or(text.len()));
    // A `=` that comes first is part of the name.
    let Some((equals, _)) = word.char_indices().find(|&(at, c)| c == '=' && at > 0) else {
        let name = if quoted { word.strip_suffix('"').unwrap_or(word) } else { word };
        return Some((Word { name: name.to_owned(), value: None }, after));
    };
    let (name, value) = (&word[..equals], &word[equals + 1..]);
    let value = match value.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
        None if quoted => value.strip_suffix('"').unwrap_or(value),
        None => value,
    };
    Some((Word { name: name.to_owned(), value: Some(value.to_owned()) }, after))
}

/// The kernel's `isspace`, but for byte 0xa0: that is half a letter in UTF-8.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

/// The known word that `word` was probably meant to be: at most two letters away, a short one at most one letter.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: Vec<char> = word.to_lowercase().chars().take(64).collect();
    let nearest = known.iter().map(|known| (distance(&word, known), *known)).min_by_key(|(d, _)| *d);
    nearest
        .filter(|(distance, known)| *distance <= if known.len() < 10 { 1 } else { 2 })
        .map(|(_, known)| known)
}

/// Insertions, deletions and replacements between two words (Levenshtein).
fn distance(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, Option<String>)> {
        split(text).0.into_iter().map(|w| (w.name, w.value)).collect()
    }

    fn one(text: &str) -> (String, Option<String>) {
        let mut words = words(text);
        assert_eq!(words.len(), 1, "{words:?}");
        words.remove(0)
    }

    fn pair(name: &str, value: &str) -> (String, Option<String>) {
        (name.into(), Some(value.into()))
    }

    #[test]
    fn words_are_split_and_unquoted_as_the_kernel_does() {
        assert_eq!(words(" a\tb\u{b}c \n").len(), 3);
        assert_eq!(one("a=b=c"), pair("a", "b=c"));
        assert_eq!(one("a="), pair("a", ""));
        assert_eq!(one("a=\"b c\""), pair("a", "b c"));
        assert_eq!(one("\"a=b c\""), pair("a", "b c"));
        assert_eq!(one("\"a b\""), ("a b".into(), None));
        assert_eq!(one("a=b\" \"c"), pair("a", "b\" \"c"));
        assert_eq!(one("a=\"b \"c"), pair("a", "b \"c"));
        assert_eq!(one("a=\"b c"), pair("a", "b c"));
        assert_eq!(one("a=\""), pair("a", ""));
        assert_eq!(one("\""), (String::new(), None));
        assert_eq!(one("=a"), ("=a".into(), None));
        assert_eq!(one("=a=b"), pair("=a", "b"));
        assert_eq!(one("a=\\\"b"), pair("a", "\\\"b"));
        assert_eq!(one("\"a=\"b\"\""), pair("a", "b\""));
    }

    #[test]
    fn only_a_bare_double_dash_ends_our_words() {
        let (words, arguments) = split("a --b --=c -- d \"e f\" --");
        assert_eq!(words.len(), 3);
        assert_eq!(arguments, ["d", "e f", "--"]);
    }

    #[test]
    fn no_text_is_too_odd() {
        for text in ["\"\"\"", "= \"=\" ==", "é=\"à", "--\"", "\u{a0}x", "a=\u{0}b"] {
            split(text);
        }
    }
}
