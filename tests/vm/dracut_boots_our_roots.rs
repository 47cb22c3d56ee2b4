//! Debian's dracut with its own init: over HTTP and from NFS with the network implied, from a labelled disk, from a
//! partition with a name, and an end that says why when the digest is wrong.

use bootjack::archive::Image;
use bootjack::verify::Sha256;

use crate::disks::Disks;
use crate::foreign::{Disk, Theirs, is_an_image, is_unpacked, is_verified, served, served_image};
use crate::lab::Root;
use crate::nfs::Nfs;
use crate::server::Server;

#[test]
fn dracut_boots_a_root_over_http() {
    let server = Server::new();
    let (url, sha256) = served(&server);
    let words = format!("root=tmpfs:{url} rd.tmpfs.sha256={sha256} rd.tmpfs.size=100m");
    let mut vm = Theirs::Dracut.boot(&words, None);
    is_verified(&mut vm);
    let vm = is_unpacked(vm);
    assert!(vm.fact("root").contains("size=102400k"), "{}", vm.fact("root"));
}

#[test]
fn dracut_boots_a_root_from_a_labelled_disk() {
    let disk = Disk::of_images("my images");
    let words = r"root=tmpfs:LABEL=my\x20images rd.tmpfs.imgfile=images/root.tar.zst";
    is_unpacked(Theirs::Dracut.boot(words, Some(disk.path())));
}

#[test]
fn dracut_boots_a_root_from_nfs() {
    let nfs = Nfs::on_an_own_network();
    let root = Root::busybox();
    nfs.put("images/root.tar.zst", &root.bytes);
    let digest = root.sha256;
    let words = format!(
        "root=tmpfs:NFS=nfs:10.0.2.2:/export rd.tmpfs.imgfile=images/root.tar.zst rd.tmpfs.sha256={digest}"
    );
    let mut vm = Theirs::Dracut.boot(&words, None);
    is_verified(&mut vm);
    let vm = is_unpacked(vm);
    assert!(!vm.log().contains("FACT mounted /run/bootjack/mnt"), "the export does not come along");
}

/// The disk has no label; that it was found and read is told by what is said of the digest.
#[test]
fn dracut_finds_a_partition_by_its_name_and_ends_with_the_reason_when_the_digest_is_wrong() {
    let mut disks = Disks::new();
    let inside = disks.file_system("inside", "ext4", "");
    let disk = disks.partitioned("disk", &inside, "root images", "0a5b1c2d-3e4f-4a6b-8c7d-9e0f1a2b3c4d");
    let words = r"root=tmpfs:PARTLABEL=root\x20images rd.tmpfs.imgfile=r.tar.zst";
    let wrong = "0".repeat(64);
    let mut vm = Theirs::Dracut.boot(&format!("{words} rd.tmpfs.sha256={wrong} rd.shell=0"), Some(&disk));
    vm.expect("bootjack: verify: root=:");
    vm.expect(&Sha256::of(&Root::busybox().bytes).to_string());
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
