//! Archives that mean harm, built byte by byte: nothing beside the tree is touched, what is refused is refused by name
//! and reason, on one line, and no archive takes more time or memory than its limits allow. What is only damaged, and
//! names with `..`, are `archive`'s and `cpio`'s tests. Needs root, gzip, xz, zstd, bzip2 and lz4.

mod endless;
mod names;
mod records;

use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use bootjack::archive::{self, Limits, UnpackError, Unpacked};

use crate::trees::{Mount, Tree, compare, look};

/// A file system with the tree's place and, beside it, what must stay as it is.
struct Beside {
    mount: Mount,
    before: Tree,
    changed: Vec<(PathBuf, i64, i64)>,
}

impl Beside {
    fn new() -> Self {
        let mount = Mount::tmpfs("mode=0755,size=64m");
        let at = |name: &str| mount.path().join(name);
        std::fs::create_dir_all(at("canary/below")).unwrap();
        std::fs::write(at("canary/victim"), b"as before").unwrap();
        std::fs::write(at("canary/below/program"), b"#!/bin/sh\n").unwrap();
        std::fs::hard_link(at("canary/victim"), at("canary/again")).unwrap();
        std::os::unix::fs::symlink("victim", at("canary/link")).unwrap();
        std::fs::create_dir(at("tree")).unwrap();
        let before = look(&at("canary"));
        let changed = changes(&at("canary"), &before);
        Self { mount, before, changed }
    }

    fn canary(&self) -> PathBuf {
        self.mount.path().join("canary")
    }

    fn tree(&self) -> PathBuf {
        self.mount.path().join("tree")
    }

    fn unpack(&self, mut archive: &[u8]) -> Result<Unpacked, UnpackError> {
        let limits = Limits { bytes: 32 << 20, entries: 5000 };
        let target = std::fs::File::open(self.tree()).unwrap();
        let made = archive::unpack(&mut archive, target.as_fd(), &limits, &|_| ControlFlow::Continue(()));
        self.is_untouched(&format!("{made:?}"));
        made
    }

    /// By the program itself, which leaves nothing of what it could not unpack.
    fn refused_by_the_program(&self, archive: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, archive).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootjack"));
        command.args(["unpack", "--retry-for", "1s"]).arg(file.path()).arg(self.tree());
        let done = command.output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert_eq!(std::fs::read_dir(self.tree()).unwrap().count(), 0, "{said}");
        self.is_untouched(&said);
        said
    }

    /// Everything lstat(2) tells, the time of the last change too: nothing was so much as touched and put back.
    fn is_untouched(&self, what: &str) {
        let now = look(&self.canary());
        compare(what, &now, &self.before);
        assert_eq!(changes(&self.canary(), &now), self.changed, "{what}");
        let top = std::fs::read_dir(self.mount.path()).unwrap().count();
        assert_eq!(top, 2, "something new lies beside the tree: {what}");
    }

    fn refused(&self, archive: &[u8]) -> String {
        match self.unpack(archive) {
            Err(error @ (UnpackError::Damaged { .. } | UnpackError::Write { .. })) => {
                let text = error.to_string();
                assert!(!text.chars().any(char::is_control), "not one line: {text:?}");
                text
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    fn read(&self, name: &str) -> String {
        let path = self.tree().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

fn changes(root: &std::path::Path, tree: &Tree) -> Vec<(PathBuf, i64, i64)> {
    let change = |name: &PathBuf| {
        let meta = root.join(name).symlink_metadata().unwrap();
        (name.clone(), meta.ctime(), meta.ctime_nsec())
    };
    tree.keys().map(change).collect()
}
