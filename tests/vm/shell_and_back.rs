//! The shell has job control, leaving it comes back to the menu, and from there a Debian boots as if nothing had been.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn to_the_shell_and_back() {
    let (server, root) = (Server::new(), Root::debian());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&[("debian", &root.artifact("root"), "")]));
    let options = Options { initrd: &initrd.path(), append: &words, memory: 1024, ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("Entry debian");
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
    vm.expect("Entry debian");
    vm.type_keys(ENTER);
    vm.expect("demo login:");
}
