//! A server that breaks off in the middle of a root, twice, costs two tries and no person.

use crate::lab::{Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_broken_body_is_fetched_again() {
    let (server, root) = (Server::new(), Root::busybox());
    let (initrd, words) = root.by_hand(&server, Kernel::Cloud);
    let half = Answer::Cut(root.bytes.clone(), root.bytes.len() / 2);
    server.put("root", &[half.clone(), half, Answer::Good(root.bytes.clone())]);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
    assert_eq!(server.asked().iter().filter(|path| *path == "/root").count(), 3);
}
