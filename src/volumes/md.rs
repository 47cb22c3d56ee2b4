//! RAID arrays of the kernel's own: mdadm(8) to assemble them.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::assemble::remember;
use super::device::Places;
use super::{AssembleError, Assembly, Device, Volume, tool};

pub(super) const MDADM: &str = "mdadm";

/// An array that lacks disks is started after this: they may still be on their way, and a disk that was left out has to
/// be synchronised anew.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What mdadm may assemble (mdadm.conf(5)).
const CONFIG: &str = "/run/bootjack/mdadm.conf";

/// Gives the parts of the arrays that the command line names, or of all if one is wanted, to the kernel, as udev does
/// it: an array starts with its last part. With `degraded` those that lack parts start, too.
pub(super) fn assemble(
    assembly: &Assembly,
    wanted: &Volume,
    degraded: bool,
    on: &dyn Fn() -> ControlFlow<()>,
) -> Result<(), AssembleError> {
    if !is_wanted(assembly, wanted) {
        return Ok(());
    }
    let Some(program) = tool::find(MDADM) else { return Ok(()) };
    let failed = |what: &str, e: &dyn std::fmt::Display| AssembleError::new(MDADM, what, e);
    let config = config(&assembly.md).map_err(|e| failed("which arrays", &e))?;
    fs::create_dir_all("/run/mdadm").map_err(|e| failed("/run/mdadm", &e))?;
    fs::write(CONFIG, config).map_err(|e| failed(CONFIG, &e))?;
    let before = arrays();
    let _unwritten = Unwritten::arrays();
    let mut calls: Vec<Vec<String>> = parts().into_iter().map(|part| vec![part]).collect();
    if degraded {
        calls.push(vec!["--run".into(), "--scan".into()]);
    }
    for call in calls {
        let mut args = vec!["--incremental", "--config", CONFIG];
        args.extend(call.iter().map(String::as_str));
        // A part of an array that is not named is refused; what is missing in the end is missed by whoever wants it.
        if tool::run(&program, &args, b"", on).map_err(|e| failed("starting it", &e))?.is_none() {
            break;
        }
    }
    for array in arrays().into_iter().filter(|array| !before.contains(array)) {
        remember(&[MDADM, "--stop", &format!("/dev/{array}")]);
    }
    Ok(())
}

/// Arrays that start now are not written to, neither their data nor what they know of their parts, until somebody else
/// writes (`start_ro` of drivers/md/md.c); those of the system that comes up start as ever.
struct Unwritten(Option<String>);

const START_RO: &str = "/sys/module/md_mod/parameters/start_ro";

impl Unwritten {
    fn arrays() -> Self {
        if !Path::new(START_RO).exists() {
            // mdadm would have the kernel load it, and the first array start at once: asked for as the kernel does.
            let go_on = || ControlFlow::Continue(());
            let asked = tool::find("modprobe").map(|it| tool::run(&it, &["-q", "--", "md_mod"], b"", &go_on));
            if let Some(Err(e)) = asked {
                log::warn!("modprobe md_mod: {e}");
            }
        }
        let before = fs::read_to_string(START_RO).ok();
        let set = before.as_ref().map(|_| fs::write(START_RO, "1"));
        match set {
            Some(Ok(())) => {}
            Some(Err(e)) => log::warn!("{START_RO}: {e}: arrays start writable"),
            None => log::warn!("{START_RO} is not there: arrays start writable"),
        }
        Self(before)
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        if let Some(Err(e)) = self.0.as_ref().map(|before| fs::write(START_RO, before)) {
            log::warn!("{START_RO}: {e}");
        }
    }
}

/// Whether an array is named, or is what is wanted.
pub(super) fn is_wanted(assembly: &Assembly, wanted: &Volume) -> bool {
    let array = |path: &Path| path.to_str().is_some_and(|path| path.starts_with("/dev/md"));
    let meant = matches!(wanted, Volume::Device(path) if array(path));
    !assembly.without_md && (meant || !assembly.md.is_empty())
}

/// Nodes of all parts of arrays that nobody uses.
fn parts() -> Vec<String> {
    let free = |device: &Device| {
        let holders = fs::read_dir(Path::new("/sys/class/block").join(&device.name).join("holders"));
        holders.is_ok_and(|mut holders| holders.next().is_none())
    };
    let is_part = |device: &Device| device.content.as_ref().is_some_and(|c| c.kind == "linux_raid_member");
    let parts = Places::real().all().into_iter().filter(|device| is_part(device) && free(device));
    parts.map(|device| device.path.display().to_string()).collect()
}

/// Devices by what is on them; arrays by UUID if some are named, and then no others.
fn config(arrays: &[String]) -> Result<String, String> {
    let mut text = "DEVICE partitions\nHOMEHOST <ignore>\n".to_owned();
    for uuid in arrays {
        let digits = uuid.chars().filter(char::is_ascii_hexdigit).count();
        if digits != 32 || uuid.chars().any(|c| !c.is_ascii_hexdigit() && !":-".contains(c)) {
            return Err(format!(
                "rd.md.uuid={uuid}: 32 hexadecimal digits are wanted, such as 0a1b2c3d:4e5f6071:8293a4b5:c6d7e8f9"
            ));
        }
        text += &format!("ARRAY UUID={}\n", uuid.replace('-', ":"));
    }
    Ok(text + if arrays.is_empty() { "AUTO +all\n" } else { "AUTO -all\n" })
}

/// Names of all arrays, those too that are not started.
fn arrays() -> Vec<String> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| Path::new("/sys/block").join(name).join("md").is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_arrays_that_are_named_are_told_to_mdadm() {
        let uuid = "0a1b2c3d:4e5f6071:8293a4b5:c6d7e8f9";
        let named = config(&[uuid.into()]).unwrap();
        assert!(named.contains(&format!("ARRAY UUID={uuid}\n")) && named.ends_with("AUTO -all\n"));
        assert!(config(&[]).unwrap().ends_with("AUTO +all\n"));
    }

    #[test]
    fn what_is_no_uuid_does_not_get_into_its_file() {
        for bad in ["", "x", "0a1b2c3d", "0a1b2c3d:4e5f6071:8293a4b5:c6d7e8f9\nPROGRAM /x"] {
            assert!(config(&[bad.into()]).unwrap_err().contains("32 hexadecimal digits"), "{bad:?}");
        }
    }
}
