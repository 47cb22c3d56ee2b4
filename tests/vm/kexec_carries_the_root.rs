//! From one kernel into another: the archive travels along, and a Debian with the kernel it was made for logs in.

use crate::lab::{Kernel, Root, kernel_artifact, kexec};
use crate::machine::{ENTER, Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

/// The menu on the cloud kernel, its first entry another kernel with Debian's root; at its login.
fn to_a_login(uefi: bool) -> (Vm, Server) {
    let (server, root) = (Server::new(), Root::debian());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Generic);
    let root = format!("root = {}", root.artifact("root"));
    let menu = format!("version = 1\n{}", kexec("debian", &kernel, &root));
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let options = Options { uefi, memory: 1024, patience: TWO_KERNELS, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..options });
    vm.expect("Entry debian");
    vm.type_keys(ENTER);
    // What starts, how large it is, how long nothing will be seen, where it goes on.
    vm.expect("starting Linux");
    vm.expect("silent for about");
    vm.expect("ttyS0 speaks");
    vm.expect("Linux version");
    vm.expect("demo login:");
    (vm, server)
}

#[test]
fn a_carried_root_boots_on_its_own_kernel() {
    let (mut vm, server) = to_a_login(false);
    vm.type_keys("root\r");
    vm.expect("# ");
    vm.type_keys("findmnt -no FSTYPE /; cat /proc/cmdline; ls /run/bootjack\r");
    vm.expect("tmpfs");
    vm.expect("root=tmpfs:initramfs:/bootjack/root");
    assert_eq!(server.asked().iter().filter(|path| *path == "/root").count(), 1, "it was fetched again");
}

#[test]
fn a_carried_root_boots_under_uefi_too() {
    let (mut vm, _) = to_a_login(true);
    vm.type_keys("root\r");
    vm.expect("# ");
    vm.type_keys("test -d /sys/firmware/efi && echo firmware is $((6 * 7))\r");
    vm.expect("firmware is 42");
}
