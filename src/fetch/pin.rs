//! `pin`: a server that is believed by its key alone. Whom else https must convince is `tls`'s.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use sha2::Digest as _;

/// SHA-256 of a public key as a certificate holds it (SubjectPublicKeyInfo, RFC 5280, section 4.1.2.7), written
/// `sha256/BASE64` as in RFC 7469. The key stands for its owner: who issued a certificate for it, for which name and for how
/// long, does not matter any more.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Of the key in this certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        Ok(Self(sha2::Sha256::digest(&key).into()))
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digest = text.strip_prefix("sha256/").ok_or("does not begin with \"sha256/\"")?;
        let bytes = BASE64_STANDARD.decode(digest).map_err(|why| format!("is no base64: {why}"))?;
        let length = bytes.len();
        let pin = bytes.try_into().map_err(|_| format!("is of {length} bytes, a SHA-256 has 32"))?;
        Ok(Self(pin))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

impl serde::Serialize for Pin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Pin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The server has another key than the pinned ones.
#[derive(Debug)]
pub(super) struct WrongPin {
    pub wanted: Vec<Pin>,
    pub got: Pin,
}

impl fmt::Display for WrongPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted: Vec<String> = self.wanted.iter().map(ToString::to_string).collect();
        write!(f, "the server's key is {}, the pin is {}", self.got, wanted.join(" or "))
    }
}

impl std::error::Error for WrongPin {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_back_and_what_is_none_says_why() {
        let text = "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(text.parse::<Pin>().unwrap().to_string(), text);
        let why = |text: &str| text.parse::<Pin>().unwrap_err();
        assert_eq!(why("ungWv48B"), "does not begin with \"sha256/\"");
        assert_eq!(why("sha256/ungW"), "is of 3 bytes, a SHA-256 has 32");
        assert!(why("sha256/un gW").starts_with("is no base64: "), "{}", why("sha256/un gW"));
    }
}
