//! The second stage's initrd: made in memory of what the running one has, part after part, as the kernel unpacks them
//! one after the other (Documentation/driver-api/early-userspace/buffer-format.rst). What starts in it is bootjack again.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Failure, LoadError, Phase};
use crate::archive::newc::{Content, Tree};

/// Where the second stage finds what the first one tells it.
pub const HANDOFF: &str = "/bootjack/handoff.json";

/// Where a carried archive lies, as a location and as a directory in the initrd.
pub const CARRIED: &str = "bootjack/root";

/// Microcode for the processor is looked for in the first, uncompressed part alone
/// (Documentation/arch/x86/microcode.rst); the kernel left it in this initramfs.
const MICROCODE: &str = "kernel/x86/microcode";

/// What goes along of this initramfs, beside program and shell: what to boot when all else fails, and whom to trust. Not
/// all of their directory: archives may lie there, too.
const SETTINGS: &[&str] = &["catalog.toml", "ca", "ca-only", "keys", "with", "ssh"];
const SETTINGS_OF: &str = "etc/bootjack";

/// Paths of the programs and libraries that `bootjack initrd --with` put into this initramfs.
const WITH: &str = "/etc/bootjack/with";

/// The part with microcode, if this initramfs has any.
pub(super) fn microcode(file: &File) -> Result<(), LoadError> {
    let place = Path::new("/").join(MICROCODE);
    if !place.is_dir() {
        return Ok(());
    }
    let mut tree = Tree::default();
    add_tree(&mut tree, &place, MICROCODE).map_err(|e| failed("microcode", e))?;
    append(file, &tree)
}

/// The part with bootjack itself. Drivers go along only if the second kernel is the running one over again (`release`);
/// certificates of other places (`ca`) come to the others.
pub(super) fn own(file: &File, release: Option<&str>, ca: &[PathBuf]) -> Result<(), LoadError> {
    let tree = own_tree(release, ca).map_err(|e| failed("the second stage", e))?;
    append(file, &tree)
}

fn own_tree(release: Option<&str>, ca: &[PathBuf]) -> anyhow::Result<Tree> {
    let mut tree = Tree::for_init();
    let program = fs::read("/proc/self/exe").context("reading this program")?;
    tree.file("init", 0o755, Content::Bytes(program))?;
    tree.symlink("bin/bootjack", "../init")?;
    let shell = Path::new("/bin/busybox");
    if shell.exists() {
        tree.file("bin/busybox", 0o755, Content::File(shell.to_owned()))?;
        tree.symlink("bin/sh", "busybox")?;
    }
    for name in SETTINGS {
        let place = format!("{SETTINGS_OF}/{name}");
        let path = Path::new("/").join(&place);
        if path.is_dir() {
            add_tree(&mut tree, &path, &place)?;
        } else if path.exists() {
            tree.file(&place, 0o644, Content::File(path))?;
        }
    }
    add_programs(&mut tree)?;
    for (n, path) in ca.iter().enumerate() {
        tree.file(&format!("{SETTINGS_OF}/ca/named-{n}.pem"), 0o644, Content::File(path.clone()))?;
    }
    let running = rustix::system::uname();
    if let Some(release) = release.filter(|r| r.as_bytes() == running.release().to_bytes()) {
        let place = format!("lib/modules/{release}");
        let modules = Path::new("/").join(&place);
        if modules.is_dir() {
            add_tree(&mut tree, &modules, &place)?;
        }
    }
    Ok(tree)
}

/// What an encrypted or assembled disk is read with, this stage as the next one.
fn add_programs(tree: &mut Tree) -> anyhow::Result<()> {
    let list = fs::read_to_string(WITH).unwrap_or_default();
    // One that a person took away is not missed here: the second stage says what it lacks.
    for path in list.lines().filter(|path| Path::new(path).exists()) {
        let place = path.trim_start_matches('/');
        match fs::read_link(path) {
            Ok(target) => tree.symlink(place, target.to_str().context("a link that is no text")?)?,
            Err(_) => tree.file(place, 0o755, Content::File(path.into()))?,
        }
    }
    Ok(())
}

/// The part with what the second stage is told.
pub(super) fn handoff(file: &File, bytes: Vec<u8>) -> Result<(), LoadError> {
    let mut tree = Tree::default();
    let place = HANDOFF.trim_start_matches('/');
    tree.file(place, 0o600, Content::Bytes(bytes)).map_err(|e| failed("the hand-off", e))?;
    append(file, &tree)
}

fn append(file: &File, tree: &Tree) -> Result<(), LoadError> {
    tree.append(file, 0).map_err(|e| failed("the second stage's initrd", e))
}

fn failed(what: &str, error: anyhow::Error) -> LoadError {
    LoadError::Failed(Failure::new(Phase::Handover, what, error))
}

/// Adds what lies below `from`: files, directories and links; an initramfs of bootjack has nothing else there.
fn add_tree(tree: &mut Tree, from: &Path, place: &str) -> anyhow::Result<()> {
    tree.directory(place);
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a file name that is no text")?;
        let (path, place) = (entry.path(), format!("{place}/{name}"));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            add_tree(tree, &path, &place)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path)?;
            tree.symlink(&place, target.to_str().context("a link that is no text")?)?;
        } else {
            // The key of ssh is nobody else's.
            let mode = entry.metadata()?.permissions().mode() & 0o777;
            tree.file(&place, mode, Content::File(path))?;
        }
    }
    Ok(())
}
