//! One try at one mirror, and what it came to. Which mirror is next is `fetch`'s.

use std::io::{self, Cursor, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::AtomicBool;

use super::failure::clean;
use super::image::Coming;
use super::reader::{Bound, Bounded};
use super::{Contents, Failure, OnReport, Phase, Report, Target};
use crate::archive::{self, Image, Input, Limits, UnpackError};
use crate::catalog::Artifact;
use crate::fetch::{Attempt, FetchError, Fetcher, Flow, Location, Source, Terms, Try};
use crate::verify::{self, Refused, Sha256, Trust, Verified};

/// What the last try at a mirror came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) phase: Phase,
    pub(super) hint: &'static str,
}

impl Verdict {
    pub(super) const FETCH: Self =
        Self { phase: Phase::Fetch, hint: "check the URL, the server and the network" };
    const DISK: Self = Self {
        phase: Phase::Fetch,
        hint: "check the name and the cable, and that the initrd has the drivers: bootjack initrd --drivers storage",
    };
    const TAG: Self = Self {
        phase: Phase::Fetch,
        hint: "check the tag and the path, and that the initrd has the driver: bootjack initrd --drivers virtiofs",
    };
    const FILE: Self = Self { phase: Phase::Fetch, hint: "check the path" };
    pub(super) const OTHER_BYTES: Self = Self {
        phase: Phase::Verify,
        hint: "the file on the server is not the one the catalog means: see sha256sum",
    };
    pub(super) const NO_LIST: Self = Self {
        phase: Phase::Fetch,
        hint: "the chunk list lies beside the archive as FILE.chunks: bootjack pack makes both; or say sha256, too",
    };
    const NO_SIZE: Self = Self {
        phase: Phase::Plan,
        hint: "say how many bytes it has: size in a catalog, rd.tmpfs.length=, unpack --size; or put the archive into a \
               file system",
    };
    const NO_SIZE_SAID: Self = Self {
        phase: Phase::Unpack,
        hint: "if other bytes follow the archive on the device, say how many are its own: size in the catalog, \
               rd.tmpfs.length=, unpack --size",
    };
    const DAMAGED: Self = Self { phase: Phase::Unpack, hint: "make the archive anew: bootjack pack" };
    const FULL: Self = Self {
        phase: Phase::Unpack,
        hint: "raise root_size (rd.tmpfs.size=), or use a machine with more memory",
    };
    const MORE_THAN_SAID: Self = Self {
        phase: Phase::Unpack,
        hint: "unpacked in the catalog is not of this archive: bootjack pack prints the right one",
    };
    pub(super) const IMAGE: Self = Self {
        phase: Phase::Unpack,
        hint: "mount -o loop,ro FILE DIR shows what is in it; a boot reads it in place, for unpack make an archive: \
               bootjack pack",
    };
    pub(super) const MEMORY: Self =
        Self { phase: Phase::Plan, hint: "choose a smaller root, or use a machine with more memory" };
    const WRITE: Self =
        Self { phase: Phase::Unpack, hint: "see that the target's file system can hold such a member" };

    /// What to say of a place that nothing came from.
    pub(super) fn before(location: &Location) -> Self {
        match location {
            Location::Volume { .. } => Self::DISK,
            Location::Virtiofs { .. } => Self::TAG,
            Location::File(_) | Location::Initramfs(_) => Self::FILE,
            Location::Http(_) | Location::Ftp(_) | Location::Tftp(_) | Location::Nfs { .. } => Self::FETCH,
        }
    }

    /// Of several mirrors the one that came furthest tells most: one that is merely not there says nothing of the
    /// archive.
    pub(super) fn of_all(mirrors: &[Self]) -> Self {
        let told = mirrors.iter().find(|verdict| verdict.phase != Phase::Fetch);
        told.or(mirrors.first()).copied().unwrap_or(Self::FETCH)
    }
}

/// What was read in a try that worked.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) sha256: Sha256,
    /// Redirects followed.
    pub(super) location: Location,
    pub(super) bytes: u64,
}

/// One try at one mirror.
pub(super) struct Once<'a> {
    pub(super) artifact: &'a Artifact,
    pub(super) name: &'a str,
    pub(super) on: OnReport<'a>,
    /// Takes what to say of a mirror.
    pub(super) says: &'a dyn Fn(usize, Verdict),
    pub(super) attempt: &'a Try<'a>,
    /// What is read is known to be what the catalog means, before it is read to its end.
    pub(super) authentic: bool,
}

impl<'a> Once<'a> {
    pub(super) fn says(&self, verdict: Verdict) {
        (self.says)(self.attempt.mirror(), verdict);
    }

    pub(super) fn open(&self, fetcher: &'a Fetcher, terms: &Terms) -> Result<Source<'a>, Attempt<Failure>> {
        let location = self.attempt.location();
        if (self.on)(Report::Opening { artifact: self.name.into(), location: location.clone() }).is_break() {
            return Err(Attempt::Stopped);
        }
        let source = self.within(self.attempt.open(fetcher, terms)?, location)?;
        let bytes = source.length.or(self.artifact.size);
        self.right_size(location, source.length)?;
        if (self.on)(Report::Started { location: source.location.clone(), bytes }).is_break() {
            return Err(Attempt::Stopped);
        }
        Ok(source)
    }

    /// Of a whole device the archive is as much as the catalog says; a digest is over no more than that.
    fn within(&self, source: Source<'a>, asked: &Location) -> Result<Source<'a>, Attempt<Failure>> {
        if !asked.is_device() {
            return Ok(source);
        }
        match (self.artifact.size, &self.artifact.trust) {
            (Some(size), _) => Ok(Source { reader: Box::new(source.reader.take(size)), ..source }),
            (None, Trust::Unverified) => Ok(source),
            (None, Trust::Sha256(_) | Trust::Chunks(_)) => {
                let why = "a digest is over the archive alone, and nothing says how long it is on the device";
                Err(self.refuse(Verdict::NO_SIZE, asked, why))
            }
        }
    }

    /// The catalog knows how many bytes there must be.
    pub(super) fn right_size(&self, location: &Location, bytes: Option<u64>) -> Result<(), Attempt<Failure>> {
        match (self.artifact.size, bytes) {
            (Some(wanted), Some(got)) if wanted != got => Err(self.refuse(
                Verdict::OTHER_BYTES,
                location,
                &format!("has {got} bytes, the catalog says {wanted}"),
            )),
            _ => Ok(()),
        }
    }

    /// This mirror is of no use; the next may be.
    pub(super) fn refuse(&self, verdict: Verdict, location: &Location, why: &str) -> Attempt<Failure> {
        self.says(verdict);
        Attempt::Permanent(format!("{location}: {why}"))
    }

    pub(super) fn unpack(
        &self,
        source: Source<'_>,
        target: &mut dyn Target,
        limits: &Limits,
    ) -> Result<(Verified<Contents>, Read), Attempt<Failure>> {
        let Source { reader, location, flow, length, seal, .. } = source;
        let directory =
            target.fresh().map_err(|e| Attempt::Fatal(Failure::new(Phase::Unpack, target.name(), e)))?;
        let progress = |now: archive::Progress| {
            let fetched = flow.arrived();
            let answer = (self.on)(Report::Progress { fetched, unpacked: now.bytes, entries: now.entries });
            if answer.is_break() {
                flow.stop();
            }
            answer
        };
        let bound = Bound::new(self.artifact.size);
        let (stopped, mut unkept) = (AtomicBool::new(false), None);
        let length = length.or(self.artifact.size);
        let room = target.room_for_image();
        let read =
            verify::through(Bounded::new(reader, &bound), &self.artifact.trust, seal.as_ref(), |bytes| {
                let (reader, mut seeing) = bytes.apart();
                let head = self.watched(&flow, &stopped, || head(reader))?;
                if let Some(kind) = Image::of(&head) {
                    seeing.see(&head);
                    let coming = Coming { kind, length, room, flow: &flow, stopped: &stopped };
                    let kept = self.keep_image(&coming, &mut Cursor::new(head).chain(bytes));
                    return kept.map_err(|why| why.noted(&mut unkept));
                }
                let mut whole = Cursor::new(head).chain(reader);
                let all = Input::seen(&mut whole, |bytes| seeing.see(bytes));
                let unpacked = match target.has_tree() {
                    true => archive::add(all, directory.as_fd(), limits, &progress)?,
                    false => archive::unpack(all, directory.as_fd(), limits, &progress)?,
                };
                bound.archive_ended(flow.bytes());
                Ok(Contents::Tree(unpacked))
            });
        // It may have gone on at another mirror.
        let location = flow.place().unwrap_or(location);
        let refused = match read {
            Ok((contents, sha256)) => {
                self.right_size(&location, Some(flow.bytes()))?;
                return Ok((contents, Read { sha256, location, bytes: flow.bytes() }));
            }
            Err(_) if stopped.into_inner() => return Err(Attempt::Stopped),
            Err(refused) => refused,
        };
        Err(match (bound.broken(self.artifact.size), unkept) {
            // A decoder calls that a damaged archive, as it does a broken connection: who reads knows better.
            (Some(why), _) => self.refuse(self.of_the_end(Verdict::OTHER_BYTES), &location, &why),
            (None, Some((Verdict::MEMORY, why))) => {
                self.unwritten(self.of_the_end(Verdict::MEMORY), &location, &why)
            }
            (None, Some((verdict, why))) => self.unwritten(verdict, &location, &why),
            (None, None) => {
                let full = |said| self.is_more_than_said(said, directory.as_fd());
                self.classify(refused, &location, &flow, &target.name(), limits.bytes, &full)
            }
        })
    }

    /// Whether another try, another mirror, or nothing can help.
    fn classify(
        &self,
        refused: Refused<UnpackError>,
        location: &Location,
        flow: &Flow,
        target: &str,
        said: u64,
        is_more_than_said: &dyn Fn(u64) -> bool,
    ) -> Attempt<Failure> {
        if let Some(failure) = flow.failure() {
            return Attempt::fetching(failure, flow.bytes());
        }
        match refused {
            Refused::Consume(UnpackError::Stopped) => Attempt::Stopped,
            Refused::Consume(UnpackError::Read(e)) | Refused::Drain(e) => match FetchError::of(&e) {
                Some(failure) => Attempt::fetching(failure.clone(), flow.bytes()),
                None => Attempt::Permanent(format!("{location}: {e}")),
            },
            Refused::Digest { expected, got, bytes } => {
                let why =
                    format!("SHA-256 does not match: expected {expected}, got {got} over {bytes} bytes");
                self.refuse(Verdict::OTHER_BYTES, location, &why)
            }
            Refused::Unsealed(list) => {
                let why = format!("not every chunk of the list {list} was seen to be right");
                self.refuse(Verdict::OTHER_BYTES, location, &why)
            }
            Refused::Consume(error @ UnpackError::Damaged { .. }) if self.authentic => {
                Attempt::Fatal(Failure::new(Phase::Unpack, self.name, error).hint(Verdict::DAMAGED.hint))
            }
            Refused::Consume(error @ UnpackError::Damaged { .. }) => {
                self.refuse(self.of_the_end(Verdict::DAMAGED), location, &error.to_string())
            }
            Refused::Consume(UnpackError::NoSpace { member, .. }) if is_more_than_said(said) => {
                let member = clean(&member.to_string_lossy());
                let why = format!("{member}: more than the {said} bytes of file data the catalog says");
                self.unwritten(Verdict::MORE_THAN_SAID, location, &why)
            }
            Refused::Consume(error @ UnpackError::NoSpace { .. }) => {
                self.unwritten(Verdict::FULL, location, &format!("{target}: {error}"))
            }
            Refused::Consume(error @ UnpackError::Write { .. }) => {
                self.unwritten(Verdict::WRITE, location, &error.to_string())
            }
        }
    }

    /// Behind an archive on a device lies what was there before: it may be no more than that.
    fn of_the_end(&self, verdict: Verdict) -> Verdict {
        if self.attempt.location().is_device() && self.artifact.size.is_none() {
            Verdict::NO_SIZE_SAID
        } else {
            verdict
        }
    }

    /// Whether the limit that was met is the catalog's `unpacked`, and not that of the target.
    fn is_more_than_said(&self, said: u64, directory: BorrowedFd<'_>) -> bool {
        self.artifact.unpacked == Some(said) && !is_full(directory)
    }

    /// The tree could not be made, of bytes whose digest was not compared yet: where one is known they may be others
    /// than those the catalog means, and the next mirror may have the right ones.
    fn unwritten(&self, verdict: Verdict, location: &Location, why: &str) -> Attempt<Failure> {
        match self.artifact.trust {
            Trust::Sha256(_) | Trust::Chunks(_) if !self.authentic => self.refuse(verdict, location, why),
            _ => Attempt::Fatal(Failure::because(verdict.phase, self.name, why).hint(verdict.hint)),
        }
    }
}

/// The bytes that say what it is, or all where there are fewer.
fn head(bytes: &mut impl io::Read) -> Result<Vec<u8>, UnpackError> {
    let mut head = Vec::with_capacity(archive::HEAD);
    bytes.take(archive::HEAD as u64).read_to_end(&mut head).map_err(UnpackError::Read)?;
    Ok(head)
}

/// Whether the file system has no room for anything more. One that cannot say so has not said that it is full.
fn is_full(directory: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatvfs(directory).is_ok_and(|room| room.f_bavail == 0)
}
