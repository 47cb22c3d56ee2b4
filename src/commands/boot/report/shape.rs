//! What a report looks like: docs/report.md in types. Times are seconds since the start of that stage's kernel; what is
//! not known is left out, lists are always there.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::archive::LostXattrs;
use crate::handover::Order;
use crate::handover::run::{End, Outcome};
use crate::load::{self, Failure, Fetched, ModulesOfRoot};
use crate::net::{Lease, Mac};
use crate::plan::{Plan, RunPlan};
use crate::verify::{Sha256, Trust};

use crate::secrets::hidden;

/// The machine, as its first stage found it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// As `uname -m` says.
    pub arch: String,
    /// SMBIOS, where the firmware tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    pub efi: bool,
    /// Bytes.
    pub memory_total: u64,
}

impl From<crate::machine::Machine> for Machine {
    fn from(probed: crate::machine::Machine) -> Self {
        let crate::machine::Machine { arch, product, serial, uuid, efi, memory_total, .. } = probed;
        Self { arch, product, serial, uuid, efi, memory_total }
    }
}

/// The catalog the entry was chosen from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// `built-in`, or where it was finally fetched from, without a password.
    pub location: String,
    pub sha256: Sha256,
    /// Why it is believed: `built-in`, `signed`, or the way it came.
    pub trust: String,
    /// The keys that signed it, as minisign shows them.
    pub signed_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
}

/// The entry that is booted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `root=` for a root of the kernel command line.
    pub id: String,
    pub title: String,
    /// `switch-root`, `kexec`, `run`.
    pub boot: String,
    /// Whether a person changed it for this boot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
}

/// One kernel's share of the boot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its release.
    pub kernel: String,
    /// `/proc/sys/kernel/random/boot_id`: another one is another start of a kernel.
    pub boot_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Leased>,
    /// Fingerprint, as ssh asks about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_host_key: Option<String>,
    pub phases: Vec<Span>,
    pub warnings: Vec<String>,
    pub failures: Vec<Failed>,
    /// How many older phases, warnings and failures are not here any more.
    pub left_out: u32,
}

/// The address of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leased {
    pub interface: String,
    pub mac: Mac,
    pub address: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    pub nameservers: Vec<IpAddr>,
    /// Absent: set by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

impl From<&Lease> for Leased {
    fn from(lease: &Lease) -> Self {
        Self {
            interface: lease.interface.clone(),
            mac: lease.mac,
            address: lease.address,
            prefix: lease.prefix,
            gateway: lease.gateway,
            nameservers: lease.nameservers.clone(),
            server: lease.server,
            hostname: lease.hostname.clone(),
        }
    }
}

/// A part of a stage that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    Drivers,
    Network,
    Catalog,
    Menu,
    Load,
    Job,
}

/// When it was, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub name: Part,
    pub started: f64,
    /// Absent: it went on when this was written, or was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// What went wrong: the words of the failure screen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    pub phase: load::Phase,
    pub thing: String,
    /// Outermost first; never empty.
    pub cause: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    pub at: f64,
}

impl Failed {
    pub(super) fn of(failure: &Failure, at: f64) -> Self {
        Self {
            phase: failure.phase,
            thing: hidden(&failure.thing),
            cause: failure.cause.iter().map(|cause| hidden(cause)).collect(),
            hint: failure.hint.as_deref().map(hidden),
            at,
        }
    }
}

/// Something that was fetched, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Index into the stages.
    pub stage: u32,
    /// `root`, `kernel`, `initrd 1`, `modules`.
    pub name: String,
    /// The mirror it came from in the end.
    pub location: String,
    /// All of them, in the order in which they are tried.
    pub mirrors: Vec<String>,
    /// False: UNVERIFIED.
    pub verified: bool,
    pub sha256: Sha256,
    /// As fetched.
    pub bytes: u64,
    /// Bytes and members of its tree; absent for what was not unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// `squashfs` or `erofs`: it is read in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_xattrs: Option<Lost>,
    /// From the first try to the last byte.
    pub seconds: f64,
    /// Bytes a second.
    pub rate: u64,
    pub retries: u32,
    /// What went wrong before it was whole, in order: the newest 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
    /// How many chunks were verified, each before it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<u64>,
}

/// A try that failed, and where the next one went on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Try {
    /// Seconds since the first one began.
    pub at: f64,
    /// Who failed.
    pub location: String,
    pub error: String,
    /// The byte from which on the next one was asked, and who that was.
    pub from: u64,
    pub next: String,
}

impl From<&load::Tried> for Try {
    fn from(tried: &load::Tried) -> Self {
        let load::Tried { at, what } = tried;
        Self {
            at: super::rounded(at.as_secs_f64()),
            location: what.location.to_string(),
            error: hidden(&what.error),
            from: what.from,
            next: what.next.to_string(),
        }
    }
}

impl Artifact {
    /// As the load tells of it.
    pub fn of(came: &Fetched) -> Self {
        let seconds = came.elapsed.as_secs_f64();
        let tree = came.unpacked.as_ref();
        Self {
            stage: 0,
            name: came.name.clone(),
            location: came.location.to_string(),
            mirrors: came.mirrors.iter().map(ToString::to_string).collect(),
            verified: came.trust != Trust::Unverified,
            sha256: came.sha256.clone(),
            bytes: came.bytes,
            unpacked: tree.map(|tree| tree.bytes),
            entries: tree.map(|tree| tree.entries),
            image: came.image.map(|image| image.name().to_owned()),
            lost_xattrs: tree.and_then(|tree| tree.lost_xattrs.clone()).map(Lost::from),
            seconds: (seconds * 1000.0).round() / 1000.0,
            rate: (came.bytes as f64 / seconds.max(0.001)) as u64,
            retries: came.retries,
            tries: came.tries.iter().map(Try::from).collect(),
            chunks: came.chunks,
        }
    }
}

/// Extended attributes that this kernel's tmpfs cannot store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    pub count: u64,
    pub first_member: String,
    pub first_name: String,
    pub errno: i32,
}

impl From<LostXattrs> for Lost {
    fn from(lost: LostXattrs) -> Self {
        let LostXattrs { count, first_member, first_name, errno } = lost;
        Self { count, first_member: first_member.to_string_lossy().into_owned(), first_name, errno }
    }
}

/// Where the modules of the kernel that runs the root come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Modules {
    #[serde(rename = "in the root")]
    InTheRoot,
    #[serde(rename = "added")]
    Added,
    #[serde(rename = "missing")]
    Missing,
}

impl From<ModulesOfRoot> for Modules {
    fn from(modules: ModulesOfRoot) -> Self {
        match modules {
            ModulesOfRoot::InTheRoot => Self::InTheRoot,
            ModulesOfRoot::Added => Self::Added,
            ModulesOfRoot::Missing => Self::Missing,
        }
    }
}

/// A job that ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its entry's id.
    pub entry: String,
    pub command: Vec<String>,
    pub started: f64,
    pub seconds: f64,
    /// `exit 0`, `signal SIGKILL`, `deadline`.
    pub end: String,
    pub success: bool,
    pub output_bytes: u64,
    /// Processes that were still there after it.
    pub left_running: u32,
    /// The last lines of its output.
    pub log: Vec<String>,
}

impl Job {
    /// A job that ended; `started` is in seconds since this kernel's start.
    pub fn of(plan: &Plan, run: &RunPlan, outcome: &Outcome, started: f64) -> Self {
        Self {
            entry: plan.id.clone(),
            command: run.command.clone(),
            started,
            seconds: outcome.elapsed.as_secs_f64(),
            end: end_in_words(&outcome.end),
            success: outcome.succeeded(),
            output_bytes: outcome.bytes_of_output,
            left_running: u32::try_from(outcome.left_running).unwrap_or(u32::MAX),
            log: outcome.log.clone(),
        }
    }
}

/// For programs that read it, and promised: people are told by [`End`] itself.
pub(super) fn end_in_words(end: &End) -> String {
    match end {
        End::Exit(code) => format!("exit {code}"),
        End::Signal(name) => format!("signal {name}"),
        End::Deadline => "deadline".into(),
        End::Stopped => "stopped".into(),
        End::Refused(why) => format!("refused: {why}"),
    }
}

/// What the boot came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// `switch-root`, `kexec`, `reboot`, `poweroff`, `local`, `boot-entry`, `firmware-setup`.
    pub kind: String,
    /// Release of the kernel that is jumped to, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    pub at: f64,
}

impl Handover {
    /// What is about to be done; `at` is in seconds since this kernel's start.
    pub fn of(order: &Order, at: f64) -> Self {
        let (kind, kernel, init) = match order {
            Order::SwitchRoot { init, .. } => ("switch-root", None, Some(init.path.clone())),
            Order::Kexec(words) => ("kexec", Some(words.name.clone()), None),
            Order::Reboot => ("reboot", None, None),
            Order::PowerOff => ("poweroff", None, None),
            Order::Local => ("local", None, None),
            Order::Next(_) => ("boot-entry", None, None),
            Order::Setup => ("firmware-setup", None, None),
        };
        Self { kind: kind.into(), kernel, init, at: (at * 1000.0).round() / 1000.0 }
    }
}
