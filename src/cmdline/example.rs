//! How each argument is written right: what a person is shown beside a value that is wrong.

/// Every argument that takes a value, as the value may be.
pub(super) const ALL: &[&str] = &[
    "bootjack.catalog=http://10.0.0.1/catalog.toml",
    "bootjack.entry=debian",
    "bootjack.timeout=10",
    "bootjack.retry_for=10m",
    "bootjack.on_failure=reboot",
    "bootjack.console=+tty0,ttyS0:115200",
    "bootjack.plain",
    "bootjack.shell",
    "bootjack.watchdog=60",
    "bootjack.ca=/etc/site.pem",
    "root=tmpfs:http://10.0.0.1/root.tar.zst",
    "rd.tmpfs.size=60%",
    "rd.tmpfs.sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "rd.tmpfs.chunks=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "rd.tmpfs.connections=4",
    "rd.tmpfs.length=53721901",
    "rd.tmpfs.imgfile=images/root.tar.zst",
    "rd.container.rootfs=http://10.0.0.1/root.tar.xz",
    "ramroot=http://10.0.0.1/root.tar.xz",
    "rootfs=rootfs",
    "mount=data",
    "mount-ro=data",
    "init=/sbin/init",
    "proxy=http://10.0.0.1:3128",
    "no_proxy=lab.example,10.0.0.0/8",
    "rd.noverifyssl=1",
    "rd.lvm=0",
    "rd.lvm.lv=vg0/images",
    "rd.lvm.vg=vg0",
    "rd.luks=0",
    "rd.luks.uuid=0a5b1c2d-3e4f-4a6b-8c7d-9e0f1a2b3c4d",
    "rd.md=0",
    "rd.md.uuid=3aaa0122:29827cfa:5331ad66:ca767371",
    "rd.auto=0",
    "rd.retry=60",
    "rd.timeout=60",
    "rootdelay=10",
];

/// The example of this argument.
pub(super) fn of(name: &str) -> Option<&'static str> {
    ALL.iter().find(|example| example.split('=').next() == Some(name)).copied()
}
