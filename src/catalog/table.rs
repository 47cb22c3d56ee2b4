//! A table of the written catalog and the values in it, each asked for by name and kind; what is not of that kind is
//! complained of where it stands. What the values mean is said by those who ask.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Page, nearest, quoted, steers};

/// A table with the place that lacks what it lacks.
pub(super) struct Table<'a> {
    pub(super) page: &'a Page<'a>,
    keys: &'a DeTable<'a>,
    /// The header of a table, the whole of an inline one.
    pub(super) place: Range<usize>,
    /// As messages call it: `[menu]`, `the entry`.
    name: &'static str,
}

/// A value and where it stands.
pub(super) type At<T> = (T, Range<usize>);

impl<'a> Table<'a> {
    /// The document itself.
    pub(super) fn top(page: &'a Page<'a>, keys: &'a DeTable<'a>) -> Self {
        Self { page, keys, place: 0..0, name: "the catalog" }
    }

    /// `value` as a table; `example` shows how one is written.
    pub(super) fn of(
        page: &'a Page<'a>,
        value: &'a Spanned<DeValue<'a>>,
        name: &'static str,
        example: &str,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(keys) => Some(Self { page, keys, place: value.span(), name }),
            other => {
                let message = format!("{name} must be a table, this is {}", kind(other));
                page.error(&value.span(), message, Some(format!("write {example}")));
                None
            }
        }
    }

    /// Complains of every key that is neither known, here or `elsewhere`, nor comes `later`.
    pub(super) fn only(&self, known: &[&str], elsewhere: &[&str], later: &[&str]) {
        for (key, _) in self.keys.iter() {
            let (word, place) = (key.get_ref().as_ref(), key.span());
            if later.contains(&word) {
                self.page.error(&place, format!("{} is not in this version", quoted(word)), None);
            } else if !known.contains(&word) && !elsewhere.contains(&word) {
                if self.page.full() {
                    // The hint, which costs much, would not be kept.
                    self.page.error(&place, "", None);
                    continue;
                }
                let hint = nearest(word, known.iter().chain(elsewhere).copied())
                    .map(|k| format!("did you mean {k:?}?"));
                let hint = hint.or_else(|| Some(format!("known here: {}", known.join(", "))));
                self.page.error(&place, format!("unknown key {} in {}", quoted(word), self.name), hint);
            }
        }
    }

    /// The place of a key that is there.
    pub(super) fn key(&self, key: &str) -> Option<Range<usize>> {
        self.keys.get_key_value(key).map(|(key, _)| key.span())
    }

    /// A key's value, whatever it is.
    pub(super) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.keys.get(key)
    }

    /// Complains that a key is missing.
    pub(super) fn lacks(&self, key: &str, hint: &str) {
        self.page.error(&self.place, format!("{} lacks {key:?}", self.name), Some(hint.into()));
    }

    /// A table in this one.
    pub(super) fn table(&self, key: &str, name: &'static str, example: &str) -> Option<Table<'a>> {
        Table::of(self.page, self.value(key)?, name, example)
    }

    /// A text that may go to a terminal, and is not empty.
    pub(super) fn text(&self, key: &str) -> Option<At<&'a str>> {
        let value = self.value(key)?;
        text(self.page, value, &format!("{key:?}"))
    }

    /// A text as [`Self::text`], or an empty one.
    pub(super) fn text_or_nothing(&self, key: &str) -> Option<At<&'a str>> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some("") => Some(("", value.span())),
            _ => self.text(key),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<At<&'a str>>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Array(_) => Some(list(self.page, value, key)),
            other => {
                let message = format!("{key:?} must be a list of texts, this is {}", kind(other));
                self.page.error(&value.span(), message, Some(format!("write {key} = [\"…\"]")));
                None
            }
        }
    }

    /// A text or a list of at least one.
    pub(super) fn text_or_texts(&self, key: &str) -> Option<Vec<At<&'a str>>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Array(items) if items.is_empty() => {
                self.page.error(&value.span(), format!("the list {key:?} is empty"), None);
                None
            }
            DeValue::Array(_) => Some(list(self.page, value, key)),
            DeValue::String(_) => text(self.page, value, &format!("{key:?}")).map(|one| vec![one]),
            other => {
                let message = format!("{key:?} must be a text or a list of texts, this is {}", kind(other));
                self.page.error(&value.span(), message, None);
                None
            }
        }
    }

    /// A whole number from 0.
    pub(super) fn integer(&self, key: &str) -> Option<At<u64>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Integer(_) => integer(self.page, value, key).map(|n| (n, value.span())),
            other => {
                let message = format!("{key:?} must be a whole number, this is {}", kind(other));
                self.page.error(&value.span(), message, None);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn truth(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            other => {
                let message = format!("{key:?} must be true or false, this is {}", kind(other));
                self.page.error(&value.span(), message, None);
                None
            }
        }
    }

    /// A text that `read` understands, such as `example`; its errors follow the value.
    pub(super) fn read<T>(
        &self,
        key: &str,
        example: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let value = self.value(key)?;
        if !value.get_ref().is_str() {
            let message = format!("{key:?} must be a text, this is {}", kind(value.get_ref()));
            self.page.error(&value.span(), message, Some(format!("write {key} = {example}")));
            return None;
        }
        let (text, place) = self.text(key)?;
        match read(text) {
            Ok(value) => Some((value, place)),
            Err(why) => {
                self.page.error(&place, format!("{key:?}: {} {why}", quoted(text)), None);
                None
            }
        }
    }
}

/// A whole number from 0 in any of TOML's notations.
pub(super) fn integer(page: &Page, value: &Spanned<DeValue>, key: &str) -> Option<u64> {
    let written = value.get_ref().as_integer()?;
    if let Ok(number) = u64::from_str_radix(written.as_str(), written.radix()) {
        return Some(number);
    }
    let negative = written.as_str().starts_with('-');
    let why = if negative { "must not be negative" } else { "is larger than any number here can be" };
    page.error(&value.span(), format!("{key:?} {why}"), None);
    None
}

/// What a value is, for a message.
pub(super) fn kind(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn list<'a>(page: &Page, value: &'a Spanned<DeValue<'a>>, key: &str) -> Vec<At<&'a str>> {
    let items = value.get_ref().as_array().into_iter().flat_map(|items| items.iter());
    items.filter_map(|item| text(page, item, &format!("an item of {key:?}"))).collect()
}

fn text<'a>(page: &Page, value: &'a Spanned<DeValue<'a>>, what: &str) -> Option<At<&'a str>> {
    let place = value.span();
    match value.get_ref() {
        DeValue::String(text) if text.is_empty() => page.error(&place, format!("{what} is empty"), None),
        DeValue::String(text) => match text.chars().find(|&c| steers(c)) {
            None => return Some((text.as_ref(), place)),
            Some(c) => {
                let message = format!("{what} has a control character, U+{:04X}", u32::from(c));
                page.error(&place, message, Some("texts are shown on terminals: one plain line each".into()));
            }
        },
        other => page.error(&place, format!("{what} must be a text, this is {}", kind(other)), None),
    }
    None
}
