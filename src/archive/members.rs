//! The members of an archive, whatever its format: what `tree` makes a tree of.

use super::error::UnpackError;
use super::intake::Intake;
use super::member::Member;
use super::shared::Slice;
use super::sniff::{Compression, Format};
use super::{cpio, tar};

/// An archive that is read member by member.
pub(super) enum Members<'a> {
    Tar(Box<tar::Members<'a>>),
    Cpio(Box<cpio::Members<'a>>),
}

impl<'a> Members<'a> {
    pub(super) fn new(intake: Intake<'a>, format: Format, compression: Compression) -> Self {
        match format {
            Format::Tar => Self::Tar(Box::new(tar::Members::new(intake, compression))),
            Format::Cpio => Self::Cpio(Box::new(cpio::Members::new(intake, compression))),
        }
    }

    /// What the archive is and how it is compressed.
    pub(super) fn kind(&self) -> (Format, Compression) {
        match self {
            Self::Tar(members) => (Format::Tar, members.compression()),
            Self::Cpio(members) => (Format::Cpio, members.compression()),
        }
    }

    /// The next member; nothing at the archive's end marker.
    pub(super) fn next(&mut self) -> Result<Option<Member>, UnpackError> {
        match self {
            Self::Tar(members) => members.next(),
            Self::Cpio(members) => members.next(),
        }
    }

    /// More of the current member's data; empty when all of it was handed out.
    pub(super) fn data(&mut self) -> Result<&[u8], UnpackError> {
        match self {
            Self::Tar(members) => members.data(),
            Self::Cpio(members) => members.data(),
        }
    }

    /// The same, to be kept for a while without a copy; empty when all of it was handed out.
    pub(super) fn shared_data(&mut self) -> Result<Slice, UnpackError> {
        match self {
            Self::Tar(members) => members.shared_data(),
            Self::Cpio(members) => members.shared_data(),
        }
    }

    /// Reads what follows the last member. The source is then at its end.
    pub(super) fn end(&mut self) -> Result<(), UnpackError> {
        match self {
            Self::Tar(members) => members.end(),
            // Whether another part follows was known only there.
            Self::Cpio(_) => Ok(()),
        }
    }
}
