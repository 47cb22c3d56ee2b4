//! Lets the running kernel load a second one, and jumps into it. What is loaded was told and unwrapped by `kernel`;
//! what it is told on its command line is decided elsewhere.

mod kmsg;
mod memory;
mod refused;
mod silence;

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;

use anyhow::Context;
use nix::libc::{KEXEC_FILE_NO_INITRAMFS, KEXEC_FILE_UNLOAD};
use nix::sys::reboot::RebootMode;

use crate::sys;
pub use refused::Refused;
pub use silence::silence;

/// 1 while a kernel waits to be jumped into.
const LOADED: &str = "/sys/kernel/kexec_loaded";

/// A kernel that was loaded. Dropping it unloads it, unless it is kept for a handover.
#[derive(Debug)]
pub struct Loaded(());

/// Loads `kernel`, a 64-bit bzImage, with `initrd` and `cmdline`. Takes as long as copying and hashing them, and
/// memory for two copies of both while it does; whether that is there is looked at before, because a kernel that runs
/// out of it here kills processes rather than refuse. Neither file may be open for writing by its path (a memfd's own
/// descriptor may).
///
/// # Errors
/// [`Refused`]; then nothing is loaded, or what was loaded before still is.
pub fn load(kernel: &File, initrd: Option<&File>, cmdline: &str) -> Result<Loaded, Refused> {
    let line = CString::new(cmdline).map_err(|_| Refused::nul_in_command_line())?;
    if let Some(header) = super::kernel::header(kernel) {
        if cmdline.len() > header.cmdline_max {
            return Err(Refused::command_line(cmdline.len(), header.cmdline_max));
        }
        memory::suffices(kernel, header.memory, initrd).map_err(Refused::memory)?;
    }
    let flags = if initrd.is_some() { 0 } else { KEXEC_FILE_NO_INITRAMFS };
    let log = kmsg::News::from_now();
    sys::kexec_file_load(Some(kernel.as_fd()), initrd.map(AsFd::as_fd), &line, flags)
        .map_err(|errno| Refused::by_kernel(errno, kmsg::last(&log)))?;
    let loaded = Loaded(());
    match is_loaded() {
        Ok(true) => Ok(loaded),
        Ok(false) => Err(Refused::without_effect(format!("{LOADED} says 0"), kmsg::last(&log))),
        Err(e) => Err(Refused::without_effect(format!("reading {LOADED}: {e}"), kmsg::last(&log))),
    }
}

impl Loaded {
    /// Leaves the kernel loaded, for whoever jumps.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if let Err(e) = discard() {
            log::error!("unloading the second kernel: {e}");
        }
    }
}

/// Unloads what a worker that died left loaded. Says whether there was something.
///
/// # Errors
/// Of reading whether there is, and of kexec_file_load(2).
pub fn unload() -> io::Result<bool> {
    let found = match is_loaded() {
        // A kernel without kexec has no such file, and nothing loaded.
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        found => found?,
    };
    if found {
        discard()?;
    }
    Ok(found)
}

/// Jumps into the loaded kernel, with dirty pages written back first.
///
/// # Errors
/// Of reboot(2): nothing is loaded, or a device could not be stopped.
pub fn jump() -> anyhow::Result<Infallible> {
    super::restart(RebootMode::RB_KEXEC).context("starting the loaded kernel")
}

fn is_loaded() -> io::Result<bool> {
    Ok(fs::read_to_string(LOADED)?.trim() == "1")
}

fn discard() -> io::Result<()> {
    Ok(sys::kexec_file_load(None, None, c"", KEXEC_FILE_UNLOAD)?)
}
