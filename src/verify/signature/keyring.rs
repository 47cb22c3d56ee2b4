//! The keys of an initrd, and how many of them have to sign. What cannot be read lowers no bar: it is told, and the
//! threshold stays what it is.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::{Key, KeyId, NotSigned, Signed, signatures};
use crate::order;

/// Where an initrd has its keys: `*.pub`, and [`THRESHOLD`]. That there is such a directory means that signatures are
/// wanted, whatever is in it.
pub const KEYS: &str = "/etc/bootjack/keys";

/// How many keys have to sign: a number as text; 1 where there is no such file.
pub const THRESHOLD: &str = "threshold";

/// Bytes of a file of keys that are read; a real one has 120.
const FILE_LIMIT: u64 = 4 << 10;

/// The keys, and how many of them have to sign.
#[derive(Clone, Debug)]
pub struct Keyring {
    keys: Vec<Key>,
    /// Absent: nobody knows how many, and no number of signatures is enough.
    threshold: Option<usize>,
    /// What an operator has to know: files that are no keys, a threshold that cannot be met.
    faults: Vec<String>,
}

impl Keyring {
    /// These keys, of which so many have to sign.
    ///
    /// # Errors
    /// In words: none of them, one of them twice, or a threshold that is no number of them.
    pub fn new(keys: Vec<Key>, threshold: usize) -> Result<Self, String> {
        for (n, key) in keys.iter().enumerate() {
            if keys[..n].iter().any(|other| other.id == key.id) {
                return Err(format!("key {} is there twice: each counts once", key.id));
            }
        }
        match (threshold, keys.len()) {
            (_, 0) => Err("there is no key".into()),
            (1.., n) if threshold <= n => Ok(Self { keys, threshold: Some(threshold), faults: Vec::new() }),
            (_, n) => Err(format!(
                "a threshold of {threshold} signatures, with keys: {n}: write a number from 1 to {n}"
            )),
        }
    }

    /// The keys in the directory `from`; absent: there is no such directory, and nothing has to be signed.
    pub fn read(from: &Path) -> Option<Self> {
        let found = match fs::symlink_metadata(from) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            found => found.and_then(|_| fs::read_dir(from)).and_then(Iterator::collect::<io::Result<Vec<_>>>),
        };
        let mut ring = Self { keys: Vec::new(), threshold: Some(1), faults: Vec::new() };
        let mut files = found.unwrap_or_else(|e| {
            ring.faults.push(format!("signature keys: {}: {e}", from.display()));
            Vec::new()
        });
        order::by_key(&mut files, fs::DirEntry::file_name);
        for path in files.iter().map(fs::DirEntry::path) {
            let read = match path.file_name().and_then(|name| name.to_str()) {
                Some(THRESHOLD) => ring.set_threshold(&path),
                Some(name) if name.ends_with(".pub") => text(&path).and_then(|text| ring.add(&text)),
                _ => Err("is not looked at: keys are called *.pub".into()),
            };
            ring.faults.extend(read.err().map(|why| format!("signature keys: {}: {why}", path.display())));
        }
        ring.faults.extend(ring.unmet());
        Some(ring)
    }

    /// What is wrong with it, a line each.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The keys, in order.
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(Key::id).collect()
    }

    /// How many have to sign; absent: nobody knows.
    pub fn threshold(&self) -> Option<usize> {
        self.threshold
    }

    /// Whether enough keys signed exactly these bytes; each counts once, however often it signed. `file` holds one
    /// signature after the other.
    ///
    /// # Errors
    /// [`NotSigned`], with all that was found.
    pub fn check(&self, bytes: &[u8], file: &[u8]) -> Result<Signed, NotSigned> {
        let mut good = vec![false; self.keys.len()];
        let mut not = NotSigned {
            threshold: self.threshold,
            keys: self.ids(),
            good: Vec::new(),
            wrong: Vec::new(),
            strange: Vec::new(),
            damaged: 0,
        };
        for signature in signatures(file) {
            let Ok((id, signature)) = signature else {
                not.damaged += 1;
                continue;
            };
            let Some(at) = self.keys.iter().position(|key| key.id == id) else {
                not.strange.push(id);
                continue;
            };
            // The older form, over the bytes themselves, is as good: minisign makes it with -l.
            match self.keys[at].key.verify(bytes, &signature, true) {
                Ok(()) => good[at] = true,
                Err(_) => not.wrong.push(id),
            }
        }
        let by: Vec<KeyId> =
            self.ids().into_iter().zip(&good).filter_map(|(id, good)| good.then_some(id)).collect();
        // A file may hold the signatures of the text before this one, too.
        not.wrong.retain(|id| !by.contains(id));
        match self.threshold {
            Some(threshold) if threshold > 0 && by.len() >= threshold => {
                Ok(Signed { by, keys: self.keys.len() })
            }
            _ => Err(NotSigned { good: by, ..not }),
        }
    }

    /// As the file says; one that says nothing sensible leaves none, and never a lower one.
    fn set_threshold(&mut self, path: &Path) -> Result<(), String> {
        self.threshold = None;
        self.threshold = Some(number(&text(path)?)?);
        Ok(())
    }

    /// One key more.
    fn add(&mut self, text: &str) -> Result<(), String> {
        let key = Key::parse(text).map_err(|why| why.to_string())?;
        if self.keys.iter().any(|other| other.id == key.id) {
            return Err(format!("key {} is there already, and counts once", key.id));
        }
        self.keys.push(key);
        Ok(())
    }

    /// Why no number of signatures is enough, if so.
    fn unmet(&self) -> Option<String> {
        let why = match (self.threshold, self.keys.len()) {
            (_, 0) => "none can be read".to_owned(),
            (None, _) => "nobody knows how many have to sign".to_owned(),
            (Some(n), keys) if n > keys => format!("{n} have to sign, only {keys} can be read"),
            _ => return None,
        };
        Some(format!("signature keys: {why}: no fetched catalog is accepted"))
    }
}

fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text));
    match read {
        Err(e) => Err(e.to_string()),
        Ok(bytes) if bytes as u64 > FILE_LIMIT => Err("is longer than any key".into()),
        Ok(_) => Ok(text),
    }
}

/// A threshold as it is written.
fn number(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = !text.is_empty() && text.len() < 5 && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten().filter(|n| *n > 0);
    number.ok_or_else(|| format!("{text:?} is no number of signatures, from 1 on"))
}
