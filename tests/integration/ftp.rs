//! Fetching over FTP: from pyftpdlib, and from a server that keeps to its script, right or wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bootjack::fetch::{Config, FetchError, Fetcher, NoProxy, Proxy, Source, Timing};

use crate::fetch::{at, broken, go_on, hasty, patient, permanent, transient};
use crate::peer::Peer;

fn open_with(url: &str, timing: &Timing) -> Result<Source<'static>, FetchError> {
    Fetcher::new(&Config::default()).unwrap().open(&at(url), timing, &go_on)
}

fn open(url: &str) -> Result<Source<'static>, FetchError> {
    open_with(url, &patient())
}

fn refused(url: &str) -> FetchError {
    open(url).map(|s| s.location).expect_err("it should not open")
}

fn whole(mut source: Source<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    source.reader.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_file_of_a_real_server_arrives_whole_with_its_length() {
    let dir = tempfile::tempdir().unwrap();
    // Whatever a text transfer would change: both ends of a line, and every byte.
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(|i| [i as u8, b'\r', b'\n', b'\n']).collect();
    std::fs::create_dir(dir.path().join("a b")).unwrap();
    std::fs::write(dir.path().join("a b/root.tar"), &body).unwrap();
    let server = Peer::ftp(dir.path(), None);
    let source = open(&format!("ftp://127.0.0.1:{}/a%20b/root.tar", server.port)).unwrap();
    assert_eq!(source.length, Some(body.len() as u64));
    let flow = source.flow.clone();
    assert!(whole(source) == body);
    assert_eq!(flow.bytes(), body.len() as u64);
    let text = permanent(refused(&format!("ftp://localhost:{}/none", server.port)));
    assert!(text.ends_with(": RETR none: server answered 550 No such file or directory."), "{text}");
}

#[test]
fn a_user_is_let_in_with_the_password_of_the_url_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x"), b"mine").unwrap();
    let server = Peer::ftp(dir.path(), Some(("joe", "s@cret")));
    let source = open(&format!("ftp://joe:s%40cret@127.0.0.1:{}/%2Fx", server.port)).unwrap();
    assert_eq!(whole(source), b"mine");
    for (who, name) in [("joe:wrong@", "joe"), ("", "anonymous")] {
        let text = permanent(refused(&format!("ftp://{who}127.0.0.1:{}/x", server.port)));
        assert!(text.contains(&format!(": logging in as {name}: server answered 530 ")), "{text}");
        assert!(!text.contains("wrong"), "{text}");
    }
}

/// What the scripted server does; every command it got is kept.
#[derive(Clone)]
struct Script {
    greeting: &'static str,
    size: &'static str,
    epsv: bool,
    /// What comes over the data connection, and whether that is closed then.
    data: &'static [u8],
    closes: bool,
    last: &'static str,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            greeting: "220 ready",
            size: "213 5",
            epsv: true,
            data: b"hello",
            closes: true,
            last: "226 done",
        }
    }
}

struct Odd {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Odd {
    fn serve(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(vec![]));
        let heard = Arc::clone(&asked);
        // Ends with the test.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, heard) = (script.clone(), Arc::clone(&heard));
                std::thread::spawn(move || converse(stream.unwrap(), &script, &heard));
            }
        });
        Self { addr, asked }
    }

    fn url(&self) -> String {
        format!("ftp://{}/x", self.addr)
    }
}

/// A client that goes away ends it: every write may fail.
fn converse(stream: TcpStream, script: &Script, heard: &Mutex<Vec<String>>) {
    let mut say = stream.try_clone().unwrap();
    let mut say = |text: &str| drop(write!(say, "{text}\r\n"));
    say(script.greeting);
    let data = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = data.local_addr().unwrap().port();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        heard.lock().unwrap().push(line.clone());
        match line.split(' ').next().unwrap() {
            "USER" => say("331-who\r\n331 are you"),
            "PASS" => say("230 welcome"),
            "TYPE" => say("200 binary"),
            "SIZE" => say(script.size),
            "EPSV" if script.epsv => say(&format!("229 go (|||{port}|)")),
            // The address of nobody: it must not be used.
            "PASV" => say(&format!("227 go (192,0,2,1,{},{})", port >> 8, port & 255)),
            "RETR" => {
                let mut to = data.accept().unwrap().0;
                say("150 coming");
                drop(to.write_all(script.data));
                if !script.closes {
                    // Until the client closes it.
                    drop(to.read(&mut [0]));
                }
                drop(to);
                say(script.last);
            }
            _ => say("500 what?"),
        }
    }
}

#[test]
fn an_old_server_is_asked_with_pasv_and_the_address_in_it_is_not_believed() {
    let server = Odd::serve(Script { epsv: false, size: "500 what?", ..Script::default() });
    let source = open(&server.url()).unwrap();
    assert_eq!(source.length, None);
    assert_eq!(whole(source), b"hello");
    let asked = server.asked.lock().unwrap().join("; ");
    assert_eq!(asked, "USER anonymous; PASS bootjack@; TYPE I; SIZE x; EPSV; PASV; RETR x");
}

#[test]
fn a_file_that_is_shorter_or_longer_than_was_said_is_an_error() {
    for (size, of) in [("213 9", "9"), ("213 3", "3")] {
        let server = Odd::serve(Script { size, ..Script::default() });
        let (bytes, _, failure) = broken(open(&server.url()).unwrap());
        assert_eq!(bytes, b"hello");
        let text = transient(failure);
        let ends = format!("reading from {}: the file ended after 5 of {of} bytes", server.addr);
        assert!(text.ends_with(&ends), "{text}");
    }
}

#[test]
fn an_end_that_the_server_does_not_confirm_is_an_error() {
    let server = Odd::serve(Script { size: "500 what?", last: "426 cut off", ..Script::default() });
    let text = transient(broken(open(&server.url()).unwrap()).2);
    assert!(text.ends_with(": server answered 426 cut off after 5 bytes"), "{text}");
}

#[test]
fn a_server_that_is_full_may_be_asked_later_and_one_that_is_none_not_believed() {
    let server = Odd::serve(Script { greeting: "421 too many users", ..Script::default() });
    let text = transient(refused(&server.url()));
    assert!(text.ends_with("the greeting: server answered 421 too many users"), "{text}");
    let server = Odd::serve(Script { greeting: "SSH-2.0-OpenSSH_9.2", ..Script::default() });
    let text = transient(refused(&server.url()));
    assert!(text.ends_with("\"SSH-2.0-OpenSSH_9.2\" is no reply of an FTP server"), "{text}");
}

#[test]
fn data_that_stall_are_an_error_with_their_silence_and_a_stop_ends_the_wait() {
    let server = Odd::serve(Script { size: "213 9", closes: false, ..Script::default() });
    let (bytes, error, failure) = broken(open_with(&server.url(), &hasty()).unwrap());
    assert_eq!((bytes.as_slice(), error.kind()), (&b"hello"[..], std::io::ErrorKind::TimedOut));
    let FetchError::Transient { text, silent, .. } = failure else { panic!("{failure:?}") };
    assert!(text.ends_with("nothing came for 0.2 s after 5 of 9 bytes"), "{text}");
    assert!(silent >= hasty().stall, "{silent:?}");

    let mut source = open(&server.url()).unwrap();
    source.reader.read_exact(&mut [0; 5]).unwrap();
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
fn ftp_does_not_pass_by_a_proxy_unseen() {
    let url = bootjack::fetch::parse_proxy("http://u:secret@10.0.0.1:3128").unwrap();
    let proxy = Some(Proxy { url, not_for: NoProxy::default() });
    let fetcher = Fetcher::new(&Config { proxy, ..Config::default() }).unwrap();
    let error = fetcher.open(&at("ftp://127.0.0.1/x"), &patient(), &go_on).map(|s| s.location).unwrap_err();
    assert_eq!(
        permanent(error),
        "ftp://127.0.0.1/x: the proxy http://u:***@10.0.0.1:3128/ is for http and https alone: give an http:// URL, or name the host in no_proxy="
    );
}
