//! RAID arrays of the kernel's own: mdadm(8) to assemble them.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::assemble::remember;
use super::{AssembleError, Assembly, Volume, tool};

const MDADM: &str = "mdadm";

/// An array that lacks disks is started after this: they may still be on their way, and a disk that was left out has to
/// be synchronised anew.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What mdadm is told to assemble (mdadm.conf(5)).
const CONFIG: &str = "/run/bootjack/mdadm.conf";

/// Assembles the arrays that the command line names, or all there are if one is wanted; with `degraded` those that lack
/// disks, too.
pub(super) fn assemble(
    assembly: &Assembly,
    wanted: &Volume,
    degraded: bool,
    on: &dyn Fn() -> ControlFlow<()>,
) -> Result<(), AssembleError> {
    let meant =
        matches!(wanted, Volume::Device(path) if path.to_str().is_some_and(|p| p.starts_with("/dev/md")));
    if assembly.without_md || (assembly.md.is_empty() && !meant) {
        return Ok(());
    }
    let Some(program) = tool::find(MDADM) else { return Ok(()) };
    let failed = |e: &dyn std::fmt::Display| AssembleError::new(MDADM, "assembling arrays", e);
    let config = config(&assembly.md).map_err(|e| failed(&e))?;
    fs::create_dir_all("/run/mdadm").map_err(|e| failed(&e))?;
    fs::write(CONFIG, config).map_err(|e| failed(&e))?;
    let before = running();
    let how = if degraded { "--run" } else { "--no-degraded" };
    let args = ["--assemble", "--scan", "--config", CONFIG, how];
    let Some(done) = tool::run(&program, &args, b"", on).map_err(|e| failed(&e))? else { return Ok(()) };
    for array in running().into_iter().filter(|array| !before.contains(array)) {
        remember(&[MDADM, "--stop", &format!("/dev/{array}")]);
    }
    // Status 1: some arrays could not be started, or there is nothing to do (mdadm(8)); 2 is none at all.
    if done.status.success() || !degraded || done.words.is_empty() || done.words.contains("No arrays found") {
        return Ok(());
    }
    Err(failed(&done.words))
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

/// Names of arrays that can be read.
fn running() -> Vec<String> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let active = |name: &String| {
        let state = Path::new("/sys/block").join(name).join("md/array_state");
        fs::read_to_string(state).is_ok_and(|state| !["clear", "inactive"].contains(&state.trim()))
    };
    names.filter(active).collect()
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
