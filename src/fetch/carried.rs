//! What the first stage left in the initramfs: a directory of numbered members, read as one stream. Each is unlinked once
//! it was read to its end, which gives its memory back on ramfs and tmpfs alike; so it can be had only once.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::{FetchError, Flow, Location, Source};
use crate::order;

/// Opens a directory whose members are `0000`, `0001` and so on.
pub(super) fn open(directory: &Path, location: &Location) -> Result<Source<'static>, FetchError> {
    let members = members(directory).map_err(|e| FetchError::Permanent(format!("{location}: {e:#}")))?;
    let length = members.iter().map(|member| member.length).sum();
    let flow = Flow::default();
    let name = location.to_string();
    let reader = Reading { members, open: None, had: 0, length, name, flow: flow.clone() };
    Ok(Source::whole(reader, Some(length), location, &flow))
}

struct Member {
    path: PathBuf,
    length: u64,
}

/// All members in order, and nothing else: a directory with something odd in it is not the one that was written.
fn members(directory: &Path) -> anyhow::Result<VecDeque<Member>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).context("opening")? {
        let entry = entry.context("opening")?;
        let name = entry.file_name();
        let what = entry.metadata().with_context(|| format!("opening: {}", name.display()))?;
        match number(&name.to_string_lossy()) {
            Some(number) if what.is_file() => {
                found.push((number, Member { path: entry.path(), length: what.len() }));
            }
            _ => bail!("opening: {} is no member of a carried archive", name.display()),
        }
    }
    order::by_key(&mut found, |(number, _)| *number);
    if found.first().is_none_or(|(number, _)| *number > 0) {
        bail!("opening: the carried archive was read already: it can be had only once");
    }
    if let Some(gap) = (0..).zip(&found).find_map(|(want, (number, _))| (want != *number).then_some(want)) {
        bail!("opening: member {} is missing", name(gap));
    }
    Ok(found.into_iter().map(|(_, member)| member).collect())
}

/// Four digits, more from 10000 on: each number has one name.
fn name(number: u32) -> String {
    format!("{number:04}")
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| name(*number) == text)
}

/// Reads exactly as many bytes as the members had when they were listed.
struct Reading {
    members: VecDeque<Member>,
    /// The first member, once it was opened, and its bytes still to come.
    open: Option<(File, u64)>,
    had: u64,
    length: u64,
    name: String,
    flow: Flow,
}

impl Read for Reading {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.flow.broken() {
            return Err(error);
        }
        if buf.is_empty() {
            return Ok(0);
        }
        match self.next(buf) {
            Ok(n) => {
                self.flow.passed(n);
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let Self { name, had, length, .. } = self;
                let text = format!("{name}: reading: {e} after {had} of {length} bytes");
                Err(self.flow.fail(FetchError::Permanent(text), e.kind()))
            }
        }
    }
}

impl Reading {
    /// The next bytes; nothing after the last member. A member goes with its last byte, an empty one when its turn comes.
    fn next(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.members.front() {
            let (file, left) = match &mut self.open {
                Some(open) => open,
                None => self.open.insert((File::open(&member.path)?, member.length)),
            };
            let most = buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            let n = file.read(&mut buf[..most])?;
            if n == 0 && *left > 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a member became shorter"));
            }
            *left -= n as u64;
            self.had += n as u64;
            if *left == 0 {
                self.give_back()?;
            }
            if n > 0 {
                return Ok(n);
            }
        }
        Ok(0)
    }

    /// The memory of a file is free when it has no name and nobody has it open.
    fn give_back(&mut self) -> io::Result<()> {
        self.open = None;
        match self.members.pop_front() {
            Some(member) => std::fs::remove_file(&member.path),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(directory: &Path) -> Result<Source<'static>, FetchError> {
        super::super::file::open(directory, &Location::Initramfs(directory.into()), 0)
    }

    fn refused(directory: &Path) -> String {
        match opened(directory) {
            Err(FetchError::Permanent(text)) => text,
            other => panic!("{:?}", other.map(|source| source.length)),
        }
    }

    fn planted(members: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, data) in members {
            std::fs::write(dir.path().join(name), data).unwrap();
        }
        dir
    }

    fn left(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn members_are_one_stream_and_each_goes_with_its_last_byte() {
        let dir = planted(&[("0001", b""), ("0002", b"world"), ("0000", b"hello "), ("0003", b"")]);
        let mut source = opened(dir.path()).unwrap();
        assert_eq!(source.length, Some(11));
        let mut buf = [0; 4];
        let mut read = |want: &[u8]| {
            assert_eq!(source.reader.read(&mut buf).unwrap(), want.len());
            assert_eq!(&buf[..want.len()], want);
            left(dir.path())
        };
        assert_eq!(read(b"hell"), ["0000", "0001", "0002", "0003"]);
        assert_eq!(read(b"o "), ["0001", "0002", "0003"]);
        assert_eq!(read(b"worl"), ["0002", "0003"]);
        assert_eq!(read(b"d"), ["0003"]);
        assert!(read(b"").is_empty());
        assert_eq!(source.flow.bytes(), 11);
    }

    #[test]
    fn a_carried_archive_is_had_only_once() {
        let only_once = "opening: the carried archive was read already: it can be had only once";
        let dir = planted(&[("0000", b"a"), ("0001", b"b")]);
        let mut first = opened(dir.path()).unwrap();
        // Nothing was read to its end: it is still whole.
        assert_eq!(opened(dir.path()).unwrap().length, Some(2));
        first.reader.read_exact(&mut [0]).unwrap();
        assert!(refused(dir.path()).ends_with(only_once));
        assert_eq!(io::read_to_string(&mut first.reader).unwrap(), "b");
        assert!(refused(dir.path()).ends_with(only_once));
    }

    #[test]
    fn what_was_not_written_so_is_refused_and_named() {
        for (other, want) in [
            ("0003", "opening: member 0002 is missing"),
            ("00002", "opening: 00002 is no member of a carried archive"),
            ("2", "opening: 2 is no member of a carried archive"),
            ("+002", "opening: +002 is no member of a carried archive"),
            ("0002.part", "opening: 0002.part is no member of a carried archive"),
        ] {
            let dir = planted(&[("0000", b"a"), ("0001", b"b"), (other, b"c")]);
            let text = refused(dir.path());
            assert!(text.starts_with("initramfs:/") && text.ends_with(want), "{text}");
            assert_eq!(left(dir.path()).len(), 3);
        }
        let dir = planted(&[]);
        std::fs::create_dir(dir.path().join("0000")).unwrap();
        assert!(refused(dir.path()).ends_with("opening: 0000 is no member of a carried archive"));
        std::fs::remove_dir(dir.path().join("0000")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("0000")).unwrap();
        assert!(refused(dir.path()).ends_with("opening: 0000 is no member of a carried archive"));
    }

    #[test]
    fn only_what_came_with_the_initramfs_is_taken_apart() {
        let dir = planted(&[("0000", b"a")]);
        let file = super::super::file::open(dir.path(), &Location::File(dir.path().into()), 0);
        assert!(
            matches!(file, Err(FetchError::Permanent(text)) if text.ends_with("opening: it is a directory"))
        );
        // A single file stays, too: the catalog is one.
        let path = dir.path().join("0000");
        let mut source = opened(&path).unwrap();
        assert_eq!(io::read_to_string(&mut source.reader).unwrap(), "a");
        assert_eq!(left(dir.path()), ["0000"]);
        assert!(
            refused(&dir.path().join("none")).ends_with("opening: No such file or directory (os error 2)")
        );
    }

    #[test]
    fn a_member_that_shrinks_and_a_stop_are_errors_of_read() {
        let dir = planted(&[("0000", b"hello"), ("0001", b"world")]);
        let mut source = opened(dir.path()).unwrap();
        std::fs::write(dir.path().join("0001"), b"wo").unwrap();
        let error = io::read_to_string(&mut source.reader).unwrap_err();
        assert!(error.to_string().ends_with("a member became shorter after 7 of 10 bytes"), "{error}");
        assert!(matches!(source.flow.failure(), Some(FetchError::Permanent(_))));

        let dir = planted(&[("0000", b"hello")]);
        let mut source = opened(dir.path()).unwrap();
        source.flow.stop();
        let error = source.reader.read(&mut [0; 9]).unwrap_err();
        assert_eq!(FetchError::of(&error), Some(&FetchError::Stopped));
        assert_eq!(left(dir.path()), ["0000"]);
    }
}
