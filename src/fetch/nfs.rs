//! One try over NFS: mount(2) with all that mount.nfs(8) would have added, and the file. Both are opened and read on
//! threads of their own (`apart`): a server may die at any time.

mod options;

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::apart::{Place, apart};
use super::beside::{addresses, beside};
use super::{Config, FetchError, Location, OnEvent, Source, Timing, file, mounted};
use crate::volumes::{Export, Mounted};
use options::{Version, mount_options, versions};

pub(super) fn open(
    config: &Config,
    export: &Export,
    file: &Path,
    location: &Location,
    start: u64,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Source<'static>, FetchError> {
    let name = location.to_string();
    let begun = Instant::now();
    let asked = Asked {
        config: config.clone(),
        export: export.clone(),
        file: file.to_owned(),
        location: location.clone(),
        start,
        timing: timing.clone(),
    };
    let opened = beside(&name, timing.connect + timing.stall, on, move || asked.open())?;
    apart(opened, Place { name, opening: begun.elapsed(), stall: timing.stall, passes: true })
}

/// What the thread that mounts has to know.
struct Asked {
    config: Config,
    export: Export,
    file: PathBuf,
    location: Location,
    start: u64,
    timing: Timing,
}

impl Asked {
    fn open(&self) -> Result<Source<'static>, FetchError> {
        let begun = Instant::now();
        let opened = self.opened().map_err(|Failed { why, stays }| {
            let text = format!("{}: {why}", self.location);
            match stays {
                true => FetchError::Permanent(text),
                false => FetchError::Transient { text, silent: begun.elapsed(), retry_after: None },
            }
        })?;
        file::reading(opened, &self.location, self.start)
    }

    fn opened(&self) -> Result<File, Failed> {
        let versions = versions(&self.export).map_err(|why| Failed { why, stays: true })?;
        let passes = |why| Failed { why, stays: false };
        let found = addresses(&self.config, &self.export.host, self.timing.connect).map_err(passes)?;
        let mut last = passes("no address".into());
        for address in found {
            match self.mount(address, &versions) {
                Ok(mounted) => return self.file_on(mounted),
                Err(failed) if failed.stays => return Err(failed),
                Err(failed) => last = failed,
            }
        }
        Err(last)
    }

    /// Unmounted as soon as the file is open, which keeps what it needs (umount2(2), MNT_DETACH): whatever becomes of
    /// the server or of this process, no mount is left behind.
    fn file_on(&self, mounted: Mounted) -> Result<File, Failed> {
        let opened = mounted::below(&mounted, &self.file);
        drop(mounted);
        opened.map_err(|e| {
            let passes = [Errno::TIMEDOUT, Errno::IO, Errno::STALE];
            let stays = Errno::from_io_error(&e).is_none_or(|errno| !passes.contains(&errno));
            Failed { why: format!("opening: {e}"), stays }
        })
    }

    /// The newest version that both sides have.
    fn mount(&self, server: IpAddr, versions: &[Version]) -> Result<Mounted, Failed> {
        let path = self.export.path_for(&own_name(server));
        let source = match server {
            IpAddr::V4(ip) => format!("{ip}:{path}"),
            IpAddr::V6(ip) => format!("[{ip}]:{path}"),
        };
        let mut refused: Vec<(Version, Errno)> = Vec::new();
        for version in versions {
            let options = mount_options(&self.export, *version, server, own_address(server), &self.timing);
            log::debug!("{}: mounting {source} with {options}", self.location);
            match Mounted::mount(&source, "nfs", MountFlags::RDONLY, &options) {
                Ok(mounted) => return Ok(mounted),
                Err(e) => {
                    let errno = Errno::from_io_error(&e).unwrap_or(Errno::IO);
                    refused.push((*version, errno));
                    if !another_version_may_do(errno) {
                        break;
                    }
                }
            }
        }
        Err(Failed::of(&source, &refused, kernel_knows_nfs()))
    }
}

/// Why there is nothing to read.
#[derive(Debug, PartialEq)]
struct Failed {
    why: String,
    /// Asking again would not help.
    stays: bool,
}

impl Failed {
    fn of(source: &str, refused: &[(Version, Errno)], kernel_knows: bool) -> Self {
        if !kernel_knows || refused.iter().any(|(_, errno)| *errno == Errno::NODEV) {
            let why = "the kernel has no nfs here: make the initrd with --drivers net,nfs".to_owned();
            return Self { why, stays: true };
        }
        // Versions that say the same say it once.
        let mut said: Vec<(Vec<&str>, Errno)> = Vec::new();
        for (version, errno) in refused {
            match said.iter_mut().find(|(_, other)| other == errno) {
                Some((versions, _)) => versions.push(version.name()),
                None => said.push((vec![version.name()], *errno)),
            }
        }
        let in_words = |(versions, errno): &(Vec<&str>, Errno)| {
            format!("{} (version {})", meaning(*errno), versions.join(", "))
        };
        let why: Vec<String> = said.iter().map(in_words).collect();
        let why = format!("mounting {source}: {}", why.join("; "));
        Self { why, stays: said.iter().any(|(_, errno)| stays(*errno)) }
    }
}

/// As mount.nfs(8) decides: what may only mean that this version is not served there.
fn another_version_may_do(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::PROTONOSUPPORT
            | Errno::OPNOTSUPP
            | Errno::INVAL
            | Errno::NOENT
            | Errno::PERM
            | Errno::CONNREFUSED
    )
}

/// What the server said for good, in whatever version it spoke.
fn stays(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::ACCESS | Errno::PERM | Errno::INVAL | Errno::NOTDIR)
}

fn meaning(errno: Errno) -> String {
    let words = match errno {
        Errno::NOENT => "the server has no such export",
        Errno::ACCESS | Errno::PERM => "the server does not let this machine in",
        Errno::CONNREFUSED => "nobody answers at its port",
        Errno::TIMEDOUT | Errno::IO => "no answer",
        Errno::PROTONOSUPPORT | Errno::OPNOTSUPP => "not spoken there, or not by this kernel",
        Errno::INVAL => "an option is wrong, or not for this version",
        Errno::NOTDIR => "what is exported is no directory",
        _ => return io::Error::from(errno).to_string(),
    };
    format!("{words}: {}", io::Error::from(errno))
}

/// Asked after a mount failed, which has made the kernel look for the module.
fn kernel_knows_nfs() -> bool {
    // A kernel that does not say which file systems it knows is not blamed for one.
    let known = fs::read_to_string("/proc/filesystems");
    known.map_or(true, |known| known.lines().any(|line| line.trim_end().ends_with("\tnfs")))
}

/// What `%s` in the path stands for: the name of this machine (a lease's, or one that was set), or else the address
/// that reaches the server.
fn own_name(server: IpAddr) -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    match name.as_str() {
        // What the kernel says as long as nobody has named it.
        "" | "(none)" => own_address(server).map_or(name, |ip| ip.to_string()),
        _ => name,
    }
}

/// The address this machine has towards the server; nothing is sent for it.
fn own_address(server: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((server, options::PORT)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(said: &[(Version, Errno)]) -> (String, bool) {
        let Failed { why, stays } = Failed::of("10.0.0.1:/srv", said, true);
        (why, stays)
    }

    #[test]
    fn what_the_versions_said_is_said_once_each() {
        let said = [
            (Version::V42, Errno::PROTONOSUPPORT),
            (Version::V41, Errno::PROTONOSUPPORT),
            (Version::V40, Errno::NOENT),
            (Version::V3, Errno::CONNREFUSED),
        ];
        let (why, stays) = refused(&said);
        assert_eq!(
            why,
            "mounting 10.0.0.1:/srv: not spoken there, or not by this kernel: Protocol not supported (os error 93) \
             (version 4.2, 4.1); the server has no such export: No such file or directory (os error 2) (version 4.0); \
             nobody answers at its port: Connection refused (os error 111) (version 3)"
        );
        assert!(stays);
        assert!(!refused(&[(Version::V42, Errno::CONNREFUSED), (Version::V3, Errno::CONNREFUSED)]).1);
        assert!(!refused(&[(Version::V42, Errno::TIMEDOUT)]).1);
        assert!(refused(&[(Version::V42, Errno::ACCESS)]).0.contains("does not let this machine in"));
    }

    #[test]
    fn a_kernel_without_nfs_is_said_to_be_one() {
        let refused = Failed::of("10.0.0.1:/srv", &[(Version::V42, Errno::NODEV)], true);
        assert!(refused.why.ends_with("make the initrd with --drivers net,nfs") && refused.stays);
        assert_eq!(Failed::of("x", &[], false), refused);
    }
}
