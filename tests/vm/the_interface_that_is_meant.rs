//! Of two interfaces that both get an address, the one that is meant is used: by `BOOTIF=` in capitals, or by a name that
//! `ifname=` gives it, which the new system knows it by.

use crate::lab::{Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::Server;

/// The first leads nowhere but to a DHCP server; only the second leads to this host.
const TWO: &[&str] = &[
    "-netdev",
    "user,id=n0,net=10.0.9.0/24,restrict=on",
    "-device",
    "virtio-net-pci,netdev=n0,mac=52:54:00:ab:cd:01",
    "-netdev",
    "user,id=n1",
    "-device",
    "virtio-net-pci,netdev=n1,mac=52:54:00:ab:cd:02",
];

/// Boots with these words and lists the interfaces of the new system.
fn boot(network: &str) -> Vm {
    let server = Server::new();
    let (initrd, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    let tell = "echo FACT interfaces $(ls /sys/class/net); echo FACT end; poweroff -f";
    let words = format!("{words} {network} init=/bin/sh -- -c \"{tell}\"");
    let mut vm =
        Vm::boot(&Options { initrd: &initrd.path(), append: &words, net: TWO, ..Options::default() });
    vm.expect("FACT end");
    vm.wait_exit();
    vm
}

#[test]
fn bootif_in_capitals_picks_its_interface() {
    let vm = boot("BOOTIF=01-52-54-00-AB-CD-02 vlan=v5:eth1");
    assert!(vm.log().contains("eth1 10.0.2.15"), "the second interface is the network");
    assert!(!vm.log().contains("10.0.9.15"), "the first one was not asked");
}

#[test]
fn a_name_that_ifname_gives_is_found_and_stays() {
    let vm = boot("ifname=boot7:52:54:00:AB:CD:02 ip=boot7:dhcp");
    assert!(vm.log().contains("boot7 10.0.2.15"), "it is called so on the screen");
    let interfaces = vm.fact("interfaces");
    assert!(interfaces.contains("boot7") && !interfaces.contains("eth1"), "{interfaces}");
}
