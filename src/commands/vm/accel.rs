//! Whether this host can run the machine's processor by itself (KVM), told by trying: some hosts, virtual ones above
//! all, have /dev/kvm and yet hang every kernel. Everything else about the machine is `vm`'s.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Accel, QEMU};

/// A kernel without an initrd panics for want of a root within 1 s on hardware that works.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to give to QEMU's `-accel`; says on stderr why `auto` came to what it came to.
pub fn choose(asked: Accel, kernel: Option<&Path>) -> &'static str {
    let (accel, why) = match (asked, kernel) {
        (Accel::Tcg, _) => return "tcg",
        (Accel::Kvm, _) => return "kvm",
        (Accel::Auto, _) if !Path::new("/dev/kvm").exists() => ("tcg", "there is no /dev/kvm".to_owned()),
        (Accel::Auto, None) => ("tcg", "there is no --kernel to try KVM with".to_owned()),
        (Accel::Auto, Some(kernel)) => match boots(kernel) {
            Ok(true) => ("kvm", "the kernel runs under it".to_owned()),
            Ok(false) => ("tcg", "the kernel did not come through under KVM".to_owned()),
            Err(e) => ("tcg", format!("KVM cannot be tried: {e:#}")),
        },
    };
    eprintln!("processor: {accel} ({why}); --accel chooses");
    accel
}

/// Tries the kernel; signals to end wait for the end of the trial, so that it cannot be left running.
fn boots(kernel: &Path) -> Result<bool> {
    let held = super::hold_signals()?;
    let result = trial(kernel);
    held.thread_unblock().context("letting signals through")?;
    result
}

/// Boots the kernel alone under KVM: true when it came as far as having no root, which ends QEMU.
fn trial(kernel: &Path) -> Result<bool> {
    let mut serial = tempfile()?;
    let mut machine = Command::new(QEMU)
        .args(["-accel", "kvm", "-m", "256", "-nic", "none", "-no-reboot", "-display", "none"])
        .args(["-monitor", "none", "-serial", "stdio", "-append", "console=ttyS0 panic=-1", "-kernel"])
        .arg(kernel)
        .stdin(Stdio::null())
        .stdout(serial.try_clone().context("sharing the log of the trial")?)
        .stderr(Stdio::null())
        .spawn()
        .context("starting the trial")?;
    let started = Instant::now();
    let ended = loop {
        if machine.try_wait().context("waiting for the trial")?.is_some() {
            break true;
        }
        if started.elapsed() > PATIENCE {
            machine.kill().context("ending the trial")?;
            machine.wait().context("ending the trial")?;
            break false;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut said = Vec::new();
    io::Seek::rewind(&mut serial).context("reading the log of the trial")?;
    io::Read::read_to_end(&mut serial, &mut said).context("reading the log of the trial")?;
    let spoke = b"Linux version ";
    Ok(ended && said.windows(spoke.len()).any(|w| w == spoke))
}

/// A file without a name, in memory.
fn tempfile() -> Result<std::fs::File> {
    let fd = rustix::fs::memfd_create("bootjack-vm-trial", rustix::fs::MemfdFlags::CLOEXEC);
    Ok(fd.context("making room for the log of the trial")?.into())
}
