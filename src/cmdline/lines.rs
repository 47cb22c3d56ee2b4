//! Command lines as people have them, from the four systems' own pages and the recipes around them, and what they come to;
//! and for every argument the values that are refused, in which words.

use super::*;

fn parsed(text: &str) -> (RootWord, Params) {
    let params = Params::parse(text);
    match params.root.clone() {
        Some(Ok(root)) => (root, params),
        other => panic!("{text}: {other:?} {:?}", params.problems),
    }
}

/// Dialect and locations as they are shown, or the tag.
fn root(text: &str) -> (Dialect, String) {
    let (root, _) = parsed(text);
    let source = match root.source {
        RootSource::Archive(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        RootSource::Shared(tag) => format!("the directory {tag}"),
    };
    (root.dialect, source)
}

fn mounts(params: &Params) -> Vec<(&str, bool)> {
    params.mounts.iter().map(|mount| (mount.tag.as_str(), mount.writable)).collect()
}

#[test]
fn the_lines_of_the_four_systems_come_to_their_roots() {
    use Dialect::*;
    let rows = [
        // dracut-tmpfs-root: a device, its four other names, a file at the top or below it.
        (
            "root=tmpfs:/dev/sda1 rd.tmpfs.imgfile=compute.tgz rd.tmpfs.size=8g",
            Tmpfs,
            "dev:/dev/sda1:/compute.tgz",
        ),
        (
            "root=tmpfs:/dev/disk/by-path/pci-0000:00:04.0-part1 rd.tmpfs.imgfile=a/b.tgz",
            Tmpfs,
            "dev:/dev/disk/by-path/pci-0000:00:04.0-part1:/a/b.tgz",
        ),
        (
            "root=tmpfs:LABEL=images rd.tmpfs.imgfile=/compute.tgz rd.tmpfs.size=50%",
            Tmpfs,
            "LABEL=images:/compute.tgz",
        ),
        (
            "root=\"tmpfs:LABEL=my images\" rd.tmpfs.imgfile=\"my root.tgz\"",
            Tmpfs,
            "LABEL=my images:/my root.tgz",
        ),
        ("root=tmpfs:LABEL=my\\x20images rd.tmpfs.imgfile=r", Tmpfs, "LABEL=my images:/r"),
        ("root=tmpfs:UUID=0A5B-11f3 rd.tmpfs.imgfile=r.tgz", Tmpfs, "UUID=0A5B-11f3:/r.tgz"),
        ("root=tmpfs:PARTLABEL=images rd.tmpfs.imgfile=r.tgz", Tmpfs, "PARTLABEL=images:/r.tgz"),
        ("root=tmpfs:PARTUUID=1234-02 rd.tmpfs.imgfile=r.tgz", Tmpfs, "PARTUUID=1234-02:/r.tgz"),
        (
            "root=tmpfs:NFS=nfs:10.0.0.1:/srv/images rd.tmpfs.imgfile=compute.tgz rd.tmpfs.size=8g \
          ip=10.0.0.31:::24:compute1:eth1:none rd.neednet=1",
            Tmpfs,
            "nfs://10.0.0.1/srv/images:/compute.tgz",
        ),
        (
            "root=tmpfs:NFS=nfs4:10.0.0.1:/srv rd.tmpfs.imgfile=/a/r.tgz",
            Tmpfs,
            "nfs4://10.0.0.1/srv:/a/r.tgz",
        ),
        (
            "root=tmpfs:NFS=nfs:10.0.0.1:/srv,vers=3,soft rd.tmpfs.imgfile=r",
            Tmpfs,
            "nfs://10.0.0.1/srv,vers=3,soft:/r",
        ),
        // Ours: anything that is a location, the archive on the bare device, mirrors.
        ("root=tmpfs:/dev/vdb", Tmpfs, "dev:/dev/vdb"),
        ("root=tmpfs:dev:/dev/vdb rd.tmpfs.imgfile=r", Tmpfs, "dev:/dev/vdb:/r"),
        ("root=tmpfs:LABEL=images:/d/r.tar", Tmpfs, "LABEL=images:/d/r.tar"),
        ("root=tmpfs:/dev/vda1:/r.tar", Tmpfs, "dev:/dev/vda1:/r.tar"),
        (
            "root=tmpfs:http://a/r.tar root=tmpfs:LABEL=x root=tmpfs:UUID=y:/z rd.tmpfs.imgfile=r",
            Tmpfs,
            "http://a/r.tar LABEL=x:/r UUID=y:/z",
        ),
        ("root=tmpfs:LABEL=a root=tmpfs:NFS=nfs:b:/c rd.tmpfs.imgfile=r", Tmpfs, "LABEL=a:/r nfs://b/c:/r"),
        ("root=tmpfs:initramfs:/r.tar quiet", Tmpfs, "initramfs:/r.tar"),
        ("root=tmpfs:ftp://a/r.tar", Tmpfs, "ftp://a/r.tar"),
        // dracut-container-root: no root= is needed, and one that stands there does not matter.
        (
            "rd.container.rootfs=https://images.example.org/rocky.tar.xz rd.tmpfs.size=4g ip=dhcp rd.neednet=1 rd.shell=1",
            Container,
            "https://images.example.org/rocky.tar.xz",
        ),
        ("root=tmpfs rd.container.rootfs=http://a/r?token=x", Container, "http://a/r?token=x"),
        ("root=/dev/sda1 rd.container.rootfs=tftp://a/r.tar", Container, "tftp://a/r.tar"),
        ("rd.container.rootfs=nfs:10.0.0.1:/srv/images/r.tar", Container, "nfs://10.0.0.1/srv/images:/r.tar"),
        ("rd.container.rootfs=nfs4:10.0.0.1:/r.tar", Container, "nfs4://10.0.0.1/:/r.tar"),
        ("rd.container.rootfs=nfs://10.0.0.1/srv/r.tar", Container, "nfs://10.0.0.1/srv:/r.tar"),
        ("rd.container.rootfs=http://a/1 rd.container.rootfs=http://a/2", Container, "http://a/2"),
        // ramroot: PXELINUX appends BOOTIF and the initrd.
        (
            "initrd=initrd.img boot=ramdisk ramroot=http://10.0.2.2/ramroot.tar.xz BOOTIF=01-52-54-00-12-34-56",
            Ramroot,
            "http://10.0.2.2/ramroot.tar.xz",
        ),
        ("boot=ramdisk ramroot=/images/root.xz", Ramroot, "initramfs:/images/root.xz"),
        ("boot=ramdisk", Ramroot, "initramfs:/ramroot.xz"),
        ("ramroot=ftp://a/r.tar.xz boot=ramdisk", Ramroot, "ftp://a/r.tar.xz"),
        ("ramroot=http://a/r.tar.xz", Ramroot, "http://a/r.tar.xz"),
        // osbuild's, and dracut's words for the same.
        ("rootfs=os mount=data init=/bin/bash", Shared, "the directory os"),
        (
            "console=ttyS0 quiet init=/usr/bin/vm mount=mnt0 mount-ro=tools debug",
            Shared,
            "the directory rootfs",
        ),
        ("root=virtiofs:os rw", Virtiofs, "the directory os"),
        ("rootfstype=virtiofs root=os", Virtiofs, "the directory os"),
        ("rootfs=os rootfstype=virtiofs root=os", Shared, "the directory os"),
    ];
    for (text, dialect, source) in rows {
        assert_eq!(root(text), (dialect, source.into()), "{text}");
        let problems: Vec<_> = parsed(text).1.problems.iter().map(ToString::to_string).collect();
        let ignored = "root=/dev/sda1: is not looked at: other words ask for the root".to_owned();
        assert_eq!(
            problems,
            if text.starts_with("root=/dev/sda1") { vec![ignored] } else { vec![] },
            "{text}"
        );
    }
    assert_eq!(Params::parse("mount=data bootjack.entry=a").root, None);
    assert_eq!(Params::parse("rootfstype=ext4 root=/dev/vda1 ro").root, None);
}

#[test]
fn osbuilds_own_line_comes_out_right() {
    let text = "console=ttyS0 quiet selinux=1 enforcing=0 rootfstype=virtiofs root=rootfs ro mount=mnt0 \
                init=/run/mnt/mnt0/osbuild/vm.py";
    let (_, params) = parsed(text);
    assert_eq!(root(text), (Dialect::Virtiofs, "the directory rootfs".into()));
    assert_eq!(mounts(&params), [("mnt0", true)]);
    assert_eq!((params.writable, params.quiet), (Some(false), true));
    assert_eq!(params.init.as_deref(), Some("/run/mnt/mnt0/osbuild/vm.py"));
    assert_eq!((params.init_args, params.problems), (vec![], vec![]));
}

#[test]
fn mounts_are_in_the_order_of_the_line() {
    let (_, params) = parsed("rootfs=r mount=b mount-ro=a mount=c mount=b rw mount-ro=d");
    assert_eq!(mounts(&params), [("b", true), ("a", false), ("c", true), ("d", false)]);
    assert_eq!((params.writable, params.problems), (Some(true), vec![]));
}

#[test]
fn devices_are_put_together_as_dracut_is_told() {
    let of = |text: &str| Params::parse(text).assembly;
    let lvm =
        of("root=tmpfs:/dev/mapper/vg0-images rd.lvm.lv=vg0/images rd.lvm.lv=vg0/x rd.lvm.vg=vg1 rd.luks=0");
    let expected = Assembly {
        lvs: vec!["vg0/images".into(), "vg0/x".into()],
        vgs: vec!["vg1".into()],
        without_luks: true,
        ..Assembly::default()
    };
    assert_eq!(lvm, expected);
    assert_eq!(of("rd.md.uuid=3aaa:2982 rd.luks.uuid=luks-0a5b").md, ["3aaa:2982"]);
    assert_eq!(of("rd.luks.uuid=luks-0a5b").luks, ["luks-0a5b"]);
    assert_eq!(of("rd.auto rd.lvm=1 rd.md"), Assembly::default());
    let named = of("rd.auto=0 rd.lvm.lv=vg0/images");
    assert_eq!((named.without_lvm, named.without_luks, named.without_md), (false, true, true));
}

#[test]
fn a_device_is_waited_for_as_long_as_the_longest_word_says() {
    let wait = |text: &str| Params::parse(text).device_wait.map(|wait| wait.as_secs());
    assert_eq!(wait("rd.retry=30 rd.timeout=60 rootdelay=5"), Some(60));
    assert_eq!(wait("rd.retry=5 rd.timeout=0"), Some(5));
    assert_eq!(wait("rd.retry=0"), Some(0));
    // For ever, and no delay: neither is a bound.
    assert_eq!(wait("rd.timeout=0 rootdelay=0"), None);
}

#[test]
fn servers_are_asked_as_dracuts_url_lib_is_told() {
    let params = Params::parse("proxy=10.0.0.1:3128 rd.noverifyssl");
    assert_eq!(params.proxy.unwrap().url.as_str(), "http://10.0.0.1:3128/");
    assert!(params.unverified_tls);
    assert!(!Params::parse("rd.noverifyssl=0").unverified_tls && !Params::parse("").unverified_tls);
    // Around a proxy that was asked for leads no way.
    assert!(matches!(Params::parse("root=tmpfs:http://a/r proxy=socks5://a").root, Some(Err(_))));
}

#[test]
fn a_size_is_what_tmpfs_takes_and_never_without_a_limit() {
    let size = |text: &str| parsed(&format!("boot=ramdisk rd.tmpfs.size={text}")).0.size.unwrap();
    assert_eq!(size("50%"), Size::Percent(50));
    assert_eq!(
        [size("1048576"), size("1024k"), size("1024K"), size("1m"), size("1M")],
        [Size::Bytes(1 << 20); 5]
    );
    assert_eq!(size("2G"), Size::Bytes(2 << 30));
    assert_eq!(parsed("boot=ramdisk").0.size, None);
}

/// What `text` is refused with: message and hint.
fn refused(text: &str) -> (String, String) {
    let problems = Params::parse(text).problems;
    assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    (problems[0].to_string(), problems[0].hint.clone().unwrap_or_default())
}

#[test]
fn every_wrong_value_is_refused_with_its_argument_and_a_right_example() {
    let http = "such as root=tmpfs:http://10.0.0.1/root.tar.zst";
    let device = "such as root=tmpfs:/dev/vda1 rd.tmpfs.imgfile=images/root.tar.zst";
    let label = "such as root=tmpfs:LABEL=images rd.tmpfs.imgfile=root.tar.zst";
    let nfs = "such as root=tmpfs:NFS=nfs:10.0.0.1:/srv/images rd.tmpfs.imgfile=root.tar.zst";
    let imgfile = "such as rd.tmpfs.imgfile=images/root.tar.zst";
    let path = "such as root=tmpfs:LABEL=images rd.tmpfs.imgfile=images/root.tar.zst";
    let tag = "a tag is a name of at most 36 letters without '/', such as rootfs";
    let names = "names no block device: /dev/vda1, LABEL=x, UUID=x, PARTLABEL=x, PARTUUID=x";
    let rows = [
        ("root=tmpfs:", "no value", http),
        ("root=tmpfs:r.tar", "is not absolute: http://, https://, file:/ or initramfs:/ comes first", http),
        ("root=tmpfs:torrent://a", "a torrent is not fetched", http),
        ("root=tmpfs:http://", "not a URL: empty host", http),
        ("root=tmpfs:/dev", "/dev is no device: write one below /dev, such as /dev/vda1", device),
        (
            "root=tmpfs:/dev/../etc",
            "/dev/../etc is no device: write one below /dev, such as /dev/vda1",
            device,
        ),
        ("root=tmpfs:LABEL=", "nothing stands after LABEL=: write LABEL=NAME", label),
        (
            "root=tmpfs:LABEL=x:/../y",
            "\"/../y\" is no file on it: write a path without '..', such as :/images/root.tar.zst",
            label,
        ),
        ("root=tmpfs:PARTUUID=", "nothing stands after PARTUUID=: write PARTUUID=NAME", label),
        ("root=tmpfs:label=x", &format!("\"label=x\" {names}"), label),
        ("root=tmpfs:LABLE=x", &format!("\"LABLE=x\" {names}"), label),
        (
            "root=tmpfs:NFS=nfs:10.0.0.1:/srv",
            "names no file on it",
            "such as root=tmpfs:NFS=nfs:10.0.0.1:/srv rd.tmpfs.imgfile=images/root.tar.zst",
        ),
        ("root=tmpfs:nfs=nfs:a:/b", &format!("\"nfs=nfs:a:/b\" {names}"), nfs),
        ("root=tmpfs:LABEL=x rd.tmpfs.imgfile=", "names no file", imgfile),
        ("root=tmpfs:LABEL=x rd.tmpfs.imgfile", "names no file", imgfile),
        ("root=tmpfs:LABEL=x rd.tmpfs.imgfile=/", "names no file", imgfile),
        ("root=tmpfs:LABEL=x rd.tmpfs.imgfile=images/", "names no file", imgfile),
        ("root=tmpfs:LABEL=x rd.tmpfs.imgfile=../x", "leaves the volume", imgfile),
        ("root=tmpfs:LABEL=x rd.tmpfs.imgfile=a/../../x", "leaves the volume", imgfile),
        ("root=tmpfs:http://a/r rd.tmpfs.imgfile=x", "root=tmpfs:http://a/r has a path already", path),
        ("root=tmpfs:LABEL=x:/y rd.tmpfs.imgfile=x", "root=tmpfs:LABEL=x:/y has a path already", path),
        (
            "rd.container.rootfs=http://a/r rd.tmpfs.imgfile=x",
            "rd.container.rootfs=http://a/r has a path already",
            path,
        ),
        ("boot=ramdisk rd.tmpfs.imgfile=x", "boot=ramdisk has a path already", path),
        (
            "boot=ramdisk rd.tmpfs.size=",
            "is no size: bytes with k, m or g, or a share of the memory such as 60%",
            "such as rd.tmpfs.size=60%",
        ),
        ("boot=ramdisk rd.tmpfs.size=0", "would be no limit at all", "such as rd.tmpfs.size=60%"),
        ("boot=ramdisk rd.tmpfs.size=0k", "would be no limit at all", "such as rd.tmpfs.size=60%"),
        ("boot=ramdisk rd.tmpfs.size=0%", "is not between 1% and 100%", "such as rd.tmpfs.size=60%"),
        (
            "boot=ramdisk rd.tmpfs.size=2x",
            "is no size: bytes with k, m or g, or a share of the memory such as 60%",
            "such as rd.tmpfs.size=60%",
        ),
        ("boot=ramdisk rd.tmpfs.size=1g init=", "is not an absolute path", "such as init=/sbin/init"),
        ("boot=ramdisk init=sh", "is not an absolute path", "such as init=/sbin/init"),
        ("rd.container.rootfs=", "no value", "such as rd.container.rootfs=http://10.0.0.1/root.tar.xz"),
        (
            "rd.container.rootfs=torrent://a/r",
            "a torrent is not fetched",
            "such as rd.container.rootfs=http://10.0.0.1/root.tar.xz",
        ),
        (
            "rd.container.rootfs=nfs:10.0.0.1:/srv/",
            "names no file",
            "such as rd.container.rootfs=http://10.0.0.1/root.tar.xz",
        ),
        ("rd.container.rootfss=http://a/r", "no such argument", "did you mean rd.container.rootfs?"),
        ("rd.container.url=http://a/r", "no such argument", "docs/cmdline.md has them all"),
        ("ramroot=", "no value", "such as ramroot=http://10.0.0.1/root.tar.xz"),
        (
            "ramroot=r.xz",
            "is not absolute: http://, https://, file:/ or initramfs:/ comes first",
            "such as ramroot=http://10.0.0.1/root.tar.xz",
        ),
        ("ramrot=http://a/r", "no such argument", "did you mean ramroot?"),
        ("boot=ramdisk ramrot=http://a/r", "no such argument", "did you mean ramroot?"),
        ("rootfs=", tag, "such as rootfs=rootfs"),
        ("rootfs=../x", tag, "such as rootfs=rootfs"),
        ("root=virtiofs:", tag, "such as root=virtiofs:rootfs"),
        ("rootfstype=virtiofs root=/dev/vda", tag, "such as root=virtiofs:rootfs"),
        (
            "rootfs=x rd.tmpfs.size=1g",
            "goes with an archive, not with rootfs=x",
            "such as root=tmpfs:http://10.0.0.1/root.tar.zst rd.tmpfs.size=60%",
        ),
        ("rootfs=x mount=", tag, "such as mount=data"),
        ("rootfs=x mount=..", tag, "such as mount=data"),
        ("rootfs=x mount-ro=a/b", tag, "such as mount-ro=data"),
        (
            "rootfs=x mount=a mount-ro=a",
            "/run/mnt/a is there already, by another word",
            "such as mount-ro=data",
        ),
        ("rootfs=x mountro=a", "no such argument", "did you mean mount-ro?"),
        ("proxy=", "no value", "such as proxy=http://10.0.0.1:3128"),
        (
            "proxy=socks5://a:1080",
            "a proxy is asked by http, not by socks5",
            "such as proxy=http://10.0.0.1:3128",
        ),
        ("no_proxy=", "no value", "such as no_proxy=lab.example,10.0.0.0/8"),
        ("no_proxy=a/b", "\"a/b\" is no host, address or network", "such as no_proxy=lab.example,10.0.0.0/8"),
        ("proxy=http://", "is no URL: empty host", "such as proxy=http://10.0.0.1:3128"),
        ("rd.noverifyssl=maybe", "is neither 0 nor 1", "such as rd.noverifyssl=1"),
        ("rd.lvm.lv=vg0", "is no volume of a group", "such as rd.lvm.lv=vg0/images"),
        ("rd.lvm.lv=", "is no volume of a group", "such as rd.lvm.lv=vg0/images"),
        ("rd.lvm.vg=", "no value", "such as rd.lvm.vg=vg0"),
        ("rd.lvm=none", "is neither 0 nor 1", "such as rd.lvm=0"),
        ("rd.luks=none", "is neither 0 nor 1", "such as rd.luks=0"),
        ("rd.luks.uuid=", "no value", "such as rd.luks.uuid=0a5b1c2d-3e4f-4a6b-8c7d-9e0f1a2b3c4d"),
        ("rd.md=none", "is neither 0 nor 1", "such as rd.md=0"),
        ("rd.md.uuid=", "no value", "such as rd.md.uuid=3aaa0122:29827cfa:5331ad66:ca767371"),
        ("rd.auto=some", "is neither 0 nor 1", "such as rd.auto=0"),
        ("rd.retry=soon", "is no whole number of seconds", "such as rd.retry=60"),
        ("rd.timeout=-1", "is no whole number of seconds", "such as rd.timeout=60"),
        ("rootdelay=", "is no whole number of seconds", "such as rootdelay=10"),
    ];
    for (text, cause, hint) in rows {
        let (message, said) = refused(text);
        let word = text.split(' ').find(|w| message.starts_with(&format!("{w}: ")));
        let word = word.unwrap_or_else(|| panic!("{text}: {message}"));
        assert_eq!((message.as_str(), said.as_str()), (format!("{word}: {cause}").as_str(), hint), "{text}");
    }
}

#[test]
fn every_example_is_right_and_every_argument_with_a_value_has_one() {
    for example in example::ALL {
        let name = example.split('=').next().unwrap();
        let companion = name.starts_with("rd.tmpfs");
        let text = if companion { format!("root=tmpfs:LABEL=x {example}") } else { (*example).to_owned() };
        assert_eq!(Params::parse(&text).problems, [], "{example}");
    }
    for name in KNOWN.iter().chain(storage::EACH).chain(storage::LAST) {
        assert!(example::of(name).is_some(), "{name}");
    }
}

#[test]
fn two_roots_are_refused_whatever_their_words() {
    let words = [
        "root=tmpfs:http://a/r",
        "rd.container.rootfs=http://a/r",
        "boot=ramdisk",
        "rootfs=a",
        "root=virtiofs:b",
    ];
    for (one, other) in words.iter().flat_map(|one| words.iter().map(move |other| (one, other))) {
        let text = format!("{one} {other}");
        let params = Params::parse(&text);
        if one == other {
            assert!(matches!(params.root, Some(Ok(_))), "{text}");
            continue;
        }
        let problems: Vec<_> = params.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, [format!("{one}: asks for another root than {other}")]);
        assert!(matches!(params.root, Some(Err(_))), "{text}");
    }
}

#[test]
fn init_gets_what_the_users_of_its_words_expect() {
    use Dialect::*;
    let given = "BOOT_IMAGE=/vmlinuz console=ttyS0 quiet ro single splash 3 root=tmpfs:/r rd.shell=1 x=y";
    let named = "before single init=/bin/x quiet -a splash x=y ip=dhcp rd.break BOOTIF=01-aa bootjack.shell \
                 Bootjack.x rd.tmpfs.size=1g ramroot=/r root=/dev/vda console=tty0 BOOT_IMAGE=v i915.modeset=0 \
                 nomodeset panic=5 mount=a proxy=p -- -c \"a b\" rd.x";
    let rows: [(Option<Dialect>, &str, &[&str]); 14] = [
        (Some(Tmpfs), given, &["single", "3"]),
        (Some(Container), given, &["single", "3"]),
        (Some(Virtiofs), given, &["single", "3"]),
        (Some(Ramroot), given, &["single", "splash", "3"]),
        (Some(Shared), given, &[]),
        (None, given, &[]),
        (Some(Tmpfs), named, &["-a", "splash", "x=y", "-c", "a b", "rd.x"]),
        (Some(Container), named, &["-a", "splash", "x=y", "-c", "a b", "rd.x"]),
        (Some(Ramroot), named, &["-a", "splash", "-c", "a b", "rd.x"]),
        (Some(Shared), named, &["-c", "a b", "rd.x"]),
        (None, named, &["-c", "a b", "rd.x"]),
        (
            Some(Tmpfs),
            "s S emergency auto 0 9 10 Single -- 5",
            &["s", "S", "emergency", "auto", "0", "9", "5"],
        ),
        (Some(Tmpfs), "init=/a one init=/b two", &["two"]),
        (
            Some(Tmpfs),
            "init=/bin/bash -e /root/install.sh --unit rescue.target rd.shell rd.break=x snd.debug=1",
            &["-e", "/root/install.sh", "--unit", "rescue.target"],
        ),
    ];
    for (dialect, text, args) in rows {
        assert_eq!(init_args(text, dialect), args, "{dialect:?}: {text}");
    }
}

#[test]
fn what_the_kernel_kept_to_itself_is_not_inits() {
    let with = |text: &str| {
        let mut params = Params::parse(text);
        params.as_handed(b"/init\0splash\0a b\0");
        params.init_args
    };
    assert_eq!(with("boot=ramdisk nopcid splash -- \"a b\""), ["splash", "a b"]);
    // dracut's rule asks no kernel.
    assert_eq!(with("root=tmpfs:/r single"), ["single"]);
}

#[test]
fn none_of_our_words_ever_reaches_init() {
    let ours = KNOWN.iter().chain(NETWORK).chain(storage::EACH).chain(storage::LAST);
    let all: Vec<String> = ours.flat_map(|word| [(*word).to_owned(), format!("{word}=1")]).collect();
    let line = format!("init=/bin/x {} root=tmpfs:/r boot=ramdisk", all.join(" "));
    for dialect in [Dialect::Tmpfs, Dialect::Container, Dialect::Ramroot, Dialect::Shared, Dialect::Virtiofs]
    {
        assert!(
            init_args(&line, Some(dialect)).is_empty(),
            "{dialect:?}: {:?}",
            init_args(&line, Some(dialect))
        );
    }
}
