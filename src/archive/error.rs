//! Why an archive did not become a tree, in one line each. What is done about it is the caller's.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why an archive did not become a tree. `Display` is one line that names the member and the reason.
#[derive(Debug)]
pub enum UnpackError {
    /// The stream itself could not be read (fetching broke): not the archive's fault.
    Read(io::Error),
    /// The caller's callback said stop.
    Stopped,
    /// The file system is full, or the given limit is reached.
    NoSpace { member: PathBuf, written: u64 },
    /// Damaged, hostile, or of a kind this version does not read.
    Damaged { member: Option<PathBuf>, reason: String },
    /// A system call failed on a member.
    Write { member: PathBuf, doing: &'static str, source: io::Error },
}

impl UnpackError {
    /// The archive is to blame, and this member of it.
    pub(super) fn member(name: &[u8], reason: impl Into<String>) -> Self {
        Self::Damaged { member: Some(path(name)), reason: reason.into() }
    }

    /// The archive is to blame, between its members or as a whole.
    pub(super) fn archive(reason: impl Into<String>) -> Self {
        Self::Damaged { member: None, reason: reason.into() }
    }

    /// The archive ends inside the data of this member, which has `left` bytes more.
    pub(super) fn cut_inside(name: &[u8], left: u64) -> Self {
        Self::member(name, format!("the archive ends inside this member, {left} bytes too early"))
    }

    /// The archive ends at this byte, after this member (empty: before the first).
    pub(super) fn cut(offset: u64, last: &[u8]) -> Self {
        Self::archive(format!("the archive ends without its end marker, at byte {offset}, {}", after(last)))
    }

    /// The archive is damaged at this byte, after this member (empty: before the first).
    pub(super) fn between(offset: u64, last: &[u8], reason: &str) -> Self {
        Self::archive(format!("the archive is damaged at byte {offset}, {}: {reason}", after(last)))
    }

    /// An archive that is made of another could not be written.
    pub(super) fn new_archive(source: io::Error) -> Self {
        Self::Write { member: "the new archive".into(), doing: "writing", source }
    }

    /// A system call failed on a member; `written` is what the tree holds already.
    pub(super) fn system(name: &[u8], doing: &'static str, errno: Errno, written: u64) -> Self {
        match errno {
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace { member: path(name), written },
            _ => Self::Write { member: path(name), doing, source: errno.into() },
        }
    }
}

fn after(last: &[u8]) -> String {
    match last {
        [] => "at its beginning".to_owned(),
        name => format!("after member {}", shown(&path(name))),
    }
}

/// The name of a member as a path.
pub(super) fn path(name: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(if name.is_empty() { b"." } else { name }))
}

/// A name for a message of one line: control characters escaped.
pub(super) fn shown(name: &Path) -> String {
    escaped(&name.to_string_lossy())
}

/// A reason may quote the archive, too.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(source) => write!(f, "reading the archive: {source}"),
            Self::Stopped => f.write_str("stopped"),
            Self::NoSpace { member, written } => {
                write!(f, "{}: no space left after {} MiB of file data", shown(member), written >> 20)
            }
            Self::Damaged { member: Some(member), reason } => {
                write!(f, "{}: {}", shown(member), escaped(reason))
            }
            Self::Damaged { member: None, reason } => f.write_str(&escaped(reason)),
            Self::Write { member, doing, source } => write!(f, "{}: {doing}: {source}", shown(member)),
        }
    }
}

impl std::error::Error for UnpackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(source) | Self::Write { source, .. } => Some(source),
            _ => None,
        }
    }
}
