//! The catalog as meant: what can be booted, and how. Parsing never touches a file or the network; whether this
//! machine can boot an entry is `plan`'s to say.

mod age;
mod artifact;
mod edit;
mod entries;
mod entry;
mod follow;
mod kexec;
mod menu;
mod places;
mod problem;
mod quantity;
mod run;
mod table;
mod words;
mod written;

use std::time::Duration;

use crate::fetch::{Location, Pin};
use crate::verify::{Password, Sha256, Trust};
use crate::volumes::Tag;

pub use age::expired;
pub use edit::{Edited, Edits, Line};
pub use entry::TAKEN_KEYS;
pub use places::{Mirror, Placed, artifacts};
pub use problem::{Problem, Severity};
pub use quantity::{duration, root_size};
pub use written::{Parsed, RefusedEntry, TEXT_LIMIT, decode, parse, parse_bytes};

/// A catalog, version 1, with the entries that stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// `serial`: of two catalogs the one with the lower number is older.
    pub serial: Option<u64>,
    /// `expires`: seconds since 1970 at which it ceases to count.
    pub expires: Option<u64>,
    /// `menu.title`, "bootjack" if absent.
    pub title: String,
    /// `menu.timeout`; absent: wait for a person.
    pub timeout: Option<Duration>,
    /// Index into `entries` of `menu.default`, or of the first entry; absent only if there is no entry at all,
    /// or the default was refused.
    pub default: Option<usize>,
    /// `menu.idle`, 5 minutes if absent.
    pub idle: Duration,
    /// `menu.retry_for`, 10 minutes if absent.
    pub retry_for: Duration,
    /// `menu.on_failure`, reboot if absent.
    pub on_failure: Action,
    /// `menu.folded`: groups that are closed until somebody opens them.
    pub folded: Vec<String>,
    /// `menu.password`: who may have a shell, change an entry, or leave the machine by the screen for that.
    pub password: Option<Password>,
    /// `menu.mirrors`.
    pub mirrors: MirrorOrder,
    /// In the order written, without the refused ones.
    pub entries: Vec<Entry>,
}

/// Which mirror of an artifact is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MirrorOrder {
    /// The first that is written.
    #[default]
    InOrder,
    /// Another one on each machine, and always the same on one: a rack that is switched on asks all of them.
    Spread,
}

impl Catalog {
    /// What there is when nobody wrote one: no entries, and a person who may want a shell.
    pub fn empty() -> Self {
        Self {
            serial: None,
            expires: None,
            title: "bootjack".into(),
            timeout: None,
            default: None,
            idle: Duration::from_secs(300),
            retry_for: Duration::from_secs(600),
            on_failure: Action::Reboot,
            folded: Vec::new(),
            password: None,
            mirrors: MirrorOrder::default(),
            entries: Vec::new(),
        }
    }

    /// Puts the mirrors into the order in which this machine asks them; `machine`: a number of its own.
    pub fn order_mirrors(&mut self, machine: u64) {
        if self.mirrors == MirrorOrder::InOrder {
            return;
        }
        for artifact in self.entries.iter_mut().flat_map(Entry::artifacts_mut) {
            let first = machine % artifact.locations.len().max(1) as u64;
            artifact.locations.rotate_left(first as usize);
        }
    }
}

/// What is done at an end: of retrying, of a job.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Reboot,
    PowerOff,
    Hold,
    /// Back to the menu; only at the end of a job.
    Menu,
    /// Boot the entry with this id.
    Entry(String),
}

/// One thing that can be booted.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub id: String,
    pub title: String,
    pub help: Option<String>,
    /// Names of groups in each other, with ` / ` between them.
    pub group: Option<String>,
    /// The key that selects it.
    pub hotkey: Option<char>,
    /// The machines it is for, as `uname -m` says there; absent: nobody says.
    pub arch: Option<&'static str>,
    pub boot: Boot,
}

impl Entry {
    /// One of which no more is said.
    pub fn new(id: impl Into<String>, title: impl Into<String>, boot: Boot) -> Self {
        Self { id: id.into(), title: title.into(), help: None, group: None, hotkey: None, arch: None, boot }
    }

    /// All that is fetched for it.
    fn artifacts_mut(&mut self) -> Vec<&mut Artifact> {
        fn of_root(root: &mut Root) -> impl Iterator<Item = &mut Artifact> {
            std::iter::once(&mut root.archive).chain(&mut root.modules)
        }
        match &mut self.boot {
            Boot::SwitchRoot(root) => of_root(root).collect(),
            Boot::Run(job) => of_root(&mut job.root).collect(),
            Boot::Kexec(kexec) => {
                let Kexec { kernel, initrd, root, modules, .. } = &mut **kexec;
                let initrds = initrd.iter_mut().map(|initrd| &mut initrd.artifact);
                let fixed = std::iter::once(kernel).chain(initrds).chain(modules);
                fixed.chain(root.iter_mut().flat_map(of_root)).collect()
            }
            Boot::Shared(_) | Boot::Shell | Boot::Reboot | Boot::PowerOff | Boot::Local => vec![],
        }
    }
}

/// How an entry boots.
#[derive(Clone, Debug, PartialEq)]
pub enum Boot {
    SwitchRoot(Box<Root>),
    /// A directory that the host shares is the root, as it is. Asked for on the kernel command line alone.
    Shared(Box<Shared>),
    /// Another kernel takes the place of the running one.
    Kexec(Box<Kexec>),
    /// A job runs in the root, and its end decides what follows.
    Run(Box<Job>),
    Shell,
    Reboot,
    PowerOff,
    /// The next boot entry of the firmware.
    Local,
}

/// The root of an entry and what starts in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    pub archive: Artifact,
    pub size: RootSize,
    /// Absolute path of the init; absent: the usual ones are looked for.
    pub init: Option<String>,
    pub init_args: Vec<String>,
    /// Modules for the running kernel, for a root that has none; those of a second kernel are in [`Kexec`].
    pub modules: Option<Artifact>,
    pub fstab: Fstab,
}

/// What is done with lines of the root's `etc/fstab` whose device is not there: systemd waits 90 s for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fstab {
    /// They are named, and stay.
    #[default]
    Keep,
    /// They are named, and left out.
    Drop,
}

/// A shared directory as a root, and what starts in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared {
    pub tag: Tag,
    pub writable: bool,
    /// Absolute path of the init, in the root or below `/run/mnt`; absent: the usual ones are looked for.
    pub init: Option<String>,
    pub init_args: Vec<String>,
}

/// A second kernel and what it starts with.
#[derive(Clone, Debug, PartialEq)]
pub struct Kexec {
    pub kernel: Artifact,
    /// Its initrds, in order; empty with a `root`: bootjack itself is the second stage.
    pub initrd: Vec<Initrd>,
    /// Absent: a plain kernel with its initrds, as an installer's.
    pub root: Option<Root>,
    /// Modules of that kernel (`bootjack initrd --modules-only`): drivers for the second stage, and for a root that has
    /// none.
    pub modules: Option<Artifact>,
    /// The second kernel's command line as written; bootjack adds to it and takes its own words out.
    pub cmdline: String,
    pub carry: Carry,
}

/// One of the initrds of a second kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Initrd {
    pub artifact: Artifact,
    /// Whether bootjack is in it, so that an archive can be carried to it.
    pub second_stage: bool,
}

/// Whether the archive of a root travels through the kexec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carry {
    /// If there is memory for it; else it is fetched again.
    #[default]
    Auto,
    /// Or the entry is refused.
    Yes,
    /// It is fetched again.
    No,
}

/// A command that runs in a root while bootjack stays process 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub root: Root,
    /// Program and arguments; never empty, the program an absolute path in the root.
    pub command: Vec<String>,
    /// Then it is ended and has failed; `run.timeout`, 30 minutes if absent.
    pub timeout: Duration,
    /// `run.on_success`, back to the menu if absent.
    pub on_success: Action,
    /// `run.on_failure`, hold if absent.
    pub on_failure: Action,
}

/// A thing that is fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// Mirrors, in the order they are tried; never empty.
    pub locations: Vec<Location>,
    pub trust: Trust,
    /// Digest of its chunk list, which lies beside it: each chunk is verified before a byte of it is read.
    pub chunks: Option<Sha256>,
    /// Keys by which https servers are believed, in place of authorities.
    pub pins: Vec<Pin>,
    /// `menu.connections`: so many at once, where there are chunks; at least 1.
    pub connections: u8,
    /// Exact bytes as fetched.
    pub size: Option<u64>,
    /// Bytes and members in the tmpfs.
    pub unpacked: Option<u64>,
    pub entries: Option<u64>,
    /// Of modules: the drivers that their kernel has with them and built in, with `_`; absent: nobody says.
    pub drivers: Option<Vec<String>>,
}

impl Artifact {
    /// Whether the catalog says that nothing of it is unpacked: an image, which is read in place.
    pub fn is_image(&self) -> bool {
        self.unpacked == Some(0)
    }
    /// The digest over all its bytes that they are held against, if there is one.
    pub fn digest(&self) -> Option<&Sha256> {
        match &self.trust {
            Trust::Sha256(digest) => Some(digest),
            Trust::Chunks(_) | Trust::Unverified => None,
        }
    }
}

/// Limit of the tmpfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootSize {
    /// Of the machine's memory; 1 to 100.
    Percent(u8),
    Bytes(u64),
}
