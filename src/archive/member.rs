//! A member with everything resolved: what a tar entry means, or the reason why it cannot be one. Finding entries in the
//! bytes is `tar`'s, what a member becomes is `tree`'s.

use rustix::fs::{Dev, makedev};
use tar_core::parse::{ParseEvent, ParsedEntry};
use tar_core::{EntryType, HEADER_SIZE, SparseEntry};

use super::PAGE;
use super::pax::{self, Records, Time, Xattr};

/// One thing in the archive, as meant; its data is read from [`Members`](super::members::Members).
#[derive(Debug)]
pub(super) struct Member {
    /// As written, with leading `/` and all.
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub xattrs: Vec<Xattr>,
}

/// What a member is.
#[derive(Debug)]
pub(super) enum Kind {
    File {
        size: u64,
    },
    /// Data only in these pieces, ascending; zeros elsewhere.
    Sparse {
        pieces: Vec<SparseEntry>,
        size: u64,
    },
    Directory,
    Symlink {
        target: Vec<u8>,
    },
    HardLink {
        target: Vec<u8>,
    },
    /// A further name of a file, and the file's data: cpio has it with one of the names, most writers with the last.
    LinkWithData {
        target: Vec<u8>,
        size: u64,
    },
    Character {
        device: Dev,
    },
    Block {
        device: Dev,
    },
    Fifo,
    Socket,
}

impl Member {
    /// What it takes in a tmpfs: its data in whole pages, holes not counted, and its attributes.
    pub(super) fn bytes(&self) -> u64 {
        let attributes = || self.xattrs.iter().map(|(name, value)| attribute(name.len(), value.len())).sum();
        match &self.kind {
            Kind::File { size } | Kind::LinkWithData { size, .. } => {
                size.div_ceil(PAGE).saturating_mul(PAGE).saturating_add(attributes())
            }
            Kind::Sparse { pieces, .. } => pages(pieces).saturating_mul(PAGE).saturating_add(attributes()),
            // It has those of the file it is a name of.
            Kind::HardLink { .. } => 0,
            _ => attributes(),
        }
    }
}

/// What an extended attribute takes in a tmpfs, at most: kernel memory comes in powers of two, and has to hold a node
/// besides name and value (`struct simple_xattr` in linux/xattr.h).
pub(super) fn attribute(name: usize, value: usize) -> u64 {
    (name as u64 + value as u64 + 64).next_power_of_two()
}

/// Pages that ascending pieces touch.
pub(super) fn pages(pieces: &[SparseEntry]) -> u64 {
    let mut pages = 0;
    let mut free_from = 0;
    for piece in pieces.iter().filter(|p| p.length > 0) {
        let first = (piece.offset / PAGE).max(free_from);
        let end = (piece.offset + piece.length).div_ceil(PAGE);
        pages += end - first.min(end);
        free_from = end;
    }
    pages
}

/// What a parser's event asks for.
pub(super) enum Step {
    Need(usize),
    /// Not a member of the tree.
    Pass {
        consumed: usize,
        data: u64,
        global: Option<Box<Records>>,
    },
    Member {
        consumed: usize,
        data: u64,
        member: Box<Member>,
    },
    End {
        consumed: usize,
    },
}

/// Whose fault, by name, and why.
pub(super) type Complaint = (Vec<u8>, String);

pub(super) fn understand(event: ParseEvent<'_>, global: &Records) -> Result<Step, Complaint> {
    match event {
        ParseEvent::NeedData { min_bytes } => Ok(Step::Need(min_bytes)),
        ParseEvent::End { consumed } => Ok(Step::End { consumed }),
        ParseEvent::GlobalExtensions { consumed, pax_data } => {
            // The parser drops the headers of a member that came before it.
            if consumed > HEADER_SIZE + pax_data.len().next_multiple_of(HEADER_SIZE) {
                let reason = "a global pax header between a member and its own extended header";
                return Err((Vec::new(), reason.to_owned()));
            }
            let global = Records::read_global(pax_data).map_err(|reason| (Vec::new(), reason))?;
            Ok(Step::Pass { consumed, data: 0, global: Some(Box::new(global)) })
        }
        // The label of a GNU archive is no file.
        ParseEvent::Entry { consumed, entry } if entry.entry_type == EntryType::Other(b'V') => {
            Ok(Step::Pass { consumed, data: entry.size, global: None })
        }
        ParseEvent::Entry { consumed, entry } => {
            let name = entry.path.to_vec();
            meant(&entry, global, None)
                .map(|(member, data)| Step::Member { consumed, data, member: Box::new(member) })
                .map_err(|reason| (name, reason))
        }
        ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
            let name = entry.path.to_vec();
            meant(&entry, global, Some((sparse_map, real_size)))
                .map(|(member, data)| Step::Member { consumed, data, member: Box::new(member) })
                .map_err(|reason| (name, reason))
        }
    }
}

/// The member an entry means, and how many bytes of data follow it.
fn meant(
    entry: &ParsedEntry<'_>,
    global: &Records,
    sparse: Option<(Vec<SparseEntry>, u64)>,
) -> Result<(Member, u64), String> {
    let records = entry.pax.map_or_else(|| Ok(Records::default()), Records::read)?;
    // A sparse file in the pax forms 0.0 and 0.1 without a single piece is one hole.
    let sparse = sparse.or_else(|| records.sparse_size.map(|size| (Vec::new(), size)));
    let (kind, data) = match sparse {
        Some((pieces, size)) => {
            let data = check_pieces(entry, &records, &pieces, size)?;
            (Kind::Sparse { pieces, size }, data)
        }
        None => kind(entry, &records)?,
    };
    let member = Member {
        name: without_nuls(&entry.path, records.path).to_vec(),
        kind,
        mode: entry.mode & 0o7777,
        uid: records.uid.or(global.uid).map_or_else(|| pax::owner(entry.uid), Ok)?,
        gid: records.gid.or(global.gid).map_or_else(|| pax::owner(entry.gid), Ok)?,
        mtime: match records.mtime.or(global.mtime) {
            Some(time) => time,
            // A base-256 field holds a signed number; the parser hands its low 64 bits out.
            None => Time { seconds: header_time(entry)?, nanoseconds: 0 },
        },
        xattrs: records.xattrs,
    };
    Ok((member, data))
}

/// Names of GNU headers end at a NUL, and some writers put more than one; those of pax records have none.
fn without_nuls(name: &[u8], record: bool) -> &[u8] {
    let end = name.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    if record { name } else { &name[..end] }
}

fn header_time(entry: &ParsedEntry<'_>) -> Result<i64, String> {
    entry.header.mtime().map(|seconds| seconds as i64).map_err(|e| e.to_string())
}

/// Kinds other than sparse files. As GNU tar does, only files have data, whatever size the header of a link, a
/// directory or a device says.
fn kind(entry: &ParsedEntry<'_>, records: &Records) -> Result<(Kind, u64), String> {
    let target = || match &entry.link_target {
        Some(target) => Ok(without_nuls(target, records.linkpath).to_vec()),
        None => Err("a link without a target".to_owned()),
    };
    let device = || makedev(entry.dev_major.unwrap_or(0), entry.dev_minor.unwrap_or(0));
    Ok(match entry.entry_type {
        // Before POSIX, a directory was a file whose name ends in a slash.
        EntryType::Regular | EntryType::Continuous if entry.path.ends_with(b"/") => (Kind::Directory, 0),
        EntryType::Regular | EntryType::Continuous => (Kind::File { size: entry.size }, entry.size),
        EntryType::Directory => (Kind::Directory, 0),
        // A directory of an incremental GNU archive, with the list of its files as data.
        EntryType::Other(b'D') => (Kind::Directory, entry.size),
        EntryType::Symlink => (Kind::Symlink { target: target()? }, 0),
        EntryType::Link => (Kind::HardLink { target: target()? }, 0),
        EntryType::Char => (Kind::Character { device: device() }, 0),
        EntryType::Block => (Kind::Block { device: device() }, 0),
        EntryType::Fifo => (Kind::Fifo, 0),
        EntryType::Other(b'M') => return Err("the continuation of another volume".to_owned()),
        other => {
            let flag = char::from(other.as_byte());
            return Err(format!("members of type {flag:?} are not read by this version"));
        }
    })
}

/// Pieces must ascend, lie within the file and be exactly the data that follows.
fn check_pieces(
    entry: &ParsedEntry<'_>,
    records: &Records,
    pieces: &[SparseEntry],
    size: u64,
) -> Result<u64, String> {
    if !matches!(entry.entry_type, EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse) {
        return Err("a sparse map on something that is no file".to_owned());
    }
    let mut end = 0;
    let mut data = 0_u64;
    for piece in pieces {
        if piece.offset < end {
            return Err("the pieces of the sparse file overlap".to_owned());
        }
        end = piece.offset.checked_add(piece.length).filter(|end| *end <= size).ok_or_else(|| {
            format!("a piece at {} is outside the sparse file of {size} bytes", piece.offset)
        })?;
        data += piece.length;
    }
    // In the pax form 1.0 a record `size` counts the map too, which stands before the data in whole blocks.
    let map = entry.size.checked_sub(data);
    let map_counted = records.size == Some(entry.size) && map.is_some_and(|n| n % HEADER_SIZE as u64 == 0);
    if entry.size != data && !map_counted {
        return Err(format!("the sparse file has {} bytes of data, its map says {data}", entry.size));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_sparse_file_are_counted_once() {
        let pieces = |list: &[(u64, u64)]| {
            list.iter()
                .map(|(offset, length)| SparseEntry { offset: *offset, length: *length })
                .collect::<Vec<_>>()
        };
        for (list, want) in [
            (&[][..], 0),
            (&[(0, 1)], 1),
            (&[(4095, 2)], 2),
            (&[(0, 10), (20, 10), (4000, 200)], 2),
            (&[(8192, 4096), (1 << 20, 0)], 1),
        ] {
            assert_eq!(pages(&pieces(list)), want, "{list:?}");
        }
    }
}
