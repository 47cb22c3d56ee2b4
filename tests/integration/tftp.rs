//! Fetching over TFTP: from atftpd, directly and over a wire that loses and doubles packets, and from a server that
//! keeps to its script.

use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bootjack::fetch::{Config, FetchError, Fetcher, Source, Timing};

use crate::fetch::{at, broken, go_on, hasty, patient, permanent, transient};
use crate::peer::Peer;

fn open_with(url: &str, timing: &Timing) -> Result<Source<'static>, FetchError> {
    Fetcher::new(&Config::default()).unwrap().open(&at(url), timing, &go_on)
}

fn open(url: &str) -> Result<Source<'static>, FetchError> {
    open_with(url, &patient())
}

fn whole(mut source: Source<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    source.reader.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A directory with `root.tar` of so many bytes, no two blocks alike.
fn directory(bytes: usize) -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let body: Vec<u8> = (0..bytes).map(|i| (i / 251) as u8 ^ (i % 251) as u8).collect();
    std::fs::write(dir.path().join("root.tar"), &body).unwrap();
    // atftpd asks for it even as root.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    (dir, body)
}

#[test]
fn a_file_of_a_real_server_arrives_whole_with_its_length() {
    // More blocks than 16 bits count, and not a whole number of them.
    let (dir, body) = directory(70_000 * 1428 + 17);
    let server = Peer::tftp(dir.path(), &[]);
    let source = open(&format!("tftp://127.0.0.1:{}/root.tar", server.port)).unwrap();
    assert_eq!(source.length, Some(body.len() as u64));
    let flow = source.flow.clone();
    assert!(whole(source) == body);
    assert_eq!(flow.bytes(), body.len() as u64);
}

#[test]
fn whole_blocks_and_no_byte_at_all_end_as_they_should() {
    for bytes in [0, 1, 1427, 1428, 16 * 1428] {
        let (dir, body) = directory(bytes);
        let server = Peer::tftp(dir.path(), &[]);
        let source = open(&format!("tftp://localhost:{}/root.tar", server.port)).unwrap();
        assert_eq!(source.length, Some(bytes as u64));
        assert!(whole(source) == body, "{bytes}");
    }
}

#[test]
fn a_server_without_options_is_enough() {
    let (dir, body) = directory(5 * 512 + 1);
    let without = ["--no-blksize", "--no-tsize", "--no-windowsize", "--no-timeout"];
    let server = Peer::tftp(dir.path(), &without);
    let source = open(&format!("tftp://127.0.0.1:{}/root.tar", server.port)).unwrap();
    assert_eq!(source.length, None);
    assert!(whole(source) == body);
}

#[test]
fn a_file_that_is_not_there_is_said_in_the_servers_words() {
    let (dir, _) = directory(1);
    let server = Peer::tftp(dir.path(), &[]);
    let url = format!("tftp://127.0.0.1:{}/none", server.port);
    let text = permanent(open(&url).map(|s| s.location).unwrap_err());
    assert!(text.starts_with(&format!("{url}: 127.0.0.1:")), "{text}");
    assert!(text.ends_with("server answered file not found: File not found"), "{text}");
}

#[test]
fn nobody_there_is_an_error_after_the_time_to_connect() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap();
    let timing = Timing { connect: Duration::from_millis(1500), stall: Duration::from_secs(10) };
    let text = transient(open_with(&format!("tftp://{addr}/x"), &timing).map(|s| s.location).unwrap_err());
    assert!(text.ends_with(&format!("{addr}: nothing came for 1.5 s")), "{text}");
    // It was asked more than once, each time later than before.
    silent.set_nonblocking(true).unwrap();
    let asked = std::iter::from_fn(|| silent.recv_from(&mut [0; 600]).ok()).count();
    assert_eq!(asked, 3);
}

/// A wire between a client and a server: `fate` says how often each packet arrives. What a third one sends to the
/// client in between is answered by it, and the answers are kept.
struct Wire {
    port: u16,
    strangers_heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Wire {
    fn to(server: u16, mut fate: impl FnMut(&[u8]) -> usize + Send + 'static) -> Self {
        let (asked, client_side, server_side, stranger) = (socket(), socket(), socket(), socket());
        let port = asked.local_addr().unwrap().port();
        let strangers_heard = Arc::new(Mutex::new(vec![]));
        let heard = Arc::clone(&strangers_heard);
        // Ends with the test.
        std::thread::spawn(move || {
            let (mut client, mut transfer) = (None::<SocketAddr>, None::<SocketAddr>);
            let mut buffer = [0; 2048];
            loop {
                let mut pass = |from: &UdpSocket, to: &UdpSocket, target: Option<SocketAddr>| {
                    let (n, sender) = from.recv_from(&mut buffer).ok()?;
                    let target = target.or((n > 0).then_some(sender))?;
                    (0..fate(&buffer[..n])).for_each(|_| drop(to.send_to(&buffer[..n], target)));
                    Some(sender)
                };
                let to_server = Some(SocketAddr::from(([127, 0, 0, 1], server)));
                let mut busy = false;
                if let Some(from) = pass(&asked, &server_side, to_server) {
                    (client, busy) = (Some(from), true);
                }
                if let Some(from) = pass(&server_side, &client_side, client) {
                    (transfer, busy) = (Some(from), true);
                    drop(stranger.send_to(b"\0\x03\0\x01from a stranger", client.unwrap()));
                }
                busy |= transfer.is_some() && pass(&client_side, &server_side, transfer).is_some();
                while let Ok((n, _)) = stranger.recv_from(&mut buffer) {
                    heard.lock().unwrap().push(buffer[..n].to_vec());
                }
                if !busy {
                    std::thread::park_timeout(Duration::from_micros(200));
                }
            }
        });
        Self { port, strangers_heard }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn lost_and_doubled_packets_change_nothing_and_strangers_are_told_so() {
    let (dir, body) = directory(400 * 1428 + 1);
    let server = Peer::tftp(dir.path(), &["--retry-timeout", "1"]);
    let (mut state, count) = (1_u64, Arc::new(Mutex::new([0_u32; 3])));
    let counted = Arc::clone(&count);
    let wire = Wire::to(server.port, move |_| {
        // Knuth's, MMIX: the same wire each time.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fate = match (state >> 33) % 20 {
            0 => 0,
            1 | 2 => 2,
            _ => 1,
        };
        counted.lock().unwrap()[fate] += 1;
        fate
    });
    let source = open(&format!("tftp://127.0.0.1:{}/root.tar", wire.port)).unwrap();
    assert_eq!(source.length, Some(body.len() as u64));
    assert!(whole(source) == body);
    let [lost, _, doubled] = *count.lock().unwrap();
    assert!(lost > 10 && doubled > 20, "{lost} lost, {doubled} doubled");
    let heard = wire.strangers_heard.lock().unwrap();
    assert!(heard.len() > 100, "{}", heard.len());
    assert!(heard.iter().all(|packet| packet.starts_with(b"\0\x05\0\x05")), "{heard:?}");
}

/// A server that answers the request with these packets, and counts what it hears.
fn scripted(packets: &'static [&'static [u8]]) -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("tftp://{}/x", server.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(vec![]));
    let hearing = Arc::clone(&heard);
    // Ends with the test.
    std::thread::spawn(move || {
        let transfer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (_, client) = server.recv_from(&mut [0; 600]).unwrap();
        packets.iter().for_each(|packet| drop(transfer.send_to(packet, client)));
        let mut buffer = [0; 600];
        while let Ok((n, _)) = transfer.recv_from(&mut buffer) {
            hearing.lock().unwrap().push(buffer[..n].to_vec());
        }
    });
    (url, heard)
}

#[test]
fn a_server_that_falls_silent_is_asked_again_and_then_given_up() {
    let (url, heard) = scripted(&[b"\0\x06blksize\x008\0tsize\x0020\0", b"\0\x03\0\x01abcdefgh"]);
    let timing = Timing { connect: Duration::from_secs(10), stall: Duration::from_millis(1500) };
    let begun = Instant::now();
    let (bytes, error, failure) = broken(open_with(&url, &timing).unwrap());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!((bytes.as_slice(), error.kind()), (&b"abcdefgh"[..], std::io::ErrorKind::TimedOut));
    let FetchError::Transient { text, silent, .. } = failure else { panic!("{failure:?}") };
    assert!(text.ends_with(": nothing came for 1.5 s after 8 of 20 bytes"), "{text}");
    assert!(silent >= timing.stall, "{silent:?}");
    let heard = heard.lock().unwrap();
    // The word to begin; the block, with windows of one; and it again after 0.4 and 1.2 s.
    assert_eq!(heard[..4], [[0, 4, 0, 0], [0, 4, 0, 1], [0, 4, 0, 1], [0, 4, 0, 1]]);
}

#[test]
fn a_stop_ends_a_stalled_read_within_a_quarter_of_a_second() {
    let (url, _) = scripted(&[b"\0\x06tsize\x0020\0"]);
    let mut source = open(&url).unwrap();
    let flow = source.flow.clone();
    let stopping = std::thread::spawn(move || {
        std::thread::park_timeout(Duration::from_millis(50));
        flow.stop();
        Instant::now()
    });
    let error = source.reader.read(&mut [0; 9]).unwrap_err();
    let late = stopping.join().unwrap().elapsed();
    assert_eq!(FetchError::of(&error), Some(&FetchError::Stopped));
    assert!(late < Duration::from_millis(250), "{late:?}");
}

#[test]
fn what_is_not_as_agreed_breaks_the_read_in_words() {
    const WRONG: &[(&[&[u8]], &str)] = &[
        (&[b"\0\x06tsize\x009\0", b"\0\x03\0\x01abc"], "the file ended after 3 of 9 bytes"),
        (&[b"\0\x06tsize\x002\0", b"\0\x03\0\x01abc"], "more came than was announced after 3 of 2 bytes"),
        (
            &[b"\0\x06blksize\x008\0", b"\0\x03\0\x01abcdefghi"],
            "a block is larger than was agreed on after 0 bytes",
        ),
        (
            &[b"\0\x06blksize\x008\0", b"\0\x03\0\x01abcdefgh", b"\0\x05\0\x03no \x1broom\0"],
            "server answered disk full: no ?room after 8 bytes",
        ),
        (
            &[b"\0\x06blksize\x008\0", b"\0\x07\0\x01"],
            "it sent a packet of the kind 7, which no server sends after 0 bytes",
        ),
    ];
    for (packets, why) in WRONG {
        let (url, _) = scripted(packets);
        let text = transient(broken(open_with(&url, &patient()).unwrap()).2);
        assert!(text.ends_with(why), "{text}");
    }
}

#[test]
fn options_that_were_not_asked_for_are_refused() {
    let (url, heard) = scripted(&[b"\0\x06blksize\x0065000\0"]);
    let text = permanent(open_with(&url, &hasty()).map(|s| s.location).unwrap_err());
    assert!(text.ends_with(" sent blksize=65000, which was not asked for"), "{text}");
    // Told before the error was.
    let until = Instant::now() + Duration::from_secs(10);
    while heard.lock().unwrap().is_empty() {
        assert!(Instant::now() < until, "the server hears nothing");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(heard.lock().unwrap()[0][..4], [0, 5, 0, 8]);
}
