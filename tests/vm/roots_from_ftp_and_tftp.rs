//! A root comes from an FTP server, and from the TFTP server that machines boot from anyway.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::lab::{Initrd, Kernel, Root};
use crate::machine::{Options, Vm};

#[test]
fn a_root_comes_from_tftp() {
    let root = Root::busybox();
    let dir = directory(&root);
    let network = format!("user,id=n0,tftp={}", dir.path().display());
    let net = ["-netdev", network.as_str(), "-device", "virtio-net-pci,netdev=n0"];
    boots(&root, "tftp://10.0.2.2/r.tar.zst", Options { net: &net, ..Options::default() });
}

#[test]
fn a_root_comes_from_ftp() {
    let root = Root::busybox();
    let dir = directory(&root);
    let port = crate::dhcp_appears_late::free_port();
    let _server = Ftp::of(dir.path(), port);
    boots(&root, &format!("ftp://10.0.2.2:{port}/r.tar.zst"), Options::default());
}

fn directory(root: &Root) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("r.tar.zst"), root.bytes.as_slice()).expect("an archive");
    dir
}

fn boots(root: &Root, from: &str, options: Options) {
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let words = format!("rd.container.rootfs={from} rd.tmpfs.sha256={} rd.tmpfs.size=50%", root.sha256);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..options });
    vm.wait_exit();
    assert!(vm.log().contains("FACT "), "{}", vm.log());
    assert!(vm.log().contains("reboot: Power down"), "{}", vm.log());
}

/// Python's server, which asks nobody who they are; gone with this.
struct Ftp(Child);

impl Ftp {
    fn of(dir: &Path, port: u16) -> Self {
        let mut server = Command::new("/usr/bin/python3");
        server.args(["-m", "pyftpdlib", "-i", "127.0.0.1", "-p", &port.to_string(), "-d"]).arg(dir);
        let server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self(server.expect("python3-pyftpdlib is installed: lab/need.sh vm"));
        let begun = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed().as_secs() < 20, "the FTP server does not answer");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        server
    }
}

impl Drop for Ftp {
    fn drop(&mut self) {
        self.0.kill().expect("running");
        self.0.wait().expect("ended");
    }
}
