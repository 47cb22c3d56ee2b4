//! The job's own side: a process that leaves everything behind that is bootjack's, enters the root and becomes the
//! command. Nothing it mounts is seen outside its namespace, and all of it goes with its last process.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::Mode;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, mount_move,
    unmount,
};
use rustix::process::{chdir, chroot, ioctl_tiocsctty, pivot_root, setsid, umask};
use rustix::stdio::{dup2_stdin, stdin, stdout};

use crate::handover::switch_root::MUST_MOVE;

/// What it is to become; comes as JSON over its standard input, to the end.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Orders {
    pub root: PathBuf,
    pub command: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub cgroup: Option<PathBuf>,
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// Becomes the job that is told over standard input. Comes back only with what kept it from that; it is said the same
/// way back. An end of that line without a word: it is the command now.
pub fn become_job() -> anyhow::Error {
    // It closes by itself when the command starts, and no child of the command ever has it.
    let mut line = match fcntl_dupfd_cloexec(stdin(), 3) {
        Ok(fd) => File::from(fd),
        Err(e) => return anyhow::Error::new(e).context("taking over standard input"),
    };
    let Err(e) = hear(&mut line).and_then(|orders| obey(&orders));
    if let Err(unsaid) = line.write_all(format!("{e:#}").as_bytes()) {
        return e.context(format!("(nobody was told: {unsaid})"));
    }
    e
}

fn hear(line: &mut File) -> anyhow::Result<Orders> {
    let mut text = String::new();
    line.read_to_string(&mut text).context("reading the orders")?;
    serde_json::from_str(&text).context("reading the orders")
}

fn obey(orders: &Orders) -> anyhow::Result<Infallible> {
    if let Some(cgroup) = &orders.cgroup {
        // "0" is whoever writes it. Without, the job is known by its root alone.
        if let Err(e) = fs::write(cgroup.join("cgroup.procs"), "0") {
            eprintln!("bootjack: entering {}: {e}", cgroup.display());
        }
    }
    setsid().context("starting a session")?;
    ioctl_tiocsctty(stdout()).context("taking the terminal")?;
    umask(Mode::from_raw_mode(0o022));
    let servers = fs::read(RESOLV_CONF).unwrap_or_default();
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("keeping mounts to ourselves")?;
    bind_views(&orders.root)?;
    enter().with_context(|| format!("entering {}", orders.root.display()))?;
    furnish(&servers);
    become_command(orders)
}

/// The kernel's views, and `/run` with the report, seen in the root as well.
fn bind_views(root: &Path) -> anyhow::Result<()> {
    // Only a mount point can become `/`; over itself, any directory is one.
    mount_bind_recursive(root, root).with_context(|| format!("binding {}", root.display()))?;
    chdir(root).with_context(|| format!("going to {}", root.display()))?;
    for from in MUST_MOVE {
        let target = Path::new(from.trim_start_matches('/'));
        match target.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => bail!("{from} of the root is no directory"),
            Err(_) => fs::create_dir(target).with_context(|| format!("making {from} in the root"))?,
        }
        mount_bind_recursive(*from, target).with_context(|| format!("binding {from} into the root"))?;
    }
    Ok(())
}

/// Makes the current directory `/`. Out of an initramfs kernels before 7.0 do not pivot (EINVAL): there the root is
/// moved over it, and what is below cannot be reached any more.
fn enter() -> io::Result<()> {
    match pivot_root(".", ".") {
        Ok(()) => unmount(".", UnmountFlags::DETACH)?,
        Err(Errno::INVAL) => {
            mount_move(".", "/")?;
            chroot(".")?;
        }
        Err(e) => return Err(e.into()),
    }
    Ok(chdir("/")?)
}

/// What a tool expects and a root may lack. It may well do without: a failure is said, and the job goes on.
fn furnish(servers: &[u8]) {
    let said = |what: &str, done: io::Result<()>| {
        if let Err(e) = done {
            eprintln!("bootjack: {what}: {e}");
        }
    };
    said("giving the job a /tmp", make_tmp());
    said("giving the job our name servers", name_servers(servers));
    said("mounting efivarfs for the job", mount_efivars());
}

fn make_tmp() -> io::Result<()> {
    // Of what is there, a link or a directory, the root's author thought something.
    if Path::new("/tmp").symlink_metadata().is_ok() {
        return Ok(());
    }
    fs::DirBuilder::new().mode(0o755).create("/tmp")?;
    Ok(mount("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=1777"))?)
}

/// A link that leads nowhere is as good as none: what it points at is made by a service that does not run here.
fn name_servers(servers: &[u8]) -> io::Result<()> {
    if servers.is_empty() || fs::read(RESOLV_CONF).is_ok_and(|theirs| !theirs.is_empty()) {
        return Ok(());
    }
    fs::create_dir_all("/etc")?;
    if Path::new(RESOLV_CONF).is_symlink() {
        fs::remove_file(RESOLV_CONF)?;
    }
    fs::write(RESOLV_CONF, servers)
}

/// Tools that update firmware talk to it through its variables.
fn mount_efivars() -> io::Result<()> {
    let empty = fs::read_dir(EFIVARS).is_ok_and(|mut entries| entries.next().is_none());
    if empty {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("efivarfs", EFIVARS, "efivarfs", flags, None)?;
    }
    Ok(())
}

fn become_command(orders: &Orders) -> anyhow::Result<Infallible> {
    let Some((program, args)) = orders.command.split_first() else { bail!("there is no command") };
    let null = File::open("/dev/null").context("opening /dev/null")?;
    dup2_stdin(&null).context("making /dev/null the standard input")?;
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(orders.environment.iter().map(|(name, value)| (name, value)));
    nix::sys::signal::SigSet::empty().thread_set_mask().context("unblocking signals")?;
    Err(command.exec()).with_context(|| format!("starting {program}"))
}
