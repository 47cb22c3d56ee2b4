//! Hardware of the real world: Debian's generic kernel and an Intel network card get as far as a fetched catalog.

use crate::lab::{Initrd, Kernel, catalog};
use crate::machine::{Options, Vm};
use crate::server::Server;

#[test]
fn an_e1000_fetches_the_catalog() {
    let server = Server::new();
    let url = server.text("catalog.toml", &catalog(&[]));
    let initrd = Initrd::new(Kernel::Generic, &["--drivers", "e1000,af_packet"]);
    let options = Options {
        kernel: Kernel::Generic,
        initrd: &initrd.path(),
        append: &format!("bootjack.catalog={url}"),
        net: &["-netdev", "user,id=n0", "-device", "e1000,netdev=n0"],
        ..Options::default()
    };
    let mut vm = Vm::boot(&options);
    vm.expect("Entry poweroff");
    assert_eq!(server.asked(), ["/catalog.toml"]);
}
