//! A file system image in memory becomes a root as it is: attached to a loop device, mounted read-only, under an overlay
//! whose upper layer is the root's tmpfs. Nothing is unpacked. Whether the image may be trusted was decided before: the
//! kernel reads no other.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use rustix::fs::{CWD, getxattr, listxattr, setxattr};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::root::Root;
use crate::volumes::attach;

/// File systems read whole blocks, squashfs of 1 KiB, erofs of up to this: a file that ends in the middle of one is filled up
/// (`mksquashfs -nopad`), or its end could not be read.
const BLOCK: u64 = 4096;

/// A name and its value are no longer (linux/limits.h, `XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const XATTRS: usize = 64 << 10;

/// Why an image did not become a root.
#[derive(Debug)]
pub struct NotMounted {
    pub cause: anyhow::Error,
    pub hint: Option<&'static str>,
}

const NO_DRIVER: &str = "the initrd (of a second stage: modules) needs the drivers loop, overlay and the image's own: \
                         bootjack initrd --drivers net,images; or pack the root as an archive: bootjack pack";
const NOT_READ: &str =
    "make it anew as this kernel reads it: mksquashfs DIR FILE -comp zstd, mkfs.erofs -zlz4hc FILE DIR";

/// What the kernel does not know, and found no module for, is the initrd's lack.
impl From<anyhow::Error> for NotMounted {
    fn from(cause: anyhow::Error) -> Self {
        let missing = [Errno::NODEV, Errno::NOENT, Errno::NXIO, Errno::NOSYS];
        let is_missing = cause.root_cause().downcast_ref().is_some_and(|errno| missing.contains(errno));
        Self { cause, hint: is_missing.then_some(NO_DRIVER) }
    }
}

impl NotMounted {
    fn or(self, hint: &'static str) -> Self {
        Self { hint: self.hint.or(Some(hint)), ..self }
    }
}

impl Root {
    /// The root made of `image`, a file system of this kind, with all that is changed in the tmpfs. Dropped, both are gone.
    ///
    /// # Errors
    /// [`NotMounted`]; the tmpfs and the image are gone then.
    pub fn under(mut self, image: &File, kind: &str) -> Result<Self, NotMounted> {
        self.overlay(image, kind)?;
        Ok(self)
    }

    /// What is mounted on the way stays below the tmpfs, and goes with it; the overlay keeps what it needs.
    fn overlay(&mut self, image: &File, kind: &str) -> Result<(), NotMounted> {
        let at = self.path().to_owned();
        if at.as_os_str().as_bytes().iter().any(|b| b",:\\".contains(b)) {
            let why = "no overlay can be mounted of a place with a comma, colon or backslash in its name";
            return Err(anyhow!("{}: {why}", at.display()).into());
        }
        let [upper, work, lower] = ["upper", "work", "lower"].map(|name| at.join(name));
        for directory in [&upper, &work, &lower] {
            fs::create_dir(directory).with_context(|| format!("making {}", directory.display()))?;
        }
        fill_up(image)?;
        let (device, name) = attach(image)?;
        let settings = [("source", OsStr::new(&name)), ("ro", OsStr::new(""))];
        let read_only = mounted(kind, &settings, MountAttrFlags::MOUNT_ATTR_RDONLY)
            .with_context(|| format!("mounting the image as {kind}"))
            .map_err(|e| NotMounted::from(e).or(NOT_READ))?;
        // An overlay takes no layer that is mounted nowhere (`clone_private_mount`, up to Linux 6.14).
        put(&read_only, &lower).context("mounting the image")?;
        drop(device);
        take_after(&lower, &upper).context("giving the root the attributes it has in the image")?;
        let settings = [
            ("source", OsStr::new("bootjack")),
            ("lowerdir", lower.as_os_str()),
            ("upperdir", upper.as_os_str()),
            ("workdir", work.as_os_str()),
        ];
        let root = mounted("overlay", &settings, MountAttrFlags::empty()).context("mounting the overlay")?;
        Ok(self.replace(|at| put(&root, at)).context("mounting the overlay")?)
    }
}

fn fill_up(image: &File) -> anyhow::Result<()> {
    let length = image.metadata().context("looking at the image")?.len();
    image.set_len(length.next_multiple_of(BLOCK)).context("filling the image's last block")
}

/// A new mount that is nowhere yet. What its file system says of a failure is part of the error.
fn mounted(kind: &str, settings: &[(&str, &OsStr)], attributes: MountAttrFlags) -> anyhow::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |(key, value): &(&str, &OsStr)| match value.is_empty() {
        true => fsconfig_set_flag(&context, *key),
        false => fsconfig_set_string(&context, *key, *value),
    };
    let made = settings.iter().try_for_each(set).and_then(|()| fsconfig_create(&context));
    let made = made.and_then(|()| fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes));
    made.map_err(|e| match said(context) {
        text if text.is_empty() => anyhow::Error::new(e),
        text => anyhow::Error::new(e).context(text),
    })
}

/// What is to be read from a context of fsopen(2), a message each time: a letter for how bad it is, a space, the text.
fn said(context: OwnedFd) -> String {
    let (mut context, mut message, mut texts) = (File::from(context), [0; 1024], Vec::new());
    while let Ok(n @ 1..) = context.read(&mut message) {
        let text = String::from_utf8_lossy(&message[..n]);
        texts.push(text.get(2..).unwrap_or_default().trim().to_owned());
    }
    texts.join("; ")
}

fn put(mount: &OwnedFd, at: &Path) -> io::Result<()> {
    Ok(move_mount(mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// The root directory of an overlay is that of its upper layer: owner, mode, time and attributes.
fn take_after(lower: &Path, upper: &Path) -> io::Result<()> {
    let like = fs::metadata(lower)?;
    chown(upper, Some(like.uid()), Some(like.gid()))?;
    fs::set_permissions(upper, fs::Permissions::from_mode(like.mode() & 0o7777))?;
    let (mut names, mut value) = (vec![0; XATTRS], vec![0; XATTRS]);
    // A file system without attributes has none to give.
    let length = listxattr(lower, &mut names).unwrap_or(0);
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let copied = getxattr(lower, name, &mut value)
            .and_then(|n| setxattr(upper, name, &value[..n], rustix::fs::XattrFlags::empty()));
        if let Err(e) = copied {
            log::warn!("the root's own {} is lost: {e}", String::from_utf8_lossy(name));
        }
    }
    File::open(upper)?.set_modified(like.modified()?)
}
