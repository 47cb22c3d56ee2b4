//! A catalog as a person names it to a command: a file or a URL, read whole. What is in it is `catalog`'s.

use std::fs::File;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::time::Duration;

use super::signed;
use crate::catalog::{self, Parsed};
use crate::fetch::{Fetcher, Location};
use crate::load::{Failure, Phase};
use crate::verify::signature::{Keyring, SIGNATURES_LIMIT, Signed};

/// One byte more than a catalog may have: tells that it is too long.
const LIMIT: u64 = catalog::TEXT_LIMIT as u64 + 1;

/// The bytes of a catalog and where they come from.
#[derive(Debug)]
pub struct CatalogFile {
    /// As messages call it; without a password.
    name: String,
    /// As it was asked for.
    location: Location,
    /// Where it was found in the end, redirects followed.
    base: Location,
    bytes: Vec<u8>,
}

impl CatalogFile {
    /// Reads a file, or asks the server once: a person is there to try again.
    ///
    /// # Errors
    /// [`Failure`] that names the catalog.
    pub fn read(name: &str, fetcher: &Fetcher) -> Result<Self, Failure> {
        let location = Location::parse(name).map_err(|e| {
            // Of an empty word nothing would be seen.
            Failure::new(Phase::Catalog, if name.is_empty() { "\"\"" } else { name }, e)
                .hint("such as catalog.toml or http://10.0.0.1/catalog.toml")
        })?;
        let name = if is_here(&location) { name.to_owned() } else { location.to_string() };
        let (bytes, base) = whole(&location, LIMIT, fetcher).map_err(|why| {
            let failure = Failure::because(Phase::Catalog, &name, why);
            match is_here(&location) {
                true => failure,
                false => failure
                    .hint("check the URL and the server; --ca FILE trusts one more certificate authority"),
            }
        })?;
        Ok(Self { name, location, base, bytes })
    }

    /// Who signed it: enough of these keys, in the file beside it.
    ///
    /// # Errors
    /// [`Failure`] if they did not.
    pub fn signed(&self, keyring: &Keyring, fetcher: &Fetcher) -> Result<Signed, Failure> {
        let signatures = signed::place_of(&self.location).ok_or_else(|| signed::NO_PLACE.to_owned());
        let signatures = signatures.and_then(|place| {
            whole(&place, SIGNATURES_LIMIT as u64 + 1, fetcher).map(|(bytes, _)| bytes).map_err(|why| {
                // Of a server the text says what was asked for.
                if is_here(&place) { format!("{place}: {why}") } else { why }
            })
        });
        signed::demand(keyring, &self.name, &self.bytes, signatures)
    }

    /// What it means, and what is wrong with it.
    pub fn parsed(&self) -> Parsed {
        catalog::parse_bytes(&self.bytes, &self.base, &self.name)
    }

    /// Its text, if it is one.
    pub fn text(&self) -> Option<&str> {
        catalog::decode(&self.bytes).ok()
    }

    /// What its relative locations resolve against.
    pub fn base(&self) -> &Location {
        &self.base
    }
}

fn is_here(location: &Location) -> bool {
    matches!(location, Location::File(_) | Location::Initramfs(_))
}

/// What lies there, and where that was in the end.
fn whole(location: &Location, limit: u64, fetcher: &Fetcher) -> Result<(Vec<u8>, Location), String> {
    match location {
        // Not the fetcher: a pipe is as good as a file here.
        Location::File(path) | Location::Initramfs(path) => {
            let mut bytes = Vec::new();
            let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
            read.map_err(|e| e.to_string())?;
            Ok((bytes, location.clone()))
        }
        _ => {
            let go_on = |_| ControlFlow::Continue(());
            let read = fetcher.read_all(std::slice::from_ref(location), Duration::ZERO, limit, &go_on);
            read.map_err(|e| e.to_string())
        }
    }
}
