//! Reading on a thread of its own, ahead of whoever wants the bytes. What a dead server, disk or host holds is that
//! thread: the reader here waits for a stall, not for the kernel, and hears at once that it shall stop. How a file is
//! opened is for others to say; they do that on a thread, too (`beside`).

use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::beside::PULSE;
use super::error::seconds;
use super::{FetchError, Flow, Source};
use crate::answer::{self, Answer, NoAnswer};

/// What the thread hands over at once, and how many of them may wait: the kernel reads ahead by itself.
const PIECE: usize = 256 << 10;
const QUEUE: usize = 4;

/// What is in good health lets go within that; what is dead is not waited for.
const LETTING_GO: Duration = Duration::from_secs(2);

/// What the reader has to know of the place.
pub(super) struct Place {
    /// For messages.
    pub name: String,
    /// How long opening took: silence before the first byte counts as well.
    pub opening: Duration,
    /// How long may pass without a byte.
    pub stall: Duration,
    /// An error of read(2) may be gone when it is tried again: a server's, not a disk's.
    pub passes: bool,
}

/// The same source, read by a thread.
///
/// # Errors
/// A thread that cannot be started.
pub(super) fn apart(source: Source<'static>, place: Place) -> Result<Source<'static>, FetchError> {
    let Source { reader, length, location, start, version, .. } = source;
    let (sender, receiver) = sync_channel(QUEUE);
    let (here, gone) = answer::pair();
    let read = move || {
        read_until_gone(reader, &sender);
        // Said by being dropped: the place is let go.
        drop(here);
    };
    answer::begin("read", Box::new(read)).map_err(|e| FetchError::Transient {
        text: format!("{}: starting a thread: {e}", place.name),
        silent: Duration::ZERO,
        retry_after: None,
    })?;
    let flow = Flow::default();
    let receiver = Some(receiver);
    let flows = flow.clone();
    let piece = Vec::new();
    let body = Body { receiver, gone, piece, at: 0, ended: false, place, start, length, flow: flows };
    Ok(Source { start, version, ..Source::whole(body, length, &location, &flow) })
}

/// What the thread sends: pieces, and at last how it ended.
enum Message {
    Piece(Vec<u8>),
    End,
    Broken(String),
}

/// The thread: lets go of the place before it says that it has read everything.
fn read_until_gone(mut reader: Box<dyn Read + Send>, sender: &SyncSender<Message>) {
    let last = loop {
        let mut piece = vec![0; PIECE];
        match reader.read(&mut piece) {
            Ok(0) => break Message::End,
            Ok(n) => {
                piece.truncate(n);
                if sender.send(Message::Piece(piece)).is_err() {
                    break Message::End;
                }
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => break Message::Broken(e.to_string()),
        }
    };
    match last {
        Message::Broken(_) => {
            // First the word: letting go of what is dead takes its time.
            drop(sender.send(last));
            drop(reader);
        }
        last => {
            drop(reader);
            // A send that fails means that the reader is gone: then nobody wants to know.
            drop(sender.send(last));
        }
    }
}

/// The reader's side.
struct Body {
    receiver: Option<Receiver<Message>>,
    /// Never given: it ends when the thread has let go.
    gone: Answer<()>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
    place: Place,
    start: u64,
    length: Option<u64>,
    flow: Flow,
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let waiting = Instant::now();
        loop {
            if let Some(error) = self.flow.broken() {
                return Err(error);
            }
            if buf.is_empty() || self.ended {
                return Ok(0);
            }
            if self.at < self.piece.len() {
                let n = (self.piece.len() - self.at).min(buf.len());
                buf[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
                self.at += n;
                self.flow.passed(n);
                return Ok(n);
            }
            let came =
                self.receiver.as_ref().map(|receiver| receiver.recv_timeout(PULSE.min(self.place.stall)));
            match came {
                Some(Ok(Message::Piece(piece))) => (self.piece, self.at) = (piece, 0),
                Some(Ok(Message::End)) => self.ended = true,
                Some(Ok(Message::Broken(why))) => {
                    return Err(self.broken(&why, waiting.elapsed(), ErrorKind::Other, self.place.passes));
                }
                Some(Err(RecvTimeoutError::Timeout)) if waiting.elapsed() < self.place.stall => {}
                Some(Err(RecvTimeoutError::Timeout)) => {
                    let why = format!(
                        "{}: reading: nothing came for {}",
                        self.place.name,
                        seconds(self.place.stall)
                    );
                    return Err(self.broken(&why, waiting.elapsed(), ErrorKind::TimedOut, true));
                }
                Some(Err(RecvTimeoutError::Disconnected)) | None => {
                    let why = format!("{}: the reading thread ended without a word", self.place.name);
                    return Err(self.broken(&why, waiting.elapsed(), ErrorKind::Other, true));
                }
            }
        }
    }
}

impl Body {
    /// `why` names the place already.
    fn broken(&self, why: &str, silent: Duration, kind: ErrorKind, passes: bool) -> io::Error {
        let of = self.length.map_or_else(String::new, |length| format!(" of {length}"));
        let text = match why.ends_with("bytes") {
            true => why.to_owned(),
            false => format!("{why} after {}{of} bytes", self.start + self.flow.bytes()),
        };
        let silent = self.place.opening + silent;
        let error = match passes {
            true => FetchError::Transient { text, silent, retry_after: None },
            false => FetchError::Permanent(text),
        };
        self.flow.fail(error, kind)
    }
}

impl Drop for Body {
    /// When this is over nothing holds the place any more, unless it is dead.
    fn drop(&mut self) {
        self.receiver = None;
        if self.gone.take_within(LETTING_GO) == Err(NoAnswer::Yet) {
            log::warn!("{}: it does not let go of the file; not waited for", self.place.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Location;

    /// A reader that hangs as one on a dead server does, until its giver is gone.
    struct Hanging(Option<Answer<()>>);

    impl Read for Hanging {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            let _gone = self.0.take().map(Answer::take);
            Ok(0)
        }
    }

    fn body(reader: Box<dyn Read + Send>, stall: Duration, passes: bool) -> Source<'static> {
        let location = Location::parse("nfs://a/b:/c").unwrap();
        let source = Source::whole(reader, Some(7), &location, &Flow::default());
        let name = source.location.to_string();
        apart(source, Place { name, opening: Duration::ZERO, stall, passes }).unwrap()
    }

    #[test]
    fn a_dead_server_is_an_error_after_the_stall_and_a_stop_ends_the_wait() {
        let (_alive, hanging) = answer::pair();
        let mut source = body(Box::new(Hanging(Some(hanging))), Duration::from_millis(200), false);
        let error = source.reader.read(&mut [0; 9]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "nfs://a/b:/c: reading: nothing came for 0.2 s after 0 of 7 bytes");
        assert!(matches!(source.flow.failure(), Some(FetchError::Transient { .. })));

        let (_alive, hanging) = answer::pair();
        let mut source = body(Box::new(Hanging(Some(hanging))), Duration::from_secs(60), true);
        source.flow.stop();
        assert_eq!(FetchError::of(&source.reader.read(&mut [0; 9]).unwrap_err()), Some(&FetchError::Stopped));
    }

    #[test]
    fn what_was_read_is_let_go_before_the_end_is_said() {
        struct Small(&'static [u8], std::sync::Arc<std::sync::atomic::AtomicBool>);
        impl Read for Small {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(buf)
            }
        }
        impl Drop for Small {
            fn drop(&mut self) {
                self.1.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let let_go = std::sync::Arc::default();
        let mut source = body(Box::new(Small(b"hello", std::sync::Arc::clone(&let_go))), LETTING_GO, true);
        let mut text = String::new();
        source.reader.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), source.flow.bytes()), ("hello", 5));
        assert!(let_go.load(std::sync::atomic::Ordering::SeqCst));
    }

    #[test]
    fn an_error_of_a_disk_is_final_and_one_of_a_server_is_not() {
        struct Torn;
        impl Read for Torn {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("torn"))
            }
        }
        for passes in [false, true] {
            let mut source = body(Box::new(Torn), LETTING_GO, passes);
            let error = source.reader.read(&mut [0; 9]).unwrap_err();
            assert_eq!(error.to_string(), "torn after 0 of 7 bytes");
            let transient = matches!(source.flow.failure(), Some(FetchError::Transient { .. }));
            assert_eq!(transient, passes);
        }
    }
}
