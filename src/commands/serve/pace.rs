//! How a body is sent: as fast as the client takes it, and not at all to one that takes next to nothing. What is sent is
//! `answer`'s.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A client that takes less of an answer in such a time only holds a place: about 1 KiB/s.
pub(super) const FLOOR: Floor = Floor { bytes: 60 << 10, within: Duration::from_secs(60) };
/// How often a client that takes nothing is tried again: the kernel calls a socket writable only when a third of its
/// buffer is free (tcp(7)), which a slow client may need minutes for.
const PULSE: Duration = Duration::from_millis(500);
/// One sendfile(2) at most, so that a log line or an end is never far.
const AT_ONCE: usize = 4 << 20;

pub(super) fn send_file(
    stream: &TcpStream,
    file: &OwnedFd,
    from: u64,
    length: u64,
    floor: &Floor,
) -> Result<u64, (u64, io::Error)> {
    paced(stream, length, floor, |at| {
        let count = usize::try_from(length - at).unwrap_or(usize::MAX).min(AT_ONCE);
        Ok(rustix::fs::sendfile(stream, file, Some(&mut (from + at)), count)? as u64)
    })
}

/// The least that a client must take.
pub(super) struct Floor {
    bytes: u64,
    pub(super) within: Duration,
}

/// Sends `length` bytes, as many at a time as `push` (told how many went before) can without waiting.
pub(super) fn paced(
    stream: &TcpStream,
    length: u64,
    floor: &Floor,
    push: impl FnMut(u64) -> io::Result<u64>,
) -> Result<u64, (u64, io::Error)> {
    let failed = |e| (0, e);
    stream.set_nonblocking(true).map_err(failed)?;
    let sent = push_all(stream, length, floor, push);
    stream.set_nonblocking(false).map_err(|e| (sent.as_ref().map_or(0, |n| *n), e))?;
    sent
}

fn push_all(
    stream: &TcpStream,
    length: u64,
    floor: &Floor,
    mut push: impl FnMut(u64) -> io::Result<u64>,
) -> Result<u64, (u64, io::Error)> {
    let (mut at, mut since, mut before) = (0, Instant::now(), 0);
    while at < length {
        match push(at) {
            // The length is promised already: closing is the only way left to say that it is not true.
            Ok(0) => return Err((at, io::Error::other("the file became shorter"))),
            Ok(n) => at += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let pulse = PollTimeout::try_from(PULSE.min(floor.within / 4)).unwrap_or(PollTimeout::MAX);
                let mut writable = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut writable, pulse) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(e) => return Err((at, e.into())),
                }
            }
            Err(e) => return Err((at, e)),
        }
        if at - before >= floor.bytes {
            (since, before) = (Instant::now(), at);
        } else if since.elapsed() >= floor.within {
            return Err((at, io::Error::new(io::ErrorKind::TimedOut, "it takes too little at a time")));
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    /// How many bytes the client takes at a time, and how long it waits between.
    fn served(take: usize, wait: Duration) -> Result<u64, (u64, io::Error)> {
        let length = 16_u64 << 20;
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let taking = std::thread::spawn(move || {
            let mut piece = vec![0; take];
            while client.read(&mut piece).is_ok_and(|n| n > 0) {
                std::thread::park_timeout(wait);
            }
        });
        let floor = Floor { bytes: 60 << 10, within: Duration::from_secs(2) };
        let sent = send_file(&stream, &file.into(), 0, length, &floor);
        drop(stream);
        if sent.is_ok() {
            taking.join().unwrap();
        }
        sent
    }

    #[test]
    fn a_client_that_takes_a_byte_now_and_then_is_cut_off_and_a_slow_one_is_not() {
        let begun = Instant::now();
        let (bytes, error) = served(1, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error} after {bytes}");
        assert!(begun.elapsed() < Duration::from_secs(20), "it held its place for {:?}", begun.elapsed());
        assert_eq!(served(1 << 20, Duration::from_millis(60)).unwrap(), 16 << 20);
    }
}
