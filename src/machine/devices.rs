//! The network cards and disks of a machine, and the drivers that each of them works with now: another kernel needs the
//! same ones. Whether it has them is `plan`'s to say.

use std::fs;
use std::path::{Path, PathBuf};

/// A device that a boot may need.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Device {
    /// As the running kernel calls it: `eth0`, `nvme0n1`.
    pub name: String,
    pub kind: Kind,
    /// Names of modules with `_`, from the device up to its bus: `["sd_mod", "ahci"]`. What is built into the running
    /// kernel goes by the name of the driver, and only for the device itself.
    pub drivers: Vec<String>,
}

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Nic,
    Disk,
}

/// Those below `class` (`/sys/class`) that stand for hardware, in the order of their names. What cannot be read is left
/// out.
pub(super) fn all(class: &Path) -> Vec<Device> {
    let mut devices: Vec<Device> = [("net", Kind::Nic), ("block", Kind::Disk)]
        .into_iter()
        .flat_map(|(d, k)| of(&class.join(d), k))
        .collect();
    devices.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    devices
}

fn of(class: &Path, kind: Kind) -> Vec<Device> {
    let Ok(entries) = fs::read_dir(class) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // Partitions, loops and bridges have no `device` of their own.
    let real = names.filter(|name| class.join(name).join("device").exists());
    real.filter_map(|name| Some(Device { drivers: drivers(&class.join(&name))?, name, kind })).collect()
}

/// The modules behind a device and what it hangs on (Documentation/driver-api/driver-model/platform.rst: a bound device has
/// a link `driver`, whose `module` leads to what it was loaded from).
fn drivers(device: &Path) -> Option<Vec<String>> {
    let device = device.join("device").canonicalize().ok()?;
    let mut modules: Vec<String> = Vec::new();
    for place in device.ancestors().take_while(|place| !place.ends_with("devices")) {
        let module = link(&place.join("driver/module"));
        modules.extend(module.filter(|module| !modules.contains(module)));
    }
    if modules.is_empty() {
        modules.extend(link(&device.join("driver")));
    }
    Some(modules)
}

/// The last part of what a link leads to, as a kernel module's name.
fn link(path: &Path) -> Option<String> {
    let target: PathBuf = fs::read_link(path).or_else(|_| path.canonicalize()).ok()?;
    Some(target.file_name()?.to_str()?.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_device_has_the_drivers_of_all_that_it_hangs_on() {
        let sys = tempfile::tempdir().unwrap();
        let at = |path: &str| sys.path().join(path);
        for dir in [
            "class/net/lo",
            "class/net/eth0",
            "class/block/sda",
            "class/block/loop0",
            "bus/drivers/sd",
            "bus/drivers/ahci",
            "bus/drivers/virtio-net",
            "devices/pci0/0000:1/ata1/host0/0:0",
            "devices/pci0/0000:2/virtio0",
            "module/sd_mod",
            "module/ahci",
        ] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        for (link, to) in [
            ("class/net/eth0/device", "devices/pci0/0000:2/virtio0"),
            ("class/block/sda/device", "devices/pci0/0000:1/ata1/host0/0:0"),
            ("devices/pci0/0000:1/ata1/host0/0:0/driver", "bus/drivers/sd"),
            ("devices/pci0/0000:1/driver", "bus/drivers/ahci"),
            ("devices/pci0/0000:2/virtio0/driver", "bus/drivers/virtio-net"),
            ("bus/drivers/sd/module", "module/sd_mod"),
            ("bus/drivers/ahci/module", "module/ahci"),
        ] {
            symlink(at(to), at(link)).unwrap();
        }
        let device = |name: &str, kind, drivers: &[&str]| Device {
            name: name.into(),
            kind,
            drivers: drivers.iter().map(ToString::to_string).collect(),
        };
        let wanted =
            [device("eth0", Kind::Nic, &["virtio_net"]), device("sda", Kind::Disk, &["sd_mod", "ahci"])];
        assert_eq!(all(&at("class")), wanted);
        assert_eq!(all(&at("nowhere")), []);
    }
}
