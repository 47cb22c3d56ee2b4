//! Which device is meant, on machines made of directories and small images.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// A machine: what its kernel would show, and its nodes.
pub struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for place in ["sys/class/block", "dev"] {
            fs::create_dir_all(dir.path().join(place)).unwrap();
        }
        Self { dir }
    }

    /// A device of 1 MiB, with files the kernel has about it.
    pub fn disk(&self, place: &str, content: &[u8], about: &[(&str, &str)]) -> &Self {
        let name = place.rsplit('/').next().unwrap();
        let real = self.dir.path().join("sys/devices").join(place);
        fs::create_dir_all(&real).unwrap();
        symlink(&real, self.dir.path().join("sys/class/block").join(name)).unwrap();
        fs::write(real.join("size"), "2048\n").unwrap();
        for (file, text) in about {
            fs::create_dir_all(real.join(file).parent().unwrap()).unwrap();
            fs::write(real.join(file), text).unwrap();
        }
        let mut bytes = vec![0; 1 << 20];
        bytes[..content.len()].copy_from_slice(content);
        let node = self.dir.path().join("dev").join(name.replace('!', "/"));
        fs::create_dir_all(node.parent().unwrap()).unwrap();
        fs::write(node, bytes).unwrap();
        self
    }

    pub fn places(&self) -> Places {
        Places { sys: self.dir.path().join("sys"), dev: self.dir.path().join("dev") }
    }

    fn find(&self, text: &str) -> Result<Found, NotFound> {
        find_in(&self.places(), &Volume::parse(text).unwrap())
    }

    fn name(&self, text: &str) -> String {
        self.find(text).map_or_else(|e| e.to_string(), |found| found.device.name)
    }
}

/// The beginning of an ext2 with this label and a UUID that ends with `last`.
fn ext2(label: &str, last: u8) -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    bytes[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    bytes[0x468..0x478].copy_from_slice(&[0xab, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    bytes[0x478..0x478 + label.len()].copy_from_slice(label.as_bytes());
    bytes
}

/// One of two devices of a Btrfs.
fn btrfs(label: &str, devices: u8) -> Vec<u8> {
    let mut bytes = vec![0; 0x11000];
    bytes[0x10020] = 7;
    bytes[0x10040..0x10048].copy_from_slice(b"_BHRfS_M");
    bytes[0x10088] = devices;
    bytes[0x1012b..0x1012b + label.len()].copy_from_slice(label.as_bytes());
    bytes
}

#[test]
fn a_volume_is_found_by_each_of_its_names() {
    let machine = Machine::new();
    let lvm = [("dm/name", "vg-my--lv\n"), ("slaves/vda", "")];
    machine
        .disk("vda", b"", &[])
        .disk("vdb", &ext2("a b/c", 1), &[])
        .disk("dm-0", &ext2("root", 2), &lvm)
        .disk("cciss!c0d0", &ext2("old", 3), &[]);
    for (text, name) in [
        ("LABEL=a b/c", "vdb"),
        ("LABEL=a\\x20b\\x2fc", "vdb"),
        ("UUID=ab000000-0000-0000-0000-000000000001", "vdb"),
        ("UUID=AB000000-0000-0000-0000-000000000001", "vdb"),
        ("/dev/vdb", "vdb"),
        ("/dev/dm-0", "dm-0"),
        ("/dev/mapper/vg-my--lv", "dm-0"),
        ("/dev/vg/my-lv", "dm-0"),
        ("/dev/cciss/c0d0", "cciss!c0d0"),
        ("/dev/disk/by-label/a\\x20b\\x2fc", "vdb"),
        ("/dev/disk/by-uuid/AB000000-0000-0000-0000-000000000002", "dm-0"),
    ] {
        assert_eq!(machine.name(text), name, "{text}");
    }
    assert!(matches!(machine.find("LABEL=A B/C"), Err(NotFound::None { .. })), "labels have a case");
}

#[test]
fn what_is_not_there_is_answered_with_what_there_is() {
    let machine = Machine::new();
    let none = "there is no block device at all: was this initrd made with --drivers storage?";
    assert_eq!(machine.name("LABEL=x"), none);
    machine.disk("vda", b"", &[]).disk("vdb", &ext2("y", 1), &[]).disk("ram0", &ext2("x", 2), &[]);
    let there = "there are vda (1 MiB), vdb (1 MiB, ext2, LABEL=y)";
    assert_eq!(machine.name("LABEL=x"), format!("no block device has LABEL=x; {there}"));
    assert_eq!(machine.name("/dev/vdc"), format!("there is no /dev/vdc; {there}"));
    assert!(machine.name("/dev/disk/by-path/pci-1").contains("udev makes"));
    assert_eq!(machine.name("/dev/null"), "/dev/null is no block device");
    for n in 0..20 {
        machine.disk(&format!("vdc{n:02}"), b"", &[]);
    }
    assert!(machine.name("LABEL=x").ends_with("vdc05 (1 MiB) and 14 more"), "{}", machine.name("LABEL=x"));
}

#[test]
fn several_with_one_name_are_all_listed_with_how_to_say_which() {
    let machine = Machine::new();
    machine.disk("vda", &ext2("x", 1), &[]).disk("vdb", &ext2("x", 2), &[]);
    let said = machine.name("LABEL=x");
    assert!(
        said.starts_with("2 block devices have LABEL=x: vda (1 MiB, ext2, LABEL=x), UUID=ab000000-"),
        "{said}"
    );
    assert!(
        said.contains("0001 as dev:") && said.contains("0002 as dev:") && said.contains("UUID="),
        "{said}"
    );
}

#[test]
fn the_same_bytes_reached_twice_are_one_volume() {
    let machine = Machine::new();
    // Two paths to a disk with a partition, and an array that keeps its mark behind the file system.
    let part = [("partition", "1\n")];
    machine
        .disk("sda", b"", &[])
        .disk("sda/sda1", &ext2("x", 1), &part)
        .disk("sdb", b"", &[])
        .disk("sdb/sdb1", &ext2("x", 1), &part)
        .disk("dm-0", b"", &[("slaves/sda", ""), ("slaves/sdb", "")])
        .disk("dm-1", &ext2("x", 1), &[("slaves/dm-0", "")]);
    assert_eq!(machine.name("LABEL=x"), "dm-1");
    // A stick with an ISO image: its partition begins where the disk does.
    machine.disk("sdc", &ext2("stick", 3), &[]).disk("sdc/sdc1", &ext2("stick", 3), &part);
    assert_eq!(machine.name("LABEL=stick"), "sdc");
    // The same label on a disk and on another disk's partition is no such thing.
    machine.disk("sdd", &ext2("stick", 4), &[]);
    assert!(matches!(machine.find("LABEL=stick"), Err(NotFound::Several { .. })));
}

#[test]
fn a_file_system_of_two_devices_is_one_volume_and_a_copy_of_one_is_not() {
    let machine = Machine::new();
    machine.disk("vda", &btrfs("pool", 2), &[]).disk("vdc", &ext2("x", 1), &[]);
    // By whatever name.
    for text in ["LABEL=pool", "/dev/vda"] {
        let lacks = "lies on 2 devices together, and only 1 came: vda (1 MiB, btrfs, LABEL=pool)";
        assert_eq!(machine.name(text), format!("{text} {lacks}"));
        assert!(matches!(machine.find(text), Err(NotFound::None { .. })), "the other may still come");
    }
    machine.disk("vdb", &btrfs("pool", 2), &[]);
    let found = machine.find("LABEL=pool").unwrap();
    assert_eq!((found.device.name.as_str(), found.others.len()), ("vda", 1));
    assert!(found.others[0].ends_with("vdb"));
    machine.disk("vdd", &btrfs("pool", 2), &[]);
    assert!(matches!(machine.find("LABEL=pool"), Err(NotFound::Several { .. })));
    assert!(machine.name("LABEL=pool").contains("; they are copies: "), "{}", machine.name("LABEL=pool"));
}

#[test]
fn names_of_partitions_come_from_the_table_and_else_from_the_kernel() {
    let machine = Machine::new();
    let mut mbr = vec![0; 512];
    mbr[440..444].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    let uevent = "DEVNAME=vdb2\nPARTNAME=Apple HFS\nPARTUUID=aa-02\n";
    machine
        .disk("vda", &mbr, &[])
        .disk("vda/vda10", &ext2("x", 1), &[("partition", "10\n"), ("uevent", uevent)])
        .disk("vdb", b"", &[])
        .disk("vdb/vdb2", &ext2("y", 2), &[("partition", "2\n"), ("uevent", uevent)]);
    assert_eq!(machine.name("PARTUUID=12345678-0A"), "vda10");
    assert_eq!(machine.name("PARTLABEL=Apple HFS"), "vdb2");
    assert_eq!(machine.name("PARTUUID=aa-02"), "vdb2");
}

#[test]
fn names_in_device_mapper_double_their_dashes() {
    assert_eq!(logical_volume("vg-lv").as_deref(), Some("vg/lv"));
    assert_eq!(logical_volume("a--b-c--d--e").as_deref(), Some("a-b/c-d-e"));
    assert_eq!(logical_volume("vg-lv-real"), None);
    assert_eq!(logical_volume("mpatha"), None);
}
