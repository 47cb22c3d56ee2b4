//! `--ssh`: who may log in to a machine while it boots, its key if it has one of its own, and this machine's dropbear. What
//! comes of it in the boot is `boot::ssh`'s.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::bundle::With;
use crate::archive::newc::{Content, Tree};
use crate::commands::ssh::{self, HostKey};

/// Logging in over the network.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SshArgs {
    /// Public keys (authorized_keys) of those who may see and use the screens of the boot by ssh, as root; takes this
    /// machine's dropbear along.
    #[arg(long, value_name = "FILE")]
    ssh: Option<PathBuf>,
    /// The key that machines show to whoever logs in: ed25519, without a passphrase. Default: each makes one at its start
    /// and shows its fingerprint.
    #[arg(long, value_name = "FILE", requires = "ssh")]
    ssh_host_key: Option<PathBuf>,
}

impl SshArgs {
    /// What has to be in the initrd for it.
    pub fn programs(&self) -> Vec<With> {
        let mut programs = Vec::new();
        if self.ssh.is_some() {
            programs.push(With::at(ssh::SERVER));
            // The second stage has the key of the first.
            if self.ssh_host_key.is_none() {
                programs.push(With::at(ssh::KEYGEN));
            }
        }
        programs
    }

    /// Puts the keys where a boot looks for them.
    ///
    /// # Errors
    /// A file that cannot be read, or would let nobody in.
    pub fn add(&self, tree: &mut Tree) -> Result<()> {
        let Some(file) = &self.ssh else { return Ok(()) };
        let text = fs::read_to_string(file).with_context(|| format!("--ssh {}", file.display()))?;
        let keys = ssh::authorized(&text).with_context(|| format!("--ssh {}", file.display()))?;
        secret(tree, ssh::AUTHORIZED, keys.into_bytes())?;
        if let Some(file) = &self.ssh_host_key {
            let key = host_key(file).with_context(|| format!("--ssh-host-key {}", file.display()))?;
            eprintln!("ssh host key {}: whoever can fetch the initrd has it, too", key.fingerprint());
            secret(tree, ssh::HOST_KEY, key.bytes())?;
        }
        Ok(())
    }
}

fn host_key(file: &Path) -> Result<HostKey> {
    HostKey::parse(&fs::read(file)?)
}

fn secret(tree: &mut Tree, path: &str, bytes: Vec<u8>) -> Result<()> {
    tree.file(path.trim_start_matches('/'), 0o600, Content::Bytes(bytes))
}
