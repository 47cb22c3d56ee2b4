//! Root archives, both directions: a stream becomes a tree (`unpack`), a tree becomes a stream (`pack`).
//! Format and compression are told by content. Where the bytes come from and whether they may be trusted is not
//! known here.

mod acl;
mod ahead;
mod attributes;
pub mod carried;
mod convert;
mod cpio;
mod decode;
mod error;
mod files;
mod frames;
mod image;
mod intake;
mod leave_out;
mod member;
mod members;
mod memory;
pub mod newc;
mod outline;
mod pack;
mod parents;
mod pax;
mod shared;
mod side;
mod sniff;
mod tar;
mod tree;
mod walk;
mod write;
mod writers;

use std::io::Read;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::privileges::Part;
pub use error::UnpackError;
pub use leave_out::{BadPattern, LeaveOut, Pattern};
pub use pack::{Inspected, PackOptions, Packed, inspect, pack};
pub use sniff::{HEAD, Image};

/// Bounds that no honest archive meets; what exceeds one is an error that names the member.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the tree, counted as [`Unpacked::bytes`] is.
    pub bytes: u64,
    /// Members of the archive, and directories made for them that are no members.
    pub entries: u64,
}

/// What an archive became.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unpacked {
    /// Bytes the tree needs in a tmpfs: file data in whole pages, holes not counted, and extended attributes, each
    /// with its name and 64 bytes more as the next power of two.
    pub bytes: u64,
    /// Files, directories, links and nodes made: the members of the archive, and directories made for them that are
    /// no members.
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
    /// Counted as [`Unpacked::bytes`] is.
    pub bytes: u64,
    pub entries: u64,
}

/// Bytes of file data take whole pages of this size in a tmpfs (x86-64 and most arm64 kernels).
const PAGE: u64 = 4096;

/// So many zeros may follow an archive, as on a disk that is larger: more is a disk nobody wants to read to its end, or a
/// server that sends them for ever.
const MOST_ZEROS: u64 = 1 << 30;

/// Bytes of an archive that belong to no member: labels, headers for all members, extended headers larger than any that
/// means something. What is compressed may become as many of them as it likes.
const MOST_BESIDE: u64 = 1 << 30;

/// What an archive is read from.
pub struct Input<'a> {
    bytes: &'a mut (dyn Read + Send),
    seen: Option<Seen<'a>>,
}

/// Who sees every byte of the source too, once and in order, before anything is made of it.
type Seen<'a> = Box<dyn FnMut(&[u8]) + Send + 'a>;

impl<'a> Input<'a> {
    /// Every byte that is read is given to `seen`, too, by a thread of its own: a digest is taken while the next bytes come
    /// and the last ones are decoded.
    pub fn seen(bytes: &'a mut (dyn Read + Send), seen: impl FnMut(&[u8]) + Send + 'a) -> Self {
        Self { bytes, seen: Some(Box::new(seen)) }
    }
}

impl<'a, R: Read + Send> From<&'a mut R> for Input<'a> {
    fn from(bytes: &'a mut R) -> Self {
        Self { bytes, seen: None }
    }
}

/// Makes the tree of `input` in the directory `target`, which should be empty (what stands in the way is replaced,
/// directories are merged). Needs root.
///
/// The tree of a tar archive is the one GNU tar makes as root with `--xattrs --xattrs-include='*' --acls --numeric-owner
/// --same-owner -p`, attribute for attribute; besides, directories of a member that are symbolic links are
/// followed inside `target`. That of a cpio archive (`newc`, in one or more parts) is the one the kernel makes of an
/// initrd, under the same rules. Without a member for the root itself, that becomes `0755 root:root`.
///
/// `input` is read to its end. `progress` is called at least four times a second and its `Break` ends the work with
/// [`UnpackError::Stopped`]; when `input` then sits in a `read`, that call is waited for: how long one `read` of a
/// stalled source may take is up to the reader.
///
/// # Errors
/// See [`UnpackError`]. What was made until then stays in `target`.
pub fn unpack<'a>(
    input: impl Into<Input<'a>>,
    target: BorrowedFd<'_>,
    limits: &Limits,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Unpacked, UnpackError> {
    unpack_with(writers::worth_having(), input, target, limits, progress)
}

/// The same with so many threads that fill small files, beside the caller's, which makes every name in the archive's
/// order: the tree is the same with any number. With none, one core loses nothing.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_with<'a>(
    threads: usize,
    input: impl Into<Input<'a>>,
    target: BorrowedFd<'_>,
    limits: &Limits,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Unpacked, UnpackError> {
    make(input.into(), tree::Onto::Empty, target, limits, progress, threads)
}

/// Adds the members of `input` to the tree in the directory `target`, as kernel modules are added to a root. Needs root.
///
/// As [`unpack`], but directories that were there before stay as they are: their owner, mode and attributes are not those
/// of a member, and one that is a symbolic link to a directory (`lib` of a merged `/usr`) stays a link, and what is
/// below it lands behind it. The root itself stays, too. Files, links and nodes in the way are replaced.
///
/// # Errors
/// See [`UnpackError`]. What was made until then stays in `target`.
pub fn add<'a>(
    input: impl Into<Input<'a>>,
    target: BorrowedFd<'_>,
    limits: &Limits,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Unpacked, UnpackError> {
    make(input.into(), tree::Onto::Tree, target, limits, progress, writers::worth_having())
}

/// Reads an archive to its end as [`unpack`] does, with its checks, and makes nothing of it: what it would become.
/// `progress` as there.
///
/// # Errors
/// As [`unpack`], but for those of writing and of limits: there are none.
pub fn survey<'a>(
    input: impl Into<Input<'a>>,
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Result<Progress, UnpackError> {
    let ticker = intake::Ticker::new(progress);
    intake::through(input.into(), 0, &ticker, None, |members| outline::survey(members, &ticker))
}

fn make(
    input: Input<'_>,
    onto: tree::Onto,
    target: BorrowedFd<'_>,
    limits: &Limits,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    threads: usize,
) -> Result<Unpacked, UnpackError> {
    let unpack = || {
        // For good: whoever called may have to mount and to start programs after this.
        Part::Unpack.keep();
        let ticker = intake::Ticker::new(progress);
        intake::through(input, limits.bytes, &ticker, None, |members| {
            std::thread::scope(|scope| {
                let writers = writers::Writers::start(scope, threads);
                let mut tree = tree::Tree::new(onto, target, limits, &ticker, writers)?;
                while let Some(member) = members.next()? {
                    tree.make(member, members)?;
                }
                members.end()?;
                tree.finish()
            })
        })
    };
    std::thread::scope(|scope| {
        let started = std::thread::Builder::new().name("unpack".into()).spawn_scoped(scope, unpack);
        let made = started.map_err(intake::not_started)?.join();
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
