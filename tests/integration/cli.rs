//! The real binary as a person or a script meets it: words, exit status, what is on stdout and what on stderr; with
//! servers on loopback that are right, wrong or broken.

use std::path::Path;
use std::process::{Command, Output};

use bootjack::commands::serve::{Running, Server};

use crate::odd_server::{Odd, answer, head};

struct Said {
    status: i32,
    out: String,
    err: String,
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap_or_else(|| panic!("ended by a signal: {}", output.status));
    Said { status, out: text(output.stdout), err: text(output.stderr) }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootjack"));
    command.args(args).stdin(std::process::Stdio::null());
    command
}

fn bootjack(args: &[&str]) -> Said {
    said(command(args).output().unwrap())
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// `DIR` over HTTP.
fn serve(dir: &Path) -> Running {
    let server = Server::bind(dir, "127.0.0.1:0".parse().unwrap()).unwrap();
    server.spawn(|_| {}).unwrap()
}

fn url(server: &Running, name: &str) -> String {
    format!("http://{}/{name}", server.addr())
}

fn path(dir: &tempfile::TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

const SHELL: &str = "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'shell'\n";

/// A catalog of one root; `artifact` is what stands in it beside the trust.
fn catalog(artifact: &str) -> String {
    format!(
        "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'switch-root'\n\
         root = {{ {artifact}, unpacked = 4096, sha256 = '{}' }}\n",
        "0".repeat(64)
    )
}

mod check {
    use super::*;

    #[test]
    fn the_exit_status_says_whether_a_catalog_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let (good, bad) = (path(&dir, "good.toml"), path(&dir, "bad.toml"));
        std::fs::write(&good, SHELL).unwrap();
        std::fs::write(&bad, SHELL.replace("shell", "shel")).unwrap();
        let right = bootjack(&["check", &good]);
        assert_eq!((right.status, right.out), (0, format!("{good}: ok, 1 entry\n")));
        let wrong = bootjack(&["check", &bad, &good]);
        assert_eq!(wrong.status, 1);
        assert!(
            wrong.out.starts_with(&format!("{bad}:5:8: error: \"shel\" is no way to boot\n")),
            "{}",
            wrong.out
        );
        assert!(wrong.out.contains("\nhint: did you mean \"shell\"?\n"), "{}", wrong.out);
        assert!(wrong.out.ends_with(&format!("{good}: ok, 1 entry\n")), "{}", wrong.out);
        let missing = bootjack(&["check", "/nowhere/c.toml", &good]);
        assert_eq!((missing.status, missing.out), (1, format!("{good}: ok, 1 entry\n")));
        assert!(
            missing.err.starts_with("bootjack: catalog: /nowhere/c.toml: No such file"),
            "{}",
            missing.err
        );
        assert_eq!(bootjack(&["check"]).status, 2);
    }

    #[test]
    fn a_catalog_may_be_a_url_and_what_it_names_is_relative_to_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/c.toml"), catalog("url = 'r.tar', size = 4")).unwrap();
        std::fs::write(dir.path().join("sub/r.tar"), "four").unwrap();
        let server = serve(dir.path());
        let at = url(&server, "sub/c.toml");
        let right = bootjack(&["check", "--online", &at]);
        assert_eq!((right.status, right.out), (0, format!("{at}: ok, 1 entry\n")), "{}", right.err);
        assert!(right.err.contains(&format!("asking for {}\n", url(&server, "sub/r.tar"))), "{}", right.err);
        let none = bootjack(&["check", &url(&server, "none.toml")]);
        assert_eq!(none.status, 1);
        assert!(none.err.contains("none.toml: server answered 404 Not Found\nhint: "), "{}", none.err);
    }

    #[test]
    fn what_the_servers_say_stands_at_the_url_in_the_catalog() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("there"), "four").unwrap();
        let server = serve(dir.path());
        let (there, gone) = (url(&server, "there"), url(&server, "gone"));
        let file = path(&dir, "c.toml");
        let check = |artifact: &str| {
            std::fs::write(&file, catalog(artifact)).unwrap();
            assert_eq!(bootjack(&["check", &file]).status, 0, "only the servers know");
            bootjack(&["check", "--online", &file])
        };

        let missing = check(&format!("url = '{gone}'"));
        assert_eq!(missing.status, 1);
        let place = format!("{file}:6:16: error: {gone}: server answered 404 Not Found\n");
        assert!(missing.out.starts_with(&place), "{}", missing.out);
        assert!(missing.out.contains(&format!("\n{}{}\nhint: ", " ".repeat(15), "^".repeat(gone.len() + 2))));

        let mirrored = check(&format!("url = ['{gone}', '{there}']"));
        assert_eq!(mirrored.status, 0);
        assert!(mirrored.out.starts_with(&format!("{file}:6:17: warning: {gone}: ")), "{}", mirrored.out);

        let longer = check(&format!("url = '{there}', size = 5"));
        assert_eq!(longer.status, 1);
        assert!(longer.out.contains(": has 4 bytes, the catalog says 5\n"), "{}", longer.out);

        let refused = check("url = 'http://ann:s3cret@127.0.0.1:1/r'");
        assert_eq!(refused.status, 1);
        let problem = refused.out.lines().next().unwrap();
        assert!(problem.contains("http://ann:***@127.0.0.1:1/r: connecting to 127.0.0.1:1: "), "{problem}");
        assert!(!refused.err.contains("s3cret"), "{}", refused.err);
    }

    #[test]
    fn json_holds_what_the_servers_say() {
        let server = Odd::serve(|request, stream| match request.path.as_str() {
            "/c.toml" => answer(stream, "200 OK", &[], catalog("url = 'r', size = 4").as_bytes()),
            _ => head(stream, "200 OK", &[], None),
        });
        let checked = bootjack(&["check", "--json", "--online", &server.url("/c.toml")]);
        assert_eq!(checked.status, 0);
        let problem = &json(&checked.out)[0]["problems"][0];
        assert_eq!((&problem["severity"], &problem["line"]), (&"warning".into(), &6.into()));
        assert!(problem["message"].as_str().unwrap().ends_with("does not say how many bytes it has"));
    }
}

mod menu {
    use super::*;

    #[test]
    fn a_catalog_by_url_is_read_before_a_terminal_is_asked_for() {
        let server = Odd::of(b"version = 2\n");
        let at = server.url("/c.toml");
        let refused = bootjack(&["menu", &at]);
        assert_eq!(refused.status, 1);
        let wanted = format!(
            "bootjack: catalog: {at}: 1:11: version 2 of the catalog is not known\nhint: `bootjack check {at}` "
        );
        assert!(refused.err.starts_with(&wanted), "{}", refused.err);
    }
}
