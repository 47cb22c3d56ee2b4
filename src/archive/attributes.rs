//! Owners, modes, attributes and times of a tree in the making, in the order that keeps all of them: the owner first,
//! because chown(2) takes setuid and capabilities away, the times last. Making the entries themselves is `tree`'s.

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::fs::{
    Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, fchmod, fchown, fremovexattr,
    fsetxattr, futimens, lsetxattr,
};
use rustix::io::Errno;

use super::error::{self, UnpackError};
use super::member::Member;
use super::parents::inside;
use super::pax::{Time, Xattr};
use super::tree::{PARENT, Place, Tree};
use super::{LostXattrs, Unpacked, acl};

/// Capabilities of a program: without them it does not work, so they are never silently lost.
const CAPABILITY: &[u8] = b"security.capability";

pub(super) const CHOWN: &str = "setting the owner";
pub(super) const CHMOD: &str = "setting the mode";
pub(super) const UTIMENS: &str = "setting the time";

/// setuid, setgid, sticky: given last, because chown(2) takes the first two away.
pub(super) const SPECIAL: u32 = 0o7000;

/// Memory for what directories get at the end: a quarter of what the tree may take, but at least and at most so much. A
/// hundred thousand directories with long names, and a million.
const LEAST_LATER: u64 = 16 << 20;
const MOST_LATER: u64 = 256 << 20;

/// A directory's attributes that what is made inside it later would change, or would inherit.
pub(super) struct Later {
    path: Box<[u8]>,
    mtime: Time,
    mode: Option<u32>,
    default_acl: Option<Vec<u8>>,
    /// It was there before: what an earlier member gave it and this one does not have goes.
    again: bool,
}

impl Tree<'_> {
    /// Gives the directories what had to wait.
    pub(super) fn finish(mut self) -> Result<Unpacked, UnpackError> {
        self.settle()?;
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
                let set = fsetxattr(&fd, acl::DEFAULT, value, XattrFlags::empty());
                self.kept_or_lost(&dir.path, acl::DEFAULT.as_bytes(), set)?;
            } else if dir.again {
                self.without(&fd, acl::DEFAULT, &dir.path)?;
            }
            futimens(&fd, &times(dir.mtime)).map_err(|e| self.failed(&dir.path, UTIMENS, e))?;
        }
        self.ticker.tick()?;
        self.done.entries += self.parents.made;
        Ok(self.done)
    }

    /// Mode (where creating did not give it), attributes and, for later, times.
    pub(super) fn directory_attributes(
        &mut self,
        member: Member,
        path: &[u8],
        existing: bool,
    ) -> Result<(), UnpackError> {
        let (default_acl, now): (Vec<Xattr>, Vec<Xattr>) =
            member.xattrs.into_iter().partition(|(name, _)| name == acl::DEFAULT.as_bytes());
        // A setgid directory would hand its group to what is made in it. One that comes again may have been one.
        let mode = (existing || member.mode & SPECIAL != 0).then_some(member.mode);
        if existing || member.mode & self.umask != 0 || !now.is_empty() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let fd = inside(self.parents.root(), path, flags)
                .map_err(|e| self.failed(&member.name, "opening the directory", e))?;
            if existing && !now.iter().any(|(name, _)| name == acl::ACCESS.as_bytes()) {
                self.without(&fd, acl::ACCESS, &member.name)?;
            }
            fchmod(&fd, Mode::from_raw_mode(member.mode & !SPECIAL))
                .map_err(|e| self.failed(&member.name, CHMOD, e))?;
            self.set_xattrs(&member.name, &now, |name, value| {
                fsetxattr(&fd, name, value, XattrFlags::empty())
            })?;
        }
        let default_acl = default_acl.into_iter().next().map(|(_, value)| value);
        self.count_later(&member.name, path, default_acl.as_ref())?;
        self.later.push(Later { path: path.into(), mtime: member.mtime, mode, default_acl, again: existing });
        Ok(())
    }

    /// What waits for the end is memory of ours, and one directory may come again and again.
    fn count_later(&mut self, name: &[u8], path: &[u8], acl: Option<&Vec<u8>>) -> Result<(), UnpackError> {
        let most = (self.limits.bytes / 4).clamp(LEAST_LATER, MOST_LATER);
        self.later_bytes += (size_of::<Later>() + path.len() + acl.map_or(0, Vec::len)) as u64;
        if self.later_bytes > most {
            let reason = format!("more than {} MiB of names of directories", most >> 20);
            return Err(UnpackError::member(name, reason));
        }
        Ok(())
    }

    /// Takes an ACL away, where there is one.
    fn without(&self, fd: &OwnedFd, acl: &str, member: &[u8]) -> Result<(), UnpackError> {
        match fremovexattr(fd, acl) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(self.failed(member, "removing an ACL", errno)),
        }
    }

    /// In the order that keeps all: the owner (takes setuid and capabilities away), the mode, attributes, times.
    pub(super) fn file_attributes(&mut self, member: &Member, fd: &OwnedFd) -> Result<(), UnpackError> {
        if (member.uid, member.gid) != self.own {
            fchown(fd, Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)))
                .map_err(|e| self.failed(&member.name, CHOWN, e))?;
        }
        if member.mode & (SPECIAL | self.umask) != 0 {
            fchmod(fd, Mode::from_raw_mode(member.mode)).map_err(|e| self.failed(&member.name, CHMOD, e))?;
        }
        self.set_xattrs(&member.name, &member.xattrs, |name, value| {
            fsetxattr(fd, name, value, XattrFlags::empty())
        })?;
        futimens(fd, &times(member.mtime)).map_err(|e| self.failed(&member.name, UTIMENS, e))
    }

    /// A node is not opened for its attributes (a device would act on that), nor can a link be; the name in /proc of its
    /// directory stands for the `*at` call that Linux has only since 6.13.
    pub(super) fn node_xattrs(&mut self, member: &Member, place: &Place<'_>) -> Result<(), UnpackError> {
        if member.xattrs.is_empty() {
            return Ok(());
        }
        let path = self.at(member, place, PARENT, |dir, leaf| {
            Ok([format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), leaf].concat())
        })?;
        self.set_xattrs(&member.name, &member.xattrs, |name, value| {
            lsetxattr(&path[..], name, value, XattrFlags::empty())
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
}

/// Access times are left as they are: nothing was read yet.
pub(super) fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) as _ },
    }
}
