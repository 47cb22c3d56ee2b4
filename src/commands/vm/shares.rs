//! A machine whose root is a directory of this host: what is shared with it, the words its kernel gets, its memory.
//! Which kernel it is, is `rootdir`'s; the daemons are `virtiofsd`'s.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::rootdir::RootDir;
use super::virtiofsd::{Daemon, Share, Virtiofsd};
use super::{CONSOLE, VmArgs};
use crate::commands::initrd;
use crate::machine::Machine;
use crate::volumes::Tag;

/// Tag of the root, as osbuild's initrd takes for granted.
const ROOT_TAG: &str = "rootfs";

/// What chrootvm gives a machine (MiB); a host with less gives no more than it has to spare.
const MEMORY: u64 = 4096;

/// All that is decided before anything starts.
#[derive(Debug)]
pub struct Shares {
    pub kernel: PathBuf,
    initrd: Initrd,
    /// The root comes first.
    shares: Vec<Share>,
    pub cmdline: String,
    /// MiB.
    pub memory: u32,
}

#[derive(Debug)]
enum Initrd {
    Given(PathBuf),
    /// To be made with these modules.
    Of(PathBuf),
}

impl Shares {
    /// # Errors
    /// What is named is not there, or does not fit together.
    pub fn of(args: &VmArgs, rootdir: &Path) -> Result<Self> {
        let root = RootDir::open(rootdir)?;
        let (kernel, initrd) = match (&args.kernel, &args.initrd) {
            (Some(kernel), Some(initrd)) => (kernel.clone(), Initrd::Given(initrd.clone())),
            (Some(kernel), None) => {
                let kernel = root.kernel_with(kernel)?;
                (kernel.image, Initrd::Of(kernel.modules))
            }
            (None, given) => {
                let kernel = root.newest_kernel()?;
                eprintln!("kernel: {} ({})", kernel.release, kernel.image.display());
                (kernel.image, given.clone().map_or(Initrd::Of(kernel.modules), Initrd::Given))
            }
        };
        let init = root.program(args.init.as_deref().unwrap_or("/bin/sh"))?;
        let shares = shares(args, &root.path)?;
        let cmdline = cmdline(args, &init, &shares)?;
        let spare = Machine::probe().memory_available >> 20;
        let fits = MEMORY.min(spare / 4 * 3).max(256) as u32;
        Ok(Self { kernel, initrd, shares, cmdline, memory: args.memory.unwrap_or(fits) })
    }

    /// The initrd as a file that is there as long as it is held.
    ///
    /// # Errors
    /// It cannot be made, or opened.
    pub fn initrd(&self) -> Result<File> {
        match &self.initrd {
            Initrd::Given(path) => File::open(path).with_context(|| format!("opening {}", path.display())),
            Initrd::Of(modules) => initrd::in_memory(modules).context("making an initrd"),
        }
    }

    /// Starts a daemon for each directory.
    ///
    /// # Errors
    /// There is no virtiofsd, or it does not start.
    pub fn start(&self, debug: bool) -> Result<Vec<Daemon>> {
        let virtiofsd = Virtiofsd::find()?;
        let started = self.shares.iter().enumerate().map(|(n, share)| virtiofsd.start(share, n, debug));
        started.collect()
    }
}

/// The root, and what is mounted beside it.
fn shares(args: &VmArgs, root: &Path) -> Result<Vec<Share>> {
    let tag = Tag::parse(ROOT_TAG).context("the tag of the root")?;
    let mut shares = vec![Share { tag, path: root.to_owned(), writable: args.rw }];
    let writable = args.mount.chunks(2).map(|pair| (pair, true));
    let all = writable.chain(args.mount_ro.chunks(2).map(|pair| (pair, false)));
    for (pair, writable) in all {
        let [tag, path] = pair else { anyhow::bail!("--mount takes a tag and a path") };
        let option = if writable { "--mount" } else { "--mount-ro" };
        let word = || format!("{option} {tag} {path}");
        let tag = Tag::parse(tag).with_context(word)?;
        ensure!(shares.iter().all(|share| share.tag != tag), "{}: the tag {tag} is taken", word());
        let path = Path::new(path).canonicalize().with_context(word)?;
        ensure!(path.is_dir(), "{}: no directory", word());
        shares.push(Share { tag, path, writable });
    }
    Ok(shares)
}

/// Nobody stands before such a machine: a boot that fails ends it soon, and a person has the time to press a key.
const GIVE_UP: &str = "bootjack.retry_for=20s";

/// What the kernel is told; a panic ends the machine, as the end of an init does.
fn cmdline(args: &VmArgs, init: &str, shares: &[Share]) -> Result<String> {
    let loud = if args.debug { "debug" } else { "quiet" };
    let mut words = vec![format!("console={CONSOLE}"), loud.into(), "panic=-1".into(), GIVE_UP.into()];
    for (n, Share { tag, writable, .. }) in shares.iter().enumerate() {
        match (n, writable) {
            (0, true) => words.extend([format!("rootfs={tag}"), "rw".into()]),
            (0, false) => words.extend([format!("rootfs={tag}"), "ro".into()]),
            (_, true) => words.push(quoted("mount", tag.as_str())?),
            (_, false) => words.push(quoted("mount-ro", tag.as_str())?),
        }
    }
    words.push(quoted("init", init)?);
    words.extend(args.append.clone());
    Ok(words.join(" "))
}

/// A word of a kernel command line; a blank is held together by quotes, which nothing can hold.
fn quoted(name: &str, value: &str) -> Result<String> {
    ensure!(!value.contains('"'), "{name}={value}: no kernel command line can hold a quote");
    Ok(match value.contains(char::is_whitespace) {
        true => format!("{name}=\"{value}\""),
        false => format!("{name}={value}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: VmArgs,
    }

    /// A root with a kernel and a shell, and two directories beside it.
    fn bench() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for place in ["root/usr/lib/modules/6.1.0", "root/bin", "a", "b"] {
            std::fs::create_dir_all(dir.path().join(place)).unwrap();
        }
        std::fs::write(dir.path().join("root/usr/lib/modules/6.1.0/vmlinuz"), "x").unwrap();
        dir
    }

    fn decided(dir: &tempfile::TempDir, line: &str) -> Result<Shares> {
        let words = line.split(' ').filter(|w| !w.is_empty()).map(|w| match w {
            "a" | "b" | "none" => dir.path().join(w).display().to_string(),
            other => other.to_owned(),
        });
        let root = dir.path().join("root");
        let start = ["vm".to_owned(), root.display().to_string()];
        Shares::of(&Cli::try_parse_from(start.into_iter().chain(words))?.args, &root)
    }

    #[test]
    fn the_machine_is_told_its_root_and_what_lies_beside_it() {
        let dir = bench();
        let shares = decided(&dir, "/run/mnt/x/vm.py --mount x a --mount-ro y b --append selinux=0").unwrap();
        assert_eq!(
            shares.cmdline,
            format!(
                "console={CONSOLE} quiet panic=-1 {GIVE_UP} rootfs=rootfs ro mount=x mount-ro=y \
                 init=/run/mnt/x/vm.py selinux=0"
            )
        );
        let told: Vec<_> = shares.shares.iter().map(|s| (s.tag.as_str(), s.writable)).collect();
        assert_eq!(told, [("rootfs", false), ("x", true), ("y", false)]);
        assert_eq!(shares.kernel.file_name().unwrap(), "vmlinuz");
        assert!((256..=4096).contains(&shares.memory), "{}", shares.memory);
    }

    #[test]
    fn a_shell_in_a_read_only_root_is_what_nobody_has_to_ask_for() {
        let dir = bench();
        let plain = decided(&dir, "").unwrap();
        assert!(plain.cmdline.ends_with(" rootfs=rootfs ro init=/bin/sh"), "{}", plain.cmdline);
        let loud = decided(&dir, "--rw --debug --memory 700").unwrap();
        assert!(
            loud.cmdline.contains(" rootfs=rootfs rw ") && loud.cmdline.contains(" debug "),
            "{}",
            loud.cmdline
        );
        assert_eq!((loud.memory, loud.shares[0].writable), (700, true));
    }

    #[test]
    fn what_cannot_be_shared_is_refused_by_its_words() {
        let dir = bench();
        let why = |line: &str| format!("{:#}", decided(&dir, line).unwrap_err());
        let of = |option: &str, tag: &str, path: &str| {
            format!("{option} {tag} {}", dir.path().join(path).display())
        };
        assert_eq!(
            why("--mount x a --mount-ro x b"),
            format!("{}: the tag x is taken", of("--mount-ro", "x", "b"))
        );
        assert!(why("--mount rootfs a").ends_with("the tag rootfs is taken"));
        assert!(why("--mount .. a").contains("--mount .. "), "{}", why("--mount .. a"));
        assert!(
            why("--mount .. a")
                .ends_with("a tag is a name of at most 36 letters without '/', such as rootfs")
        );
        assert!(why("--mount x none").starts_with(&of("--mount", "x", "none")), "{}", why("--mount x none"));
        assert!(why("zsh").contains("no program \"zsh\""));
        assert!(quoted("init", "/a b").is_ok_and(|word| word == "init=\"/a b\""));
        assert!(quoted("init", "/a\"b").is_err());
    }
}
