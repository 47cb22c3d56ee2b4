//! Members become files, directories, links and nodes below a root, with every attribute as packed and nothing outside
//! ever touched. Reading the archive is `tar`'s, finding directories `parents`'.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat, fchmod,
    fchown, fremovexattr, fsetxattr, ftruncate, futimens, linkat, lsetxattr, mkdirat, mknodat, openat,
    statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::acl;
use super::error::{self, UnpackError};
use super::intake::Ticker;
use super::parents::{Parents, inside, lookup};
use super::pax::{Time, Xattr};
use super::tar::{Kind, Member, Members};
use super::{Limits, LostXattrs, Progress, Unpacked};

/// Entries between two ticks where no data flows: links and empty files come without.
const TICK_ENTRIES: u64 = 256;

/// Capabilities of a program: without them it does not work, so they are never silently lost.
const CAPABILITY: &[u8] = b"security.capability";

/// setuid, setgid, sticky: given last, because chown(2) takes the first two away.
const SPECIAL: u32 = 0o7000;

/// A directory's attributes that what is made inside it later would change, or would inherit.
struct Later {
    path: Box<[u8]>,
    mtime: Time,
    mode: Option<u32>,
    default_acl: Option<Vec<u8>>,
}

/// A tree in the making.
pub(super) struct Tree<'a> {
    parents: Parents,
    limits: &'a Limits,
    ticker: &'a Ticker<'a>,
    done: Unpacked,
    later: Vec<Later>,
    /// Owner of what this process makes, and the permission bits it cannot give by creating.
    own: (u32, u32),
    umask: u32,
}

/// A member's place: its directory, and its name in there.
struct Place<'p> {
    dir: &'p [u8],
    leaf: &'p [u8],
}

impl<'a> Tree<'a> {
    /// The root becomes `0755 root:root` at once; a member for it may say otherwise.
    pub(super) fn new(
        target: BorrowedFd<'_>,
        limits: &'a Limits,
        ticker: &'a Ticker<'a>,
    ) -> Result<Self, UnpackError> {
        let prepared = inside(target, b"", OFlags::RDONLY | OFlags::DIRECTORY).and_then(|root| {
            fchown(&root, Some(Uid::ROOT), Some(Gid::ROOT))?;
            fchmod(&root, Mode::from_raw_mode(0o755))?;
            match fremovexattr(&root, acl::DEFAULT) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(root),
                Err(errno) => Err(errno),
            }
        });
        let root = prepared.map_err(|errno| UnpackError::system(b"", "preparing the root", errno, 0))?;
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Ok(Self {
            parents: Parents::new(root),
            limits,
            ticker,
            done: Unpacked::default(),
            later: Vec::new(),
            own,
            umask: umask(),
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
            Kind::Symlink { .. } | Kind::Character { .. } | Kind::Block { .. } | Kind::Fifo => {
                self.make_node(&member, &place)
            }
        }
    }

    /// Gives the directories what had to wait.
    pub(super) fn finish(mut self) -> Result<Unpacked, UnpackError> {
        for dir in std::mem::take(&mut self.later) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let fd = match inside(self.parents.root(), &dir.path, flags) {
                // A later member took its place, or that of a directory above.
                Err(Errno::NOTDIR | Errno::NOENT | Errno::LOOP) => continue,
                other => other.map_err(|e| self.failed(&dir.path, "opening the directory", e))?,
            };
            if let Some(mode) = dir.mode {
                fchmod(&fd, Mode::from_raw_mode(mode)).map_err(|e| self.failed(&dir.path, CHMOD, e))?;
            }
            if let Some(value) = &dir.default_acl {
                let set = fsetxattr(&fd, acl::DEFAULT, value, rustix::fs::XattrFlags::empty());
                self.kept_or_lost(&dir.path, acl::DEFAULT.as_bytes(), set)?;
            }
            futimens(&fd, &times(dir.mtime)).map_err(|e| self.failed(&dir.path, UTIMENS, e))?;
        }
        self.ticker.tick()?;
        Ok(self.done)
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
        if self.done.entries + self.parents.made > self.limits.entries {
            let reason = format!("more than {} members", self.limits.entries);
            return Err(UnpackError::member(&member.name, reason));
        }
        self.ticker.set(Progress { bytes, entries: self.done.entries });
        if self.done.entries.is_multiple_of(TICK_ENTRIES) { self.ticker.tick() } else { Ok(()) }
    }

    fn make_root(&mut self, member: Member) -> Result<(), UnpackError> {
        if !matches!(member.kind, Kind::Directory) {
            return Err(UnpackError::member(&member.name, "the root of the archive is not a directory"));
        }
        fchown(self.parents.root(), Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)))
            .map_err(|e| self.failed(&member.name, CHOWN, e))?;
        self.directory_attributes(member, b"", true)
    }

    fn make_directory(&mut self, member: Member, path: &[u8]) -> Result<(), UnpackError> {
        let Some(place) = Place::of(path) else { return self.make_root(member) };
        let mode = Mode::from_raw_mode(member.mode & !SPECIAL);
        let new = self.create(&member, &place, |dir, leaf| match mkdirat(dir, leaf, mode) {
            // One that is there already takes the attributes of this one.
            Err(Errno::EXIST) if is_directory(dir, leaf)? => Ok(false),
            made => made.map(|()| true),
        })?;
        if !new || (member.uid, member.gid) != self.own {
            let (uid, gid) = (Uid::from_raw(member.uid), Gid::from_raw(member.gid));
            self.at(&member, &place, CHOWN, |dir, leaf| {
                chownat(dir, leaf, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            })?;
        }
        self.directory_attributes(member, path, !new)
    }

    /// Mode (where creating did not give it), attributes and, for later, times.
    fn directory_attributes(
        &mut self,
        member: Member,
        path: &[u8],
        existing: bool,
    ) -> Result<(), UnpackError> {
        let (default_acl, now): (Vec<Xattr>, Vec<Xattr>) =
            member.xattrs.into_iter().partition(|(name, _)| name == acl::DEFAULT.as_bytes());
        // A setgid directory would hand its group to what is made in it.
        let mode = (member.mode & SPECIAL != 0).then_some(member.mode);
        if existing || member.mode & self.umask != 0 || !now.is_empty() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let fd = inside(self.parents.root(), path, flags)
                .map_err(|e| self.failed(&member.name, "opening the directory", e))?;
            fchmod(&fd, Mode::from_raw_mode(member.mode & !SPECIAL))
                .map_err(|e| self.failed(&member.name, CHMOD, e))?;
            self.set_xattrs(&member.name, &now, |name, value| {
                fsetxattr(&fd, name, value, rustix::fs::XattrFlags::empty())
            })?;
        }
        let default_acl = default_acl.into_iter().next().map(|(_, value)| value);
        self.later.push(Later { path: path.into(), mtime: member.mtime, mode, default_acl });
        Ok(())
    }

    fn make_file(
        &mut self,
        member: &Member,
        place: &Place<'_>,
        members: &mut Members<'_>,
    ) -> Result<(), UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(member.mode & !SPECIAL);
        let fd = self.create(member, place, |dir, leaf| openat(dir, leaf, flags, mode))?;
        match &member.kind {
            Kind::Sparse { pieces, size } => {
                let mut pieces = pieces.iter().filter(|p| p.length > 0);
                let (mut at, mut left) = (0, 0);
                loop {
                    let mut bytes = members.data()?;
                    if bytes.is_empty() {
                        break;
                    }
                    while !bytes.is_empty() {
                        if left == 0 {
                            // The pieces add up to the data: `tar` saw to that.
                            (at, left) = pieces.next().map_or((at, u64::MAX), |p| (p.offset, p.length));
                        }
                        let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                        self.write(member, &fd, &bytes[..n], Some(at))?;
                        (at, left, bytes) = (at + n as u64, left - n as u64, &bytes[n..]);
                    }
                }
                ftruncate(&fd, *size).map_err(|e| self.failed(&member.name, "setting the size", e))?;
            }
            _ => loop {
                let bytes = members.data()?;
                if bytes.is_empty() {
                    break;
                }
                self.write(member, &fd, bytes, None)?;
            },
        }
        self.file_attributes(member, &fd)
    }

    fn write(&self, member: &Member, fd: &OwnedFd, data: &[u8], at: Option<u64>) -> Result<(), UnpackError> {
        let mut done = 0;
        while done < data.len() {
            let rest = &data[done..];
            let wrote = match at {
                Some(at) => rustix::io::pwrite(fd, rest, at + done as u64),
                None => rustix::io::write(fd, rest),
            };
            match wrote {
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed(&member.name, "writing", errno)),
            }
        }
        Ok(())
    }

    /// In the order that keeps all: the owner (takes setuid and capabilities away), the mode, attributes, times.
    fn file_attributes(&mut self, member: &Member, fd: &OwnedFd) -> Result<(), UnpackError> {
        if (member.uid, member.gid) != self.own {
            fchown(fd, Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)))
                .map_err(|e| self.failed(&member.name, CHOWN, e))?;
        }
        if member.mode & (SPECIAL | self.umask) != 0 {
            fchmod(fd, Mode::from_raw_mode(member.mode)).map_err(|e| self.failed(&member.name, CHMOD, e))?;
        }
        self.set_xattrs(&member.name, &member.xattrs, |name, value| {
            fsetxattr(fd, name, value, rustix::fs::XattrFlags::empty())
        })?;
        futimens(fd, &times(member.mtime)).map_err(|e| self.failed(&member.name, UTIMENS, e))
    }

    fn make_hard_link(
        &mut self,
        member: &Member,
        target: &[u8],
        place: &Place<'_>,
    ) -> Result<(), UnpackError> {
        let complain = |reason: String| UnpackError::member(&member.name, reason);
        let shown = || error::shown(&error::path(target));
        let path = clean(target).map_err(|reason| complain(format!("hard link to {}: {reason}", shown())))?;
        let missing = || complain(format!("hard link to {}, which is not there yet", shown()));
        let to = Place::of(&path).ok_or_else(|| complain("hard link to the root".to_owned()))?;
        let to_dir = match lookup(self.parents.root(), to.dir) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing()),
            Err(errno) => return Err(self.failed(&member.name, "opening the link's target", errno)),
        };
        let target = match statat(&to_dir, to.leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(missing()),
            Err(errno) => return Err(self.failed(&member.name, "looking at the link's target", errno)),
        };
        self.create(member, place, |dir, leaf| match linkat(&to_dir, to.leaf, dir, leaf, AtFlags::empty()) {
            Err(Errno::EXIST) => match statat(dir, leaf, AtFlags::SYMLINK_NOFOLLOW)? {
                same if (same.st_dev, same.st_ino) == (target.st_dev, target.st_ino) => Ok(()),
                _ => Err(Errno::EXIST),
            },
            done => done,
        })
    }

    fn make_node(&mut self, member: &Member, place: &Place<'_>) -> Result<(), UnpackError> {
        let (kind, device) = match &member.kind {
            Kind::Character { device } => (FileType::CharacterDevice, *device),
            Kind::Block { device } => (FileType::BlockDevice, *device),
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

    /// A node is not opened for its attributes (a device would act on that), nor can a link be; the name in /proc of its
    /// directory stands for the `*at` call that Linux has only since 6.13.
    fn node_xattrs(&mut self, member: &Member, place: &Place<'_>) -> Result<(), UnpackError> {
        if member.xattrs.is_empty() {
            return Ok(());
        }
        let path = self.at(member, place, PARENT, |dir, leaf| {
            Ok([format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), leaf].concat())
        })?;
        self.set_xattrs(&member.name, &member.xattrs, |name, value| {
            lsetxattr(&path[..], name, value, rustix::fs::XattrFlags::empty())
        })
    }

    fn set_xattrs(
        &mut self,
        member: &[u8],
        xattrs: &[Xattr],
        set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>,
    ) -> Result<(), UnpackError> {
        xattrs.iter().try_for_each(|(name, value)| self.kept_or_lost(member, name, set(name, value)))
    }

    /// What the file system cannot store is counted; a capability is too much to lose.
    fn kept_or_lost(
        &mut self,
        member: &[u8],
        name: &[u8],
        set: Result<(), Errno>,
    ) -> Result<(), UnpackError> {
        match set {
            Ok(()) => Ok(()),
            Err(errno @ Errno::OPNOTSUPP) if name != CAPABILITY => {
                let lost = self.done.lost_xattrs.get_or_insert_with(|| LostXattrs {
                    count: 0,
                    first_member: error::path(member),
                    first_name: String::from_utf8_lossy(name).into_owned(),
                    errno: errno.raw_os_error(),
                });
                lost.count += 1;
                Ok(())
            }
            Err(errno) if name == CAPABILITY => Err(self.failed(member, "setting its capabilities", errno)),
            Err(errno) => Err(self.failed(member, "setting an extended attribute", errno)),
        }
    }

    /// Creates something; what stands in its way, other than a directory with something in it, is removed.
    fn create<T>(
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
        let removed = match unlinkat(dir, place.leaf, AtFlags::empty()) {
            Err(Errno::ISDIR) => unlinkat(dir, place.leaf, AtFlags::REMOVEDIR),
            other => other,
        };
        removed.map_err(|e| self.failed(&member.name, "replacing what was there", e))?;
        self.parents.forget();
        self.at(member, place, doing(&member.kind), make)
    }

    /// A call on a member's place.
    fn at<T>(
        &mut self,
        member: &Member,
        place: &Place<'_>,
        doing: &'static str,
        call: impl FnOnce(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let done = self.parents.get(place.dir).and_then(|dir| call(dir, place.leaf));
        done.map_err(|errno| self.failed(&member.name, doing, errno))
    }

    fn failed(&self, member: &[u8], doing: &'static str, errno: Errno) -> UnpackError {
        UnpackError::system(member, doing, errno, self.done.bytes)
    }
}

const CHOWN: &str = "setting the owner";
const CHMOD: &str = "setting the mode";
const UTIMENS: &str = "setting the time";
const PARENT: &str = "opening its directory";

fn doing(kind: &Kind) -> &'static str {
    match kind {
        Kind::File { .. } | Kind::Sparse { .. } => "creating the file",
        Kind::Directory => "creating the directory",
        Kind::Symlink { .. } => "creating the symbolic link",
        Kind::HardLink { .. } => "creating the hard link",
        Kind::Character { .. } | Kind::Block { .. } => "creating the device node",
        Kind::Fifo => "creating the fifo",
    }
}

impl<'p> Place<'p> {
    /// Nothing for the root, which has no place.
    fn of(path: &'p [u8]) -> Option<Self> {
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
        Kind::HardLink { target } => clean(target).map(drop).map_err(complain),
        _ => Ok(()),
    }
}

/// A name relative to the root: leading slashes, empty components and `.` dropped; empty for the root itself.
fn clean(name: &[u8]) -> Result<Vec<u8>, &'static str> {
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

/// Access times are left as they are: nothing was read yet.
fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) as _ },
    }
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
