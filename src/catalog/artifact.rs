//! Artifacts, from as written to as meant: where a thing comes from, and what it is held against.

use std::ops::Range;

use super::Artifact;
use super::places::{Mirror, Placed};
use super::problem::{Page, quoted};
use super::table::{At, Table};
use crate::fetch::{Location, LocationError, Pin};
use crate::verify::{Sha256, Trust};

pub(super) const KEYS: &[&str] = &[
    "url",
    "sha256",
    "chunks",
    "pin",
    "size",
    "unpacked",
    "entries",
    "unverified",
    "second_stage",
    "drivers",
];

/// What an artifact is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Root,
    Kernel,
    Initrd,
    Modules,
}

/// Keys of one role only, with why.
const KEYS_OF_ROLES: &[(&str, Role, &str)] = &[
    ("unpacked", Role::Root, "it belongs to a root: nothing else is unpacked into a tmpfs"),
    ("entries", Role::Root, "it belongs to a root: nothing else is unpacked into a tmpfs"),
    ("drivers", Role::Modules, "it belongs to modules: nothing else brings drivers"),
    ("second_stage", Role::Initrd, "it belongs to an initrd of boot = \"kexec\""),
];

impl Role {
    fn in_words(self) -> &'static str {
        match self {
            Self::Root => "a root",
            Self::Kernel => "a kernel",
            Self::Initrd => "an initrd",
            Self::Modules => "modules",
        }
    }
}

/// How one is written.
pub(super) const EXAMPLE: &str = "{ url = \"…\", sha256 = \"…\" }";

/// The artifact that is the value of `key`.
pub(super) fn of(table: &Table, key: &str, role: Role, base: &Location) -> Option<Artifact> {
    read(&table.table(key, "the artifact", EXAMPLE)?, role, base)
}

/// A thing to fetch, with everything that is wrong with it complained of.
pub(super) fn read(table: &Table, role: Role, base: &Location) -> Option<Artifact> {
    keys_of_role(table, role);
    if table.key("url").is_none() {
        table.lacks("url", "write url = \"FILE\", or a list of mirrors");
    }
    let urls = table.text_or_texts("url");
    let pinned = urls.iter().flatten().any(|(url, _)| is_pinned(url));
    let chunks = digest(table, "chunks");
    let trust = trust(table, chunks.as_ref(), pinned);
    let chunks = chunks.map(|(list, _)| list);
    let mirrors: Option<Vec<Mirror>> = urls.map(|urls| {
        let mirror = |(url, place): At<&str>| {
            Some(Mirror { location: location(table.page, url, &place, base, None)?, place })
        };
        urls.into_iter().filter_map(mirror).collect()
    });
    let number = |key| table.integer(key).map(|(number, _)| number);
    let (size, unpacked, entries) = (number("size"), number("unpacked"), number("entries"));
    if role == Role::Root && table.key("unpacked").is_none() {
        let hint =
            "`bootjack pack` prints size, unpacked and entries; with them memory is checked before fetching";
        table.page.warning(&table.place, "the artifact lacks \"unpacked\": memory need unknown", hint);
    }
    if unpacked == Some(0) && table.key("size").is_none() {
        let hint = "write size = BYTES: an image takes so much memory";
        table.page.warning(&table.place, "the image lacks \"size\": memory need unknown", hint);
    }
    let mirrors = mirrors.filter(|m| !m.is_empty())?;
    let pins = pins(table, &mirrors);
    let locations = mirrors.iter().map(|m| m.location.clone()).collect();
    table.page.place(Placed { size, chunks: chunks.clone(), pins: pins.clone(), mirrors });
    let drivers = drivers(table);
    Some(Artifact {
        locations,
        trust: trust?,
        chunks,
        pins,
        connections: 1,
        size,
        unpacked,
        entries,
        drivers,
    })
}

/// Names of kernel modules, as the kernel itself writes them: in files there may be `-` for `_`.
fn drivers(table: &Table) -> Option<Vec<String>> {
    let named = |(text, place): At<&str>| {
        if text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
            return Some(text.replace('-', "_"));
        }
        let hint = "such as \"virtio_net\"; `bootjack initrd --modules-only` prints the list";
        table.page.error(&place, format!("{} is no name of a driver", quoted(text)), Some(hint.into()));
        None
    };
    Some(table.texts("drivers")?.into_iter().filter_map(named).collect())
}

/// Complains of what no artifact has, and of what this one has not.
fn keys_of_role(table: &Table, role: Role) {
    let foreign = |key: &str| KEYS_OF_ROLES.iter().find(|(k, owner, _)| *k == key && *owner != role);
    let (others, known): (Vec<&str>, Vec<&str>) = KEYS.iter().partition(|key| foreign(key).is_some());
    table.only(&known, &others, &[]);
    for (key, _, hint) in others.iter().filter_map(|key| foreign(key)) {
        if let Some(place) = table.key(key) {
            let message = format!("{key:?} does not belong to {}", role.in_words());
            table.page.error(&place, message, Some((*hint).into()));
        }
    }
}

/// A digest in the name of a container image stands for `sha256`.
fn is_pinned(url: &str) -> bool {
    url.starts_with("oci://") && url.contains("@sha256:")
}

/// The digest that is the value of `key`.
fn digest(table: &Table, key: &str) -> Option<At<Sha256>> {
    table.read(key, "\"…\", 64 hexadecimal digits", |text| {
        text.parse().map_err(|why: crate::verify::ParseDigestError| format!("is no digest: {why}"))
    })
}

/// The keys of its servers; they are of use to https alone.
fn pins(table: &Table, mirrors: &[Mirror]) -> Vec<Pin> {
    let read = |(text, place): At<&str>| {
        let pin = text.parse::<Pin>();
        pin.map_err(|why| {
            let hint = "docs/fetching.md has the command that prints it for a server";
            table.page.error(&place, format!("{}: {why}", quoted(text)), Some(hint.into()));
        })
        .ok()
    };
    let Some(texts) = table.text_or_texts("pin") else { return Vec::new() };
    for mirror in mirrors.iter().filter(|mirror| !mirror.location.is_https()) {
        let hint = "with a pin every mirror is https: elsewhere it would vouch for nothing";
        table.page.error(&mirror.place, "\"pin\" is of use to https alone", Some(hint.into()));
    }
    texts.into_iter().filter_map(read).collect()
}

/// What it is held against: a digest over the whole, or else the chunk list; nothing only where that is said.
fn trust(table: &Table, chunks: Option<&At<Sha256>>, pinned: bool) -> Option<Trust> {
    let unverified = table.truth("unverified");
    let sha256 = digest(table, "sha256");
    let held = ["sha256", "chunks"].into_iter().find_map(|key| Some((key, table.key(key)?)));
    match (held, unverified) {
        (Some((key, digest)), Some(true)) => {
            let unverified = table.key("unverified").unwrap_or_default();
            let second = if unverified.start > digest.start { unverified } else { digest };
            let message = format!("{key:?} and \"unverified = true\" exclude each other");
            let hint = format!("keep {key}: what has a digest is always held against it");
            table.page.error(&second, message, Some(hint));
            None
        }
        (Some(("sha256", _)), _) => sha256.map(|(digest, _)| Trust::Sha256(digest)),
        (Some(_), _) => chunks.map(|(list, _)| Trust::Chunks(list.clone())),
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

/// A location in the catalog, resolved against its base; `example` is one of what it should be, if that is no artifact.
pub(super) fn location(
    page: &Page,
    text: &str,
    place: &Range<usize>,
    base: &Location,
    example: Option<&str>,
) -> Option<Location> {
    if !variables(page, text, place) {
        return None;
    }
    match base.join(text) {
        Ok(location) => Some(location),
        Err(LocationError::NotInThisVersion(_)) => {
            page.error(
                place,
                format!("{}: such a location is not in this version", quoted(text)),
                Some("docs/catalog.md lists the kinds of location".into()),
            );
            None
        }
        Err(why) => {
            let hint = format!("such as {}", example.unwrap_or(why.example()));
            page.error(place, format!("{}: {why}", quoted(text)), Some(hint));
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
