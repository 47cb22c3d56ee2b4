//! What `make` left in target/lab for the machines: kernels, roots, the static binary; and initrds made of them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bootjack::archive::Image;
use bootjack::verify::Sha256;

use crate::server::{Answer, Server};

/// A kernel of Debian's.
#[derive(Clone, Copy)]
pub enum Kernel {
    /// Quick to start; knows virtual hardware alone.
    Cloud,
    /// Knows everything; takes 5 s longer to start.
    Generic,
}

impl Kernel {
    fn directory(self) -> PathBuf {
        made(match self {
            Self::Cloud => "lab/cloud",
            Self::Generic => "lab/generic",
        })
    }

    pub fn image(self) -> PathBuf {
        self.directory().join("vmlinuz")
    }

    /// Its `lib/modules/RELEASE`.
    pub fn modules(self) -> PathBuf {
        let all = self.directory().join("lib/modules");
        let mut inside = std::fs::read_dir(&all).unwrap_or_else(|e| panic!("{}: {e}", all.display()));
        inside.next().expect("one release").expect("readable").path()
    }
}

/// Something below target/; missing means that make has not run.
pub fn made(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name);
    assert!(path.exists(), "{} is not there: journeys are run by `make test-vm`", path.display());
    path
}

/// The static binary.
pub fn bootjack() -> PathBuf {
    made("bootjack")
}

/// A directory that goes with the journey, and an initrd in it with network drivers and a shell, made by the real
/// binary with `more` words.
pub struct Initrd {
    dir: tempfile::TempDir,
}

impl Initrd {
    pub fn new(kernel: Kernel, more: &[&str]) -> Self {
        let initrd = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        let made = Command::new(bootjack())
            .args(["initrd", "--compress", "none", "--busybox", "-o"])
            .arg(initrd.path())
            .arg("--modules")
            .arg(kernel.modules())
            .args(more)
            .output()
            .expect("bootjack runs");
        assert!(made.status.success(), "bootjack initrd: {}", String::from_utf8_lossy(&made.stderr));
        initrd
    }

    /// With this text as the built-in catalog.
    pub fn with_catalog(kernel: Kernel, catalog: &str, more: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), catalog).expect("writing a catalog");
        Self::new(kernel, &[&["--catalog", file.path().to_str().expect("UTF-8")], more].concat())
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("initrd")
    }
}

/// A packed root, with what the catalog says about it.
pub struct Root {
    pub bytes: Arc<Vec<u8>>,
    pub sha256: String,
    unpacked: u64,
    entries: u64,
}

impl Root {
    /// Debian with systemd, a login prompt and the specimens of /srv/specimens.
    pub fn debian() -> Self {
        Self::packed("lab/debian.tar.zst")
    }

    /// A root whose init prints `FACT name value` lines and switches the machine off.
    pub fn busybox() -> Self {
        Self::packed("lab/busybox.tar.zst")
    }

    /// The busybox root with so many MiB that cannot be compressed, and so many that almost vanish.
    pub fn with_ballast(random: u64, zeros: u64) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (tree, packed) = (dir.path().join("tree"), dir.path().join("packed.tar.zst"));
        let run = |words: &[&std::ffi::OsStr]| {
            let done = Command::new(bootjack()).args(words).output().expect("bootjack runs");
            assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
            done.stdout
        };
        run(&["unpack".as_ref(), made("lab/busybox.tar.zst").as_ref(), tree.as_ref()]);
        let fill = |name: &str, from: &str, mib: u64| {
            let from = std::fs::File::open(from).expect("a source of bytes");
            let mut to = std::fs::File::create(tree.join(name)).expect("a file");
            std::io::copy(&mut from.take(mib << 20), &mut to).expect("ballast");
        };
        fill("random", "/dev/urandom", random);
        fill("zeros", "/dev/zero", zeros);
        let level = ["--level".as_ref(), "1".as_ref(), "--json".as_ref()];
        let about =
            run(&[&["pack".as_ref(), tree.as_ref(), "-o".as_ref(), packed.as_ref()], &level[..]].concat());
        Self::of(std::fs::read(packed).expect("packed"), &about)
    }

    fn packed(name: &str) -> Self {
        let read = |path: PathBuf| std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self::of(read(made(name)), &read(made(&format!("{name}.json"))))
    }

    /// A directory or a tar archive, packed here.
    pub fn packed_of(source: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let packed = dir.path().join("packed.tar.zst");
        let mut pack = Command::new(bootjack());
        pack.arg("pack").arg(source).arg("-o").arg(&packed).args(["--level", "1", "--json"]);
        let done = pack.output().expect("bootjack runs");
        assert!(done.status.success(), "bootjack pack: {}", String::from_utf8_lossy(&done.stderr));
        Self::of(std::fs::read(&packed).expect("packed"), &done.stdout)
    }

    /// The busybox root as an image of a file system.
    pub fn image(kind: Image) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tree = dir.path().join("tree");
        let done =
            Command::new(bootjack()).arg("unpack").args([&made("lab/busybox.tar.zst"), &tree]).output();
        assert!(done.expect("bootjack runs").status.success());
        Self::image_of(&tree, kind)
    }

    /// A directory as an image of a file system.
    pub fn image_of(tree: &Path, kind: Image) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let image = dir.path().join("image");
        let [tree, to] = [tree, &image].map(|path| path.to_str().expect("UTF-8"));
        let (program, words) = match kind {
            Image::Squashfs => {
                ("mksquashfs", [tree, to, "-quiet", "-comp", "zstd", "-Xcompression-level", "1"].to_vec())
            }
            Image::Erofs => ("mkfs.erofs", ["--quiet", "-zlz4", to, tree].to_vec()),
        };
        let done = Command::new(program).args(words).output().expect("lab/need.sh vm");
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
        let bytes = std::fs::read(&image).expect("made");
        // Nothing is unpacked.
        Self { sha256: Sha256::of(&bytes).to_string(), bytes: Arc::new(bytes), unpacked: 0, entries: 0 }
    }

    /// Bytes, and what `pack --json` said of them.
    fn of(bytes: Vec<u8>, about: &[u8]) -> Self {
        let about: serde_json::Value = serde_json::from_slice(about).expect("what pack --json says");
        let number = |key: &str| about[key].as_u64().unwrap_or_else(|| panic!("{key} in {about}"));
        Self {
            sha256: Sha256::of(&bytes).to_string(),
            bytes: Arc::new(bytes),
            unpacked: number("unpacked"),
            entries: number("entries"),
        }
    }

    /// The artifact as the catalog has it, at a place beside the catalog.
    pub fn artifact(&self, url: &str) -> String {
        self.artifact_of(url, Some(self.unpacked))
    }

    /// The same with another claim about its size in memory, or none.
    pub fn artifact_of(&self, url: &str, unpacked: Option<u64>) -> String {
        let claim = unpacked.map(|n| format!(", unpacked = {n}, entries = {}", self.entries));
        let (sha256, size) = (&self.sha256, self.bytes.len());
        let claim = claim.unwrap_or_default();
        format!("{{ url = \"{url}\", sha256 = \"{sha256}\", size = {size}{claim} }}")
    }

    /// An initrd, and the words that boot this root from `server` without a catalog.
    pub fn by_hand(&self, server: &Server, kernel: Kernel) -> (Initrd, String) {
        let url = server.put("root", &[Answer::Good(self.bytes.clone())]);
        let words = format!("root=tmpfs:{url} rd.tmpfs.sha256={}", self.sha256);
        (Initrd::new(kernel, &["--drivers", "net"]), words)
    }
}

/// A root archive with its chunk list, in a directory of its own: `root.tar.zst`, for a mirror.
pub struct Packed {
    dir: tempfile::TempDir,
    pub sha256: String,
    pub chunks: String,
    /// Bytes of the archive.
    pub size: u64,
}

impl Packed {
    /// The busybox root with so many bytes that cannot be compressed, in chunks of a MiB.
    pub fn with_ballast(random: u64) -> Self {
        let (dir, work) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let tree = work.path().join("tree");
        let run = |command: &mut Command| {
            let done = command.output().expect("bootjack runs");
            assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
            done.stdout
        };
        run(Command::new(bootjack()).arg("unpack").args([&made("lab/busybox.tar.zst"), &tree]));
        let from = std::fs::File::open("/dev/urandom").expect("a source of bytes");
        let mut to = std::fs::File::create(tree.join("random")).expect("a file");
        std::io::copy(&mut from.take(random), &mut to).expect("ballast");
        let mut pack = Command::new(bootjack());
        pack.arg("pack").arg(&tree).arg("-o").arg(dir.path().join("root.tar.zst"));
        let said = run(pack.args(["--level", "1", "--frame-size", "1", "--json"]));
        let about: serde_json::Value = serde_json::from_slice(&said).expect("what pack --json says");
        let text = |key: &str| about[key].as_str().unwrap_or_else(|| panic!("{key} in {about}")).to_owned();
        let size = about["size"].as_u64().expect("a size");
        Self { sha256: text("sha256"), chunks: text("chunks"), size, dir }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// Puts this kernel on the server; the artifact as the catalog has it, its place beside the catalog.
pub fn kernel_artifact(server: &Server, name: &str, kernel: Kernel) -> String {
    let bytes = std::fs::read(kernel.image()).expect("a kernel");
    artifact_of(server, name, bytes)
}

/// Puts these bytes on the server; the artifact as the catalog has it.
pub fn artifact_of(server: &Server, name: &str, bytes: Vec<u8>) -> String {
    let (sha256, size) = (Sha256::of(&bytes), bytes.len());
    server.put(name, &[Answer::Good(Arc::new(bytes))]);
    format!("{{ url = \"{name}\", sha256 = \"{sha256}\", size = {size} }}")
}

/// A kexec entry titled `Entry ID`; `more` are further lines.
pub fn kexec(id: &str, kernel: &str, more: &str) -> String {
    let title = format!("id = \"{id}\"\ntitle = \"Entry {id}\"\n");
    format!("[[entry]]\n{title}boot = \"kexec\"\nkernel = {kernel}\n{more}\n")
}

/// A run entry titled `Entry ID` whose job is this shell script; `more` are further lines of its table `run`.
pub fn job(id: &str, root: &str, script: &str, more: &str) -> String {
    job_of(id, root, &format!("[\"/bin/sh\", \"-c\", '''{script}''']"), more)
}

/// The same with any command, a list of TOML.
pub fn job_of(id: &str, root: &str, command: &str, more: &str) -> String {
    let title = format!("id = \"{id}\"\ntitle = \"Entry {id}\"\n");
    format!("[[entry]]\n{title}boot = \"run\"\nroot = {root}\n[entry.run]\ncommand = {command}\n{more}\n")
}

/// A catalog with these lines for its menu, whose first entry is `first` and whose second boots this root (`next`).
pub fn menu_of(menu: &str, first: &str, next: &str) -> String {
    let more = catalog(&[("next", next, "")]);
    more.replacen("version = 1\n", &format!("version = 1\n[menu]\n{menu}\n{first}"), 1)
}

/// A catalog of switch-root entries (id, artifact, further lines) titled `Entry ID`, and one that powers off.
pub fn catalog(entries: &[(&str, &str, &str)]) -> String {
    let mut text = "version = 1\n".to_owned();
    for (id, root, more) in entries {
        let title = format!("id = \"{id}\"\ntitle = \"Entry {id}\"\n");
        text += &format!("[[entry]]\n{title}boot = \"switch-root\"\nroot = {root}\n{more}\n");
    }
    text + "[[entry]]\nid = \"poweroff\"\ntitle = \"Entry poweroff\"\nboot = \"poweroff\"\n"
}
