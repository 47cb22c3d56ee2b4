//! One try over TFTP: a request, and then block after block, each window of them acknowledged. The answer to the
//! request is waited for on a thread of its own; the blocks are taken by the reader itself.
//!
//! No crate: none that is kept does without an asynchronous runtime of its own.

mod packet;

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use url::Url;

use super::beside::{PULSE, addresses, beside};
use super::error::seconds;
use super::location::shown;
use super::{Config, FetchError, Flow, Location, OnEvent, Source, Timing};
use packet::{Options, Packet, acknowledged, error, meaning, request};

/// RFC 1350, section 4.
const PORT: u16 = 69;

/// What was not answered is sent again after this long, then after twice that, and so on.
const AGAIN: Duration = Duration::from_millis(400);

/// The longest packet that may come: the head and a block, and a byte more, which would be one too many.
const MAX_PACKET: usize = 4 + packet::BLOCK as usize + 1;

pub(super) fn open(
    config: &Config,
    url: &Url,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Source<'static>, FetchError> {
    let name = shown(url);
    let wanted = file_of(url).map_err(|why| FetchError::Permanent(format!("{name}: {why}")))?;
    let (config, limits, inner) = (config.clone(), timing.clone(), name.clone());
    let (host, port) = (url.host_str().unwrap_or_default().to_owned(), url.port().unwrap_or(PORT));
    let begun = Instant::now();
    let peer = beside(&name, timing.connect * 2 + timing.stall, on, move || {
        let begun = Instant::now();
        let transient = |why: String| FetchError::Transient {
            text: format!("{inner}: {why}"),
            silent: begun.elapsed(),
            retry_after: None,
        };
        let addresses = addresses(&config, &host, limits.connect).map_err(transient)?;
        // The share of each: nothing says at once that nobody is there.
        let each = limits.connect / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut last = transient("no address".into());
        for address in addresses {
            match ask(SocketAddr::new(address, port), &wanted, each) {
                Ok(begun) => return Ok(begun),
                Err(Failed::Later(why)) => last = transient(why),
                Err(Failed::Never(why)) => return Err(FetchError::Permanent(format!("{inner}: {why}"))),
            }
        }
        Err(last)
    })?;
    let Begun { socket, server, options, first } = peer;
    let flow = Flow::default();
    let length = options.size;
    let mut blocks = Blocks {
        socket,
        server,
        options,
        ready: Vec::new(),
        at: 0,
        last: 0,
        unacknowledged: 0,
        asked_again: false,
        had: 0,
        ended: false,
        stall: timing.stall,
        opening: begun.elapsed(),
        name,
        flow: flow.clone(),
    };
    // A server without options begins with the first block; one with them waits for the word to begin.
    match first {
        Some(bytes) => blocks.accept(1, &bytes),
        None => blocks.acknowledge(),
    }
    Ok(Source::whole(blocks, length, &Location::Tftp(url.clone()), &flow))
}

/// The name as the server gets it: what stands after the first `/` (RFC 3617).
fn file_of(url: &Url) -> Result<String, String> {
    let path = url.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    let (path, mode) = path.rsplit_once(";mode=").unwrap_or((path, "octet"));
    if !mode.eq_ignore_ascii_case("octet") {
        return Err(format!(";mode={mode} would change the bytes: write ;mode=octet or nothing"));
    }
    let name = percent_decode_str(path).decode_utf8_lossy().into_owned();
    if name.is_empty() || name.ends_with('/') {
        return Err("names no file: write tftp://SERVER/PATH, such as tftp://10.0.0.1/images/root.tar".into());
    }
    match request(&name, true) {
        Some(_) => Ok(name),
        None => Err("the name is too long for a TFTP request, or holds a NUL".into()),
    }
}

/// A transfer that the server agreed to.
struct Begun {
    socket: UdpSocket,
    /// With the port that it chose for this transfer.
    server: SocketAddr,
    options: Options,
    first: Option<Vec<u8>>,
}

enum Failed {
    Later(String),
    Never(String),
}

/// Asks until somebody answers; without options if the server refuses them.
fn ask(server: SocketAddr, name: &str, within: Duration) -> Result<Begun, Failed> {
    let later = |e: io::Error| Failed::Later(format!("{server}: {e}"));
    let any: IpAddr = match server.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut with_options = true;
    let mut socket = UdpSocket::bind((any, 0)).map_err(later)?;
    let (until, mut again, mut due) = (Instant::now() + within, AGAIN, Instant::now());
    let mut buffer = [0; MAX_PACKET];
    loop {
        let now = Instant::now();
        if now >= until {
            let why = format!("{server}: nothing came for {}", seconds(within));
            return Err(Failed::Later(why));
        }
        if now >= due {
            // Checked before: the name fits.
            let packet = request(name, with_options).unwrap_or_default();
            socket.send_to(&packet, server).map_err(later)?;
            (due, again) = (now + again, again * 2);
        }
        let Some((n, from)) = receive(&socket, &mut buffer, due.min(until)).map_err(later)? else { continue };
        // Another port: the server's own for this transfer. Another address: nobody that was asked.
        if from.ip() != server.ip() {
            continue;
        }
        match packet::read(&buffer[..n]) {
            Ok(Packet::Data { block: 1, bytes }) if bytes.len() <= usize::from(packet::PLAIN_BLOCK) => {
                let first = Some(bytes.to_vec());
                return Ok(Begun { socket, server: from, options: Options::PLAIN, first });
            }
            Ok(Packet::Accepted(options)) if with_options => {
                return Ok(Begun { socket, server: from, options, first: None });
            }
            Ok(Packet::Error { code: 8, .. }) if with_options => {
                with_options = false;
                // Another socket: what still comes for the old request is nothing to the new one.
                socket = UdpSocket::bind((any, 0)).map_err(later)?;
                (due, again) = (Instant::now(), AGAIN);
            }
            Ok(Packet::Error { code, text }) => return Err(refused(from, code, &text)),
            // The rest of something else.
            Ok(_) => {}
            Err(why) => {
                tell(&socket, from, &error(8, "not understood"));
                return Err(Failed::Never(format!("{from} sent {why}")));
            }
        }
    }
}

/// 0 may be anything, 3 and 5 pass; what is not there or not allowed stays so.
fn refused(server: SocketAddr, code: u16, text: &str) -> Failed {
    let why = format!("{server}: server answered {}: {text}", meaning(code));
    let why = why.trim_end_matches([':', ' ']).to_owned();
    if matches!(code, 0 | 3 | 5) { Failed::Later(why) } else { Failed::Never(why) }
}

/// One packet, or nothing until `due`.
fn receive(socket: &UdpSocket, buffer: &mut [u8], due: Instant) -> io::Result<Option<(usize, SocketAddr)>> {
    // A timer of nothing would be one without an end.
    let wait = due.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), PULSE);
    socket.set_read_timeout(Some(wait))?;
    match socket.recv_from(buffer) {
        Ok(came) => Ok(Some(came)),
        Err(e)
            if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
        {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// A packet may be lost anywhere, here too: what has to come is asked for again.
fn tell(socket: &UdpSocket, to: SocketAddr, packet: &[u8]) {
    if let Err(e) = socket.send_to(packet, to) {
        log::debug!("tftp: sending to {to}: {e}");
    }
}

/// Hands out the blocks in their order.
struct Blocks {
    socket: UdpSocket,
    server: SocketAddr,
    options: Options,
    /// A block, and how far it was handed out.
    ready: Vec<u8>,
    at: usize,
    /// The last block that came in order; they count on from 65535 to 0.
    last: u16,
    /// Blocks since the last word to the server: a whole window of them is acknowledged.
    unacknowledged: u16,
    /// Whether a gap was complained of already: once is enough until something comes.
    asked_again: bool,
    had: u64,
    ended: bool,
    stall: Duration,
    opening: Duration,
    name: String,
    flow: Flow,
}

impl Read for Blocks {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.flow.broken() {
            return Err(error);
        }
        if buf.is_empty() {
            return Ok(0);
        }
        if self.at == self.ready.len() && !self.ended {
            self.next()?;
        }
        let n = (self.ready.len() - self.at).min(buf.len());
        buf[..n].copy_from_slice(&self.ready[self.at..self.at + n]);
        self.at += n;
        self.flow.passed(n);
        Ok(n)
    }
}

impl Blocks {
    /// Waits for the next block that holds something, or for the end.
    fn next(&mut self) -> io::Result<()> {
        // Only what is waited for here is silence: a reader that takes its time is none.
        let waiting = Instant::now();
        let (mut again, mut due) = (AGAIN, waiting + AGAIN);
        let mut buffer = [0; MAX_PACKET];
        loop {
            let until = due.min(waiting + self.stall);
            let came = receive(&self.socket, &mut buffer, until);
            let came = came.map_err(|e| self.broken(&e.to_string(), waiting, ErrorKind::Other))?;
            if let Some((n, from)) = came
                && self.understood(&buffer[..n], from, waiting)?
            {
                return Ok(());
            }
            if let Some(error) = self.flow.broken() {
                return Err(error);
            }
            if waiting.elapsed() >= self.stall {
                let why = format!("nothing came for {}", seconds(self.stall));
                return Err(self.broken(&why, waiting, ErrorKind::TimedOut));
            }
            if Instant::now() >= due {
                self.acknowledge();
                again *= 2;
                due = Instant::now() + again;
            }
        }
    }

    /// Whether the packet was the next block.
    fn understood(&mut self, packet: &[u8], from: SocketAddr, waiting: Instant) -> io::Result<bool> {
        if from != self.server {
            // RFC 1350, section 4: the other transfer, if there is one, is not this one's business.
            tell(&self.socket, from, &error(5, "unknown transfer"));
            return Ok(false);
        }
        match packet::read(packet) {
            Ok(Packet::Data { bytes, .. }) if bytes.len() > usize::from(self.options.block) => {
                let why = "a block is larger than was agreed on";
                Err(self.broken(why, waiting, ErrorKind::InvalidData))
            }
            Ok(Packet::Data { block, bytes }) if block == self.last.wrapping_add(1) => {
                self.accept(block, bytes);
                self.whole(waiting)
            }
            Ok(Packet::Data { .. }) => {
                // One was lost, or came twice: the server goes back to what it is told (RFC 7440, section 4). Told once
                // only, or each answer would bring two.
                if !self.asked_again {
                    self.acknowledge();
                    self.asked_again = true;
                }
                Ok(false)
            }
            // Once more: the word to begin was lost.
            Ok(Packet::Accepted(_)) if self.had == 0 && self.last == 0 => {
                self.acknowledge();
                Ok(false)
            }
            Ok(Packet::Accepted(_)) => Ok(false),
            Ok(Packet::Error { code, text }) => {
                let why = match refused(from, code, &text) {
                    Failed::Later(why) | Failed::Never(why) => why,
                };
                Err(self.broken(&why, waiting, ErrorKind::ConnectionAborted))
            }
            Err(why) => Err(self.broken(&format!("it sent {why}"), waiting, ErrorKind::InvalidData)),
        }
    }

    /// The block that had to come.
    fn accept(&mut self, block: u16, bytes: &[u8]) {
        (self.ready, self.at, self.last) = (bytes.to_vec(), 0, block);
        self.had += bytes.len() as u64;
        self.unacknowledged += 1;
        self.asked_again = false;
        self.ended = bytes.len() < usize::from(self.options.block);
        if self.ended || self.unacknowledged >= self.options.window {
            self.acknowledge();
        }
    }

    /// The end is one only if nothing is missing.
    fn whole(&mut self, waiting: Instant) -> io::Result<bool> {
        match self.options.size {
            Some(size) if (self.ended && size != self.had) || self.had > size => {
                let why = if self.had > size { "more came than was announced" } else { "the file ended" };
                Err(self.broken(why, waiting, ErrorKind::UnexpectedEof))
            }
            _ => Ok(true),
        }
    }

    fn acknowledge(&mut self) {
        self.unacknowledged = 0;
        tell(&self.socket, self.server, &acknowledged(self.last));
    }

    fn broken(&self, why: &str, waiting: Instant, kind: ErrorKind) -> io::Error {
        let of = self.options.size.map_or_else(String::new, |size| format!(" of {size}"));
        let text = format!("{}: reading from {}: {why} after {}{of} bytes", self.name, self.server, self.had);
        let silent = self.opening + waiting.elapsed();
        self.flow.fail(FetchError::Transient { text, silent, retry_after: None }, kind)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // Otherwise the server would repeat itself for a while.
        if !self.ended {
            tell(&self.socket, self.server, &error(0, "not wanted any more"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_file_as_the_server_knows_it() {
        let file = |url: &str| file_of(&Url::parse(url).unwrap());
        for (url, name) in [
            ("tftp://h/root.tar", "root.tar"),
            ("tftp://h/a/b%20c", "a/b c"),
            ("tftp://h//srv/a", "/srv/a"),
            ("tftp://h/%2Fsrv/a;mode=octet", "/srv/a"),
        ] {
            assert_eq!(file(url).as_deref(), Ok(name), "{url}");
        }
        for (url, why) in [
            ("tftp://h/", "names no file"),
            ("tftp://h", "names no file"),
            ("tftp://h/a/", "names no file"),
            ("tftp://h/a;mode=netascii", ";mode=netascii would change the bytes"),
            ("tftp://h/a%00b", "the name is too long"),
            (&format!("tftp://h/{}", "x".repeat(500)), "the name is too long"),
        ] {
            assert!(file(url).unwrap_err().starts_with(why), "{url}: {:?}", file(url));
        }
    }
}
