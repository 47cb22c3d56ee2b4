//! Why a tag cannot be mounted, in words: virtiofs answers EINVAL to a tag that no device has, and nothing more. Mounting
//! one is its user's.

use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::Tag;

/// Where the kernel shows its tags (Documentation/ABI/testing/sysfs-fs-virtiofs, Linux 6.9).
const TAGS: &str = "/sys/fs/virtiofs";

/// The driver's devices; that it is there says that the module is.
const DEVICES: &str = "/sys/bus/virtio/drivers/virtiofs";

/// What to do about a tag that is not there.
pub const NO_TAG_HINT: &str = "the host needs a virtiofsd and a vhost-user-fs device for each tag, the initrd the modules \
    virtiofs and virtio_pci (bootjack initrd --drivers virtiofs)";

/// Whether mounting may work later: a device appears when its driver does.
pub fn may_appear(error: &io::Error) -> bool {
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    is(Errno::INVAL) || is(Errno::NODEV)
}

/// What mounting `tag` failed of.
pub fn why_not_mounted(tag: &Tag, error: &io::Error) -> String {
    if !may_appear(error) {
        return format!("mounting {tag}: {error}");
    }
    let devices = names(Path::new(DEVICES)).map(|names| names.iter().filter(|n| is_device(n)).count());
    let tags = names(Path::new(TAGS)).unwrap_or_default();
    let tag_of = |device: &String| fs::read_to_string(Path::new(TAGS).join(device).join("tag")).ok();
    let mut tags: Vec<String> = tags.iter().filter_map(tag_of).map(|tag| tag.trim_end().to_owned()).collect();
    tags.sort();
    in_words(tag, devices, &tags)
}

/// `devices`: how many; absent: there is no such driver.
fn in_words(tag: &Tag, devices: Option<usize>, tags: &[String]) -> String {
    match (devices, tags) {
        (None, _) => format!("no tag {tag}: this kernel has no driver for virtiofs"),
        (Some(0), _) => format!("no tag {tag}: no virtiofs device in {DEVICES}"),
        (Some(1), []) => format!("no tag {tag}: the one virtiofs device has another"),
        (Some(n), []) => format!("no tag {tag}: the {n} virtiofs devices have others"),
        (Some(_), tags) => format!("no tag {tag}: there is {}", tags.join(", ")),
    }
}

/// `virtio3`; the other entries of a driver's directory are its own.
fn is_device(name: &str) -> bool {
    name.strip_prefix("virtio").is_some_and(|number| number.parse::<u32>().is_ok())
}

fn names(directory: &Path) -> Option<Vec<String>> {
    let entries = fs::read_dir(directory).ok()?;
    Some(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_is_not_there_is_told_with_those_that_are() {
        let tag = Tag::parse("rotfs").unwrap();
        let said = |devices, tags: &[&str]| {
            in_words(&tag, devices, &tags.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(said(Some(2), &["mnt0", "rootfs"]), "no tag rotfs: there is mnt0, rootfs");
        assert_eq!(
            said(Some(0), &[]),
            "no tag rotfs: no virtiofs device in /sys/bus/virtio/drivers/virtiofs"
        );
        assert_eq!(said(Some(3), &[]), "no tag rotfs: the 3 virtiofs devices have others");
        assert_eq!(said(None, &[]), "no tag rotfs: this kernel has no driver for virtiofs");
        assert!(is_device("virtio0") && !is_device("virtiofs") && !is_device("module"));
    }

    #[test]
    fn only_what_may_appear_is_waited_for() {
        for (errno, may) in [(Errno::INVAL, true), (Errno::NODEV, true), (Errno::PERM, false)] {
            assert_eq!(may_appear(&errno.into()), may, "{errno}");
        }
    }
}
