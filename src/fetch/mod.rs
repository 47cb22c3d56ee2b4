//! Where bytes come from: [`Location`] names a place, [`Fetcher::open`] makes a reader of it, once; [`drive`] tries
//! again, over all mirrors, until the budget is spent. What the bytes mean, and whether they may be trusted, is for
//! others to say.

mod apart;
mod beside;
mod carried;
mod chunked;
pub mod date;
mod dns;
mod drive;
mod error;
mod file;
mod flow;
mod ftp;
mod http;
mod list;
mod location;
mod mirrors;
mod mounted;
mod nfs;
mod parallel;
mod pin;
mod proxy;
mod range;
pub mod retry;
mod shared;
mod slow;
mod stream;
mod tftp;
mod tls;
mod urls;
mod volume;

use std::io::{self, Read};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use crate::verify::Seal;
use crate::volumes::Assembly;
pub use drive::{Attempt, Exhausted, drive};
pub use error::FetchError;
pub use flow::Flow;
pub use location::{Location, LocationError};
pub use mirrors::Try;
pub use parallel::{CONNECTION, MOST_CONNECTIONS, connections};
pub use pin::Pin;
pub use proxy::{NoProxy, Proxy, parse_proxy};
use range::At;
pub use range::Version;
pub use slow::Pace;
pub use stream::Terms;

/// What a fetcher needs to know of the world.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// More certificate authorities: PEM files, each with one or more certificates.
    pub ca: Vec<PathBuf>,
    /// Only those, not the public ones built in.
    pub ca_only: bool,
    /// Name servers of the lease; empty: those of `/etc/resolv.conf`.
    pub nameservers: Vec<IpAddr>,
    /// Search domains of the lease.
    pub search: Vec<String>,
    /// `proxy=`: asked in place of HTTP servers.
    pub proxy: Option<Proxy>,
    /// `rd.noverifyssl`: whoever answers is believed. Said wherever trust is shown.
    pub unverified_tls: bool,
    /// What has to be put together before a block device is there.
    pub assembly: Assembly,
    /// What counts as slow, where there is another mirror.
    pub pace: Pace,
    /// How long a block device is waited for in all; absent: as long as any other place.
    pub device_wait: Option<Duration>,
}

/// An opened location.
pub struct Source<'a> {
    /// The bytes; an early end of a body whose length is known is an error of `read`.
    pub reader: Box<dyn Read + Send + 'a>,
    /// Bytes of the whole, where the place says so.
    pub length: Option<u64>,
    /// Where the bytes come from in the end (redirects followed): the base of relative locations in them.
    pub location: Location,
    /// To stop the reader, and to learn what broke it, after it was given away.
    pub flow: Flow,
    /// Which byte of the whole is the first to come.
    pub start: u64,
    /// The byte behind the last to come, if that is not the end of the whole: no more was asked for.
    pub end: Option<u64>,
    pub version: Version,
    /// Says at the end whether every chunk passed, where they are looked at.
    pub seal: Option<Seal>,
}

impl Source<'_> {
    /// What broke the reader, which said `error`.
    fn failure(&self, error: &io::Error) -> FetchError {
        let text = || format!("{}: {error}", self.location);
        self.flow.failure().unwrap_or_else(|| FetchError::Permanent(text()))
    }
}

impl Source<'static> {
    /// All bytes of a place that has no name for their version.
    fn whole(
        reader: impl Read + Send + 'static,
        length: Option<u64>,
        location: &Location,
        flow: &Flow,
    ) -> Self {
        let (location, flow) = (location.clone(), flow.clone());
        let version = Version::default();
        Self { reader: Box::new(reader), length, location, flow, start: 0, end: None, version, seal: None }
    }
}

/// Where a connection goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// A name or an address.
    pub host: String,
    pub port: u16,
    /// It is the proxy, and not the server itself.
    pub is_proxy: bool,
}

/// How long one try may wait for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Resolving, connecting and TLS together.
    pub connect: Duration,
    /// Each wait for the next byte; the head of the answer may take `connect` + `stall`.
    pub stall: Duration,
}

/// What a try may wait for each of its steps unless the budget is small.
const PATIENCE: Duration = Duration::from_secs(10);

impl Timing {
    /// 10 s for each, or a third of the budget where that is less. No budget at all means one try on each mirror, and
    /// that one has its 10 s.
    pub fn for_budget(retry_for: Duration) -> Self {
        let each = if retry_for.is_zero() { PATIENCE } else { PATIENCE.min(retry_for / 3) };
        // A timer of nothing would fail each try before it began.
        let each = each.max(Duration::from_millis(50));
        Self { connect: each, stall: each }
    }
}

/// What happens while bytes are waited for; the answer to each may be "stop".
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Nothing to say; asked at least four times a second so that a person can stop a wait.
    Tick,
    /// A try failed; the next is due after `wait` (zero: at once, on the next mirror).
    Retry(Box<Retrying>),
}

/// A try that failed, and what is next.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrying {
    /// The mirror that failed.
    pub location: Location,
    pub error: String,
    /// How many tries there were.
    pub attempt: u32,
    pub wait: Duration,
    /// What is left to be spent without a byte.
    pub budget_left: Duration,
    /// The mirror that is next.
    pub next: Location,
    /// The byte from which on it is asked: what came before is kept.
    pub from: u64,
    /// The bytes that came were not the right ones; otherwise they did not come.
    pub wrong_bytes: bool,
}

/// `Break` stops the fetch.
pub type OnEvent<'a> = &'a (dyn Fn(Event) -> ControlFlow<()> + Sync);

/// Opens locations. Clones are cheap and share what was read once.
#[derive(Clone)]
pub struct Fetcher {
    config: Config,
    tls: rustls::ClientConfig,
}

impl Fetcher {
    /// Reads the certificate authorities; name servers and the clock are looked at anew by each try.
    ///
    /// # Errors
    /// A CA file that cannot be read or holds no certificate.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self { config: config.clone(), tls: tls::config(config)? })
    }

    /// The same, but https servers are believed by their keys alone; as it is, if there are none.
    pub fn pinned(&self, pins: &[Pin]) -> Self {
        if pins.is_empty() {
            return self.clone();
        }
        Self { config: self.config.clone(), tls: tls::pinned(self.tls.clone(), pins) }
    }

    /// For every place where it is shown whom to trust: `UNVERIFIED TLS`, if whoever answers is believed.
    pub fn unverified_tls(&self) -> Option<&'static str> {
        self.config.unverified_tls.then_some("UNVERIFIED TLS")
    }

    /// Addresses of a name, as a fetch would look them up. The error is a line.
    ///
    /// # Errors
    /// No name server knows it, or none is known, or none answers within so long.
    pub fn look_up(&self, name: &str, within: Duration) -> Result<Vec<IpAddr>, String> {
        dns::look_up(&self.config, name, within)
    }

    /// Whom a connection for `location` goes to first; absent for what comes over none, or is no stream.
    pub fn first_hop(&self, location: &Location) -> Option<Hop> {
        let (url, is_proxy) = match location {
            Location::Http(url) => match self.config.proxy.as_ref().and_then(|proxy| proxy.of(url)) {
                Some(proxy) => (proxy, true),
                None => (url, false),
            },
            Location::Ftp(url) => (url, false),
            _ => return None,
        };
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default()?;
        Some(Hop { host, port, is_proxy })
    }

    /// One try to open `location`; `on` is asked at least four times a second. Redirects are followed (10 at most, never
    /// from https to http); a `Content-Encoding` is not undone.
    ///
    /// # Errors
    /// [`FetchError`]. A reader that breaks later says so in the error of `read`, and in [`Source::flow`].
    pub fn open(
        &self,
        location: &Location,
        timing: &Timing,
        on: OnEvent<'_>,
    ) -> Result<Source<'static>, FetchError> {
        self.open_at(location, &At::default(), timing, on)
    }

    /// A place that sends parts, to be asked for one after the other.
    ///
    /// # Errors
    /// [`FetchError`]; a place that sends none.
    fn line(&self, location: &Location, timing: &Timing) -> Result<http::Line, FetchError> {
        match location {
            Location::Http(url) => http::Line::new(&self.config, &self.tls, url, timing),
            other => Err(FetchError::StartOver(format!("{other}: it sends no parts"))),
        }
    }

    /// The same from another byte than the first on, where that is to be had: [`Source::start`] says so. A place that never
    /// can do that sends everything.
    fn open_at(
        &self,
        location: &Location,
        at: &At<'_>,
        timing: &Timing,
        on: OnEvent<'_>,
    ) -> Result<Source<'static>, FetchError> {
        match location {
            Location::Http(url) => http::open(&self.config, &self.tls, url, at, timing, on),
            Location::File(path) | Location::Initramfs(path) => file::open(path, location, at.start),
            Location::Virtiofs { tag, file } => shared::open(tag, file, location, at.start, timing, on),
            Location::Volume { volume, file } => {
                volume::open(volume, file.as_deref(), location, at.start, &self.config, timing, on)
            }
            Location::Ftp(url) => ftp::open(&self.config, url, timing, on),
            Location::Tftp(url) => tftp::open(&self.config, url, timing, on),
            Location::Nfs { export, file } => {
                nfs::open(&self.config, export, file, location, at.start, timing, on)
            }
        }
    }
}
