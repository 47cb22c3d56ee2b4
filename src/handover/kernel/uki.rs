//! A unified kernel image: an EFI program with a kernel, an initrd and a command line in sections of their own
//! (uapi-group.org, "Unified Kernel Image"; Microsoft's "PE Format" for the table of sections).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{FETCH_AGAIN, MEMORY, NotAKernel, WANTED, memory, u16_at, u32_at};

/// `IMAGE_FILE_MACHINE_AMD64`.
const X86_64: u16 = 0x8664;

/// A section header is so long; the COFF header stands before the optional one, the sections follow it.
const SECTION: usize = 40;
const COFF: usize = 24;

/// More than a kernel command line ever was, and a section that is read into memory whole.
const LONGEST_CMDLINE: u64 = 64 << 10;

/// Where the parts lie, each with its place in the file and its length.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sections {
    linux: (u64, u64),
    initrd: Option<(u64, u64)>,
    microcode: Option<(u64, u64)>,
    cmdline: Option<(u64, u64)>,
}

/// The sections of a unified kernel image of this machine that begins with `head`; none if it is something else.
pub(super) fn sections(head: &[u8], bytes: u64) -> Result<Option<Sections>, NotAKernel> {
    let Some((machine, table)) = section_table(head) else { return Ok(None) };
    let mut found = Sections::default();
    let mut linux = None;
    for header in table.chunks_exact(SECTION) {
        let place = match header.split_at(8).0 {
            b".linux\0\0" => &mut linux,
            b".initrd\0" => &mut found.initrd,
            b".ucode\0\0" => &mut found.microcode,
            b".cmdline" => &mut found.cmdline,
            // What follows belongs to another way to start it; the first is the one meant without a choice.
            b".profile" if linux.is_some() => break,
            _ => continue,
        };
        *place = Some(extent(header, bytes)?);
    }
    let Some(linux) = linux else { return Ok(None) };
    if machine != X86_64 {
        let what = format!("a unified kernel image for another machine (PE machine {machine:#06x})");
        return Err(NotAKernel::new(what, WANTED));
    }
    Ok(Some(Sections { linux, ..found }))
}

/// The machine and the bytes of the section table of a PE file; none if it is not one, or the table lies beyond `head`.
pub(super) fn section_table(head: &[u8]) -> Option<(u16, &[u8])> {
    let start = head.starts_with(b"MZ").then(|| u32_at(head, 0x3c))?? as usize;
    let coff = head.get(start..)?;
    coff.starts_with(b"PE\0\0").then_some(())?;
    let (machine, count, optional) = (u16_at(coff, 4)?, u16_at(coff, 6)?, u16_at(coff, 20)?);
    let table = coff.get(COFF + usize::from(optional)..)?;
    Some((machine, table.get(..usize::from(count) * SECTION)?))
}

/// Where a section's payload lies. The smaller length is the true one: what is stored is padded to the file's
/// alignment, and what is mapped may be larger than what is stored.
fn extent(header: &[u8], bytes: u64) -> Result<(u64, u64), NotAKernel> {
    let number = |at| u32_at(header, at).map_or(0, u64::from);
    let (mapped, stored, at) = (number(8), number(16), number(20));
    let length = mapped.min(stored);
    if at + length > bytes {
        let what =
            format!("a unified kernel image cut short: {bytes} bytes, a section ends at {}", at + length);
        return Err(NotAKernel::new(what, FETCH_AGAIN));
    }
    Ok((at, length))
}

impl Sections {
    pub(super) fn linux(&self, file: &File) -> Result<File, NotAKernel> {
        let mut out = memory("kernel")?;
        append(file, self.linux, &mut out)?;
        Ok(out)
    }

    /// Microcode and initrd one behind the other, as the image's own loader lays them; archives begin at multiples
    /// of 4 (Documentation/driver-api/early-userspace/buffer-format.rst).
    pub(super) fn initrd(&self, file: &File) -> Result<Option<File>, NotAKernel> {
        let parts: Vec<_> =
            [self.microcode, self.initrd].into_iter().flatten().filter(|part| part.1 > 0).collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let mut out = memory("initrd")?;
        for part in parts {
            append(file, part, &mut out)?;
            let padding = part.1.next_multiple_of(4) - part.1;
            out.write_all(&[0; 4][..padding as usize]).map_err(unwrapping)?;
        }
        Ok(Some(out))
    }

    pub(super) fn cmdline(&self, file: &File) -> Result<Option<String>, NotAKernel> {
        let Some((at, length)) = self.cmdline else { return Ok(None) };
        let mut line = Vec::new();
        part(file, (at, length.min(LONGEST_CMDLINE)))
            .and_then(|mut p| p.read_to_end(&mut line))
            .map_err(unwrapping)?;
        let text = String::from_utf8(line).map_err(|_| {
            NotAKernel::new("a unified kernel image whose command line is no text", FETCH_AGAIN)
        })?;
        Ok(Some(text.trim_end_matches('\0').trim_end().to_owned()))
    }
}

fn append(file: &File, extent: (u64, u64), out: &mut File) -> Result<(), NotAKernel> {
    part(file, extent).and_then(|mut part| io::copy(&mut part, out)).map(drop).map_err(unwrapping)
}

fn part(mut file: &File, (at, length): (u64, u64)) -> io::Result<impl Read + '_> {
    file.seek(SeekFrom::Start(at))?;
    Ok(file.take(length))
}

fn unwrapping(e: io::Error) -> NotAKernel {
    NotAKernel::new(format!("unwrapping a unified kernel image: {e}"), MEMORY)
}
