//! A root made by a recipe of docs/images.md from a system that was not made for it: what `docker export` writes, with
//! the fstab of an installed system in it. Nothing is waited for, and systemd knows that this is no container.

use std::path::Path;
use std::process::Command;

use crate::lab::{Initrd, Kernel, Root, catalog, made};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};

/// Two disks that are not here, one that is for later, and what needs no disk.
const FSTAB: &str = "UUID=6f9d1b0e-2f3c-4d5e-8a9b-0c1d2e3f4a5b / ext4 errors=remount-ro 0 1\n\
    /dev/disk/by-label/data /srv ext4 defaults 0 2\n\
    LABEL=usb /media ext4 noauto 0 0\n\
    tmpfs /mnt tmpfs size=1m 0 0\n";

#[test]
fn an_export_of_a_container_with_the_fstab_of_a_server_boots_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    run("tar", &["-xpf", made("lab/debian.tar").to_str().unwrap(), "--numeric-owner"], &tree);
    std::fs::write(tree.join("etc/fstab"), FSTAB).unwrap();
    std::fs::write(tree.join(".dockerenv"), "").unwrap();
    let export = dir.path().join("export.tar");
    // Without a member for the root directory, as docker writes it.
    let script = format!("tar --numeric-owner -cf {} $(ls -A)", export.display());
    run("sh", &["-c", &script], &tree);
    let root = Root::packed_of(&export);
    let server = Server::new();
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let entry = catalog(&[("host", &root.artifact("root"), "fstab = \"drop\"")]);
    let menu = server.text("catalog.toml", &entry);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let words = format!("bootjack.catalog={menu} bootjack.entry=host");
    let mut vm =
        Vm::boot(&Options { initrd: &initrd.path(), append: &words, memory: 1024, ..Options::default() });
    vm.expect("demo login:");
    vm.type_keys("root\r");
    vm.expect("# ");
    vm.type_keys(
        "echo MODE $(stat -c %a /) CONTAINER $(systemd-detect-virt -c) MOUNTED $(findmnt -no SIZE /mnt)\r",
    );
    vm.expect("MODE 755 CONTAINER none MOUNTED 1M");
    vm.type_keys(
        "echo WAITING $(systemctl list-jobs --no-legend | grep -c device) OF $(grep -c '^#' /etc/fstab)\r",
    );
    vm.expect("WAITING 0 OF 2");
    let count = |text: &str| format!("$(grep -o '{text}' /run/bootjack/report.json | wc -l)");
    let counts = format!("{} {}", count("here: left out"), count("dockerenv was taken away"));
    vm.type_keys(&format!("echo TOLD {counts}\r"));
    vm.expect("TOLD 2 1");
}

fn run(program: &str, words: &[&str], inside: &Path) {
    let done = Command::new(program).args(words).current_dir(inside).output().expect(program);
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}
