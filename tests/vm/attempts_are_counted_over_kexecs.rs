//! Second stages that fail and lead to each other come to an end: attempts are counted over every kexec, as the command
//! line of the first kernel said what follows a failure, and after three the machine is rebooted.

use crate::lab::{Kernel, Root, kernel_artifact, kexec};
use crate::machine::{Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

#[test]
fn kexecs_that_lead_to_each_other_end_in_a_reboot() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Cloud);
    let fails = |id: &str, init: &str| {
        let more = format!("root = {}\ncarry = \"yes\"\ninit = \"{init}\"", root.artifact("root"));
        kexec(id, &kernel, &more)
    };
    let menu = format!("version = 1\n{}{}", fails("one", "/nowhere"), fails("other", "/elsewhere"));
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let words = format!("{words} bootjack.entry=one bootjack.retry_for=5s bootjack.on_failure=other");
    let options = Options { patience: TWO_KERNELS, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..options });
    vm.expect("starting Linux");
    vm.expect("/nowhere: ");
    vm.expect("Booting other in");
    for attempt in ["attempt 2 of 3", "attempt 3 of 3"] {
        vm.expect("starting Linux");
        vm.expect(attempt);
        vm.expect("/elsewhere: ");
    }
    vm.expect("Rebooting in");
    vm.wait_exit();
    let log = vm.log();
    assert!(log.contains("reboot: Restarting system"));
    assert_eq!(log.matches("Linux version").count(), 4, "the first kernel, and one for each attempt");
}
