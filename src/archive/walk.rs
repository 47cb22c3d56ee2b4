//! A directory becomes a tar archive, the same bytes each time: names in order, owners as numbers, no access times. Other
//! file systems mounted below are not entered. The format is `write`'s.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, fgetxattr, fgetxattr_query, flistxattr,
    flistxattr_query, fstat, lgetxattr, lgetxattr_query, llistxattr, llistxattr_query, major, minor, openat,
    readlinkat, seek, statat,
};
use rustix::io::Errno;
use tar_core::{EntryType, SparseEntry};

use super::error::{path, shown};
use super::leave_out::LeaveOut;
use super::member::{attribute, pages};
use super::pax::Time;
use super::write::{self, Entry};
use super::{PAGE, Progress};

/// Bytes of a file read at once.
const BUFFER: usize = 256 << 10;

/// Packs the directory `root` into `out`; `latest` caps the times. The numbers are those unpacking will give.
pub(super) fn pack(
    root: OwnedFd,
    latest: Option<i64>,
    leave_out: &LeaveOut,
    out: &mut dyn Write,
    progress: &dyn Fn(Progress),
) -> Result<Progress> {
    let stat = fstat(&root)?;
    let mut walk = Walk {
        out,
        progress,
        latest,
        leave_out,
        device: stat.st_dev,
        links: HashMap::new(),
        done: Progress::default(),
        buffer: vec![0; BUFFER],
    };
    walk.directory(root, &stat, b"./")?;
    write::end(walk.out)?;
    Ok(walk.done)
}

struct Walk<'a> {
    out: &'a mut dyn Write,
    progress: &'a dyn Fn(Progress),
    latest: Option<i64>,
    leave_out: &'a LeaveOut,
    /// The file system that is packed.
    device: u64,
    /// First name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    done: Progress,
    buffer: Vec<u8>,
}

type Xattrs = Vec<(String, Vec<u8>)>;

impl Walk<'_> {
    /// A directory and what is in it; `name` ends in a slash.
    fn directory(&mut self, dir: OwnedFd, stat: &Stat, name: &[u8]) -> Result<()> {
        let context = || format!("packing {}", shown(&path(name)));
        let xattrs = descriptor_xattrs(dir.as_fd()).with_context(context)?;
        self.member(name, stat, EntryType::Directory, b"", &xattrs).with_context(context)?;
        if stat.st_dev != self.device {
            return Ok(());
        }
        let mut leaves = Vec::new();
        for entry in Dir::read_from(&dir).with_context(context)? {
            let leaf = entry.with_context(context)?.file_name().to_bytes().to_vec();
            if leaf != b"." && leaf != b".." {
                leaves.push(leaf);
            }
        }
        leaves.sort();
        for leaf in leaves {
            let child = [name, &leaf].concat();
            // Names of members begin with `./`.
            if self.leave_out.name(&child[2..]) {
                continue;
            }
            let stat = statat(&dir, &leaf[..], AtFlags::SYMLINK_NOFOLLOW)
                .with_context(|| format!("packing {}", shown(&path(&child))))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let open = openat(&dir, &leaf[..], flags, Mode::empty())
                    .with_context(|| format!("packing {}", shown(&path(&child))))?;
                self.directory(open, &stat, &[&child[..], b"/"].concat())?;
            } else {
                self.leaf(dir.as_fd(), &leaf, &stat, &child)
                    .with_context(|| format!("packing {}", shown(&path(&child))))?;
            }
        }
        Ok(())
    }

    fn leaf(&mut self, dir: BorrowedFd<'_>, leaf: &[u8], stat: &Stat, name: &[u8]) -> Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Socket {
            eprintln!("bootjack: skipping the socket {}", shown(&path(name)));
            return Ok(());
        }
        let device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        if device && self.leave_out.device(&name[2..]) {
            return Ok(());
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                let first = first.clone();
                return self.member(name, stat, EntryType::Link, &first, &[]);
            }
            self.links.insert((stat.st_dev, stat.st_ino), name.to_vec());
        }
        if kind == FileType::RegularFile {
            return self.file(dir, leaf, stat, name);
        }
        let xattrs = node_xattrs(dir, leaf)?;
        match kind {
            FileType::Symlink => {
                let target = readlinkat(dir, leaf, Vec::new())?;
                self.member(name, stat, EntryType::Symlink, target.to_bytes(), &xattrs)
            }
            FileType::CharacterDevice => self.member(name, stat, EntryType::Char, b"", &xattrs),
            FileType::BlockDevice => self.member(name, stat, EntryType::Block, b"", &xattrs),
            FileType::Fifo => self.member(name, stat, EntryType::Fifo, b"", &xattrs),
            _ => bail!("this is of a kind tar does not know"),
        }
    }

    /// A member without data.
    fn member(
        &mut self,
        name: &[u8],
        stat: &Stat,
        kind: EntryType,
        link: &[u8],
        xattrs: &[(String, Vec<u8>)],
    ) -> Result<()> {
        write::header(self.out, &entry(name, stat, self.latest, kind, link, xattrs))?;
        self.count(attributes(xattrs))
    }

    fn file(&mut self, dir: BorrowedFd<'_>, leaf: &[u8], stat: &Stat, name: &[u8]) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let mut file = File::from(openat(dir, leaf, flags, Mode::empty())?);
        let xattrs = descriptor_xattrs(file.as_fd())?;
        let size = u64::try_from(stat.st_size).context("a file of a negative size")?;
        let mut entry = entry(name, stat, self.latest, EntryType::Regular, b"", &xattrs);
        let pieces = pieces(&file, stat, size)?;
        if let Some(pieces) = &pieces {
            entry.size = pieces.iter().map(|p| p.length).sum();
            entry.sparse = Some((pieces, size));
            write::header(self.out, &entry)?;
            for piece in pieces {
                self.copy(piece.length, |buffer, done| file.read_at(buffer, piece.offset + done))?;
            }
            write::pad(self.out, entry.size)?;
            return self.count(pages(pieces) * PAGE + attributes(&xattrs));
        }
        entry.size = size;
        write::header(self.out, &entry)?;
        self.copy(size, |buffer, _| file.read(buffer))?;
        write::pad(self.out, size)?;
        self.count(size.div_ceil(PAGE) * PAGE + attributes(&xattrs))
    }

    /// Copies exactly so many bytes: the header has promised them.
    fn copy(
        &mut self,
        length: u64,
        mut read: impl FnMut(&mut [u8], u64) -> std::io::Result<usize>,
    ) -> Result<()> {
        let mut done = 0;
        while done < length {
            let want = (length - done).min(BUFFER as u64) as usize;
            match read(&mut self.buffer[..want], done) {
                Ok(0) => bail!("the file became shorter while it was packed"),
                Ok(n) => {
                    self.out.write_all(&self.buffer[..n])?;
                    done += n as u64;
                    (self.progress)(Progress { bytes: self.done.bytes + done, ..self.done });
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> Result<()> {
        self.done.bytes += bytes;
        self.done.entries += 1;
        (self.progress)(self.done);
        Ok(())
    }
}

/// What attributes will take.
fn attributes(xattrs: &[(String, Vec<u8>)]) -> u64 {
    xattrs.iter().map(|(name, value)| attribute(name.len(), value.len())).sum()
}

/// A header without data.
fn entry<'e>(
    path: &'e [u8],
    stat: &Stat,
    latest: Option<i64>,
    kind: EntryType,
    link: &'e [u8],
    xattrs: &'e [(String, Vec<u8>)],
) -> Entry<'e> {
    let own = Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
    let device = match kind {
        EntryType::Char | EntryType::Block => (major(stat.st_rdev), minor(stat.st_rdev)),
        _ => (0, 0),
    };
    Entry {
        path,
        kind,
        link,
        size: 0,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: latest.map_or(own, |seconds| own.min(Time { seconds, nanoseconds: 0 })),
        device,
        xattrs,
        sparse: None,
    }
}

/// Where a file has data, if it has holes. A piece of length 0 marks the end of one that ends in a hole, as GNU tar
/// needs it.
fn pieces(file: &File, stat: &Stat, size: u64) -> Result<Option<Vec<SparseEntry>>> {
    // st_blocks counts 512 bytes each, whatever the file system's blocks are (stat(3type)).
    if u64::try_from(stat.st_blocks).unwrap_or(0) * 512 >= size {
        return Ok(None);
    }
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let offset = match seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            other => other.context("finding data")?,
        };
        at = seek(file, SeekFrom::Hole(offset)).context("finding a hole")?.min(size);
        if offset < at {
            pieces.push(SparseEntry { offset, length: at - offset });
        }
    }
    seek(file, SeekFrom::Start(0))?;
    match pieces.last() {
        Some(all) if all.length == size => return Ok(None),
        Some(last) if last.offset + last.length == size => {}
        _ => pieces.push(SparseEntry { offset: size, length: 0 }),
    }
    Ok(Some(pieces))
}

fn descriptor_xattrs(fd: BorrowedFd<'_>) -> Result<Xattrs> {
    xattrs(
        || flistxattr_query(fd),
        |list| flistxattr(fd, list),
        |name| fgetxattr_query(fd, name),
        |name, value| fgetxattr(fd, name, value),
    )
}

/// Of a link or node, which cannot be opened: through the name of its directory in /proc.
fn node_xattrs(dir: BorrowedFd<'_>, leaf: &[u8]) -> Result<Xattrs> {
    let path = [format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), leaf].concat();
    let path = &path[..];
    xattrs(
        || llistxattr_query(path),
        |list| llistxattr(path, list),
        |name| lgetxattr_query(path, name),
        |name, value| lgetxattr(path, name, value),
    )
}

/// All attributes, by name in order.
fn xattrs(
    list_size: impl Fn() -> Result<usize, Errno>,
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    size: impl Fn(&[u8]) -> Result<usize, Errno>,
    value: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<Xattrs> {
    let length = match list_size() {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other.context("listing extended attributes")?,
    };
    let mut names = vec![0; length];
    let length = list(&mut names).context("listing extended attributes")?;
    let mut all = Vec::new();
    for name in names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let text = std::str::from_utf8(name).map_err(|_| {
            anyhow!("the extended attribute {:?} is not UTF-8", String::from_utf8_lossy(name))
        })?;
        let context = || format!("reading the extended attribute {text}");
        let mut bytes = vec![0; size(name).with_context(context)?];
        let read = if bytes.is_empty() { 0 } else { value(name, &mut bytes).with_context(context)? };
        bytes.truncate(read);
        all.push((text.to_owned(), bytes));
    }
    all.sort();
    Ok(all)
}
