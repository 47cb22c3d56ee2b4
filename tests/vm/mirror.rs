//! Mirrors as they are: `bootjack serve` in a process of its own, which can be killed and started again, behind a link of so
//! many bytes a second. Guests reach it as 10.0.2.2.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::lab::bootjack;

/// What a link carries at once.
const PIECE: usize = 16 << 10;

pub struct Mirror {
    dir: PathBuf,
    /// Where the guest asks.
    port: u16,
    /// Where the server behind the link is.
    behind: Arc<Mutex<Option<u16>>>,
    /// Bytes that came over the link so far.
    carried: Arc<(Mutex<u64>, Condvar)>,
    server: Option<Child>,
    log: tempfile::NamedTempFile,
}

impl Mirror {
    /// Serves a directory at this many bytes a second.
    pub fn of(dir: &Path, rate: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let behind = Arc::new(Mutex::new(None));
        let carried = Arc::new((Mutex::new(0), Condvar::new()));
        let (to, count) = (behind.clone(), carried.clone());
        // Ends with the test.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = *to.lock().expect("no panic in the mirror");
                // A dead server closes at once, as the kernel of its machine would.
                let Some(server) = server.and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok())
                else {
                    continue;
                };
                let count = count.clone();
                std::thread::spawn(move || relay(&client, &server, rate, &count));
            }
        });
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut mirror = Self { dir: dir.to_owned(), port, behind, carried, server: None, log };
        mirror.start();
        mirror
    }

    /// The server starts, or starts again.
    pub fn start(&mut self) {
        let log = File::options().append(true).open(self.log.path()).expect("the log");
        let mut server = Command::new(bootjack())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg(&self.dir)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("bootjack serve runs");
        let mut url = String::new();
        let stdout = server.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut url).expect("its URL");
        let port = url.trim_end().trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        *self.behind.lock().expect("no panic in the mirror") = Some(port.expect("a port"));
        self.server = Some(server);
    }

    /// SIGKILL, in the middle of whatever it does.
    pub fn kill(&mut self) {
        *self.behind.lock().expect("no panic in the mirror") = None;
        let mut server = self.server.take().expect("it runs");
        server.kill().expect("killing it");
        server.wait().expect("it ends");
    }

    /// Waits until so many bytes came over the link, over all connections.
    pub fn wait_for(&self, bytes: u64) {
        let (count, bell) = &*self.carried;
        let count = count.lock().expect("no panic in the mirror");
        let patience = Duration::from_secs(120);
        let (_count, late) =
            bell.wait_timeout_while(count, patience, |count| *count < bytes).expect("no panic in the mirror");
        assert!(!late.timed_out(), "nobody fetches {bytes} bytes");
    }

    pub fn carried(&self) -> u64 {
        *self.carried.0.lock().expect("no panic in the mirror")
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://10.0.2.2:{}/{name}", self.port)
    }

    /// What the server said of each request: `GET /name STATUS BYTES`.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("the log")
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _gone = server.kill();
            let _reaped = server.wait();
        }
    }
}

/// Both directions, until one of them ends.
fn relay(client: &TcpStream, server: &TcpStream, rate: u64, count: &(Mutex<u64>, Condvar)) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to) = (client, server);
            drop(std::io::copy(&mut from, &mut to));
            drop(server.shutdown(Shutdown::Write));
        });
        let (mut from, mut to, mut piece) = (server, client, [0; PIECE]);
        while let Ok(n @ 1..) = from.read(&mut piece) {
            if to.write_all(&piece[..n]).is_err() {
                break;
            }
            *count.0.lock().expect("no panic in the mirror") += n as u64;
            count.1.notify_all();
            // The link's own time.
            std::thread::sleep(Duration::from_secs_f64(n as f64 / rate as f64));
        }
        drop((client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both)));
    });
}
