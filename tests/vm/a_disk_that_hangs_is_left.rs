//! A disk that answers no more holds nobody: neither while it is looked for nor in the middle of an archive. The person
//! at the console goes back to the menu, and another entry boots.

use std::fs;

use bootjack::verify::Sha256;

use crate::disks::Disks;
use crate::lab::{Initrd, Kernel, Root, catalog, made};
use crate::machine::{DOWN, ENTER, ESC, Options, Vm};
use crate::server::{Answer, Server};

/// QEMU's words for a disk that gives so many bytes a second.
fn pace(bytes: u32) -> String {
    format!("block_set_io_throttle hung 0 {bytes} 0 0 0 0")
}

/// Its last line is.
fn menu_is_there(vm: &mut Vm) {
    vm.expect_gone("Loading");
    vm.expect("power off");
}

#[test]
fn a_disk_that_hangs_holds_nobody() {
    let (server, root, mut disks) = (Server::new(), Root::busybox(), Disks::new());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    // Large enough to be met in the middle.
    let large = fs::read(made("lab/debian.tar.zst")).unwrap();
    fs::write(disks.tree().join("large"), &large).unwrap();
    let hung = format!("{{ url = \"LABEL=HUNG:/large\", sha256 = \"{}\" }}", Sha256::of(&large));
    let image = disks.file_system("hung", "iso9660", "HUNG");
    let drive = disks.drive("hung", &image);
    let entries = [("hung", hung, ""), ("good", root.artifact("root"), "")];
    let menu = catalog(&entries.each_ref().map(|(name, artifact, more)| (*name, artifact.as_str(), *more)));
    let words = format!("bootjack.catalog={}", server.text("catalog.toml", &menu));
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net,storage"]);
    let devices = ["-drive", &drive, "-device", "virtio-blk-pci,drive=hung"];
    let mut vm = Vm::boot(&Options {
        initrd: &initrd.path(),
        append: &words,
        devices: &devices,
        ..Options::default()
    });
    menu_is_there(&mut vm);

    // Nothing of it was read yet but its superblock: the next look hangs.
    vm.monitor(&pace(1));
    vm.type_keys(ENTER);
    vm.expect("Loading \"Entry hung\"");
    vm.expect("l log");
    vm.type_keys(ESC);
    menu_is_there(&mut vm);

    // Slow, and then dead, in the middle of the archive.
    vm.monitor(&pace(200_000));
    vm.type_keys(ENTER);
    vm.expect("KiB of ");
    vm.monitor(&pace(1));
    vm.type_keys(ESC);
    menu_is_there(&mut vm);

    vm.type_keys(DOWN);
    vm.type_keys(ENTER);
    vm.expect("FACT marker the root that was packed");
    vm.monitor(&pace(0));
    vm.wait_exit();
    disks.assert_untouched();
}
