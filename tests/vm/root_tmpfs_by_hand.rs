//! `root=tmpfs:URL` boots without a catalog: the root is a tmpfs of ours, its init is process 1 with its arguments.

use crate::lab::{Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::Server;

#[test]
fn root_tmpfs_boots_without_a_catalog() {
    let server = Server::new();
    let (initrd, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    let words = format!("{words} rd.tmpfs.size=100m");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("FACT end");
    vm.wait_exit();
    let fact = |name: &str| vm.fact(name);
    assert_eq!(fact("pid"), "1");
    assert!(fact("root").contains("tmpfs rw") && fact("root").contains("size=102400k"), "{}", fact("root"));
    assert_eq!(fact("owner"), "1234:5678 640");
    for place in ["/dev", "/proc", "/sys", "/run"] {
        assert!(vm.log().contains(&format!("FACT mounted {place} ")), "{place} came along");
    }
}
