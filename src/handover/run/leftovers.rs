//! The processes of a job, found by where they live: in its cgroup, or on its root's file system. What leaves the one is
//! found by the other.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::statfs;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// CGROUP2_SUPER_MAGIC of statfs(2).
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// Where cgroup2 is: alone, or beside version 1 as systemd does it.
const CGROUP2: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

const PREFIX: &str = "bootjack-job-";

/// Where cgroup2 is mounted, if this machine has it.
pub fn cgroup2() -> Option<PathBuf> {
    let is = |path: &&&str| statfs(**path).is_ok_and(|s| s.f_type as u64 == CGROUP2_MAGIC);
    CGROUP2.iter().find(is).map(PathBuf::from)
}

/// Removes the cgroups of jobs whose worker died; their processes are gone.
pub fn discard_groups() {
    let Some(entries) = cgroup2().and_then(|dir| fs::read_dir(dir).ok()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            remove_group(&entry.path());
        }
    }
}

/// How the processes of one job are known.
#[derive(Debug)]
pub struct Leftovers {
    /// Device of its root's file system. Nothing else has that number as long as the root is mounted; numbers of
    /// namespaces are used again as soon as one is gone.
    device: u64,
    /// Its cgroup; absent where there is no cgroup2.
    cgroup: Option<PathBuf>,
    /// Those that were killed and have not ended yet.
    dying: Vec<(i32, OwnedFd)>,
}

impl Leftovers {
    /// Makes the cgroup of the job `name` in a mounted cgroup2. One that cannot be made is done without.
    ///
    /// # Errors
    /// `root` is not there, or is on the file system of our own.
    pub fn new(root: &Path, name: &str, cgroups: Option<&Path>) -> anyhow::Result<Self> {
        let own = fs::metadata("/").context("looking at our own root")?.dev();
        let device = fs::metadata(root).with_context(|| format!("looking at {}", root.display()))?.dev();
        ensure!(device != own, "a job cannot run on the file system of our own root");
        let cgroup = cgroups.map(|dir| dir.join(format!("{PREFIX}{name}")));
        let cgroup = cgroup.filter(|dir| match fs::create_dir(dir) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => true,
            Err(e) => {
                log::warn!("making {}: {e}: the job runs without a cgroup", dir.display());
                false
            }
        });
        Ok(Self { device, cgroup, dying: Vec::new() })
    }

    /// Where the job is to write its process number first.
    pub fn cgroup(&self) -> Option<&Path> {
        self.cgroup.as_deref()
    }

    /// Kills all there are and says whether there was something. The kernel takes a while: ask until there is nothing.
    pub fn kill(&mut self) -> bool {
        // Gone from /proc is not gone: its namespace, with what it mounted, ends before its pidfd says so.
        self.dying.retain(|(_, process)| !has_ended(process));
        let found = self.processes();
        self.dying.extend(found);
        // All at once, so that none can get away by forking (Linux 5.14); what it does not reach is killed one by one.
        let populated = self.is_populated();
        if let Some(cgroup) = self.cgroup.as_ref().filter(|_| populated)
            && let Err(e) = fs::write(cgroup.join("cgroup.kill"), "1")
        {
            log::debug!("{}: cgroup.kill: {e}", cgroup.display());
        }
        for (_, process) in &self.dying {
            if let Err(e) = pidfd_send_signal(process, Signal::KILL)
                && e != rustix::io::Errno::SRCH
            {
                log::warn!("killing what a job left running: {e}");
            }
        }
        populated || !self.dying.is_empty()
    }

    /// How many were found and have not ended.
    pub fn count(&self) -> usize {
        self.dying.len()
    }

    /// Kills and waits until nothing is left, but no longer than `patience`; whether nothing is.
    pub fn end(&mut self, patience: Duration) -> bool {
        let began = Instant::now();
        while self.kill() {
            if began.elapsed() >= patience {
                return false;
            }
            self.wait_for_one();
        }
        true
    }

    /// A pidfd can be read when its process has ended (pidfd_open(2)). Bounded: a cgroup empties a moment later.
    fn wait_for_one(&self) {
        let mut fds: Vec<PollFd> =
            self.dying.iter().map(|(_, process)| PollFd::new(process.as_fd(), PollFlags::POLLIN)).collect();
        if let Err(e) = poll(&mut fds, PollTimeout::from(20_u8))
            && e != nix::errno::Errno::EINTR
        {
            log::warn!("waiting for the end of a job: {e}");
        }
    }

    /// Those not known yet, each held by a pidfd from before it was looked at, so that its number cannot mean another.
    fn processes(&self) -> Vec<(i32, OwnedFd)> {
        let own = std::process::id() as i32;
        let known = |pid: i32| pid == own || self.dying.iter().any(|(dying, _)| *dying == pid);
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let belonging = |pid: i32| {
            let held = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
            self.has(&PathBuf::from(format!("/proc/{pid}"))).then_some((pid, held))
        };
        numbers.filter(|pid| !known(*pid)).filter_map(belonging).collect()
    }

    /// A zombie has no root any more, and a cgroup only in name.
    fn has(&self, process: &Path) -> bool {
        let device = |link: &str| fs::metadata(process.join(link)).ok().map(|m| m.dev());
        let Some(root) = device("root") else { return false };
        root == self.device || device("exe") == Some(self.device) || self.is_in_cgroup(process)
    }

    fn is_in_cgroup(&self, process: &Path) -> bool {
        let Some(name) = self.cgroup.as_ref().and_then(|dir| dir.file_name()?.to_str()) else { return false };
        let lines = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        // The line of cgroup2 begins with `0::` (cgroups(7)).
        let path = lines.lines().find_map(|line| line.strip_prefix("0::/"));
        path.is_some_and(|path| path.split('/').next() == Some(name))
    }

    /// What the kernel says of the cgroup and those below it.
    fn is_populated(&self) -> bool {
        let events = self.cgroup.as_ref().map(|dir| fs::read_to_string(dir.join("cgroup.events")));
        events.is_some_and(|events| events.unwrap_or_default().lines().any(|line| line == "populated 1"))
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            remove_group(cgroup);
        }
    }
}

fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// With those a job made below it; the files in a cgroup go with it.
fn remove_group(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    if let Err(e) = fs::remove_dir(dir) {
        log::warn!("removing {}: {e}", dir.display());
    }
}
