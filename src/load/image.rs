//! An image of a file system as a root: kept whole in memory while its digest is taken, and mounted only when that
//! matched. How it is mounted is `handover`'s, what is unpacked instead is `once`'s.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;

use rustix::fs::{MemfdFlags, memfd_create};

use super::once::{Once, Verdict};
use super::{Contents, Failure, LoadError, Phase, Report, Target, bytes};
use crate::archive::{Image, UnpackError};
use crate::fetch::Flow;
use crate::handover::root::Root;
use crate::machine::Machine;
use crate::plan::{limit_over_image, mib, needed_by_image};

/// A root as the target of a load: an image can be kept in memory beside its tmpfs.
pub(super) struct RootAndImage<'a> {
    pub(super) root: &'a mut Root,
    /// Bytes of memory that are available to both.
    pub(super) available: u64,
}

impl Target for RootAndImage<'_> {
    fn fresh(&mut self) -> io::Result<OwnedFd> {
        self.root.fresh()
    }
    fn name(&self) -> String {
        self.root.name()
    }
    fn room_for_image(&self) -> Option<u64> {
        Some(self.available)
    }
}

/// The root that is started: the tree that was unpacked into the tmpfs, or the image with the tmpfs over it.
pub(super) fn stand(mut root: Root, contents: Contents, id: &str) -> Result<Root, LoadError> {
    let Contents::Image(kind, file) = contents else { return Ok(root) };
    let failed = |e: anyhow::Error| Failure::new(Phase::Unpack, id, e.context(kind.to_string()));
    let shrunk = file.metadata().and_then(|about| {
        root.shrink(limit_over_image(root.limit(), about.len(), Machine::probe().memory_total))
    });
    shrunk.map_err(|e| LoadError::Failed(failed(e.into())))?;
    root.under(&file, kind.name())
        .map_err(|e| LoadError::Failed(Failure { hint: e.hint.map(str::to_owned), ..failed(e.cause) }))
}

/// Why an image is not kept.
pub(super) enum Unkept {
    Stopped,
    Read(io::Error),
    Refused(Verdict, String),
}

/// What is known of an image before it comes.
pub(super) struct Coming<'a> {
    pub(super) kind: Image,
    /// Its bytes, where the server or the catalog says.
    pub(super) length: Option<u64>,
    /// Bytes of memory for it; absent: the target takes none.
    pub(super) room: Option<u64>,
    pub(super) flow: &'a Flow,
    pub(super) stopped: &'a AtomicBool,
}

impl Once<'_> {
    /// All bytes of an image, in a file in memory. It is gone with its last user: nothing is left of one that is given up.
    pub(super) fn keep_image(&self, image: &Coming<'_>, from: &mut dyn Read) -> Result<Contents, Unkept> {
        let most = image.room_for_it()?;
        if (self.on)(Report::Image(image.kind)).is_break() {
            return Err(Unkept::Stopped);
        }
        let file = memfd_create("root", MemfdFlags::CLOEXEC).map(File::from);
        let file = file.map_err(|e| Unkept::full(&e.into()))?;
        self.watched(image.flow, image.stopped, || keep(from, &file, most))?;
        Ok(Contents::Image(image.kind, file))
    }
}

impl Coming<'_> {
    /// Bytes that it may have, if it may come at all.
    fn room_for_it(&self) -> Result<u64, Unkept> {
        let kind = self.kind;
        let Some(available) = self.room else {
            let why = format!("this is {kind}: it is mounted, not unpacked");
            return Err(Unkept::Refused(Verdict::IMAGE, why));
        };
        match self.length.map(needed_by_image) {
            Some(needed) if needed > available => {
                let (needed, available) = (mib(needed), mib(available));
                let why =
                    format!("the {} image needs {needed} of memory, {available} are available", kind.name());
                Err(Unkept::Refused(Verdict::MEMORY, why))
            }
            _ => Ok(available.saturating_sub(needed_by_image(0))),
        }
    }
}

fn keep(from: &mut dyn Read, mut file: &File, most: u64) -> Result<(), Unkept> {
    let (mut buffer, mut had) = (vec![0; bytes::BUFFER], 0);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                had += n as u64;
                if had > most {
                    let why = format!("more than the {} of memory there is room for", mib(most));
                    return Err(Unkept::Refused(Verdict::MEMORY, why));
                }
                file.write_all(&buffer[..n]).map_err(|e| Unkept::full(&e))?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Unkept::Read(e)),
        }
    }
}

impl Unkept {
    fn full(error: &io::Error) -> Self {
        Self::Refused(Verdict::MEMORY, format!("keeping the image in memory: {error}"))
    }

    /// As an archive's; what it is refused for goes to `refused`.
    pub(super) fn noted(self, refused: &mut Option<(Verdict, String)>) -> UnpackError {
        match self {
            Self::Stopped => UnpackError::Stopped,
            Self::Read(error) => UnpackError::Read(error),
            Self::Refused(verdict, why) => {
                *refused = Some((verdict, why));
                UnpackError::Stopped
            }
        }
    }
}
