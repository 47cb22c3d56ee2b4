//! An image of a file system as a directory to pack: on a loop device, mounted read-only and nowhere, so that nothing of it
//! is left however this program ends. Walking it is `walk`'s, telling it `sniff`'s.

use std::fs::File;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use super::sniff::Image;
use crate::volumes::attach;

/// A mounted image: its root directory, and the mount, which lasts as long as this.
pub(super) struct Mounted {
    pub(super) root: OwnedFd,
    _mount: OwnedFd,
}

/// Mounts `image`, which is of this kind.
///
/// # Errors
/// Of a process that is not root's, or a kernel without loop devices (Linux 5.8) or this file system; with a way out.
pub(super) fn mount(image: &File, kind: Image) -> Result<Mounted> {
    let way_out = match kind {
        Image::Squashfs => "unsquashfs -d DIR FILE, and pack DIR",
        Image::Erofs => "fsck.erofs --extract=DIR FILE, and pack DIR",
    };
    mounted(image, kind.name()).with_context(|| {
        format!(
            "this is {kind}, which only root can pack, where the kernel can mount it; elsewhere: {way_out}"
        )
    })
}

fn mounted(image: &File, kind: &str) -> Result<Mounted> {
    let (device, name) = attach(image)?;
    let context = || format!("mounting {name} as {kind}");
    let mount = || -> Result<OwnedFd, Errno> {
        let new = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&new, "source", &name)?;
        fsconfig_set_flag(&new, "ro")?;
        fsconfig_create(&new)?;
        fsmount(&new, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
    };
    let mount = mount().with_context(context)?;
    // From here on the mount keeps the device.
    drop(device);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(&mount, ".", flags, Mode::empty()).with_context(context)?;
    Ok(Mounted { root, _mount: mount })
}
