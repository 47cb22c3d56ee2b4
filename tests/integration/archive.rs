//! Unpacking: what arrives is what GNU tar makes of the same archive; what is damaged or hostile is refused, and
//! nothing outside the root is ever touched. Needs root, GNU tar, bsdtar, gzip, zstd, xz,
//! bzip2, lz4, pixz, taskset and setfacl.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::makedev;
use tar_core::EntryType;
use tar_core::builder::{EntryBuilder, PaxBuilder};

use bootjack::archive::{self, Limits, Progress, UnpackError};

use crate::trees::{Mount, Room, Tree, allocated, compare, look, noise, plant, run, unpack};

const UNBOUND: Limits = Limits { bytes: u64::MAX, entries: u64::MAX };
const ATTRIBUTES: &[&str] = &["--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn gnu_unpack(archive: &Path, target: &Mount) {
    let args =
        [ATTRIBUTES, &["--same-owner", "-p", "-C", text(target.path()), "-xf", text(archive)]].concat();
    run("tar", &args);
}

#[test]
fn every_kind_of_entry_arrives_as_gnu_tar_unpacks_it() {
    let pax = |more: &[&'static str]| [&["tar", "--format=pax"], ATTRIBUTES, more].concat();
    let cases: Vec<(Room, Vec<&str>)> = vec![
        (Room::V7, vec!["tar", "--format=v7"]),
        (Room::V7, vec!["tar", "--format=ustar"]),
        (Room::Ustar, vec!["tar", "--format=ustar"]),
        (Room::Ustar, vec!["bsdtar", "--format=ustar"]),
        (Room::Gnu, vec!["tar", "--format=oldgnu", "--sparse"]),
        (Room::Gnu, vec!["tar", "--format=gnu"]),
        (Room::Gnu, vec!["tar", "--format=gnu", "--sparse"]),
        (Room::Pax, pax(&[])),
        (Room::Pax, pax(&["--sparse", "--sparse-version=0.0"])),
        (Room::Pax, pax(&["--sparse", "--sparse-version=0.1"])),
        (Room::Pax, pax(&["--sparse", "--sparse-version=1.0"])),
        (Room::Pax, vec!["bsdtar", "--format=pax", "--xattrs", "--acls", "--numeric-owner"]),
    ];
    for (room, command) in cases {
        let (source, ours, theirs) =
            (Mount::tmpfs("mode=0755"), Mount::tmpfs("mode=0700,uid=5"), Mount::tmpfs("mode=0755"));
        plant(source.path(), room);
        let work = tempfile::tempdir().unwrap();
        let file = work.path().join("a.tar");
        let args = [&command[1..], &["-C", text(source.path()), "-cf", text(&file), "."]].concat();
        run(command[0], &args);
        gnu_unpack(&file, &theirs);
        let plain = std::fs::read(&file).unwrap();
        let done = unpack(&plain, &ours).unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut want = look(theirs.path());
        if command[0] == "bsdtar" {
            // It writes a tree level by level, which costs some directories their times in GNU tar 1.34.
            directory_times(&mut want, &look(source.path()), room);
        }
        compare(&format!("{command:?}"), &look(ours.path()), &want);
        assert_eq!(done.lost_xattrs, None);
        assert_eq!(done.bytes, allocated(ours.path()), "{command:?}");
        let members = Command::new("tar").args(["-tf", text(&file)]).output().unwrap().stdout;
        if room < Room::Gnu {
            assert_eq!(done.entries, members.split(|b| *b == b'\n').count() as u64 - 1, "{command:?}");
        }
        for (compression, archive) in COMPRESSIONS.iter().map(|by| (by, filter(by, &plain))) {
            for threads in [0, 1, 4] {
                let ours = Mount::tmpfs("mode=0755");
                let go_on = |_| ControlFlow::Continue(());
                let same =
                    archive::unpack_with(threads, &mut &archive[..], ours.fd().as_fd(), &UNBOUND, &go_on);
                let what = format!("{command:?}, {compression}, {threads} threads");
                assert_eq!(same.unwrap_or_else(|e| panic!("{what}: {e}")), done, "{what}");
                compare(&what, &look(ours.path()), &want);
            }
        }
        // The format, not a shared mistake, is all that may be lost.
        if room == Room::Pax && command[0] == "tar" && command.len() > 6 {
            compare(&format!("{command:?} and its source"), &look(ours.path()), &look(source.path()));
        }
    }
}

/// Every compression that is read, and none.
const COMPRESSIONS: &[&str] = &["cat", "gzip -1", "zstd -q -1", "xz -0", "bzip2 -1", "lz4 -q"];

#[test]
fn one_core_makes_the_same_tree() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Pax);
    let mut packed = Vec::new();
    archive::pack(source.path(), &mut packed, &archive::PackOptions::default(), &|_| {}).unwrap();
    let (plain, want) = (zstd::decode_all(&packed[..]).unwrap(), look(source.path()));
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("archive");
    for compression in COMPRESSIONS {
        std::fs::write(&file, filter(compression, &plain)).unwrap();
        let target = Mount::tmpfs("mode=0755");
        let bootjack = env!("CARGO_BIN_EXE_bootjack");
        run("taskset", &["-c", "0", bootjack, "unpack", text(&file), text(target.path())]);
        compare(compression, &look(target.path()), &want);
    }
}

/// Takes the times of directories from the source, as finely as the format has them.
fn directory_times(tree: &mut Tree, source: &Tree, room: Room) {
    for (name, entry) in tree.iter_mut().filter(|(_, entry)| entry.is_directory()) {
        let (seconds, nanoseconds) = source[name].mtime;
        entry.mtime = (seconds, if room == Room::Pax { nanoseconds } else { 0 });
    }
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Pax);
    let mut packed = Vec::new();
    archive::pack(source.path(), &mut packed, &archive::PackOptions::default(), &|_| {}).unwrap();
    let want = look(source.path());
    for umask in [0o000, 0o022, 0o077, 0o777] {
        let packed = &packed;
        let got = std::thread::spawn({
            let packed = packed.clone();
            move || {
                // A umask of this thread's own: the others are testing too.
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
                let target = Mount::tmpfs("mode=0755");
                unpack(&packed, &target).unwrap();
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
                look(target.path())
            }
        });
        compare(&format!("umask {umask:o}"), &got.join().unwrap(), &want);
    }
}

/// One member; a file's data is as long as `size`.
pub fn member(kind: EntryType, name: &str, link: &str, data: &[u8]) -> Vec<u8> {
    let mut entry = EntryBuilder::new_gnu();
    entry.path(name).mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(1).unwrap();
    entry.size(data.len() as u64).unwrap().entry_type(kind);
    if !link.is_empty() {
        entry.link_name(link);
    }
    let mut bytes = entry.finish_bytes();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub fn file(name: &str, data: &[u8]) -> Vec<u8> {
    member(EntryType::Regular, name, "", data)
}

pub fn symlink(name: &str, target: &str) -> Vec<u8> {
    member(EntryType::Symlink, name, target, b"")
}

pub fn hard_link(name: &str, target: &str) -> Vec<u8> {
    member(EntryType::Link, name, target, b"")
}

pub fn directory(name: &str) -> Vec<u8> {
    member(EntryType::Directory, name, "", b"")
}

pub fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [&members.concat()[..], &[0; 1024]].concat()
}

fn refused(archive: &[u8]) -> String {
    let target = Mount::tmpfs("mode=0755");
    match unpack(archive, &target) {
        Err(error @ UnpackError::Damaged { .. }) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

fn read(target: &Mount, name: &str) -> String {
    std::fs::read_to_string(target.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn archives_of_a_merged_usr_unpack() {
    let target = Mount::tmpfs("mode=0755");
    let archive = tar(&[
        directory("usr/"),
        directory("usr/lib/"),
        symlink("lib", "usr/lib"),
        file("lib/relative", b"1"),
        symlink("bin", "/usr/bin"),
        directory("usr/bin"),
        file("bin/absolute", b"2"),
        symlink("usr/up", "../../../usr/lib"),
        file("usr/up/above", b"3"),
        file("lib/deep/down/made", b"4"),
        hard_link("lib/linked", "/bin/absolute"),
    ]);
    unpack(&archive, &target).unwrap();
    for (name, want) in [
        ("relative", "1"),
        ("above", "3"),
        ("deep/down/made", "4"),
        ("linked", "2"),
        ("../bin/absolute", "2"),
    ] {
        assert_eq!(read(&target, &format!("usr/lib/{name}")), want, "{name}");
    }
    let made = target.path().join("usr/lib/deep/down").metadata().unwrap();
    assert_eq!((made.mode() & 0o7777, made.uid(), made.gid()), (0o755, 0, 0));
}

#[test]
fn a_root_without_a_member_is_roots_own() {
    let target = Mount::tmpfs("mode=0700,uid=7,gid=8");
    unpack(&tar(&[file("a", b"")]), &target).unwrap();
    let root = target.path().metadata().unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o755, 0, 0));
}

#[test]
fn a_later_member_replaces_an_earlier_one() {
    let target = Mount::tmpfs("mode=0755");
    let archive = tar(&[
        file("f", b"first, and longer"),
        hard_link("same", "f"),
        file("f", b"second"),
        symlink("l", "f"),
        file("l", b"not through the link"),
        directory("d"),
        file("d/x", b"1"),
        directory("d"),
        directory("empty"),
        file("empty", b"2"),
        file("x", b""),
        directory("x"),
        file("x/y", b"3"),
        symlink("s", "d"),
        directory("s"),
        file("s/z", b"4"),
        hard_link("f", "f"),
    ]);
    unpack(&archive, &target).unwrap();
    for (name, want) in [
        ("f", "second"),
        ("same", "first, and longer"),
        ("l", "not through the link"),
        ("d/x", "1"),
        ("empty", "2"),
        ("x/y", "3"),
        ("s/z", "4"),
    ] {
        assert_eq!(read(&target, name), want, "{name}");
    }
    assert!(!target.path().join("d/z").exists());
    assert!(!target.path().join("l").is_symlink());
}

#[test]
fn nothing_outside_the_root_is_touched() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, b"as before").unwrap();
    let (out, name) = (text(outside.path()), text(&victim));
    let up = "../".repeat(20);
    // Each lands inside the root or is refused; the victim never knows.
    let hostile: Vec<Vec<Vec<u8>>> = vec![
        vec![file("../evil", b"!")],
        vec![file("a/../../evil", b"!")],
        vec![file(&format!("{up}{name}"), b"!")],
        vec![file(name, b"!")],
        vec![symlink("s", out), file("s/victim", b"!")],
        vec![symlink("s", name), file("s", b"!")],
        vec![symlink("s", &format!("{up}{out}")), file("s/victim", b"!")],
        vec![symlink("s", out), directory("s"), file("s/victim", b"!")],
        vec![symlink("s", out), directory("s/sub"), file("s/sub/x", b"!")],
        vec![symlink("s", "/proc/self/cwd"), file("s/evil", b"!")],
        vec![symlink("s", "/proc/self/root"), file(&format!("s{name}"), b"!")],
        vec![hard_link("h", name), file("h", b"!")],
        vec![hard_link("h", &format!("{up}{name}"))],
        vec![symlink("s", out), hard_link("h", "s/victim"), file("h", b"!")],
        vec![symlink("s", name), hard_link("h", "s"), member(EntryType::Regular, "h", "", b"!")],
        vec![symlink("a", "b"), symlink("b", "a"), file("a/x", b"!")],
        vec![directory("d"), symlink("d/e", ".."), symlink("d/f", "e/.."), file("d/f/..x", b"!")],
    ];
    for members in hostile {
        let target = Mount::tmpfs("mode=0755");
        let made = unpack(&tar(&members), &target);
        assert_eq!(std::fs::read(&victim).unwrap(), b"as before", "{made:?}");
        assert_eq!(victim.metadata().unwrap().nlink(), 1, "{made:?}");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1, "{made:?}");
        assert!(!target.path().join("../evil").exists());
    }
    assert!(!Path::new("evil").exists(), "written through /proc/self/cwd");
}

#[test]
fn hostile_names_are_refused_by_name() {
    for (members, want) in [
        (vec![file("../x", b"")], "../x: `..` in the name"),
        (vec![file("a/../b", b"")], "a/../b: `..` in the name"),
        (vec![hard_link("h", "../x")], "h: hard link to ../x: `..` in the name"),
        (vec![hard_link("h", "nobody")], "h: hard link to nobody, which is not there yet"),
        (vec![file("ok", b""), symlink("./", "ok")], "./: the root of the archive is not a directory"),
        (vec![member(EntryType::Other(b'M'), "v2", "", b"")], "v2: the continuation of another volume"),
        (vec![member(EntryType::Other(b'Q'), "q", "", b"")], "q: members of type 'Q' are not read"),
    ] {
        let message = refused(&tar(&members));
        assert!(message.contains(want), "{message:?} lacks {want:?}");
    }
}

#[test]
fn limits_hold_before_anything_is_written() {
    let many: Vec<Vec<u8>> = (0..20).map(|n| file(&format!("{n}"), b"x")).collect();
    let deep = file(&["a"; 30].join("/"), b"x");
    let unpack = |archive: &[u8], bytes, entries| {
        let target = Mount::tmpfs("mode=0755");
        let result =
            archive::unpack(&mut &archive[..], target.fd().as_fd(), &Limits { bytes, entries }, &|_| {
                ControlFlow::Continue(())
            });
        (result, std::fs::read_dir(target.path()).unwrap().count())
    };
    let (result, made) = unpack(&tar(&many), u64::MAX, 10);
    assert!(result.unwrap_err().to_string().contains("10: more than 10 members"));
    assert_eq!(made, 10);
    assert!(unpack(&tar(&many), 20 * 4096, 20).0.is_ok());
    let (result, made) = unpack(&tar(&many), 5 * 4096 + 1, 100);
    assert!(
        matches!(result, Err(UnpackError::NoSpace { member, written: 20480 }) if member == Path::new("5"))
    );
    assert_eq!(made, 5);
    // Directories that are no members do not get round it.
    assert!(unpack(&tar(&[deep.clone(), file("z", b"")]), u64::MAX, 30).0.is_err());
    // A huge file is refused by its header, before its data.
    let huge = &tar(&[file("huge", &noise(1 << 20))])[..1024];
    assert!(matches!(unpack(huge, 1 << 19, 10).0, Err(UnpackError::NoSpace { written: 0, .. })));
}

#[test]
fn a_full_file_system_names_the_member() {
    let target = Mount::tmpfs("mode=0755,size=1m");
    let archive = tar(&[file("small", &noise(1000)), file("dir/large", &noise(2 << 20)), file("never", b"")]);
    match unpack(&archive, &target) {
        Err(UnpackError::NoSpace { member, .. }) => assert_eq!(member, Path::new("dir/large")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn attributes_a_file_system_cannot_store_are_counted_and_capabilities_are_an_error() {
    let source = Mount::tmpfs("mode=0755");
    let pack = |names: &[(&str, &str)]| {
        for (name, key) in names {
            std::fs::write(source.path().join(name), b"x").unwrap();
            let value = [1, 0, 0, 2, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(source.path().join(name), *key, &value, flags).unwrap();
        }
        let mut packed = Vec::new();
        archive::pack(source.path(), &mut packed, &archive::PackOptions::default(), &|_| {}).unwrap();
        packed
    };
    let packed = pack(&[("a", "user.x"), ("b", "trusted.y"), ("b", "user.z")]);
    let lost = unpack(&packed, &Mount::of("ramfs", "mode=0755")).unwrap().lost_xattrs.unwrap();
    assert_eq!((lost.count, lost.first_name.as_str(), lost.errno), (3, "user.x", 95));
    assert_eq!(lost.first_member, Path::new("./a"));
    let packed = pack(&[("c", "security.capability")]);
    let error = unpack(&packed, &Mount::of("ramfs", "mode=0755")).unwrap_err();
    assert!(error.to_string().starts_with("./c: setting its capabilities: "), "{error}");
}

/// What a tool makes of its standard input.
fn filter(command: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || io::Write::write_all(&mut stdin, input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command}");
    output.stdout
}

/// A tar of 3 MiB: more than all buffers, in files of many sizes.
fn sizes() -> Vec<u8> {
    let members: Vec<Vec<u8>> = (0..60).map(|n| file(&format!("d/{n}"), &noise(n * n * 41 + n))).collect();
    tar(&members)
}

#[test]
fn every_compression_is_told_by_content() {
    let plain = sizes();
    let (front, back) = plain.split_at(plain.len() / 3);
    let twice = |command: &str| [filter(command, front), filter(command, back)].concat();
    let skippable = |n: u8| [&[0x50 + n, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"hello"].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("plain", plain.clone()),
        ("plain and zeros", [&plain[..], &[0; 9000]].concat()),
        ("gzip", filter("gzip", &plain)),
        ("gzip and zeros", [filter("gzip", &plain), vec![0; 777]].concat()),
        ("gzip, two members", twice("gzip -9")),
        ("gzip, a named member", filter("d=$(mktemp -d); cat >$d/n; gzip -c $d/n; rm -r $d", &plain)),
        ("zstd", filter("zstd -q", &plain)),
        ("zstd, long window", filter("zstd -q --long=27 --no-check", &plain)),
        ("zstd, two frames", twice("zstd -q -19")),
        ("zstd, skippable", [skippable(0), filter("zstd -q", &plain), skippable(15)].concat()),
        ("pzstd", filter("pzstd -q -p 2 -c", &plain)),
        ("bzip2", filter("bzip2 -1", &plain)),
        ("bzip2, two streams", twice("bzip2 -9")),
        ("bzip2 and zeros", [filter("bzip2", &plain), vec![0; 777]].concat()),
        ("xz", filter("xz -1", &plain)),
        ("xz, two streams", twice("xz -0")),
        ("xz, padding", [filter("xz -0", front), vec![0; 8], filter("xz -0", back), vec![0; 4]].concat()),
        ("xz, many blocks", filter("xz -0 -T2 --block-size=100KiB", &plain)),
        ("pixz, with its index", filter("pixz -1", &plain)),
        ("lz4", filter("lz4 -q", &plain)),
        ("lz4, small blocks that lean on each other", filter("lz4 -q -B4 -BD -BX", &plain)),
        ("lz4, large blocks", filter("lz4 -q -9 -B7 --content-size --no-frame-crc", &plain)),
        ("lz4, two frames", twice("lz4 -q")),
        ("lz4, skippable", [filter("lz4 -q", front), skippable(3), filter("lz4 -q", back)].concat()),
        ("lz4 and zeros", [filter("lz4 -q", &plain), vec![0; 777]].concat()),
    ];
    let want = Mount::tmpfs("mode=0755");
    unpack(&plain, &want).unwrap();
    for (name, archive) in cases {
        let target = Mount::tmpfs("mode=0755");
        unpack(&archive, &target).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (mut got, mut want) = (look(target.path()), look(want.path()));
        // Directories that are no members have the time they were made.
        for name in ["", "d"].map(Path::new) {
            got.remove(name);
            want.remove(name);
        }
        compare(name, &got, &want);
    }
}

#[test]
fn what_follows_the_archive_is_refused_unless_it_is_zeros() {
    let plain = tar(&[file("a", b"x")]);
    let with = |mut bytes: Vec<u8>, more: &[u8]| {
        bytes.extend_from_slice(more);
        bytes
    };
    for command in ["cat", "gzip", "bzip2", "zstd -q", "xz", "lz4 -q"] {
        // On a disk that is larger than the archive.
        for zeros in [0, 512, 300_000] {
            let target = Mount::tmpfs("mode=0755");
            let archive = with(filter(command, &plain), &vec![0; zeros]);
            unpack(&archive, &target).unwrap_or_else(|e| panic!("{command}: {e}"));
            assert_eq!(read(&target, "a"), "x", "{command}");
        }
    }
    let index = 0xDBAE_14D6_2E32_4CA6_u64.to_le_bytes();
    for (name, archive, want) in [
        ("plain", with(plain.clone(), b"x"), "data after the archive's end marker"),
        (
            "plain, after zeros",
            with(with(plain.clone(), &[0; 5000]), b"x"),
            "data after the archive's end marker",
        ),
        ("plain, a second archive", with(plain.clone(), &plain), "data after the archive's end marker"),
        ("plain, a pixz index", with(plain.clone(), &index), "data after the archive's end marker"),
        ("gzip", with(filter("gzip", &plain), b"x"), "other data after the gzip member"),
        ("gzip, after zeros", with(filter("gzip", &plain), b"\0\0x"), "other data after the gzip member"),
        (
            "gzip, half a member",
            with(filter("gzip", &plain), b"\x1f\x8b\x08"),
            "the gzip stream ends too early",
        ),
        ("zstd", with(filter("zstd -q", &plain), b"garbage"), "other data after the zstd frame"),
        ("zstd, after zeros", with(filter("zstd -q", &plain), b"\0\0x"), "other data after the zstd frame"),
        (
            "zstd, half a frame",
            with(filter("zstd -q", &plain), b"\x28\xb5\x2f\xfd\x04"),
            "the zstd stream ends too early",
        ),
        ("bzip2", with(filter("bzip2", &plain), b"x"), "other data after the bzip2 stream"),
        ("lz4", with(filter("lz4 -q", &plain), b"x"), "other data after the lz4 frame"),
        (
            "lz4, half a frame",
            with(filter("lz4 -q", &plain), b"\x04\x22\x4d\x18\x64"),
            "the lz4 stream ends too early",
        ),
        ("xz", with(filter("xz", &plain), b"xxxx"), "other data after the xz stream"),
        (
            "xz, odd padding",
            with(filter("xz", &plain), &[0; 3]),
            "padding of an odd length after the xz stream",
        ),
        ("xz, inside", filter("xz", &with(plain.clone(), b"data")), "data after the archive's end marker"),
    ] {
        let message = refused(&archive);
        assert!(message.contains(want), "{name}: {message:?} lacks {want:?}");
    }
}

/// A pax header for the member that follows.
pub fn pax(flag: EntryType, records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = PaxBuilder::new();
    for (key, value) in records {
        builder.add(key, value);
    }
    member(flag, "././@PaxHeader", "", &builder.finish())
}

/// A file in the sparse form 1.0: one byte in every other page.
fn comb(pieces: usize) -> Vec<u8> {
    let mut map = format!("{pieces}\n").into_bytes();
    for n in 0..pieces {
        map.extend_from_slice(format!("{}\n1\n", n * 8192).as_bytes());
    }
    map.resize(map.len().next_multiple_of(512), 0);
    map.extend(vec![b'x'; pieces]);
    let size = (pieces * 8192).to_string();
    let head = pax(
        EntryType::XHeader,
        &[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"comb"),
            ("GNU.sparse.realsize", size.as_bytes()),
        ],
    );
    [head, file("stand-in", &map)].concat()
}

#[test]
fn an_archive_may_end_right_after_a_large_header() {
    let deep = ["a"; 600].join("/");
    let large: Vec<Vec<u8>> = vec![
        [pax(EntryType::XHeader, &[("path", deep.as_bytes())]), file("short", b"")].concat(),
        [pax(EntryType::XHeader, &[("SCHILY.xattr.trusted.x", &[b'v'; 1400])]), file("f", b"")].concat(),
        [pax(EntryType::XHeader, &[("SCHILY.xattr.trusted.x", &[b'v'; 60_000])]), file("f", b"")].concat(),
        comb(1000),
    ];
    // Alone, and across the end of a buffer, wherever in it.
    for (n, member) in large.iter().enumerate() {
        for before in
            [0, 250 << 10, (256 << 10) - 2048, (256 << 10) - 1024, (1 << 20) - 1024, (1 << 20) - 1536]
        {
            let first = if before == 0 { Vec::new() } else { file("first", &vec![b'x'; before - 512]) };
            let archive = [&first[..], member, &[0; 1024]].concat();
            let target = Mount::tmpfs("mode=0755");
            unpack(&archive, &target).unwrap_or_else(|e| panic!("case {n} after {before}: {e}"));
            for cut in [archive.len() - 1024, archive.len() - 513] {
                assert!(refused(&archive[..cut]).contains("end"), "case {n} after {before} cut at {cut}");
            }
        }
    }
}

#[test]
fn a_directory_that_comes_again_is_as_the_last_one_says() {
    let with_mode = |name: &str, mode: u32| {
        let mut entry = EntryBuilder::new_gnu();
        entry.path(name).mode(mode).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(1).unwrap();
        entry.size(0).unwrap().entry_type(EntryType::Directory);
        entry.finish_bytes()
    };
    let acl: &[u8] = b"user::rwx,user:1000:rwx,group::r-x,mask::rwx,other::r-x";
    let with_acl = |key: &str| [pax(EntryType::XHeader, &[(key, acl)]), with_mode("d/", 0o775)].concat();
    for (name, members) in [
        ("setgid goes", vec![with_mode("d/", 0o2755), file("d/x", b""), with_mode("d/", 0o755)]),
        ("setgid comes", vec![with_mode("d/", 0o755), file("d/x", b""), with_mode("d/", 0o2755)]),
        ("access ACL goes", vec![with_acl("SCHILY.acl.access"), with_mode("d/", 0o755)]),
        ("default ACL goes", vec![with_acl("SCHILY.acl.default"), file("d/x", b""), with_mode("d/", 0o755)]),
        ("access ACL comes", vec![with_mode("d/", 0o755), with_acl("SCHILY.acl.access")]),
        ("default ACL comes", vec![with_mode("d/", 0o755), with_acl("SCHILY.acl.default")]),
    ] {
        let archive = tar(&[&[with_mode("./", 0o755)][..], &members[..]].concat());
        let (ours, theirs) = (Mount::tmpfs("mode=0755"), Mount::tmpfs("mode=0755"));
        let work = tempfile::tempdir().unwrap();
        let file = work.path().join("a.tar");
        std::fs::write(&file, &archive).unwrap();
        gnu_unpack(&file, &theirs);
        unpack(&archive, &ours).unwrap();
        compare(name, &look(ours.path()), &look(theirs.path()));
    }
}

#[test]
fn a_global_header_does_not_swallow_that_of_a_member() {
    let global = || pax(EntryType::XGlobalHeader, &[("mtime", b"5")]);
    let own = || pax(EntryType::XHeader, &[("path", b"long")]);
    let target = Mount::tmpfs("mode=0755");
    unpack(&tar(&[global(), own(), file("short", b"x")]), &target).unwrap();
    assert_eq!(target.path().join("long").metadata().unwrap().mtime(), 5);
    let message = refused(&tar(&[own(), global(), file("short", b"x")]));
    assert!(message.contains("a global pax header between a member and its own"), "{message}");
}

#[test]
fn a_directory_of_two_thousand_levels_unpacks() {
    let target = Mount::tmpfs("mode=0755");
    let deep = ["a"; 2000].join("/");
    // As a kernel starts the first process, whatever this machine's sessions have.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let first = rustix::process::Rlimit { current: Some(1024), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, first).unwrap();
    let members = ["x", "y"].map(|leaf| {
        [pax(EntryType::XHeader, &[("path", format!("{deep}/{leaf}").as_bytes())]), file(leaf, b"1")].concat()
    });
    let done = unpack(&tar(&[&members[..], &[file("z", b"")]].concat()), &target).unwrap();
    assert_eq!(done.entries, 2003);
    assert_eq!(read(&target, &format!("{deep}/y")), "1");
}

#[test]
fn a_gnu_long_name_may_end_in_two_nuls() {
    let target = Mount::tmpfs("mode=0755");
    let name = "n".repeat(150);
    let long = |kind, name: &str| member(kind, "././@LongLink", "", format!("{name}\0\0").as_bytes());
    let archive = tar(&[
        long(EntryType::GnuLongName, &name),
        file("short", b"1"),
        long(EntryType::GnuLongLink, &name),
        symlink("l", "short"),
    ]);
    unpack(&archive, &target).unwrap();
    assert_eq!((read(&target, &name), read(&target, "l")), ("1".to_owned(), "1".to_owned()));
    let within = [pax(EntryType::XHeader, &[("path", b"a\0")]), file("short", b"")].concat();
    assert!(refused(&tar(&[within])).contains("a NUL byte in the name"));
}

#[test]
fn attributes_count_and_too_many_are_refused_by_name() {
    let value = vec![b'v'; 60_000];
    let one = |name: &str| {
        [pax(EntryType::XHeader, &[("SCHILY.xattr.trusted.x", &value)]), file(name, b"")].concat()
    };
    let archive = tar(&[one("a"), one("b")]);
    let target = Mount::tmpfs("mode=0755");
    assert_eq!(unpack(&archive, &target).unwrap().bytes, 2 << 16);
    let limits = Limits { bytes: (2 << 16) - 1, entries: 10 };
    let go_on = |_: Progress| ControlFlow::Continue(());
    let target = Mount::tmpfs("mode=0755");
    let result = archive::unpack(&mut &archive[..], target.fd().as_fd(), &limits, &go_on);
    assert!(
        matches!(&result, Err(UnpackError::NoSpace { member, .. }) if member == Path::new("b")),
        "{result:?}"
    );
    let keys: Vec<String> = (0..1001).map(|n| format!("SCHILY.xattr.trusted.{n}")).collect();
    let records: Vec<(&str, &[u8])> = keys.iter().map(|key| (key.as_str(), &b""[..])).collect();
    let message = refused(&tar(&[[pax(EntryType::XHeader, &records), file("many", b"")].concat()]));
    assert_eq!(message, "many: more than 1000 extended attributes");
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let plain = tar(&[
        directory("d/"),
        file("d/one", b"1"),
        file(&"long".repeat(40), &noise(2000)),
        symlink("l", "d"),
        file("empty", b""),
    ]);
    let end = plain.len();
    for cut in (0..end).step_by(512).chain([1, 511, 513, 700, end - 1, end - 511, end - 513]) {
        refused(&plain[..cut]);
    }
    for command in [
        "gzip",
        "bzip2",
        "zstd -q",
        "zstd -q --no-check",
        "xz -T1",
        "xz -T2 --block-size=1KiB",
        "lz4 -q",
        "lz4 -q -B4 -BX --no-frame-crc",
    ] {
        let packed = filter(command, &plain);
        for cut in (0..packed.len()).step_by(37).chain(packed.len() - 9..packed.len()) {
            refused(&packed[..cut]);
        }
        let mut flipped = packed.clone();
        flipped[packed.len() / 2] ^= 0x10;
        assert!(command.contains("no-check") || !refused(&flipped).is_empty(), "{command}");
    }
    assert!(refused(&plain[..end - 1024]).contains("ends without its end marker"));
    let lone = [&plain[..end - 512], &file("after", b"x")[..], &[0; 1024]].concat();
    assert!(refused(&lone).contains("a lone zero block"));
    let mut damaged = plain.clone();
    damaged[1024 + 512] ^= 1;
    assert!(refused(&damaged).contains("after member d/one"), "{}", refused(&damaged));
}

#[test]
fn what_is_no_archive_is_named() {
    let page = b"<!DOCTYPE html>\n<title>404 Not Found</title>\n".repeat(40);
    for (archive, want) in [
        (vec![], "this is nothing (0 bytes), not a tar or cpio archive"),
        (page.clone(), "this is an HTML page,"),
        (filter("gzip", &page), "this is an HTML page inside gzip,"),
        (filter("bzip2", &page), "this is an HTML page inside bzip2,"),
        (filter("lz4 -q", &page), "this is an HTML page inside lz4,"),
        (filter("lz4 -l -q", &sizes()), "this is lz4 of the old kind (lz4 -l; pack it without -l),"),
        (filter("gzip", &filter("xz", &sizes())), "this is xz inside gzip,"),
        (
            filter("cd / && echo etc/passwd | cpio -oc 2>/dev/null", b""),
            "this is a cpio archive of an old kind (not newc),",
        ),
    ] {
        let message = refused(&archive);
        assert!(message.starts_with(want), "{message}");
    }
}

/// Bytes, then an error as a network gives it.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::new(io::ErrorKind::ConnectionReset, "peer went away at noon")),
            n => Ok(n),
        }
    }
}

#[test]
fn a_broken_source_is_told_from_a_damaged_archive() {
    let plain = sizes();
    for command in ["cat", "gzip", "bzip2", "zstd -q", "xz -1", "lz4 -q"] {
        let packed = filter(command, &plain);
        for cut in [0, 3, 300, packed.len() / 2, packed.len() - 1, packed.len()] {
            let target = Mount::tmpfs("mode=0755");
            let mut source = Broken(&packed[..cut]);
            let result =
                archive::unpack(&mut source, target.fd().as_fd(), &UNBOUND, &|_| ControlFlow::Continue(()));
            match result {
                Err(UnpackError::Read(error)) => assert_eq!(error.to_string(), "peer went away at noon"),
                other => panic!("{command} cut at {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn stop_works_while_bytes_flow_and_while_none_come() {
    let target = Mount::tmpfs("mode=0755");
    let sizes = sizes();
    let asked = AtomicUsize::new(0);
    let stop = |_: Progress| match asked.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let result = archive::unpack(&mut &sizes[..], target.fd().as_fd(), &UNBOUND, &stop);
    assert!(matches!(result, Err(UnpackError::Stopped)), "{result:?}");

    // A source that stalls before the first buffer is full, until somebody has said stop.
    struct Stalled<'a>(&'a [u8], std::sync::mpsc::Receiver<()>);
    impl Read for Stalled<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buf)? {
                0 => match self.1.recv_timeout(std::time::Duration::from_secs(20)) {
                    Ok(()) => Err(io::ErrorKind::TimedOut.into()),
                    Err(_) => Err(io::Error::other("nobody said stop")),
                },
                n => Ok(n),
            }
        }
    }
    let (said, stopped) = std::sync::mpsc::channel();
    let said = std::sync::Mutex::new(said);
    let asked = AtomicUsize::new(0);
    let stop = |_: Progress| match asked.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => ControlFlow::Continue(()),
        _ => {
            said.lock().unwrap().send(()).unwrap();
            ControlFlow::Break(())
        }
    };
    let mut source = Stalled(&sizes[..1000], stopped);
    let target = Mount::tmpfs("mode=0755");
    let result = archive::unpack(&mut source, target.fd().as_fd(), &UNBOUND, &stop);
    assert!(matches!(result, Err(UnpackError::Stopped)), "{result:?}");
}

#[test]
fn fifos_and_devices_are_made_not_opened() {
    let target = Mount::tmpfs("mode=0755");
    let fifo = member(EntryType::Fifo, "fifo", "", b"");
    let node = |kind, name: &str, (major, minor)| {
        let mut entry = EntryBuilder::new_gnu();
        entry.path(name).mode(0o640).unwrap().uid(0).unwrap().gid(6).unwrap().mtime(1).unwrap();
        entry.size(0).unwrap().entry_type(kind).device(major, minor).unwrap();
        entry.finish_bytes()
    };
    // A driver nobody has: opening either would be ENXIO.
    let (character, block) =
        (node(EntryType::Char, "tape", (511, 7)), node(EntryType::Block, "disk", (511, 70_000)));
    let twice = [fifo, character, block];
    unpack(&tar(&[&twice[..], &twice[..]].concat()), &target).unwrap();
    let meta = |name: &str| target.path().join(name).metadata().unwrap();
    assert!(meta("fifo").file_type().is_fifo());
    assert!(meta("tape").file_type().is_char_device());
    assert!(meta("disk").file_type().is_block_device());
    for (name, device) in [("tape", (511, 7)), ("disk", (511, 70_000))] {
        let meta = meta(name);
        assert_eq!((meta.rdev(), meta.mode() & 0o7777, meta.gid()), (makedev(device.0, device.1), 0o640, 6));
    }
}

/// A random number below `n`, each time another (xorshift64).
pub fn below(state: &mut u64, n: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % n
}

/// Members over few names, so that they replace, link to and stand in the way of each other.
fn random_archive(seed: u64) -> Vec<u8> {
    let state = &mut (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let bytes = noise(600 << 10);
    // Something to link to, but for a few.
    let mut members: Vec<Vec<u8>> = (0..40).map(|n| file(&format!("f{n}"), &bytes[..n])).collect();
    // A directory that is no member has the time of today.
    let directories = ["./", "d0/", "d1/", "d2/", "d3/", "d0/e/", "d1/e/", "d2/e/", "d3/e/"];
    members.extend(directories.map(|name| member(EntryType::Directory, name, "", b"")));
    for number in 0..300 {
        let name = match below(state, 3) {
            0 => format!("f{}", below(state, 40)),
            1 => format!("d{}/f{}", below(state, 4), below(state, 40)),
            _ => format!("d{}/e/f{}", below(state, 4), below(state, 200)),
        };
        let size = match below(state, 12) {
            0 => 0,
            1 => below(state, 600 << 10),
            2 => below(state, 64 << 10),
            _ => below(state, 6 << 10),
        } as usize;
        let from = below(state, (bytes.len() - size) as u64 + 1) as usize;
        let (kind, link, data) = match below(state, 12) {
            0 => (EntryType::Symlink, format!("f{}", below(state, 40)), &[][..]),
            1 if !name.starts_with('f') => (EntryType::Link, format!("f{}", below(state, 40)), &[][..]),
            2 => (EntryType::Fifo, String::new(), &[][..]),
            _ => (EntryType::Regular, String::new(), &bytes[from..from + size]),
        };
        let mut entry = EntryBuilder::new_gnu();
        let (uid, mode) = (below(state, 3) * 1000, [0o644, 0o4755, 0o600, 0o1666][below(state, 4) as usize]);
        entry.path(&name).mode(mode).unwrap().uid(uid).unwrap().gid(uid).unwrap().mtime(number).unwrap();
        entry.size(data.len() as u64).unwrap().entry_type(kind);
        if !link.is_empty() {
            entry.link_name(&link);
        }
        let mut member = entry.finish_bytes();
        member.extend_from_slice(data);
        member.resize(member.len().next_multiple_of(512), 0);
        members.push(member);
        if below(state, 20) == 0 {
            members.push(self::member(EntryType::Directory, &format!("d{}/e/", below(state, 4)), "", b""));
        }
    }
    tar(&members)
}

#[test]
fn any_number_of_writers_makes_the_same_tree() {
    let (mut whole, mut said) = (0, Vec::new());
    for seed in 1..=12 {
        let archive = random_archive(seed);
        let unpacked = |threads: usize| {
            let target = Mount::tmpfs("mode=0755");
            let go_on = |_| ControlFlow::Continue(());
            let done =
                archive::unpack_with(threads, &mut &archive[..], target.fd().as_fd(), &UNBOUND, &go_on);
            let done = done.map_err(|e| e.to_string());
            // After an error what there is of a tree is thrown away.
            let tree = done.is_ok().then(|| look(target.path()));
            (done, tree)
        };
        let (alone, wanted) = unpacked(0);
        whole += usize::from(alone.is_ok());
        said.extend(alone.as_ref().err().cloned());
        for threads in [1, 2, 8] {
            let (done, tree) = unpacked(threads);
            assert_eq!(done, alone, "seed {seed}, {threads} threads");
            if let (Some(tree), Some(wanted)) = (&tree, &wanted) {
                compare(&format!("seed {seed}, {threads} threads"), tree, wanted);
            }
        }
    }
    assert!(whole > 6, "{whole} archives can be unpacked: {said:?}");
}

#[test]
fn an_error_of_one_of_the_writers_names_its_member() {
    let small: Vec<Vec<u8>> = (0..200).map(|n| file(&format!("f{n}"), &noise(32 << 10))).collect();
    for threads in [0, 1, 4] {
        // Room for 64 of them.
        let target = Mount::tmpfs("mode=0755,size=2m");
        let go_on = |_| ControlFlow::Continue(());
        let archive = tar(&small);
        let done = archive::unpack_with(threads, &mut &archive[..], target.fd().as_fd(), &UNBOUND, &go_on);
        let Err(UnpackError::NoSpace { member, .. }) = done else { panic!("{threads} threads: {done:?}") };
        // Which one depends on who was first to use the room up.
        let number = member.to_str().unwrap()[1..].parse::<u32>().unwrap();
        assert!(number < 200, "{threads} threads: {number}");
    }
}

#[test]
fn small_files_among_large_ones_keep_no_buffer_from_the_decoder() {
    let (small, large) = (noise(1000), noise(600_000));
    let pairs =
        (0..48).flat_map(|n| [file(&format!("{n}.small"), &small), file(&format!("{n}.large"), &large)]);
    let plain = tar(&pairs.collect::<Vec<_>>());
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("a.tar");
    std::fs::write(&path, &plain).unwrap();
    run("gzip", &["-1", text(&path)]);
    let gzip = std::fs::read(work.path().join("a.tar.gz")).unwrap();
    for archive in [&plain, &gzip] {
        for threads in [0, 1, 2, 8] {
            let target = Mount::tmpfs("mode=0755");
            let begun = std::time::Instant::now();
            let go_on = |_| match begun.elapsed().as_secs() < 60 {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            };
            let done =
                archive::unpack_with(threads, &mut &archive[..], target.fd().as_fd(), &UNBOUND, &go_on);
            assert_eq!(done.unwrap().entries, 96, "{threads} threads");
        }
    }
}

#[test]
fn files_beyond_8_gib_are_as_long_as_they_say() {
    const SIZE: u64 = (9 << 30) + 12_345;
    let source = Mount::tmpfs("mode=0755");
    let huge = std::fs::File::create(source.path().join("huge")).unwrap();
    huge.set_len(SIZE).unwrap();
    for at in [4096, 8 << 30, SIZE - 5] {
        huge.write_all_at(b"here.", at).unwrap();
    }
    let mut archives = vec![("bootjack pack".to_owned(), Vec::new())];
    archive::pack(source.path(), &mut archives[0].1, &archive::PackOptions::default(), &|_| {}).unwrap();
    for format in ["--format=oldgnu", "--format=gnu", "--format=pax"] {
        let command = format!("tar {format} --sparse -C {} -cf - .", text(source.path()));
        archives.push((command.clone(), filter(&command, b"")));
    }
    for (what, archive) in archives {
        let target = Mount::tmpfs("mode=0755");
        unpack(&archive, &target).unwrap_or_else(|e| panic!("{what}: {e}"));
        let file = std::fs::File::open(target.path().join("huge")).unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!((meta.len(), meta.blocks()), (SIZE, huge.metadata().unwrap().blocks()), "{what}");
        for at in [4096, 8 << 30, SIZE - 5] {
            let mut bytes = [0; 5];
            file.read_exact_at(&mut bytes, at).unwrap();
            assert_eq!(&bytes, b"here.", "{what} at {at}");
        }
    }
    // One without holes is told by where it is cut: its bytes would be too many for this machine.
    let mut base256 = EntryBuilder::new_gnu();
    base256.path("large").mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(1).unwrap();
    base256.size(SIZE).unwrap().entry_type(EntryType::Regular);
    let base256 = base256.finish_bytes();
    assert_eq!(base256[124], 0x80, "a size that fits no octal field");
    let record =
        [pax(EntryType::XHeader, &[("size", SIZE.to_string().as_bytes())]), file("large", b"")].concat();
    for header in [base256, record] {
        let message = refused(&[&header[..], &[b'x'; 512]].concat());
        let want = format!("large: the archive ends inside this member, {} bytes too early", SIZE - 512);
        assert_eq!(message, want);
    }
}

#[test]
fn labels_of_selinux_come_as_any_of_the_tools_writes_them() {
    const LABEL: &[u8] = b"system_u:object_r:bin_t:s0";
    let with_nul = [LABEL, b"\0"].concat();
    for records in [
        vec![("RHT.security.selinux", LABEL)],
        vec![("SCHILY.xattr.security.selinux", &with_nul[..])],
        vec![("SCHILY.xattr.security.selinux", &with_nul[..]), ("RHT.security.selinux", LABEL)],
    ] {
        let target = Mount::tmpfs("mode=0755");
        unpack(&tar(&[[pax(EntryType::XHeader, &records), file("f", b"")].concat()]), &target).unwrap();
        let mut label = [0; 64];
        let length = rustix::fs::lgetxattr(target.path().join("f"), "security.selinux", &mut label).unwrap();
        assert_eq!(&label[..length], with_nul);
    }
}

/// The most anonymous memory a program has while it unpacks this archive, in MiB.
fn most_anonymous_memory(archive: &Path) -> u64 {
    let target = Mount::tmpfs("mode=0755");
    let mut unpacking = Command::new(env!("CARGO_BIN_EXE_bootjack"))
        .args(["unpack", text(archive), text(target.path())])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", unpacking.id());
    let mut most = 0;
    // Looked at as often as it goes, until it is over: the kernel keeps no peak of anonymous memory alone.
    while unpacking.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let field = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = field.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) >> 10);
    }
    assert!(unpacking.wait().unwrap().success());
    most
}

#[test]
fn the_threads_of_xz_take_no_more_than_160_mib() {
    let work = tempfile::tempdir().unwrap();
    let archive = work.path().join("a.tar.xz");
    let data = noise(64 << 10).repeat(128);
    // Blocks as `xz -6 -T0` makes them, and some of which two side by side would be too much.
    for (block, whole) in [(24, 96), (96, 240)] {
        let members: Vec<Vec<u8>> = (0..whole / 8).map(|n| file(&format!("f{n}"), &data)).collect();
        let command = format!("xz -T2 --block-size={block}MiB --lzma2=preset=0,dict=1MiB");
        std::fs::write(&archive, filter(&command, &tar(&members))).unwrap();
        let most = most_anonymous_memory(&archive);
        assert!(most <= 160, "blocks of {block} MiB: {most} MiB");
        let cores = std::thread::available_parallelism().unwrap().get();
        assert!(block != 24 || cores == 1 || most > 36, "{most} MiB: no two blocks were there at once");
    }
}
