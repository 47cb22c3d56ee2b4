//! The directory that is served, and nothing outside it: each name is resolved by the kernel beneath the directory
//! (openat2(2) with RESOLVE_BENEATH), so that neither `..` nor a symbolic link nor a race leads out.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

use super::answer::Facts;
use crate::order;

/// An open directory.
pub(super) struct Tree(OwnedFd);

/// What lies at a path.
pub(super) enum Found {
    File(OwnedFd, Facts),
    /// Its listing as an HTML page.
    Directory(String),
    /// A device, socket or FIFO: nothing to serve.
    Other,
}

impl Tree {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// `path` is relative; empty is the directory itself.
    pub(super) fn find(&self, path: &[u8]) -> io::Result<Found> {
        let name = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
        // NONBLOCK: a FIFO must not hold the thread; it means nothing to a file.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file = rustix::fs::openat2(&self.0, name, flags, Mode::empty(), resolve)?;
        let facts = rustix::fs::fstat(&file)?;
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::Directory => Ok(Found::Directory(listing(path, file)?)),
            FileType::RegularFile => {
                let facts = Facts {
                    size: facts.st_size as u64,
                    mtime: facts.st_mtime.try_into().unwrap_or(0),
                    mtime_ns: facts.st_mtime_nsec as u64,
                    inode: facts.st_ino,
                };
                Ok(Found::File(file, facts))
            }
            _ => Ok(Found::Other),
        }
    }
}

fn listing(path: &[u8], directory: OwnedFd) -> io::Result<String> {
    let mut rows = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        // A link is listed as it is: where it leads may lie outside.
        let facts = rustix::fs::statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
        let (slash, size) = match facts {
            Ok(f) if FileType::from_raw_mode(f.st_mode) == FileType::Directory => ("/", String::new()),
            Ok(f) if FileType::from_raw_mode(f.st_mode) == FileType::RegularFile => {
                ("", f.st_size.to_string())
            }
            // A link, a device, or gone since.
            Ok(_) | Err(_) => ("", String::new()),
        };
        let shown = escape(&String::from_utf8_lossy(name));
        // "./" so that a name with a colon is not taken for a scheme.
        let row = format!("<a href=\"./{}{slash}\">{shown}{slash}</a>  {size}\n", encode(name));
        rows.push((name.to_vec(), row));
    }
    order::by(&mut rows, Ord::cmp);
    let title = escape(&format!("/{}", String::from_utf8_lossy(path)));
    let rows: String = rows.into_iter().map(|(_, row)| row).collect();
    Ok(format!(
        "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n<pre>\n{rows}</pre>\n"
    ))
}

/// RFC 3986, section 2.3: everything but the unreserved characters, and the slash between parts, is encoded.
pub(super) fn encode(path: &[u8]) -> String {
    path.iter()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(*b).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
