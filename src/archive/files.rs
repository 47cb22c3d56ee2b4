//! Files of a tree in the making: their data, in pieces where they are sparse, and their further names. What stands in
//! the way is `tree`'s, filling many small ones at a time `writers`'.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ftruncate, linkat, openat, statat};
use rustix::io::Errno;

use super::attributes::SPECIAL;
use super::error::{self, UnpackError};
use super::member::{Kind, Member};
use super::members::Members;
use super::parents::lookup;
use super::tree::{Place, Tree, clean};
use super::writers::{Blank, WHOLE, write_all};

impl Tree<'_> {
    pub(super) fn make_file(
        &mut self,
        member: &Member,
        place: &Place<'_>,
        members: &mut Members<'_>,
    ) -> Result<(), UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(member.mode & !SPECIAL);
        let fd = self.create(member, place, |dir, leaf| openat(dir, leaf, flags, mode))?;
        match &member.kind {
            Kind::File { size } if *size <= WHOLE && member.xattrs.is_empty() && self.writers.is_some() => {
                return self.leave_to_others(member, fd, members);
            }
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
            _ => self.write_all(member, &fd, members)?,
        }
        self.file_attributes(member, &fd)
    }

    /// Writes all data of a member.
    fn write_all(&self, member: &Member, fd: &OwnedFd, members: &mut Members<'_>) -> Result<(), UnpackError> {
        loop {
            match members.data()? {
                [] => return Ok(()),
                bytes => self.write(member, fd, bytes, None)?,
            }
        }
    }

    fn write(&self, member: &Member, fd: &OwnedFd, data: &[u8], at: Option<u64>) -> Result<(), UnpackError> {
        write_all(fd, data, at).map_err(|errno| self.failed(&member.name, "writing", errno))
    }

    /// Hands the file to the threads that fill such.
    fn leave_to_others(
        &mut self,
        member: &Member,
        file: OwnedFd,
        members: &mut Members<'_>,
    ) -> Result<(), UnpackError> {
        let (mut data, mut more) = (None, Vec::new());
        loop {
            match members.shared_data()? {
                slice if slice.is_empty() => break,
                slice if data.is_none() => data = Some(slice),
                slice => more.push(slice),
            }
        }
        let owner = (member.uid, member.gid);
        let blank = Blank {
            name: member.name.clone(),
            file,
            data,
            more,
            owner: (owner != self.own).then_some(owner),
            mode: (member.mode & (SPECIAL | self.umask) != 0).then_some(member.mode),
            mtime: member.mtime,
            written: self.done.bytes,
        };
        self.writers.as_mut().map_or(Ok(()), |writers| writers.add(blank))
    }

    pub(super) fn make_hard_link(
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

    /// A further name, and the data for the file: what it has until now goes.
    pub(super) fn make_link_with_data(
        &mut self,
        member: &Member,
        target: &[u8],
        place: &Place<'_>,
        members: &mut Members<'_>,
    ) -> Result<(), UnpackError> {
        // What the file has until now may still be on its way into it.
        self.settle()?;
        self.make_hard_link(member, target, place)?;
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.at(member, place, "opening the file", |dir, leaf| {
            // Something else may have taken the place of the first name, a fifo say: opening that would never end.
            let stat = statat(dir, leaf, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => openat(dir, leaf, flags, Mode::empty()).map(Some),
                _ => Ok(None),
            }
        })?;
        let fd = file.ok_or_else(|| {
            let shown = error::shown(&error::path(target));
            UnpackError::member(
                &member.name,
                format!("hard link with data to {shown}, which is no file any more"),
            )
        })?;
        self.write_all(member, &fd, members)?;
        self.file_attributes(member, &fd)
    }

    /// Waits for files that others fill.
    pub(super) fn settle(&mut self) -> Result<(), UnpackError> {
        let ticker = self.ticker;
        self.writers.as_mut().map_or(Ok(()), |writers| writers.settle(ticker))
    }
}
