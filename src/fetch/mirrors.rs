//! All mirrors of one artifact: which is tried now, what each came to, and what may be expected of it. Whoever fails, whether
//! in opening, in the middle of a body or when the bytes turn out wrong, says so here, and is told where to go on. When
//! which mirror is next is `retry`'s.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::retry::{Kind, Next, Retry};
use super::stream::{Stream, Terms};
use super::{Event, FetchError, Fetcher, Location, OnEvent, Retrying, Source, Timing};

/// A wait looks so often whether it was told to stop.
const PULSE: Duration = Duration::from_millis(100);

/// Shared by all tries of one artifact.
pub(super) struct Mirrors<'a> {
    locations: &'a [Location],
    on: OnEvent<'a>,
    timing: Timing,
    state: Mutex<State>,
    /// An answer of the mirror that is tried now which begins with the first byte: for whoever starts over.
    kept: Mutex<Option<Source<'static>>>,
}

struct State {
    retry: Retry,
    /// The mirror that is tried.
    current: usize,
    /// What each mirror said last.
    last: Vec<Option<String>>,
    attempts: u32,
    silent: Duration,
    /// Which of them were seen to know no ranges.
    without_ranges: Vec<bool>,
    /// The bytes that were handed on came from several answers, and only a digest can say whether they belong together.
    mixed: bool,
    /// They did not, once: from then on all bytes are of one answer.
    unmixable: bool,
}

/// What a failed try came to.
pub(super) struct Failed<'f> {
    pub error: FetchError,
    /// How far the bytes came, over all tries.
    pub reached: u64,
    pub wrong_bytes: bool,
    /// From which byte on a mirror will be asked.
    pub from: &'f dyn Fn(usize) -> u64,
    /// Whether somebody asked to stop.
    pub stopped: &'f dyn Fn() -> bool,
}

impl<'a> Mirrors<'a> {
    /// Nothing where there are no mirrors.
    pub(super) fn new(locations: &'a [Location], retry_for: Duration, on: OnEvent<'a>) -> Option<Self> {
        // The standard library's own random keys: a rack that was switched on together must not come back together.
        let seed = std::hash::RandomState::new().build_hasher().finish();
        let mut retry = Retry::new(retry_for, locations.len(), seed);
        let Next::Try { mirror: current, .. } = retry.first() else { return None };
        let state = State {
            retry,
            current,
            last: vec![None; locations.len()],
            attempts: 0,
            silent: Duration::ZERO,
            without_ranges: vec![false; locations.len()],
            mixed: false,
            unmixable: false,
        };
        let timing = Timing::for_budget(retry_for);
        Some(Self { locations, on, timing, state: Mutex::new(state), kept: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Source<'static>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an answer of the mirror that is tried now: all of it.
    pub(super) fn keep(&self, source: Source<'static>) {
        *self.kept() = Some(source);
    }

    pub(super) fn take_kept(&self) -> Option<Source<'static>> {
        self.kept().take()
    }

    /// The mirror that is tried now: its index.
    pub(super) fn current(&self) -> usize {
        self.state().current
    }

    pub(super) fn location(&self, mirror: usize) -> &'a Location {
        &self.locations[mirror]
    }

    pub(super) fn are_many(&self) -> bool {
        self.locations.len() > 1
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(super) fn on(&self) -> OnEvent<'a> {
        self.on
    }

    /// The try under way failed: waits until the next may begin, and says so.
    ///
    /// # Errors
    /// [`FetchError::GaveUp`], [`FetchError::Stopped`].
    pub(super) fn failed(&self, failed: Failed<'_>) -> Result<(), FetchError> {
        let (text, silent, kind) = match failed.error {
            FetchError::Permanent(text) => (text, Duration::ZERO, Kind::Permanent),
            FetchError::Transient { text, silent, retry_after } => {
                (text, silent, Kind::Transient { retry_after })
            }
            over @ (FetchError::StartOver(_) | FetchError::GaveUp(_) | FetchError::Stopped) => {
                return Err(over);
            }
        };
        let mut state = self.state();
        state.attempts = state.attempts.saturating_add(1);
        state.silent += silent;
        let current = state.current;
        state.last[current] = Some(text.clone());
        state.retry.reached(failed.reached);
        let Next::Try { mirror, wait } = state.retry.failed(kind, silent) else {
            return Err(FetchError::GaveUp(text));
        };
        state.silent += wait;
        state.current = mirror;
        let event = Retrying {
            location: self.locations[current].clone(),
            error: text,
            attempt: state.attempts,
            wait,
            budget_left: state.retry.budget_left(),
            next: self.locations[mirror].clone(),
            from: 0,
            wrong_bytes: failed.wrong_bytes,
        };
        // Others may ask while this one waits.
        drop(state);
        let event = Retrying { from: (failed.from)(mirror), ..event };
        if (self.on)(Event::Retry(Box::new(event))).is_break() || !self.waited(wait, failed.stopped) {
            return Err(FetchError::Stopped);
        }
        Ok(())
    }

    /// What came so far is of no use: all of it is asked for anew, of the mirror that is tried now.
    ///
    /// # Errors
    /// [`FetchError::Stopped`].
    pub(super) fn start_over(&self, why: String) -> Result<(), FetchError> {
        let mut state = self.state();
        // The answer that is kept is the next try.
        if self.kept().is_none() {
            state.attempts = state.attempts.saturating_add(1);
        }
        state.mixed = false;
        let event = self.event(&state, why, 0);
        drop(state);
        self.said(event)
    }

    /// The same, because the bytes of several answers did not belong together: from now on all are of one.
    ///
    /// # Errors
    /// [`FetchError::Stopped`].
    pub(super) fn start_unmixed(&self, why: String) -> Result<(), FetchError> {
        self.state().unmixable = true;
        self.start_over(why)
    }

    /// The mirror that is tried is slow: another one may be better.
    ///
    /// # Errors
    /// [`FetchError::Stopped`].
    pub(super) fn leave(&self, why: String, to: usize, from: u64) -> Result<(), FetchError> {
        let mut state = self.state();
        state.retry.turn_to(to);
        let left = std::mem::replace(&mut state.current, to);
        let event = Retrying { location: self.locations[left].clone(), ..self.event(&state, why, from) };
        drop(state);
        self.said(event)
    }

    /// One of several connections failed, and the others go on.
    ///
    /// # Errors
    /// [`FetchError::Stopped`].
    pub(super) fn lost_one(&self, why: String, from: u64) -> Result<(), FetchError> {
        let mut state = self.state();
        state.attempts = state.attempts.saturating_add(1);
        let event = self.event(&state, why, from);
        drop(state);
        self.said(event)
    }

    /// The other one is no better: the one that was to be left is read on.
    ///
    /// # Errors
    /// [`FetchError::Stopped`].
    pub(super) fn stay_with(&self, mirror: usize, why: String, from: u64) -> Result<(), FetchError> {
        self.take_kept();
        self.leave(why, mirror, from)
    }

    /// The mirror that is tried now goes on being tried.
    fn event(&self, state: &State, error: String, from: u64) -> Retrying {
        let here = self.locations[state.current].clone();
        Retrying {
            location: here.clone(),
            error,
            attempt: state.attempts,
            wait: Duration::ZERO,
            budget_left: state.retry.budget_left(),
            next: here,
            from,
            wrong_bytes: false,
        }
    }

    fn said(&self, event: Retrying) -> Result<(), FetchError> {
        match (self.on)(Event::Retry(Box::new(event))).is_break() {
            true => Err(FetchError::Stopped),
            false => Ok(()),
        }
    }

    /// Mirrors that may be asked now.
    pub(super) fn ready(&self) -> Vec<usize> {
        let state = self.state();
        (0..self.locations.len()).filter(|&mirror| state.retry.is_ready(mirror)).collect()
    }

    /// What these mirrors were put out for is over.
    pub(super) fn take_back(&self, mirrors: impl IntoIterator<Item = usize>) {
        let mut state = self.state();
        mirrors.into_iter().for_each(|mirror| state.retry.take_back(mirror));
    }

    /// The mirror knows no ranges, or none that are right.
    pub(super) fn knows_no_ranges(&self, mirror: usize) {
        self.state().without_ranges[mirror] = true;
    }

    pub(super) fn may_know_ranges(&self, mirror: usize) -> bool {
        !self.state().without_ranges[mirror]
    }

    /// From now on the bytes are of several answers: only a digest tells whether they belong together.
    pub(super) fn mix(&self) {
        self.state().mixed = true;
    }

    /// All bytes are of one answer again: none came yet.
    pub(super) fn unmix(&self) {
        self.state().mixed = false;
    }

    pub(super) fn are_mixed(&self) -> bool {
        self.state().mixed
    }

    pub(super) fn may_mix(&self) -> bool {
        !self.state().unmixable
    }

    /// The last error of each mirror that was tried, how many tries there were, and the time without a byte.
    pub(super) fn account(&self) -> (Vec<(Location, String)>, u32, Duration) {
        let state = self.state();
        let said = self.locations.iter().cloned().zip(state.last.iter().cloned());
        (
            said.filter_map(|(location, error)| Some((location, error?))).collect(),
            state.attempts,
            state.silent,
        )
    }

    /// Whether the wait came to its end.
    fn waited(&self, wait: Duration, stopped: &dyn Fn() -> bool) -> bool {
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if stopped() || (self.on)(Event::Tick).is_break() {
                return false;
            }
            std::thread::sleep(left.min(PULSE));
        }
    }
}

/// One try at an artifact: it begins at one mirror and may go on at others.
#[derive(Clone, Copy)]
pub struct Try<'a>(pub(super) &'a Mirrors<'a>);

impl<'a> Try<'a> {
    /// The mirror that is tried now.
    pub fn location(&self) -> &'a Location {
        self.0.location(self.0.current())
    }

    /// Its place among the mirrors.
    pub fn mirror(&self) -> usize {
        self.0.current()
    }

    /// What it may wait for.
    pub fn timing(&self) -> &'a Timing {
        self.0.timing()
    }

    /// Opens the mirror; the reader goes on by itself, at others too, where a connection breaks and `terms` allow it.
    ///
    /// # Errors
    /// [`FetchError`]. One of the reader is [`FetchError::StartOver`] or [`FetchError::GaveUp`] where nothing more can be
    /// done by it.
    pub fn open(&self, fetcher: &'a Fetcher, terms: &Terms) -> Result<Source<'a>, FetchError> {
        Stream::open(fetcher, self.0, terms)
    }
}
