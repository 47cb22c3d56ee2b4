//! What the menu says of one entry before a byte of it is fetched: a plan in facts. Pure; how many of them there is
//! room for is `draw`'s.

use super::rows::{Outcome, Row};
use crate::plan::{Plan, Step};
use crate::tui::text;
use crate::verify::Trust;

/// Something to say of the selected entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub label: &'static str,
    pub value: String,
    pub mood: Mood,
    /// Where there is little room the lowest stay.
    pub rank: u8,
}

/// How a fact is meant; in colour too, where there is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Plain,
    Good,
    Warn,
    Bad,
}

impl Row {
    /// All there is to say of it before a byte is fetched.
    pub fn facts(&self) -> Vec<Fact> {
        match &self.outcome {
            Outcome::Plan(plan) => plan_facts(plan),
            Outcome::Refused(why) => {
                let mut facts = vec![fact("cannot", why.cause.clone(), Mood::Bad, 0)];
                facts.extend(why.hint.iter().map(|h| fact("hint", h.clone(), Mood::Plain, 1)));
                facts
            }
            Outcome::Broken(complaints) => {
                let said = |(i, c): (usize, &String)| {
                    let label = if i == 0 { "wrong" } else { "" };
                    fact(label, c.clone(), if i == 0 { Mood::Bad } else { Mood::Plain }, i as u8)
                };
                let mut facts: Vec<Fact> = complaints.iter().take(4).enumerate().map(said).collect();
                facts.push(fact("", "Enter shows all of it.".into(), Mood::Plain, 1));
                facts
            }
        }
    }
}

fn fact(label: &'static str, value: String, mood: Mood, rank: u8) -> Fact {
    Fact { label, value, mood, rank }
}

fn plan_facts(plan: &Plan) -> Vec<Fact> {
    let root = match &plan.step {
        Step::SwitchRoot(root) => root,
        Step::Kexec(_) => return vec![does("kexec: another kernel takes the place of the running one")],
        Step::Run(job) => &job.root,
        Step::Shell => return vec![does("a shell on this console; leaving it comes back here")],
        Step::Reboot => return vec![does("restarts the machine")],
        Step::PowerOff => return vec![does("switches the machine off")],
        Step::Local => return vec![does("restarts into the next boot entry of the firmware")],
    };
    let archive = &root.archive;
    let mut facts = vec![fact(
        "does",
        "switch-root: runs from memory, on the kernel that is running".into(),
        Mood::Plain,
        5,
    )];
    for (i, location) in archive.locations.iter().enumerate() {
        let (label, rank) = if i == 0 { ("from", 0) } else { ("or from", 6) };
        facts.push(fact(label, location.to_string(), Mood::Plain, rank));
    }
    let size = match (archive.size, archive.unpacked) {
        (Some(size), Some(tree)) => {
            format!("{}, {} unpacked", text::bytes(size), text::bytes(tree))
        }
        (Some(size), None) => format!("{}, unpacked unknown", text::bytes(size)),
        (None, Some(tree)) => format!("unknown, {} unpacked", text::bytes(tree)),
        (None, None) => "unknown".into(),
    };
    facts.push(fact("size", size, Mood::Plain, 3));
    facts.push(match &archive.trust {
        Trust::Sha256(digest) => fact("verified", format!("sha256 {digest}"), Mood::Good, 2),
        Trust::Unverified => {
            fact("verified", "UNVERIFIED: no digest, whatever arrives is started".into(), Mood::Warn, 1)
        }
    });
    let free = text::bytes(root.memory.available);
    facts.push(match root.memory.needed {
        Some(needed) => fact("memory", format!("needs {}, {free} free", text::bytes(needed)), Mood::Plain, 2),
        None => fact("memory", format!("need unknown, {free} free"), Mood::Warn, 2),
    });
    let limit = format!("may grow to {}", text::bytes(root.limit));
    facts.push(fact("tmpfs", limit, Mood::Plain, 7));
    let inits = root.inits.join(if root.init_named { " " } else { " or " });
    let init = std::iter::once(inits).chain(root.init_args.iter().cloned()).collect::<Vec<_>>().join(" ");
    facts.push(fact("init", init, Mood::Plain, 8));
    facts
}

fn does(what: &str) -> Fact {
    fact("does", what.into(), Mood::Plain, 0)
}
