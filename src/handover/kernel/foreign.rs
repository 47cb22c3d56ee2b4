//! What a file is that is no kernel for x86: the usual mistakes by name, so that a person sees which file was taken
//! for which. Pure.

use super::uki::section_table;
use super::{FETCH_AGAIN, NotAKernel, WANTED, u16_at};

const REPACK: &str = "serve the bzImage itself, or packed with gzip or zstd";
const LOCATION: &str = "the server answered with a page in place of the file: look at the kernel's location";
const OTHER_MACHINE: &str = "this machine is x86-64: choose the kernel made for it";
const INITRD: &str = "this belongs under \"initrd\"";

/// Kinds known by some bytes at some place: of kernels, their own documents; of the rest, file(1)'s table.
const KNOWN: &[(usize, &[u8], &str, &str)] = &[
    (56, b"ARM\x64", "a kernel for arm64 (Image)", OTHER_MACHINE),
    (56, b"RSC\x05", "a kernel for riscv (Image)", OTHER_MACHINE),
    (0x24, b"\x18\x28\x6f\x01", "a kernel for 32-bit arm (zImage)", OTHER_MACHINE),
    (0, b"\x27\x05\x19\x56", "an image for U-Boot (uImage)", WANTED),
    (0, b"\xfd7zXZ\0", "compressed with xz", REPACK),
    (0, b"BZh", "compressed with bzip2", REPACK),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", REPACK),
    (0, b"\x02\x21\x4c\x18", "compressed with lz4", REPACK),
    (0, b"\x89LZO", "compressed with lzop", REPACK),
    (0, b"\x5d\0\0", "compressed with lzma", REPACK),
    (0, b"070701", "a cpio archive, as initrds are", INITRD),
    (0, b"070702", "a cpio archive, as initrds are", INITRD),
    (257, b"ustar", "a tar archive", WANTED),
    (0x8001, b"CD001", "an ISO image", "take the kernel out of it"),
];

/// Machines of elf(5) and of PE that a kernel is likely to be for.
const ELF_MACHINES: &[(u16, &str)] = &[
    (3, "x86, 32-bit"),
    (40, "arm"),
    (183, "arm64"),
    (243, "riscv"),
    (21, "ppc64"),
    (22, "s390"),
    (258, "loongarch"),
];
const PE_MACHINES: &[(u16, &str)] = &[
    (0x014c, "x86, 32-bit"),
    (0x01c2, "arm"),
    (0xaa64, "arm64"),
    (0x5064, "riscv"),
    (0x6264, "loongarch"),
    (0x8664, "x86-64"),
];

/// How much of a file is looked at to call it text, and how much of its first line is shown.
const SAMPLE: usize = 256;
const SHOWN: usize = 60;

/// What a file that is no bzImage, no UKI and not packed is instead.
pub(super) fn refusal(head: &[u8], bytes: u64) -> NotAKernel {
    if bytes == 0 {
        return NotAKernel::new("the file is empty", FETCH_AGAIN);
    }
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if let Some((_, _, what, hint)) = KNOWN.iter().find(|(at, magic, ..)| has(*at, magic)) {
        return NotAKernel::new(*what, hint);
    }
    if has(0, b"\x7fELF") {
        return elf(head);
    }
    if has(0, b"MZ") {
        return efi(head, has(4, b"zimg"));
    }
    if let Some(line) = first_line(head) {
        return NotAKernel::new(format!("this looks like text: begins with \"{line}\""), LOCATION);
    }
    let begin: Vec<String> = head.iter().take(16).map(|b| format!("{b:02x}")).collect();
    let what = format!("of no kind known here: {bytes} bytes, begins with {}", begin.join(" "));
    NotAKernel::new(what, WANTED)
}

fn elf(head: &[u8]) -> NotAKernel {
    match u16_at(head, 18) {
        Some(62) => NotAKernel::new("an ELF file (vmlinux, or a program)", WANTED),
        Some(other) => {
            let what = format!("an ELF file for another machine ({})", machine(ELF_MACHINES, other));
            NotAKernel::new(what, OTHER_MACHINE)
        }
        None => NotAKernel::new("an ELF file that ends in its header", FETCH_AGAIN),
    }
}

/// An EFI program: a kernel that unpacks itself (drivers/firmware/efi/libstub/zboot-header.S; x86 has none), or no
/// kernel at all.
fn efi(head: &[u8], zboot: bool) -> NotAKernel {
    let name = section_table(head).map_or("an unknown machine".into(), |(m, _)| machine(PE_MACHINES, m));
    if zboot {
        return NotAKernel::new(format!("a kernel for {name} (EFI zboot)"), OTHER_MACHINE);
    }
    NotAKernel::new(format!("an EFI program for {name} without a kernel in it (no .linux section)"), WANTED)
}

fn machine(known: &[(u16, &str)], number: u16) -> String {
    let name = known.iter().find(|(n, _)| *n == number).map(|(_, name)| (*name).to_owned());
    name.unwrap_or_else(|| format!("machine {number:#x}"))
}

/// The beginning of the first line that says something, if this is text in whatever encoding.
fn first_line(head: &[u8]) -> Option<String> {
    let sample = &head[..head.len().min(SAMPLE)];
    if sample.iter().any(|b| b.is_ascii_control() && !b"\t\r\n\x0c".contains(b)) {
        return None;
    }
    let text = String::from_utf8_lossy(sample);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Some(line.chars().filter(|c| !c.is_control()).take(SHOWN).collect())
}
