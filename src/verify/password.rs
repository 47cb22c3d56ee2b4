//! A password that stands somewhere as its hash alone: Argon2id (RFC 9106) in the text form that argon2(1) prints, the PHC
//! string format. Asking for it, and what it opens, is for others.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// KiB that a hash may need: it is computed on machines with little memory, before anything is loaded.
const MOST_MEMORY: u32 = 128 << 10;

/// Passes over that memory, and lanes in it: seconds on a slow machine.
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

/// A hash, with all that it takes to compute it again.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    text: String,
    memory: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Password {
    /// Reads `$argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$HASH`.
    ///
    /// # Errors
    /// What is wrong with it, without the hash.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('$').collect();
        let ["", kind, version, costs, salt, hash] = parts[..] else {
            return Err("is no hash of a password: $argon2id$v=19$m=65536,t=3,p=1$SALT$HASH".into());
        };
        if !kind.starts_with("argon2") {
            return Err("is no hash by Argon2, the only ones that are known".into());
        }
        if kind != "argon2id" {
            return Err(format!("is a hash by {kind:?}: argon2id it has to be"));
        }
        if version != "v=19" {
            return Err(format!("is of another version of Argon2, {version:?}: 19 it has to be"));
        }
        let [memory, passes, lanes] = costs_of(costs)?;
        let bytes = |what: &str, text: &str| {
            BASE64_STANDARD_NO_PAD.decode(text).map_err(|why| format!("its {what} is no base64: {why}"))
        };
        let (salt, hash) = (bytes("salt", salt)?, bytes("hash", hash)?);
        if !(8..=64).contains(&salt.len()) || !(16..=64).contains(&hash.len()) {
            return Err("has a salt of 8 to 64 bytes and a hash of 16 to 64: this has not".into());
        }
        let password = Self { text: text.to_owned(), memory, passes, lanes, salt, hash };
        password.params().map(|_| password)
    }

    fn params(&self) -> Result<Params, String> {
        Params::new(self.memory, self.passes, self.lanes, Some(self.hash.len()))
            .map_err(|why| why.to_string())
    }

    /// Bytes of memory it takes to try one.
    pub fn memory(&self) -> u64 {
        u64::from(self.memory) << 10
    }

    /// Whether this is it. Takes its time, which is the point of it.
    ///
    /// # Errors
    /// There is not the memory for it.
    pub fn is(&self, typed: &[u8]) -> Result<bool, String> {
        let mut hash = vec![0; self.hash.len()];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params()?)
            .hash_password_into(typed, &self.salt, &mut hash)
            .map_err(|why| why.to_string())?;
        // All of it is looked at, so that the time says nothing.
        let different = hash.iter().zip(&self.hash).fold(0, |all, (one, other)| all | (one ^ other));
        Ok(std::hint::black_box(different) == 0)
    }
}

/// `m=65536,t=3,p=1`.
fn costs_of(text: &str) -> Result<[u32; 3], String> {
    let most = [("m", MOST_MEMORY), ("t", MOST_PASSES), ("p", MOST_LANES)];
    let mut costs = [0; 3];
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() != 3 {
        return Err(format!("has the costs {text:?}: m=65536,t=3,p=1 would be some"));
    }
    for ((cost, part), (name, most)) in costs.iter_mut().zip(parts).zip(most) {
        let number = part.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')?.parse().ok());
        *cost = number.ok_or_else(|| format!("has {part:?} where {name}=NUMBER belongs"))?;
        if *cost > most {
            return Err(format!("costs {part}: {name}={most} is the most that is computed before a boot"));
        }
    }
    Ok(costs)
}

/// Nothing of it is for eyes.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Password(m={},t={},p={})", self.memory, self.passes, self.lanes)
    }
}

impl serde::Serialize for Password {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'open sesame' | argon2 bootjack -id -k 64 -t 2 -p 1 -e` (argon2(1) 0~20171227).
    const HASH: &str = "$argon2id$v=19$m=64,t=2,p=1$Ym9vdGphY2s$MNipqoUNy3ZBV/q88bSUdAxfmc/Mzzynx07HuTMpbT0";

    #[test]
    fn what_argon2_hashed_is_known_again_and_nothing_else_is() {
        let password = Password::parse(HASH).unwrap();
        assert_eq!(password.is(b"open sesame"), Ok(true));
        for wrong in ["", "open sesam", "open sesame ", "Open sesame"] {
            assert_eq!(password.is(wrong.as_bytes()), Ok(false), "{wrong:?}");
        }
        assert_eq!(password.memory(), 64 << 10);
        let text = serde_json::to_string(&password).unwrap();
        assert_eq!(serde_json::from_str::<Password>(&text).unwrap(), password);
        assert!(!format!("{password:?}").contains(&HASH[40..]), "{password:?}");
    }

    #[test]
    fn what_is_no_hash_is_refused_with_what_is_wrong() {
        for (from, to, why) in [
            (HASH, "secret", "is no hash of a password"),
            ("argon2id", "argon2i", "is a hash by \"argon2i\""),
            ("argon2id", "6", "is no hash by Argon2"),
            ("v=19", "v=16", "another version"),
            ("m=64", "m=131073", "m=131072 is the most"),
            ("m=64", "m=1", "small"),
            ("t=2", "x=2", "has \"x=2\" where t=NUMBER belongs"),
            ("t=2", "t=17", "t=16 is the most"),
            (",p=1", "", "has the costs"),
            ("m=64,t=2", "t=2,m=64", "where m=NUMBER"),
            ("$Ym9vdGphY2s$", "$Ym9$", "salt"),
            ("$Ym9vdGphY2s$", "$!$", "its salt is no base64"),
        ] {
            let wrong = HASH.replace(from, to);
            assert_ne!(wrong, HASH, "{from}");
            let said = Password::parse(&wrong).unwrap_err();
            assert!(said.contains(why) && !said.contains(&HASH[40..]), "{said}");
        }
    }
}
