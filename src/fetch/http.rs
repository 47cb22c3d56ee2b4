//! One try over HTTP: one request, and its body as a reader.
//!
//! The blocking client of reqwest cannot notice silence in a body nor be told to let go. So whoever waits here runs the
//! asynchronous one: each wait is cut into short ones, between which it looks whether it was told to stop. No thread
//! stands between the socket and the reader: what is read is copied once and is still in the cache when it is hashed.

use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use reqwest::{Client, Response, StatusCode, header, redirect};
use rustls::ClientConfig;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant as Timer, sleep_until, timeout};
use url::{Host, Url};

use super::dns::{Names, Told, asking};
use super::error::seconds;
use super::location::shown;
use super::range::{At, ContentRange, Version};
use super::{Config, Event, FetchError, Flow, Location, OnEvent, Proxy, Source, Timing, date, tls, urls};

/// How often a wait looks whether it was told to stop: well within the quarter of a second that is promised.
const PULSE: Duration = Duration::from_millis(100);

/// As browsers and curl's manual recommend; more is a loop.
const MAX_REDIRECTS: usize = 10;

/// Waits for the head of the answer, telling `on` every [`PULSE`]. Where another byte than the first is wanted, the source may
/// begin with the first all the same: [`Source::start`].
pub(super) fn open(
    config: &Config,
    tls: &ClientConfig,
    url: &Url,
    at: &At<'_>,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Source<'static>, FetchError> {
    Line::new(config, tls, url, timing)?.open(at, on)
}

/// A place that may be asked several times: one after the other over the same connection, if the server keeps it and the answer
/// before was read to its end.
pub(super) struct Line {
    client: Client,
    runtime: Driver,
    trace: Arc<Trace>,
    url: Url,
    timing: Timing,
}

impl Line {
    pub(super) fn new(
        config: &Config,
        tls: &ClientConfig,
        url: &Url,
        timing: &Timing,
    ) -> Result<Self, FetchError> {
        let trace = Arc::new(Trace::new(url, config.proxy.clone()));
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| trace.transient(&format!("starting: {e}"), None))?;
        let client = client(config, tls.clone(), timing, &trace)
            .map_err(|e| FetchError::Permanent(format!("{}: {}", shown(url), cause(&e))))?;
        let runtime = Driver(Some(Arc::new(runtime)));
        Ok(Self { client, runtime, trace, url: url.clone(), timing: timing.clone() })
    }

    /// As [`open`].
    pub(super) fn open(&self, at: &At<'_>, on: OnEvent<'_>) -> Result<Source<'static>, FetchError> {
        let (runtime, trace) = (self.runtime.clone(), self.trace.clone());
        trace.begin_anew(&self.url);
        let mut asking = Box::pin(ask(&self.client, &self.url, at, &self.timing, &trace));
        let Answer { response, url, start, end, total } = loop {
            if on(Event::Tick).is_break() {
                return Err(FetchError::Stopped);
            }
            if let Some(answer) = runtime.wait(PULSE, asking.as_mut()) {
                break answer?;
            }
        };
        drop(asking);
        let opening = trace.silent();
        trace.step(Step::Reading);
        let version = Version::of(response.headers());
        let (flow, stall) = (Flow::default(), self.timing.stall);
        let flows = flow.clone();
        let (piece, ended) = (Bytes::new(), end == Some(start) && at.range().is_some());
        let body = Body {
            response,
            runtime,
            piece,
            had: start,
            length: end,
            ended,
            opening,
            stall,
            trace,
            flow: flows,
        };
        let location = Location::Http(url);
        let part = at.end.and(end).filter(|end| total.is_none_or(|total| *end < total));
        Ok(Source { start, end: part, version, ..Source::whole(body, total, &location, &flow) })
    }
}

/// An answer that brings bytes.
struct Answer {
    response: Response,
    /// Redirects followed, with the credentials that are meant for it.
    url: Url,
    /// The first of them in the whole, and the one behind the last, where that is known.
    start: u64,
    end: Option<u64>,
    total: Option<u64>,
}

/// What waits for the socket, on the thread that wants the bytes. Taken out only to be let go, with the last that needs it.
#[derive(Clone)]
struct Driver(Option<Arc<Runtime>>);

impl Driver {
    /// What comes of it; nothing if that takes longer.
    fn wait<T>(&self, most: Duration, what: impl Future<Output = T>) -> Option<T> {
        let runtime = self.0.as_ref()?;
        runtime.block_on(async { timeout(most, what).await.ok() })
    }
}

impl Drop for Driver {
    /// Not waiting for anything a resolver may still have under way.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take().and_then(Arc::into_inner) {
            runtime.shutdown_background();
        }
    }
}

/// The body of an answer.
struct Body {
    response: Response,
    runtime: Driver,
    /// What came and was not handed out. Once all of it was, it goes: the client then reads into the same memory again.
    piece: Bytes,
    /// Which byte of the whole comes next.
    had: u64,
    /// The one behind the last of this body.
    length: Option<u64>,
    ended: bool,
    /// How long the head of the answer took.
    opening: Duration,
    stall: Duration,
    trace: Arc<Trace>,
    flow: Flow,
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.flow.broken() {
            return Err(error);
        }
        if buf.is_empty() || (self.piece.is_empty() && !self.more()?) {
            return Ok(0);
        }
        let n = self.piece.len().min(buf.len());
        buf[..n].copy_from_slice(&self.piece[..n]);
        if n == self.piece.len() {
            self.piece = Bytes::new();
        } else {
            self.piece.advance(n);
        }
        self.flow.passed(n);
        Ok(n)
    }
}

impl Body {
    /// Waits for the next piece; `false` at the end. Silence counts only here: a reader that takes its time is no stall.
    fn more(&mut self) -> io::Result<bool> {
        let begun = Instant::now();
        while !self.ended {
            let left = self.stall.saturating_sub(begun.elapsed());
            match self.runtime.wait(left.min(PULSE), self.response.chunk()) {
                Some(Ok(Some(piece))) if piece.is_empty() => {}
                Some(Ok(Some(piece))) => {
                    self.had += piece.len() as u64;
                    self.piece = piece;
                    return Ok(true);
                }
                Some(Ok(None)) if self.length.is_none_or(|length| length == self.had) => self.ended = true,
                Some(Ok(None)) => return Err(self.broken("the body ended", begun, ErrorKind::UnexpectedEof)),
                Some(Err(e)) => return Err(self.broken(&cause(&e), begun, ErrorKind::UnexpectedEof)),
                None if begun.elapsed() >= self.stall => {
                    let why = format!("nothing came for {}", seconds(self.stall));
                    return Err(self.broken(&why, begun, ErrorKind::TimedOut));
                }
                None => {
                    if let Some(error) = self.flow.broken() {
                        return Err(error);
                    }
                }
            }
        }
        Ok(false)
    }

    fn broken(&self, why: &str, waiting: Instant, kind: ErrorKind) -> io::Error {
        let of = self.length.map_or_else(String::new, |length| format!(" of {length}"));
        let text = self.trace.text(&format!("{why} after {}{of} bytes", self.had));
        let silent = self.opening + waiting.elapsed();
        self.flow.fail(FetchError::Transient { text, silent, retry_after: None }, kind)
    }
}

/// An answer that is `200 OK`, or what was asked for of it.
async fn ask(
    client: &Client,
    url: &Url,
    at: &At<'_>,
    timing: &Timing,
    trace: &Trace,
) -> Result<Answer, FetchError> {
    let (response, url) = follow(client, url, at, timing, trace).await?;
    let asked = at.range().is_some();
    match response.status() {
        StatusCode::OK => {
            let length = response.content_length();
            Ok(Answer { response, url, start: 0, end: length, total: length })
        }
        StatusCode::PARTIAL_CONTENT if asked => part(response, url, at.start, trace),
        StatusCode::RANGE_NOT_SATISFIABLE if asked => nothing_left(response, url, at.start, trace),
        _ => Err(refused(&response, trace)),
    }
}

/// The answer that is no redirect, and where it comes from. Each hop is a request of its own: what the one before was asked
/// with, a password of the server or of the proxy, is not the next one's.
async fn follow(
    client: &Client,
    asked: &Url,
    at: &At<'_>,
    timing: &Timing,
    trace: &Trace,
) -> Result<(Response, Url), FetchError> {
    let mut url = asked.clone();
    for _ in 0..=MAX_REDIRECTS {
        let mut request = client.get(url.clone());
        if let Some(range) = at.range() {
            request = request.header(header::RANGE, range);
            if let Some(version) = at.unchanged.and_then(Version::strong) {
                request = request.header(header::IF_RANGE, version);
            }
        }
        let response = head(request.send(), timing, trace).await?;
        let Some(to) = redirected(&response) else { return Ok((response, url)) };
        let wrong =
            |why: &str| FetchError::Permanent(format!("{}: following a redirect: {why}", trace.url()));
        let next = urls::join(&url, to).map_err(|why| wrong(&format!("{to:?}: {why}")))?;
        if !matches!(next.scheme(), "http" | "https") {
            return Err(wrong(&format!("it leads to {}", shown(&next))));
        }
        if url.scheme() == "https" && next.scheme() != "https" {
            return Err(wrong(&format!(
                "redirected from https to {}, which nobody vouches for",
                shown(&next)
            )));
        }
        url = with_credentials(&next, &url);
        trace.begin(&url);
    }
    let text = format!("{}: following a redirect: more than {MAX_REDIRECTS} redirects", trace.url());
    Err(FetchError::Permanent(text))
}

/// Where the answer leads (RFC 9110, section 15.4).
fn redirected(response: &Response) -> Option<&str> {
    let leads = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    let to = response.headers().get(header::LOCATION).filter(|_| leads.contains(&response.status()))?;
    to.to_str().ok()
}

/// `206`: it must be the part that was asked for; it may end before the whole does (RFC 9110, section 15.3.7).
fn part(response: Response, url: Url, wanted: u64, trace: &Trace) -> Result<Answer, FetchError> {
    let over = |why: String| FetchError::StartOver(format!("{}: {why}", trace.url()));
    let range = ContentRange::of(response.headers());
    let Some(ContentRange { part: Some((first, last)), total }) = range else {
        return Err(over(format!("asked for byte {wanted} on, it does not say which bytes it sends")));
    };
    if first != wanted {
        return Err(over(format!("asked for byte {wanted} on, it sends those from {first} on")));
    }
    let end = last.checked_add(1);
    if response.content_length().is_some_and(|length| wanted.checked_add(length) != end) {
        return Err(over(format!("bytes {first} to {last} are not as many as it sends")));
    }
    Ok(Answer { response, url, start: wanted, end, total })
}

/// `416`: right if every byte was there already, and only that there are no more was not known.
fn nothing_left(response: Response, url: Url, wanted: u64, trace: &Trace) -> Result<Answer, FetchError> {
    match ContentRange::of(response.headers()) {
        Some(ContentRange { part: None, total: Some(total) }) if total == wanted => {
            Ok(Answer { response, url, start: wanted, end: Some(wanted), total: Some(total) })
        }
        said => {
            let has = said.and_then(|range| range.total).map(|total| format!(": it has {total} bytes"));
            let text = format!("{}: there is no byte {wanted}{}", trace.url(), has.unwrap_or_default());
            Err(FetchError::StartOver(text))
        }
    }
}

/// What a place leads to, or what stands relative to a text there, is fetched with the credentials of the place, from its
/// own origin and from no other (RFC 9110, section 11.5).
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
    let (resolved, begun) = (trace.clone(), trace.clone());
    tls.resumption = tls::telling(move || begun.step(Step::Tls));
    let names = Names::new(config, Arc::new(move |told: Told<'_>| resolved.told(&told)));
    let mut identity = header::HeaderMap::new();
    // The bytes as they lie there: the digest is over those, and a name ending in .gz is not a transport encoding.
    identity.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"));
    // Only the proxy that was named: nothing of the environment.
    let builder = Client::builder().no_proxy();
    let builder = match config.proxy.clone() {
        Some(proxy) => builder.proxy(reqwest::Proxy::custom(move |server| proxy.of(server).cloned())),
        None => builder,
    };
    builder
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(names))
        .referer(false)
        .user_agent(concat!("bootjack/", env!("CARGO_PKG_VERSION")))
        .default_headers(identity)
        .connect_timeout(timing.connect)
        // Followed here.
        .redirect(redirect::Policy::none())
        .build()
}

/// Each hop may take the time to connect and then the time of a stall.
async fn head(
    request: impl Future<Output = reqwest::Result<Response>>,
    timing: &Timing,
    trace: &Trace,
) -> Result<Response, FetchError> {
    tokio::pin!(request);
    let allowed = timing.connect + timing.stall;
    loop {
        let deadline = trace.since() + allowed;
        tokio::select! {
            answer = &mut request => return answer.map_err(|e| trace.failed(&e)),
            () = sleep_until(Timer::from_std(deadline)) => {
                // A redirect moves the deadline.
                if trace.since() + allowed <= Instant::now() {
                    trace.step(Step::Waiting);
                    let text = format!("nothing came for {}", seconds(allowed));
                    return Err(trace.transient(&text, None));
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
    /// Asked in place of servers: then its addresses are the ones above.
    proxy: Option<Proxy>,
    /// When this hop began, and when the try did.
    since: Instant,
    begun: Instant,
}

impl Hop {
    /// The proxy that is asked, if one is.
    fn via(&self) -> Option<&Url> {
        self.proxy.as_ref()?.of(&self.url)
    }

    /// Whom the connection is to.
    fn reached(&self) -> &Url {
        self.via().unwrap_or(&self.url)
    }
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
    fn new(url: &Url, proxy: Option<Proxy>) -> Self {
        let now = Instant::now();
        let via = proxy.as_ref().and_then(|proxy| proxy.of(url));
        let (step, addresses) = at_first(via.unwrap_or(url));
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
        hop.url = url.clone();
        (hop.step, hop.addresses) = at_first(hop.reached());
        hop.since = Instant::now();
    }

    /// The same is asked once more.
    fn begin_anew(&self, url: &Url) {
        self.begin(url);
        let mut hop = self.hop();
        hop.begun = hop.since;
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
        let via = hop.via().map(|proxy| format!(" through the proxy {}", shown(proxy)));
        let url = if now == hop.asked { now } else { format!("{} (redirected to {now})", hop.asked) };
        url + &via.unwrap_or_default()
    }

    /// `URL: step: cause`.
    fn text(&self, cause: &str) -> String {
        let url = self.url();
        let hop = self.hop();
        let reached = hop.reached();
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
        if error.is_builder() {
            return FetchError::Permanent(self.text(&cause(error)));
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
