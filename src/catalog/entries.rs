//! All entries of a catalog: which of them stand, and what names one of them. How one is read is `entry`'s.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::entry::{self, Defaults};
use super::follow::{self, Followed};
use super::menu::Menu;
use super::problem::{Page, nearest, quoted};
use super::table::{At, Table, kind};
use super::{Action, Entry};
use crate::fetch::Location;
use crate::order;

/// Entries of the longest catalog: more than a person scrolls through.
pub(super) const ENTRY_LIMIT: usize = 10_000;

/// Ids that a wrong one is compared with: a hint is not worth more time.
const HINTED: usize = 1000;

/// Place among the entries of the file, id and title of a refused one.
pub(super) type Name = (usize, Option<String>, Option<String>);

/// The entries, sorted into those that stand and those that do not, both in the order written.
#[derive(Default)]
pub(super) struct Entries {
    /// Each with its place among all entries of the file.
    pub(super) standing: Vec<(usize, Entry)>,
    pub(super) refused: Vec<Name>,
}

impl Entries {
    pub(super) fn read(top: &Table, base: &Location, defaults: &Defaults) -> Self {
        let mut entries = Self::default();
        let (mut lines, mut hotkeys) = (HashMap::new(), HashMap::new());
        let mut jobs = Vec::new();
        for (index, value) in entry_tables(top).iter().enumerate() {
            let page = top.page;
            let mut name = (index, None, None);
            let mut named = Vec::new();
            let (entry, wrong) = page.within(index, || {
                let table = Table::of(page, value, "the entry", "[[entry]] on a line of its own")?;
                let text = |key| Some(table.value(key)?.get_ref().as_str()?.to_owned());
                (name.1, name.2) = (text("id"), text("title"));
                unique(&table, "id", &mut lines);
                unique(&table, "hotkey", &mut hotkeys);
                entry::read(&table, base, defaults, &mut named)
            });
            if !named.is_empty() {
                jobs.push(Followed { index, id: name.1.clone(), named });
            }
            match entry.filter(|_| !wrong) {
                Some(entry) => entries.standing.push((index, entry)),
                None => entries.refused.push(name),
            }
        }
        if top.key("entry").is_none() {
            top.page.warning(&(0..0), "the catalog has no entry", "add one: [[entry]]");
        }
        entries.refuse(&follow::wrong(&entries, top.page, &jobs));
        entries
    }

    /// Moves entries, known by their places, to the refused ones.
    fn refuse(&mut self, wrong: &HashSet<usize>) {
        if wrong.is_empty() {
            return;
        }
        let (fallen, standing) =
            std::mem::take(&mut self.standing).into_iter().partition(|(index, _)| wrong.contains(index));
        self.standing = standing;
        let fallen: Vec<(usize, Entry)> = fallen;
        self.refused.extend(fallen.into_iter().map(|(index, e)| (index, Some(e.id), Some(e.title))));
        order::by_key(&mut self.refused, |(index, ..)| *index);
    }

    /// Whether an entry with this id stands.
    pub(super) fn stands(&self, id: &str) -> bool {
        self.standing.iter().any(|(_, e)| e.id == id)
    }

    /// The entry that boots by itself. Never another than the one meant: a refused one leaves none.
    pub(super) fn default_entry(&self, page: &Page, menu: &Menu) -> Option<usize> {
        let Some((id, place)) = &menu.default else {
            if menu.timeout.is_some() && self.standing.len() > 1 {
                let first = quoted(&self.standing[0].1.id);
                let message = format!("a timeout without a default boots the first entry, {first}");
                page.warning(&menu.timeout_place, message, "say which one in default = \"ID\"");
            }
            return self.standing.first().filter(|(index, _)| *index == 0).map(|_| 0);
        };
        let standing = self.standing.iter().position(|(_, e)| e.id == *id);
        if standing.is_none() {
            self.absent(page, id, &[], place, "nothing boots by itself");
        }
        standing
    }

    /// What follows when an unattended boot is given up.
    pub(super) fn on_failure(&self, page: &Page, written: Option<&At<String>>) -> Action {
        let Some((word, place)) = written else { return Action::Reboot };
        match Action::of(word) {
            Action::Menu => {
                let hint = "write \"reboot\", \"poweroff\", \"hold\" or an entry's id".to_owned();
                page.error(place, "\"on_failure\": \"menu\" is only for the end of a job", Some(hint));
                Action::Reboot
            }
            Action::Entry(id) if !self.stands(&id) => {
                let actions = ["reboot", "poweroff", "hold"];
                self.absent(page, &id, &actions, place, "the machine is rebooted instead");
                Action::Reboot
            }
            action => action,
        }
    }

    /// Complains of an id that names no standing entry: a refused one costs `so`, an unknown one the file. It may
    /// have been meant to be one of `words`.
    fn absent(&self, page: &Page, id: &str, words: &[&str], place: &Range<usize>, so: &str) {
        match self.refused.iter().any(|(_, refused, _)| refused.as_deref() == Some(id)) {
            true => page.fault(place, format!("entry {} is refused: {so}", quoted(id)), None),
            false => self.unknown(page, id, words, place),
        }
    }

    /// Complains of an id that no entry has.
    pub(super) fn unknown(&self, page: &Page, id: &str, words: &[&str], place: &Range<usize>) {
        let message = format!("there is no entry {}", quoted(id));
        let ids = self.standing.iter().map(|(_, e)| e.id.as_str());
        let ids = ids.chain(self.refused.iter().filter_map(|(_, id, _)| id.as_deref()));
        // Of a hint that would not be kept nothing is worth computing.
        let known = words.iter().copied().chain(ids).take(if page.full() { 0 } else { HINTED });
        let hint = nearest(id, known).map(|known| format!("did you mean {}?", quoted(known)));
        page.error(place, message, hint);
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

/// Complains of a value that an earlier entry has for this key.
fn unique<'a>(table: &Table<'a>, key: &str, lines: &mut HashMap<&'a str, usize>) {
    let Some(value) = table.value(key) else { return };
    let Some(id) = value.get_ref().as_str() else { return };
    let line = table.page.line(value.span().start);
    match lines.get(id) {
        Some(first) => {
            let message = format!("{key} {} is taken by the entry in line {first}", quoted(id));
            table.page.error(&value.span(), message, Some(format!("{key}s are unique: choose another")));
        }
        None => {
            lines.insert(id, line);
        }
    }
}
