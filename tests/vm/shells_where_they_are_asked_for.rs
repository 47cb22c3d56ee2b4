//! Where a shell interrupts a boot, what the operator leaves of the root is looked at again; where shells are forbidden
//! there is none, and a failure ends as the line says.

use crate::lab::{Initrd, Kernel, Root, job, menu_of};
use crate::machine::{ENTER, ESC, Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

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

/// What a shell of ours says first.
const SHELL: &str = "bootjack: shell on";

#[test]
fn rd_shell_0_gives_no_shell_by_any_way() {
    let server = Server::new();
    let root = Root::busybox();
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let work = job("work", &root.artifact("root"), "exit 3", "on_failure = \"hold\"");
    let shell = "[[entry]]\nid = \"shell\"\ntitle = \"Entry shell\"\nboot = \"shell\"\n";
    let text = menu_of("", &format!("{shell}{work}"), &root.artifact("gone"));
    let (initrd, words) = server.menu(Kernel::Cloud, &text);
    // Before everything, before the menu, before the root and before init.
    let words = format!("{words} rd.break=cmdline bootjack.shell break=mount,init rd.shell=0");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry shell");
    let without = |vm: &mut Vm, what: &str| {
        let screen = vm.screen();
        assert!(!screen.contains("s shell"), "{what} offers one:\n{screen}");
        // Typed all the same. What is typed next is looked for, so that this was taken in before.
        vm.type_keys("s");
    };
    without(&mut vm, "the menu");
    vm.type_keys("!");
    vm.expect("rd.shell=0 forbids every shell");
    vm.type_keys(ESC);
    vm.expect("Entry shell");
    vm.type_keys("n");
    vm.expect("virtio");
    without(&mut vm, "the network's screen");
    vm.type_keys(ESC);
    vm.expect("Entry shell");
    vm.type_keys("1\r");
    vm.expect("shells are forbidden");
    vm.expect("What now?");
    without(&mut vm, "the failure of a shell");
    vm.type_keys("m");
    vm.expect("Entry shell");
    vm.type_keys("2\r");
    vm.expect("exit status 3");
    vm.expect("What now?");
    without(&mut vm, "a failed job");
    vm.type_keys("m");
    vm.expect("Entry shell");
    vm.type_keys("3\r");
    vm.expect("404");
    vm.expect("What now?");
    without(&mut vm, "a failed root");
    vm.type_keys("bb");
    vm.wait_exit();
    assert!(!vm.log().contains(SHELL), "there was a shell");
}

/// What process 1 says on the kernel's console of a worker's death.
const DIED: &str = "] bootjack: worker: ";

/// Kills every process but the first one, five times, each as soon as it shows something: by a break on the line and the
/// kernel's own key (Documentation/admin-guide/sysrq.rst).
fn workers_die(words: &str) -> (Vm, Initrd) {
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let words = format!("sysrq_always_enabled ip=off {words}");
    let options =
        Options { initrd: &initrd.path(), append: &words, patience: TWO_KERNELS, ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("No catalog");
    for death in 1..=5 {
        // The terminal's own answers travel on the same line: one of them may be taken for the key.
        while vm.log().matches("Kill All Tasks").count() < death {
            vm.monitor("chardev-send-break serial");
            std::thread::sleep(std::time::Duration::from_millis(300));
            vm.type_keys("i");
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        if death < 5 {
            vm.expect_times(DIED, death, "Failed");
        }
    }
    (vm, initrd)
}

#[test]
fn workers_that_die_at_once_lead_to_a_shell() {
    let (mut vm, _initrd) = workers_die("quiet");
    vm.expect("Press Enter within a minute for a shell");
    vm.type_keys("\r");
    vm.expect("# ");
    vm.type_keys("echo here: $PPID\r");
    vm.expect("here: ");
}

#[test]
fn workers_that_die_at_once_lead_to_no_shell_where_it_is_forbidden() {
    let (mut vm, _initrd) = workers_die("rd.shell=0");
    // A minute later there is another one.
    vm.expect_times(DIED, 5, "Failed");
    assert!(!vm.log().contains("Press Enter"), "one was offered");
}
