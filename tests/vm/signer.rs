//! Keys of minisign and what they sign, made by the real program for one test; for both floors that need them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A key pair; dropped, it is gone.
pub struct Signer {
    dir: tempfile::TempDir,
}

impl Signer {
    pub fn new() -> Self {
        let signer = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        // -W: no passphrase is asked for.
        signer.minisign(&["-G", "-W", "-p", &signer.public(), "-s", &signer.secret()]);
        signer
    }

    /// Path of the public key.
    pub fn public(&self) -> String {
        self.path("key.pub")
    }

    /// Path of the secret key.
    pub fn secret(&self) -> String {
        self.path("key.key")
    }

    /// As minisign writes it over the public key.
    pub fn id(&self) -> String {
        let text = fs::read_to_string(self.public()).expect("made");
        text.lines().next().and_then(|line| line.rsplit(' ').next()).expect("a comment").to_owned()
    }

    /// The signature file of this text.
    pub fn sign(&self, text: &str) -> String {
        self.signed(text, &[])
    }

    /// The same in the form of old versions of minisign.
    pub fn sign_as_before(&self, text: &str) -> String {
        self.signed(text, &["-l"])
    }

    fn signed(&self, text: &str, more: &[&str]) -> String {
        let file = self.path("catalog.toml");
        fs::write(&file, text).expect("writing a text");
        self.minisign(&[&["-S", "-s", &self.secret(), "-m", &file], more].concat());
        fs::read_to_string(format!("{file}.minisig")).expect("made")
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    fn minisign(&self, words: &[&str]) {
        let done = Command::new("minisign").args(words).stdin(Stdio::null()).output();
        let done = done.expect("minisign is installed: lab/need.sh");
        assert!(done.status.success(), "minisign {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
