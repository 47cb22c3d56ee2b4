//! A catalog and its signatures: where they lie, and whether enough of them are good, before a byte of the catalog is
//! parsed. How one is checked is `verify::signature`'s; fetching is the caller's.

use crate::fetch::Location;
use crate::load::{Failure, Phase};
use crate::verify::signature::{Keyring, NotSigned, Signed};

/// Why one has none.
pub const NO_PLACE: &str = "a device as a whole has no place beside it for a signature";

/// As minisign names what it makes of a file.
const SUFFIX: &str = ".minisig";

/// Where the signatures of a catalog lie: beside it. A device that is the catalog as a whole has no such place.
pub fn place_of(catalog: &Location) -> Option<Location> {
    catalog.followed_by(SUFFIX)
}

/// Who signed exactly these bytes, the catalog called `name`; `signatures` is the file beside it, or why there is none.
///
/// # Errors
/// [`Failure`], if they are not enough.
pub fn demand(
    keyring: &Keyring,
    name: &str,
    bytes: &[u8],
    signatures: Result<Vec<u8>, String>,
) -> Result<Signed, Failure> {
    let (file, missing) = match signatures {
        Ok(file) => (file, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let not = match keyring.check(bytes, &file) {
        Ok(signed) => return Ok(signed),
        Err(not) => not,
    };
    let cause = [
        vec![verdict(&not, missing.is_some()).to_owned()],
        missing.into_iter().collect(),
        vec![not.to_string()],
    ];
    let hint = "sign the file as it is served, `minisign -S -m catalog.toml`, and put catalog.toml.minisig beside it";
    Err(Failure {
        phase: Phase::Verify,
        thing: name.to_owned(),
        cause: cause.concat(),
        hint: Some(hint.into()),
    })
}

fn verdict(not: &NotSigned, missing: bool) -> &'static str {
    match (missing || not.is_of_nothing(), not.has_good()) {
        (true, _) => "unsigned",
        (false, true) => "signed by too few",
        (false, false) => "wrongly signed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_lie_beside_the_catalog_wherever_that_lies() {
        for (catalog, beside) in [
            ("http://a/b/c.toml", Some("http://a/b/c.toml.minisig")),
            ("https://ann:pw@a/c%20d.toml?mac=1#x", Some("https://ann:pw@a/c%20d.toml.minisig?mac=1#x")),
            ("ftp://a/c.toml", Some("ftp://a/c.toml.minisig")),
            ("tftp://a/c.toml", Some("tftp://a/c.toml.minisig")),
            ("/srv/c.toml", Some("/srv/c.toml.minisig")),
            ("initramfs:/c.toml", Some("initramfs:/c.toml.minisig")),
            ("LABEL=x:/c.toml", Some("LABEL=x:/c.toml.minisig")),
            ("dev:/dev/vda", None),
            ("nfs://a/b/c.toml", Some("nfs://a/b/c.toml.minisig")),
            ("virtiofs:t:/c.toml", Some("virtiofs:t:/c.toml.minisig")),
        ] {
            let place = place_of(&Location::parse(catalog).unwrap());
            assert_eq!(place, beside.map(|text| Location::parse(text).unwrap()), "{catalog}");
        }
    }
}
