//! HTTP through a proxy (tinyproxy), and https from whoever answers.

use std::net::TcpListener;
use std::process::Command;

use bootjack::fetch::{Config, FetchError, Fetcher, NoProxy, Proxy, parse_proxy};

use crate::fetch::{at, authority, go_on, patient, permanent, transient};
use crate::odd_server::{Odd, answer};
use crate::peer::Peer;

fn through(proxy: &str, unverified_tls: bool, url: &str) -> Result<String, FetchError> {
    let proxy = Some(Proxy { url: parse_proxy(proxy).unwrap(), not_for: NoProxy::default() });
    let fetcher = Fetcher::new(&Config { proxy, unverified_tls, ..Config::default() }).unwrap();
    let mut source = fetcher.open(&at(url), &patient(), &go_on)?;
    Ok(std::io::read_to_string(&mut source.reader).unwrap())
}

#[test]
fn http_and_https_go_through_the_proxy_with_its_password() {
    let proxy = Peer::proxy("joe", "s3cret");
    let there = format!("http://joe:s3cret@127.0.0.1:{}", proxy.port);
    let plain = Odd::of(b"plain");
    assert_eq!(through(&there, false, &plain.url("/x")).unwrap(), "plain");
    // Said by tinyproxy, not by us.
    assert!(plain.seen()[0].header("via").is_some_and(|via| via.contains("tinyproxy")), "{:?}", plain.seen());
    let mine = authority(2020..4000);
    let safe = Odd::serve_tls(mine.server.clone(), |_, stream| answer(stream, "200 OK", &[], b"safe"));
    assert_eq!(through(&there, true, &safe.url("/x")).unwrap(), "safe");
}

#[test]
fn an_error_of_the_proxy_names_it_and_never_its_password() {
    let proxy = Peer::proxy("joe", "s3cret");
    let without = format!("127.0.0.1:{}", proxy.port);
    let shown = format!(" through the proxy http://{without}/: ");
    let text = permanent(through(&without, false, "http://127.0.0.1:9/x").unwrap_err());
    assert!(text.contains(&format!("{shown}server answered 407")), "{text}");
    let text = permanent(through(&without, false, "https://127.0.0.1:9/x").unwrap_err());
    assert!(text.contains(&shown) && text.contains("it wants user and password"), "{text}");

    let shown = format!(" through the proxy http://joe:***@127.0.0.1:{}/: ", proxy.port);
    let right = format!("http://joe:s3cret@127.0.0.1:{}", proxy.port);
    let text = transient(through(&right, false, "https://127.0.0.1:9/x").unwrap_err());
    assert!(text.contains(&shown) && text.ends_with("it opens no tunnel there"), "{text}");

    // Nobody at the proxy's place.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = transient(through(&gone.to_string(), false, "http://192.0.2.1/x").unwrap_err());
    assert!(text.starts_with(&format!("http://192.0.2.1/x through the proxy http://{gone}/: ")), "{text}");
    assert!(text.contains(&format!("connecting to {gone}: Connection refused")), "{text}");
}

#[test]
fn hosts_of_no_proxy_are_asked_directly_and_redirects_beyond_them_are_not() {
    let beyond = Odd::of(b"by the proxy");
    // A name, so that the list holds the one and not the other.
    let to = beyond.url("/x").replace("127.0.0.1", "localhost");
    let near = Odd::serve(move |request, stream| match request.path.as_str() {
        "/far" => answer(stream, "302 Found", &[&format!("location: {to}")], b""),
        _ => answer(stream, "200 OK", &[], b"directly"),
    });
    let peer = Peer::proxy("joe", "s3cret");
    let url = parse_proxy(&format!("http://joe:s3cret@127.0.0.1:{}", peer.port)).unwrap();
    let proxy = Some(Proxy { url, not_for: NoProxy::parse("127.0.0.0/8").unwrap() });
    let fetcher = Fetcher::new(&Config { proxy, ..Config::default() }).unwrap();
    let body = |path: &str| {
        let mut source = fetcher.open(&at(&near.url(path)), &patient(), &go_on).unwrap();
        std::io::read_to_string(&mut source.reader).unwrap()
    };
    assert_eq!((body("/x").as_str(), body("/far").as_str()), ("directly", "by the proxy"));
    assert!(near.seen().iter().all(|request| request.header("via").is_none()), "{:?}", near.seen());
    assert!(
        beyond.seen()[0].header("via").is_some_and(|via| via.contains("tinyproxy")),
        "{:?}",
        beyond.seen()
    );
}

#[test]
fn whoever_answers_is_believed_only_when_asked_for() {
    let mine = authority(2000..2001);
    let server = Odd::serve_tls(mine.server.clone(), |_, stream| answer(stream, "200 OK", &[], b"whoever"));
    let open = |unverified_tls| {
        let fetcher = Fetcher::new(&Config { unverified_tls, ..Config::default() }).unwrap();
        let opened = fetcher.open(&at(&server.url("/x")), &patient(), &go_on);
        (fetcher.unverified_tls(), opened.map(|mut s| std::io::read_to_string(&mut s.reader).unwrap()))
    };
    let (said, body) = open(true);
    assert_eq!((said, body.unwrap().as_str()), (Some("UNVERIFIED TLS"), "whoever"));
    let (said, body) = open(false);
    assert_eq!(said, None);
    assert!(permanent(body.unwrap_err()).contains(": TLS with "));
}

#[test]
fn unpack_says_that_tls_is_unverified_and_holds_the_digest_all_the_same() {
    let mine = authority(2020..4000);
    // An archive without members, and not the one that is wanted.
    let server = Odd::serve_tls(mine.server.clone(), |_, stream| answer(stream, "200 OK", &[], &[0; 10240]));
    let dir = tempfile::tempdir().unwrap();
    let unpack = |more: &[&str]| {
        let made = Command::new(env!("CARGO_BIN_EXE_bootjack"))
            .args(["unpack", &server.url("/x"), "--sha256", &"0".repeat(64), "--retry-for", "0s"])
            .args(more)
            .arg(dir.path().join("root"))
            .output()
            .unwrap();
        assert!(!made.status.success());
        String::from_utf8(made.stderr).unwrap()
    };
    let said = unpack(&["--no-verify-tls"]);
    assert!(
        said.contains("warning: UNVERIFIED TLS: --no-verify-tls: whoever answers to https is believed"),
        "{said}"
    );
    assert!(said.contains("verify: "), "{said}");
    let said = unpack(&[]);
    assert!(!said.contains("UNVERIFIED TLS") && said.contains("invalid peer certificate"), "{said}");
    let said = unpack(&["--proxy", "socks5://127.0.0.1:1"]);
    assert!(
        said.contains("'socks5://127.0.0.1:1'") && said.contains("such as http://10.0.0.1:3128"),
        "{said}"
    );
}

#[test]
fn what_is_asked_for_on_a_command_line_reaches_whoever_fetches() {
    let proxy = Peer::proxy("joe", "s3cret");
    let there = format!("http://joe:s3cret@127.0.0.1:{}", proxy.port);
    let mine = authority(2020..4000);
    let safe = Odd::serve_tls(mine.server.clone(), |_, stream| answer(stream, "200 OK", &[], &[0; 10240]));
    let plain = Odd::of(&[0; 10240]);
    let dir = tempfile::tempdir().unwrap();
    let unpack = |words: &[&str]| {
        let (mut command, root) = (Command::new(env!("CARGO_BIN_EXE_bootjack")), dir.path().join("root"));
        let made = command.arg("unpack").args(words).arg(&root).output().unwrap();
        // Nothing is what it should be: nothing stays.
        assert_eq!(made.status.code(), Some(1));
        String::from_utf8(made.stderr).unwrap()
    };
    let booted = |words: &str| {
        let file = dir.path().join("cmdline");
        let wrong = "0".repeat(64);
        std::fs::write(&file, format!("{words} rd.tmpfs.sha256={wrong} bootjack.retry_for=1s\n")).unwrap();
        unpack(&[&format!("--cmdline={}", file.display())])
    };
    let by_proxy =
        |seen: usize| plain.seen()[seen].header("via").is_some_and(|via| via.contains("tinyproxy"));
    let url = plain.url("/x");
    unpack(&[&url, "--proxy", &there, "--sha256", &"0".repeat(64), "--retry-for", "0s"]);
    assert!(by_proxy(0), "--proxy: {:?}", plain.seen());
    let before = plain.seen().len();
    booted(&format!("root=tmpfs:{url} proxy={there}"));
    assert!(by_proxy(before), "proxy=: {:?}", plain.seen());

    let said = booted(&format!("root=tmpfs:{} rd.noverifyssl", safe.url("/x")));
    assert!(
        said.contains("warning: UNVERIFIED TLS: rd.noverifyssl: whoever answers to https is believed"),
        "{said}"
    );
    assert!(said.contains("verify: "), "{said}");
    let said = booted(&format!("root=tmpfs:{}", safe.url("/x")));
    assert!(!said.contains("UNVERIFIED TLS") && said.contains("invalid peer certificate"), "{said}");
}
