//! The kernel's console loglevel: lowered while a screen is drawn, restored before a shell and a handover. Drawing
//! is `tui`'s.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Four numbers, of which the first is the level below which messages reach the consoles (proc_sys_kernel(5)).
const PRINTK: &str = "/proc/sys/kernel/printk";

/// Only emergencies. A kernel panic raises the level itself (`console_verbose` in kernel/panic.c).
const QUIET_LEVEL: u8 = 1;

/// Keeps kernel messages off the consoles as long as it lives; the log has them all the same.
#[derive(Debug)]
pub struct Quiet {
    file: PathBuf,
    before: String,
}

impl Quiet {
    /// Lowers the console loglevel.
    ///
    /// # Errors
    /// When `/proc/sys/kernel/printk` cannot be read or written.
    pub fn now() -> io::Result<Self> {
        Self::with(Path::new(PRINTK))
    }

    fn with(file: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(file)?;
        let before = text.split_whitespace().next().unwrap_or("7").to_owned();
        fs::write(file, QUIET_LEVEL.to_string())?;
        Ok(Self { file: file.to_owned(), before })
    }

    /// Puts the level back that was there before; the same as dropping it, but says whether it worked.
    ///
    /// # Errors
    /// When `/proc/sys/kernel/printk` cannot be written.
    pub fn restore(self) -> io::Result<()> {
        fs::write(&self.file, &self.before)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Err(e) = fs::write(&self.file, &self.before) {
            log::warn!("restoring the console loglevel {}: {e}", self.before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_lowered_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("printk");
        fs::write(&file, "4\t4\t1\t7\n").unwrap();
        let quiet = Quiet::with(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "1");
        quiet.restore().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "4");
        drop(Quiet::with(&file).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "4");
    }
}
