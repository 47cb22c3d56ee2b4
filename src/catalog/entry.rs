//! `[[entry]]` and the artifacts in it, from as written to as meant. Ids that occur twice are seen by `written`.

use std::ops::Range;

use super::places::{Mirror, Placed};
use super::problem::{Page, nearest, quoted};
use super::quantity::root_size;
use super::table::{At, Table};
use super::{Artifact, Boot, Entry, Root, RootSize};
use crate::fetch::{Location, LocationError};
use crate::verify::{Sha256, Trust};

/// What an entry does not say.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) root_size: RootSize,
    pub(super) init: Option<String>,
    pub(super) init_args: Vec<String>,
}

/// The kinds of entry that are decided; two of them come with a later version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    SwitchRoot,
    Kexec,
    Run,
    Shell,
    Reboot,
    PowerOff,
    Local,
}

const KINDS: &[(&str, Kind)] = &[
    ("switch-root", Kind::SwitchRoot),
    ("shell", Kind::Shell),
    ("reboot", Kind::Reboot),
    ("poweroff", Kind::PowerOff),
    ("local", Kind::Local),
    ("kexec", Kind::Kexec),
    ("run", Kind::Run),
];

/// Keys that only some kinds of entry have.
const KEYS_OF_KINDS: &[(&str, &[Kind])] = &[
    ("root", &[Kind::SwitchRoot, Kind::Kexec, Kind::Run]),
    ("root_size", &[Kind::SwitchRoot, Kind::Kexec, Kind::Run]),
    ("init", &[Kind::SwitchRoot, Kind::Kexec, Kind::Run]),
    ("init_args", &[Kind::SwitchRoot, Kind::Kexec, Kind::Run]),
    ("modules", &[Kind::SwitchRoot, Kind::Kexec, Kind::Run]),
    ("kernel", &[Kind::Kexec]),
    ("cmdline", &[Kind::Kexec]),
    ("initrd", &[Kind::Kexec]),
    ("carry", &[Kind::Kexec]),
    ("run", &[Kind::Run]),
];

pub(super) const KEYS: &[&str] =
    &["id", "title", "help", "group", "boot", "root", "root_size", "init", "init_args"];
/// Known, and refused with the kind of entry in mind.
const KEYS_LATER: &[&str] = &["kernel", "cmdline", "initrd", "carry", "modules", "run"];
/// Known, and refused in any entry.
const KEYS_LATER_ANYWHERE: &[&str] = &["when", "files", "hooks", "network", "report", "serial", "expires"];

pub(super) const ARTIFACT_KEYS: &[&str] = &["url", "sha256", "size", "unpacked", "entries", "unverified"];

/// `root_size` when nobody says.
pub(super) const ROOT_SIZE: RootSize = RootSize::Percent(80);

/// The entry, if it can be made out; whether it stands is known from the page.
pub(super) fn read(table: &Table, base: &Location, defaults: &Defaults) -> Option<Entry> {
    table.only(KEYS, KEYS_LATER, KEYS_LATER_ANYWHERE);
    let id = id(table);
    let title = required(table, "title", "say what the menu shows, such as title = \"Rescue console\"");
    let help = table.text("help").map(|(text, _)| text.to_owned());
    let group = table.text("group").map(|(text, _)| text.to_owned());
    let kind = kind(table);
    keys_of_kind(table, kind);
    let root = root(table, base, defaults);
    let boot = match kind? {
        Kind::SwitchRoot => {
            if table.key("root").is_none() {
                table
                    .lacks("root", "write root = { url = \"…\", sha256 = \"…\" }; `bootjack pack` prints it");
            }
            Boot::SwitchRoot(Box::new(root?))
        }
        Kind::Shell => Boot::Shell,
        Kind::Reboot => Boot::Reboot,
        Kind::PowerOff => Boot::PowerOff,
        Kind::Local => Boot::Local,
        Kind::Kexec | Kind::Run => return None,
    };
    Some(Entry { id: id?, title: title?, help, group, boot })
}

/// An entry's name on the kernel command line.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn id(table: &Table) -> Option<String> {
    let (id, place) = table.text("id").or_else(|| {
        if table.key("id").is_none() {
            table.lacks("id", "name it for the command line, such as id = \"rescue\"");
        }
        None
    })?;
    if !is_id(id) {
        let hint = "an id has letters, digits, '.', '_' and '-' only: it stands on kernel command lines";
        table.page.error(&place, format!("{} is no id", quoted(id)), Some(hint.into()));
        return None;
    }
    Some(id.to_owned())
}

fn required(table: &Table, key: &str, hint: &str) -> Option<String> {
    if table.key(key).is_none() {
        table.lacks(key, hint);
    }
    table.text(key).map(|(text, _)| text.to_owned())
}

fn kind(table: &Table) -> Option<Kind> {
    let these = "this version knows \"switch-root\", \"shell\", \"reboot\", \"poweroff\" and \"local\"";
    if table.key("boot").is_none() {
        table.lacks("boot", these);
    }
    let (word, place) = table.text("boot")?;
    match KINDS.iter().find(|(name, _)| *name == word) {
        Some(&(_, kind)) => {
            if matches!(kind, Kind::Kexec | Kind::Run) {
                let message = format!("boot = {} is not in this version", quoted(word));
                table.page.error(&place, message, Some(these.into()));
            }
            Some(kind)
        }
        None => {
            let hint = match nearest(word, KINDS.iter().map(|(name, _)| *name)) {
                Some(name) => format!("did you mean {name:?}?"),
                None => these.into(),
            };
            table.page.error(&place, format!("{} is no way to boot", quoted(word)), Some(hint));
            None
        }
    }
}

/// Complains of keys that do not belong to the entry's kind, and of those that come with a later version.
fn keys_of_kind(table: &Table, kind: Option<Kind>) {
    for (key, kinds) in KEYS_OF_KINDS {
        let (Some(place), Some(kind)) = (table.key(key), kind) else { continue };
        if !kinds.contains(&kind) {
            let message = format!("{key:?} does not belong to an entry with boot = {:?}", name(kind));
            let owners: Vec<String> = kinds.iter().map(|&k| format!("{:?}", name(k))).collect();
            table.page.error(&place, message, Some(format!("it belongs to boot = {}", owners.join(", "))));
        } else if KEYS_LATER.contains(key) {
            table.page.error(&place, format!("{key:?} is not in this version"), None);
        }
    }
}

fn name(kind: Kind) -> &'static str {
    KINDS.iter().find(|(_, k)| *k == kind).map_or("", |(name, _)| name)
}

fn root(table: &Table, base: &Location, defaults: &Defaults) -> Option<Root> {
    let size = table.read_size("root_size").unwrap_or(defaults.root_size);
    let init = init(table).or_else(|| defaults.init.clone());
    let init_args = init_args(table).unwrap_or_else(|| defaults.init_args.clone());
    let archive = artifact(&table.table("root", "the artifact", "{ url = \"…\", sha256 = \"…\" }")?, base)?;
    Some(Root { archive, size, init, init_args, modules: None })
}

pub(super) fn init(table: &Table) -> Option<String> {
    let absolute = |text: &str| match text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err("is not an absolute path in the root".to_owned()),
    };
    table.read("init", "\"/sbin/init\"", absolute).map(|(path, _)| path)
}

pub(super) fn init_args(table: &Table) -> Option<Vec<String>> {
    Some(table.texts("init_args")?.into_iter().map(|(text, _)| text.to_owned()).collect())
}

impl Table<'_> {
    /// A tmpfs limit; a bare integer counts bytes.
    pub(super) fn read_size(&self, key: &str) -> Option<RootSize> {
        if self.value(key)?.get_ref().is_integer() {
            let (bytes, place) = self.integer(key)?;
            if bytes == 0 {
                self.page.error(&place, format!("{key:?}: 0 leaves no room for a root"), None);
            }
            return Some(RootSize::Bytes(bytes));
        }
        self.read(key, "\"60%\", or bytes", root_size).map(|(size, _)| size)
    }
}

/// A thing to fetch, with everything that is wrong with it complained of.
fn artifact(table: &Table, base: &Location) -> Option<Artifact> {
    table.only(ARTIFACT_KEYS, &[], &["chunks"]);
    if table.key("url").is_none() {
        table.lacks("url", "write url = \"FILE\", or a list of mirrors");
    }
    let urls = table.text_or_texts("url");
    let pinned = table.key("chunks").is_some() || urls.iter().flatten().any(|(url, _)| is_pinned(url));
    let trust = trust(table, pinned);
    let mirrors: Option<Vec<Mirror>> = urls.map(|urls| {
        let mirror = |(url, place): At<&str>| {
            Some(Mirror { location: location(table.page, url, &place, base)?, place })
        };
        urls.into_iter().filter_map(mirror).collect()
    });
    let number = |key| table.integer(key).map(|(number, _)| number);
    let (size, unpacked, entries) = (number("size"), number("unpacked"), number("entries"));
    if table.key("unpacked").is_none() {
        let hint =
            "`bootjack pack` prints size, unpacked and entries; with them memory is checked before fetching";
        table.page.warning(&table.place, "the artifact lacks \"unpacked\": memory need unknown", hint);
    }
    let mirrors = mirrors.filter(|m| !m.is_empty())?;
    let locations = mirrors.iter().map(|m| m.location.clone()).collect();
    table.page.place(Placed { size, mirrors });
    Some(Artifact { locations, trust: trust?, size, unpacked, entries })
}

/// A digest in the name of a container image stands for `sha256`.
fn is_pinned(url: &str) -> bool {
    url.starts_with("oci://") && url.contains("@sha256:")
}

fn trust(table: &Table, pinned: bool) -> Option<Trust> {
    let unverified = table.truth("unverified");
    let digest: Option<At<Sha256>> = table.read("sha256", "\"…\", 64 hexadecimal digits", |text| {
        text.parse().map_err(|why: crate::verify::ParseDigestError| format!("is no digest: {why}"))
    });
    match (table.key("sha256"), unverified) {
        (Some(digest), Some(true)) => {
            let unverified = table.key("unverified").unwrap_or_default();
            let second = if unverified.start > digest.start { unverified } else { digest };
            let hint = "keep sha256: what has a digest is always held against it";
            table.page.error(
                &second,
                "\"sha256\" and \"unverified = true\" exclude each other",
                Some(hint.into()),
            );
            None
        }
        (Some(_), _) => digest.map(|(digest, _)| Trust::Sha256(digest)),
        (None, Some(true)) => {
            let place = table.key("unverified").unwrap_or_default();
            let hint = "the menu says UNVERIFIED; `sha256sum FILE` gives what to write as sha256";
            table.page.warning(&place, "nothing is verified: whatever the server sends is booted", hint);
            Some(Trust::Unverified)
        }
        (None, _) => {
            // An `unverified` that is no truth value is complained of already, where it stands.
            let undecided = table.key("unverified").is_some() && unverified.is_none();
            if !pinned && !undecided {
                table.lacks("sha256", "`sha256sum FILE` gives it; `unverified = true` goes without");
            }
            None
        }
    }
}

/// A location in the catalog, resolved against its base.
pub(super) fn location(page: &Page, text: &str, place: &Range<usize>, base: &Location) -> Option<Location> {
    if !variables(page, text, place) {
        return None;
    }
    match base.join(text) {
        Ok(location) => Some(location),
        Err(LocationError::NotInThisVersion(_)) => {
            page.error(
                place,
                format!("{}: such a location is not in this version", quoted(text)),
                Some("this version fetches http://, https://, file:/ and initramfs:/".into()),
            );
            None
        }
        Err(why) => {
            page.error(place, format!("{}: {why}", quoted(text)), None);
            None
        }
    }
}

/// Whether a text is free of `${…}`, which a later version fills in; and of `$$`, which then means a dollar.
pub(super) fn variables(page: &Page, text: &str, place: &Range<usize>) -> bool {
    let Some(word) = ["${", "$$"].into_iter().find(|word| text.contains(word)) else { return true };
    let what = if word == "${" { "variables (\"${…}\") are" } else { "\"$$\" is" };
    page.error(place, format!("{}: {what} not in this version", quoted(text)), None);
    false
}
