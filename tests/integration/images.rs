//! Images of file systems as roots: read in place under an overlay, and gone without a trace. By `unpack --cmdline`, which
//! does what a boot does; starting what is in them is the journeys'.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bootjack::commands::serve::{Running, Server};
use bootjack::verify::Sha256;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::mount::{UnmountFlags, unmount};

/// Every image has a length of its own, by which its loop device is known among all of this host.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A server with an image on it, and a place for the root.
struct Bench {
    dir: tempfile::TempDir,
    server: Running,
    bytes: u64,
    sha256: String,
}

impl Bench {
    /// With an image of this kind: a marker, and 2 MiB that cannot be compressed.
    fn new(kind: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::write(tree.join("etc/marker"), "the root that was packed").unwrap();
        fs::write(tree.join("large"), random((2 << 20) + own())).unwrap();
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o751)).unwrap();
        chown(&tree, Some(12), Some(34)).unwrap();
        rustix::fs::setxattr(&tree, "trusted.specimen", b"of the root", rustix::fs::XattrFlags::empty())
            .unwrap();
        let make = match kind {
            "squashfs" => vec![
                "mksquashfs".as_ref(),
                tree.as_os_str(),
                image.as_os_str(),
                "-quiet".as_ref(),
                "-nopad".as_ref(),
            ],
            _ => vec!["mkfs.erofs".as_ref(), image.as_os_str(), tree.as_os_str()],
        };
        let made = Command::new(make[0]).args(&make[1..]).output().unwrap();
        assert!(made.status.success(), "{}", err(&made));
        Self::of(dir, fs::read(image).unwrap())
    }

    fn of(dir: tempfile::TempDir, image: Vec<u8>) -> Self {
        fs::write(dir.path().join("root.img"), &image).unwrap();
        let server = Server::bind(dir.path(), "127.0.0.1:0".parse().unwrap()).unwrap().spawn(|_| {}).unwrap();
        Self { dir, server, bytes: image.len() as u64, sha256: Sha256::of(&image).to_string() }
    }

    fn url(&self) -> String {
        format!("http://{}/root.img", self.server.addr())
    }

    fn words(&self, more: &str) -> String {
        format!("root=tmpfs:{} rd.tmpfs.sha256={} {more}", self.url(), self.sha256)
    }

    fn sysroot(&self) -> PathBuf {
        self.dir.path().join("sysroot")
    }

    /// `unpack --cmdline` with these words.
    fn command(&self, words: &str) -> Command {
        let cmdline = self.dir.path().join("cmdline");
        fs::write(&cmdline, words).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootjack"));
        command.arg("unpack").arg(format!("--cmdline={}", cmdline.display())).arg(self.sysroot());
        command
    }

    fn boot(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// Lines of `/proc/mounts` of all that is mounted where the root belongs, or below.
    fn mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let place = self.dir.path().display().to_string();
        mounts.lines().filter(|line| line.contains(&place)).map(str::to_owned).collect()
    }

    /// How many loop devices have its image.
    fn attached(&self) -> usize {
        let sectors = self.bytes.next_multiple_of(4096) / 512;
        let devices = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().path());
        let has_it = |device: &PathBuf| {
            let read = |name: &str| fs::read_to_string(device.join(name)).unwrap_or_default();
            read("loop/backing_file").contains("memfd:root") && read("size").trim() == sectors.to_string()
        };
        devices.filter(has_it).count()
    }

    /// Nothing is mounted, and no loop device is left: the kernel lets go of one a moment after its last user.
    fn expect_nothing_left(&self) {
        assert_eq!(self.mounts(), Vec::<String>::new());
        let until = Instant::now() + Duration::from_secs(10);
        while self.attached() > 0 {
            assert!(Instant::now() < until, "a loop device still has the image");
            std::thread::yield_now();
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        while unmount(self.sysroot(), UnmountFlags::DETACH).is_ok() {}
    }
}

/// Bytes that make the length of an image its own, in whole blocks too, and that end in no whole one.
fn own() -> u64 {
    (u64::from(std::process::id() % 32) * 16 + NUMBER.fetch_add(1, Ordering::Relaxed)) * 4096 + 7
}

fn random(bytes: u64) -> Vec<u8> {
    let mut all = Vec::new();
    fs::File::open("/dev/urandom").unwrap().take(bytes).read_to_end(&mut all).unwrap();
    all
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_image_is_the_root_as_it_is_and_what_is_written_goes_to_the_tmpfs() {
    for kind in ["squashfs", "erofs"] {
        let bench = Bench::new(kind);
        let sysroot = bench.sysroot();
        // The image is larger than what may be written.
        let booted = bench.boot(&bench.words("rd.tmpfs.size=1m"));
        assert!(booted.status.success(), "{kind}: {}", err(&booted));
        let said = String::from_utf8(booted.stdout.clone()).unwrap();
        assert!(said.contains(&format!(" {kind} image, read in place")), "{said}");
        let mounts = bench.mounts();
        assert!(
            matches!(&mounts[..], [one] if one.starts_with("bootjack ") && one.contains(" overlay rw")),
            "{mounts:?}"
        );
        assert_eq!(bench.attached(), 1, "{kind}");
        assert_eq!(fs::read_to_string(sysroot.join("etc/marker")).unwrap(), "the root that was packed");
        assert_eq!(
            fs::read(sysroot.join("large")).unwrap(),
            fs::read(bench.dir.path().join("tree/large")).unwrap()
        );
        let about = fs::metadata(&sysroot).unwrap();
        assert_eq!((about.mode() & 0o7777, about.uid(), about.gid()), (0o751, 12, 34), "{kind}");
        let mut value = [0; 64];
        let n = rustix::fs::getxattr(&sysroot, "trusted.specimen", &mut value).unwrap();
        assert_eq!(&value[..n], b"of the root", "{kind}");
        fs::write(sysroot.join("etc/marker"), "changed").unwrap();
        fs::remove_file(sysroot.join("large")).unwrap();
        fs::write(sysroot.join("new"), vec![1; 512 << 10]).unwrap();
        let full = fs::write(sysroot.join("more"), vec![1; 1 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{kind}");
        assert_eq!(fs::read_to_string(sysroot.join("etc/marker")).unwrap(), "changed");
        unmount(&sysroot, UnmountFlags::DETACH).unwrap();
        bench.expect_nothing_left();
    }
}

#[test]
fn an_image_whose_digest_is_wrong_is_never_mounted() {
    let bench = Bench::new("squashfs");
    let wrong = "deadbeef".repeat(8);
    let refused =
        bench.boot(&format!("root=tmpfs:{} rd.tmpfs.sha256={wrong} bootjack.retry_for=0s", bench.url()));
    assert_eq!(refused.status.code(), Some(1));
    let said = err(&refused);
    assert!(said.contains(&wrong) && said.contains(&bench.sha256) && said.contains("verify:"), "{said}");
    bench.expect_nothing_left();
}

#[test]
fn a_broken_image_is_thrown_away_in_the_kernels_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = vec![0; (1 << 20) + own() as usize];
    image[..4].copy_from_slice(b"hsqs");
    let bench = Bench::of(dir, image);
    let refused = bench.boot(&bench.words(""));
    assert_eq!(refused.status.code(), Some(1));
    let said = err(&refused);
    assert!(said.contains("unpack: ") && said.contains("mounting the image as squashfs: "), "{said}");
    assert!(said.contains("squashfs") && said.contains("hint: make it anew"), "{said}");
    bench.expect_nothing_left();
}

/// A server that says `length` and sends these bytes, then nothing.
fn stalling(length: u64, bytes: Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            drop(write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
            drop(stream.write_all(&bytes));
            open.push(stream);
        }
    });
    address
}

#[test]
fn an_image_larger_than_the_memory_is_refused_with_numbers_after_its_first_bytes() {
    let bench = Bench::new("squashfs");
    let head = fs::read(bench.dir.path().join("root.img")).unwrap()[..4096].to_vec();
    let address = stalling(1 << 50, head);
    let refused = bench.boot(&format!("root=tmpfs:http://{address}/root rd.tmpfs.sha256={}", bench.sha256));
    assert_eq!(refused.status.code(), Some(1));
    let said = err(&refused);
    assert!(said.contains("the squashfs image needs 1073741856 MiB of memory, "), "{said}");
    assert!(said.contains("MiB are available") && said.contains("plan: "), "{said}");
    bench.expect_nothing_left();
}

#[test]
fn a_load_that_is_ended_leaves_no_mount_and_no_loop_device() {
    let bench = Bench::new("erofs");
    let image = fs::read(bench.dir.path().join("root.img")).unwrap();
    // All but the last byte.
    let address = stalling(bench.bytes, image[..image.len() - 1].to_vec());
    let words = format!("root=tmpfs:http://{address}/root rd.tmpfs.sha256={}", bench.sha256);
    let mut child = bench.command(&words).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    let mut errors = child.stderr.take().unwrap();
    let mut byte = [0];
    while !said.contains("read in place") {
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "{said}");
        said.push(byte[0] as char);
    }
    assert!(!bench.mounts().is_empty(), "it is on its way");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    errors.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(said.contains("stopped"), "{said}");
    bench.expect_nothing_left();
}

#[test]
fn an_image_is_not_unpacked_and_the_way_out_is_said() {
    let bench = Bench::new("erofs");
    let target = bench.dir.path().join("target");
    let unpack = |place: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootjack"));
        let refused = command.arg("unpack").arg(place).arg(&target).output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
        err(&refused)
    };
    let said = unpack(&bench.dir.path().join("root.img"));
    assert!(said.contains("this is an erofs image: it is mounted, not unpacked"), "{said}");
    assert!(said.contains("hint: mount -o loop,ro FILE DIR"), "{said}");
    // Inside a compression it is of no use: nothing in it can be read where it lies.
    for (program, words) in [("gzip", vec!["-k"]), ("zstd", vec!["-q"])] {
        let image = bench.dir.path().join("root.img");
        assert!(Command::new(program).args(words).arg(&image).status().unwrap().success());
        let ending = if program == "gzip" { "gz" } else { "zst" };
        let said = unpack(&bench.dir.path().join(format!("root.img.{ending}")));
        assert!(said.contains(&format!("this is an erofs image inside {program}, not a tar")), "{said}");
    }
}
