//! [`Failure`]: what went wrong, for the failure screen, the log, the report and a terminal alike. Whether another
//! mirror can help is decided before there is one.

use crate::secrets::hidden;

/// Where in the story something happened; the first word of every failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Early,
    Drivers,
    Network,
    Catalog,
    Plan,
    Fetch,
    Verify,
    Unpack,
    Handover,
    Job,
    Worker,
    Menu,
    Pack,
    Initrd,
    Serve,
    Vm,
}

/// What a failure screen, the log and the report say: phase, thing, cause, way out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    pub phase: Phase,
    /// The entry, location, interface or file it happened to.
    pub thing: String,
    /// The original diagnostic, outermost first, a line each; never empty.
    pub cause: Vec<String>,
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with the whole chain of an error, outermost first.
    pub fn new(phase: Phase, thing: impl Into<String>, error: impl Into<anyhow::Error>) -> Self {
        let error: anyhow::Error = error.into();
        let mut cause: Vec<String> = Vec::new();
        for link in error.chain() {
            let text = hidden(&link.to_string());
            // Many libraries repeat their source in their own text.
            if !cause.last().is_some_and(|last| last.contains(&text)) {
                cause.push(text);
            }
        }
        Self { phase, thing: hidden(&thing.into()), cause, hint: None }
    }

    /// A failure in words of our own.
    pub fn because(phase: Phase, thing: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { phase, thing: hidden(&thing.into()), cause: vec![hidden(&cause.into())], hint: None }
    }

    /// The same with a way out.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A name out of an archive, for a message of one line: control characters escaped, so that it moves no cursor.
pub fn clean(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Early => "early",
            Self::Drivers => "drivers",
            Self::Network => "network",
            Self::Catalog => "catalog",
            Self::Plan => "plan",
            Self::Fetch => "fetch",
            Self::Verify => "verify",
            Self::Unpack => "unpack",
            Self::Handover => "handover",
            Self::Job => "job",
            Self::Worker => "worker",
            Self::Menu => "menu",
            Self::Pack => "pack",
            Self::Initrd => "initrd",
            Self::Serve => "serve",
            Self::Vm => "vm",
        })
    }
}

/// `phase: thing: cause: inner cause`, one line; the hint stands on a line of its own where there is room for one.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.phase, self.thing)?;
        self.cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}
