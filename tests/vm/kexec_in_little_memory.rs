//! Memory is arithmetic: a machine without room for archive and root at once boots a carried root all the same, because
//! the archive goes as the tree comes; where it cannot be carried that is said with numbers, and it is fetched again, or
//! refused.

use crate::lab::{Kernel, Root, kernel_artifact, kexec};
use crate::machine::{ENTER, Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

/// The menu of a machine with 512 MiB, its first entry with this root.
fn machine(root: &Root, more: &str) -> (Vm, Server) {
    let server = Server::new();
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Cloud);
    let more = format!("root = {}\nroot_size = \"95%\"\n{more}", root.artifact("root"));
    let menu = format!("version = 1\n{}", kexec("tight", &kernel, &more));
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let options = Options { memory: 512, patience: TWO_KERNELS, size: (40, 120), ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..options });
    vm.expect("Entry tight");
    (vm, server)
}

#[test]
fn a_root_that_does_not_fit_beside_its_archive_is_carried_and_boots() {
    // 71 + 342 + 32 MiB are more than the 406 MiB that the second stage finds.
    let (mut vm, server) = machine(&Root::with_ballast(70, 270), "carry = \"yes\"");
    vm.expect("carried   kernel");
    vm.type_keys(ENTER);
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(server.asked().iter().filter(|path| *path == "/root").count(), 1, "it was carried");
}

#[test]
fn what_cannot_be_carried_is_fetched_again_and_the_numbers_are_on_the_screen() {
    let (mut vm, server) = machine(&Root::with_ballast(150, 50), "carry = \"auto\"");
    vm.expect("no, fetched again: kernel 64 MiB");
    vm.expect("archive 152 MiB");
    vm.type_keys(ENTER);
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("cmdline").contains("root=tmpfs:http://10.0.2.2:"));
    assert_eq!(server.asked().iter().filter(|path| *path == "/root").count(), 1, "by the second stage alone");
}

#[test]
fn what_must_be_carried_and_cannot_is_refused_with_the_numbers() {
    let (mut vm, server) = machine(&Root::with_ballast(150, 50), "carry = \"yes\"");
    vm.type_keys(ENTER);
    vm.expect("phase     plan");
    vm.expect("carry = \"yes\": kernel 64 MiB");
    vm.expect("archive 152 MiB");
    assert!(!server.asked().contains(&"/root".to_owned()), "nothing was fetched");
    assert!(!server.asked().contains(&"/vmlinuz".to_owned()), "nothing was fetched");
}
