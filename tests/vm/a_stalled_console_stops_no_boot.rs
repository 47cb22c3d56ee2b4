//! A serial line whose other end takes nothing (flow control, a console server that hangs): the menu, the countdown and the
//! boot go on without it.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};
use crate::wire::Stalled;

#[test]
fn an_unattended_boot_goes_on_beside_a_line_that_nobody_reads() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("busybox", &root.artifact("root"), "")]));
    let second = Stalled::new();
    // The stalled one is the first of ours, and none of the kernel's: its own output would hang.
    let append = format!("bootjack.console=ttyS1,ttyS0 bootjack.timeout=2 {words}");
    let devices = second.words();
    let options =
        Options { initrd: &initrd.path(), append: &append, devices: &devices, ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("2 watch");
    vm.expect("FACT");
}
