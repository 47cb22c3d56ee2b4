//! Directories of members, opened once and kept while the archive stays below them. Nothing outside the root is ever
//! reached: one component is opened without following, a symbolic link on the way is resolved by the kernel inside the
//! root (openat2(2), RESOLVE_IN_ROOT).

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, chmodat, chownat, fstat, mkdirat, openat, openat2,
};
use rustix::io::Errno;

/// Directories kept open at once: a directory deeper than this begins a new chain.
const DEPTH: usize = 64;

/// Components that are opened one by one. More at once are seldom new, and an archive that goes back and forth between
/// directories two thousand levels deep must not cost as many calls for each member: the kernel finds such a one in one.
const FAR: usize = 16;

/// Tries while the kernel cannot rule out that a `..` in a link raced a rename (openat2(2), EAGAIN).
const TRIES: usize = 16;

/// The directory of the last member and those above it.
pub(super) struct Parents {
    root: OwnedFd,
    /// Path of the last directory, and for each one open on the way: where its name ends in that path.
    path: Vec<u8>,
    open: Vec<(usize, OwnedFd)>,
    /// Device and inode number of each directory made, where others were there before and stay as they are.
    ours: Option<HashSet<(u64, u64)>>,
    /// Directories made because a member needed them.
    pub made: u64,
}

impl Parents {
    /// With `keep`, directories that were there before are told from those made.
    pub(super) fn new(root: OwnedFd, keep: bool) -> Self {
        Self { root, path: Vec::new(), open: Vec::new(), ours: keep.then(HashSet::new), made: 0 }
    }

    /// Whether a directory that stays as it is stands here, itself or behind a symbolic link.
    pub(super) fn was_there(&self, path: &[u8]) -> Result<bool, Errno> {
        let Some(ours) = &self.ours else { return Ok(false) };
        match lookup(self.root.as_fd(), path) {
            Ok(dir) => fstat(&dir).map(|stat| !ours.contains(&(stat.st_dev, stat.st_ino))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Whether directories that are made have to be noted.
    pub(super) fn keeps(&self) -> bool {
        self.ours.is_some()
    }

    /// Notes a directory just made.
    pub(super) fn note(&mut self, made: &Stat) {
        if let Some(ours) = &mut self.ours {
            ours.insert((made.st_dev, made.st_ino));
        }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Something that may have been on the way was replaced.
    pub(super) fn forget(&mut self) {
        self.path.clear();
        self.open.clear();
    }

    /// The directory of this name, which is `clean`; missing ones on the way are made, `0755 root:root`.
    pub(super) fn get(&mut self, dir: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        let below = |prefix: &[u8]| {
            dir.starts_with(prefix) && (dir.len() == prefix.len() || dir[prefix.len()] == b'/')
        };
        while let Some((end, _)) = self.open.last() {
            if below(&self.path[..*end]) {
                break;
            }
            self.open.pop();
        }
        let mut done = self.open.last().map_or(0, |(end, _)| *end);
        self.path.truncate(done);
        self.path.extend_from_slice(&dir[done..]);
        if dir[done..].iter().filter(|b| **b == b'/').count() > FAR
            && let Ok(there) = lookup(self.root.as_fd(), dir)
        {
            self.open.clear();
            self.open.push((dir.len(), there));
            done = dir.len();
        }
        while done < dir.len() {
            let start = if done == 0 { 0 } else { done + 1 };
            let end = dir[start..].iter().position(|b| *b == b'/').map_or(dir.len(), |n| start + n);
            let next = self.step(&dir[..end], &dir[start..end])?;
            if self.open.len() >= DEPTH {
                self.open.clear();
            }
            self.open.push((end, next));
            done = end;
        }
        Ok(self.open.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd()))
    }

    /// Opens one more component: `path` up to and with it, `name` alone.
    fn step(&mut self, path: &[u8], name: &[u8]) -> Result<OwnedFd, Errno> {
        let above = self.open.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(above, name, flags, Mode::empty()) {
            // A symbolic link, or nothing that could be a directory: the kernel knows.
            Err(Errno::NOTDIR) => lookup(self.root.as_fd(), path),
            Err(Errno::NOENT) => {
                mkdirat(above, name, Mode::from_raw_mode(0o755))?;
                // The umask may have taken bits away, and this process may be of another group.
                chmodat(above, name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
                chownat(above, name, Some(Uid::ROOT), Some(Gid::ROOT), AtFlags::SYMLINK_NOFOLLOW)?;
                self.made += 1;
                let made = openat(above, name, flags, Mode::empty())?;
                self.note(&fstat(&made)?);
                Ok(made)
            }
            other => other,
        }
    }
}

/// Opens a directory with every symbolic link on the way, and at its end, resolved inside the root.
pub(super) fn lookup(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    inside(root, path, OFlags::PATH | OFlags::DIRECTORY)
}

/// Opens something of the root; the empty path is the root itself.
pub(super) fn inside(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 1..TRIES {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            done => return done,
        }
    }
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}
