//! A machine that has nothing but a network card ends at Debian's login prompt, through the menu.

use std::sync::Arc;

use crate::lab::{Initrd, Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn from_the_pxe_rom_to_a_login() {
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let root = Root::debian();
    let server = Server::new();
    let file = |path| Answer::Good(Arc::new(std::fs::read(path).expect("made")));
    let kernel = server.put("vmlinuz", &[file(Kernel::Cloud.image())]);
    let second = server.put("initrd", &[file(initrd.path())]);
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let menu = server.text("catalog.toml", &catalog(&[("debian", &root.artifact("root"), "")]));
    let tftp = tempfile::tempdir().unwrap();
    let words = format!("initrd=initrd console=ttyS0 bootjack.catalog={menu}");
    let script = format!("#!ipxe\nkernel {kernel} {words}\ninitrd {second}\nboot\n");
    std::fs::write(tftp.path().join("boot.ipxe"), script).unwrap();
    let mut vm = Vm::boot(&Options { pxe: Some(tftp.path()), memory: 1024, ..Options::default() });
    vm.expect("Entry debian");
    vm.type_keys(ENTER);
    vm.expect("demo login:");
    vm.type_keys("root\r");
    vm.expect("# ");
    vm.type_keys("findmnt -no FSTYPE / && systemctl is-system-running --wait\r");
    vm.expect("tmpfs");
}
