//! On a line that has no cursor to move: the menu, a number, the fetch and the login scroll by, and not one control sequence.

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

#[test]
fn plain_mode_is_lines_alone_from_the_menu_to_the_login() {
    let (server, root) = (Server::new(), Root::debian());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let root = root.artifact("root");
    let entries = [("one", root.as_str(), ""), ("two", &root, "")];
    let (initrd, words) = server.menu(Kernel::Cloud, &catalog(&entries));
    let append = format!("bootjack.plain {words}");
    let options = Options { initrd: &initrd.path(), append: &append, memory: 1024, ..Options::default() };
    let mut vm = Vm::boot(&options);
    vm.expect("> * 1  Entry one");
    vm.expect("Keys: Enter boot");
    vm.type_keys("2");
    vm.expect(">   2  Entry two");
    vm.type_keys(ENTER);
    vm.expect("Loading \"Entry two\"");
    vm.expect("demo login:");
    let said = vm.raw();
    let menu = said.find("> * 1  Entry one").expect("seen above");
    let kernels = said[menu..].find("systemd").expect("Debian's init says its name");
    let ours = &said[menu..menu + kernels];
    assert!(!ours.contains('\u{1b}'), "{ours:?}");
}
