//! `bootjack vm`: a machine in QEMU with its serial line in this terminal, from a kernel and an initrd or from its
//! network card's PXE ROM. What is asked of QEMU is `words`', the terminal `terminal`'s.

mod accel;
mod terminal;
mod words;

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::load::{Failure, Phase};

/// The QEMU this version knows: bootjack boots x86-64.
const QEMU: &str = "qemu-system-x86_64";

/// Boots a virtual machine with its serial line in this terminal; Ctrl-A X leaves.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bootjack vm --kernel vmlinuz --initrd initrd \
                        --append 'bootjack.catalog=http://10.0.2.2:8080/catalog.toml'\n\
                        In the machine, 10.0.2.2 is this host's loopback address.")]
pub struct VmArgs {
    /// The kernel to start; without it the machine boots from --pxe or a --drive.
    #[arg(long, value_name = "IMAGE")]
    kernel: Option<PathBuf>,
    /// Its initrd.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// Words to add to `console=ttyS0`.
    #[arg(long, value_name = "WORDS", requires = "kernel", allow_hyphen_values = true)]
    append: Option<String>,
    /// Memory in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
    /// Processors.
    #[arg(long, value_name = "N", default_value_t = 1)]
    smp: u32,
    /// The network: user has DHCP and reaches this host as 10.0.2.2.
    #[arg(long, value_name = "KIND", default_value = "user")]
    net: Net,
    /// Boots from the network card's ROM: DIR is served by TFTP, and boot.ipxe in it is the script.
    #[arg(long, value_name = "DIR", conflicts_with = "kernel")]
    pxe: Option<PathBuf>,
    /// How to run the processor; auto tries the kernel under KVM for a few seconds first.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    accel: Accel,
    /// Disks, raw or qcow2.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    drive: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Net {
    User,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Accel {
    Auto,
    Tcg,
    Kvm,
}

/// Runs the machine until it ends; the terminal is as before then.
///
/// # Errors
/// QEMU is missing, refused its arguments, or a file is not there.
pub fn run(args: &VmArgs) -> Result<ExitCode, Failure> {
    let failed = |e: anyhow::Error| Failure::new(Phase::Vm, QEMU, e);
    let accel = accel::choose(args.accel, args.kernel.as_deref());
    let words = words::words(args, accel).map_err(failed)?;
    eprintln!("Ctrl-A X leaves the machine, Ctrl-A H lists more keys. {}", multiplexer_hint());
    let kept = terminal::Kept::new();
    let started = Command::new(QEMU).args(&words).spawn();
    let mut machine = started.map_err(|e| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let failure = failed(anyhow::Error::new(e).context("starting the machine"));
        if missing { failure.hint("on Debian: apt install qemu-system-x86 ipxe-qemu") } else { failure }
    })?;
    let stop = hold_signals().map_err(failed)?;
    pass_on(stop, &machine);
    let status = machine.wait();
    kept.restore();
    let status = status.context("waiting for the machine").map_err(failed)?;
    if status.success() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::because(Phase::Vm, QEMU, format!("ended with {status}; its own words are above")))
}

/// Ctrl-A is also how screen, and some people's tmux, are told something.
fn multiplexer_hint() -> &'static str {
    if std::env::var_os("STY").is_some() {
        "Inside screen type Ctrl-A A X."
    } else if std::env::var_os("TMUX").is_some() {
        "If Ctrl-A is your tmux prefix, type it twice."
    } else {
        ""
    }
}

/// From here on the signals to end wait: a machine must not outlive the command, nor the terminal stay as it left it.
/// A child started now would inherit that, and be deaf to them.
fn hold_signals() -> Result<SigSet> {
    let stop = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    stop.thread_block().context("holding back signals")?;
    Ok(stop)
}

/// Ends the machine when a signal to end comes. The thread ends with the process.
fn pass_on(stop: SigSet, machine: &Child) {
    let pid = Pid::from_raw(machine.id().cast_signed());
    std::thread::spawn(move || {
        let ended = stop.wait().and_then(|_| kill(pid, Signal::SIGTERM));
        if let Err(e) = ended {
            eprintln!("bootjack: vm: ending the machine: {e}");
        }
    });
}
