//! Whether there is memory for a load. The kernel compares what is to be placed with half of what there is (EINVAL);
//! whether that much is free it finds out page by page, and its OOM killer then takes processes, at last the machine.

use std::fs::{self, File};

/// Purgatory, boot parameters, page tables and the lists of pages.
const SUNDRIES: u64 = 4 << 20;

/// Whether `kernel`, placed with `room` bytes, and `initrd` can be loaded now.
///
/// # Errors
/// The numbers, in words. What cannot be read does not stand in the way.
pub(super) fn suffices(kernel: &File, room: u64, initrd: Option<&File>) -> Result<(), String> {
    let bytes = |file: &File| file.metadata().map_or(0, |m| m.len());
    let Ok(meminfo) = fs::read_to_string("/proc/meminfo") else { return Ok(()) };
    let (Some(total), Some(available)) = (of(&meminfo, "MemTotal:"), of(&meminfo, "MemAvailable:")) else {
        return Ok(());
    };
    fits(bytes(kernel), room, initrd.map_or(0, bytes), total, available)
}

/// The arithmetic, in bytes. The files are in memory already (`available` is without them); the kernel reads both into
/// buffers of its own and copies them from there page by page, the kernel with its `room`.
fn fits(kernel: u64, room: u64, initrd: u64, total: u64, available: u64) -> Result<(), String> {
    let placed = room.max(kernel).saturating_add(initrd);
    let needed = placed.saturating_add(kernel).saturating_add(initrd).saturating_add(SUNDRIES);
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    if placed > total / 2 {
        let (placed, total) = (mib(placed), mib(total));
        return Err(format!(
            "kernel and initrd take {placed} MiB, more than half of the {total} MiB of this machine"
        ));
    }
    if needed > available {
        let (needed, available) = (mib(needed), available >> 20);
        return Err(format!("loading takes {needed} MiB for a moment, {available} MiB are available"));
    }
    Ok(())
}

/// A line of /proc/meminfo in bytes (proc_meminfo(5)).
fn of(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_would_run_out_of_memory_is_refused_with_the_numbers() {
        // A machine of 512 MiB, where the kernel tried, and panicked.
        let try_it = |initrd, available| fits(14 * MIB, 52 * MIB, initrd, 466 * MIB, available);
        assert_eq!(
            try_it(180 * MIB, 400 * MIB).unwrap_err(),
            "loading takes 430 MiB for a moment, 400 MiB are available"
        );
        assert_eq!(try_it(180 * MIB, 430 * MIB), Ok(()));
        assert_eq!(
            try_it(182 * MIB, 1000 * MIB).unwrap_err(),
            "kernel and initrd take 234 MiB, more than half of the 466 MiB of this machine"
        );
        assert!(try_it(u64::MAX, u64::MAX).is_err());
    }

    #[test]
    fn memory_is_read_as_the_kernel_says_it() {
        let meminfo =
            "MemTotal:         477184 kB\nMemFree:          400000 kB\nMemAvailable:     410000 kB\n";
        assert_eq!(of(meminfo, "MemTotal:"), Some(477_184 * 1024));
        assert_eq!(of(meminfo, "MemAvailable:"), Some(410_000 * 1024));
        assert_eq!(of(meminfo, "SwapTotal:"), None);
    }
}
