//! Without a person, a second stage that fails goes the way that was declared in the first: it is tried again where that
//! can help, and then the machine is switched off, rebooted, or boots the entry that is there for it.

use crate::lab::{Initrd, Kernel, Root, catalog, kernel_artifact, kexec};
use crate::machine::{Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

/// An entry `second` that starts another kernel, with these further lines.
fn second(server: &Server, root: &Root, more: &str) -> String {
    let kernel = kernel_artifact(server, "vmlinuz", Kernel::Cloud);
    kexec("second", &kernel, &format!("root = {}\n{more}", root.artifact("root")))
}

/// Boots `second` of this catalog with nobody there, up to the jump.
fn boot(server: &Server, catalog: &str) -> (Vm, Initrd) {
    let (initrd, words) = server.menu(Kernel::Cloud, catalog);
    let words = format!("{words} bootjack.entry=second");
    let options = Options { patience: TWO_KERNELS / 2, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..options });
    vm.expect("starting Linux");
    (vm, initrd)
}

#[test]
fn what_cannot_be_fetched_again_is_tried_again_and_then_the_machine_is_switched_off() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Status(404)]);
    let policy = "[menu]\nretry_for = \"5s\"\non_failure = \"poweroff\"";
    let entry = second(&server, &root, "carry = \"no\"");
    let (mut vm, _initrd) = boot(&server, &format!("version = 1\n{policy}\n{entry}"));
    vm.expect("404");
    vm.expect("Trying again in");
    vm.expect("Powering off in");
    assert!(!vm.screen().contains("m menu"), "there is no menu to go back to:\n{}", vm.screen());
    vm.wait_exit();
    assert!(vm.log().contains("reboot: Power down"));
    assert!(server.asked().iter().filter(|path| *path == "/root").count() > 1, "it was tried again");
}

#[test]
fn a_carried_root_without_its_init_is_used_up_and_the_machine_reboots() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let entry = second(&server, &root, "carry = \"yes\"\ninit = \"/nowhere\"");
    let policy = "[menu]\nretry_for = \"5s\"\non_failure = \"reboot\"";
    let (mut vm, _initrd) = boot(&server, &format!("version = 1\n{policy}\n{entry}"));
    vm.expect("/nowhere: ");
    vm.expect("what was carried can be read once");
    vm.expect("Rebooting in");
    assert!(!vm.screen().contains("retry"), "it cannot be read again:\n{}", vm.screen());
    vm.wait_exit();
    assert!(!vm.log().contains("Trying again in"));
    assert!(vm.log().contains("reboot: Restarting system"));
}

#[test]
fn the_entry_that_is_there_for_failures_is_booted_by_the_second_stage() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let entry = second(&server, &root, "carry = \"yes\"\ninit = \"/nowhere\"");
    let tell = "init = \"/bin/sh\"\ninit_args = [\"-c\", \"cat /run/bootjack/report.json; echo FACT end; poweroff -f\"]";
    let fallback = catalog(&[("fallback", &root.artifact("root"), tell)]);
    let policy = "[menu]\nretry_for = \"5s\"\non_failure = \"fallback\"";
    let fallback = fallback.replacen("version = 1", &format!("version = 1\n{policy}"), 1);
    let (mut vm, _initrd) = boot(&server, &format!("{fallback}{entry}"));
    vm.expect("Booting fallback in");
    vm.expect("FACT end");
    vm.wait_exit();
    let log = vm.log();
    let report = &log[log.rfind("\"attempt\"").expect("a report")..];
    assert!(report.replace(' ', "").starts_with("\"attempt\":2,"), "{report}");
    assert!(log.contains("\"fallback\""), "the entry that was booted in the end");
    assert_eq!(server.asked().iter().filter(|path| *path == "/catalog.toml").count(), 2, "by each stage");
}
