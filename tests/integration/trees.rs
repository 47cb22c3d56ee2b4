//! Trees for the archive tests: one with every kind of entry, fresh file systems to put it on, and everything lstat(2)
//! and the extended attributes say of a tree, as data.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, makedev};

use bootjack::verify::Sha256;

/// A file system of its own, gone with the value.
#[derive(Debug)]
pub struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    pub fn tmpfs(options: &str) -> Self {
        Self::of("tmpfs", options)
    }

    pub fn of(kind: &str, options: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests mount file systems: run them as root");
        let dir = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        let data = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount("test", dir.path(), kind, flags, data.as_c_str()).unwrap();
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn fd(&self) -> OwnedFd {
        std::fs::File::open(self.path()).unwrap().into()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// Runs a tool that the test machine has.
pub fn run(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// What an archive format has room for.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub enum Room {
    /// Files, directories, links with short names.
    V7,
    /// Device nodes and fifos too.
    Ustar,
    /// Long names, large numbers.
    Gnu,
    /// Everything.
    Pax,
}

/// A tree with every kind of entry there is room for.
pub fn plant(root: &Path, room: Room) {
    let at = |name: &str| root.join(name);
    let dir = |name: &str, mode: u32| {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    let file = |name: &str, data: &[u8], mode: u32| {
        std::fs::write(at(name), data).unwrap();
        std::fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    dir("plain", 0o755);
    dir("tmp", 0o1777);
    dir("shared", 0o2775);
    chown(at("shared"), Some(0), Some(50)).unwrap();
    std::fs::set_permissions(at("shared"), PermissionsExt::from_mode(0o2775)).unwrap();
    file("shared/by-root", b"not of group 50", 0o640);
    chown(at("shared/by-root"), Some(0), Some(0)).unwrap();
    dir("shared/below", 0o755);
    chown(at("shared/below"), Some(0), Some(0)).unwrap();
    std::fs::set_permissions(at("shared/below"), PermissionsExt::from_mode(0o755)).unwrap();
    dir("locked", 0o000);
    file("locked/inside", b"x", 0o000);
    file("empty", b"", 0o644);
    file("one", b"1", 0o600);
    file("block", &[7; 512], 0o666);
    file("large", &noise((1 << 20) + 1), 0o755);
    for n in 0..40 {
        file(&format!("plain/{n}"), &noise(n * 997), 0o644);
    }
    file("setuid", b"#!", 0o4755);
    file("owned", b"#!", 0o6711);
    chown(at("owned"), Some(1000), Some(2000)).unwrap();
    std::fs::set_permissions(at("owned"), PermissionsExt::from_mode(0o6711)).unwrap();
    std::fs::hard_link(at("one"), at("plain/one-again")).unwrap();
    std::fs::hard_link(at("one"), at("zz-one")).unwrap();
    symlink("plain/3", at("link")).unwrap();
    symlink("/etc/passwd", at("absolute")).unwrap();
    symlink("nowhere/at/all", at("dangling")).unwrap();
    symlink("../../../..", at("plain/up")).unwrap();
    rustix::fs::chownat(CWD, at("link"), Some(uid(1)), Some(gid(2)), AtFlags::SYMLINK_NOFOLLOW).unwrap();
    time(&at("one"), 1, 0);
    time(&at("link"), 1_000_000_000, 0);
    time(&at("empty"), 0, 0);
    if room >= Room::Ustar {
        nodes(root);
    }
    if room >= Room::Gnu {
        long_and_large(root);
    }
    if room >= Room::Pax {
        attributes(root);
    }
    time(&at("plain"), 1_234_567_890, 0);
    time(&at("locked"), 86_400, 0);
    time(root, 1_500_000_000, 0);
}

fn nodes(root: &Path) {
    let node = |name: &str, kind, mode, device| {
        rustix::fs::mknodat(CWD, root.join(name), kind, Mode::from_raw_mode(0o600), device).unwrap();
        std::fs::set_permissions(root.join(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    node("fifo", FileType::Fifo, 0o622, 0);
    node("null", FileType::CharacterDevice, 0o666, makedev(1, 3));
    node("disk", FileType::BlockDevice, 0o660, makedev(259, 70_000));
    node("whiteout", FileType::CharacterDevice, 0o000, makedev(0, 0));
    chown(root.join("disk"), Some(0), Some(6)).unwrap();
}

fn long_and_large(root: &Path) {
    let name = "n".repeat(255);
    std::fs::write(root.join(&name), b"long name").unwrap();
    let deep = format!("{}/{}/{}", "d".repeat(120), "e".repeat(120), "f".repeat(120));
    std::fs::create_dir_all(root.join(&deep)).unwrap();
    std::fs::write(root.join(&deep).join("leaf"), b"deep").unwrap();
    std::fs::hard_link(root.join(&deep).join("leaf"), root.join("short-of-deep")).unwrap();
    symlink(&deep, root.join("to-deep")).unwrap();
    std::fs::write(root.join("Grüße-\u{1f97e}"), b"unicode").unwrap();
    std::fs::write(root.join("two\nlines"), b"newline").unwrap();
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"latin-\xe9")), b"not UTF-8").unwrap();
    std::fs::write(root.join("far"), b"x").unwrap();
    chown(root.join("far"), Some(3_000_000_000), Some(4_294_967_294)).unwrap();
    time(&root.join("far"), -1_000_000, 0);
    sparse(&root.join("sparse"), 10 << 20, &[(0, 5000), (1 << 20, 4096), (5_000_000, 70_000)]);
    sparse(&root.join("hole"), 3 << 20, &[]);
    sparse(&root.join("tail"), (1 << 20) + 100, &[((1 << 20) + 50, 50)]);
    // More pieces than fit a header of any form.
    let many: Vec<(u64, usize)> = (0..120).map(|n| (n * 16384, 100)).collect();
    sparse(&root.join("comb"), 120 * 16384, &many);
}

fn attributes(root: &Path) {
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(name), key, value, XattrFlags::empty()).unwrap();
    };
    set("one", "user.comment", b"two words");
    set("one", "user.empty", b"");
    set("one", "user.a=b%3D", b"odd name");
    set("plain", "user.dir", b"on a directory");
    set("large", "trusted.bytes", b"\0\n20 uid=7\n\xff\0");
    set("link", "trusted.onlink", b"of the link itself");
    set("fifo", "trusted.onfifo", b"1");
    set("null", "trusted.onnode", b"1");
    set("owned", "security.selinux", b"system_u:object_r:bin_t:s0\0");
    set("plain", "security.selinux", b"system_u:object_r:usr_t:s0\0");
    set("link", "security.selinux", b"system_u:object_r:etc_t:s0\0");
    // Not only files have several names.
    std::fs::hard_link(root.join("link"), root.join("plain/link-again")).unwrap();
    // VFS_CAP_REVISION_2, effective, cap_dac_override and cap_fowner: 0x0a, a newline (linux/capability.h).
    set("owned", "security.capability", &[1, 0, 0, 2, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    set("setuid", "security.capability", &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    run("setfacl", &["-m", "u:1000:rw,g:2000:r,m:rw", &path("block")]);
    std::fs::create_dir(root.join("heirs")).unwrap();
    std::fs::write(root.join("heirs/before"), b"").unwrap();
    run("setfacl", &["-m", "u:1000:rwx", &path("heirs")]);
    run("setfacl", &["-d", "-m", "u:1000:rwx,g:7:x", &path("heirs")]);
    std::fs::write(root.join("heirs/after"), b"").unwrap();
    std::fs::create_dir(root.join("heirs/sub")).unwrap();
    std::fs::create_dir(root.join("heirs/bare")).unwrap();
    run("setfacl", &["-b", &path("heirs/bare")]);
    std::fs::write(root.join("fraction"), b"x").unwrap();
    time(&root.join("fraction"), 1_700_000_000, 123_456_789);
    time(&root.join("null"), -2, 500_000_000);
    time(&root.join("heirs"), 1_600_000_000, 1);
}

fn uid(n: u32) -> rustix::fs::Uid {
    rustix::fs::Uid::from_raw(n)
}

fn gid(n: u32) -> rustix::fs::Gid {
    rustix::fs::Gid::from_raw(n)
}

fn time(path: &Path, seconds: i64, nanoseconds: i64) {
    let at = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: at, last_modification: at };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn sparse(path: &Path, size: u64, pieces: &[(u64, usize)]) {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (offset, length) in pieces {
        file.write_all_at(&noise(*length), *offset).unwrap();
    }
}

/// Bytes without a pattern, the same each time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// All there is to know of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    mode: u32,
    owner: (u32, u32),
    pub mtime: (i64, i64),
    device: u64,
    /// Of files: size, allocated 512-byte blocks, digest.
    data: Option<(u64, u64, Sha256)>,
    target: Option<PathBuf>,
    /// The first name of the same file.
    same_as: PathBuf,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    pub fn is_link(&self) -> bool {
        self.target.is_some()
    }

    /// As of a file system that tells of no holes.
    pub fn without_holes(mut self) -> Self {
        if let Some((_, blocks, _)) = &mut self.data {
            *blocks = 0;
        }
        self
    }

    pub fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }
}

pub type Tree = BTreeMap<PathBuf, Entry>;

/// A tree as data, by path relative to its root.
pub fn look(root: &Path) -> Tree {
    let mut tree = BTreeMap::new();
    let mut names = Vec::new();
    list(root, Path::new(""), &mut names);
    names.sort();
    let mut first = HashMap::new();
    for name in names {
        let path = if name == Path::new("") { root.to_owned() } else { root.join(&name) };
        let meta = path.symlink_metadata().unwrap();
        let same_as = if meta.is_dir() {
            name.clone()
        } else {
            first.entry(meta.ino()).or_insert_with(|| name.clone()).clone()
        };
        let data =
            meta.is_file().then(|| (meta.len(), meta.blocks(), Sha256::of(&std::fs::read(&path).unwrap())));
        let entry = Entry {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            device: meta.rdev(),
            data,
            target: meta.is_symlink().then(|| std::fs::read_link(&path).unwrap()),
            same_as,
            xattrs: xattrs(&path),
        };
        tree.insert(name, entry);
    }
    tree
}

/// What is different, in words short enough to read.
pub fn compare(what: &str, got: &Tree, want: &Tree) {
    let mut wrong = Vec::new();
    for name in got.keys().chain(want.keys()).collect::<std::collections::BTreeSet<_>>() {
        if got.get(name) != want.get(name) {
            wrong.push(format!("{name:?}:\n   got {:?}\n  want {:?}", got.get(name), want.get(name)));
        }
    }
    assert!(wrong.is_empty(), "{what}: {} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Bytes of all files as a tmpfs holds them, and of all attributes with their share of the kernel's memory, each once.
pub fn allocated(root: &Path) -> u64 {
    let mut names = Vec::new();
    list(root, Path::new(""), &mut names);
    let bytes = |name: &PathBuf| {
        let path = if name == Path::new("") { root.to_owned() } else { root.join(name) };
        let meta = path.symlink_metadata().unwrap();
        let data = if meta.is_file() { meta.blocks() * 512 } else { 0 };
        let one =
            |(name, value): (&Vec<u8>, &Vec<u8>)| (name.len() + value.len() + 64).next_power_of_two() as u64;
        (meta.ino(), data + xattrs(&path).iter().map(one).sum::<u64>())
    };
    names.iter().map(bytes).collect::<HashMap<_, _>>().values().sum()
}

fn list(root: &Path, name: &Path, names: &mut Vec<PathBuf>) {
    names.push(name.to_owned());
    let path = root.join(name);
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            list(root, &name.join(entry.unwrap().file_name()), names);
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 65536];
    let n = match rustix::fs::llistxattr(path, &mut list[..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        other => other.unwrap(),
    };
    let names = list[..n].split(|b| *b == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65536];
            let n = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (name.to_vec(), value[..n].to_vec())
        })
        .collect()
}

/// Unpacks without bounds worth mentioning.
pub fn unpack(
    mut input: &[u8],
    target: &Mount,
) -> Result<bootjack::archive::Unpacked, bootjack::archive::UnpackError> {
    let limits = bootjack::archive::Limits { bytes: u64::MAX, entries: u64::MAX };
    bootjack::archive::unpack(&mut input, target.fd().as_fd(), &limits, &|_| {
        std::ops::ControlFlow::Continue(())
    })
}
