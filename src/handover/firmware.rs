//! What UEFI firmware can be asked for before a restart: another boot entry, or its own set-up (UEFI specification, 3.3:
//! BootCurrent, BootOrder, BootNext, Boot####, OsIndications). Restarting is the caller's.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// EFI_GLOBAL_VARIABLE.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS, as the specification wants it for BootNext and OsIndications.
const ATTRIBUTES: u32 = 7;

/// EFI_OS_INDICATIONS_BOOT_TO_FW_UI: the firmware stops at its own screens.
const TO_SETUP: u64 = 1;

/// LOAD_OPTION_ACTIVE: the boot manager considers it.
const ACTIVE: u32 = 1;

/// What there is to be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// Whether it can stop at its own screens.
    pub setup: bool,
    /// Its boot entries, in the order it tries them.
    pub entries: Vec<BootEntry>,
}

/// A boot entry of the firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootEntry {
    pub number: u16,
    /// As the firmware calls it.
    pub name: String,
    /// Whether this machine came up with it.
    pub current: bool,
}

impl Firmware {
    /// What the firmware of this machine offers; entries that it does not consider are left out.
    ///
    /// # Errors
    /// It is not UEFI, or its variables cannot be read.
    pub fn look() -> anyhow::Result<Self> {
        mount_variables()?;
        let supported = fs::read(variable("OsIndicationsSupported")).unwrap_or_default();
        let current = words("BootCurrent").unwrap_or_default().first().copied();
        let entry = |number: u16| {
            let bytes = fs::read(variable(&format!("Boot{number:04X}"))).ok()?;
            Some(BootEntry { number, name: named(&bytes)?, current: Some(number) == current })
        };
        let entries = words("BootOrder").unwrap_or_default().into_iter().filter_map(entry).collect();
        Ok(Self { setup: number(&supported) & TO_SETUP != 0, entries })
    }
}

/// Sets BootNext to the entry that follows the current one in the boot order.
///
/// # Errors
/// If the firmware has no such variables, refuses the write, or has no other entry.
pub(super) fn choose_next_entry() -> anyhow::Result<()> {
    mount_variables()?;
    let current = words("BootCurrent")?.first().copied();
    let order = words("BootOrder")?;
    let Some(next) = next_after(&order, current) else {
        bail!("the boot order {order:04X?} has no entry beside the current one ({current:04X?})");
    };
    choose_entry(next)
}

/// Sets BootNext to this entry.
///
/// # Errors
/// If there is none with this number, or the firmware refuses the write.
pub(super) fn choose_entry(next: u16) -> anyhow::Result<()> {
    mount_variables()?;
    let name = format!("Boot{next:04X}");
    ensure!(variable(&name).exists(), "the firmware has no {name}");
    write("BootNext", &next.to_le_bytes()).with_context(|| format!("setting BootNext to {name}"))?;
    log::info!("BootNext is {name}");
    Ok(())
}

/// Asks for the firmware's set-up at the next start; what else was asked for stays.
///
/// # Errors
/// If the firmware cannot, or refuses the write.
pub(super) fn choose_setup() -> anyhow::Result<()> {
    mount_variables()?;
    let supported =
        fs::read(variable("OsIndicationsSupported")).context("reading the firmware's abilities")?;
    ensure!(number(&supported) & TO_SETUP != 0, "the firmware cannot be asked for its set-up");
    let asked = number(&fs::read(variable("OsIndications")).unwrap_or_default());
    write("OsIndications", &(asked | TO_SETUP).to_le_bytes()).context("setting OsIndications")
}

/// Has the firmware's variables seen, if it has any.
///
/// # Errors
/// They cannot be mounted.
pub fn mount_variables() -> anyhow::Result<()> {
    if variable("BootOrder").exists() {
        return Ok(());
    }
    match mount("efivarfs", EFIVARS, "efivarfs", MountFlags::NOSUID | MountFlags::NODEV, None) {
        // It is there, and has no such variable.
        Err(Errno::BUSY) => Ok(()),
        other => other,
    }
    .with_context(|| format!("mounting efivarfs on {EFIVARS}"))
}

fn variable(name: &str) -> PathBuf {
    Path::new(EFIVARS).join(format!("{name}-{GLOBAL}"))
}

/// In one write, and without cutting first: each write(2) is a SetVariable (Documentation/filesystems/efivarfs.rst).
fn write(name: &str, value: &[u8]) -> std::io::Result<()> {
    let bytes = [&ATTRIBUTES.to_le_bytes(), value].concat();
    OpenOptions::new().write(true).create(true).truncate(false).open(variable(name))?.write_all(&bytes)
}

/// The 16-bit values of a variable; the first four bytes of the file are its attributes.
fn words(name: &str) -> anyhow::Result<Vec<u16>> {
    let bytes = fs::read(variable(name)).with_context(|| format!("reading the firmware's {name}"))?;
    Ok(utf16(bytes.get(4..).unwrap_or_default()).collect())
}

fn utf16(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]))
}

/// The 64-bit value of a variable; 0 if it has none.
fn number(bytes: &[u8]) -> u64 {
    bytes.get(4..12).and_then(|value| value.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The name of a boot entry (EFI_LOAD_OPTION: attributes, length of the device path, text up to a zero), if the boot manager
/// considers it. A name that nothing can be seen of is none.
fn named(bytes: &[u8]) -> Option<String> {
    let attributes = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    let text = utf16(bytes.get(10..)?).take_while(|&unit| unit != 0);
    let name: String = char::decode_utf16(text)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .take(NAME_SHOWN)
        .collect();
    (attributes & ACTIVE != 0 && !name.trim().is_empty()).then(|| name.trim().to_owned())
}

/// Letters of a name: it is of anybody who may write to the firmware.
const NAME_SHOWN: usize = 60;

fn next_after(order: &[u16], current: Option<u16>) -> Option<u16> {
    let after = order.iter().position(|&entry| Some(entry) == current).map_or(0, |at| at + 1);
    order[after..].iter().chain(&order[..after]).copied().find(|&entry| Some(entry) != current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_after_the_current_one_is_next_and_the_order_is_a_ring() {
        assert_eq!(next_after(&[3, 1, 2], Some(3)), Some(1));
        assert_eq!(next_after(&[3, 1, 2], Some(2)), Some(3));
        assert_eq!(next_after(&[3, 1], Some(9)), Some(3));
        assert_eq!(next_after(&[3, 1], None), Some(3));
        assert_eq!(next_after(&[3], Some(3)), None);
        assert_eq!(next_after(&[], Some(3)), None);
    }

    /// As OVMF writes Boot0001: attributes of the variable, of the entry, length of its path, name, path.
    fn entry(attributes: u32, name: &str) -> Vec<u8> {
        let mut bytes = [&7_u32.to_le_bytes()[..], &attributes.to_le_bytes(), &[0x1e, 0]].concat();
        bytes.extend(name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        bytes.extend([0x02, 0x01, 0x0c, 0x00, 0xd0, 0x41, 0x03, 0x0a, 0, 0, 0, 0, 0x7f, 0xff, 4, 0]);
        bytes
    }

    #[test]
    fn a_boot_entry_has_the_name_the_firmware_gives_it() {
        assert_eq!(named(&entry(1, "UEFI Misc Device")).as_deref(), Some("UEFI Misc Device"));
        assert_eq!(named(&entry(0, "UEFI Misc Device")), None, "the boot manager passes it over");
        assert_eq!(named(&entry(1, "")), None);
        // Nobody steers a terminal by a name.
        assert_eq!(named(&entry(1, "a\u{1b}[2Jb\u{202e}")).as_deref(), Some("a?[2Jb?"));
        let whole = entry(1, "ab");
        for end in 0..whole.len() {
            let _cut = named(&whole[..end]);
        }
    }

    #[test]
    fn numbers_of_variables_are_behind_their_attributes() {
        assert_eq!(number(&[6, 0, 0, 0, 0x45, 0, 0, 0, 0, 0, 0, 0]), 0x45);
        assert_eq!(number(&[6, 0, 0, 0, 1]), 0);
        assert_eq!(number(&[]), 0);
    }
}
