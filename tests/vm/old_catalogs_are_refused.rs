//! A signature holds for ever, a catalog does not: one with a lower serial than the built-in catalog's, or whose time is
//! over, is refused in words, and the built-in one is offered. No clock makes an expired one good again: it never stands
//! before the day the binary was built.

use crate::lab::{Initrd, Kernel, catalog};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};
use crate::signer::Signer;

/// A catalog titled after what is special about it.
fn aged(title: &str, lines: &str) -> String {
    catalog(&[]).replace("version = 1", &format!("version = 1\n{lines}\n[menu]\ntitle = \"{title}\""))
}

#[test]
fn a_rolled_back_and_an_expired_catalog_are_refused_even_in_1970() {
    let (server, ours) = (Server::new(), Signer::new());
    let served = [
        aged("Rolled back", "serial = 6"),
        aged("Without serial", ""),
        // A day before anybody wrote this program.
        aged("Expired", "serial = 8\nexpires = 2024-01-01T00:00:00Z"),
        aged("Newest", "serial = 8\nexpires = 2099-01-01T00:00:00Z"),
    ];
    let body = |text: &String| Answer::Good(text.as_bytes().to_vec().into());
    let url = server.put("catalog.toml", &served.each_ref().map(body));
    server.put("catalog.toml.minisig", &served.each_ref().map(|text| body(&ours.sign(text))));
    let built_in = aged("Built in", "serial = 7");
    let initrd =
        Initrd::with_catalog(Kernel::Cloud, &built_in, &["--drivers", "net", "--key", &ours.public()]);
    let options = Options {
        initrd: &initrd.path(),
        append: &format!("bootjack.catalog={url}"),
        // A battery that died.
        devices: &["-rtc", "base=1970-01-01T00:00:00"],
        // A notice is seen whole.
        size: (40, 260),
        ..Options::default()
    };
    let mut vm = Vm::boot(&options);
    for why in [
        "rolled back: its serial 6 is lower than 7, the built-in catalog's (serve the newest",
        "rolled back: it has no serial, and the built-in catalog's is 7 (write a serial",
        "expired: it counts until 2024-01-01 00:00:00 UTC, it is 20",
    ] {
        vm.expect(why);
        vm.expect("This is the built-in catalog: verify: http://10.0.2.2:");
        vm.expect("Entry poweroff");
        assert!(vm.screen().starts_with(" Built in"), "{}", vm.screen());
        vm.type_keys("c");
    }
    vm.expect("Newest");
    vm.expect(&format!("signed by {}", ours.id()));
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("tr -d ' \\n' </run/bootjack/report.json; echo that was a''ll\r");
    vm.expect("that was all");
    let reported = format!("\"trust\":\"signed\",\"signed_by\":[\"{}\"],\"serial\":8", ours.id());
    assert!(vm.log().contains(&reported), "{}", vm.log());
}
