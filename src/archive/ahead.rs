//! The source of an archive, read by a thread of its own and seen by another: fetching and hashing go on while what came
//! before is decoded. What the bytes mean is `decode`'s.

use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use super::Input;
use super::intake::BUFFER;
use super::shared::{Shared, Slice};
use super::sniff::HEAD;
use crate::privileges::Part;

/// Buffers of the source: one is filled while another is decoded, and two make up for bursts.
const BUFFERS: usize = 4;

/// What the thread sends.
enum Came {
    Bytes(Vec<u8>, usize),
    End,
    Broken(io::Error),
}

/// The source, which keeps its error for the caller: decoders wrap it, some lose it.
pub(super) struct Ahead {
    came: Receiver<Came>,
    free: Sender<Vec<u8>>,
    buffer: Arc<Shared>,
    from: usize,
    to: usize,
    ended: bool,
    failure: Failure,
}

/// Where the error of the source is kept.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    /// The source's own error, if it was that.
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, error: io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

impl Ahead {
    /// Begins to read. The threads end with the source, or when nobody listens any more: then a `read` that is under way
    /// is waited for by the scope.
    ///
    /// # Errors
    /// Of starting a thread.
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        source: Input<'env>,
    ) -> io::Result<(Self, Failure)> {
        let Input { bytes, seen } = source;
        let (sender, mut came) = sync_channel(BUFFERS);
        let (free, empties) = channel();
        for _ in 0..BUFFERS {
            // Cannot fail: the receiver is right here.
            let _ = free.send(vec![0; BUFFER]);
        }
        if let Some(mut seen) = seen {
            let (on, behind) = sync_channel(BUFFERS);
            let unseen = std::mem::replace(&mut came, behind);
            let see = move || {
                Part::Plain.keep();
                see(&unseen, &mut seen, &on);
            };
            std::thread::Builder::new().name("hash".into()).spawn_scoped(scope, see)?;
        }
        let read = move || {
            Part::Read.keep();
            read(bytes, &sender, &empties);
        };
        std::thread::Builder::new().name("read".into()).spawn_scoped(scope, read)?;
        let failure = Failure::default();
        let buffer = Shared::new(Vec::new(), &free);
        let ahead = Self { came, free, buffer, from: 0, to: 0, ended: false, failure: failure.clone() };
        Ok((ahead, failure))
    }

    /// The first bytes, enough to know what they are; less where there are no more. Nothing is taken.
    pub(super) fn head(&mut self) -> io::Result<&[u8]> {
        if self.fill_buf()?.len() < HEAD && !self.ended {
            // So little comes only before an end, good or bad.
            self.next()?;
        }
        Ok(&self.buffer.bytes[self.from..self.to.min(self.from + HEAD)])
    }

    /// The next bytes, at least `want` of them unless the source ends before. Nothing is taken.
    pub(super) fn look(&mut self, want: usize) -> io::Result<&[u8]> {
        while self.fill_buf()?.len() < want && !self.ended {
            // The rest of this buffer goes before the next one.
            let rest = self.buffer.bytes[self.from..self.to].to_vec();
            self.let_go();
            (self.from, self.to) = (0, 0);
            self.next()?;
            let mut bytes = self.let_go().into_bytes();
            bytes.splice(..0, rest.iter().copied());
            self.buffer = Shared::new(bytes, &self.free);
            self.to += rest.len();
        }
        Ok(&self.buffer.bytes[self.from..self.to])
    }

    /// Takes the next bytes, at most so many, to be kept: the buffer is shared, not copied. Nothing at the end.
    pub(super) fn take_shared(&mut self, most: usize) -> io::Result<Slice> {
        let n = self.fill_buf()?.len().min(most);
        let part = Slice::Part(Arc::clone(&self.buffer), self.from..self.from + n);
        self.from += n;
        Ok(part)
    }

    /// The next bytes in their buffer, and how many there are, before anything of it was taken. Nothing at the end.
    pub(super) fn buffer(&mut self) -> io::Result<Option<(Vec<u8>, usize)>> {
        if self.fill_buf()?.is_empty() {
            return Ok(None);
        }
        debug_assert_eq!(self.from, 0);
        let filled = std::mem::take(&mut self.to);
        Ok(Some((self.let_go().into_bytes(), filled)))
    }

    /// Has none any more; it goes back when others have let go, too.
    fn let_go(&mut self) -> Arc<Shared> {
        std::mem::replace(&mut self.buffer, Shared::new(Vec::new(), &self.free))
    }

    /// Waits for what comes next.
    fn next(&mut self) -> io::Result<()> {
        match self.came.recv() {
            Ok(Came::Bytes(buffer, filled)) => {
                (self.buffer, self.to) = (Shared::new(buffer, &self.free), filled);
            }
            Ok(Came::End) => self.ended = true,
            Ok(Came::Broken(error)) => {
                self.ended = true;
                let stand_in = io::Error::new(error.kind(), "the source failed");
                self.failure.keep(error);
                return Err(stand_in);
            }
            Err(_) => return Err(io::Error::other("the reading thread is gone")),
        }
        Ok(())
    }

    /// Buffers for who keeps some.
    pub(super) fn add(&self, buffers: usize) {
        (0..buffers).for_each(|_| self.give(vec![0; BUFFER]));
    }

    /// One for the thread, in place of one that was taken.
    pub(super) fn give(&self, buffer: Vec<u8>) {
        // It may be at its end already and need none.
        let _ = self.free.send(buffer);
    }
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.from == self.to && !self.ended {
            self.let_go();
            (self.from, self.to) = (0, 0);
            self.next()?;
        }
        Ok(&self.buffer.bytes[self.from..self.to])
    }

    fn consume(&mut self, n: usize) {
        self.from += n;
    }
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

/// The thread.
fn read(source: &mut (dyn Read + Send), sender: &SyncSender<Came>, empties: &Receiver<Vec<u8>>) {
    while let Ok(mut buffer) = empties.recv() {
        let mut filled = 0;
        let last = loop {
            match source.read(&mut buffer[filled..]) {
                Ok(0) => break Some(Came::End),
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => break Some(Came::Broken(e)),
            }
            // Only the last one is not full: a writer may keep some, and counts on what is in them.
            if filled == buffer.len() {
                break None;
            }
        };
        // What came before an end is handed on first. A send that fails means that nobody wants to know.
        if filled > 0 && sender.send(Came::Bytes(buffer, filled)).is_err() {
            return;
        }
        if let Some(last) = last {
            let _ = sender.send(last);
            return;
        }
    }
}

/// The thread between: nothing goes on that was not seen.
fn see(unseen: &Receiver<Came>, seen: &mut dyn FnMut(&[u8]), on: &SyncSender<Came>) {
    while let Ok(came) = unseen.recv() {
        if let Came::Bytes(buffer, filled) = &came {
            seen(&buffer[..*filled]);
        }
        if on.send(came).is_err() {
            return;
        }
    }
}
