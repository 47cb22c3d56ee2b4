//! Other people's initrds, with bootjack in them: where `make` left them, and disks for their machines.

use std::fs;
use std::path::Path;
use std::process::Command;

use bootjack::archive::Image;

use crate::lab::{Kernel, Root, bootjack, made};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};

/// Whose initrd.
#[derive(Clone, Copy, Debug)]
pub enum Theirs {
    Dracut,
    DracutSystemd,
    InitramfsTools,
}

/// Their scripts take their time in an emulated machine.
const PATIENCE: u64 = 420;

impl Theirs {
    fn initrd(self) -> std::path::PathBuf {
        made(match self {
            Self::Dracut => "lab/dracut",
            Self::DracutSystemd => "lab/dracut-systemd",
            Self::InitramfsTools => "lab/initramfs-tools",
        })
    }

    /// The kernel whose modules are in it.
    fn kernel(self) -> Kernel {
        match self {
            Self::Dracut | Self::DracutSystemd => Kernel::Cloud,
            Self::InitramfsTools => Kernel::Generic,
        }
    }

    /// Starts it with these words, and this disk if there is one.
    pub fn boot(self, words: &str, disk: Option<&Path>) -> Vm {
        let drive = disk.map(|disk| format!("if=none,id=d0,format=raw,file={}", disk.display()));
        let devices: Vec<&str> = match &drive {
            Some(drive) => vec!["-drive", drive, "-device", "virtio-blk-pci,drive=d0"],
            None => Vec::new(),
        };
        let (kernel, initrd) = (self.kernel(), self.initrd());
        let options = Options { kernel, memory: 1024, patience: PATIENCE, ..Options::default() };
        Vm::boot(&Options { initrd: &initrd, append: words, devices: &devices, ..options })
    }
}

/// An ext4 image.
pub struct Disk {
    file: tempfile::NamedTempFile,
}

impl Disk {
    /// Named `label`, with the busybox root's archive as `images/root.tar.zst`.
    pub fn of_images(label: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("images")).expect("a directory");
        fs::write(dir.path().join("images/root.tar.zst"), &*Root::busybox().bytes).expect("an archive");
        Self::of(label, dir.path())
    }

    /// The busybox root itself, as an installed system's.
    pub fn of_a_system(label: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tree = dir.path().join("tree");
        let done = Command::new(bootjack())
            .arg("unpack")
            .args([made("lab/busybox.tar.zst"), tree.clone()])
            .output()
            .expect("bootjack runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Self::of(label, &tree)
    }

    /// For [`Theirs::boot`].
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    fn of(label: &str, tree: &Path) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let done = Command::new("mkfs.ext4")
            .args(["-q", "-F", "-L", label, "-d"])
            .args([tree, file.path(), Path::new("64m")])
            .output()
            .expect("e2fsprogs is installed: lab/need.sh vm");
        assert!(done.status.success(), "mkfs.ext4: {}", String::from_utf8_lossy(&done.stderr));
        Self { file }
    }
}

/// The busybox root on a server: its URL, its digest.
pub fn served(server: &Server) -> (String, String) {
    let root = Root::busybox();
    (server.put("busybox.tar.zst", &[Answer::Good(root.bytes.clone())]), root.sha256)
}

/// Waits until it is said that the archive is the one that was meant; of another it is said that it is "not verified".
pub fn is_verified(vm: &mut Vm) {
    vm.expect("verified");
    assert!(!vm.log().contains("not verified"), "{}", vm.log());
}

/// The same root as an image.
pub fn served_image(server: &Server, kind: Image) -> (String, String) {
    let root = Root::image(kind);
    (server.put("busybox.img", &[Answer::Good(root.bytes.clone())]), root.sha256)
}

/// Waits until the busybox root has said that it is read in place, and is gone.
pub fn is_an_image(mut vm: Vm) {
    vm.expect("read in place");
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(vm.fact("pid"), "1");
    assert!(vm.fact("root").starts_with("bootjack / overlay rw"), "{}", vm.fact("root"));
    assert_eq!(vm.fact("owner"), "1234:5678 640");
}

/// Waits until the busybox root has said that it is one that was unpacked, and is gone.
pub fn is_unpacked(mut vm: Vm) -> Vm {
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(vm.fact("pid"), "1");
    assert!(vm.fact("root").starts_with("bootjack / tmpfs "), "{}", vm.fact("root"));
    assert_eq!(vm.fact("owner"), "1234:5678 640");
    vm
}
