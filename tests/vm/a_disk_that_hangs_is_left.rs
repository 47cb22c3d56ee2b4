//! A disk that answers no more holds nobody: neither while it is looked for nor in the middle of an archive. The person
//! at the console goes back to the menu, and another entry boots.

use std::fs;

use bootjack::verify::Sha256;

use crate::disks::Disks;
use crate::lab::{Initrd, Kernel, Root, catalog, made};
use crate::machine::{DOWN, ENTER, ESC, Options, Vm};
use crate::server::Server;

/// QEMU's words for a disk that gives so many bytes a second.
fn pace(bytes: u32) -> String {
    format!("block_set_io_throttle hung 0 {bytes} 0 0 0 0")
}

/// Its last line is.
fn menu_is_there(vm: &mut Vm) {
    vm.expect_gone("Loading");
    vm.expect_gone("Looking");
    vm.expect("p power");
}

/// A machine with a disk that can be made to hang and one that cannot, and its menu.
fn machine(disks: &mut Disks, server: &Server) -> Vm {
    let root = Root::busybox();
    let good = disks.file_system("good", "ext4", "good");
    // Large enough to be met in the middle.
    let large = fs::read(made("lab/debian.tar.zst")).unwrap();
    fs::write(disks.tree().join("large"), &large).unwrap();
    let hung = disks.file_system("hung", "iso9660", "HUNG");
    let entry = format!("{{ url = \"LABEL=HUNG:/large\", sha256 = \"{}\" }}", Sha256::of(&large));
    let menu = catalog(&[("hung", &entry, ""), ("good", &root.artifact("LABEL=good:/r.tar.zst"), "")]);
    let words = format!("bootjack.catalog={}", server.text("catalog.toml", &menu));
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net,storage"]);
    let drives = [disks.drive("hung", &hung), disks.drive("good", &good)];
    let devices = [
        ["-drive", &drives[0], "-device", "virtio-blk-pci,drive=hung"],
        ["-drive", &drives[1], "-device", "virtio-blk-pci,drive=good"],
    ];
    let (initrd, devices) = (initrd.path(), devices.concat());
    let mut vm =
        Vm::boot(&Options { initrd: &initrd, append: &words, devices: &devices, ..Options::default() });
    menu_is_there(&mut vm);
    vm
}

#[test]
fn a_disk_that_hangs_holds_nobody() {
    let (server, mut disks) = (Server::new(), Disks::new());
    let mut vm = machine(&mut disks, &server);

    // Slow, and then dead, in the middle of the archive.
    vm.monitor(&pace(200_000));
    vm.type_keys(ENTER);
    vm.expect("KiB of ");
    vm.monitor(&pace(1));
    vm.type_keys(ESC);
    menu_is_there(&mut vm);

    // To find the other, both are looked at.
    vm.type_keys(DOWN);
    vm.type_keys(ENTER);
    vm.expect("FACT marker the root that was packed");
    vm.monitor(&pace(0));
    vm.wait_exit();
    disks.assert_untouched();
}

#[test]
fn a_disk_that_hangs_keeps_no_machine_from_rebooting() {
    let (server, mut disks) = (Server::new(), Disks::new());
    let mut vm = machine(&mut disks, &server);
    // Nothing of it was read yet but its superblock: the next look hangs.
    vm.monitor(&pace(1));
    vm.type_keys(ENTER);
    vm.expect("Loading \"Entry hung\"");
    vm.expect("l log");
    vm.type_keys(ESC);
    menu_is_there(&mut vm);
    vm.type_keys("p");
    vm.expect("Enter does it at once");
    vm.type_keys(ENTER);
    vm.wait_exit();
    disks.assert_untouched();
}
