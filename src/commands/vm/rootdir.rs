//! A directory with an operating system in it: which of its kernels boots, with which modules, and where a program lies.
//! Names are looked up as a process whose root it is would: links lead nowhere else.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::handover::kernel;
use crate::order;

/// Where modules lie; the second is a link to the first where /usr is merged.
const MODULES: [&str; 2] = ["usr/lib/modules", "lib/modules"];

/// Where a program is looked for that is no absolute path, in the order of a usual PATH of root.
const PROGRAMS: [&str; 6] = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];

/// The directory, opened.
#[derive(Debug)]
pub struct RootDir {
    directory: File,
    pub path: PathBuf,
}

/// A kernel with its modules, as paths on this host.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    pub release: String,
    pub image: PathBuf,
    pub modules: PathBuf,
}

impl RootDir {
    /// # Errors
    /// It is not there, or no directory.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = || path.display().to_string();
        let path = path.canonicalize().with_context(shown)?;
        ensure!(path.is_dir(), "{} is no directory: name the one that is to be the root", path.display());
        Ok(Self { directory: File::open(&path).with_context(shown)?, path })
    }

    /// The newest of its kernels that has an image.
    ///
    /// # Errors
    /// There is none.
    pub fn newest_kernel(&self) -> Result<Kernel> {
        let mut releases = self.releases();
        order::by(&mut releases, |a, b| by_version(b, a));
        for release in &releases {
            let images = MODULES.map(|place| format!("{place}/{release}/vmlinuz"));
            let images = images.into_iter().chain([format!("boot/vmlinuz-{release}")]);
            let image = images.filter_map(|image| self.inside(&image).ok()).find(|image| image.is_file());
            if let Some(image) = image {
                return Ok(Kernel { release: release.clone(), image, modules: self.modules(release)? });
            }
        }
        let found = match releases.is_empty() {
            true => "no modules of any kernel in usr/lib/modules".to_owned(),
            false => format!("modules of {}, but no image of it", releases.join(", ")),
        };
        bail!(
            "{} has no kernel that boots ({found}): neither usr/lib/modules/RELEASE/vmlinuz nor boot/vmlinuz-RELEASE; \
             --kernel IMAGE names one",
            self.path.display()
        )
    }

    /// Another kernel's image, with this root's modules for it.
    ///
    /// # Errors
    /// It is no kernel, or has no modules here.
    pub fn kernel_with(&self, image: &Path) -> Result<Kernel> {
        let bytes = fs::read(image).with_context(|| format!("reading {}", image.display()))?;
        let release = kernel::release(&bytes).with_context(|| image.display().to_string())?;
        let modules = self.modules(&release)?;
        Ok(Kernel { release, image: image.to_owned(), modules })
    }

    /// The path of a program as the root has it: an absolute one is taken as it is, for it may lie in what is mounted
    /// later.
    ///
    /// # Errors
    /// No directory of programs has it.
    pub fn program(&self, name: &str) -> Result<String> {
        if name.starts_with('/') {
            return Ok(name.to_owned());
        }
        let runs = |place: &&&str| {
            let found = self.inside(&format!("{place}/{name}")).and_then(fs::metadata);
            found.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
        };
        match PROGRAMS.iter().find(runs) {
            Some(place) => Ok(format!("/{place}/{name}")),
            None => bail!(
                "{} has no program {name:?} in {}: write an absolute path, such as /usr/bin/bash",
                self.path.display(),
                PROGRAMS.map(|place| format!("/{place}")).join(", ")
            ),
        }
    }

    fn releases(&self) -> Vec<String> {
        let all = MODULES.iter().find_map(|place| fs::read_dir(self.inside(place).ok()?).ok());
        let names = all.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.collect()
    }

    fn modules(&self, release: &str) -> Result<PathBuf> {
        let found = MODULES.iter().find_map(|place| self.inside(&format!("{place}/{release}")).ok());
        found.filter(|path| path.is_dir()).with_context(|| {
            format!(
                "{} has no modules of kernel {release} in usr/lib/modules: --initrd FILE brings its own",
                self.path.display()
            )
        })
    }

    /// Where a path inside leads to on this host.
    fn inside(&self, path: &str) -> io::Result<PathBuf> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found = openat2(&self.directory, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
        fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }
}

/// As `sort -V` orders: numbers in a name by what they are worth.
fn by_version(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (x, y) = (head(&mut a), head(&mut b));
        let number = |text: &str| text.parse::<u64>();
        let order = match (number(x), number(y)) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            _ => x.cmp(y),
        };
        if order != Ordering::Equal || (x.is_empty() && y.is_empty()) {
            return order;
        }
    }
}

/// Takes the longest start of digits, or of anything else, off a text.
fn head<'a>(text: &mut &'a str) -> &'a str {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    *text = rest;
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn put(dir: &Path, name: &str) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_newest_kernel_with_an_image_boots() {
        let dir = tempfile::tempdir().unwrap();
        for release in ["6.9.0", "6.10.0-1", "6.2.0", "6.11.0"] {
            fs::create_dir_all(dir.path().join("usr/lib/modules").join(release)).unwrap();
        }
        put(dir.path(), "usr/lib/modules/6.9.0/vmlinuz");
        put(dir.path(), "usr/lib/modules/6.10.0-1/vmlinuz");
        let root = RootDir::open(dir.path()).unwrap();
        assert_eq!(root.newest_kernel().unwrap().release, "6.10.0-1");
        // Debian's lie in /boot, and links of a root stay in it.
        fs::create_dir_all(dir.path().join("boot")).unwrap();
        symlink("/usr/lib/modules/6.9.0/vmlinuz", dir.path().join("boot/vmlinuz-6.11.0")).unwrap();
        let kernel = root.newest_kernel().unwrap();
        assert_eq!(kernel.release, "6.11.0");
        assert_eq!(kernel.image, dir.path().canonicalize().unwrap().join("usr/lib/modules/6.9.0/vmlinuz"));
    }

    #[test]
    fn a_root_without_a_kernel_says_what_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        let why = || root.newest_kernel().unwrap_err().to_string();
        assert!(why().contains("(no modules of any kernel") && why().contains("--kernel IMAGE"), "{}", why());
        fs::create_dir_all(dir.path().join("lib/modules/6.1.0")).unwrap();
        assert!(why().contains("(modules of 6.1.0, but no image of it)"), "{}", why());
        put(dir.path(), "image");
        let kernel = root.kernel_with(&dir.path().join("image")).unwrap_err();
        assert!(format!("{kernel:#}").contains("image: not a Linux kernel"), "{kernel:#}");
        assert!(RootDir::open(&dir.path().join("image")).unwrap_err().to_string().contains("no directory"));
        assert!(RootDir::open(&dir.path().join("none")).is_err());
    }

    #[test]
    fn a_program_without_a_path_is_looked_for_where_programs_are() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "usr/bin/bash");
        put(dir.path(), "usr/sbin/both");
        put(dir.path(), "usr/bin/both");
        symlink("usr/bin", dir.path().join("bin")).unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        assert_eq!(root.program("bash").unwrap(), "/usr/bin/bash");
        assert_eq!(root.program("both").unwrap(), "/usr/sbin/both");
        assert_eq!(root.program("/run/mnt/t/vm.py").unwrap(), "/run/mnt/t/vm.py", "not there yet");
        let why = root.program("zsh").unwrap_err().to_string();
        assert!(why.contains("no program \"zsh\" in /usr/local/sbin, "), "{why}");
        assert!(root.program("").is_err() && root.program("..").is_err());
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let mut all = ["6.10.0", "6.9.12-200.fc39", "6.9.2", "6.9.12-30", "5.99"];
        all.sort_by(|a, b| by_version(a, b));
        assert_eq!(all, ["5.99", "6.9.2", "6.9.12-30", "6.9.12-200.fc39", "6.10.0"]);
        assert_eq!(by_version("6.1", "6.1"), Ordering::Equal);
    }
}
