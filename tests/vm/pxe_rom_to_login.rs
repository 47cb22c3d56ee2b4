//! A machine that has nothing but a network card ends at Debian's login prompt, through the menu: what a person sees and
//! types is kept as a recording, target/screens/boot.svg, for the README.

use std::sync::Arc;
use std::time::Duration;

use crate::lab::{Initrd, Kernel, Root};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};
use crate::{film, picture, rack};

#[test]
fn from_the_pxe_rom_to_a_login() {
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let root = Root::debian();
    let server = Server::new();
    let file = |path| Answer::Good(Arc::new(std::fs::read(path).expect("made")));
    let kernel = server.put("vmlinuz", &[file(Kernel::Cloud.image())]);
    let second = server.put("initrd", &[file(initrd.path())]);
    let menu = server.text("catalog.toml", &rack::catalog(&server, &root, &Root::busybox()));
    let tftp = tempfile::tempdir().unwrap();
    let words = format!("initrd=initrd console=ttyS0 bootjack.catalog={menu}");
    let script = format!("#!ipxe\nkernel {kernel} {words}\ninitrd {second}\nboot\n");
    std::fs::write(tftp.path().join("boot.ipxe"), script).unwrap();
    let mut vm = Vm::boot(&Options { pxe: Some(tftp.path()), memory: 1024, ..Options::default() });
    vm.see(&["any key stops", "? help"]);
    vm.hold(Duration::from_secs(4));
    for (key, shown) in [("/", "/_"), ("d", "/d_"), ("e", "/de_"), ("b", "/deb_  2 found")] {
        vm.type_keys(key);
        vm.expect(shown);
        vm.hold(Duration::from_millis(300));
    }
    vm.see(&["Debian 12 with its own kernel", "Enter keeps them, Esc shows all"]);
    vm.hold(Duration::from_secs(2));
    vm.type_keys(ENTER);
    vm.see(&["/deb  2 found - Esc shows all"]);
    vm.hold(Duration::from_secs(1));
    vm.type_keys(ENTER);
    vm.expect("demo login:");
    vm.hold(Duration::from_secs(1));
    vm.type_keys("root\r");
    vm.expect("# ");
    vm.type_keys("findmnt -no FSTYPE / && systemctl is-system-running --wait\r");
    vm.expect("tmpfs");
    let recording = vm.film();
    picture::keep("boot.svg", &recording);
    assert!(recording.len() < film::LARGEST, "{} bytes", recording.len());
}
