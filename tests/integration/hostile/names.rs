//! Names and links that lead elsewhere, devices and what stands in their place.

use std::os::unix::fs::FileTypeExt as _;

use tar_core::EntryType;

use super::Beside;
use crate::archive::{directory, file, hard_link, member, symlink, tar};
use crate::cpio::{linked, part};

const REGULAR: u32 = 0o100_644;
const DIRECTORY: u32 = 0o040_755;
const SYMLINK: u32 = 0o120_777;
const CHARACTER: u32 = 0o020_666;

/// The same members in both formats.
struct Both(Vec<Vec<u8>>, Vec<Vec<u8>>);

impl Both {
    fn new() -> Self {
        Self(vec![], vec![])
    }
    fn file(mut self, name: &str, data: &str) -> Self {
        self.0.push(file(name, data.as_bytes()));
        self.1.push(linked(name, REGULAR, 1, 1, data.as_bytes()));
        self
    }
    fn directory(mut self, name: &str) -> Self {
        self.0.push(directory(name));
        self.1.push(linked(name, DIRECTORY, 1, 2, b""));
        self
    }
    fn symlink(mut self, name: &str, target: &str) -> Self {
        self.0.push(symlink(name, target));
        self.1.push(linked(name, SYMLINK, 1, 1, target.as_bytes()));
        self
    }
    fn archives(&self) -> [(&'static str, Vec<u8>); 2] {
        [("tar", tar(&self.0)), ("cpio", part(&self.1))]
    }
}

#[test]
fn an_absolute_name_lands_inside() {
    for name in ["/etc/passwd", "//etc/passwd", "/./etc//passwd", "./etc/./passwd"] {
        for (format, archive) in Both::new().file(name, "theirs").archives() {
            let beside = Beside::new();
            beside.unpack(&archive).unwrap_or_else(|e| panic!("{format}, {name}: {e}"));
            assert_eq!(beside.read("etc/passwd"), "theirs", "{format}, {name}");
        }
    }
    let own = std::fs::read("/etc/passwd").unwrap();
    assert_ne!(own, b"theirs");
}

#[test]
fn a_link_out_of_the_tree_leads_inside_or_nowhere() {
    let canary = Beside::new().canary();
    let canary = canary.to_str().unwrap();
    // Below the root of the archive there is no such directory; a file of that name is none.
    for target in ["../canary", "../../../canary", canary, "/proc/self/cwd/../canary", "/canary"] {
        for (format, archive) in Both::new().symlink("s", target).file("s/victim", "!").archives() {
            let beside = Beside::new();
            let told = beside.refused(&archive);
            assert_eq!(
                told, "s/victim: opening its directory: No such file or directory (os error 2)",
                "{format}"
            );
        }
        // With one, that is where it lands: `..` at the root is the root.
        let inside = Both::new().directory("canary").symlink("s", "../canary").file("s/victim", "inside");
        for (format, archive) in inside.archives() {
            let beside = Beside::new();
            beside.unpack(&archive).unwrap_or_else(|e| panic!("{format}: {e}"));
            assert_eq!(beside.read("canary/victim"), "inside", "{format}");
        }
    }
    // Not followed at the leaf, whatever comes there.
    let over = Both::new().symlink("s", "../canary/victim").file("s", "file").symlink("d", "../canary");
    for (format, archive) in over.directory("d").file("d/victim", "own").archives() {
        let beside = Beside::new();
        beside.unpack(&archive).unwrap_or_else(|e| panic!("{format}: {e}"));
        assert_eq!((beside.read("s"), beside.read("d/victim")), ("file".into(), "own".into()), "{format}");
    }
}

#[test]
fn a_link_is_stored_as_it_is_and_followed_by_nobody() {
    for (format, archive) in Both::new().symlink("s", "../../canary/victim").archives() {
        let beside = Beside::new();
        beside.unpack(&archive).unwrap_or_else(|e| panic!("{format}: {e}"));
        let target = std::fs::read_link(beside.tree().join("s")).unwrap();
        assert_eq!(target.to_str(), Some("../../canary/victim"), "{format}");
    }
}

#[test]
fn a_hard_link_out_of_the_tree_is_refused_by_name() {
    let canary = Beside::new().canary();
    let canary = canary.to_str().unwrap();
    for (members, want) in [
        (vec![hard_link("h", "../canary/victim")], "h: hard link to ../canary/victim: `..` in the name"),
        (vec![hard_link("h", "a/../../canary/victim")], "h: hard link to a/../../canary/victim: `..`"),
        (vec![hard_link("h", &format!("{canary}/victim"))], "victim, which is not there yet"),
        (
            vec![symlink("s", "../canary"), hard_link("h", "s/victim")],
            "h: hard link to s/victim, which is not there yet",
        ),
        (
            vec![symlink("s", "/proc/self/root"), hard_link("h", &format!("s{canary}/victim"))],
            "victim, which is not there yet",
        ),
        (vec![hard_link("h", "h")], "h: hard link to h, which is not there yet"),
        (vec![hard_link("h", "/")], "h: hard link to the root"),
        (vec![directory("d"), hard_link("h", "d")], "h: creating the hard link: Operation not permitted"),
    ] {
        let told = Beside::new().refused(&tar(&members));
        assert!(told.contains(want), "{told:?} lacks {want:?}");
    }
    // The link itself, not what it leads to, gets the further name; nor is it written through.
    let beside = Beside::new();
    let members = [symlink("s", "../canary/victim"), hard_link("h", "s"), file("h", b"new")];
    beside.unpack(&tar(&members)).unwrap();
    assert_eq!(beside.read("h"), "new");
    // In cpio a further name may bring data, for a first one that is a link by now.
    let archive = part(&[
        linked("a", REGULAR, 9, 2, b""),
        linked("a", SYMLINK, 1, 1, b"../canary/victim"),
        linked("b", REGULAR, 9, 2, b"for whom?"),
    ]);
    let told = Beside::new().refused(&archive);
    assert_eq!(told, "b: hard link with data to a, which is no file any more");
}

#[test]
fn loops_of_links_are_refused_by_name() {
    let loops = [
        Both::new().symlink("a", "b").symlink("b", "a").file("a/x", "!"),
        Both::new().symlink("a", "a").file("a/x", "!"),
        Both::new().symlink("a", "./a/.").file("a/x", "!"),
        Both::new().directory("d").symlink("d/a", "../d/a").file("d/a/x", "!"),
    ];
    for members in loops {
        for (format, archive) in members.archives() {
            let told = Beside::new().refused(&archive);
            let want = "a/x: opening its directory: Too many levels of symbolic links";
            assert!(told.contains(want), "{format}: {told:?}");
        }
    }
    // Longer than the kernel bears, though it has an end.
    let mut chain = Both::new().directory("l0");
    for n in 1..=60 {
        chain = chain.symlink(&format!("l{n}"), &format!("l{}", n - 1));
    }
    for (format, archive) in chain.file("l60/x", "!").archives() {
        let told = Beside::new().refused(&archive);
        assert!(told.starts_with("l60/x: opening its directory: Too many levels"), "{format}: {told:?}");
    }
}

#[test]
fn a_device_is_neither_opened_nor_gone_through() {
    let node = |name: &str, device: (u32, u32)| {
        let mut entry = tar_core::builder::EntryBuilder::new_gnu();
        entry.path(name).mode(0o666).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(1).unwrap();
        entry.size(0).unwrap().entry_type(EntryType::Char).device(device.0, device.1).unwrap();
        entry.finish_bytes()
    };
    // Written to, this one says "no space": it would be an error of another name.
    let full = node("full", (1, 7));
    let told = Beside::new().refused(&tar(&[full.clone(), file("full/x", b"!")]));
    assert_eq!(told, "full/x: opening its directory: Not a directory (os error 20)");
    let beside = Beside::new();
    beside.unpack(&tar(&[full.clone(), hard_link("h", "full"), file("full", b"a file"), full])).unwrap();
    for name in ["full", "h"] {
        let meta = beside.tree().join(name).metadata().unwrap();
        assert!(meta.file_type().is_char_device(), "{name}");
    }
    // One with data behind its header: for a tar reader that is the next header, for a cpio reader nonsense.
    let mut greedy = node("n", (1, 3));
    greedy[124..136].copy_from_slice(b"00000001000\0");
    greedy[148..156].fill(b' ');
    let sum: u32 = greedy.iter().map(|b| u32::from(*b)).sum();
    greedy[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let told = Beside::new().refused(&tar(&[greedy, vec![b'x'; 512]]));
    assert!(told.contains("after member n: "), "{told}");
    let told = Beside::new().refused(&part(&[linked("n", CHARACTER, 1, 1, b"data")]));
    assert_eq!(told, "n: 4 bytes of data in something that is no file");
}

#[test]
fn names_no_file_system_has_are_refused_by_name_on_one_line() {
    let long = "n".repeat(256);
    let both = |name: &str| Both::new().file(name, "!").archives();
    for (format, archive) in both(&format!("d/{long}")) {
        let told = Beside::new().refused(&archive);
        assert_eq!(
            told,
            format!("d/{long}: creating the file: File name too long (os error 36)"),
            "{format}"
        );
    }
    // A newline is a letter like any other to a file system, and must not make two messages of one.
    for (format, archive) in both("two\nlines") {
        let beside = Beside::new();
        beside.unpack(&archive).unwrap_or_else(|e| panic!("{format}: {e}"));
        assert_eq!(beside.read("two\nlines"), "!", "{format}");
    }
    for (format, archive) in both("a\nbootjack: all is well\u{1b}[2J/../x") {
        let told = Beside::new().refused(&archive);
        assert_eq!(told, "a\\nbootjack: all is well\\u{1b}[2J/../x: `..` in the name", "{format}");
        let said = Beside::new().refused_by_the_program(&archive);
        let lines: Vec<&str> =
            said.lines().filter(|line| line.starts_with("bootjack: all is well")).collect();
        assert!(lines.is_empty() && !said.contains('\u{1b}'), "{said:?}");
        assert!(said.contains("`..` in the name"), "{said}");
    }
    let told = Beside::new().refused(&tar(&[hard_link("h\n", "x\ny")]));
    assert_eq!(told, "h\\n: hard link to x\\ny, which is not there yet");
    // In a header a name ends at the NUL, in a cpio member too; in a pax record it may not have one (`archive`'s tests).
    let mut with_nul = file("abcdef", b"!");
    with_nul[3] = 0;
    with_nul[148..156].fill(b' ');
    let sum: u32 = with_nul[..512].iter().map(|b| u32::from(*b)).sum();
    with_nul[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let beside = Beside::new();
    beside.unpack(&tar(&[with_nul])).unwrap();
    assert_eq!(beside.read("abc"), "!");
    let mut cpio = linked("abcdef", REGULAR, 1, 1, b"!");
    cpio[110 + 3] = 0;
    let beside = Beside::new();
    beside.unpack(&part(&[cpio])).unwrap();
    assert_eq!(beside.read("abc"), "!");
}

#[test]
fn the_program_leaves_nothing_of_what_it_refuses() {
    let good = Both::new().directory("d").file("d/good", "good");
    for (format, archive) in good.symlink("s", "../canary").file("s/victim", "!").archives() {
        let said = Beside::new().refused_by_the_program(&archive);
        assert!(said.contains("s/victim: opening its directory: No such file"), "{format}: {said}");
    }
}

#[test]
fn a_tree_that_is_there_is_not_left_either() {
    // Modules that are added to a root which was verified: its links may lead anywhere.
    let beside = Beside::new();
    std::os::unix::fs::symlink("../canary", beside.tree().join("lib")).unwrap();
    std::fs::create_dir(beside.tree().join("canary")).unwrap();
    for (format, archive) in Both::new().directory("lib").file("lib/victim", "inside").archives() {
        let target = std::fs::File::open(beside.tree()).unwrap();
        let limits = bootjack::archive::Limits { bytes: 1 << 20, entries: 10 };
        let go_on = |_| std::ops::ControlFlow::Continue(());
        let fd = std::os::fd::AsFd::as_fd(&target);
        let made = bootjack::archive::add(&mut &archive[..], fd, &limits, &go_on);
        beside.is_untouched(&format!("{format}: {made:?}"));
        assert_eq!(beside.read("canary/victim"), "inside", "{format}: {made:?}");
    }
    let nul = member(EntryType::Symlink, "s", "", b"");
    let told = beside.refused(&tar(&[nul]));
    assert!(told.starts_with("s: "), "{told}");
}
