//! An NFS server of versions 3 and 4 (nfs-ganesha, with rpcbind) and a wire to it that may fall silent, all on a
//! loopback of the journey's own: guests reach it as 10.0.2.2, and nobody else does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

/// A running server of one directory as `/export`, and of `/private`, where it lets nobody in.
pub struct Nfs {
    dir: tempfile::TempDir,
    running: Vec<Child>,
}

impl Nfs {
    /// Takes this thread, and whatever it starts from now on, to a network of its own.
    ///
    /// # Panics
    /// Without the rights for that: the server needs root anyway.
    pub fn on_an_own_network() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("this journey needs root");
        // rpcbind's socket and its lock are files.
        run("mount", &["--make-rprivate", "/"]);
        run("mount", &["-t", "tmpfs", "none", "/run"]);
        run("ip", &["link", "set", "lo", "up"]);
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["export/images", "private", "recovery"] {
            std::fs::create_dir_all(dir.path().join(name)).expect("a directory");
        }
        let mut nfs = Self { dir, running: Vec::new() };
        nfs.start("/sbin/rpcbind", &["-f"]);
        nfs.wait_for(111);
        let config = nfs.dir.path().join("ganesha.conf");
        std::fs::write(&config, config_of(nfs.dir.path())).expect("a configuration");
        let [config, log, pid] = ["ganesha.conf", "log", "pid"].map(|name| nfs.path(name));
        nfs.start("/usr/bin/ganesha.nfsd", &["-F", "-f", &config, "-L", &log, "-p", &pid]);
        nfs.wait_for(2049);
        nfs
    }

    /// A file below the export.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join("export").join(name), bytes).expect("a file");
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn start(&mut self, program: &str, words: &[&str]) {
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| panic!("{program}: {e} (lab/need.sh vm)"));
        self.running.push(child);
    }

    fn wait_for(&mut self, port: u16) {
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let ended = self.running.last_mut().expect("started").try_wait().expect("waiting");
            assert_eq!(ended, None, "the server of port {port} ended: {log}");
            assert!(Instant::now() < until, "nobody listens at port {port}: {log}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Nfs {
    fn drop(&mut self) {
        for child in &mut self.running {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn run(program: &str, words: &[&str]) {
    let done = Command::new(program).args(words).status().expect("it runs");
    assert!(done.success(), "{program} {words:?}");
}

fn config_of(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "NFS_CORE_PARAM {{ Protocols = 3,4; Enable_NLM = false; Enable_RQUOTA = false; mount_path_pseudo = true; }}\n\
         NFS_KRB5 {{ Active_krb5 = false; }}\n\
         NFSv4 {{ RecoveryBackend = fs; RecoveryRoot = {dir}/recovery; Graceless = true; }}\n\
         EXPORT_DEFAULTS {{ Squash = No_Root_Squash; SecType = sys; Protocols = 3,4; Transports = TCP; }}\n\
         EXPORT {{ Export_Id = 1; Path = {dir}/export; Pseudo = /export; Access_Type = RO; FSAL {{ Name = VFS; }} }}\n\
         EXPORT {{ Export_Id = 2; Path = {dir}/private; Pseudo = /private; Access_Type = NONE; FSAL {{ Name = VFS; }} }}\n"
    )
}

/// A port that leads to the server until so many bytes of it have passed; from then on nothing comes, and nothing ends.
pub fn falling_silent_after(bytes: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    // Ends with the test.
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for client in listener.incoming().flatten() {
            if !silent.is_empty() {
                silent.push(client);
                continue;
            }
            let server = TcpStream::connect("127.0.0.1:2049").expect("the server is there");
            let (mut from, mut to) =
                (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            std::thread::spawn(move || {
                drop(std::io::copy(&mut from, &mut to));
                drop(to.shutdown(Shutdown::Both));
            });
            let (mut from, mut to) = (server, client);
            let (mut left, mut buffer) = (bytes, vec![0; 64 << 10]);
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                if n > left {
                    break;
                }
                left -= n;
                drop(to.write_all(&buffer[..n]));
            }
            silent.push(to);
        }
    });
    port
}
