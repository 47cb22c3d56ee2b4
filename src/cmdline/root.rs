//! A root asked for on the command line: `root=tmpfs:` with its companions, and the words of the four ancestors. Any
//! wrong word refuses the root, so that a slip in the digest never boots something unverified.

use super::words::{Word, nearest};
use super::{CmdlineProblem, KNOWN, location, unknown, value};
use crate::fetch::Location;
use crate::verify::{ParseDigestError, Sha256};
use crate::volumes::Tag;

/// A root that the command line asks for, with its companions.
#[derive(Clone, Debug, PartialEq)]
pub struct RootWord {
    pub source: RootSource,
    /// In whose words.
    pub dialect: Dialect,
    /// `rd.tmpfs.size=`: limit of the tmpfs.
    pub size: Option<Size>,
    /// `rd.tmpfs.sha256=`; without it the command line asks for an unverified root.
    pub sha256: Option<Sha256>,
}

/// What a root is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum RootSource {
    /// An archive for a tmpfs: its mirrors, in order; never empty.
    Archive(Vec<Location>),
    /// A directory that the host shares, as it is.
    Shared(Tag),
}

/// In whose words a root is asked for: the ancestors differ in what they do beside unpacking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `root=tmpfs:…`: ours and dracut-tmpfs-root's.
    #[default]
    Tmpfs,
    /// `rd.container.rootfs=`: dracut-container-root's.
    Container,
    /// `boot=ramdisk ramroot=`: ramroot's.
    Ramroot,
    /// `rootfs=TAG`: osbuild's initrd; its init is `/bin/sh` unless one is named.
    Shared,
    /// `root=virtiofs:TAG`: dracut's.
    Virtiofs,
}

/// Limit of a tmpfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Of the machine's memory; 1 to 100.
    Percent(u8),
    Bytes(u64),
}

/// The words with which the ancestors ask for a root.
pub(super) const ANCESTORS: &[&str] = &["rd.container.rootfs", "boot", "ramroot", "rootfs"];

/// The root that is asked for, if one is. What is wrong is added to `problems`, where `init`, the problem with `init=`,
/// is already.
pub(super) fn read(
    words: &[Word],
    init: Option<CmdlineProblem>,
    problems: &mut Vec<CmdlineProblem>,
) -> Option<Result<RootWord, CmdlineProblem>> {
    let mut asked: Vec<(&str, &Word)> = Vec::new();
    for word in words {
        let Some(kind) = kind(word) else { continue };
        match asked.iter_mut().find(|(other, _)| *other == kind) {
            // The last one speaks for its kind; `boot=ramdisk` says nothing that `ramroot=` does not.
            Some(earlier) if word.name != "boot" => earlier.1 = word,
            Some(_) => {}
            None => asked.push((kind, word)),
        }
    }
    let mut wrong = Vec::new();
    let root = match asked[..] {
        [] => {
            let companion = words.iter().rfind(|w| is_ours(w) && !is_unknown(w));
            problems.extend(companion.map(|w| w.problem("there is no root=tmpfs: to go with it")));
            problems.extend(words.iter().filter(|w| is_unknown(w)).map(unknown));
            return None;
        }
        [(TMPFS, _)] => tmpfs(words, &mut wrong),
        [("rootfs", word)] => match Tag::parse(word.value.as_deref().unwrap_or_default()) {
            Ok(tag) => Some(RootWord {
                source: RootSource::Shared(tag),
                dialect: Dialect::Shared,
                size: None,
                sha256: None,
            }),
            Err(why) => {
                wrong.push(word.problem(why.to_string()));
                None
            }
        },
        [(_, word)] => {
            wrong.push(word.problem("is not in this version"));
            None
        }
        [(_, one), (_, other), ..] => {
            wrong.push(one.problem(format!("asks for another root than {}", other.problem("").word)));
            None
        }
    };
    let refused = wrong.first().cloned().or(init);
    problems.extend(wrong);
    match (refused, root) {
        (None, Some(root)) => Some(Ok(root)),
        (Some(refused), _) => Some(Err(refused)),
        (None, None) => None,
    }
}

const TMPFS: &str = "root=tmpfs:";

/// Whether a word goes with `root=tmpfs:`: `rd.tmpfs…` in any spelling, and what can only be a slip of one of them.
pub(super) fn is_ours(word: &Word) -> bool {
    let meant = || nearest(&word.name, KNOWN).is_some_and(|known| known.starts_with("rd.tmpfs"));
    word.name.to_ascii_lowercase().starts_with("rd.tmpfs") || meant()
}

fn is_unknown(word: &Word) -> bool {
    is_ours(word) && !KNOWN.contains(&word.name.as_str())
}

/// Which way of asking for a root a word belongs to.
fn kind(word: &Word) -> Option<&'static str> {
    let value = word.value.as_deref().unwrap_or_default();
    match word.name.as_str() {
        "root" if value.starts_with("tmpfs:") => Some(TMPFS),
        "boot" if value != "ramdisk" => None,
        // One system: `boot=ramdisk ramroot=…`.
        "boot" => Some("ramroot"),
        name => ANCESTORS.iter().find(|&&ancestor| ancestor == name).copied(),
    }
}

fn tmpfs(words: &[Word], wrong: &mut Vec<CmdlineProblem>) -> Option<RootWord> {
    let mut locations = Vec::new();
    for word in words.iter().filter(|w| kind(w) == Some(TMPFS)) {
        match place(word) {
            Ok(location) => locations.push(location),
            Err(problem) => wrong.push(problem),
        }
    }
    wrong.extend(words.iter().filter(|w| is_unknown(w)).map(unknown));
    for later in ["rd.tmpfs.chunks", "rd.tmpfs.imgfile"] {
        let word = words.iter().rfind(|w| w.name == later);
        wrong.extend(word.map(|w| w.problem("is not in this version")));
    }
    let last = |name: &str| words.iter().rfind(|w| w.name == name);
    let (size, sha256) = (last("rd.tmpfs.size"), last("rd.tmpfs.sha256"));
    let size = size.map(|w| value::size(w.value.as_deref().unwrap_or_default()).map_err(|e| w.problem(e)));
    let sha256 = sha256.map(|w| digest(w.value.as_deref().unwrap_or_default()).map_err(|e| w.problem(e)));
    let size = size.transpose().unwrap_or_else(|problem| {
        wrong.push(problem);
        None
    });
    let sha256 = sha256.transpose().unwrap_or_else(|problem| {
        wrong.push(problem);
        None
    });
    (wrong.is_empty() && !locations.is_empty()).then_some(RootWord {
        source: RootSource::Archive(locations),
        dialect: Dialect::Tmpfs,
        size,
        sha256,
    })
}

fn place(word: &Word) -> Result<Location, CmdlineProblem> {
    let text = word.value.as_deref().unwrap_or_default().strip_prefix("tmpfs:").unwrap_or_default();
    if text == "/dev" || text.starts_with("/dev/") {
        return Err(word.problem("a volume is not in this version"));
    }
    location(text).map_err(|cause| word.problem(cause))
}

fn digest(text: &str) -> Result<Sha256, String> {
    text.parse().map_err(|why: ParseDigestError| why.to_string())
}
