//! The bytes of a tar archive become members: v7, ustar, GNU and pax alike, sparse files in all their forms. The format is
//! parsed by `tar-core`; here are the rules around it. What a member becomes is `tree`'s.

use rustix::fs::{Dev, makedev};
use tar_core::parse::{self, ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, HEADER_SIZE, SparseEntry};

use super::PAGE;
use super::error::{self, UnpackError};
use super::intake::Intake;
use super::pax::{self, Records, Time, Xattr};
use super::sniff::Compression;

/// Extension headers of one member: 64 KiB is the most Linux stores in one attribute; nobody has a hundred of them.
const METADATA: u32 = 4 << 20;
/// PATH_MAX without its NUL.
const PATH: u32 = 4095;
/// Pieces of data in one sparse file; more than any disk image has that still fits in memory.
const SPARSE: usize = 200_000;
/// First bytes of the file index that pixz appends to the tar bytes (pixz, `PIXZ_INDEX_MAGIC`, little-endian).
const PIXZ_INDEX: [u8; 8] = 0xDBAE_14D6_2E32_4CA6_u64.to_le_bytes();

/// One thing in the archive, as meant; its data is read from [`Members`].
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
    Character {
        device: Dev,
    },
    Block {
        device: Dev,
    },
    Fifo,
}

impl Member {
    /// What its data takes in a tmpfs: whole pages, holes not counted.
    pub(super) fn bytes(&self) -> u64 {
        match &self.kind {
            Kind::File { size } => size.div_ceil(PAGE).saturating_mul(PAGE),
            Kind::Sparse { pieces, .. } => pages(pieces).saturating_mul(PAGE),
            _ => 0,
        }
    }
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

/// The members of an archive, in order.
pub(super) struct Members<'a> {
    intake: Intake<'a>,
    compression: Compression,
    parser: Parser,
    /// What a global pax header said for all that follow.
    global: Records,
    /// Bytes of the current member's data still to come, and of its padding.
    left: u64,
    padding: u64,
    /// Name of the current member, for messages.
    name: Vec<u8>,
}

impl<'a> Members<'a> {
    pub(super) fn new(intake: Intake<'a>, compression: Compression) -> Self {
        let mut parser = Parser::new(parse::Limits {
            max_metadata_size: METADATA,
            max_path_len: Some(PATH),
            max_sparse_entries: SPARSE,
            ..parse::Limits::default()
        });
        // `pax` reads these records itself: it knows negative times, and refuses what is malformed.
        parser.set_ignore_pax_errors(true);
        let (global, name) = (Records::default(), Vec::new());
        Self { intake, compression, parser, global, left: 0, padding: 0, name }
    }

    /// The next member; nothing at the archive's end marker.
    pub(super) fn next(&mut self) -> Result<Option<Member>, UnpackError> {
        self.skip()?;
        let mut want = HEADER_SIZE;
        loop {
            let offset = self.intake.taken();
            let input = self.intake.peek(want)?;
            let short = input.len() < want;
            if short {
                return Err(self.cut(offset));
            }
            let zero = input[..HEADER_SIZE].iter().all(|b| *b == 0);
            if zero && input.len() < 2 * HEADER_SIZE {
                want = 2 * HEADER_SIZE;
                continue;
            }
            if zero && input[HEADER_SIZE..2 * HEADER_SIZE].iter().any(|b| *b != 0) {
                return Err(self.wrong(offset, "a lone zero block where two mark the end"));
            }
            let event = match self.parser.parse(input) {
                Ok(event) => event,
                Err(e) => {
                    let reason = e.to_string();
                    return Err(self.wrong(offset, &reason));
                }
            };
            let step = match understand(event, &self.global) {
                Ok(step) => step,
                Err((name, reason)) if name.is_empty() => return Err(self.wrong(offset, &reason)),
                Err((name, reason)) => return Err(UnpackError::member(&name, reason)),
            };
            match step {
                // Doubled, because the parser begins anew each time.
                Step::Need(bytes) => want = bytes.max(if want > HEADER_SIZE { 2 * want } else { 0 }),
                Step::Pass { consumed, data, global } => {
                    self.intake.consume(consumed)?;
                    self.data_follows(data);
                    self.skip()?;
                    if let Some(global) = global {
                        self.global = *global;
                    }
                    want = HEADER_SIZE;
                }
                Step::Member { consumed, data, member } => {
                    self.intake.consume(consumed)?;
                    self.data_follows(data);
                    self.name.clone_from(&member.name);
                    return Ok(Some(*member));
                }
                Step::End { consumed } => {
                    self.intake.consume(consumed)?;
                    return Ok(None);
                }
            }
        }
    }

    /// More of the current member's data; empty when all of it was handed out.
    pub(super) fn data(&mut self) -> Result<&[u8], UnpackError> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let left = self.left;
        let bytes = self.intake.take(left)?;
        if bytes.is_empty() {
            let reason = format!("the archive ends inside this member, {left} bytes too early");
            return Err(UnpackError::member(&self.name, reason));
        }
        self.left -= bytes.len() as u64;
        Ok(bytes)
    }

    /// Reads what follows the end marker: zeros, and the file index that pixz leaves. The source is then at its end.
    pub(super) fn end(&mut self) -> Result<(), UnpackError> {
        loop {
            let offset = self.intake.taken();
            let bytes = self.intake.peek(1)?;
            if bytes.is_empty() {
                return Ok(());
            }
            match bytes.iter().position(|b| *b != 0) {
                None => {
                    let n = bytes.len();
                    self.intake.consume(n)?;
                }
                Some(zeros) => {
                    self.intake.consume(zeros)?;
                    return self.index(offset + zeros as u64);
                }
            }
        }
    }

    fn index(&mut self, offset: u64) -> Result<(), UnpackError> {
        let mark = self.intake.peek(PIXZ_INDEX.len())?;
        if self.compression != Compression::Xz || !mark.starts_with(&PIXZ_INDEX) {
            let reason = format!("data after the archive's end marker, at byte {offset}");
            return Err(UnpackError::archive(reason));
        }
        self.intake.stop_copying();
        while !self.intake.take(u64::MAX)?.is_empty() {}
        Ok(())
    }

    fn data_follows(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(HEADER_SIZE as u64) - size;
    }

    /// Passes over what is left of the current member.
    fn skip(&mut self) -> Result<(), UnpackError> {
        while !self.data()?.is_empty() {}
        while self.padding > 0 {
            let n = self.intake.take(self.padding)?.len() as u64;
            if n == 0 {
                return Err(self.cut(self.intake.taken()));
            }
            self.padding -= n;
        }
        Ok(())
    }

    fn after(&self) -> String {
        match &self.name[..] {
            [] => "at its beginning".to_owned(),
            name => format!("after member {}", error::shown(&error::path(name))),
        }
    }

    fn cut(&self, offset: u64) -> UnpackError {
        UnpackError::archive(format!(
            "the archive ends without its end marker, at byte {offset}, {}",
            self.after()
        ))
    }

    fn wrong(&self, offset: u64, reason: &str) -> UnpackError {
        UnpackError::archive(format!("the archive is damaged at byte {offset}, {}: {reason}", self.after()))
    }
}

/// What a parser's event asks for.
enum Step {
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
type Complaint = (Vec<u8>, String);

fn understand(event: ParseEvent<'_>, global: &Records) -> Result<Step, Complaint> {
    match event {
        ParseEvent::NeedData { min_bytes } => Ok(Step::Need(min_bytes)),
        ParseEvent::End { consumed } => Ok(Step::End { consumed }),
        ParseEvent::GlobalExtensions { consumed, pax_data } => {
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
        None => kind(entry)?,
    };
    let member = Member {
        name: entry.path.to_vec(),
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

fn header_time(entry: &ParsedEntry<'_>) -> Result<i64, String> {
    entry.header.mtime().map(|seconds| seconds as i64).map_err(|e| e.to_string())
}

/// Kinds other than sparse files. As GNU tar does, only files have data, whatever size the header of a link, a
/// directory or a device says.
fn kind(entry: &ParsedEntry<'_>) -> Result<(Kind, u64), String> {
    let target = || match &entry.link_target {
        Some(target) => Ok(target.to_vec()),
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
