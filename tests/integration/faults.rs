//! A server that fails in every way a network does, at random: a fetch ends with the very tree, or with an error and an
//! empty target, and it ends. Each run has its seed, which is printed when it fails; `BOOTJACK_FAULTS=1000` runs so many,
//! `BOOTJACK_FAULT_SEED=n` that one alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use bootjack::archive::{PackOptions, pack};
use bootjack::catalog::{Artifact, Boot, Entry, Fstab, Root, RootSize};
use bootjack::fetch::{Config, Fetcher, Pace};
use bootjack::load::{LoadError, Loader, Report, load_root_at};
use bootjack::machine::Machine;
use bootjack::plan::{Step, plan};
use bootjack::verify::{ChunkList, Sha256, Trust};

use crate::fetch::at;

/// Longer than any run can take whose time without a byte is bounded.
const HANGS: Duration = Duration::from_secs(120);

/// SplitMix64: the same faults for the same seed.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// What lies on a server: an archive and its chunk list.
struct Lying {
    archive: Vec<u8>,
    list: String,
    tag: &'static str,
}

impl Lying {
    /// Of a tree with files of odd sizes; `salt` makes it another one.
    fn of(dir: &Path, salt: u8, tag: &'static str) -> Self {
        let source = dir.join(format!("source-{salt}"));
        fs::create_dir_all(source.join("sub/deep")).unwrap();
        let mut dice = Dice(u64::from(salt));
        for (number, size) in [0, 1, 4095, 70_000, 250_001, 33_000].into_iter().enumerate() {
            let bytes: Vec<u8> = (0..size).map(|_| dice.roll(251) as u8).collect();
            let name =
                if number % 2 == 0 { format!("file-{number}") } else { format!("sub/deep/file-{number}") };
            fs::write(source.join(name), bytes).unwrap();
        }
        std::os::unix::fs::symlink("sub/deep", source.join("link")).unwrap();
        let mut archive = Vec::new();
        pack(&source, &mut archive, &PackOptions { level: 1, ..PackOptions::default() }, &|_| {}).unwrap();
        let chunks = archive.chunks(30_000).map(|chunk| (chunk.len() as u64, Sha256::of(chunk)));
        let (_, list) = ChunkList::of(chunks);
        Self { archive, list, tag }
    }

    /// The same, not compressed.
    fn plain(&self) -> Self {
        let archive = zstd::decode_all(&self.archive[..]).unwrap();
        let chunks = archive.chunks(30_000).map(|chunk| (chunk.len() as u64, Sha256::of(chunk)));
        let (_, list) = ChunkList::of(chunks);
        Self { archive, list, tag: self.tag }
    }
}

/// Everything that a tree is made of.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

fn tree(root: &Path) -> Tree {
    fn add(root: &Path, at: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let about = fs::symlink_metadata(&path).unwrap();
            let bytes = match about.file_type() {
                kind if kind.is_dir() => {
                    add(root, &path, tree);
                    vec![]
                }
                kind if kind.is_symlink() => {
                    fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                }
                _ => fs::read(&path).unwrap(),
            };
            let name = path.strip_prefix(root).unwrap().to_owned();
            tree.insert(name, (about.permissions().mode(), bytes));
        }
    }
    let mut all = Tree::new();
    add(root, root, &mut all);
    all
}

/// A server on loopback whose every answer is decided by dice.
struct Faulty {
    address: std::net::SocketAddr,
    closing: std::sync::Arc<AtomicBool>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl Faulty {
    /// `corrupts`: whether it may send bytes that are not those it has.
    fn start(lying: std::sync::Arc<[Lying; 2]>, dice: &Dice, corrupts: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let closing = std::sync::Arc::new(AtomicBool::new(false));
        let (end, mut dice) = (closing.clone(), dice.clone());
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let dice = Dice(dice.roll(u64::MAX));
                let (lying, end) = (lying.clone(), end.clone());
                let Ok(stream) = stream else { continue };
                std::thread::spawn(move || Answer { stream, dice, corrupts, end }.give(&lying));
            }
        });
        Self { address, closing, accepting: Some(accepting) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _wake = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

/// One answer.
struct Answer {
    stream: TcpStream,
    dice: Dice,
    corrupts: bool,
    end: std::sync::Arc<AtomicBool>,
}

impl Answer {
    fn give(mut self, lying: &[Lying; 2]) {
        // A client that goes away in the middle is as good as any.
        let _gone = self.answer(lying);
    }

    fn answer(&mut self, lying: &[Lying; 2]) -> io::Result<()> {
        let (path, from, until) = self.request()?;
        // Now and then it was changed meanwhile.
        let lying = &lying[usize::from(self.dice.roll(12) == 0)];
        let body = if path.ends_with(".chunks") { lying.list.as_bytes() } else { &lying.archive };
        let tag = match self.dice.roll(4) {
            0 => String::new(),
            1 => format!("etag: W/\"{}\"\r\n", lying.tag),
            _ => format!("etag: \"{}\"\r\n", lying.tag),
        };
        match self.dice.roll(20) {
            0 => self.status("503 Service Unavailable", "retry-after: 0\r\n"),
            1 => self.status("500 Internal Server Error", ""),
            2 => self.status("429 Too Many Requests", "retry-after: 1\r\n"),
            3 => self.status("302 Found", &format!("location: {path}\r\n")),
            4 => self.reset(),
            5 => {
                self.stall();
                Ok(())
            }
            _ => self.bytes(body, from, until, &tag),
        }
    }

    /// The path, the first byte that is asked for, and the one behind the last.
    fn request(&mut self) -> io::Result<(String, usize, Option<usize>)> {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            text.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&text).to_lowercase();
        let path = text.split(' ').nth(1).unwrap_or("/").to_owned();
        let range = text.lines().find_map(|line| line.strip_prefix("range: bytes=")?.split_once('-'));
        let number = |text: &str| text.parse::<usize>().ok();
        let (from, last) = range.map_or((None, None), |(from, last)| (number(from), number(last)));
        Ok((path, from.unwrap_or(0), last.map(|last| last + 1)))
    }

    fn status(&mut self, status: &str, headers: &str) -> io::Result<()> {
        write!(self.stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n{headers}\r\n")
    }

    /// What is asked for, or not quite, and maybe not to its end.
    fn bytes(&mut self, body: &[u8], from: usize, until: Option<usize>, tag: &str) -> io::Result<()> {
        let knows_ranges = self.dice.roll(8) != 0;
        let from = if knows_ranges && from <= body.len() { from } else { 0 };
        // Now and then it sends more than it was asked for.
        let until = until.filter(|until| knows_ranges && *until <= body.len() && self.dice.roll(12) != 0);
        let part = from > 0 || until.is_some();
        let (first, size, until) = (from, body.len(), until.unwrap_or(body.len()).max(from));
        let mut sent = body[from..until].to_vec();
        let mut length = sent.len() as u64;
        let mut range = format!("content-range: bytes {first}-{}/{size}\r\n", until.saturating_sub(1));
        if self.corrupts {
            match self.dice.roll(14) {
                0 if !sent.is_empty() => {
                    let at = self.dice.roll(sent.len() as u64) as usize;
                    sent[at] ^= 1 << self.dice.roll(8);
                }
                1 => sent.extend([7; 1000]),
                2 => {
                    sent.extend([7; 1000]);
                    length += 1000;
                }
                3 => length = length.saturating_sub(self.dice.roll(5000)),
                4 => range = format!("content-range: bytes {}-{}/{size}\r\n", first + 1, until - 1),
                5 => range.clear(),
                _ => {}
            }
        }
        let status = if part { "206 Partial Content" } else { "200 OK" };
        let range = if part { &range } else { "" };
        let length =
            if self.dice.roll(12) == 0 { String::new() } else { format!("content-length: {length}\r\n") };
        // Without a length nobody could tell a connection that broke from the end.
        let (pieces, length) = if length.is_empty() {
            (true, "transfer-encoding: chunked\r\n".to_owned())
        } else {
            (false, length)
        };
        write!(self.stream, "HTTP/1.1 {status}\r\nconnection: close\r\n{length}{range}{tag}\r\n")?;
        let cut = self.dice.roll(sent.len() as u64 + 1) as usize;
        let fault = self.dice.roll(9);
        let until = if fault < 4 { cut } else { sent.len() };
        let trickles = fault == 8 && until > 2000;
        if pieces {
            write!(self.stream, "{:x}\r\n", sent.len())?;
        }
        if trickles {
            for byte in &sent[..40] {
                self.stream.write_all(&[*byte])?;
                self.stream.flush()?;
            }
            self.stream.write_all(&sent[40..until])?;
        } else {
            self.stream.write_all(&sent[..until])?;
        }
        match fault {
            0 => self.reset(),
            1 => {
                self.stall();
                Ok(())
            }
            // Closed, in the middle.
            2 | 3 => Ok(()),
            _ if pieces => self.stream.write_all(b"\r\n0\r\n\r\n"),
            _ => Ok(()),
        }
    }

    /// Says nothing more, until the client is gone or the test over.
    fn stall(&mut self) {
        let _set = self.stream.set_read_timeout(Some(Duration::from_millis(50)));
        while !self.end.load(Ordering::SeqCst) {
            match self.stream.read(&mut [0; 16]) {
                Ok(0) => return,
                Err(e) if !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return,
                _ => {}
            }
        }
    }

    /// RST in place of FIN.
    fn reset(&mut self) -> io::Result<()> {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).map_err(io::Error::from)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Whole,
    Failed,
}

/// What every run needs, made once.
struct Lab {
    dir: tempfile::TempDir,
    /// Compressed, with a checksum in each frame; and plain, where a wrong byte is seen by nobody but a digest.
    lying: [std::sync::Arc<[Lying; 2]>; 2],
    trees: [Tree; 2],
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let packed = [Lying::of(dir.path(), 1, "one"), Lying::of(dir.path(), 2, "two")];
        let plain = [0, 1].map(|version: usize| packed[version].plain());
        let lying = [packed, plain].map(std::sync::Arc::new);
        let trees = [1, 2].map(|salt| tree(&dir.path().join(format!("source-{salt}"))));
        Self { dir, lying, trees }
    }

    /// As a boot has it.
    fn plan(&self, archive: Artifact) -> bootjack::plan::RootPlan {
        let size = RootSize::Bytes(64 << 20);
        let (init, init_args, modules, fstab) = (None, vec![], None, Fstab::default());
        let boot = Boot::SwitchRoot(Box::new(Root { archive, size, init, init_args, modules, fstab }));
        let entry = Entry::new("root", "Root", boot);
        match plan(&entry, &Machine::probe()).unwrap().step {
            Step::SwitchRoot(plan) => *plan,
            step => panic!("{step:?}"),
        }
    }

    /// One fetch, with all that goes wrong in it.
    fn run(&self, seed: u64) -> Result<(End, u32), String> {
        let mut dice = Dice(seed);
        let (held, lying) = (dice.roll(4), &self.lying[dice.roll(2) as usize]);
        let servers: Vec<Faulty> = (0..=dice.roll(3))
            .map(|_| Faulty::start(lying.clone(), &Dice(dice.roll(u64::MAX)), held > 0))
            .collect();
        let locations = servers.iter().map(|server| at(&server.url("/root.tar.zst"))).collect();
        let right = &lying[0];
        let sha256 = (held == 1 || held == 2).then(|| Sha256::of(&right.archive));
        let chunks = (held >= 2).then(|| Sha256::of(right.list.as_bytes()));
        let size = (dice.roll(2) == 0 && held > 0).then_some(right.archive.len() as u64);
        let trust = Trust::of(sha256, chunks.clone());
        let connections = [1, 2, 3, 4, 8][dice.roll(5) as usize];
        let artifact = Artifact {
            locations,
            trust,
            chunks,
            pins: vec![],
            connections,
            size,
            unpacked: None,
            entries: None,
            drivers: None,
        };
        // Now and then whoever takes a moment counts as slow.
        let pace = match dice.roll(3) {
            0 => Pace { least: 64 << 20, over: Duration::from_millis(5) },
            _ => Pace::default(),
        };
        let fetcher = Fetcher::new(&Config { pace, ..Config::default() }).unwrap();
        let on = |_: Report| ControlFlow::Continue(());
        let loader = Loader { fetcher: &fetcher, retry_for: Duration::from_millis(2500), on: &on };
        let at = self.dir.path().join(format!("root-{seed}"));
        let done = load_root_at(&at, &self.plan(artifact), "root", &loader);
        match done {
            Ok((root, came)) => {
                let got = tree(&at);
                drop(root);
                // With nothing to hold it against, the other version is as good, but never a mixture.
                let good = if held > 0 { &self.trees[..1] } else { &self.trees[..] };
                match good.contains(&got) {
                    true => Ok((End::Whole, came.artifacts[0].retries)),
                    false => Err(format!("held against {held}: another tree came to be")),
                }
            }
            Err(LoadError::Failed(failure)) if failure.cause.is_empty() => Err("no cause".into()),
            // Its tmpfs is gone, with all that was in it.
            Err(LoadError::Failed(_)) => match tree(&at).is_empty() {
                true => Ok((End::Failed, 0)),
                false => Err("something is left of a root that failed".into()),
            },
            Err(LoadError::Stopped) => Err("nobody stopped it".into()),
        }
    }
}

#[test]
fn whatever_a_network_does_the_tree_is_right_or_there_is_none() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seeds = match number("BOOTJACK_FAULT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BOOTJACK_FAULTS").unwrap_or(100),
    };
    let lab = Lab::new();
    let (next, ends, retries) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()), AtomicUsize::new(0));
    let wrong = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        // Most of the time is waiting.
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(seed) = seeds.clone().nth(next.fetch_add(1, Ordering::SeqCst)) {
                    let (done, finished) = channel();
                    let watch = std::thread::spawn(move || {
                        if finished.recv_timeout(HANGS) == Err(RecvTimeoutError::Timeout) {
                            eprintln!("seed {seed}: it hangs");
                            std::process::abort();
                        }
                    });
                    let end = lab.run(seed);
                    let () = done.send(()).unwrap();
                    watch.join().unwrap();
                    match end {
                        Ok((end, tries)) => {
                            *ends.lock().unwrap().entry(end).or_insert(0_usize) += 1;
                            retries.fetch_add(tries as usize, Ordering::SeqCst);
                        }
                        Err(why) => wrong.lock().unwrap().push(format!("seed {seed}: {why}")),
                    }
                }
            });
        }
    });
    let (wrong, ends, retries) =
        (wrong.into_inner().unwrap(), ends.into_inner().unwrap(), retries.into_inner());
    println!("{ends:?}, {retries} tries more than runs");
    assert!(wrong.is_empty(), "BOOTJACK_FAULT_SEED=… runs one of them:\n{}", wrong.join("\n"));
    // Dice that never fail, or always do, would show nothing.
    if seeds.end - seeds.start >= 100 {
        assert!(ends.len() == 2 && retries > 50, "{ends:?} {retries}");
    }
}
