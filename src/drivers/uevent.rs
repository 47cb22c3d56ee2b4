//! What the kernel says when a device appears: the uevent socket and the device tree. Both give modaliases; what is
//! loaded for them is decided elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with, sockopt};

/// The group on which the kernel itself speaks (udev repeats on 2).
const KERNEL: u32 = 1;

/// Room for what a whole machine says while its drivers load; the kernel drops what does not fit.
const BUFFER: usize = 4 << 20;

/// Longer than any uevent (UEVENT_BUFFER_SIZE is 2048, and a header).
const LONGEST: usize = 4096;

/// Ears on the kernel's device events, from the moment it is opened.
#[derive(Debug)]
pub struct Uevents {
    socket: OwnedFd,
}

/// What one listening brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A device appeared that has this modalias.
    Device(String),
    /// Something that concerns no driver.
    Other,
    /// Nothing is waiting.
    Nothing,
    /// Events were lost: the device tree has to be read again.
    Overflow,
}

impl Uevents {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the kernel has no such socket (netlink(7)).
    pub fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(KOBJECT_UEVENT),
        )?;
        // Without the privilege the usual size has to do: an overflow is noticed.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER);
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL))?;
        Ok(Self { socket })
    }

    /// The next event; with `wait` it sleeps until there is one.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn next(&self, wait: bool) -> io::Result<Heard> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); LONGEST];
        let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        loop {
            return match recv(&self.socket, &mut buffer, flags) {
                Ok(((text, _), _)) => Ok(modalias_of(text)),
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => Ok(Heard::Nothing),
                Err(rustix::io::Errno::NOBUFS) => Ok(Heard::Overflow),
                Err(e) => Err(e.into()),
            };
        }
    }
}

/// `add@/devices/…`, then `KEY=VALUE` items, each ended by NUL (lib/kobject_uevent.c).
fn modalias_of(event: &[u8]) -> Heard {
    let mut items = event.split(|&b| b == 0);
    if !items.next().is_some_and(|head| head.starts_with(b"add@")) {
        return Heard::Other;
    }
    match items.find_map(|item| item.strip_prefix(b"MODALIAS=")) {
        Some(alias) if !alias.is_empty() => Heard::Device(String::from_utf8_lossy(alias).into_owned()),
        _ => Heard::Other,
    }
}

/// Every modalias below `root` (`/sys/devices`), each once. What vanishes meanwhile is passed over.
pub fn modaliases(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            // Links lead back into the tree: only what is a directory itself is walked.
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                folders.push(entry.path());
            } else if entry.file_name() == "modalias" {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                found.extend(text.lines().filter(|l| !l.is_empty()).map(str::to_owned));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_device_that_appears_and_has_an_alias_counts() {
        let event = |text: &str| modalias_of(text.replace(' ', "\0").as_bytes());
        assert_eq!(
            event(
                "add@/devices/pci0000:00/0000:00:03.0 ACTION=add SUBSYSTEM=pci MODALIAS=pci:v00001AF4d00001000 SEQNUM=9"
            ),
            Heard::Device("pci:v00001AF4d00001000".into())
        );
        assert_eq!(event("remove@/devices/x ACTION=remove MODALIAS=pci:v1"), Heard::Other);
        assert_eq!(event("add@/module/virtio ACTION=add"), Heard::Other);
        assert_eq!(event(""), Heard::Other);
    }

    #[test]
    fn every_modalias_of_a_tree_is_found_once_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("pci0000:00/0000:00:03.0/virtio0");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("modalias"), "virtio:d00000001v00001AF4\n").unwrap();
        fs::write(dir.path().join("pci0000:00/0000:00:03.0/modalias"), "pci:v00001AF4d00001000\n").unwrap();
        fs::write(dir.path().join("modalias"), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), deep.join("subsystem")).unwrap();
        let found: Vec<String> = modaliases(dir.path()).into_iter().collect();
        assert_eq!(found, ["pci:v00001AF4d00001000", "virtio:d00000001v00001AF4"]);
    }

    #[test]
    fn listening_without_waiting_returns_at_once() {
        let events = Uevents::open().unwrap();
        while !matches!(events.next(false).unwrap(), Heard::Nothing) {}
    }
}
