//! Entries that follow a job: whether each of them exists and stands, and whether the jobs end at all.

use std::collections::{HashMap, HashSet};

use super::entries::Entries;
use super::problem::{Page, quoted};
use super::run::Named;

/// A job, and the entries that its end names.
pub(super) struct Followed {
    /// Its place among the entries of the file.
    pub(super) index: usize,
    pub(super) id: Option<String>,
    pub(super) named: Vec<Named>,
}

/// What an action may be that is no entry.
const WORDS: &[&str] = &["reboot", "poweroff", "hold", "menu"];

/// The places of the jobs that cannot stand, each complained of where it names what it cannot have. One that is followed
/// by a refused entry is refused with it: nothing else than what was declared follows a job.
pub(super) fn wrong(entries: &Entries, page: &Page, jobs: &[Followed]) -> HashSet<usize> {
    let stand: HashSet<&str> = entries.standing.iter().map(|(_, e)| e.id.as_str()).collect();
    let refused = entries.refused.iter().filter_map(|(_, id, _)| id.as_deref());
    let mut refused: Vec<&str> = refused.filter(|id| !stand.contains(id)).collect();
    let known: HashSet<&str> = stand.iter().chain(&refused).copied().collect();
    let endless = endless(jobs);
    let mut wrong = HashSet::new();
    let mut waiting: HashMap<&str, Vec<(&Followed, &Named)>> = HashMap::new();
    for job in jobs {
        for named in &job.named {
            let id = named.id.as_str();
            let own = job.id.as_deref();
            if !known.contains(id) {
                page.within(job.index, || entries.unknown(page, id, WORDS, &named.place));
            } else if endless.contains(id) && own.is_some_and(|own| endless.contains(own)) {
                page.within(job.index, || goes_round(page, named, own == Some(id)));
            } else {
                waiting.entry(id).or_default().push((job, named));
                continue;
            }
            if wrong.insert(job.index) {
                refused.extend(own);
            }
        }
    }
    while let Some(id) = refused.pop() {
        for (job, named) in waiting.remove(id).unwrap_or_default() {
            let message = format!("{:?}: entry {} is refused, and this one with it", named.key, quoted(id));
            page.within(job.index, || page.error(&named.place, message, None));
            if wrong.insert(job.index) {
                refused.extend(job.id.as_deref());
            }
        }
    }
    wrong
}

fn goes_round(page: &Page, named: &Named, own: bool) {
    let (key, id) = (named.key, quoted(&named.id));
    let message = match own {
        true => format!("{key:?}: {id} is this entry: it would run for ever"),
        false => format!("{key:?}: entry {id} leads round in a circle: these jobs would run for ever"),
    };
    let hint = "let one of them end with \"menu\", \"hold\", \"reboot\" or \"poweroff\"";
    page.error(&named.place, message, Some(hint.into()));
}

/// Ids of the jobs that lead round in a circle.
fn endless(jobs: &[Followed]) -> HashSet<&str> {
    let edges: Vec<(&str, &str)> = jobs
        .iter()
        .filter_map(|job| Some((job.id.as_deref()?, &job.named)))
        .flat_map(|(id, named)| named.iter().map(move |named| (id, named.id.as_str())))
        .collect();
    let back: Vec<(&str, &str)> = edges.iter().map(|&(from, to)| (to, from)).collect();
    let from = lead_into_a_circle(&back);
    lead_into_a_circle(&edges).into_iter().filter(|id| from.contains(id)).collect()
}

/// What is left when every id that leads nowhere is taken away, again and again (Kahn's algorithm).
fn lead_into_a_circle<'a>(edges: &[(&'a str, &'a str)]) -> HashSet<&'a str> {
    let mut ways: HashMap<&str, usize> = HashMap::new();
    let mut before: HashMap<&str, Vec<&str>> = HashMap::new();
    for &(from, to) in edges {
        *ways.entry(from).or_default() += 1;
        ways.entry(to).or_default();
        before.entry(to).or_default().push(from);
    }
    let mut ends: Vec<&str> = ways.iter().filter(|(_, ways)| **ways == 0).map(|(id, _)| *id).collect();
    while let Some(end) = ends.pop() {
        ways.remove(end);
        for from in before.remove(end).unwrap_or_default() {
            if let Some(left) = ways.get_mut(from) {
                *left -= 1;
                if *left == 0 {
                    ends.push(from);
                }
            }
        }
    }
    ways.into_keys().collect()
}
