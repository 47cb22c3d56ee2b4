//! Which terminal a name means: the virtual terminal in front, the kernel's own console, a serial port that has several
//! names. Using it is [`super::console`]'s.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the kernel tells of its terminals (Documentation/ABI/testing/sysfs-tty).
const SYSFS: &str = "/sys/class/tty";

/// A terminal to show the screens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The device: `/dev/ttyS1`. `/dev/tty0` is the virtual terminal in front, whichever that is (console(4)),
    /// `/dev/console` the kernel's own.
    pub path: PathBuf,
    /// In baud, where it is to be another than the line has.
    pub speed: Option<u32>,
}

impl From<PathBuf> for Port {
    fn from(path: PathBuf) -> Self {
        Self { path, speed: None }
    }
}

impl Port {
    /// The device it means now.
    pub(super) fn device(&self) -> PathBuf {
        resolve(&self.path, Path::new(SYSFS))
    }

    /// Whether what it means changes while it is used.
    pub(super) fn moves(&self) -> bool {
        let kernels = || last_of(&Path::new(SYSFS).join("console/active"));
        match self.path.to_str() {
            Some("/dev/tty0") => true,
            Some("/dev/console") => kernels().is_some_and(|name| name == "tty0"),
            _ => false,
        }
    }
}

fn resolve(path: &Path, sysfs: &Path) -> PathBuf {
    let active = |name: &str| last_of(&sysfs.join(name).join("active"));
    let name = match path.to_str() {
        // The last one is the kernel's own.
        Some("/dev/console") => active("console"),
        Some("/dev/tty0") => Some("tty0".into()),
        _ => None,
    };
    match name.as_deref() {
        Some("tty0") => active("tty0").map(|name| Path::new("/dev").join(name)),
        name => name.map(|name| Path::new("/dev").join(name)),
    }
    .unwrap_or_else(|| path.to_owned())
}

fn last_of(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok()?.split_whitespace().last().map(str::to_owned)
}

/// Whether both devices are one port.
pub(super) fn are_same(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).ok().map(|m| m.rdev());
    let at = |path: &Path| place(path, Path::new(SYSFS));
    device(one).is_some_and(|d| Some(d) == device(other)) || at(one).is_some_and(|p| Some(p) == at(other))
}

/// Where a serial port's registers are; two names of one chip say the same. Those that nobody drives say zero.
fn place(path: &Path, sysfs: &Path) -> Option<(String, String)> {
    let attributes = sysfs.join(path.file_name()?);
    let read = |name: &str| fs::read_to_string(attributes.join(name)).ok().map(|text| text.trim().to_owned());
    let is_none = |text: &str| text.trim_start_matches("0x").bytes().all(|b| b == b'0');
    let (port, memory) = (read("port")?, read("iomem_base")?);
    (!is_none(&port) || !is_none(&memory)).then_some((port, memory))
}

/// Whether a path is a virtual terminal of this machine.
pub(super) fn is_vt(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    name.strip_prefix("tty").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysfs(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn names_that_stand_for_others_mean_what_is_in_front() {
        let files = [("console/active", "ttyS0 tty0\n"), ("tty0/active", "tty2\n")];
        let dir = sysfs(&files);
        let of = |path: &str| resolve(Path::new(path), dir.path());
        assert_eq!(of("/dev/tty0"), Path::new("/dev/tty2"));
        assert_eq!(of("/dev/console"), Path::new("/dev/tty2"));
        assert_eq!(of("/dev/ttyS0"), Path::new("/dev/ttyS0"));
        let serial = sysfs(&[("console/active", "tty0 ttyS0\n")]);
        assert_eq!(resolve(Path::new("/dev/console"), serial.path()), Path::new("/dev/ttyS0"));
        assert_eq!(resolve(Path::new("/dev/tty0"), serial.path()), Path::new("/dev/tty0"), "no VT");
    }

    #[test]
    fn two_names_of_one_chip_are_one_port() {
        let dir = sysfs(&[
            ("ttyS0/port", "0x3F8\n"),
            ("ttyS0/iomem_base", "0x0\n"),
            ("ttyS4/port", "0x3F8\n"),
            ("ttyS4/iomem_base", "0x0\n"),
            ("ttyS1/port", "0x0\n"),
            ("ttyS1/iomem_base", "0x0\n"),
        ]);
        let at = |name: &str| place(Path::new(name), dir.path());
        assert!(at("/dev/ttyS0").is_some() && at("/dev/ttyS0") == at("/dev/ttyS4"));
        assert_eq!(at("/dev/ttyS1"), None, "no chip at all");
        assert_eq!(at("/dev/hvc0"), None);
    }

    #[test]
    fn only_numbered_ttys_are_virtual_terminals() {
        assert!(is_vt(Path::new("/dev/tty1")));
        assert!(!is_vt(Path::new("/dev/ttyS0")) && !is_vt(Path::new("/dev/tty")));
    }
}
