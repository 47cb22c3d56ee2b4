//! What an archive of an installed system or of a container brings along that does not fit a root in memory: lines of
//! `etc/fstab` for disks that are not here, and the mark of a container. Runs before the init is looked for.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, RawMode, ResolveFlags, fchmod, openat2, renameat, statat, unlinkat};

use super::{Failure, LoadError, Phase};
use crate::answer;
use crate::catalog::Fstab;
use crate::handover::root::Root;
use crate::volumes::{self, NotFound, Volume};

/// More is no table that a person wrote.
const LONGEST: u64 = 1 << 20;

/// A look at all block devices takes no longer, unless the one that is wanted hangs.
const LOOKING: Duration = Duration::from_secs(8);

/// What did not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fitted {
    /// Lines of `etc/fstab` whose device is not here.
    pub absent: Vec<Absent>,
    /// Whether they were left out.
    pub dropped: bool,
    /// Whether `/.dockerenv` was taken away: with it systemd takes the machine for a container (`detect_container` of
    /// its src/basic/virt.c), and starts neither udev nor a login on a serial line.
    pub dockerenv: bool,
}

/// A line of fstab without its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// As written.
    pub device: String,
    /// Where it was to be mounted.
    pub at: String,
}

impl Fitted {
    /// What a person should know, a line each.
    pub fn in_words(&self) -> Vec<String> {
        let then = match self.dropped {
            true => "left out",
            false => "systemd waits 90 s for it; fstab = \"drop\" leaves it out",
        };
        let said = |line: &Absent| format!("etc/fstab: {line}: no such block device is here: {then}");
        let mut all: Vec<String> = self.absent.iter().map(said).collect();
        if self.dockerenv {
            all.push("/.dockerenv was taken away: the root is no container any more".into());
        }
        all
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.device, self.at)
    }
}

/// Fits a root that is about to be started.
pub(super) fn of(root: &Root, fstab: Fstab) -> Result<Fitted, LoadError> {
    let fitted = root.open().and_then(|directory| fit(&directory, fstab, &is_here));
    fitted.map_err(|e| {
        let thing = format!("etc/fstab in {}", root.path().display());
        LoadError::Failed(Failure::new(Phase::Unpack, thing, e))
    })
}

/// Whether a block device is here. What cannot be known (a name that only udev makes, a disk that hangs when it is read)
/// is taken to be.
fn is_here(volume: &Volume) -> bool {
    let asked = volume.clone();
    let found = match answer::ask("fstab", move || volumes::find(&asked)) {
        Ok(answer) => answer.take_within(LOOKING),
        Err(e) => {
            log::warn!("{volume}: not looked for: starting a thread: {e}");
            return true;
        }
    };
    match found {
        Ok(found) => !matches!(found, Err(NotFound::None { .. })),
        Err(e) => {
            log::warn!("{volume}: looking for it: {e} after {} s", LOOKING.as_secs());
            true
        }
    }
}

/// Looks, and takes away what `fstab` says may go. `exists` says whether a block device is here.
///
/// # Errors
/// Of reading or writing below `root`; a root without `etc/fstab` is none.
pub(super) fn fit(root: &OwnedFd, fstab: Fstab, exists: &dyn Fn(&Volume) -> bool) -> io::Result<Fitted> {
    let mut fitted = Fitted { dockerenv: without_dockerenv(root)?, ..Fitted::default() };
    let Some((directory, mode, text)) = table(root)? else { return Ok(fitted) };
    let lines: Vec<(&str, Option<Absent>)> = text.lines().map(|line| (line, absent(line, exists))).collect();
    fitted.absent = lines.iter().filter_map(|(_, absent)| absent.clone()).collect();
    if fstab == Fstab::Drop && !fitted.absent.is_empty() {
        let kept: Vec<String> = lines
            .iter()
            .map(|(line, absent)| match absent {
                Some(_) => format!("# its device was not there when this system was started: {line}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        write(&directory, mode, &kept.concat())?;
        fitted.dropped = true;
    }
    Ok(fitted)
}

/// `/.dockerenv` is an empty file at the top of what `docker export` writes.
fn without_dockerenv(root: &OwnedFd) -> io::Result<bool> {
    const NAME: &str = ".dockerenv";
    match statat(root, NAME, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(what) if what.st_size == 0 && is_file(what.st_mode) => {
            unlinkat(root, NAME, AtFlags::empty())?;
            Ok(true)
        }
        Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn is_file(mode: RawMode) -> bool {
    rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::RegularFile
}

/// `etc/fstab` with its directory and mode, where it is a file that can be read as text.
fn table(root: &OwnedFd) -> io::Result<Option<(OwnedFd, RawMode, String)>> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let directory = match openat2(root, "etc", flags | OFlags::DIRECTORY, Mode::empty(), resolve) {
        Ok(directory) => directory,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    // A link would lead to another file than the one that is replaced.
    match statat(&directory, FSTAB, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(what) if is_file(what.st_mode) => {
            let file =
                openat2(&directory, FSTAB, flags | OFlags::NOFOLLOW, Mode::empty(), ResolveFlags::empty())?;
            let mut bytes = Vec::new();
            File::from(file).take(LONGEST).read_to_end(&mut bytes)?;
            Ok(String::from_utf8(bytes).ok().map(|text| (directory, what.st_mode, text)))
        }
        Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

const FSTAB: &str = "fstab";

/// The table anew, whole or not at all.
fn write(directory: &OwnedFd, mode: RawMode, text: &str) -> io::Result<()> {
    const NEW: &str = "fstab.bootjack";
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat2(directory, NEW, flags, Mode::RUSR | Mode::WUSR, ResolveFlags::empty())?;
    fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
    File::from(file).write_all(text.as_bytes())?;
    Ok(renameat(directory, NEW, directory, FSTAB)?)
}

/// What a line asks for at the start of the system and cannot get (fstab(5), systemd.mount(5)).
fn absent(line: &str, exists: &dyn Fn(&Volume) -> bool) -> Option<Absent> {
    let mut fields = line.split_ascii_whitespace();
    let (device, at) = (fields.next()?, fields.next()?);
    if device.starts_with('#') {
        return None;
    }
    let options = fields.nth(1).unwrap_or_default();
    // Nobody waits for those.
    if options.split(',').any(|option| matches!(option, "noauto" | "nofail")) {
        return None;
    }
    // Logical volumes, arrays and opened containers are put together by the system that comes up, not here.
    if ["/dev/mapper/", "/dev/md"].iter().any(|made| device.starts_with(made)) {
        return None;
    }
    // A tmpfs, a bind, a server: no block device.
    let volume = Volume::parse(&unescaped(&device.replace('"', ""))).ok()?;
    (!exists(&volume)).then(|| Absent { device: device.to_owned(), at: unescaped(at) })
}

/// `\040` and its like stand for spaces (getmntent(3)).
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    const TABLE: &str = "# a comment UUID=x / ext4\n\
        UUID=aaaa / ext4 errors=remount-ro 0 1\n\
        LABEL=here /srv ext4 defaults 0 2\n\
        LABEL=my\\040data /my\\040data xfs\n\
        \"UUID=bbbb\" none swap sw 0 0\n\
        /dev/sdb1 /mnt ext4 noauto 0 0\n\
        /dev/mapper/vg-home /home ext4 defaults 0 2\n\
        PARTUUID=cccc /boot/efi vfat umask=0077,nofail 0 1\n\
        tmpfs /tmp tmpfs size=1g 0 0\n\
        server:/export /net nfs defaults 0 0\n\
        //server/share /cifs cifs defaults 0 0\n\n";

    fn root(table: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/fstab"), table).unwrap();
        root
    }

    fn fit(root: &Path, fstab: Fstab) -> Fitted {
        let directory = fs::File::open(root).unwrap().into();
        super::fit(&directory, fstab, &|volume| *volume == Volume::Label("here".into())).unwrap()
    }

    #[test]
    fn lines_that_would_be_waited_for_in_vain_are_named_and_nothing_else() {
        let root = root(TABLE);
        let fitted = fit(root.path(), Fstab::Keep);
        let named: Vec<String> = fitted.absent.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["UUID=aaaa (/)", "LABEL=my\\040data (/my data)", "\"UUID=bbbb\" (none)"]);
        assert!(!fitted.dropped);
        assert_eq!(fs::read_to_string(root.path().join("etc/fstab")).unwrap(), TABLE);
    }

    #[test]
    fn they_are_left_out_on_request_and_the_rest_stays_as_written() {
        let root = root(TABLE);
        let path = root.path().join("etc/fstab");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(fit(root.path(), Fstab::Drop).dropped);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("# its device")).collect();
        assert_eq!(kept.len() + 3, TABLE.lines().count());
        assert!(
            kept.contains(&"LABEL=here /srv ext4 defaults 0 2")
                && kept.contains(&"tmpfs /tmp tmpfs size=1g 0 0")
        );
        // Another look finds nothing more to do.
        let again = fit(root.path(), Fstab::Drop);
        assert_eq!((again.absent.len(), again.dropped), (0, false));
        assert_eq!(fs::read_dir(root.path().join("etc")).unwrap().count(), 1);
    }

    #[test]
    fn a_root_without_a_table_and_one_that_leads_out_of_itself_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(fit(root.path(), Fstab::Drop), Fitted::default());
        let outside = self::root(TABLE);
        symlink(outside.path().join("etc"), root.path().join("etc")).unwrap();
        assert_eq!(fit(root.path(), Fstab::Drop), Fitted::default());
        fs::remove_file(root.path().join("etc")).unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        symlink(outside.path().join("etc/fstab"), root.path().join("etc/fstab")).unwrap();
        assert_eq!(fit(root.path(), Fstab::Drop), Fitted::default());
        assert_eq!(fs::read_to_string(outside.path().join("etc/fstab")).unwrap(), TABLE);
    }

    #[test]
    fn the_mark_of_a_container_is_taken_away_and_a_file_with_something_in_it_is_not() {
        let root = tempfile::tempdir().unwrap();
        let mark = root.path().join(".dockerenv");
        fs::write(&mark, "").unwrap();
        assert!(fit(root.path(), Fstab::Keep).dockerenv);
        assert!(!mark.exists());
        fs::write(&mark, "x").unwrap();
        assert!(!fit(root.path(), Fstab::Keep).dockerenv);
        assert!(mark.exists());
    }
}
