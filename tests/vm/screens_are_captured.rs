//! The menu, its help and a failure as they look on terminals of two sizes, for eyes: target/screens (`make screens`).

use crate::lab::{Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::Server;

fn capture(rows: u16, columns: u16) {
    let server = Server::new();
    let menu = catalog(&[("gone", &Root::busybox().artifact("gone.tar.zst"), "help = \"Is not there.\"")]);
    let (initrd, words) = server.menu(Kernel::Cloud, &menu);
    let options =
        Options { initrd: &initrd.path(), append: &words, size: (rows, columns), ..Options::default() };
    let mut vm = Vm::boot(&options);
    let folder = crate::lab::made("lab").with_file_name("screens");
    std::fs::create_dir_all(&folder).unwrap();
    // Frames come from top to bottom: with its last line a screen is whole.
    let mut keep = |keys: &str, sign: &str, last: &str, name: &str| {
        vm.type_keys(keys);
        vm.expect(sign);
        vm.expect(last);
        let place = folder.join(format!("{name}-{columns}x{rows}.txt"));
        std::fs::write(place, vm.screen() + "\n").unwrap();
        assert!(vm.screen().lines().all(|line| line.chars().count() <= columns.into()));
    };
    keep("", "Is not there.", "p power", "menu");
    keep("?", "Keys", "back", "help");
    keep("\x1b", "Is not there.", "p power", "menu");
    keep(ENTER, "404", "b reboot", "failure");
}

#[test]
fn screens_at_80x24() {
    capture(24, 80);
}

#[test]
fn screens_at_200x60() {
    capture(60, 200);
}
