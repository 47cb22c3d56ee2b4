//! Logical volumes: which one a device name means, and lvm(8) to activate it.

use std::ops::ControlFlow;
use std::path::Path;

use super::assemble::remember;
use super::{AssembleError, Assembly, Volume, tool};

pub(super) const LVM: &str = "lvm";

/// Settings (lvm.conf(5)) where no udev makes device nodes nor knows devices: lvm does it itself, and checks.
pub const WITHOUT_UDEV: &str = "activation{udev_sync=0 udev_rules=0 verify_udev_operations=1} \
                                devices{use_devicesfile=0 obtain_device_list_from_udev=0}";

/// Folders below `/dev` that are no volume groups.
const FOLDERS: &[&str] =
    &["block", "bus", "char", "cciss", "disk", "input", "mapper", "md", "net", "pts", "shm"];

/// Activates what the command line names, and the volume that is wanted.
pub(super) fn activate(
    assembly: &Assembly,
    wanted: &Volume,
    on: &dyn Fn() -> ControlFlow<()>,
) -> Result<(), AssembleError> {
    let volumes = volumes(assembly, wanted);
    if volumes.is_empty() {
        return Ok(());
    }
    let Some(program) = tool::find(LVM) else { return Ok(()) };
    for (command, volume) in &volumes {
        if !is_plain(command, volume) {
            let why = "is no name of LVM's: write rd.lvm.lv=vg0/root or rd.lvm.vg=vg0";
            return Err(AssembleError::new(LVM, volume, why));
        }
        if node(volume).is_some_and(|node| Path::new(&node).exists()) {
            continue;
        }
        let config = if tool::has_udev() { "" } else { WITHOUT_UDEV };
        let read_only = format!("{config} {}", read_only(volume));
        let all = [command, "-ay", "--sysinit", "--config", &read_only, volume];
        let done = tool::run(&program, &all, b"", on).map_err(|e| AssembleError::new(LVM, volume, e))?;
        let Some(done) = done else { return Ok(()) };
        if done.status.success() {
            remember(&[LVM, command, "-an", "--config", config, volume]);
        } else if !is_to_come(&done.words) {
            return Err(AssembleError::new(LVM, &format!("activating {volume}"), done.words));
        }
    }
    Ok(())
}

/// Settings with which nothing is written, neither to the volume nor to what lvm knows of it (lvm.conf(5)).
fn read_only(volume: &str) -> String {
    let group = volume.split('/').next().unwrap_or(volume);
    format!("global/metadata_read_only=1 activation/read_only_volume_list=[\"{group}\"]")
}

/// What is to be activated, each with lvm's word for it.
pub(super) fn volumes(assembly: &Assembly, wanted: &Volume) -> Vec<(&'static str, String)> {
    if assembly.without_lvm {
        return Vec::new();
    }
    let meant = match wanted {
        Volume::Device(path) => logical_volume(path),
        _ => None,
    };
    let volumes = assembly.lvs.iter().cloned().chain(meant).map(|volume| ("lvchange", volume));
    volumes.chain(assembly.vgs.iter().map(|group| ("vgchange", group.clone()))).collect()
}

/// Whether lvm says no more than that a disk has not appeared yet.
fn is_to_come(words: &str) -> bool {
    ["not found", "Failed to find", "partial", "missing"].iter().any(|sign| words.contains(sign))
}

/// Names as lvm(8) allows them: nothing that it could take for an option.
fn is_plain(command: &str, volume: &str) -> bool {
    let name = |name: &str| {
        let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || "+_.-".contains(c));
        !name.is_empty() && !name.starts_with('-') && letters && name != "." && name != ".."
    };
    match volume.split_once('/') {
        Some((group, volume)) => command == "lvchange" && name(group) && name(volume),
        None => command == "vgchange" && name(volume),
    }
}

/// Where the device mapper shows `VG/LV`.
fn node(volume: &str) -> Option<String> {
    let (group, volume) = volume.split_once('/')?;
    Some(format!("/dev/mapper/{}-{}", group.replace('-', "--"), volume.replace('-', "--")))
}

/// `VG/LV` of a device that may be one: `/dev/VG/LV`, or `/dev/mapper/VG-LV` with `--` for each `-` of a name.
fn logical_volume(device: &Path) -> Option<String> {
    let name = device.to_str()?.strip_prefix("/dev/")?;
    if let Some(name) = name.strip_prefix("mapper/") {
        let marked = name.replace("--", "\0");
        let (group, volume) = marked.split_once('-')?;
        // Another hyphen: a hidden part of a volume, or no volume at all, such as luks-UUID.
        let whole = !group.is_empty() && !volume.is_empty() && !volume.contains('-');
        return whole.then(|| format!("{group}/{volume}").replace('\0', "-"));
    }
    let (group, volume) = name.split_once('/')?;
    let fits = !FOLDERS.contains(&group) && !volume.is_empty() && !volume.contains('/');
    fits.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_name_says_which_volume_of_which_group_it_is() {
        let of = |device: &str| logical_volume(Path::new(device));
        assert_eq!(of("/dev/mapper/vg0-images").as_deref(), Some("vg0/images"));
        assert_eq!(of("/dev/mapper/my--vg-a--b").as_deref(), Some("my-vg/a-b"));
        assert_eq!(of("/dev/vg0/images").as_deref(), Some("vg0/images"));
        for none in [
            "/dev/sda1",
            "/dev/mapper/control",
            "/dev/mapper/luks-0b0c-1d",
            "/dev/mapper/a-",
            "/dev/disk/by-id",
            "/dev/a/b/c",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(node("my-vg/a-b").as_deref(), Some("/dev/mapper/my--vg-a--b"));
    }

    #[test]
    fn nothing_that_lvm_could_take_for_an_option_is_a_name() {
        for bad in ["-an/x", "vg/-f", "--yes", "vg", "vg/", "/lv", "vg/a b", "vg/..", "a/b/c"] {
            assert!(!is_plain("lvchange", bad), "{bad}");
        }
        assert!(is_plain("lvchange", "my-vg/root.0") && is_plain("vgchange", "my-vg"));
        assert!(!is_plain("vgchange", "vg/lv") && !is_plain("vgchange", "-a"));
    }

    #[test]
    fn a_name_that_is_none_is_an_error_that_says_how_to_write_it() {
        let assembly = Assembly { lvs: vec!["vg0".into()], ..Assembly::default() };
        let wanted = Volume::parse("/dev/vda1").unwrap();
        match activate(&assembly, &wanted, &|| ControlFlow::Continue(())) {
            Err(e) => assert!(e.to_string().contains("vg0: is no name of LVM's: write rd.lvm.lv="), "{e}"),
            Ok(()) => assert!(tool::find(LVM).is_none()),
        }
    }
}
