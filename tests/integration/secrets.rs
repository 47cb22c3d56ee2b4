//! Passwords of locations and proxies, whatever goes wrong with them: no word of any command has one in it. Needs root.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::archive::{file, tar};
use crate::odd_server::{Odd, answer};

const SECRET: &str = "s3cr3t-of-ann";
const PROXY: &str = "pr0xy-of-bob";

/// All a command says. Neither password is in it, escaped or not.
fn said(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootjack"));
    let done = command.args(words).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    for password in [SECRET, PROXY] {
        assert!(!text.contains(password), "{words:?} says {password}:\n{text}");
    }
    text
}

/// A port nobody listens on.
fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn with_password(url: &str) -> String {
    url.replacen("http://", &format!("http://ann:{SECRET}@"), 1)
}

#[test]
fn unpack_says_no_password_whatever_becomes_of_it() {
    let good = tar(&[file("f", b"x")]).leak();
    let server = Odd::serve(move |request, stream| match request.path.as_str() {
        "/root" => answer(stream, "200 OK", &[], good),
        "/page" => answer(stream, "200 OK", &[], b"<!DOCTYPE html>"),
        "/away" => {
            answer(stream, "302 Found", &[&format!("Location: http://ann:{SECRET}@127.0.0.1:1/x")], b"")
        }
        _ => answer(stream, "404 Not Found", &[], b""),
    });
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("tree");
    let target = target.to_str().unwrap();
    let wrong = "0".repeat(64);
    let ok = said(&["unpack", &with_password(&server.url("/root")), target]);
    assert!(ok.contains("http://ann:***@127.0.0.1"), "{ok}");
    std::fs::remove_dir_all(target).unwrap();
    let port = nobody();
    for (place, why) in [
        (with_password(&server.url("/gone")), "404"),
        (with_password(&server.url("/page")), "HTML page"),
        (with_password(&server.url("/away")), "***"),
        (with_password(&server.url("/root")).replacen("http:", "https:", 1), "TLS"),
        (format!("http://ann:{SECRET}@127.0.0.1:{port}/root"), "refused"),
        (format!("http://ann:{SECRET}@nobody.invalid/root"), "nobody.invalid"),
        (format!("http://ann:{SECRET}@127.0.0.1:99999/root"), "port"),
        (format!("http://ann:{SECRET}@/root"), "host"),
        (format!("htp://ann:{SECRET}@127.0.0.1/root"), "htp"),
        (format!("oci://ann:{SECRET}@127.0.0.1/root"), "oci"),
        (format!("ftp://ann:{SECRET}@127.0.0.1:{port}/root"), "refused"),
        (format!("nfs://ann:{SECRET}@127.0.0.1/srv/root"), ""),
        (format!("tftp://ann:{SECRET}@127.0.0.1:{port}/root"), ""),
    ] {
        for more in [&[][..], &["--json"]] {
            let words = [&["unpack", "--retry-for", "1s", &place, target][..], more].concat();
            let text = said(&words);
            assert!(text.contains(why), "{words:?}: {text}");
        }
    }
    let place = with_password(&server.url("/root"));
    let text = said(&["unpack", "--json", "--retry-for", "0s", "--sha256", &wrong, &place, target]);
    assert!(text.contains("http://ann:***@127.0.0.1") && text.contains("does not match"), "{text}");
}

#[test]
fn a_kernel_command_line_is_quoted_without_its_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let (target, lines) = (dir.path().join("tree"), dir.path().join("cmdline"));
    let port = nobody();
    let good = format!("root=tmpfs:http://ann:{SECRET}@127.0.0.1:{port}/root bootjack.retry_for=0s");
    for (line, why) in [
        (format!("{good} proxy=bob:{PROXY}@127.0.0.1:{port}"), "bob:***@127.0.0.1"),
        (format!("{good} proxy=http://bob:{PROXY}@127.0.0.1:{port}"), "bob:***@127.0.0.1"),
        (format!("{good} proxy=bob:{PROXY}@127.0.0.1:{port}/x?y"), "proxy="),
        (format!("{good} proxy=gopher://bob:{PROXY}@127.0.0.1"), "proxy="),
        (format!("{good} \"proxy=bob:{PROXY}@\""), "proxy="),
        (format!("{good} bootjack.catalog=htp://ann:{SECRET}@h/c.toml"), "bootjack.catalog=htp://ann:***@h"),
        (format!("{good} bootjack.catalog=http://ann:{SECRET}@h:99999/"), "bootjack.catalog="),
        (format!("root=tmpfs:http://ann:{SECRET}@h:99999/r"), "root="),
        (format!("root=tmpfs:http://ann:{SECRET}@h/r ramroot=http://ann:{SECRET}@h/q boot=ramdisk"), "root="),
        (format!("rd.container.rootfs=ftps://ann:{SECRET}@h/r.tar"), "rd.container.rootfs="),
    ] {
        std::fs::write(&lines, &line).unwrap();
        let words = ["unpack", &format!("--cmdline={}", lines.display()), target.to_str().unwrap()];
        for more in [&[][..], &["--json"]] {
            let text = said(&[&words[..], more].concat());
            assert!(text.contains(why), "{line}: {text}");
        }
    }
}

#[test]
fn a_catalog_is_quoted_without_its_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.toml");
    let at = |path: &Path| path.to_str().unwrap().to_owned();
    let port = nobody();
    let entry = |url: &str, more: &str| {
        format!(
            "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'switch-root'\n\
             root = {{ url = ['{url}'], sha256 = '{}'{more} }}\n",
            "0".repeat(64)
        )
    };
    let good = format!("http://ann:{SECRET}@127.0.0.1:{port}/r.tar");
    for text in [
        entry(&good, ""),
        entry(&good, ", sise = 3"),
        entry(&format!("htp://ann:{SECRET}@h/"), ""),
        entry(&format!("http://ann:{SECRET}@h:99999/"), ""),
        entry(&good, "").replace("']", "', 3]"),
        entry(&good, "").replace("']", ""),
    ] {
        std::fs::write(&path, &text).unwrap();
        for words in
            [&["check"][..], &["check", "--json"], &["check", "--online"], &["check", "--online", "--json"]]
        {
            said(&[words, &[&at(&path)]].concat());
        }
        said(&["menu", "--json", &at(&path)]);
    }
    // What is pointed at stays where it is.
    std::fs::write(&path, entry(&good, ", sise = 3")).unwrap();
    let text = said(&["check", &at(&path)]);
    let (line, caret) = {
        let mut lines = text.lines().skip_while(|line| !line.contains("unknown key")).skip(1);
        (lines.next().unwrap().to_owned(), lines.next().unwrap().to_owned())
    };
    assert_eq!(caret.find('^'), line.find("sise"), "{text}");
    for place in
        [good.clone(), format!("http://ann:{SECRET}@nobody.invalid/c"), format!("htp://ann:{SECRET}@h/c")]
    {
        said(&["check", &place]);
        said(&["menu", "--json", &place]);
    }
}
