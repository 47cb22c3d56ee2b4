//! An archive that lies in a directory of the host is a root like any other, with what mount= shares beside it; what
//! cannot be mounted is named, and leaves nothing mounted.

use std::path::Path;

use crate::lab::{Initrd, Kernel, made};
use crate::machine::{Options, Vm};
use crate::shared::Shared;

/// A directory with the busybox root in it.
fn images() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::copy(made("lab/busybox.tar.zst"), dir.path().join("r.tar.zst")).expect("an archive");
    dir
}

fn boot(shared: &Shared, initrd: &Path, append: &str) -> Vm {
    let devices = shared.devices();
    Vm::boot(&Options { initrd, append, devices: &devices, net: &["-nic", "none"], ..Options::default() })
}

#[test]
fn an_archive_on_a_shared_directory_boots() {
    let images = images();
    let shared = Shared::new("img", images.path(), 512);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "virtiofs"]);
    let mut vm = boot(&shared, &initrd.path(), "root=tmpfs:virtiofs:img:/r.tar.zst mount-ro=img");
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").contains("tmpfs rw"), "{}", vm.fact("root"));
    let log = vm.log();
    assert!(
        log.contains("FACT mounted /run/mnt/img virtiofs"),
        "what is shared beside it came along:\n{log}"
    );
    assert!(
        !log.contains("FACT mounted /run/bootjack/mnt"),
        "where the archive was read from is gone:\n{log}"
    );
}

#[test]
fn what_cannot_be_mounted_is_named_and_leaves_nothing_mounted() {
    let images = images();
    let shared = Shared::new("img", images.path(), 512);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "virtiofs"]);
    let words =
        "root=tmpfs:virtiofs:img:/r.tar.zst mount=img mount-ro=nosuch bootjack.on_failure=hold panic=0";
    let mut vm = boot(&shared, &initrd.path(), words);
    vm.expect("no tag nosuch: the one virtiofs device has another");
    vm.expect("mount-ro=nosuch");
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("echo mounts-$(grep -c virtiofs /proc/mounts)-left; ls /run/mnt | wc -l | sed s/^/dirs-/\r");
    vm.expect("mounts-0-left");
    vm.expect("dirs-0");
}
