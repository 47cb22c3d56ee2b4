//! Packing: the archive holds the whole tree, is the same bytes each time, tells the truth about what it will become,
//! and is read by GNU tar too. Needs root, GNU tar, zstd, gzip, xz, pixz and setfacl.

use std::path::Path;

use bootjack::archive::{self, PackOptions, Packed};
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
    let at =
        |threads, epoch| pack(source.path(), &PackOptions { level: 1, threads, source_date_epoch: epoch });
    let (one, packed) = at(1, None);
    assert!(one == at(4, None).0);
    let copy = Mount::tmpfs("mode=0755");
    assert_eq!(unpack(&one, &copy).unwrap().bytes, packed.unpacked);
    assert!(pack(copy.path(), &PackOptions { level: 1, threads: 2, source_date_epoch: None }).0 == one);

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
    for command in ["cat", "gzip", "zstd -q", "xz -1", "pixz -1"] {
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

    std::fs::remove_file(&out).unwrap();
    let missing = command(&["/nowhere/at/all", "-o", to]).unwrap_err();
    assert!(missing.starts_with("pack: /nowhere/at/all: packing /nowhere/at/all: No such file"), "{missing}");
    let inside = format!("{from}/root.tar.zst");
    let error = command(&[from, "-o", &inside]).unwrap_err();
    assert!(error.contains("lies inside the directory to pack"), "{error}");
    assert!(command(&[from, "-o", to, "--level", "23"]).is_err());
    assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0, "a partial file stayed");
}
