//! What lies on a logical volume, on a RAID array or on an encrypted device is read with the programs of
//! `bootjack initrd --with`; nothing is written to a disk, and nothing of it is in use when the next system begins. The
//! disks are made in a machine: this host may have no device mapper.

use std::path::{Path, PathBuf};

use crate::disks::digest;
use crate::lab::{Initrd, Kernel, Root, catalog, job, made};
use crate::machine::{ENTER, ESC, Options, TWO_KERNELS, Vm};

/// Hyphens are doubled in names of the device mapper.
const GROUP: &str = "my-vg";
const LUKS: &str = "5b4c2f0e-9d9a-4a55-8a51-2f7d6c1b0a99";
const ARRAY: &str = "0a1b2c3d:4e5f6071:8293a4b5:c6d7e8f9";
const PASSPHRASE: &str = "correct horse";

/// Makes the disks, each with the archive on it. Argon2 has threads, and what ends them is a library of its own. The
/// array is left unsynchronised: one that starts writable is written to at once.
const MAKE: &str = r#"set -e
put() { mke2fs -L "$2" "$1"; mount -t ext4 "$1" /mnt; cp /r.tar.zst /mnt/; umount /mnt; }
lvm pvcreate -q /dev/vda
lvm vgcreate -q GROUP /dev/vda
lvm lvcreate -q -y -n images -l 100%FREE GROUP
put /dev/mapper/my--vg-images volume
lvm vgchange -an GROUP
mkdir -p /run/cryptsetup /run/mdadm
export DM_DISABLE_UDEV=1 MDADM_NO_UDEV=1
printf 'PASSPHRASE' | cryptsetup luksFormat -q --type luks2 --uuid LUKS --pbkdf argon2id \
    --pbkdf-force-iterations 4 --pbkdf-memory 16384 --pbkdf-parallel 2 --key-file=- /dev/vdb
printf 'PASSPHRASE' | cryptsetup open --type luks --key-file=- /dev/vdb made
put /dev/mapper/made safe
cryptsetup close made
mdadm --create /dev/md0 --run --readonly --level=1 --metadata=1.2 --raid-devices=2 --uuid=ARRAY /dev/vdc /dev/vdd
echo frozen >/sys/block/md0/md/sync_action
mdadm --readwrite /dev/md0
put /dev/md0 array
mdadm --stop /dev/md0
echo "all disks" made
"#;

/// Between us and the programs: notes whether what they put together may be written to, and of cryptsetup everything
/// that anybody could read of the processes meanwhile.
const LISTEN: &str = r#"mkdir /usr/real
for name in lvm mdadm cryptsetup; do
    mv /usr/sbin/$name /usr/real/
    cat >/usr/sbin/$name <<END
#!/bin/sh
[ $name != cryptsetup ] || { cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; echo noted; } >>/run/noted
/usr/real/$name "\$@"
status=\$?
grep -sH . /sys/block/dm-*/ro /sys/block/md*/md/array_state | cut -d/ -f5- >>/run/states
exit \$status
END
    chmod 755 /usr/sbin/$name
done
"#;

/// Says whether any volume or array is active.
const APART: &str =
    "active=$(ls /sys/block | grep -E '^(dm-|md)'); echo \"NAME: ${active:-nothing} is active\"";

/// Numbers of the disks, with their MiB.
const SIZES: [(&str, u64); 4] = [("d0", 48), ("d1", 48), ("d2", 32), ("d3", 32)];

struct Disks {
    dir: tempfile::TempDir,
    words: Vec<String>,
}

impl Disks {
    fn new() -> Self {
        let (dir, mut words) = (tempfile::tempdir().unwrap(), Vec::new());
        for (id, mib) in SIZES {
            let path = dir.path().join(id);
            std::fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
            let file = format!("id={id},if=none,format=raw,file={}", path.display());
            let device = format!("virtio-blk-pci,drive={id}");
            words.extend(["-drive".to_owned(), file, "-device".to_owned(), device]);
        }
        Self { dir, words }
    }

    fn boot(&self, initrd: &Path, append: &str) -> Vm {
        let devices: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let patience = TWO_KERNELS;
        Vm::boot(&Options { initrd, append, devices: &devices, memory: 768, patience, ..Options::default() })
    }

    /// Of all bytes on each.
    fn digests(&self) -> [String; 4] {
        SIZES.map(|(id, _)| digest(&self.dir.path().join(id)))
    }

    /// A file to go into an initrd.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let words = [("GROUP", GROUP), ("LUKS", LUKS), ("ARRAY", ARRAY), ("PASSPHRASE", PASSPHRASE)];
        let text = words.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn initrd(catalog: &str, files: &[(&Path, &str)]) -> Initrd {
    let files: Vec<String> = files.iter().map(|(file, dest)| format!("{}={dest}", file.display())).collect();
    let mut words = vec!["--drivers", "storage", "--with", "lvm,mdadm,cryptsetup"];
    words.extend(files.iter().flat_map(|file| ["--include", file.as_str()]));
    Initrd::with_catalog(Kernel::Cloud, catalog, &words)
}

#[test]
fn roots_on_volumes_arrays_and_behind_passphrases() {
    let (disks, root) = (Disks::new(), Root::busybox());
    let make = disks.file("make", MAKE);
    let archive = made("lab/busybox.tar.zst");
    let first = initrd(&catalog(&[]), &[(&make, "/make"), (&archive, "/r.tar.zst")]);
    let mut vm = disks.boot(&first.path(), "bootjack.shell");
    vm.expect("# ");
    vm.type_keys("sh /make\r");
    vm.expect("all disks made");
    drop(vm);
    let made = disks.digests();
    all_are_read_and_left(&disks, &root);
    assert_eq!(disks.digests(), made, "by jobs: a disk was written to");
    a_volume_is_named_as_dracut_does(&disks, &root);
    assert_eq!(disks.digests(), made, "by a root: a disk was written to");
    nobody_knows_the_passphrase(&disks);
    assert_eq!(disks.digests(), made, "by nobody: a disk was written to");
}

/// Each as the root of a job, which looks whether its disks are free.
fn all_are_read_and_left(disks: &Disks, root: &Root) {
    let from = |place: &str| root.artifact(&format!("{place}:/r.tar.zst"));
    let entry = |name: &str, place: &str| {
        let script = APART.replace("NAME", name);
        job(name, &from(place), &script, "on_success = \"menu\"")
    };
    let entries = [
        entry("volume", "dev:/dev/my-vg/images"),
        entry("array", "LABEL=array"),
        entry("safe", &format!("UUID={LUKS}")),
    ];
    let catalog = catalog(&[]).replacen("[[entry]]", &format!("{}\n[[entry]]", entries.join("\n")), 1);
    let listen = disks.file("listen", LISTEN);
    let initrd = initrd(&catalog, &[(&listen, "/listen")]);
    let mut vm = disks.boot(&initrd.path(), &format!("bootjack.shell rd.md.uuid={ARRAY}"));
    vm.expect("# ");
    vm.type_keys("sh /listen && exit\r");
    for (number, name) in [("1", "volume"), ("2", "array")] {
        vm.expect("Entry poweroff");
        vm.type_keys(number);
        vm.type_keys(ENTER);
        vm.expect(&format!("{name}: nothing is active"));
    }
    vm.expect("Entry poweroff");
    vm.type_keys("3");
    vm.type_keys(ENTER);
    vm.expect("Enter open");
    let screen = vm.screen();
    assert!(screen.contains("vdb (48 MiB, crypto_LUKS)") && screen.contains(LUKS), "{screen}");
    vm.type_keys("wrong");
    vm.type_keys(ENTER);
    vm.expect("no key with this passphrase");
    vm.type_keys(PASSPHRASE);
    vm.expect("*_");
    vm.type_keys(ENTER);
    vm.expect("safe: nothing is active");
    assert!(!vm.log().contains(PASSPHRASE), "it was never shown");
    vm.expect("Entry poweroff");
    // A person who leaves the question is back.
    vm.type_keys("3");
    vm.type_keys(ENTER);
    vm.expect("Enter open");
    vm.type_keys(ESC);
    vm.expect("Entry poweroff");
    vm.type_keys("s");
    vm.expect("# ");
    // Two that opened, one that closed; and what would have been seen, had it been there.
    vm.type_keys("echo $(grep -c noted /run/noted) calls, $(grep -c 'correct horse' /run/noted) told\r");
    vm.expect("3 calls, 0 told");
    vm.type_keys("sh -c 'cat /proc/$$/cmdline; : correct horse' >/run/seen\r");
    vm.type_keys("echo $(grep -c 'correct horse' /run/seen) seen\r");
    vm.expect("1 seen");
    vm.type_keys("echo $(grep -c 'correct horse' /run/bootjack/log) logged\r");
    vm.expect("0 logged");
    // Volumes and containers are read-only, and no array ever was anything else.
    vm.type_keys("echo st''ates $(sort -u /run/states) seen\r");
    vm.expect("states md/array_state:inactive md/array_state:read-auto ro:1 seen");
}

fn a_volume_is_named_as_dracut_does(disks: &Disks, root: &Root) {
    let initrd = initrd(&catalog(&[]), &[]);
    let words = format!(
        "root=tmpfs:/dev/mapper/my--vg-images rd.tmpfs.imgfile=r.tar.zst rd.lvm.lv={GROUP}/images \
         rd.tmpfs.size=100m rd.tmpfs.sha256={}",
        root.sha256
    );
    let mut vm = disks.boot(&initrd.path(), &words);
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(vm.fact("marker"), "the root that was packed");
}

/// An unattended machine does not wait for a person for ever.
fn nobody_knows_the_passphrase(disks: &Disks) {
    let initrd = initrd(&catalog(&[]), &[]);
    let words = format!(
        "root=tmpfs:LABEL=safe rd.tmpfs.imgfile=r.tar.zst rd.luks.uuid=luks-{LUKS} \
         bootjack.retry_for=5s bootjack.on_failure=poweroff"
    );
    let mut vm = disks.boot(&initrd.path(), &words);
    vm.expect("If nobody types: giving up in");
    vm.expect("nobody typed its passphrase in 10 s");
    vm.expect("reboot: Power down");
    vm.wait_exit();
}

/// Which one is meant nobody can know: none is opened.
#[test]
fn copies_of_an_encrypted_device_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let header = [&b"LUKS\xba\xbe\0\x01"[..], &[0; 160], LUKS.as_bytes(), &[0; 8192]].concat();
    let mut words = Vec::new();
    for id in ["d0", "d1"] {
        let path = dir.path().join(id);
        std::fs::write(&path, &header).unwrap();
        let file = format!("id={id},if=none,format=raw,file={}", path.display());
        words.extend(["-drive".to_owned(), file, "-device".to_owned(), format!("virtio-blk-pci,drive={id}")]);
    }
    let devices: Vec<&str> = words.iter().map(String::as_str).collect();
    let initrd = Initrd::with_catalog(Kernel::Cloud, &catalog(&[]), &["--drivers", "storage"]);
    let append = format!("root=tmpfs:/dev/vda rd.luks.uuid=luks-{LUKS}");
    let mut vm = Vm::boot(&Options {
        initrd: &initrd.path(),
        append: &append,
        devices: &devices,
        ..Options::default()
    });
    vm.expect("copies: name the one that is meant by dev:");
    let screen = vm.screen().split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [format!("2 block devices have UUID={LUKS}: vda"), "as dev:/dev/vda, vdb".into()] {
        assert!(screen.contains(&said), "{said}: {screen}");
    }
}
