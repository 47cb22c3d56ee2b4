//! A hardware watchdog that runs, whoever started it, never fires while process 1 is well, fires when it is not, and is
//! left armed for the system that comes up.

use crate::lab::{Initrd, Kernel, Root, catalog};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};

/// QEMU resets the machine when it fires, and with the harness's `-no-reboot` that is the machine's end.
const I6300ESB: &[&str] = &["-device", "i6300esb"];

/// Waits in the guest until the kernel says that the watchdog runs.
const UNTIL_ACTIVE: &str =
    "d=/sys/class/watchdog/watchdog0; until grep -q ^active $d/state; do sleep 1; done";

/// A machine with a watchdog whose menu, once no key comes any more, switches it off after 5 s and 35 s of countdown.
fn machine(words: &str, devices: &[&str]) -> Vm {
    let text = catalog(&[]).replace("version = 1\n", "version = 1\nmenu = { idle = \"5s\" }\n");
    let initrd = Initrd::with_catalog(Kernel::Generic, &text, &["--drivers", "watchdog"]);
    let mut vm = Vm::boot(&Options {
        kernel: Kernel::Generic,
        initrd: &initrd.path(),
        append: &format!("bootjack.shell bootjack.timeout=35 {words}"),
        net: &[],
        devices,
        ..Options::default()
    });
    vm.expect("# ");
    vm
}

/// Leaves the shell and sits in the menu for three times the timeout: only the countdown's end switches it off.
fn outlives_its_timeout(mut vm: Vm) {
    vm.type_keys("exit\r");
    vm.expect("Entry poweroff");
    vm.expect("any key stops");
    vm.expect("reboot: Power down");
    vm.wait_exit();
}

#[test]
fn one_that_was_asked_for_is_started_and_does_not_fire_in_the_menu() {
    let mut vm = machine("bootjack.watchdog=10", I6300ESB);
    vm.type_keys(&format!(
        "{UNTIL_ACTIVE}; echo \"$(cat $d/identity)\" is petted every $(cat $d/timeout) s\r"
    ));
    vm.expect("i6300ESB timer is petted every 10 s");
    outlives_its_timeout(vm);
}

/// As after a firmware, or an initrd before this one: it runs, and nobody has it open.
#[test]
fn one_that_somebody_else_started_is_found_and_petted() {
    let mut vm = machine("i6300esb.heartbeat=10", I6300ESB);
    vm.type_keys("until [ -c /dev/watchdog0 ]; do sleep 1; done; cat /sys/class/watchdog/watchdog0/state\r");
    vm.expect("\ninactive");
    vm.type_keys(&format!("echo x > /dev/watchdog0; {UNTIL_ACTIVE}; echo it r''uns, $(cat $d/timeout) s\r"));
    vm.expect("it runs, 10 s");
    outlives_its_timeout(vm);
}

#[test]
fn it_fires_when_process_1_hangs() {
    let mut vm = machine("bootjack.watchdog=10", I6300ESB);
    vm.type_keys(&format!("{UNTIL_ACTIVE}; cd /sys/fs/cgroup; mkdir x; echo 1 > x/cgroup.procs\r"));
    vm.type_keys("echo 1 > x/cgroup.freeze; until grep 'frozen 1' x/cgroup.events; do sleep 1; done\r");
    vm.expect("\nfrozen 1");
    vm.wait_exit();
    let log = vm.log();
    assert!(!log.contains("Kernel panic") && !log.contains("reboot: "), "nothing else ended it:\n{log}");
}

/// Only bridges announce Intel's watchdog, and only their drivers make it appear.
#[test]
fn intels_is_found_behind_its_bridge() {
    let devices = ["-machine", "q35", "-global", "ICH9-LPC.noreboot=off"];
    let mut vm = machine("bootjack.watchdog=10", &devices);
    vm.type_keys(&format!(
        "{UNTIL_ACTIVE}; echo \"$(cat $d/identity)\" is petted every $(cat $d/timeout) s\r"
    ));
    vm.expect("iTCO_wdt is petted every 10 s");
}

#[test]
fn the_next_system_gets_it_armed_and_with_time_to_take_it() {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let (_, words) = root.by_hand(&server, Kernel::Generic);
    let initrd = Initrd::new(Kernel::Generic, &["--drivers", "e1000,af_packet,watchdog"]);
    let mut vm = Vm::boot(&Options {
        kernel: Kernel::Generic,
        initrd: &initrd.path(),
        append: &format!("{words} bootjack.watchdog=20 bootjack.shell"),
        net: &["-netdev", "user,id=n0", "-device", "e1000,netdev=n0"],
        devices: I6300ESB,
        ..Options::default()
    });
    vm.expect("# ");
    vm.type_keys(&format!("{UNTIL_ACTIVE}; cat /sys/module/watchdog/parameters/stop_on_reboot; exit\r"));
    vm.expect("\n0");
    vm.expect("watchdog i6300ESB timer stays armed, 300 s");
    vm.expect("watchdog0: watchdog did not stop!");
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
