//! The second stage has the keys of the first: a catalog that it asks for again has to be signed there, too.

use crate::lab::{Initrd, Kernel, Root, catalog, kernel_artifact, kexec};
use crate::machine::{Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};
use crate::signer::Signer;

#[test]
fn a_second_stage_takes_no_catalog_that_nobody_signed() {
    let (server, root, ours) = (Server::new(), Root::busybox(), Signer::new());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Cloud);
    let fails = format!("root = {}\ncarry = \"yes\"\ninit = \"/nowhere\"", root.artifact("root"));
    let policy = "version = 1\n[menu]\nretry_for = \"5s\"\non_failure = \"fallback\"";
    let fallback = catalog(&[("fallback", &root.artifact("root"), "")]).replacen("version = 1", policy, 1);
    let good = format!("{fallback}{}", kexec("second", &kernel, &fails));
    // Served from the second time on: another title is enough.
    let evil = good.replace("Entry fallback", "Entry evil");
    let body = |text: &str| Answer::Good(text.as_bytes().to_vec().into());
    let url = server.put("catalog.toml", &[body(&good), body(&evil)]);
    server.text("catalog.toml.minisig", &ours.sign(&good));
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net", "--key", &ours.public()]);
    let mut vm = Vm::boot(&Options {
        initrd: &initrd.path(),
        append: &format!("bootjack.catalog={url} bootjack.entry=second"),
        patience: TWO_KERNELS,
        ..Options::default()
    });
    vm.expect("starting Linux");
    vm.expect("Booting fallback in");
    vm.expect("wrongly signed");
    vm.expect(&ours.id());
    assert!(!vm.log().contains("FACT"), "it booted");
}
