//! `rd.noverifyssl` is at the head of the screen, among the notices of the menu, in the log and in the report.

use crate::lab::{Initrd, Kernel, catalog};
use crate::machine::{Options, Vm};

#[test]
fn unverified_tls_is_shown() {
    let initrd = Initrd::with_catalog(Kernel::Cloud, &catalog(&[]), &["--drivers", "net"]);
    let options = Options { initrd: &initrd.path(), append: "rd.noverifyssl", ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("Entry poweroff");
    vm.expect("rd.noverifyssl: whoever answers to https is believed");
    let screen = vm.screen();
    assert!(screen.lines().take(2).any(|line| line.contains("UNVERIFIED TLS")), "{screen}");
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys(
        "grep -c 'UNVERIFIED TLS: rd.nover' /run/bootjack/report.json /run/bootjack/log; echo en''ded\r",
    );
    vm.expect("ended");
    let log = vm.log();
    assert!(log.contains("report.json:1") && log.contains("log:1"), "{log}");
}
