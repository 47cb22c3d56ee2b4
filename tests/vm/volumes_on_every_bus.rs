//! A disk on each kind of bus is found by each of its names, and a root on a USB disk that is plugged in late is waited
//! for and booted, without a network. A journal that was left unclean stays as it is, and the new system finds nothing
//! of it mounted.

use std::fs;

use crate::disks::{Disks, run};
use crate::lab::{Initrd, Kernel, Root};
use crate::machine::{Options, Vm};

const SCRIPT: &str = r#"
b=/bin/busybox
try() {
    if /bin/bootjack unpack "$1:/r.tar.zst" /tmp/x --sha256 SHA256 --retry-for 20s; then
        echo "PLACE $1: $($b cat /tmp/x/etc/marker)"
    fi
    $b rm -rf /tmp/x
}
try PARTUUID=0123ABCD-0000-4000-8000-000000000001
try "LABEL=MY IMAGES"
try "PARTLABEL=a b/c"
echo ALL TRIED
"#;

#[test]
fn a_root_is_found_on_every_bus_and_waited_for() {
    let (mut disks, root) = (Disks::new(), Root::busybox());
    let ext4 = disks.file_system("ext4", "ext4", "inside");
    let nvme = disks.partitioned("nvme", &ext4, "nvme", "0123abcd-0000-4000-8000-000000000001");
    let vfat = disks.file_system("vfat", "vfat", "MY IMAGES");
    let scsi = disks.partitioned("scsi", &vfat, "a b/c", "0123abcd-0000-4000-8000-000000000002");
    // Another serial number than its copy in the partition has.
    let ahci = disks.file_system("ahci", "vfat", "MY IMAGES");
    let mut again = fs::read(&scsi).unwrap();
    again[(1 << 20) + 0x47..(1 << 20) + 0x52].copy_from_slice(b"OTHER      ");
    fs::write(&scsi, again).unwrap();
    run("mlabel", &["-i", &format!("{}@@1M", scsi.display()), "::OTHER"]);
    let usb = disks.file_system("usb", "ext4", "stick");
    let uuid = "abcdef01-2345-6789-abcd-ef0123456789";
    run("tune2fs", &["-U", uuid, usb.to_str().unwrap()]);
    run("debugfs", &["-w", "-R", "feature needs_recovery", usb.to_str().unwrap()]);
    let drives =
        [("n", &nvme), ("a", &ahci), ("s", &scsi), ("u", &usb)].map(|(id, image)| disks.drive(id, image));
    let mut devices: Vec<&str> = drives.iter().flat_map(|drive| ["-drive", drive]).collect();
    devices.extend(["-device", "nvme,drive=n,serial=one", "-device", "ahci,id=sata"]);
    devices.extend(["-device", "ide-hd,bus=sata.0,drive=a", "-device", "virtio-scsi-pci"]);
    devices.extend(["-device", "scsi-hd,drive=s", "-device", "qemu-xhci"]);
    let script = disks.path("script");
    fs::write(&script, SCRIPT.replace("SHA256", &root.sha256)).unwrap();
    let include = format!("{}=script", script.display());
    let initrd = Initrd::new(Kernel::Generic, &["--drivers", "storage", "--include", &include]);
    let place = format!("UUID={}:/r.tar.zst", uuid.to_uppercase());
    let words = format!("bootjack.shell root=tmpfs:{place} rd.tmpfs.sha256={}", root.sha256);
    let options = Options {
        kernel: Kernel::Generic,
        initrd: &initrd.path(),
        append: &words,
        memory: 768,
        net: &["-nic", "none"],
        devices: &devices,
        patience: 400,
        ..Options::default()
    };
    let mut vm = Vm::boot(&options);
    vm.expect("# ");
    vm.type_keys("sh /script\r");
    vm.expect("ALL TRIED");
    let log = vm.log();
    for place in ["PARTUUID=0123ABCD-0000-4000-8000-000000000001", "LABEL=MY IMAGES", "PARTLABEL=a b/c"] {
        assert!(log.contains(&format!("PLACE {place}: the root that was packed")), "{place} in\n{log}");
    }
    vm.type_keys("exit\r");
    vm.expect("block device has UUID=ABCDEF01");
    vm.monitor("device_add usb-storage,drive=u");
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(vm.fact("marker"), "the root that was packed");
    let log = vm.log();
    let mounted: Vec<&str> = log.lines().filter(|line| line.contains("FACT mounted ")).collect();
    assert!(!mounted.is_empty() && mounted.iter().all(|line| !line.contains("ext4")), "{mounted:?}");
    disks.assert_untouched();
}
