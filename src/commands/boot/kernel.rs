//! What process 1 tells the kernel for as long as it is process 1, and takes back before another system starts.

use std::fs;
use std::time::Duration;

use crate::early;

/// What the kernel was told by others, to be told again before a system of theirs starts.
pub struct Kernel {
    settings: Vec<(&'static str, String)>,
}

/// Time since the kernel started: the one clock that nobody sets.
pub fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Another one is another start of a kernel (proc_sys_kernel(5)); empty where it cannot be read.
pub fn boot_id() -> String {
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The console loglevel, a reboot after a panic, and how much /dev/kmsg takes (proc_sys_kernel(5)).
pub const PRINTK: &str = "/proc/sys/kernel/printk";
pub const PANIC: &str = "/proc/sys/kernel/panic";
pub const DEVKMSG: &str = "/proc/sys/kernel/printk_devkmsg";

impl Kernel {
    /// What the kernel should do when nobody is there to say: reboot after a panic, leave Ctrl-Alt-Del to us.
    pub fn prepare() -> Self {
        match early::clock_floor() {
            Ok(None) => {}
            Ok(Some(set)) => log::warn!("early: {set}"),
            Err(e) => log::warn!("early: setting the clock: {e}"),
        }
        let read = |path| Some((path, fs::read_to_string(path).ok()?.trim().to_owned()));
        let settings = Self { settings: [PRINTK, PANIC, DEVKMSG].into_iter().filter_map(read).collect() };
        if settings.settings.iter().any(|(path, value)| *path == PANIC && value == "0")
            && let Err(e) = fs::write(PANIC, "30")
        {
            log::warn!("early: {PANIC}: {e}");
        }
        if let Err(e) = nix::sys::reboot::set_cad_enabled(false) {
            log::warn!("early: taking Ctrl-Alt-Del: {e}");
        }
        settings
    }

    /// A worker lowers the loglevel to draw, and may die before it puts it back.
    pub fn restore(&self, wanted: &[&str]) {
        for (path, value) in self.settings.iter().filter(|(path, _)| wanted.contains(path)) {
            // printk_devkmsg takes no value without a line's end (kernel/printk/printk.c, devkmsg_sysctl_set_loglvl).
            if let Err(e) = fs::write(path, format!("{value}\n")) {
                log::warn!("restoring {path}: {e}");
            }
        }
    }
}
