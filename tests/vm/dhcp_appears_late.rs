//! A network without DHCP is waited for, and said so; when DHCP appears the boot goes on by itself.

use crate::lab::{Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::Server;

#[test]
fn dhcp_that_appears_late_is_enough() {
    let server = Server::new();
    let (initrd, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    // A cable into a hub with nobody there but a port that leads nowhere: QEMU's virtio-net stops sending for ever
    // into a hub without another port.
    let [there, here] = [free_port(), free_port()];
    let nowhere = format!("socket,id=s0,udp=127.0.0.1:{there},localaddr=127.0.0.1:{here}");
    let ports = [
        "-netdev",
        &nowhere,
        "-netdev",
        "hubport,id=n1,hubid=0,netdev=s0",
        "-netdev",
        "hubport,id=n0,hubid=0",
    ];
    let net = [&ports[..], &["-device", "virtio-net-pci,netdev=n0"]].concat();
    let options = Options { initrd: &initrd.path(), append: &words, net: &net, ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("try 2");
    vm.monitor("netdev_add user,id=u0");
    vm.monitor("netdev_add hubport,id=h0,hubid=0,netdev=u0");
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}

/// A port nobody uses now: the socket that found it is closed again.
pub fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
    socket.local_addr().expect("a bound socket has an address").port()
}
