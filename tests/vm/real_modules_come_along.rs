//! `bootjack initrd --drivers` on the module trees of Debian's kernels, without a boot: soft dependencies come along, what
//! is built in is no error, `-` is `_`, and a name nobody knows is told with those near it.

use std::process::{Command, Output};

use crate::lab::{Kernel, bootjack};

fn built(kernel: Kernel, drivers: &str) -> (Output, Vec<String>) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut command = Command::new(bootjack());
    command.args(["initrd", "--compress", "none", "-o"]).arg(file.path());
    let made = command.arg("--modules").arg(kernel.modules()).args(["--drivers", drivers]).output();
    let listed = Command::new("cpio")
        .args(["-t", "--quiet", "-F"])
        .arg(file.path())
        .output()
        .expect("cpio is installed: lab/need.sh vm");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let modules = text.lines().filter(|line| line.ends_with(".ko"));
    let name = |line: &str| line.rsplit('/').next().unwrap_or_default().replace('-', "_");
    (made.expect("bootjack runs"), modules.map(name).collect())
}

#[test]
fn real_modules_come_along_with_what_they_need() {
    for kernel in [Kernel::Cloud, Kernel::Generic] {
        let (made, modules) = built(kernel, "virtiofs,btrfs,unix,crc32c-intel");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // The bus, a dependency, a soft dependency by its alias; unix is built in.
        for name in ["virtiofs.ko", "fuse.ko", "virtio_pci.ko", "virtio_mmio.ko", "blake2b_generic.ko"] {
            assert!(modules.iter().any(|module| module == name), "{name} is not in {modules:?}");
        }
        assert_eq!(modules.iter().filter(|module| *module == "crc32c_intel.ko").count(), 1, "{modules:?}");
        let (refused, _) = built(kernel, "virtio_fs");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            said.contains("has no module virtio_fs, and not built in either; near it is virtiofs"),
            "{said}"
        );
    }
}
