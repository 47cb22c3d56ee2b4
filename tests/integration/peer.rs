//! Servers that others wrote, on loopback, for as long as a test lasts.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; dropped, it is gone.
pub struct Peer {
    child: Child,
    pub port: u16,
    _config: Option<tempfile::NamedTempFile>,
}

impl Peer {
    /// An FTP server of this directory: pyftpdlib. Without a user it is open to everybody.
    pub fn ftp(directory: &std::path::Path, user: Option<(&str, &str)>) -> Self {
        let port = free_tcp_port();
        let mut server = Command::new("/usr/bin/python3");
        server.args(["-m", "pyftpdlib", "-i", "127.0.0.1", "-p", &port.to_string(), "-d"]).arg(directory);
        if let Some((user, password)) = user {
            server.args(["-u", user, "-P", password]);
        }
        Self::start(server, port, None).answering()
    }

    /// A TFTP server of this directory: atftpd. A client asks again until it is there.
    pub fn tftp(directory: &std::path::Path, more: &[&str]) -> Self {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new("/usr/sbin/atftpd");
        server.args(["--daemon", "--no-fork", "--bind-address", "127.0.0.1", "--user", "root.root"]);
        server.args(["--logfile", "-", "--port", &port.to_string()]).args(more).arg(directory);
        Self::start(server, port, None)
    }

    /// An HTTP proxy that wants `user` and `password`: tinyproxy.
    pub fn proxy(user: &str, password: &str) -> Self {
        let port = free_tcp_port();
        let config = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 600\nMaxClients 20\nBasicAuth {user} {password}\n"
        );
        std::fs::write(config.path(), text).unwrap();
        let mut server = Command::new("/usr/bin/tinyproxy");
        server.args(["-d", "-c"]).arg(config.path());
        Self::start(server, port, Some(config)).answering()
    }

    fn start(mut server: Command, port: u16, config: Option<tempfile::NamedTempFile>) -> Self {
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = server
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e} (lab/need.sh loopback)", server.get_program().display()));
        Self { child, port, _config: config }
    }

    fn answering(mut self) -> Self {
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert_eq!(self.child.try_wait().unwrap(), None, "the server ended by itself");
            assert!(Instant::now() < until, "the server does not come up");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        self
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Nobody else's a moment ago: the kernel gives ports in turn.
fn free_tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
