//! One try over HTTP: a thread of its own with one request and, of its answer, a bounded queue of pieces.
//!
//! The blocking client of reqwest cannot notice silence in a body nor be told to let go. So the thread runs the
//! asynchronous one, each wait under its timer and all of it under "the reader is gone": it never outlives its reader.

use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode, header, redirect};
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tokio::time::{Instant as Timer, sleep_until, timeout};
use url::{Host, Url};

use super::dns::{Names, Told, asking};
use super::error::seconds;
use super::location::shown;
use super::{Config, Event, FetchError, Flow, Location, OnEvent, Source, Timing, date, tls};

/// Pieces that may wait for the reader. hyper hands out at most about 400 KiB at once, so at most some 3 MiB wait. From
/// 2 to 32 the rate on loopback was the same (measured; a decoder's bursts are what the few are for), the memory not.
const QUEUE: usize = 8;

/// How often a wait looks whether it was told to stop: well within the quarter of a second that is promised.
const PULSE: Duration = Duration::from_millis(100);

/// As browsers and curl's manual recommend; more is a loop.
const MAX_REDIRECTS: usize = 10;

/// What the thread sends: one head, any number of pieces, and an end, or somewhere in it what broke it.
enum Message {
    Head { length: Option<u64>, url: Url },
    Piece(Vec<u8>),
    End,
    Broken(FetchError, io::ErrorKind),
}

/// The thread's end.
struct Queue {
    messages: SyncSender<Message>,
    empties: Receiver<Vec<u8>>,
}

impl Queue {
    /// Sends a copy: hyper reads into the same memory again once its piece is gone, and memory that is asked of the
    /// system anew for each piece costs more than the copy (measured: half of the thread's time).
    fn send(&self, piece: &[u8]) -> Result<(), SendError<Message>> {
        let mut buffer = self.empties.try_recv().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(piece);
        self.messages.send(Message::Piece(buffer))
    }
}

/// Waits for the head of the answer, telling `on` every [`PULSE`].
pub(super) fn open(
    config: &Config,
    tls: &ClientConfig,
    url: &Url,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Source, FetchError> {
    let (messages, receiver) = sync_channel(QUEUE);
    let (free, empties) = channel();
    let queue = Queue { messages, empties };
    let (here, gone) = oneshot::channel();
    let (config, tls, asked, timing) = (config.clone(), tls.clone(), url.clone(), timing.clone());
    let fetch = move || fetch_until_gone(&config, tls, asked, &timing, &queue, gone);
    std::thread::Builder::new().name("fetch".into()).spawn(fetch).map_err(|e| FetchError::Transient {
        text: format!("{}: starting a thread: {e}", shown(url)),
        silent: Duration::ZERO,
        retry_after: None,
    })?;
    loop {
        if on(Event::Tick).is_break() {
            return Err(FetchError::Stopped);
        }
        match receiver.recv_timeout(PULSE) {
            Ok(Message::Head { length, url }) => {
                let flow = Flow::default();
                let name = shown(&url);
                let (piece, flows) = (Vec::new(), flow.clone());
                let reader =
                    Body { receiver, piece, at: 0, free, ended: false, name, flow: flows, _here: here };
                return Ok(Source { reader: Box::new(reader), length, location: Location::Http(url), flow });
            }
            Ok(Message::Broken(error, _)) => return Err(error),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::Piece(_) | Message::End) | Err(RecvTimeoutError::Disconnected) => {
                return Err(died(&shown(url)));
            }
        }
    }
}

/// The reader's side: hands out pieces, and silence only as long as nobody asks to stop.
struct Body {
    receiver: Receiver<Message>,
    /// What is handed out, and how much of it was.
    piece: Vec<u8>,
    at: usize,
    /// Buffers go back to the thread.
    free: Sender<Vec<u8>>,
    ended: bool,
    name: String,
    flow: Flow,
    /// Dropped with the reader, which ends the thread.
    _here: oneshot::Sender<()>,
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(error) = self.flow.broken() {
                return Err(error);
            }
            if buf.is_empty() || self.ended {
                return Ok(0);
            }
            if self.at < self.piece.len() {
                let rest = &self.piece[self.at..];
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                self.at += n;
                self.flow.passed(n);
                return Ok(n);
            }
            match self.receiver.recv_timeout(PULSE) {
                Ok(Message::Piece(piece)) => {
                    let used = std::mem::replace(&mut self.piece, piece);
                    self.at = 0;
                    // The thread may be at its end already and need none.
                    let _ended = self.free.send(used);
                }
                Ok(Message::End) => self.ended = true,
                Ok(Message::Broken(error, kind)) => return Err(self.flow.fail(error, kind)),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Head { .. }) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.flow.fail(died(&self.name), io::ErrorKind::Other));
                }
            }
        }
    }
}

fn died(name: &str) -> FetchError {
    let text = format!("{name}: the fetching thread ended without a word");
    FetchError::Transient { text, silent: Duration::ZERO, retry_after: None }
}

/// The thread.
fn fetch_until_gone(
    config: &Config,
    tls: ClientConfig,
    url: Url,
    timing: &Timing,
    queue: &Queue,
    gone: oneshot::Receiver<()>,
) {
    let trace = Arc::new(Trace::new(&url, config.proxy.clone()));
    // A send that fails means that the reader is gone: then nobody wants to know.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let broken = trace.transient(&format!("starting: {e}"), None);
            let _gone = queue.messages.send(Message::Broken(broken, io::ErrorKind::Other));
            return;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            _ = gone => {}
            result = fetch(config, tls, url, timing, queue, &trace) => {
                if let Err((error, kind)) = result {
                    let _gone = queue.messages.send(Message::Broken(error, kind));
                }
            }
        }
    });
    // Not waiting for anything a resolver may still have under way.
    runtime.shutdown_background();
}

type Broken = (FetchError, io::ErrorKind);

async fn fetch(
    config: &Config,
    tls: ClientConfig,
    url: Url,
    timing: &Timing,
    queue: &Queue,
    trace: &Arc<Trace>,
) -> Result<(), Broken> {
    let client = client(config, tls, timing, trace).map_err(|e| {
        (FetchError::Permanent(format!("{}: {}", shown(&url), cause(&e))), io::ErrorKind::Other)
    })?;
    let response = head(client.get(url.clone()).send(), timing, trace).await?;
    if response.status() != StatusCode::OK {
        return Err((refused(&response, trace), io::ErrorKind::Other));
    }
    let length = response.content_length();
    let head = Message::Head { length, url: with_credentials(response.url(), &url) };
    let opening = trace.silent();
    match queue.messages.send(head) {
        Ok(()) => body(response, length, opening, timing, queue, trace).await,
        Err(_) => Ok(()),
    }
}

/// The client takes user and password out of the URLs it speaks of. What stands relative to a text is fetched with the
/// credentials of the text, from its own origin and from no other (RFC 9110, section 11.5).
fn with_credentials(reached: &Url, asked: &Url) -> Url {
    let mut url = reached.clone();
    if url.origin() == asked.origin() && url.username().is_empty() && url.password().is_none() {
        // Both fail only without a host, and then there was nothing to ask.
        let (_no_host, _nor_here) = (url.set_username(asked.username()), url.set_password(asked.password()));
    }
    url
}

fn client(
    config: &Config,
    mut tls: ClientConfig,
    timing: &Timing,
    trace: &Arc<Trace>,
) -> reqwest::Result<Client> {
    let (resolved, begun, hop) = (trace.clone(), trace.clone(), trace.clone());
    tls.resumption = tls::telling(move || begun.step(Step::Tls));
    let names = Names::new(config, Arc::new(move |told: Told<'_>| resolved.told(&told)));
    let mut identity = header::HeaderMap::new();
    // The bytes as they lie there: the digest is over those, and a name ending in .gz is not a transport encoding.
    identity.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"));
    // Only the proxy that was named: nothing of the environment.
    let builder = Client::builder().no_proxy();
    let builder = match &config.proxy {
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone())?),
        None => builder,
    };
    builder
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(names))
        .referer(false)
        .user_agent(concat!("bootjack/", env!("CARGO_PKG_VERSION")))
        .default_headers(identity)
        .connect_timeout(timing.connect)
        .redirect(redirect::Policy::custom(move |attempt| {
            let safe_before = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
            if attempt.previous().len() > MAX_REDIRECTS {
                return attempt.error(format!("more than {MAX_REDIRECTS} redirects"));
            }
            if safe_before && attempt.url().scheme() != "https" {
                let to = shown(attempt.url());
                return attempt.error(format!("redirected from https to {to}, which nobody vouches for"));
            }
            hop.begin(attempt.url());
            attempt.follow()
        }))
        .build()
}

/// Each hop may take the time to connect and then the time of a stall.
async fn head(
    request: impl Future<Output = reqwest::Result<Response>>,
    timing: &Timing,
    trace: &Trace,
) -> Result<Response, Broken> {
    tokio::pin!(request);
    let allowed = timing.connect + timing.stall;
    loop {
        let deadline = trace.since() + allowed;
        tokio::select! {
            answer = &mut request => return answer.map_err(|e| (trace.failed(&e), io::ErrorKind::Other)),
            () = sleep_until(Timer::from_std(deadline)) => {
                // A redirect moves the deadline.
                if trace.since() + allowed <= Instant::now() {
                    trace.step(Step::Waiting);
                    let text = format!("nothing came for {}", seconds(allowed));
                    return Err((trace.transient(&text, None), io::ErrorKind::TimedOut));
                }
            }
        }
    }
}

fn refused(response: &Response, trace: &Trace) -> FetchError {
    let status = response.status();
    let text = format!("{}: server answered {status}", trace.url());
    let again = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
    if !again {
        return FetchError::Permanent(text);
    }
    let asked = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = asked.and_then(|text| date::retry_after(text, date::now()));
    FetchError::Transient { text, silent: trace.silent(), retry_after }
}

async fn body(
    mut response: Response,
    length: Option<u64>,
    opening: Duration,
    timing: &Timing,
    queue: &Queue,
    trace: &Trace,
) -> Result<(), Broken> {
    trace.step(Step::Reading);
    let mut had: u64 = 0;
    let broken = |had: u64, why: &str, silent: Duration, kind| {
        let of = length.map_or_else(String::new, |length| format!(" of {length}"));
        let text = trace.text(&format!("{why} after {had}{of} bytes"));
        Err((FetchError::Transient { text, silent: opening + silent, retry_after: None }, kind))
    };
    loop {
        let waiting = Instant::now();
        match timeout(timing.stall, response.chunk()).await {
            Ok(Ok(Some(piece))) => {
                had += piece.len() as u64;
                // Waits while the queue is full: that is the reader's time, not the server's.
                if queue.send(&piece).is_err() {
                    return Ok(());
                }
            }
            Ok(Ok(None)) if length.is_none_or(|length| length == had) => {
                let _gone = queue.messages.send(Message::End);
                return Ok(());
            }
            Ok(Ok(None)) => {
                return broken(had, "the body ended", waiting.elapsed(), io::ErrorKind::UnexpectedEof);
            }
            Ok(Err(e)) => return broken(had, &cause(&e), waiting.elapsed(), io::ErrorKind::UnexpectedEof),
            Err(_) => {
                let why = format!("nothing came for {}", seconds(timing.stall));
                return broken(had, &why, timing.stall, io::ErrorKind::TimedOut);
            }
        }
    }
}

/// Where a try stands, for its error: which URL after which redirects, which step, which address.
struct Trace(Mutex<Hop>);

struct Hop {
    /// What the caller named, without a password.
    asked: String,
    /// Where the redirects have led.
    url: Url,
    step: Step,
    addresses: Vec<IpAddr>,
    /// The name servers that are asked, in words.
    asking: String,
    /// Asked in place of every server: its addresses are the ones above.
    proxy: Option<Url>,
    /// When this hop began, and when the try did.
    since: Instant,
    begun: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Resolving,
    Connecting,
    Tls,
    Waiting,
    Reading,
}

impl Trace {
    fn new(url: &Url, proxy: Option<Url>) -> Self {
        let now = Instant::now();
        let (step, addresses) = at_first(proxy.as_ref().unwrap_or(url));
        Self(Mutex::new(Hop {
            asked: shown(url),
            url: url.clone(),
            step,
            addresses,
            asking: String::new(),
            proxy,
            since: now,
            begun: now,
        }))
    }

    fn hop(&self) -> MutexGuard<'_, Hop> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, url: &Url) {
        let mut hop = self.hop();
        (hop.step, hop.addresses) = at_first(hop.proxy.as_ref().unwrap_or(url));
        hop.url = url.clone();
        hop.since = Instant::now();
    }

    fn told(&self, told: &Told<'_>) {
        let mut hop = self.hop();
        match told {
            Told::Asking(servers) => hop.asking = asking(servers),
            Told::Found(addresses) => {
                hop.addresses = addresses.to_vec();
                hop.step = Step::Connecting;
            }
        }
    }

    fn step(&self, step: Step) {
        self.hop().step = step;
    }

    fn since(&self) -> Instant {
        self.hop().since
    }

    fn silent(&self) -> Duration {
        self.hop().begun.elapsed()
    }

    /// The URL that was asked for, the one that a redirect led to, and who was asked in its place.
    fn url(&self) -> String {
        let hop = self.hop();
        let now = shown(&hop.url);
        let via = hop.proxy.as_ref().map(|proxy| format!(" through the proxy {}", shown(proxy)));
        let url = if now == hop.asked { now } else { format!("{} (redirected to {now})", hop.asked) };
        url + &via.unwrap_or_default()
    }

    /// `URL: step: cause`.
    fn text(&self, cause: &str) -> String {
        let url = self.url();
        let hop = self.hop();
        let reached = hop.proxy.as_ref().unwrap_or(&hop.url);
        let port = reached.port_or_known_default().unwrap_or(0);
        let host = reached.host_str().unwrap_or("");
        let peers: Vec<String> =
            hop.addresses.iter().map(|ip| std::net::SocketAddr::new(*ip, port).to_string()).collect();
        let peer = if peers.is_empty() { host.to_string() } else { peers.join(", ") };
        let step = match hop.step {
            Step::Resolving => format!("resolving {host}{}", hop.asking),
            Step::Connecting => format!("connecting to {peer}"),
            Step::Tls => format!("TLS with {peer}"),
            Step::Waiting => format!("waiting for the answer of {peer}"),
            Step::Reading => format!("reading from {peer}"),
        };
        format!("{url}: {step}: {cause}")
    }

    fn transient(&self, cause: &str, retry_after: Option<Duration>) -> FetchError {
        FetchError::Transient { text: self.text(cause), silent: self.silent(), retry_after }
    }

    /// An error before the head of the answer.
    fn failed(&self, error: &reqwest::Error) -> FetchError {
        if error.is_redirect() || error.is_builder() {
            return FetchError::Permanent(format!("{}: following a redirect: {}", self.url(), cause(error)));
        }
        if let Some(tls) = tls_error(error) {
            self.step(Step::Tls);
            return FetchError::Permanent(self.text(&tls::explain(tls)));
        }
        if !error.is_connect() {
            self.step(Step::Waiting);
        }
        if error.is_timeout() && error.is_connect() {
            return self.transient(&format!("no success within {}", seconds(self.since().elapsed())), None);
        }
        let cause = cause(error);
        match (error.is_connect(), cause.as_str()) {
            // The words of hyper-util for a tunnel that was refused.
            (true, "tunnel error: proxy authorization required") => {
                let why = "it wants user and password: write proxy=http://USER:PASSWORD@HOST:PORT";
                FetchError::Permanent(self.text(why))
            }
            (true, "tunnel error: unsuccessful") => self.transient("it opens no tunnel there", None),
            _ => self.transient(&cause, None),
        }
    }
}

/// An address in the URL needs no resolver.
fn at_first(url: &Url) -> (Step, Vec<IpAddr>) {
    match url.host() {
        Some(Host::Ipv4(ip)) => (Step::Connecting, vec![ip.into()]),
        Some(Host::Ipv6(ip)) => (Step::Connecting, vec![ip.into()]),
        _ => (Step::Resolving, vec![]),
    }
}

/// The innermost cause in its own words; the layers around it only repeat the step.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}

/// rustls hides in an `io::Error`, sometimes within another, and their `source` skips what they hold.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut link: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = link {
        if let Some(tls) = at.downcast_ref() {
            return Some(tls);
        }
        let held = at.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        link = held.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| at.source());
    }
    None
}
