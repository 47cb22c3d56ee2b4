//! What the threads of an unpacking program may do while they work, against what docs/privileges.md says of them. Needs
//! root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::CapabilitySet;

use bootjack::verify::{ChunkList, Sha256};

use crate::archive::{file, tar};
use crate::odd_server::{Odd, answer};
use crate::trees::{Mount, noise};

/// Threads of the table, with what they keep; absent where that is told in other words.
fn promised() -> BTreeMap<String, Option<u64>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/privileges.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    rows.map(|row| {
        let (name, rest) = row.split_once('`').unwrap();
        let kept = rest.rsplit(" | ").next().unwrap();
        let named: Vec<&str> = kept.split('`').skip(1).step_by(2).collect();
        let bit = |name: &&str| {
            let known = name.strip_prefix("CAP_").and_then(CapabilitySet::from_name);
            known.unwrap_or_else(|| panic!("{name} is no capability")).bits()
        };
        let told = kept == "none" || !named.is_empty();
        (name.to_owned(), told.then(|| named.iter().map(bit).sum()))
    })
    .collect()
}

/// The fields of a status(5) file.
fn status(path: &Path) -> Option<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).ok()?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    Some(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

fn mask(status: &BTreeMap<String, String>, field: &str) -> u64 {
    u64::from_str_radix(&status[field], 16).unwrap()
}

/// What `each` says of all threads of a process, by thread and name.
fn threads(pid: u32) -> Vec<BTreeMap<String, String>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.filter_map(|task| status(&task.unwrap().path().join("status"))).collect()
}

/// A program that does not outlive its test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = (self.0.kill(), self.0.wait());
    }
}

#[test]
fn threads_that_take_bytes_apart_may_do_what_is_documented_and_no_more() {
    let promised = promised();
    for name in ["parse", "hash", "decode", "write", "unpack", "read", "network", "worker"] {
        assert!(promised.contains_key(name), "{name} is not in docs/privileges.md");
    }
    // Frames as `pack` makes them, so that several decode; the body stops in the middle until somebody has looked.
    let data = noise(1 << 20);
    let plain = tar(&(0..24).map(|n| file(&format!("d/{n}"), &data)).collect::<Vec<_>>());
    let frames: Vec<u8> =
        plain.chunks(4 << 20).flat_map(|part| zstd::bulk::compress(part, 1).unwrap()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/root", listener.local_addr().unwrap());
    let (looked, wait) = std::sync::mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _request = client.read(&mut [0; 4096]).unwrap();
        write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", frames.len())
            .unwrap();
        let (first, rest) = frames.split_at(frames.len() / 2);
        client.write_all(first).unwrap();
        wait.recv().unwrap();
        client.write_all(rest).unwrap();
    });
    let target = Mount::tmpfs("mode=0755");
    let unpacking = Command::new(env!("CARGO_BIN_EXE_bootjack"))
        .args(["unpack", &url, target.path().to_str().unwrap()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut unpacking = Ends(unpacking);
    let begun = Instant::now();
    let mut wanted: BTreeSet<&str> = BTreeSet::from(["hash", "decode", "unpack", "read"]);
    if std::thread::available_parallelism().unwrap().get() > 1 {
        wanted.insert("write");
    }
    // A thread is there before it has given anything up: until all of them have, or too much time went by.
    let seen = loop {
        let seen = threads(unpacking.0.id());
        let names: BTreeSet<&str> = seen.iter().map(|thread| thread["Name"].as_str()).collect();
        let settled = seen.iter().all(|t| !wanted.contains(&*t["Name"]) || t["NoNewPrivs"] == "1");
        if names.is_superset(&wanted) && settled {
            break seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{names:?}, wanted {wanted:?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let main = seen.iter().find(|thread| thread["Pid"] == unpacking.0.id().to_string()).unwrap();
    let all = mask(main, "CapEff");
    assert_eq!(main["NoNewPrivs"], "0");
    assert_ne!(all, 0, "this is a test for root");
    let mut checked = 0;
    for thread in &seen {
        let Some(Some(kept)) = promised.get(&thread["Name"]) else { continue };
        for field in ["CapEff", "CapPrm"] {
            assert_eq!(mask(thread, field), all & kept, "{field} of {}", thread["Name"]);
        }
        // Whoever is started by `unpack` has its bounding set: giving up more of that takes what it gave up.
        let most = mask(main, "CapBnd") & promised["unpack"].unwrap();
        assert_eq!(mask(thread, "CapBnd") & !most, 0, "{}", thread["Name"]);
        assert_eq!((mask(thread, "CapInh"), mask(thread, "CapAmb")), (0, 0), "{}", thread["Name"]);
        assert_eq!(thread["NoNewPrivs"], "1", "{}", thread["Name"]);
        checked += 1;
    }
    assert!(checked >= wanted.len(), "{checked} of {seen:#?}");
    looked.send(()).unwrap();
    server.join().unwrap();
    assert!(unpacking.0.wait().unwrap().success());
    assert_eq!(fs::read_dir(target.path().join("d")).unwrap().count(), 24);
}

#[test]
fn connections_beside_the_first_may_do_nothing() {
    let plain = tar(&[file("a", &noise(900_000))]);
    let pieces = plain.chunks(100_000).map(|chunk| (chunk.len() as u64, Sha256::of(chunk)));
    let (list, text) = ChunkList::of(pieces);
    let (looked, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Odd::serve(move |request, stream| {
        let Some(range) = request.header("range") else {
            return answer(stream, "200 OK", &[], text.as_bytes());
        };
        let (from, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (from, size) = (from.parse::<usize>().unwrap(), plain.len());
        let last = last.parse().unwrap_or(size - 1);
        if from > 0 {
            // Until somebody has looked: then the other end is gone.
            let _looked = wait.lock().unwrap().recv();
        }
        let range = format!("content-range: bytes {from}-{last}/{size}");
        answer(stream, "206 Partial Content", &[&range], &plain[from..=last]);
    });
    let (target, chunks) = (Mount::tmpfs("mode=0755"), list.sha256().to_string());
    let unpacking = Command::new(env!("CARGO_BIN_EXE_bootjack"))
        .args(["unpack", "--connections", "3", "--chunks", &chunks, &server.url("/root")])
        .arg(target.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut unpacking = Ends(unpacking);
    let begun = Instant::now();
    loop {
        let all = threads(unpacking.0.id());
        let ranges: Vec<_> = all.iter().filter(|thread| thread["Name"] == "range").collect();
        if ranges.len() == 3 && ranges.iter().all(|thread| thread["NoNewPrivs"] == "1") {
            let kept = |field| ranges.iter().any(|thread| mask(thread, field) != 0);
            assert!(!kept("CapEff") && !kept("CapPrm") && !kept("CapInh"), "{ranges:#?}");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{all:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(looked);
    assert!(unpacking.0.wait().unwrap().success());
    assert_eq!(fs::metadata(target.path().join("a")).unwrap().len(), 900_000);
}

#[test]
fn what_is_documented_is_what_the_parts_keep() {
    use bootjack::privileges::Part;
    let promised = promised();
    for (name, part) in [
        ("parse", Part::Plain),
        ("hash", Part::Plain),
        ("decode", Part::Plain),
        ("write", Part::Write),
        ("unpack", Part::Unpack),
        ("read", Part::Read),
        ("range", Part::Plain),
        ("network", Part::Network),
    ] {
        assert_eq!(promised[name], Some(part.kept().bits()), "{name}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/privileges.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, list) = text.split_once("what nothing in bootjack uses: ").unwrap();
    let list = list.split("\n\n").next().unwrap();
    let given_up: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
    let missing: BTreeSet<String> = CapabilitySet::all()
        .iter_names()
        .filter(|(_, one)| !Part::Worker.kept().contains(*one))
        .map(|(name, _)| format!("CAP_{name}"))
        .collect();
    assert_eq!(given_up, missing.iter().map(String::as_str).collect());
}
