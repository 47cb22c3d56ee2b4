//! Archives come from NFS servers by every version and spelling, mounted and let go without a trace; what is wrong is
//! said in words, and a server that falls silent in mid-read costs a stall and no more.

use crate::lab::{Initrd, Kernel, Root, catalog};
use crate::machine::{Options, Vm};
use crate::nfs::{Nfs, falling_silent_after};
use crate::server::{Answer, Server};

/// A shell in the initrd, with an address.
struct Shell {
    vm: Vm,
    commands: u32,
}

impl Shell {
    fn of(drivers: &str, append: &str) -> Self {
        let initrd = Initrd::with_catalog(Kernel::Cloud, &catalog(&[]), &["--drivers", drivers]);
        let options =
            Options { initrd: &initrd.path(), append, patience: 560, memory: 768, ..Options::default() };
        let mut vm = Vm::boot(&options);
        vm.expect("Entry poweroff");
        vm.type_keys("s");
        vm.expect("# ");
        let mut shell = Self { vm, commands: 0 };
        shell.says("until ip addr show eth0 | grep -q 'inet 10.0.2'; do sleep 1; done");
        shell
    }

    /// What a command said, with its echo before it.
    fn says(&mut self, command: &str) -> String {
        self.commands += 1;
        let before = self.vm.log().len();
        self.vm.type_keys(&format!("{command}; echo en''ded {} $?.\r", self.commands));
        self.vm.expect(&format!("ended {} 0.", self.commands));
        self.vm.log()[before..].to_owned()
    }

    /// Unpacks from these places; what was said at the end.
    fn unpack(&mut self, from: &str, more: &str) -> String {
        self.says(&format!("rm -rf /x; bootjack unpack {from} /x {more} 2>&1 | grep -v '^unpacking'"))
    }
}

#[test]
fn archives_come_from_nfs_by_every_version() {
    let nfs = Nfs::on_an_own_network();
    let (root, big) = (Root::busybox(), Root::with_ballast(24, 0));
    nfs.put("root.tar.zst", &root.bytes);
    nfs.put("images/root.tar.zst", &root.bytes);
    nfs.put("big.tar.zst", &big.bytes);
    let server = Server::new();
    let mirror = server.put("big", &[Answer::Good(big.bytes.clone())]);
    let silent = falling_silent_after(6 << 20);
    let mut shell = Shell::of("net,nfs", "");

    let once = format!("--retry-for 0s --sha256 {}", root.sha256);
    for from in [
        "nfs://10.0.2.2/export:/root.tar.zst",
        "nfs4://10.0.2.2/export/images/root.tar.zst",
        "nfs://10.0.2.2/export,vers=4.0,rw,lock:/root.tar.zst",
        "nfs://10.0.2.2:2049/export,vers=4.1,rsize=8192:/images/root.tar.zst",
        "nfs://10.0.2.2/export,vers=3:/root.tar.zst",
        "nfs://[fec0::2]/export:/root.tar.zst",
    ] {
        let said = shell.unpack(from, &once);
        assert!(said.contains(" entries of "), "{said}");
        // Nothing of it is left: no mount, no server that the kernel speaks to, no directory.
        let left = shell.says(
            "cat /proc/mounts /proc/fs/nfsfs/volumes | grep -c -e nfs -e ^v; ls -A /run/bootjack/mnt | wc -l",
        );
        assert!(left.contains("\n0\n0\n"), "{from}: {left:?}");
    }

    for (from, why) in [
        ("nfs4://10.0.2.2/wrong:/root.tar.zst", "the server has no such export"),
        ("nfs4://10.0.2.2/private:/root.tar.zst", "the server "),
        ("nfs://10.0.2.2/export,vers=3:/wrong.tar", "opening: No such file or directory (os error 2)"),
        ("nfs://10.0.2.2/export:/images", "opening: it is a directory"),
        ("nfs4://10.0.2.2:9/export:/root.tar.zst", "nobody answers at its port"),
        ("nfs://10.0.2.2/export,vers=5:/root.tar.zst", "there are versions 3, 4, 4.0, 4.1 and 4.2"),
        ("nfs://10.0.2.2/../etc:/passwd", "has a .. in its path"),
    ] {
        let said = shell.unpack(from, &once);
        assert!(said.contains(why), "{from}: {said}");
    }

    // The server falls silent in mid-read: a stall (a third of the budget, 10 s at most) later the next mirror is asked.
    let from = format!("nfs4://10.0.2.2:{silent}/export:/big.tar.zst {mirror}");
    let more = format!("--retry-for 40s --sha256 {}", big.sha256);
    shell.says(&format!("rm -rf /x; mkdir /x; bootjack unpack {from} /x {more} >/run/said 2>&1 & pid=$!"));
    shell.says("until ls -A /x | grep -q .; do sleep 1; done");
    // While it is read from, too, nothing is mounted: whoever is killed leaves nothing behind.
    let left = shell.says(
        "grep -c nfs /proc/mounts; ls -A /run/bootjack/mnt | wc -l; grep -c 'nothing came' /run/said; kill -0 $pid",
    );
    assert!(left.contains("\n0\n0\n0\n"), "{left:?}");
    let said = shell.says("wait $pid; grep -v '^unpacking' /run/said");
    assert!(said.contains("nothing came for 10 s after ") && said.contains(" entries of "), "{said}");
    assert_eq!(server.asked(), ["/big"]);
    let left = shell.says("grep -c nfs /proc/mounts; ls -A /run/bootjack/mnt | wc -l");
    assert!(left.contains("\n0\n0\n"), "{left:?}");
}

#[test]
fn a_root_comes_from_nfs() {
    let nfs = Nfs::on_an_own_network();
    let root = Root::busybox();
    nfs.put("r.tar.zst", &root.bytes);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net,nfs"]);
    let words = format!(
        "root=tmpfs:NFS=nfs4:10.0.2.2:/export:ro rd.tmpfs.imgfile=r.tar.zst rd.tmpfs.size=100m rd.tmpfs.sha256={}",
        root.sha256
    );
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(vm.fact("pid"), "1");
    assert!(!vm.log().contains("FACT mounted /run/bootjack/mnt"), "the export does not come along");
}

#[test]
fn a_kernel_without_nfs_is_named_with_the_way_out() {
    let said = Shell::of("net", "").unpack("nfs://10.0.2.2/export:/r.tar", "--retry-for 0s");
    assert!(said.contains("the kernel has no nfs here: make the initrd with --drivers net,nfs"), "{said}");
}
