//! Where bytes come from: [`Location`] names a place, `Fetcher::open` makes a reader of it.
//! What the bytes mean, and whether they may be trusted, is for others to say.

mod location;

use std::io::Read;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

pub use location::{Location, LocationError};

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
}

/// An opened location.
pub struct Source {
    /// The bytes; an early end of a body whose length is known is an error of `read`.
    pub reader: Box<dyn Read + Send>,
    /// Bytes to come, where the place says so.
    pub length: Option<u64>,
    /// Where the bytes come from in the end (redirects followed): the base of relative locations in them.
    pub location: Location,
}

/// What happens while bytes are waited for; the answer to each may be "stop".
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Nothing to say; asked at least four times a second so that a person can stop a wait.
    Tick,
    /// A try failed; the next is due after `wait` (zero: at once, on the next mirror).
    Retry { location: Location, error: String, attempt: u32, wait: Duration, budget_left: Duration },
}

/// `Break` stops the fetch.
pub type OnEvent<'a> = &'a (dyn Fn(Event) -> ControlFlow<()> + Sync);
