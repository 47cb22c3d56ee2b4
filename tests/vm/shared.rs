//! Directories of this host for a machine: a virtiofsd each, and QEMU's words for it. Ends with the journey.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where Debian's packages leave it: qemu-system-common up to bookworm, virtiofsd later.
const PLACES: [&str; 2] = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/// A directory that is shared under a tag; dropped, it is not any more.
pub struct Shared {
    daemon: Child,
    words: Vec<String>,
    /// Holds the socket.
    _dir: tempfile::TempDir,
}

impl Shared {
    /// Shares `path` under `tag` with a machine of so many MiB.
    pub fn new(tag: &str, path: &Path, memory: u32) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).expect("a socket");
        rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).expect("handing on a socket");
        let program = PLACES.iter().map(PathBuf::from).find(|place| place.exists());
        let program = program.expect("virtiofsd is installed: lab/need.sh vm");
        let mut command = Command::new(&program);
        command.arg(format!("--fd={}", listener.as_raw_fd()));
        if program.starts_with("/usr/lib/qemu") {
            command.args(["-o", &format!("source={},sandbox=chroot,log_level=warn", path.display())]);
        } else {
            command.args(["--sandbox", "chroot", "--shared-dir"]).arg(path);
        }
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("virtiofsd runs");
        let memory = format!("memory-backend-memfd,id=mem,size={memory}M,share=on");
        let chardev = format!("socket,id=fs,path={}", socket.display());
        let device = format!("vhost-user-fs-pci,chardev=fs,tag={tag}");
        let words =
            ["-object", &memory, "-numa", "node,memdev=mem", "-chardev", &chardev, "-device", &device];
        Self { daemon, words: words.map(str::to_owned).to_vec(), _dir: dir }
    }

    /// For [`crate::machine::Options::devices`].
    pub fn devices(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // It ends by itself when the machine does: both calls say so then, and nothing is left to do.
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}
