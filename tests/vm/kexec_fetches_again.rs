//! What is not carried is fetched again: the second stage finds its network card with the drivers of `modules`.

use crate::lab::{Kernel, Root, artifact_of, kernel_artifact, kexec};
use crate::machine::{ENTER, Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};
use std::process::Command;

/// A cpio of some of a kernel's modules, made by the real binary.
pub fn modules(kernel: Kernel, drivers: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let out = dir.path().join("modules");
    let made = Command::new(crate::lab::bootjack())
        .args(["initrd", "--modules-only", "--drivers", drivers, "--modules"])
        .arg(kernel.modules())
        .arg("-o")
        .arg(&out)
        .output()
        .expect("bootjack runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(out).expect("made")
}

#[test]
fn an_e1000_fetches_the_root_again_with_the_drivers_of_modules() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Generic);
    let drivers = artifact_of(&server, "modules", modules(Kernel::Generic, "e1000,af_packet"));
    let more = format!("root = {}\ncarry = \"no\"\nmodules = {drivers}\n", root.artifact("root"));
    let menu = format!("version = 1\n{}", kexec("again", &kernel, &more));
    let url = server.text("catalog.toml", &menu);
    let initrd = crate::lab::Initrd::new(Kernel::Generic, &["--drivers", "e1000,af_packet"]);
    let mut vm = Vm::boot(&Options {
        kernel: Kernel::Generic,
        initrd: &initrd.path(),
        append: &format!("bootjack.catalog={url} BOOTIF=01-52-54-00-12-34-56"),
        net: &["-netdev", "user,id=n0", "-device", "e1000,netdev=n0,mac=52:54:00:12:34:56"],
        patience: TWO_KERNELS,
        ..Options::default()
    });
    vm.expect("Entry again");
    vm.type_keys(ENTER);
    vm.expect("starting Linux");
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(server.asked().iter().filter(|path| *path == "/root").count(), 1, "by the second stage alone");
    let cmdline = vm.fact("cmdline");
    assert!(cmdline.contains("root=tmpfs:http://10.0.2.2:"), "{cmdline}");
    assert!(cmdline.contains("BOOTIF=01-52-54-00-12-34-56"), "{cmdline}");
    assert!(!cmdline.contains("bootjack."), "our words leave: {cmdline}");
    // A root without modules for its kernel gets those that came for it.
    assert!(vm.fact("modules").contains("amd64"));
}
