//! Archives that never end, or become more than anybody has room for: each ends by its limit, in time and in bounded
//! memory. One process each, so that its memory is its own.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tar_core::EntryType;

use bootjack::archive::{self, Limits, Progress};

use super::records::filter;
use crate::archive::{directory, file, member, pax};
use crate::cpio::{linked, part};
use crate::trees::Mount;

/// What a boot of a small machine would allow.
const LIMITS: Limits = Limits { bytes: 64 << 20, entries: 100_000 };

/// Long enough for a busy machine; what does not end by itself is stopped then, and said to be.
const LONG: Duration = Duration::from_secs(120);

/// Of anonymous memory: the buffers, a decoder's window, and what is noted until the end.
const MEMORY: u64 = 100;

/// An archive, and what ends it.
struct Case {
    name: &'static str,
    bytes: fn() -> Box<dyn Read + Send>,
    ends: &'static str,
}

const MEMBERS: u64 = 10_000_000;

const CASES: &[Case] = &[
    Case {
        name: "ten million files of tar",
        bytes: || each(|n| (n < MEMBERS).then(|| file(&format!("f{n}"), b""))),
        ends: "f100000: more than 100000 members",
    },
    Case {
        name: "ten million files of one name",
        bytes: || each(|n| (n < MEMBERS).then(|| file("f", b""))),
        ends: "f: more than 100000 members",
    },
    Case {
        name: "ten million files of cpio",
        bytes: || each(|n| (n < MEMBERS).then(|| linked(&format!("f{n}"), 0o100_644, 1, 1, b""))),
        ends: "f100000: more than 100000 members",
    },
    Case {
        name: "directories nobody asked for",
        bytes: || each(|n| (n < MEMBERS).then(|| file(&format!("{n}/a/b/c/d/e/f/g/h"), b""))),
        ends: "more than 100000 members",
    },
    Case {
        name: "one directory over and over, with a name as long as there can be",
        bytes: || {
            let long = ["d"; 2047].join("/");
            let again = [pax(EntryType::XHeader, &[("path", long.as_bytes())]), directory("d")].concat();
            each(move |n| (n < MEMBERS).then(|| again.clone()))
        },
        ends: "more than 16 MiB of names of directories",
    },
    Case {
        name: "to and fro between directories five hundred levels deep",
        bytes: || {
            let deep = |top: &str| format!("{top}/{}", ["d"; 500].join("/"));
            let two = [deep("a"), deep("b")].map(|name| linked(&name, 0o120_777, 1, 1, b"x"));
            each(move |n| (n < MEMBERS).then(|| two[n as usize % 2].clone()))
        },
        ends: "more than 100000 members",
    },
    Case {
        name: "first names of files that have no second",
        bytes: || {
            let long = ["d"; 2000].join("/");
            each(move |n| (n < MEMBERS).then(|| linked(&long, 0o100_644, n as u32, 2, b"")))
        },
        ends: "more than 64 MiB of names of files that have several",
    },
    Case {
        name: "headers for all members, and no member",
        bytes: || {
            let global = pax(EntryType::XGlobalHeader, &[("comment", &[b'x'; 100_000])]);
            each(move |_| Some(global.clone()))
        },
        ends: "more than 1 GiB that belongs to no member",
    },
    Case {
        name: "headers for one member, which does not come",
        bytes: || {
            let own = pax(EntryType::XHeader, &[("comment", &[b'x'; 1000])]);
            each(move |_| Some(own.clone()))
        },
        ends: "the archive is damaged at byte",
    },
    Case {
        name: "a label that goes on for ever",
        bytes: || {
            let mut label = member(EntryType::Other(b'V'), "label", "", b"");
            // Base 256: 2^62 bytes.
            label[124..136].copy_from_slice(b"\x80\0\0\0\x40\0\0\0\0\0\0\0");
            summed(&mut label);
            each(move |n| Some(if n == 0 { label.clone() } else { vec![0; 1 << 16] }))
        },
        ends: "more than 1 GiB that belongs to no member",
    },
    Case {
        name: "zeros behind a cpio archive",
        bytes: || {
            each(|n| {
                Some(if n == 0 { part(&[linked("f", 0o100_644, 1, 1, b"x")]) } else { vec![0; 1 << 16] })
            })
        },
        ends: "more than 1 GiB of zeros after a trailer, or more than 16384 parts",
    },
    Case {
        name: "parts of cpio without end",
        bytes: || each(|_| Some(part(&[]))),
        ends: "more than 1 GiB of zeros after a trailer, or more than 16384 parts",
    },
    Case { name: "gzip of zeros", bytes: || bomb(&["gzip", "-9"]), ends: "f: no space left after 0 MiB" },
    Case { name: "xz of zeros", bytes: || bomb(&["xz", "-6"]), ends: "f: no space left after 0 MiB" },
    Case { name: "zstd of zeros", bytes: || bomb(&["zstd", "-q"]), ends: "f: no space left after 0 MiB" },
    Case { name: "bzip2 of zeros", bytes: || bomb(&["bzip2", "-9"]), ends: "f: no space left after 0 MiB" },
    Case { name: "lz4 of zeros", bytes: || bomb(&["lz4", "-q"]), ends: "f: no space left after 0 MiB" },
    Case { name: "xz that goes on", bytes: || goes_on(&["xz", "-1"]), ends: ZEROS },
    Case { name: "zstd that goes on", bytes: || goes_on(&["zstd", "-q"]), ends: ZEROS },
    Case { name: "gzip in gzip", bytes: || nested(&["gzip"]), ends: "this is gzip inside gzip, not a tar" },
    Case {
        name: "zstd in zstd",
        bytes: || nested(&["zstd", "-q"]),
        ends: "this is zstd inside zstd, not a tar",
    },
    Case {
        name: "zstd with a window of 2 TiB",
        bytes: || Box::new(&b"\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00"[..]),
        ends: "decoding zstd: it asks for a window of 2097152 MiB",
    },
    Case {
        // Each as large as may be on its own, one after the other: the memory of one is that of the next.
        name: "zstd windows in a row",
        bytes: || {
            let frame = filter(&["zstd", "-q", "--long=26", "--no-check"], &[0; 1000]);
            // What follows a frame must be one; what is in them is zeros, the end of an archive.
            each(move |n| (n < 100_000).then(|| frame.clone()))
        },
        ends: "",
    },
    Case {
        name: "gzip members with nothing in them",
        bytes: || {
            let nothing = filter(&["gzip", "-9"], b"");
            each(move |n| (n < 200_000).then(|| nothing.clone()))
        },
        ends: "more than 16384 times a gzip member with nothing in it",
    },
    Case {
        name: "xz streams with nothing in them",
        bytes: || {
            let nothing = filter(&["xz"], b"");
            each(move |n| (n < 200_000).then(|| nothing.clone()))
        },
        ends: "more than 16384 times a xz stream with nothing in it",
    },
    Case {
        name: "bzip2 streams with nothing in them",
        bytes: || {
            let nothing = filter(&["bzip2"], b"");
            each(move |n| (n < 200_000).then(|| nothing.clone()))
        },
        ends: "more than 16384 times a bzip2 stream with nothing in it",
    },
    Case {
        name: "lz4 frames with nothing in them",
        bytes: || {
            let nothing = filter(&["lz4", "-q"], b"");
            each(move |n| (n < 200_000).then(|| nothing.clone()))
        },
        ends: "this is nothing (0 bytes) inside lz4, not a tar",
    },
];

const ZEROS: &str = "more than 1 GiB of zeros after the archive's end marker";

/// The bytes of one piece after the other, until there is none.
struct Pieces<F>(F, u64, io::Cursor<Vec<u8>>);

fn each(piece: impl FnMut(u64) -> Option<Vec<u8>> + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(Pieces(piece, 0, io::Cursor::default()))
}

impl<F: FnMut(u64) -> Option<Vec<u8>>> Read for Pieces<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.2.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            let Some(next) = (self.0)(self.1) else { return Ok(0) };
            (self.1, self.2) = (self.1 + 1, io::Cursor::new(next));
        }
    }
}

fn summed(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A file of 8 TiB that is all zeros, in a stream of a few KiB and the same again and again.
fn bomb(command: &[&str]) -> Box<dyn Read + Send> {
    let mut header = file("f", b"");
    header[124..136].copy_from_slice(b"\x80\0\0\0\0\0\x08\0\0\0\0\0");
    summed(&mut header);
    let (first, zeros) = (filter(command, &header), filter(command, &vec![0; 16 << 20]));
    each(move |n| Some(if n == 0 { first.clone() } else { zeros.clone() }))
}

/// A whole archive, and behind its end what never ends.
fn goes_on(command: &[&str]) -> Box<dyn Read + Send> {
    let (first, zeros) = (filter(command, &file("f", b"x")), filter(command, &vec![0; 16 << 20]));
    each(move |n| Some(if n == 0 { first.clone() } else { zeros.clone() }))
}

fn nested(command: &[&str]) -> Box<dyn Read + Send> {
    Box::new(io::Cursor::new(filter(command, &filter(command, &vec![0; 16 << 20]))))
}

const WHICH: &str = "BOOTJACK_TEST_ENDLESS";

#[test]
#[ignore = "part of every_archive_ends_by_its_limit_in_time_and_memory, which starts it as a process of its own"]
fn one_of_them() {
    let which = std::env::var(WHICH).expect("which archive is said by who starts this");
    let case = CASES.iter().find(|case| case.name == which).expect("an archive of this name");
    let target = Mount::tmpfs("mode=0755,nr_inodes=0");
    let begun = Instant::now();
    let go_on = |_: Progress| match begun.elapsed() < LONG {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let mut bytes = (case.bytes)();
    let made = archive::unpack(&mut bytes, target.fd().as_fd(), &LIMITS, &go_on);
    // Behind a mark, because the harness prints, too.
    println!("\nsaid: {}", made.map_or_else(|e| e.to_string(), |made| format!("{made:?}")));
}

#[test]
fn every_archive_ends_by_its_limit_in_time_and_memory() {
    for case in CASES {
        let begun = Instant::now();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile::endless::one_of_them", "--ignored", "--nocapture"])
            .env(WHICH, case.name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let most = AtomicU64::new(0);
        let said = std::thread::scope(|scope| {
            let out = child.stdout.take().unwrap();
            let said = scope.spawn(move || io::read_to_string(out).unwrap());
            while child.try_wait().unwrap().is_none() {
                most.fetch_max(anonymous(child.id()), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
            said.join().unwrap()
        });
        let (most, seconds) = (most.into_inner(), begun.elapsed().as_secs_f64());
        eprintln!("{}: {seconds:.1} s, {most} MiB", case.name);
        let told = said.lines().find_map(|line| line.strip_prefix("said: "));
        let told = told.unwrap_or_else(|| panic!("{}: {said}", case.name));
        assert!(told.contains(case.ends), "{}: {told:?} lacks {:?}", case.name, case.ends);
        assert!(most <= MEMORY, "{}: {most} MiB", case.name);
    }
}

/// MiB of anonymous memory that a process has now.
fn anonymous(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    field.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) >> 10
}
