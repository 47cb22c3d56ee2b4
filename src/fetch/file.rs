//! Files of this machine: `file:` and `initramfs:` locations. A directory of the initramfs is `carried`'s.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::{FetchError, Flow, Location, Source, carried};

/// Opens a regular file; anything else (a directory of another place than the initramfs, a FIFO that would wait for
/// ever) is refused.
pub(super) fn open(path: &Path, location: &Location, start: u64) -> Result<Source<'static>, FetchError> {
    if matches!(location, Location::Initramfs(_)) && path.is_dir() {
        return carried::open(path, location);
    }
    let opened = || -> anyhow::Result<File> {
        let what = std::fs::metadata(path).context("opening")?;
        // Asked before it is opened: opening a FIFO waits.
        regular(&what)?;
        File::open(path).context("opening")
    };
    let file = opened().map_err(|e| FetchError::Permanent(format!("{location}: {e:#}")))?;
    reading(file, location, start)
}

fn regular(what: &std::fs::Metadata) -> anyhow::Result<()> {
    if what.is_dir() {
        anyhow::bail!("opening: it is a directory");
    }
    if what.file_type().is_block_device() {
        anyhow::bail!("opening: it is a block device: write dev: in front of it");
    }
    if !what.is_file() {
        anyhow::bail!("opening: it is not a regular file");
    }
    Ok(())
}

/// A source of an opened file, if it is a regular one, from this byte on.
pub(super) fn reading(
    mut file: File,
    location: &Location,
    start: u64,
) -> Result<Source<'static>, FetchError> {
    let length = || -> anyhow::Result<u64> {
        let what = file.metadata().context("opening")?;
        regular(&what)?;
        Ok(what.len())
    };
    let length = length().map_err(|e| FetchError::Permanent(format!("{location}: {e:#}")))?;
    if start > length {
        let text = format!("{location}: there is no byte {start}: it has {length} bytes");
        return Err(FetchError::StartOver(text));
    }
    let sought = file.seek(SeekFrom::Start(start));
    sought.map_err(|e| FetchError::Permanent(format!("{location}: going to byte {start}: {e}")))?;
    Ok(source(file, start, length, Some(length), location))
}

/// A source of an opened block device: how much of it is the archive, it does not know.
pub(super) fn device(mut file: File, location: &Location) -> Result<Source<'static>, FetchError> {
    let size = file.seek(SeekFrom::End(0)).and_then(|size| file.rewind().map(|()| size));
    let size = size.map_err(|e| FetchError::Permanent(format!("{location}: asking for its size: {e}")))?;
    Ok(source(file, 0, size, None, location))
}

fn source(file: File, start: u64, end: u64, length: Option<u64>, location: &Location) -> Source<'static> {
    let flow = Flow::default();
    let left = end - start;
    let reader = Reading { file, left, length: end, name: location.to_string(), flow: flow.clone() };
    Source { start, ..Source::whole(reader, length, location, &flow) }
}

/// Reads exactly as many bytes as the file or device had when it was opened.
struct Reading {
    file: File,
    left: u64,
    length: u64,
    name: String,
    flow: Flow,
}

impl Read for Reading {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.flow.broken() {
            return Err(error);
        }
        let most = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let n = match self.file.read(&mut buf[..most]) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => return Err(self.fail(&e.to_string(), e.kind())),
        };
        if n == 0 {
            return Err(self.fail("it became shorter", io::ErrorKind::UnexpectedEof));
        }
        self.left -= n as u64;
        self.flow.passed(n);
        Ok(n)
    }
}

impl Reading {
    fn fail(&self, why: &str, kind: io::ErrorKind) -> io::Error {
        let had = self.length - self.left;
        let text = format!("{}: reading: {why} after {had} of {} bytes", self.name, self.length);
        self.flow.fail(FetchError::Permanent(text), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(path: &Path) -> Result<Source<'static>, FetchError> {
        open(path, &Location::File(path.into()), 0)
    }

    #[test]
    fn a_file_is_read_whole_and_its_length_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"hello").unwrap();
        let mut source = opened(&path).unwrap();
        assert_eq!(source.length, Some(5));
        assert_eq!(io::read_to_string(&mut source.reader).unwrap(), "hello");
        assert_eq!(source.flow.bytes(), 5);
    }

    #[test]
    fn a_file_is_gone_on_with_where_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"hello").unwrap();
        let location = Location::File(path.clone());
        let mut source = open(&path, &location, 3).unwrap();
        assert_eq!((source.start, source.length), (3, Some(5)));
        assert_eq!(io::read_to_string(&mut source.reader).unwrap(), "lo");
        let Err(FetchError::StartOver(text)) = open(&path, &location, 6) else {
            panic!("there is no byte 6")
        };
        assert!(text.ends_with("there is no byte 6: it has 5 bytes"), "{text}");
    }

    #[test]
    fn what_is_no_file_is_refused_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let text = |path: &Path| match opened(path) {
            Err(FetchError::Permanent(text)) => text,
            other => panic!("{:?}", other.map(|s| s.location)),
        };
        assert!(text(dir.path()).ends_with("opening: it is a directory"));
        assert!(text(&dir.path().join("none")).ends_with("opening: No such file or directory (os error 2)"));
        assert!(text(Path::new("/dev/null")).ends_with("opening: it is not a regular file"));
    }

    #[test]
    fn a_file_that_shrinks_and_a_stop_are_errors_of_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"hello").unwrap();
        let mut source = opened(&path).unwrap();
        std::fs::write(&path, b"he").unwrap();
        let error = io::read_to_string(&mut source.reader).unwrap_err();
        assert!(error.to_string().ends_with("it became shorter after 2 of 5 bytes"), "{error}");
        assert!(matches!(source.flow.failure(), Some(FetchError::Permanent(_))));

        let mut source = opened(&path).unwrap();
        source.flow.stop();
        let error = source.reader.read(&mut [0; 9]).unwrap_err();
        assert_eq!(FetchError::of(&error), Some(&FetchError::Stopped));
    }
}
