//! How much memory decoding may take: the tree needs the rest. Taking it is `decode`'s and `frames`'.

use zstd::zstd_safe::DCtx;

/// A decoder may always take so much: `zstd --long` without a number, `xz -9`.
const LEAST_WINDOW: u64 = 128 << 20;

/// Memory xz may spend on decoding blocks side by side, their compressed and plain bytes: two of the 24 MiB blocks of
/// `xz -6 -T0`. With all else the process has it stays below 160 MiB. A file that needs more is decoded by one thread.
const XZ_THREADS: u64 = 128 << 20;

/// So much has to be left beside the tree for frames of zstd to be decoded side by side: their buffers are 16 MiB,
/// and 6 hold what is compressed (`side`).
const SIDE_BY_SIDE: u64 = 128 << 20;

/// What one archive's decoders may take, and what they leave for each other.
pub(super) struct Memory {
    /// Free when the archive was opened: what its own tree took since does not count against it.
    free: u64,
    /// A zstd decoder with its window, for the next frame: an archive may have thousands.
    pub(super) zstd: Option<DCtx<'static>>,
}

impl Memory {
    pub(super) fn of_this_machine() -> Self {
        Self::of(free())
    }

    pub(super) fn of(free: u64) -> Self {
        Self { free, zstd: None }
    }

    pub(super) fn free(&self) -> u64 {
        self.free
    }

    /// For a window: half of what is free. The tree of an archive that fills a window is as large as the window.
    pub(super) fn window(&self) -> u64 {
        (self.free / 2).max(LEAST_WINDOW)
    }

    /// Whether there is room for decoding zstd frames side by side, beside a tree of at most so many bytes: a convenience,
    /// too.
    pub(super) fn has_room_beside(&self, tree: u64) -> bool {
        // Of a tree nobody knows anything of, half of the memory is as good a guess as any.
        let tree = if tree == u64::MAX { self.free / 2 } else { tree };
        self.free.saturating_sub(tree) >= SIDE_BY_SIDE
    }

    /// For the threads of xz: they are a convenience, so that a small machine has fewer of them, or none.
    pub(super) fn xz_threads(&self) -> u64 {
        (self.free / 4).min(XZ_THREADS)
    }
}

/// Bytes of memory that are available (proc_meminfo(5)); where that is not to be had, those nobody uses.
fn free() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    available(&text).unwrap_or_else(|| {
        let system = rustix::system::sysinfo();
        system.freeram.saturating_mul(system.mem_unit.into())
    })
}

fn available(meminfo: &str) -> Option<u64> {
    let field = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    field.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_machine_has_a_window_and_no_threads_of_xz_to_spare() {
        for (free, window, threads) in [(0, 128, 0), (200, 128, 50), (400, 200, 100), (5000, 2500, 128)] {
            let memory = Memory::of(free << 20);
            assert_eq!((memory.window() >> 20, memory.xz_threads() >> 20), (window, threads), "{free} MiB");
        }
    }

    #[test]
    fn frames_are_decoded_side_by_side_only_where_the_tree_leaves_room() {
        for (free, tree, room) in [(500, 372, true), (500, 373, false), (500, 600, false), (128, 0, true)] {
            assert_eq!(Memory::of(free << 20).has_room_beside(tree << 20), room, "{free} MiB, {tree} MiB");
        }
        assert!(Memory::of(256 << 20).has_room_beside(u64::MAX));
        assert!(!Memory::of(255 << 20).has_room_beside(u64::MAX));
    }

    #[test]
    fn what_is_available_is_read_from_meminfo() {
        let text = "MemTotal:        2010284 kB\nMemFree:         1 kB\nMemAvailable:    1905412 kB\n";
        assert_eq!(available(text), Some(1_905_412 << 10));
        assert_eq!(available("MemTotal: 5 kB\n"), None);
    }
}
