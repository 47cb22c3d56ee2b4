//! What was packed is what runs: capabilities, owners, modes, device nodes, fifos and hard links.

use crate::lab::{Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::Server;

#[test]
fn capabilities_owners_and_nodes_survive() {
    let server = Server::new();
    let (initrd, words) = Root::debian().by_hand(&server, Kernel::Cloud);
    let options = Options { initrd: &initrd.path(), append: &words, memory: 1024, ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("demo login:");
    vm.type_keys("root\r");
    vm.expect("# ");
    vm.type_keys("cd /srv/specimens; getcap capable; stat -c '%n:%u:%g:%a:%h' owned; stat -c '%n:%F:%t:%T' node fifo\r");
    vm.expect("capable cap_net_raw=ep");
    vm.expect("owned:1234:5678:4750:2");
    vm.expect("node:character special file:1:7");
    vm.expect("fifo:fifo:0:0");
}
