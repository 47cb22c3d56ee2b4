//! A kernel with its own initrd and no root of ours, as an installer is: it gets what the catalog says, and nothing of
//! ours.

use crate::lab::{Initrd, Kernel, artifact_of, kernel_artifact, kexec};
use crate::machine::{ENTER, Options, TWO_KERNELS, Vm};
use crate::server::Server;

#[test]
fn a_plain_kernel_starts_with_its_initrd_and_its_words() {
    let server = Server::new();
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Cloud);
    let own = std::fs::read(Initrd::new(Kernel::Cloud, &["--drivers", "virtio_net"]).path()).expect("made");
    let initrd = artifact_of(&server, "initrd", own);
    let words = "console=ttyS0 rdinit=/bin/sh answer=\\\"4 2\\\" initrd=x BOOT_IMAGE=y";
    let more = format!("initrd = [{initrd}]\ncmdline = \"{words}\"");
    let menu = format!("version = 1\n{}", kexec("plain", &kernel, &more));
    let (first, words) = server.menu(Kernel::Cloud, &menu);
    let options = Options { patience: TWO_KERNELS, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &first.path(), append: &words, ..options });
    vm.expect("Entry plain");
    vm.type_keys(ENTER);
    vm.expect("Linux version");
    vm.expect("# ");
    vm.type_keys(
        "busybox mount -t proc proc /proc; busybox cat /proc/cmdline; ls /bootjack; echo done $((6*7))\r",
    );
    vm.expect("done 42");
    let log = vm.log();
    let said = log.rsplit("echo done").next().expect("the end").to_owned();
    assert!(said.contains("rdinit=/bin/sh answer=\"4 2\" console=ttyS0\n"), "{said}");
    assert!(said.contains("No such file"), "a plain kernel is handed something: {said}");
}
