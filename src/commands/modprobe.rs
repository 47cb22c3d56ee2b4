//! `modprobe`, as the kernel calls it when it wants a module: for a file system to mount, the letters of its names, a
//! checksum. The link /sbin/modprobe of the initrd leads to this program; nobody else calls it so.

use std::path::Path;
use std::process::ExitCode;

use crate::drivers::{self, Index, Loaded, Outcome};
use crate::early;
use crate::machine::running_kernel;

/// Under this name the kernel calls (`modprobe_path` in kernel/module/kmod.c).
pub const NAME: &str = "modprobe";

/// `-q -- NAME`: says nothing, and fails, where nobody knows NAME: the kernel asks for much that no machine has.
pub fn run(args: impl Iterator<Item = String>) -> ExitCode {
    let Some(name) = asked_for(args) else { return ExitCode::FAILURE };
    let dir = Path::new("/lib/modules").join(running_kernel());
    let Ok(index) = Index::read(&dir) else { return ExitCode::FAILURE };
    if !index.closure(&[&name]).unknown.is_empty() {
        return ExitCode::FAILURE;
    }
    // Without a log it is loaded all the same.
    let _log = early::log_to(true, None, log::LevelFilter::Info);
    let loaded = drivers::load(&index, &dir, &name);
    for module in &loaded {
        match module.outcome {
            Outcome::Loaded => log::info!("{module} (the kernel asked for {name})"),
            Outcome::Failed(_) => log::warn!("{module} (the kernel asked for {name})"),
            Outcome::Already | Outcome::NoDevice => {}
        }
    }
    if loaded.iter().any(failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn failed(module: &Loaded) -> bool {
    matches!(module.outcome, Outcome::Failed(_))
}

/// The one module; nothing of any other words: `-r` must not load what it is to remove.
fn asked_for(args: impl Iterator<Item = String>) -> Option<String> {
    let mut names: Vec<String> = args.filter(|word| word != "-q" && word != "--").collect();
    let name = names.pop().filter(|name| names.is_empty() && !name.is_empty() && !name.starts_with('-'));
    if name.is_none() {
        eprintln!("modprobe: this is the kernel's own: -q -- NAME; for anything else: busybox modprobe");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_ask_for_one_module() {
        let asked = |words: &[&str]| asked_for(words.iter().map(ToString::to_string));
        assert_eq!(asked(&["-q", "--", "fs-ext4"]).as_deref(), Some("fs-ext4"));
        assert_eq!(asked(&["nls_cp437"]).as_deref(), Some("nls_cp437"));
        assert_eq!(asked(&["-q", "--"]), None);
        assert_eq!(asked(&[""]), None);
        assert_eq!(asked(&["-r", "ext4"]), None);
        assert_eq!(asked(&["ext4", "xfs"]), None);
    }
}
