//! What the kernel lets a part of this program do: capabilities (capabilities(7)), of which each thread has its own, are
//! given up where bytes from elsewhere are taken apart. docs/privileges.md says who keeps what and what that is worth; who
//! begins a thread says which part it is.

use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// A part of the program that needs less than all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The worker as a whole, before it reads anything. The programs it starts (a shell, a job, `lvm`) have all again.
    Worker,
    /// The network's thread: interfaces, addresses, DHCP.
    Network,
    /// Reads a source that is open, and may have to open it again: that mounts disks and exports.
    Read,
    /// Bytes that become other bytes, in memory alone: digests, decoders, the parser of catalogs.
    Plain,
    /// Takes an archive apart, and makes every name in the tree.
    Unpack,
    /// Fills files that are open.
    Write,
}

/// Nothing here needs these: devices past their drivers (`/dev/mem`, I/O ports, SCSI commands), programs for the kernel,
/// auditing, other people's processes and locks.
const OF_NO_USE: CapabilitySet = CapabilitySet::AUDIT_CONTROL
    .union(CapabilitySet::AUDIT_READ)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::BLOCK_SUSPEND)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::IPC_OWNER)
    .union(CapabilitySet::LEASE)
    .union(CapabilitySet::LINUX_IMMUTABLE)
    .union(CapabilitySet::MAC_OVERRIDE)
    .union(CapabilitySet::NET_BROADCAST)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_PACCT)
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_TIME)
    .union(CapabilitySet::WAKE_ALARM);

impl Part {
    /// What it keeps of what it had.
    pub fn kept(self) -> CapabilitySet {
        match self {
            Self::Worker => OF_NO_USE.complement(),
            // A host name is the administrator's to set.
            Self::Network => {
                CapabilitySet::NET_ADMIN
                    | CapabilitySet::NET_RAW
                    | CapabilitySet::NET_BIND_SERVICE
                    | CapabilitySet::SYS_ADMIN
            }
            Self::Read => CapabilitySet::DAC_READ_SEARCH | CapabilitySet::SYS_ADMIN,
            Self::Plain => CapabilitySet::empty(),
            // `trusted.*` and most of `security.*` take the administrator, Smack's labels MAC_ADMIN. The thread that reads is
            // started from here, and the decoder, which everybody waits for, goes sooner than others.
            Self::Unpack => {
                CapabilitySet::CHOWN
                    | CapabilitySet::DAC_OVERRIDE
                    | CapabilitySet::DAC_READ_SEARCH
                    | CapabilitySet::FOWNER
                    | CapabilitySet::FSETID
                    | CapabilitySet::MKNOD
                    | CapabilitySet::SETFCAP
                    | CapabilitySet::SYS_ADMIN
                    | CapabilitySet::SYS_NICE
                    | CapabilitySet::MAC_ADMIN
            }
            Self::Write => CapabilitySet::CHOWN | CapabilitySet::FOWNER | CapabilitySet::FSETID,
        }
    }

    /// Whether programs start from here that must be able to do all.
    fn starts_programs(self) -> bool {
        self == Self::Worker
    }

    /// Gives up everything else, for ever, for the calling thread and those it starts from now on. A kernel that will
    /// not have it is worth a warning, not a boot.
    pub fn keep(self) {
        if let Err(e) = self.narrow() {
            log::warn!("giving up what {self:?} does not need: {e}");
        }
    }

    fn narrow(self) -> Result<(), Errno> {
        let (now, kept) = (capabilities(None)?, self.kept());
        if !self.starts_programs() && now.effective.contains(CapabilitySet::SETPCAP) {
            bound(kept)?;
        }
        let [effective, permitted, inheritable] =
            [now.effective, now.permitted, now.inheritable].map(|had| had & kept);
        set_capabilities(None, CapabilitySets { effective, permitted, inheritable })?;
        // No program that is started here has more than the thread that starts it. Whoever sees this sees all the rest.
        if self.starts_programs() { Ok(()) } else { set_no_new_privs(true) }
    }
}

/// Takes what is not kept out of the bounding set, too: those this kernel knows, and it knows all up to the last.
fn bound(kept: CapabilitySet) -> Result<(), Errno> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            Err(Errno::INVAL) => break,
            done => done?,
        }
    }
    Ok(())
}

/// Does `work` on a thread of its own that can do nothing but that.
///
/// # Errors
/// Of starting the thread.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let work = || {
            Part::Plain.keep();
            work()
        };
        let done = std::thread::Builder::new().name("parse".into()).spawn_scoped(scope, work)?.join();
        Ok(done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::{capability_is_in_bounding_set, no_new_privs};

    #[test]
    fn a_thread_keeps_what_its_part_needs_and_the_others_keep_all() {
        let before = capabilities(None).unwrap();
        for part in [Part::Network, Part::Read, Part::Plain, Part::Unpack, Part::Write] {
            std::thread::spawn(move || {
                part.keep();
                // Those it starts, too.
                std::thread::spawn(move || {
                    let now = capabilities(None).unwrap();
                    assert_eq!(now.permitted, before.permitted & part.kept(), "{part:?}");
                    assert_eq!(now.effective, before.effective & part.kept(), "{part:?}");
                    assert_eq!(now.inheritable, before.inheritable & part.kept(), "{part:?}");
                    assert!(no_new_privs().unwrap());
                    let raw = capability_is_in_bounding_set(CapabilitySet::SYS_RAWIO).unwrap();
                    assert!(!raw || !before.effective.contains(CapabilitySet::SETPCAP), "{part:?}");
                })
                .join()
                .unwrap();
            })
            .join()
            .unwrap();
        }
        assert_eq!(capabilities(None).unwrap(), before);
        assert!(!no_new_privs().unwrap());
    }

    #[test]
    fn what_the_worker_starts_has_all_again() {
        let before = capabilities(None).unwrap();
        std::thread::spawn(move || {
            Part::Worker.keep();
            let now = capabilities(None).unwrap();
            assert_eq!(now.permitted, before.permitted - OF_NO_USE);
            assert!(!no_new_privs().unwrap());
            let status = std::process::Command::new("cat").arg("/proc/self/status").output().unwrap().stdout;
            let status = String::from_utf8(status).unwrap();
            let field = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
            assert_eq!(u64::from_str_radix(field.trim(), 16).unwrap(), before.effective.bits());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn nothing_is_done_with_less_than_it_takes() {
        assert_eq!(apart(|| capabilities(None).unwrap().permitted).unwrap(), CapabilitySet::empty());
        // Every part is a part of the worker.
        for part in [Part::Network, Part::Read, Part::Unpack, Part::Write] {
            assert!(Part::Worker.kept().contains(part.kept()), "{part:?}");
        }
        // Whom it starts.
        for part in [Part::Read, Part::Write] {
            assert!(Part::Unpack.kept().contains(part.kept()), "{part:?}");
        }
    }
}
