//! Passwords of locations are used and shown nowhere: not in the log, the kernel's log, the report, on a screen or
//! among the words of a process; and what a boot leaves in files is the administrator's alone.

use crate::lab::{Initrd, Kernel, Root, catalog};
use crate::machine::{ENTER, Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

const PASSWORD: &str = "s3cr3t-of-ann";

fn with_password(url: &str) -> String {
    url.replacen("http://", &format!("http://ann:{PASSWORD}@"), 1)
}

/// Looks for the password where others could: `looked: 0 0 0 0`.
fn expect_nothing_said(vm: &mut Vm) {
    // From a file, so that neither what is typed nor the words of who looks are found.
    vm.type_keys("s=s3cr3t; echo $s-of-ann >/tmp/s; f=$(grep -rlf /tmp/s /run/bootjack | wc -l)\r");
    vm.type_keys("k=$(dmesg | grep -cf /tmp/s); w=$(cat /proc/[0-9]*/cmdline | grep -cf /tmp/s)\r");
    vm.type_keys("m=$(find /run/bootjack -perm /077 | wc -l)\r");
    vm.type_keys("echo looked: $f $k $w $m\r");
    vm.expect("looked: 0 0 0 0");
    vm.type_keys("exit\r");
}

#[test]
fn of_a_catalog_that_is_wrong_and_a_root_that_is_not_there() {
    let server = Server::new();
    let root = Root::busybox();
    server.put("root", &[Answer::Status(500), Answer::Good(root.bytes.clone())]);
    let gone = root.artifact(&with_password(&server.url("gone")));
    let good = root.artifact(&with_password(&server.url("root")));
    let wrong = gone.replace("sha256", "sha265");
    let text = catalog(&[("good", &good, ""), ("gone", &gone, ""), ("wrong", &wrong, "")]);
    let (initrd, words) = server.menu(Kernel::Cloud, &text);
    let words = format!("{words} rd.break debug");
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Entry good");
    vm.type_keys("2\r");
    vm.expect("404");
    vm.expect("What now?");
    vm.type_keys("l");
    vm.expect("gone");
    vm.type_keys("\x1b");
    vm.expect("What now?");
    vm.type_keys("s");
    vm.expect("# ");
    expect_nothing_said(&mut vm);
    vm.expect("What now?");
    vm.type_keys("m");
    vm.expect("Entry good");
    vm.type_keys("1");
    vm.type_keys(ENTER);
    vm.expect("leaving this shell goes on");
    vm.expect("# ");
    expect_nothing_said(&mut vm);
    vm.expect("FACT end");
    vm.wait_exit();
    let modes = vm.fact("modes");
    assert!(
        modes.contains("700 /run/bootjack") && modes.contains("600 /run/bootjack/report.json"),
        "{modes}"
    );
    assert!(
        !modes.split_whitespace().any(|word| word.starts_with("64") || word.starts_with("75")),
        "{modes}"
    );
    assert!(!vm.log().contains(PASSWORD), "it was on the screen");
}

#[test]
fn of_a_root_that_a_second_kernel_fetches_again() {
    let server = Server::new();
    let root = Root::busybox();
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let kernel = crate::lab::kernel_artifact(&server, "kernel", Kernel::Cloud);
    let kernel = kernel.replace("\"kernel\"", &format!("\"{}\"", with_password(&server.url("kernel"))));
    let more = format!(
        "root = {}\ncarry = \"no\"\ncmdline = \"console=ttyS0 rd.break\"",
        root.artifact(&with_password(&server.url("root")))
    );
    let text = format!("version = 1\n{}", crate::lab::kexec("again", &kernel, &more));
    let initrd = Initrd::with_catalog(Kernel::Cloud, &text, &["--drivers", "net"]);
    let options = Options {
        initrd: &initrd.path(),
        append: "bootjack.entry=again",
        memory: 1024,
        patience: TWO_KERNELS,
        ..Options::default()
    };
    let mut vm = Vm::boot(&options);
    vm.expect("leaving this shell goes on");
    vm.expect("# ");
    vm.type_keys("grep -c s3cr3t /bootjack/handoff.json; stat -c 'handed on: %a' /bootjack/handoff.json\r");
    vm.expect("handed on: 600");
    expect_nothing_said(&mut vm);
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(!vm.fact("cmdline").contains(PASSWORD) && vm.fact("cmdline").contains("root=tmpfs:http://10"));
    assert!(!vm.log().contains(PASSWORD), "it was on the screen");
}
