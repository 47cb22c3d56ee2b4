//! What is asked of QEMU, as a list of words. Pure but for a look at the files that are named; running it is `vm`'s.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{CONSOLE, MEMORY, Net, Shared, VmArgs};

/// What is asked of QEMU.
pub fn words(args: &VmArgs, accel: &str, shared: Option<&Shared<'_>>) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = ["-nographic", "-accel", accel, "-cpu", "max"].map(Into::into).to_vec();
    if cfg!(target_arch = "aarch64") {
        words.extend(["-machine".into(), "virt".into()]);
    }
    if shared.is_some() {
        words.push("-no-reboot".into());
    }
    let memory = shared.map_or(args.memory.unwrap_or(MEMORY), |shared| shared.of.memory);
    let mut add = |option: &str, value: OsString| words.extend([option.into(), value]);
    add("-m", format!("{memory}M").into());
    add("-smp", args.smp.to_string().into());
    if let Some(shared) = shared {
        for (option, value) in sharing(shared, memory)? {
            add(option, value);
        }
    } else if let Some(kernel) = &args.kernel {
        add("-kernel", existing(kernel)?.into());
        let append = args.append.as_deref().unwrap_or_default();
        add("-append", format!("console={CONSOLE} {append}").trim_end().into());
    }
    if let (Some(initrd), None) = (&args.initrd, shared) {
        add("-initrd", existing(initrd)?.into());
    }
    let usual = if shared.is_some() { Net::None } else { Net::User };
    let net = args.net.unwrap_or(usual);
    match (&args.pxe, net) {
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
    if net == Net::User {
        add("-device", "virtio-net-pci,netdev=n0".into());
    }
    for drive in &args.drive {
        add("-drive", joined(&format!("if=virtio,format={},file=", image_format(drive)?), drive)?);
    }
    Ok(words)
}

/// A machine that sees directories of this host: its memory is shared with the daemons (docs/interop/vhost-user.rst of
/// QEMU), and it ends instead of starting again.
fn sharing(shared: &Shared<'_>, memory: u32) -> Result<Vec<(&'static str, OsString)>> {
    let mut words = vec![
        ("-object", format!("memory-backend-memfd,id=mem,size={memory}M,share=on").into()),
        ("-numa", "node,memdev=mem".into()),
        ("-kernel", existing(&shared.of.kernel)?.into()),
        ("-initrd", format!("/proc/self/fd/{}", shared.initrd.as_raw_fd()).into()),
        ("-append", shared.of.cmdline.clone().into()),
    ];
    for (n, daemon) in shared.daemons.iter().enumerate() {
        let tag = daemon.tag().as_str().replace(',', ",,");
        words.push(("-chardev", format!("socket,id=fs{n},fd={}", daemon.hand_on()?).into()));
        let device = format!("vhost-user-fs-pci,queue-size=1024,chardev=fs{n},tag={tag}");
        words.push(("-device", device.into()));
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
        let words = words(&args, "tcg", None)?;
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
