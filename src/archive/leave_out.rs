//! What packing leaves out: names by pattern, as `tar --anchored --exclude` has them, and device nodes. Reading the tree or
//! the archive is others'.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::member::{Kind, Member};
use super::tree::clean;

/// Below which device nodes are left out, where that is asked for.
const DEVICES: &[u8] = b"dev/";

/// What is not packed.
#[derive(Clone, Debug, Default)]
pub struct LeaveOut {
    /// Names, and all that is below them.
    pub names: Vec<Pattern>,
    /// Device nodes below `dev/`.
    pub devices: bool,
}

/// A pattern for names relative to the root. `*` and `?` match a slash, too, as they do for GNU tar.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
    matched: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Is(char),
    /// Ranges, and whether the character must be outside of them.
    Among(Vec<(char, char)>, bool),
}

/// Why a text is no pattern; says which and gives a right one.
#[derive(Debug, PartialEq, Eq)]
pub struct BadPattern(String);

impl std::fmt::Display for BadPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; a right one: `var/cache/*`", self.0)
    }
}

impl std::error::Error for BadPattern {}

impl Clone for Pattern {
    fn clone(&self) -> Self {
        let matched = AtomicBool::new(self.matched.load(Ordering::Relaxed));
        Self { text: self.text.clone(), parts: self.parts.clone(), matched }
    }
}

impl LeaveOut {
    /// Whether something of this name, relative to the root and `clean`, is left out for it.
    pub(super) fn name(&self, name: &[u8]) -> bool {
        // Each is asked, so that each knows whether it was of use.
        !name.is_empty() && self.names.iter().filter(|pattern| pattern.matches(name)).count() > 0
    }

    /// Whether a device node of this name is.
    pub(super) fn device(&self, name: &[u8]) -> bool {
        self.devices && name.starts_with(DEVICES)
    }

    /// Whether a member of an archive is: for its name, or that of a directory it lies in. One whose name is refused later
    /// is not.
    pub(super) fn member(&self, member: &Member) -> bool {
        let Ok(name) = clean(&member.name) else { return false };
        let node = matches!(member.kind, Kind::Character { .. } | Kind::Block { .. });
        let ends = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        (node && self.device(&name)) || ends.chain([name.len()]).any(|end| self.name(&name[..end]))
    }

    /// Patterns nothing matched: misspelt, most likely.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        let unused = |pattern: &&Pattern| !pattern.matched.load(Ordering::Relaxed);
        self.names.iter().filter(unused).map(|pattern| pattern.text.as_str())
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let mut plain = text;
        while let Some(rest) = plain.strip_prefix("./").or_else(|| plain.strip_prefix('/')) {
            plain = rest;
        }
        let plain = plain.trim_end_matches('/');
        if plain.is_empty() || plain == "." {
            return Err(BadPattern(format!("{text:?} names the root itself, or nothing")));
        }
        if plain.split('/').any(|component| component == "..") {
            return Err(BadPattern(format!("{text:?} has a `..`: names are relative to the root")));
        }
        let mut parts = Vec::new();
        let mut rest = plain.chars();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' => Part::Any,
                '?' => Part::One,
                '[' => {
                    among(&mut rest).ok_or_else(|| BadPattern(format!("{text:?} has a `[` without `]`")))?
                }
                '\\' => Part::Is(
                    rest.next().ok_or_else(|| BadPattern(format!("{text:?} ends in a lone backslash")))?,
                ),
                c => Part::Is(c),
            });
        }
        Ok(Self { text: text.to_owned(), parts, matched: AtomicBool::new(false) })
    }
}

/// What stands between `[` and `]` (glob(7)): a `]` that comes first is one of the characters.
fn among(rest: &mut std::str::Chars<'_>) -> Option<Part> {
    let mut ranges = Vec::new();
    let mut ahead = rest.clone();
    let outside = matches!(ahead.next(), Some('!' | '^'));
    if outside {
        *rest = ahead;
    }
    loop {
        let first = match rest.next()? {
            ']' if !ranges.is_empty() => return Some(Part::Among(ranges, outside)),
            '\\' => rest.next()?,
            c => c,
        };
        let mut ahead = rest.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                *rest = ahead;
                if last == '\\' { rest.next()? } else { last }
            }
            _ => first,
        };
        ranges.push((first, last));
    }
}

impl Pattern {
    /// Whether all of the name is as the pattern says.
    fn matches(&self, name: &[u8]) -> bool {
        // A `*` takes as little as it can at first; whenever something does not fit, the last one takes more.
        let (mut part, mut at) = (0, 0);
        let mut again = None;
        let fits = loop {
            let (c, length) = first(&name[at..]);
            match self.parts.get(part) {
                None if length == 0 => break true,
                Some(Part::Any) => {
                    part += 1;
                    again = Some((part, at));
                    continue;
                }
                Some(one) if length > 0 && one.is(c) => {
                    (part, at) = (part + 1, at + length);
                    continue;
                }
                _ => {}
            }
            match again {
                Some((after, from)) if from < name.len() => {
                    let from = from + first(&name[from..]).1;
                    again = Some((after, from));
                    (part, at) = (after, from);
                }
                _ => break false,
            }
        };
        if fits {
            self.matched.store(true, Ordering::Relaxed);
        }
        fits
    }
}

impl Part {
    /// Whether a character is as this says; none stands for a byte that is no text.
    fn is(&self, c: Option<char>) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Is(wanted) => c == Some(*wanted),
            Self::Among(ranges, outside) => {
                c.is_some_and(|c| ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)))
                    != *outside
            }
        }
    }
}

/// The first character of a name and its length; names need not be text.
fn first(name: &[u8]) -> (Option<char>, usize) {
    let longest = &name[..name.len().min(4)];
    let text = match std::str::from_utf8(longest) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&longest[..e.valid_up_to()]).unwrap_or_default(),
    };
    match text.chars().next() {
        Some(c) => (Some(c), c.len_utf8()),
        None => (None, name.len().min(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_tar_matches_with_anchored() {
        for (pattern, name, want) in [
            ("var/cache", "var/cache", true),
            ("./var/cache/", "var/cache", true),
            ("/var/cache", "var/cache", true),
            ("cache", "var/cache", false),
            ("var/cache", "var/cache2", false),
            ("var", "var/cache", false),
            ("*.pyc", "usr/lib/a/b.pyc", true),
            ("var/*/x", "var/a/b/x", true),
            ("var/cache/*", "var/cache", false),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "axbxbx", false),
            ("*", "a", true),
            ("a?c", "a/c", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[^a-c]x", "ax", false),
            ("[]-]x", "]x", true),
            ("[]-]x", "-x", true),
            ("[a-]x", "-x", true),
            ("[é-ü]", "ö", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("[\\]]", "]", true),
        ] {
            assert_eq!(
                pattern.parse::<Pattern>().unwrap().matches(name.as_bytes()),
                want,
                "{pattern} {name}"
            );
        }
        let latin: Pattern = "latin-?".parse().unwrap();
        assert!(latin.matches(b"latin-\xe9") && !latin.matches(b"latin-\xe9\xe9"));
        assert!("latin-[!x]".parse::<Pattern>().unwrap().matches(b"latin-\xe9"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_right_one() {
        for text in ["", "/", "./", ".", "../x", "a/../b", "a/..", "[ab", "[]", "a\\"] {
            let error = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?}")) && error.ends_with("`var/cache/*`"), "{error}");
        }
    }

    #[test]
    fn a_pattern_nothing_matched_is_known() {
        let names = vec!["a".parse().unwrap(), "b*".parse().unwrap()];
        let leave_out = LeaveOut { names, devices: false };
        assert!(leave_out.name(b"bc") && !leave_out.name(b"c") && !leave_out.name(b""));
        assert_eq!(leave_out.unused().collect::<Vec<_>>(), ["a"]);
    }
}
