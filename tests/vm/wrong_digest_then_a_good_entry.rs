//! Bytes that are not the ones asked for never run: both digests are shown, and the next entry boots.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{DOWN, ENTER, ESC, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_wrong_digest_is_refused_and_a_good_entry_boots_after_it() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let wrong = format!("{{ url = \"root\", sha256 = \"{}\" }}", "deadbeef".repeat(8));
    let menu = catalog(&[("wrong", &wrong, ""), ("good", &root.artifact("root"), "")]);
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry wrong");
    vm.type_keys(ENTER);
    vm.expect("deadbeef");
    vm.expect(&root.sha256[..8]);
    vm.type_keys(ESC);
    vm.expect("Entry good");
    vm.type_keys(DOWN);
    vm.type_keys(ENTER);
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
