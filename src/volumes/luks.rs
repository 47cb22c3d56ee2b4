//! Encrypted devices: which there are, by their own headers, and cryptsetup(8) to open one. The passphrase goes through
//! a pipe and nowhere else; asking for it is `tui`'s.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::assemble::remember;
use super::{Volume, tool};

const CRYPTSETUP: &str = "cryptsetup";

/// Begins the header of either version, and where its UUID and the label of the second are
/// (LUKS1 On-Disk Format 1.2.3; LUKS2 On-Disk Format 1.1, section 2.1).
const MAGIC: &[u8] = b"LUKS\xba\xbe";
const UUID: std::ops::Range<usize> = 168..208;
const LABEL: std::ops::Range<usize> = 24..72;
const HEADER: usize = 208;

/// No passphrase is longer (cryptsetup's limit for one that is typed).
const LONGEST: usize = 512;

/// What is typed; wiped when it is gone, and never shown.
pub struct Secret(Vec<u8>);

impl Default for Secret {
    /// Room for all there may ever be: what grows would leave copies behind.
    fn default() -> Self {
        Self(Vec::with_capacity(LONGEST))
    }
}

impl Secret {
    /// One more letter; one too many is left out.
    pub fn push(&mut self, letter: char) {
        if self.0.len() + letter.len_utf8() <= LONGEST {
            self.0.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// Takes the last letter back.
    pub fn pop(&mut self) {
        let start = self.0.iter().rposition(|byte| byte & 0xc0 != 0x80).unwrap_or(0);
        self.0[start..].fill(0);
        self.0.truncate(start);
    }

    pub fn clear(&mut self) {
        self.0.fill(0);
        // What nobody reads any more is written all the same.
        black_box(&mut self.0);
        self.0.clear();
    }

    /// Letters in it.
    pub fn letters(&self) -> usize {
        self.0.iter().filter(|byte| *byte & 0xc0 != 0x80).count()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.clear();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// An encrypted device that is not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// `/dev/sda2`.
    pub device: PathBuf,
    pub uuid: String,
    pub label: String,
}

impl Locked {
    /// What it is called when it is open: `/dev/mapper/luks-UUID`, as dracut calls it.
    pub fn name(&self) -> String {
        format!("luks-{}", self.uuid)
    }
}

/// Why a device is still locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// No key fits.
    WrongPassphrase,
    /// cryptsetup is not there.
    NoProgram,
    /// What it said.
    Failed(String),
    Stopped,
}

/// Whether a device that `rd.luks.uuid=` means is open.
pub fn is_open(word: &str) -> bool {
    let entries = fs::read_dir("/dev/mapper").into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut uuids = names.filter_map(|name| name.strip_prefix("luks-").map(str::to_owned));
    uuids.any(|uuid| means(word, &uuid))
}

/// All encrypted devices that are not open now.
pub fn locked() -> Vec<Locked> {
    let entries = fs::read_dir("/sys/class/block").into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<Locked> = names.filter_map(|name| look_at(&Path::new("/dev").join(name))).collect();
    found.retain(|locked| !Path::new("/dev/mapper").join(locked.name()).exists());
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

impl Locked {
    /// Whether `volume` names this device itself, not what is in it.
    pub fn is(&self, volume: &Volume) -> bool {
        match volume {
            Volume::Device(path) => fs::canonicalize(path).is_ok_and(|path| path == self.device),
            Volume::Uuid(uuid) => uuid.eq_ignore_ascii_case(&self.uuid),
            Volume::Label(label) => *label == self.label,
            Volume::PartLabel(_) | Volume::PartUuid(_) => false,
        }
    }

    /// Whether `rd.luks.uuid=` means it: its UUID or the beginning of it, with or without `luks-`.
    pub fn is_named(&self, word: &str) -> bool {
        means(word, &self.uuid)
    }
}

fn means(word: &str, uuid: &str) -> bool {
    let word = word.strip_prefix("luks-").unwrap_or(word).to_ascii_lowercase();
    !word.is_empty() && uuid.to_ascii_lowercase().starts_with(&word)
}

fn look_at(device: &Path) -> Option<Locked> {
    let mut header = [0; HEADER];
    // A drive without a medium, a device of no size: nothing is there to be opened.
    File::open(device).ok()?.read_exact(&mut header).ok()?;
    parse(device, &header)
}

fn parse(device: &Path, header: &[u8; HEADER]) -> Option<Locked> {
    let version = u16::from_be_bytes([header[6], header[7]]);
    if !header.starts_with(MAGIC) || !(1..=2).contains(&version) {
        return None;
    }
    let text = |range: std::ops::Range<usize>| {
        let bytes = header[range].split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let uuid = text(UUID);
    // It becomes part of a name below /dev/mapper.
    let plain = !uuid.is_empty() && uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let label = if version == 2 { text(LABEL) } else { String::new() };
    plain.then(|| Locked { device: device.to_owned(), uuid, label })
}

/// Opens it; what is in it is then at `/dev/mapper/luks-UUID`.
///
/// # Errors
/// [`NotOpened`].
pub fn open(locked: &Locked, secret: &Secret, on: &dyn Fn() -> ControlFlow<()>) -> Result<(), NotOpened> {
    /// Exit status of cryptsetup(8): no permission, that is, a bad passphrase.
    const BAD_PASSPHRASE: i32 = 2;
    let failed = |e: std::io::Error| NotOpened::Failed(e.to_string());
    let program = tool::find(CRYPTSETUP).ok_or(NotOpened::NoProgram)?;
    // Where it locks against others of its kind: it complains when it has to make that itself.
    fs::create_dir_all("/run/cryptsetup").map_err(failed)?;
    let (device, name) = (locked.device.display().to_string(), locked.name());
    let args = ["open", "--type", "luks", "--tries", "1", "--key-file=-", &device, &name];
    match tool::run(&program, &args, &secret.0, on).map_err(failed)? {
        None => Err(NotOpened::Stopped),
        Some(done) if done.status.success() => {
            remember(&[CRYPTSETUP, "close", &name]);
            Ok(())
        }
        Some(done) if done.status.code() == Some(BAD_PASSPHRASE) => Err(NotOpened::WrongPassphrase),
        Some(done) => Err(NotOpened::Failed(done.words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u8, uuid: &str, label: &str) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..6].copy_from_slice(MAGIC);
        header[7] = version;
        header[UUID.start..UUID.start + uuid.len()].copy_from_slice(uuid.as_bytes());
        header[LABEL.start..LABEL.start + label.len()].copy_from_slice(label.as_bytes());
        header
    }

    const ID: &str = "5b4C2f0e-9d9a-4a55-8a51-2f7d6c1b0a99";

    #[test]
    fn a_header_tells_uuid_and_label() {
        let device = Path::new("/dev/vdb");
        let second = parse(device, &header(2, ID, "safe")).unwrap();
        assert_eq!((second.uuid.as_str(), second.label.as_str()), (ID, "safe"));
        assert_eq!(parse(device, &header(1, ID, "aes")).unwrap().label, "");
        assert_eq!(second.name(), format!("luks-{ID}"));
        for none in [header(3, ID, ""), header(2, "", ""), header(2, "../../x", ""), [0; HEADER]] {
            assert_eq!(parse(device, &none), None);
        }
    }

    #[test]
    fn a_device_is_meant_by_its_uuid_in_any_spelling_of_dracuts() {
        let locked = parse(Path::new("/dev/vdb"), &header(2, ID, "safe")).unwrap();
        for word in [ID, &format!("luks-{ID}"), &ID.to_lowercase(), "5b4c2f0e", "luks-5B4C"] {
            assert!(locked.is_named(word), "{word}");
        }
        for word in ["", "luks-", "9d9a", "luks-9"] {
            assert!(!locked.is_named(word), "{word}");
        }
        assert!(locked.is(&Volume::Uuid(ID.to_uppercase())) && locked.is(&Volume::Label("safe".into())));
        assert!(!locked.is(&Volume::Label("other".into())) && !locked.is(&Volume::PartLabel("safe".into())));
    }

    #[test]
    fn a_secret_grows_in_place_and_loses_whole_letters() {
        let mut secret = Secret::default();
        let place = secret.0.as_ptr();
        (0..LONGEST * 2).for_each(|_| secret.push('x'));
        assert_eq!((secret.0.len(), secret.0.as_ptr()), (LONGEST, place));
        secret.clear();
        "aü€".chars().for_each(|letter| secret.push(letter));
        assert_eq!((secret.letters(), secret.0.len()), (3, 6));
        secret.pop();
        assert_eq!(secret.0, "aü".as_bytes());
        (0..5).for_each(|_| secret.pop());
        assert_eq!(secret.letters(), 0);
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
