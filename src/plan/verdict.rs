//! Whether a boot will come to a good end, as far as it is known before a byte is fetched: one check after the other, each
//! with a mark and a word. Pure, and nothing is refused here: what cannot be at all, [`plan`](super::plan) has refused.

use std::fmt;

use super::{Plan, Refusal, RootPlan, Step, Way, memory_at_least, mib, unvouched};
use crate::catalog::{Boot, Entry, Kexec, RootSize};
use crate::cmdline::{Params, Second, SecondRoot};
use crate::fetch::Location;
use crate::machine::{Device, Kind, Machine};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What it is about: `trust`, `memory`.
    pub what: &'static str,
    pub mark: Mark,
    /// What was found, with the numbers.
    pub words: String,
}

/// How it came out; what is worse comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    Ok,
    /// The catalog does not say, and it is looked at when it is there.
    Unsaid,
    /// It decides whether the boot succeeds, and cannot be known before.
    Unknown,
    /// The person who boots it should know.
    Note,
    /// It cannot be booted.
    No,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "+",
            Self::Unsaid => " ",
            Self::Unknown => "?",
            Self::Note => "!",
            Self::No => "x",
        })
    }
}

/// What is known of booting `entry` on `machine`, of which `outcome` is the plan.
pub fn verdict(entry: &Entry, outcome: &Result<Plan, Refusal>, machine: &Machine) -> Vec<Check> {
    let plan = match outcome {
        Ok(plan) => plan,
        Err(refusal) => return vec![check("plan", Mark::No, &refusal.cause)],
    };
    let mut checks = Vec::new();
    match &plan.step {
        Step::SwitchRoot(root) => checks.extend([sources(plan), trust(entry), memory(root)]),
        Step::Run(job) => checks.extend([sources(plan), trust(entry), memory(&job.root)]),
        Step::Kexec(kexec) => {
            checks.extend([sources(plan), trust(entry)]);
            checks.extend(kexec.root.as_ref().map(memory));
        }
        Step::Shared(_) => checks.push(check("trust", Mark::Note, super::SHARED_TRUST)),
        Step::Shell | Step::Reboot | Step::PowerOff | Step::Local => return checks,
    }
    checks.push(arch(entry, machine));
    match (&entry.boot, &plan.step) {
        (Boot::Kexec(kexec), Step::Kexec(planned)) => {
            let again = matches!(planned.way, Way::Again(_));
            checks.extend([kexec_allowed(machine), drivers(kexec, again, machine), line(kexec, machine)]);
        }
        _ => checks.push(check("drivers", Mark::Ok, "those of the running kernel, which stays")),
    }
    checks
}

fn check(what: &'static str, mark: Mark, words: impl Into<String>) -> Check {
    Check { what, mark, words: words.into() }
}

/// How many places there are for the artifact that has the fewest; the root that a second stage fetches, too.
fn sources(plan: &Plan) -> Check {
    let again = match &plan.step {
        Step::Kexec(kexec) => kexec.root.as_ref().map(|root| &root.archive),
        _ => None,
    };
    let all = plan.artifacts().into_iter().chain(again);
    let least = all.map(|artifact| artifact.locations.len()).min().unwrap_or(0);
    let words = match least {
        1 => "not all of it has a second place that could stand in".to_owned(),
        n => format!("{n} places for each part, or more"),
    };
    check("sources", Mark::Ok, words)
}

/// Of all that comes for it, now or in the second stage.
fn trust(entry: &Entry) -> Check {
    match &unvouched(entry)[..] {
        [] => check("trust", Mark::Ok, "all of it is held against a digest"),
        parts => {
            let words = format!("UNVERIFIED: {}: whatever arrives is started", parts.join(", "));
            check("trust", Mark::Note, words)
        }
    }
}

/// Too little of it is a refusal.
fn memory(root: &RootPlan) -> Check {
    let free = mib(root.memory.available);
    match (root.memory.needed, memory_at_least(&root.archive)) {
        (Some(needed), _) => {
            check("memory", Mark::Ok, format!("needs {}, {free} are available", mib(needed)))
        }
        (None, Some(least)) => {
            check("memory", Mark::Unknown, format!("needs at least {}, {free} are available", mib(least)))
        }
        (None, None) => check("memory", Mark::Unknown, format!("need unknown, {free} are available")),
    }
}

/// Another machine is a refusal; where nobody says, the init is looked at when it is there.
fn arch(entry: &Entry, machine: &Machine) -> Check {
    match entry.arch {
        Some(arch) if machine.arch.is_empty() => {
            check("arch", Mark::Unsaid, format!("for {arch}; this machine was not asked"))
        }
        Some(arch) => check("arch", Mark::Ok, format!("for {arch}, as this machine is")),
        None => check("arch", Mark::Unsaid, "not said: looked at when it is there"),
    }
}

/// What forbids every kernel is a refusal.
fn kexec_allowed(machine: &Machine) -> Check {
    let signed = "only a kernel signed with a key that this machine knows";
    match (&machine.lockdown, machine.secure_boot) {
        (Some(mode), _) => {
            check("kexec", Mark::Note, format!("this kernel is locked down ({mode}): {signed}"))
        }
        (None, Some(true)) => check("kexec", Mark::Note, format!("Secure Boot is on: it may be {signed}")),
        (None, _) => check("kexec", Mark::Ok, "this kernel loads another one"),
    }
}

/// Whether the other kernel has what this machine's cards and disks work with now.
fn drivers(kexec: &Kexec, again: bool, machine: &Machine) -> Check {
    // Without a root its own initrd brings them, of which nothing is known here.
    let needed = kexec.root.is_some();
    let Some(modules) = &kexec.modules else {
        return match (needed && again, kexec.initrd.is_empty()) {
            (true, true) => check(
                "drivers",
                Mark::Note,
                "no modules: network drivers must be built in, the root is fetched again",
            ),
            (_, false) => check("drivers", Mark::Unsaid, "its own initrd brings them"),
            (false, true) => {
                check("drivers", Mark::Unsaid, "no modules: the root brings its own, or has none")
            }
        };
    };
    let (Some(listed), Some(devices)) = (&modules.drivers, &machine.devices) else {
        let why = if modules.drivers.is_none() {
            "modules do not say theirs"
        } else {
            "nobody looked at this machine"
        };
        let decides = needed && again;
        let mark = if decides { Mark::Unknown } else { Mark::Unsaid };
        return check("drivers", mark, why);
    };
    let lacks = |device: &&Device| device.drivers.iter().any(|driver| !listed.contains(driver));
    let lacking: Vec<String> = devices.iter().filter(lacks).map(|device| lack(device, listed)).collect();
    if !lacking.is_empty() {
        return check("drivers", Mark::Note, format!("not among the modules: {}", lacking.join(", ")));
    }
    let of = |kind| devices.iter().filter(|device| device.kind == kind).count();
    match (of(Kind::Nic), of(Kind::Disk)) {
        (0, 0) => check("drivers", Mark::Unsaid, "this machine shows no card and no disk"),
        (cards, disks) => {
            check("drivers", Mark::Ok, format!("for all of this machine: network {cards}, disks {disks}"))
        }
    }
}

fn lack(device: &Device, listed: &[String]) -> String {
    let missing: Vec<&str> =
        device.drivers.iter().filter(|driver| !listed.contains(driver)).map(String::as_str).collect();
    format!("{} ({})", missing.join(" "), device.name)
}

/// Bytes of the command line that Linux takes for x86: COMMAND_LINE_SIZE is 2048 with the zero at the end
/// (arch/x86/include/asm/setup.h), and a kexec keeps 30 for `elfcorehdr=` (`MAX_ELFCOREHDR_STR_LEN`). What the kernel's
/// own header says decides when it is there.
const LONGEST_LINE: usize = 2047 - 31;

/// How long the second command line becomes, with all that may be added to it.
fn line(kexec: &Kexec, machine: &Machine) -> Check {
    match longest(kexec, machine) {
        Ok(bytes) if bytes > LONGEST_LINE => check(
            "cmdline",
            Mark::Note,
            format!("{bytes} bytes with what bootjack adds: kernels take {LONGEST_LINE}"),
        ),
        Ok(bytes) => check("cmdline", Mark::Ok, format!("{bytes} of {LONGEST_LINE} bytes, at most")),
        Err(why) => check("cmdline", Mark::Note, why),
    }
}

/// The line as it would be with a lease, a serial console and nobody there.
fn longest(kexec: &Kexec, machine: &Machine) -> Result<usize, String> {
    let orders = Params::parse(&machine.cmdline);
    let root = kexec.root.as_ref().map(|root| SecondRoot {
        locations: root.archive.locations.iter().map(Location::public).collect(),
        sha256: root.archive.digest().map(ToString::to_string),
        chunks: root.archive.chunks.as_ref().map(ToString::to_string),
        size: match root.size {
            RootSize::Percent(percent) => format!("{percent}%"),
            RootSize::Bytes(bytes) => bytes.to_string(),
        },
        init: root.init.clone(),
        init_args: root.init_args.clone(),
        interface: Some(("eth0".into(), "00:00:00:00:00:00".into())),
        network: root.archive.locations.iter().any(Location::is_remote),
        connections: root.archive.connections,
    });
    let second = Second {
        written: &kexec.cmdline,
        running: &machine.cmdline,
        orders: Some(&orders),
        console: Some(("ttyS0", Some(115_200))),
        root,
        unattended: true,
    };
    second.compose().map(|text| text.len()).map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use super::*;
    use crate::catalog;

    const GIB: u64 = 1 << 30;

    fn machine() -> Machine {
        Machine {
            arch: "x86_64".into(),
            memory_total: 2 * GIB,
            memory_available: GIB,
            devices: Some(vec![
                Device { name: "eth0".into(), kind: Kind::Nic, drivers: vec!["e1000e".into()] },
                Device {
                    name: "sda".into(),
                    kind: Kind::Disk,
                    drivers: vec!["sd_mod".into(), "ahci".into()],
                },
            ]),
            ..Machine::default()
        }
    }

    fn judged(entry: &str, machine: &Machine) -> Vec<Check> {
        let digest = format!("sha256 = '{}'", "ba78".repeat(16));
        let text =
            format!("version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\n{}\n", entry.replace("SHA", &digest));
        let parsed = catalog::parse(&text, &Location::parse("http://a/c.toml").unwrap(), "c.toml");
        assert!(!parsed.has_errors(), "{}", parsed.render());
        let entry = &parsed.catalog.unwrap().entries[0];
        verdict(entry, &plan(entry, machine), machine)
    }

    fn of(checks: &[Check], what: &str) -> (Mark, String) {
        let found = checks.iter().find(|check| check.what == what).expect(what);
        (found.mark, found.words.clone())
    }

    const KEXEC: &str = "boot = 'kexec'\narch = 'x86_64'\nkernel = { url = 'k', SHA, size = 8 }\n\
        root = { url = ['r', 'http://b/r'], SHA, size = 9, unpacked = 9 }\n\
        modules = { url = 'm', SHA, size = 7, drivers = ['e1000e', 'sd-mod', 'ahci'] }\n";

    #[test]
    fn where_all_is_known_and_right_every_mark_is_good() {
        let checks = judged(KEXEC, &machine());
        assert!(checks.iter().all(|check| check.mark == Mark::Ok), "{checks:?}");
        let named: Vec<&str> = checks.iter().map(|check| check.what).collect();
        assert_eq!(named, ["sources", "trust", "memory", "arch", "kexec", "drivers", "cmdline"]);
        assert_eq!(of(&checks, "drivers").1, "for all of this machine: network 1, disks 1");
    }

    #[test]
    fn a_driver_that_is_not_among_the_modules_is_named_with_its_device() {
        let checks = judged(&KEXEC.replace("'ahci'", "'nvme'"), &machine());
        assert_eq!(of(&checks, "drivers"), (Mark::Note, "not among the modules: ahci (sda)".into()));
        let silent = KEXEC.replace(", drivers = ['e1000e', 'sd-mod', 'ahci']", "");
        // Carried, the root needs no network; fetched again it does.
        assert_eq!(of(&judged(&silent, &machine()), "drivers").0, Mark::Unsaid);
        assert_eq!(of(&judged(&(silent + "carry = 'no'"), &machine()), "drivers").0, Mark::Unknown);
        let bare = KEXEC.lines().filter(|line| !line.starts_with("modules")).collect::<Vec<_>>().join("\n");
        assert_eq!(of(&judged(&(bare + "\ncarry = 'no'"), &machine()), "drivers").0, Mark::Note);
    }

    #[test]
    fn what_locks_the_kernel_is_said_before_it_refuses() {
        let locked = Machine { lockdown: Some("integrity".into()), ..machine() };
        let (mark, words) = of(&judged(KEXEC, &locked), "kexec");
        assert!(mark == Mark::Note && words.contains("locked down (integrity)"), "{words}");
        let secure = Machine { secure_boot: Some(true), ..machine() };
        assert_eq!(of(&judged(KEXEC, &secure), "kexec").0, Mark::Note);
        let off = Machine { secure_boot: Some(false), ..machine() };
        assert_eq!(of(&judged(KEXEC, &off), "kexec").0, Mark::Ok);
        let never = Machine { no_kexec: Some("so".into()), ..machine() };
        assert_eq!(judged(KEXEC, &never)[0].mark, Mark::No);
    }

    #[test]
    fn the_command_line_is_counted_with_what_is_added() {
        let with = |bytes: usize| format!("{KEXEC}cmdline = '{}'\n", "x".repeat(bytes));
        let (mark, words) = of(&judged(&with(100), &machine()), "cmdline");
        let counted: usize = words.split(' ').next().unwrap().parse().unwrap();
        assert!(mark == Mark::Ok && counted > 200, "{words}");
        // As long as it may be, and one more.
        let most = LONGEST_LINE - counted + 100;
        assert_eq!(of(&judged(&with(most), &machine()), "cmdline").0, Mark::Ok);
        assert_eq!(of(&judged(&with(most + 1), &machine()), "cmdline").0, Mark::Note);
    }

    #[test]
    fn nothing_unverified_hides_behind_the_second_stage() {
        let again = KEXEC.replace("['r', 'http://b/r'], SHA", "['r', 'http://b/r'], unverified = true");
        for carry in ["yes", "no"] {
            let checks = judged(&format!("{again}carry = '{carry}'"), &machine());
            let said = "UNVERIFIED: root: whatever arrives is started".to_owned();
            assert_eq!(of(&checks, "trust"), (Mark::Note, said), "carry {carry}");
        }
    }

    #[test]
    fn what_nobody_said_is_no_fault_and_no_praise() {
        let root = "boot = 'switch-root'\nroot = { url = 'r', unverified = true }\n";
        let checks = judged(root, &machine());
        let marks: Vec<Mark> = checks.iter().map(|check| check.mark).collect();
        assert_eq!(marks, [Mark::Ok, Mark::Note, Mark::Unknown, Mark::Unsaid, Mark::Ok]);
        assert_eq!(judged("boot = 'shell'", &machine()), []);
    }
}
