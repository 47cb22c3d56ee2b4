//! The bytes of a cpio archive become members: the format `newc`, and the same with checksums, in parts that follow each
//! other, as the kernel reads an initrd (Documentation/driver-api/early-userspace/buffer-format.rst). Stricter than the
//! kernel where bytes would be lost unseen: the last part needs its trailer. What a member becomes is `tree`'s.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rustix::fs::{FileType, makedev};

use super::MOST_ZEROS;
use super::error::UnpackError;
use super::intake::Intake;
use super::member::{Kind, Member};
use super::pax::{self, Time};
use super::shared::Slice;
use super::sniff::{self, Compression, Format};

/// Magic, and 13 numbers of 8 hexadecimal digits.
const HEADER: usize = 6 + 13 * 8;
/// Headers, data and whole parts begin at multiples of this.
const ALIGNMENT: u64 = 4;
/// PATH_MAX, which counts the NUL: the most of a name or link target the kernel takes.
const PATH: u32 = 4096;
/// Bytes of names of files that have several, which are kept to the end of their part: half a million of them.
const FIRST: usize = 64 << 20;
/// What a part counts as among bytes that belong to no member: an initrd has a handful of them.
const PART: u64 = 64 << 10;
/// Name of the member that ends a part.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The members of all parts, in order.
pub(super) struct Members<'a> {
    intake: Intake<'a>,
    compression: Compression,
    /// First name of each thing that has several, in this part.
    first: HashMap<Inode, Vec<u8>>,
    /// Bytes that these take.
    first_bytes: usize,
    /// Bytes so far that belong to no member: trailers, and zeros behind them.
    beside: u64,
    /// Bytes of the current member's data still to come, and of its padding.
    left: u64,
    padding: u64,
    /// What the bytes still to come must add up to, where the header says.
    sum: Option<u32>,
    /// Name of the current member, for messages.
    name: Vec<u8>,
    /// A trailer was the last thing read.
    between: bool,
    /// The current member is the first of several names, and has no data.
    awaited: bool,
}

/// What several names of one thing have in common: device, inode number and the type of its mode, as the kernel
/// compares them.
type Inode = ((u32, u32), u32, u32);
/// The bits of a mode that are the type (inode(7), S_IFMT).
const TYPE: u32 = 0o170_000;

/// The numbers of a header.
struct Header {
    inode: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: u32,
    size: u32,
    /// Where it lies.
    device: (u32, u32),
    /// What it is the node of.
    node: (u32, u32),
    /// With the NUL, or several.
    name: u32,
    /// Sum of the data's bytes, in the format that has it.
    sum: Option<u32>,
}

impl<'a> Members<'a> {
    pub(super) fn new(intake: Intake<'a>, compression: Compression) -> Self {
        let (first, name) = (HashMap::new(), Vec::new());
        let (left, padding, sum, between, awaited) = (0, 0, None, false, false);
        let (first_bytes, beside) = (0, 0);
        Self { intake, compression, first, first_bytes, beside, left, padding, sum, name, between, awaited }
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Where a copy of the archive was to go: its bytes do not go there from now on.
    pub(super) fn instead_of_a_copy(&mut self) -> Option<&'a mut dyn std::io::Write> {
        self.intake.stop_copying()
    }

    /// Whether the member that came last is an empty file with further names: one of these may bring its data.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// The next member; nothing after the last trailer. The source is then at its end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, UnpackError> {
        loop {
            self.skip()?;
            if self.between && !self.another()? {
                return Ok(None);
            }
            let header = self.header()?;
            if self.name != TRAILER {
                return self.member(&header).map(Some);
            }
            self.first.clear();
            self.first_bytes = 0;
            self.pass(PART)?;
            self.name.clear();
            self.between = true;
        }
    }

    /// More of the current member's data; empty when all of it was handed out. The last bytes are withheld when the
    /// checksum is wrong.
    pub(super) fn data(&mut self) -> Result<&[u8], UnpackError> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let bytes = self.intake.take(self.left)?;
        if bytes.is_empty() {
            return Err(UnpackError::cut_inside(&self.name, self.left));
        }
        self.left -= bytes.len() as u64;
        sum_up(&mut self.sum, bytes, self.left, &self.name)?;
        Ok(bytes)
    }

    /// The same, to be kept.
    pub(super) fn shared_data(&mut self) -> Result<Slice, UnpackError> {
        if self.left == 0 {
            return Ok(Slice::Own(Vec::new()));
        }
        let slice = self.intake.take_shared(self.left)?;
        if slice.is_empty() {
            return Err(UnpackError::cut_inside(&self.name, self.left));
        }
        self.left -= slice.len() as u64;
        sum_up(&mut self.sum, &slice, self.left, &self.name)?;
        Ok(slice)
    }

    /// Passes over what is left of the current member.
    fn skip(&mut self) -> Result<(), UnpackError> {
        while !self.data()?.is_empty() {}
        while self.padding > 0 {
            let n = self.intake.take(self.padding)?.len() as u64;
            if n == 0 {
                return Err(self.cut());
            }
            self.padding -= n;
        }
        Ok(())
    }

    /// Whether another part follows a trailer: there may be zeros between them, and after the last.
    fn another(&mut self) -> Result<bool, UnpackError> {
        loop {
            let bytes = self.intake.peek(1)?;
            let n = match bytes.iter().position(|b| *b != 0) {
                None if bytes.is_empty() => return Ok(false),
                None => bytes.len(),
                Some(0) => break,
                Some(zeros) => zeros,
            };
            self.intake.consume(n)?;
            self.pass(n as u64)?;
        }
        let offset = self.intake.taken();
        let head = self.intake.peek(sniff::HEAD)?;
        if sniff::format(head) != Some(Format::Cpio) {
            let what = sniff::describe(head);
            return Err(UnpackError::archive(format!(
                "{what} after the archive's trailer, at byte {offset}, where only another cpio archive may follow"
            )));
        }
        if !offset.is_multiple_of(ALIGNMENT) {
            let reason = format!("the archive begins anew at byte {offset}, no multiple of {ALIGNMENT}");
            return Err(UnpackError::archive(reason));
        }
        self.between = false;
        Ok(true)
    }

    /// Counts what belongs to no member.
    fn pass(&mut self, bytes: u64) -> Result<(), UnpackError> {
        self.beside = self.beside.saturating_add(bytes);
        if self.beside > MOST_ZEROS {
            let reason = "more than 1 GiB of zeros after a trailer, or more than 16384 parts";
            return Err(UnpackError::archive(reason));
        }
        Ok(())
    }

    /// Takes a header with its name.
    fn header(&mut self) -> Result<Header, UnpackError> {
        let bytes = self.intake.peek(HEADER)?;
        let Some(Ok(bytes)) = bytes.get(..HEADER).map(<&[u8; HEADER]>::try_from) else {
            return Err(self.cut());
        };
        let header = Header::read(bytes).map_err(|reason| self.wrong(reason))?;
        if header.name == 0 || header.name > PATH {
            return Err(self.wrong(&format!("a name of {} bytes", header.name)));
        }
        let end = HEADER + header.name as usize;
        let whole = end.next_multiple_of(ALIGNMENT as usize);
        let bytes = self.intake.peek(whole)?;
        if bytes.len() < whole {
            return Err(self.cut());
        }
        // Some writers fill the name up with NULs, so that the data begins where they want it.
        let name = &bytes[HEADER..end];
        let Some(length) = name.iter().position(|b| *b == 0) else {
            return Err(self.wrong("a name without a NUL at its end"));
        };
        self.name = name[..length].to_vec();
        self.intake.consume(whole)?;
        self.left = header.size.into();
        self.padding = self.left.next_multiple_of(ALIGNMENT) - self.left;
        self.sum = header.sum;
        Ok(header)
    }

    /// What a header means. Only files and links have data.
    fn member(&mut self, header: &Header) -> Result<Member, UnpackError> {
        let what = FileType::from_raw_mode(header.mode);
        if self.left > 0 && !matches!(what, FileType::RegularFile | FileType::Symlink | FileType::Unknown) {
            let reason = format!("{} bytes of data in something that is no file", self.left);
            return Err(UnpackError::member(&self.name, reason));
        }
        let device = makedev(header.node.0, header.node.1);
        let first = self.first_name(header, what)?;
        self.awaited = header.links > 1 && first.is_none() && self.left == 0 && what == FileType::RegularFile;
        let kind = match (what, first) {
            (FileType::RegularFile, Some(target)) if self.left > 0 => {
                Kind::LinkWithData { target, size: self.left }
            }
            (_, Some(target)) => Kind::HardLink { target },
            (FileType::RegularFile, None) => Kind::File { size: self.left },
            (FileType::Directory, None) => Kind::Directory,
            (FileType::Symlink, None) => Kind::Symlink { target: self.target()? },
            (FileType::CharacterDevice, None) => Kind::Character { device },
            (FileType::BlockDevice, None) => Kind::Block { device },
            (FileType::Fifo, None) => Kind::Fifo,
            (FileType::Socket, None) => Kind::Socket,
            (FileType::Unknown, None) => {
                let reason = format!("the mode {:o} has no type Linux knows", header.mode);
                return Err(UnpackError::member(&self.name, reason));
            }
        };
        let owner =
            |number: u32| pax::owner(number.into()).map_err(|reason| UnpackError::member(&self.name, reason));
        Ok(Member {
            kind,
            mode: header.mode & 0o7777,
            uid: owner(header.uid)?,
            gid: owner(header.gid)?,
            mtime: Time { seconds: header.mtime.into(), nanoseconds: 0 },
            xattrs: Vec::new(),
            name: self.name.clone(),
        })
    }

    /// The name under which this part has the same thing already. The kernel links neither directories, which count
    /// their children, nor symbolic links.
    fn first_name(&mut self, header: &Header, what: FileType) -> Result<Option<Vec<u8>>, UnpackError> {
        if header.links < 2 || matches!(what, FileType::Directory | FileType::Symlink | FileType::Unknown) {
            return Ok(None);
        }
        match self.first.entry((header.device, header.inode, header.mode & TYPE)) {
            Entry::Occupied(first) => Ok(Some(first.get().clone())),
            Entry::Vacant(place) => {
                self.first_bytes += size_of::<(Inode, Vec<u8>)>() + self.name.len();
                if self.first_bytes > FIRST {
                    let reason = "more than 64 MiB of names of files that have several";
                    return Err(UnpackError::member(&self.name, reason));
                }
                place.insert(self.name.clone());
                Ok(None)
            }
        }
    }

    /// The data of a symbolic link; some writers end it with a NUL.
    fn target(&mut self) -> Result<Vec<u8>, UnpackError> {
        if self.left > PATH.into() {
            let reason = format!("a link target of {} bytes", self.left);
            return Err(UnpackError::member(&self.name, reason));
        }
        // The kernel has no checksum of a link, and cpio(1) writes none.
        self.sum = None;
        let mut target = Vec::new();
        loop {
            match self.data()? {
                [] => break,
                bytes => target.extend_from_slice(bytes),
            }
        }
        target.truncate(target.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1));
        Ok(target)
    }

    fn cut(&self) -> UnpackError {
        UnpackError::cut(self.intake.taken(), &self.name)
    }

    fn wrong(&self, reason: &str) -> UnpackError {
        UnpackError::between(self.intake.taken(), &self.name, reason)
    }
}

impl Header {
    fn read(bytes: &[u8; HEADER]) -> Result<Self, &'static str> {
        let (magic, digits) = bytes.split_at(6);
        let summed = match magic {
            b"070701" => false,
            b"070702" => true,
            _ => return Err("no header of a member, nor the trailer, where one must be"),
        };
        let mut numbers = [0_u32; 13];
        for (number, digits) in numbers.iter_mut().zip(digits.chunks(8)) {
            // Digits alone: the parser of numbers takes a sign, too.
            let text = std::str::from_utf8(digits).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
            *number = text
                .and_then(|text| u32::from_str_radix(text, 16).ok())
                .ok_or("a header with something else than hexadecimal digits")?;
        }
        let [inode, mode, uid, gid, links, mtime, size, rest @ ..] = numbers;
        let [device_major, device_minor, node_major, node_minor, name, sum] = rest;
        Ok(Self {
            inode,
            mode,
            uid,
            gid,
            links,
            mtime,
            size,
            device: (device_major, device_minor),
            node: (node_major, node_minor),
            name,
            sum: summed.then_some(sum),
        })
    }
}

/// Counts data down from the checksum of its header; `left` bytes are still to come.
fn sum_up(sum: &mut Option<u32>, bytes: &[u8], left: u64, name: &[u8]) -> Result<(), UnpackError> {
    let Some(sum) = sum else { return Ok(()) };
    *sum = bytes.iter().fold(*sum, |sum, byte| sum.wrapping_sub((*byte).into()));
    match (left, *sum) {
        (1.., _) | (0, 0) => Ok(()),
        _ => Err(UnpackError::member(name, "the data does not have the checksum of its header")),
    }
}
