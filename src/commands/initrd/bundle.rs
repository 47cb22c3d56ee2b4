//! `--with`: a program of this machine, with everything it needs to run in the initrd: its loader and libraries, found
//! as the loader finds them (ld.so(8)), without running any of it. What an ELF file says is `elf`'s.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::elf::{Elf, u32_at, u64_at};
use crate::archive::newc::{Content, Tree};
use crate::volumes;

/// What is known by one word.
struct Known {
    name: &'static str,
    /// The Debian package it is in.
    package: &'static str,
    /// What it loads by itself, beside a library that it needs: it is left out where it is not there.
    beside: &'static [(&'static str, &'static str)],
}

/// Those of `--with`.
const KNOWN: &[Known] = &[
    Known { name: "lvm", package: "lvm2", beside: &[] },
    Known { name: "mdadm", package: "mdadm", beside: &[] },
    // OpenSSL's provider of old hashes: cryptsetup asks for it at each start.
    Known {
        name: "cryptsetup",
        package: "cryptsetup-bin",
        beside: &[("libcrypto.so.3", "ossl-modules/legacy.so")],
    },
];

/// Those of `--ssh`. Before glibc 2.34 names of users are looked up in a library that nothing names (nsswitch.conf(5)).
const OF_SSH: &[Known] = &[
    Known { name: "dropbear", package: "dropbear-bin", beside: &[("libc.so.6", "libnss_files.so.2")] },
    Known { name: "dropbearkey", package: "dropbear-bin", beside: &[] },
];

/// glibc loads this by itself where a thread is cancelled or ends (pthread_cancel(3)): cryptsetup's Argon2 does.
const LIBGCC: &str = "libgcc_s.so.1";

/// Where programs are looked for by name.
const PROGRAMS: &[&str] = &["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// Where a loader looks when nothing else says where: Debian's, then everybody's.
const LIBRARIES: &[&str] =
    &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// What else it has found, by name.
const CACHE: &str = "/etc/ld.so.cache";

/// The kernel follows interpreters of interpreters this deep (fs/exec.c, exec_binprm).
const INTERPRETERS: usize = 5;

/// One word of `--with`.
#[derive(Clone, Debug)]
pub struct With {
    /// A path, or one of the names that are known.
    program: String,
    /// Where it goes; absent: where it is here.
    dest: Option<String>,
}

impl With {
    /// `lvm`, `mdadm`, `cryptsetup`, or `PATH[=DEST]`.
    ///
    /// # Errors
    /// None of these.
    pub fn parse(text: &str) -> Result<Self> {
        let (program, dest) = text.split_once('=').map_or((text, None), |(path, dest)| (path, Some(dest)));
        if !program.contains('/') && !KNOWN.iter().any(|known| known.name == program) {
            bail!("lvm, mdadm, cryptsetup or a path is wanted, such as /usr/sbin/dmidecode");
        }
        let dest = dest.map(super::plain_path).transpose().context("PATH=DEST")?;
        Ok(Self { program: program.to_owned(), dest })
    }

    /// One of `--ssh`, wherever it is on this machine, to go to exactly this place.
    pub fn at(place: &str) -> Self {
        let program = place.rsplit('/').next().unwrap_or_default().to_owned();
        Self { program, dest: Some(place.trim_start_matches('/').to_owned()) }
    }

    /// The list of kernel modules that goes with it.
    pub fn drivers(&self) -> Option<&'static str> {
        KNOWN.iter().find(|known| known.name == self.program).map(|known| known.name)
    }

    /// The flag that asks for it.
    pub fn wanted_by(&self) -> String {
        let of_ssh = OF_SSH.iter().any(|known| known.name == self.program);
        if of_ssh { "--ssh".to_owned() } else { format!("--with {self}") }
    }

    fn known(&self) -> Option<&'static Known> {
        KNOWN.iter().chain(OF_SSH).find(|known| known.name == self.program)
    }
}

impl fmt::Display for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)
    }
}

/// Programs with all they need, as they will lie in the initrd.
#[derive(Default)]
pub struct Bundle {
    /// By absolute path: a file of this machine, or a link to another.
    nodes: BTreeMap<PathBuf, Node>,
    /// Whether something lies where only the cache leads to.
    off_the_path: bool,
    cache: Cache,
}

#[derive(Debug, PartialEq, Eq)]
enum Node {
    File(PathBuf),
    Link(PathBuf),
}

/// Something whose libraries are to be found.
struct Object {
    path: PathBuf,
    elf: Elf,
    /// Directories that those who need it hand down.
    handed: Vec<PathBuf>,
}

impl Bundle {
    /// Knows what this machine's loader knows.
    ///
    /// # Errors
    /// Its cache cannot be understood.
    pub fn new() -> Result<Self> {
        let cache = match fs::read(CACHE) {
            Ok(bytes) => Cache::parse(&bytes).with_context(|| format!("reading {CACHE}"))?,
            // A machine without one finds everything in the usual places.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Cache::default(),
            Err(e) => return Err(e).with_context(|| format!("reading {CACHE}")),
        };
        Ok(Self { cache, ..Self::default() })
    }

    /// Takes a program along; says how many files it came to, and how many bytes.
    ///
    /// # Errors
    /// It is not there, or something that it needs is not.
    pub fn take(&mut self, with: &With) -> Result<(usize, u64)> {
        let before = self.size();
        let Some(known) = with.known() else {
            self.program(Path::new(&with.program), with.dest.as_deref(), INTERPRETERS)?;
            return Ok(self.grown(before));
        };
        let path = named(known.name).with_context(|| {
            format!("{} is not on this machine: apt-get install {}", known.name, known.package)
        })?;
        self.program(&path, with.dest.as_deref(), INTERPRETERS)?;
        for (library, file) in known.beside {
            let found = self.nodes.keys().find(|path| path.ends_with(library)).cloned();
            let file =
                found.and_then(|path| fs::canonicalize(path).ok()).map(|path| path.with_file_name(file));
            if let Some(file) = file.filter(|file| file.exists()) {
                self.libraries_of(&file)?;
            }
        }
        Ok(self.grown(before))
    }

    /// Puts all of it into an initrd, with a list of it for the second stage's.
    ///
    /// # Errors
    /// A place in the tree is taken.
    pub fn add(self, tree: &mut Tree) -> Result<()> {
        let inside = |path: &Path| path.display().to_string().trim_start_matches('/').to_owned();
        let list: String = self.nodes.keys().map(|path| format!("{}\n", path.display())).collect();
        tree.file("etc/bootjack/with", 0o644, Content::Bytes(list.into_bytes()))?;
        for (path, node) in self.nodes {
            match node {
                Node::File(file) => tree.file(&inside(&path), 0o755, Content::File(file))?,
                Node::Link(target) => tree.symlink(&inside(&path), &target.display().to_string())?,
            }
        }
        if self.off_the_path {
            tree.file(&inside(Path::new(CACHE)), 0o644, Content::File(CACHE.into()))?;
        }
        Ok(())
    }

    /// A program at the place where it is here, or at `dest`, and what starts it.
    fn program(&mut self, path: &Path, dest: Option<&str>, depth: usize) -> Result<()> {
        let about = fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
        ensure!(about.is_file(), "{}: not a regular file", path.display());
        let mut head = Vec::new();
        let file = fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
        // So much of it the kernel looks at (BINPRM_BUF_SIZE).
        file.take(256).read_to_end(&mut head).with_context(|| format!("reading {}", path.display()))?;
        if let Some(line) = head.strip_prefix(b"#!") {
            let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
            self.interpreters(&String::from_utf8_lossy(line), depth)
                .with_context(|| format!("{}: its interpreter", path.display()))?;
        } else {
            self.libraries_of(path)?;
        }
        match dest {
            Some(dest) => {
                let (file, here) = (fs::canonicalize(path)?, std::path::absolute(path)?);
                let place = Path::new("/").join(dest);
                if here != place {
                    self.nodes.retain(|path, _| *path != here && *path != file);
                }
                self.nodes.insert(place, Node::File(file));
                Ok(())
            }
            None => self.put(path),
        }
    }

    /// What a `#!` line names; for `env` the program that it looks for as well.
    fn interpreters(&mut self, line: &str, depth: usize) -> Result<()> {
        ensure!(depth > 0, "too many interpreters");
        let mut words = line.split_whitespace();
        let interpreter = Path::new(words.next().context("the #! line names none")?);
        self.program(interpreter, None, depth - 1)?;
        if interpreter.ends_with("env") {
            let name = words.find(|word| !word.starts_with('-')).context("env is given no program")?;
            let path = named(name).with_context(|| format!("{name} is not on this machine"))?;
            self.program(&path, None, depth - 1)?;
        }
        Ok(())
    }

    /// An ELF file and everything that will be loaded for it, breadth first, as ld.so(8) does it.
    fn libraries_of(&mut self, path: &Path) -> Result<()> {
        let program = Object { path: path.to_owned(), elf: read(path)?, handed: Vec::new() };
        self.put(path)?;
        if let Some(loader) = &program.elf.interpreter {
            self.put(Path::new(loader)).with_context(|| format!("{}: its loader", path.display()))?;
        }
        let mut found: HashMap<String, PathBuf> = HashMap::new();
        let mut queue = VecDeque::from([program]);
        while let Some(object) = queue.pop_front() {
            let dynamic = object.elf.needed.iter().any(|name| name.starts_with("libc.so"));
            let more = (dynamic && !found.contains_key(LIBGCC)).then(|| LIBGCC.to_owned());
            for name in object.elf.needed.iter().chain(&more) {
                if found.contains_key(name) {
                    continue;
                }
                let Some(library) = self.find(name, &object) else {
                    // Nobody says that this one is needed; where it is missing, nothing that is run needs it.
                    if Some(name) == more.as_ref() {
                        continue;
                    }
                    bail!("{} needs {name}, which is not on this machine", object.path.display());
                };
                found.insert(name.clone(), library.clone());
                self.put(&library)?;
                let handed = object.rpath();
                queue.push_back(Object { elf: read(&library)?, path: library, handed });
            }
        }
        Ok(())
    }

    /// Where the loader would find a library: what the file says, the cache, the usual places.
    fn find(&mut self, name: &str, object: &Object) -> Option<PathBuf> {
        let fits = |path: &PathBuf| read(path).is_ok();
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(fits);
        }
        if let Some(path) = object.searched().iter().map(|dir| dir.join(name)).find(fits) {
            return Some(path);
        }
        let usual = |path: &Path| LIBRARIES.iter().any(|dir| path.parent() == Some(Path::new(dir)));
        if let Some(path) = self.cache.0.get(name).cloned().filter(fits) {
            self.off_the_path |= !usual(&path);
            return Some(path);
        }
        LIBRARIES.iter().map(|dir| Path::new(dir).join(name)).find(fits)
    }

    /// The file where it really is, and a link to it from where it is looked for.
    fn put(&mut self, path: &Path) -> Result<()> {
        let file = fs::canonicalize(path).with_context(|| format!("reading {}", path.display()))?;
        let place = plain(&std::path::absolute(path)?);
        if place != file {
            self.nodes.entry(place).or_insert_with(|| Node::Link(file.clone()));
        }
        self.nodes.entry(file.clone()).or_insert(Node::File(file));
        Ok(())
    }

    fn size(&self) -> (usize, u64) {
        let files = self.nodes.values().filter_map(|node| match node {
            Node::File(file) => Some(fs::metadata(file).map_or(0, |about| about.len())),
            Node::Link(_) => None,
        });
        files.fold((0, 0), |(count, bytes), length| (count + 1, bytes + length))
    }

    fn grown(&self, before: (usize, u64)) -> (usize, u64) {
        let now = self.size();
        (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1))
    }
}

impl Object {
    /// Directories that this file names for what it needs.
    fn searched(&self) -> Vec<PathBuf> {
        match &self.elf.runpath {
            Some(runpath) => self.expanded(runpath),
            None => self.rpath(),
        }
    }

    /// Directories that are searched for what it needs, and for what that needs. A RUNPATH puts its own RPATH out of
    /// force.
    fn rpath(&self) -> Vec<PathBuf> {
        let own = self.elf.rpath.as_deref().filter(|_| self.elf.runpath.is_none());
        let own = own.map(|rpath| self.expanded(rpath)).unwrap_or_default();
        own.into_iter().chain(self.handed.iter().cloned()).collect()
    }

    fn expanded(&self, path: &str) -> Vec<PathBuf> {
        let origin = self.path.parent().unwrap_or(Path::new("/")).display().to_string();
        let expand = |dir: &str| PathBuf::from(dir.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin));
        path.split(':').filter(|dir| !dir.is_empty()).map(expand).collect()
    }
}

/// Libraries by name, as ldconfig(8) has found them.
#[derive(Default)]
struct Cache(HashMap<String, PathBuf>);

impl Cache {
    /// The format since glibc 2.2, which others precede in old files (sysdeps/generic/dl-cache.h).
    fn parse(bytes: &[u8]) -> Result<Self> {
        const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
        // FLAG_ELF_LIBC6 and FLAG_X8664_LIB64.
        const X86_64: u32 = 0x0303;
        let start = bytes.windows(MAGIC.len()).position(|w| w == MAGIC).context("not a cache of ld.so's")?;
        let bytes = &bytes[start..];
        let word = |at: u32| {
            let rest = bytes.get(at as usize..).context("a name beyond the end")?;
            let end = rest.iter().position(|&b| b == 0).context("a name without an end")?;
            Ok::<_, anyhow::Error>(String::from_utf8_lossy(&rest[..end]).into_owned())
        };
        let mut libraries = HashMap::new();
        for n in 0..u32_at(bytes, 20)? as usize {
            let at = 48 + n * 24;
            let (flags, key, value) = (u32_at(bytes, at)?, u32_at(bytes, at + 4)?, u32_at(bytes, at + 8)?);
            // One that only some processors can run is for none here: the initrd starts on many machines.
            if flags == X86_64 && u64_at(bytes, at + 16)? == 0 {
                libraries.entry(word(key)?).or_insert(PathBuf::from(word(value)?));
            }
        }
        Ok(Self(libraries))
    }
}

fn read(path: &Path) -> Result<Elf> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Elf::parse(&bytes).with_context(|| path.display().to_string())
}

fn named(name: &str) -> Option<PathBuf> {
    PROGRAMS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// What the programs read where nobody wrote anything else: no udev is there to make device nodes.
///
/// # Errors
/// The place is taken.
pub fn settings(with: &[With], tree: &mut Tree) -> Result<()> {
    if with.iter().any(|with| with.program == "lvm") {
        let text = format!("{}\n", volumes::LVM_WITHOUT_UDEV);
        tree.file("etc/lvm/lvm.conf", 0o644, Content::Bytes(text.into_bytes()))?;
    }
    Ok(())
}
