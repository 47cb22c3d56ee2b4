//! The tables that `bootjack initrd` writes are the ones every modprobe reads: busybox finds the network by the
//! device's own alias, and fetches over it (from a server that breaks off first).

use std::sync::Arc;

use crate::lab::{Initrd, Kernel};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_foreign_modprobe_reads_our_tables() {
    let server = Server::new();
    let body = Arc::new(b"it came over the wire\n".to_vec());
    let url = server.put("words", &[Answer::Cut(Arc::clone(&body), 5), Answer::Good(body)]);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let options = Options { initrd: &initrd.path(), append: "rdinit=/bin/sh", ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("# ");
    vm.type_keys("alias b=busybox\rb mount -t proc p /proc; b mount -t sysfs s /sys\r");
    vm.type_keys("b modprobe -a $(b cat /sys/bus/pci/devices/*/modalias); ");
    vm.type_keys("b modprobe -a $(b cat /sys/bus/virtio/devices/*/modalias)\r");
    vm.type_keys("b ifconfig eth0 10.0.2.15 up && echo wire''d\r");
    vm.expect("wired");
    vm.type_keys(&format!("b wget -qO - {url}; b wget -qO - {url}; b poweroff -f\r"));
    vm.expect("it came over the wire");
    vm.wait_exit();
    assert_eq!(server.asked(), ["/words", "/words"]);
}
