//! Debian's dracut with its own init: over HTTP with the network implied, from a labelled disk, and an end that says why
//! when the digest is wrong.

use bootjack::archive::Image;

use crate::foreign::{Disk, Theirs, is_an_image, is_unpacked, served, served_image};
use crate::server::Server;

#[test]
fn dracut_boots_a_root_over_http() {
    let server = Server::new();
    let (url, sha256) = served(&server);
    let words = format!("root=tmpfs:{url} rd.tmpfs.sha256={sha256} rd.tmpfs.size=100m");
    let mut vm = Theirs::Dracut.boot(&words, None);
    vm.expect("verified");
    let vm = is_unpacked(vm);
    assert!(vm.fact("root").contains("size=102400k"), "{}", vm.fact("root"));
}

#[test]
fn dracut_boots_a_root_from_a_labelled_disk() {
    let disk = Disk::of_images("my images");
    let words = r"root=tmpfs:LABEL=my\x20images rd.tmpfs.imgfile=images/root.tar.zst";
    is_unpacked(Theirs::Dracut.boot(words, Some(&disk)));
}

#[test]
fn dracut_ends_with_the_reason_when_the_digest_is_wrong() {
    let server = Server::new();
    let (url, _) = served(&server);
    let wrong = "0".repeat(64);
    let mut vm = Theirs::Dracut.boot(&format!("root=tmpfs:{url} rd.tmpfs.sha256={wrong} rd.shell=0"), None);
    vm.expect("bootjack: verify: root=:");
    vm.expect("bootjack: the root could not be unpacked, as said above");
    vm.wait_exit();
    assert!(!vm.log().contains("FACT"), "nothing of it ran");
}

#[test]
fn dracut_boots_an_image_in_place() {
    let server = Server::new();
    let (url, sha256) = served_image(&server, Image::Squashfs);
    is_an_image(Theirs::Dracut.boot(&format!("root=tmpfs:{url} rd.tmpfs.sha256={sha256}"), None));
}
