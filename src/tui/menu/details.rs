//! All that is known of one entry before a byte of it is fetched, as a text to read: for who wants to know why it has the
//! mark it has. Pure; reading it is the pager's.

use super::rows::{Outcome, Row};
use crate::plan::Mark;

/// What the marks mean, in the order of the worst last.
const MARKS: &[(Mark, &str)] = &[
    (Mark::Ok, "known, and as it should be"),
    (Mark::Unknown, "not known before it is fetched"),
    (Mark::Note, "to be known by whoever boots it"),
    (Mark::No, "it cannot be booted"),
];

/// The text, a paragraph a line.
pub(super) fn lines(row: &Row) -> Vec<String> {
    let mut lines: Vec<String> = row.help.clone().into_iter().collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    match &row.outcome {
        Outcome::Broken(complaints) => lines.extend(complaints.iter().cloned()),
        Outcome::Plan(_) | Outcome::Refused(_) => {
            lines.extend(row.facts().iter().map(|fact| labelled(fact.label, &fact.value)));
        }
    }
    if !row.checks.is_empty() {
        lines.extend([String::new(), "What was looked at:".into(), String::new()]);
        lines.extend(row.checks.iter().map(|c| format!("{} {}", c.mark, labelled(c.what, &c.words))));
        lines.push(String::new());
        lines.extend(MARKS.iter().map(|(mark, meaning)| format!("{mark} {meaning}")));
    }
    lines
}

fn labelled(label: &str, value: &str) -> String {
    if label.is_empty() { format!("  {value}") } else { format!("{label}: {value}") }
}
