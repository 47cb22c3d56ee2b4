//! Makes the kernel habitable: the mounts, links and nodes every program expects, a clock that is not absurd, a
//! log, a console the kernel does not write over, a watchdog that is petted. Modules are `drivers`', interfaces are
//! `net`'s.

mod clock;
mod console;
mod log;
mod watchdog;

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{MountFlags, mount};

pub use clock::{ClockSet, clock_floor, now};
pub use console::Quiet;
pub use log::{LOG_FILE, log_tail, log_to, new_warnings, warnings_were_seen};
pub use watchdog::Watchdog;

/// One thing to be done before anything else; paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Mounts `kind` on `target`, which is made if it is not there. What is already a mount point stays as it is.
    Mount {
        kind: &'static str,
        target: &'static str,
        flags: MountFlags,
        options: &'static str,
        /// Not every kernel has it: its failure is no error.
        optional: bool,
    },
    /// A symbolic link `path` to `to`, if nothing is there.
    Link { path: &'static str, to: &'static str },
    /// A character device, if nothing is there.
    Node { path: &'static str, mode: u32, major: u32, minor: u32 },
    /// A directory, if it is not there.
    Dir { path: &'static str, mode: u32 },
}

/// A step that could not be done.
#[derive(Debug)]
pub struct StepError {
    pub step: Step,
    pub cause: io::Error,
}

/// What PID 1 does first, in this order.
///
/// The device numbers are those of Documentation/admin-guide/devices.txt; the nodes are made although their modules
/// may not be loaded yet, because opening them is what loads the module.
pub fn steps() -> Vec<Step> {
    let safe = MountFlags::NOSUID | MountFlags::NODEV;
    let closed = safe | MountFlags::NOEXEC;
    let need = |kind, target, flags, options| Step::Mount { kind, target, flags, options, optional: false };
    let may = |kind, target, flags, options| Step::Mount { kind, target, flags, options, optional: true };
    vec![
        need("proc", "/proc", closed, ""),
        need("sysfs", "/sys", closed, ""),
        need("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755"),
        need("devpts", "/dev/pts", MountFlags::NOSUID | MountFlags::NOEXEC, "gid=5,mode=620,ptmxmode=666"),
        need("tmpfs", "/dev/shm", safe, "mode=1777"),
        need("tmpfs", "/run", safe, "mode=0755"),
        need("tmpfs", "/tmp", safe, "mode=1777"),
        may("cgroup2", "/sys/fs/cgroup", closed, "nsdelegate"),
        may("securityfs", "/sys/kernel/security", closed, ""),
        Step::Link { path: "/dev/fd", to: "/proc/self/fd" },
        Step::Link { path: "/dev/stdin", to: "/proc/self/fd/0" },
        Step::Link { path: "/dev/stdout", to: "/proc/self/fd/1" },
        Step::Link { path: "/dev/stderr", to: "/proc/self/fd/2" },
        Step::Node { path: "/dev/fuse", mode: 0o666, major: 10, minor: 229 },
        Step::Node { path: "/dev/kvm", mode: 0o660, major: 10, minor: 232 },
        Step::Node { path: "/dev/loop-control", mode: 0o660, major: 10, minor: 237 },
        // Logs and reports of a boot are the administrator's, here and in the new system.
        Step::Dir { path: "/run/bootjack", mode: 0o700 },
        // Whom the kernel asks for the modules of a file system it is to mount (kernel/module/kmod.c); gone with the initrd.
        Step::Dir { path: "/sbin", mode: 0o755 },
        Step::Link { path: "/sbin/modprobe", to: "/init" },
    ]
}

/// Does each step, goes on after a failure, and returns all of them: a machine without `/dev/shm` still boots.
pub fn perform(steps: &[Step]) -> Vec<StepError> {
    let failed = |step: &Step| {
        let cause = perform_one(step).err()?;
        match step {
            Step::Mount { optional: true, .. } => {
                ::log::debug!("{step}: {cause}");
                None
            }
            _ => Some(StepError { step: step.clone(), cause }),
        }
    };
    steps.iter().filter_map(failed).collect()
}

fn perform_one(step: &Step) -> io::Result<()> {
    match *step {
        Step::Mount { kind, target, flags, options, .. } => {
            directory(target, 0o755)?;
            if is_mount_point(Path::new(target))? {
                return Ok(());
            }
            let options = std::ffi::CString::new(options)?;
            done_before(mount(kind, target, kind, flags, options.as_c_str()), rustix::io::Errno::BUSY)
        }
        Step::Link { path, to } => {
            done_before(rustix::fs::symlinkat(to, CWD, path), rustix::io::Errno::EXIST)
        }
        Step::Node { path, mode, major, minor } => {
            let device = rustix::fs::makedev(major, minor);
            let mode = Mode::from_raw_mode(mode);
            let made = mknodat(CWD, path, FileType::CharacterDevice, mode, device);
            if made.is_ok() {
                // The umask took its share.
                rustix::fs::chmod(path, mode)?;
            }
            done_before(made, rustix::io::Errno::EXIST)
        }
        Step::Dir { path, mode } => directory(path, mode),
    }
}

fn directory(path: &str, mode: u32) -> io::Result<()> {
    done_before(rustix::fs::mkdir(path, Mode::from_raw_mode(mode)), rustix::io::Errno::EXIST)
}

/// The one error that says that somebody did it before us.
fn done_before(result: rustix::io::Result<()>, errno: rustix::io::Errno) -> io::Result<()> {
    match result {
        Err(e) if e != errno => Err(e.into()),
        _ => Ok(()),
    }
}

/// Whether `path` is on another file system than its parent. `/` counts as its own parent, and is not asked for.
fn is_mount_point(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(std::fs::metadata(path)?.dev() != std::fs::metadata(parent)?.dev())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount { kind, target, .. } => write!(f, "mounting {kind} on {target}"),
            Self::Link { path, to } => write!(f, "linking {path} to {to}"),
            Self::Node { path, major, minor, .. } => write!(f, "making the device {path} ({major}:{minor})"),
            Self::Dir { path, .. } => write!(f, "making the directory {path}"),
        }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)
    }
}

impl std::error::Error for StepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(steps: &[Step], path: &str) -> usize {
        let is = |s: &Step| match s {
            Step::Mount { target, .. } => *target == path,
            Step::Link { path: p, .. } | Step::Node { path: p, .. } | Step::Dir { path: p, .. } => *p == path,
        };
        steps.iter().position(is).unwrap_or_else(|| panic!("no step for {path}"))
    }

    #[test]
    fn a_place_is_mounted_before_what_lies_in_it() {
        let steps = steps();
        for (outer, inner) in [
            ("/dev", "/dev/pts"),
            ("/dev", "/dev/shm"),
            ("/dev", "/dev/fuse"),
            ("/dev", "/dev/fd"),
            ("/run", "/run/bootjack"),
            ("/sys", "/sys/fs/cgroup"),
            ("/proc", "/dev/fd"),
        ] {
            assert!(position(&steps, outer) < position(&steps, inner), "{outer} before {inner}");
        }
    }

    #[test]
    fn devices_are_usable_where_they_have_to_be() {
        for step in steps() {
            let Step::Mount { target, flags, .. } = step else { continue };
            let nodev = flags.contains(MountFlags::NODEV);
            assert_eq!(nodev, !target.starts_with("/dev") || target == "/dev/shm", "{target}");
        }
    }

    #[test]
    fn what_is_already_there_is_no_error_and_a_failure_does_not_stop_the_rest() {
        let errors = perform(&[
            Step::Mount {
                kind: "proc",
                target: "/proc",
                flags: MountFlags::empty(),
                options: "",
                optional: false,
            },
            Step::Mount {
                kind: "nosuchfs",
                target: "/proc/nosuch",
                flags: MountFlags::empty(),
                options: "",
                optional: true,
            },
            Step::Dir { path: "/proc/nosuch/below", mode: 0o755 },
            Step::Link { path: "/proc/self", to: "x" },
            Step::Link { path: "/proc/nosuch/link", to: "x" },
        ]);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].starts_with("making the directory /proc/nosuch/below: No such file"), "{texts:?}");
        assert!(texts[1].starts_with("linking /proc/nosuch/link to x: "), "{texts:?}");
    }
}
