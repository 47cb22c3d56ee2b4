//! Chunks that come over several connections at once, ahead of whoever wants them in order: for links that give one
//! connection a part of what they have. A connection that fails gives back what it had not finished, and the others go on;
//! when the last one failed, the reader is told why and asks by itself, so that tries, waits and blame are those of one
//! stream. Whether the bytes are right is for the gate of `chunked` to say.

mod worker;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::beside::PULSE;
use super::mirrors::Mirrors;
use super::{FetchError, Fetcher, Flow, Location, Timing};
use crate::verify::ChunkList;
use crate::verify::chunks::MOST_CHUNK;
use worker::Worker;

/// More would be at the expense of others who ask the same server.
pub const MOST_CONNECTIONS: u8 = 8;

/// A number of connections that may be asked for.
pub fn connections(number: u64) -> Option<u8> {
    u8::try_from(number).ok().filter(|number| (1..=MOST_CONNECTIONS).contains(number))
}

/// Bytes that may be held until it is their turn, where there are several connections: so many for each, and once more for
/// a chunk that had to be fetched anew.
pub const CONNECTION: u64 = MOST_CHUNK;

/// Bytes that are asked for at once, if they are several chunks: a request costs a way there and back.
const RUN: u64 = 4 << 20;

/// Which mirror is read, and how.
struct Place {
    mirror: usize,
    location: Location,
    fetcher: Fetcher,
    timing: Timing,
}

/// The reader's side. Dropped, the threads end by themselves: within a tenth of a second, and nobody waits for them.
pub(super) struct Parallel {
    shared: Arc<Shared>,
    place: Arc<Place>,
    /// How each connection that was ever made to this mirror is told to stop.
    flows: Vec<Flow>,
    /// Chunks that came since one was lost, and how many have to before another is made in its place.
    since: usize,
    patience: usize,
}

/// What becomes of a chunk.
pub(super) enum Taken {
    /// These bytes came from this mirror, and were waited for so long.
    Here { mirror: usize, bytes: Vec<u8>, waited: Duration },
    /// Nobody fetches it any more, for this reason.
    Nobody(FetchError),
}

struct Shared {
    list: Arc<ChunkList>,
    connections: u64,
    /// Bytes of all chunks that may be under way or here.
    room: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The first chunk that may still be wanted.
    next: usize,
    /// Those from it on that are under way, or here.
    slots: BTreeMap<usize, Slot>,
    /// Connections that live.
    alive: usize,
    /// Why others do not, and from which byte on others have to go on, as far as nobody was told.
    lost: Vec<(FetchError, u64)>,
}

enum Slot {
    /// So many bytes of it came over this connection.
    Coming { by: usize, came: usize },
    /// All of it came from this mirror.
    Here { mirror: usize, bytes: Vec<u8> },
}

impl Parallel {
    /// Nothing is fetched before [`Parallel::keep_up`].
    pub(super) fn new(
        list: Arc<ChunkList>,
        connections: u8,
        mirrors: &Mirrors<'_>,
        fetcher: &Fetcher,
    ) -> Self {
        let connections = u64::from(connections.min(MOST_CONNECTIONS));
        let longest = list.chunks().iter().map(|chunk| chunk.length).max().unwrap_or(0);
        let room = connections * longest.max(2 * RUN);
        let (state, changed) = (Mutex::default(), Condvar::new());
        let place = Place::of(mirrors, mirrors.current(), fetcher);
        let shared = Arc::new(Shared { list, connections, room, state, changed });
        Self { shared, place, flows: Vec::new(), since: 0, patience: 0 }
    }

    /// Sees that chunks from this one on are fetched from `mirror`, over all connections but `less`. One that was lost is
    /// made anew when others have shown that the link is there.
    pub(super) fn keep_up(
        &mut self,
        mirrors: &Mirrors<'_>,
        fetcher: &Fetcher,
        mirror: usize,
        from: usize,
        less: usize,
    ) {
        if self.place.mirror != mirror {
            self.let_go();
            self.place = Place::of(mirrors, mirror, fetcher);
            (self.since, self.patience) = (0, 0);
        }
        let mut state = self.shared.state();
        state.next = state.next.max(from);
        let wanted = (self.shared.connections as usize).saturating_sub(less);
        if state.alive == 0 {
            if !state.lost.is_empty() {
                // Why, has to be told first.
                return;
            }
            // The reader has seen to it that the mirror is there again.
            (self.since, self.patience) = (0, 0);
        }
        while state.alive < wanted && self.since >= self.patience {
            let (shared, place, flow) = (self.shared.clone(), self.place.clone(), Flow::default());
            let worker = Worker { by: self.flows.len(), shared, place, flow: flow.clone(), line: None };
            match std::thread::Builder::new().name("range".into()).spawn(move || worker.work()) {
                Ok(_) => state.alive += 1,
                Err(e) => {
                    log::warn!("{}: one connection less: starting a thread: {e}", self.place.location);
                    self.patience = usize::MAX;
                }
            }
            self.flows.push(flow);
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Whether the chunk is here.
    pub(super) fn has(&self, number: usize) -> bool {
        matches!(self.shared.state().slots.get(&number), Some(Slot::Here { .. }))
    }

    /// Bytes that came and are not wanted yet.
    pub(super) fn ahead(&self) -> u64 {
        self.shared.state().ahead()
    }

    /// Waits for a chunk, which begins with byte `at`.
    ///
    /// # Errors
    /// [`FetchError::Stopped`].
    pub(super) fn take(
        &mut self,
        number: usize,
        at: u64,
        flow: &Flow,
        mirrors: &Mirrors<'_>,
    ) -> Result<Taken, FetchError> {
        let begun = Instant::now();
        let shared = self.shared.clone();
        let mut state = shared.state();
        loop {
            flow.set_arrived(at + state.ahead());
            if flow.stopped() {
                return Err(FetchError::Stopped);
            }
            // When none is left, the last is for the reader to deal with.
            if state.lost.len() > usize::from(state.alive == 0) {
                let (why, at) = state.lost.remove(0);
                drop(state);
                self.bear(&why);
                mirrors.lost_one(why.to_string(), at)?;
                state = shared.state();
                continue;
            }
            if let Some(Slot::Here { .. }) = state.slots.get(&number)
                && let Some(Slot::Here { mirror, bytes }) = state.slots.remove(&number)
            {
                state.next = number + 1;
                self.since += 1;
                shared.changed.notify_all();
                return Ok(Taken::Here { mirror, bytes, waited: begun.elapsed() });
            }
            if state.alive == 0 {
                let gone = || format!("{}: no connection is left", self.place.location);
                let why = state.lost.pop().map(|(why, _)| why);
                return Ok(Taken::Nobody(why.unwrap_or_else(|| FetchError::transient(gone()))));
            }
            state = shared.changed.wait_timeout(state, PULSE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// One connection is lost. Who does not want as many, or asked not to be asked so soon, is not pressed.
    fn bear(&mut self, why: &FetchError) {
        let asked_to_wait = matches!(why, FetchError::Transient { retry_after: Some(_), .. });
        let twice = self.patience.saturating_mul(2).max(2 * self.shared.connections as usize);
        (self.since, self.patience) = (0, if asked_to_wait { usize::MAX } else { twice });
    }

    /// Ends all connections; what they had finished stays.
    fn let_go(&mut self) {
        self.flows.drain(..).for_each(|flow| flow.stop());
        let mut state = self.shared.state();
        state.slots.retain(|_, slot| matches!(slot, Slot::Here { .. }));
        (state.alive, state.lost) = (0, Vec::new());
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Parallel {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Place {
    fn of(mirrors: &Mirrors<'_>, mirror: usize, fetcher: &Fetcher) -> Arc<Self> {
        let (location, timing) = (mirrors.location(mirror).clone(), mirrors.timing().clone());
        Arc::new(Self { mirror, location, fetcher: fetcher.clone(), timing })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ahead(&self) -> u64 {
        let came = self.slots.values().map(|slot| match slot {
            Slot::Coming { came, .. } => *came,
            Slot::Here { bytes, .. } => bytes.len(),
        });
        came.sum::<usize>() as u64
    }

    /// What is asked for next over connection `by`: chunks that follow each other, if there is room for them. Towards the end
    /// they are fewer, so that all connections end at the same time.
    fn claim(&mut self, by: usize, connections: u64, room: u64, list: &ChunkList) -> Option<Range<usize>> {
        let chunks = list.chunks();
        let first = (self.next..chunks.len()).find(|number| !self.slots.contains_key(number))?;
        let held: u64 = self.slots.keys().map(|&number| chunks[number].length).sum();
        let run =
            RUN.min((list.total() - chunks[first].offset) / (2 * connections)).min(room.saturating_sub(held));
        let mut bytes = 0;
        let mut fits = |number: &usize| {
            bytes += chunks[*number].length;
            bytes <= run && !self.slots.contains_key(number)
        };
        let more = (first..chunks.len()).take_while(&mut fits).count();
        // One that is longer than a run is one all the same; and the one that all wait for finds room.
        let some = more.max(usize::from(first == self.next || held + chunks[first].length <= room));
        for number in first..first + some {
            self.slots.insert(number, Slot::Coming { by, came: 0 });
        }
        (some > 0).then_some(first..first + some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Sha256;

    fn list(lengths: &[u64]) -> ChunkList {
        ChunkList::of(lengths.iter().map(|length| (*length, Sha256::of(b"")))).0
    }

    /// What is claimed until there is nothing more.
    fn claims(state: &mut State, connections: u64, room: u64, list: &ChunkList) -> Vec<(usize, usize)> {
        let claim = || state.claim(0, connections, room, list).map(|run| (run.start, run.end));
        std::iter::from_fn(claim).collect()
    }

    #[test]
    fn no_more_is_under_way_than_there_is_room_for_and_the_rest_waits_for_the_reader() {
        let list = list(&[3 << 20; 1000]);
        let mut state = State { next: 1, ..State::default() };
        assert_eq!(claims(&mut state, 4, 10 << 20, &list), [(1, 2), (2, 3), (3, 4)]);
        // The reader took one, and waits for another that was given back: that one finds room in any case.
        state.slots.remove(&2);
        assert_eq!(claims(&mut state, 4, 6 << 20, &list), []);
        state.slots.remove(&1);
        state.next = 2;
        assert_eq!(claims(&mut state, 4, 3 << 20, &list), [(2, 3)]);
        state.slots.remove(&2);
        state.next = 3;
        assert_eq!(claims(&mut state, 4, 9 << 20, &list), [(4, 5), (5, 6)]);
    }

    #[test]
    fn small_chunks_are_asked_for_together_and_fewer_towards_the_end() {
        let list = list(&[1 << 20; 33]);
        let runs = claims(&mut State { next: 1, ..State::default() }, 2, 64 << 20, &list);
        let lengths: Vec<usize> = runs.iter().map(|(from, to)| to - from).collect();
        assert_eq!(lengths, [4, 4, 4, 4, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1]);
        let all: Vec<usize> = runs.into_iter().flat_map(|(from, to)| from..to).collect();
        assert_eq!(all, (1..33).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_here_is_not_asked_for_again() {
        let list = list(&[1 << 20; 100]);
        let here = |number| (number, Slot::Here { mirror: 0, bytes: vec![0; 7] });
        let mut state = State { slots: [here(0), here(2), here(3)].into(), ..State::default() };
        assert_eq!(state.ahead(), 21);
        assert_eq!(claims(&mut state, 4, 9 << 20, &list), [(1, 2), (4, 8), (8, 9)]);
    }
}
