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

/// Boots with these words, sees `header` on the screen, and lists the interfaces and addresses of the new system.
fn boot(network: &str, header: &str) -> Vm {
    let server = Server::new();
    let (initrd, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    // The kernel says its command line: no fact stands there.
    let tell = "f=FACT; echo $f interfaces $(ls /sys/class/net); echo $f addresses $(busybox ip -4 -o addr); \
                poweroff -f";
    let words = format!("{words} {network} init=/bin/sh -- -c \"{tell}\"");
    let mut vm =
        Vm::boot(&Options { initrd: &initrd.path(), append: &words, net: TWO, ..Options::default() });
    vm.expect(header);
    vm.wait_exit();
    let addresses = vm.fact("addresses");
    assert!(addresses.contains("10.0.2.15/24") && !addresses.contains("10.0.9."), "{addresses}");
    vm
}

#[test]
fn bootif_in_capitals_picks_its_interface() {
    boot("BOOTIF=01-52-54-00-AB-CD-02", "eth1 10.0.2.15");
}

#[test]
fn a_name_that_ifname_gives_is_found_and_stays() {
    let vm = boot("ifname=boot7:52:54:00:AB:CD:02 ip=boot7:dhcp", "boot7 10.0.2.15");
    let interfaces = vm.fact("interfaces");
    assert!(interfaces.contains("boot7") && !interfaces.contains("eth1"), "{interfaces}");
}
