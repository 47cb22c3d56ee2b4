//! An entry's own initrd gets the same words: one of initramfs-tools that has bootjack in it takes over the carried
//! archive, and unpacks it as its own root.

use crate::lab::{Kernel, Root, artifact_of, kernel_artifact, kexec, made};
use crate::machine::{ENTER, Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

#[test]
fn an_initrd_of_initramfs_tools_takes_over_the_carried_archive() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Generic);
    let initrd = std::fs::read(made("lab/initramfs-tools")).expect("made");
    let initrd = artifact_of(&server, "initrd", initrd).replace(" }", ", second_stage = true }");
    let more = format!(
        "root = {}\ninitrd = [{initrd}]\ncarry = \"yes\"\ncmdline = \"boot=bootjack console=ttyS0\"",
        root.artifact("root")
    );
    let menu = format!("version = 1\n{}", kexec("theirs", &kernel, &more));
    let (first, words) = server.menu(Kernel::Cloud, &menu);
    let options = Options { memory: 768, patience: TWO_KERNELS, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &first.path(), append: &words, ..options });
    vm.expect("Entry theirs");
    vm.type_keys(ENTER);
    vm.expect("starting Linux");
    vm.expect("FACT marker the root that was packed");
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("cmdline").contains("root=tmpfs:initramfs:/bootjack/root"));
    assert!(vm.fact("root").contains(" tmpfs "));
}
