//! Archives on block devices, by the real binary: on loop devices whose bytes nobody may change, on several devices at
//! once, and on some of which there are copies. What lies on disks is told apart in `volumes`.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::trees::noise;

/// A directory with a tree, an archive of it, and images of disks.
struct Lab(tempfile::TempDir);

impl Lab {
    /// The archive is about so large.
    fn new(bytes: usize) -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        fs::create_dir(lab.at("tree")).unwrap();
        fs::create_dir(lab.at("mnt")).unwrap();
        fs::write(lab.at("tree/marker"), b"the root that was packed").unwrap();
        fs::write(lab.at("tree/noise"), noise(bytes)).unwrap();
        fs::create_dir(lab.at("files")).unwrap();
        tool("tar", &["-C", &lab.text("tree"), "-cf", &lab.text("files/r.tar"), "."]);
        lab
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    fn blank(&self, name: &str, mib: u64) -> PathBuf {
        let path = self.at(name);
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        path
    }

    /// With the archive on it.
    fn ext4(&self, name: &str, mib: u64) -> PathBuf {
        let image = self.blank(name, mib);
        tool("mkfs.ext4", &["-q", "-d", &self.text("files"), image.to_str().unwrap()]);
        image
    }

    /// An image as the power left it when it failed: an archive on it, and later a file that was written to and had no
    /// name any more.
    fn cut_off(&self, kind: &str, mib: u64) -> PathBuf {
        let (whole, image) = (self.blank(&format!("{kind}-whole"), mib), self.at(&format!("{kind}-cut")));
        tool(&format!("mkfs.{kind}"), &["-q", whole.to_str().unwrap()]);
        let device = Loop::of(&whole);
        let mounted = self.mount(&device, kind, "rw");
        fs::copy(self.at("files/r.tar"), self.at("mnt/r.tar")).unwrap();
        // All of what was before is where it belongs (fsfreeze(8)); what follows is in the journal alone.
        tool("fsfreeze", &["--freeze", &self.text("mnt")]);
        tool("fsfreeze", &["--unfreeze", &self.text("mnt")]);
        let mut open = File::create(self.at("mnt/open")).unwrap();
        open.write_all(&noise(100_000)).unwrap();
        open.sync_all().unwrap();
        fs::remove_file(self.at("mnt/open")).unwrap();
        File::create(self.at("mnt/last")).and_then(|last| last.sync_all()).unwrap();
        fs::copy(&whole, &image).unwrap();
        drop(open);
        drop(mounted);
        image
    }

    fn mount(&self, device: &Loop, kind: &str, options: &str) -> Mounted {
        tool("mount", &["-t", kind, "-o", options, &device.0, &self.text("mnt")]);
        Mounted(self.text("mnt"))
    }

    /// Whether a mount with these options changes an image: then not being changed says something.
    fn is_changed_by_mount(&self, image: &Path, kind: &str, options: &str) -> bool {
        let copy = self.at("copy");
        fs::copy(image, &copy).unwrap();
        let device = Loop::of(&copy);
        drop(self.mount(&device, kind, options));
        drop(device);
        digest(&copy) != digest(image)
    }

    /// Unpacks from there; what was said.
    fn unpack(&self, from: &str, more: &[&str]) -> Output {
        drop(fs::remove_dir_all(self.at("root")));
        unpack(from, &self.at("root"), more).output().unwrap()
    }

    fn arrives(&self, from: &str, more: &[&str]) {
        let done = self.unpack(from, more);
        assert!(done.status.success(), "{from}: {}", said(&done));
        assert!(fs::read(self.at("root/noise")).unwrap() == fs::read(self.at("tree/noise")).unwrap());
    }

    fn fails(&self, from: &str, more: &[&str]) -> String {
        let done = self.unpack(from, more);
        assert_eq!(done.status.code(), Some(1), "{from}: {}", said(&done));
        assert_eq!(fs::read_dir(self.at("root")).unwrap().count(), 0, "{from}: something was left");
        said(&done)
    }
}

fn unpack(from: &str, to: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootjack"));
    command.args(["unpack", from]).arg(to).args(["--retry-for", "0s"]).args(more).stdin(Stdio::null());
    command
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// What a tool of the machine says.
fn tool(program: &str, words: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let done = Command::new(program).args(words).env("PATH", path).env("LC_ALL", "C").output();
    let done = done.unwrap_or_else(|e| panic!("{program}: {e}: lab/need.sh loopback installs it"));
    assert!(done.status.success(), "{program} {words:?}: {}", said(&done));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

fn digest(image: &Path) -> String {
    tool("sha256sum", &[image.to_str().unwrap()])[..64].to_owned()
}

/// A loop device; dropped, it is gone, and everything is in its file.
struct Loop(String);

impl Loop {
    fn of(image: &Path) -> Self {
        Self(tool("losetup", &["--find", "--show", image.to_str().unwrap()]))
    }

    fn read_only(image: &Path) -> Self {
        Self(tool("losetup", &["--find", "--show", "--read-only", image.to_str().unwrap()]))
    }

    /// The file on it.
    fn archive(&self) -> String {
        format!("dev:{}:/r.tar", self.0)
    }

    fn is_read_only(&self) -> bool {
        tool("blockdev", &["--getro", &self.0]) == "1"
    }

    /// Writes to it what is there already.
    fn takes_bytes(&self) {
        let mut device = File::options().read(true).write(true).open(&self.0).unwrap();
        let mut sector = [0; 4096];
        device.read_exact(&mut sector).unwrap();
        device.rewind().unwrap();
        device.write_all(&sector).unwrap();
        device.sync_all().unwrap();
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        tool("losetup", &["--detach", &self.0]);
    }
}

/// A mount of the test's own.
struct Mounted(String);

impl Drop for Mounted {
    fn drop(&mut self) {
        tool("umount", &[&self.0]);
    }
}

#[test]
fn a_file_that_was_open_when_the_power_failed_is_not_thrown_away() {
    let lab = Lab::new(3_000_000);
    let image = lab.ext4("image", 16);
    // The first file is the archive: something else is put on the list of those without a name.
    tool("debugfs", &["-w", "-R", "mknod fifo p", image.to_str().unwrap()]);
    let inode = tool("debugfs", &["-R", "stat fifo", image.to_str().unwrap()]);
    let inode = inode.split_whitespace().nth(1).unwrap();
    tool("debugfs", &["-w", "-R", &format!("ssv last_orphan {inode}"), image.to_str().unwrap()]);
    assert!(
        lab.is_changed_by_mount(&image, "ext4", "ro,noload"),
        "the kernel writes if nobody keeps it from that"
    );

    let before = digest(&image);
    let device = Loop::of(&image);
    lab.arrives(&device.archive(), &[]);
    assert!(!device.is_read_only(), "it is left as it was found");
    device.takes_bytes();
    // After an error, too.
    let why = lab.fails(&format!("dev:{}:/none.tar", device.0), &[]);
    assert!(why.contains("opening: No such file or directory"), "{why}");
    assert!(!device.is_read_only());
    drop(device);
    assert_eq!(digest(&image), before, "it was written to");

    let device = Loop::read_only(&image);
    lab.arrives(&device.archive(), &[]);
    assert!(device.is_read_only(), "it is left as it was found");
}

#[test]
fn no_journal_is_replayed_onto_a_disk_that_was_cut_off() {
    let lab = Lab::new(1_000_000);
    for (kind, mib) in [("ext4", 32), ("xfs", 320), ("btrfs", 128)] {
        let image = lab.cut_off(kind, mib);
        assert!(lab.is_changed_by_mount(&image, kind, "ro"), "{kind}: nothing was in its journal");
        let before = digest(&image);
        let device = Loop::of(&image);
        lab.arrives(&device.archive(), &[]);
        assert!(!device.is_read_only(), "{kind}");
        drop(device);
        assert_eq!(digest(&image), before, "{kind}: it was written to");
    }
}

#[test]
fn a_disk_that_is_in_use_stays_writable_for_who_uses_it() {
    let lab = Lab::new(1_000);
    let device = Loop::of(&lab.ext4("image", 16));
    let mounted = lab.mount(&device, "ext4", "rw");
    let why = lab.fails(&device.archive(), &[]);
    assert!(why.contains("it is in use; name the file where it is mounted"), "{why}");
    assert!(!device.is_read_only());
    fs::write(lab.at("mnt/more"), b"more").unwrap();
    tool("sync", &["--file-system", &lab.text("mnt")]);
    drop(mounted);
}

#[test]
fn a_file_system_on_two_devices_is_read_and_a_missing_one_is_said() {
    let lab = Lab::new(5_000_000);
    let label = format!("bootjack-{}", std::process::id());
    let (first, second) = (lab.blank("first", 128), lab.blank("second", 128));
    let (one, two) = (Loop::of(&first), Loop::of(&second));
    tool("mkfs.btrfs", &["-q", "-L", &label, "-d", "raid0", "-m", "raid1", &one.0, &two.0]);
    drop(lab.mount(&one, "btrfs", &format!("device={}", two.0)));
    {
        let _mounted = lab.mount(&one, "btrfs", &format!("device={}", two.0));
        fs::copy(lab.at("files/r.tar"), lab.at("mnt/r.tar")).unwrap();
    }
    // What the kernel has heard of must not help.
    tool("btrfs", &["device", "scan", "--forget", &one.0, &two.0]);
    let before = (digest(&first), digest(&second));
    for from in [format!("LABEL={label}:/r.tar"), one.archive(), two.archive()] {
        lab.arrives(&from, &[]);
    }
    assert!(!one.is_read_only() && !two.is_read_only());
    drop(two);
    let name = one.0.trim_start_matches("/dev/");
    for from in [format!("LABEL={label}"), one.0.clone()] {
        let why = lab.fails(&format!("dev:{from}:/r.tar").replace("dev:LABEL", "LABEL"), &[]);
        let lacks = format!(
            "{from} lies on 2 devices together, and only 1 came: {name} (128 MiB, btrfs, LABEL={label})"
        );
        assert!(why.contains(&lacks), "{why}");
    }
    drop(one);
    assert_eq!((digest(&first), digest(&second)), before, "they were written to");
}

#[test]
fn copies_of_an_encrypted_device_are_all_listed() {
    let lab = Lab::new(0);
    let uuid = format!("5b4c2f0e-9d9a-4a55-8a51-{:012x}", std::process::id());
    let header = [&b"LUKS\xba\xbe\0\x01"[..], &[0; 160], uuid.as_bytes()].concat();
    let images = ["one", "two"].map(|name| lab.blank(name, 4));
    let devices = images.each_ref().map(|image| {
        File::options().write(true).open(image).unwrap().write_all(&header).unwrap();
        Loop::of(image)
    });
    let why = lab.fails(&format!("UUID={uuid}:/r.tar"), &[]);
    assert!(why.contains(&format!("2 block devices have UUID={uuid}: loop")), "{why}");
    for device in &devices {
        assert!(why.contains(&format!("crypto_LUKS), UUID={uuid} as dev:{}", device.0)), "{why}");
    }
    assert!(why.contains("they are copies: name the one that is meant by dev:/dev/"), "{why}");
}

/// Whether somebody has it mounted, be it out of sight (open(2), O_EXCL).
fn is_in_use(device: &str) -> bool {
    let alone = File::options().read(true).custom_flags(nix::libc::O_EXCL).open(device);
    alone.is_err_and(|e| e.kind() == std::io::ErrorKind::ResourceBusy)
}

#[test]
fn a_signal_during_the_work_unmounts_what_was_mounted_for_it() {
    let lab = Lab::new(100 << 20);
    let device = Loop::of(&lab.ext4("image", 160));
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT] {
        let mut command = unpack(&device.archive(), &lab.at("root"), &[]);
        let child = command.stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        // By then the mount is out of sight, but the file that is read is on it.
        let at_work = || fs::read_dir(lab.at("root")).is_ok_and(|mut entries| entries.next().is_some());
        let until = Instant::now() + Duration::from_secs(60);
        while !at_work() {
            assert!(Instant::now() < until, "{signal}: nothing was unpacked");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        // It cannot end before it is told to.
        kill(pid, Signal::SIGSTOP).unwrap();
        assert!(is_in_use(&device.0), "{signal}: it was too fast");
        kill(pid, signal).unwrap();
        kill(pid, Signal::SIGCONT).unwrap();
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{signal}: {}", said(&done));
        assert!(said(&done).contains(": stopped"), "{signal}: {}", said(&done));
        assert!(!is_in_use(&device.0), "{signal}: it is still mounted");
        let left = fs::read_dir("/run/bootjack/mnt").unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> =
            left.filter(|name| name.to_str().unwrap().starts_with(&format!("{pid}-"))).collect();
        assert!(left.is_empty(), "{signal}: {left:?}");
        assert_eq!(fs::read_dir(lab.at("root")).unwrap().count(), 0, "{signal}: half a tree was left");
        assert!(!device.is_read_only(), "{signal}");
    }
}

#[test]
fn a_large_device_behind_a_small_archive_is_not_read_to_its_end() {
    const GIB: u64 = 1 << 30;
    let lab = Lab::new(1_000);
    tool("zstd", &["-q", &lab.text("files/r.tar")]);
    for (name, why) in [
        ("r.tar.zst", "more than 1 GiB of zeros after the zstd frame"),
        ("r.tar", "more than 1 GiB of zeros after the archive's end marker: say how large it is (size)"),
    ] {
        let image = lab.at("files").join(name);
        let size = fs::metadata(&image).unwrap().len();
        let file = File::options().write(true).open(&image).unwrap();
        file.set_len((size + GIB + (1 << 20)) / 4096 * 4096).unwrap();
        let device = Loop::of(&image);
        let said = lab.fails(&format!("dev:{}", device.0), &[]);
        assert!(said.contains(why), "{said}");
        lab.arrives(&format!("dev:{}", device.0), &["--size", &size.to_string()]);
    }
    // What tar itself has put there counts, too: ten kilobytes and a bit.
    let file = File::options().write(true).open(lab.at("files/r.tar")).unwrap();
    file.set_len(GIB).unwrap();
    lab.arrives(&format!("file:{}", lab.text("files/r.tar")), &[]);
}
