//! The machine as plain data: probed once, then passed around. Deciding anything from it is `plan`'s.

mod devices;

use std::fs;

use crate::verify::signature::KEYS;

pub use devices::{Device, Kind};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Machine {
    /// As `uname -m` says: `x86_64`.
    pub arch: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// Bytes: MemTotal and MemAvailable of proc(5).
    pub memory_total: u64,
    pub memory_available: u64,
    /// SMBIOS, where the firmware tells.
    pub product: Option<String>,
    pub serial: Option<String>,
    pub uuid: Option<String>,
    /// Whether the firmware is UEFI.
    pub efi: bool,
    /// Bytes of an initrd made of what this one has: program, shell, catalog, certificates.
    pub own_initrd: u64,
    /// Whether this initrd has signature keys: then nothing runs that nobody vouches for.
    pub has_keys: bool,
    /// Why the running kernel loads no other one; absent: it may.
    pub no_kexec: Option<String>,
    /// How far the running kernel is locked down (kernel_lockdown(7)): `integrity`, `confidentiality`; absent: it is not.
    pub lockdown: Option<String>,
    /// Whether the firmware starts signed programs alone; absent: it does not say.
    pub secure_boot: Option<bool>,
    /// Its network cards and disks; absent: nobody looked.
    pub devices: Option<Vec<Device>>,
    /// What the running kernel was told, as far as it goes on to another one. There may be passwords in it.
    #[serde(skip)]
    pub cmdline: String,
}

/// Bytes of memory that are available now.
pub fn memory_available() -> u64 {
    memory(&read("/proc/meminfo").unwrap_or_default()).1
}

impl Machine {
    /// Reads `/proc` and `/sys`. What cannot be read stays empty: nothing here is worth failing a boot for.
    pub fn probe() -> Self {
        let uname = rustix::system::uname();
        let (memory_total, memory_available) = memory(&read("/proc/meminfo").unwrap_or_default());
        let dmi = |name: &str| read(&format!("/sys/class/dmi/id/{name}")).filter(|s| !s.is_empty());
        Self {
            arch: uname.machine().to_string_lossy().into_owned(),
            kernel: running_kernel(),
            memory_total,
            memory_available,
            product: dmi("product_name"),
            serial: dmi("product_serial"),
            uuid: dmi("product_uuid"),
            efi: std::path::Path::new("/sys/firmware/efi").is_dir(),
            own_initrd: own_initrd(),
            has_keys: has_keys(),
            no_kexec: no_kexec(),
            lockdown: read("/sys/kernel/security/lockdown").as_deref().and_then(lockdown),
            secure_boot: fs::read(SECURE_BOOT).ok().and_then(|bytes| secure_boot(&bytes)),
            devices: Some(devices::all("/sys/class".as_ref())),
            cmdline: read("/proc/cmdline").unwrap_or_default(),
        }
    }
}

impl Machine {
    /// A number that is always the same on this machine, and another one on others: of what its firmware calls it, or of
    /// the addresses of its interfaces.
    pub fn number(&self) -> u64 {
        Self::number_of(&self.uuid.clone().or_else(|| self.serial.clone()).unwrap_or_else(addresses))
    }

    /// The number of a machine of this name.
    pub fn number_of(name: &str) -> u64 {
        // SplitMix64 over the bytes: names that differ in one digit are far apart.
        name.bytes().fold(0x9e37_79b9_7f4a_7c15, |number: u64, byte| {
            let mixed = (number ^ u64::from(byte)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb)
        })
    }
}

/// Of all interfaces but the loopback, in the order of the addresses.
fn addresses() -> String {
    let Ok(interfaces) = fs::read_dir("/sys/class/net") else { return String::new() };
    let paths = interfaces.filter_map(|interface| Some(interface.ok()?.path()));
    let real = paths.filter(|path| path.join("device").exists());
    let mut all: Vec<String> =
        real.filter_map(|path| fs::read_to_string(path.join("address")).ok()).collect();
    all.sort();
    all.concat()
}

/// Release of the running kernel, as [`Machine::kernel`].
pub fn running_kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// What a second stage's initrd is made of, but for what weighs nothing.
const OWN_INITRD: &[&str] = &["/proc/self/exe", "/bin/busybox", "/etc/bootjack/catalog.toml"];

/// With the modules, which go along if the second kernel is the same again. A system that is no initramfs has too many.
fn own_initrd() -> u64 {
    let size = |path: &&str| Some(fs::metadata(path).ok()?.len());
    let with = fs::read_to_string("/etc/bootjack/with").unwrap_or_default();
    let with = with.lines().filter_map(|path| Some(fs::symlink_metadata(path).ok()?.len()));
    let program = OWN_INITRD.iter().filter_map(size).chain(with).sum::<u64>();
    let modules = if std::path::Path::new("/init").exists() { tree("/lib/modules".as_ref()) } else { 0 };
    program + modules
}

/// Bytes of the files below a directory.
fn tree(directory: &std::path::Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => tree(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

/// A place that cannot be looked at counts as one with keys.
fn has_keys() -> bool {
    std::path::Path::new(KEYS).try_exists().unwrap_or(true)
}

/// kexec_load_disabled of proc_sys_kernel(5); without CONFIG_KEXEC_CORE there is no `kexec_loaded` (kernel/ksysfs.c).
fn no_kexec() -> Option<String> {
    if !std::path::Path::new("/sys/kernel/kexec_loaded").exists() {
        return Some("the running kernel was built without it".into());
    }
    let disabled = read("/proc/sys/kernel/kexec_load_disabled").is_some_and(|value| value == "1");
    disabled.then(|| "kernel.kexec_load_disabled is 1".into())
}

/// EFI_GLOBAL_VARIABLE of the UEFI specification, 3.3; there only where efivarfs is mounted.
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// A variable as efivarfs shows it: four bytes of attributes, then 1 or 0.
fn secure_boot(variable: &[u8]) -> Option<bool> {
    match variable {
        [_, _, _, _, value] => Some(*value == 1),
        _ => None,
    }
}

/// The mode in brackets, as security/lockdown/lockdown.c writes it: `none [integrity] confidentiality`.
fn lockdown(modes: &str) -> Option<String> {
    let (_, rest) = modes.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    (mode != "none").then(|| mode.to_owned())
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|s| s.trim().to_owned())
}

/// MemTotal and MemAvailable in bytes from the text of `/proc/meminfo` (proc_meminfo(5): kB means KiB).
fn memory(meminfo: &str) -> (u64, u64) {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    (field("MemTotal").unwrap_or(0), field("MemAvailable").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_number_is_its_own_and_stays() {
        let machine = |uuid: u32| Machine { uuid: Some(format!("4c4c4544-{uuid:04}")), ..Machine::default() };
        assert_eq!(machine(1).number(), machine(1).number());
        // Mirrors are found by the rest of a division: each of three gets its share of a rack.
        let mut share = [0; 3];
        (0..300).for_each(|uuid| share[(machine(uuid).number() % 3) as usize] += 1);
        assert!(share.iter().all(|machines| (70..130).contains(machines)), "{share:?}");
    }

    #[test]
    fn what_locks_a_kernel_is_read_as_the_kernel_and_the_firmware_write_it() {
        assert_eq!(lockdown("none [integrity] confidentiality"), Some("integrity".into()));
        assert_eq!(lockdown("[none] integrity confidentiality"), None);
        assert_eq!(lockdown(""), None);
        assert_eq!(secure_boot(&[6, 0, 0, 0, 1]), Some(true));
        assert_eq!(secure_boot(&[6, 0, 0, 0, 0]), Some(false));
        assert_eq!(secure_boot(&[6, 0, 0, 0]), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:        2010284 kB\nMemFree:         1 kB\nMemAvailable:    1905412 kB\n";
        assert_eq!(super::memory(text), (2010284 * 1024, 1905412 * 1024));
        assert_eq!(super::memory("nonsense"), (0, 0));
    }
}
