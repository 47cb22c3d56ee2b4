//! `bootjack initrd --ssh`: dropbear comes along with who may log in, and what the machine shows is what ssh's own tools say
//! of the key. Logging in to a boot is a journey.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::with::{build, follow};

fn told(program: &str, words: &[&str]) -> String {
    let said = Command::new(program).args(words).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(said.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

/// A key as people make it; its file, and that of its public half.
fn key(dir: &Path, kind: &str, passphrase: &str) -> (String, String) {
    let file = dir.join(kind).display().to_string();
    told("ssh-keygen", &["-q", "-t", kind, "-N", passphrase, "-C", "ann@lab", "-f", &file]);
    (file.clone(), format!("{file}.pub"))
}

#[test]
fn the_server_comes_along_with_who_may_log_in_and_makes_its_own_key() {
    let dir = tempfile::tempdir().unwrap();
    let (_, public) = key(dir.path(), "ed25519", "secret");
    let (members, said) = build(&["--ssh", &public]).unwrap();
    for (program, here) in
        [("/usr/sbin/dropbear", "/usr/sbin/dropbear"), ("/usr/bin/dropbearkey", "/usr/bin/dropbearkey")]
    {
        assert!(follow(&members, Path::new(program)) == Some(&fs::read(here).unwrap()[..]), "{program}");
    }
    for library in told("ldd", &["/usr/sbin/dropbear"]).split_whitespace().filter(|w| w.starts_with('/')) {
        assert!(follow(&members, Path::new(library)).is_some(), "{library}");
    }
    let (mode, keys) = &members[Path::new("/etc/bootjack/ssh/authorized_keys")];
    assert_eq!((mode & 0o7777, &keys[..]), (0o600, &fs::read(&public).unwrap()[..]));
    assert!(!members.contains_key(Path::new("/etc/bootjack/ssh/host_key")));
    // The second stage of a kexec takes along what is listed.
    let list = String::from_utf8(members[Path::new("/etc/bootjack/with")].1.clone()).unwrap();
    assert!(list.lines().any(|line| line == "/usr/sbin/dropbear"), "{list}");
    assert!(said.contains("dropbear: "), "{said}");
}

#[test]
fn a_host_key_of_either_form_is_what_ssh_says_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (private, public) = key(dir.path(), "ed25519", "");
    let fingerprint = told("ssh-keygen", &["-lf", &public]).split_whitespace().nth(1).unwrap().to_owned();
    let given = |file: &str| {
        let (members, said) = build(&["--ssh", &public, "--ssh-host-key", file]).unwrap();
        assert!(said.contains(&format!("ssh host key {fingerprint}: whoever can fetch")), "{said}");
        assert!(!members.contains_key(Path::new("/usr/bin/dropbearkey")), "it makes none");
        members[Path::new("/etc/bootjack/ssh/host_key")].clone()
    };
    let (mode, bytes) = given(&private);
    assert_eq!(mode & 0o7777, 0o600);
    let file = dir.path().join("key.dropbear").display().to_string();
    fs::write(&file, &bytes).unwrap();
    let said = told("dropbearkey", &["-y", "-f", &file]);
    assert!(said.contains(&fingerprint), "{said}");
    assert_eq!(given(&file).1, bytes);
}

#[test]
fn keys_that_would_let_nobody_in_are_refused_where_they_can_be_mended() {
    let dir = tempfile::tempdir().unwrap();
    let (private, public) = key(dir.path(), "ed25519", "");
    let (rsa, _) = key(dir.path(), "rsa", "");
    let refused = |words: &[&str]| build(words).unwrap_err();
    let said = refused(&["--ssh", &private]);
    assert!(said.contains("line 1 begins a private key: the public one is wanted"), "{said}");
    let said = refused(&["--ssh", &public, "--ssh-host-key", &public]);
    assert!(said.contains("is a public key: the private one is wanted"), "{said}");
    let said = refused(&["--ssh", &public, "--ssh-host-key", &rsa]);
    assert!(said.contains("is of the kind ssh-rsa: ssh-ed25519 is wanted"), "{said}");
    assert!(refused(&["--ssh-host-key", &private]).contains("--ssh <FILE>"));
    let empty = dir.path().join("empty").display().to_string();
    fs::write(&empty, "# ann comes later\n").unwrap();
    let said = refused(&["--ssh", &empty]);
    assert!(said.contains("there is no key in it: nobody could log in"), "{said}");
}
