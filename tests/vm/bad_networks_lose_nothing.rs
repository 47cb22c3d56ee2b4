//! What came over a bad network and was right is kept: a server that is killed in the middle, a mirror that takes over, a
//! bad chunk that another one has right.

use std::path::Path;

use crate::lab::{Initrd, Kernel, Packed};
use crate::machine::{Options, Vm};
use crate::mirror::Mirror;

/// So that a transfer takes some seconds, and slow enough that it is not over before it can be disturbed.
const RATE: u64 = 3 << 20;
const ROOT: u64 = 12 << 20;

/// Waits until the root has told who it is and has switched the machine off.
fn boots(vm: &mut Vm) {
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}

/// A request that was answered with a part, as the server says: the bytes of it.
fn part_of(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains(" 206 "))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_server_that_is_killed_in_the_middle_goes_on_where_it_was() {
    let root = Packed::with_ballast(ROOT);
    let mut mirror = Mirror::of(root.dir(), RATE);
    let words = format!("root=tmpfs:{} rd.tmpfs.sha256={}", mirror.url("root.tar.zst"), root.sha256);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    mirror.wait_for(ROOT / 3);
    mirror.kill();
    // Of the reason only a part may stand in a line.
    vm.expect("try 1 failed");
    mirror.start();
    boots(&mut vm);
    let part = part_of(&mirror.log()).unwrap_or_else(|| panic!("no part was asked for: {}", mirror.log()));
    assert!(part < root.size * 3 / 4, "{part} bytes of {} came again", root.size);
    assert!(mirror.carried() < root.size * 5 / 4, "{} bytes of {}", mirror.carried(), root.size);
}

#[test]
fn several_connections_go_on_after_a_server_that_was_killed() {
    let root = Packed::with_ballast(ROOT);
    let mut mirror = Mirror::of(root.dir(), RATE);
    let words = format!(
        "root=tmpfs:{} rd.tmpfs.chunks={} rd.tmpfs.connections=3",
        mirror.url("root.tar.zst"),
        root.chunks
    );
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    mirror.wait_for(ROOT / 3);
    mirror.kill();
    // All of them.
    vm.expect("try 3 failed");
    mirror.start();
    boots(&mut vm);
    let parts = mirror.log().lines().filter(|line| line.contains(" 206 ")).count();
    assert!(parts > 3, "{}", mirror.log());
    // At most what was under way over three connections comes again.
    assert!(mirror.carried() < root.size * 3 / 2, "{} bytes of {}", mirror.carried(), root.size);
}

#[test]
fn another_mirror_takes_over_in_the_middle() {
    let root = Packed::with_ballast(ROOT);
    let (mut first, second) = (Mirror::of(root.dir(), RATE), Mirror::of(root.dir(), 64 << 20));
    let (a, b) = (first.url("root.tar.zst"), second.url("root.tar.zst"));
    let words = format!("root=tmpfs:{a} root=tmpfs:{b} rd.tmpfs.sha256={}", root.sha256);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    first.wait_for(ROOT / 3);
    first.kill();
    boots(&mut vm);
    let part = part_of(&second.log()).unwrap_or_else(|| panic!("no part was asked for: {}", second.log()));
    assert!(part < root.size * 3 / 4, "{part} bytes of {} came again", root.size);
}

#[test]
fn a_bad_chunk_comes_from_a_mirror_that_has_it_right() {
    let root = Packed::with_ballast(ROOT);
    let bad = tempfile::tempdir().expect("a temporary directory");
    let mut bytes = std::fs::read(root.dir().join("root.tar.zst")).expect("packed");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(bad.path().join("root.tar.zst"), bytes).expect("writing");
    let list = Path::new("root.tar.zst.chunks");
    std::fs::copy(root.dir().join(list), bad.path().join(list)).expect("copying");
    let (first, second) = (Mirror::of(bad.path(), 64 << 20), Mirror::of(root.dir(), 64 << 20));
    // Nothing but the chunks vouches for it.
    let (a, b) = (first.url("root.tar.zst"), second.url("root.tar.zst"));
    let words = format!("root=tmpfs:{a} root=tmpfs:{b} rd.tmpfs.chunks={}", root.chunks);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    boots(&mut vm);
    let part = part_of(&second.log()).unwrap_or_else(|| panic!("no part was asked for: {}", second.log()));
    let rest = root.size - middle as u64;
    assert!(part > rest && part < rest + (2 << 20), "{part} bytes, {rest} come after the bad one");
    assert!(!vm.log().contains("UNVERIFIED"), "{}", vm.log());
}
