//! An address by hand needs no DHCP server.

use crate::lab::{Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::Server;

#[test]
fn a_static_address_boots_without_dhcp() {
    let server = Server::new();
    let (initrd, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    let words = format!("{words} ip=10.0.2.77::10.0.2.2:255.255.255.0::eth0:none");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("eth0 10.0.2.77");
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
