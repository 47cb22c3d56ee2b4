//! [`Device`]: a block device as the kernel shows it in `/sys/class/block`, with what lies on it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::probe::{Content, Image, probe};
use super::table::{self, Entry};
use crate::answer;

/// A block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// As the kernel calls it: `vda1`, `dm-0`.
    pub name: String,
    /// Its node.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// What lies on it, if it is anything known.
    pub content: Option<Content>,
    /// `PARTLABEL` and `PARTUUID`, of a partition.
    pub part_label: Option<String>,
    pub part_uuid: Option<String>,
    /// Name below `/dev/mapper`.
    pub mapped: Option<String>,
    /// The disk of a partition.
    pub disk: Option<String>,
    /// Devices that this one is made of.
    pub made_of: Vec<String>,
    /// Why nothing could be read from it.
    pub unreadable: Option<String>,
}

/// A device that is asked for its first bytes answers by then: a disk that spins up takes longer, and is met again.
const ANSWER: Duration = Duration::from_secs(5);

/// Devices that have not answered yet.
static SILENT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn silent() -> MutexGuard<'static, BTreeSet<String>> {
    SILENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the kernel shows its devices, and where their nodes are.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) sys: PathBuf,
    pub(super) dev: PathBuf,
}

/// Memory that looks like a disk; nothing lies there before somebody puts it there. Floppies: asking an empty drive takes
/// half a minute.
const PASSED_OVER: &[&str] = &["ram", "zram", "fd"];

impl Places {
    /// This machine's.
    pub(super) fn real() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into() }
    }

    /// Names of all devices that have room for anything, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.sys.join("class/block")).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| self.is_disk(name)).collect();
        names.sort();
        names
    }

    fn is_disk(&self, name: &str) -> bool {
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        // One path of several to an NVMe disk has no node of its own.
        let hidden = self.says(name, "hidden").is_some_and(|text| text == "1");
        !PASSED_OVER.contains(&kind) && self.sectors(name) > 0 && !hidden
    }

    /// Its node: `!` stands for the `/` that a name in /sys cannot have.
    pub(super) fn node(&self, name: &str) -> PathBuf {
        self.dev.join(name.replace('!', "/"))
    }

    /// Name below `/dev/mapper`.
    pub(super) fn mapped(&self, name: &str) -> Option<String> {
        self.says(name, "dm/name")
    }

    /// The kernel's name of a node by its number, wherever the node is.
    pub(super) fn by_number(&self, node: &Path) -> Option<String> {
        let about = fs::metadata(node).ok().filter(|about| about.file_type().is_block_device())?;
        let (major, minor) = (rustix::fs::major(about.rdev()), rustix::fs::minor(about.rdev()));
        let link = fs::canonicalize(self.sys.join(format!("dev/block/{major}:{minor}"))).ok()?;
        Some(link.file_name()?.to_str()?.to_owned())
    }

    /// Everything there is. One that does not answer in time is left to whoever wants it: it is named as unreadable,
    /// and not asked again before it has answered.
    pub(super) fn all(&self) -> Vec<Device> {
        self.names().iter().map(|name| self.look_in_time(name).unwrap_or_else(|| self.unread(name))).collect()
    }

    /// Looks at one, on a thread; nothing if it does not answer in time, or did not the last time.
    fn look_in_time(&self, name: &str) -> Option<Device> {
        if silent().contains(name) {
            return None;
        }
        let (places, asked) = (self.clone(), name.to_owned());
        let (giver, answer) = answer::pair();
        let look = move || {
            giver.give(places.look(&asked));
            silent().remove(&asked);
        };
        if let Err(e) = answer::begin("look", Box::new(look)) {
            log::error!("looking at {name}: starting a thread: {e}");
            return None;
        }
        if let Ok(device) = answer.take_within(ANSWER) {
            return Some(device);
        }
        // Under the lock: if it answers from now on, its name is taken out after it was put in.
        let mut silent = silent();
        if let Ok(device) = answer.try_take() {
            return Some(device);
        }
        log::warn!("{name} has not answered for {} s", ANSWER.as_secs());
        silent.insert(name.to_owned());
        None
    }

    /// What is known without asking it.
    fn unread(&self, name: &str) -> Device {
        Device {
            path: self.node(name),
            size: self.sectors(name) * 512,
            mapped: self.mapped(name),
            made_of: self.made_of(name),
            unreadable: Some("it does not answer".into()),
            name: name.to_owned(),
            ..Device::default()
        }
    }

    /// One device, with what lies on it.
    pub(super) fn look(&self, name: &str) -> Device {
        let path = self.node(name);
        // Without waiting: to open an optical drive closes its tray, and an empty one says so at once.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let opened = File::options().read(true).custom_flags(flags).open(&path);
        let image = opened.and_then(Image::of).and_then(|image| image.answers().map(|()| image));
        let (content, unreadable) = match image {
            Ok(image) => (probe(&image), None),
            Err(e) => (None, Some(e.to_string())),
        };
        let disk = self.disk(name);
        let partition = self.partition(name, disk.as_deref());
        let size = self.sectors(name) * 512;
        let made_of = self.made_of(name);
        let (part_label, part_uuid) = (partition.label, partition.uuid);
        let (mapped, name) = (self.mapped(name), name.to_owned());
        Device { name, path, size, content, part_label, part_uuid, mapped, disk, made_of, unreadable }
    }

    /// Devices that one is made of.
    pub(super) fn made_of(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.class(name).join("slaves")).into_iter().flatten();
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }

    /// What is known of a partition: from its disk's table, else from the kernel, who knows other tables too.
    fn partition(&self, name: &str, disk: Option<&str>) -> Entry {
        let Some(disk) = disk else { return Entry::default() };
        let number = self.says(name, "partition").and_then(|text| text.parse().ok()).unwrap_or(0);
        let sector = self.says(disk, "queue/logical_block_size").and_then(|text| text.parse().ok());
        let sector = sector.filter(|bytes| (512..=65536).contains(bytes)).unwrap_or(512);
        let image = File::open(self.node(disk)).and_then(Image::of).ok();
        let written = image.and_then(|image| table::entry(&image, sector, number));
        let uevent = self.says(name, "uevent").unwrap_or_default();
        let said = |key: &str| uevent.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        written.unwrap_or_else(|| Entry { label: said("PARTNAME="), uuid: said("PARTUUID=") })
    }

    /// The disk a partition is on.
    fn disk(&self, name: &str) -> Option<String> {
        self.says(name, "partition")?;
        let place = fs::canonicalize(self.class(name)).ok()?;
        Some(place.parent()?.file_name()?.to_str()?.to_owned())
    }

    fn sectors(&self, name: &str) -> u64 {
        self.says(name, "size").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn class(&self, name: &str) -> PathBuf {
        self.sys.join("class/block").join(name)
    }

    /// What a file in the device's directory says.
    fn says(&self, name: &str, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.class(name).join(file)).ok()?;
        Some(text.trim_end().to_owned())
    }
}

/// `vda1 (64 MiB, ext4, LABEL=x, PARTLABEL=y)`: enough to recognize it.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, bytes(self.size))?;
        match (&self.content, &self.unreadable) {
            (Some(content), _) => write!(f, ", {}", content.kind)?,
            (None, Some(why)) => write!(f, ", unreadable: {why}")?,
            (None, None) => {}
        }
        let label = self.content.as_ref().and_then(|content| content.label.as_deref());
        for (tag, name) in [("LABEL", label), ("PARTLABEL", self.part_label.as_deref())] {
            name.iter().try_for_each(|name| write!(f, ", {tag}={}", harmless(name)))?;
        }
        self.mapped.iter().try_for_each(|name| write!(f, ", /dev/mapper/{}", harmless(name)))?;
        f.write_str(")")
    }
}

/// Bytes as a person reads them on a disk.
fn bytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mib @ 1..10_000 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib >> 10),
    }
}

/// A name off a disk, for a message of one line.
pub(super) fn harmless(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
