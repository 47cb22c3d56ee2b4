//! A worker that crashes in mid-unpack, as a decoder or a panicking thread would make it (a panic aborts the process),
//! costs that boot: signal and circumstance are shown, the root is gone, a new worker offers the menu.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

fn crash(signal: &str) {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Hang(root.bytes.clone(), root.bytes.len() / 2)]);
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("slow", &root.artifact("root"), "")]));
    let words = format!("{words} bootjack.shell");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("# ");
    // In a session of its own, which outlives the shell, something waits for the first file of the half-made root. The
    // worker was started as /proc/self/exe. Its runtime takes a first SIGSEGV for a stray one; the second counts.
    let wait = "until [ -e /sysroot/bin/busybox ]; do :; done";
    let kill = format!("w=$(pidof exe); kill -{signal} $w; while kill -{signal} $w; do :; done");
    vm.type_keys(&format!("setsid sh -c '{wait}; {kill}' >/dev/null 2>&1 &\r"));
    vm.expect("# ");
    vm.type_keys("exit\r");
    vm.expect("Entry slow");
    vm.type_keys(ENTER);
    vm.expect(&format!("killed by SIG{signal} while loading slow"));
    vm.expect("the half-made root was unmounted");
    vm.expect("p power");
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("grep -c sysroot /proc/mounts; ls -A /sysroot | wc -l\r");
    vm.expect("\n0");
    vm.expect("\n0");
}

#[test]
fn a_segmentation_fault_is_reported() {
    crash("SEGV");
}

#[test]
fn an_abort_is_reported() {
    crash("ABRT");
}

/// As the kernel does it when memory runs out.
#[test]
fn a_kill_is_reported() {
    crash("KILL");
}
