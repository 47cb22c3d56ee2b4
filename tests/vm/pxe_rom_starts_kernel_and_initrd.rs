//! From the network card's ROM over TFTP and HTTP to an initrd of ours: nothing was given to QEMU but a network.

use std::sync::Arc;

use crate::lab::{Initrd, Kernel};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn the_pxe_rom_starts_kernel_and_initrd() {
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "virtio_net"]);
    let server = Server::new();
    let file = |path| Answer::Good(Arc::new(std::fs::read(path).expect("made")));
    let kernel = server.put("vmlinuz", &[file(Kernel::Cloud.image())]);
    let second = server.put("initrd", &[file(initrd.path())]);
    let tftp = tempfile::tempdir().unwrap();
    let words = "console=ttyS0 rdinit=/bin/sh";
    let script = format!("#!ipxe\nkernel {kernel} initrd=initrd {words}\ninitrd {second}\nboot\n");
    std::fs::write(tftp.path().join("boot.ipxe"), script).unwrap();
    let mut vm = Vm::boot(&Options { pxe: Some(tftp.path()), ..Options::default() });
    vm.expect("Linux version");
    vm.expect("# ");
    vm.type_keys("exec busybox poweroff -f\r");
    vm.wait_exit();
    assert_eq!(server.asked(), ["/vmlinuz", "/initrd"]);
}
