//! Signed catalogs as an operator tries them before a machine meets them: keys and signatures by the real minisign,
//! `check --key` over files and servers, and the initrd that takes the keys along.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bootjack::commands::serve::Server;

#[path = "../vm/signer.rs"]
mod signer;

use signer::Signer;

const CATALOG: &str = "version = 1\nserial = 7\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'shell'\n";

/// A directory with a catalog and its signatures.
struct Published {
    dir: tempfile::TempDir,
}

impl Published {
    fn new(catalog: &str, signatures: &[String]) -> Self {
        let published = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(published.catalog(), catalog).unwrap();
        if !signatures.is_empty() {
            fs::write(published.dir.path().join("catalog.toml.minisig"), signatures.concat()).unwrap();
        }
        published
    }

    fn catalog(&self) -> PathBuf {
        self.dir.path().join("catalog.toml")
    }

    /// `check` with these words: exit status, standard output and standard error together.
    fn check(&self, words: &[&str]) -> (i32, String) {
        check(self.catalog().to_str().unwrap(), words)
    }
}

fn check(catalog: &str, words: &[&str]) -> (i32, String) {
    let done =
        Command::new(env!("CARGO_BIN_EXE_bootjack")).arg("check").arg(catalog).args(words).output().unwrap();
    let text = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
    (done.status.code().unwrap(), text)
}

#[test]
fn check_says_who_signed_a_catalog_and_refuses_it_where_too_few_did() {
    let [ann, ben, cat] = [(); 3].map(|()| Signer::new());
    let keys = [&ann, &ben, &cat].map(Signer::public);
    let all = ["--key", &keys[0], "--key", &keys[1], "--key", &keys[2]];
    let two = [&all[..], &["--key-threshold", "2"]].concat();
    let by_ann = Published::new(CATALOG, &[ann.sign(CATALOG)]);
    let ok = format!("{}: ok, 1 entry", by_ann.catalog().display());
    assert_eq!(by_ann.check(&["--key", &keys[0]]), (0, format!("{ok}, signed by {}\n", ann.id())));
    assert_eq!(by_ann.check(&all), (0, format!("{ok}, signed by {} (1 of 3)\n", ann.id())));
    assert_eq!(by_ann.check(&[]), (0, format!("{ok}\n")), "nobody asked");
    let (status, said) = by_ann.check(&two);
    assert_eq!(status, 1);
    let (a, b, c) = (ann.id(), ben.id(), cat.id());
    let why = format!("signed by too few: 2 of {a}, {b}, {c} must have signed it, 1 did; good: {a}\n");
    assert!(said.starts_with("bootjack: verify: ") && said.contains(&why), "{said}");
    let by_two = Published::new(CATALOG, &[cat.sign(CATALOG), ann.sign_as_before(CATALOG)]);
    let (status, said) = by_two.check(&two);
    assert!(status == 0 && said.ends_with(&format!(", signed by {a}, {c} (2 of 3)\n")), "{said}");
    let (status, said) = by_two.check(&[&two[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &json[0]["signed_by"]), (0, &serde_json::json!([a, c])));
}

#[test]
fn check_refuses_what_is_not_signed_before_it_is_parsed() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    let (key, id) = (ours.public(), ours.id());
    let mistake = format!("{CATALOG}mistake = 1\n");
    for (signatures, why) in [
        (
            vec![],
            format!(
                ": unsigned: {{}}: No such file or directory (os error 2): key {id} must have signed it, and has not"
            ),
        ),
        (vec![String::new()], format!(": unsigned: key {id} must have signed it, and has not")),
        (
            vec![theirs.sign(&mistake)],
            format!(
                ": wrongly signed: key {id} must have signed it, and has not; not among the keys of the initrd: {}",
                theirs.id()
            ),
        ),
        (
            vec![ours.sign(CATALOG)],
            format!(
                ": wrongly signed: key {id} must have signed it, and has not; signed something else: {id}"
            ),
        ),
        (
            vec!["<html>\n".into()],
            format!(": wrongly signed: key {id} must have signed it, and has not; damaged signatures: 1"),
        ),
    ] {
        let published = Published::new(&mistake, &signatures);
        let (status, said) = published.check(&["--key", &key]);
        let catalog = published.catalog().display().to_string();
        let why = why.replace("{}", &format!("{catalog}.minisig"));
        let hint = "hint: sign the file as it is served, `minisign -S -m catalog.toml`, and put catalog.toml.minisig beside it";
        assert_eq!((status, said), (1, format!("bootjack: verify: {catalog}{why}\n{hint}\n")));
    }
    // The mistake is told where the signature is right.
    let (status, said) = Published::new(&mistake, &[ours.sign(&mistake)]).check(&["--key", &key]);
    assert!(status == 1 && said.contains("unknown key \"mistake\""), "{said}");
}

#[test]
fn a_server_is_asked_for_the_signatures_beside_the_catalog() {
    let ours = Signer::new();
    let published = Published::new(CATALOG, &[ours.sign(CATALOG)]);
    let server = Server::bind(published.dir.path(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let server = server.spawn(|_| {}).unwrap();
    let url = format!("http://{}/catalog.toml", server.addr());
    let (status, said) = check(&url, &["--key", &ours.public()]);
    assert_eq!((status, said), (0, format!("{url}: ok, 1 entry, signed by {}\n", ours.id())));
    fs::remove_file(published.dir.path().join("catalog.toml.minisig")).unwrap();
    let (status, said) = check(&url, &["--key", &ours.public()]);
    assert!(status == 1 && said.contains(&format!("{url}: unsigned: ")), "{said}");
    assert!(said.contains(&format!("{url}.minisig: server answered 404")), "{said}");
}

#[test]
fn with_keys_check_refuses_what_has_no_digest() {
    let ours = Signer::new();
    let text = format!(
        "{CATALOG}[[entry]]\nid = 'b'\ntitle = 'B'\nboot = 'switch-root'\nroot = {{ url = 'r', unverified = true }}\n"
    );
    let published = Published::new(&text, &[ours.sign(&text)]);
    let (status, said) = published.check(&["--key", &ours.public()]);
    let catalog = published.catalog().display().to_string();
    assert!(
        said.contains(&format!("{catalog}: error: no sha256, refused where there are keys: b: root\n")),
        "{said}"
    );
    assert!(
        status == 1 && said.ends_with(&format!("1 error; 2 entries stand, signed by {}\n", ours.id())),
        "{said}"
    );
    assert_eq!(published.check(&[]).0, 0, "without keys it is a warning");
}

#[test]
fn check_warns_of_a_catalog_that_expired() {
    let text = CATALOG.replace("serial = 7", "expires = 2024-01-01T00:00:00Z");
    let (status, said) = Published::new(&text, &[]).check(&[]);
    assert!(status == 0 && said.contains(":2:11: warning: expired at 2024-01-01 00:00:00 UTC"), "{said}");
    let (_, said) = Published::new(&text.replace("2024", "2099"), &[]).check(&[]);
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn what_is_no_public_key_is_refused_in_words() {
    let (ours, published) = (Signer::new(), Published::new(CATALOG, &[]));
    let (status, said) = published.check(&["--key", &ours.secret()]);
    assert!(status == 1 && said.contains("is a minisign SECRET key, which never leaves"), "{said}");
    let (_, said) = published.check(&["--key", "/nowhere.pub"]);
    assert!(said.contains("--key /nowhere.pub: No such file"), "{said}");
    let (_, said) = published.check(&["--key", &ours.public(), "--key", &ours.public()]);
    assert!(said.contains(&format!("key {} is there twice", ours.id())), "{said}");
    let (_, said) = published.check(&["--key", &ours.public(), "--key-threshold", "2"]);
    assert!(said.contains("write a number from 1 to 1"), "{said}");
    assert_eq!(published.check(&["--key", &ours.public(), "--key-threshold", "0"]).0, 2);
    assert_eq!(published.check(&["--key-threshold", "1"]).0, 2);
}

/// The members of an initrd with these words, by cpio(1), in a directory.
fn unpacked(words: &[&str]) -> Result<tempfile::TempDir, String> {
    let dir = tempfile::tempdir().unwrap();
    let initrd = dir.path().join("initrd");
    let done = Command::new(env!("CARGO_BIN_EXE_bootjack"))
        .args(["initrd", "--compress", "none", "--binary", "/bin/busybox", "-o"])
        .arg(&initrd)
        .args(words)
        .output()
        .unwrap();
    if !done.status.success() {
        return Err(String::from_utf8(done.stderr).unwrap());
    }
    let mut cpio = Command::new("cpio");
    cpio.args(["-idm", "--quiet", "etc/*"]).current_dir(dir.path()).stdin(fs::File::open(&initrd).unwrap());
    assert!(cpio.status().expect("cpio is installed").success());
    Ok(dir)
}

#[test]
fn an_initrd_takes_keys_along_under_their_ids_with_how_many_must_sign() {
    let [ann, ben] = [(); 2].map(|()| Signer::new());
    let (a, b) = (ann.public(), ben.public());
    let dir = unpacked(&["--key", &a, "--key", &b, "--key-threshold", "2"]).unwrap();
    let keys = dir.path().join("etc/bootjack/keys");
    for signer in [&ann, &ben] {
        let key = fs::read(keys.join(format!("{}.pub", signer.id()))).unwrap();
        assert_eq!(key, fs::read(signer.public()).unwrap());
    }
    assert_eq!(fs::read_to_string(keys.join("threshold")).unwrap(), "2\n");
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 3);
    let ring = bootjack::verify::signature::Keyring::read(&keys).unwrap();
    assert_eq!((ring.faults(), ring.threshold(), ring.ids().len()), (&[][..], Some(2), 2));
    assert!(ring.check(CATALOG.as_bytes(), ann.sign(CATALOG).as_bytes()).is_err());
    let both = ann.sign(CATALOG) + &ben.sign(CATALOG);
    assert!(ring.check(CATALOG.as_bytes(), both.as_bytes()).is_ok());
    // Without keys there is no such directory: it alone would mean that signatures are wanted.
    assert!(!unpacked(&[]).unwrap().path().join("etc/bootjack/keys").exists());
}

#[test]
fn an_initrd_with_keys_has_no_catalog_that_they_would_refuse() {
    let (ours, catalog) = (Signer::new(), tempfile::NamedTempFile::new().unwrap());
    let entry =
        "[[entry]]\nid = 'b'\ntitle = 'B'\nboot = 'switch-root'\nroot = { url = 'r', unverified = true }\n";
    fs::write(catalog.path(), format!("{CATALOG}{entry}")).unwrap();
    let words = ["--catalog", catalog.path().to_str().unwrap()];
    unpacked(&words).unwrap();
    let (key, secret) = (ours.public(), ours.secret());
    let said = unpacked(&[&words[..], &["--key", &key]].concat()).unwrap_err();
    assert!(said.contains("entry \"b\" cannot boot with --key: no sha256 for root"), "{said}");
    let said = unpacked(&["--key", &secret]).unwrap_err();
    assert!(said.contains("SECRET key"), "{said}");
}
