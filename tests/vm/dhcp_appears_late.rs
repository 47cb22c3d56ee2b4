//! A network without DHCP is waited for, and said so; when DHCP appears the boot goes on by itself.

use crate::lab::{Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::Server;

#[test]
fn dhcp_that_appears_late_is_enough() {
    let server = Server::new();
    let (initrd, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    // A cable into a hub with nothing else on it.
    let net = ["-netdev", "hubport,id=n0,hubid=0", "-device", "virtio-net-pci,netdev=n0"];
    let options = Options { initrd: &initrd.path(), append: &words, net: &net, ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("try 2");
    vm.monitor("netdev_add user,id=u0");
    vm.monitor("netdev_add hubport,id=h0,hubid=0,netdev=u0");
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
