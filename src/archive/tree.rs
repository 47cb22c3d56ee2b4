//! Members become files, directories, links and nodes below a root, and nothing outside is ever touched. Reading the
//! archive is `tar`'s and `cpio`'s, files and their data are `files`', finding directories `parents`', owners, modes and times
//! `attributes`'.

use std::os::fd::BorrowedFd;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chmodat, chownat, fchmod, fchown, fremovexattr, mkdirat,
    mknodat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::acl;
use super::attributes::{CHMOD, CHOWN, Later, SPECIAL, UTIMENS, times};
use super::error::{self, UnpackError};
use super::intake::Ticker;
use super::member::{Kind, Member};
use super::members::Members;
use super::parents::{Parents, inside};
use super::writers::Writers;
use super::{Limits, Progress, Unpacked};

/// Entries between two ticks where no data flows: links and empty files come without.
const TICK_ENTRIES: u64 = 256;

/// What a tree is made in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Onto {
    /// A new directory; the archive says how everything in it is.
    Empty,
    /// A tree that is there and whose directories stay as they are.
    Tree,
}

/// A tree in the making.
pub(super) struct Tree<'a> {
    pub(super) parents: Parents,
    pub(super) limits: &'a Limits,
    pub(super) ticker: &'a Ticker<'a>,
    pub(super) done: Unpacked,
    pub(super) later: Vec<Later>,
    /// Bytes that these take.
    pub(super) later_bytes: u64,
    /// Threads that fill small files; none on one core.
    pub(super) writers: Option<Writers>,
    /// Owner of what this process makes, and the permission bits it cannot give by creating.
    pub(super) own: (u32, u32),
    pub(super) umask: u32,
}

/// A member's place: its directory, and its name in there.
pub(super) struct Place<'p> {
    pub(super) dir: &'p [u8],
    pub(super) leaf: &'p [u8],
}

impl<'a> Tree<'a> {
    /// A new root becomes `0755 root:root` at once; a member for it may say otherwise.
    pub(super) fn new(
        onto: Onto,
        target: BorrowedFd<'_>,
        limits: &'a Limits,
        ticker: &'a Ticker<'a>,
        writers: Option<Writers>,
    ) -> Result<Self, UnpackError> {
        let prepared = inside(target, b"", OFlags::RDONLY | OFlags::DIRECTORY).and_then(|root| {
            if onto == Onto::Tree {
                return Ok(root);
            }
            fchown(&root, Some(Uid::ROOT), Some(Gid::ROOT))?;
            fchmod(&root, Mode::from_raw_mode(0o755))?;
            match fremovexattr(&root, acl::DEFAULT) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(root),
                Err(errno) => Err(errno),
            }
        });
        let root = prepared.map_err(|errno| UnpackError::system(b"", "preparing the root", errno, 0))?;
        let (own, umask) = match onto {
            Onto::Empty => {
                let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
                (own, umask())
            }
            // Setgid directories hand their group on: nothing made here is sure to be ours. No member has this owner.
            Onto::Tree => ((u32::MAX, u32::MAX), 0o777),
        };
        Ok(Self {
            parents: Parents::new(root, onto == Onto::Tree),
            limits,
            ticker,
            done: Unpacked::default(),
            later: Vec::new(),
            later_bytes: 0,
            writers,
            own,
            umask,
        })
    }

    /// Makes one member; its data is read from `members`.
    pub(super) fn make(&mut self, member: Member, members: &mut Members<'_>) -> Result<(), UnpackError> {
        let path = clean(&member.name).map_err(|reason| UnpackError::member(&member.name, reason))?;
        self.count(&member)?;
        let Some(place) = Place::of(&path) else { return self.make_root(member) };
        match &member.kind {
            Kind::Directory => self.make_directory(member, &path),
            Kind::File { .. } | Kind::Sparse { .. } => self.make_file(&member, &place, members),
            Kind::HardLink { target } => self.make_hard_link(&member, target, &place),
            Kind::LinkWithData { target, .. } => self.make_link_with_data(&member, target, &place, members),
            Kind::Symlink { .. }
            | Kind::Character { .. }
            | Kind::Block { .. }
            | Kind::Fifo
            | Kind::Socket => self.make_node(&member, &place),
        }
    }

    /// Counts a member and holds it against the limits, before anything of it is written.
    fn count(&mut self, member: &Member) -> Result<(), UnpackError> {
        let bytes = self.done.bytes.saturating_add(member.bytes());
        if bytes > self.limits.bytes {
            let member = error::path(&member.name);
            return Err(UnpackError::NoSpace { member, written: self.done.bytes });
        }
        self.done.bytes = bytes;
        self.done.entries += 1;
        let entries = self.done.entries + self.parents.made;
        if entries > self.limits.entries {
            let reason = format!("more than {} members", self.limits.entries);
            return Err(UnpackError::member(&member.name, reason));
        }
        self.ticker.set(Progress { bytes, entries });
        if self.done.entries.is_multiple_of(TICK_ENTRIES) { self.ticker.tick() } else { Ok(()) }
    }

    fn make_root(&mut self, member: Member) -> Result<(), UnpackError> {
        if !matches!(member.kind, Kind::Directory) {
            return Err(UnpackError::member(&member.name, "the root of the archive is not a directory"));
        }
        if self.parents.was_there(b"").map_err(|e| self.failed(&member.name, PARENT, e))? {
            return Ok(());
        }
        fchown(self.parents.root(), Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)))
            .map_err(|e| self.failed(&member.name, CHOWN, e))?;
        self.directory_attributes(member, b"", true)
    }

    fn make_directory(&mut self, member: Member, path: &[u8]) -> Result<(), UnpackError> {
        let Some(place) = Place::of(path) else { return self.make_root(member) };
        if self.parents.was_there(path).map_err(|e| self.failed(&member.name, PARENT, e))? {
            return Ok(());
        }
        let mode = Mode::from_raw_mode(member.mode & !SPECIAL);
        let new = self.create(&member, &place, |dir, leaf| match mkdirat(dir, leaf, mode) {
            // One that is there already takes the attributes of this one.
            Err(Errno::EXIST) if is_directory(dir, leaf)? => Ok(false),
            made => made.map(|()| true),
        })?;
        if new && self.parents.keeps() {
            self.at(&member, &place, PARENT, |dir, leaf| statat(dir, leaf, AtFlags::SYMLINK_NOFOLLOW))
                .map(|stat| self.parents.note(&stat))?;
        }
        if !new || (member.uid, member.gid) != self.own {
            let (uid, gid) = (Uid::from_raw(member.uid), Gid::from_raw(member.gid));
            self.at(&member, &place, CHOWN, |dir, leaf| {
                chownat(dir, leaf, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            })?;
        }
        self.directory_attributes(member, path, !new)
    }

    fn make_node(&mut self, member: &Member, place: &Place<'_>) -> Result<(), UnpackError> {
        let (kind, device) = match &member.kind {
            Kind::Character { device } => (FileType::CharacterDevice, *device),
            Kind::Block { device } => (FileType::BlockDevice, *device),
            Kind::Socket => (FileType::Socket, 0),
            _ => (FileType::Fifo, 0),
        };
        let mode = Mode::from_raw_mode(member.mode & !SPECIAL);
        self.create(member, place, |dir, leaf| match &member.kind {
            Kind::Symlink { target } => symlinkat(&target[..], dir, leaf),
            _ => mknodat(dir, leaf, kind, mode, device),
        })?;
        if (member.uid, member.gid) != self.own {
            let (uid, gid) = (Uid::from_raw(member.uid), Gid::from_raw(member.gid));
            self.at(member, place, CHOWN, |dir, leaf| {
                chownat(dir, leaf, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            })?;
        }
        let symlink = matches!(member.kind, Kind::Symlink { .. });
        if !symlink && member.mode & (SPECIAL | self.umask) != 0 {
            // Follows a link at the leaf, but this is the node just made.
            let mode = Mode::from_raw_mode(member.mode);
            self.at(member, place, CHMOD, |dir, leaf| chmodat(dir, leaf, mode, AtFlags::empty()))?;
        }
        self.node_xattrs(member, place)?;
        let times = times(member.mtime);
        self.at(member, place, UTIMENS, |dir, leaf| utimensat(dir, leaf, &times, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Creates something; what stands in its way, other than a directory with something in it, is removed.
    pub(super) fn create<T>(
        &mut self,
        member: &Member,
        place: &Place<'_>,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let dir = match self.parents.get(place.dir) {
            Ok(dir) => dir,
            Err(e) => return Err(self.failed(&member.name, PARENT, e)),
        };
        match make(dir, place.leaf) {
            Err(Errno::EXIST) => {}
            done => return done.map_err(|e| self.failed(&member.name, doing(&member.kind), e)),
        }
        // Through a directory or a link, or what looked like one, others may have been found.
        let kind =
            statat(dir, place.leaf, AtFlags::SYMLINK_NOFOLLOW).map(|s| FileType::from_raw_mode(s.st_mode));
        let leads_on = !matches!(kind, Ok(FileType::RegularFile));
        let removed = match unlinkat(dir, place.leaf, AtFlags::empty()) {
            Err(Errno::ISDIR) => unlinkat(dir, place.leaf, AtFlags::REMOVEDIR),
            other => other,
        };
        removed.map_err(|e| self.failed(&member.name, "replacing what was there", e))?;
        if leads_on {
            self.parents.forget();
        }
        self.at(member, place, doing(&member.kind), make)
    }

    /// A call on a member's place.
    pub(super) fn at<T>(
        &mut self,
        member: &Member,
        place: &Place<'_>,
        doing: &'static str,
        call: impl FnOnce(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let done = self.parents.get(place.dir).and_then(|dir| call(dir, place.leaf));
        done.map_err(|errno| self.failed(&member.name, doing, errno))
    }

    pub(super) fn failed(&self, member: &[u8], doing: &'static str, errno: Errno) -> UnpackError {
        UnpackError::system(member, doing, errno, self.done.bytes)
    }
}

pub(super) const PARENT: &str = "opening its directory";

fn doing(kind: &Kind) -> &'static str {
    match kind {
        Kind::File { .. } | Kind::Sparse { .. } => "creating the file",
        Kind::Directory => "creating the directory",
        Kind::Symlink { .. } => "creating the symbolic link",
        Kind::HardLink { .. } | Kind::LinkWithData { .. } => "creating the hard link",
        Kind::Character { .. } | Kind::Block { .. } => "creating the device node",
        Kind::Fifo => "creating the fifo",
        Kind::Socket => "creating the socket",
    }
}

impl<'p> Place<'p> {
    /// Nothing for the root, which has no place.
    pub(super) fn of(path: &'p [u8]) -> Option<Self> {
        if path.is_empty() {
            return None;
        }
        Some(match path.iter().rposition(|b| *b == b'/') {
            Some(slash) => Self { dir: &path[..slash], leaf: &path[slash + 1..] },
            None => Self { dir: b"", leaf: path },
        })
    }
}

/// Whether a member could be made at all: its name, and that of a hard link's target, stay in the tree.
pub(super) fn check(member: &Member) -> Result<(), UnpackError> {
    let complain = |reason| UnpackError::member(&member.name, reason);
    clean(&member.name).map_err(complain)?;
    match &member.kind {
        Kind::HardLink { target } | Kind::LinkWithData { target, .. } => {
            clean(target).map(drop).map_err(complain)
        }
        _ => Ok(()),
    }
}

/// A name relative to the root: leading slashes, empty components and `.` dropped; empty for the root itself.
pub(super) fn clean(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    if name.contains(&0) {
        return Err("a NUL byte in the name");
    }
    let mut path = Vec::with_capacity(name.len());
    for component in name.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        if component == b".." {
            return Err("`..` in the name");
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    Ok(path)
}

fn is_directory(dir: BorrowedFd<'_>, leaf: &[u8]) -> Result<bool, Errno> {
    let stat = statat(dir, leaf, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// The process's umask, asked of proc(5) because umask(2) can only be asked by changing it; all bits where that is
/// not to be had.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    field.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_relative_to_the_root() {
        for (name, want) in
            [("./", ""), ("/", ""), ("./a//b/.", "a/b"), ("//etc/x", "etc/x"), ("a..b/..c", "a..b/..c")]
        {
            assert_eq!(clean(name.as_bytes()), Ok(want.as_bytes().to_vec()), "{name}");
        }
        for name in ["..", "../x", "a/../b", "/..", "a/.."] {
            assert!(clean(name.as_bytes()).is_err(), "{name}");
        }
        assert!(clean(b"a\0b").is_err());
    }
}
