//! The shell has job control, and leaving it comes back to the menu.

use crate::lab::{Initrd, Kernel, catalog};
use crate::machine::{Options, Vm};

#[test]
fn to_the_shell_and_back() {
    let initrd = Initrd::with_catalog(Kernel::Cloud, &catalog(&[]), &["--drivers", "virtio_net"]);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), ..Options::default() });
    vm.expect("Entry poweroff");
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("tty\r");
    vm.expect("/dev/tty");
    // Each key is pressed when the program it is meant for has said something: only then it has the terminal.
    vm.type_keys("sh -c 'echo run''ning; exec sleep 100'\r");
    vm.expect("running");
    // An interrupt throws away what was typed ahead; its echo comes after that.
    vm.type_keys("\x03");
    vm.expect("^C");
    vm.type_keys("echo status $?\r");
    vm.expect("status 130");
    vm.type_keys("sh -c 'while read x; do echo heard-$x; done'\r");
    vm.type_keys("one\r");
    vm.expect("heard-one");
    vm.type_keys("\x1a");
    vm.expect("Stopped");
    vm.type_keys("fg\r");
    vm.type_keys("two\r");
    vm.expect("heard-two");
    vm.type_keys("\x04");
    vm.type_keys("exit\r");
    vm.expect("Entry poweroff");
    vm.type_keys("p");
    vm.expect("ower off");
}
