//! All entries of a catalog: which of them stand, and what names one of them. How one is read is `entry`'s.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::entry::{self, Defaults};
use super::menu::Menu;
use super::problem::{Page, nearest, quoted};
use super::table::{At, Table, kind};
use super::{Action, Entry};
use crate::fetch::Location;

/// Entries of the longest catalog: more than a person scrolls through.
pub(super) const ENTRY_LIMIT: usize = 10_000;

/// Place in the file, id and title of a refused entry.
pub(super) type Name = (usize, Option<String>, Option<String>);

/// The entries, sorted into those that stand and those that do not.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) standing: Vec<Entry>,
    pub(super) refused: Vec<Name>,
    first_refused: bool,
}

impl Entries {
    pub(super) fn read(top: &Table, base: &Location, defaults: &Defaults) -> Self {
        let mut entries = Self::default();
        let mut lines = HashMap::new();
        for (index, value) in entry_tables(top).iter().enumerate() {
            let page = top.page;
            let mut name = (index, None, None);
            let (entry, wrong) = page.within(index, || {
                let table = Table::of(page, value, "the entry", "[[entry]] on a line of its own")?;
                let text = |key| Some(table.value(key)?.get_ref().as_str()?.to_owned());
                (name.1, name.2) = (text("id"), text("title"));
                unique(&table, &mut lines);
                entry::read(&table, base, defaults)
            });
            match entry.filter(|_| !wrong) {
                Some(entry) => entries.standing.push(entry),
                None => {
                    entries.first_refused |= index == 0;
                    entries.refused.push(name);
                }
            }
        }
        if top.key("entry").is_none() {
            top.page.warning(&(0..0), "the catalog has no entry", "add one: [[entry]]");
        }
        entries
    }

    /// The entry that boots by itself. Never another than the one meant: a refused one leaves none.
    pub(super) fn default_entry(&self, page: &Page, menu: &Menu) -> Option<usize> {
        let Some((id, place)) = &menu.default else {
            if menu.timeout.is_some() && self.standing.len() > 1 {
                let first = quoted(&self.standing[0].id);
                let message = format!("a timeout without a default boots the first entry, {first}");
                page.warning(&menu.timeout_place, message, "say which one in default = \"ID\"");
            }
            return (!self.standing.is_empty() && !self.first_refused).then_some(0);
        };
        let standing = self.standing.iter().position(|e| e.id == *id);
        if standing.is_none() {
            self.absent(page, id, &[], place, "nothing boots by itself");
        }
        standing
    }

    /// What follows when an unattended boot is given up.
    pub(super) fn on_failure(&self, page: &Page, written: Option<At<String>>) -> Action {
        let Some((word, place)) = written else { return Action::Reboot };
        match word.as_str() {
            "reboot" => Action::Reboot,
            "poweroff" => Action::PowerOff,
            "hold" => Action::Hold,
            "menu" => {
                let hint = "write \"reboot\", \"poweroff\", \"hold\" or an entry's id".to_owned();
                page.error(&place, "\"on_failure\": \"menu\" is only for the end of a job", Some(hint));
                Action::Reboot
            }
            id if self.standing.iter().any(|e| e.id == id) => Action::Entry(word),
            id => {
                let actions = ["reboot", "poweroff", "hold"];
                self.absent(page, id, &actions, &place, "the machine is rebooted instead");
                Action::Reboot
            }
        }
    }

    /// Complains of an id that names no standing entry: a refused one costs `so`, an unknown one the file. It may
    /// have been meant to be one of `words`.
    fn absent(&self, page: &Page, id: &str, words: &[&str], place: &Range<usize>, so: &str) {
        if self.refused.iter().any(|(_, refused, _)| refused.as_deref() == Some(id)) {
            page.fault(place, format!("entry {} is refused: {so}", quoted(id)), None);
            return;
        }
        let known = words.iter().copied().chain(self.standing.iter().map(|e| e.id.as_str()));
        let known = known.chain(self.refused.iter().filter_map(|(_, id, _)| id.as_deref()));
        let hint = nearest(id, known).map(|known| format!("did you mean {}?", quoted(known)));
        page.error(place, format!("there is no entry {}", quoted(id)), hint);
    }
}

/// The values of `[[entry]]`, as far as they are counted.
fn entry_tables<'a>(top: &Table<'a>) -> &'a [Spanned<DeValue<'a>>] {
    let Some(value) = top.value("entry") else { return &[] };
    match value.get_ref() {
        DeValue::Array(items) if items.len() > ENTRY_LIMIT => {
            let message = format!("the catalog has {} entries; at most {ENTRY_LIMIT} are read", items.len());
            top.page.error(&items[ENTRY_LIMIT].span(), message, None);
            &items[..ENTRY_LIMIT]
        }
        DeValue::Array(items) => items,
        other => {
            let hint = Some("write [[entry]], with two brackets".into());
            top.page.error(&value.span(), format!("\"entry\" must be a list, this is {}", kind(other)), hint);
            &[]
        }
    }
}

/// Complains of an id that an earlier entry has.
fn unique<'a>(table: &Table<'a>, lines: &mut HashMap<&'a str, usize>) {
    let Some(value) = table.value("id") else { return };
    let Some(id) = value.get_ref().as_str() else { return };
    let line = table.page.line(value.span().start);
    match lines.get(id) {
        Some(first) => {
            let message = format!("id {} is taken by the entry in line {first}", quoted(id));
            table.page.error(&value.span(), message, Some("ids are unique: choose another".into()));
        }
        None => {
            lines.insert(id, line);
        }
    }
}
