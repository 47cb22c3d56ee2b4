//! `bootjack initrd --with`: programs of this machine come with everything they need, which is what ld.so(8) itself
//! says, and with nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The real binary.
const BOOTJACK: &str = env!("CARGO_BIN_EXE_bootjack");
const BUSYBOX: &str = "/bin/busybox";

/// Mode and contents by absolute path.
pub type Members = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// An initrd with these words: what is in it, and what was said.
pub fn build(words: &[&str]) -> Result<(Members, String), String> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("initrd");
    let done = Command::new(BOOTJACK)
        .args(["initrd", "--compress", "none", "--binary", BUSYBOX, "-o", out.to_str().unwrap()])
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    if !done.status.success() {
        return Err(said);
    }
    let (bytes, mut found) = (fs::read(out).unwrap(), Members::new());
    let mut archive = &bytes[..];
    loop {
        let mut member = cpio::newc::Reader::new(archive).unwrap();
        let entry = member.entry().clone();
        if entry.is_trailer() {
            return Ok((found, said));
        }
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        found.insert(Path::new("/").join(entry.name()), (entry.mode(), bytes));
        archive = member.finish().unwrap();
    }
}

/// The file that a path leads to in the initrd.
pub fn follow<'a>(members: &'a Members, path: &Path) -> Option<&'a [u8]> {
    let (mode, bytes) = members.get(path)?;
    if mode & 0o170_000 != 0o120_000 {
        return Some(bytes);
    }
    follow(members, Path::new(std::str::from_utf8(bytes).ok()?))
}

/// Loader and libraries, as ld.so lists them.
fn listed(program: &str) -> Vec<PathBuf> {
    let ldd = Command::new("ldd").arg(program).output().unwrap();
    assert!(ldd.status.success(), "{program}: {}", String::from_utf8_lossy(&ldd.stderr));
    let text = String::from_utf8(ldd.stdout).unwrap();
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    text.lines().filter_map(path).collect()
}

#[test]
fn programs_come_with_the_libraries_that_their_loader_lists_and_no_others() {
    for name in ["lvm", "mdadm", "cryptsetup", "/bin/bash"] {
        let program = match name.starts_with('/') {
            true => name.to_owned(),
            false => format!("/usr/sbin/{name}"),
        };
        let mut wanted = listed(&program);
        assert!(wanted.len() > 2, "{wanted:?}");
        wanted.push(program.clone().into());
        let (members, said) = build(&["--with", name]).unwrap();
        for path in &wanted {
            let there = follow(&members, path).unwrap_or_else(|| panic!("{name}: {} lacks", path.display()));
            assert!(there == fs::read(path).unwrap(), "{name}: {} is another", path.display());
            assert_eq!(members[&fs::canonicalize(path).unwrap()].0, 0o100_755, "{}", path.display());
        }
        // What is loaded without being listed anywhere, and the initrd's own.
        let own = ["libgcc_s.so.1", "legacy.so", "init", "null", "console", "lvm.conf", "with"];
        let real: Vec<PathBuf> = wanted.iter().map(|path| fs::canonicalize(path).unwrap()).collect();
        for (path, (mode, _)) in &members {
            let known = own.iter().any(|name| path.ends_with(name)) || real.contains(path);
            assert!(mode & 0o170_000 != 0o100_000 || known, "{name}: {} is not asked for", path.display());
        }
        assert!(members.keys().any(|path| path.ends_with("libgcc_s.so.1")), "{name}");
        let legacy = members.keys().any(|path| path.ends_with("ossl-modules/legacy.so"));
        assert_eq!(legacy, name == "cryptsetup");
        let line = said.lines().find(|line| line.starts_with(&format!("{name}: "))).unwrap_or_default();
        assert!(line.contains(" files, ") && line.ends_with(" MiB"), "{said}");
    }
}

#[test]
fn nothing_comes_along_unless_it_is_asked_for() {
    let (members, said) = build(&[]).unwrap();
    assert!(!members.keys().any(|path| path.to_string_lossy().contains("/lib/")), "{:?}", members.keys());
    assert!(said.is_empty(), "{said}");
    let (members, _) = build(&["--with", "lvm"]).unwrap();
    let settings = String::from_utf8_lossy(&members[Path::new("/etc/lvm/lvm.conf")].1).into_owned();
    assert!(settings.contains("udev_sync=0") && settings.contains("use_devicesfile=0"), "{settings}");
}

#[test]
fn several_programs_share_what_they_need_and_go_where_they_are_told() {
    let (members, _) = build(&["--with", "lvm,mdadm", "--with", "/bin/bash=/usr/local/bin/shell"]).unwrap();
    for place in ["/usr/sbin/lvm", "/usr/sbin/mdadm", "/usr/local/bin/shell"] {
        assert!(follow(&members, Path::new(place)).is_some_and(|b| b.starts_with(b"\x7fELF")), "{place}");
    }
    assert!(follow(&members, Path::new("/usr/bin/bash")).is_none(), "only where it was told to go");
    let twins = members.keys().filter(|path| path.ends_with("libc.so.6"));
    let files = twins.filter(|path| members[*path].0 & 0o170_000 == 0o100_000).count();
    assert_eq!(files, 1, "one file, however many names");
    // The second stage of a kexec takes along what is listed.
    let list = String::from_utf8(members[Path::new("/etc/bootjack/with")].1.clone()).unwrap();
    for line in list.lines() {
        assert!(members.contains_key(Path::new(line)), "{line}");
    }
    assert!(list.lines().any(|line| line == "/usr/local/bin/shell") && list.contains("libc.so.6"), "{list}");
}

#[test]
fn a_script_comes_with_its_interpreter() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("tool");
    let with = |text: &str| {
        fs::write(&script, text).unwrap();
        build(&["--with", &format!("{}=/bin/tool", script.display())])
    };
    let (members, _) = with("#!/bin/bash -e\necho\n").unwrap();
    assert_eq!(follow(&members, Path::new("/bin/tool")), Some(&b"#!/bin/bash -e\necho\n"[..]));
    assert!(follow(&members, Path::new("/bin/bash")).is_some());
    assert!(follow(&members, Path::new("/lib64/ld-linux-x86-64.so.2")).is_some());
    let (members, _) = with("#!/usr/bin/env -S bash -e\n").unwrap();
    for path in ["/usr/bin/env", "/usr/bin/bash"] {
        assert!(follow(&members, Path::new(path)).is_some(), "{path}");
    }
    let said = with("#!/usr/bin/env no-such-interpreter\n").unwrap_err();
    assert!(said.contains("its interpreter: no-such-interpreter is not on this machine"), "{said}");
    let said = with(&format!("#!{}\n", script.display())).unwrap_err();
    assert!(said.contains("too many interpreters"), "{said}");
}

/// A program that needs libouter, which needs libinner, with a search path of this kind.
fn linked(dir: &Path, tags: &str, rpath: &str) -> String {
    let cc = |words: &[&str]| {
        let done = Command::new("cc").current_dir(dir).args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    fs::create_dir_all(dir.join("libs")).unwrap();
    fs::write(dir.join("inner.c"), "int inner(void) { return 0; }\n").unwrap();
    fs::write(dir.join("outer.c"), "int inner(void); int outer(void) { return inner(); }\n").unwrap();
    fs::write(dir.join("main.c"), "int outer(void); int main(void) { return outer(); }\n").unwrap();
    cc(&["-shared", "-fPIC", "-o", "libs/libinner.so", "inner.c"]);
    cc(&["-shared", "-fPIC", "-o", "libs/libouter.so", "outer.c", "-Llibs", "-linner"]);
    let path = format!("-Wl,{tags},-rpath,{rpath}");
    let link = ["-o", "program", "main.c", &path, "-Llibs", "-louter", "-Wl,--allow-shlib-undefined"];
    cc(&link);
    dir.join("program").display().to_string()
}

#[test]
fn search_paths_in_a_program_are_followed_as_the_loader_follows_them() {
    let dir = tempfile::tempdir().unwrap();
    // An RPATH is searched for what a library needs, too; a RUNPATH is not.
    let program = linked(dir.path(), "--disable-new-dtags", "$ORIGIN/libs");
    assert!(Command::new(&program).status().unwrap().success(), "the loader finds it");
    let (members, _) = build(&["--with", &program]).unwrap();
    for name in ["libs/libinner.so", "libs/libouter.so", "program"] {
        let path = dir.path().join(name);
        assert_eq!(follow(&members, &path), Some(&fs::read(&path).unwrap()[..]), "{name}");
    }
    let program = linked(dir.path(), "--enable-new-dtags", "$ORIGIN/nowhere:${ORIGIN}/./libs");
    assert!(!Command::new(&program).status().unwrap().success(), "the loader does not find it");
    let said = build(&["--with", &program]).unwrap_err();
    assert!(said.contains("libouter.so needs libinner.so, which is not on this machine"), "{said}");
}

#[test]
fn what_cannot_come_along_is_named_with_a_way_out() {
    for bad in ["", "lvm2", "lvm,", "dmidecode"] {
        let said = build(&["--with", bad]).unwrap_err();
        assert!(said.contains("lvm, mdadm, cryptsetup or a path is wanted, such as"), "{bad:?}: {said}");
        assert!(said.contains("--with"), "{said}");
    }
    for bad in ["/bin/bash=", "/bin/bash=/a/../b", "/bin/bash=a//b"] {
        let said = build(&["--with", bad]).unwrap_err();
        assert!(said.contains("PATH=DEST"), "{bad}: {said}");
    }
    let said = build(&["--with", "/nowhere/tool"]).unwrap_err();
    assert!(said.contains("--with /nowhere/tool: reading /nowhere/tool: No such file"), "{said}");
    let said = build(&["--with", "/usr/bin"]).unwrap_err();
    assert!(said.contains("not a regular file"), "{said}");
    let said = build(&["--with", "/etc/passwd"]).unwrap_err();
    assert!(said.contains("/etc/passwd: not an ELF program"), "{said}");
}

#[test]
fn the_modules_that_a_program_asks_for_come_along() {
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("6.1.0-test");
    fs::create_dir_all(modules.join("kernel")).unwrap();
    let names = ["dm-mod", "dm-crypt", "md-mod", "raid1", "xts", "virtio_net"];
    let dep: String = names.iter().map(|name| format!("kernel/{name}.ko:\n")).collect();
    names.iter().for_each(|name| fs::write(modules.join(format!("kernel/{name}.ko")), name).unwrap());
    fs::write(modules.join("modules.dep"), dep).unwrap();
    for table in ["alias", "softdep", "builtin"] {
        fs::write(modules.join(format!("modules.{table}")), "").unwrap();
    }
    let with = |more: &[&str]| -> Vec<String> {
        let words = [&["--modules", modules.to_str().unwrap()], more].concat();
        let members = build(&words).unwrap().0;
        let modules = members.keys().filter(|path| path.extension().is_some_and(|e| e == "ko"));
        modules.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(with(&["--drivers", "virtio_net"]), ["virtio_net"]);
    assert_eq!(with(&["--with", "lvm", "--drivers", "virtio_net"]), ["dm-mod", "virtio_net"]);
    assert_eq!(with(&["--with", "mdadm", "--drivers", "virtio_net"]), ["md-mod", "raid1", "virtio_net"]);
    let crypt = with(&["--with", "cryptsetup", "--drivers", "virtio_net"]);
    assert_eq!(crypt, ["dm-crypt", "dm-mod", "virtio_net", "xts"]);
}
