//! A screen, and two serial lines of which the kernel knows one: all show the same, each at its own size, and a key on any
//! of them counts.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{DOWN, Options, Vm};
use crate::server::Server;
use crate::wire::{Socket, Vga, Wire};

#[test]
fn a_screen_and_two_serial_lines_at_once() {
    let (server, root) = (Server::new(), Root::busybox());
    let root = root.artifact("root");
    let entries = [("one", root.as_str(), ""), ("two", &root, "")];
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&entries));
    let second = Socket::taken();
    let devices = [second.words(), vec!["-vga", "std"]].concat();
    let append = format!("console=tty0 bootjack.console=+ttyS1:115200 {words}");
    let options =
        Options { initrd: &initrd.path(), append: &append, devices: &devices, ..Options::default() };
    let mut vm = Vm::boot(&options);
    let mut wire = Wire::new(second.end(), 43, 132);
    let vga = Vga::new();
    vm.expect("3 watch");
    wire.expect("3 watch");
    vga.expect(&mut vm, "3 watch");

    // A key on each, seen on all.
    let selected = |n: u8| format!(" >   {n}  ");
    vm.expect(" > * 1  ");
    for n in 2..=3 {
        match n {
            2 => wire.type_keys(DOWN),
            _ => vga.press(&mut vm, "down"),
        }
        vm.expect(&selected(n));
        wire.expect(&selected(n));
        vga.expect(&mut vm, &selected(n));
    }
    vm.type_keys("1");
    wire.expect(" > * 1  ");
    vga.expect(&mut vm, " > * 1  ");
    assert!(wire.text().lines().any(|line| line.len() > 100), "at its own size:\n{}", wire.text());

    // The terminal in front changes, and the screen goes with it.
    vga.press(&mut vm, "alt-f2");
    vga.press(&mut vm, "2");
    vm.expect(&selected(2));
    vga.expect(&mut vm, &selected(2));
}
