//! An interface that no word of the command line wants gets an address from a person; then the catalog comes, and a test
//! says of each step of the way to it that it is free.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{DOWN, ENTER, ESC, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_typed_address_brings_the_catalog_and_the_test_is_good_to_its_end() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("root", &root.artifact("root"), "")]));
    // Nobody is asked for an address on what there is.
    let words = format!("{words} ip=eth9:dhcp");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Waiting for");
    vm.expect("eth0");
    vm.type_keys("a");
    vm.expect("An address by hand");
    vm.type_keys("10.0.2.77/24");
    vm.type_keys(DOWN);
    vm.type_keys("10.0.2.2");
    vm.expect("Enter makes 10.0.2.77/24 the address of eth0");
    vm.type_keys(ENTER);
    vm.expect("Entry root");
    vm.expect("10.0.2.77");
    vm.type_keys("n");
    // A key that comes in one go with the one before it would be dropped.
    vm.expect_gone("Entry root");
    vm.expect("10.0.2.77 (by hand)");
    vm.type_keys("t");
    vm.expect("+ answer");
    for step in ["+ link", "+ lease", "gateway", "+ name", "+ connect"] {
        let screen = vm.screen();
        assert!(screen.contains(step), "{step}:\n{screen}");
    }
    vm.type_keys(ESC);
    vm.expect("Entry root");
    vm.type_keys(ENTER);
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
