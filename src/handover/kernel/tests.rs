//! Kernels as far as their headers go, wrapped and damaged in every way that was thought of.

use super::*;
use std::io::{Read, Seek, SeekFrom, Write};

/// A file in memory, left standing at its end as a fetch leaves it.
fn file(bytes: &[u8]) -> File {
    let mut file = memory("test").unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A kernel of two setup sectors and 64 KiB, as far as its header is looked at.
fn bzimage() -> Vec<u8> {
    let mut image = vec![0; 3 * 512 + 0x1_0000];
    put(&mut image, 0x1f1, &[2]);
    put(&mut image, 0x1f4, &0x1000_u32.to_le_bytes());
    put(&mut image, 0x1fe, b"\x55\xaa");
    put(&mut image, 0x202, b"HdrS");
    put(&mut image, 0x206, &0x020f_u16.to_le_bytes());
    put(&mut image, 0x20e, &0x100_u16.to_le_bytes());
    put(&mut image, 0x211, &[1]);
    put(&mut image, 0x236, &0x7f_u16.to_le_bytes());
    put(&mut image, 0x238, &2047_u32.to_le_bytes());
    put(&mut image, 0x260, &0x0200_0000_u32.to_le_bytes());
    put(&mut image, 0x300, b"6.1.0-9-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP\0");
    image
}

/// A PE file with these sections: name, bytes stored, how many of them are mapped.
fn pe(machine: u16, sections: &[(&[u8; 8], &[u8], usize)]) -> Vec<u8> {
    let mut image = vec![0; 0x400];
    put(&mut image, 0, b"MZ");
    put(&mut image, 0x3c, &0x80_u32.to_le_bytes());
    put(&mut image, 0x80, b"PE\0\0");
    put(&mut image, 0x84, &machine.to_le_bytes());
    put(&mut image, 0x86, &(sections.len() as u16).to_le_bytes());
    put(&mut image, 0x94, &0xf0_u16.to_le_bytes());
    for (n, (name, stored, mapped)) in sections.iter().enumerate() {
        let header = 0x80 + 24 + 0xf0 + n * 40;
        let at = image.len() as u32;
        put(&mut image, header, &name[..]);
        put(&mut image, header + 8, &(*mapped as u32).to_le_bytes());
        put(&mut image, header + 16, &(stored.len() as u32).to_le_bytes());
        put(&mut image, header + 20, &at.to_le_bytes());
        image.extend_from_slice(stored);
    }
    image
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}

fn content(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn open(bytes: &[u8]) -> Kernel {
    Kernel::open(file(bytes)).unwrap()
}

#[track_caller]
fn refused(bytes: &[u8], part: &str) {
    let refusal = Kernel::open(file(bytes)).unwrap_err();
    assert!(refusal.to_string().contains(part), "{refusal}");
    assert!(!refusal.hint.is_empty());
}

#[test]
fn a_kernel_is_taken_as_it_is_with_what_its_header_says() {
    let image = bzimage();
    let given = file(&image);
    let inode = |file: &File| rustix::fs::fstat(file).unwrap().st_ino;
    let before = inode(&given);
    let kernel = Kernel::open(given).unwrap();
    assert_eq!(inode(&kernel.file), before, "the file itself, no copy");
    assert_eq!(kernel.bytes, image.len() as u64);
    assert_eq!(kernel.release.as_deref(), Some("6.1.0-9-cloud-amd64"));
    assert_eq!(kernel.cmdline_max, 2016);
    assert_eq!(kernel.memory, 32 << 20);
    assert!(kernel.initrd.is_none() && kernel.cmdline.is_none() && kernel.wrapped.is_empty());
}

#[test]
fn a_kernel_says_its_release() {
    let mut image = bzimage();
    assert_eq!(release(&image).unwrap(), "6.1.0-9-cloud-amd64");
    put(&mut image, 0x20e, &[0, 0]);
    assert!(release(&image).is_err());
    assert_eq!(open(&image).release, None, "a kernel that does not say it is still one");
    assert!(release(b"MZ").is_err());
}

#[test]
fn what_a_kernel_is_packed_with_inside_says_how_long_it_is_silent() {
    let with = |magic: &[u8]| {
        let mut image = bzimage();
        put(&mut image, 0x248, &700_u32.to_le_bytes());
        put(&mut image, 3 * 512 + 700, magic);
        open(&image).work >> 20
    };
    assert_eq!(with(b"unpacked"), 32);
    assert_eq!(with(b"\x02\x21\x4c\x18"), 51);
    assert_eq!(with(b"\xfd7zXZ\0"), 112);
}

#[test]
fn a_packed_kernel_is_unpacked_whatever_it_is_packed_with() {
    let image = bzimage();
    for (packed, names) in [
        (gzip(&image), &["gzip"][..]),
        (zstd(&image), &["zstd"]),
        (gzip(&zstd(&gzip(&image))), &["gzip", "zstd", "gzip"]),
    ] {
        let kernel = open(&packed);
        assert_eq!(content(&kernel.file), image);
        assert_eq!(kernel.bytes, image.len() as u64);
        assert_eq!(kernel.wrapped, names);
    }
    refused(&gzip(&gzip(&gzip(&gzip(&image)))), "gzip around gzip around gzip around something");
}

#[test]
fn what_does_not_unpack_to_its_end_or_to_too_much_is_refused() {
    let (packed, also) = (gzip(&bzimage()), zstd(&bzimage()));
    refused(&packed[..packed.len() / 2], "damaged gzip");
    refused(&also[..also.len() / 2], "damaged zstd");
    for (bytes, packing) in
        [(gzip(&vec![0; 3 << 20]), Packing::Gzip), (zstd(&vec![0; 3 << 20]), Packing::Zstd)]
    {
        let refusal = packing.unpack_at_most(&file(&bytes), (3 << 20) - 1).unwrap_err();
        assert!(refusal.what.ends_with("of more than 2 MiB"), "{refusal}");
        assert!(packing.unpack_at_most(&file(&bytes), 3 << 20).is_ok());
    }
}

#[test]
fn a_unified_kernel_image_gives_kernel_initrd_and_command_line() {
    let image = bzimage();
    let mut padded = image.clone();
    padded.resize(image.len().next_multiple_of(512) + 512, 0xff);
    let uki = pe(
        0x8664,
        &[
            (b".text\0\0\0", b"code", 4),
            (b".cmdline", b"root=tmpfs quiet\0\0\0\0", 20),
            (b".initrd\0", b"initrd", 100),
            (b".ucode\0\0", b"micro", 5),
            (b".linux\0\0", &padded, image.len()),
            (b".profile", b"ID=other", 8),
            (b".cmdline", b"other", 5),
        ],
    );
    let kernel = open(&zstd(&uki));
    assert_eq!(content(&kernel.file), image, "without the padding");
    assert_eq!(kernel.release.as_deref(), Some("6.1.0-9-cloud-amd64"));
    assert_eq!(kernel.cmdline.as_deref(), Some("root=tmpfs quiet"));
    assert_eq!(content(&kernel.initrd.unwrap()), b"micro\0\0\0initrd\0\0");
    assert_eq!(kernel.wrapped, ["zstd", "UKI"]);
    let bare = open(&pe(0x8664, &[(b".linux\0\0", &gzip(&image), usize::MAX)]));
    assert!(bare.initrd.is_none() && bare.cmdline.is_none());
    assert_eq!(bare.wrapped, ["UKI", "gzip"]);
}

#[test]
fn a_unified_kernel_image_that_is_damaged_or_not_ours_is_refused() {
    let uki = |machine| pe(machine, &[(b".linux\0\0", &bzimage(), usize::MAX)]);
    refused(&uki(0xaa64), "a unified kernel image for another machine (PE machine 0xaa64)");
    let whole = uki(0x8664);
    refused(&whole[..whole.len() - 1], "cut short: 68095 bytes, a section ends at 68096");
    // Wherever it ends, and whatever the table says, there is an answer and no panic.
    for length in (0..0x400).chain([0x400 + 0x202, 0x400 + 0x210]) {
        Kernel::open(file(&whole[..length])).unwrap_err();
    }
    for at in [0x3c, 0x84, 0x94, 0x80 + 24 + 0xf0 + 16, 0x80 + 24 + 0xf0 + 20] {
        let mut wild = whole.clone();
        put(&mut wild, at, &[0xff; 4]);
        Kernel::open(file(&wild)).unwrap_err();
    }
}

#[test]
fn a_kernel_that_kexec_would_refuse_is_refused_before() {
    let changed = |at: usize, bytes: &[u8]| {
        let mut image = bzimage();
        put(&mut image, at, bytes);
        image
    };
    refused(&changed(0x206, &0x0206_u16.to_le_bytes()), "boot protocol 2.06; 2.12 (Linux 3.8) is the least");
    refused(&changed(0x236, &[0x7e]), "a 32-bit kernel");
    refused(&changed(0x236, &[0x09]), "below 4 GiB only");
    refused(&changed(0x211, &[0]), "a zImage");
    refused(&changed(0x1fe, &[0]), "half a kernel's header");
}

#[test]
fn a_kernel_that_is_not_whole_is_refused_with_both_numbers() {
    let image = bzimage();
    refused(&image[..image.len() - 16], "a kernel cut short: 67056 of 67072 bytes");
    refused(&image[..0x220], "ends in its header, after 544 bytes");
    // Its length is counted in 16 bytes, and the last of them need not be there; what follows is a signature.
    assert_eq!(open(&image[..image.len() - 15]).bytes, 67057);
    assert_eq!(open(&[&image[..], b"signature"].concat()).bytes, 67081);
}

#[test]
fn what_is_no_kernel_for_this_machine_is_called_by_its_name() {
    let with = |at: usize, magic: &[u8]| {
        let mut bytes = vec![0; 0x9000];
        put(&mut bytes, at, magic);
        bytes
    };
    refused(&[], "the file is empty");
    refused(&with(56, b"ARM\x64"), "a kernel for arm64 (Image)");
    refused(&gzip(&with(56, b"ARM\x64")), "a kernel for arm64 (Image)");
    refused(&with(56, b"RSC\x05"), "a kernel for riscv (Image)");
    let mut zboot = pe(0xaa64, &[(b".text\0\0\0", b"", 0)]);
    put(&mut zboot, 4, b"zimg");
    refused(&zboot, "a kernel for arm64 (EFI zboot)");
    refused(&pe(0x8664, &[(b".text\0\0\0", b"", 0)]), "an EFI program for x86-64 without a kernel in it");
    let elf = |machine: u8| [&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0"[..], &[machine, 0]].concat();
    refused(&elf(62), "an ELF file (vmlinux, or a program)");
    refused(&elf(183), "an ELF file for another machine (arm64)");
    refused(&elf(9), "an ELF file for another machine (machine 0x9)");
    refused(&with(0, b"\xfd7zXZ\0"), "compressed with xz");
    refused(&with(0, b"070701"), "a cpio archive, as initrds are");
    refused(&with(257, b"ustar"), "a tar archive");
    refused(&with(0x8001, b"CD001"), "an ISO image");
    refused(b"\x00\x01\x02", "of no kind known here: 3 bytes, begins with 00 01 02");
}

#[test]
fn a_page_of_the_server_is_shown_with_its_first_line() {
    refused(
        b"\r\n<html><head><title>404 Not Found</title>\n",
        "begins with \"<html><head><title>404 Not Found</title>\"",
    );
    refused("Ni\u{f1}o no est\u{e1}".as_bytes(), "looks like text: begins with \"Ni\u{f1}o");
    let long = "x".repeat(5000);
    refused(long.as_bytes(), &format!("begins with \"{}\"", "x".repeat(60)));
}
