//! `bootjack vm ROOTDIR` as osbuild's users have it: a directory is the root of a machine, a script in another one its
//! init. What is read-only is, and however the command ends, nothing of it is left.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::lab::{Initrd, Kernel, bootjack, made};
use crate::machine::{Options, Vm};
use crate::shared::Shared;

/// A root with busybox, a kernel and its modules; a directory of tests and one to read.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(script: &str) -> Self {
        let bench = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        let root = bench.path("root");
        let unpacked =
            Command::new(bootjack()).arg("unpack").arg(made("lab/busybox.tar.zst")).arg(&root).output();
        assert!(unpacked.expect("bootjack runs").status.success(), "the root is unpacked");
        let modules = Kernel::Cloud.modules();
        let place = root.join("usr/lib/modules");
        fs::create_dir_all(&place).expect("a directory of modules");
        let copied = Command::new("cp").arg("-a").arg(&modules).arg(&place).status().expect("cp runs");
        assert!(copied.success(), "modules");
        let release = place.join(modules.file_name().expect("a release"));
        fs::copy(Kernel::Cloud.image(), release.join("vmlinuz")).expect("a kernel");
        for name in ["tests", "data"] {
            fs::create_dir(bench.path(name)).expect("a directory");
        }
        fs::write(bench.path("data/hello"), "from the host\n").expect("a file");
        let script = format!("#!/bin/sh\n{script}\npoweroff -f\n");
        fs::write(bench.path("tests/vm.sh"), script).expect("a script");
        fs::set_permissions(bench.path("tests/vm.sh"), fs::Permissions::from_mode(0o755))
            .expect("executable");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command, under a bound that a busy host does not meet.
    fn start(&self, more: &[&str]) -> Child {
        let mut command = Command::new("timeout");
        command.arg("180").arg(bootjack()).arg("vm").arg(self.path("root")).arg("/run/mnt/tests/vm.sh");
        command.arg("--mount").arg("tests").arg(self.path("tests"));
        command.arg("--mount-ro").arg("data").arg(self.path("data"));
        command.args(["--accel", "tcg", "--memory", "512"]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().expect("timeout runs")
    }

    /// Programs that know of this bench: the machine, its daemons, the command itself.
    fn programs(&self) -> Vec<(i32, String)> {
        let all = fs::read_dir("/proc").expect("/proc").filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let words = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&words).replace('\0', " ")))
        });
        let here = self.dir.path().to_str().expect("UTF-8");
        all.filter(|(_, words)| words.contains(here)).collect()
    }

    /// Waits until nothing knows of this bench any more.
    fn expect_nobody(&self) {
        for _ in 0..200 {
            if self.programs().is_empty() {
                return;
            }
            // Nothing tells when a program of another parent ends.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("left: {:?}", self.programs());
    }
}

#[test]
fn a_directory_is_the_root_of_a_machine() {
    let bench = Bench::new(
        r#"echo "SAID pid $$ of $(cat /etc/marker)"
echo "SAID root $(grep ' / ' /proc/mounts)"
echo SAID mounts $(grep -o '/run/mnt/[a-z]*' /proc/mounts)
cat /run/mnt/data/hello
echo made by the guest > /run/mnt/tests/made
echo x > /run/mnt/data/x || echo SAID data is closed
echo x > /etc/x || echo SAID root is closed
[ -c /dev/fuse ] && [ -c /dev/kvm ] && [ -L /dev/stdin ] && [ -e /sys/fs/cgroup/cgroup.procs ] && echo SAID devices
echo SAID end"#,
    );
    let mut machine = bench.start(&[]);
    let mut said = String::new();
    machine.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
    let status = machine.wait().expect("it ends");
    for line in [
        "SAID pid 1 of the root that was packed",
        "SAID root rootfs / virtiofs ro",
        "SAID mounts /run/mnt/tests /run/mnt/data",
        "from the host",
        "SAID data is closed",
        "SAID root is closed",
        "SAID devices",
        "SAID end",
    ] {
        assert!(said.contains(line), "{line:?} is missing in\n{said}");
    }
    assert!(status.success(), "{status}");
    assert_eq!(fs::read_to_string(bench.path("tests/made")).expect("the guest wrote"), "made by the guest\n");
    assert!(!bench.path("data/x").exists() && !bench.path("root/etc/x").exists());
    bench.expect_nobody();
}

#[test]
fn dracut_s_words_boot_a_shared_directory_and_rw_lets_it_be_written_to() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tree = dir.path().join("tree");
    let unpacked =
        Command::new(bootjack()).arg("unpack").arg(made("lab/busybox.tar.zst")).arg(&tree).output();
    assert!(unpacked.expect("bootjack runs").status.success(), "the root is unpacked");
    let shared = Shared::new("os", &tree, 512);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "virtiofs"]);
    let (devices, append) = (shared.devices(), "root=virtiofs:os rw single");
    let options = Options { append, devices: &devices, net: &["-nic", "none"], ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), ..options });
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").contains("os / virtiofs rw"), "{}", vm.fact("root"));
    assert_eq!((vm.fact("pid").as_str(), vm.fact("args").as_str()), ("1", "single"), "the usual init");
}

#[test]
fn whatever_ends_the_command_ends_the_machine_and_its_daemons() {
    let bench = Bench::new("echo written > /etc/written\necho SAID here\nsleep 1000");
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
        let mut machine = bench.start(&["--rw"]);
        let mut said = BufReader::new(machine.stdout.take().expect("a pipe")).lines();
        assert!(said.any(|line| line.expect("text").contains("SAID here")), "it runs");
        let running = bench.programs();
        let of = |name: &str| running.iter().filter(|(_, words)| words.contains(name)).count();
        assert!(of("qemu-system") >= 1 && of("virtiofsd") >= 3, "{running:?}");
        let own = |(_, words): &&(i32, String)| words.starts_with(bootjack().to_str().expect("UTF-8"));
        let (pid, _) = running.iter().find(own).expect("the command itself");
        let pid = rustix::process::Pid::from_raw(*pid).expect("a process");
        rustix::process::kill_process(pid, signal).expect("a signal");
        machine.wait().expect("it ends");
        bench.expect_nobody();
    }
    let written = fs::read_to_string(bench.path("root/etc/written")).expect("with --rw the guest may write");
    assert_eq!(written, "written\n");
}

#[test]
fn a_machine_that_does_not_start_leaves_no_daemons() {
    let bench = Bench::new("");
    let mut machine = bench.start(&["--smp", "99999"]);
    assert!(!machine.wait().expect("it ends").success());
    bench.expect_nobody();
}

#[test]
fn a_boot_that_fails_says_why_and_ends_the_machine() {
    let bench = Bench::new("");
    let script = bench.path("tests/vm.sh");
    fs::set_permissions(script, fs::Permissions::from_mode(0o644)).expect("not executable");
    let output = bench.start(&[]).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("/run/mnt/tests/vm.sh: not executable"), "{said}");
    // Not by the bound of this test.
    assert!(output.status.success(), "{}", output.status);
}
