//! One try over NFS: mount(2) with all that mount.nfs(8) would have added, the file, and a thread that reads ahead. A
//! dead server holds that thread, and nobody else: whoever waits does so for a stall, not for the kernel.

mod options;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::beside::{PULSE, addresses, beside};
use super::error::seconds;
use super::{Config, FetchError, Flow, Location, OnEvent, Source, Timing, file, mounted};
use crate::volumes::{Export, Mounted};
use options::{Version, mount_options, versions};

/// What the thread hands over at once, and how many of them may wait: the kernel reads ahead by itself.
const PIECE: usize = 256 << 10;
const QUEUE: usize = 4;

/// A server in good health lets go within that; a dead one is not waited for.
const LETTING_GO: Duration = Duration::from_secs(2);

pub(super) fn open(
    config: &Config,
    export: &Export,
    file: &Path,
    location: &Location,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Source, FetchError> {
    let name = location.to_string();
    let begun = Instant::now();
    let asked = Asked {
        config: config.clone(),
        export: export.clone(),
        file: file.to_owned(),
        location: location.clone(),
        timing: timing.clone(),
    };
    let opened = beside(&name, timing.connect + timing.stall, on, move || asked.open())?;
    let (sender, receiver) = sync_channel(QUEUE);
    let (here, gone) = channel();
    let (length, flow) = (opened.length, Flow::default());
    let read = move || {
        read_until_gone(opened.reader, &sender);
        // Said by being dropped: the server is let go.
        drop(here);
    };
    let spawned = std::thread::Builder::new().name("nfs".into()).spawn(read);
    spawned.map_err(|e| FetchError::Permanent(format!("{name}: starting a thread: {e}")))?;
    let reader = Body {
        receiver: Some(receiver),
        gone,
        piece: Vec::new(),
        at: 0,
        ended: false,
        stall: timing.stall,
        opening: begun.elapsed(),
        length,
        name,
        flow: flow.clone(),
    };
    Ok(Source { reader: Box::new(reader), length, location: location.clone(), flow })
}

/// What the thread that mounts has to know.
struct Asked {
    config: Config,
    export: Export,
    file: PathBuf,
    location: Location,
    timing: Timing,
}

impl Asked {
    fn open(&self) -> Result<Source, FetchError> {
        let begun = Instant::now();
        let opened = self.opened().map_err(|Failed { why, stays }| {
            let text = format!("{}: {why}", self.location);
            match stays {
                true => FetchError::Permanent(text),
                false => FetchError::Transient { text, silent: begun.elapsed(), retry_after: None },
            }
        })?;
        file::reading(opened, &self.location)
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

/// What the thread sends: pieces, and at last how it ended.
enum Message {
    Piece(Vec<u8>),
    End,
    Broken(String),
}

/// The thread: lets go of the server before it says that it has read everything.
fn read_until_gone(mut reader: Box<dyn Read + Send>, sender: &SyncSender<Message>) {
    let last = loop {
        let mut piece = vec![0; PIECE];
        match reader.read(&mut piece) {
            Ok(0) => break Message::End,
            Ok(n) => {
                piece.truncate(n);
                if sender.send(Message::Piece(piece)).is_err() {
                    break Message::End;
                }
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => break Message::Broken(e.to_string()),
        }
    };
    match last {
        Message::Broken(_) => {
            // First the word: letting go of a dead server takes its time.
            drop(sender.send(last));
            drop(reader);
        }
        last => {
            drop(reader);
            // A send that fails means that the reader is gone: then nobody wants to know.
            drop(sender.send(last));
        }
    }
}

/// The reader's side.
struct Body {
    receiver: Option<Receiver<Message>>,
    /// Nothing is ever sent: it ends when the thread has let go.
    gone: Receiver<()>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
    stall: Duration,
    opening: Duration,
    length: Option<u64>,
    name: String,
    flow: Flow,
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let waiting = Instant::now();
        loop {
            if let Some(error) = self.flow.broken() {
                return Err(error);
            }
            if buf.is_empty() || self.ended {
                return Ok(0);
            }
            if self.at < self.piece.len() {
                let n = (self.piece.len() - self.at).min(buf.len());
                buf[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
                self.at += n;
                self.flow.passed(n);
                return Ok(n);
            }
            let came = self.receiver.as_ref().map(|receiver| receiver.recv_timeout(PULSE.min(self.stall)));
            match came {
                Some(Ok(Message::Piece(piece))) => (self.piece, self.at) = (piece, 0),
                Some(Ok(Message::End)) => self.ended = true,
                Some(Ok(Message::Broken(why))) => {
                    return Err(self.broken(&why, waiting.elapsed(), ErrorKind::Other));
                }
                Some(Err(RecvTimeoutError::Timeout)) if waiting.elapsed() < self.stall => {}
                Some(Err(RecvTimeoutError::Timeout)) => {
                    let why = format!("{}: reading: nothing came for {}", self.name, seconds(self.stall));
                    return Err(self.broken(&why, waiting.elapsed(), ErrorKind::TimedOut));
                }
                Some(Err(RecvTimeoutError::Disconnected)) | None => {
                    let why = format!("{}: the reading thread ended without a word", self.name);
                    return Err(self.broken(&why, waiting.elapsed(), ErrorKind::Other));
                }
            }
        }
    }
}

impl Body {
    /// `why` names the place already.
    fn broken(&self, why: &str, silent: Duration, kind: ErrorKind) -> io::Error {
        let of = self.length.map_or_else(String::new, |length| format!(" of {length}"));
        let text = match why.ends_with("bytes") {
            true => why.to_owned(),
            false => format!("{why} after {}{of} bytes", self.flow.bytes()),
        };
        let silent = self.opening + silent;
        self.flow.fail(FetchError::Transient { text, silent, retry_after: None }, kind)
    }
}

impl Drop for Body {
    /// When this is over nothing speaks to the server any more, unless it is dead.
    fn drop(&mut self) {
        self.receiver = None;
        if self.gone.recv_timeout(LETTING_GO) == Err(RecvTimeoutError::Timeout) {
            log::warn!("{}: the server does not let go; not waited for", self.name);
        }
    }
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

    /// A reader that hangs as one on a dead server does, until its sender is gone.
    struct Hanging(Receiver<()>);

    impl Read for Hanging {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            let _gone = self.0.recv();
            Ok(0)
        }
    }

    fn body(reader: Box<dyn Read + Send>, stall: Duration) -> Body {
        let (sender, receiver) = sync_channel(QUEUE);
        let (here, gone) = channel();
        std::thread::spawn(move || {
            read_until_gone(reader, &sender);
            drop(here);
        });
        Body {
            receiver: Some(receiver),
            gone,
            piece: Vec::new(),
            at: 0,
            ended: false,
            stall,
            opening: Duration::ZERO,
            length: Some(7),
            name: "nfs://a/b".into(),
            flow: Flow::default(),
        }
    }

    #[test]
    fn a_dead_server_is_an_error_after_the_stall_and_a_stop_ends_the_wait() {
        let (_alive, hanging) = channel();
        let mut reader = body(Box::new(Hanging(hanging)), Duration::from_millis(200));
        let error = reader.read(&mut [0; 9]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "nfs://a/b: reading: nothing came for 0.2 s after 0 of 7 bytes");
        assert!(matches!(reader.flow.failure(), Some(FetchError::Transient { .. })));

        let (_alive, hanging) = channel();
        let mut reader = body(Box::new(Hanging(hanging)), Duration::from_secs(60));
        reader.flow.stop();
        assert_eq!(FetchError::of(&reader.read(&mut [0; 9]).unwrap_err()), Some(&FetchError::Stopped));
    }

    #[test]
    fn what_was_read_is_let_go_before_the_end_is_said() {
        struct Small(&'static [u8], std::sync::Arc<std::sync::atomic::AtomicBool>);
        impl Read for Small {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(buf)
            }
        }
        impl Drop for Small {
            fn drop(&mut self) {
                self.1.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let let_go = std::sync::Arc::default();
        let mut reader = body(Box::new(Small(b"hello", std::sync::Arc::clone(&let_go))), LETTING_GO);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), reader.flow.bytes()), ("hello", 5));
        assert!(let_go.load(std::sync::atomic::Ordering::SeqCst));
    }
}
