//! What the menu says of one entry before a byte of it is fetched: a plan in facts. Pure; how many of them there is
//! room for is `draw`'s.

use super::rows::{Outcome, Row, in_words};
use crate::catalog::Artifact;
use crate::plan::{
    Check, KexecPlan, Mark, Plan, RootPlan, RunPlan, SHARED_TRUST, Step, Way, memory_at_least, mib,
};
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
            Outcome::Plan(plan) => {
                let mut facts = plan_facts(plan);
                facts.extend(self.checks.iter().filter_map(checked));
                facts
            }
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
                facts.push(fact("", "Enter shows all of it.", Mood::Plain, 1));
                facts
            }
        }
    }
}

/// What was looked at beyond what the plan says of itself. Where it is well, it is the first thing to go.
fn checked(check: &Check) -> Option<Fact> {
    let label = match check.what {
        "arch" => "machine",
        "drivers" => "drivers",
        "kexec" => "kexec",
        "cmdline" => "length",
        // The plan's own facts say these.
        _ => return None,
    };
    match check.mark {
        Mark::Ok => Some(fact(label, &check.words, Mood::Plain, 9)),
        Mark::Unsaid => None,
        Mark::Unknown | Mark::Note | Mark::No => Some(fact(label, &check.words, Mood::Warn, 2)),
    }
}

fn fact(label: &'static str, value: impl Into<String>, mood: Mood, rank: u8) -> Fact {
    Fact { label, value: value.into(), mood, rank }
}

fn plan_facts(plan: &Plan) -> Vec<Fact> {
    match &plan.step {
        Step::SwitchRoot(root) => {
            let mut facts = vec![fact(
                "does",
                "switch-root: runs from memory, on the kernel that is running",
                Mood::Plain,
                5,
            )];
            facts.extend(source("from", root));
            facts.push(verified(&plan.step));
            facts.push(modules_of(root));
            facts.extend(room(root));
            facts.push(init_of(root));
            facts
        }
        Step::Shared(shared) => vec![
            fact("does", "switch-root: runs in a directory of the host, on this kernel", Mood::Plain, 5),
            fact("from", format!("{}, {}", shared.location(), shared.access()), Mood::Plain, 0),
            fact("verified", SHARED_TRUST, Mood::Warn, 1),
            init(&shared.inits, shared.init_named, &shared.init_args),
        ],
        Step::Kexec(kexec) => kexec_facts(&plan.step, kexec),
        Step::Run(job) => job_facts(&plan.step, job),
        Step::Shell => vec![does("a shell on this console; leaving it comes back here")],
        Step::Reboot => vec![does("restarts the machine")],
        Step::PowerOff => vec![does("switches the machine off")],
        Step::Local => vec![does("restarts into the next boot entry of the firmware")],
    }
}

fn kexec_facts(step: &Step, kexec: &KexecPlan) -> Vec<Fact> {
    let does = match kexec.root {
        Some(_) => "kexec: another kernel starts and unpacks the root",
        None => "kexec: a plain kernel takes the place of the running one",
    };
    let mut facts = vec![fact("does", does, Mood::Plain, 5), part("kernel", &kexec.kernel, "")];
    for initrd in &kexec.initrd {
        let more = if initrd.second_stage { ", the second stage" } else { "" };
        facts.push(part("initrd", &initrd.artifact, more));
    }
    facts.extend(kexec.modules.as_ref().map(|modules| part("modules", modules, "")));
    if kexec.modules.is_none() && kexec.root.is_some() {
        facts.push(fact("modules", NO_MODULES, Mood::Plain, 9));
    }
    facts.extend(kexec.root.iter().flat_map(|root| source("root", root)));
    facts.push(verified(step));
    if kexec.root.is_some() {
        facts.push(carried(&kexec.way));
    }
    if !kexec.cmdline.is_empty() {
        facts.push(fact("cmdline", kexec.cmdline.clone(), Mood::Plain, 4));
    }
    if let Some(root) = &kexec.root {
        facts.extend(room(root));
        facts.push(init_of(root));
    }
    facts
}

/// How the root gets into the second stage, with the numbers.
fn carried(way: &Way) -> Fact {
    let said = match way {
        Way::Carried(numbers) => format!("{numbers} of {}", mib(numbers.most)),
        Way::Again(why) => format!("no, fetched again: {why}"),
        Way::Unknown => "decided when the server says the sizes".into(),
    };
    fact("carried", said, Mood::Plain, 1)
}

fn job_facts(step: &Step, job: &RunPlan) -> Vec<Fact> {
    let own = |action| in_words(action, |id| id);
    let then = format!("on success {}, on failure {}", own(&job.on_success), own(&job.on_failure));
    let mut facts = vec![
        fact("does", "run: a job in a root in memory; bootjack stays and sees to its end", Mood::Plain, 5),
        fact("command", job.command.join(" "), Mood::Plain, 0),
        fact("deadline", format!("{}, then it has failed", text::span(job.timeout)), Mood::Plain, 4),
        fact("after", then, Mood::Plain, 1),
    ];
    facts.extend(source("from", &job.root));
    facts.push(verified(step));
    facts.push(modules_of(&job.root));
    facts.extend(room(&job.root));
    facts
}

/// What a root is known to have before it is fetched.
const NO_MODULES: &str = "none named: the root has its kernel's own, or none";

/// Where a root without modules gets them.
fn modules_of(root: &RootPlan) -> Fact {
    match root.modules.artifact() {
        Some(modules) => part("modules", modules, ""),
        None => fact("modules", NO_MODULES, Mood::Plain, 9),
    }
}

/// Where a root comes from, and how large it is.
fn source(label: &'static str, root: &RootPlan) -> Vec<Fact> {
    let archive = &root.archive;
    let mut facts = Vec::new();
    for (i, location) in archive.locations.iter().enumerate() {
        let (label, rank) = if i == 0 { (label, 0) } else { ("or from", 6) };
        facts.push(fact(label, location.to_string(), Mood::Plain, rank));
    }
    let size = match (archive.size, archive.unpacked) {
        (Some(size), Some(0)) => format!("{}, an image, read in place", text::bytes(size)),
        (None, Some(0)) => "unknown, an image, read in place".into(),
        (Some(size), Some(tree)) => {
            format!("{}, {} unpacked", text::bytes(size), text::bytes(tree))
        }
        (Some(size), None) => format!("{}, unpacked unknown", text::bytes(size)),
        (None, Some(tree)) => format!("unknown, {} unpacked", text::bytes(tree)),
        (None, None) => "unknown".into(),
    };
    facts.push(fact("size", size, Mood::Plain, 3));
    facts
}

/// Something else that is fetched, in one line: the first of its locations, and its size.
fn part(label: &'static str, artifact: &Artifact, more: &str) -> Fact {
    let location = artifact.locations.first().map(ToString::to_string).unwrap_or_default();
    let mirrors = match artifact.locations.len() {
        0 | 1 => String::new(),
        n => format!(", {}", text::count(n - 1, "more mirror")),
    };
    let size = artifact.size.map(|size| format!(", {}", text::bytes(size))).unwrap_or_default();
    fact(
        label,
        format!("{location}{mirrors}{size}{more}"),
        Mood::Plain,
        if label == "kernel" { 0 } else { 3 },
    )
}

/// Whether everything is held against a digest, and if not, what is not.
fn verified(step: &Step) -> Fact {
    let parts = parts(step);
    let named = |unverified: bool| {
        let these = parts.iter().filter(|(_, a)| (a.trust == Trust::Unverified) == unverified);
        these.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    match (&parts[..], named(true)) {
        ([(_, Artifact { trust: trust @ (Trust::Sha256(_) | Trust::Chunks(_)), .. })], _) => {
            fact("verified", trust.to_string(), Mood::Good, 2)
        }
        ([_], _) => fact("verified", "UNVERIFIED: no digest, whatever arrives is started", Mood::Warn, 1),
        (_, none) if none.is_empty() => {
            fact("verified", format!("sha256 of {}", named(false)), Mood::Good, 2)
        }
        (_, none) => fact(
            "verified",
            format!("UNVERIFIED: {none}: no digest, whatever arrives is started"),
            Mood::Warn,
            1,
        ),
    }
}

/// All that a plan may fetch, by name.
pub(super) fn parts(step: &Step) -> Vec<(String, &Artifact)> {
    let (kexec, root) = match step {
        Step::SwitchRoot(root) => (None, Some(&**root)),
        Step::Run(job) => (None, Some(&job.root)),
        Step::Kexec(kexec) => (Some(kexec), kexec.root.as_ref()),
        Step::Shared(_) | Step::Shell | Step::Reboot | Step::PowerOff | Step::Local => (None, None),
    };
    let mut parts = Vec::new();
    if let Some(kexec) = kexec {
        parts.push(("kernel".to_owned(), &kexec.kernel));
        let initrds = (1..).zip(&kexec.initrd);
        parts.extend(initrds.map(|(n, initrd)| (format!("initrd {n}"), &initrd.artifact)));
        parts.extend(kexec.modules.iter().map(|modules| ("modules".to_owned(), modules)));
    }
    if let Some(root) = root {
        parts.push(("root".to_owned(), &root.archive));
        parts.extend(root.modules.artifact().map(|modules| ("modules".to_owned(), modules)));
    }
    parts
}

/// The memory that a root needs, and may take.
fn room(root: &RootPlan) -> [Fact; 2] {
    let free = text::bytes(root.memory.available);
    let memory = match root.memory.needed {
        Some(needed) => fact("memory", format!("needs {}, {free} free", text::bytes(needed)), Mood::Plain, 2),
        None => match memory_at_least(&root.archive) {
            Some(least) => {
                let least = text::bytes(least);
                fact("memory", format!("needs {least} at least, {free} free"), Mood::Warn, 2)
            }
            None => fact("memory", format!("need unknown, {free} free"), Mood::Warn, 2),
        },
    };
    [memory, fact("tmpfs", format!("may grow to {}", text::bytes(root.limit)), Mood::Plain, 7)]
}

fn init_of(root: &RootPlan) -> Fact {
    init(&root.inits, root.init_named, &root.init_args)
}

fn init(inits: &[String], named: bool, args: &[String]) -> Fact {
    let inits = inits.join(if named { " " } else { " or " });
    let init = std::iter::once(inits).chain(args.iter().cloned()).collect::<Vec<_>>().join(" ");
    fact("init", init, Mood::Plain, 8)
}

fn does(what: &str) -> Fact {
    fact("does", what, Mood::Plain, 0)
}
