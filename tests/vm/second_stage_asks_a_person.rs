//! A person who chose an entry is asked when its second stage fails, on the console they used: retry, shell or reboot,
//! and no menu, as there is none to go back to. Once the server is back, retry is all it takes.

use crate::lab::{Kernel, Root, kernel_artifact, kexec};
use crate::machine::{ENTER, Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

#[test]
fn a_person_is_asked_and_retry_works_when_the_server_is_back() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Status(503), Answer::Status(404), Answer::Good(root.bytes.clone())]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Cloud);
    let more = format!("root = {}\ncarry = \"no\"", root.artifact("root"));
    let menu = format!("version = 1\n[menu]\nretry_for = \"5s\"\n{}", kexec("again", &kernel, &more));
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    // The kernel's own console is another one, until a person uses this.
    let words = format!("{words} console=tty0");
    let options = Options { patience: TWO_KERNELS / 2, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..options });
    vm.expect("Entry again");
    vm.type_keys(ENTER);
    vm.expect("starting Linux");
    vm.expect("ttyS0 speak");
    vm.expect("404");
    vm.expect("p power");
    let screen = vm.screen();
    for key in ["retry", "s shell", "b reboot"] {
        assert!(screen.contains(key), "{key}:\n{screen}");
    }
    assert!(!screen.contains("m menu"), "{screen}");
    assert!(screen.contains("What now?"), "a person is waited for:\n{screen}");
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("cat /sys/class/tty/console/active; exit\r");
    vm.expect("tty0 ttyS0\n");
    vm.expect("p power");
    vm.type_keys(ENTER);
    // Only the kernel's own console hears the init.
    vm.expect("FACT end");
    vm.wait_exit();
}
