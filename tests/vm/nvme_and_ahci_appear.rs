//! Disks behind NVMe and AHCI are there when the shell is.

use crate::lab::{Initrd, Kernel, catalog};
use crate::machine::{Options, Vm};

#[test]
fn nvme_and_ahci_disks_appear() {
    let disks = tempfile::tempdir().unwrap();
    let drive = |id: &str| {
        let path = disks.path().join(id);
        std::fs::File::create(&path).unwrap().set_len(16 << 20).unwrap();
        format!("id={id},if=none,format=raw,file={}", path.display())
    };
    let (nvme, ahci) = (drive("d0"), drive("d1"));
    let initrd = Initrd::with_catalog(Kernel::Generic, &catalog(&[]), &["--drivers", "storage"]);
    let devices =
        ["-drive", &nvme, "-device", "nvme,drive=d0,serial=one", "-drive", &ahci, "-device", "ahci,id=a"];
    let devices = [&devices[..], &["-device", "ide-hd,bus=a.0,drive=d1"]].concat();
    let options = Options {
        kernel: Kernel::Generic,
        initrd: &initrd.path(),
        memory: 768,
        devices: &devices,
        ..Options::default()
    };
    let mut vm = Vm::boot(&options);
    vm.expect("Entry poweroff");
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("until [ -b /dev/nvme0n1 -a -b /dev/sda ]; do sleep 1; done; echo both the''re\r");
    vm.expect("both there");
}
