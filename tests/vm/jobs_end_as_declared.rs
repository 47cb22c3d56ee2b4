//! Whatever becomes of a job, what its entry declares for that follows, with nobody there too; and no job runs twice
//! unless a person wants it.

use crate::lab::{Kernel, Root, job, job_of, menu_of};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

/// The countdown of these menus starts the job.
const BY_ITSELF: &str = "timeout = 2\ndefault = \"work\"";

/// The job asks for this when it runs.
const RAN: &str = "busybox wget -q -O /dev/null RAN";

/// A machine with the menu of this job, and of the root `next`. `make` gets the artifact of the job's root.
fn machine(server: &Server, menu: &str, make: impl Fn(&str) -> String) -> Vm {
    let root = Root::busybox();
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    server.text("ran", "it did");
    let artifact = root.artifact("root");
    let work = make(&artifact).replace("RAN", &server.url("ran"));
    let (initrd, words) = server.menu(Kernel::Cloud, &menu_of(menu, &work, &artifact));
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    // The initrd goes with this function.
    vm.expect("Entry work");
    vm
}

fn ran(server: &Server) -> usize {
    server.asked().iter().filter(|path| *path == "/ran").count()
}

#[test]
fn a_failure_is_shown_with_its_last_words_until_somebody_comes() {
    let server = Server::new();
    let script = format!("{RAN}; echo first words; echo the disk is missing; exit 3");
    let mut vm = machine(&server, BY_ITSELF, |root| job("work", root, &script, "on_failure = \"hold\""));
    vm.expect("FAILED: exit status 3");
    vm.expect("it said: the disk is missing");
    vm.expect("What now?");
    vm.expect("p power");
    let screen = vm.screen();
    assert!(screen.contains("exit status 3") && !screen.contains("any key stops"), "it stays:\n{screen}");
    vm.type_keys("m");
    vm.expect("work: failed: exit status 3");
    vm.expect("Entry next");
    assert_eq!(ran(&server), 1, "it ran once");
}

#[test]
fn one_that_is_killed_powers_off_with_nobody_there() {
    let server = Server::new();
    let script = format!("{RAN}; kill -9 $$");
    let mut vm = machine(&server, BY_ITSELF, |root| job("work", root, &script, "on_failure = \"poweroff\""));
    vm.expect("FAILED: killed by SIGKILL");
    vm.expect("reboot: Power down");
    vm.wait_exit();
    assert_eq!(ran(&server), 1, "it ran once");
}

#[test]
fn after_one_that_ended_well_the_next_boots_with_nobody_there() {
    let server = Server::new();
    let make = |root: &str| job("work", root, RAN, "on_success = \"next\"");
    let mut vm = machine(&server, BY_ITSELF, make);
    vm.expect("any key stops");
    vm.expect("DONE");
    vm.expect("FACT marker the root that was packed");
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(ran(&server), 1, "it ran once");
}

#[test]
fn the_next_boots_with_nobody_there_when_its_worker_dies_too() {
    let server = Server::new();
    let script = format!("{RAN}; w=$(busybox pidof exe); while kill -SEGV $w; do :; done; sleep 1000");
    let mut vm = machine(&server, BY_ITSELF, |root| job("work", root, &script, "on_failure = \"next\""));
    vm.expect("killed by SIGSEGV while running the job work");
    vm.expect("Booting next in");
    vm.expect("FACT marker the root that was packed");
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(ran(&server), 1, "it ran once");
}

#[test]
fn the_countdown_does_not_start_it_again() {
    let server = Server::new();
    let mut vm = machine(&server, BY_ITSELF, |root| job("work", root, RAN, "on_success = \"menu\""));
    vm.expect("any key stops");
    vm.expect("DONE");
    vm.expect("work: ended well");
    vm.expect("Choose an entry");
    assert!(!vm.screen().contains("any key stops"), "no countdown:\n{}", vm.screen());
    vm.type_keys("!");
    vm.expect("work already ran and is not started again by itself");
    assert_eq!(ran(&server), 1, "it ran once");
}

#[test]
fn a_command_that_is_not_in_its_root_is_refused_before_anything_runs() {
    let server = Server::new();
    let make = |root: &str| job_of("work", root, "[\"/usr/sbin/flash\"]", "on_failure = \"hold\"");
    let mut vm = machine(&server, "", make);
    vm.expect("Choose an entry");
    vm.type_keys(ENTER);
    vm.expect("not started: /usr/sbin/flash");
    vm.expect("What now?");
    assert!(!vm.log().contains("DO NOT POWER OFF"), "nothing ran:\n{}", vm.log());
}
