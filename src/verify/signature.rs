//! Minisign signatures over a text: which keys there are, and whether enough of them signed exactly these bytes. Where
//! the text and its signatures come from, and what is refused without them, is for others to say.
//!
//! The formats: <https://jedisct1.github.io/minisign/>.

mod keyring;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{PublicKey, Signature};

pub use keyring::{KEYS, Keyring, THRESHOLD};

/// Which key it is: 8 random bytes, as minisign shows them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    id: KeyId,
    key: PublicKey,
}

/// Why a text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAKey {
    Secret,
    Signature,
    /// More than one, or more than a key.
    More,
    Other,
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Keys whose signature is good, each once, in the order of the keyring.
    pub by: Vec<KeyId>,
    /// How many keys there are.
    pub keys: usize,
}

/// Why too few did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSigned {
    /// How many signatures are wanted, of which keys; absent: nobody knows.
    threshold: Option<usize>,
    keys: Vec<KeyId>,
    good: Vec<KeyId>,
    /// Keys of ours whose signature is over other bytes.
    wrong: Vec<KeyId>,
    /// Keys that are not ours.
    strange: Vec<KeyId>,
    /// Signatures that are none.
    damaged: usize,
}

/// Bytes of the longest file of signatures that is read: 300 each, and a comment as long as anybody writes.
pub const SIGNATURES_LIMIT: usize = 64 << 10;

/// Signatures of a file that are looked at: each takes up to 50 ms over the longest catalog, and who sends them may mean
/// no good.
const MOST_SIGNATURES: usize = 32;

/// Before the comment that anybody may write over a key or signature.
const COMMENT: &str = "untrusted comment:";

/// Bytes of what stands under it: algorithm, key id, and then the key; or the signature; or, of a secret key, salt and
/// all (struct PubkeyStruct, SigStruct, SeckeyStruct of minisign.h).
const PUBLIC: usize = 2 + 8 + 32;
const SIGNATURE: usize = 2 + 8 + 64;
const SECRET: usize = 2 + 2 + 2 + 32 + 8 + 8 + 8 + 64 + 32;

impl Key {
    /// The text of a `.pub` file.
    ///
    /// # Errors
    /// [`NotAKey`], in words that follow the name of the file.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let mut lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(COMMENT));
        let line = lines.next().ok_or(NotAKey::Other)?;
        let bytes = STANDARD.decode(line).map_err(|_| NotAKey::Other)?;
        match bytes.len() {
            SECRET => return Err(NotAKey::Secret),
            SIGNATURE => return Err(NotAKey::Signature),
            PUBLIC if lines.next().is_some() => return Err(NotAKey::More),
            PUBLIC => {}
            _ => return Err(NotAKey::Other),
        }
        let key = PublicKey::from_base64(line).map_err(|_| NotAKey::Other)?;
        Ok(Self { id: KeyId::of(&bytes).ok_or(NotAKey::Other)?, key })
    }

    /// Which one it is.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl KeyId {
    /// That of a decoded key or signature: after the two bytes of the algorithm, least significant first.
    fn of(bytes: &[u8]) -> Option<Self> {
        Some(Self(u64::from_le_bytes(bytes.get(2..10)?.try_into().ok()?)))
    }
}

/// The signatures in a file: `cat a.minisig b.minisig` makes one of several. What is no signature is an error each.
fn signatures(file: &[u8]) -> Vec<Result<(KeyId, Signature), ()>> {
    let text = String::from_utf8_lossy(&file[..file.len().min(SIGNATURES_LIMIT)]);
    let lines: Vec<&str> = text.lines().collect();
    let starts = (0..lines.len()).filter(|&at| lines[at].starts_with(COMMENT));
    let read = |at: usize| {
        let four = lines.get(at..at + 4).ok_or(())?;
        let id = KeyId::of(&STANDARD.decode(four[1]).map_err(drop)?).ok_or(())?;
        Ok((id, Signature::decode(&four.join("\n")).map_err(drop)?))
    };
    let mut all: Vec<_> = starts.take(MOST_SIGNATURES).map(read).collect();
    if all.is_empty() && !text.trim().is_empty() {
        all.push(Err(()));
    }
    all
}

/// As minisign has it (`PRIX64`), without zeros in front: one of sixteen keys is a digit shorter.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => {
                "is a minisign SECRET key, which never leaves the machine that signs: the public key is the .pub file \
                 that was made with it"
            }
            Self::Signature => "is a minisign signature, not a public key",
            Self::More => "holds more than one minisign public key: one file a key",
            Self::Other => "is no minisign public key: `minisign -G -p FILE.pub` makes one",
        })
    }
}

impl std::error::Error for NotAKey {}

impl NotSigned {
    /// Whether there was no signature at all.
    pub fn is_of_nothing(&self) -> bool {
        self.good.is_empty() && self.wrong.is_empty() && self.strange.is_empty() && self.damaged == 0
    }

    /// Whether some of ours did sign it.
    pub fn has_good(&self) -> bool {
        !self.good.is_empty()
    }
}

fn listed(ids: &[KeyId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `signed by E7620F1842B4E81F`; of several keys with how many of how many.
impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed by {}", listed(&self.by))?;
        if self.keys > 1 { write!(f, " ({} of {})", self.by.len(), self.keys) } else { Ok(()) }
    }
}

impl fmt::Display for NotSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.keys[..], self.threshold) {
            ([], _) => f.write_str("no key of the initrd can be read, and so nothing is signed")?,
            (keys, None) => write!(f, "nobody knows how many of the keys {} have to sign", listed(keys))?,
            ([one], Some(1)) => write!(f, "key {one} must have signed it, and has not")?,
            (keys, Some(n)) => {
                write!(f, "{n} of {} must have signed it, {} did", listed(keys), self.good.len())?
            }
        }
        if !self.good.is_empty() {
            write!(f, "; good: {}", listed(&self.good))?;
        }
        if !self.wrong.is_empty() {
            write!(f, "; signed something else: {}", listed(&self.wrong))?;
        }
        if !self.strange.is_empty() {
            write!(f, "; not among the keys of the initrd: {}", listed(&self.strange))?;
        }
        match self.damaged {
            0 => Ok(()),
            n => write!(f, "; damaged signatures: {n}"),
        }
    }
}

impl std::error::Error for NotSigned {}

#[cfg(test)]
mod tests;
