//! Nothing unverified gets out: `through` drains a stream, compares its digest and only then hands out
//! what was made of it, wrapped in [`Verified`]. Where the expected digest comes from is the catalog's business.

pub mod chunks;
pub mod digest;
pub mod password;
pub mod signature;

use std::fmt;
use std::io::Read;

pub use chunks::{ChunkList, Seal};
pub use digest::{Hashing, ParseDigestError, Seeing, Sha256};
pub use password::Password;

/// What was made from a stream whose digest matched, or that was allowed to go unverified.
///
/// Only [`through`] makes one, so a handover that asks for it cannot be given anything else.
#[derive(Debug)]
pub struct Verified<T> {
    value: T,
    trust: Trust,
}

/// What an artifact's bytes are held against.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// SHA-256 over the bytes as fetched.
    Sha256(Sha256),
    /// SHA-256 over the list of the digests of all chunks, each of which was held against its own.
    Chunks(Sha256),
    /// Nothing: asked for by name in the catalog or on the kernel command line, shown as UNVERIFIED.
    Unverified,
}

/// Why a stream did not become a [`Verified`] value.
#[derive(Debug)]
pub enum Refused<E> {
    /// The consumer failed; its own error.
    Consume(E),
    /// The stream broke after the consumer was done with it.
    Drain(std::io::Error),
    /// The bytes are not the ones that were asked for.
    Digest { expected: Sha256, got: Sha256, bytes: u64 },
    /// Not all chunks of this list were seen to be right.
    Unsealed(Sha256),
}

impl Trust {
    /// A digest over the whole stands for it, or else a chunk list.
    pub fn of(sha256: Option<Sha256>, chunks: Option<Sha256>) -> Self {
        match (sha256, chunks) {
            (Some(digest), _) => Self::Sha256(digest),
            (None, Some(list)) => Self::Chunks(list),
            (None, None) => Self::Unverified,
        }
    }
}

/// In words, for logs and screens: how something is verified, or that it is not.
impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256 {digest}"),
            Self::Chunks(list) => write!(f, "chunks {list}"),
            Self::Unverified => f.write_str("UNVERIFIED"),
        }
    }
}

impl<T> Verified<T> {
    /// How the bytes were held against what was expected.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }
    /// The value and its trust.
    pub fn into_parts(self) -> (T, Trust) {
        (self.value, self.trust)
    }
    /// The value, to look at.
    pub fn get(&self) -> &T {
        &self.value
    }
    /// Both together: no more to be trusted than the less trusted of them.
    pub fn and<U>(self, other: Verified<U>) -> Verified<(T, U)> {
        let trust = if other.trust == Trust::Unverified { Trust::Unverified } else { self.trust };
        Verified { value: (self.value, other.value), trust }
    }
    /// The same trust for something derived from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Verified<U> {
        Verified { value: f(self.value), trust: self.trust }
    }
    /// The same where that may fail.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn try_map<U, E>(self, f: impl FnOnce(T) -> Result<U, E>) -> Result<Verified<U>, E> {
        Ok(Verified { value: f(self.value)?, trust: self.trust })
    }
}

/// Lets `consume` read `source`, reads the rest, compares the digest over every byte, and only then hands
/// out what `consume` made, with the digest that was seen. `seal`: that of the gate which all of `source` passed, if its
/// chunks are what it is held against.
///
/// # Errors
/// [`Refused`].
pub fn through<R: Read, T, E>(
    source: R,
    trust: &Trust,
    seal: Option<&Seal>,
    consume: impl FnOnce(&mut Hashing<R>) -> Result<T, E>,
) -> Result<(Verified<T>, Sha256), Refused<E>> {
    let mut source = Hashing::new(source);
    let value = consume(&mut source).map_err(Refused::Consume)?;
    std::io::copy(&mut source, &mut std::io::sink()).map_err(Refused::Drain)?;
    let bytes = source.count();
    let got = source.finish();
    match trust {
        Trust::Sha256(expected) if *expected != got => {
            Err(Refused::Digest { expected: expected.clone(), got, bytes })
        }
        Trust::Chunks(list) if !seal.is_some_and(|seal| seal.holds(list)) => {
            Err(Refused::Unsealed(list.clone()))
        }
        _ => Ok((Verified { value, trust: trust.clone() }, got)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust_of(bytes: &[u8]) -> Trust {
        let mut all = Hashing::new(bytes);
        std::io::copy(&mut all, &mut std::io::sink()).unwrap();
        Trust::Sha256(all.finish())
    }

    #[test]
    fn a_matching_stream_is_handed_out() {
        let (made, _) = through(&b"root"[..], &trust_of(b"root"), None, |r| std::io::read_to_string(r))
            .expect("digest matches");
        assert_eq!(made.get(), "root");
    }

    #[test]
    fn a_wrong_digest_hands_out_nothing() {
        let refused = through(&b"r00t"[..], &trust_of(b"root"), None, |r| std::io::read_to_string(r));
        assert!(matches!(refused, Err(Refused::Digest { bytes: 4, .. })));
    }

    #[test]
    fn bytes_the_consumer_left_behind_are_part_of_the_digest() {
        let refused = through(&b"root, and more"[..], &trust_of(b"root"), None, |r| {
            let mut four = [0; 4];
            r.read_exact(&mut four)
        });
        assert!(matches!(refused, Err(Refused::Digest { bytes: 14, .. })));
    }

    #[test]
    fn what_is_held_against_chunks_is_handed_out_only_when_all_have_passed() {
        let (list, _) = ChunkList::of([(4, Sha256::of(b"root"))]);
        let trust = Trust::Chunks(list.sha256().clone());
        let mut gate = chunks::Gate::new(std::sync::Arc::new(list));
        let read = |seal: Option<&Seal>| through(&b"root"[..], &trust, seal, |r| std::io::read_to_string(r));
        assert!(matches!(read(None), Err(Refused::Unsealed(_))));
        assert!(matches!(read(Some(&gate.seal())), Err(Refused::Unsealed(_))));
        gate.see(b"root");
        gate.pass().unwrap();
        assert_eq!(read(Some(&gate.seal())).expect("all have passed").0.get(), "root");
    }

    #[test]
    fn the_consumers_error_comes_before_the_digest() {
        let refused = through(&b"x"[..], &trust_of(b"y"), None, |_| Err::<(), _>("damaged"));
        assert!(matches!(refused, Err(Refused::Consume("damaged"))));
    }
}
