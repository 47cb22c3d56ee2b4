//! `bootjack unpack --cmdline`: what a kernel command line asks for, as the glue in other people's initrds calls it; and
//! that the glue is where `make install` says. Booting with it is the journeys'.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bootjack::commands::serve::{Running, Server};
use bootjack::verify::Sha256;

/// A server with a root archive on it, and a place to unpack to.
struct Bench {
    dir: tempfile::TempDir,
    server: Running,
    sha256: String,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree/etc")).unwrap();
        fs::write(dir.path().join("tree/etc/marker"), "the root that was packed").unwrap();
        fs::write(dir.path().join("tree/large"), [1; 1 << 16]).unwrap();
        let packed = bootjack(&["pack", &path(&dir, "tree"), "-o", &path(&dir, "root.tar.zst")]);
        assert!(packed.status.success(), "{}", err(&packed));
        let sha256 = Sha256::of(&fs::read(dir.path().join("root.tar.zst")).unwrap()).to_string();
        let server = Server::bind(dir.path(), "127.0.0.1:0".parse().unwrap()).unwrap().spawn(|_| {}).unwrap();
        Self { dir, server, sha256 }
    }

    fn url(&self) -> String {
        format!("http://{}/root.tar.zst", self.server.addr())
    }

    fn sysroot(&self) -> PathBuf {
        self.dir.path().join("sysroot")
    }

    /// `unpack --cmdline` with these words.
    fn boot(&self, words: &str) -> Output {
        let cmdline = self.dir.path().join("cmdline");
        fs::write(&cmdline, format!("BOOT_IMAGE=/vmlinuz console=ttyS0 {words}\n")).unwrap();
        let flag = format!("--cmdline={}", cmdline.display());
        bootjack(&["unpack", &flag, &self.sysroot().display().to_string()])
    }

    /// The line of `/proc/mounts` of where the root belongs.
    fn mounted(&self) -> Option<String> {
        let place = format!(" {} ", self.sysroot().display());
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.lines().find(|line| line.contains(&place)).map(str::to_owned)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if self.mounted().is_some() {
            rustix::mount::unmount(self.sysroot(), rustix::mount::UnmountFlags::DETACH).unwrap();
        }
    }
}

fn path(dir: &tempfile::TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

fn bootjack(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bootjack")).args(args).output().unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What `--ask` says of these words: exit status, standard output.
fn ask(words: &str) -> (i32, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), words).unwrap();
    let said = bootjack(&["unpack", &format!("--cmdline={}", file.path().display()), "--ask"]);
    (said.status.code().unwrap(), String::from_utf8(said.stdout).unwrap())
}

#[test]
fn the_root_of_the_command_line_stays_mounted_with_its_limit() {
    let bench = Bench::new();
    let words = format!("root=tmpfs:{} rd.tmpfs.sha256={} rd.tmpfs.size=1m", bench.url(), bench.sha256);
    let said = bench.boot(&words);
    assert!(said.status.success(), "{}", err(&said));
    let mount = bench.mounted().expect("mounted");
    assert!(
        mount.contains(" tmpfs ") && mount.contains("size=1024k") && mount.contains("mode=755"),
        "{mount}"
    );
    assert_eq!(fs::read_to_string(bench.sysroot().join("etc/marker")).unwrap(), "the root that was packed");
    assert!(err(&said).contains("verified") && !err(&said).contains('\x1b'), "{}", err(&said));
}

#[test]
fn a_failure_names_its_cause_and_leaves_nothing_mounted() {
    let bench = Bench::new();
    let wrong = "0".repeat(64);
    for (more, cause) in [
        (format!("rd.tmpfs.sha256={wrong}"), "verify: "),
        (format!("rd.tmpfs.sha256={} rd.tmpfs.size=4k", bench.sha256), "limit"),
        ("rd.tmpfs.sha265=ab".into(), "rd.tmpfs.sha265=ab: no such argument"),
        (format!("rd.container.rootfs={}", bench.url()), "another root"),
    ] {
        let said = bench.boot(&format!("root=tmpfs:{} {more} bootjack.retry_for=1s", bench.url()));
        assert_eq!(said.status.code(), Some(1), "{more}");
        assert!(err(&said).contains(cause), "{more}: {}", err(&said));
        assert_eq!(bench.mounted(), None, "{more}");
    }
}

#[test]
fn nothing_is_mounted_over_what_is_there() {
    let bench = Bench::new();
    fs::create_dir(bench.sysroot()).unwrap();
    fs::write(bench.sysroot().join("mine"), "").unwrap();
    let said = bench.boot(&format!("root=tmpfs:{}", bench.url()));
    assert_eq!(said.status.code(), Some(1));
    assert!(err(&said).contains("not empty"), "{}", err(&said));
    assert_eq!(bench.mounted(), None);
}

#[test]
fn other_roots_are_left_alone() {
    for words in [
        "",
        "root=/dev/vda1 ro quiet",
        "root=UUID=abc rw init=/bin/sh",
        "root=live:http://a/x.squashfs boot=live",
        "root=nfs:a:/b ip=dhcp",
        "root=virtiofs:tag",
        "root=virtiofs:a/b",
        "rootfs=tag root=/dev/vda1",
        "root=tmpfs",
        "boot=casper",
        "bootjack.timeout=x root=/dev/vda1",
    ] {
        assert_eq!(ask(words), (3, String::new()), "{words}");
        let bench = Bench::new();
        assert_eq!(bench.boot(words).status.code(), Some(3), "{words}");
        assert!(!bench.sysroot().exists(), "{words}");
    }
}

#[test]
fn the_glue_is_told_what_a_root_needs() {
    let facts = |root: &str, network: &str, devices: &str| {
        (0, format!("BOOTJACK_ROOT='{root}'\nBOOTJACK_NETWORK={network}\nBOOTJACK_DEVICES='{devices}'\n"))
    };
    assert_eq!(ask("root=tmpfs:http://u:secret@a/r ip=dhcp"), facts("http://u:***@a/r", "yes", ""));
    assert_eq!(ask("root=tmpfs:file:/r.tar"), facts("/r.tar", "no", ""));
    assert_eq!(ask("root=tmpfs:file:/r.tar root=tmpfs:https://a/r"), facts("/r.tar", "maybe", ""));
    assert_eq!(ask("rd.container.rootfs=ftp://a/r"), facts("ftp://a/r", "yes", ""));
    assert_eq!(
        ask("root=tmpfs:NFS=nfs:a:/b rd.tmpfs.imgfile=r.tar").1.lines().nth(1),
        Some("BOOTJACK_NETWORK=yes")
    );
    assert_eq!(ask("boot=ramdisk"), facts("initramfs:/ramroot.xz", "no", ""));
    assert_eq!(
        ask("root=tmpfs:LABEL=images rd.tmpfs.imgfile=r.tar"),
        facts("LABEL=images:/r.tar", "no", "/dev/disk/by-label/images")
    );
    assert_eq!(ask("root=tmpfs:http://a/r rd.tmpfs.size=0").0, 1);
}

#[test]
fn words_that_contradict_each_other_are_wrong_usage() {
    for args in [
        &["unpack", "--cmdline", "http://a/r", "/mnt"][..],
        &["unpack", "--cmdline=/dev/null", "--sha256", &"0".repeat(64), "/mnt"],
        &["unpack", "--ask"],
        &["unpack", "/mnt"],
    ] {
        assert_eq!(bootjack(args).status.code(), Some(2), "{args:?}");
    }
}

/// Files below a directory, and links.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(tree(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[test]
fn make_install_puts_all_in_its_place_and_uninstall_takes_it_away() {
    let dir = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_bootjack");
    let make = |goal: &str| {
        let said = Command::new("make")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args([
                "-o",
                binary,
                goal,
                &format!("BIN={binary}"),
                &format!("DESTDIR={}", dir.path().display()),
            ])
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", err(&said));
    };
    make("install");
    let installed = tree(dir.path());
    for place in [
        "/usr/sbin/bootjack",
        "/usr/lib/dracut/modules.d/90bootjack/module-setup.sh",
        "/usr/lib/dracut/modules.d/90bootjack/unpack-bootjack.sh",
        "/usr/share/initramfs-tools/hooks/bootjack",
        "/usr/share/initramfs-tools/scripts/bootjack",
        "/usr/share/initramfs-tools/scripts/init-premount/bootjack",
        "/usr/share/doc/bootjack/foreign.md",
        "/usr/share/man/man8/bootjack.8",
        "/usr/share/man/man8/bootjack-check.8",
        "/usr/share/bash-completion/completions/bootjack",
        "/usr/share/fish/vendor_completions.d/bootjack.fish",
        "/_bootjack",
    ] {
        assert!(installed.iter().any(|file| file.ends_with(place)), "{place} in {installed:?}");
    }
    make("uninstall");
    assert_eq!(tree(dir.path()), Vec::<String>::new());
}
