//! A catalog as a person names it to a command: a file or a URL, read whole. What is in it is `catalog`'s.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use crate::catalog::{self, Parsed};
use crate::fetch::{Fetcher, Location};
use crate::load::{Failure, Phase};

/// One byte more than a catalog may have: tells that it is too long.
const LIMIT: u64 = catalog::TEXT_LIMIT as u64 + 1;

/// The bytes of a catalog and where they come from.
#[derive(Debug)]
pub struct CatalogFile {
    /// As messages call it; without a password.
    name: String,
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
        match &location {
            // Not the fetcher: a pipe is as good as a file here.
            Location::File(path) | Location::Initramfs(path) => {
                let bytes = bytes(path).map_err(|e| Failure::new(Phase::Catalog, name, e))?;
                Ok(Self { name: name.to_owned(), base: location, bytes })
            }
            _ => {
                let go_on = |_| ControlFlow::Continue(());
                let asked = std::slice::from_ref(&location);
                let (bytes, base) = fetcher.read_all(asked, Duration::ZERO, LIMIT, &go_on).map_err(|e| {
                    Failure::because(Phase::Catalog, location.to_string(), e.to_string())
                        .hint("check the URL and the server; --ca FILE trusts one more certificate authority")
                })?;
                Ok(Self { name: location.to_string(), base, bytes })
            }
        }
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

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}
