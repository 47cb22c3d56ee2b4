//! Whoever holds a key of the initrd's logs in to a machine that boots, knows it by the fingerprint on its screen, sees that
//! screen and chooses there; nobody else gets in. A second stage is the same machine to him.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::lab::{Initrd, Kernel, Root, catalog, kernel_artifact, kexec};
use crate::machine::{DOWN, ENTER, ESC, Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};
use crate::wire::Wire;

/// A person with ssh, keys, and a file of machines he knows.
struct Person {
    dir: tempfile::TempDir,
    port: u16,
}

impl Person {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["ann", "eve"] {
            let file = dir.path().join(name);
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file).status();
            assert!(made.expect("openssh-client is installed: lab/need.sh vm").success());
        }
        // Free for as long as nobody else asks for one.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|at| at.local_addr());
        Self { dir, port: free.expect("a port").port() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Takes the machine's key into those that are known if it is the one with this fingerprint.
    fn pin(&self, fingerprint: &str) {
        let (host, port) = ("127.0.0.1", self.port.to_string());
        let scan = Command::new("ssh-keyscan").args(["-t", "ed25519", "-p", &port, host]).output();
        let keys = scan.expect("ssh-keyscan runs").stdout;
        fs::write(self.file("known"), keys).expect("writing");
        let list = Command::new("ssh-keygen").arg("-lf").arg(self.file("known")).output();
        let list = String::from_utf8_lossy(&list.expect("ssh-keygen runs").stdout).into_owned();
        assert!(list.contains(fingerprint), "{fingerprint} is on the screen, ssh has {list}");
    }

    fn ssh(&self, key: &str, words: &[&str]) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
        ssh.args(["-o", "IdentitiesOnly=yes", "-o", "GlobalKnownHostsFile=none", "-o"]);
        ssh.arg(format!("UserKnownHostsFile={}", self.file("known").display()));
        ssh.arg("-i").arg(self.file(key)).args(["-p", &self.port.to_string(), "root@127.0.0.1"]).args(words);
        ssh.stdin(Stdio::null());
        ssh
    }

    fn asks(&self, key: &str, words: &[&str]) -> Output {
        self.ssh(key, words).output().expect("ssh runs")
    }

    /// With a terminal at the other end.
    fn logs_in(&self) -> (Child, Wire) {
        let (ours, its) = UnixStream::pair().expect("a pair of sockets");
        let end = || Stdio::from(OwnedFd::from(its.try_clone().expect("a second handle")));
        let child = self.ssh("ann", &["-tt"]).stdin(end()).stdout(end()).spawn().expect("ssh runs");
        (child, Wire::new(ours, 24, 80))
    }
}

#[test]
fn a_person_with_the_key_chooses_by_ssh_and_nobody_else_gets_in() {
    let (server, root, person) = (Server::new(), Root::busybox(), Person::new());
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Cloud);
    let more = format!("root = {}\ncmdline = \"console=ttyS0 rd.break=mount\"\n", root.artifact("root"));
    let menu = format!("{}{}", catalog(&[]), kexec("second", &kernel, &more));
    let url = server.text("catalog.toml", &menu);
    let public = person.file("ann.pub").display().to_string();
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net", "--ssh", &public]);
    let net = format!("user,id=n0,hostfwd=tcp:127.0.0.1:{}-:22", person.port);
    let mut vm = Vm::boot(&Options {
        initrd: &initrd.path(),
        append: &format!("bootjack.catalog={url}"),
        net: &["-netdev", &net, "-device", "virtio-net-pci,netdev=n0"],
        patience: TWO_KERNELS,
        ..Options::default()
    });
    vm.expect("Entry second");
    vm.type_keys("n");
    vm.expect("host key SHA256:");
    // What is drawn behind it.
    vm.expect("(DHCP from 10.0.2.2)");
    let screen = vm.screen();
    let fingerprint = screen.split_whitespace().find(|word| word.starts_with("SHA256:")).expect("seen");
    assert_eq!(fingerprint.len(), "SHA256:".len() + 43, "{screen}");
    vm.type_keys(ESC);
    vm.expect("Entry second");

    person.pin(fingerprint);
    let stranger = person.asks("eve", &["status"]);
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(stranger.status.code() == Some(255) && said.contains("Permission denied (publickey)"), "{said}");
    let status = person.asks("ann", &["status"]);
    let picture = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.status.success() && picture.contains("Entry second"), "{picture} {status:?}");
    let command = person.asks("ann", &["cat /etc/passwd"]);
    let said = String::from_utf8_lossy(&command.stderr).into_owned();
    assert!(command.status.code() == Some(1) && said.contains("is nothing that is done here"), "{said}");
    let log = person.asks("ann", &["log"]);
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    assert!(log.contains("ssh: Pubkey auth succeeded for 'root'"), "{log}");

    let (mut session, mut terminal) = person.logs_in();
    terminal.expect("Entry second");
    vm.expect("2 watch");
    terminal.type_keys(DOWN);
    terminal.expect(" >   2  ");
    terminal.type_keys(ENTER);
    vm.expect("starting Linux");
    // Told, and let go, not left at a line that is dead.
    let ended = session.wait().expect("ssh ends");
    assert!(ended.success(), "{ended}");
    terminal.expect("bootjack: the boot has gone on");

    vm.expect("leaving this shell goes on");
    vm.expect("# ");
    vm.type_keys("grep -o SHA256:[^\\\"]* /run/bootjack/report.json | sort | uniq -c\r");
    vm.expect(&format!(" 2 {fingerprint}"));
    vm.type_keys("exit\r");
    vm.expect("FACT marker the root that was packed");
    vm.expect("FACT end");
    vm.wait_exit();
}
