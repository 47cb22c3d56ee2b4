//! zstd frames as `pack` makes them, which are decoded side by side, and as others make them, which are not: whatever
//! the frames are, the tree is that of the plain archive. Needs root.

use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::time::Instant;

use bootjack::archive::{self, Limits, UnpackError, Unpacked};

use crate::archive::{below, file, tar};
use crate::trees::{Mount, compare, look, noise};

/// Longer than any run on a busy machine takes, shorter than for ever.
const LONG: u64 = 120;

fn unpack(archive: &[u8], target: &Mount) -> Result<Unpacked, UnpackError> {
    let limits = Limits { bytes: u64::MAX, entries: u64::MAX };
    let begun = Instant::now();
    let go_on = |_| match begun.elapsed().as_secs() < LONG {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    archive::unpack_with(1, &mut &archive[..], target.fd().as_fd(), &limits, &go_on)
}

fn refused(archive: &[u8]) -> String {
    unpack(archive, &Mount::tmpfs("mode=0755")).expect_err("it should be refused").to_string()
}

/// A frame that says how much is in it.
fn told(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::Compressor::new(1)
        .and_then(|mut compressor| {
            compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
            compressor.compress(plain)
        })
        .unwrap()
}

/// One that does not.
fn untold(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 1).unwrap()
}

/// One that is passed over.
fn skipped(n: usize) -> Vec<u8> {
    [&[0x57, 0x2a, 0x4d, 0x18][..], &(n as u32).to_le_bytes(), &vec![7; n]].concat()
}

/// The plain bytes in frames of these lengths, the last of them as often as it takes.
fn framed(plain: &[u8], lengths: &[usize], frame: impl Fn(usize, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let (mut rest, mut out) = (plain, Vec::new());
    for number in 0.. {
        let length = lengths[number.min(lengths.len() - 1)];
        let (now, then) = rest.split_at(length.min(rest.len()));
        out.extend(frame(number, now));
        rest = then;
        if rest.is_empty() {
            break;
        }
    }
    out
}

/// More than all buffers hold, in files from nothing to more than a writer is handed at once.
fn large() -> Vec<u8> {
    let noise = noise(3 << 20);
    let state = &mut 42;
    let members = (0..140).map(|n| {
        let most = [3 << 20, 1 << 20, 200 << 10, 5000, 5000][n % 5];
        file(&format!("d{}/{n}", n % 7), &noise[..below(state, most) as usize])
    });
    tar(&members.collect::<Vec<_>>())
}

#[test]
fn frames_of_any_kind_and_size_make_the_same_tree() {
    let plain = large();
    assert!(plain.len() > 40 << 20, "{} bytes are less than the buffers", plain.len());
    let mib = 1 << 20;
    let known = |_, plain: &[u8]| told(plain);
    let mixed = |seed: u64| {
        let state = &mut (seed | 1);
        let lengths: Vec<usize> = (0..400)
            .map(|_| {
                let most = [2000, 70_000, 3 << 20, 12 << 20][below(state, 4) as usize];
                below(state, most) as usize + 1
            })
            .collect();
        framed(&plain, &lengths, |number, plain| match (number as u64 + seed) % 5 {
            4 => [skipped(number * 31), told(plain)].concat(),
            // Not at first, or all of it is decoded frame by frame.
            3 if number > 20 => untold(plain),
            _ => told(plain),
        })
    };
    let cases = [
        ("frames as large as a buffer", framed(&plain, &[4 * mib], known)),
        ("frames of 3 MiB", framed(&plain, &[3 * mib], known)),
        ("small frames", framed(&plain, &[600, 40_000], known)),
        ("a tiny one first", framed(&plain, &[100, 3 * mib], known)),
        ("tiny ones in the middle", framed(&plain, &[4 * mib, 1, 1, 1, 2, 700, 4 * mib], known)),
        ("nothing in one", [told(b""), told(&plain[..5000]), told(b""), told(&plain[5000..])].concat()),
        ("one too large", framed(&plain, &[2 * mib, 4 * mib + 1, 100, mib], known)),
        (
            "an untold one",
            framed(&plain, &[mib, 70_000], |n, plain| [told, untold][usize::from(n == 9)](plain)),
        ),
        ("untold ones", framed(&plain, &[70_000], |_, plain| untold(plain))),
        ("zeros behind it", [framed(&plain, &[4 * mib], known), vec![0; 5000]].concat()),
        ("mixed 1", mixed(1)),
        ("mixed 2", mixed(2)),
        ("mixed 3", mixed(3)),
    ];
    let seen = |archive: &[u8], name: &str| {
        let target = Mount::tmpfs("mode=0755");
        let done = unpack(archive, &target).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut tree = look(target.path());
        // Directories that are no members have the time they were made.
        tree.retain(|path, _| path.components().count() > 1);
        (done, tree)
    };
    let (wanted, tree) = seen(&plain, "plain");
    for (name, archive) in cases {
        let (done, got) = seen(&archive, name);
        assert_eq!(done, wanted, "{name}");
        compare(name, &got, &tree);
    }
}

#[test]
fn small_files_among_large_ones_keep_no_buffer_from_the_decoders() {
    let (small, large, middling) = (noise(1000), noise(3 << 20), noise(900_000));
    let mut members = Vec::new();
    for n in 0..40 {
        members.push(file(&format!("{n}.small"), &small));
        members.push(file(&format!("{n}.large"), if n < 20 { &large } else { &middling }));
    }
    let plain = tar(&members);
    let known = framed(&plain, &[4 << 20], |_, plain| told(plain));
    // From the third on one after the other, into what is at hand.
    let mixed =
        framed(&plain, &[4 << 20, 4 << 20, 10_000], |n, plain| [told, untold][usize::from(n > 1)](plain));
    for archive in [known, mixed] {
        let target = Mount::tmpfs("mode=0755");
        assert_eq!(unpack(&archive, &target).unwrap().entries, 80);
    }
}

#[test]
fn damage_in_one_of_many_frames_is_seen() {
    let plain = large();
    let archive = framed(&plain, &[1 << 20], |_, plain| told(plain));
    for at in [archive.len() / 3, archive.len() - 9] {
        let mut damaged = archive.clone();
        damaged[at] ^= 0x10;
        let message = refused(&damaged);
        assert!(message.contains("decoding zstd"), "{message}");
    }
    for cut in [7, 500, archive.len() / 2, archive.len() - 1] {
        let message = refused(&archive[..cut]);
        assert!(message.contains("ends too early"), "{cut}: {message}");
    }
    let message = refused(&[&archive[..], b"more"].concat());
    assert!(message.contains("other data after the zstd frame"), "{message}");
    // A frame that says more than is in it, and one that says less.
    let mut lies = told(&plain[..100_000]);
    assert_eq!(lies[4] >> 6, 2, "four bytes say the size");
    for (byte, by) in [(5, 0x80), (6, 0x01)] {
        lies[byte] ^= by;
        assert!(refused(&lies).contains("decoding zstd"), "{}", refused(&lies));
        lies[byte] ^= by;
    }
}

#[test]
fn frames_and_blocks_with_nothing_in_them_take_no_memory() {
    let plain = large();
    let nothing = told(b"").repeat(1 << 20);
    let archive =
        [&told(&plain[..1 << 20])[..], &nothing, &told(&plain[1 << 20..4 << 20]), &nothing].concat();
    assert!(refused(&archive).contains("the archive ends inside this member"), "{}", refused(&archive));
    // The header of a frame of 60,000 bytes, and blocks that are empty and never the last.
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0x60, (60_000_u16 - 256) as u8, ((60_000_u16 - 256) >> 8) as u8];
    let archive = [&header[..], &[0; 3].repeat(12 << 20)].concat();
    assert!(refused(&archive).contains("a frame that is larger than what is in it"), "{}", refused(&archive));
}

#[test]
fn what_is_in_small_frames_is_named_if_it_is_no_archive() {
    let page = b"<!DOCTYPE html>\n<title>404 Not Found</title>\n".repeat(40);
    assert!(
        refused(&told(&page)).starts_with("this is an HTML page inside zstd,"),
        "{}",
        refused(&told(&page))
    );
}
