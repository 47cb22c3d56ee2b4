//! Which words of the command line the init of a root is started with: what comes after `--` always, and what each of
//! the ancestors hands on. None of ours is among them.

use super::words::{Word, split};
use super::{Dialect, KNOWN, NETWORK, Params};

/// The kernel's own words and those of initrds, with and without values, as far as they have no `.` in them. Others
/// than the kernel knows are init's (init/main.c, `unknown_bootoption`).
const TAKEN: &str = "console BOOT_IMAGE initrd init rdinit root rootfstype rootflags rootdelay rootwait resume noresume \
    resumedelay ro rw boot break proxy no_proxy quiet debug loglevel ignore_loglevel keep_bootcon earlyprintk earlycon panic oops \
    reboot selinux enforcing security apparmor lsm audit mem memmap maxcpus nr_cpus possible_cpus nosmp noapic nolapic \
    nox2apic acpi acpi_osi pci pcie_aspm pcie_ports iommu intel_iommu amd_iommu swiotlb mitigations nopti nospectre_v1 \
    nospectre_v2 nokaslr nomodeset norandmaps vga video fbcon consoleblank crashkernel hugepages hugepagesz \
    default_hugepagesz transparent_hugepage isolcpus nohz nohz_full rcu_nocbs idle tsc clocksource nmi_watchdog \
    nowatchdog nosoftlockup numa mce edd efi noefi dis_ucode_ldr cgroup_disable cgroup_no_v1 swapaccount threadirqs \
    preempt ramdisk_size blacklist netconsole nousb log_buf_len printk trace_event initcall_debug nopat nolapic_timer \
    nohpet hpet lpj no_timer_check skew_tick";

/// The words of `text` for an init in these words' dialect; without one, for the init of an entry: what comes after `--`.
pub fn init_args(text: &str, dialect: Option<Dialect>) -> Vec<String> {
    let (words, after) = split(text);
    of(&words, after, dialect)
}

pub(super) fn of(words: &[Word], after: Vec<String>, dialect: Option<Dialect>) -> Vec<String> {
    let after_last =
        |names: &[&str]| words.iter().rposition(|w| names.contains(&w.name.as_str())).map(|at| at + 1);
    let text = |word: &Word| word.text();
    let mut args: Vec<String> = match dialect {
        None | Some(Dialect::Shared) => Vec::new(),
        // What the kernel hands to /init goes on to init: bare words, and none that came before an init was named.
        Some(Dialect::Ramroot) => {
            let rest = &words[after_last(&["init", "rdinit"]).unwrap_or(0)..];
            rest.iter().filter(|w| w.value.is_none() && !is_taken(w)).map(text).collect()
        }
        // dracut's 99base/init.sh.
        Some(Dialect::Tmpfs | Dialect::Container | Dialect::Virtiofs) => match after_last(&["init"]) {
            Some(at) => words[at..].iter().filter(|w| is_argument(w) || !is_taken(w)).map(text).collect(),
            None => words.iter().filter(|w| w.value.is_none() && is_level(&w.name)).map(text).collect(),
        },
    };
    args.extend(after);
    args
}

impl Params {
    /// Leaves out what the kernel kept to itself of a line in ramroot's words: it knows its own better than any list.
    /// `handed` is what it started process 1 with, as `/proc/1/cmdline` has it.
    pub fn as_handed(&mut self, handed: &[u8]) {
        if matches!(&self.root, Some(Ok(root)) if root.dialect == Dialect::Ramroot) {
            self.init_args.retain(|arg| handed.split(|byte| *byte == 0).any(|word| word == arg.as_bytes()));
        }
    }
}

/// What only looks like a module's parameter: a path, an option, `rescue.target`.
fn is_argument(word: &Word) -> bool {
    let name = word.name.as_str();
    let lower = name.to_ascii_lowercase();
    let ours = lower.starts_with("rd.") || lower.starts_with("bootjack");
    let bare = word.value.is_none() || name.contains('/') || name.starts_with('-');
    name.contains('.') && bare && !ours
}

/// What every init understands.
fn is_level(word: &str) -> bool {
    matches!(word, "s" | "S" | "single" | "emergency" | "auto") || matches!(word.as_bytes(), [b'0'..=b'9'])
}

/// Somebody else's: a module's or a program's (`MODULE.PARAMETER`, `rd.…`), the kernel's, the network's, ours.
fn is_taken(word: &Word) -> bool {
    let name = word.name.as_str();
    name.contains('.')
        || KNOWN.contains(&name)
        || NETWORK.contains(&name)
        || name.to_ascii_lowercase().starts_with("bootjack")
        || TAKEN.split_ascii_whitespace().any(|taken| taken == name)
}
