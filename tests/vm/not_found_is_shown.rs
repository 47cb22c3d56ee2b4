//! A root that the server does not have: which URL, and what the server said.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::Server;

#[test]
fn what_is_not_there_is_named() {
    let server = Server::new();
    let menu = catalog(&[("gone", &Root::busybox().artifact("gone.tar.zst"), "")]);
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry gone");
    vm.type_keys(ENTER);
    vm.expect("404");
    assert!(vm.screen().contains("gone.tar.zst"), "{}", vm.screen());
}
