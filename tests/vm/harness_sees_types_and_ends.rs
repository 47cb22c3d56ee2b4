//! The harness itself: a machine with nothing but busybox comes up, is seen, typed to, and switches itself off.

use crate::lab::{Initrd, Kernel};
use crate::machine::{ENTER, Options, Vm};

#[test]
fn the_harness_sees_types_and_ends() {
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "virtio_net"]);
    let options = Options { initrd: &initrd.path(), append: "rdinit=/bin/sh", ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("Linux version");
    vm.expect("# ");
    vm.type_keys("echo $((6 * 7)) is it; busybox stty size; printf '\\033[6n'\r");
    vm.expect("42 is it");
    vm.type_keys(ENTER);
    vm.monitor("info version");
    vm.type_keys("exec busybox poweroff -f\r");
    assert!(vm.wait_exit().success());
    assert!(vm.log().contains("Power down"));
}
