//! Debian's dracut with systemd, whose own sysroot.mount stays out of the way; and the same initrd boots a root on disk.

use crate::foreign::{Disk, Theirs, is_unpacked, served};
use crate::server::Server;

#[test]
fn dracut_with_systemd_boots_a_root_over_http() {
    let server = Server::new();
    let (url, sha256) = served(&server);
    let mut vm = Theirs::DracutSystemd.boot(&format!("root=tmpfs:{url} rd.tmpfs.sha256={sha256}"), None);
    vm.expect("verified");
    is_unpacked(vm);
}

#[test]
fn a_root_on_disk_boots_as_if_we_were_not_there() {
    let disk = Disk::of_a_system("system");
    let mut vm = Theirs::DracutSystemd.boot("root=LABEL=system ro", Some(&disk));
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").contains("/dev/vda / ext4 ro"), "{}", vm.fact("root"));
    assert!(!vm.log().contains("bootjack:"), "nothing was said");
}
