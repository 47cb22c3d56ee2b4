//! The kernel kills the worker in mid-unpack: the machine lives, says which signal it was, and the menu comes back.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, ESC, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_killed_worker_is_reported_and_replaced() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Hang(root.bytes.clone(), root.bytes.len() / 2)]);
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("slow", &root.artifact("root"), "")]));
    let words = format!("{words} sysrq_always_enabled");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry slow");
    vm.type_keys(ENTER);
    vm.expect("root");
    server.wait_for("/root");
    // A break and an f on the console: the kernel's OOM killer runs by hand (admin-guide/sysrq).
    vm.monitor("chardev-send-break serial");
    vm.type_keys("f");
    vm.expect("SIGKILL");
    vm.type_keys(ESC);
    vm.expect("Entry slow");
}
