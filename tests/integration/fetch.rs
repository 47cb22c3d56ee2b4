//! Fetching from servers that misbehave in every way a boot has met, on loopback.

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bootjack::fetch::{
    Attempt, Config, Event, Exhausted, FetchError, Fetcher, Location, Pin, Source, Timing, drive,
};
use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData as _};
use sha2::Digest as _;

use crate::odd_server::{Odd, answer, head, silence};

const LONG: Duration = Duration::from_secs(60);

pub fn go_on(_: Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub fn at(url: &str) -> Location {
    Location::parse(url).unwrap()
}

fn fetcher() -> Fetcher {
    Fetcher::new(&Config::default()).unwrap()
}

/// Patient where nothing should have to wait, so that a busy machine fails no test.
pub fn patient() -> Timing {
    Timing { connect: LONG, stall: LONG }
}

/// Patient in connecting, quick to see a stall.
pub fn hasty() -> Timing {
    Timing { connect: Duration::from_secs(10), stall: Duration::from_millis(200) }
}

fn open(url: &str) -> Result<Source<'static>, FetchError> {
    fetcher().open(&at(url), &patient(), &go_on)
}

fn refused(url: &str) -> FetchError {
    open(url).map(|s| s.location).expect_err("it should not open")
}

pub fn permanent(error: FetchError) -> String {
    match error {
        FetchError::Permanent(text) => text,
        other => panic!("not permanent: {other:?}"),
    }
}

pub fn transient(error: FetchError) -> String {
    match error {
        FetchError::Transient { text, .. } => text,
        other => panic!("not transient: {other:?}"),
    }
}

/// Reads to the end, which must be an error; the bytes before it and the flow's own account of it.
pub fn broken(mut source: Source<'_>) -> (Vec<u8>, std::io::Error, FetchError) {
    let mut bytes = Vec::new();
    let error = source.reader.read_to_end(&mut bytes).expect_err("it should break");
    let failure = source.flow.failure().expect("the flow knows");
    assert_eq!(FetchError::of(&error), Some(&failure));
    (bytes, error, failure)
}

#[test]
fn a_body_arrives_whole_with_its_length_and_place() {
    let server = Odd::of(b"hello");
    let mut source = open(&server.url("/root.tar")).unwrap();
    assert_eq!(source.length, Some(5));
    assert_eq!(source.location, at(&server.url("/root.tar")));
    assert_eq!(std::io::read_to_string(&mut source.reader).unwrap(), "hello");
    assert_eq!(source.flow.bytes(), 5);
    assert_eq!(source.flow.failure(), None);
    let request = &server.seen()[0];
    assert_eq!(request.method, "GET");
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("user-agent"), Some(concat!("bootjack/", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_big_body_arrives_as_sent_through_the_bounded_queue() {
    // More than the queue and the socket buffers hold together.
    let server = Odd::serve(|_, stream| {
        head(stream, "200 OK", &[], Some(64 << 20));
        for i in 0..64_u8 {
            stream.write_all(&vec![i; 1 << 20]).unwrap();
        }
    });
    let mut source = open(&server.url("/")).unwrap();
    let mut piece = vec![0; 1 << 20];
    for i in 0..64_u8 {
        source.reader.read_exact(&mut piece).unwrap();
        assert!(piece.iter().all(|b| *b == i), "MiB {i}");
    }
    assert_eq!(source.reader.read(&mut piece).unwrap(), 0);
}

#[test]
fn a_short_body_is_an_error_that_says_how_short() {
    let server = Odd::serve(|_, stream| {
        head(stream, "200 OK", &[], Some(100));
        stream.write_all(b"12345").unwrap();
    });
    let (bytes, error, failure) = broken(open(&server.url("/x")).unwrap());
    assert_eq!(bytes, b"12345");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let text = transient(failure);
    assert!(text.contains(&format!("reading from {}: ", server.addr())), "{text}");
    assert!(text.ends_with("after 5 of 100 bytes"), "{text}");
}

#[test]
fn a_body_that_stalls_is_an_error_with_its_silence() {
    let server = Odd::serve(|_, stream| {
        head(stream, "200 OK", &[], Some(100));
        stream.write_all(b"12345").unwrap();
        silence(stream);
    });
    let source = fetcher().open(&at(&server.url("/x")), &hasty(), &go_on).unwrap();
    let (bytes, error, failure) = broken(source);
    assert_eq!(bytes, b"12345");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let FetchError::Transient { text, silent, .. } = failure else { panic!("{failure:?}") };
    assert!(text.ends_with("nothing came for 0.2 s after 5 of 100 bytes"), "{text}");
    assert!(silent >= hasty().stall, "{silent:?}");
}

#[test]
fn a_reader_that_takes_its_time_is_no_stall() {
    let (late, when) = mpsc::channel::<()>();
    let when = std::sync::Mutex::new(when);
    // Made before anybody waits for it.
    let body = vec![1; 32 << 20];
    let server = Odd::serve(move |_, stream| {
        head(stream, "200 OK", &[], Some(32 << 20));
        stream.write_all(&body).unwrap();
        when.lock().unwrap().recv().unwrap();
    });
    let mut source = fetcher().open(&at(&server.url("/x")), &hasty(), &go_on).unwrap();
    source.reader.read_exact(&mut [0; 10]).unwrap();
    // Longer than the stall time passes on the reader's side: time itself is what is tested here.
    let until = Instant::now() + 3 * hasty().stall;
    while Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let mut rest = Vec::new();
    source.reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), (32 << 20) - 10);
    late.send(()).unwrap();
}

#[test]
fn a_chunked_body_that_is_cut_is_an_error() {
    let server = Odd::serve(|_, stream| {
        head(stream, "200 OK", &["transfer-encoding: chunked"], None);
        stream.write_all(b"5\r\n12345\r\n5\r\n12").unwrap();
    });
    let source = open(&server.url("/x")).unwrap();
    assert_eq!(source.length, None);
    let (bytes, _, failure) = broken(source);
    assert_eq!(bytes, b"1234512");
    assert!(transient(failure).ends_with("after 7 bytes"));
}

#[test]
fn a_stop_ends_a_stalled_read_within_a_quarter_of_a_second() {
    let server = Odd::serve(|_, stream| {
        head(stream, "200 OK", &[], Some(100));
        silence(stream);
    });
    let mut source = open(&server.url("/x")).unwrap();
    let flow = source.flow.clone();
    let (reading, read) = mpsc::channel();
    std::thread::spawn(move || {
        let error = source.reader.read(&mut [0; 9]).unwrap_err();
        let again = source.reader.read(&mut [0; 9]).unwrap_err();
        reading.send((Instant::now(), error, again)).unwrap();
    });
    let stopped = Instant::now();
    flow.stop();
    let (returned, error, again) = read.recv().unwrap();
    assert!(returned - stopped < Duration::from_millis(250), "{:?}", returned - stopped);
    assert_eq!(FetchError::of(&error), Some(&FetchError::Stopped));
    assert_eq!(FetchError::of(&again), Some(&FetchError::Stopped));
    assert_eq!(error.kind(), ErrorKind::Other);
}

#[test]
fn waiting_for_an_answer_asks_whether_to_go_on_and_stops_when_told() {
    let server = Odd::serve(|_, stream| silence(stream));
    let ticks = AtomicU32::new(0);
    let begun = Instant::now();
    let on = |event| {
        assert_eq!(event, Event::Tick);
        match ticks.fetch_add(1, Ordering::SeqCst) {
            5 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let stopped = fetcher().open(&at(&server.url("/x")), &patient(), &on).map(|s| s.location);
    assert_eq!(stopped, Err(FetchError::Stopped));
    assert!(begun.elapsed() < Duration::from_millis(5 * 250), "{:?}", begun.elapsed());
}

#[test]
fn dropping_the_reader_lets_go_of_the_server_at_once() {
    let (left, gone) = mpsc::channel();
    let server = Odd::serve(move |_, stream| {
        head(stream, "200 OK", &[], Some(100));
        silence(stream);
        left.send(()).unwrap();
    });
    let source = open(&server.url("/x")).unwrap();
    let begun = Instant::now();
    drop(source);
    assert!(begun.elapsed() < Duration::from_millis(100), "dropping blocked for {:?}", begun.elapsed());
    gone.recv_timeout(Duration::from_secs(5)).expect("the connection is closed long before any stall time");
}

#[test]
fn a_silent_server_is_given_up_with_the_step_it_stood_at() {
    let server = Odd::serve(|_, stream| silence(stream));
    let timing = Timing { connect: Duration::from_millis(100), stall: Duration::from_millis(100) };
    let error = fetcher().open(&at(&server.url("/x")), &timing, &go_on).map(|s| s.location).unwrap_err();
    let expected = format!("waiting for the answer of {}: nothing came for 0.2 s", server.addr());
    assert!(transient(error).ends_with(&expected));
}

#[test]
fn statuses_are_sorted_into_those_that_pass_and_those_that_stay() {
    let server = Odd::serve(|request, stream| {
        let status = match &request.path[1..] {
            "503" => "503 Service Unavailable",
            other => other,
        };
        answer(stream, status, &["retry-after: 7"], b"never mind");
    });
    assert_eq!(
        permanent(refused(&server.url("/404"))),
        format!("{}: server answered 404 Not Found", server.url("/404"))
    );
    for status in ["/400", "/401", "/403", "/410", "/204", "/206", "/304"] {
        permanent(refused(&server.url(status)));
    }
    for status in ["/408", "/425", "/429", "/500", "/502", "/503", "/504"] {
        let FetchError::Transient { text, retry_after, .. } = refused(&server.url(status)) else {
            panic!("{status} should pass")
        };
        assert!(text.contains(&format!("server answered {}", &status[1..])), "{text}");
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
    }
}

#[test]
fn a_refused_connection_says_the_address() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = transient(refused(&format!("http://127.0.0.1:{port}/x")));
    assert_eq!(
        text,
        format!(
            "http://127.0.0.1:{port}/x: connecting to 127.0.0.1:{port}: Connection refused (os error 111)"
        )
    );
    let text = transient(refused(&format!("http://localhost:{port}/x")));
    assert!(
        text.starts_with(&format!("http://localhost:{port}/x: connecting to 127.0.0.1:{port}")),
        "{text}"
    );
}

#[test]
fn a_name_server_that_is_not_there_is_named() {
    // Nothing listens on the DNS port of this loopback address.
    let config = Config { nameservers: vec!["127.9.9.9".parse().unwrap()], ..Config::default() };
    let (location, timing) =
        (at("http://boot.lab/x"), Timing { connect: Duration::from_millis(300), stall: LONG });
    let opened = Fetcher::new(&config).unwrap().open(&location, &timing, &go_on);
    let text = transient(opened.map(|s| s.location).unwrap_err());
    assert!(text.starts_with("http://boot.lab/x: resolving boot.lab (asking 127.9.9.9): "), "{text}");
}

#[test]
fn redirects_lead_to_the_final_place() {
    let server = Odd::serve(|request, stream| match request.path.as_str() {
        "/old/a" => answer(stream, "302 Found", &["location: ../new/b"], b""),
        _ => answer(stream, "200 OK", &[], b"moved"),
    });
    let mut source = open(&server.url("/old/a")).unwrap();
    assert_eq!(source.location, at(&server.url("/new/b")));
    assert_eq!(std::io::read_to_string(&mut source.reader).unwrap(), "moved");
}

#[test]
fn a_redirect_loop_ends_for_good() {
    let server = Odd::serve(|_, stream| answer(stream, "302 Found", &["location: /again"], b""));
    let text = permanent(refused(&server.url("/x")));
    assert!(text.ends_with("following a redirect: more than 10 redirects"), "{text}");
    assert_eq!(server.seen().len(), 11);
}

#[test]
fn a_redirect_to_what_is_not_http_is_refused() {
    let server = Odd::serve(|_, stream| answer(stream, "302 Found", &["location: file:///etc/passwd"], b""));
    permanent(refused(&server.url("/x")));
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host_and_are_never_shown() {
    let other = Odd::serve(|_, stream| answer(stream, "404 Not Found", &[], b""));
    let there = other.url("/there");
    let server = Odd::serve(move |request, stream| match request.path.as_str() {
        "/same" => answer(stream, "200 OK", &[], b""),
        "/stay" => answer(stream, "302 Found", &["location: /same"], b""),
        _ => answer(stream, "302 Found", &[&format!("location: {there}")], b""),
    });
    let with_password = |path| server.url(path).replace("http://", "http://me:secret@");
    open(&with_password("/stay")).unwrap();
    let text = permanent(refused(&with_password("/leave")));
    assert!(!text.contains("secret"), "{text}");
    let sent: Vec<bool> = server.seen().iter().map(|r| r.header("authorization").is_some()).collect();
    assert_eq!(sent, [true, true, true]);
    assert_eq!(other.seen()[0].header("authorization"), None);
}

#[test]
fn what_stands_relative_to_a_protected_text_is_fetched_with_its_credentials() {
    let other = Odd::of(b"elsewhere");
    let there = other.url("/there");
    let server = Odd::serve(move |request, stream| match (request.header("authorization"), &*request.path) {
        (None, _) => answer(stream, "401 Unauthorized", &[], b""),
        (_, "/moved") => answer(stream, "302 Found", &["location: /deep/catalog.toml"], b""),
        (_, "/leave") => answer(stream, "302 Found", &[&format!("location: {there}")], b""),
        _ => answer(stream, "200 OK", &[], b"for members"),
    });
    let with_password = |path| server.url(path).replace("http://", "http://m%40e:s%3Acret@");
    for (asked, reached) in [("/deep/catalog.toml", "/deep/catalog.toml"), ("/moved", "/deep/catalog.toml")] {
        let catalog = open(&with_password(asked)).unwrap().location;
        assert_eq!(catalog, at(&with_password(reached)));
        assert!(!catalog.to_string().contains("cret"), "{catalog}");
        let root = fetcher().open(&catalog.join("root.tar").unwrap(), &patient(), &go_on).unwrap();
        assert_eq!(root.location, at(&with_password("/deep/root.tar")));
    }
    assert_eq!(open(&with_password("/leave")).unwrap().location, at(&other.url("/there")));
}

#[test]
fn a_content_encoding_is_not_undone() {
    let packed = b"\x1f\x8b not really gzip";
    let server = Odd::serve(|_, stream| answer(stream, "200 OK", &["content-encoding: gzip"], packed));
    let mut bytes = Vec::new();
    open(&server.url("/x")).unwrap().reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, packed);
}

/// A CA of its own and a server with a certificate for 127.0.0.1 that is valid in these years.
pub struct Authority {
    _dir: tempfile::TempDir,
    pem: PathBuf,
    /// Of the server's key.
    pub pin: Pin,
    pub server: rustls::ServerConfig,
}

pub fn authority(years: std::ops::Range<i32>) -> Authority {
    authority_for(&["127.0.0.1", "localhost"], years)
}

fn authority_for(names: &[&str], years: std::ops::Range<i32>) -> Authority {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("ca.pem");
    std::fs::write(&pem, ca_certificate.pem()).unwrap();
    let server =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
    let digest = sha2::Sha256::digest(key.subject_public_key_info());
    let pin = format!("sha256/{}", BASE64_STANDARD.encode(digest)).parse().unwrap();
    Authority { _dir: dir, pem, pin, server }
}

#[test]
fn a_pinned_key_stands_for_its_owner_and_another_one_is_refused_with_both() {
    // Long expired, of an authority that nobody knows, and asked for by a name that is not in it.
    let mine = authority_for(&["boot.lab"], 2000..2001);
    let server = Odd::serve_tls(mine.server.clone(), |_, stream| answer(stream, "200 OK", &[], b"safe"));
    let url = server.url("/x");
    let open = |unverified_tls, pins: &[Pin]| {
        let fetcher = Fetcher::new(&Config { unverified_tls, ..Config::default() }).unwrap().pinned(pins);
        let mut source = fetcher.open(&at(&url), &patient(), &go_on)?;
        Ok(std::io::read_to_string(&mut source.reader).unwrap())
    };
    let other = authority(2020..4000).pin;
    assert_eq!(open(false, std::slice::from_ref(&mine.pin)).unwrap(), "safe");
    assert_eq!(open(false, &[other.clone(), mine.pin.clone()]).unwrap(), "safe");
    // A pin counts where nobody has to convince otherwise, too.
    for unverified_tls in [false, true] {
        let text = permanent(open(unverified_tls, std::slice::from_ref(&other)).unwrap_err());
        let why = format!("the server's key is {}, the pin is {other}", mine.pin);
        assert!(text.contains(": TLS with ") && text.ends_with(&why), "{text}");
    }
    assert!(
        permanent(open(false, &[]).unwrap_err()).contains("the server's certificate is not valid after 2001")
    );
}

#[test]
fn a_refusal_says_whether_it_was_the_name_the_issuer_or_the_time() {
    let said = |authority: &Authority, known: bool| {
        let server = Odd::serve_tls(authority.server.clone(), |_, stream| answer(stream, "200 OK", &[], b""));
        let ca = if known { vec![authority.pem.clone()] } else { vec![] };
        permanent(over_tls(ca, true, &server.url("/x")).unwrap_err())
    };
    let (good, old, other) =
        (authority(2020..4000), authority(2000..2001), authority_for(&["boot.lab"], 2020..4000));
    let issuer = said(&good, false);
    assert!(
        issuer.contains("UnknownIssuer: no authority known here has issued it: name its own with --ca"),
        "{issuer}"
    );
    let name = said(&other, true);
    assert!(name.contains("not valid for name") && name.contains("boot.lab"), "{name}");
    let time = said(&old, true);
    assert!(time.contains("the server's certificate is not valid after 2001-01-01"), "{time}");
}

fn over_tls(ca: Vec<PathBuf>, ca_only: bool, url: &str) -> Result<String, FetchError> {
    let fetcher = Fetcher::new(&Config { ca, ca_only, ..Config::default() }).unwrap();
    let mut source = fetcher.open(&at(url), &patient(), &go_on)?;
    Ok(std::io::read_to_string(&mut source.reader).unwrap())
}

#[test]
fn a_server_of_the_operators_own_authority_is_trusted_only_with_it() {
    let mine = authority(2020..4000);
    let server = Odd::serve_tls(mine.server.clone(), |_, stream| answer(stream, "200 OK", &[], b"safe"));
    let url = server.url("/x");
    assert_eq!(over_tls(vec![mine.pem.clone()], false, &url).unwrap(), "safe");
    assert_eq!(over_tls(vec![mine.pem.clone()], true, &url).unwrap(), "safe");
    assert_eq!(
        over_tls(vec![mine.pem.clone()], true, &url.replace("127.0.0.1", "localhost")).unwrap(),
        "safe"
    );
    for error in [over_tls(vec![], false, &url), over_tls(vec![authority(2020..4000).pem], true, &url)] {
        let text = permanent(error.unwrap_err());
        assert!(text.contains(&format!(": TLS with {}: invalid peer certificate", server.addr())), "{text}");
    }
}

#[test]
fn a_certificate_out_of_its_time_says_both_dates() {
    for (years, expected) in
        [(2000..2001, "not valid after 2001-01-01"), (3000..3001, "not valid before 3000-01-01")]
    {
        let mine = authority(years);
        let server = Odd::serve_tls(mine.server.clone(), |_, stream| answer(stream, "200 OK", &[], b""));
        let text = permanent(over_tls(vec![mine.pem.clone()], false, &server.url("/x")).unwrap_err());
        assert!(
            text.contains(&format!("the server's certificate is {expected} 00:00:00 UTC, and it is 2")),
            "{text}"
        );
    }
}

#[test]
fn a_redirect_from_https_to_http_is_refused() {
    let plain = Odd::of(b"not vouched for");
    let there = format!("location: {}", plain.url("/y"));
    let mine = authority(2020..4000);
    let server =
        Odd::serve_tls(mine.server.clone(), move |_, stream| answer(stream, "302 Found", &[&there], b""));
    let text = permanent(over_tls(vec![mine.pem.clone()], false, &server.url("/x")).unwrap_err());
    assert!(text.contains("redirected from https to http"), "{text}");
    assert!(plain.seen().is_empty());
}

#[test]
fn tls_to_a_server_that_says_nothing_is_named_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let timing = Timing { connect: Duration::from_millis(300), stall: LONG };
    let error =
        fetcher().open(&at(&format!("https://{addr}/x")), &timing, &go_on).map(|s| s.location).unwrap_err();
    let text = transient(error);
    assert!(text.contains(&format!("TLS with {addr}: no success within 0.3 s")), "{text}");
}

#[test]
fn a_catalog_is_read_whole_from_the_first_mirror_that_has_it() {
    let server = Odd::serve(|request, stream| match (request.path.as_str(), request.number) {
        ("/missing", _) => answer(stream, "404 Not Found", &[], b""),
        ("/cut", n) if n < 3 => {
            head(stream, "200 OK", &[], Some(7));
            stream.write_all(b"cat").unwrap();
        }
        _ => answer(stream, "200 OK", &[], b"catalog"),
    });
    let places = [at(&server.url("/missing")), at(&server.url("/cut"))];
    let retries = AtomicU32::new(0);
    let on = |event| {
        if matches!(event, Event::Retry { .. }) {
            retries.fetch_add(1, Ordering::SeqCst);
        }
        ControlFlow::Continue(())
    };
    let (bytes, from) = fetcher().read_all(&places, LONG, 7, &on).unwrap();
    assert_eq!((bytes.as_slice(), &from), (&b"catalog"[..], &places[1]));
    // The missing one once, the cut one twice.
    assert_eq!(retries.into_inner(), 3);
    let failed = fetcher().read_all(&places[1..], LONG, 6, &go_on).unwrap_err();
    assert!(failed.to_string().ends_with("/cut: more than 6 bytes"), "{failed}");
}

#[test]
fn reading_a_catalog_stops_when_told_though_the_server_stalls() {
    let (stalled, stalls) = mpsc::channel();
    let server = Odd::serve(move |_, stream| {
        head(stream, "200 OK", &[], Some(7));
        stalled.send(()).unwrap();
        silence(stream);
    });
    let stalls = std::sync::Mutex::new(stalls);
    let on = |_| match stalls.lock().unwrap().try_recv() {
        Ok(()) => ControlFlow::Break(()),
        Err(_) => ControlFlow::Continue(()),
    };
    let failed = fetcher().read_all(&[at(&server.url("/x"))], LONG, 100, &on);
    assert!(matches!(failed, Err(Exhausted::Stopped)), "{failed:?}");
}

#[test]
fn the_budget_ends_a_fetch_from_a_server_that_is_not_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = at(&format!("http://127.0.0.1:{port}/x"));
    let begun = Instant::now();
    let budget = Duration::from_millis(900);
    let failed = fetcher().read_all(std::slice::from_ref(&place), budget, 7, &go_on).unwrap_err();
    let Exhausted::GaveUp { errors, attempts, silent, .. } = failed else { panic!("{failed:?}") };
    assert!(attempts > 1 && silent >= budget, "{attempts} tries, {silent:?}");
    assert!(begun.elapsed() >= budget);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].1.contains("Connection refused"), "{errors:?}");
}

#[test]
fn a_drip_that_never_stalls_outlives_any_budget() {
    let server = Odd::serve(|_, stream| {
        head(stream, "200 OK", &[], Some(40));
        for _ in 0..40 {
            // The pace is the test: each byte comes well within the stall time, the whole takes thrice the budget.
            std::thread::park_timeout(Duration::from_millis(30));
            let _gone = stream.write_all(b".");
            let _gone = stream.flush();
        }
    });
    let fetcher = fetcher();
    let mut tries = 0;
    let got = drive(&[at(&server.url("/x"))], Duration::from_millis(400), &go_on, |attempt| {
        tries += 1;
        let timing = attempt.timing();
        let patient = Timing { stall: 4 * timing.stall, ..timing.clone() };
        let mut source = fetcher.open(attempt.location(), &patient, &go_on)?;
        let mut text = String::new();
        match source.reader.read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(e) => Err(Attempt::<String>::Permanent(e.to_string())),
        }
    });
    assert_eq!(got.unwrap().len(), 40);
    assert_eq!(tries, 1);
}
