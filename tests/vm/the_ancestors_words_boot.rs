//! The command lines of ramroot and dracut-container-root boot as they stand; one with wrong words ends on a screen that
//! says which word, why, and how it is written right.

use std::process::{Command, Stdio};

use crate::lab::{Initrd, Kernel, Root, made};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};

/// The busybox root as ramroot has its images: tar.xz.
fn xz() -> Vec<u8> {
    let tar = Command::new("zstd").arg("-dc").arg(made("lab/busybox.tar.zst")).stdout(Stdio::piped()).spawn();
    let mut tar = tar.expect("zstd runs");
    let from = tar.stdout.take().expect("a pipe");
    let packed = Command::new("xz").arg("-1c").stdin(from).output().expect("xz runs");
    assert!(tar.wait().expect("zstd ends").success() && packed.status.success());
    packed.stdout
}

#[test]
fn ramroot_finds_its_image_in_the_initrd() {
    let image = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(image.path(), xz()).expect("writing the image");
    let include = format!("{}=/ramroot.xz", image.path().display());
    let initrd = Initrd::new(Kernel::Cloud, &["--include", &include]);
    let append = "boot=ramdisk quiet single BOOTIF=01-52-54-00-12-34-56 nomodeset nopcid";
    // No network: what came with the initrd is all there is.
    let options = Options { net: &["-nic", "none"], append, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), ..options });
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(vm.fact("marker"), "the root that was packed");
    assert_eq!(vm.fact("args"), "single", "as the kernel hands its words to /init");
    assert!(vm.fact("root").contains("tmpfs rw"), "{}", vm.fact("root"));
}

#[test]
fn dracut_container_root_fetches_its_url() {
    let (server, root) = (Server::new(), Root::busybox());
    let url = server.put("r.tar.zst", &[Answer::Good(root.bytes.clone())]);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let append = format!(
        "root=/dev/sda1 rd.container.rootfs={url} rd.tmpfs.size=100m ip=dhcp rd.neednet=1 rd.shell=1 \
         init=/sbin/init -x console=ttyS0 rd.retry=5 y=z"
    );
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &append, ..Options::default() });
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").contains("size=102400k"), "{}", vm.fact("root"));
    assert_eq!(vm.fact("args"), "-x y=z");
    assert_eq!(server.asked(), ["/r.tar.zst"]);
}

#[test]
fn wrong_words_say_what_is_right() {
    let initrd = Initrd::new(Kernel::Cloud, &[]);
    let rows = [
        (
            "root=tmpfs:LABEL=images rd.tmpfs.imgfile=../x",
            "rd.tmpfs.imgfile=../x: leaves the volume",
            "such as rd.tmpfs.imgfile=images/root.tar.zst",
        ),
        (
            "rootfs=os root=tmpfs:http://10.0.2.2/r",
            "rootfs=os: asks for another root than root=tmpfs:http://10.0.2.2/r",
            "only one of them, such as root=tmpfs:http://10.0.2.2/r",
        ),
    ];
    for (words, message, hint) in rows {
        let append = format!("{words} bootjack.retry_for=0s bootjack.on_failure=poweroff");
        let options =
            Options { net: &["-nic", "none"], append: &append, size: (40, 160), ..Options::default() };
        let mut vm = Vm::boot(&Options { initrd: &initrd.path(), ..options });
        vm.expect(message);
        vm.expect(hint);
        vm.expect("Powering off in");
        vm.wait_exit();
        assert!(vm.log().contains("reboot: Power down"), "{words}");
    }
}
