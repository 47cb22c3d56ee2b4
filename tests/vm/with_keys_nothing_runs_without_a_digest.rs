//! With a key in the initrd nothing is started that has no digest, whoever asks for it: neither the kernel command line
//! nor a catalog, and no directory of the host.

use crate::lab::{Initrd, Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};
use crate::signer::Signer;

#[test]
fn a_root_of_the_command_line_boots_with_its_digest_alone() {
    let (server, root, ours) = (Server::new(), Root::busybox(), Signer::new());
    let url = server.put("root", &[Answer::Good(root.bytes.clone())]);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net", "--key", &ours.public()]);
    let boot = |append: &str| Vm::boot(&Options { initrd: &initrd.path(), append, ..Options::default() });
    let held = "bootjack.retry_for=0s bootjack.on_failure=hold";
    let mut vm = boot(&format!("root=tmpfs:{url} {held}"));
    vm.expect("nothing vouches for: root");
    vm.expect("rd.tmpfs.sha256=");
    drop(vm);
    assert_eq!(server.asked(), Vec::<String>::new(), "nothing was fetched");
    let mut vm = boot(&format!("rootfs=share {held}"));
    vm.expect("virtiofs:share, which the host shares");
    drop(vm);
    let mut vm = boot(&format!("root=tmpfs:{url} rd.tmpfs.sha256={}", root.sha256));
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
