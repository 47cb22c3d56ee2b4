//! A stream of unknown length as a part of an initrd: numbered members of a size that a second stage can bear to have
//! twice. Reading them there, and giving each back once it was read, is `fetch`'s.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;

use cpio::newc::{Builder, trailer};

use super::newc::{DIRECTORY, REGULAR, pad};

/// Bytes of a member, at most. In the second stage memory comes back member by member, so this much of the archive is
/// there beyond what is still needed; smaller ones would be more names for nothing. 4 GiB is where newc ends.
pub const MEMBER: u64 = 16 << 20;

/// Digits of a member's name, at least: `0000`.
const DIGITS: usize = 4;

/// Where a header has the size of the data: after the magic, and inode, mode, uid, gid, links and mtime.
const SIZE: u64 = 6 + 6 * 8;

/// Writes what it is given to the end of a file, as a cpio archive with members `DIRECTORY/0000`, `DIRECTORY/0001`, ….
///
/// The archive is complete after [`MemberWriter::finish`] alone. Whoever gives up before that cuts the file (ftruncate(2))
/// to the length it had before [`MemberWriter::begin`]: nothing in front of that is touched.
pub struct MemberWriter<'a> {
    file: &'a File,
    directory: String,
    /// Where the next byte goes.
    at: u64,
    /// Where the header of the current member is, and how many bytes it has; nothing before the first.
    current: Option<(u64, u64)>,
    /// How many members there are.
    count: u32,
    most: u64,
    /// Bytes of data.
    bytes: u64,
}

impl<'a> MemberWriter<'a> {
    /// Fills the file up to the next block and begins an archive there, with `directory` (no slash at either end) and
    /// those above it.
    ///
    /// # Errors
    /// The file cannot be written; a memfd is full when memory is.
    pub fn begin(file: &'a File, directory: &str) -> io::Result<Self> {
        Self::with(file, directory, MEMBER)
    }

    fn with(file: &'a File, directory: &str, most: u64) -> io::Result<Self> {
        let at = pad(file)?;
        let directory = directory.to_owned();
        let mut writer = Self { file, directory, at, current: None, count: 0, most, bytes: 0 };
        let ends: Vec<usize> = writer.directory.match_indices('/').map(|(end, _)| end).collect();
        for end in ends.into_iter().chain([writer.directory.len()]) {
            let path = Builder::new(&writer.directory[..end]).mode(DIRECTORY | 0o755).nlink(2);
            writer.put(&header(path, 0)?)?;
        }
        Ok(writer)
    }

    /// Ends the archive and fills the file up to the next block, which is where another one may follow; what was given
    /// is so many bytes. Nothing at all still makes a member, which is empty.
    ///
    /// # Errors
    /// As [`MemberWriter::begin`].
    pub fn finish(mut self) -> io::Result<u64> {
        if self.current.is_none() {
            self.open()?;
        }
        self.close()?;
        self.put(&trailer(Vec::new())?)?;
        pad(self.file)?;
        Ok(self.bytes)
    }

    /// Begins a member, which says that it is as large as can be.
    fn open(&mut self) -> io::Result<()> {
        let name = format!("{}/{:0DIGITS$}", self.directory, self.count);
        self.current = Some((self.at, 0));
        self.count += 1;
        self.put(&header(Builder::new(&name).mode(REGULAR | 0o600).nlink(1), self.most)?)
    }

    /// Ends the member at hand: its header learns the size it has in the end.
    fn close(&mut self) -> io::Result<()> {
        let Some((start, size)) = self.current.take() else { return Ok(()) };
        if size < self.most {
            self.file.write_all_at(format!("{size:08x}").as_bytes(), start + SIZE)?;
        }
        self.put(&[0; 4][..(size.next_multiple_of(4) - size) as usize])
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// The bytes of a header with its name; the data comes next.
fn header(member: Builder, size: u64) -> io::Result<Vec<u8>> {
    member.write(Vec::new(), u32::try_from(size).map_err(io::Error::other)?).finish()
}

impl Write for MemberWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.current.is_some_and(|(_, size)| size == self.most) {
            self.close()?;
        }
        if self.current.is_none() {
            self.open()?;
        }
        let Some((_, size)) = &mut self.current else { return Ok(0) };
        let room = usize::try_from(self.most - *size).unwrap_or(usize::MAX);
        let n = self.file.write_at(&bytes[..bytes.len().min(room)], self.at)?;
        *size += n as u64;
        self.at += n as u64;
        self.bytes += n as u64;
        Ok(n)
    }

    /// All that was taken is in the file.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and data.
    type Member = (String, u32, Vec<u8>);

    /// All members up to the trailer, and what is left.
    fn members(mut rest: &[u8]) -> (Vec<Member>, &[u8]) {
        let mut members = Vec::new();
        loop {
            let mut member = cpio::newc::Reader::new(rest).unwrap();
            let entry = member.entry().clone();
            let mut data = Vec::new();
            io::copy(&mut member, &mut data).unwrap();
            rest = member.finish().unwrap();
            if entry.is_trailer() {
                return (members, rest);
            }
            members.push((entry.name().to_owned(), entry.mode(), data));
        }
    }

    #[test]
    fn every_length_is_cut_into_members_that_know_their_size() {
        for (length, want) in [
            (0, vec![0]),
            (1, vec![1]),
            (9, vec![9]),
            (10, vec![10]),
            (11, vec![10, 1]),
            (25, vec![10, 10, 5]),
        ] {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(b"in front", 0).unwrap();
            let data: Vec<u8> = (1..=length).collect();
            let mut writer = MemberWriter::with(&file, "a/b", 10).unwrap();
            for piece in data.chunks(4) {
                writer.write_all(piece).unwrap();
            }
            assert_eq!(writer.finish().unwrap(), u64::from(length));
            let mut all = vec![0; file.metadata().unwrap().len() as usize];
            file.read_exact_at(&mut all, 0).unwrap();
            assert_eq!((&all[..8], all.len() % 512), (&b"in front"[..], 0));
            let (members, rest) = members(&all[512..]);
            assert!(rest.iter().all(|b| *b == 0));
            let names: Vec<_> = members.iter().map(|(name, mode, _)| (&name[..], *mode)).collect();
            assert_eq!(names[..2], [("a", 0o040_755), ("a/b", 0o040_755)]);
            let files: Vec<_> = (0..want.len()).map(|n| (format!("a/b/000{n}"), 0o100_600)).collect();
            assert_eq!(names[2..], files.iter().map(|(name, mode)| (&name[..], *mode)).collect::<Vec<_>>());
            let pieces: Vec<_> = members[2..].iter().map(|(.., data)| data.clone()).collect();
            assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), want, "{length}");
            assert_eq!(pieces.concat(), data);
        }
    }

    #[test]
    fn what_is_given_up_is_cut_off_again() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"kept", 0).unwrap();
        let before = file.metadata().unwrap().len();
        let mut writer = MemberWriter::with(&file, "a", 10).unwrap();
        writer.write_all(b"half of it").unwrap();
        drop(writer);
        file.set_len(before).unwrap();
        let mut writer = MemberWriter::with(&file, "a", 10).unwrap();
        writer.write_all(b"whole").unwrap();
        writer.finish().unwrap();
        let mut all = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut all, 0).unwrap();
        assert_eq!(&all[..4], b"kept");
        let (members, _) = members(&all[512..]);
        assert_eq!(members[1], ("a/0000".to_owned(), 0o100_600, b"whole".to_vec()));
    }
}
