//! A wait that cannot be told to stop (a resolver, connect(2), mount(2)) goes to a thread; here somebody is asked all
//! the while whether to go on.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::error::seconds;
use super::{Config, Event, FetchError, OnEvent, dns};
use crate::answer::{self, NoAnswer};

/// How often a wait looks whether it was told to stop.
pub(super) const PULSE: Duration = Duration::from_millis(100);

/// Does `work` on a thread. Told to stop, or after `within`, it is not waited for any more: it ends by its own time
/// limits, and what it made is dropped.
pub(super) fn beside<T: Send + 'static>(
    name: &str,
    within: Duration,
    on: OnEvent<'_>,
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    let begun = Instant::now();
    let transient = |text: String| FetchError::Transient { text, silent: begun.elapsed(), retry_after: None };
    let (giver, answer) = answer::pair();
    // What nobody waits for any more is dropped there: to let go of what is dead may take for ever.
    let begun_beside = answer::begin("fetch", Box::new(move || drop(giver.hand_over(work()))));
    begun_beside.map_err(|e| transient(format!("{name}: starting a thread: {e}")))?;
    loop {
        if on(Event::Tick).is_break() {
            return Err(FetchError::Stopped);
        }
        match answer.take_within(PULSE) {
            Ok(done) => return done,
            Err(NoAnswer::Yet) if begun.elapsed() < within => {}
            Err(NoAnswer::Yet) => {
                return Err(transient(format!("{name}: nothing came for {}", seconds(within))));
            }
            Err(NoAnswer::Ever) => {
                return Err(transient(format!("{name}: the fetching thread ended without a word")));
            }
        }
    }
}

/// All addresses of a host, which may be one itself.
pub(super) fn addresses(config: &Config, host: &str, within: Duration) -> Result<Vec<IpAddr>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    dns::look_up(config, host, within).map_err(|why| format!("resolving {host}: {why}"))
}

/// The first address that takes a connection; each may take its share of the time.
pub(super) fn connect(to: &[SocketAddr], within: Duration) -> Result<TcpStream, String> {
    let each = within / u32::try_from(to.len().max(1)).unwrap_or(1);
    let mut failed = Vec::new();
    for address in to {
        match TcpStream::connect_timeout(address, each) {
            Ok(stream) => return Ok(stream),
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => {
                failed.push(format!("connecting to {address}: no success within {}", seconds(each)));
            }
            Err(e) => failed.push(format!("connecting to {address}: {e}")),
        }
    }
    Err(failed.join("; "))
}
