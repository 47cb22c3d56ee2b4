//! What a fetched kernel file is, told from its bytes, and unwrapped until it is what kexec_file_load(2) takes on x86:
//! a 64-bit bzImage. Loading it is `kexec`'s.

mod bzimage;
mod foreign;
mod packed;
mod uki;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub use bzimage::release;
use packed::Packing;

/// A kernel that can be loaded, with what came in the same file.
#[derive(Debug)]
pub struct Kernel {
    /// The bzImage: the file that was given if nothing was wrapped around it (what appraises files by their
    /// attributes finds them), else one in memory.
    pub file: File,
    /// Its length.
    pub bytes: u64,
    /// What it says it is (`uname -r`); not every image does.
    pub release: Option<String>,
    /// Bytes its command line may have when it comes by kexec, without the closing NUL.
    pub cmdline_max: usize,
    /// Bytes it takes in memory from the load on, several times its length: it is placed with the room it unpacks into.
    pub memory: u64,
    /// What has to be done before it speaks, in bytes for [`kexec::silence`](super::kexec::silence), which are to be
    /// those of the initrd besides.
    pub work: u64,
    /// Of a unified kernel image: its initrd, microcode first.
    pub initrd: Option<File>,
    /// Of a unified kernel image: its command line.
    pub cmdline: Option<String>,
    /// What was taken off, outermost first: `gzip`, `zstd`, `UKI`.
    pub wrapped: Vec<&'static str>,
}

/// Why a file cannot be loaded as a kernel: what it is instead. `Display` is one line without the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAKernel {
    pub what: String,
    /// What to give instead, or to do.
    pub hint: &'static str,
}

/// A bzImage in a unified kernel image in a compressed file is two; nobody means four.
const WRAPS: usize = 3;

/// What is read to tell a file: the version text of a bzImage lies at most 64 KiB behind its second sector and is a
/// line long; everything else is nearer.
const HEAD: usize = 0x200 + 0x1_0000 + 0x200;

const WANTED: &str =
    "kexec takes a 64-bit bzImage: /boot/vmlinuz-* of a distribution, arch/x86/boot/bzImage of a build";
const FETCH_AGAIN: &str =
    "fetch it again, or pack it again: the file is damaged where it is served, or on its way";
const MEMORY: &str = "unwrapping takes memory: serve the bzImage itself, or give the machine more";

impl Kernel {
    /// Tells what `file` is and unwraps it. It is read from its beginning, wherever it stands.
    ///
    /// # Errors
    /// [`NotAKernel`], also when the file cannot be read or memory for what it unwraps to is short.
    pub fn open(mut file: File) -> Result<Self, NotAKernel> {
        let mut wrapped = Vec::new();
        let (mut initrd, mut cmdline) = (None, None);
        loop {
            let (head, bytes) =
                look(&file).map_err(|e| NotAKernel::new(format!("reading it: {e}"), WANTED))?;
            if bzimage::is(&head) {
                let header = bzimage::header(&head, bytes)?;
                let (release, bzimage::Header { cmdline_max, memory, work }) = (release(&head).ok(), header);
                return Ok(Self {
                    file,
                    bytes,
                    release,
                    cmdline_max,
                    memory,
                    work,
                    initrd,
                    cmdline,
                    wrapped,
                });
            }
            if wrapped.len() == WRAPS {
                let around = wrapped.join(" around ");
                return Err(NotAKernel::new(format!("wrapped too often: {around} around something"), WANTED));
            }
            if let Some(packing) = Packing::of(&head) {
                file = packing.unpack(&file)?;
                wrapped.push(packing.name());
            } else if let Some(image) = uki::sections(&head, bytes)? {
                (initrd, cmdline) = (image.initrd(&file)?.or(initrd), image.cmdline(&file)?.or(cmdline));
                file = image.linux(&file)?;
                wrapped.push("UKI");
            } else {
                return Err(foreign::refusal(&head, bytes));
            }
        }
    }
}

impl NotAKernel {
    fn new(what: impl Into<String>, hint: &'static str) -> Self {
        Self { what: what.into(), hint }
    }
}

impl fmt::Display for NotAKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a kernel that can be loaded: {}", self.what)
    }
}

impl std::error::Error for NotAKernel {}

/// What the header of a bzImage says; none for anything else, which the kernel is going to refuse.
pub(super) fn header(file: &File) -> Option<bzimage::Header> {
    let (head, bytes) = look(file).ok()?;
    bzimage::is(&head).then(|| bzimage::header(&head, bytes).ok())?
}

/// The first [`HEAD`] bytes of a file and its length.
fn look(file: &File) -> io::Result<(Vec<u8>, u64)> {
    let bytes = file.metadata()?.len();
    let mut head = vec![0; HEAD.min(usize::try_from(bytes).unwrap_or(HEAD))];
    file.read_exact_at(&mut head, 0)?;
    Ok((head, bytes))
}

/// A file in memory for what comes out of another.
fn memory(name: &str) -> Result<File, NotAKernel> {
    let memfd = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC);
    memfd.map(File::from).map_err(|e| NotAKernel::new(format!("making a file in memory: {e}"), MEMORY))
}

/// The bytes of a number; none where the file is too short.
fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    field(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    field(bytes, at).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests;
