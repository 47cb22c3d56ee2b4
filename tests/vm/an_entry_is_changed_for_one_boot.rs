//! What a catalog got wrong is mended at the console: after a failure a person types the place the root is at, and an
//! argument for its init. The digest is the catalog's, and so is the menu afterwards.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{DOWN, ENTER, ESC, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_typed_place_and_an_argument_boot_what_the_catalog_could_not() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    server.put("other", &[Answer::Good(std::sync::Arc::new(vec![0; root.bytes.len()]))]);
    server.put("gone", &[Answer::Status(404)]);
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("wrong", &root.artifact("gone"), "")]));
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry wrong");
    vm.type_keys(ENTER);
    vm.expect("404");
    vm.expect("e edit");
    vm.type_keys("e");
    vm.expect("init args");
    vm.type_keys("by hand");
    vm.type_keys(DOWN);
    vm.type_keys(DOWN);
    // Something else than what the digest is of.
    vm.type_keys("other");
    vm.expect("Changed, for this boot alone");
    vm.type_keys(ENTER);
    vm.expect("digest");
    vm.expect("What now?");
    vm.type_keys("e");
    vm.expect("Edit:");
    // What was typed is one of two mirrors now.
    vm.expect("first from");
    for _ in 0..3 {
        vm.type_keys(DOWN);
    }
    vm.type_keys("root");
    vm.expect("root_");
    vm.type_keys(ENTER);
    vm.expect("FACT args by hand");
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}

#[test]
fn whoever_leaves_it_finds_the_menu_as_it_was() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("right", &root.artifact("root"), "")]));
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry right");
    vm.type_keys("e");
    vm.expect("Edit: Entry right");
    vm.type_keys("nothing of this");
    vm.expect("nothing of this_");
    vm.type_keys(ESC);
    vm.expect_gone("Edit:");
    vm.type_keys(ENTER);
    vm.expect("FACT args\n");
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
