//! What a file is, told from its bytes before it goes into an initrd: a program that needs nothing else,
//! microcode and its vendor. Pure; reading files is `initrd`'s, kernels are `handover`'s.

use anyhow::{Result, bail, ensure};

use super::elf::Elf;

/// Refuses a program that an initrd cannot run: not x86-64 ELF, or in need of a dynamic loader.
///
/// # Errors
/// Says what the file is instead.
pub fn static_program(bytes: &[u8]) -> Result<()> {
    let dynamic = Elf::parse(bytes)?.interpreter.is_some();
    ensure!(!dynamic, "dynamically linked: nothing in an initrd could load its libraries");
    Ok(())
}

/// Where the kernel looks for this microcode in the first, uncompressed archive
/// (Documentation/arch/x86/microcode.rst).
///
/// # Errors
/// Neither Intel's nor AMD's.
pub fn microcode_path(bytes: &[u8]) -> Result<&'static str> {
    match bytes.get(..4) {
        // UCODE_MAGIC of arch/x86/include/asm/microcode_amd.h.
        Some(b"DMA\0") => Ok("kernel/x86/microcode/AuthenticAMD.bin"),
        // Header version 1 of Intel's update format (Intel SDM volume 3, 9.11.1).
        Some([1, 0, 0, 0]) => Ok("kernel/x86/microcode/GenuineIntel.bin"),
        _ => bail!("neither Intel nor AMD microcode"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header with one program header of type `kind`: 1 to load something, 3 for the name of a loader.
    fn elf(kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..5].copy_from_slice(b"\x7fELF\x02");
        bytes[18] = 62;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    #[test]
    fn a_program_with_an_interpreter_is_refused() {
        assert!(static_program(&elf(1)).is_ok());
        let refusal = static_program(&elf(3)).unwrap_err().to_string();
        assert!(refusal.starts_with("dynamically linked"), "{refusal}");
    }

    #[test]
    fn what_is_no_program_is_refused_without_a_panic() {
        assert!(static_program(b"#!/bin/sh\n").is_err());
        let whole = elf(1);
        (0..whole.len()).for_each(|n| assert!(static_program(&whole[..n]).is_err() || n > 67, "{n} bytes"));
        let mut far = elf(1);
        far[32..40].fill(0xff);
        assert!(static_program(&far).is_err());
    }

    #[test]
    fn microcode_is_known_by_its_first_bytes() {
        assert!(microcode_path(b"DMA\0....").unwrap().ends_with("AuthenticAMD.bin"));
        assert!(microcode_path(b"\x01\0\0\0....").unwrap().ends_with("GenuineIntel.bin"));
        assert!(microcode_path(b"").is_err());
    }
}
