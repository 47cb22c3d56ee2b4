//! A file as a block device. What is on it, and mounting that, is for others.

use std::fs::File;

use anyhow::{Context as _, bail};
use rustix::io::Errno;

use crate::sys;

/// Opening this node loads the driver (its module has an alias of that number).
const LOOP_CONTROL: &str = "/dev/loop-control";

/// Between the answer which device is free and taking it, somebody else may.
const TRIES: usize = 16;

/// A loop device with the image, read-only, and its name. It lets go of the image when its last user is gone.
///
/// # Errors
/// Of open(2) and of loop(4)'s `LOOP_CTL_GET_FREE` and `LOOP_CONFIGURE` (Linux 5.8).
pub fn attach(image: &File) -> anyhow::Result<(File, String)> {
    let control = open(LOOP_CONTROL)?;
    for _ in 0..TRIES {
        let number = sys::free_loop(&control).context("asking for a loop device")?;
        let name = format!("/dev/loop{number}");
        let device = open(&name)?;
        match sys::attach_loop(&device, image) {
            Ok(()) => return Ok((device, name)),
            Err(e) if e.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {}
            Err(e) => return Err(e).with_context(|| format!("attaching the image to {name} (Linux 5.8)")),
        }
    }
    bail!("no loop device stayed free")
}

fn open(path: &str) -> anyhow::Result<File> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    opened.map(File::from).with_context(|| format!("opening {path}"))
}
