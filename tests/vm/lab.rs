//! What `make` left in target/lab for the machines: kernels, roots, the static binary; and initrds made of them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel of Debian's.
#[derive(Clone, Copy)]
pub enum Kernel {
    /// Quick to start; knows virtual hardware alone.
    Cloud,
    /// Knows everything; takes 5 s longer to start.
    Generic,
}

impl Kernel {
    fn directory(self) -> PathBuf {
        made(match self {
            Self::Cloud => "lab/cloud",
            Self::Generic => "lab/generic",
        })
    }

    pub fn image(self) -> PathBuf {
        self.directory().join("vmlinuz")
    }

    /// Its `lib/modules/RELEASE`.
    pub fn modules(self) -> PathBuf {
        let all = self.directory().join("lib/modules");
        let mut inside = std::fs::read_dir(&all).unwrap_or_else(|e| panic!("{}: {e}", all.display()));
        inside.next().expect("one release").expect("readable").path()
    }
}

/// Something below target/; missing means that make has not run.
pub fn made(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name);
    assert!(path.exists(), "{} is not there: journeys are run by `make test-vm`", path.display());
    path
}

/// The static binary.
pub fn bootjack() -> PathBuf {
    made("bootjack")
}

/// A directory that goes with the journey, and an initrd in it with network drivers and a shell, made by the real
/// binary with `more` words.
pub struct Initrd {
    dir: tempfile::TempDir,
}

impl Initrd {
    pub fn new(kernel: Kernel, more: &[&str]) -> Self {
        let initrd = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        let made = Command::new(bootjack())
            .args(["initrd", "--compress", "none", "--busybox", "-o"])
            .arg(initrd.path())
            .arg("--modules")
            .arg(kernel.modules())
            .args(more)
            .output()
            .expect("bootjack runs");
        assert!(made.status.success(), "bootjack initrd: {}", String::from_utf8_lossy(&made.stderr));
        initrd
    }

    /// With this text as the built-in catalog.
    pub fn with_catalog(kernel: Kernel, catalog: &str, more: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), catalog).expect("writing a catalog");
        Self::new(kernel, &[&["--catalog", file.path().to_str().expect("UTF-8")], more].concat())
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("initrd")
    }
}
