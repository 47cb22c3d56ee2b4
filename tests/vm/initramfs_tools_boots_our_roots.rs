//! Debian's initramfs-tools, without `boot=` being ours: over HTTP by its own network.

use crate::foreign::{Disk, Theirs, is_unpacked, served};
use crate::server::Server;

#[test]
fn initramfs_tools_boots_a_root_over_http() {
    let server = Server::new();
    let (url, sha256) = served(&server);
    let mut vm = Theirs::InitramfsTools.boot(&format!("root=tmpfs:{url} rd.tmpfs.sha256={sha256}"), None);
    vm.expect("verified");
    is_unpacked(vm);
}

#[test]
fn initramfs_tools_boots_a_root_on_disk_as_if_we_were_not_there() {
    let disk = Disk::of_a_system("system");
    let mut vm = Theirs::InitramfsTools.boot("root=LABEL=system ro", Some(&disk));
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").contains("/dev/vda / ext4 ro"), "{}", vm.fact("root"));
}
