//! The command lines of ramroot and dracut-container-root boot as they stand; one with wrong words ends on a screen that
//! says which word, why, and how it is written right.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::dhcp_appears_late::free_port;
use crate::lab::{Initrd, Kernel, Root, bootjack, made};
use crate::machine::{Options, Vm};
use crate::server::{Answer, Server};

/// The busybox root as ramroot has its images, tar.xz, with a place for what ifupdown brings up that is empty; its init
/// tells of that first.
fn image() -> tempfile::NamedTempFile {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tree = dir.path().join("tree");
    let unpacked =
        Command::new(bootjack()).arg("unpack").arg(made("lab/busybox.tar.zst")).arg(&tree).output();
    assert!(unpacked.expect("bootjack runs").status.success(), "the root is unpacked");
    fs::create_dir_all(tree.join("etc/network/interfaces.d")).expect("a directory");
    fs::rename(tree.join("sbin/init"), tree.join("sbin/facts")).expect("the root's init");
    let init = "#!/bin/sh\necho FACT bootif $(cat /etc/network/interfaces.d/bootif)\n\
        echo FACT addresses $(busybox ip -4 -o addr)\nexec /sbin/facts \"$@\"\n";
    fs::write(tree.join("sbin/init"), init).expect("a script");
    fs::set_permissions(tree.join("sbin/init"), fs::Permissions::from_mode(0o755)).expect("executable");
    let image = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut tar = Command::new("tar");
    tar.env("XZ_OPT", "-1").arg("-C").arg(&tree).arg("-cJf").arg(image.path()).arg(".");
    assert!(tar.status().expect("tar runs").success(), "the root is packed");
    image
}

/// Of two cards the firmware booted from the second, whose address is in capitals, and which gets a lease late: with
/// `rd.neednet=1` that is waited for, though the root lies in the initrd.
#[test]
fn ramroot_finds_its_image_in_the_initrd_and_tells_ifupdown_of_the_interface() {
    let image = image();
    let include = format!("{}=/ramroot.xz", image.path().display());
    let initrd = Initrd::new(Kernel::Cloud, &["--include", &include]);
    let append = "boot=ramdisk quiet single BOOTIF=01-52-54-00-AB-CD-02 nomodeset nopcid rd.neednet=1";
    // The second hangs on a hub that nothing else is on but a port that leads nowhere: see dhcp_appears_late.
    let nowhere = format!("socket,id=s0,udp=127.0.0.1:{},localaddr=127.0.0.1:{}", free_port(), free_port());
    let net = [
        "-netdev",
        "user,id=n0,net=10.0.9.0/24,restrict=on",
        "-device",
        "virtio-net-pci,netdev=n0,mac=52:54:00:ab:cd:01",
        "-netdev",
        &nowhere,
        "-netdev",
        "hubport,id=n2,hubid=0,netdev=s0",
        "-netdev",
        "hubport,id=n1,hubid=0",
        "-device",
        "virtio-net-pci,netdev=n1,mac=52:54:00:ab:cd:02",
    ];
    let options = Options { net: &net, append, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), ..options });
    vm.expect("Waiting for an address, for initramfs:/ramroot.xz");
    vm.monitor("netdev_add user,id=u0");
    vm.monitor("netdev_add hubport,id=h0,hubid=0,netdev=u0");
    vm.expect("FACT end");
    vm.wait_exit();
    assert_eq!(vm.fact("bootif"), "auto lo iface lo inet loopback auto eth1 iface eth1 inet dhcp");
    let addresses = vm.fact("addresses");
    assert!(addresses.contains("10.0.2.15/24") && !addresses.contains("10.0.9."), "{addresses}");
    assert_eq!(vm.fact("marker"), "the root that was packed");
    assert_eq!(vm.fact("args"), "single", "as the kernel hands its words to /init");
    assert!(vm.fact("root").contains("tmpfs rw"), "{}", vm.fact("root"));
    assert_eq!(vm.fact("modules"), vm.fact("kernel"), "those of the initrd came along");
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
