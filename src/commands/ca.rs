//! `--ca`, which every command that fetches has: one place makes the fetcher that trusts them.

use std::path::PathBuf;

use crate::fetch::{Config, Fetcher};
use crate::load::{Failure, Phase};

/// Whom https is trusted to come from, beside the public authorities.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct CaArgs {
    /// More certificate authorities for https (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
}

impl CaArgs {
    /// A fetcher with the name servers of this machine.
    ///
    /// # Errors
    /// A file that cannot be read or holds no certificate.
    pub fn fetcher(&self) -> Result<Fetcher, Failure> {
        let config = Config { ca: self.ca.clone(), ..Config::default() };
        Fetcher::new(&config).map_err(|e| Failure::new(Phase::Fetch, "certificates", e))
    }
}
