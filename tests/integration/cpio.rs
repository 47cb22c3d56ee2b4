//! Unpacking cpio archives: what arrives is what cpio(1) makes of the same archive, with links and parts as the kernel
//! reads them; what is damaged or hostile is refused; a tree that is there keeps its directories; an archive carried in
//! an initrd comes back. Needs root, cpio, gzip, zstd and xz.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use ::cpio::newc::{Builder, trailer};

use bootjack::archive::carried::MemberWriter;
use bootjack::archive::newc::{Content, Tree};
use bootjack::archive::{self, LeaveOut, Limits, PackOptions, Packed, UnpackError, Unpacked};
use bootjack::fetch::{Config, Fetcher, Location, Timing};

use crate::trees::{self, Mount, Room, compare, look, noise, plant, unpack};

const MIB16: usize = 16 << 20;

const REGULAR: u32 = 0o100_644;
const SYMLINK: u32 = 0o120_777;
const FIFO: u32 = 0o010_644;

/// What a shell command makes of its stdin.
fn shell(command: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("sh")
        .args(["-c", &format!("set -e; {command}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{command}");
        out.stdout
    })
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn linked(name: &str, mode: u32, inode: u32, links: u32, data: &[u8]) -> Vec<u8> {
    let member = Builder::new(name).mode(mode).ino(inode).nlink(links).mtime(1);
    let mut member = member.write(Vec::new(), data.len() as u32);
    member.write_all(data).unwrap();
    member.finish().unwrap()
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    linked(name, REGULAR, 1, 1, data)
}

fn directory(name: &str, mode: u32) -> Vec<u8> {
    linked(name, 0o040_000 | mode, 1, 2, b"")
}

/// A part with its trailer.
pub fn part(members: &[Vec<u8>]) -> Vec<u8> {
    trailer(members.concat()).unwrap()
}

fn add(mut input: &[u8], target: &Mount) -> Result<Unpacked, UnpackError> {
    let limits = Limits { bytes: u64::MAX, entries: u64::MAX };
    archive::add(&mut input, target.fd().as_fd(), &limits, &|_| ControlFlow::Continue(()))
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
fn every_kind_of_member_arrives_as_cpio_unpacks_it() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Gnu);
    // Beyond 32 bits.
    std::fs::remove_file(source.path().join("far")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(source.path().join("socket")).unwrap());
    for (order, format, filter) in [
        ("find .", "newc", "cat"),
        ("find . -depth", "newc", "zstd"),
        ("find .", "crc", "gzip"),
        ("find . -depth", "crc", "xz"),
    ] {
        let what = format!("{order} | cpio -H {format} | {filter}");
        let pack = format!("cd {}; {order} -print0 | cpio --quiet -0 -o -H {format}", text(source.path()));
        let plain = shell(&pack, b"");
        let theirs = Mount::tmpfs("mode=0755");
        let make = format!("cd {}; cpio --quiet -i -d -m --no-absolute-filenames", text(theirs.path()));
        shell(&make, &plain);
        let ours = Mount::tmpfs("mode=0700,uid=5");
        let done = unpack(&shell(filter, &plain), &ours).unwrap_or_else(|e| panic!("{what}: {e}"));
        let (source, mut want) = (look(source.path()), look(theirs.path()));
        times(&mut want, |name| source[name].mtime.0);
        compare(&what, &look(ours.path()), &want);
        // A directory that comes after what is in it was made before, too.
        let twice = if order.ends_with("-depth") { 6 } else { 0 };
        assert_eq!(done.entries, source.len() as u64 + twice, "{what}");
    }
}

/// Directories and links have the times of their headers, as the kernel gives them; cpio(1) leaves them theirs.
fn times(tree: &mut trees::Tree, seconds: impl Fn(&Path) -> i64) {
    for (name, entry) in tree.iter_mut().filter(|(_, entry)| entry.is_directory() || entry.is_link()) {
        entry.mtime = (seconds(name), 0);
    }
}

#[test]
fn what_this_program_writes_is_read_back() {
    let mut tree = Tree::default();
    tree.file("lib/modules/6.1/kernel/a.ko", 0o644, Content::Bytes(noise(70_001))).unwrap();
    tree.file("lib/modules/6.1/empty", 0o600, Content::Bytes(Vec::new())).unwrap();
    tree.symlink("lib/modules/6.1/build", "/usr/src/linux").unwrap();
    tree.character("dev/console", 5, 1).unwrap();
    let mut bytes = Vec::new();
    tree.write(&mut bytes, 1_234_567_890).unwrap();
    let (ours, theirs) = (Mount::tmpfs("mode=0755"), Mount::tmpfs("mode=0755"));
    unpack(&bytes, &ours).unwrap();
    shell(&format!("cd {}; cpio --quiet -i -d -m", text(theirs.path())), &bytes);
    let (mut got, mut want) = (look(ours.path()), look(theirs.path()));
    // The root is no member: it has the time it was last changed.
    got.remove(Path::new(""));
    want.remove(Path::new(""));
    times(&mut want, |_| 1_234_567_890);
    compare("our own", &got, &want);
    assert_eq!(std::fs::read(ours.path().join("lib/modules/6.1/kernel/a.ko")).unwrap(), noise(70_001));
}

#[test]
fn parts_follow_each_other_as_the_kernel_reads_them() {
    let one = part(&[directory("d", 0o750), file("d/a", b"first"), linked("x", REGULAR, 7, 2, b"one")]);
    let two = part(&[file("d/a", b"second"), linked("y", REGULAR, 7, 2, b"two")]);
    for zeros in [0, 4, 512 - one.len() % 512, 1 << 20] {
        let both = [&one[..], &vec![0; zeros], &two, &[0; 77]].concat();
        let whole = shell("zstd", &both);
        let frames = [shell("zstd", &one), shell("zstd", &[&vec![0; zeros][..], &two].concat())].concat();
        let members = [shell("gzip", &one), shell("gzip", &[&vec![0; zeros][..], &two].concat())].concat();
        for (what, bytes) in [("plain", &both), ("zstd", &whole), ("frames", &frames), ("gzip", &members)] {
            let target = Mount::tmpfs("mode=0755");
            unpack(bytes, &target).unwrap_or_else(|e| panic!("{what}, {zeros} zeros: {e}"));
            assert_eq!(read(&target, "d/a"), "second");
            // The same inode number in another part is another file.
            assert_eq!((read(&target, "x"), read(&target, "y")), ("one".into(), "two".into()), "{what}");
            assert_eq!(target.path().join("x").metadata().unwrap().nlink(), 1);
        }
    }
}

#[test]
fn names_of_one_file_share_the_data_wherever_it_comes() {
    for data in [["", "", "data"], ["data", "", ""], ["", "data", ""], ["old", "and longer", "data"]] {
        let target = Mount::tmpfs("mode=0755");
        let names = ["a", "d/b", "c"];
        let mut members: Vec<_> =
            (0..3).map(|n| linked(names[n], REGULAR, 9, 3, data[n].as_bytes())).collect();
        members.push(directory("d", 0o755));
        // Numbers of another device or type are others.
        members.push(linked("fifo", FIFO, 9, 3, b""));
        members.push(linked("link", SYMLINK, 9, 3, b"a"));
        unpack(&part(&members), &target).unwrap();
        let at = |name: &str| target.path().join(name).symlink_metadata().unwrap();
        for name in names {
            assert_eq!(read(&target, name), "data", "{data:?}: {name}");
            assert_eq!((at(name).ino(), at(name).nlink(), at(name).mtime()), (at("a").ino(), 3, 1));
        }
        assert!(at("fifo").file_type().is_fifo() && at("link").is_symlink());
    }
}

#[test]
fn data_for_a_name_that_is_no_file_any_more_is_refused() {
    let archive = |other| {
        part(&[linked("a", REGULAR, 9, 2, b""), other, linked("b", REGULAR, 9, 2, b"data for whom?")])
    };
    let told = refused(&archive(linked("a", FIFO, 1, 1, b"")));
    assert_eq!(told, "b: hard link with data to a, which is no file any more");
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, b"as before").unwrap();
    refused(&archive(linked("a", SYMLINK, 1, 1, text(&victim).as_bytes())));
    assert_eq!(std::fs::read(&victim).unwrap(), b"as before");
}

#[test]
fn nothing_outside_the_root_is_touched() {
    let outside = tempfile::tempdir().unwrap();
    let out = text(outside.path());
    let victim = outside.path().join("victim");
    std::fs::write(&victim, b"as before").unwrap();
    for name in ["../evil", "a/../../evil", "..", "/../evil"] {
        assert!(refused(&part(&[file(name, b"!")])).ends_with("`..` in the name"), "{name}");
    }
    for members in [
        vec![linked("s", SYMLINK, 1, 1, out.as_bytes()), file("s/victim", b"!")],
        vec![linked("s", SYMLINK, 1, 1, text(&victim).as_bytes()), file("s", b"!")],
        vec![file(text(&victim), b"!")],
    ] {
        for make in [unpack, add] {
            let target = Mount::tmpfs("mode=0755");
            // Inside the root, or refused.
            let _ = make(&part(&members), &target);
            assert_eq!(std::fs::read(&victim).unwrap(), b"as before");
            assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
        }
    }
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let whole = part(&[directory("d", 0o755), file("d/a", b"hello"), linked("l", SYMLINK, 1, 1, b"d/a")]);
    unpack(&whole, &Mount::tmpfs("mode=0755")).unwrap();
    for length in 1..whole.len() {
        let text = refused(&whole[..length]);
        assert!(length < 6 || text.contains("the archive ends"), "{length}: {text}");
    }
    // A second part without its trailer is cut, too; and one with a trailer alone is whole.
    assert!(refused(&[&whole[..], &file("b", b"")].concat()).contains("without its end marker"));
    unpack(&part(&[]), &Mount::tmpfs("mode=0755")).unwrap();
}

#[test]
fn damage_is_named() {
    let patched = |at: usize, bytes: &[u8]| {
        let mut archive = part(&[file("a", b"hello")]);
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    };
    let whole = part(&[file("a", b"hello")]);
    let checked = |sum| {
        let mut member = Builder::new("c").mode(REGULAR).write_crc(Vec::new(), 3, sum);
        member.write_all(b"abc").unwrap();
        part(&[member.finish().unwrap()])
    };
    unpack(&checked(294), &Mount::tmpfs("mode=0755")).unwrap();
    // Fields: magic 6, then inode mode uid gid links mtime size device(2) node(2) name sum, 8 each.
    for (archive, want) in [
        (checked(295), "c: the data does not have the checksum of its header"),
        (patched(14, b"000001a4"), "a: the mode 644 has no type Linux knows"),
        (patched(14, b"000041ed"), "a: 5 bytes of data in something that is no file"),
        (patched(22, b"ffffffff"), "a: owner number 4294967295 is not one Linux has"),
        (patched(38, b"+0000001"), "a header with something else than hexadecimal digits"),
        (patched(94, b"00000000"), "a name of 0 bytes"),
        (patched(94, b"00001001"), "a name of 4097 bytes"),
        (patched(111, b"b"), "a name without a NUL at its end"),
        (
            [&file("a", b"hello"), &b"junk"[..], &[b'x'; 200]].concat(),
            "after member a: no header of a member",
        ),
        ([&whole[..], &[0; 3], &whole].concat(), "no multiple of 4"),
        ([&whole[..], &shell("zstd", &whole)].concat(), "zstd after the archive's trailer, at byte"),
        ([&whole[..], b"\0\0\0\0junk"].concat(), "text beginning with \"junk\" after the archive's trailer"),
    ] {
        let text = refused(&archive);
        assert!(text.contains(want), "{text}\nwanted: {want}");
    }
}

#[test]
fn a_limit_ends_it_before_anything_is_written() {
    let archive =
        part(&[file("a", b"1"), linked("b", REGULAR, 5, 2, b""), linked("c", REGULAR, 5, 2, b"22")]);
    let run = |bytes, entries| {
        let target = Mount::tmpfs("mode=0755");
        let limits = Limits { bytes, entries };
        archive::unpack(&mut &archive[..], target.fd().as_fd(), &limits, &|_| ControlFlow::Continue(()))
    };
    assert_eq!(run(8192, 3).unwrap().bytes, 8192);
    assert!(matches!(run(8191, 3), Err(UnpackError::NoSpace { .. })));
    assert!(matches!(run(8192, 2), Err(UnpackError::Damaged { .. })));
}

/// A root with a merged `/usr`, whose directories are nobody else's.
fn root() -> Mount {
    let root = Mount::tmpfs("mode=0711,uid=3,gid=4");
    let at = |name: &str| root.path().join(name);
    std::fs::create_dir_all(at("usr/lib/modules")).unwrap();
    std::fs::write(at("usr/lib/libc.so"), b"libc").unwrap();
    symlink("usr/lib", at("lib")).unwrap();
    chown(at("usr/lib"), Some(1), Some(50)).unwrap();
    std::fs::set_permissions(at("usr/lib"), PermissionsExt::from_mode(0o2775)).unwrap();
    rustix::fs::lsetxattr(at("usr/lib"), "trusted.mark", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    chown(at("usr/lib/modules"), Some(1), Some(50)).unwrap();
    std::fs::set_permissions(at("usr/lib/modules"), PermissionsExt::from_mode(0o2700)).unwrap();
    root
}

#[test]
fn a_tree_that_is_there_keeps_its_directories() {
    let members = [
        directory(".", 0o700),
        directory("lib", 0o700),
        directory("lib/modules", 0o700),
        // Made for a member before its own header comes.
        file("lib/modules/6.1/kernel/a.ko", b"module"),
        directory("lib/modules/6.1/kernel", 0o700),
        directory("lib/modules/6.1", 0o751),
        file("lib/libc.so", b"replaced"),
    ];
    // Whoever made it, tar or cpio.
    let tarred = {
        let work = Mount::tmpfs("mode=0755");
        unpack(&part(&members), &work).unwrap();
        shell(&format!("tar -C {} -c .", text(work.path())), b"")
    };
    for archive in [part(&members), shell("zstd", &part(&members)), tarred] {
        let root = root();
        let without_times = |root: &Mount| -> BTreeMap<_, _> {
            let facts = |name: &str| {
                let meta = root.path().join(name).symlink_metadata().unwrap();
                (meta.mode(), meta.uid(), meta.gid(), meta.ino())
            };
            ["", "usr", "usr/lib", "usr/lib/modules", "lib"].map(|name| (name, facts(name))).into()
        };
        let before = without_times(&root);
        add(&archive, &root).unwrap();
        assert_eq!(without_times(&root), before);
        let mut mark = [0; 8];
        let marked = rustix::fs::getxattr(root.path().join("usr/lib"), "trusted.mark", &mut mark).unwrap();
        assert_eq!(&mark[..marked], b"1");
        assert_eq!(read(&root, "usr/lib/modules/6.1/kernel/a.ko"), "module");
        assert_eq!(read(&root, "usr/lib/libc.so"), "replaced");
        for (name, mode) in [("6.1", 0o040_751), ("6.1/kernel", 0o040_700), ("6.1/kernel/a.ko", REGULAR)] {
            let meta = root.path().join("usr/lib/modules").join(name).metadata().unwrap();
            // Nothing of the setgid directory above.
            assert_eq!((meta.mode(), meta.uid(), meta.gid()), (mode, 0, 0), "{name}");
        }
    }
    // `unpack` makes the archive's word count.
    let root = root();
    unpack(&part(&members), &root).unwrap();
    assert!(!root.path().join("lib").is_symlink());
    assert_eq!(root.path().metadata().unwrap().mode(), 0o040_700);
}

/// Packs a cpio archive anew; the tree it becomes.
fn packed_anew(cpio: &[u8], options: &PackOptions) -> Result<(Packed, Mount), String> {
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("a.cpio");
    std::fs::write(&source, cpio).unwrap();
    let mut tar = Vec::new();
    let packed = archive::pack(&source, &mut tar, options, &|_| {}).map_err(|e| format!("{e:#}"))?;
    let target = Mount::tmpfs("mode=0755");
    let unpacked = unpack(&tar, &target).unwrap();
    assert_eq!((packed.unpacked, packed.entries), (unpacked.bytes, unpacked.entries));
    // GNU tar reads it, too.
    let theirs = Mount::tmpfs("mode=0755");
    shell(&format!("zstd -dc | tar -C {} -x --numeric-owner -p", text(theirs.path())), &tar);
    let (mut ours, mut want) = (look(target.path()), look(theirs.path()));
    // Names of a file that wait for its data come late, and GNU tar 1.34 has given their directory its time by then.
    times(&mut ours, |_| 0);
    times(&mut want, |_| 0);
    compare("GNU tar", &ours, &want);
    Ok((packed, target))
}

#[test]
fn a_cpio_archive_packed_anew_becomes_the_same_tree() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Gnu);
    std::fs::remove_file(source.path().join("far")).unwrap();
    std::fs::write(source.path().join("nothing"), b"").unwrap();
    std::fs::hard_link(source.path().join("nothing"), source.path().join("nothing-again")).unwrap();
    for (order, filter) in [("find .", "cat"), ("find . -depth", "zstd -q"), ("find .", "lz4 -q")] {
        let pack = format!("cd {}; {order} -print0 | cpio --quiet -0 -o -H newc", text(source.path()));
        let cpio = shell(&pack, b"");
        let ours = Mount::tmpfs("mode=0755");
        unpack(&cpio, &ours).unwrap();
        let (packed, anew) = packed_anew(&shell(filter, &cpio), &PackOptions::default()).unwrap();
        compare(order, &look(anew.path()), &look(ours.path()));
        assert_eq!(
            packed.entries,
            look(ours.path()).len() as u64 + if order.ends_with("depth") { 6 } else { 0 }
        );
    }
}

#[test]
fn a_cpio_archive_packed_anew_may_lack_any_name_of_a_file() {
    let options = |pattern: &str| {
        let leave_out = LeaveOut { names: vec![pattern.parse().unwrap()], devices: false };
        PackOptions { leave_out, ..PackOptions::default() }
    };
    let links = part(&[
        linked("a", REGULAR, 1, 3, b""),
        linked("b", REGULAR, 1, 3, b""),
        linked("c", REGULAR, 1, 3, b"data"),
        file("d/x", b"1"),
    ]);
    for out in ["a", "b", "c", "d"] {
        let (_, target) = packed_anew(&links, &options(out)).unwrap();
        assert!(!target.path().join(out).exists());
        for name in ["a", "b", "c"].into_iter().filter(|name| *name != out) {
            assert_eq!(read(&target, name), "data", "without {out}");
            assert_eq!(target.path().join(name).metadata().unwrap().nlink(), if out == "d" { 3 } else { 2 });
        }
    }
    // The data went with the name that is left out.
    let first = part(&[linked("a", REGULAR, 1, 2, b"data"), linked("b", REGULAR, 1, 2, b"")]);
    let error = packed_anew(&first, &options("a")).unwrap_err();
    assert!(error.ends_with("b: hard link to a, which is not there yet"), "{error}");
}

#[test]
fn what_comes_later_in_a_cpio_archive_comes_later_when_it_is_packed_anew() {
    let one = part(&[linked("a", REGULAR, 7, 2, b""), linked("b", REGULAR, 7, 2, b"old")]);
    let two =
        part(&[linked("a", REGULAR, 7, 2, b""), file("b", b"new"), linked("c", REGULAR, 7, 2, b"both")]);
    let three = part(&[linked("e", REGULAR, 7, 2, b""), file("e", b"last")]);
    let both = [one, two, three].concat();
    let (_, target) = packed_anew(&both, &PackOptions::default()).unwrap();
    for (name, want) in [("a", "both"), ("b", "new"), ("c", "both"), ("e", "last")] {
        assert_eq!(read(&target, name), want, "{name}");
    }
    let twice = part(&[linked("a", REGULAR, 7, 2, b"one"), linked("b", REGULAR, 7, 2, b"two")]);
    let error = packed_anew(&twice, &PackOptions::default()).unwrap_err();
    assert!(error.contains("b: the data of this file comes twice"), "{error}");
}

#[test]
fn a_carried_stream_comes_back_at_every_length() {
    let noise = noise(33 << 20);
    for length in [0, 1, MIB16 - 1, MIB16, MIB16 + 1, noise.len()] {
        let data = &noise[..length];
        let initrd = File::from(rustix::fs::memfd_create("initrd", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        // Behind what somebody else compressed, and before what comes last: neither ends where it should.
        let mut first = Tree::default();
        first.file("init", 0o755, Content::Bytes(b"#!/bin/sh\n".to_vec())).unwrap();
        first.append(&initrd, 0).unwrap();
        (&initrd).write_all(&[0; 3]).unwrap();
        let mut carried = MemberWriter::begin(&initrd, "bootjack/root").unwrap();
        std::io::copy(&mut &*data, &mut carried).unwrap();
        assert_eq!(carried.finish().unwrap(), length as u64);
        let mut last = Tree::default();
        last.file("bootjack/handoff.json", 0o600, Content::Bytes(b"{}".to_vec())).unwrap();
        last.append(&initrd, 0).unwrap();

        let mut bytes = Vec::new();
        (&initrd).rewind().unwrap();
        (&initrd).read_to_end(&mut bytes).unwrap();
        let (ours, theirs) = (Mount::tmpfs("mode=0755"), Mount::tmpfs("mode=0755"));
        unpack(&bytes, &ours).unwrap();
        // cpio(1) reads one part: the one that begins in the block after the three bytes.
        let begin = 512 + bytes.windows(10).position(|name| name == b"TRAILER!!!").unwrap() / 512 * 512;
        assert_eq!(bytes[begin..begin + 3], [0; 3]);
        let extract = format!("cd {}; cpio --quiet -i -d; cat > /dev/null", text(theirs.path()));
        shell(&extract, &bytes[begin + 512..]);
        for root in [&ours, &theirs] {
            let at = |name: &str| root.path().join("bootjack/root").join(name);
            let count = length.div_ceil(MIB16).max(1);
            let names: Vec<String> = (0..count).map(|n| format!("{n:04}")).collect();
            let mut found: Vec<_> = std::fs::read_dir(at(""))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            assert_eq!(found, names, "{length}");
            let pieces: Vec<_> = names.iter().map(|name| std::fs::read(at(name)).unwrap()).collect();
            assert!(pieces.concat() == data, "{length} bytes are others");
            assert_eq!(at("0000").metadata().unwrap().mode(), 0o100_600);
        }
        assert_eq!(read(&ours, "bootjack/handoff.json"), "{}");
    }
}

#[test]
fn a_carried_stream_gives_its_memory_back_while_it_is_read() {
    let data = noise(40 << 20);
    let initrd = File::from(rustix::fs::memfd_create("initrd", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    let mut carried = MemberWriter::begin(&initrd, "bootjack/root").unwrap();
    carried.write_all(&data).unwrap();
    carried.finish().unwrap();
    // As the kernel does.
    let second_stage = Mount::tmpfs("mode=0755");
    let mut bytes = Vec::new();
    (&initrd).rewind().unwrap();
    (&initrd).read_to_end(&mut bytes).unwrap();
    unpack(&bytes, &second_stage).unwrap();
    let used = || {
        let now = rustix::fs::statvfs(second_stage.path()).unwrap();
        ((now.f_blocks - now.f_bfree) * now.f_frsize) as usize
    };
    assert_eq!(used(), data.len());

    let location = Location::Initramfs(second_stage.path().join("bootjack/root"));
    let fetcher = Fetcher::new(&Config::default()).unwrap();
    let timing = Timing::for_budget(std::time::Duration::ZERO);
    let mut source = fetcher.open(&location, &timing, &|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(source.length, Some(data.len() as u64));
    let (mut got, mut piece) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        let n = source.reader.read(&mut piece).unwrap();
        if n == 0 {
            break;
        }
        got.extend_from_slice(&piece[..n]);
        // All but the members that were read to their end.
        let gone = if got.len() == data.len() { data.len() } else { got.len() / MIB16 * MIB16 };
        assert_eq!(used(), data.len() - gone, "after {}", got.len());
    }
    assert!(got == data);
}
