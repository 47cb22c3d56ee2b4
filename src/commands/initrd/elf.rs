//! What an ELF file says of itself: the loader that starts it and the libraries it needs (elf(5)). Pure; finding them
//! is `bundle`'s.

use anyhow::{Context, Result, ensure};

/// Types of program headers, and tags of the dynamic section (elf(5)).
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// A program or a library.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Elf {
    /// The dynamic loader; absent: a static program, or a library.
    pub interpreter: Option<String>,
    /// Names of libraries, in the order in which they are looked for.
    pub needed: Vec<String>,
    /// Where they are looked for first; `rpath` by what it needs as well, unless there is a `runpath`.
    pub rpath: Option<String>,
    pub runpath: Option<String>,
}

/// A program header: type, place in the file, address, bytes in the file.
struct Header {
    kind: u32,
    offset: usize,
    address: usize,
    length: usize,
}

impl Elf {
    /// # Errors
    /// It is no ELF file for x86-64, or ends too early.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.starts_with(b"\x7fELF"), "not an ELF program");
        ensure!(bytes.get(4) == Some(&2) && u16_at(bytes, 18)? == 62, "not a program for x86-64");
        let headers = headers(bytes).context("reading the program headers")?;
        let mut elf = Self::default();
        for header in &headers {
            match header.kind {
                PT_INTERP => elf.interpreter = Some(text(bytes, header.offset)?),
                PT_DYNAMIC => elf.read_dynamic(bytes, header, &headers).context("reading what it needs")?,
                _ => {}
            }
        }
        Ok(elf)
    }

    fn read_dynamic(&mut self, bytes: &[u8], dynamic: &Header, headers: &[Header]) -> Result<()> {
        let mut tags = Vec::new();
        for n in 0..dynamic.length / 16 {
            let at = dynamic.offset.saturating_add(n * 16);
            match u64_at(bytes, at)? {
                0 => break,
                tag => tags.push((tag, number(bytes, at + 8)?)),
            }
        }
        let strings = tags.iter().find(|(tag, _)| *tag == DT_STRTAB).map_or(0, |(_, address)| *address);
        let strings = headers
            .iter()
            .filter(|h| h.kind == PT_LOAD)
            .find(|h| h.address <= strings && strings - h.address < h.length)
            .map_or(strings, |h| strings - h.address + h.offset);
        for (tag, value) in tags {
            let word = || text(bytes, strings.saturating_add(value));
            match tag {
                DT_NEEDED => self.needed.push(word()?),
                DT_RPATH => self.rpath = Some(word()?),
                DT_RUNPATH => self.runpath = Some(word()?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn headers(bytes: &[u8]) -> Result<Vec<Header>> {
    let table = number(bytes, 32)?;
    let (size, count) = (usize::from(u16_at(bytes, 54)?), usize::from(u16_at(bytes, 56)?));
    let read = |n: usize| {
        let at = table.saturating_add(n * size);
        Ok(Header {
            kind: u32_at(bytes, at)?,
            offset: number(bytes, at.saturating_add(8))?,
            address: number(bytes, at.saturating_add(16))?,
            length: number(bytes, at.saturating_add(32))?,
        })
    };
    (0..count).map(read).collect()
}

/// The text that ends with a zero.
fn text(bytes: &[u8], at: usize) -> Result<String> {
    let rest = bytes.get(at..).context("the file ends in its headers")?;
    let end = rest.iter().position(|&b| b == 0).context("a name without an end")?;
    Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let field = bytes.get(at..).and_then(|b| b.first_chunk::<N>());
    field.copied().context("the file ends in its headers")
}

pub fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    field(bytes, at).map(u16::from_le_bytes)
}

pub fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    field(bytes, at).map(u32::from_le_bytes)
}

pub fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    field(bytes, at).map(u64::from_le_bytes)
}

fn number(bytes: &[u8], at: usize) -> Result<usize> {
    usize::try_from(u64_at(bytes, at)?).context("a number beyond all memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_program_names_its_loader_and_the_c_library() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let elf = Elf::parse(&own).unwrap();
        assert!(elf.interpreter.as_ref().is_some_and(|name| name.starts_with("/lib")), "{elf:?}");
        assert!(elf.needed.iter().any(|name| name.starts_with("libc.")), "{elf:?}");
    }

    #[test]
    fn a_file_that_ends_too_early_is_an_error_and_no_panic() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let whole = Elf::parse(&own).unwrap();
        for length in (0..2048).chain((0..own.len()).step_by(4096)) {
            if let Ok(elf) = Elf::parse(&own[..length]) {
                assert_eq!(elf, whole, "cut at {length}");
            }
        }
    }
}
