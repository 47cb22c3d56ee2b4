//! An address by hand needs no DHCP server; the name that comes with it is the new system's.

use crate::lab::{Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::Server;

#[test]
fn a_static_address_boots_without_dhcp_and_names_the_machine() {
    let server = Server::new();
    let (initrd, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    let network = "ip=10.0.2.77::10.0.2.2:255.255.255.0:node7.lab:eth0:none nameserver=10.0.2.3";
    // The kernel says its command line: no fact stands there.
    let tell = "f=FACT; echo $f host $(uname -n); echo $f address $(busybox ip -4 -o addr); poweroff -f";
    let words = format!("{words} {network} init=/bin/sh -- -c \"{tell}\"");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("eth0 10.0.2.77");
    vm.wait_exit();
    assert_eq!(vm.fact("host").trim(), "node7.lab");
    assert!(vm.fact("address").contains("10.0.2.77/24"), "{}", vm.fact("address"));
}
