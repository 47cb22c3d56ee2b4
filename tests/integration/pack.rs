//! Packing: the archive holds the whole tree, is the same bytes each time, tells the truth about what it will become,
//! and is read by GNU tar too; what is left out is what tar leaves out; what is damaged is known without unpacking it.
//! Needs root, GNU tar, zstd, gzip, xz, bzip2, lz4, pixz, setfacl, mksquashfs and mkfs.erofs.

use std::path::Path;
use std::process::Command;

use bootjack::archive::{self, LeaveOut, PackOptions, Packed};
use bootjack::verify::ChunkList;
use clap::Parser as _;

use crate::trees::{Mount, Room, allocated, compare, look, noise, plant, run, unpack};

fn pack(source: &Path, options: &PackOptions) -> (Vec<u8>, Packed) {
    let mut out = Vec::new();
    let packed = archive::pack(source, &mut out, options, &|_| {}).unwrap();
    assert_eq!(packed.bytes, out.len() as u64);
    assert_eq!(packed.sha256, bootjack::verify::Sha256::of(&out));
    (out, packed)
}

#[test]
fn a_packed_tree_comes_back_whole_and_as_large_as_was_said() {
    let source = Mount::tmpfs("mode=0711");
    plant(source.path(), Room::Pax);
    let (archive, packed) = pack(source.path(), &PackOptions::default());
    let want = look(source.path());
    let ours = Mount::tmpfs("mode=0755");
    let unpacked = unpack(&archive, &ours).unwrap();
    compare("ours", &look(ours.path()), &want);
    assert_eq!((packed.unpacked, packed.entries), (unpacked.bytes, unpacked.entries));
    assert_eq!(unpacked.bytes, allocated(ours.path()));
    assert_eq!(packed.entries, want.len() as u64);

    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("a.tar.zst");
    std::fs::write(&file, &archive).unwrap();
    let theirs = Mount::tmpfs("mode=0755");
    let target = theirs.path().to_str().unwrap();
    run(
        "tar",
        &[
            "--xattrs",
            "--xattrs-include=*",
            "--acls",
            "--numeric-owner",
            "-p",
            "-C",
            target,
            "--zstd",
            "-xf",
            file.to_str().unwrap(),
        ],
    );
    compare("GNU tar", &look(theirs.path()), &want);
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Pax);
    // More than one frame for each thread.
    std::fs::write(source.path().join("much"), noise(60 << 20)).unwrap();
    let options = |threads, source_date_epoch| PackOptions {
        level: 1,
        threads,
        source_date_epoch,
        ..PackOptions::default()
    };
    let at = |threads, epoch| pack(source.path(), &options(threads, epoch));
    let (one, packed) = at(1, None);
    assert!(one == at(4, None).0);
    let copy = Mount::tmpfs("mode=0755");
    assert_eq!(unpack(&one, &copy).unwrap().bytes, packed.unpacked);
    assert!(pack(copy.path(), &options(2, None)).0 == one);

    let (early, _) = at(2, Some(1_000_000_000));
    let capped = Mount::tmpfs("mode=0755");
    unpack(&early, &capped).unwrap();
    let time = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        let meta = capped.path().join(name).symlink_metadata().unwrap();
        (meta.mtime(), meta.mtime_nsec())
    };
    assert_eq!(time("fraction"), (1_000_000_000, 0));
    assert_eq!(time("one"), (1, 0));
}

#[test]
fn an_archive_is_packed_anew_byte_for_byte() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Pax);
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name);
    let plain = at("plain");
    run(
        "tar",
        &[
            "--format=pax",
            "--xattrs",
            "--sparse",
            "-C",
            source.path().to_str().unwrap(),
            "-cf",
            plain.to_str().unwrap(),
            ".",
        ],
    );
    for command in ["cat", "gzip", "zstd -q", "xz -1", "pixz -1", "bzip2 -1", "lz4 -q"] {
        let packed_by = at("packed");
        run("sh", &["-c", &format!("{command} <{} >{}", plain.display(), packed_by.display())]);
        let (archive, packed) = pack(&packed_by, &PackOptions::default());
        let again = zstd::decode_all(&archive[..]).unwrap();
        assert!(again == std::fs::read(&plain).unwrap(), "{command}");
        let target = Mount::tmpfs("mode=0755");
        let unpacked = unpack(&archive, &target).unwrap();
        assert_eq!((packed.unpacked, packed.entries), (unpacked.bytes, unpacked.entries), "{command}");
    }
    std::fs::write(at("bad"), &std::fs::read(&plain).unwrap()[..5120]).unwrap();
    let error = archive::pack(&at("bad"), &mut Vec::new(), &PackOptions::default(), &|_| {}).unwrap_err();
    assert!(format!("{error:#}").contains("bad: "), "{error:#}");
}

#[test]
fn directories_that_are_no_members_are_counted_as_they_are_made() {
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name);
    let tree = at("tree");
    std::fs::create_dir_all(tree.join("usr/lib/deep/down")).unwrap();
    std::fs::create_dir_all(tree.join("usr/share")).unwrap();
    for (link, target) in
        [("lib", "usr/lib"), ("usr/up", "../../lib/deep"), ("usr/share/abs", "/usr/up/./down/..")]
    {
        std::os::unix::fs::symlink(target, tree.join(link)).unwrap();
    }
    std::fs::write(tree.join("file"), b"x").unwrap();
    let plain = at("plain");
    let add = |name: &str, become_: &str| {
        let rename = format!("--transform=s,^file$,{become_},");
        let (tree, plain) = (tree.to_str().unwrap(), plain.to_str().unwrap());
        run("tar", &["--format=pax", "--no-recursion", "-C", tree, &rename, "-rf", plain, name]);
    };
    add("file", "usr/lib/a/b/c");
    add("file", "usr/lib/a/d");
    for link in ["lib", "usr/up", "usr/share/abs"] {
        add(link, link);
    }
    add("file", "lib/deep/x");
    add("file", "usr/up/down/y");
    add("file", "usr/share/abs/z/z");
    add("file", "lib/a/e/f");
    add("file", "usr/lib/deep/z/y/x");
    let (archive, packed) = pack(&plain, &PackOptions::default());
    let target = Mount::tmpfs("mode=0755");
    let unpacked = unpack(&archive, &target).unwrap();
    assert_eq!((packed.unpacked, packed.entries), (unpacked.bytes, unpacked.entries));
    assert_eq!(packed.entries, look(target.path()).len() as u64 - 1, "all but the root");
}

#[test]
fn file_systems_mounted_below_are_not_entered_and_sockets_left_out() {
    let source = Mount::tmpfs("mode=0755");
    let below = source.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.path().join("socket")).unwrap();
    run("mount", &["-t", "tmpfs", "-o", "mode=0750", "below", below.to_str().unwrap()]);
    std::fs::write(below.join("inside"), b"x").unwrap();
    let (archive, packed) = pack(source.path(), &PackOptions::default());
    run("umount", &[below.to_str().unwrap()]);
    let target = Mount::tmpfs("mode=0755");
    unpack(&archive, &target).unwrap();
    assert_eq!(packed.entries, 2);
    assert_eq!(std::fs::read_dir(target.path().join("below")).unwrap().count(), 0);
    assert!(!target.path().join("socket").exists());
}

#[test]
fn images_are_packed_as_the_kernel_mounts_them() {
    let work = tempfile::tempdir().unwrap();
    let image = work.path().join("image");
    let to = image.to_str().unwrap();
    // What mkfs.erofs of erofs-utils 1.5 takes.
    for (kind, room) in [("squashfs", Room::Pax), ("erofs", Room::Ustar)] {
        let source = Mount::tmpfs("mode=0755");
        plant(source.path(), room);
        let from = source.path().to_str().unwrap();
        let make = match kind {
            "squashfs" => vec!["mksquashfs", from, to, "-quiet", "-no-progress"],
            _ => vec!["mkfs.erofs", to, from],
        };
        run(make[0], &make[1..]);
        let (archive, packed) = pack(&image, &PackOptions { level: 1, ..PackOptions::default() });
        let (ours, mounted) = (Mount::tmpfs("mode=0755"), tempfile::tempdir_in(work.path()).unwrap());
        let unpacked = unpack(&archive, &ours).unwrap();
        assert_eq!((packed.unpacked, packed.entries), (unpacked.bytes, unpacked.entries), "{kind}");
        let at = mounted.path().to_str().unwrap();
        run("mount", &["-o", "loop,ro", "-t", kind, to, at]);
        let tree = |path: &Path| {
            let tree = look(path).into_iter();
            tree.map(|(name, entry)| (name, entry.without_holes())).collect()
        };
        let (got, want) = (tree(ours.path()), tree(mounted.path()));
        run("umount", &[at]);
        compare(kind, &got, &want);
        assert!(got.len() > 60);
        let loops = Command::new("losetup").args(["-j", to]).output().unwrap().stdout;
        assert!(loops.is_empty(), "{}", String::from_utf8_lossy(&loops));
        std::fs::remove_file(&image).unwrap();
    }
    // Nobody may mount.
    let bootjack = work.path().join("bootjack");
    std::fs::copy(env!("CARGO_BIN_EXE_bootjack"), &bootjack).unwrap();
    std::fs::set_permissions(work.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::write(&image, [&b"hsqs"[..], &[0; 4096]].concat()).unwrap();
    let mut command = Command::new(bootjack);
    std::os::unix::process::CommandExt::uid(&mut command, 65534);
    let refused = command.args(["pack", to, "-o"]).arg(work.path().join("out")).output().unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && words.contains("unsquashfs -d DIR FILE, and pack DIR"), "{words}");
}

#[test]
fn every_frame_is_of_the_size_asked_for_and_stands_alone() {
    let source = Mount::tmpfs("mode=0755");
    std::fs::write(source.path().join("much"), noise(5 << 20)).unwrap();
    let frames = |mib: usize| {
        let options = PackOptions { frame: mib << 20, level: 1, ..PackOptions::default() };
        let (archive, _) = pack(source.path(), &options);
        let (mut from, mut sizes) = (0, Vec::new());
        while from < archive.len() {
            let length = zstd::zstd_safe::find_frame_compressed_size(&archive[from..]).unwrap();
            sizes.push(zstd::bulk::decompress(&archive[from..from + length], 64 << 20).unwrap().len());
            from += length;
        }
        sizes
    };
    let (two, all) = (frames(2), frames(32));
    assert_eq!((two.len(), &two[..2]), (3, &[2 << 20; 2][..]));
    assert_eq!((all.len(), all[0]), (1, two.iter().sum()));
}

/// What tar and this program leave out.
const PATTERNS: &[&str] =
    &["./plain/1*", "*.pyc", "shared", "./zz-[a-o]*", "heirs/?e*", "./nnnn*", "/empty", "nothing-at-all"];

#[test]
fn exclude_leaves_out_what_tar_leaves_out_with_anchored_patterns() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Pax);
    std::fs::create_dir_all(source.path().join("a/b")).unwrap();
    std::fs::write(source.path().join("a/b/c.pyc"), b"1").unwrap();
    let names = || PATTERNS.iter().map(|pattern| pattern.parse().unwrap()).collect();
    let options =
        PackOptions { leave_out: LeaveOut { names: names(), devices: true }, ..PackOptions::default() };
    // The first name of a file comes first, so that it is not the one to be left out.
    let mut all =
        vec!["--format=pax", "--sort=name", "--xattrs", "--xattrs-include=*", "--acls", "--anchored"];
    // tar takes patterns as they are; names of members begin with `./`.
    let excluded: Vec<String> = PATTERNS
        .iter()
        .map(|pattern| match pattern.trim_start_matches("./").trim_start_matches('/') {
            any if any.starts_with('*') => format!("--exclude={any}"),
            rest => format!("--exclude=./{rest}"),
        })
        .collect();
    all.extend(excluded.iter().map(String::as_str));
    let work = tempfile::tempdir().unwrap();
    let tar = |name: &str, more: &[&str]| {
        let file = work.path().join(name);
        let words = ["-C", source.path().to_str().unwrap(), "-cf", file.to_str().unwrap(), "."];
        run("tar", &[more, &words].concat());
        file
    };
    let (without, whole) = (tar("without", &all), tar("whole", &all[..5]));
    let want = Mount::tmpfs("mode=0755");
    unpack(&std::fs::read(without).unwrap(), &want).unwrap();
    let tree = |root: &Mount| {
        let tree = look(root.path()).into_iter();
        tree.map(|(name, entry)| (name, entry.without_holes())).collect::<crate::trees::Tree>()
    };
    let want = tree(&want);
    assert!(!want.contains_key(Path::new("zz-one")) && !want.contains_key(Path::new("a/b/c.pyc")));
    for from in [source.path(), &whole] {
        let (archive, packed) = pack(from, &options);
        let target = Mount::tmpfs("mode=0755");
        let unpacked = unpack(&archive, &target).unwrap();
        assert_eq!((packed.unpacked, packed.entries), (unpacked.bytes, unpacked.entries), "{from:?}");
        compare(&format!("{from:?}"), &tree(&target), &want);
    }
    assert_eq!(options.leave_out.unused().collect::<Vec<_>>(), ["nothing-at-all"]);
}

#[test]
fn a_member_left_out_of_an_archive_leaves_the_bytes_of_the_others_alone() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Pax);
    let work = tempfile::tempdir().unwrap();
    let file = |name: &str| work.path().join(name);
    let options = |patterns: &[&str]| {
        let names = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let leave_out = LeaveOut { names, devices: false };
        PackOptions { leave_out, ..PackOptions::default() }
    };
    // Headers of pax have access times and the process's number otherwise, those of sparse files in any case.
    let pax = "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime";
    for format in [["--format=gnu", "--sparse", "-p"], ["--format=pax", "--xattrs", pax]] {
        let tar = |name: &str, more: &[&str]| {
            let to = file(name);
            // In order of names, so that a name more or less moves no other.
            let words = ["--sort=name", "-b", "1", "-C", source.path().to_str().unwrap()];
            run("tar", &[&format, &words[..], more, &["-cf", to.to_str().unwrap(), "."]].concat());
            std::fs::read(to).unwrap()
        };
        tar("whole", &[]);
        let without = tar("without", &["--anchored", "--exclude=./sparse", "--exclude=./nnnn*"]);
        let (archive, _) = pack(&file("whole"), &options(&["sparse", "nnnn*"]));
        assert!(zstd::decode_all(&archive[..]).unwrap() == without, "{format:?}");
    }
    let error = archive::pack(&file("whole"), &mut Vec::new(), &options(&["one"]), &|_| {}).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("hard link to ./one, which is not there yet"), "{error}");
}

#[test]
fn strip_dev_leaves_out_the_nodes_below_dev_and_nothing_else() {
    let source = Mount::tmpfs("mode=0755");
    std::fs::create_dir_all(source.path().join("dev/pts")).unwrap();
    std::fs::create_dir(source.path().join("var")).unwrap();
    let node = |name: &str, kind: &str| {
        let path = source.path().join(name);
        run(
            "mknod",
            &[&[path.to_str().unwrap(), kind][..], if kind == "p" { &[] } else { &["1", "3"] }].concat(),
        );
    };
    for (name, kind) in
        [("dev/null", "c"), ("dev/pts/0", "c"), ("dev/sda", "b"), ("dev/fifo", "p"), ("var/null", "c")]
    {
        node(name, kind);
    }
    std::os::unix::fs::symlink("/proc/self/fd", source.path().join("dev/fd")).unwrap();
    let work = tempfile::tempdir().unwrap();
    let (tar, cpio) = (work.path().join("tar"), work.path().join("cpio"));
    let root = source.path().to_str().unwrap();
    run("tar", &["-C", root, "-cf", tar.to_str().unwrap(), "."]);
    run("sh", &["-c", &format!("cd {root}; find . | cpio --quiet -o -H newc >{}", cpio.display())]);
    let options =
        PackOptions { leave_out: LeaveOut { names: vec![], devices: true }, ..PackOptions::default() };
    for from in [source.path(), &tar, &cpio] {
        let target = Mount::tmpfs("mode=0755");
        unpack(&pack(from, &options).0, &target).unwrap();
        let names: Vec<_> = look(target.path()).keys().map(|name| name.display().to_string()).collect();
        assert_eq!(names, ["", "dev", "dev/fd", "dev/fifo", "dev/pts", "var", "var/null"], "{from:?}");
    }
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: bootjack::commands::pack::PackArgs,
}

fn command(args: &[&str]) -> Result<(), String> {
    let cli = Cli::try_parse_from([&["pack"], args].concat()).map_err(|e| e.to_string())?;
    bootjack::commands::pack::run(&cli.args).map(|_| ()).map_err(|failure| failure.to_string())
}

#[test]
fn the_command_leaves_a_whole_archive_or_none() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Ustar);
    let work = tempfile::tempdir().unwrap();
    let out = work.path().join("root.tar.zst");
    let (from, to) = (source.path().to_str().unwrap(), out.to_str().unwrap());
    command(&[from, "-o", to, "--level", "3", "--threads", "2", "--json"]).unwrap();
    let target = Mount::tmpfs("mode=0755");
    unpack(&std::fs::read(&out).unwrap(), &target).unwrap();
    compare("by the command", &look(target.path()), &look(source.path()));

    let (archive, list) = (std::fs::read(&out).unwrap(), work.path().join("root.tar.zst.chunks"));
    let list = ChunkList::parse(&std::fs::read(list).unwrap()).unwrap();
    assert_eq!(list.total(), archive.len() as u64);
    for file in std::fs::read_dir(work.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let missing = command(&["/nowhere/at/all", "-o", to]).unwrap_err();
    assert!(missing.starts_with("pack: /nowhere/at/all: packing /nowhere/at/all: No such file"), "{missing}");
    let inside = format!("{from}/root.tar.zst");
    let error = command(&[from, "-o", &inside]).unwrap_err();
    assert!(error.contains("lies inside the directory to pack"), "{error}");
    assert!(command(&[from, "-o", to, "--level", "23"]).is_err());
    assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0, "a partial file stayed");
}

/// Standard output and standard error of `bootjack pack`, and whether it succeeded.
fn said(words: &[&str]) -> (String, String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_bootjack")).arg("pack").args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

#[test]
fn verify_says_of_an_archive_what_packing_said() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Pax);
    let work = tempfile::tempdir().unwrap();
    let out = work.path().join("root.tar.zst");
    let to = out.to_str().unwrap();
    let (line, _, packed) = said(&[source.path().to_str().unwrap(), "-o", to, "--level", "1"]);
    assert!(packed && line.starts_with("root = { url = \"root.tar.zst\""), "{line}");
    let (again, words, whole) = said(&["--verify", to]);
    assert_eq!((again, whole), (line, true));
    assert!(words.ends_with("root.tar.zst is whole: tar, zstd\n"), "{words}");
    for (command, kind) in
        [("cat", "plain"), ("gzip", "gzip"), ("xz -0", "xz"), ("bzip2", "bzip2"), ("lz4 -q", "lz4")]
    {
        let other = work.path().join(kind);
        run("sh", &["-c", &format!("zstd -dcq {to} | {command} >{}", other.display())]);
        let (json, _, whole) = said(&[other.to_str().unwrap(), "--verify", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let bytes = std::fs::read(&other).unwrap();
        let target = Mount::tmpfs("mode=0755");
        let unpacked = unpack(&bytes, &target).unwrap();
        let want = serde_json::json!({
            "url": kind, "sha256": bootjack::verify::Sha256::of(&bytes), "size": bytes.len(),
            "unpacked": unpacked.bytes, "entries": unpacked.entries, "format": "tar", "compression": kind,
        });
        assert_eq!((json, whole), (want, true));
    }
}

#[test]
fn verify_refuses_what_unpacking_refuses_and_writes_nothing() {
    let source = Mount::tmpfs("mode=0755");
    plant(source.path(), Room::Ustar);
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("archive");
    let (archive, _) = pack(source.path(), &PackOptions { level: 1, ..PackOptions::default() });
    let flipped = |at: usize| {
        let mut bytes = archive.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let plain = zstd::decode_all(&archive[..]).unwrap();
    let dangling = {
        let mut entry = tar_core::builder::EntryBuilder::new_gnu();
        entry.path("h").mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(1).unwrap();
        entry.size(0).unwrap().entry_type(tar_core::EntryType::Link).link_name("nobody");
        [&entry.finish_bytes()[..], &[0; 1024]].concat()
    };
    for (what, bytes, want) in [
        ("a flipped bit", flipped(archive.len() / 2), "decoding zstd"),
        ("a flipped checksum", flipped(archive.len() - 1), "decoding zstd"),
        ("cut", archive[..archive.len() - 1].to_vec(), "the zstd stream ends too early"),
        ("without its end", plain[..plain.len() - 1024].to_vec(), "ends without its end marker"),
        ("more", [&archive[..], b"x"].concat(), "other data after the zstd frame"),
        ("dangling", dangling, "h: hard link to nobody, which is not there yet"),
        ("no archive", b"<html>".repeat(100), "this is an HTML page"),
    ] {
        std::fs::write(&file, &bytes).unwrap();
        let (line, error, whole) = said(&["--verify", file.to_str().unwrap()]);
        assert_eq!((line.as_str(), whole), ("", false), "{what}");
        assert!(error.contains(want) && !error.contains("is whole"), "{what}: {error}");
        assert!(unpack(&bytes, &Mount::tmpfs("mode=0755")).is_err(), "{what}");
    }
    assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 1);
}

#[test]
fn wrong_words_are_refused_with_right_ones() {
    for (words, want) in [
        (&["--verify", "a", "-o", "b"][..], "cannot be used with"),
        (&["--verify", "a", "--exclude", "x"], "cannot be used with"),
        (&["a"], "--output <FILE>"),
        (&["a", "-o", "b", "--exclude", "../x"], "\"../x\" has a `..`"),
        (&["a", "-o", "b", "--exclude", ""], "a right one: `var/cache/*`"),
        (&["a", "-o", "b", "--exclude", "a[b"], "invalid value 'a[b' for '--exclude <PATTERN>'"),
        (&["a", "-o", "b", "--frame-size", "0"], "0 is not in 1..=1024"),
        (&["--verify", "/nowhere"], "reading /nowhere: No such file"),
        (&["--verify", "/tmp"], "this is neither a directory nor a file"),
    ] {
        let (line, error, done) = said(words);
        assert!(!done && line.is_empty() && error.contains(want), "{words:?}: {error}");
    }
}
