//! Debian's dracut with systemd, whose own sysroot.mount stays out of the way; and the same initrd boots a root on disk.

use bootjack::archive::Image;

use crate::foreign::{Disk, Theirs, is_an_image, is_unpacked, is_verified, served, served_image};
use crate::server::Server;

#[test]
fn dracut_with_systemd_boots_a_container_s_root_over_http() {
    let server = Server::new();
    let (url, sha256) = served(&server);
    let words = format!("rd.container.rootfs={url} rd.tmpfs.size=100m rd.tmpfs.sha256={sha256}");
    let mut vm = Theirs::DracutSystemd.boot(&words, None);
    is_verified(&mut vm);
    is_unpacked(vm);
}

#[test]
fn dracut_with_systemd_boots_a_root_from_a_labelled_disk() {
    let disk = Disk::of_images("images");
    let words = "root=tmpfs:LABEL=images rd.tmpfs.imgfile=/images/root.tar.zst rd.tmpfs.size=50%";
    is_unpacked(Theirs::DracutSystemd.boot(words, Some(disk.path())));
}

#[test]
fn dracut_with_systemd_boots_a_root_on_disk_as_if_we_were_not_there() {
    let disk = Disk::of_a_system("system");
    let mut vm = Theirs::DracutSystemd.boot("root=LABEL=system ro", Some(disk.path()));
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").contains("/dev/vda / ext4 ro"), "{}", vm.fact("root"));
    assert!(!vm.log().contains("bootjack:"), "nothing was said");
}

#[test]
fn dracut_with_systemd_boots_an_image_in_place() {
    let server = Server::new();
    let (url, sha256) = served_image(&server, Image::Erofs);
    let words = format!("root=tmpfs:{url} rd.tmpfs.sha256={sha256}");
    is_an_image(Theirs::DracutSystemd.boot(&words, None));
}
