//! Who plugs a terminal in when the menu has long been there sees nothing, presses a key, and sees all of it.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{Options, Vm};
use crate::server::Server;
use crate::wire::{Socket, Wire};

#[test]
fn any_key_paints_a_line_that_was_silent() {
    let (server, root) = (Server::new(), Root::busybox());
    let root = root.artifact("root");
    let entries = [("one", root.as_str(), ""), ("two", &root, "")];
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&entries));
    let second = Socket::free();
    let append = format!("bootjack.console=+ttyS1:115200 {words}");
    let devices = second.words();
    let options =
        Options { initrd: &initrd.path(), append: &append, devices: &devices, ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("2 watch");
    vm.expect(" > * 1  ");
    let mut wire = Wire::new(second.end(), 30, 100);
    wire.type_keys("2");
    wire.expect("2 watch");
    wire.expect(" >   2  ");
    wire.expect("? help");
    vm.expect(" >   2  ");
}
