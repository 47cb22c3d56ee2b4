//! Fetching a chunk list: small, and held against the digest that the catalog has of it before it is read. What is in it is
//! `verify`'s.

use std::convert::Infallible;
use std::time::Duration;

use super::{Attempt, Exhausted, Fetcher, Location, OnEvent, drive};
use crate::verify::chunks::MOST_LIST;
use crate::verify::{ChunkList, Sha256};

/// What the name of a chunk list ends with.
const SUFFIX: &str = ".chunks";

impl Fetcher {
    /// The chunk list with this digest, of what lies at these locations.
    ///
    /// # Errors
    /// [`Exhausted::GaveUp`], [`Exhausted::Stopped`]. A list with another digest is of no more use than none.
    pub fn chunk_list(
        &self,
        locations: &[Location],
        sha256: &Sha256,
        retry_for: Duration,
        on: OnEvent<'_>,
    ) -> Result<ChunkList, Exhausted<Infallible>> {
        let lists: Vec<Location> =
            locations.iter().filter_map(|location| location.followed_by(SUFFIX)).collect();
        drive(&lists, retry_for, on, |attempt| {
            let (bytes, from) = self.read_once(attempt, MOST_LIST, on)?;
            let got = Sha256::of(&bytes);
            if got != *sha256 {
                let why = format!("{from}: SHA-256 does not match: expected {sha256}, got {got}");
                return Err(Attempt::Permanent(why));
            }
            ChunkList::parse(&bytes).map_err(|why| Attempt::Permanent(format!("{from}: {why}")))
        })
    }
}
