//! Tries until something works or the budget is spent: one loop for archives and catalogs alike. What is tried is
//! the caller's; when and where again is `retry`'s.

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::error::seconds;
use super::retry::{Kind, Next, Retry};
use super::{Event, FetchError, Fetcher, Location, OnEvent, Source, Timing};

/// A wait looks so often whether it was told to stop.
const PULSE: Duration = Duration::from_millis(100);

/// Why one try, from opening a location to being done with its bytes, did not work.
#[derive(Debug)]
pub enum Attempt<E> {
    /// The place failed, and may work later. `bytes`: how far the try came; the rest as in [`FetchError::Transient`].
    Transient { text: String, silent: Duration, bytes: u64, retry_after: Option<Duration> },
    /// This mirror is of no use: not there, or its bytes are not the ones wanted. The next may be.
    Permanent(String),
    /// No mirror could help (no space left, a hostile archive): everything ends.
    Fatal(E),
    /// Somebody asked to stop.
    Stopped,
}

impl<E> Attempt<E> {
    /// A failed fetch that had handed out `bytes` before ([`super::Flow::bytes`]; 0 when opening failed).
    pub fn fetching(error: FetchError, bytes: u64) -> Self {
        match error {
            FetchError::Permanent(text) => Self::Permanent(text),
            FetchError::Transient { text, silent, retry_after } => {
                Self::Transient { text, silent, bytes, retry_after }
            }
            FetchError::Stopped => Self::Stopped,
        }
    }
}

impl<E> From<FetchError> for Attempt<E> {
    /// Of opening: no byte had come.
    fn from(error: FetchError) -> Self {
        Self::fetching(error, 0)
    }
}

/// Why nothing is tried any more.
#[derive(Debug)]
pub enum Exhausted<E> {
    /// The last error of each mirror that was tried, in the order of the mirrors; how many tries; the silent time, in
    /// which no byte arrived, out of the budget.
    GaveUp { errors: Vec<(Location, String)>, attempts: u32, silent: Duration, retry_for: Duration },
    /// [`Attempt::Fatal`]'s error, from this location.
    Fatal { location: Location, error: E },
    /// Somebody asked to stop.
    Stopped,
}

impl<E: fmt::Display> fmt::Display for Exhausted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GaveUp { errors, attempts, silent, .. } => {
                let texts: Vec<&str> = errors.iter().map(|(_, text)| text.as_str()).collect();
                f.write_str(&texts.join("; "))?;
                match attempts {
                    0 | 1 => Ok(()),
                    n => write!(f, " (gave up after {n} tries and {} without data)", seconds(*silent)),
                }
            }
            Self::Fatal { error, .. } => error.fmt(f),
            Self::Stopped => f.write_str("stopped on request"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Exhausted<E> {}

/// Calls `attempt` for one location after the other until one succeeds.
///
/// `attempt` is the whole retried unit (open, read, use): a body that breaks is tried again from its first byte, so
/// whatever the try before left behind is `attempt`'s to clear. Between tries `on` gets [`Event::Retry`], and
/// [`Event::Tick`] while it waits. What is charged against `retry_for`: see [`super::retry`].
///
/// # Errors
/// [`Exhausted`]; without a location it gives up at once.
pub fn drive<T, E>(
    locations: &[Location],
    retry_for: Duration,
    on: OnEvent<'_>,
    mut attempt: impl FnMut(&Location, &Timing) -> Result<T, Attempt<E>>,
) -> Result<T, Exhausted<E>> {
    // The standard library's own random keys: a rack that was switched on together must not come back together.
    let seed = std::hash::RandomState::new().build_hasher().finish();
    let timing = Timing::for_budget(retry_for);
    let mut retry = Retry::new(retry_for, locations.len(), seed);
    let mut last: Vec<Option<String>> = vec![None; locations.len()];
    let mut silent_so_far = Duration::ZERO;
    let mut attempts = 0;
    let mut next = retry.first();
    loop {
        let Next::Try { mirror, .. } = next else {
            let errors = locations.iter().cloned().zip(last).filter_map(|(l, e)| Some((l, e?))).collect();
            return Err(Exhausted::GaveUp { errors, attempts, silent: silent_so_far, retry_for });
        };
        let location = &locations[mirror];
        attempts += 1;
        let error = match attempt(location, &timing) {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let (text, silent);
        (text, silent, next) = judge(&mut retry, location, error)?;
        silent_so_far += silent;
        last[mirror] = Some(text.clone());
        if let Next::Try { wait, .. } = next {
            silent_so_far += wait;
            let budget_left = retry.budget_left();
            let event = Event::Retry {
                location: location.clone(),
                error: text,
                attempt: attempts,
                wait,
                budget_left,
            };
            if on(event).is_break() || !waited(wait, on) {
                return Err(Exhausted::Stopped);
            }
        }
    }
}

/// What a failed try leads to: its text, its silent time, and what is next.
fn judge<E>(
    retry: &mut Retry,
    location: &Location,
    error: Attempt<E>,
) -> Result<(String, Duration, Next), Exhausted<E>> {
    match error {
        Attempt::Stopped => Err(Exhausted::Stopped),
        Attempt::Fatal(error) => Err(Exhausted::Fatal { location: location.clone(), error }),
        Attempt::Permanent(text) => Ok((text, Duration::ZERO, retry.failed(Kind::Permanent, Duration::ZERO))),
        Attempt::Transient { text, silent, bytes, retry_after } => {
            retry.reached(bytes);
            Ok((text, silent, retry.failed(Kind::Transient { retry_after }, silent)))
        }
    }
}

/// Whether the wait came to its end.
fn waited(wait: Duration, on: OnEvent<'_>) -> bool {
    let end = Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        if on(Event::Tick).is_break() {
            return false;
        }
        std::thread::sleep(left.min(PULSE));
    }
}

impl Fetcher {
    /// The whole of a small text, and where it came from in the end. More than `max_bytes` is an error of that mirror.
    ///
    /// # Errors
    /// [`Exhausted::GaveUp`] or [`Exhausted::Stopped`].
    pub fn read_all(
        &self,
        locations: &[Location],
        retry_for: Duration,
        max_bytes: u64,
        on: OnEvent<'_>,
    ) -> Result<(Vec<u8>, Location), Exhausted<Infallible>> {
        drive(locations, retry_for, on, |location, timing| {
            let source = self.open(location, timing, on)?;
            let (from, flow) = (source.location.clone(), source.flow.clone());
            match read_while_asking(source, max_bytes, on) {
                Ok(bytes) if bytes.len() as u64 > max_bytes => {
                    Err(Attempt::Permanent(format!("{location}: more than {max_bytes} bytes")))
                }
                Ok(bytes) => Ok((bytes, from)),
                Err(error) => {
                    let failure = flow.failure().unwrap_or_else(|| FetchError::Permanent(error.to_string()));
                    Err(Attempt::fetching(failure, flow.bytes()))
                }
            }
        })
    }
}

/// At most one byte more than `max_bytes`; reads on a thread, so that `on` is asked whatever the server does.
fn read_while_asking(source: Source, max_bytes: u64, on: OnEvent<'_>) -> io::Result<Vec<u8>> {
    let Source { reader, flow, .. } = source;
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        std::thread::Builder::new().name("read".into()).spawn_scoped(scope, move || {
            let mut bytes = Vec::new();
            let result = reader.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map(|_| bytes);
            // The receiver waits for this: it is there.
            let _there = sender.send(result);
        })?;
        loop {
            match receiver.recv_timeout(PULSE) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) if on(Event::Tick).is_break() => flow.stop(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the reading thread ended without a word"));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;
    use std::sync::Mutex;

    fn places(names: &[&str]) -> Vec<Location> {
        names.iter().map(|n| Location::parse(n).unwrap()).collect()
    }

    fn transient(text: &str) -> Attempt<String> {
        Attempt::Transient { text: text.into(), silent: Duration::ZERO, bytes: 0, retry_after: None }
    }

    #[test]
    fn the_next_mirror_is_tried_at_once_and_told_of() {
        let events = Mutex::new(vec![]);
        let on = |event| {
            events.lock().unwrap().push(event);
            ControlFlow::Continue(())
        };
        let places = places(&["/a", "/b"]);
        let made = drive(&places, Duration::from_secs(60), &on, |location, _| match location {
            l if *l == places[0] => Err(transient("refused")),
            l => Ok(l.to_string()),
        });
        assert_eq!(made.unwrap(), "/b");
        assert_eq!(
            events.into_inner().unwrap(),
            [Event::Retry {
                location: places[0].clone(),
                error: "refused".into(),
                attempt: 1,
                wait: Duration::ZERO,
                budget_left: Duration::from_secs(60)
            }]
        );
    }

    #[test]
    fn giving_up_names_what_each_mirror_said() {
        let on = |_| ControlFlow::Continue(());
        let failed = drive(&places(&["/a", "/b"]), Duration::from_secs(60), &on, |location, _| {
            Err::<(), _>(Attempt::<String>::Permanent(format!("{location}: not there")))
        })
        .unwrap_err();
        assert_eq!(
            failed.to_string(),
            "/a: not there; /b: not there (gave up after 2 tries and 0 s without data)"
        );
    }

    #[test]
    fn what_no_mirror_can_help_ends_at_once() {
        let on = |_| ControlFlow::Continue(());
        let mut tries = 0;
        let failed = drive(&places(&["/a", "/b"]), Duration::from_secs(60), &on, |_, _| {
            tries += 1;
            Err::<(), _>(Attempt::Fatal("no space left".to_string()))
        });
        assert!(matches!(failed, Err(Exhausted::Fatal { error, .. }) if error == "no space left"));
        assert_eq!(tries, 1);
    }

    #[test]
    fn a_wait_ends_when_told_to_stop() {
        let on = |event| match event {
            Event::Tick => ControlFlow::Break(()),
            Event::Retry { .. } => ControlFlow::Continue(()),
        };
        let failed =
            drive(&places(&["/a"]), Duration::from_secs(60), &on, |_, _| Err::<(), _>(transient("refused")));
        assert!(matches!(failed, Err(Exhausted::Stopped)));
    }

    #[test]
    fn a_try_that_got_further_starts_the_back_off_anew() {
        let mut retry = Retry::new(Duration::from_secs(3600), 1, 1);
        retry.first();
        for bytes in 1..50 {
            let broke = Attempt::<String>::Transient {
                text: String::new(),
                silent: Duration::ZERO,
                bytes,
                retry_after: None,
            };
            let (_, _, next) = judge(&mut retry, &places(&["/a"])[0], broke).unwrap();
            let Next::Try { wait, .. } = next else { panic!("gave up") };
            assert!(wait <= Duration::from_secs(1), "{wait:?} after {bytes} tries");
        }
    }

    #[test]
    fn nowhere_to_fetch_from_is_given_up_at_once() {
        let on = |_| ControlFlow::Continue(());
        let failed = drive(&[], Duration::from_secs(60), &on, |_, _| Ok::<(), Attempt<String>>(()));
        assert!(matches!(failed, Err(Exhausted::GaveUp { attempts: 0, .. })));
    }
}
