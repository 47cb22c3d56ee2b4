//! The file server over real sockets: what it serves, and everything it must not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::sync::mpsc;

use bootjack::commands::serve::{Running, Server};
use bootjack::fetch::{Config, Fetcher, Location, Timing};

struct Lab {
    dir: tempfile::TempDir,
    server: Running,
    log: mpsc::Receiver<String>,
}

/// `DIR/pub` is served; `DIR/secret` lies beside it.
fn lab() -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let public = dir.path().join("pub");
    std::fs::create_dir_all(public.join("sub")).unwrap();
    std::fs::write(public.join("ten"), b"0123456789").unwrap();
    std::fs::write(public.join("sub/deep"), b"deep").unwrap();
    std::fs::write(dir.path().join("secret"), b"secret").unwrap();
    symlink("../ten", public.join("sub/inside")).unwrap();
    symlink("../secret", public.join("out")).unwrap();
    symlink("/etc/passwd", public.join("absolute")).unwrap();
    symlink("..", public.join("up")).unwrap();
    symlink("circle", public.join("circle")).unwrap();
    let (lines, log) = mpsc::channel();
    let server = Server::bind(&public, "127.0.0.1:0".parse().unwrap()).unwrap();
    let server = server.spawn(move |line| lines.send(line.to_string()).unwrap_or(())).unwrap();
    Lab { dir, server, log }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Lab {
    /// Sends the bytes as they are and reads until the server closes.
    fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.server.addr()).unwrap();
        stream.write_all(request).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Reply { status: head[9..12].parse().unwrap(), head, body: bytes[end + 4..].to_vec() }
    }

    fn ask(&self, method: &str, target: &str, headers: &[&str]) -> Reply {
        let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
        self.raw(
            format!("{method} {target} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n{headers}\r\n")
                .as_bytes(),
        )
    }

    fn get(&self, target: &str, headers: &[&str]) -> Reply {
        self.ask("GET", target, headers)
    }
}

#[test]
fn a_file_is_served_whole_with_its_validators() {
    let lab = lab();
    let reply = lab.get("/ten", &[]);
    assert_eq!((reply.status, reply.text()), (200, "0123456789"));
    assert_eq!(reply.header("Content-Length"), Some("10"));
    assert_eq!(reply.header("Accept-Ranges"), Some("bytes"));
    assert!(reply.header("ETag").unwrap().starts_with('"'));
    assert!(reply.header("Last-Modified").unwrap().ends_with(" GMT"));
    let line = lab.log.recv().unwrap();
    assert!(line.starts_with("127.0.0.1:") && line.ends_with(" GET /ten 200 10"), "{line}");
}

#[test]
fn head_says_the_same_without_the_body() {
    let lab = lab();
    let (get, head) = (lab.get("/ten", &[]), lab.ask("HEAD", "/ten", &[]));
    let without_date = |reply: &Reply| -> Vec<String> {
        reply.head.lines().filter(|l| !l.starts_with("Date")).map(ToString::to_string).collect()
    };
    assert_eq!(without_date(&head), without_date(&get));
    assert_eq!(head.body, b"");
    assert_eq!(lab.ask("HEAD", "/ten", &["Range: bytes=0-1"]).status, 200);
}

#[test]
fn ranges_are_served_exactly() {
    let lab = lab();
    for (range, body, place) in
        [("2-4", "234", "2-4"), ("7-", "789", "7-9"), ("-2", "89", "8-9"), ("5-99", "56789", "5-9")]
    {
        let reply = lab.get("/ten", &[&format!("Range: bytes={range}")]);
        assert_eq!((reply.status, reply.text()), (206, body), "{range}");
        assert_eq!(reply.header("Content-Range"), Some(format!("bytes {place}/10").as_str()));
        assert_eq!(reply.header("Content-Length"), Some(body.len().to_string().as_str()));
    }
    let beyond = lab.get("/ten", &["Range: bytes=10-"]);
    assert_eq!((beyond.status, beyond.header("Content-Range")), (416, Some("bytes */10")));
    let several = lab.get("/ten", &["Range: bytes=0-1,5-6"]);
    assert_eq!((several.status, several.text()), (200, "0123456789"));
}

#[test]
fn a_range_of_a_file_that_changed_is_the_whole_new_file() {
    let lab = lab();
    let first = lab.get("/ten", &[]);
    let etag = first.header("ETag").unwrap();
    let (held, range) = (format!("If-Range: {etag}"), "Range: bytes=2-4");
    assert_eq!(lab.get("/ten", &[&held, range]).status, 206);
    // A date counts only once its second is over.
    let file = std::fs::File::open(lab.dir.path().join("pub/sub/deep")).unwrap();
    for (seconds, date, status) in [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT", 206),
        (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT", 200),
    ] {
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        assert_eq!(lab.get("/sub/deep", &[&format!("If-Range: {date}"), "Range: bytes=0-0"]).status, status);
    }
    let weak = format!("If-Range: W/{etag}");
    assert_eq!(lab.get("/ten", &[&weak, range]).status, 200);
    // The same length, moved into its place: only the inode is sure to differ.
    std::fs::write(lab.dir.path().join("new"), b"abcdefghij").unwrap();
    std::fs::rename(lab.dir.path().join("new"), lab.dir.path().join("pub/ten")).unwrap();
    let reply = lab.get("/ten", &[&held, range]);
    assert_eq!((reply.status, reply.text()), (200, "abcdefghij"));
}

#[test]
fn what_the_client_has_already_is_not_sent_again() {
    let lab = lab();
    let first = lab.get("/ten", &[]);
    let etag = first.header("ETag").unwrap();
    for held in [etag.to_string(), format!("\"x\", W/{etag}"), "*".into()] {
        let reply = lab.get("/ten", &[&format!("If-None-Match: {held}")]);
        assert_eq!((reply.status, reply.body.len(), reply.header("ETag")), (304, 0, Some(etag)), "{held}");
    }
    assert_eq!(lab.get("/ten", &["If-None-Match: \"x\""]).status, 200);
    let modified = first.header("Last-Modified").unwrap();
    assert_eq!(lab.get("/ten", &[&format!("If-Modified-Since: {modified}")]).status, 304);
    assert_eq!(lab.get("/ten", &["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"]).status, 200);
}

#[test]
fn nothing_outside_the_directory_is_served_however_it_is_asked_for() {
    let lab = lab();
    for target in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/%2E%2E%2Fsecret",
        "/sub/../../secret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/out",
        "/absolute",
        "/up/secret",
        "/up/",
        "/up",
        "/circle",
        "/sub/../../pub/ten",
        "http://lab/../secret",
        "/..",
        "/../",
    ] {
        let reply = lab.get(target, &[]);
        assert_eq!(reply.status, 404, "{target}: {}", String::from_utf8_lossy(&reply.body));
    }
    for target in ["/ten%00", "/%", "/%g0", "ten", "*"] {
        assert_eq!(lab.get(target, &[]).status, 400, "{target}");
    }
    // Links and dots that stay inside do work.
    assert_eq!(lab.get("/sub/inside", &[]).text(), "0123456789");
    assert_eq!(lab.get("/sub/../ten", &[]).text(), "0123456789");
    assert_eq!(lab.get("/sub/deep", &[]).text(), "deep");
}

#[test]
fn what_is_no_file_is_not_found() {
    let lab = lab();
    let fifo = lab.dir.path().join("pub/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    for target in ["/none", "/ten/", "/ten/x", "/fifo"] {
        assert_eq!(lab.get(target, &[]).status, 404, "{target}");
    }
}

#[test]
fn a_directory_is_listed_and_its_names_cannot_speak_html() {
    let lab = lab();
    std::fs::write(lab.dir.path().join("pub/<b>&\"x\" y"), b"").unwrap();
    let listing = lab.get("/", &[]);
    assert_eq!(listing.status, 200);
    let text = listing.text();
    assert!(
        text.contains("<a href=\"./ten\">ten</a>  10\n") && text.contains("<a href=\"./sub/\">sub/</a>"),
        "{text}"
    );
    assert!(text.contains("<a href=\"./%3Cb%3E%26%22x%22%20y\">&lt;b&gt;&amp;&quot;x&quot; y</a>"), "{text}");
    assert_eq!(lab.get("/%3Cb%3E%26%22x%22%20y", &[]).status, 200);
    // Without its slash a directory is redirected, and never to another host.
    for target in ["/sub", "//sub"] {
        let moved = lab.get(target, &[]);
        assert_eq!((moved.status, moved.header("Location")), (301, Some("/sub/")));
    }
}

#[test]
fn what_is_not_get_or_head_is_refused() {
    let lab = lab();
    let reply = lab.ask("POST", "/ten", &["Content-Length: 3"]);
    assert_eq!((reply.status, reply.header("Allow")), (405, Some("GET, HEAD")));
    assert_eq!(lab.raw(b"nonsense\r\n\r\n").status, 400);
    assert_eq!(lab.raw(b"GET /ten HTTP/1.1\r\n\r\n").status, 400);
    let long = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".as_slice(), &[b'x'; 20 << 10], b"\r\n\r\n"].concat();
    assert_eq!(lab.raw(&long).status, 431);
}

#[test]
fn one_connection_carries_many_requests_even_sent_together() {
    let lab = lab();
    let reply = lab.raw(
        b"GET /ten HTTP/1.1\r\nHost: a\r\n\r\nHEAD /ten HTTP/1.1\r\nHost: a\r\n\r\nGET /sub/deep HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let text = reply.text();
    assert!(text.starts_with("0123456789HTTP/1.1 200 OK") && text.ends_with("\r\n\r\ndeep"), "{text}");
    assert_eq!(reply.header("Connection"), Some("keep-alive"));
}

#[test]
fn many_clients_at_once_each_get_every_byte() {
    let lab = lab();
    let big: Vec<u8> = (0..5_000_011_u32).map(|i| (i * 31 / 7) as u8).collect();
    std::fs::write(lab.dir.path().join("pub/big"), &big).unwrap();
    let url = format!("http://{}/big", lab.server.addr());
    // More than there are places: the rest wait their turn.
    std::thread::scope(|scope| {
        for _ in 0..80 {
            scope.spawn(|| {
                let location = Location::parse(&url).unwrap();
                let fetcher = Fetcher::new(&Config::default()).unwrap();
                let long = std::time::Duration::from_secs(60);
                let timing = Timing { connect: long, stall: long };
                let mut source = fetcher.open(&location, &timing, &|_| ControlFlow::Continue(())).unwrap();
                let mut got = Vec::new();
                source.reader.read_to_end(&mut got).unwrap();
                assert!(got == big);
            });
        }
    });
}

#[test]
fn a_directory_that_is_not_there_and_a_port_that_is_taken_say_so() {
    let lab = lab();
    let free = "127.0.0.1:0".parse().unwrap();
    let error = Server::bind(&lab.dir.path().join("none"), free).map(|s| s.url()).unwrap_err();
    assert_eq!(format!("{error:#}"), "opening the directory: No such file or directory (os error 2)");
    let error = Server::bind(lab.dir.path(), lab.server.addr()).map(|s| s.url()).unwrap_err();
    assert!(format!("{error:#}").contains("Address already in use"), "{error:#}");
}
