//! A catalog with a password: a stranger at the console boots what is there and gets nothing else; who knows it gets a shell. A
//! worker that dies takes nothing of that away.

use crate::lab::{Initrd, Kernel, Root, catalog};
use crate::machine::{ENTER, ESC, Options, Vm};
use crate::picture;
use crate::server::{Answer, Server};

/// `printf %s 'open sesame' | argon2 bootjack -id -k 8192 -t 1 -p 1 -e`
const PASSWORD: &str =
    "$argon2id$v=19$m=8192,t=1,p=1$Ym9vdGphY2s$xf/0g1wxaMLjFcYCjQRkhVKqPnvMB1+LGbt4PAw2ldM";

fn locked() -> (Server, Initrd, Vm) {
    let (server, root) = (Server::new(), Root::busybox());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let menu = catalog(&[("debian", &root.artifact("root"), "")]);
    let menu = menu.replacen("version = 1\n", &format!("version = 1\nmenu.password = '{PASSWORD}'\n"), 1);
    assert!(menu.contains(PASSWORD));
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    (server, initrd, vm)
}

#[test]
fn a_stranger_boots_and_gets_no_shell_and_who_knows_it_gets_one() {
    let (_server, _initrd, mut vm) = locked();
    vm.expect("Entry debian");
    for (key, what) in [("s", "a shell"), ("e", "changing an entry"), ("p", "leaving the machine")] {
        vm.type_keys(key);
        vm.expect(what);
        vm.expect("Enter open");
        vm.type_keys("open says me\r");
        vm.see(&["it is another one", "giving up in", "Enter open  Ctrl-U clear  Esc leave"]);
        picture::keep("password.svg", &vm.picture());
        vm.type_keys(ESC);
        vm.expect_gone("Enter open");
    }
    vm.type_keys("s");
    vm.expect("Enter open");
    vm.type_keys("open sesame\r");
    vm.expect("bootjack:/# ");
    vm.type_keys("grep -c 'a wrong password was given' /run/bootjack/log; ");
    vm.type_keys("cat /run/bootjack/log | grep -c -e sesame -e says; stat -c %a /run/bootjack/legacy.json\r");
    vm.expect("3\n0\n600");
    vm.type_keys("kill -9 $PPID\r");
    // The next worker knows it, before any catalog.
    vm.expect("What now?");
    vm.type_keys("s");
    vm.expect("Enter open");
    vm.type_keys(ESC);
    vm.expect_gone("Enter open");
    vm.type_keys("m");
    vm.expect_gone("What now?");
    vm.expect("Choose an entry");
    vm.type_keys(ENTER);
    vm.expect("FACT marker");
    vm.wait_exit();
    assert!(!vm.log().contains("open sesame"));
}
