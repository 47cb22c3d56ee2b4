//! [`Flow`]: the other end of a reader that was given away: how far it came, what broke it, and a way to stop it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{FetchError, Location};

/// Shared with the reader of a [`super::Source`]; clones are the same flow.
///
/// A decoder wraps the errors of its reader in its own words. Whoever has to know whether the place broke (try again)
/// or the bytes are bad (do not) asks [`Flow::failure`].
#[derive(Clone, Debug, Default)]
pub struct Flow(Arc<State>);

#[derive(Debug, Default)]
struct State {
    stop: AtomicBool,
    bytes: AtomicU64,
    arrived: AtomicU64,
    failure: Mutex<Option<FetchError>>,
    /// The reader behind the reader, which stops with it.
    behind: Mutex<Option<Flow>>,
    place: Mutex<Option<Location>>,
}

impl Flow {
    /// Ends the flow: a `read` under way returns within a quarter of a second, each later one at once, with an error
    /// that holds [`FetchError::Stopped`].
    pub fn stop(&self) {
        // In this order, and asked in the other one: whoever comes behind meanwhile sees one or the other.
        let behind = lock(&self.0.behind);
        self.0.stop.store(true, Ordering::Relaxed);
        if let Some(behind) = &*behind {
            behind.stop();
        }
    }

    /// This one stops when the other is told to.
    pub(super) fn stand_before(&self, behind: &Flow) {
        let mut slot = lock(&self.0.behind);
        if self.stopped() {
            behind.stop();
        }
        *slot = Some(behind.clone());
    }

    /// Bytes that came, with those that wait for their digest and may turn out to be wrong.
    pub fn arrived(&self) -> u64 {
        self.bytes().max(self.0.arrived.load(Ordering::Relaxed))
    }

    pub(super) fn set_arrived(&self, bytes: u64) {
        self.0.arrived.store(bytes, Ordering::Relaxed);
    }

    /// Where the bytes come from now (redirects followed), if that is not where they came from at first.
    pub fn place(&self) -> Option<Location> {
        lock(&self.0.place).clone()
    }

    pub(super) fn set_place(&self, place: &Location) {
        *lock(&self.0.place) = Some(place.clone());
    }

    /// Whether [`Flow::stop`] was called.
    pub fn stopped(&self) -> bool {
        self.0.stop.load(Ordering::Relaxed)
    }

    /// Bytes the reader has handed out.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// What broke the reader, if it broke.
    pub fn failure(&self) -> Option<FetchError> {
        lock(&self.0.failure).clone()
    }

    pub(super) fn passed(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Keeps the first failure and gives the error for `read`.
    pub(super) fn fail(&self, error: FetchError, kind: io::ErrorKind) -> io::Error {
        let mut failure = lock(&self.0.failure);
        failure.get_or_insert_with(|| error.clone());
        error.into_io(kind)
    }

    /// The error a reader that already broke, or was stopped, must give again.
    pub(super) fn broken(&self) -> Option<io::Error> {
        if self.stopped() {
            return Some(self.fail(FetchError::Stopped, io::ErrorKind::Other));
        }
        self.failure().map(|error| error.into_io(io::ErrorKind::Other))
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
