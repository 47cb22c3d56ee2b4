//! A root whose init is not there is refused while the menu is still there: what was looked for is named.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, ESC, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_missing_init_is_refused() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let menu = catalog(&[("noinit", &root.artifact("root"), "init = \"/sbin/nothing\"")]);
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry noinit");
    vm.type_keys(ENTER);
    vm.expect("/sbin/nothing");
    vm.type_keys(ESC);
    vm.expect("Entry noinit");
}
