//! Records that mean to say more than they may, sizes that lie, sums that are wrong.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use tar_core::EntryType;

use super::Beside;
use crate::archive::{file, member, pax, tar};
use crate::cpio::{linked, part};

/// A pax header with these very bytes for records.
fn raw(records: &[u8]) -> Vec<u8> {
    member(EntryType::XHeader, "././@PaxHeader", "", records)
}

fn own(records: &[(&str, &[u8])]) -> Vec<u8> {
    pax(EntryType::XHeader, records)
}

#[test]
fn what_is_in_a_value_is_no_record() {
    // Whoever splits at newlines, and not by length, takes the name for one of these.
    let value = b"x\n21 path=../canary/v\n30 linkpath=../canary/victim\n\0";
    let members = [own(&[("SCHILY.xattr.trusted.v", value), ("comment", value)]), file("f", b"inside")];
    let beside = Beside::new();
    beside.unpack(&tar(&members)).unwrap();
    assert_eq!(beside.read("f"), "inside");
    let mut stored = [0; 100];
    let length = rustix::fs::getxattr(beside.tree().join("f"), "trusted.v", &mut stored).unwrap();
    assert_eq!(&stored[..length], value);
}

#[test]
fn a_record_may_name_nothing_outside() {
    for (records, want) in [
        (&[("path", &b"../canary/victim"[..])][..], "../canary/victim: `..` in the name"),
        (&[("path", b"a\0b")], "a\\u{0}b: a NUL byte in the name"),
        (&[("path", b"d/\x1b[2J/../../x")], "d/\\u{1b}[2J/../../x: `..` in the name"),
        (&[("SCHILY.xattr.", b"v")], "f: an extended attribute without a usable name"),
        (&[("SCHILY.xattr.trusted.a\0b", b"v")], "f: an extended attribute without a usable name"),
        (&[("uid", b"-1")], "f: the pax record uid is \"-1\", not a number"),
        (&[("uid", b"4294967295")], "f: owner number 4294967295 is not one Linux has"),
        (&[("mtime", b"now\n")], "f: the pax time \"now\\n\" is not a number of seconds"),
        (&[("size", b"0x10")], "f: the pax record size is \"0x10\", not a number"),
        (&[("SCHILY.acl.access", b"user::rwx\x1b[2J")], "f: the ACL entry "),
    ] {
        let told = Beside::new().refused(&tar(&[own(records), file("f", b"!")]));
        assert!(told.starts_with(want), "{told:?}, not {want:?}");
    }
    let sparse = own(&[("GNU.sparse.name", b"../x"), ("GNU.sparse.realsize", b"9")]);
    assert_eq!(Beside::new().refused(&tar(&[sparse, file("f", b"")])), "../x: `..` in the name");
    let told = Beside::new()
        .refused(&tar(&[own(&[("linkpath", b"../canary/victim")]), member(EntryType::Link, "h", "f", b"")]));
    assert_eq!(told, "h: hard link to ../canary/victim: `..` in the name");
    // For all members at once there is neither a name nor a size, nor an attribute.
    for key in ["path", "linkpath", "size", "SCHILY.xattr.security.capability", "SCHILY.\n\x1b[2J"] {
        let told =
            Beside::new().refused(&tar(&[pax(EntryType::XGlobalHeader, &[(key, b"9")]), file("f", b"!")]));
        assert!(told.contains("a global pax header with "), "{told:?}");
    }
}

#[test]
fn records_that_are_no_records_are_refused() {
    for records in [
        &b"99 path=x\n"[..],
        b"3 path=x\n",
        b"0 path=x\n",
        b"-9 path=x\n",
        b"9999999999999999999999 path=x\n",
        b"18446744073709551615 path=x\n",
        b"9 path=xx",
        b"10 path\nxx\n",
        b"6 =x\n\n",
        b"\n\n\n",
        b"path=x\n",
        b"8 path=\n 9 path=x\n",
        &[0; 30],
    ] {
        let told = Beside::new().refused(&tar(&[raw(records), file("f", b"!")]));
        assert!(told.contains("pax record") || told.contains("is damaged"), "{records:?}: {told}");
    }
}

/// A header field with these bytes, and the right sum.
fn with_field(mut member: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    member[at..at + bytes.len()].copy_from_slice(bytes);
    member[148..156].fill(b' ');
    let sum: u32 = member[..512].iter().map(|b| u32::from(*b)).sum();
    member[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    member
}

const SIZE: usize = 124;

#[test]
fn a_size_that_lies_is_refused_before_it_costs_anything() {
    let size = |bytes: &[u8]| with_field(file("f", b"data"), SIZE, bytes);
    for (field, want) in [
        // Larger than what follows, and than there is room for.
        (&b"00000100000\0"[..], "f: the archive ends inside this member"),
        (b"77777777777\0", "f: no space left after 0 MiB"),
        (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", "f: no space left after 0 MiB"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "the archive is damaged at byte 0"),
        (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "the archive is damaged at byte 0"),
        (b"-0000000001\0", "the archive is damaged at byte 0"),
        (b"0000000000x\0", "the archive is damaged at byte 0"),
    ] {
        let beside = Beside::new();
        let error = beside.unpack(&tar(&[size(field)])).unwrap_err().to_string();
        assert!(error.starts_with(want), "{field:?}: {error:?}");
    }
    // Smaller: what is left of the data is no header.
    let told = Beside::new().refused(&tar(&[with_field(file("f", &[b'x'; 1024]), SIZE, b"00000000777\0")]));
    assert!(told.contains("after member f: "), "{told}");
    let record = |size: &[u8]| tar(&[own(&[("size", size)]), file("f", b"data")]);
    for (size, want) in
        [(&b"18446744073709551615"[..], "f: no space left"), (b"18446744073709551616", "is damaged at byte")]
    {
        let error = Beside::new().unpack(&record(size)).unwrap_err().to_string();
        assert!(error.contains(want) || error.contains("f: "), "{size:?}: {error:?}");
    }
    // cpio: to its end, and no further.
    let mut lies = linked("f", 0o100_644, 1, 1, b"data");
    lies[54..62].copy_from_slice(b"ffffffff");
    let error = Beside::new().unpack(&part(&[lies.clone()])).unwrap_err().to_string();
    assert!(error.starts_with("f: no space left after 0 MiB"), "{error}");
    lies[54..62].copy_from_slice(b"00100000");
    assert!(Beside::new().refused(&part(&[lies])).starts_with("f: the archive ends inside this member"));
}

#[test]
fn a_sparse_file_that_lies_is_refused_or_costs_nothing() {
    let sparse = |real: &[u8], map: &[u8], data: &[u8]| {
        let mut bytes = map.to_vec();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes.extend_from_slice(data);
        let records: &[(&str, &[u8])] = &[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"s"),
            ("GNU.sparse.realsize", real),
        ];
        tar(&[own(records), file("stand-in", &bytes)])
    };
    for (what, archive, want) in [
        ("outside", sparse(b"100", b"1\n99\n2\n", b"xx"), "outside the sparse file of 100 bytes"),
        ("overlap", sparse(b"100", b"2\n0\n9\n5\n2\n", &[b'x'; 11]), "overlap"),
        ("descending", sparse(b"100", b"2\n50\n1\n0\n1\n", b"xx"), "overlap"),
        ("wraps", sparse(b"100", b"1\n18446744073709551615\n9\n", &[b'x'; 9]), "s: "),
        ("too little data", sparse(b"100", b"1\n0\n50\n", b"xx"), "s: "),
        ("too much data", sparse(b"100", b"1\n0\n1\n", b"xxxxx"), "s: "),
        ("no numbers", sparse(b"100", b"one\n0\n1\n", b"x"), "stand-in: ../../"),
        ("a map without end", sparse(b"100", b"999999999999\n0\n1\n", b"x"), "damaged"),
    ] {
        let told = Beside::new().refused(&archive);
        assert!(told.contains(want) || told.contains("damaged"), "{what}: {told}");
    }
    // As long as a file can be, with nothing in it: no page is taken.
    let beside = Beside::new();
    let made = beside.unpack(&sparse(b"9000000000000", b"1\n0\n1\n", b"x")).unwrap();
    let meta = beside.tree().join("s").metadata().unwrap();
    assert_eq!((meta.len(), meta.blocks(), made.bytes), (9_000_000_000_000, 8, 4096));
    // Longer than that.
    let error = beside.unpack(&sparse(b"18446744073709551615", b"1\n0\n1\n", b"x")).unwrap_err().to_string();
    assert!(error.starts_with("s: "), "{error}");
}

/// What a tool makes of its standard input.
pub fn filter(command: &[&str], input: &[u8]) -> Vec<u8> {
    let mut tool = Command::new(command[0]);
    let mut child = tool.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

#[test]
fn a_wrong_sum_behind_good_data_is_seen_in_every_compression() {
    let plain = tar(&[file("f", &crate::trees::noise(3000))]);
    // Where the last sum stands, counted from the end: CRC-32 and length; check before index and footer; the sum of all
    // blocks, which ends in the middle of a byte; the content's; the frame's.
    for (command, from_end) in [
        (&["gzip"][..], 8),
        (&["gzip"], 4),
        (&["xz", "-C", "crc32"], 28),
        (&["xz", "-C", "crc64"], 32),
        (&["xz", "-C", "sha256"], 40),
        (&["bzip2"], 3),
        (&["zstd", "-q"], 4),
        (&["lz4", "-q"], 4),
    ] {
        let good = filter(command, &plain);
        Beside::new().unpack(&good).unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut wrong = good.clone();
        let at = wrong.len() - from_end;
        wrong[at] ^= 0x10;
        let told = Beside::new().refused(&wrong);
        let name = command[0];
        assert!(told.starts_with(&format!("decoding {name}: ")), "{command:?}: {told}");
        // The program says so, too, and the whole tree is gone, though every byte of it was right.
        if from_end == 4 {
            let said = Beside::new().refused_by_the_program(&wrong);
            assert!(said.contains(&format!("decoding {name}: ")), "{said}");
        }
    }
}
