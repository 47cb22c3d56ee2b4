//! Asks UEFI for the boot entry after the one this machine came up with (UEFI specification, section 3.3: BootCurrent,
//! BootOrder, BootNext). Restarting is the caller's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::mount::{MountFlags, mount};

const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// EFI_GLOBAL_VARIABLE.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS, as the specification wants it for BootNext.
const ATTRIBUTES: u32 = 7;

/// Sets BootNext to the entry that follows the current one in the boot order.
///
/// # Errors
/// If the firmware has no such variables, refuses the write, or has no other entry.
pub fn choose_next_entry() -> anyhow::Result<()> {
    if !variable("BootOrder").exists() {
        mount("efivarfs", EFIVARS, "efivarfs", MountFlags::NOSUID | MountFlags::NODEV, None)
            .with_context(|| format!("mounting efivarfs on {EFIVARS}"))?;
    }
    let current = read("BootCurrent")?.first().copied();
    let order = read("BootOrder")?;
    let Some(next) = next_after(&order, current) else {
        bail!("the boot order {order:04X?} has no entry beside the current one ({current:04X?})");
    };
    let mut value = ATTRIBUTES.to_le_bytes().to_vec();
    value.extend(next.to_le_bytes());
    fs::write(variable("BootNext"), value).with_context(|| format!("setting BootNext to Boot{next:04X}"))?;
    log::info!("BootNext is Boot{next:04X}");
    Ok(())
}

fn variable(name: &str) -> PathBuf {
    Path::new(EFIVARS).join(format!("{name}-{GLOBAL}"))
}

/// The 16-bit values of a variable; the first four bytes of the file are its attributes.
fn read(name: &str) -> anyhow::Result<Vec<u16>> {
    let bytes = fs::read(variable(name)).with_context(|| format!("reading the firmware's {name}"))?;
    let values = bytes.get(4..).unwrap_or_default().chunks_exact(2);
    Ok(values.map(|b| u16::from_le_bytes([b[0], b[1]])).collect())
}

fn next_after(order: &[u16], current: Option<u16>) -> Option<u16> {
    let after = order.iter().position(|&entry| Some(entry) == current).map_or(0, |at| at + 1);
    order[after..].iter().chain(&order[..after]).copied().find(|&entry| Some(entry) != current)
}

#[cfg(test)]
mod tests {
    use super::next_after;

    #[test]
    fn the_entry_after_the_current_one_is_next_and_the_order_is_a_ring() {
        assert_eq!(next_after(&[3, 1, 2], Some(3)), Some(1));
        assert_eq!(next_after(&[3, 1, 2], Some(2)), Some(3));
        assert_eq!(next_after(&[3, 1], Some(9)), Some(3));
        assert_eq!(next_after(&[3, 1], None), Some(3));
        assert_eq!(next_after(&[3], Some(3)), None);
        assert_eq!(next_after(&[], Some(3)), None);
    }
}
