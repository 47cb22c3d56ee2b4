//! With nobody there every failure ends in the action that is declared, and on the way there it is on the screen: one
//! machine for each row of docs/boot.md, "Where each failure goes". A 404 is the row of nobody_is_there, failures of a
//! second stage are those of second_stage_fails_unattended, a worker that died is crashing_worker_is_reported's.

use std::sync::Arc;

use crate::lab::{Initrd, Kernel, Root, artifact_of, catalog, kexec};
use crate::machine::{Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

/// What follows a failure here.
const POLICY: &str = "bootjack.retry_for=0s bootjack.on_failure=poweroff";

/// The entries of the rows, each with its own fault.
fn faults(server: &Server, root: &Root) -> String {
    let good = |name: &str| server.put(name, &[Answer::Good(root.bytes.clone())]);
    let half = root.bytes.len() / 2;
    good("root");
    server.put("cut", &[Answer::Cut(root.bytes.clone(), half)]);
    // Looks like an archive until its middle, and is what was asked for.
    let mut damaged = root.bytes.to_vec();
    damaged[half..half + 64].fill(0xa5);
    let damaged = artifact_of(server, "damaged", damaged);
    let page = artifact_of(server, "page", b"<html><body>Not found</body></html>".repeat(100));
    let wrong = format!("{{ url = \"root\", sha256 = \"{}\" }}", "deadbeef".repeat(8));
    let entries = catalog(&[
        ("cut", &root.artifact("cut"), ""),
        ("wrong", &wrong, ""),
        ("huge", &root.artifact_of("root", Some(4 << 30)), "root_size = \"8g\""),
        ("tight", &root.artifact_of("root", None), "root_size = \"1m\""),
        ("damaged", &damaged, ""),
        ("noinit", &root.artifact("root"), "init = \"/sbin/nothing\""),
    ]);
    format!("{entries}{}", kexec("page", &page, ""))
}

/// Boots with these words, waits for what must be on the screen before the machine goes off by itself.
fn goes_off(initrd: &Initrd, words: &str, net: &[&str], says: &str) {
    let begun = std::time::Instant::now();
    let append = format!("{words} {POLICY}");
    let options = Options { patience: TWO_KERNELS / 2, size: (40, 160), ..Options::default() };
    let options = Options { initrd: &initrd.path(), append: &append, ..options };
    let mut vm = Vm::boot(&if net.is_empty() { options } else { Options { net, ..options } });
    vm.expect(says);
    vm.expect("Powering off in");
    vm.wait_exit();
    assert!(vm.log().contains("reboot: Power down"), "{words}");
    eprintln!("{says}: {} s", begun.elapsed().as_secs());
}

/// A port that was free a moment ago: the listener that found it is closed again.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

#[test]
fn a_failed_entry_ends_in_the_declared_action() {
    let (server, root) = (Server::new(), Root::busybox());
    let (initrd, words) = server.menu(Kernel::Cloud, &faults(&server, &root));
    let cut = format!("after {} of {} bytes", root.bytes.len() / 2, root.bytes.len());
    let rows = [
        ("cut", cut.as_str()),
        ("wrong", "deadbeef"),
        ("huge", "needs 4129 MiB"),
        ("tight", "limit 1 MiB"),
        ("damaged", "phase     unpack"),
        ("page", "phase     handover"),
        ("noinit", "/sbin/nothing"),
    ];
    for (id, says) in rows {
        goes_off(&initrd, &format!("{words} bootjack.entry={id}"), &[], says);
    }
}

#[test]
fn a_catalog_that_cannot_be_had_ends_in_the_declared_action() {
    let server = Server::new();
    let malformed = server.put("malformed", &[Answer::Good(Arc::new(b"version = 1\n[[entry\n".to_vec()))]);
    let (initrd, _) = server.menu(Kernel::Cloud, "");
    let closed = free_port();
    let rows = [
        (format!("bootjack.catalog={malformed}"), "bootjack check"),
        (format!("bootjack.catalog=http://10.0.2.2:{closed}/catalog.toml"), "refused"),
        // The only name server is a port of this host where nobody listens.
        (
            "bootjack.catalog=http://nobody.invalid/catalog.toml \
             ip=10.0.2.77::10.0.2.2:255.255.255.0::eth0:none:10.0.2.2"
                .to_owned(),
            "nobody.invalid",
        ),
    ];
    for (words, says) in rows {
        goes_off(&initrd, &format!("{words} bootjack.entry=any"), &[], says);
    }
}

#[test]
fn a_network_without_dhcp_ends_in_the_declared_action() {
    let server = Server::new();
    let (initrd, words) = server.menu(Kernel::Cloud, "");
    let [there, here] = [(); 2].map(|()| crate::dhcp_appears_late::free_port());
    let nowhere = format!("socket,id=s0,udp=127.0.0.1:{there},localaddr=127.0.0.1:{here}");
    let net = ["-netdev", &nowhere, "-device", "virtio-net-pci,netdev=s0"];
    goes_off(&initrd, &format!("{words} bootjack.entry=any"), &net, "no address in 60 s");
    assert!(server.asked().is_empty());
}
