//! `bootjack vm` with words that make no machine: each is named, with a way out, and nothing was started.

use std::fs;
use std::path::Path;
use std::process::Command;

fn said(words: &[&str]) -> (i32, String) {
    // An empty PATH: a machine that starts all the same is no machine.
    let output = Command::new(env!("CARGO_BIN_EXE_bootjack")).arg("vm").args(words).env("PATH", "").output();
    let output = output.unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A root with a kernel that is none, and no modules.dep.
fn root(dir: &Path) -> String {
    let modules = dir.join("root/usr/lib/modules/6.1.0");
    fs::create_dir_all(&modules).unwrap();
    fs::write(modules.join("vmlinuz"), "no kernel").unwrap();
    dir.join("root").display().to_string()
}

#[test]
fn words_that_do_not_go_together_are_wrong_usage() {
    for words in [
        &["--mount", "x", "/"][..],
        &["--rw"],
        &["--debug"],
        &["--initrd", "i"],
        &["--append", "quiet"],
        &["/", "--mount", "x"],
        &["/", "--mount-ro", "x"],
        &["/", "--memory", "4T"],
        &[""],
        &["/", "--pxe", "/"],
        &["/", "/bin/sh", "more"],
        &["/", "--net", "bridge"],
    ] {
        let (status, err) = said(words);
        assert_eq!(status, 2, "{words:?}: {err}");
        assert!(err.contains("For more information, try '--help'"), "{err}");
    }
}

#[test]
fn what_makes_no_machine_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (empty, file) = (dir.path().join("empty"), dir.path().join("file"));
    fs::create_dir(&empty).unwrap();
    fs::write(&file, "x").unwrap();
    let (empty, file) = (empty.to_str().unwrap(), file.to_str().unwrap());
    for (words, wants) in [
        (&["/no/such/root"][..], "vm: /no/such/root: /no/such/root: No such file"),
        (&[file], "is no directory: name the one that is to be the root"),
        (&[empty], "has no kernel that boots (no modules of any kernel in usr/lib/modules)"),
        (&[&root, "nosuch"], "no program \"nosuch\" in /usr/local/sbin, /usr/local/bin"),
        (&[&root, "--mount", "", "/"], "--mount  /: a tag is a name of at most 36 letters without '/'"),
        (&[&root, "--mount-ro", "..", "/"], "--mount-ro .. /: a tag is a name"),
        (&[&root, "--mount", "a", "/no/such"], "--mount a /no/such: No such file"),
        (&[&root, "--mount", "a", file], "no directory"),
        (&[&root, "--mount", "a", "/", "--mount-ro", "a", "/"], "--mount-ro a /: the tag a is taken"),
        (&[&root, "--kernel", file], "file: not a Linux kernel image"),
        (&[&root, "/a\"b"], "no kernel command line can hold a quote"),
        (&[&root], "hint: run depmod -b ROOTDIR RELEASE, or bring --initrd FILE"),
    ] {
        let (status, err) = said(words);
        assert_eq!(status, 1, "{words:?}: {err}");
        assert!(err.contains(wants), "{words:?}: {wants:?} is not in {err}");
    }
}
