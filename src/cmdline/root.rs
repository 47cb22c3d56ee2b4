//! A root asked for on the command line: `root=tmpfs:` with its companions, and the words of the four ancestors. Any
//! wrong word refuses the root, so that a slip in the digest never boots something unverified.

use std::path::PathBuf;

use super::place::{self, Place};
use super::words::{Word, nearest};
use super::{CmdlineProblem, KNOWN, example, unknown, value};
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
    /// `rd.tmpfs.chunks=`: digest of the chunk list, as `chunks` in a catalog.
    pub chunks: Option<Sha256>,
    /// `rd.tmpfs.connections=`, as `menu.connections` in a catalog.
    pub connections: u8,
    /// `rd.tmpfs.length=`: bytes of the archive, as `size` in a catalog.
    pub length: Option<u64>,
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
    /// `root=virtiofs:TAG`, `rootfstype=virtiofs root=TAG`: dracut's.
    Virtiofs,
}

/// Limit of a tmpfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Of the machine's memory; 1 to 100.
    Percent(u8),
    Bytes(u64),
}

/// Words that go with an archive.
const COMPANIONS: &[&str] = &[
    "rd.tmpfs.size",
    "rd.tmpfs.sha256",
    "rd.tmpfs.length",
    "rd.tmpfs.chunks",
    "rd.tmpfs.connections",
    "rd.tmpfs.imgfile",
];

/// What ramroot unpacks where nothing is named.
const RAMROOT: &str = "/ramroot.xz";

/// The tag that osbuild's initrd takes where none is named.
const ROOTFS: &str = "rootfs";

/// The root that is asked for, if one is. What is wrong is added to `problems`, where `refused`, the problem with
/// another word that it cannot do without, is already.
pub(super) fn read(
    words: &[Word],
    refused: Option<CmdlineProblem>,
    problems: &mut Vec<CmdlineProblem>,
) -> Option<Result<RootWord, CmdlineProblem>> {
    let mut wrong = Vec::new();
    let root = match asked(words)[..] {
        [] if has_mounts_alone(words) => Tag::parse(ROOTFS).ok().map(|tag| shared(tag, Dialect::Shared)),
        [] => {
            let companion = words.iter().rfind(|w| COMPANIONS.contains(&w.name.as_str()));
            problems
                .extend(companion.map(|w| without_an_archive(w, "there is no root=tmpfs: to go with it")));
            problems.extend(words.iter().filter(|w| is_unknown(w)).map(unknown));
            return None;
        }
        [(dialect @ (Dialect::Shared | Dialect::Virtiofs), word)] => {
            directory(dialect, word, words, &mut wrong)
        }
        // One root in the words of two systems.
        [(_, one), (_, other)] if is_same_directory(one, other) => {
            directory(Dialect::Shared, one, words, &mut wrong)
        }
        [(dialect, word)] => archive(dialect, word, words, &mut wrong),
        [(_, one), (_, other), ..] => {
            let other = other.problem("").word;
            let hint = Some(format!("only one of them, such as {other}"));
            let cause = format!("asks for another root than {other}");
            wrong.push(CmdlineProblem { hint, ..one.problem(cause) });
            None
        }
    };
    wrong.extend(words.iter().filter(|w| is_unknown(w)).map(unknown));
    problems.extend(not_looked_at(words, root.as_ref()));
    let refused = wrong.first().cloned().or(refused);
    problems.extend(wrong);
    match (refused, root) {
        (None, Some(root)) => Some(Ok(root)),
        (Some(refused), _) => Some(Err(refused)),
        (None, None) => None,
    }
}

/// The ways in which a root is asked for, each with the word that speaks for it: the last one, but `boot=ramdisk` says
/// nothing that `ramroot=` does not.
fn asked(words: &[Word]) -> Vec<(Dialect, &Word)> {
    let mut asked: Vec<(Dialect, &Word)> = Vec::new();
    for word in words {
        let Some(dialect) = dialect(word, words) else { continue };
        match asked.iter_mut().find(|(other, _)| *other == dialect) {
            Some(earlier) if word.name != "boot" => earlier.1 = word,
            Some(_) => {}
            None => asked.push((dialect, word)),
        }
    }
    asked
}

/// Which way of asking for a root a word belongs to.
fn dialect(word: &Word, words: &[Word]) -> Option<Dialect> {
    let virtiofs = || words.iter().rfind(|w| w.name == "rootfstype").is_some_and(|w| w.value() == "virtiofs");
    match (word.name.as_str(), word.value()) {
        ("root", value) if value.starts_with("tmpfs:") => Some(Dialect::Tmpfs),
        ("root", value) if value.starts_with("virtiofs:") || virtiofs() => Some(Dialect::Virtiofs),
        ("rd.container.rootfs", _) => Some(Dialect::Container),
        ("ramroot", _) | ("boot", "ramdisk") => Some(Dialect::Ramroot),
        ("rootfs", _) => Some(Dialect::Shared),
        _ => None,
    }
}

/// Whether osbuild's initrd is meant, which needs no word for its root; a catalog is another way to one.
fn has_mounts_alone(words: &[Word]) -> bool {
    let has = |names: &[&str]| words.iter().any(|w| names.contains(&w.name.as_str()));
    has(&["mount", "mount-ro"]) && !has(&["bootjack.catalog", "bootjack.entry"])
}

fn shared(tag: Tag, dialect: Dialect) -> RootWord {
    RootWord {
        source: RootSource::Shared(tag),
        dialect,
        size: None,
        sha256: None,
        chunks: None,
        connections: 1,
        length: None,
    }
}

fn tag(word: &Word) -> &str {
    word.value().strip_prefix("virtiofs:").unwrap_or(word.value())
}

fn is_same_directory(one: &Word, other: &Word) -> bool {
    let names = [one.name.as_str(), other.name.as_str()];
    let directories = matches!(names, ["rootfs", "root"] | ["root", "rootfs"]);
    directories && !one.value().starts_with("tmpfs:") && tag(one) == tag(other)
}

/// A directory of the host, which nothing is unpacked for.
fn directory(
    dialect: Dialect,
    word: &Word,
    words: &[Word],
    wrong: &mut Vec<CmdlineProblem>,
) -> Option<RootWord> {
    let companions = words.iter().filter(|w| COMPANIONS.contains(&w.name.as_str()));
    let cause = format!("goes with an archive, not with {}", word.text());
    wrong.extend(companions.map(|w| without_an_archive(w, &cause)));
    match Tag::parse(tag(word)) {
        Ok(tag) => Some(shared(tag, dialect)),
        Err(why) => {
            let right = if dialect == Dialect::Shared { "rootfs=rootfs" } else { "root=virtiofs:rootfs" };
            wrong.push(CmdlineProblem {
                hint: Some(format!("such as {right}")),
                ..word.problem(why.to_string())
            });
            None
        }
    }
}

/// What is wrong with a word that goes with an archive; alone, its own example would be wrong again.
fn without_an_archive(word: &Word, cause: &str) -> CmdlineProblem {
    let problem = word.problem(cause);
    let root = if word.name == "rd.tmpfs.imgfile" { "LABEL=images" } else { "http://10.0.0.1/root.tar.zst" };
    let hint = example::of(&word.name).map(|example| format!("such as root=tmpfs:{root} {example}"));
    CmdlineProblem { hint, ..problem }
}

/// An archive for a tmpfs.
fn archive(
    dialect: Dialect,
    word: &Word,
    words: &[Word],
    wrong: &mut Vec<CmdlineProblem>,
) -> Option<RootWord> {
    let imgfile = last(words, "rd.tmpfs.imgfile", place::imgfile, wrong);
    let locations = match dialect {
        Dialect::Tmpfs => places(words, imgfile, wrong),
        _ => {
            wrong.extend(imgfile.map(|(_, file)| has_a_path(file, word)));
            let found = match (dialect, word.name.as_str()) {
                (_, "boot") => Ok(Location::Initramfs(RAMROOT.into())),
                (Dialect::Ramroot, _) => place::or_in_initramfs(word.value()),
                _ => place::url(word.value()),
            };
            found.map_err(|cause| wrong.push(word.problem(cause))).into_iter().collect()
        }
    };
    let size = last(words, "rd.tmpfs.size", value::size, wrong).map(|(size, _)| size);
    let sha256 = last(words, "rd.tmpfs.sha256", digest, wrong).map(|(digest, _)| digest);
    let chunks = last(words, "rd.tmpfs.chunks", digest, wrong).map(|(digest, _)| digest);
    let connections = last(words, "rd.tmpfs.connections", value::connections, wrong).map_or(1, |(n, _)| n);
    let length = last(words, "rd.tmpfs.length", value::bytes, wrong).map(|(length, _)| length);
    let source = RootSource::Archive(locations);
    (wrong.is_empty()).then_some(RootWord { source, dialect, size, sha256, chunks, connections, length })
}

/// The mirrors of `root=tmpfs:`, those without a path with that of `rd.tmpfs.imgfile=`.
fn places(
    words: &[Word],
    imgfile: Option<(PathBuf, &Word)>,
    wrong: &mut Vec<CmdlineProblem>,
) -> Vec<Location> {
    let mirrors = words.iter().filter(|w| dialect(w, words) == Some(Dialect::Tmpfs));
    let mut places = Vec::new();
    for word in mirrors {
        match Place::parse(word) {
            Ok(place) => places.push((place, word)),
            Err(problem) => wrong.push(problem),
        }
    }
    if let (Some((_, file)), Some((_, word))) = (&imgfile, places.last())
        && !places.iter().any(|(place, _)| place.is_bare())
    {
        wrong.push(has_a_path(file, word));
    }
    let file = imgfile.as_ref().map(|(path, _)| path.as_path());
    let with_file = places.into_iter().map(|(place, word)| place.with(file, word));
    with_file.filter_map(|place| place.map_err(|problem| wrong.push(problem)).ok()).collect()
}

fn has_a_path(imgfile: &Word, root: &Word) -> CmdlineProblem {
    let hint = Some(String::from("such as root=tmpfs:LABEL=images rd.tmpfs.imgfile=images/root.tar.zst"));
    CmdlineProblem { hint, ..imgfile.problem(format!("{} has a path already", root.problem("").word)) }
}

/// A `root=` for other systems: dracut-container-root takes every root for its own, and ramroot needs none.
fn not_looked_at(words: &[Word], root: Option<&RootWord>) -> Option<CmdlineProblem> {
    let word = words.iter().rfind(|w| w.name == "root" && dialect(w, words).is_none())?;
    let same = matches!(&root?.source, RootSource::Shared(tag) if tag.as_str() == word.value());
    let problem = word.problem("is not looked at: other words ask for the root");
    (!same && word.value() != "tmpfs").then_some(CmdlineProblem { hint: None, ..problem })
}

/// The value of the last word of this name.
fn last<'w, T>(
    words: &'w [Word],
    name: &str,
    read: impl Fn(&str) -> Result<T, String>,
    wrong: &mut Vec<CmdlineProblem>,
) -> Option<(T, &'w Word)> {
    let word = words.iter().rfind(|w| w.name == name)?;
    match read(word.value()) {
        Ok(value) => Some((value, word)),
        Err(cause) => {
            wrong.push(word.problem(cause));
            None
        }
    }
}

/// A word of the roots in a wrong spelling: `rd.tmpfs…` and `rd.container…` that are not known, and what can only be a
/// slip of one of ours.
pub(super) fn is_unknown(word: &Word) -> bool {
    let name = word.name.to_ascii_lowercase();
    let family = name.starts_with("rd.tmpfs") || name.starts_with("rd.container");
    let meant = || nearest(&word.name, KNOWN).is_some_and(|known| !known.starts_with("bootjack"));
    !KNOWN.contains(&word.name.as_str()) && (family || meant())
}

fn digest(text: &str) -> Result<Sha256, String> {
    text.parse().map_err(|why: ParseDigestError| why.to_string())
}
