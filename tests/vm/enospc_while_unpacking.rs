//! A root that outgrows its tmpfs ends on the failure screen with the limit and the member; nothing of it stays.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_full_tmpfs_is_reported_with_limit_and_member() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let artifact = root.artifact_of("root", None);
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("tight", &artifact, "root_size = \"1m\"")]));
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry tight");
    vm.type_keys(ENTER);
    vm.expect("limit 1 MiB");
    vm.expect("bin/busybox");
    vm.type_keys("s");
    vm.expect_gone("limit 1 MiB");
    vm.expect("# ");
    vm.type_keys("grep -c ' tmpfs .*size=1024k' /proc/mounts\r");
    vm.expect("\n0");
}
