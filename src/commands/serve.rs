//! `bootjack serve`: an HTTP server for catalogs and images, enough for a lab or a first try. What a request means is
//! `request`'s and `answer`'s, what lies in the directory `tree`'s; here is the traffic.

mod answer;
mod pace;
mod request;
mod tree;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::load::{Failure, Phase};
use answer::{Answer, Body};
use pace::{FLOOR, paced, send_file};
use request::Request;
use tree::Tree;

/// Clients served at a time; more wait in the kernel's backlog. A thread each, 64 KiB of stack in use at most.
const CLIENTS: usize = 64;
/// A connection is closed when its next request has not come within this.
const IDLE: Duration = Duration::from_secs(15);
/// All the time there is for reading what a client still sends.
const FAREWELL: Duration = Duration::from_secs(5);
/// The longest head of a request (as nginx and Apache: 8 KiB a line).
const HEAD: usize = 16 << 10;
/// Serve a directory over HTTP
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Example: bootjack serve --listen 0.0.0.0:8080 /srv/images\n\n\
    The first line on stdout is the URL; requests are logged on stderr. Nothing outside DIR is served,\n\
    symbolic links out of it included. Ctrl-C ends it.")]
pub struct ServeArgs {
    /// The directory to serve
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
}

/// Prints the URL and serves until a signal ends the process.
///
/// # Errors
/// A directory that cannot be opened, an address that cannot be listened on.
pub fn run(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let failed = |e: anyhow::Error| Failure::new(Phase::Serve, args.dir.display().to_string(), e);
    let server = Server::bind(&args.dir, args.listen).map_err(failed)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", server.url())
        .and_then(|()| stdout.flush())
        .context("printing the URL")
        .map_err(failed)?;
    server.run(|line| {
        // A log that nobody reads any more is no reason to stop serving.
        let _closed = writeln!(io::stderr(), "{line}");
    });
    Ok(ExitCode::SUCCESS)
}

/// A directory and an address that is listened on.
pub struct Server {
    shared: Arc<Shared>,
    listener: TcpListener,
    addr: SocketAddr,
}

struct Shared {
    tree: Tree,
    ended: AtomicBool,
    clients: Mutex<usize>,
    left: Condvar,
}

/// A server that runs on threads of its own, until dropped.
pub struct Running {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

impl Server {
    /// Opens the directory and listens; nothing is answered before [`Server::run`].
    ///
    /// # Errors
    /// A directory that cannot be opened, an address that cannot be listened on.
    pub fn bind(dir: &Path, listen: SocketAddr) -> anyhow::Result<Self> {
        let tree = Tree::open(dir).context("opening the directory")?;
        let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
        let addr = listener.local_addr().context("asking for the port")?;
        let shared =
            Shared { tree, ended: AtomicBool::new(false), clients: Mutex::new(0), left: Condvar::new() };
        Ok(Self { shared: Arc::new(shared), listener, addr })
    }

    /// The address listened on, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://ADDR:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Serves on threads of its own until the answer is dropped; `log` gets a line a request.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn spawn(self, log: impl Fn(&str) + Clone + Send + 'static) -> io::Result<Running> {
        let running = Running { shared: self.shared.clone(), addr: self.addr };
        std::thread::Builder::new().name("serve".into()).spawn(move || self.run(log))?;
        Ok(running)
    }

    /// Serves; `log` gets a line a request: peer, method, target, status, bytes of body sent.
    pub fn run(self, log: impl Fn(&str) + Clone + Send + 'static) {
        loop {
            let place = Shared::place(&self.shared);
            let accepted = self.listener.accept();
            if self.shared.ended.load(Ordering::SeqCst) {
                return;
            }
            let started = accepted.and_then(|(stream, peer)| {
                let log = log.clone();
                std::thread::Builder::new().name("client".into()).spawn(move || {
                    if let Err(e) = place.0.converse(&stream, &|line| log(&format!("{peer} {line}"))) {
                        log(&format!("{peer} gone: {e}"));
                    }
                })
            });
            if let Err(e) = started {
                log(&format!("accepting: {e}"));
                // Out of descriptors or threads: some will come free; asking at once would only spin.
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the accept; when that fails there is no listener left to wake.
        let _woken = TcpStream::connect(self.addr);
    }
}

impl Running {
    /// The address listened on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Given back when the client's thread ends, however it ends.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.clients.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
    }
}

impl Shared {
    /// Waits until there is one.
    fn place(shared: &Arc<Self>) -> Place {
        let clients = shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let mut clients =
            shared.left.wait_while(clients, |n| *n >= CLIENTS).unwrap_or_else(PoisonError::into_inner);
        *clients += 1;
        Place(shared.clone())
    }

    /// With many clients nobody keeps a place without using it.
    fn crowded(&self) -> bool {
        *self.clients.lock().unwrap_or_else(PoisonError::into_inner) > CLIENTS / 2
    }

    /// Requests and answers, until either side has enough.
    fn converse(&self, stream: &TcpStream, log: &dyn Fn(&str)) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(FLOOR.within))?;
        let mut ahead = Vec::new();
        while let Some(head) = read_head(stream, &mut ahead)? {
            let (answer, line, keep) = match Request::parse(&head) {
                Ok(request) => {
                    let keep = request.keep && !self.crowded() && !self.ended.load(Ordering::SeqCst);
                    let line = format!("{} {}", request.method, request.target);
                    (answer::answer(&request, &self.tree), line, keep)
                }
                Err(status) => (Answer::refusal(status), "- -".to_string(), false),
            };
            let sent = send(stream, &answer, keep);
            let bytes = sent.as_ref().map_or_else(|(bytes, _)| *bytes, |bytes| *bytes);
            log(&format!("{line} {} {bytes}", answer.status.code));
            sent.map_err(|(_, e)| e)?;
            if !keep {
                return farewell(stream);
            }
        }
        Ok(())
    }
}

/// Reads up to the empty line; what came after it stays in `ahead`. `None`: the client is done, or too slow.
fn read_head(mut stream: &TcpStream, ahead: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let deadline = Instant::now() + IDLE;
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = ahead.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = ahead.split_off(end + 4);
            return Ok(Some(std::mem::replace(ahead, rest)));
        }
        if ahead.len() > HEAD {
            // Too long: parsed as it is, it will be refused.
            return Ok(Some(std::mem::take(ahead)));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok(None),
            Ok(n) => ahead.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        }
    }
}

/// Bytes of body sent; on an error those sent before it.
fn send(mut stream: &TcpStream, answer: &Answer, keep: bool) -> Result<u64, (u64, io::Error)> {
    stream.write_all(answer.head(keep).as_bytes()).map_err(|e| (0, e))?;
    match &answer.body {
        Body::None => Ok(0),
        Body::Text(text) => paced(stream, text.len() as u64, &FLOOR, |at| {
            let rest = usize::try_from(at).ok().and_then(|at| text.as_bytes().get(at..)).unwrap_or(&[]);
            stream.write(rest).map(|n| n as u64)
        }),
        Body::File { file, from, length } => send_file(stream, file, *from, *length, &FLOOR),
    }
}

/// Closes without losing what was just sent: a close with unread bytes resets the connection, and the reset may
/// overtake the answer (RFC 9112, section 9.6).
fn farewell(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut rest = [0; 4096];
    let end = Instant::now() + FAREWELL;
    // Not for ever: somebody who goes on sending is cut off.
    while Instant::now() < end {
        match stream.read(&mut rest) {
            Ok(n) if n > 0 => {}
            // Gone or silent: either way there is nothing left to wait for.
            _ => break,
        }
    }
    Ok(())
}
