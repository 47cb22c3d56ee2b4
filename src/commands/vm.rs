//! `bootjack vm`: a machine in QEMU with its serial line in this terminal, from a kernel and an initrd or from its
//! network card's PXE ROM. What is asked of QEMU is decided here as a list of words; the terminal is `terminal`'s.

mod accel;
mod terminal;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result, ensure};
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
    let words = words(args, accel).map_err(failed)?;
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

/// What is asked of QEMU.
fn words(args: &VmArgs, accel: &str) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = ["-nographic", "-accel", accel, "-cpu", "max"].map(Into::into).to_vec();
    let mut add = |option: &str, value: OsString| words.extend([option.into(), value]);
    add("-m", format!("{}M", args.memory).into());
    add("-smp", args.smp.to_string().into());
    if let Some(kernel) = &args.kernel {
        add("-kernel", existing(kernel)?.into());
        let append = args.append.as_deref().unwrap_or_default();
        add("-append", format!("console=ttyS0 {append}").trim_end().into());
    }
    if let Some(initrd) = &args.initrd {
        add("-initrd", existing(initrd)?.into());
    }
    match (&args.pxe, args.net) {
        (Some(dir), Net::User) => {
            let script = dir.join("boot.ipxe");
            existing(&script)?;
            add("-netdev", joined("user,id=n0,bootfile=boot.ipxe,tftp=", dir)?);
            add("-boot", "n".into());
        }
        (Some(_), Net::None) => anyhow::bail!("--pxe boots from the network: not with --net none"),
        (None, Net::User) => add("-netdev", "user,id=n0".into()),
        (None, Net::None) => add("-nic", "none".into()),
    }
    if args.net == Net::User {
        add("-device", "virtio-net-pci,netdev=n0".into());
    }
    for drive in &args.drive {
        add("-drive", joined(&format!("if=virtio,format={},file=", image_format(drive)?), drive)?);
    }
    Ok(words)
}

fn existing(path: &Path) -> Result<&Path> {
    ensure!(path.exists(), "{} is not there", path.display());
    Ok(path)
}

/// An option that ends in a path; QEMU wants commas in it doubled.
fn joined(option: &str, path: &Path) -> Result<OsString> {
    let path = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(format!("{option}{}", path.replace(',', ",,")).into())
}

/// By the first bytes: a guess by QEMU itself would let a guest turn its raw disk into another format.
fn image_format(path: &Path) -> Result<&'static str> {
    let mut start = Vec::new();
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    file.take(4).read_to_end(&mut start).with_context(|| format!("reading {}", path.display()))?;
    Ok(if start == b"QFI\xfb" { "qcow2" } else { "raw" })
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: VmArgs,
    }

    fn asked(line: &[&str]) -> Result<String> {
        let args = Cli::try_parse_from([&["vm"], line].concat())?.args;
        let words = words(&args, "tcg")?;
        Ok(words.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_kernel_speaks_on_the_serial_line() {
        let words = asked(&["--kernel", "/dev/null", "--append", "quiet a=b", "--memory", "512"]).unwrap();
        assert!(words.contains("-kernel /dev/null -append console=ttyS0 quiet a=b"), "{words}");
        assert!(words.contains("-m 512M"), "{words}");
        assert!(words.ends_with("-netdev user,id=n0 -device virtio-net-pci,netdev=n0"), "{words}");
    }

    #[test]
    fn pxe_serves_the_directory_and_boots_from_the_card() {
        let dir = tempfile::Builder::new().prefix("a,b").tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        assert!(asked(&["--pxe", path]).is_err(), "no boot.ipxe there");
        std::fs::write(dir.path().join("boot.ipxe"), "#!ipxe\n").unwrap();
        let words = asked(&["--pxe", path]).unwrap();
        assert!(words.contains(&format!("tftp={} -boot n", path.replace(',', ",,"))), "{words}");
        assert!(asked(&["--pxe", path, "--net", "none"]).is_err());
    }

    #[test]
    fn a_disk_is_raw_unless_it_says_otherwise() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(image_format(disk.path()).unwrap(), "raw");
        std::fs::write(disk.path(), b"QFI\xfb\0\0\0\x03").unwrap();
        let words = asked(&["--net", "none", "--drive", disk.path().to_str().unwrap()]).unwrap();
        assert!(words.contains("-nic none -drive if=virtio,format=qcow2,file="), "{words}");
    }
}
