//! The end of the story. A worker finishes with a [`Handover`], which can only be made from a verified root; the
//! supervisor receives it as an [`Order`] and performs it, which never returns unless it failed.

mod farewell;
mod firmware;
mod image;
pub mod init;
pub mod kernel;
pub mod kexec;
pub mod root;
pub mod run;
pub mod shared;
mod switch_root;

use std::convert::Infallible;
use std::path::PathBuf;

use anyhow::Context;
use nix::sys::reboot::{RebootMode, reboot};

use crate::verify::Verified;
pub use farewell::LastWords;
pub use firmware::{BootEntry, Firmware, mount_variables};
pub use image::NotMounted;
use init::Init;
use kexec::Loaded;
use root::{Root, SYSROOT};
use shared::Shared;
use switch_root::switch_root;
pub use switch_root::{Fallen, can_move_into};

/// What a finished load leads to.
#[derive(Debug)]
pub struct Handover(Order);

/// The same on its way from the worker to the supervisor, who performs it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The running kernel stays; `init` of the tree mounted at `root` becomes process 1.
    SwitchRoot {
        root: PathBuf,
        init: Init,
    },
    /// The kernel that was loaded takes over.
    Kexec(LastWords),
    Reboot,
    PowerOff,
    /// Reboot into the next boot entry of the firmware.
    Local,
    /// Reboot into the boot entry with this number.
    Next(u16),
    /// Reboot into the firmware's own screens.
    Setup,
}

impl Handover {
    /// Into a root whose bytes matched their digest, or were allowed to go unverified.
    pub fn switch_root(root: Verified<Root>, init: Init) -> Self {
        let (root, _) = root.into_parts();
        Self(Order::SwitchRoot { root: root.keep(), init })
    }
    /// Into a directory that the host shares, mounted as the next root.
    pub fn shared_root(root: Verified<Shared>, init: Init) -> Self {
        let (root, _) = root.into_parts();
        root.keep();
        Self(Order::SwitchRoot { root: SYSROOT.into(), init })
    }
    /// Into a kernel that was loaded of verified parts.
    pub fn kexec(loaded: Verified<Loaded>, words: LastWords) -> Self {
        let (loaded, _) = loaded.into_parts();
        loaded.keep();
        Self(Order::Kexec(words))
    }
    pub fn reboot() -> Self {
        Self(Order::Reboot)
    }
    pub fn power_off() -> Self {
        Self(Order::PowerOff)
    }
    pub fn local() -> Self {
        Self(Order::Local)
    }
    pub fn next(entry: u16) -> Self {
        Self(Order::Next(entry))
    }
    pub fn setup() -> Self {
        Self(Order::Setup)
    }
    /// Not wanted any more: what was made for it is thrown away.
    ///
    /// # Errors
    /// Of umount2(2) or kexec_file_load(2).
    pub fn discard(self) -> std::io::Result<()> {
        discard_all().map(drop)
    }
    /// For the way to the supervisor.
    pub fn into_order(self) -> Order {
        self.0
    }
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SwitchRoot { root, init } => write!(f, "to {} in {}", init.path, root.display()),
            Self::Kexec(words) => write!(f, "to {} by kexec", words.name),
            Self::Reboot => f.write_str("to the firmware"),
            Self::PowerOff => f.write_str("to nobody: powering off"),
            Self::Local => f.write_str("to the firmware's next boot entry"),
            Self::Next(entry) => write!(f, "to the firmware's Boot{entry:04X}"),
            Self::Setup => f.write_str("to the firmware's set-up"),
        }
    }
}

impl Order {
    /// Does it. The point of no return lies inside.
    ///
    /// # Errors
    /// [`Fallen`]: what the kernel refused, on what, and whether there is a way back.
    pub fn perform(&self) -> Result<Infallible, Fallen> {
        match self {
            Self::SwitchRoot { root, init } => switch_root(root, init),
            Self::Kexec(_) => kexec::jump().map_err(Fallen::Back),
            Self::Reboot => restart(RebootMode::RB_AUTOBOOT).map_err(Fallen::Back),
            Self::PowerOff => restart(RebootMode::RB_POWER_OFF).map_err(Fallen::Back),
            Self::Local => {
                restart_after(firmware::choose_next_entry(), "the next boot entry of the firmware")
            }
            Self::Next(entry) => {
                restart_after(firmware::choose_entry(*entry), "a boot entry of the firmware")
            }
            Self::Setup => restart_after(firmware::choose_setup(), "the firmware's set-up"),
        }
    }
}

/// Throws away what a worker that died, or changed its mind, left: a half-made root, what was mounted beside it, a loaded
/// kernel. Says whether there was something.
///
/// # Errors
/// Of umount2(2) or kexec_file_load(2).
pub fn discard_all() -> std::io::Result<bool> {
    let (unloaded, shared) = (kexec::unload(), shared::discard());
    Ok(root::discard()? | unloaded? | shared?)
}

/// What was asked of the firmware holds for the next start.
fn restart_after(asked: anyhow::Result<()>, what: &str) -> Result<Infallible, Fallen> {
    let asked = asked.with_context(|| format!("choosing {what}"));
    asked.and_then(|()| restart(RebootMode::RB_AUTOBOOT)).map_err(Fallen::Back)
}

/// reboot(2); what is to be written back is, by then.
fn restart(mode: RebootMode) -> anyhow::Result<Infallible> {
    Ok(reboot(mode)?)
}
