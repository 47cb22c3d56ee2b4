//! What the initrd took is free in the new system: 200 MiB in it change MemAvailable by less than 16 MiB.

use std::io::Read;

use crate::lab::{Initrd, Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::Server;

fn available(more: &[&str]) -> u64 {
    let server = Server::new();
    let (_, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    let initrd = Initrd::new(Kernel::Cloud, &[&["--drivers", "net"], more].concat());
    // With huge pages the kernel sets 5 % of what is free at that moment aside (set_recommended_min_free_kbytes), and
    // how much that is depends on the initrd.
    let words = format!("{words} transparent_hugepage=never");
    let options = Options { initrd: &initrd.path(), append: &words, memory: 1024, ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("FACT end");
    vm.wait_exit();
    vm.fact("available").split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("KiB")
}

#[test]
fn the_memory_of_the_initramfs_is_given_back() {
    let ballast = tempfile::NamedTempFile::new().unwrap();
    let mut random = std::fs::File::open("/dev/urandom").unwrap().take(200 << 20);
    std::io::copy(&mut random, &mut ballast.as_file()).unwrap();
    let include = format!("{}=/ballast", ballast.path().display());
    let (without, with) = (available(&[]), available(&["--include", &include]));
    eprintln!("{without} KiB available without, {with} KiB with it");
    assert!(
        without.abs_diff(with) < 16 << 10,
        "{without} KiB without, {with} KiB with 200 MiB in the initrd"
    );
}
