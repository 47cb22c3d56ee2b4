//! (Entry, Params, Machine) → [`Plan`], or the reason why not: memory, architecture, a missing digest. Pure; doing
//! what a plan says is `load`'s.

mod carry;
mod root_word;
mod verdict;
mod vouched;

use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::{
    Action, Artifact, Boot, Carry, Entry, Fstab, Initrd, Job, Kexec, Root, RootSize, Shared,
};
use crate::fetch::{CONNECTION, Location};
use crate::machine::Machine;
use crate::net::Mac;
use crate::volumes::Tag;

use carry::KERNEL;
pub use carry::{Cargo, Numbers, Way, fits, way};
pub use root_word::ROOT_WORD_ID;
pub use verdict::{Check, Mark, verdict};
pub use vouched::unvouched;

/// Everything that is decided before the first byte is fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The entry's id, or `root=` for a root given on the kernel command line.
    pub id: String,
    pub title: String,
    pub step: Step,
}

/// What a plan does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    SwitchRoot(Box<RootPlan>),
    Shared(Box<SharedPlan>),
    Kexec(Box<KexecPlan>),
    Run(Box<RunPlan>),
    Shell,
    Reboot,
    PowerOff,
    Local,
}

/// A root to fetch into a tmpfs and to start.
#[derive(Clone, Debug, PartialEq)]
pub struct RootPlan {
    pub archive: Artifact,
    /// Limit of the tmpfs in bytes.
    pub limit: u64,
    /// Memory: what is known to be needed, and what there is.
    pub memory: Memory,
    /// Inits to look for in the root, in order.
    pub inits: Vec<String>,
    /// Whether `inits` was named (then nothing else is tried) or is the usual list.
    pub init_named: bool,
    pub init_args: Vec<String>,
    /// Where a root that has no modules for its kernel gets them.
    pub modules: ModulesFrom,
    /// The interface that the root's ifupdown is to bring up, if it has no other way: ramroot does that.
    pub interface: Option<Mac>,
    /// What is done with lines of its fstab that ask for what is not there.
    pub fstab: Fstab,
}

/// A directory that the host shares, to mount and to start: it costs no memory, and nobody vouches for it.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedPlan {
    pub tag: Tag,
    pub writable: bool,
    /// Inits to look for, in order.
    pub inits: Vec<String>,
    /// Whether `inits` was named (then nothing else is tried) or is the usual list.
    pub init_named: bool,
    pub init_args: Vec<String>,
}

impl SharedPlan {
    /// The directory itself.
    pub fn location(&self) -> Location {
        Location::Virtiofs { tag: self.tag.clone(), file: PathBuf::new() }
    }

    /// What may be done in it.
    pub fn access(&self) -> &'static str {
        if self.writable { "writable" } else { "read-only" }
    }
}

/// How trust in a shared root is shown.
pub const SHARED_TRUST: &str = "UNVERIFIED: shared by the host, as it is";

/// Where modules come from.
#[derive(Clone, Debug, PartialEq)]
pub enum ModulesFrom {
    Nowhere,
    Artifact(Artifact),
    /// `/lib/modules` of this very initrd: the first stage put them there for the root.
    Initrd,
}

impl ModulesFrom {
    /// What has to be fetched for them.
    pub fn artifact(&self) -> Option<&Artifact> {
        match self {
            Self::Artifact(artifact) => Some(artifact),
            Self::Nowhere | Self::Initrd => None,
        }
    }
}

/// A second kernel to load, and what goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct KexecPlan {
    pub kernel: Artifact,
    /// Empty with a root: bootjack itself is the second stage.
    pub initrd: Vec<Initrd>,
    pub modules: Option<Artifact>,
    /// As written in the catalog.
    pub cmdline: String,
    /// What the second stage is to unpack, with the memory that will be there; absent: a plain kernel.
    pub root: Option<RootPlan>,
    pub carry: Carry,
    /// How large things are, as far as the catalog says.
    pub cargo: Cargo,
    /// How the root gets there, as far as it is decided; unknown for a plain kernel.
    pub way: Way,
}

impl KexecPlan {
    /// Whether bootjack is what the second kernel starts, so that it understands a carried archive.
    pub fn has_second_stage(&self) -> bool {
        self.root.is_some() && (self.initrd.is_empty() || self.initrd.iter().any(|i| i.second_stage))
    }
}

/// A job to run in a root.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPlan {
    pub root: RootPlan,
    /// Program and arguments.
    pub command: Vec<String>,
    pub timeout: Duration,
    pub on_success: Action,
    pub on_failure: Action,
}

/// The arithmetic that comes before the first byte (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// The tree in the tmpfs with 1 KiB an entry, or the image, and bootjack's own buffers; absent: the catalog does not
    /// say.
    pub needed: Option<u64>,
    pub available: u64,
}

/// Why a plan cannot be made: shown in the menu beside the entry, and as a failure when chosen all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub cause: String,
    pub hint: Option<String>,
}

/// What one member of an archive costs in a tmpfs beside its data: an inode with its directory entry (measured on
/// Linux 6.1: 32 MiB of slab for 35,000 small files).
const BYTES_PER_ENTRY: u64 = 1024;

/// bootjack's own buffers and decoder windows while it unpacks (`docs/performance.md`).
const OWN_BUFFERS: u64 = 32 << 20;

/// What an image of so many bytes takes: itself, and what fetches it, which afterwards is the first of what the system
/// writes (a Debian writes 1 MiB until its login).
pub fn needed_by_image(size: u64) -> u64 {
    size.saturating_add(OWN_BUFFERS)
}

/// Percent of the memory no root may exceed, whatever the catalog says.
const MOST_OF_MEMORY: u64 = 95;

/// The limit of a tmpfs over an image of so many bytes, which is in the same memory. Never 0: to tmpfs that is no limit.
pub fn limit_over_image(limit: u64, image: u64, memory_total: u64) -> u64 {
    limit.min((memory_total / 100 * MOST_OF_MEMORY).saturating_sub(image)).max(1 << 20)
}

/// The inits that are looked for when none is named, as the kernel and initramfs-tools do.
const USUAL_INITS: &[&str] = &["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

impl Step {
    /// As a catalog writes it after `boot =`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::SwitchRoot(_) | Self::Shared(_) => "switch-root",
            Self::Kexec(_) => "kexec",
            Self::Run(_) => "run",
            Self::Shell => "shell",
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
            Self::Local => "local",
        }
    }
}

impl Plan {
    /// Whether something that is fetched now can be had over the network alone.
    pub fn needs_network(&self) -> bool {
        self.artifacts().iter().any(|artifact| artifact.locations.iter().all(Location::is_remote))
    }

    /// What is fetched now.
    pub fn artifacts(&self) -> Vec<&Artifact> {
        fn root(root: &RootPlan) -> impl Iterator<Item = &Artifact> {
            [Some(&root.archive), root.modules.artifact()].into_iter().flatten()
        }
        match &self.step {
            Step::SwitchRoot(plan) => root(plan).collect(),
            Step::Run(job) => root(&job.root).collect(),
            Step::Kexec(kexec) => {
                let carried = kexec.root.as_ref().filter(|_| !matches!(kexec.way, Way::Again(_)));
                let initrd = kexec.initrd.iter().map(|initrd| &initrd.artifact);
                let mine = [&kexec.kernel].into_iter().chain(initrd).chain(&kexec.modules);
                mine.chain(carried.into_iter().flat_map(root)).collect()
            }
            Step::Shared(_) | Step::Shell | Step::Reboot | Step::PowerOff | Step::Local => Vec::new(),
        }
    }
}

impl Plan {
    /// Whether something is fetched and unpacked, or loaded.
    pub fn makes_a_root(&self) -> bool {
        matches!(self.step, Step::SwitchRoot(_) | Step::Shared(_) | Step::Run(_) | Step::Kexec(_))
    }
}

/// Decides what booting `entry` on `machine` means, before anything is fetched.
///
/// # Errors
/// [`Refusal`] with the numbers when the memory cannot hold it; or with the parts that have no digest, where the initrd
/// has signature keys.
pub fn plan(entry: &Entry, machine: &Machine) -> Result<Plan, Refusal> {
    if machine.has_keys {
        vouched::demand(entry)?;
    }
    if let Some(arch) = entry.arch.filter(|arch| !machine.arch.is_empty() && machine.arch != *arch) {
        return Err(Refusal {
            cause: format!("it is for {arch}, this machine is {}", machine.arch),
            hint: Some("choose an entry for this machine, or mend arch in the catalog".into()),
        });
    }
    let step = match &entry.boot {
        Boot::SwitchRoot(root) => Step::SwitchRoot(Box::new(root_plan(root, machine)?)),
        Boot::Shared(shared) => Step::Shared(Box::new(shared_plan(shared))),
        Boot::Kexec(kexec) => Step::Kexec(Box::new(kexec_plan(kexec, machine)?)),
        Boot::Run(job) => Step::Run(Box::new(run_plan(job, machine)?)),
        Boot::Shell => Step::Shell,
        Boot::Reboot => Step::Reboot,
        Boot::PowerOff => Step::PowerOff,
        Boot::Local if machine.efi => Step::Local,
        Boot::Local => {
            return Err(Refusal {
                cause: "the firmware is not UEFI: it has no next boot entry to ask for".into(),
                hint: Some("use boot = \"reboot\" and the firmware's own boot order".into()),
            });
        }
    };
    Ok(Plan { id: entry.id.clone(), title: entry.title.clone(), step })
}

fn root_plan(root: &Root, machine: &Machine) -> Result<RootPlan, Refusal> {
    let limit = match root.size {
        // Divided first: no memory size is near 2^64 / 100, but nothing depends on that then.
        RootSize::Percent(percent) => machine.memory_total / 100 * u64::from(percent),
        RootSize::Bytes(bytes) => bytes,
    };
    // A tmpfs that may take all memory ends in the OOM killer instead of an error that names the member.
    let limit = limit.min(machine.memory_total / 100 * MOST_OF_MEMORY);
    let archive = &root.archive;
    let tree = archive
        .unpacked
        .map(|b| b.saturating_add(archive.entries.unwrap_or(0).saturating_mul(BYTES_PER_ENTRY)));
    let needed = match archive.is_image() {
        true => archive.size.map(needed_by_image),
        false => tree.map(|t| t.saturating_add(OWN_BUFFERS)),
    };
    let memory = Memory { needed, available: machine.memory_available };
    let short = |how: &str, needed: u64| Refusal {
        cause: format!("needs {how}{} of memory, {} are available", mib(needed), mib(memory.available)),
        hint: Some("choose a smaller root, or use a machine with more memory".into()),
    };
    match (archive.unpacked, memory.needed.or(memory_at_least(archive))) {
        (Some(_), Some(needed)) if needed > memory.available => Err(short("", needed)),
        (None, Some(needed)) if needed > memory.available => Err(short("at least ", needed)),
        (Some(unpacked), _) if unpacked > limit => Err(Refusal {
            cause: format!("the root needs {}, its tmpfs may grow to {}", mib(unpacked), mib(limit)),
            hint: Some("raise root_size, or use a machine with more memory".into()),
        }),
        _ => Ok(RootPlan {
            archive: Artifact {
                connections: connections(
                    archive,
                    memory.needed.or(memory_at_least(archive)),
                    memory.available,
                ),
                ..archive.clone()
            },
            limit,
            memory,
            inits: inits(root.init.as_ref()),
            init_named: root.init.is_some(),
            init_args: root.init_args.clone(),
            modules: root.modules.clone().map_or(ModulesFrom::Nowhere, ModulesFrom::Artifact),
            interface: None,
            fstab: root.fstab,
        }),
    }
}

/// Over how many connections a root is fetched: fewer than asked for where they would take memory that the root needs. One
/// that travels through a kexec is never held twice before it is here, and loading it takes more than that (`carry`).
fn connections(archive: &Artifact, needed: Option<u64>, available: u64) -> u8 {
    let spare = available.saturating_sub(needed.unwrap_or(OWN_BUFFERS));
    let most = (spare / CONNECTION).saturating_sub(1).max(1);
    archive.connections.min(u8::try_from(most).unwrap_or(u8::MAX))
}

/// What a root needs of which the catalog says its size alone: no tree is smaller than its archive, and an image is kept
/// as it is.
pub fn memory_at_least(archive: &Artifact) -> Option<u64> {
    archive.size.map(needed_by_image)
}

/// The one that is named, or the usual ones.
fn inits(named: Option<&String>) -> Vec<String> {
    match named {
        Some(init) => vec![init.clone()],
        None => USUAL_INITS.iter().map(ToString::to_string).collect(),
    }
}

fn shared_plan(shared: &Shared) -> SharedPlan {
    SharedPlan {
        tag: shared.tag.clone(),
        writable: shared.writable,
        inits: inits(shared.init.as_ref()),
        init_named: shared.init.is_some(),
        init_args: shared.init_args.clone(),
    }
}

/// What the kernel and its first processes take of the memory before the second stage unpacks (measured: 40 MiB of 1 GiB
/// on Linux 6.1).
pub const SECOND_KERNEL: u64 = 48 << 20;

fn kexec_plan(kexec: &Kexec, machine: &Machine) -> Result<KexecPlan, Refusal> {
    if let Some(why) = &machine.no_kexec {
        return Err(Refusal {
            cause: format!("this machine cannot kexec: {why}"),
            hint: Some("boot = \"switch-root\" needs no second kernel".into()),
        });
    }
    let own = kexec.root.is_some() && kexec.initrd.is_empty();
    let given = kexec.initrd.iter().map(|i| &i.artifact).chain(&kexec.modules).map(|a| a.size);
    let all = given.chain(own.then_some(Some(machine.own_initrd)));
    let initrd = all.reduce(|a, b| Some(a?.saturating_add(b?))).unwrap_or(Some(0));
    let archive = kexec.root.as_ref().and_then(|root| root.archive.size);
    let kernel = Some(KERNEL.max(kexec.kernel.size.unwrap_or(0)));
    let cargo = Cargo { kernel, image: kexec.kernel.size, initrd, archive };
    // What there will be when nothing runs but the second stage, whose files are in memory too.
    let left = machine.memory_total.saturating_sub(SECOND_KERNEL.saturating_add(initrd.unwrap_or(0)));
    let then = Machine { memory_available: left, ..machine.clone() };
    let root = kexec.root.as_ref().map(|root| root_plan(root, &then)).transpose()?;
    let mut plan = KexecPlan {
        kernel: kexec.kernel.clone(),
        initrd: kexec.initrd.clone(),
        modules: kexec.modules.clone(),
        cmdline: kexec.cmdline.clone(),
        root,
        carry: kexec.carry,
        cargo,
        way: Way::Unknown,
    };
    plan.way = plan.way_with(&cargo, machine)?;
    Ok(plan)
}

impl KexecPlan {
    /// How the root gets into the second stage when things are as large as `cargo` says; unknown where it does not, and
    /// for a plain kernel that fits.
    ///
    /// # Errors
    /// It cannot be loaded, with the numbers.
    pub fn way_with(&self, cargo: &Cargo, machine: &Machine) -> Result<Way, Refusal> {
        self.way_of(self.carry, cargo, machine)
    }

    fn way_of(&self, carry: Carry, cargo: &Cargo, machine: &Machine) -> Result<Way, Refusal> {
        let Some(root) = &self.root else {
            return fits(cargo, machine).map(|_| Way::Unknown);
        };
        let elsewhere = root.archive.locations.iter().any(|location| !location.is_of_this_initrd());
        let again = if elsewhere { Ok(()) } else { Err("it is in this initrd alone".into()) };
        if self.has_second_stage() {
            return way(carry, again, cargo, machine);
        }
        match carry {
            Carry::Yes => Err(Refusal {
                cause: "carry = \"yes\", and none of its initrds has bootjack in it".into(),
                hint: Some("second_stage = true says that one has; without initrd, bootjack is it".into()),
            }),
            Carry::Auto | Carry::No => way(Carry::No, again, cargo, machine),
        }
    }
}

impl KexecPlan {
    /// The same where nobody says how large the archive is (`why`): it is fetched again, if it can be.
    ///
    /// # Errors
    /// It cannot, or what is loaded without it does not fit.
    pub fn way_without(&self, cargo: &Cargo, machine: &Machine, why: &str) -> Result<Way, Refusal> {
        match self.way_of(Carry::No, cargo, machine)? {
            Way::Again(_) => Ok(Way::Again(why.to_owned())),
            way => Ok(way),
        }
    }
}

fn run_plan(job: &Job, machine: &Machine) -> Result<RunPlan, Refusal> {
    Ok(RunPlan {
        root: root_plan(&job.root, machine)?,
        command: job.command.clone(),
        timeout: job.timeout,
        on_success: job.on_success.clone(),
        on_failure: job.on_failure.clone(),
    })
}

/// Bytes as a person reads them: whole MiB, rounded up, so that what is needed never looks smaller than it is.
pub fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Trust;

    const GIB: u64 = 1 << 30;

    fn machine() -> Machine {
        Machine { memory_total: 2 * GIB, memory_available: GIB, ..Machine::default() }
    }

    fn entry(unpacked: Option<u64>, entries: Option<u64>, size: RootSize) -> Entry {
        let archive = Artifact {
            locations: vec![Location::parse("http://a/root.tar").unwrap()],
            trust: Trust::Unverified,
            chunks: None,
            pins: vec![],
            connections: 1,
            size: None,
            unpacked,
            entries,
            drivers: None,
        };
        let root =
            Root { archive, size, init: None, init_args: vec![], modules: None, fstab: Fstab::default() };
        let boot = Boot::SwitchRoot(Box::new(root));
        Entry::new("a", "A", boot)
    }

    #[test]
    fn a_root_that_fits_is_planned_with_its_arithmetic() {
        let plan = plan(&entry(Some(100 << 20), Some(10_240), RootSize::Percent(80)), &machine()).unwrap();
        let Step::SwitchRoot(root) = plan.step else { panic!("a switch-root plan") };
        assert_eq!(root.memory.needed, Some((100 << 20) + (10 << 20) + OWN_BUFFERS));
        assert_eq!(root.limit, 2 * GIB / 100 * 80);
        assert_eq!(root.inits, USUAL_INITS);
    }

    #[test]
    fn too_little_memory_is_refused_with_both_numbers() {
        let refusal = plan(&entry(Some(GIB), None, RootSize::Percent(80)), &machine()).unwrap_err();
        assert_eq!(refusal.cause, "needs 1056 MiB of memory, 1024 MiB are available");
    }

    #[test]
    fn a_root_beyond_its_own_limit_is_refused_with_both_numbers() {
        let refusal = plan(&entry(Some(100 << 20), None, RootSize::Bytes(64 << 20)), &machine()).unwrap_err();
        assert_eq!(refusal.cause, "the root needs 100 MiB, its tmpfs may grow to 64 MiB");
    }

    fn sized(unpacked: Option<u64>, size: u64) -> Entry {
        let mut entry = entry(unpacked, None, RootSize::Bytes(64 << 20));
        let Boot::SwitchRoot(root) = &mut entry.boot else { panic!("a switch-root entry") };
        root.archive.size = Some(size);
        entry
    }

    #[test]
    fn an_image_needs_its_own_size_whatever_may_be_written_over_it() {
        let Step::SwitchRoot(root) = plan(&sized(Some(0), 900 << 20), &machine()).unwrap().step else {
            panic!("a switch-root plan")
        };
        assert_eq!((root.memory.needed, root.limit), (Some((900 << 20) + OWN_BUFFERS), 64 << 20));
        let refusal = plan(&sized(Some(0), 1000 << 20), &machine()).unwrap_err();
        assert_eq!(refusal.cause, "needs 1032 MiB of memory, 1024 MiB are available");
    }

    #[test]
    fn what_is_larger_than_the_memory_as_it_comes_is_refused_before_anything_is_known_of_it() {
        let refusal = plan(&sized(None, 1000 << 20), &machine()).unwrap_err();
        assert_eq!(refusal.cause, "needs at least 1032 MiB of memory, 1024 MiB are available");
        let Step::SwitchRoot(root) = plan(&sized(None, 900 << 20), &machine()).unwrap().step else {
            panic!("a switch-root plan")
        };
        assert_eq!(root.memory.needed, None);
    }

    #[test]
    fn more_connections_are_used_only_where_there_is_memory_for_what_they_hold() {
        let with = |unpacked: Option<u64>| {
            let mut entry = entry(unpacked, None, RootSize::Percent(80));
            let Boot::SwitchRoot(root) = &mut entry.boot else { panic!("a switch-root entry") };
            root.archive.connections = 4;
            let Step::SwitchRoot(root) = plan(&entry, &machine()).unwrap().step else { panic!() };
            root.archive.connections
        };
        let left = |bytes: u64| Some(GIB - OWN_BUFFERS - bytes);
        assert_eq!((with(None), with(left(5 * CONNECTION))), (4, 4));
        assert_eq!(
            [5 * CONNECTION - 1, 3 * CONNECTION, 3 * CONNECTION - 1, 0].map(|b| with(left(b))),
            [3, 2, 1, 1]
        );
        assert_eq!(with(Some(0)), 4, "an image of unknown size");
    }

    #[test]
    fn what_is_written_over_an_image_leaves_room_for_it() {
        assert_eq!(limit_over_image(64 << 20, 900 << 20, GIB), 64 << 20);
        assert_eq!(limit_over_image(GIB, 500 << 20, GIB), GIB / 100 * 95 - (500 << 20));
        assert_eq!(limit_over_image(GIB, 2 * GIB, GIB), 1 << 20);
    }

    #[test]
    fn an_unknown_size_is_planned_as_unknown() {
        let Step::SwitchRoot(root) =
            plan(&entry(None, None, RootSize::Percent(80)), &machine()).unwrap().step
        else {
            panic!("a switch-root plan")
        };
        assert_eq!(root.memory.needed, None);
    }

    #[test]
    fn what_lies_in_the_initrd_needs_no_network() {
        let mut entry = entry(None, None, RootSize::Percent(80));
        assert!(plan(&entry, &machine()).unwrap().needs_network());
        let Boot::SwitchRoot(root) = &mut entry.boot else { panic!("a switch-root entry") };
        root.archive.locations.push(Location::parse("initramfs:/root.tar").unwrap());
        assert!(!plan(&entry, &machine()).unwrap().needs_network());
        let Boot::SwitchRoot(root) = &mut entry.boot else { panic!("a switch-root entry") };
        let archive = root.archive.clone();
        root.modules = Some(Artifact { locations: archive.locations[..1].to_vec(), ..archive });
        assert!(plan(&entry, &machine()).unwrap().needs_network());
    }

    #[test]
    fn what_is_for_another_machine_is_refused_with_both_names() {
        let entry = Entry { arch: Some("aarch64"), ..entry(None, None, RootSize::Percent(80)) };
        let refusal = plan(&entry, &Machine { arch: "x86_64".into(), ..machine() }).unwrap_err();
        assert_eq!(refusal.cause, "it is for aarch64, this machine is x86_64");
        plan(&entry, &Machine { arch: "aarch64".into(), ..machine() }).unwrap();
        // Of a machine that nobody looked at nothing is known.
        plan(&entry, &machine()).unwrap();
    }

    #[test]
    fn the_firmwares_next_entry_needs_a_firmware_that_has_one() {
        let local = Entry { boot: Boot::Local, ..entry(None, None, RootSize::Percent(80)) };
        assert!(plan(&local, &machine()).is_err());
        assert!(plan(&local, &Machine { efi: true, ..machine() }).is_ok());
    }
}
