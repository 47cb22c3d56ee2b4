//! A mistake in one entry costs that entry: it is shown with its place, the others boot.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_mistake_in_one_entry_costs_that_entry_alone() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let artifact = root.artifact("root");
    let menu = catalog(&[("bad", &artifact, "initt = \"/bin/sh\""), ("good", &artifact, "")]);
    let line = menu.lines().position(|l| l.starts_with("initt")).expect("written above") + 1;
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry good");
    vm.expect(&format!("catalog.toml:{line}:1"));
    vm.expect("init");
    // What was refused stands at the end of the list.
    vm.type_keys(ENTER);
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
