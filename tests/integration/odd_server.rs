//! An HTTP server on loopback that does whatever a test says, right or wrong: one closure gets each request and the
//! bare stream. Connections are closed after one answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What a client said.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// How many requests came before it.
    pub number: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The client's stream, bare or in TLS.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

pub struct Odd {
    addr: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Request>>>,
    closing: Arc<AtomicBool>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl Odd {
    pub fn serve(script: impl Fn(&Request, &mut dyn Stream) + Send + Sync + 'static) -> Self {
        Self::start(None, script)
    }

    pub fn serve_tls(
        config: rustls::ServerConfig,
        script: impl Fn(&Request, &mut dyn Stream) + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(Arc::new(config)), script)
    }

    /// The body, whatever is asked for.
    pub fn of(body: &'static [u8]) -> Self {
        Self::serve(move |_, stream| answer(stream, "200 OK", &[], body))
    }

    fn start(
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(&Request, &mut dyn Stream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (seen, closing) = (Arc::new(Mutex::new(vec![])), Arc::new(AtomicBool::new(false)));
        let (all, end, script) = (seen.clone(), closing.clone(), Arc::new(script));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let (all, script, tls) = (all.clone(), script.clone(), tls.clone());
                std::thread::spawn(move || one(stream.unwrap(), tls, &all, &*script));
            }
        });
        Self { addr, scheme, seen, closing, accepting: Some(accepting) }
    }

    /// Of a path that begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.addr)
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _wake = TcpStream::connect(self.addr);
        if let Some(accepting) = self.accepting.take() {
            let _panicked = accepting.join();
        }
    }
}

fn one(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    seen: &Mutex<Vec<Request>>,
    script: &dyn Fn(&Request, &mut dyn Stream),
) {
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(config) => {
            Box::new(rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), stream))
        }
    };
    // A client that refuses the certificate never sends a request.
    let Some(request) = request(&mut *stream, seen) else { return };
    script(&request, &mut *stream);
    let _closed = stream.flush();
}

fn request(stream: &mut dyn Stream, seen: &Mutex<Vec<Request>>) -> Option<Request> {
    let mut lines = BufReader::with_capacity(1, stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':').map(|(n, v)| (n.to_lowercase(), v.trim().to_string())))
        .collect();
    let mut seen = seen.lock().unwrap();
    let request = Request { method, path, headers, number: seen.len() };
    seen.push(request.clone());
    Some(request)
}

/// A whole answer. The client may have gone: that is its business.
pub fn answer(stream: &mut dyn Stream, status: &str, headers: &[&str], body: &[u8]) {
    head(stream, status, headers, Some(body.len() as u64));
    let _gone = stream.write_all(body);
}

/// The head of an answer, with the length of the body to come, true or not.
pub fn head(stream: &mut dyn Stream, status: &str, headers: &[&str], length: Option<u64>) {
    let length = length.map_or(String::new(), |n| format!("content-length: {n}\r\n"));
    let more: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let _gone = write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n{length}{more}\r\n");
    let _gone = stream.flush();
}

/// Says nothing more until the client is gone.
pub fn silence(stream: &mut dyn Stream) {
    let _gone = std::io::copy(stream, &mut std::io::sink());
}
