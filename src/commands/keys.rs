//! `--key` and `--key-threshold`: the public keys that a catalog is held against, for `initrd`, which takes them along,
//! and for `check`, which tries them.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use crate::archive::newc::{Content, Tree};
use crate::verify::signature::{KEYS, Key, Keyring, THRESHOLD};

/// Whose signatures a catalog needs.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct KeyArgs {
    /// Public keys of minisign: a catalog that is fetched must be signed, and every artifact needs a digest
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// How many of the keys must have signed [default: 1]
    #[arg(long, value_name = "N", requires = "key")]
    key_threshold: Option<NonZero<usize>>,
}

impl KeyArgs {
    /// Whether any is named.
    pub fn any(&self) -> bool {
        !self.key.is_empty()
    }

    /// The keys; absent: none are named.
    ///
    /// # Errors
    /// A file that is no public key, one that is there twice, more signatures than keys.
    pub fn keyring(&self) -> Result<Option<Keyring>> {
        if !self.any() {
            return Ok(None);
        }
        let keys = self.key.iter().map(|path| Ok(read(path)?.0)).collect::<Result<_>>()?;
        let threshold = self.key_threshold.map_or(1, NonZero::get);
        Keyring::new(keys, threshold).map(Some).map_err(|why| anyhow!("--key: {why}"))
    }

    /// Puts them where a boot looks for them, each under its own name, which is the same whatever its file is called.
    ///
    /// # Errors
    /// As of [`KeyArgs::keyring`].
    pub(super) fn add(&self, tree: &mut Tree) -> Result<()> {
        if self.keyring()?.is_none() {
            return Ok(());
        }
        let place = KEYS.trim_start_matches('/');
        for path in &self.key {
            let (key, text) = read(path)?;
            tree.file(&format!("{place}/{}.pub", key.id()), 0o644, Content::Bytes(text.into_bytes()))?;
        }
        if let Some(n) = self.key_threshold {
            let text = format!("{n}\n").into_bytes();
            tree.file(&format!("{place}/{THRESHOLD}"), 0o644, Content::Bytes(text))?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<(Key, String)> {
    let text = fs::read_to_string(path).with_context(|| format!("--key {}", path.display()))?;
    let key = Key::parse(&text).map_err(|why| anyhow!("{} {why}", path.display()))?;
    Ok((key, text))
}
