//! Where a shell interrupts a boot, what the operator leaves of the root is looked at again; where shells are forbidden
//! there is none, and a failure ends as the line says.

use crate::lab::{Initrd, Kernel, Root};
use crate::machine::{ENTER, Options, Vm};
use crate::server::Server;

#[test]
fn a_root_broken_in_a_shell_is_a_failure_and_the_next_one_boots() {
    let server = Server::new();
    let (_, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    // A program where busybox has one, too, is no reason to go without the others.
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net", "--with", "/bin/ls"]);
    let words = format!("{words} init=/sbin/init break=mount,init");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("before the root is made; leaving this shell goes on");
    vm.expect("# ");
    vm.type_keys("/bin/ls --version | head -n 1; readlink /bin/readlink\r");
    vm.expect("ls (GNU coreutils)");
    vm.expect("/bin/busybox");
    vm.type_keys("exit\r");
    vm.expect("before init: the root is in /sysroot and may be changed; leaving this shell goes on");
    vm.expect("# ");
    vm.type_keys("cat /sysroot/etc/marker\r");
    vm.expect("the root that was packed");
    vm.type_keys("rm /sysroot/sbin/init; exit\r");
    vm.expect("/sbin/init: not there");
    vm.expect("What now?");
    vm.type_keys(ENTER);
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
    assert!(!vm.log().contains("Kernel panic"));
}

#[test]
fn a_root_changed_in_a_shell_boots() {
    let server = Server::new();
    let (initrd, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    let words = format!("{words} rd.break");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("leaving this shell goes on");
    vm.expect("# ");
    vm.type_keys("echo chang''ed >/sysroot/etc/marker; exit\r");
    vm.expect("FACT marker changed");
    vm.wait_exit();
}

/// A root that is not there, on a machine with these words and nobody before it.
fn fails(words: &str) -> (Vm, Initrd) {
    let server = Server::new();
    let root = server.url("gone");
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let words = format!("root=tmpfs:{root} bootjack.retry_for=0s {words}");
    let vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    (vm, initrd)
}

#[test]
fn panic_reboots_after_its_time_and_no_shell_was_had() {
    let (mut vm, _initrd) = fails("panic=5 bootjack.shell rd.break rd.emergency=poweroff");
    vm.expect("404");
    vm.expect("Rebooting in 5");
    assert!(!vm.screen().contains("s shell"), "{}", vm.screen());
    vm.wait_exit();
    let log = vm.log();
    assert!(log.contains("reboot: Restarting system"));
    assert!(!log.contains("bootjack: shell on"), "there was a shell");
}

#[test]
fn a_failure_without_a_shell_ends_as_rd_emergency_says() {
    let (mut vm, _initrd) = fails("rd.shell=0 rd.emergency=poweroff");
    vm.expect("404");
    vm.expect("Powering off in");
    assert!(!vm.screen().contains("s shell"), "{}", vm.screen());
    vm.wait_exit();
    assert!(vm.log().contains("reboot: Power down"));
}
