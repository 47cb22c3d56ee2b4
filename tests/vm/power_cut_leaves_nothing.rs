//! A power cut at any time leaves nothing behind: the machine comes up again and boots, whatever was half done.

use crate::lab::{Kernel, Root, kernel_artifact, kexec};
use crate::machine::{Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_machine_that_is_cut_off_in_every_phase_boots_to_the_end() {
    let (server, root) = (Server::new(), Root::busybox());
    let (good, half) = (root.bytes.clone(), root.bytes.len() / 2);
    server.put("root", &[Answer::Hang(good.clone(), half), Answer::Good(good)]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Cloud);
    let more = format!("root = {}\ncarry = \"yes\"", root.artifact("root"));
    let menu = format!("version = 1\n{}", kexec("second", &kernel, &more)).into_bytes();
    let half = menu.len() / 2;
    let (initrd, words) = server.menu(Kernel::Cloud, "");
    let menu = std::sync::Arc::new(menu);
    server.put("catalog.toml", &[Answer::Hang(menu.clone(), half), Answer::Good(menu)]);
    let words = format!("{words} bootjack.entry=second");
    let options = Options { reboots: true, patience: TWO_KERNELS, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..options });
    server.wait_for("/catalog.toml");
    vm.monitor("system_reset");
    server.wait_for("/root");
    vm.monitor("system_reset");
    // The links are down, and the next kernel is about to begin.
    vm.expect("starting Linux");
    vm.monitor("system_reset");
    vm.expect("starting Linux");
    vm.expect("FACT marker the root that was packed");
    vm.expect("FACT end");
    vm.wait_exit();
    let asked = server.asked();
    let count = |name| asked.iter().filter(|path| *path == name).count();
    assert_eq!((count("/catalog.toml"), count("/root")), (4, 3), "{asked:?}");
}
