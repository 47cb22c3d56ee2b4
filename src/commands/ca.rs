//! `--ca`, `--ca-only`, `--no-verify-tls`, `--proxy` and `--no-proxy`, which every command that fetches has: one place makes the fetcher.

use std::path::PathBuf;

use url::Url;

use crate::fetch::{Config, Fetcher, NoProxy, Proxy, parse_proxy};
use crate::load::{Failure, Phase};

/// Whom https is trusted to come from, beside the public authorities.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct CaArgs {
    /// More certificate authorities for https (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Only those of --ca, not the public ones built in
    #[arg(long, requires = "ca")]
    ca_only: bool,
    /// Believe whoever answers to https; a digest still counts
    #[arg(long)]
    no_verify_tls: bool,
    /// Ask this HTTP proxy in place of http and https servers
    #[arg(long, value_name = "URL", value_parser = proxy)]
    proxy: Option<Url>,
    /// Hosts, domains and networks that are asked without the proxy: lab.example,10.0.0.0/8
    #[arg(long, value_name = "LIST", requires = "proxy", value_parser = NoProxy::parse)]
    no_proxy: Option<NoProxy>,
}

impl CaArgs {
    /// A fetcher with the name servers of this machine.
    ///
    /// # Errors
    /// A file that cannot be read or holds no certificate.
    pub fn fetcher(&self) -> Result<Fetcher, Failure> {
        let config = Config {
            ca: self.ca.clone(),
            unverified_tls: self.no_verify_tls,
            ca_only: self.ca_only,
            proxy: self
                .proxy
                .clone()
                .map(|url| Proxy { url, not_for: self.no_proxy.clone().unwrap_or_default() }),
            ..Config::default()
        };
        let fetcher = Fetcher::new(&config).map_err(|e| Failure::new(Phase::Fetch, "certificates", e))?;
        if let Some(what) = fetcher.unverified_tls() {
            eprintln!("bootjack: warning: {what}: --no-verify-tls: whoever answers to https is believed");
        }
        Ok(fetcher)
    }
}

fn proxy(text: &str) -> Result<Url, String> {
    parse_proxy(text).map_err(|why| format!("{why}: write one such as http://10.0.0.1:3128"))
}
