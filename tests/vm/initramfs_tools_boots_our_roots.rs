//! Debian's initramfs-tools: ramroot's words over HTTP by its own network, a labelled disk without `boot=`, and a root on
//! disk.

use bootjack::archive::Image;

use crate::foreign::{Disk, Theirs, is_an_image, is_unpacked, is_verified, served, served_image};
use crate::server::Server;

#[test]
fn initramfs_tools_boots_ramroot_s_root_over_http() {
    let server = Server::new();
    let (url, sha256) = served(&server);
    let words = format!("boot=ramdisk ramroot={url} rd.tmpfs.sha256={sha256}");
    let mut vm = Theirs::InitramfsTools.boot(&words, None);
    is_verified(&mut vm);
    let vm = is_unpacked(vm);
    assert_eq!(vm.fact("modules"), vm.fact("kernel"), "those of the initrd were copied");
}

#[test]
fn initramfs_tools_boots_a_root_from_a_labelled_disk() {
    let disk = Disk::of_images("images");
    let words = "root=tmpfs:LABEL=images rd.tmpfs.imgfile=images/root.tar.zst rd.tmpfs.size=100m";
    let vm = is_unpacked(Theirs::InitramfsTools.boot(words, Some(disk.path())));
    assert!(vm.fact("root").contains("size=102400k"), "{}", vm.fact("root"));
    assert_eq!(vm.fact("modules"), "", "only ramroot's users expect them");
}

#[test]
fn initramfs_tools_boots_a_root_on_disk_as_if_we_were_not_there() {
    let disk = Disk::of_a_system("system");
    let mut vm = Theirs::InitramfsTools.boot("root=LABEL=system ro", Some(disk.path()));
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").contains("/dev/vda / ext4 ro"), "{}", vm.fact("root"));
    assert!(!vm.log().contains("bootjack:"), "nothing was said");
}

#[test]
fn initramfs_tools_boots_an_image_in_place() {
    let server = Server::new();
    let (url, sha256) = served_image(&server, Image::Squashfs);
    let words = format!("root=tmpfs:{url} rd.tmpfs.sha256={sha256}");
    is_an_image(Theirs::InitramfsTools.boot(&words, None));
}
