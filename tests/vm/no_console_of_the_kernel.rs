//! A kernel whose console is not there starts process 1 with its standard streams closed: the menu comes all the same,
//! where the command line says.

use crate::lab::{Initrd, Kernel, catalog};
use crate::machine::{Options, Vm};

#[test]
fn closed_standard_streams_do_not_stop_process_1() {
    let initrd = Initrd::with_catalog(Kernel::Cloud, &catalog(&[]), &["--drivers", "virtio_net"]);
    let options = Options {
        initrd: &initrd.path(),
        console: "lp0",
        append: "bootjack.console=ttyS0",
        ..Options::default()
    };
    let mut vm = Vm::boot(&options);
    vm.expect("Entry poweroff");
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("dmesg | grep -c 'unable to open an initial console'\r");
    vm.expect("\n1");
}
