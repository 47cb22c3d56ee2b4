//! A catalog on a disk, and beside it disks with every file system that is read: in one boot of a machine without any
//! network. Nothing is left mounted, and nothing was written.

use std::fs;

use crate::disks::{Disks, archive};
use crate::lab::{Initrd, Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};

/// What is said of a place, a line each; the file system on vdg is filled here, for its kernel has the driver.
const SCRIPT: &str = r#"
b=/bin/busybox
$b mkdir -p /tmp/a /tmp/g
$b mount -t squashfs -o ro /dev/vdf /tmp/a && $b mount -t exfat /dev/vdg /tmp/g && $b cp /tmp/a/r.tar.zst /tmp/g
$b umount /tmp/a /tmp/g
try() {
    where=$1; shift
    said=$(/bin/bootjack unpack "$where" /tmp/x --retry-for 1s "$@" 2>&1) &&
        said="the marker is: $($b cat /tmp/x/etc/marker)"
    echo "PLACE $where: $said" | $b tr '\n' ' ' | $b fold -s -w 78; echo
    echo "MOUNTS $($b grep -c bootjack/mnt /proc/mounts)"
    $b rm -rf /tmp/x
}
sum="--sha256 SHA256"
for label in images xfs "a b/c" EFI ISO exfat; do try "LABEL=$label:/r.tar.zst" $sum; done
try dev:/dev/vdf:/r.tar.zst $sum
try LABEL=images:/no/such.tar
try LABEL=wrong:/r.tar.zst
try LABEL=twins:/r.tar.zst
try dev:/dev/vdj $sum --size SIZE
try dev:/dev/vdj $sum
try dev:/dev/vdj
try dev:/dev/vdk
echo "root=tmpfs:/dev/vdj rd.tmpfs.sha256=SHA256 rd.tmpfs.length=SIZE" >/line
/bin/bootjack unpack --cmdline=/line /tmp/y && echo "WORDS $($b cat /tmp/y/etc/marker)"
$b umount /tmp/y
$b ls /run/bootjack/mnt
echo ALL TRIED
"#;

#[test]
fn archives_are_read_from_every_file_system() {
    let (mut disks, root) = (Disks::new(), Root::busybox());
    let size = fs::metadata(archive()).unwrap().len().to_string();
    let script = disks.path("script");
    fs::write(&script, SCRIPT.replace("SHA256", &root.sha256).replace("SIZE", &size)).unwrap();
    fs::write(disks.tree().join("catalog.toml"), catalog(&[("disk", &root.artifact("r.tar.zst"), "")]))
        .unwrap();
    let mut images = Vec::new();
    for (name, kind, label) in [
        ("a", "ext4", "images"),
        ("b", "xfs", "xfs"),
        ("c", "btrfs", "a b/c"),
        ("d", "vfat", "EFI"),
        ("e", "iso9660", "ISO"),
        ("f", "squashfs", ""),
        ("g", "exfat", "exfat"),
        ("h", "ext4", "twins"),
        ("i", "ext4", "twins"),
    ] {
        images.push(disks.file_system(name, kind, label));
    }
    images.push(disks.bare("j", b"what was there before"));
    images.push(disks.bare("k", &[0; 1 << 20]));
    let mut devices = Vec::new();
    for (image, id) in images.iter().zip('a'..) {
        // The journey fills exfat itself.
        let drive = match id {
            'g' => format!("id=g,if=none,format=raw,file={}", image.display()),
            id => disks.drive(&id.to_string(), image),
        };
        devices.extend(["-drive".to_owned(), drive, "-device".into(), format!("virtio-blk-pci,drive={id}")]);
    }
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    let include = format!("{}=script", script.display());
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "storage", "--include", &include]);
    let options = Options {
        initrd: &initrd.path(),
        append: "bootjack.catalog=LABEL=images:/catalog.toml",
        net: &["-nic", "none"],
        devices: &devices,
        ..Options::default()
    };
    let mut vm = Vm::boot(&options);
    vm.expect("Entry poweroff");
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("sh /script\r");
    vm.expect("ALL TRIED");
    let log = vm.log();
    assert_eq!(log.matches("MOUNTS 0").count(), 14, "something was left mounted");
    let said = |place: &str| {
        let from = log.find(&format!("PLACE {place}: ")).unwrap_or_else(|| panic!("no {place} in\n{log}"));
        let to = log[from..].find("MOUNTS ").map_or(log.len(), |to| from + to);
        log[from..to].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let good = "the marker is: the root that was packed";
    for label in ["images", "xfs", "a b/c", "EFI", "ISO", "exfat"] {
        assert!(
            said(&format!("LABEL={label}:/r.tar.zst")).contains(good),
            "{}",
            said(&format!("LABEL={label}:/r"))
        );
    }
    assert!(said("dev:/dev/vdf:/r.tar.zst").contains(good), "{}", said("dev:/dev/vdf"));
    let missing = said("LABEL=images:/no/such.tar");
    assert!(
        missing.contains("No such file or directory") && missing.contains("(/dev/vda, ext4)"),
        "{missing}"
    );
    let wrong = said("LABEL=wrong:/r.tar.zst");
    assert!(wrong.contains("no block device has LABEL=wrong; there are vda (16 MiB, ext4"), "{wrong}");
    let twins = said("LABEL=twins:/r.tar.zst");
    assert!(twins.contains("as dev:/dev/vdh") && twins.contains("as dev:/dev/vdi"), "{twins}");
    // The archive on the device itself: what lies behind it is no part of it.
    let bare: Vec<&str> = log.split("PLACE ").filter(|said| said.starts_with("dev:/dev/vdj: ")).collect();
    assert!(bare[0].contains(good), "{bare:?}");
    assert!(bare[1].contains("nothing says how long it is"), "{bare:?}");
    assert!(bare[2].contains("other data after the zstd frame") && bare[2].contains("--size"), "{bare:?}");
    assert!(said("dev:/dev/vdk").contains(good));
    assert!(log.contains("WORDS the root that was packed"), "by the words of a kernel command line:\n{log}");
    vm.type_keys("exit\r");
    vm.expect("Entry disk");
    vm.type_keys(ENTER);
    vm.expect("FACT end");
    vm.wait_exit();
    let log = vm.log();
    let mounted: Vec<&str> = log.lines().filter(|line| line.contains("FACT mounted ")).collect();
    assert!(!mounted.is_empty() && mounted.iter().all(|line| !line.contains("ext4")), "{mounted:?}");
    disks.assert_untouched();
}
