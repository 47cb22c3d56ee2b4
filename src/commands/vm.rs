//! `bootjack vm`: a machine in QEMU with its serial line in this terminal: from a directory that is its root, from a kernel
//! and an initrd, or from its network card's PXE ROM. What is asked of QEMU is `words`', the terminal `terminal`'s.

mod accel;
mod rootdir;
mod shares;
mod terminal;
mod virtiofsd;
mod words;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::load::{Failure, Phase};
use crate::sys;
use shares::Shares;
use virtiofsd::Daemon;

/// The QEMU of this machine's own processor.
const QEMU: &str = if cfg!(target_arch = "aarch64") { "qemu-system-aarch64" } else { "qemu-system-x86_64" };

/// What a kernel calls the serial line of such a machine.
const CONSOLE: &str = if cfg!(target_arch = "aarch64") { "ttyAMA0" } else { "ttyS0" };

/// MiB of a machine whose root is no directory.
const MEMORY: u32 = 1024;

/// Boots a virtual machine with its serial line in this terminal; Ctrl-A X leaves.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("machine").args(["root", "kernel"]).multiple(true)),
    after_help = "Example: bootjack vm ./rootfs /run/mnt/tests/boot.sh --mount tests .\n         \
        bootjack vm --kernel vmlinuz --initrd initrd --append 'bootjack.catalog=http://10.0.2.2:8080/catalog.toml'\n\
        In the machine, 10.0.2.2 is this host's loopback address."
)]
pub struct VmArgs {
    /// A directory to be the root: shared by virtiofs, with a kernel of its own and an initrd made of this program.
    #[arg(value_name = "ROOTDIR")]
    root: Option<PathBuf>,
    /// What starts in it: an absolute path as the machine sees it, or a program of the root [default: /bin/sh].
    #[arg(value_name = "INIT")]
    init: Option<String>,
    /// Shares another directory, at /run/mnt/TAG of the machine.
    #[arg(long, value_names = ["TAG", "PATH"], num_args = 2, requires = "root")]
    mount: Vec<String>,
    /// The same, read-only.
    #[arg(long, value_names = ["TAG", "PATH"], num_args = 2, requires = "root")]
    mount_ro: Vec<String>,
    /// Lets the machine write into ROOTDIR.
    #[arg(long, requires = "root")]
    rw: bool,
    /// Lets the kernel, virtiofsd and this program say more.
    #[arg(long, requires = "root")]
    debug: bool,
    /// The kernel to start; without it the newest of ROOTDIR, or what is on --pxe or a --drive.
    #[arg(long, value_name = "IMAGE")]
    kernel: Option<PathBuf>,
    /// Its initrd.
    #[arg(long, value_name = "FILE", requires = "machine")]
    initrd: Option<PathBuf>,
    /// Words to add to the kernel command line.
    #[arg(long, value_name = "WORDS", requires = "machine", allow_hyphen_values = true)]
    append: Option<String>,
    /// Memory in MiB, or as 4G [default: 1024; with ROOTDIR 4096, or what this host can spare].
    #[arg(long, value_name = "MIB", value_parser = mib)]
    memory: Option<u32>,
    /// Processors.
    #[arg(long, value_name = "N", default_value_t = 1)]
    smp: u32,
    /// The network: user has DHCP and reaches this host as 10.0.2.2 [default: user; with ROOTDIR none].
    #[arg(long, value_name = "KIND")]
    net: Option<Net>,
    /// Boots from the network card's ROM: DIR is served by TFTP, and boot.ipxe in it is the script.
    #[arg(long, value_name = "DIR", conflicts_with = "machine")]
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

/// Runs the machine until it ends; the terminal is as before then, and its status is QEMU's.
///
/// # Errors
/// QEMU or virtiofsd is missing, refused its arguments, or a file is not there.
pub fn run(args: &VmArgs) -> Result<ExitCode, Failure> {
    let failed = |e: anyhow::Error| Failure::new(Phase::Vm, QEMU, e);
    let shares = args.root.as_deref().map(|root| {
        Shares::of(args, root).map_err(|e| Failure::new(Phase::Vm, root.display().to_string(), e))
    });
    let shares = shares.transpose()?;
    let kernel = shares.as_ref().map(|shares| &*shares.kernel).or(args.kernel.as_deref());
    let accel = accel::choose(args.accel, kernel);
    let stop = hold_signals().map_err(failed)?;
    let mut shared = match &shares {
        Some(shares) => Some(Shared::start(shares, args.debug)?),
        None => None,
    };
    let words = words::words(args, accel, shared.as_ref()).map_err(failed)?;
    eprintln!("Ctrl-A X leaves the machine, Ctrl-A H lists more keys. {}", multiplexer_hint());
    if args.debug {
        eprintln!("{QEMU} {words:?}");
    }
    let kept = terminal::Kept::new();
    let started = sys::spawn_tied(Command::new(QEMU).args(&words));
    let mut machine = started.map_err(|e| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let failure = failed(anyhow::Error::new(e).context("starting the machine"));
        if missing { failure.hint("on Debian: apt install qemu-system-x86 ipxe-qemu") } else { failure }
    })?;
    shared.iter_mut().for_each(Shared::handed_on);
    pass_on(stop, &machine);
    let status = machine.wait();
    kept.restore();
    let status = status.context("waiting for the machine").map_err(failed)?;
    if status.success() {
        return Ok(ExitCode::SUCCESS);
    }
    shared.iter_mut().flat_map(|shared| &mut shared.daemons).for_each(|d| eprint!("{}", d.last_words()));
    let failure = Failure::because(Phase::Vm, QEMU, format!("ended with {status}; its own words are above"));
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) if code > 1 => {
            eprintln!("bootjack: {failure}");
            Ok(ExitCode::from(code))
        }
        _ => Err(failure),
    }
}

/// What a machine needs to see directories of this host. Nothing of it has a name in a directory: however this program
/// ends, nothing is left.
struct Shared<'a> {
    of: &'a Shares,
    initrd: File,
    daemons: Vec<Daemon>,
}

impl<'a> Shared<'a> {
    fn start(of: &'a Shares, debug: bool) -> Result<Self, Failure> {
        let failed = |thing: &str, e| Failure::new(Phase::Vm, thing, e);
        let initrd = of.initrd().map_err(|e| {
            let failure = failed("initrd", e);
            let says = |text: &str| failure.cause.iter().any(|cause| cause.contains(text));
            let hint = match (says("modules.dep"), says("dynamically linked")) {
                (true, _) => Some("run depmod -b ROOTDIR RELEASE, or bring --initrd FILE"),
                (_, true) => Some("make build leaves a static bootjack at target/bootjack"),
                _ => None,
            };
            Failure { hint: hint.map(str::to_owned), ..failure }
        })?;
        let daemons = of.start(debug).map_err(|e| failed("virtiofsd", e).hint(virtiofsd::HINT))?;
        virtiofsd::inherited(&initrd).map_err(|e| failed("initrd", e))?;
        Ok(Self { of, initrd, daemons })
    }

    fn handed_on(&mut self) {
        self.daemons.iter_mut().for_each(Daemon::handed_on);
    }
}

/// MiB, of `512`, `512M` or `4G`.
fn mib(text: &str) -> Result<u32, String> {
    let upper = text.to_ascii_uppercase();
    let (number, unit) = match (upper.strip_suffix('G'), upper.strip_suffix('M')) {
        (Some(number), _) => (number, 1024),
        (_, Some(number)) => (number, 1),
        _ => (&*upper, 1),
    };
    let mib = number.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).filter(|mib| *mib > 0);
    mib.ok_or_else(|| "is no size of memory: MiB, such as 512, or 4G".to_owned())
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
/// A child that std starts now inherits that, and is deaf to them; [`sys::spawn_tied`]'s is not.
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

#[cfg(test)]
mod tests {
    use super::mib;

    #[test]
    fn memory_is_mib_unless_it_says_otherwise() {
        assert_eq!([mib("512"), mib("512m"), mib("4G")], [Ok(512), Ok(512), Ok(4096)]);
        for wrong in ["", "0", "-1", "4T", "G", "4.5G", "99999999G", "4 G"] {
            assert!(mib(wrong).is_err(), "{wrong}");
        }
    }
}
