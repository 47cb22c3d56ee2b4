//! Without a person: the timeout boots the default, and a boot that fails for good ends in the declared action.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_timeout_boots_the_default() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("first", &root.artifact("root"), "")]));
    let words = format!("{words} bootjack.timeout=2");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("any key stops");
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}

#[test]
fn a_boot_that_fails_for_good_ends_in_the_declared_action() {
    let (server, root) = (Server::new(), Root::busybox());
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("gone", &root.artifact("gone"), "")]));
    let words = format!("{words} bootjack.entry=gone bootjack.retry_for=8s bootjack.on_failure=poweroff");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("404");
    vm.expect("Trying again in");
    vm.expect("Powering off in");
    vm.wait_exit();
    assert!(server.asked().iter().filter(|path| *path == "/gone").count() > 1, "it was tried again");
}
