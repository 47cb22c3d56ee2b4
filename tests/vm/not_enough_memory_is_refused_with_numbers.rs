//! A root that cannot fit is refused before a byte of it is fetched, with what it needs and what there is.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_root_too_large_for_the_machine_is_refused_with_numbers() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let huge = root.artifact_of("root", Some(4 << 30));
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("huge", &huge, "root_size = \"8g\"")]));
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry huge");
    vm.type_keys(ENTER);
    // 4 GiB of tree, 32 MiB of buffers, 23 entries of 1 KiB.
    vm.expect("cause     needs 4129 MiB of memory");
    vm.expect("are available");
    assert!(!server.asked().contains(&"/root".to_owned()));
}
