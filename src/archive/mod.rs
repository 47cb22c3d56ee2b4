//! Root archives, both directions: a stream becomes a tree (`unpack`), a tree becomes a stream (`pack`).
//! Format and compression are told by content. Where the bytes come from and whether they may be trusted is not
//! known here.

use std::path::PathBuf;

/// Bounds that no honest archive meets; what exceeds one is an error that names the member.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of file data in the tree.
    pub bytes: u64,
    /// Members of the archive.
    pub entries: u64,
}

/// What an archive became.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unpacked {
    /// Bytes the tree needs in a tmpfs: file data in whole pages, holes not counted.
    pub bytes: u64,
    /// Files, directories, links and nodes made.
    pub entries: u64,
    /// Extended attributes this kernel's file system cannot store.
    pub lost_xattrs: Option<LostXattrs>,
}

/// Extended attributes that were in the archive and could not be stored (`user.*` on tmpfs before Linux 6.6).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LostXattrs {
    pub count: u64,
    /// The first member that lost one, the attribute's name, and the errno.
    pub first_member: PathBuf,
    pub first_name: String,
    pub errno: i32,
}

/// How far unpacking is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub bytes: u64,
    pub entries: u64,
}

/// Why an archive did not become a tree. `Display` is one line that names the member and the reason.
#[derive(Debug)]
pub enum UnpackError {
    /// The stream itself could not be read (fetching broke): not the archive's fault.
    Read(std::io::Error),
    /// The caller's callback said stop.
    Stopped,
    /// The file system is full, or the given limit is reached.
    NoSpace { member: PathBuf, written: u64 },
    /// Damaged, hostile, or of a kind this version does not read.
    Damaged { member: Option<PathBuf>, reason: String },
    /// A system call failed on a member.
    Write { member: PathBuf, doing: &'static str, source: std::io::Error },
}
