//! Which lines the list has now: headings of groups, which fold, and the rows that a search leaves; and which of them is
//! selected. Drawing them is `draw`'s.

use std::collections::BTreeSet;

use crossterm::event::{KeyCode, KeyEvent};

use super::rows::{Row, paths};
use crate::tui::field::Field;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Group {
        path: &'a str,
        /// In how many others it is.
        depth: usize,
        /// How many rows are hidden under it; absent: it is open.
        folded: Option<usize>,
    },
    /// The row with this index.
    Row(usize),
}

/// What is selected: a row, or a group that is folded. Open headings are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Row(usize),
    Group(String),
}

/// What is searched for.
#[derive(Debug)]
struct Query {
    field: Field,
    /// Letters go to it.
    typing: bool,
}

/// The list's state.
#[derive(Debug)]
pub(super) struct List {
    folded: BTreeSet<String>,
    query: Option<Query>,
    at: Place,
}

impl List {
    /// With these groups folded, unless `row` is in them, which is selected.
    pub(super) fn new(folded: &[String], rows: &[Row], row: Option<usize>) -> Self {
        let mut list = Self { folded: folded.iter().cloned().collect(), query: None, at: NOWHERE };
        match row {
            Some(row) => list.select(rows, row),
            None => list.settle(rows),
        }
        list
    }

    /// The lines, from the top.
    pub(super) fn items<'a>(&self, rows: &'a [Row]) -> Vec<Item<'a>> {
        let mut items = Vec::new();
        let mut above: Vec<&str> = Vec::new();
        for (index, row) in rows.iter().enumerate().filter(|(_, row)| self.finds(row)) {
            let own: Vec<&str> = paths(row.group.as_deref()).collect();
            let same = above.iter().zip(&own).take_while(|(one, other)| one == other).count();
            above.truncate(same);
            let mut hidden = above.iter().any(|path| self.is_folded(path));
            for path in &own[same..] {
                let depth = above.len();
                above.push(path);
                if hidden {
                    continue;
                }
                hidden = self.is_folded(path);
                let folded = hidden.then(|| rows.iter().filter(|row| row.is_in(path)).count());
                items.push(Item::Group { path, depth, folded });
            }
            if !hidden {
                items.push(Item::Row(index));
            }
        }
        items
    }

    /// Those that can be selected.
    fn places(&self, rows: &[Row]) -> Vec<Place> {
        let place = |item| match item {
            Item::Row(index) => Some(Place::Row(index)),
            Item::Group { path, folded: Some(_), .. } => Some(Place::Group(path.to_owned())),
            Item::Group { folded: None, .. } => None,
        };
        self.items(rows).into_iter().filter_map(place).collect()
    }

    /// A search shows what it finds, wherever it is.
    fn is_folded(&self, path: &str) -> bool {
        self.query.is_none() && self.folded.contains(path)
    }

    fn finds(&self, row: &Row) -> bool {
        let Some(query) = &self.query else { return true };
        let wanted = query.field.text().to_lowercase();
        let texts = [Some(&row.title), row.id.as_ref(), row.help.as_ref(), row.group.as_ref()];
        wanted
            .split_whitespace()
            .all(|word| texts.iter().flatten().any(|text| text.to_lowercase().contains(word)))
    }

    /// What is selected.
    pub(super) fn place(&self) -> &Place {
        &self.at
    }

    /// The selected row.
    pub(super) fn row(&self) -> Option<usize> {
        match self.at {
            Place::Row(index) => Some(index),
            Place::Group(_) => None,
        }
    }

    /// Whether this line is selected.
    pub(super) fn is_at(&self, item: Item) -> bool {
        match (item, &self.at) {
            (Item::Row(index), Place::Row(at)) => index == *at,
            (Item::Group { path, .. }, Place::Group(at)) => path == at,
            _ => false,
        }
    }

    /// The number of the selected one among those that can be, from 1, and how many there are.
    pub(super) fn position(&self, rows: &[Row]) -> (usize, usize) {
        let places = self.places(rows);
        (places.iter().position(|place| *place == self.at).map_or(0, |at| at + 1), places.len())
    }

    /// So many places on, or back, as far as there are any.
    pub(super) fn step(&mut self, rows: &[Row], by: isize) {
        let places = self.places(rows);
        let at = places.iter().position(|place| *place == self.at).unwrap_or(0);
        let to = at.saturating_add_signed(by).min(places.len().saturating_sub(1));
        if let Some(place) = places.into_iter().nth(to) {
            self.at = place;
        }
    }

    /// A row, wherever it is: what hides it is opened, or over.
    pub(super) fn select(&mut self, rows: &[Row], index: usize) {
        let Some(row) = rows.get(index) else { return };
        for path in paths(row.group.as_deref()) {
            self.folded.remove(path);
        }
        if !self.finds(row) {
            self.query = None;
        }
        self.at = Place::Row(index);
    }

    /// After another model came, or another search: on something that is there.
    pub(super) fn settle(&mut self, rows: &[Row]) {
        let places = self.places(rows);
        if !places.contains(&self.at) {
            self.at = places.into_iter().next().unwrap_or(NOWHERE);
        }
    }

    /// The group of what is selected is hidden behind its heading; of a folded one, the group it is in.
    pub(super) fn fold(&mut self, rows: &[Row]) {
        if self.query.is_some() {
            return;
        }
        let path = match &self.at {
            Place::Row(index) => rows.get(*index).and_then(|row| row.group.clone()),
            Place::Group(path) => path.rfind(SEPARATOR).map(|at| path[..at].to_owned()),
        };
        if let Some(path) = path {
            self.folded.insert(path.clone());
            self.at = Place::Group(path);
        }
    }

    /// What is hidden behind the selected heading is shown; whether there was one.
    pub(super) fn unfold(&mut self, rows: &[Row]) -> bool {
        let Place::Group(path) = self.at.clone() else { return false };
        self.folded.remove(&path);
        // The first thing in it, which may be folded itself.
        let inside = |place: &Place| match place {
            Place::Row(index) => rows.get(*index).is_some_and(|row| row.is_in(&path)),
            Place::Group(inner) => inner.starts_with(&format!("{path}{SEPARATOR}")),
        };
        if let Some(place) = self.places(rows).into_iter().find(inside) {
            self.at = place;
        }
        true
    }

    /// Letters are looked for from now on.
    pub(super) fn search(&mut self) {
        let field = self.query.take().map(|query| query.field).unwrap_or_default();
        self.query = Some(Query { field, typing: true });
    }

    /// The text that is looked for, and whether it is being typed.
    pub(super) fn query(&self) -> Option<(&Field, bool)> {
        self.query.as_ref().map(|query| (&query.field, query.typing))
    }

    /// All is shown again, and what was selected stays so; whether there was a search.
    pub(super) fn end_search(&mut self, rows: &[Row]) -> bool {
        let ended = self.query.take().is_some();
        if let (true, Some(row)) = (ended, self.row()) {
            self.select(rows, row);
        }
        self.settle(rows);
        ended
    }

    /// A key while it is typed; false: it is not, or the key is none of a search.
    pub(super) fn types(&mut self, rows: &[Row], key: KeyEvent) -> bool {
        let Some(query) = self.query.as_mut().filter(|query| query.typing) else { return false };
        match key.code {
            KeyCode::Enter if !query.field.is_empty() => query.typing = false,
            KeyCode::Enter | KeyCode::Esc => drop(self.end_search(rows)),
            KeyCode::Up => self.step(rows, -1),
            KeyCode::Down => self.step(rows, 1),
            _ => {
                if query.field.on(key) {
                    self.settle(rows);
                }
            }
        }
        true
    }
}

/// Where nothing is there.
const NOWHERE: Place = Place::Row(usize::MAX);

/// Between the names of a group and one in it.
pub(super) const SEPARATOR: &str = " / ";
