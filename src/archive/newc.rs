//! A tree of files as a cpio archive in the `newc` format, the one the kernel unpacks
//! (Documentation/driver-api/early-userspace/buffer-format.rst). The same tree gives the same bytes: members are
//! sorted, inode numbers follow the order, all belongs to root, and there is one time for everything. What goes into
//! the tree is its makers' business.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cpio::newc::{Builder, trailer};

/// Type bits of a mode (inode(7)).
pub(super) const DIRECTORY: u32 = 0o040_000;
pub(super) const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// A kernel loads an initrd at any alignment of four; archives are padded to blocks as cpio(1) does.
const BLOCK: u64 = 512;

/// Paths without a leading slash, sorted: a parent comes before what is in it.
#[derive(Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

enum Node {
    Directory,
    File { mode: u32, content: Content },
    Symlink(String),
    Character { major: u32, minor: u32 },
}

/// Where the bytes of a file come from; read when the archive is written, one file at a time.
pub enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
    /// A file that changes on the way, as a kernel module is decompressed.
    Through(PathBuf, fn(&Path) -> Result<Vec<u8>>),
}

impl Tree {
    /// What every initrd of ours begins with: mount points, and the console the kernel opens before /init could make one.
    /// Where the kernel has no console it starts /init without standard streams, and the Rust runtime aborts unless it can
    /// open /dev/null in their place.
    pub fn for_init() -> Self {
        let mut tree = Self::default();
        for place in ["dev", "etc/bootjack", "mnt", "proc", "root", "run", "sys", "tmp"] {
            tree.directory(place);
        }
        tree.put("dev/console", Node::Character { major: 5, minor: 1 });
        tree.put("dev/null", Node::Character { major: 1, minor: 3 });
        tree
    }

    /// Adds an empty directory, and its parents.
    pub fn directory(&mut self, path: &str) {
        self.parents(path);
        self.nodes.entry(path.to_owned()).or_insert(Node::Directory);
    }

    /// Adds a file, and its parents.
    ///
    /// # Errors
    /// The path is taken, or its parent is not a directory.
    pub fn file(&mut self, path: &str, mode: u32, content: Content) -> Result<()> {
        self.add(path, Node::File { mode, content })
    }

    /// Adds a symbolic link, and its parents.
    ///
    /// # Errors
    /// As [`Tree::file`].
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.add(path, Node::Symlink(target.to_owned()))
    }

    /// Adds a character device that only root may use.
    ///
    /// # Errors
    /// As [`Tree::file`].
    pub fn character(&mut self, path: &str, major: u32, minor: u32) -> Result<()> {
        self.add(path, Node::Character { major, minor })
    }

    fn add(&mut self, path: &str, node: Node) -> Result<()> {
        self.parents(path);
        let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some(parent) = parents.find(|p| !matches!(self.nodes.get(*p), Some(Node::Directory))) {
            bail!("/{path} would lie below /{parent}, which is a file in this initrd");
        }
        if self.nodes.insert(path.to_owned(), node).is_some() {
            bail!("/{path} is in this initrd already");
        }
        Ok(())
    }

    fn put(&mut self, path: &str, node: Node) {
        self.nodes.insert(path.to_owned(), node);
    }

    fn parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.nodes.entry(path[..at].to_owned()).or_insert(Node::Directory);
        }
    }

    /// Writes the archive; every member gets the time `mtime` (seconds since 1970).
    ///
    /// # Errors
    /// Reading a file failed, a file is 4 GiB or more (`newc` counts in 32 bits), or writing failed.
    pub fn write(&self, out: &mut impl Write, mtime: u32) -> Result<()> {
        let mut out = Counted { inner: out, written: 0 };
        for (ino, (path, node)) in (1..).zip(&self.nodes) {
            let member = Builder::new(path).ino(ino).mtime(mtime).nlink(1);
            let (member, bytes) = match node {
                Node::Directory => (member.mode(DIRECTORY | 0o755).nlink(2), Vec::new()),
                Node::File { mode, content } => (member.mode(REGULAR | mode), content.read()?),
                Node::Symlink(target) => (member.mode(SYMLINK | 0o777), target.clone().into_bytes()),
                Node::Character { major, minor } => {
                    (member.mode(CHARACTER | 0o600).rdev_major(*major).rdev_minor(*minor), Vec::new())
                }
            };
            let size = u32::try_from(bytes.len()).with_context(|| {
                format!("/{path} is {} bytes, an initrd ends at 4 GiB a file", bytes.len())
            })?;
            let mut member = member.write(&mut out, size);
            member.write_all(&bytes).with_context(|| format!("writing /{path}"))?;
            member.finish().with_context(|| format!("writing /{path}"))?;
        }
        trailer(&mut out).context("writing the end of the archive")?;
        let over = out.written % BLOCK;
        if over != 0 {
            io::copy(&mut io::Read::take(io::repeat(0), BLOCK - over), &mut out)?;
        }
        Ok(())
    }

    /// Writes the archive to the end of a file, as one more part of an initrd, and fills that up to the next block.
    ///
    /// # Errors
    /// As [`Tree::write`]. The file is then as it was before, with some of the archive behind it.
    pub fn append(&self, file: &File, mtime: u32) -> Result<()> {
        pad(file).context("filling up the file")?;
        let mut out = BufWriter::new(file);
        self.write(&mut out, mtime)?;
        out.flush().context("writing the end of the archive")
    }
}

/// Fills a file up to the next block and goes there, to its new end: another archive may follow whatever is in it, even a
/// compressed one, for the kernel passes over zeros.
///
/// # Errors
/// The file cannot be made longer.
pub fn pad(mut file: &File) -> io::Result<u64> {
    let end = file.metadata()?.len().next_multiple_of(BLOCK);
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))
}

impl Content {
    fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => std::fs::read(path).with_context(|| format!("reading {}", path.display())),
            Self::Through(path, change) => change(path),
        }
    }
}

/// Counts what passes, for the padding at the end.
struct Counted<W> {
    inner: W,
    written: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(tree: &Tree) -> Vec<u8> {
        let mut out = Vec::new();
        tree.write(&mut out, 0).unwrap();
        out
    }

    fn text(text: &str) -> Content {
        Content::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn parents_come_first_and_once() {
        let mut tree = Tree::default();
        tree.file("etc/bootjack/catalog.toml", 0o644, text("version = 1")).unwrap();
        tree.directory("etc");
        tree.character("dev/console", 5, 1).unwrap();
        let archive = bytes(&tree);
        assert_eq!(archive.len() % 512, 0);
        let mut names = Vec::new();
        let mut rest: &[u8] = &archive;
        loop {
            let member = cpio::newc::Reader::new(rest).unwrap();
            let entry = member.entry().clone();
            if entry.is_trailer() {
                break;
            }
            assert_eq!((entry.uid(), entry.gid(), entry.mtime()), (0, 0, 0));
            names.push((entry.name().to_owned(), entry.mode(), entry.ino()));
            rest = member.finish().unwrap();
        }
        let expected = [
            ("dev", 0o040_755, 1),
            ("dev/console", 0o020_600, 2),
            ("etc", 0o040_755, 3),
            ("etc/bootjack", 0o040_755, 4),
            ("etc/bootjack/catalog.toml", 0o100_644, 5),
        ];
        assert_eq!(names, expected.map(|(n, m, i)| (n.to_owned(), m, i)));
    }

    #[test]
    fn a_place_is_given_once() {
        let mut tree = Tree::default();
        tree.file("init", 0o755, text("")).unwrap();
        assert!(tree.file("init", 0o755, text("")).is_err());
        assert!(tree.file("init/below", 0o755, text("")).is_err());
    }
}
