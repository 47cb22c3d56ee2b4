//! What each fuzz target does with its bytes, and what must hold whatever they are: no panic, no wait, no word on a
//! terminal that moves its cursor, nothing touched that is not the target's. The integration tests include this file and
//! replay `fuzz/corpus` with it, so that a target cannot drift from its replay.

use std::cell::Cell;
use std::fs::File;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bootjack::archive::{self, HEAD, Image, Limits, Progress, UnpackError};
use bootjack::catalog;
use bootjack::cmdline::{Params, Second, SecondRoot, consoles_of, init_args};
use bootjack::commands::boot::handoff::Handoff;
use bootjack::commands::boot::report::Report;
use bootjack::fetch::Location;
use bootjack::net::{self, Method};
use bootjack::verify::chunks::{ChunkList, MOST_CHUNK};
use bootjack::volumes;

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("tar", tar),
    ("cpio", cpio),
    ("unpack", unpack),
    ("catalog", catalog),
    ("chunks", chunks),
    ("cmdline", cmdline),
    ("ip", ip),
    ("handoff", handoff),
    ("superblock", superblock),
];

/// A tar archive, compressed or not, is read to its end.
pub fn tar(data: &[u8]) {
    survey(&mended(data));
}

/// A cpio archive, compressed or not, is read to its end.
pub fn cpio(data: &[u8]) {
    survey(data);
}

/// A chunk list is read, and what was read is the same when it is written and read again.
pub fn chunks(data: &[u8]) {
    let list = match ChunkList::parse(data) {
        Ok(list) => list,
        Err(why) => return one_line(&why.to_string()),
    };
    let mut next = 0;
    for chunk in list.chunks() {
        assert!(chunk.offset == next && (1..=MOST_CHUNK).contains(&chunk.length), "{chunk:?} after {next}");
        next = chunk.range().end;
    }
    assert_eq!(next, list.total());
    let (_, text) = ChunkList::of(list.chunks().iter().map(|chunk| (chunk.length, chunk.sha256.clone())));
    let again = ChunkList::parse(text.as_bytes()).expect("what was written is read");
    assert_eq!(again.chunks(), list.chunks());
}

/// A small bomb must not keep the others waiting: 100 buffers are 50 MiB of plain bytes.
const MOST_TICKS: u32 = 100;

fn survey(mut data: &[u8]) {
    let ticks = Cell::new(0);
    let go_on = |_: Progress| {
        ticks.set(ticks.get() + 1);
        if ticks.get() < MOST_TICKS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    if let Err(e) = archive::survey(&mut data, &go_on) {
        one_line(&e.to_string());
    }
}

/// A tar or cpio archive becomes a tree in a small tmpfs, and nothing beside it changes.
pub fn unpack(data: &[u8]) {
    let place = Place::new();
    let before = beside(&place.canary);
    let target = File::open(&place.target).expect("a directory that was just made opens");
    let limits = Limits { bytes: 1 << 20, entries: 300 };
    let made = archive::unpack_with(0, &mut &mended(data)[..], target.as_fd(), &limits, &|_| {
        ControlFlow::Continue(())
    });
    match made {
        Ok(made) => assert!(made.bytes <= limits.bytes && made.entries <= limits.entries, "{made:?}"),
        // Who reads from memory is never at fault.
        Err(e @ UnpackError::Read(_)) => panic!("{e}"),
        Err(e) => one_line(&e.to_string()),
    }
    assert_eq!(beside(&place.canary), before, "something beside the tree was touched");
    let top: Vec<_> = place.dir.path().read_dir().expect("a tmpfs lists").flatten().collect();
    assert_eq!(top.len(), 2, "something was made beside the tree");
}

/// Where a tree is made, and what is beside it. Gone with the value, however it came to be.
struct Place {
    dir: tempfile::TempDir,
    target: PathBuf,
    canary: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("fuzz", dir.path(), "tmpfs", flags, c"mode=0755,size=8m")
            .expect("unpacking is tried on a tmpfs: run this as root");
        let (target, canary) = (dir.path().join("target"), dir.path().join("canary"));
        std::fs::create_dir(&target).expect("a tmpfs has room");
        std::fs::create_dir(&canary).expect("a tmpfs has room");
        std::fs::write(canary.join("file"), b"as before").expect("a tmpfs has room");
        Self { dir, target, canary }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        rustix::mount::unmount(self.dir.path(), rustix::mount::UnmountFlags::DETACH).expect("it was mounted");
    }
}

/// All that changes when something is written, linked, renamed, made or given to another owner.
fn beside(canary: &Path) -> (Vec<[i64; 8]>, Vec<u8>, usize) {
    let facts = |path: &Path| {
        let meta = path.symlink_metadata().expect("the canary is there");
        let (mode, links, uid, gid) = (meta.mode().into(), meta.nlink() as i64, meta.uid(), meta.gid());
        let change = (meta.ctime(), meta.ctime_nsec());
        [mode, links, uid.into(), gid.into(), meta.mtime(), meta.mtime_nsec(), change.0, change.1]
    };
    let file = canary.join("file");
    let data = std::fs::read(&file).expect("the canary is there");
    (vec![facts(canary), facts(&file)], data, canary.read_dir().expect("it lists").count())
}

/// The same with right sums in the headers of a plain tar archive: chance does not find them.
fn mended(data: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut archive = data.to_vec();
    if archive.get(257..262) != Some(b"ustar") {
        return archive;
    }
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + BLOCK) {
        if header.iter().any(|byte| *byte != 0) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
        let size = std::str::from_utf8(&header[124..135]).ok();
        let size = size.and_then(|octal| usize::from_str_radix(octal.trim_matches(' '), 8).ok());
        at += BLOCK + size.unwrap_or(0).next_multiple_of(BLOCK);
    }
    archive
}

/// What is said of bytes from anywhere goes to terminals: it must neither move their cursor nor look like two messages.
fn one_line(text: &str) {
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
}

/// The same of what may have several lines, and quotes one with its tabs.
fn lines(text: &str) {
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
}

/// A catalog, as it is read in a boot and shown by `check`.
pub fn catalog(data: &[u8]) {
    let base = Location::parse("http://10.0.0.1/boot/catalog.toml").expect("a good URL");
    let parsed = catalog::parse_bytes(data, &base, "catalog.toml");
    lines(&parsed.render());
    if let Some(catalog) = &parsed.catalog {
        assert!(catalog.default.is_none_or(|n| n < catalog.entries.len()));
        catalog.entries.iter().for_each(|entry| one_line(&entry.id));
    }
    let refused = parsed.catalog.is_none() || !parsed.refused.is_empty();
    assert_eq!(refused, parsed.has_errors(), "{}", parsed.render());
}

/// The kernel's command line, up to the first line's end; behind it, what a catalog writes for a second kernel.
pub fn cmdline(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (running, written) = text.split_once('\n').unwrap_or((&text, ""));
    let params = Params::parse(running).obeying(false);
    params.problems.iter().for_each(|problem| one_line(&problem.to_string()));
    let _whatever = (consoles_of(running), init_args(running, None));
    let root = SecondRoot {
        locations: vec!["http://10.0.0.1/root.tar.zst".into()],
        size: "60%".into(),
        ..SecondRoot::default()
    };
    let second = Second { written, running, orders: Some(&params), root: Some(root), ..Second::default() };
    let Ok(composed) = second.compose() else { return };
    // Whatever was written, the second stage is asked for this root and no other; what is wrong about the way to it (a
    // proxy) refuses it in words.
    match Params::parse(&composed).root {
        Some(Ok(root)) => {
            assert!(format!("{:?}", root.source).contains("10.0.0.1"), "{composed:?}: {root:?}")
        }
        Some(Err(problem)) => one_line(&problem.to_string()),
        None => panic!("no root is asked for: {composed:?}"),
    }
}

/// The words of the network, one a line.
pub fn ip(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pair = |line: &str| {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        (key.to_owned(), value.to_owned())
    };
    let words: Vec<_> = text.lines().map(pair).collect();
    let (config, problems) = net::Config::parse(&words);
    problems.iter().for_each(|problem| one_line(&problem.to_string()));
    for rule in &config.rules {
        if let Method::Static(by_hand) = &rule.method {
            assert!(by_hand.prefix <= 32, "{rule:?}");
        }
    }
    // Whatever names an interface becomes part of paths in /sys.
    let names = config.rules.iter().filter_map(|rule| rule.interface.as_deref());
    for name in names.chain(config.names.iter().map(|(name, _)| name.as_str())) {
        assert!(!name.is_empty() && !name.contains('/') && name != "." && name != "..", "{name:?}");
    }
}

fn has_fraction(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(number) => number.is_f64(),
        serde_json::Value::Array(values) => values.iter().any(has_fraction),
        serde_json::Value::Object(values) => values.values().any(has_fraction),
        _ => false,
    }
}

/// What a first stage leaves for the second.
pub fn handoff(data: &[u8]) {
    let Ok(handoff) = Handoff::parse(data) else { return };
    let again = handoff.bytes().expect("what was read can be written");
    let read = Handoff::parse(&again).expect("what was written can be read");
    // A number with a fraction may come back as its neighbour; the report, which is passed on as it is, has none of its own.
    assert!(read == handoff || has_fraction(&handoff.report), "{read:?} of {handoff:?}");
    let entry = handoff.entry();
    assert!(handoff.is_of(&entry));
    let report = Report::continue_from(Some(handoff.report.clone()));
    let value = report.value().expect("a report can be written");
    serde_json::to_string(&value).expect("a value is text");
}

/// Bytes of the image that [`superblock`] looks at: marks lie up to 64 KiB from its begin, and from its end.
const IMAGE: usize = 1 << 18;

/// An image of a disk: pieces of `offset` (3 bytes, little-endian), `length` (2 bytes) and so many bytes; zeros between.
pub fn superblock(data: &[u8]) {
    let (mut bytes, mut rest) = (vec![0; IMAGE], data);
    while let [a, b, c, d, e, behind @ ..] = rest {
        let at = u32::from_le_bytes([*a, *b, *c, 0]) as usize % IMAGE;
        let piece = &behind[..usize::from(u16::from_le_bytes([*d, *e])).min(behind.len())];
        let room = piece.len().min(IMAGE - at);
        bytes[at..at + room].copy_from_slice(&piece[..room]);
        rest = &behind[piece.len()..];
    }
    let _image = Image::of(&bytes[..HEAD]);
    let file = rustix::fs::memfd_create("image", rustix::fs::MemfdFlags::CLOEXEC).expect("memory");
    let mut file = File::from(file);
    file.write_all(&bytes).expect("memory");
    let found = volumes::inspect(file.try_clone().expect("a descriptor")).expect("memory can be read");
    if let Some(content) = found {
        assert!(content.devices >= 1 && !content.kind.is_empty());
        assert!(content.label.is_none_or(|label| !label.is_empty() && !label.contains('\0')));
        one_line(&content.uuid.unwrap_or("none".into()));
    }
    for partition in [0, 1, 2, 128, u64::MAX] {
        for sector in [512, 4096] {
            let file = file.try_clone().expect("a descriptor");
            let _names = volumes::partition_names(file, sector, partition).expect("memory can be read");
        }
    }
}
