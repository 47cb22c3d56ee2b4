//! The machine as plain data: probed once, then passed around. Deciding anything from it is `plan`'s.

use std::fs;

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
}

impl Machine {
    /// Reads `/proc` and `/sys`. What cannot be read stays empty: nothing here is worth failing a boot for.
    pub fn probe() -> Self {
        let uname = rustix::system::uname();
        let (memory_total, memory_available) = memory(&read("/proc/meminfo").unwrap_or_default());
        let dmi = |name: &str| read(&format!("/sys/class/dmi/id/{name}")).filter(|s| !s.is_empty());
        Self {
            arch: uname.machine().to_string_lossy().into_owned(),
            kernel: uname.release().to_string_lossy().into_owned(),
            memory_total,
            memory_available,
            product: dmi("product_name"),
            serial: dmi("product_serial"),
            uuid: dmi("product_uuid"),
            efi: std::path::Path::new("/sys/firmware/efi").is_dir(),
        }
    }
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
    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:        2010284 kB\nMemFree:         1 kB\nMemAvailable:    1905412 kB\n";
        assert_eq!(super::memory(text), (2010284 * 1024, 1905412 * 1024));
        assert_eq!(super::memory("nonsense"), (0, 0));
    }
}
