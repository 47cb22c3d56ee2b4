//! With a key in the initrd a catalog that is unsigned or wrongly signed is refused in words before it is parsed, and
//! the built-in one is offered in its place; a signed one is taken, and the screen says by whom.

use crate::lab::{Initrd, Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};
use crate::signer::Signer;

fn body(text: &str) -> Answer {
    Answer::Good(text.as_bytes().to_vec().into())
}

/// Rows and columns: a notice is seen whole.
const WIDE: (u16, u16) = (40, 260);

#[test]
fn an_unsigned_and_a_wrongly_signed_catalog_are_refused_and_a_signed_one_boots() {
    let (server, root, ours, theirs) = (Server::new(), Root::busybox(), Signer::new(), Signer::new());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let good = catalog(&[("fetched", &root.artifact("root"), "")]);
    // What an attacker would put there: nothing of it may be parsed, not even to complain of it.
    let evil =
        "version = 1\n[[entry]]\nid = \"evil\"\ntitle = \"Entry evil\"\nboot = \"shell\"\nmistake = 1\n";
    let url = server.put("catalog.toml", &[body(evil), body(evil), body(evil), body(&good)]);
    server.put(
        "catalog.toml.minisig",
        &[Answer::Status(404), body(&theirs.sign(evil)), body(&ours.sign(&good))],
    );
    let built_in = catalog(&[]).replace("version = 1", "version = 1\n[menu]\ntitle = \"Built in\"");
    let initrd =
        Initrd::with_catalog(Kernel::Cloud, &built_in, &["--drivers", "net", "--key", &ours.public()]);
    let append = format!("bootjack.catalog={url}");
    let mut vm =
        Vm::boot(&Options { initrd: &initrd.path(), append: &append, size: WIDE, ..Options::default() });
    let missing = format!(": key {} must have signed it, and has not", ours.id());
    for why in [
        vec![": unsigned: http://10.0.2.2:", "/catalog.toml.minisig", "404", &missing],
        vec![": wrongly signed: ", &format!("; not among the keys of the initrd: {}", theirs.id())],
        vec![": wrongly signed: ", &format!("; signed something else: {}", ours.id())],
    ] {
        vm.expect(why[why.len() - 1]);
        vm.expect("Entry poweroff");
        let screen = vm.screen();
        let line = screen
            .lines()
            .find(|line| line.contains("This is the built-in catalog: verify: http://10.0.2.2:"));
        let line = line.unwrap_or_else(|| panic!("{screen}"));
        why.iter().for_each(|word| assert!(line.contains(word), "no {word:?} in {line}"));
        assert!(!screen.contains("Entry evil"), "{screen}");
        vm.type_keys("c");
    }
    vm.expect("Entry fetched");
    assert!(vm.screen().contains(&format!("signed by {}", ours.id())), "{}", vm.screen());
    vm.type_keys(ENTER);
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
    assert!(!vm.log().contains("Entry evil"), "it was parsed");
}

#[test]
fn an_entry_of_a_catalog_that_nobody_signed_is_not_looked_for_in_the_built_in_one() {
    let (server, ours) = (Server::new(), Signer::new());
    let both = catalog(&[]);
    let url = server.text("catalog.toml", &both);
    let initrd = Initrd::with_catalog(Kernel::Cloud, &both, &["--drivers", "net", "--key", &ours.public()]);
    let append = format!(
        "bootjack.catalog={url} bootjack.entry=poweroff bootjack.retry_for=0s bootjack.on_failure=hold"
    );
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &append, ..Options::default() });
    vm.expect("unsigned");
    vm.expect(&ours.id());
    // It is still there, and holds: an entry that powers off would have ended it.
    vm.type_keys("b");
    vm.type_keys("b");
    vm.wait_exit();
}
