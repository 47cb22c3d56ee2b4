//! [`FetchError`]: what a try to fetch came to, as far as somebody acts on it, with a line for a person.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why a try brought no bytes, or not all of them. The text of each says which URL, which address, which step and
/// the original cause, and never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// Asking this place again would not help: most 4xx, a certificate that does not verify, a missing file.
    Permanent(String),
    /// It may work later: refused, silent, broken off, 5xx, 408, 425, 429, a name that does not resolve.
    Transient {
        text: String,
        /// How much of the try passed without a byte: opening it, and the wait in which it broke. What `--retry-for`
        /// counts; a wait that ended with a byte is not in it.
        silent: Duration,
        /// What the server asked to wait (RFC 9110, section 10.2.3).
        retry_after: Option<Duration>,
    },
    /// It cannot be gone on with in the middle: the bytes before were of another version, or this place knows no ranges. What
    /// this place has is to be had from the first byte on.
    StartOver(String),
    /// Every mirror was tried as long as there was time: the last of what went wrong.
    GaveUp(String),
    /// Somebody asked to stop.
    Stopped,
}

impl FetchError {
    /// The same as an error of `Read::read`; [`FetchError::of`] gets it back.
    pub(super) fn into_io(self, kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, self)
    }

    /// It may work later, and nothing was waited for.
    pub(super) fn transient(text: String) -> Self {
        Self::Transient { text, silent: Duration::ZERO, retry_after: None }
    }

    /// The fetch's own error in an error of `read`, if it is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permanent(text)
            | Self::Transient { text, .. }
            | Self::StartOver(text)
            | Self::GaveUp(text) => f.write_str(text),
            Self::Stopped => f.write_str("stopped on request"),
        }
    }
}

impl std::error::Error for FetchError {}

/// A duration as a person reads it: `10 s`, `0.3 s`, `5 min`.
pub(super) fn seconds(time: Duration) -> String {
    match time {
        t if t.subsec_millis() != 0 && t < Duration::from_secs(10) => format!("{:.1} s", t.as_secs_f64()),
        t if t.as_secs() >= 120 => format!("{} min", t.as_secs() / 60),
        t => format!("{} s", t.as_secs()),
    }
}
