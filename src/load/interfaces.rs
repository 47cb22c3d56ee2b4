//! The network of a root that is made for ramroot: its `gen_network_interfaces` writes what ifupdown brings up, where the
//! image left the place empty. Which interface the firmware booted from is told.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags, openat};

use super::modules::inside;
use crate::net::Mac;

/// Where ifupdown looks for more (interfaces(5)).
const PLACE: &str = "etc/network/interfaces.d";

/// ramroot's name for the file.
const NAME: &str = "bootif";

const INTERFACES: &str = "/sys/class/net";

/// Writes `interfaces.d/bootif` into `root`, if that directory is there and empty: loopback, and DHCP on the interface
/// with this address. A system without it may still come up otherwise: what fails is a line in the log.
pub(super) fn write(root: &io::Result<OwnedFd>, mac: Mac) {
    let written = match root {
        Ok(root) => write_with(root, mac, Path::new(INTERFACES)),
        Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
    };
    match written {
        Ok(Some(interface)) => log::info!("/{PLACE}/{NAME} of the root brings up {interface}"),
        Ok(None) => {}
        Err(e) => log::warn!("writing /{PLACE}/{NAME} in the root: {e}"),
    }
}

/// The interface it was written for; none where the root has its own way, or no interface has that address.
fn write_with(root: &OwnedFd, mac: Mac, interfaces: &Path) -> io::Result<Option<String>> {
    let Ok(place) = inside(root, PLACE) else { return Ok(None) };
    for entry in Dir::read_from(&place)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(None);
        }
    }
    let Some(interface) = with_address(mac, interfaces)? else {
        log::warn!("no interface has the address {mac} of BOOTIF=: the root's network is its own");
        return Ok(None);
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = fs::File::from(openat(&place, NAME, flags, Mode::from_raw_mode(0o644))?);
    write!(file, "auto lo\niface lo inet loopback\n\nauto {interface}\niface {interface} inet dhcp\n")?;
    Ok(Some(interface))
}

/// Addresses are compared as numbers: ramroot compares texts, and finds none that is written in capitals.
fn with_address(mac: Mac, interfaces: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(interfaces)? {
        let entry = entry?;
        // Not everything there is an interface with an address.
        let address = fs::read_to_string(entry.path().join("address")).unwrap_or_default();
        if address.trim().parse() == Ok(mac) {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const MAC: Mac = Mac([0x52, 0x54, 0, 0xab, 0xcd, 1]);

    /// A root with that directory, and interfaces of which `eth1` has the address in capitals.
    fn scene() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root").join(PLACE)).unwrap();
        for (name, address) in
            [("lo", "00:00:00:00:00:00"), ("eth0", "52:54:00:ab:cd:02"), ("eth1", "52:54:00:AB:CD:01")]
        {
            fs::create_dir_all(dir.path().join("net").join(name)).unwrap();
            fs::write(dir.path().join("net").join(name).join("address"), format!("{address}\n")).unwrap();
        }
        dir
    }

    fn written(dir: &Path, mac: Mac) -> Option<String> {
        let root = OwnedFd::from(fs::File::open(dir.join("root")).unwrap());
        write_with(&root, mac, &dir.join("net")).unwrap()
    }

    #[test]
    fn an_empty_interfaces_d_gets_loopback_and_dhcp_on_the_interface_the_firmware_booted_from() {
        let dir = scene();
        assert_eq!(written(dir.path(), MAC).as_deref(), Some("eth1"));
        let file = dir.path().join("root").join(PLACE).join(NAME);
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "auto lo\niface lo inet loopback\n\nauto eth1\niface eth1 inet dhcp\n"
        );
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        // A second time it is not empty any more.
        assert_eq!(written(dir.path(), MAC), None);
    }

    #[test]
    fn a_root_with_its_own_way_is_left_alone() {
        let dir = scene();
        let place = dir.path().join("root").join(PLACE);
        assert_eq!(written(dir.path(), Mac([1, 2, 3, 4, 5, 6])), None);
        fs::write(place.join("mine"), "auto eth0\n").unwrap();
        assert_eq!(written(dir.path(), MAC), None);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        fs::remove_dir_all(&place).unwrap();
        assert_eq!(written(dir.path(), MAC), None, "no such directory");
        assert!(!place.exists());
    }

    #[test]
    fn a_link_in_the_root_leads_to_nothing_outside_of_it() {
        let dir = scene();
        let place = dir.path().join("root").join(PLACE);
        fs::remove_dir(&place).unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, &place).unwrap();
        assert_eq!(written(dir.path(), MAC), None);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}
