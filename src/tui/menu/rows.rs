//! Catalog and plans → what the menu lists. Pure; what it says of each entry is `facts`', drawing it `draw`'s.

use std::collections::HashMap;

use super::MenuModel;
use super::facts::{Mood, parts};
use super::list::SEPARATOR;
use crate::catalog::{Action, Catalog, Entry, Parsed, Problem, RefusedEntry, Severity};
use crate::machine::Machine;
use crate::order;
use crate::plan::{Check, Mark, Plan, Refusal, Step, plan, verdict};
use crate::tui::text;
use crate::verify::Trust;

/// One entry of the menu.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its index in the catalog; absent: the catalog's own text of it was refused, it cannot be booted.
    pub entry: Option<usize>,
    pub id: Option<String>,
    pub title: String,
    pub help: Option<String>,
    pub group: Option<String>,
    /// The key that selects it.
    pub hotkey: Option<char>,
    pub outcome: Outcome,
    /// What is known of how it will end.
    pub checks: Vec<Check>,
}

/// What would happen if it were booted.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Plan(Plan),
    /// This machine cannot: why.
    Refused(Refusal),
    /// The catalog is wrong here: complaints with their place, a line each.
    Broken(Vec<String>),
}

/// An entry whose text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub title: String,
    /// Complaints as `check` prints them, a line each.
    pub complaints: Vec<String>,
}

impl MenuModel {
    /// The menu of a catalog on a machine; absent if the file as a whole was refused. Head and source are the
    /// caller's to fill in, and notices of its own come before these.
    pub fn of(parsed: &Parsed, machine: &Machine) -> Option<Self> {
        let catalog = parsed.catalog.as_ref()?;
        let first_line = |p: &Problem| {
            let hint = p.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
            format!("{}:{}:{}: {}{hint}", parsed.origin, p.line, p.column, p.message)
        };
        Some(Self {
            title: catalog.title.clone(),
            rows: rows(catalog, machine, broken(parsed)),
            default: catalog.default,
            timeout: catalog.timeout,
            idle: catalog.idle,
            folded: catalog.folded.clone(),
            // Warnings are for the author, whom `check` tells; the rows say UNVERIFIED themselves.
            notices: parsed
                .problems
                .iter()
                .filter(|p| p.severity == Severity::Error)
                .map(first_line)
                .collect(),
            ..Self::default()
        })
    }
}

/// What the catalog got wrong, entry by entry.
fn broken(parsed: &Parsed) -> Vec<Broken> {
    let of = |entry: &RefusedEntry| Broken {
        title: entry.title.clone().or(entry.id.clone()).unwrap_or_else(|| "(an entry without a name)".into()),
        complaints: entry
            .problems
            .iter()
            .flat_map(|p| p.render(&parsed.origin).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect(),
    };
    parsed.refused.iter().map(of).collect()
}

/// The rows of a catalog on a machine: its groups together in the order they first appear, what was refused at the end.
pub fn rows(catalog: &Catalog, machine: &Machine, broken: Vec<Broken>) -> Vec<Row> {
    let row = |(index, entry): (usize, &Entry)| {
        let plan = plan(entry, machine);
        Row {
            entry: Some(index),
            id: Some(entry.id.clone()),
            hotkey: entry.hotkey,
            title: entry.title.clone(),
            help: entry.help.clone(),
            group: entry.group.clone(),
            checks: verdict(entry, &plan, machine),
            outcome: plan.map_or_else(Outcome::Refused, Outcome::Plan),
        }
    };
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut place = |path: &str| {
        let next = places.len();
        *places.entry(path.to_owned()).or_insert(next)
    };
    let row = |entry| {
        let row = row(entry);
        // What is in no group is together, too.
        let key: Vec<usize> = match &row.group {
            None => vec![place("")],
            group => paths(group.as_deref()).map(&mut place).collect(),
        };
        (key, row)
    };
    let mut rows: Vec<(Vec<usize>, Row)> = catalog.entries.iter().enumerate().map(row).collect();
    order::by(&mut rows, |(one, _), (other, _)| one.cmp(other));
    let mut rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    rows.extend(broken.into_iter().map(|b| Row {
        entry: None,
        id: None,
        hotkey: None,
        title: b.title,
        help: None,
        group: Some("Refused: wrong in the catalog".into()),
        outcome: Outcome::Broken(b.complaints),
        checks: Vec::new(),
    }));
    rows
}

/// A group and those it is in, the outermost first: `Systems`, `Systems / Debian`.
pub(super) fn paths(group: Option<&str>) -> impl Iterator<Item = &str> {
    group.into_iter().flat_map(|group| {
        group.match_indices(SEPARATOR).map(|(at, _)| &group[..at]).chain(std::iter::once(group))
    })
}

impl Row {
    /// Whether it is in the group with this name, or in one in it.
    pub(super) fn is_in(&self, path: &str) -> bool {
        paths(self.group.as_deref()).any(|own| own == path)
    }

    /// Whether choosing it leads anywhere.
    pub fn can_boot(&self) -> bool {
        matches!(self.outcome, Outcome::Plan(_))
    }

    /// The worst of what is known of it; absent where nothing was to be looked at, as with a shell.
    pub fn mark(&self) -> Option<Mark> {
        match self.outcome {
            Outcome::Plan(_) => self.checks.iter().map(|check| check.mark).max(),
            Outcome::Refused(_) | Outcome::Broken(_) => Some(Mark::No),
        }
    }

    /// What the list says at its right edge: the reason why not, or what will be fetched and what is not checked.
    pub fn remark(&self, roomy: bool) -> (String, Mood) {
        match &self.outcome {
            Outcome::Broken(_) => ("refused".into(), Mood::Bad),
            Outcome::Refused(why) if roomy => (why.cause.clone(), Mood::Bad),
            Outcome::Refused(_) => ("cannot boot".into(), Mood::Bad),
            Outcome::Plan(plan) => {
                let size = to_fetch(&plan.step).map(text::bytes).unwrap_or_default();
                let shared = matches!(plan.step, Step::Shared(_));
                let unverified =
                    shared || parts(&plan.step).iter().any(|(_, a)| a.trust == Trust::Unverified);
                match unverified {
                    true if roomy && !size.is_empty() => (format!("UNVERIFIED  {size}"), Mood::Warn),
                    true => ("UNVERIFIED".into(), Mood::Warn),
                    false => (size, Mood::Plain),
                }
            }
        }
    }
}

/// Bytes that will come, if all of it is known; modules come to a root only if it turns out to have none.
fn to_fetch(step: &Step) -> Option<u64> {
    match step {
        Step::SwitchRoot(root) => root.archive.size,
        Step::Run(job) => job.root.archive.size,
        Step::Kexec(_) => parts(step).iter().map(|(_, artifact)| artifact.size).sum(),
        Step::Shared(_) | Step::Shell | Step::Reboot | Step::PowerOff | Step::Local => None,
    }
}

/// What the declared action after failed boots is, in words.
pub fn action_in_words(action: &Action, catalog: &Catalog) -> String {
    in_words(action, |id| catalog.entries.iter().find(|e| e.id == id).map_or(id, |e| e.title.as_str()))
}

/// The same, an entry `called` as it may be.
pub(super) fn in_words<'a>(action: &'a Action, called: impl Fn(&'a str) -> &'a str) -> String {
    match action {
        Action::Reboot => "rebooting".into(),
        Action::PowerOff => "powering off".into(),
        Action::Hold => "holding".into(),
        Action::Menu => "back to the menu".into(),
        Action::Entry(id) => format!("booting \"{}\"", called(id)),
    }
}
