//! What takes bytes apart may do little; the shell, a job and the system that comes up may do all that root may, with
//! setuid programs that work.

use crate::lab::{Kernel, Root, job, menu_of};
use crate::machine::{ENTER, Options, Vm};
use crate::server::{Answer, Server};

/// What status(5) says of a process that was never limited, on one line.
const ASKS: &str = "$(busybox grep -e CapEff -e CapBnd -e NoNewPrivs /proc/self/status)";

/// Every capability the kernel knows: without a gap.
fn is_all(fact: &str) -> bool {
    let words: Vec<&str> = fact.split_whitespace().collect();
    let mask = |name: &str| {
        let at = words.iter().position(|word| *word == name).expect(name);
        u64::from_str_radix(words[at + 1], 16).expect("a mask")
    };
    let full = |mask: u64| mask.count_ones() >= 38 && (mask + 1).is_power_of_two();
    full(mask("CapEff:")) && full(mask("CapBnd:")) && fact.contains("NoNewPrivs: 0")
}

#[test]
fn and_its_own_threads_may_not() {
    let server = Server::new();
    let root = Root::busybox();
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let artifact = root.artifact("root");
    // Asked for as a file, since a screen that is painted is no text: words joined by `_`, and whoever answers 404 has heard.
    let words =
        "busybox grep -e CapEff -e CapBnd -e NoNewPrivs /proc/self/status | busybox tr -s ' \\t\\n' '_'";
    let script = format!("busybox wget -q -O /dev/null {}$({words}); exit 0", server.url("job_"));
    let work = job("work", &artifact, &script, "on_success = \"menu\"");
    let (initrd, words) = server.menu(Kernel::Cloud, &menu_of("", &work, &artifact));
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("Choose an entry");
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys(&format!("echo FA''CT shell {ASKS}\r"));
    vm.expect("FACT shell");
    vm.expect("NoNewPrivs");
    // What is typed ahead stands behind an answer.
    // The worker is the shell's parent: itself, and its thread for the network.
    vm.type_keys("w=$(grep PPid /proc/$$/status | cut -f 2)\r");
    vm.type_keys("echo FA''CT worker $(grep -e CapEff -e CapPrm -e NoNew /proc/$w/status)\r");
    vm.expect("FACT worker");
    vm.type_keys("for t in /proc/$w/task/*; do n=$(cat $t/comm); [ $n != network ] || echo FA''CT network $(grep -e CapEff -e CapBnd -e NoNew $t/status); done\r");
    vm.expect("FACT network");
    vm.type_keys("echo FA''CT first $(grep -e CapEff -e CapBnd -e NoNew /proc/1/status); exit\r");
    vm.expect("FACT first");
    vm.expect_gone("FACT");
    vm.expect("Choose an entry");
    for name in ["shell", "first"] {
        assert!(is_all(&vm.fact(name)), "{name}: {}", vm.fact(name));
    }
    let worker = vm.fact("worker");
    let part = |text: &str, field: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words.iter().position(|word| *word == field).expect("a field");
        u64::from_str_radix(words[at + 1], 16).expect("a mask")
    };
    // CAP_SYS_RAWIO and CAP_BPF are gone, CAP_SYS_ADMIN and CAP_SYS_MODULE are not.
    for field in ["CapEff:", "CapPrm:"] {
        let mask = part(&worker, field);
        assert_eq!(
            (mask >> 17 & 1, mask >> 39 & 1, mask >> 21 & 1, mask >> 16 & 1),
            (0, 0, 1, 1),
            "{worker}"
        );
    }
    // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN.
    let network = vm.fact("network");
    let kept = 1 << 10 | 1 << 12 | 1 << 13 | 1 << 21;
    assert_eq!((part(&network, "CapEff:"), part(&network, "CapBnd:")), (kept, kept), "{network}");
    assert!(network.contains("NoNewPrivs: 1"), "{network}");
    vm.type_keys(ENTER);
    vm.expect("work: ended well");
    let asked = server.asked();
    let said =
        asked.iter().find_map(|path| path.strip_prefix("/job_")).unwrap_or_else(|| panic!("{asked:?}"));
    assert!(is_all(&said.replace('_', " ")), "{said}");
    vm.expect("Choose an entry");
    vm.type_keys("2\r");
    vm.expect("FACT privileges");
    vm.wait_exit();
    assert!(is_all(&vm.fact("privileges")), "{}", vm.fact("privileges"));
}
