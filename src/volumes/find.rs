//! [`find`]: a name becomes the one device that has it. Waiting until it is there is `fetch`'s.

use std::fmt;
use std::path::{Path, PathBuf};

use super::device::{Device, Places, harmless};
use super::volume::{Volume, unescaped};

/// The one device that was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub device: Device,
    /// The other devices of the same file system, which the kernel has to be told (Btrfs).
    pub others: Vec<PathBuf>,
}

/// Why there is not one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// Nothing has this name; it may still come. `of`: so many devices it lies on together, and `there` are those of
    /// them that have come.
    None { volume: Volume, there: Vec<Device>, of: Option<u64> },
    /// More than one has it.
    Several { volume: Volume, matches: Vec<Device> },
    /// Waiting would not help; why.
    Never(String),
}

/// So many devices are listed in a message.
const LISTED: usize = 8;

/// Looks once through all block devices of this machine.
///
/// # Errors
/// [`NotFound`], in words for a person.
pub fn find(volume: &Volume) -> Result<Found, NotFound> {
    find_in(&Places::real(), volume)
}

fn find_in(places: &Places, volume: &Volume) -> Result<Found, NotFound> {
    let Volume::Device(path) = volume else { return by_content(places.all(), volume, volume) };
    if let Some(name) = named(places, path) {
        return whole(places.look(&name), places.all(), volume);
    }
    match link_of_udev(path) {
        Some(Ok(meant)) => by_content(places.all(), &meant, volume),
        Some(Err(())) => Err(NotFound::Never(format!(
            "{} is a name that udev makes, and there is none here: write UUID=, LABEL=, PARTUUID=, PARTLABEL= or a \
             node such as /dev/vda1",
            path.display()
        ))),
        None if path.exists() => Err(NotFound::Never(format!("{} is no block device", path.display()))),
        None => Err(NotFound::None { volume: volume.clone(), there: places.all(), of: None }),
    }
}

/// The kernel's name of a node below `/dev`, also of one that only udev or LVM would have made.
fn named(places: &Places, path: &Path) -> Option<String> {
    let is_meant = |name: &String| {
        let mapped = places.mapped(name);
        let of_lvm = mapped.as_deref().and_then(logical_volume);
        Path::new("/dev").join(name.replace('!', "/")) == path
            || mapped.is_some_and(|mapped| Path::new("/dev/mapper").join(mapped) == path)
            || of_lvm.is_some_and(|place| Path::new("/dev").join(place) == path)
    };
    places.names().into_iter().find(is_meant).or_else(|| places.by_number(path))
}

/// `vg-my--lv` is `vg/my-lv`: device-mapper doubles the dashes within each part.
fn logical_volume(mapped: &str) -> Option<String> {
    let marked = mapped.replace("--", "\0");
    let (group, volume) = marked.split_once('-')?;
    (!volume.contains('-')).then(|| format!("{group}/{volume}").replace('\0', "-"))
}

/// What a link in `/dev/disk` stands for; an error for one that nothing on the device tells.
fn link_of_udev(path: &Path) -> Option<Result<Volume, ()>> {
    let (kind, name) = path.to_str()?.strip_prefix("/dev/disk/")?.split_once('/')?;
    let name = unescaped(name);
    Some(match kind {
        "by-label" => Ok(Volume::Label(name)),
        "by-uuid" => Ok(Volume::Uuid(name)),
        "by-partlabel" => Ok(Volume::PartLabel(name)),
        "by-partuuid" => Ok(Volume::PartUuid(name)),
        _ => Err(()),
    })
}

/// The one of `there` that is `meant`; `asked` is how it was written.
fn by_content(there: Vec<Device>, meant: &Volume, asked: &Volume) -> Result<Found, NotFound> {
    let distinct = distinct(&there, &|device| has_name(device, meant));
    match distinct[..] {
        [] => Err(NotFound::None { volume: asked.clone(), there, of: None }),
        [device] => whole(device.clone(), there.clone(), asked),
        [device, ..] if are_of_one_file_system(&distinct) => whole(device.clone(), there.clone(), asked),
        _ => {
            let matches = distinct.into_iter().cloned().collect();
            Err(NotFound::Several { volume: asked.clone(), matches })
        }
    }
}

/// Those that are meant, without what is but another way to the bytes of one of them.
pub(super) fn distinct<'a>(there: &'a [Device], is_meant: &dyn Fn(&Device) -> bool) -> Vec<&'a Device> {
    let matches: Vec<&Device> = there.iter().filter(|device| is_meant(device)).collect();
    let mut distinct = matches.clone();
    distinct.retain(|device| !matches.iter().any(|other| is_part_of(device, other, there)));
    distinct
}

fn has_name(device: &Device, volume: &Volume) -> bool {
    let content = device.content.as_ref();
    let same = |have: Option<&String>, want: &str| have.is_some_and(|have| have.eq_ignore_ascii_case(want));
    match volume {
        Volume::Device(_) => false,
        Volume::Label(label) => content.and_then(|c| c.label.as_ref()) == Some(label),
        Volume::Uuid(uuid) => same(content.and_then(|c| c.uuid.as_ref()), uuid),
        Volume::PartLabel(label) => device.part_label.as_ref() == Some(label),
        Volume::PartUuid(uuid) => same(device.part_uuid.as_ref(), uuid),
    }
}

/// Whether `device` is another way to the bytes of `other`, which has the same name: what a mapped device is made of
/// (multipath, a mirror), and a partition that begins where its disk does, as on a stick with an ISO image.
fn is_part_of(device: &Device, other: &Device, there: &[Device]) -> bool {
    let same_bytes = device.disk.as_ref() == Some(&other.name) && device.content == other.content;
    let mut below: Vec<&String> = other.made_of.iter().collect();
    let mut at = 0;
    while let Some(name) = below.get(at).copied() {
        at += 1;
        let made_of = there.iter().find(|device| device.name == *name).into_iter().flat_map(|d| &d.made_of);
        for deeper in made_of {
            if !below.contains(&deeper) {
                below.push(deeper);
            }
        }
    }
    same_bytes || below.iter().any(|name| **name == device.name || device.disk.as_ref() == Some(name))
}

/// The device with the others of its file system, if it is made of several: all of them have to be there.
fn whole(device: Device, there: Vec<Device>, asked: &Volume) -> Result<Found, NotFound> {
    let count = device.content.as_ref().map_or(1, |content| content.devices);
    if count <= 1 {
        return Ok(Found { device, others: Vec::new() });
    }
    let same = |other: &&Device| other.path != device.path && are_of_one_file_system(&[&device, other]);
    let others: Vec<_> = there.iter().filter(same).map(|other| other.path.clone()).collect();
    match (others.len() as u64 + 1).cmp(&count) {
        std::cmp::Ordering::Equal => Ok(Found { device, others }),
        // The rest may still come.
        std::cmp::Ordering::Less => {
            let there = there.into_iter().filter(|other| are_of_one_file_system(&[&device, other])).collect();
            Err(NotFound::None { volume: asked.clone(), there, of: Some(count) })
        }
        std::cmp::Ordering::Greater => {
            let of_it = |other: &Device| are_of_one_file_system(&[&device, other]);
            let matches = there.iter().filter(|other| of_it(other)).cloned().collect();
            Err(NotFound::Several { volume: asked.clone(), matches })
        }
    }
}

/// Whether they are parts of one file system, of which there are no more than it has.
fn are_of_one_file_system(devices: &[&Device]) -> bool {
    let contents: Option<Vec<_>> = devices.iter().map(|device| device.content.as_ref()).collect();
    let contents = contents.unwrap_or_default();
    let first = contents.first().map(|content| (&content.uuid, content.devices));
    let fits = first.is_some_and(|(uuid, count)| uuid.is_some() && count >= devices.len() as u64);
    fits && contents.iter().all(|content| Some((&content.uuid, content.devices)) == first)
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None { there, .. } if there.is_empty() => {
                f.write_str("there is no block device at all: was this initrd made with --drivers storage?")
            }
            Self::None { volume, there, of: Some(of) } => {
                write!(f, "{volume} lies on {of} devices together, and only {} came: ", there.len())?;
                list(f, there, |device| device.to_string())
            }
            Self::None { volume, there, of: None } => {
                match volume {
                    Volume::Device(path) => write!(f, "there is no {}", path.display())?,
                    volume => write!(f, "no block device has {volume}")?,
                }
                f.write_str("; there are ")?;
                list(f, there, |device| device.to_string())
            }
            Self::Several { volume, matches } => {
                write!(f, "{} block devices have {volume}: ", matches.len())?;
                list(f, matches, |device| {
                    let content = device.content.as_ref();
                    let uuid = content.and_then(|content| content.uuid.as_ref());
                    let uuid = uuid.map(|uuid| format!(", UUID={}", harmless(uuid))).unwrap_or_default();
                    format!("{}{uuid} as dev:{}", device, device.path.display())
                })?;
                let uuid = |device: &Device| device.content.as_ref().and_then(|content| content.uuid.clone());
                f.write_str(match matches.iter().all(|device| uuid(device) == uuid(&matches[0])) {
                    true => {
                        "; they are copies: name the one that is meant by dev:/dev/NAME, or take the others away"
                    }
                    false => "; name the one that is meant by its UUID=, or by dev:/dev/NAME",
                })
            }
            Self::Never(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NotFound {}

fn list(f: &mut fmt::Formatter<'_>, devices: &[Device], say: impl Fn(&Device) -> String) -> fmt::Result {
    let said: Vec<String> = devices.iter().take(LISTED).map(say).collect();
    f.write_str(&said.join(", "))?;
    match devices.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
pub(super) mod tests;
