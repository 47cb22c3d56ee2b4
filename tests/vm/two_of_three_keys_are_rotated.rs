//! Three keys, two of which must sign: any two will do, one alone will not, so that a key can be lost or replaced without
//! a machine that boots nothing.

use crate::lab::{Initrd, Kernel, Root, catalog};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};
use crate::signer::Signer;

#[test]
fn a_fleet_with_two_of_three_keys_loses_one_and_gets_another() {
    let (server, root) = (Server::new(), Root::busybox());
    let [ann, ben, cat, dan] = [(); 4].map(|()| Signer::new());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let menu = catalog(&[("fetched", &root.artifact("root"), "")]);
    let [by_ann, by_ben, by_cat, by_dan] = [&ann, &ben, &cat, &dan].map(|signer| signer.sign(&menu));
    let signatures = [
        format!("{by_ann}{by_ben}"),
        // Ann's key is lost, or stolen, and used alone; and twice.
        format!("{by_ann}{}", ann.sign_as_before(&menu)),
        // Dan's is its successor: the initrds that are out do not know it yet, and do with two of theirs.
        format!("{by_dan}{by_ben}{by_cat}"),
    ];
    let url = server.text("catalog.toml", &menu);
    let answer = |text: &String| Answer::Good(text.as_bytes().to_vec().into());
    server.put("catalog.toml.minisig", &signatures.each_ref().map(answer));
    let keys = |signers: [&Signer; 3]| {
        let keys = signers.iter().flat_map(|signer| ["--key".to_owned(), signer.public()]);
        let words: Vec<String> = keys.chain(["--key-threshold".to_owned(), "2".to_owned()]).collect();
        words
    };
    let initrd = |signers: [&Signer; 3]| {
        let keys = keys(signers);
        let words: Vec<&str> =
            ["--drivers", "net"].into_iter().chain(keys.iter().map(String::as_str)).collect();
        Initrd::with_catalog(Kernel::Cloud, &catalog(&[]), &words)
    };
    let append = format!("bootjack.catalog={url}");
    let old = initrd([&ann, &ben, &cat]);
    // A notice is seen whole.
    let size = (40, 260);
    let mut vm = Vm::boot(&Options { initrd: &old.path(), append: &append, size, ..Options::default() });
    vm.expect("Entry fetched");
    expect_signers(&vm, &[&ann, &ben]);
    vm.type_keys("c");
    vm.expect(": signed by too few: 2 of ");
    vm.expect(&format!("must have signed it, 1 did; good: {}", ann.id()));
    vm.expect("This is the built-in catalog: verify: ");
    assert!(!vm.screen().contains("Entry fetched"), "{}", vm.screen());
    vm.type_keys("c");
    vm.expect("Entry fetched");
    expect_signers(&vm, &[&ben, &cat]);
    drop(vm);
    // The new initrds, with the same files on the server.
    let new = initrd([&ben, &cat, &dan]);
    let mut vm = Vm::boot(&Options { initrd: &new.path(), append: &append, ..Options::default() });
    vm.expect("Entry fetched");
    expect_signers(&vm, &[&ben, &cat, &dan]);
    vm.type_keys(ENTER);
    vm.expect("FACT marker the root that was packed");
    vm.wait_exit();
}

/// Their ids are on the screen, in any order, with how many of three they are.
fn expect_signers(vm: &Vm, signers: &[&Signer]) {
    let screen = vm.screen();
    let line = screen.lines().find(|line| line.contains("signed by ")).unwrap_or_else(|| panic!("{screen}"));
    assert!(line.contains(&format!("({} of 3)", signers.len())), "{line}");
    assert!(signers.iter().all(|signer| line.contains(&signer.id())), "{line}");
}
