//! Disks for the machines: images made on this host by the tools that make such file systems everywhere, each with the
//! busybox root as `r.tar.zst` on it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootjack::verify::Sha256;

use crate::lab::made;

/// A directory of images that goes with the journey.
pub struct Disks {
    dir: tempfile::TempDir,
    images: Vec<(PathBuf, String)>,
}

impl Disks {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).expect("a directory");
        fs::copy(archive(), tree.join("r.tar.zst")).expect("the busybox root");
        Self { dir, images: Vec::new() }
    }

    /// What the file systems that are made from now on hold.
    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// A place for an image.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An image of a file system of this kind, with the tree in it where its tool can do that.
    pub fn file_system(&mut self, name: &str, kind: &str, label: &str) -> PathBuf {
        let (image, tree) = (self.path(name), self.tree());
        let blank = |mib: u64| File::create(&image).expect("an image").set_len(mib << 20).expect("room");
        let (i, t) = (image.to_str().expect("UTF-8"), tree.to_str().expect("UTF-8"));
        match kind {
            "ext4" => {
                blank(16);
                run("mkfs.ext4", &["-q", "-L", label, "-d", t, i]);
            }
            "xfs" => {
                blank(320);
                let prototype = self.path("prototype");
                let file = format!("r.tar.zst ---644 0 0 {}", archive().display());
                fs::write(&prototype, format!("/\n0 0\nd--755 0 0\n{file}\n$\n")).expect("a file");
                run("mkfs.xfs", &["-q", "-L", label, "-p", prototype.to_str().expect("UTF-8"), i]);
            }
            "btrfs" => {
                blank(128);
                run("mkfs.btrfs", &["-q", "-L", label, "--rootdir", t, i]);
            }
            "vfat" => {
                blank(32);
                run("mkfs.vfat", &["-n", label, i]);
                run("mcopy", &["-i", i, archive().to_str().expect("UTF-8"), "::/r.tar.zst"]);
            }
            "iso9660" => run("xorriso", &["-as", "mkisofs", "-quiet", "-r", "-V", label, "-o", i, t]),
            "squashfs" => run("mksquashfs", &[t, i, "-noappend", "-quiet", "-no-progress"]),
            "exfat" => {
                blank(16);
                run("mkfs.exfat", &["-L", label, i]);
            }
            other => panic!("no tool for {other}"),
        }
        image
    }

    /// A disk with one partition of this name that holds the file system of another image.
    pub fn partitioned(&mut self, name: &str, inside: &Path, partition: &str, guid: &str) -> PathBuf {
        let (image, bytes) = (self.path(name), fs::read(inside).expect("an image"));
        let disk = File::create(&image).expect("an image");
        disk.set_len(bytes.len() as u64 + (4 << 20)).expect("room");
        let named = [format!("1:{partition}"), format!("1:{guid}")];
        let i = image.to_str().expect("UTF-8");
        run("sgdisk", &["-n", "1:2048:-1M", "-c", &named[0], "-u", &named[1], i]);
        disk.write_all_at(&bytes, 1 << 20).expect("writing");
        image
    }

    /// The archive on the device itself, with bytes behind it.
    pub fn bare(&mut self, name: &str, behind: &[u8]) -> PathBuf {
        let image = self.path(name);
        let mut file = File::create(&image).expect("an image");
        file.write_all(&fs::read(archive()).expect("the busybox root")).expect("writing");
        file.write_all(behind).expect("writing");
        image
    }

    /// QEMU's word for a drive of this image; from now on it must not change.
    pub fn drive(&mut self, id: &str, image: &Path) -> String {
        self.images.push((image.to_owned(), digest(image)));
        format!("id={id},if=none,format=raw,file={}", image.display())
    }

    /// Nobody wrote to any of the drives.
    pub fn assert_untouched(&self) {
        assert!(!self.images.is_empty());
        for (image, before) in &self.images {
            assert_eq!(*before, digest(image), "{} was written to", image.display());
        }
    }
}

/// The busybox root.
pub fn archive() -> PathBuf {
    made("lab/busybox.tar.zst")
}

pub fn digest(image: &Path) -> String {
    Sha256::of(&fs::read(image).expect("an image")).to_string()
}

pub fn run(program: &str, words: &[&str]) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let done = Command::new(program).args(words).env("PATH", path).output();
    let done = done.unwrap_or_else(|e| panic!("{program}: {e}: lab/need.sh vm installs it"));
    assert!(done.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}
