//! The daemons that share directories with a machine, one each: finds virtiofsd, speaks the dialect of the one there is,
//! and ends it with the machine. What QEMU is told of them is `words`'.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::sys;
use crate::volumes::Tag;

/// Where distributions put it beside PATH; the last is the C one of Debian 12's QEMU.
const PLACES: &[&str] = &["/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/// How to get one.
pub const HINT: &str =
    "on Debian: apt install virtiofsd (bookworm: qemu-system-common); on Fedora: dnf install virtiofsd";

/// A directory to share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub tag: Tag,
    pub path: PathBuf,
    pub writable: bool,
}

/// How a virtiofsd wants to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// QEMU's own, up to 7.x: everything is an `-o`.
    C,
    /// The one written in Rust.
    Rust { readonly: bool, xattr: bool },
}

/// The program, and what it understands.
#[derive(Debug)]
pub struct Virtiofsd {
    program: PathBuf,
    dialect: Dialect,
}

/// A running one, connected. Dropped, it is gone.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    tag: Tag,
    /// QEMU's end of the connection; it is QEMU's alone once it runs.
    connection: Option<UnixStream>,
    said: File,
}

impl Virtiofsd {
    /// # Errors
    /// There is none, or it does not answer.
    pub fn find() -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).map(|dir| dir.join("virtiofsd"));
        let places = on_path.chain(PLACES.iter().map(PathBuf::from));
        let program = places.into_iter().find(|place| place.is_file());
        let program = program.with_context(|| format!("no virtiofsd on PATH or in {}", PLACES.join(", ")))?;
        let help = Command::new(&program).arg("--help").stdin(Stdio::null()).output();
        let help = help.with_context(|| format!("asking {} what it understands", program.display()))?;
        let text = [help.stdout, help.stderr].concat();
        Ok(Self { dialect: Dialect::of(&String::from_utf8_lossy(&text)), program })
    }

    /// Starts one for a directory. It is given a socket that listens already: nothing has to be waited for, and nothing
    /// lies in a directory.
    ///
    /// # Errors
    /// Of sockets, or of starting it.
    pub fn start(&self, share: &Share, number: usize, debug: bool) -> Result<Daemon> {
        let tag = &share.tag;
        if !share.writable && !self.dialect.can_refuse_writing() {
            eprintln!("{tag}: {} has no --readonly: the machine mounts it read-only", self.program.display());
        }
        let name = format!("bootjack-vm-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).context("naming a socket")?;
        let listener = UnixListener::bind_addr(&address).with_context(|| format!("a socket for {tag}"))?;
        let connection =
            UnixStream::connect_addr(&address).with_context(|| format!("a connection for {tag}"))?;
        let said = rustix::fs::memfd_create("bootjack-virtiofsd", rustix::fs::MemfdFlags::CLOEXEC);
        let said = File::from(said.context("making room for what virtiofsd says")?);
        let root = rustix::process::geteuid().is_root();
        let mut command = Command::new(&self.program);
        command.args(self.dialect.words(listener.as_raw_fd(), share, root)).stdin(Stdio::null());
        command.stdout(Stdio::null());
        if !debug {
            command.stderr(said.try_clone().context("sharing the log of virtiofsd")?);
        }
        inherited(&listener)?;
        let child = sys::spawn_tied(&mut command).with_context(|| self.program.display().to_string())?;
        Ok(Daemon { child, tag: tag.clone(), connection: Some(connection), said })
    }
}

/// The next program that is started gets it.
pub fn inherited(fd: impl AsFd) -> Result<()> {
    fcntl_setfd(fd, FdFlags::empty()).context("handing on a descriptor")
}

impl Dialect {
    /// From what it says of itself.
    fn of(help: &str) -> Self {
        match help.contains("--shared-dir") {
            true => Self::Rust { readonly: help.contains("--readonly"), xattr: help.contains("--xattr") },
            false => Self::C,
        }
    }

    fn can_refuse_writing(self) -> bool {
        matches!(self, Self::Rust { readonly: true, .. })
    }

    /// Its words for a listening socket; `root`: who starts it may change its root directory.
    fn words(self, socket: i32, share: &Share, root: bool) -> Vec<OsString> {
        let mut words = vec![OsString::from(format!("--fd={socket}"))];
        match self {
            Self::C => {
                let mut source = OsString::from("source=");
                source.push(escaped(&share.path));
                words.extend(["-o".into(), source]);
                // Its other sandbox needs namespaces that containers do not give.
                words.extend(["-o".into(), "xattr,sandbox=chroot,log_level=warn".into()]);
            }
            Self::Rust { readonly, xattr } => {
                words.extend(["--shared-dir".into(), share.path.clone().into()]);
                words.extend(["--sandbox".into(), if root { "chroot" } else { "none" }.into()]);
                if xattr {
                    words.push("--xattr".into());
                }
                if readonly && !share.writable {
                    words.push("--readonly".into());
                }
            }
        }
        words
    }
}

/// A comma ends an option of libfuse, unless a backslash stands before it.
fn escaped(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        if matches!(byte, b',' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(byte);
    }
    OsString::from_vec(bytes)
}

impl Daemon {
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// The number of QEMU's end of the connection, which the next program inherits.
    ///
    /// # Errors
    /// It was handed on before.
    pub fn hand_on(&self) -> Result<i32> {
        let connection = self.connection.as_ref().context("the connection to virtiofsd is QEMU's already")?;
        inherited(connection)?;
        Ok(connection.as_raw_fd())
    }

    /// QEMU has it.
    pub fn handed_on(&mut self) {
        self.connection = None;
    }

    /// The last it said, for a person.
    pub fn last_words(&mut self) -> String {
        let mut text = Vec::new();
        // What it said is an aid; the failure is told without it, too.
        let read = self.said.rewind().and_then(|()| self.said.read_to_end(&mut text));
        let text = if read.is_ok() { String::from_utf8_lossy(&text).into_owned() } else { String::new() };
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].iter().map(|line| format!("{}: {line}\n", self.tag)).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, as it does when QEMU does: both calls say so then, and nothing is left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(dialect: Dialect, writable: bool, root: bool) -> String {
        let share = Share { tag: Tag::parse("t").unwrap(), path: "/a,b".into(), writable };
        let words = dialect.words(7, &share, root);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_virtiofsd_is_asked_in_its_own_words() {
        let new = Dialect::of("  --shared-dir <SHARED_DIR>\n --readonly\n --xattr\n");
        assert_eq!(words(new, false, true), "--fd=7 --shared-dir /a,b --sandbox chroot --xattr --readonly");
        assert_eq!(words(new, true, false), "--fd=7 --shared-dir /a,b --sandbox none --xattr");
        let old = Dialect::of("--shared-dir <DIR>");
        assert_eq!(words(old, false, true), "--fd=7 --shared-dir /a,b --sandbox chroot");
        let c = Dialect::of("    -o source=PATH             shared directory tree\n");
        assert_eq!(words(c, false, true), "--fd=7 -o source=/a\\,b -o xattr,sandbox=chroot,log_level=warn");
        assert!(new.can_refuse_writing() && !old.can_refuse_writing() && !c.can_refuse_writing());
    }
}
