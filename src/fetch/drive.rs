//! Tries until something works or the budget is spent: one loop for archives and catalogs alike. What is tried is
//! the caller's; when and where again is `mirrors`' and `retry`'s, going on in the middle of a body `stream`'s.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Read as _};
use std::time::Duration;

use super::error::seconds;
use super::mirrors::{Failed, Mirrors, Try};
use super::{Event, FetchError, Fetcher, Location, OnEvent, Source};
use crate::answer::{self, NoAnswer};

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
    /// As [`FetchError::StartOver`]: the same mirror, from the first byte on.
    StartOver(String),
    /// As [`FetchError::GaveUp`]: there is no next try.
    GaveUp,
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
            FetchError::StartOver(text) => Self::StartOver(text),
            FetchError::GaveUp(_) => Self::GaveUp,
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
/// `attempt` is the whole retried unit (open, read, use). A reader that was opened by [`Try::open`] goes on by itself where
/// that is possible; where it is not, all is asked for anew, and whatever the try before left behind is `attempt`'s to clear.
/// Between tries `on` gets [`Event::Retry`], and [`Event::Tick`] while it waits. What is charged against `retry_for`: see
/// [`super::retry`].
///
/// # Errors
/// [`Exhausted`]; without a location it gives up at once.
pub fn drive<T, E>(
    locations: &[Location],
    retry_for: Duration,
    on: OnEvent<'_>,
    mut attempt: impl FnMut(&Try<'_>) -> Result<T, Attempt<E>>,
) -> Result<T, Exhausted<E>> {
    let Some(mirrors) = Mirrors::new(locations, retry_for, on) else {
        return Err(Exhausted::GaveUp { errors: vec![], attempts: 0, silent: Duration::ZERO, retry_for });
    };
    loop {
        let error = match attempt(&Try(&mirrors)) {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let next = match error {
            Attempt::Fatal(error) => {
                let location = mirrors.location(mirrors.current()).clone();
                return Err(Exhausted::Fatal { location, error });
            }
            Attempt::Stopped => Err(FetchError::Stopped),
            Attempt::GaveUp => Err(FetchError::GaveUp(String::new())),
            Attempt::StartOver(why) => mirrors.start_over(why),
            Attempt::Permanent(why) if mirrors.are_mixed() => {
                // Which of the mirrors had the wrong bytes, nobody knows.
                mirrors.start_unmixed(format!("{why}, of bytes from several answers: now from one alone"))
            }
            Attempt::Permanent(text) => mirrors.failed(from_the_first(FetchError::Permanent(text), 0)),
            Attempt::Transient { text, silent, bytes, retry_after } => {
                mirrors.failed(from_the_first(FetchError::Transient { text, silent, retry_after }, bytes))
            }
        };
        match next {
            Ok(()) => {}
            Err(FetchError::Stopped) => return Err(Exhausted::Stopped),
            Err(_) => {
                let (errors, attempts, silent) = mirrors.account();
                return Err(Exhausted::GaveUp { errors, attempts, silent, retry_for });
            }
        }
    }
}

/// The next try begins with the first byte, and stops when told so between them.
fn from_the_first(error: FetchError, reached: u64) -> Failed<'static> {
    Failed { error, reached, wrong_bytes: false, from: &|_| 0, stopped: &|| false }
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
        drive(locations, retry_for, on, |attempt| self.read_once(attempt, max_bytes, on))
    }

    /// One try at it, from the first byte on.
    pub(super) fn read_once<E>(
        &self,
        attempt: &Try<'_>,
        max_bytes: u64,
        on: OnEvent<'_>,
    ) -> Result<(Vec<u8>, Location), Attempt<E>> {
        let location = attempt.location();
        let source = self.open(location, attempt.timing(), on)?;
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
    }
}

/// At most one byte more than `max_bytes`; reads on a thread, so that `on` is asked whatever the server does.
fn read_while_asking(source: Source<'_>, max_bytes: u64, on: OnEvent<'_>) -> io::Result<Vec<u8>> {
    let Source { reader, flow, .. } = source;
    std::thread::scope(|scope| {
        let read = answer::ask_within(scope, "read", move || {
            let mut bytes = Vec::new();
            reader.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map(|_| bytes)
        })?;
        loop {
            match read.take_within(PULSE) {
                Ok(result) => return result,
                Err(NoAnswer::Yet) if on(Event::Tick).is_break() => flow.stop(),
                Err(NoAnswer::Yet) => {}
                Err(NoAnswer::Ever) => {
                    return Err(io::Error::other("the reading thread ended without a word"));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Retrying;
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
        let made = drive(&places, Duration::from_secs(60), &on, |attempt| match attempt.location() {
            l if *l == places[0] => Err(transient("refused")),
            l => Ok(l.to_string()),
        });
        assert_eq!(made.unwrap(), "/b");
        assert_eq!(
            events.into_inner().unwrap(),
            [Event::Retry(Box::new(Retrying {
                location: places[0].clone(),
                error: "refused".into(),
                attempt: 1,
                wait: Duration::ZERO,
                budget_left: Duration::from_secs(60),
                next: places[1].clone(),
                from: 0,
                wrong_bytes: false,
            }))]
        );
    }

    #[test]
    fn giving_up_names_what_each_mirror_said() {
        let on = |_| ControlFlow::Continue(());
        let failed = drive(&places(&["/a", "/b"]), Duration::from_secs(60), &on, |attempt| {
            Err::<(), _>(Attempt::<String>::Permanent(format!("{}: not there", attempt.location())))
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
        let failed = drive(&places(&["/a", "/b"]), Duration::from_secs(60), &on, |_| {
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
            Event::Retry(_) => ControlFlow::Continue(()),
        };
        let failed =
            drive(&places(&["/a"]), Duration::from_secs(60), &on, |_| Err::<(), _>(transient("refused")));
        assert!(matches!(failed, Err(Exhausted::Stopped)));
    }

    #[test]
    fn a_try_that_got_further_starts_the_back_off_anew() {
        // Waits are not waited for here: the tenth ends it.
        let waits = Mutex::new(vec![]);
        let on = |event| match event {
            Event::Retry(again) => {
                waits.lock().unwrap().push(again.wait);
                ControlFlow::Continue(())
            }
            Event::Tick => ControlFlow::Continue(()),
        };
        let mut bytes = 0;
        let failed = drive(&places(&["/a"]), Duration::from_secs(3600), &on, |_| {
            bytes += 1;
            let (text, silent) = (String::new(), Duration::ZERO);
            match bytes {
                6 => Err::<(), _>(Attempt::Fatal("enough")),
                bytes => Err(Attempt::Transient { text, silent, bytes, retry_after: None }),
            }
        });
        assert!(matches!(failed, Err(Exhausted::Fatal { .. })));
        let waits = waits.into_inner().unwrap();
        assert!(waits.len() == 5 && waits.iter().all(|wait| *wait <= Duration::from_secs(1)), "{waits:?}");
    }

    #[test]
    fn bytes_of_several_answers_that_turn_out_wrong_put_no_mirror_out() {
        let places = places(&["/a", "/b"]);
        let on = |_| ControlFlow::Continue(());
        let mut said = vec![];
        let done = drive(&places, Duration::from_secs(60), &on, |attempt| {
            said.push((attempt.mirror(), attempt.0.may_mix()));
            match said.len() {
                1 => {
                    attempt.0.mix();
                    Err(Attempt::<String>::Permanent("no match".into()))
                }
                2 => Err(Attempt::Permanent("no match either".into())),
                _ => Ok(attempt.mirror()),
            }
        });
        assert_eq!(done.unwrap(), 1);
        assert_eq!(said, [(0, true), (0, false), (1, false)]);
    }

    #[test]
    fn nowhere_to_fetch_from_is_given_up_at_once() {
        let on = |_| ControlFlow::Continue(());
        let failed = drive(&[], Duration::from_secs(60), &on, |_| Ok::<(), Attempt<String>>(()));
        assert!(matches!(failed, Err(Exhausted::GaveUp { attempts: 0, .. })));
    }
}
