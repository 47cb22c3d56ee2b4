//! The door for who comes from another terminal (`bootjack attach`): a socket, and what is said through it. The terminal is
//! opened by its name, so that it stays the guest's own; showing screens on it is [`super::Consoles`]'s.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where a boot listens.
pub const SOCKET: &str = "/run/bootjack/attach";

/// Guests at a time, and those that have not yet said what they want.
const MOST: usize = 8;

/// Bytes of what a guest says at once.
const LONGEST: usize = 4096;

/// What a guest says, a line of JSON each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// To see the screens on this terminal, and to press keys.
    Join { tty: PathBuf, colour: bool, utf8: bool, plain: bool },
    /// The screen as text, once.
    Picture { columns: u16, rows: u16 },
    /// The shell was left.
    Back,
}

/// What a guest is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    Joined,
    Refused {
        why: String,
    },
    Picture {
        text: String,
    },
    /// To run a shell on the terminal, and to say when it was left.
    Shell {
        about: String,
    },
    /// The terminal is given back.
    Left,
}

/// A line of what is said.
pub fn line(what: &impl Serialize) -> Vec<u8> {
    // Neither has a map whose keys are no text, or anything else that JSON cannot say.
    let mut line = serde_json::to_vec(what).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Somebody at the door, or with a terminal.
pub(super) struct Guest {
    stream: UnixStream,
    heard: Vec<u8>,
}

impl Guest {
    /// Everything that was said since; an error when it went away, or says what nobody understands.
    pub fn hear(&mut self) -> io::Result<Vec<Ask>> {
        let mut bytes = [0; 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.heard.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            if self.heard.len() > LONGEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "more than anybody has to say"));
            }
        }
        let Some(end) = self.heard.iter().rposition(|b| *b == b'\n') else { return Ok(Vec::new()) };
        let said: Vec<u8> = self.heard.drain(..=end).collect();
        let lines = said.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(io::Error::from)).collect()
    }

    /// Whoever does not read it loses it, and finds the other end closed.
    pub fn tell(&mut self, what: &Told) {
        if let Err(e) = self.stream.write_all(&line(what)) {
            log::debug!("telling a guest: {e}");
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The socket, and who stands before it.
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
    waiting: Vec<Guest>,
}

impl Door {
    /// Only for root: the socket's mode is 0600.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Left by a worker that died.
        match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned(), waiting: Vec::new() })
    }

    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.waiting.iter().map(Guest::fd))
    }

    /// Those who said what they want.
    pub fn admit(&mut self) -> Vec<(Guest, Ask)> {
        while self.waiting.len() < MOST {
            match self.listener.accept() {
                Ok((stream, _)) => match stream.set_nonblocking(true) {
                    Ok(()) => self.waiting.push(Guest { stream, heard: Vec::new() }),
                    Err(e) => log::warn!("{}: {e}", self.path.display()),
                },
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => {
                    log::warn!("{}: {e}", self.path.display());
                    break;
                }
            }
        }
        let mut ready = Vec::new();
        for mut guest in std::mem::take(&mut self.waiting) {
            match guest.hear() {
                Ok(asks) => match asks.into_iter().next() {
                    Some(ask) => ready.push((guest, ask)),
                    None => self.waiting.push(guest),
                },
                Err(e) => log::debug!("somebody at {}: {e}", self.path.display()),
            }
        }
        ready
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> (tempfile::TempDir, PathBuf, Door) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attach");
        let door = Door::open(&path).unwrap();
        (dir, path, door)
    }

    #[test]
    fn what_is_said_in_pieces_is_heard_when_it_is_whole() {
        let (_dir, path, mut door) = door();
        let mut guest = UnixStream::connect(&path).unwrap();
        let ask = Ask::Join { tty: "/dev/pts/3".into(), colour: true, utf8: false, plain: false };
        let text = line(&ask);
        for piece in text.chunks(7) {
            assert!(door.admit().is_empty());
            guest.write_all(piece).unwrap();
        }
        let admitted = door.admit();
        assert_eq!(admitted.len(), 1);
        assert_eq!(admitted[0].1, ask);
    }

    #[test]
    fn noise_is_sent_away_and_the_door_stays_open() {
        let (_dir, path, mut door) = door();
        for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[b'x'; 2 * LONGEST], b"{}\n", b""] {
            let mut guest = UnixStream::connect(&path).unwrap();
            guest.write_all(noise).unwrap();
            guest.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(door.admit().is_empty());
            assert!(door.waiting.is_empty(), "{noise:?}");
        }
        let mut guest = UnixStream::connect(&path).unwrap();
        guest.write_all(&line(&Ask::Picture { columns: 80, rows: 24 })).unwrap();
        assert_eq!(door.admit().len(), 1);
    }

    #[test]
    fn a_door_that_a_dead_one_left_is_opened_anew_and_only_for_root() {
        let (dir, path, first) = door();
        std::mem::forget(first);
        let _second = Door::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        drop(dir);
    }
}
