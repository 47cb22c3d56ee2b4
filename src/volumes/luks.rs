//! Encrypted devices: which are not open, and cryptsetup(8) to open one. The passphrase goes through a pipe and nowhere
//! else; asking for it is `tui`'s.

use std::fs;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;

use super::assemble::remember;
use super::device::Places;
use super::find::distinct;
use super::{Device, NotFound, Volume, find, tool};

const CRYPTSETUP: &str = "cryptsetup";

/// As blkid(8) names what is on them.
const KIND: &str = "crypto_LUKS";

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

    /// What was typed, as UTF-8.
    pub fn bytes(&self) -> &[u8] {
        &self.0
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
    device: Device,
    /// Of its header.
    uuid: String,
}

impl Locked {
    /// If it is encrypted, and not open.
    pub fn new(device: Device) -> Option<Self> {
        Self::of(&Places::real(), device)
    }

    fn of(places: &Places, device: Device) -> Option<Self> {
        let uuid = uuid(&device)?.to_owned();
        // It becomes part of a name below /dev/mapper.
        let plain = !uuid.is_empty() && uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let shut = plain && opened_in(places, &device).is_none();
        shut.then_some(Self { device, uuid })
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// What it is called when it is open, by dracut and systemd, too.
    fn name(&self) -> String {
        name(&self.uuid)
    }
}

fn name(uuid: &str) -> String {
    format!("luks-{uuid}")
}

/// Of the header, if there is one.
fn uuid(device: &Device) -> Option<&str> {
    let content = device.content.as_ref().filter(|content| content.kind == KIND)?;
    content.uuid.as_deref()
}

/// Why a device is still locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// No key fits.
    WrongPassphrase,
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

/// Whether there is a program that opens anything.
pub fn can_open() -> bool {
    tool::find(CRYPTSETUP).is_some()
}

/// What is in an encrypted device, if it is open.
pub fn opened(device: &Device) -> Option<Volume> {
    opened_in(&Places::real(), device)
}

/// A copy has the same UUID, and would have the same name: what is open is this one's inside only if it is made of it.
fn opened_in(places: &Places, device: &Device) -> Option<Volume> {
    let name = name(uuid(device)?);
    let is_inside = |other: &String| {
        places.mapped(other).as_ref() == Some(&name) && places.made_of(other).contains(&device.name)
    };
    let open = places.names().iter().any(is_inside);
    open.then(|| Volume::Device(Path::new("/dev/mapper").join(name)))
}

/// The device that `rd.luks.uuid=` means, if it is there and not open.
///
/// # Errors
/// [`NotFound::Several`]: copies of one, or a beginning that several have.
pub fn locked(word: &str) -> Result<Option<Locked>, NotFound> {
    locked_in(&Places::real(), word)
}

fn locked_in(places: &Places, word: &str) -> Result<Option<Locked>, NotFound> {
    let there = places.all();
    match distinct(&there, &|device| uuid(device).is_some_and(|uuid| means(word, uuid)))[..] {
        [] => Ok(None),
        [device] => Ok(Locked::of(places, device.clone())),
        ref several => {
            let matches = several.iter().map(|device| (*device).clone()).collect();
            Err(NotFound::Several { volume: Volume::Uuid(plain(word).to_owned()), matches })
        }
    }
}

/// The device itself that has this name, if it is encrypted and not open.
pub fn locked_by(volume: &Volume) -> Option<Locked> {
    find(volume).ok().and_then(|found| Locked::new(found.device))
}

/// `rd.luks.uuid=` takes a UUID or the beginning of one, with or without `luks-`.
fn means(word: &str, uuid: &str) -> bool {
    let word = plain(word).to_ascii_lowercase();
    !word.is_empty() && uuid.to_ascii_lowercase().starts_with(&word)
}

fn plain(word: &str) -> &str {
    word.strip_prefix("luks-").unwrap_or(word)
}

/// Opens it; what is in it is then at `/dev/mapper/luks-UUID`.
///
/// # Errors
/// [`NotOpened`].
pub fn open(locked: &Locked, secret: &Secret, on: &dyn Fn() -> ControlFlow<()>) -> Result<(), NotOpened> {
    /// Exit status of cryptsetup(8): no permission, that is, a bad passphrase.
    const BAD_PASSPHRASE: i32 = 2;
    let failed = |e: std::io::Error| NotOpened::Failed(e.to_string());
    let missing = || NotOpened::Failed(format!("{CRYPTSETUP} is not here"));
    let program = tool::find(CRYPTSETUP).ok_or_else(missing)?;
    // Where it locks against others of its kind: it complains when it has to make that itself.
    fs::create_dir_all("/run/cryptsetup").map_err(failed)?;
    let (device, name) = (locked.device.path.display().to_string(), locked.name());
    // It is only read from: nothing is recovered, and nothing below is written.
    let args = ["open", "--readonly", "--type", "luks", "--tries", "1", "--key-file=-", &device, &name];
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
    use crate::volumes::Content;
    use crate::volumes::find::tests::Machine;

    const ID: &str = "5b4C2f0e-9d9a-4a55-8a51-2f7d6c1b0a99";

    /// The beginning of a header.
    fn luks(uuid: &str) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(b"LUKS\xba\xbe\0\x01");
        bytes[168..168 + uuid.len()].copy_from_slice(uuid.as_bytes());
        bytes
    }

    fn device(kind: &'static str, uuid: &str) -> Device {
        let content = Content { kind, uuid: Some(uuid.into()), ..Content::default() };
        Device { path: "/dev/vdb".into(), content: Some(content), ..Device::default() }
    }

    #[test]
    fn what_is_not_encrypted_or_has_no_plain_uuid_is_not_opened() {
        let locked = Locked::new(device(KIND, ID)).unwrap();
        assert_eq!((locked.uuid(), locked.name()), (ID, format!("luks-{ID}")));
        assert_eq!(opened(locked.device()), None);
        for (kind, uuid) in [("ext4", ID), (KIND, ""), (KIND, "../../x"), (KIND, "a b")] {
            assert_eq!(Locked::new(device(kind, uuid)), None, "{kind} {uuid}");
        }
        assert_eq!(Locked::new(Device::default()), None);
    }

    #[test]
    fn a_device_is_meant_by_its_uuid_in_any_spelling_of_dracuts() {
        for word in [ID, &format!("luks-{ID}"), &ID.to_lowercase(), "5b4c2f0e", "luks-5B4C"] {
            assert!(means(word, ID), "{word}");
        }
        for word in ["", "luks-", "9d9a", "luks-9"] {
            assert!(!means(word, ID), "{word}");
        }
    }

    #[test]
    fn copies_of_an_encrypted_device_are_an_error_that_lists_them() {
        let machine = Machine::new();
        machine.disk("vda", b"", &[]).disk("vdb", &luks(ID), &[]);
        let find = |word: &str| locked_in(&machine.places(), word);
        assert_eq!(find(ID).unwrap().unwrap().device().name, "vdb");
        assert_eq!(find("luks-0"), Ok(None));
        machine.disk("vdc", &luks(ID), &[]);
        for word in [ID, &format!("luks-{ID}"), "5b4c"] {
            let said = find(word).unwrap_err().to_string();
            let begins = format!("2 block devices have UUID={}: vdb (1 MiB, crypto_LUKS)", plain(word));
            assert!(said.starts_with(&begins), "{said}");
            let both = said.contains("/dev/vdb, vdc (1 MiB") && said.contains("/dev/vdc; they are copies: ");
            assert!(both, "{said}");
        }
        // Two paths to one device are no copies.
        machine.disk("dm-0", &luks(ID), &[("slaves/vdb", ""), ("slaves/vdc", "")]);
        assert_eq!(find(ID).unwrap().unwrap().device().name, "dm-0");
    }

    #[test]
    fn what_is_open_is_not_taken_for_the_inside_of_a_copy() {
        let machine = Machine::new();
        let inside = [("dm/name", &*format!("luks-{ID}\n")), ("slaves/vdb", "")];
        machine.disk("vdb", &luks(ID), &[]).disk("vdc", &luks(ID), &[]).disk("dm-0", b"", &inside);
        let places = machine.places();
        let is_open = |name: &str| opened_in(&places, &places.look(name)).map(|inside| inside.to_string());
        assert_eq!(is_open("vdb"), Some(format!("/dev/mapper/luks-{ID}")));
        assert_eq!(is_open("vdc"), None);
        assert_eq!(Locked::of(&places, places.look("vdb")), None);
        assert!(Locked::of(&places, places.look("vdc")).is_some());
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
