//! The kernel command line as meant: `&str` → [`Params`]. A bad word stops no boot by itself: it becomes a problem to
//! show; only a root asked for in bad words is refused. What an entry or a network makes of the words is theirs.

mod debug;
mod example;
mod init;
#[cfg(test)]
mod lines;
mod place;
mod root;
mod second;
mod storage;
mod value;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use crate::fetch::{Location, LocationError, Proxy};
use crate::volumes::{Assembly, Tag};

pub use init::init_args;
pub use root::{Dialect, RootSource, RootWord, Size};
pub use second::{Second, SecondRoot, consoles_of};
use words::Word;
pub use words::nearest;

/// Which terminals show the menu.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsoleWord {
    /// They come beside the kernel's own, not in place of them.
    pub beside: bool,
    /// None: the kernel's own.
    pub terminals: Vec<Terminal>,
}

/// A terminal by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Of the device, without `/dev/`.
    pub name: String,
    /// In baud; else it stays as it is.
    pub speed: Option<u32>,
}

/// What the kernel command line asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    /// `bootjack.catalog=`; a bad one is asked for too, and must not lead to another catalog unseen.
    pub catalog: Option<Result<Location, CmdlineProblem>>,
    /// `bootjack.entry=`, as written: whether it exists is known from the catalog.
    pub entry: Option<String>,
    /// `bootjack.timeout=`, in place of the catalog's.
    pub timeout: Option<Duration>,
    /// `bootjack.retry_for=`, in place of the catalog's.
    pub retry_for: Option<Duration>,
    /// `bootjack.on_failure=`, in place of the catalog's.
    pub on_failure: Option<OnFailure>,
    /// `bootjack.console=`.
    pub consoles: ConsoleWord,
    /// `bootjack.plain`: the terminals have no cursor to move.
    pub plain: bool,
    /// `bootjack.shell`: a shell before the menu.
    pub shell: bool,
    /// `bootjack.shell=0`: no shell at all.
    pub no_shell: bool,
    /// `bootjack.watchdog=`: starts the first hardware watchdog with a timeout of so many seconds.
    pub watchdog: Option<u32>,
    /// `bootjack.ca=`: more certificate authorities.
    pub ca: Vec<PathBuf>,
    /// A root without catalog and menu; absent if no word asks for one. What is wrong in any of its words refuses it.
    pub root: Option<Result<RootWord, CmdlineProblem>>,
    /// `init=`: absolute path in the root.
    pub init: Option<String>,
    /// What init is started with: the words after `--`, and before them what users of the root's words expect.
    pub init_args: Vec<String>,
    /// The words of the network with their values, in order; the value of a bare word is empty.
    pub network: Vec<(String, String)>,
    /// `mount=TAG`, `mount-ro=TAG`: directories of the host for `/run/mnt/TAG`, in order.
    pub mounts: Vec<ExtraMount>,
    /// `rw` or `ro`, the last of them: for a root that is mounted, not unpacked.
    pub writable: Option<bool>,
    /// `proxy=`, with `no_proxy=`.
    pub proxy: Option<Proxy>,
    /// `rd.noverifyssl`.
    pub unverified_tls: bool,
    /// What has to be put together before a block device is there: `rd.lvm.*`, `rd.luks.*`, `rd.md.*`.
    pub assembly: Assembly,
    /// `rd.retry=`, `rd.timeout=`, `rootdelay=`: how long a device is waited for, in place of `retry_for`.
    pub device_wait: Option<Duration>,
    /// `rd.break`, `break=`: where a shell interrupts the boot, in the order of the boot.
    pub break_at: Vec<BreakAt>,
    /// `rd.shell`: whether a failure may end in a shell; nothing said: it may.
    pub rd_shell: Option<bool>,
    /// `rd.emergency=`: what an unattended failure ends in, where nothing of ours says so.
    pub emergency: Option<OnFailure>,
    /// `panic=N`, seconds: no shell, and a reboot so long after a failure; negative: at once. 0 and nothing said: no
    /// such order. See [`Params::obeying`].
    pub panic: Option<i64>,
    pub quiet: bool,
    pub debug: bool,
    /// Everything that was asked for and cannot be had.
    pub problems: Vec<CmdlineProblem>,
}

/// A directory of the host beside the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraMount {
    pub tag: Tag,
    pub writable: bool,
}

/// Where a boot is interrupted by a shell; leaving it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakAt {
    /// Before the network and the devices: dracut's `cmdline`, `pre-udev`, `pre-trigger`, initramfs-tools' `top`, `modules`.
    Start,
    /// Before the root is made: `initqueue`, `pre-mount`, `mount`; `premount`, `mount`, `mountroot`.
    BeforeRoot,
    /// The root is there, and nothing of it runs yet: `pre-pivot`, `cleanup` and a bare `rd.break`; `bottom`, `init`.
    BeforeInit,
}

/// What is done when an unattended boot is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnFailure {
    Reboot,
    PowerOff,
    Hold,
    /// Boot the entry with this id.
    Entry(String),
}

/// A word that asks for something that cannot be had. `Display` is `word: cause`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CmdlineProblem {
    /// As written, but harmless on a terminal.
    pub word: String,
    pub cause: String,
    pub hint: Option<String>,
}

/// Our words, all documented in `docs/cmdline.md`.
const KNOWN: &[&str] = &[
    "bootjack.catalog",
    "bootjack.entry",
    "bootjack.timeout",
    "bootjack.retry_for",
    "bootjack.on_failure",
    "bootjack.console",
    "bootjack.plain",
    "bootjack.shell",
    "bootjack.watchdog",
    "bootjack.ca",
    "rd.tmpfs.size",
    "rd.tmpfs.sha256",
    "rd.tmpfs.length",
    "rd.tmpfs.chunks",
    "rd.tmpfs.connections",
    "rd.tmpfs.imgfile",
    "rd.container.rootfs",
    "ramroot",
    "rootfs",
    "mount",
    "mount-ro",
];

/// Words that `net` understands: dracut.cmdline(7), initramfs-tools(7), the kernel's nfsroot.rst, and PXELINUX's BOOTIF.
const NETWORK: &[&str] = &[
    "ip",
    "ip6",
    "BOOTIF",
    "nameserver",
    "ifname",
    "vlan",
    "bond",
    "team",
    "bridge",
    "hwaddr",
    "bootdev",
    "rd.neednet",
    "rd.bootif",
    "rd.peerdns",
    "rd.route",
];

impl Params {
    /// Reads the text of `/proc/cmdline`.
    pub fn parse(text: &str) -> Self {
        let (words, after) = words::split(text);
        let mut params = Self::default();
        for word in &words {
            params.network_or_unknown(word);
        }
        params.ours(&words);
        params.failures_and_debug(&words);
        let init = params.asked(&words, "init", value::absolute_path).transpose();
        let way = params.way_to_the_root(&words);
        params.root = root::read(&words, init.as_ref().err().cloned().or(way), &mut params.problems);
        let dialect = params.root.as_ref().and_then(|root| Some(root.as_ref().ok()?.dialect));
        params.init_args = init::of(&words, after, dialect);
        params.init = init.ok().flatten();
        params
    }

    /// `bootjack.*`, the last of each.
    fn ours(&mut self, words: &[Word]) {
        self.catalog = self.asked(words, "bootjack.catalog", location);
        self.entry = self.last(words, "bootjack.entry", value::text);
        self.timeout = self.last(words, "bootjack.timeout", value::seconds);
        self.retry_for = self.last(words, "bootjack.retry_for", value::duration);
        self.on_failure = self.last(words, "bootjack.on_failure", value::on_failure);
        self.consoles = self.last(words, "bootjack.console", value::consoles).unwrap_or_default();
        self.watchdog = self.last(words, "bootjack.watchdog", value::watchdog);
        self.ca = self.last(words, "bootjack.ca", value::paths).unwrap_or_default();
        if let Some(word) = words.iter().rfind(|w| w.name == "bootjack.plain") {
            match word.value.as_deref() {
                None | Some("1") => self.plain = true,
                Some("0") => {}
                Some(_) => self.problems.push(word.problem("takes no value, or 0 for screens as ever")),
            }
        }
        if let Some(word) = words.iter().rfind(|w| w.name == "bootjack.shell") {
            match word.value.as_deref() {
                None | Some("1") => self.shell = true,
                Some("0") => self.no_shell = true,
                Some(_) => self.problems.push(word.problem("takes no value, or 0 for no shell at all")),
            }
        }
    }

    /// The value of the last word of this name, if `read` understands it.
    fn last<T>(&mut self, words: &[Word], name: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.asked(words, name, read)?.ok()
    }

    /// The same with the problem, which is among the others too.
    fn asked<T>(
        &mut self,
        words: &[Word],
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Result<T, CmdlineProblem>> {
        let word = words.iter().rfind(|w| w.name == name)?;
        let value = read(word.value()).map_err(|cause| word.problem(cause));
        self.problems.extend(value.as_ref().err().cloned());
        Some(value)
    }

    /// Keeps a word of the network; complains of one that looks like ours and is not.
    fn network_or_unknown(&mut self, word: &Word) {
        if NETWORK.contains(&word.name.as_str()) {
            self.network.push((word.name.clone(), word.value.clone().unwrap_or_default()));
        } else if is_unknown(word) {
            self.problems.push(unknown(word));
        }
    }
}

/// Whether a word is `bootjack…` in any spelling, and none that we know. Those of the root are seen by `root`.
fn is_unknown(word: &Word) -> bool {
    let name = word.name.to_ascii_lowercase();
    let ours = name.strip_prefix("bootjack").is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    ours && !KNOWN.contains(&word.name.as_str())
}

fn unknown(word: &Word) -> CmdlineProblem {
    let problem = word.problem("no such argument");
    let hint = nearest(&word.name, KNOWN).map(|known| format!("did you mean {known}?"));
    CmdlineProblem { hint: hint.or(Some("docs/cmdline.md has them all".into())), ..problem }
}

/// A location that stands alone.
fn location(text: &str) -> Result<Location, String> {
    match Location::parse(text) {
        Ok(Location::File(path)) if !path.is_absolute() => {
            Err("is not absolute: http://, https://, file:/ or initramfs:/ comes first".into())
        }
        Ok(location) => Ok(location),
        Err(LocationError::Empty) => Err("no value".into()),
        Err(LocationError::NotInThisVersion(kind)) => Err(format!("{kind} is not in this version")),
        Err(why) => Err(why.to_string()),
    }
}

impl std::fmt::Display for CmdlineProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.word, self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn problems(text: &str) -> Vec<String> {
        Params::parse(text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_argument_of_ours_is_understood() {
        let params = Params::parse(
            "BOOT_IMAGE=vmlinuz initrd=initrd.img console=ttyS0,115200 quiet debug bootjack.shell \
             bootjack.catalog=http://a/c.toml bootjack.entry=rescue bootjack.timeout=5 bootjack.retry_for=2m \
             bootjack.on_failure=poweroff bootjack.console=+tty0,/dev/ttyS0:115200 bootjack.ca=/a.pem,/b.pem \
             bootjack.watchdog=60 \
             ip=dhcp BOOTIF=01-aa init=/bin/sh -- single \"a b\" c=\"d e\" bootjack.entry=none",
        );
        let expected = Params {
            catalog: Some(Ok(Location::parse("http://a/c.toml").unwrap())),
            entry: Some("rescue".into()),
            timeout: Some(Duration::from_secs(5)),
            retry_for: Some(Duration::from_secs(120)),
            on_failure: Some(OnFailure::PowerOff),
            consoles: ConsoleWord {
                beside: true,
                terminals: vec![
                    Terminal { name: "tty0".into(), speed: None },
                    Terminal { name: "ttyS0".into(), speed: Some(115_200) },
                ],
            },
            shell: true,
            watchdog: Some(60),
            ca: vec!["/a.pem".into(), "/b.pem".into()],
            init: Some("/bin/sh".into()),
            init_args: vec!["single".into(), "a b".into(), "c=d e".into(), "bootjack.entry=none".into()],
            network: vec![("ip".into(), "dhcp".into()), ("BOOTIF".into(), "01-aa".into())],
            quiet: true,
            debug: true,
            ..Params::default()
        };
        assert_eq!(params, expected);
        assert_eq!(Params::parse(""), Params::default());
    }

    #[test]
    fn the_last_of_a_repeated_word_wins_but_every_ip_counts() {
        let params = Params::parse(
            "bootjack.timeout=x bootjack.timeout=5 ip=a ip=b bootjack.entry=a bootjack.entry=b",
        );
        assert_eq!(params.timeout, Some(Duration::from_secs(5)));
        assert_eq!(params.entry.as_deref(), Some("b"));
        assert_eq!(params.network.len(), 2);
        assert!(params.problems.is_empty());
    }

    #[test]
    fn what_is_wrong_is_a_problem_and_stops_nothing_else() {
        let text = "bootjack.timeout=soon bootjack.retry_for=5 bootjack.on_failure=menu bootjack.console=ttyS0,115200 \
                    bootjack.ca=a.pem bootjack.shell=yes bootjack.watchdog=0 bootjack.entry= init=sh";
        assert_eq!(
            problems(text),
            [
                "bootjack.entry=: no value",
                "bootjack.timeout=soon: is no whole number of seconds",
                "bootjack.retry_for=5: is no duration: a whole number and s, m or h, such as 90s or 10m",
                "bootjack.on_failure=menu: is neither reboot, poweroff, hold nor an entry's id",
                "bootjack.console=ttyS0,115200: \"115200\" is no console: a speed is written ttyS0:115200",
                "bootjack.watchdog=0: is no timeout: whole seconds, from 1 to 86400",
                "bootjack.ca=a.pem: \"a.pem\" is not an absolute path",
                "bootjack.shell=yes: takes no value, or 0 for no shell at all",
                "init=sh: is not an absolute path",
            ]
        );
    }

    #[test]
    fn a_watchdog_is_never_started_with_a_timeout_that_makes_no_sense() {
        for wrong in ["", "=", "=0", "=-1", "=soon", "=10s", "=86401", "=99999999999999999999"] {
            let params = Params::parse(&format!("bootjack.watchdog{wrong}"));
            assert_eq!((params.watchdog, params.problems.len()), (None, 1), "{wrong}");
        }
        assert_eq!(Params::parse("bootjack.watchdog=1").watchdog, Some(1));
    }

    #[test]
    fn a_slip_of_the_finger_is_seen() {
        let params = Params::parse(
            "bootjack.entri=a rd.tmpfs.sizes=1g Bootjack.Timeout=5 bootjack vlan=x bootjacket=1",
        );
        let said: Vec<_> = params.problems.iter().map(|p| (p.word.as_str(), p.hint.as_deref())).collect();
        assert_eq!(said[0], ("bootjack.entri=a", Some("did you mean bootjack.entry?")));
        assert_eq!(said[1], ("Bootjack.Timeout=5", Some("did you mean bootjack.timeout?")));
        assert_eq!(said[2].0, "bootjack");
        assert_eq!(said[3], ("rd.tmpfs.sizes=1g", Some("did you mean rd.tmpfs.size?")));
        assert_eq!(said.len(), 4);
        assert_eq!(params.timeout, None);
    }

    #[test]
    fn a_bad_catalog_is_not_as_if_none_were_asked_for() {
        let params = Params::parse("bootjack.timeout=x bootjack.catalog=c.toml");
        let Some(Err(problem)) = params.catalog else { panic!("a refused catalog") };
        assert!(problem.cause.starts_with("is not absolute"));
        assert!(matches!(Params::parse("bootjack.catalog=oci://a/b").catalog, Some(Err(_))));
        assert!(matches!(Params::parse("bootjack.catalog").catalog, Some(Err(_))));
    }

    #[test]
    fn nothing_in_a_problem_steers_a_terminal() {
        assert_eq!(Params::parse("bootjack.x\u{1b}[2J").problems[0].word, "bootjack.x?[2J");
    }

    #[test]
    fn the_root_words_come_to_one_root() {
        let text =
            format!("root=tmpfs:http://a/r root=tmpfs:http://b/r rd.tmpfs.size=2g rd.tmpfs.sha256={ABC}");
        let params = Params::parse(&text);
        let expected = RootWord {
            source: RootSource::Archive(vec![
                Location::parse("http://a/r").unwrap(),
                Location::parse("http://b/r").unwrap(),
            ]),
            dialect: Dialect::Tmpfs,
            size: Some(Size::Bytes(2 << 30)),
            sha256: Some(ABC.parse().unwrap()),
            chunks: None,
            connections: 1,
            length: None,
        };
        assert_eq!(params.root, Some(Ok(expected)));
        assert!(params.problems.is_empty());
        assert_eq!(Params::parse("root=/dev/sda1 root=live:http://a/ boot=casper").root, None);
    }

    #[test]
    fn a_wrong_word_of_the_root_refuses_the_root() {
        for wrong in [
            "rd.tmpfs.sha256=",
            "rd.tmpfs.sha256",
            "rd.tmpfs.sha256=ba78",
            "rd.tmpfs.sha265=ba78",
            "rd.tmpfs_sha256=ba78",
            "rd.tmpfs.SHA256=ba78",
            "rd.tmps.sha256=ba78",
            "init",
            "rd.tmpfs.size=much",
            "rd.tmpfs.chunks=ba78",
            "rd.tmpfs.imgfile=x",
            "root=tmpfs:",
            "root=tmpfs:LABEL=",
            "root=tmpfs:r.tar",
            "init=sh",
            "ramroot=http://a/r",
        ] {
            let params = Params::parse(&format!("root=tmpfs:http://a/r {wrong}"));
            let Some(Err(problem)) = &params.root else { panic!("{wrong} is taken") };
            assert!(params.problems.contains(problem), "{wrong}");
            assert_eq!(params.problems.len(), 1, "{:?}", params.problems);
        }
    }

    #[test]
    fn two_different_roots_are_a_problem_that_names_both() {
        let text = "rootfs=tag root=tmpfs:http://a/r";
        assert_eq!(problems(text), ["rootfs=tag: asks for another root than root=tmpfs:http://a/r"]);
        assert!(matches!(Params::parse(text).root, Some(Err(_))));
    }

    #[test]
    fn words_for_a_root_that_is_not_there_are_a_problem() {
        assert_eq!(problems("rd.tmpfs.size=1g"), ["rd.tmpfs.size=1g: there is no root=tmpfs: to go with it"]);
    }

    #[test]
    fn every_argument_is_documented() {
        let docs = include_str!("../docs/cmdline.md");
        let more = ["root=tmpfs:", "root=virtiofs:", "boot=ramdisk", "rw", "init=", "quiet", "debug", "--"];
        let storage = storage::EACH.iter().chain(storage::LAST);
        for word in KNOWN.iter().chain(NETWORK).chain(storage).chain(&more) {
            assert!(docs.contains(&format!("`{word}")), "{word}");
        }
    }
}
