//! The other static binary, linked with the GNU C library, boots as well.

use crate::lab::{Initrd, Kernel, Root, made};
use crate::machine::{Options, Vm};
use crate::server::Server;

#[test]
fn the_gnu_binary_boots_too() {
    let server = Server::new();
    let (_, words) = Root::busybox().by_hand(&server, Kernel::Cloud);
    let gnu = made("lab/bootjack-gnu");
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net", "--binary", gnu.to_str().unwrap()]);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}
