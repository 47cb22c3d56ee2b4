//! One of several connections: asks for one run of chunks after the other, and says how far each is. Which are next, and what is
//! done when it fails, `parallel` knows.

use std::io::{ErrorKind, Read as _};
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, PoisonError};

use super::{Place, Shared, Slot};
use crate::fetch::http::Line;
use crate::fetch::range::At;
use crate::fetch::stream::LEAST_PART;
use crate::fetch::{FetchError, Flow, Source};
use crate::privileges::Part;

/// One connection, on a thread of its own.
pub(super) struct Worker {
    pub(super) by: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) place: Arc<Place>,
    pub(super) flow: Flow,
    pub(super) line: Option<Line>,
}

impl Worker {
    pub(super) fn work(mut self) {
        Part::Plain.keep();
        while let Some(run) = self.next_run() {
            if let Err(why) = self.fetch(run) {
                return self.gives_up(why);
            }
        }
    }

    /// Nothing once it is told to stop.
    fn next_run(&self) -> Option<Range<usize>> {
        let mut state = self.shared.state();
        loop {
            // Asked with the lock held: whoever tells it to stop looks after the slots later.
            if self.flow.stopped() {
                return None;
            }
            let Shared { list, connections, room, .. } = &*self.shared;
            if let Some(run) = state.claim(self.by, *connections, *room, list) {
                return Some(run);
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All chunks of a run.
    fn fetch(&mut self, run: Range<usize>) -> Result<(), FetchError> {
        let list = self.shared.list.clone();
        let chunks = &list.chunks()[run.clone()];
        let (mut at, end) = (chunks[0].offset, chunks[run.len() - 1].range().end);
        let (mut since, mut source) = (at, self.ask(at, end)?);
        for (number, chunk) in run.zip(chunks) {
            let (mut bytes, mut have) = (vec![0; chunk.length as usize], 0);
            while have < bytes.len() {
                match source.reader.read(&mut bytes[have..]) {
                    Ok(0) if at - since < LEAST_PART => {
                        let came = at - since;
                        let text =
                            format!("{}: it sends no more than {came} bytes at a time", source.location);
                        return Err(FetchError::transient(text));
                    }
                    // A server may send less than it was asked for (RFC 9110, section 15.3.7).
                    Ok(0) => (since, source) = (at, self.ask(at, end)?),
                    Ok(n) => {
                        have += n;
                        at += n as u64;
                        self.tell(number, Slot::Coming { by: self.by, came: have });
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(source.failure(&e)),
                }
            }
            self.tell(number, Slot::Here { mirror: self.place.mirror, bytes });
        }
        Ok(())
    }

    /// Asks for these bytes, over the connection that is there if there is one.
    fn ask(&mut self, start: u64, end: u64) -> Result<Source<'static>, FetchError> {
        let at = At { start, end: Some(end), unchanged: None };
        let on = |_| if self.flow.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let line = match &mut self.line {
            Some(line) => line,
            none => none.insert(self.place.fetcher.line(&self.place.location, &self.place.timing)?),
        };
        let source = line.open(&at, &on)?;
        self.flow.stand_before(&source.flow);
        let (location, total) = (&source.location, self.shared.list.total());
        if source.start != start {
            let text = format!("{location}: asked for byte {start} on, it sends everything");
            return Err(FetchError::StartOver(text));
        }
        match source.length {
            Some(has) if has != total => {
                Err(FetchError::Permanent(format!("{location}: has {has} bytes, the catalog says {total}")))
            }
            _ => Ok(source),
        }
    }

    /// How far a chunk is; nobody wants to know it of one that was let go.
    fn tell(&self, number: usize, slot: Slot) {
        let mut state = self.shared.state();
        if let Some(own @ Slot::Coming { .. }) = state.slots.get_mut(&number)
            && matches!(own, Slot::Coming { by, .. } if *by == self.by)
            && !self.flow.stopped()
        {
            let here = matches!(slot, Slot::Here { .. });
            *own = slot;
            if here {
                self.shared.changed.notify_all();
            }
        }
    }

    /// Gives back what it had not finished.
    fn gives_up(self, why: FetchError) {
        let mut state = self.shared.state();
        if self.flow.stopped() {
            return;
        }
        let own = |slot: &Slot| matches!(slot, Slot::Coming { by, .. } if *by == self.by);
        let first = state.slots.iter().find(|(_, slot)| own(slot)).map_or(0, |(number, _)| *number);
        let at = self.shared.list.chunks()[first].offset;
        state.slots.retain(|_, slot| !own(slot));
        state.alive -= 1;
        state.lost.push((why, at));
        self.shared.changed.notify_all();
    }
}
