//! The report of a boot, `/run/bootjack/report.json`: what was done, how long it took, what went wrong, over all workers
//! and all stages. It moves into the new system with `/run`; docs/report.md describes it. What is worth reporting is
//! said by those who do it; nothing here is worth failing a boot for.

mod shape;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::course;
use super::handoff::Handoff;
use super::kernel::{boot_id, uptime};
use super::source::Offer;
use crate::load::{Came, Failure, Fetched, ModulesOfRoot};
use crate::plan::{Plan, Way};
use crate::secrets::hidden;
use crate::verify::Trust;
pub use shape::{
    Artifact, Catalog, Entry, Failed, Handover, Job, Leased, Lost, Machine, Modules, Part, Span, Stage, Try,
};

/// Beside the log.
const REPORT: &str = "/run/bootjack/report.json";

/// Another number means that something is not what it was: see docs/report.md.
const VERSION: u32 = 1;

/// A machine that fails for days must not fill its memory with reports of it: of each list the newest so many stay.
const MOST: usize = 100;

/// Lines of a job's output.
const LOG_LINES: usize = 50;

/// All that is known of a boot, so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub version: u32,
    /// The version of the program that wrote it last.
    pub bootjack: String,
    pub machine: Machine,
    /// Which attempt at an entry this is, from 1 on; 0: there was none yet.
    pub attempt: u32,
    /// Whether nobody asked for it.
    pub unattended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Catalog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// A kernel each, in order; the last is the running one.
    pub stages: Vec<Stage>,
    /// What the latest attempt fetched.
    pub artifacts: Vec<Artifact>,
    /// How the root gets into the second stage, with the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carry: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules: Option<Modules>,
    pub jobs: Vec<Job>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<Handover>,
    /// A report of another version, which was there before and is not understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Value>,
}

impl Report {
    /// Goes on with what an earlier worker left in the file, or an earlier stage sent. What this program does not
    /// understand to the last field is not mixed with what it writes: it is kept as it is, under `previous`.
    pub fn continue_from(previous: Option<Value>) -> Self {
        let fresh = Self {
            version: VERSION,
            bootjack: env!("CARGO_PKG_VERSION").into(),
            machine: Machine::default(),
            attempt: 0,
            unattended: false,
            catalog: None,
            entry: None,
            stages: Vec::new(),
            artifacts: Vec::new(),
            carry: None,
            modules: None,
            jobs: Vec::new(),
            handover: None,
            previous: None,
        };
        let Some(previous) = previous else { return fresh };
        match Self::deserialize(&previous) {
            Ok(known) if known.version == VERSION && known.value().is_ok_and(|v| v == previous) => {
                Self { bootjack: fresh.bootjack, ..known }
            }
            _ => Self { previous: Some(previous), ..fresh },
        }
    }

    /// The report as it is sent on: to a second stage, to a server.
    ///
    /// # Errors
    /// None that is known: every key is text, every text is UTF-8.
    pub fn value(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }

    /// The running kernel: its stage is the last one if it is there already, as other workers of it wrote before.
    pub fn stage(&mut self, kernel: &str, boot_id: &str, cmdline: Option<&str>) -> &mut Stage {
        if self.stages.last().is_none_or(|stage| stage.boot_id != boot_id) {
            self.stages.push(Stage {
                kernel: kernel.to_owned(),
                boot_id: boot_id.to_owned(),
                cmdline: cmdline.map(hidden),
                ..Stage::default()
            });
        }
        self.running()
    }

    /// The stage of the running kernel; one that nobody named gets no name.
    pub fn running(&mut self) -> &mut Stage {
        if self.stages.is_empty() {
            self.stages.push(Stage::default());
        }
        let last = self.stages.len() - 1;
        &mut self.stages[last]
    }

    /// A new attempt at an entry: nothing of what the one before fetched is in use any more.
    pub fn attempt(&mut self, entry: Entry, unattended: bool) {
        (self.entry, self.unattended) = (Some(entry), unattended);
        self.attempt = self.attempt.saturating_add(1);
        let stage = self.stage_index();
        self.artifacts.retain(|artifact| artifact.stage != stage);
        (self.modules, self.handover) = (None, None);
        if stage == 0 {
            self.carry = None;
        }
    }

    /// A part begins, and one of that name that went on is over; `now` is in seconds since this kernel's start.
    pub fn begin(&mut self, name: Part, now: f64) {
        self.end(name, now);
        let stage = self.running();
        stage.left_out += pushed(&mut stage.phases, Span { name, started: rounded(now), seconds: None });
    }

    /// The part that began last under this name is over. Of one that never began nothing is known.
    pub fn end(&mut self, name: Part, now: f64) {
        let mut phases = self.running().phases.iter_mut().rev();
        if let Some(span) = phases.find(|span| span.name == name && span.seconds.is_none()) {
            span.seconds = Some(rounded((now - span.started).max(0.0)));
        }
    }

    pub fn warn(&mut self, warning: &str) {
        let stage = self.running();
        let warning = hidden(warning);
        if !stage.warnings.contains(&warning) {
            stage.left_out += pushed(&mut stage.warnings, warning);
        }
    }

    /// A failure as it is shown; `now` is in seconds since this kernel's start.
    pub fn fail(&mut self, failure: &Failure, now: f64) {
        let stage = self.running();
        stage.left_out += pushed(&mut stage.failures, Failed::of(failure, rounded(now)));
    }

    /// Something was fetched, in this stage.
    pub fn artifact(&mut self, artifact: Artifact) {
        self.running();
        let stage = self.stage_index();
        self.artifacts.push(Artifact { stage, ..artifact });
    }

    /// A job is over. Of its log the last lines are kept.
    pub fn job(&mut self, job: Job) {
        let from = job.log.len().saturating_sub(LOG_LINES);
        let log = job.log[from..].iter().map(|line| hidden(line)).collect();
        let command = job.command.iter().map(|word| hidden(word)).collect();
        let (started, seconds) = (rounded(job.started), rounded(job.seconds));
        let end = hidden(&job.end);
        pushed(&mut self.jobs, Job { log, command, started, seconds, end, ..job });
    }

    /// What an earlier worker left, or nothing.
    pub fn read() -> Self {
        Self::continue_from(read_from(Path::new(REPORT)))
    }

    /// Writes it where the next system finds it: all of it, or what was there before stays.
    pub fn write(&self) {
        if let Err(e) = self.write_to(Path::new(REPORT)) {
            log::warn!("writing {REPORT}: {e}");
        }
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let part = path.with_extension("part");
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        fs::rename(&part, path)
    }

    fn stage_index(&self) -> u32 {
        u32::try_from(self.stages.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }
}

/// Adds to the report and writes it: whatever comes next, it is there. Times are in seconds since this kernel's start.
pub fn add(what: impl FnOnce(&mut Report, f64)) {
    // Whoever else adds meanwhile must not be written over.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut report = current();
    what(&mut report, uptime().as_secs_f64());
    report.write();
}

/// What was written so far, in the stage of this kernel.
pub fn current() -> Report {
    let mut report = Report::read();
    let cmdline = fs::read_to_string("/proc/cmdline").ok();
    let release = crate::machine::Machine::probe().kernel;
    report.stage(&release, &boot_id(), cmdline.as_deref().map(str::trim));
    report
}

/// A second stage goes on with the report of the first.
pub fn begin(handoff: &Handoff) {
    if !Path::new(REPORT).exists() {
        Report::continue_from(Some(handoff.report.clone())).write();
    }
}

/// What cannot be read is as good as none: the file is written anew.
fn read_from(path: &Path) -> Option<Value> {
    let read = fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    if let Err(e) = &read
        && e.kind() != io::ErrorKind::NotFound
    {
        log::warn!("reading {}: {e}", path.display());
    }
    read.ok()
}

/// Adds to a list that keeps the newest [`MOST`]; how many went for it.
fn pushed<T>(list: &mut Vec<T>, item: T) -> u32 {
    list.push(item);
    if list.len() <= MOST {
        return 0;
    }
    list.remove(0);
    1
}

/// Milliseconds: what is beyond is noise.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

impl Report {
    /// An attempt at an entry begins.
    pub fn begin_attempt(
        &mut self,
        attempt: &course::Attempt,
        plan: &Plan,
        machine: &crate::machine::Machine,
    ) {
        if self.machine == Machine::default() {
            self.machine = machine.clone().into();
        }
        // A second stage does what a kexec began.
        let same = self.entry.as_ref().filter(|entry| entry.id == plan.id && self.stages.len() > 1);
        let same_was_edited = same.is_some_and(|entry| entry.edited);
        let boot = same.map_or_else(|| plan.step.word().to_owned(), |entry| entry.boot.clone());
        let edited = attempt.edited || same_was_edited;
        let entry = Entry { id: plan.id.clone(), title: plan.title.clone(), boot, edited };
        self.attempt(entry, !attempt.attended);
        self.attempt = attempt.attempt;
    }

    /// The catalog that is chosen from.
    pub fn catalog(&mut self, offer: &Offer) {
        let location = offer.location().map_or_else(|| "built-in".into(), |location| location.to_string());
        let sha256 = offer.sha256.clone();
        let serial = offer.catalog().and_then(|catalog| catalog.serial);
        self.catalog = offer.trust.as_ref().zip(sha256).map(|(trust, sha256)| Catalog {
            location,
            sha256,
            trust: trust.word().into(),
            signed_by: trust.signed_by(),
            serial,
        });
    }

    /// How the root gets into the second stage.
    pub fn carry(&mut self, way: &Way) {
        match serde_json::to_value(way) {
            Ok(way) => self.carry = Some(way),
            Err(e) => log::warn!("report: {e}"),
        }
    }

    /// What came for a handover, and what the root got; the log hears of it too.
    pub fn came(&mut self, id: &str, came: &Came) {
        for fetched in &came.artifacts {
            tell_the_log(id, fetched);
            self.artifact(Artifact::of(fetched));
        }
        self.modules = came.modules.map(Modules::from);
        if came.modules == Some(ModulesOfRoot::Missing) {
            let kernel = &self.running().kernel;
            let missing = format!("{id}: the root has no modules for the running kernel {kernel}");
            log::warn!("{missing}");
            self.warn(&missing);
        }
        for warning in came.fitted.in_words().iter().map(|warning| format!("{id}: {warning}")) {
            log::warn!("{warning}");
            self.warn(&warning);
        }
    }
}

fn tell_the_log(id: &str, fetched: &Fetched) {
    let Fetched { name, trust, unpacked, sha256, location, bytes, retries, .. } = fetched;
    let how = if *trust == Trust::Unverified { "UNVERIFIED" } else { "verified" };
    log::info!("{id}: {name}: {bytes} bytes from {location} ({retries} retries), {how}, sha256 {sha256}");
    let Some(tree) = unpacked else { return };
    log::info!("{id}: {name}: {} entries, {} bytes", tree.entries, tree.bytes);
    if let Some(lost) = &tree.lost_xattrs {
        let (first, name) = (lost.first_member.display(), &lost.first_name);
        let (count, errno) = (lost.count, lost.errno);
        log::warn!("{id}: {count} xattrs could not be stored; first {name} of {first}, errno {errno}");
    }
}

#[cfg(test)]
mod tests;
