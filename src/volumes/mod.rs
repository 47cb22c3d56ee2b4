//! What can be mounted to read something from it: block devices by name, label or UUID, NFS exports, virtiofs tags.
//! Names them, finds them, mounts them read-only and unmounts them. What lies on them is read by `fetch`.

mod assemble;
mod device;
mod find;
mod loops;
mod luks;
mod lvm;
mod md;
mod mounted;
mod nfs;
mod probe;
mod shared;
mod table;
mod tool;
mod unwritten;
mod volume;

use std::fs::File;
use std::io;

pub use assemble::{AssembleError, assemble, dismantle, lacking};
pub use device::Device;
pub use find::{Found, NotFound, find};
pub use loops::attach;
pub use luks::{Locked, NotOpened, Secret, can_open, is_open, locked, locked_by, open, opened};
pub use lvm::WITHOUT_UDEV as LVM_WITHOUT_UDEV;
pub use mounted::{MOUNTS, Mounted, discard_all};
pub use nfs::{Export, NotAnExport};
pub use probe::Content;
pub use shared::{NO_TAG_HINT, may_appear, why_not_mounted};
pub use unwritten::{Unwritten, release_all};
pub use volume::{NotAVolume, Volume};

/// Tells what an image or a device holds, as blkid(8) does; nothing if it is nothing known.
///
/// # Errors
/// Of lseek(2).
pub fn inspect(device: File) -> io::Result<Option<Content>> {
    Ok(probe::probe(&probe::Image::of(device)?))
}

/// Name and UUID that the table of a disk with blocks of `sector` bytes gives a partition.
///
/// # Errors
/// Of lseek(2).
pub fn partition_names(
    disk: File,
    sector: u64,
    partition: u64,
) -> io::Result<(Option<String>, Option<String>)> {
    let entry = table::entry(&probe::Image::of(disk)?, sector, partition).unwrap_or_default();
    Ok((entry.label, entry.uuid))
}

/// A virtiofs tag: the name under which the host shares a directory. Never empty, `/`, or a way out of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(String);

/// Why a text is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATag;

impl Tag {
    /// # Errors
    /// A tag is the name of a directory below `/run/mnt` too: nothing with `/`, no `.` or `..`; 36 bytes at most
    /// (virtio 1.2, section 5.11.4).
    pub fn parse(text: &str) -> Result<Self, NotATag> {
        let bad = text.is_empty()
            || text.len() > 36
            || text == "."
            || text == ".."
            || text.contains(|c: char| c == '/' || c.is_control());
        if bad { Err(NotATag) } else { Ok(Self(text.to_owned())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for NotATag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a tag is a name of at most 36 letters without '/', such as rootfs")
    }
}

impl std::error::Error for NotATag {}

/// What has to be put together before its block devices are there: the words of the command line, for the programs that
/// `bootjack initrd --with` brought along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembly {
    /// `rd.lvm.lv=VG/LV`: only these are activated; none of either: whatever is wanted.
    pub lvs: Vec<String>,
    /// `rd.lvm.vg=VG`.
    pub vgs: Vec<String>,
    /// `rd.luks.uuid=`, with or without `luks-`.
    pub luks: Vec<String>,
    /// `rd.md.uuid=`.
    pub md: Vec<String>,
    /// `rd.lvm=0`, `rd.luks=0`, `rd.md=0`.
    pub without_lvm: bool,
    pub without_luks: bool,
    pub without_md: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_never_leads_out_of_its_directory() {
        for bad in ["", "/", ".", "..", "a/b", "../x", "a\nb", &"x".repeat(37)] {
            assert_eq!(Tag::parse(bad), Err(NotATag), "{bad:?}");
        }
        for good in ["rootfs", "mnt0", "a b", "...", &"x".repeat(36)] {
            assert_eq!(Tag::parse(good).unwrap().as_str(), good);
        }
    }
}
