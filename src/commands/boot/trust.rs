//! Why a catalog is believed, and how that is shown; and whether it is too old to be. Signatures come before: nothing of
//! a catalog that they do not vouch for is parsed.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::catalog::{self, Catalog};
use crate::fetch::{Location, date};
use crate::load::{Failure, Phase};
use crate::verify::signature::{KEYS, Keyring, Signed};

/// The catalog that came with the initrd. No key vouches for it: it is as trusted as the keys, which lie beside it.
pub const BUILT_IN: &str = "/etc/bootjack/catalog.toml";

/// Why a catalog is believed, as far as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    BuiltIn,
    /// By enough of the initrd's keys.
    Signed(Signed),
    /// Nobody but the way it came vouches for it.
    Way(Way),
}

/// How a catalog came that nobody signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From a server with a certificate, all the way.
    Https,
    /// With `rd.noverifyssl`.
    UnverifiedHttps,
    PlainHttp,
    PlainFtp,
    PlainTftp,
    PlainNfs,
    /// From another file of the initrd.
    Initrd,
    Disk,
    Host,
}

impl Way {
    /// Of what was asked for at `asked` and found at `from` in the end: a redirect is worth no more than what told it.
    pub fn of(asked: &Location, from: &Location, unverified_tls: bool) -> Self {
        let https = |location: &Location| matches!(location, Location::Http(url) if url.scheme() == "https");
        match asked {
            Location::Http(_) if !https(asked) || !https(from) => Self::PlainHttp,
            Location::Http(_) if unverified_tls => Self::UnverifiedHttps,
            Location::Http(_) => Self::Https,
            Location::Ftp(_) => Self::PlainFtp,
            Location::Tftp(_) => Self::PlainTftp,
            Location::Nfs { .. } => Self::PlainNfs,
            Location::File(_) | Location::Initramfs(_) => Self::Initrd,
            Location::Volume { .. } => Self::Disk,
            Location::Virtiofs { .. } => Self::Host,
        }
    }

    /// For the report; see docs/report.md.
    fn word(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::UnverifiedHttps => "unverified-https",
            Self::PlainHttp => "plain-http",
            Self::PlainFtp => "plain-ftp",
            Self::PlainTftp => "plain-tftp",
            Self::PlainNfs => "plain-nfs",
            Self::Initrd => "initrd",
            Self::Disk => "disk",
            Self::Host => "host",
        }
    }
}

impl Trust {
    /// For the report; see docs/report.md.
    pub fn word(&self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Signed(_) => "signed",
            Self::Way(way) => way.word(),
        }
    }

    /// The keys that signed.
    pub fn signed_by(&self) -> Vec<String> {
        match self {
            Self::Signed(signed) => signed.by.iter().map(ToString::to_string).collect(),
            Self::BuiltIn | Self::Way(_) => Vec::new(),
        }
    }
}

/// For the screen and the log.
impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::Signed(signed) => signed.fmt(f),
            Self::Way(way) => f.write_str(match way {
                Way::Https => "https",
                Way::UnverifiedHttps => "UNVERIFIED https",
                Way::PlainHttp => "plain http",
                Way::PlainFtp => "plain ftp",
                Way::PlainTftp => "plain tftp",
                Way::PlainNfs => "plain nfs",
                Way::Initrd => "in the initrd",
                Way::Disk => "on a disk of this machine",
                Way::Host => "shared by the host",
            }),
        }
    }
}

/// The keys of this initrd, if it has any; what is wrong with them is told.
pub fn keys(notices: &mut Vec<String>) -> Option<Keyring> {
    let keyring = Keyring::read(Path::new(KEYS))?;
    notices.extend(keyring.faults().iter().cloned());
    let ids: Vec<String> = keyring.ids().iter().map(ToString::to_string).collect();
    let threshold = keyring.threshold().map_or_else(|| "nobody knows how many".to_owned(), |n| n.to_string());
    log::info!("signature keys: {}; so many of them must have signed a catalog: {threshold}", ids.join(", "));
    Some(keyring)
}

/// Refuses a fetched catalog that is older than the built-in one, or past its time.
pub fn demand_fresh(catalog: &Catalog, name: &str, has_keys: bool, now: u64) -> Result<(), Failure> {
    let least = built_in_serial(Path::new(BUILT_IN)).or_else(|why| match has_keys {
        true => Err(Failure::because(
            Phase::Verify,
            BUILT_IN,
            format!("which serial is too old cannot be known: {why}"),
        )),
        false => {
            log::warn!("{BUILT_IN}: no serial to compare with: {why}");
            Ok(None)
        }
    })?;
    too_old(catalog, least, now)
        .map_or(Ok(()), |(why, hint)| Err(Failure::because(Phase::Verify, name, why).hint(hint)))
}

/// What is wrong with the age of a catalog, and the way out.
fn too_old(catalog: &Catalog, least: Option<u64>, now: u64) -> Option<(String, &'static str)> {
    match (least, catalog.serial) {
        (Some(least), Some(serial)) if serial < least => {
            let why =
                format!("rolled back: its serial {serial} is lower than {least}, the built-in catalog's");
            return Some((why, "serve the newest catalog; or this is an attempt to bring an old one back"));
        }
        (Some(least), None) => {
            let why = format!("rolled back: it has no serial, and the built-in catalog's is {least}");
            return Some((why, "write a serial that is higher with each change, and sign it anew"));
        }
        _ => {}
    }
    let until = catalog.expires.filter(|until| *until <= now)?;
    let why = format!("expired: it counts until {}, it is {}", date::readable(until), date::readable(now));
    Some((why, "set a later date in expires, and sign it anew; or is the clock of this machine wrong?"))
}

/// That of the built-in catalog; none, if it says none, or there is no such catalog.
fn built_in_serial(path: &Path) -> Result<Option<u64>, String> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|e| e.to_string())?,
    };
    let parsed = catalog::parse_bytes(&bytes, &Location::Initramfs(path.to_owned()), BUILT_IN);
    parsed.catalog.map(|catalog| catalog.serial).ok_or("the built-in catalog is refused as a whole".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(asked: &str, from: &str) -> String {
        let [asked, from] = [asked, from].map(|text| Location::parse(text).unwrap());
        let ways = [false, true].map(|unverified| Trust::Way(Way::of(&asked, &from, unverified)).to_string());
        if ways[0] == ways[1] { ways[0].clone() } else { ways.join(" or ") }
    }

    #[test]
    fn a_redirect_is_worth_no_more_than_what_told_it() {
        assert_eq!(way("https://a/c", "https://b/c"), "https or UNVERIFIED https");
        assert_eq!(way("http://a/c", "https://b/c"), "plain http");
        assert_eq!(way("http://a/c", "http://a/c"), "plain http");
    }

    #[test]
    fn every_way_has_its_name() {
        for (at, name) in [
            ("ftp://a/c", "plain ftp"),
            ("tftp://a/c", "plain tftp"),
            ("nfs://a/b/c", "plain nfs"),
            ("file:/c", "in the initrd"),
            ("initramfs:/c", "in the initrd"),
            ("LABEL=x:/c", "on a disk of this machine"),
            ("virtiofs:t:/c", "shared by the host"),
        ] {
            assert_eq!(way(at, at), name, "{at}");
        }
    }

    fn catalog(serial: Option<u64>, expires: Option<u64>) -> Catalog {
        Catalog { serial, expires, ..Catalog::empty() }
    }

    #[test]
    fn a_lower_serial_or_none_is_refused_where_the_built_in_catalog_has_one() {
        let why = |serial, least| too_old(&catalog(serial, None), least, 0).map(|(why, _)| why);
        for taken in
            [(None, None), (Some(1), None), (Some(5), Some(5)), (Some(6), Some(5)), (Some(0), Some(0))]
        {
            assert_eq!(why(taken.0, taken.1), None, "{taken:?}");
        }
        assert_eq!(
            why(Some(4), Some(5)).unwrap(),
            "rolled back: its serial 4 is lower than 5, the built-in catalog's"
        );
        assert_eq!(
            why(None, Some(0)).unwrap(),
            "rolled back: it has no serial, and the built-in catalog's is 0"
        );
    }

    #[test]
    fn what_is_past_its_time_is_refused_to_the_second() {
        let why = |now| too_old(&catalog(None, Some(1000)), None, now).map(|(why, _)| why);
        assert_eq!(why(999), None);
        assert_eq!(
            why(1000).unwrap(),
            "expired: it counts until 1970-01-01 00:16:40 UTC, it is 1970-01-01 00:16:40 UTC"
        );
        assert_eq!(too_old(&catalog(None, None), None, u64::MAX), None);
    }

    #[test]
    fn the_serial_of_a_built_in_catalog_that_cannot_be_read_is_not_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.toml");
        assert_eq!(built_in_serial(&path), Ok(None));
        for (text, serial) in [("version = 1\n", Ok(None)), ("version = 1\nserial = 7\n", Ok(Some(7)))] {
            fs::write(&path, text).unwrap();
            assert_eq!(built_in_serial(&path), serial);
        }
        fs::write(&path, "version = 2\nserial = 7\n").unwrap();
        assert!(built_in_serial(&path).is_err());
        assert!(built_in_serial(dir.path()).is_err());
    }
}
