//! Members become the bytes of a tar archive: ustar headers, with pax records where ustar has no room. Where members come
//! from is `walk`'s, compressing them `pack`'s.

use std::io::{self, Write};

use tar_core::builder::PaxBuilder;
use tar_core::{EntryType, HEADER_SIZE, Header, HeaderError, SparseEntry};

use super::acl;
use super::pax::{self, Time};

/// The most an octal field of 8 bytes, or of 12, can say.
const OCTAL_7: u32 = 0o7_777_777;
const OCTAL_11: u64 = 0o77_777_777_777;
/// Names and link targets up to this fit a ustar header (its prefix field is not used).
const NAME: usize = 100;
/// Name of pax headers themselves; tools that do not know pax make a file of it.
const PAX_NAME: &[u8] = b"././@PaxHeader";

/// What a header says.
pub(super) struct Entry<'a> {
    pub path: &'a [u8],
    pub kind: EntryType,
    /// Target of a link.
    pub link: &'a [u8],
    /// Bytes of data that follow.
    pub size: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub device: (u32, u32),
    pub xattrs: &'a [(String, Vec<u8>)],
    /// Pieces and full size of a sparse file.
    pub sparse: Option<(&'a [SparseEntry], u64)>,
}

/// Writes the header of a member, and the map of a sparse one; its data comes next, then [`pad`].
pub(super) fn header(out: &mut dyn Write, entry: &Entry<'_>) -> io::Result<()> {
    let map = entry.sparse.map(|(pieces, _)| map(pieces)).unwrap_or_default();
    let size = entry.size + map.len() as u64;
    let records = records(entry, size);
    if !records.is_empty() {
        let header = ustar(PAX_NAME, EntryType::XHeader, records.len() as u64).and_then(finished);
        out.write_all(header.map_err(io::Error::other)?.as_bytes())?;
        out.write_all(&records)?;
        pad(out, records.len() as u64)?;
    }
    let header = member(entry, size).map_err(io::Error::other)?;
    out.write_all(header.as_bytes())?;
    out.write_all(&map)
}

/// Fills up to the next block after `size` bytes of data.
pub(super) fn pad(out: &mut dyn Write, size: u64) -> io::Result<()> {
    let padding = size.next_multiple_of(HEADER_SIZE as u64) - size;
    out.write_all(&[0; HEADER_SIZE][..padding as usize])
}

/// The end marker: two zero blocks.
pub(super) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[0; 2 * HEADER_SIZE])
}

fn member(entry: &Entry<'_>, size: u64) -> Result<Header, HeaderError> {
    // A tool that does not know sparse files must not take the pieces for the file: as GNU tar names them.
    let stand_in = b"./GNUSparseFile.0/data";
    let path = if entry.sparse.is_some() { stand_in } else { &entry.path[..entry.path.len().min(NAME)] };
    let mut header = ustar(path, entry.kind, size.min(OCTAL_11))?;
    header.set_link_name(&entry.link[..entry.link.len().min(NAME)])?;
    header.set_mode(entry.mode)?;
    header.set_uid(u64::from(entry.uid.min(OCTAL_7)))?;
    header.set_gid(u64::from(entry.gid.min(OCTAL_7)))?;
    header.set_mtime(u64::try_from(entry.mtime.seconds).unwrap_or(0).min(OCTAL_11))?;
    header.set_device(entry.device.0, entry.device.1)?;
    finished(header)
}

fn ustar(path: &[u8], kind: EntryType, size: u64) -> Result<Header, HeaderError> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(kind);
    header.set_size(size)?;
    header.set_mode(0o644)?;
    header.set_uid(0)?;
    header.set_gid(0)?;
    header.set_mtime(0)?;
    header.set_device(0, 0)?;
    Ok(header)
}

fn finished(mut header: Header) -> Result<Header, HeaderError> {
    header.set_checksum();
    Ok(header)
}

/// Whatever the ustar header cannot say, in an order that never changes.
fn records(entry: &Entry<'_>, size: u64) -> Vec<u8> {
    let mut records = PaxBuilder::new();
    if let Some((_, real)) = entry.sparse {
        records.add_u64("GNU.sparse.major", 1).add_u64("GNU.sparse.minor", 0);
        records.add("GNU.sparse.name", entry.path).add_u64("GNU.sparse.realsize", real);
    } else if entry.path.len() > NAME {
        records.path(entry.path);
    }
    if entry.link.len() > NAME {
        records.linkpath(entry.link);
    }
    if size > OCTAL_11 {
        records.size(size);
    }
    if entry.uid > OCTAL_7 {
        records.uid(entry.uid.into());
    }
    if entry.gid > OCTAL_7 {
        records.gid(entry.gid.into());
    }
    let Time { seconds, nanoseconds } = entry.mtime;
    if nanoseconds != 0 || !u64::try_from(seconds).is_ok_and(|s| s <= OCTAL_11) {
        records.add("mtime", pax::written(entry.mtime));
    }
    // GNU tar --acls takes an ACL from its text alone, and away where there is none.
    for (name, key) in [(acl::ACCESS, "SCHILY.acl.access"), (acl::DEFAULT, "SCHILY.acl.default")] {
        let value = entry.xattrs.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        if let Some(text) = value.and_then(|value| acl::written(value)) {
            records.add(key, text);
        }
    }
    for (name, value) in entry.xattrs {
        records.add(&format!("SCHILY.xattr.{}", pax::encoded(name)), value);
    }
    records.finish()
}

/// The map of a sparse file in the pax form 1.0 (GNU tar manual, "PAX Format, Version 1.0"): whole blocks.
fn map(pieces: &[SparseEntry]) -> Vec<u8> {
    let mut map = format!("{}\n", pieces.len());
    for piece in pieces {
        map.push_str(&format!("{}\n{}\n", piece.offset, piece.length));
    }
    let mut map = map.into_bytes();
    map.resize(map.len().next_multiple_of(HEADER_SIZE), 0);
    map
}
