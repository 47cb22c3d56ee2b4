//! A kernel that cannot be started costs nothing: why is on the screen, and the next entry boots.

use crate::lab::{Kernel, Root, artifact_of, catalog, kexec};
use crate::machine::{DOWN, ENTER, ESC, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn refused_kernels_say_why_and_the_next_entry_boots() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    // A web server's page, a kernel of another machine, one whose end is missing, and one with its setup code destroyed:
    // the first three are known for what they are, the last is for the running kernel to refuse.
    let page = artifact_of(&server, "page", b"<html><body>Not found</body></html>".repeat(100));
    let mut arm = vec![0; 1 << 20];
    arm[56..60].copy_from_slice(b"ARM\x64");
    let arm = artifact_of(&server, "arm", arm);
    let whole = std::fs::read(Kernel::Cloud.image()).expect("a kernel");
    let cut = artifact_of(&server, "cut", whole[..whole.len() / 2].to_vec());
    // A kernel that says of itself that it knows no five-level page tables, as this machine uses them (xloadflags).
    let mut other = whole.clone();
    other[0x236] &= !0x60;
    let other = artifact_of(&server, "other", other);
    let entries = [("page", &page), ("arm", &arm), ("cut", &cut), ("other", &other)];
    let kernels: String = entries.iter().map(|(id, kernel)| kexec(id, kernel, "")).collect();
    let menu = format!("{}{kernels}", catalog(&[("good", &root.artifact("root"), "")]));
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    let whys = [
        ("page", "this looks like text"),
        ("arm", "arm64"),
        ("cut", "a kernel cut short"),
        ("other", "ENOEXEC"),
    ];
    for (position, (id, why)) in whys.iter().enumerate() {
        vm.expect("Entry poweroff");
        // Behind the good one and poweroff.
        vm.type_keys("1");
        for _ in 0..position + 2 {
            vm.type_keys(DOWN);
        }
        vm.type_keys(ENTER);
        vm.expect(&format!("what      {id}"));
        vm.expect(why);
        if *id == "other" {
            vm.expect("5-level paging");
        }
        vm.type_keys(ESC);
    }
    vm.expect("Entry good");
    vm.type_keys("1");
    vm.type_keys(ENTER);
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
