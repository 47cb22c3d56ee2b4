//! The bytes of a tar archive become members: v7, ustar, GNU and pax alike, sparse files in all their forms. The format is
//! parsed by `tar-core`; here are the rules around it. What an entry means is `member`'s.

use tar_core::HEADER_SIZE;
use tar_core::parse::{self, Parser};

use super::error::UnpackError;
use super::intake::Intake;
use super::leave_out::LeaveOut;
use super::member::{Kind, Member, Step, understand};
use super::pax::Records;
use super::shared::Slice;
use super::sniff::Compression;
use super::{MOST_BESIDE, MOST_ZEROS};

/// Extension headers of one member: 64 KiB is the most Linux stores in one attribute; nobody has a hundred of them.
const METADATA: u32 = 4 << 20;
/// PATH_MAX without its NUL.
const PATH: u32 = 4095;
/// Extended headers of a member up to this are its own: an attribute may have 64 KiB.
const HEADERS: u64 = 128 << 10;
/// Pieces of data in one sparse file; more than any disk image has that still fits in memory.
const SPARSE: usize = 200_000;
/// First bytes of the file index that pixz appends to the tar bytes (pixz, `PIXZ_INDEX_MAGIC`, little-endian).
const PIXZ_INDEX: [u8; 8] = 0xDBAE_14D6_2E32_4CA6_u64.to_le_bytes();

/// The members of an archive, in order.
pub(super) struct Members<'a> {
    intake: Intake<'a>,
    compression: Compression,
    parser: Parser,
    /// Members that are passed over, and not copied.
    leave_out: Option<&'a LeaveOut>,
    /// What a global pax header said for all that follow.
    global: Records,
    /// Bytes of the current member's data still to come, and of its padding.
    left: u64,
    padding: u64,
    /// Bytes so far that belong to no member.
    beside: u64,
    /// Name of the current member, for messages.
    name: Vec<u8>,
}

impl<'a> Members<'a> {
    pub(super) fn new(intake: Intake<'a>, compression: Compression) -> Self {
        let mut parser = Parser::new(parse::Limits {
            max_metadata_size: METADATA,
            max_path_len: Some(PATH),
            max_sparse_entries: SPARSE,
            ..parse::Limits::default()
        });
        // `pax` reads these records itself: it knows negative times, and refuses what is malformed.
        parser.set_ignore_pax_errors(true);
        let (global, name) = (Records::default(), Vec::new());
        let (left, padding, beside) = (0, 0, 0);
        Self { intake, compression, parser, leave_out: None, global, left, padding, beside, name }
    }

    /// From here on these members are passed over; a copy that is made of the archive lacks them.
    pub(super) fn leave_out(&mut self, what: &'a LeaveOut) {
        self.leave_out = Some(what);
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// The next member; nothing at the archive's end marker.
    pub(super) fn next(&mut self) -> Result<Option<Member>, UnpackError> {
        self.skip()?;
        // What must be there, and what is looked at: an archive may end where the parser has enough.
        let (mut need, mut want) = (HEADER_SIZE, HEADER_SIZE);
        loop {
            let offset = self.intake.taken();
            let input = self.intake.peek(want)?;
            let seen = input.len();
            if seen < need {
                return Err(self.cut(offset));
            }
            let zero = input[..HEADER_SIZE].iter().all(|b| *b == 0);
            if zero && seen < 2 * HEADER_SIZE {
                (need, want) = (2 * HEADER_SIZE, 2 * HEADER_SIZE);
                continue;
            }
            if zero && input[HEADER_SIZE..2 * HEADER_SIZE].iter().any(|b| *b != 0) {
                return Err(self.wrong(offset, "a lone zero block where two mark the end"));
            }
            let event = match self.parser.parse(input) {
                Ok(event) => event,
                Err(e) => {
                    let reason = e.to_string();
                    return Err(self.wrong(offset, &reason));
                }
            };
            let step = match understand(event, &self.global) {
                Ok(step) => step,
                Err((name, reason)) if name.is_empty() => return Err(self.wrong(offset, &reason)),
                Err((name, reason)) => return Err(UnpackError::member(&name, reason)),
            };
            match step {
                // Doubled, because the parser begins anew each time.
                Step::Need(bytes) => {
                    need = bytes.max(seen + 1);
                    want = need.max(if want > HEADER_SIZE { 2 * want } else { 0 });
                }
                Step::Pass { consumed, data, global } => {
                    self.pass((consumed as u64).saturating_add(data))?;
                    self.intake.consume(consumed)?;
                    self.data_follows(data);
                    self.skip()?;
                    if let Some(global) = global {
                        self.global = *global;
                    }
                    (need, want) = (HEADER_SIZE, HEADER_SIZE);
                }
                Step::Member { consumed, data, member } => {
                    let passed = if matches!(member.kind, Kind::Directory) { data } else { 0 };
                    self.pass(passed.saturating_add((consumed as u64).saturating_sub(HEADERS)))?;
                    let out = self.leave_out.is_some_and(|leave_out| leave_out.member(&member));
                    self.intake.pause_copying(out);
                    self.intake.consume(consumed)?;
                    self.data_follows(data);
                    self.name.clone_from(&member.name);
                    if !out {
                        return Ok(Some(*member));
                    }
                    self.skip()?;
                    self.intake.pause_copying(false);
                    (need, want) = (HEADER_SIZE, HEADER_SIZE);
                }
                Step::End { consumed } => {
                    self.intake.consume(consumed)?;
                    return Ok(None);
                }
            }
        }
    }

    /// More of the current member's data; empty when all of it was handed out.
    pub(super) fn data(&mut self) -> Result<&[u8], UnpackError> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let left = self.left;
        let bytes = self.intake.take(left)?;
        if bytes.is_empty() {
            return Err(UnpackError::cut_inside(&self.name, left));
        }
        self.left -= bytes.len() as u64;
        Ok(bytes)
    }

    /// The same, to be kept.
    pub(super) fn shared_data(&mut self) -> Result<Slice, UnpackError> {
        if self.left == 0 {
            return Ok(Slice::Own(Vec::new()));
        }
        let slice = self.intake.take_shared(self.left)?;
        if slice.is_empty() {
            return Err(UnpackError::cut_inside(&self.name, self.left));
        }
        self.left -= slice.len() as u64;
        Ok(slice)
    }

    /// Reads what follows the end marker: zeros, and the file index that pixz leaves. The source is then at its end.
    pub(super) fn end(&mut self) -> Result<(), UnpackError> {
        let begin = self.intake.taken();
        loop {
            let offset = self.intake.taken();
            if offset - begin > MOST_ZEROS {
                let reason =
                    "more than 1 GiB of zeros after the archive's end marker: say how large it is (size)";
                return Err(UnpackError::archive(reason));
            }
            let bytes = self.intake.peek(1)?;
            if bytes.is_empty() {
                return Ok(());
            }
            match bytes.iter().position(|b| *b != 0) {
                None => {
                    let n = bytes.len();
                    self.intake.consume(n)?;
                }
                Some(zeros) => {
                    self.intake.consume(zeros)?;
                    return self.index(offset + zeros as u64);
                }
            }
        }
    }

    fn index(&mut self, offset: u64) -> Result<(), UnpackError> {
        let mark = self.intake.peek(PIXZ_INDEX.len())?;
        if self.compression != Compression::Xz || !mark.starts_with(&PIXZ_INDEX) {
            let reason = format!("data after the archive's end marker, at byte {offset}");
            return Err(UnpackError::archive(reason));
        }
        self.intake.stop_copying();
        while !self.intake.take(u64::MAX)?.is_empty() {}
        Ok(())
    }

    /// Counts bytes that belong to no member, before they are read.
    fn pass(&mut self, bytes: u64) -> Result<(), UnpackError> {
        self.beside = self.beside.saturating_add(bytes);
        if self.beside > MOST_BESIDE {
            let reason = "more than 1 GiB that belongs to no member: labels and headers without end";
            return Err(self.wrong(self.intake.taken(), reason));
        }
        Ok(())
    }

    fn data_follows(&mut self, size: u64) {
        self.left = size;
        // Of a size near the end of all numbers the next multiple is beyond it.
        self.padding = (HEADER_SIZE as u64 - size % HEADER_SIZE as u64) % HEADER_SIZE as u64;
    }

    /// Passes over what is left of the current member.
    fn skip(&mut self) -> Result<(), UnpackError> {
        while !self.data()?.is_empty() {}
        while self.padding > 0 {
            let n = self.intake.take(self.padding)?.len() as u64;
            if n == 0 {
                return Err(self.cut(self.intake.taken()));
            }
            self.padding -= n;
        }
        Ok(())
    }

    fn cut(&self, offset: u64) -> UnpackError {
        UnpackError::cut(offset, &self.name)
    }

    fn wrong(&self, offset: u64, reason: &str) -> UnpackError {
        UnpackError::between(offset, &self.name, reason)
    }
}
