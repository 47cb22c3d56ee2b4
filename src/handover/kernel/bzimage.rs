//! The header of a Linux kernel for x86 (Documentation/arch/x86/boot.rst), held against what the kernel itself wants
//! to see before it loads one (arch/x86/kernel/kexec-bzimage64.c, `bzImage64_probe` and `bzImage64_load`). Pure.

use anyhow::{Context, Result, ensure};

use super::{FETCH_AGAIN, NotAKernel, WANTED, field, u16_at, u32_at};

/// What loading needs to know.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::handover) struct Header {
    /// Bytes of the command line, without the closing NUL.
    pub(in crate::handover) cmdline_max: usize,
    /// Bytes it takes in memory before it knows of any other: itself, unpacked, with room to work (`init_size`).
    pub(in crate::handover) memory: u64,
    /// What it does before it speaks, as bytes that could be hashed meanwhile.
    pub(in crate::handover) work: u64,
}

/// Places in the file; the offsets of the document.
const SETUP_SECTS: usize = 0x1f1;
const SYSSIZE: usize = 0x1f4;
const BOOT_FLAG: usize = 0x1fe;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const KERNEL_VERSION: usize = 0x20e;
const LOADFLAGS: usize = 0x211;
const XLOADFLAGS: usize = 0x236;
const CMDLINE_SIZE: usize = 0x238;
const PAYLOAD_OFFSET: usize = 0x248;
const INIT_SIZE: usize = 0x260;

const LOADED_HIGH: u8 = 1;
const XLF_KERNEL_64: u16 = 1;
const XLF_CAN_BE_LOADED_ABOVE_4G: u16 = 2;

/// The first protocol with `xloadflags`, of Linux 3.8.
const PROTOCOL: u16 = 0x020c;

/// The kernel keeps room for `elfcorehdr=0x… ` on every command line, not only before a crash kernel, and counts the
/// closing NUL (`MAX_ELFCOREHDR_STR_LEN`).
const CMDLINE_TAKEN: usize = 30 + 1;

/// How kernels are packed inside, and what unpacking costs in percent of hashing the memory they take. Measured in an
/// emulated machine with Debian 12's kernels, LZ4 (cloud) and XZ (generic); the others by what they take beside these.
/// On hardware it is less.
const PACKED: &[(&[u8], u64)] = &[
    (b"\xfd7zXZ\0", 250),
    (b"\x5d\0\0", 250),
    (b"BZh", 250),
    (b"\x1f\x8b", 100),
    (b"\x28\xb5\x2f\xfd", 80),
    (b"\x02\x21\x4c\x18", 60),
    (b"\x89LZO", 60),
];

const NOT_LINUX: &str = "programs that only look like Linux (memtest86+ is one) cannot be started by kexec: \
                         let the firmware or iPXE start them";

/// Whether these are the first bytes of a kernel image for x86.
pub(super) fn is(head: &[u8]) -> bool {
    head.get(MAGIC..VERSION) == Some(b"HdrS")
}

/// Whether the kernel would take an image that begins with `head` and is `bytes` long, and with what command line.
pub(super) fn header(head: &[u8], bytes: u64) -> Result<Header, NotAKernel> {
    let cut =
        || NotAKernel::new(format!("a kernel that ends in its header, after {bytes} bytes"), FETCH_AGAIN);
    let [setup_sects] = field(head, SETUP_SECTS).ok_or_else(cut)?;
    let syssize = u32_at(head, SYSSIZE).ok_or_else(cut)?;
    let version = u16_at(head, VERSION).ok_or_else(cut)?;
    let [loadflags] = field(head, LOADFLAGS).ok_or_else(cut)?;
    let xloadflags = u16_at(head, XLOADFLAGS).ok_or_else(cut)?;
    let cmdline_size = u32_at(head, CMDLINE_SIZE).ok_or_else(cut)?;
    let memory = u32_at(head, INIT_SIZE).ok_or_else(cut)?.into();
    let payload = u32_at(head, PAYLOAD_OFFSET).ok_or_else(cut)?;
    if u16_at(head, BOOT_FLAG) != Some(0xaa55) || loadflags & LOADED_HIGH == 0 {
        return Err(NotAKernel::new("a zImage, or something with half a kernel's header", WANTED));
    }
    if version < PROTOCOL {
        let (major, minor) = (version >> 8, version & 0xff);
        let what = format!("a kernel of boot protocol {major}.{minor:02}; 2.12 (Linux 3.8) is the least");
        return Err(NotAKernel::new(what, WANTED));
    }
    if xloadflags & XLF_KERNEL_64 == 0 {
        return Err(NotAKernel::new("a 32-bit kernel, and this machine's is 64-bit", WANTED));
    }
    if xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G == 0 {
        return Err(NotAKernel::new(
            "made to run below 4 GiB only, where kexec cannot promise a place",
            NOT_LINUX,
        ));
    }
    whole(bytes, setup_sects, syssize)?;
    let cmdline_max = (cmdline_size as usize).saturating_sub(CMDLINE_TAKEN);
    let work = memory + memory * unpacking(head, real_mode(setup_sects) + u64::from(payload)) / 100;
    Ok(Header { cmdline_max, memory, work })
}

/// The bytes before the protected-mode part: a boot sector and its setup sectors, 4 where none is said.
fn real_mode(setup_sects: u8) -> u64 {
    let setup = if setup_sects == 0 { 4 } else { u64::from(setup_sects) };
    (setup + 1) * 512
}

/// The length of the protected-mode part is counted in 16 bytes, and may end within the last of them. A signature may
/// follow.
fn whole(bytes: u64, setup_sects: u8, syssize: u32) -> Result<(), NotAKernel> {
    let said = real_mode(setup_sects) + u64::from(syssize) * 16;
    if bytes + 15 < said {
        return Err(NotAKernel::new(format!("a kernel cut short: {bytes} of {said} bytes"), FETCH_AGAIN));
    }
    Ok(())
}

/// The percentage of [`PACKED`] for what begins at `payload`; nothing for what is not packed.
fn unpacking(head: &[u8], payload: u64) -> u64 {
    let packed = usize::try_from(payload).ok().and_then(|at| head.get(at..)).unwrap_or_default();
    PACKED.iter().find(|(magic, _)| packed.starts_with(magic)).map_or(0, |(_, percent)| *percent)
}

/// The release a kernel image says it is: the first word of its version text, whose place is in the header
/// (`kernel_version`, since protocol 2.00).
///
/// # Errors
/// Not a bzImage, or one without a version text.
pub fn release(image: &[u8]) -> Result<String> {
    ensure!(is(image), "not a Linux kernel image for x86 (bzImage)");
    let place = usize::from(u16_at(image, KERNEL_VERSION).context("the file ends in its header")?);
    ensure!(place != 0, "this kernel image does not say its version");
    let text = image.get(place + 0x200..).context("the version text lies outside of the image")?;
    let end = text.iter().position(|b| b" \0".contains(b)).context("the version text does not end")?;
    String::from_utf8(text[..end].to_vec()).context("reading the version text")
}
