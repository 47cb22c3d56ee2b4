//! The real binary as a person or a script meets it: words, exit status, what is on stdout and what on stderr; with
//! servers on loopback that are right, wrong or broken.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bootjack::commands::serve::{Running, Server};

use crate::odd_server::{Odd, answer, head, silence};

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
    use std::fs::File;
    use std::io::{BufRead as _, BufReader, Read};
    use std::process::{Child, Stdio};
    use std::sync::mpsc::{Receiver, channel};

    use rustix::process::{Pid, Signal, kill_process};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    /// One of minisign's.
    const PUBLIC_KEY: &str =
        "untrusted comment: minisign public key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";

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

    /// `check --watch`, and what it says, a line each.
    struct Watching {
        child: Child,
        lines: Receiver<String>,
    }

    impl Watching {
        fn of(words: &[&str]) -> Self {
            let mut child = command(&["check", "--watch"])
                .args(words)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let (tell, lines) = channel();
            let err = child.stderr.take().unwrap();
            let out = child.stdout.take().unwrap();
            for stream in [Box::new(out) as Box<dyn Read + Send>, Box::new(err)] {
                let tell = tell.clone();
                std::thread::spawn(move || {
                    for line in BufReader::new(stream).lines().map_while(Result::ok) {
                        let _nobody_asks = tell.send(line);
                    }
                });
            }
            Self { child, lines }
        }

        /// Waits for a line that has this in it; all until then.
        fn until(&self, what: &str) -> String {
            let mut seen = String::new();
            loop {
                match self.lines.recv_timeout(Duration::from_secs(20)) {
                    Ok(line) => seen += &format!("{line}\n"),
                    Err(e) => panic!("no {what:?}, {e}: {seen}"),
                }
                if seen.lines().last().is_some_and(|line| line.contains(what)) {
                    return seen;
                }
            }
        }

        fn end(mut self) -> Option<i32> {
            let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
            kill_process(pid, Signal::INT).unwrap();
            self.child.wait().unwrap().code()
        }
    }

    #[test]
    fn what_is_watched_is_checked_again_after_each_change_and_the_last_status_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other, new) = (path(&dir, "c.toml"), path(&dir, "d.toml"), path(&dir, "c.new"));
        std::fs::write(&file, SHELL.replace("shell", "shel")).unwrap();
        std::fs::write(&other, SHELL).unwrap();
        let watching = Watching::of(&[&file, &other]);
        let first = watching.until(&format!("{other}: ok"));
        assert!(first.starts_with("-- 20") && first.contains(" UTC\n"), "{first}");
        assert!(first.contains(&format!("{file}: 1 error; 0 entries stand\n")), "{first}");
        // As an editor does it that leaves no half of a file: another one takes the name.
        std::fs::write(&new, SHELL).unwrap();
        std::fs::rename(&new, &file).unwrap();
        let second = watching.until(&format!("{other}: ok"));
        assert!(second.contains(&format!("{file}: ok, 1 entry\n")), "{second}");
        std::fs::remove_file(&file).unwrap();
        watching.until(&format!("bootjack: catalog: {file}: No such file"));
        std::fs::write(&file, SHELL.replace("'A'", "'Back'")).unwrap();
        let third = watching.until(&format!("{other}: ok"));
        assert!(third.contains(&format!("{file}: ok, 1 entry\n")) && !third.contains('\x1b'), "{third}");
        assert_eq!(watching.end(), Some(0));

        std::fs::write(&other, "version = 2\n").unwrap();
        let watching = Watching::of(&[&other]);
        watching.until("refused as a whole");
        assert_eq!(watching.end(), Some(1));
    }

    #[test]
    fn with_keys_the_signatures_beside_a_catalog_are_watched_too() {
        let dir = tempfile::tempdir().unwrap();
        let (file, key) = (path(&dir, "c.toml"), path(&dir, "k.pub"));
        std::fs::write(&file, SHELL).unwrap();
        std::fs::write(&key, PUBLIC_KEY).unwrap();
        let watching = Watching::of(&["--key", &key, &file]);
        watching.until("c.toml.minisig");
        watching.until("hint: ");
        std::fs::write(path(&dir, "c.toml.minisig"), "no signature").unwrap();
        watching.until("-- ");
        assert_eq!(watching.end(), Some(1));
    }

    #[test]
    fn a_person_who_watches_sees_each_round_on_an_empty_screen() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(&dir, "c.toml");
        std::fs::write(&file, SHELL).unwrap();
        for (term, clears) in [("linux", true), ("dumb", false)] {
            let (mut master, line) = tty();
            let mut child =
                command(&["check", "--watch", &file]).env("TERM", term).stdout(line).spawn().unwrap();
            let mut seen = Vec::new();
            while !String::from_utf8_lossy(&seen).contains("ok, 1 entry") {
                let mut bytes = [0; 256];
                let n = master.read(&mut bytes).unwrap();
                seen.extend_from_slice(&bytes[..n]);
            }
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(seen.starts_with(b"\x1b[H\x1b[2J-- "), clears, "{}", String::from_utf8_lossy(&seen));
            assert_eq!(seen.contains(&0x1b), clears);
        }
    }

    /// A terminal: who looks at it, and the line it is at.
    fn tty() -> (File, File) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let line = File::options().read(true).write(true).open(name).unwrap();
        (master.into(), line)
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

#[test]
fn every_command_shows_an_example() {
    let help = bootjack(&["--help"]);
    assert_eq!((help.status, help.out.contains("Example: bootjack ")), (0, true));
    let listed = help.out.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in ["boot", "check", "menu", "unpack", "pack", "initrd", "serve", "vm"] {
        assert!(names.contains(&name), "{listed}");
    }
    for name in names.iter().filter(|name| **name != "help") {
        let help = bootjack(&[name, "--help"]);
        assert_eq!(help.status, 0);
        // Nobody types `boot`: a kernel starts it.
        let example = if *name == "boot" { "Example: ".into() } else { format!("Example: bootjack {name} ") };
        assert!(help.out.contains(&example), "{name}: {}", help.out);
    }
}

#[test]
fn words_that_are_no_command_are_wrong_usage() {
    for words in [&["no-such-command"][..], &["unpack", "--sha256", "beef", "/a", "/b"], &["serve"], &[]] {
        let wrong = bootjack(words);
        assert_eq!((wrong.status, wrong.out.as_str()), (2, ""), "{words:?}: {}", wrong.err);
        assert!(!wrong.err.is_empty());
    }
}

#[test]
fn a_result_that_cannot_be_printed_is_a_failure_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (file, out) = (path(&dir, "c.toml"), path(&dir, "r.tar.zst"));
    std::fs::write(&file, SHELL).unwrap();
    let tree = path(&dir, "tree");
    std::fs::create_dir(&tree).unwrap();
    for words in [&["check", &file][..], &["pack", &tree, "-o", &out]] {
        let said = said(command(words).stdout(full()).output().unwrap());
        assert_eq!(said.status, 1, "{}", said.err);
        assert!(said.err.contains(": standard output: No space left on device"), "{}", said.err);
    }
}

mod unpack {
    use std::os::unix::process::CommandExt as _;

    use bootjack::verify::Sha256;

    use super::*;
    use crate::trees::{Mount, Room, compare, look, plant};

    /// A tree with everything, its archive served, and a place to unpack it to.
    struct Lab {
        tree: Mount,
        archive: Vec<u8>,
        /// What `pack --json` said of it.
        packed: serde_json::Value,
        server: Running,
        target: Mount,
        _served: tempfile::TempDir,
    }

    fn lab() -> Lab {
        let (tree, target) = (Mount::tmpfs("mode=0755"), Mount::tmpfs("mode=0755"));
        plant(tree.path(), Room::Pax);
        let dir = tempfile::tempdir().unwrap();
        let out = path(&dir, "root.tar.zst");
        let done = bootjack(&["pack", tree.path().to_str().unwrap(), "-o", &out, "--json"]);
        assert_eq!(done.status, 0, "{}", done.err);
        let archive = std::fs::read(&out).unwrap();
        let server = serve(dir.path());
        Lab { tree, archive, packed: json(&done.out), server, target, _served: dir }
    }

    impl Lab {
        fn url(&self) -> String {
            url(&self.server, "root.tar.zst")
        }

        fn sha256(&self) -> String {
            self.packed["sha256"].as_str().unwrap().to_owned()
        }

        fn target(&self) -> &str {
            self.target.path().to_str().unwrap()
        }

        fn unpack(&self, words: &[&str]) -> Said {
            bootjack(&[&["unpack", "--retry-for", "5s"], words, &[self.target()]].concat())
        }

        fn is_whole(&self) {
            compare("unpacked", &look(self.target.path()), &look(self.tree.path()));
        }

        /// Refused with these words, a hint where there is one, and nothing left behind.
        fn is_refused(&self, said: &Said, words: &str) {
            assert_eq!((said.status, said.out.as_str()), (1, ""), "{}", said.err);
            assert!(said.err.contains(words), "{words} is not in: {}", said.err);
            assert_eq!(std::fs::read_dir(self.target.path()).unwrap().count(), 0, "something was left");
        }
    }

    #[test]
    fn what_was_packed_comes_back_with_the_numbers_that_were_said() {
        let lab = lab();
        let said = lab.unpack(&["--json", &lab.url(), "--sha256", &lab.sha256()]);
        assert_eq!(said.status, 0, "{}", said.err);
        lab.is_whole();
        let done = json(&said.out);
        let keys: Vec<&str> = done.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = ["ok", "location", "bytes", "unpacked", "entries", "sha256", "seconds", "retries"];
        assert!(wanted.iter().all(|key| keys.contains(key)) && !keys.contains(&"error"), "{keys:?}");
        assert_eq!((&done["ok"], &done["location"]), (&true.into(), &lab.url().into()));
        assert_eq!((&done["bytes"], &done["retries"]), (&lab.packed["size"], &0.into()));
        for key in ["sha256", "unpacked", "entries"] {
            assert_eq!(done[key], lab.packed[key], "{key}");
        }
        assert!(said.err.contains("verified\n") && !said.err.contains("not verified"), "{}", said.err);
    }

    #[test]
    fn a_wrong_digest_leaves_nothing_and_names_both() {
        let lab = lab();
        let other = Sha256::of(b"another file").to_string();
        let said = lab.unpack(&[&lab.url(), "--sha256", &other]);
        lab.is_refused(
            &said,
            &format!("expected {other}, got {} over {} bytes", lab.sha256(), lab.archive.len()),
        );
        let mut lines = said.err.lines().skip_while(|line| !line.starts_with("bootjack: "));
        let failure = lines.next().unwrap();
        assert!(failure.starts_with(&format!("bootjack: verify: {}: ", lab.url())), "{failure}");
        assert!(lines.next().unwrap().starts_with("hint: "), "{}", said.err);
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn a_failure_is_one_json_object_too() {
        let lab = lab();
        let said = lab.unpack(&["--json", &url(&lab.server, "none"), "--sha256", &lab.sha256()]);
        assert_eq!(said.status, 1);
        let failed = json(&said.out);
        assert_eq!(failed["ok"], false);
        assert!(failed["error"].as_str().unwrap().contains("404"), "{failed}");
        assert!(said.err.contains("none: server answered 404 Not Found"), "{}", said.err);
    }

    #[test]
    fn without_a_digest_it_says_so() {
        let lab = lab();
        let said = lab.unpack(&[&lab.url()]);
        assert_eq!(said.status, 0, "{}", said.err);
        assert!(
            said.err.starts_with("bootjack: warning: neither --sha256 nor --chunks was given: "),
            "{}",
            said.err
        );
        assert!(said.err.contains("not verified"), "{}", said.err);
        lab.is_whole();
    }

    #[test]
    fn the_next_mirror_stands_in() {
        let lab = lab();
        let said = lab.unpack(&["--json", &url(&lab.server, "none"), &lab.url(), "--sha256", &lab.sha256()]);
        assert_eq!(said.status, 0, "{}", said.err);
        let done = json(&said.out);
        assert_eq!((&done["location"], &done["retries"]), (&lab.url().into(), &1.into()));
        lab.is_whole();
    }

    #[test]
    fn a_body_that_breaks_off_is_fetched_again_into_an_empty_directory() {
        let lab = lab();
        let archive = lab.archive.clone();
        let odd = Odd::serve(move |request, stream| {
            let part = if request.number == 0 { archive.len() / 2 } else { archive.len() };
            head(stream, "200 OK", &[], Some(archive.len() as u64));
            let _gone = stream.write_all(&archive[..part]);
        });
        let said = lab.unpack(&["--json", &odd.url("/r"), "--sha256", &lab.sha256()]);
        assert_eq!(said.status, 0, "{}", said.err);
        assert_eq!((odd.seen().len(), &json(&said.out)["retries"]), (2, &1.into()));
        lab.is_whole();
    }

    #[test]
    fn another_size_is_refused_before_and_after() {
        let lab = lab();
        let size = lab.archive.len();
        let words = |wanted: usize| format!("has {size} bytes, the catalog says {wanted}");
        let said = lab.unpack(&[&lab.url(), "--sha256", &lab.sha256(), "--size", &(size + 1).to_string()]);
        lab.is_refused(&said, &words(size + 1));
        // A server that does not say the length beforehand.
        let archive = lab.archive.clone();
        let odd = Odd::serve(move |_, stream| {
            head(stream, "200 OK", &[], None);
            let _gone = stream.write_all(&archive);
        });
        let said =
            lab.unpack(&[&odd.url("/r"), "--sha256", &lab.sha256(), "--size", &(size - 1).to_string()]);
        lab.is_refused(&said, &format!("more than the {} bytes the catalog says", size - 1));
        let said =
            lab.unpack(&[&odd.url("/r"), "--sha256", &lab.sha256(), "--size", &(size + 1).to_string()]);
        lab.is_refused(&said, &words(size + 1));
        let said = lab.unpack(&[&odd.url("/r"), "--sha256", &lab.sha256(), "--size", &size.to_string()]);
        assert_eq!(said.status, 0, "{}", said.err);
        lab.is_whole();
    }

    #[test]
    fn a_directory_that_holds_something_is_left_alone() {
        let lab = lab();
        std::fs::write(lab.target.path().join("mine"), "kept").unwrap();
        let said = lab.unpack(&[&lab.url(), "--sha256", &lab.sha256()]);
        assert_eq!(said.status, 1);
        assert!(said.err.contains(": the directory is not empty"), "{}", said.err);
        assert_eq!(std::fs::read_to_string(lab.target.path().join("mine")).unwrap(), "kept");
        assert_eq!(std::fs::read_dir(lab.target.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_body_that_never_ends_is_given_up_one_byte_after_its_size() {
        let lab = lab();
        // Not compressed: zeros may follow a tar archive (its last record is filled up with them).
        let tree = lab.tree.path();
        let tar = Command::new("tar").arg("-C").arg(tree).args(["-cf", "-", "."]).output().unwrap();
        assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
        let (digest, size) = (Sha256::of(&tar.stdout).to_string(), tar.stdout.len().to_string());
        let odd = Odd::serve(move |_, stream| {
            head(stream, "200 OK", &["transfer-encoding: chunked"], None);
            let mut piece = tar.stdout.clone();
            // Until the client has had enough.
            while write!(stream, "{:x}\r\n", piece.len()).is_ok()
                && stream.write_all(&piece).and_then(|()| stream.write_all(b"\r\n")).is_ok()
            {
                piece = vec![0; 1 << 16];
            }
        });
        let said = lab.unpack(&[&odd.url("/r"), "--sha256", &digest, "--size", &size]);
        lab.is_refused(&said, &format!("/r: more than the {size} bytes the catalog says"));
        assert!(said.err.contains("bootjack: verify: "), "{}", said.err);
    }

    #[test]
    fn a_signal_ends_it_and_leaves_nothing() {
        for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
            let lab = lab();
            // Half of it comes, more than waits in buffers, and then nothing.
            let files = (0..8).map(|n| crate::archive::file(&format!("{n}"), &crate::trees::noise(1 << 20)));
            let archive = crate::archive::tar(&files.collect::<Vec<_>>());
            let odd = Odd::serve(move |_, stream| {
                head(stream, "200 OK", &[], Some(archive.len() as u64));
                stream.write_all(&archive[..archive.len() / 2]).unwrap();
                silence(stream);
            });
            let words =
                ["unpack", "--retry-for", "10m", &odd.url("/r"), "--sha256", &lab.sha256(), lab.target()];
            let mut unpacking = command(&words);
            unpacking.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            let unpacking = unpacking.spawn().unwrap();
            let given_up = Instant::now() + Duration::from_secs(60);
            while std::fs::read_dir(lab.target.path()).unwrap().next().is_none() {
                assert!(Instant::now() < given_up, "nothing was unpacked");
                std::thread::park_timeout(Duration::from_millis(5));
            }
            rustix::process::kill_process(rustix::process::Pid::from_child(&unpacking), signal).unwrap();
            let said = said(unpacking.wait_with_output().unwrap());
            lab.is_refused(&said, &format!("bootjack: unpack: {}: stopped\n", odd.url("/r")));
        }
    }

    #[test]
    fn nobody_but_root_can_and_is_told_so() {
        let lab = lab();
        // The binary may lie where only root can go.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let copy = path(&dir, "bootjack");
        std::fs::copy(env!("CARGO_BIN_EXE_bootjack"), &copy).unwrap();
        let mut command = Command::new(&copy);
        command.uid(65534).gid(65534).current_dir("/").args(["unpack", &lab.url(), lab.target()]);
        let said = said(command.output().unwrap());
        lab.is_refused(&said, "unpack: ");
        assert!(said.err.contains("\nhint: run it as root"), "{}", said.err);
    }
}

mod serve {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    use super::*;

    #[test]
    fn the_first_line_is_the_url_and_an_interrupt_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c.toml"), SHELL).unwrap();
        let words = ["serve", "--listen", "127.0.0.1:0", dir.path().to_str().unwrap()];
        // Who is started in the background by a script ignores interrupts, and so do its children.
        let mut serving = Command::new("env");
        serving.arg("--default-signal=INT").arg(env!("CARGO_BIN_EXE_bootjack")).args(words);
        let mut serving = serving.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(serving.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let at = first.trim_end();
        assert!(at.starts_with("http://127.0.0.1:") && at.ends_with('/') && !at.contains(":0/"), "{at}");
        let checked = bootjack(&["check", &format!("{at}c.toml")]);
        let pid = rustix::process::Pid::from_child(&serving);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let ended = serving.wait().unwrap();
        assert_eq!(checked.status, 0, "{}", checked.err);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(2), "{ended}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_failure_in_words() {
        let said = bootjack(&["serve", "/nowhere/at/all"]);
        let wanted = "bootjack: serve: /nowhere/at/all: opening the directory: No such file or directory";
        assert_eq!((said.status, said.out.as_str()), (1, ""));
        assert!(said.err.starts_with(wanted), "{}", said.err);
    }
}
