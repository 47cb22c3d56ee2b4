//! The members of a cpio archive become a tar archive. What differs: in a cpio archive the data of a file with several names
//! comes with one of these, mostly the last; in a tar archive with the first. Headers are `write`'s.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use rustix::fs::{major, minor};
use tar_core::EntryType;

use super::Progress;
use super::cpio::Members;
use super::error::{UnpackError, path, shown};
use super::intake::Ticker;
use super::leave_out::LeaveOut;
use super::member::{Kind, Member};
use super::outline::Outline;
use super::tree::clean;
use super::write::{self, Entry};

/// Writes all members but those to leave out as a tar archive, in place of a copy. The numbers are those unpacking will
/// give.
pub(super) fn convert(
    members: &mut Members<'_>,
    leave_out: &LeaveOut,
    ticker: &Ticker<'_>,
) -> Result<Progress, UnpackError> {
    let Some(out) = members.instead_of_a_copy() else { return Ok(Progress::default()) };
    let mut new = New { out, ticker, outline: Outline::default(), waiting: Waiting::default() };
    while let Some(member) = members.next()? {
        let kept = !leave_out.member(&member);
        if kept && new.waiting.has(&member.name) {
            // What comes later takes the place of what came before, and not the other way round.
            new.write_waiting()?;
        }
        new.take(member, kept, members)?;
    }
    new.write_waiting()?;
    write::end(new.out).map_err(UnpackError::new_archive)?;
    Ok(new.outline.done())
}

struct New<'a> {
    out: &'a mut dyn Write,
    ticker: &'a Ticker<'a>,
    outline: Outline,
    waiting: Waiting,
}

/// Files whose data has not come yet, each under its first name, with those of its names that are packed.
#[derive(Default)]
struct Waiting {
    files: BTreeMap<Vec<u8>, Vec<Member>>,
    names: HashSet<Vec<u8>>,
}

impl Waiting {
    fn has(&self, name: &[u8]) -> bool {
        clean(name).is_ok_and(|name| self.names.contains(&name))
    }

    fn add(&mut self, first: Vec<u8>, member: Option<Member>) {
        self.names.extend(member.iter().filter_map(|member| clean(&member.name).ok()));
        self.files.entry(first).or_default().extend(member);
    }
}

impl New<'_> {
    fn take(&mut self, member: Member, kept: bool, members: &mut Members<'_>) -> Result<(), UnpackError> {
        let clean = |name: &[u8]| clean(name).map_err(|reason| UnpackError::member(&member.name, reason));
        match &member.kind {
            Kind::File { .. } if members.is_awaited() => {
                let first = clean(&member.name)?;
                if self.waiting.files.contains_key(&first) {
                    self.write_waiting()?;
                }
                self.waiting.add(first, kept.then_some(member));
                Ok(())
            }
            Kind::HardLink { target } | Kind::LinkWithData { target, .. } => {
                let first = clean(target)?;
                match (&member.kind, self.waiting.files.remove(&first)) {
                    (Kind::LinkWithData { size, .. }, Some(mut names)) => {
                        let size = *size;
                        names.extend(kept.then_some(member));
                        self.file(names, size, members)
                    }
                    (Kind::LinkWithData { .. }, None) if kept => {
                        let reason =
                            "the data of this file comes twice: unpack the archive and pack the directory";
                        Err(UnpackError::member(&member.name, reason))
                    }
                    (_, Some(names)) => {
                        self.waiting.files.insert(first.clone(), names);
                        self.waiting.add(first, kept.then_some(member));
                        Ok(())
                    }
                    (_, None) if kept => self.member(&member, members),
                    (_, None) => Ok(()),
                }
            }
            _ if kept => self.member(&member, members),
            _ => Ok(()),
        }
    }

    fn write_waiting(&mut self) -> Result<(), UnpackError> {
        self.waiting.names.clear();
        for names in std::mem::take(&mut self.waiting.files).into_values() {
            self.names(names, 0, |_| Ok(()))?;
        }
        Ok(())
    }

    /// A file under all its names, once its data is there.
    fn file(&mut self, names: Vec<Member>, size: u64, members: &mut Members<'_>) -> Result<(), UnpackError> {
        self.names(names, size, |out| copy(members, out, size))
    }

    fn names(
        &mut self,
        names: Vec<Member>,
        size: u64,
        data: impl FnOnce(&mut dyn Write) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let mut names = names.into_iter();
        let Some(first) = names.next() else { return Ok(()) };
        let target = first.name.clone();
        self.header(&Member { kind: Kind::File { size }, ..first })?;
        data(self.out)?;
        names.try_for_each(|name| {
            self.header(&Member { kind: Kind::HardLink { target: target.clone() }, ..name })
        })
    }

    fn member(&mut self, member: &Member, members: &mut Members<'_>) -> Result<(), UnpackError> {
        if matches!(member.kind, Kind::Socket) {
            eprintln!("bootjack: skipping the socket {}", shown(&path(&member.name)));
            return Ok(());
        }
        self.header(member)?;
        match member.kind {
            Kind::File { size } => copy(members, self.out, size),
            _ => Ok(()),
        }
    }

    fn header(&mut self, member: &Member) -> Result<(), UnpackError> {
        self.outline.add(member)?;
        let name = written(&member.name);
        let (kind, link, size, device) = match &member.kind {
            Kind::Directory => (EntryType::Directory, Vec::new(), 0, 0),
            Kind::Symlink { target } => (EntryType::Symlink, target.clone(), 0, 0),
            Kind::HardLink { target } => (EntryType::Link, written(target), 0, 0),
            Kind::Character { device } => (EntryType::Char, Vec::new(), 0, *device),
            Kind::Block { device } => (EntryType::Block, Vec::new(), 0, *device),
            Kind::Fifo => (EntryType::Fifo, Vec::new(), 0, 0),
            Kind::File { size } => (EntryType::Regular, Vec::new(), *size, 0),
            Kind::Sparse { .. } | Kind::LinkWithData { .. } | Kind::Socket => {
                return Err(UnpackError::member(&member.name, "this is of a kind tar does not know"));
            }
        };
        let path = if kind == EntryType::Directory && !name.ends_with(b"/") {
            [&name[..], b"/"].concat()
        } else {
            name
        };
        let entry = Entry {
            path: &path,
            kind,
            link: &link,
            size,
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            mtime: member.mtime,
            device: (major(device), minor(device)),
            xattrs: &[],
            sparse: None,
        };
        write::header(self.out, &entry).map_err(UnpackError::new_archive)?;
        self.ticker.set(self.outline.done());
        Ok(())
    }
}

/// A name as this program writes it; those that are none were refused before.
fn written(name: &[u8]) -> Vec<u8> {
    [b"./", &clean(name).unwrap_or_default()[..]].concat()
}

fn copy(members: &mut Members<'_>, out: &mut dyn Write, size: u64) -> Result<(), UnpackError> {
    loop {
        match members.data()? {
            [] => return write::pad(out, size).map_err(UnpackError::new_archive),
            bytes => out.write_all(bytes).map_err(UnpackError::new_archive)?,
        }
    }
}
