//! A job runs beside bootjack and leaves nothing but its record: no process, no mount, no memory, however it ends; and
//! the menu that follows boots as if nothing had been.

use crate::lab::{Kernel, Root, job, menu_of};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

/// MiB that would be missed, and KiB that two measurements may differ by.
const BALLAST: u64 = 60;
const NOISE: u64 = 16 << 10;

/// What a job waits for.
const UNTIL_GO: &str = "until busybox wget -q -O /dev/null GO; do sleep 1; done";

/// What the status line of a menu without a countdown says.
const MENU: &str = "Choose an entry";

/// A machine in the menu of the job `work`, which has a big root, and of the root `next`.
fn machine(server: &Server, script: &str, more: &str) -> Vm {
    let (tools, next) = (Root::with_ballast(BALLAST, 0), Root::busybox());
    server.put("tools", &[Answer::Good(tools.bytes.clone())]);
    server.put("next", &[Answer::Good(next.bytes.clone())]);
    let script = script.replace("GO", &server.url("go")).replace("RAN", &server.url("ran"));
    let work = job("work", &tools.artifact("tools"), &script, more);
    let (initrd, words) = server.menu(Kernel::Cloud, &menu_of("", &work, &next.artifact("next")));
    // With huge pages the kernel sets 5 % of what is free at that moment aside.
    let words = format!("{words} transparent_hugepage=never");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect(MENU);
    vm
}

/// KiB that are available, by a look from the shell of this screen, whose foot says `back`.
fn available(vm: &mut Vm, name: &str, back: &str) -> u64 {
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys(&format!("echo FA''CT {name} $(grep MemAvailable /proc/meminfo); exit\r"));
    vm.expect(&format!("FACT {name} MemAvailable"));
    vm.expect_gone("FACT");
    vm.expect(back);
    vm.fact(name).split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("KiB")
}

fn expect_memory_back(before: u64, after: u64) {
    eprintln!("{before} KiB available before, {after} KiB after");
    assert!(after + NOISE > before, "{before} KiB before, {after} KiB after a job in {BALLAST} MiB");
}

/// Neither processes of it nor mounts, in any namespace, nor its cgroup. Leaves a shell.
fn expect_nothing_left(vm: &mut Vm) {
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("p=$(ps | grep -c '[s]leep 1000'); g=$(ls -d /sys/fs/cgroup/bootjack-job-* | wc -l)\r");
    vm.type_keys("m=$(cat /proc/*/mounts 2>/dev/null | grep -c -e sysroot -e jobs-own)\r");
    vm.type_keys("echo left: $p $m $g\r");
    vm.expect("left: 0 0 0");
}

#[test]
fn one_that_ends_well_leads_back_to_the_menu() {
    let server = Server::new();
    let said = "echo \"i am $BOOTJACK_ENTRY at $BOOTJACK_ADDRESS on $BOOTJACK_MAC\"";
    let mut vm = machine(&server, &format!("{said}; {UNTIL_GO}; echo all done"), "on_success = \"menu\"");
    let before = available(&mut vm, "before", MENU);
    vm.type_keys(ENTER);
    vm.expect("i am work at 10.0.2.15 on 52:54:00:12:34:56");
    server.wait_for("/go");
    let screen = vm.screen();
    assert!(screen.contains("DO NOT POWER OFF") && screen.contains("i am work"), "it works:\n{screen}");
    server.text("go", "go");
    vm.expect("all done");
    vm.expect("work: ended well");
    vm.expect(MENU);
    vm.type_keys(ENTER);
    vm.expect_gone(MENU);
    vm.expect("all done");
    vm.expect("work: ended well");
    let after = available(&mut vm, "after", MENU);
    expect_memory_back(before, after);
    expect_nothing_left(&mut vm);
    vm.type_keys("echo good: $(grep -c '\"success\": true' /run/bootjack/report.json); exit\r");
    vm.expect("good: 2");
    vm.expect(MENU);
    vm.type_keys("2\r");
    vm.expect("FACT marker the root that was packed");
    vm.expect("FACT jobs \"success\": true \"success\": true");
    vm.wait_exit();
}

/// What ignores the request to end, and what got away into a session of its own, go with it.
#[test]
fn one_that_does_not_end_is_ended_with_all_it_started() {
    let script = "trap '' TERM; busybox mkdir /mine; mount -t tmpfs jobs-own /mine; \
                  busybox setsid sleep 1000 & \
                  until busybox pidof sleep; do :; done; echo it sleeps; while :; do sleep 1; done";
    let server = Server::new();
    let mut vm = machine(&server, script, "timeout = \"3s\"\non_failure = \"menu\"");
    let before = available(&mut vm, "before", MENU);
    vm.type_keys(ENTER);
    vm.expect("it sleeps");
    vm.expect("FAILED: its time was over");
    vm.expect("work: failed: its time was over");
    vm.expect(MENU);
    let after = available(&mut vm, "after", MENU);
    expect_memory_back(before, after);
    expect_nothing_left(&mut vm);
    vm.type_keys("grep '\"end\"' /run/bootjack/report.json\r");
    vm.expect("\"end\": \"deadline\"");
}

/// The worker of a job that takes it along costs the job, and not the machine. Its runtime takes a first SIGSEGV for a
/// stray one; the second counts.
#[test]
fn one_whose_worker_dies_is_gone_with_it_and_does_not_run_again() {
    let script = "busybox wget -q -O /dev/null RAN; busybox setsid sleep 1000 & \
                  mount -t tmpfs jobs-own /tmp; w=$(busybox pidof exe); while kill -SEGV $w; do :; done; sleep 1000";
    let server = Server::new();
    server.text("ran", "it did");
    let mut vm = machine(&server, script, "on_failure = \"hold\"");
    let before = available(&mut vm, "before", MENU);
    vm.type_keys(ENTER);
    vm.expect("killed by SIGSEGV while running the job work");
    vm.expect("the half-made root was unmounted");
    vm.expect("What now?");
    let after = available(&mut vm, "after", "What now?");
    expect_memory_back(before, after);
    expect_nothing_left(&mut vm);
    vm.type_keys("grep -A 4 '\"phase\": \"worker\"' /run/bootjack/report.json; exit\r");
    vm.expect("while running the job work\"");
    vm.expect("What now?");
    vm.type_keys("m");
    vm.expect(MENU);
    vm.type_keys("2\r");
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
    assert_eq!(server.asked().iter().filter(|path| *path == "/ran").count(), 1, "it ran once");
}
