//! What the first stage tells the second: the entry, whether somebody is there, what to do when it fails, how it went
//! so far. It travels in the second stage's initrd, so that nothing secret stands on a command line.

use std::fs;
use std::io;
use std::path::Path;

use super::course::Second;
use super::words::Policy;
use crate::archive::carried::MEMBER;
use crate::catalog::{Artifact, Boot, Entry, Fstab, Root, RootSize};
use crate::fetch::{Location, Pin};
use crate::load::HANDOFF;
use crate::net::Lease;
use crate::verify::{Password, Sha256, Trust};

/// Another version is not understood: both stages are the same program, unless the entry's own initrd holds another.
pub const VERSION: u32 = 2;

/// All of it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Handoff {
    pub version: u32,
    /// Where the catalog came from; absent: it is the built-in one.
    pub catalog: Option<Location>,
    pub id: String,
    pub title: String,
    /// A person chose the entry, and waits.
    pub attended: bool,
    pub policy: Policy,
    /// How many boots of this chain there were, this one too.
    pub attempt: u32,
    pub lease: Option<Lease>,
    /// `proxy=` with its password: the command line of the second stage has it without.
    pub proxy: Option<String>,
    pub root: HandedRoot,
    /// The hash of the catalog's password.
    #[serde(default)]
    pub password: Option<Password>,
    /// Whether `/lib/modules` of the initrd holds modules for the root.
    pub modules: bool,
    /// The report of the first stage.
    pub report: serde_json::Value,
}

/// The root to unpack, as the catalog has it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HandedRoot {
    /// With passwords, where there are any.
    pub locations: Vec<Location>,
    pub sha256: Option<Sha256>,
    #[serde(default)]
    pub chunks: Option<Sha256>,
    #[serde(default)]
    pub pins: Vec<Pin>,
    #[serde(default)]
    pub connections: u8,
    pub size: Option<u64>,
    pub unpacked: Option<u64>,
    pub entries: Option<u64>,
    pub root_size: RootSize,
    pub init: Option<String>,
    pub init_args: Vec<String>,
    #[serde(default)]
    pub fstab: Fstab,
}

impl Handoff {
    /// The bytes for the initrd.
    ///
    /// # Errors
    /// Of serializing.
    pub fn bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
    }

    /// What the first stage left, if there was one.
    ///
    /// # Errors
    /// It is there and cannot be understood: then nothing is known of what was wanted.
    pub fn read() -> io::Result<Option<Self>> {
        Self::read_from(Path::new(HANDOFF))
    }

    fn read_from(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        Self::parse(&bytes).map(Some)
    }

    /// What a first stage wrote.
    ///
    /// # Errors
    /// It cannot be understood, or is another version's.
    pub fn parse(bytes: &[u8]) -> io::Result<Self> {
        let handoff: Self = serde_json::from_slice(bytes)?;
        if !(1..=VERSION).contains(&handoff.version) {
            let why = format!("version {} of a first stage, this one knows up to {VERSION}", handoff.version);
            return Err(io::Error::other(why));
        }
        Ok(handoff)
    }

    /// Whether this is the root that was handed on, and not another entry of that name.
    pub fn is_of(&self, entry: &Entry) -> bool {
        entry.id == self.id && matches!(entry.boot, Boot::SwitchRoot(_))
    }

    /// Whether the archive travelled along, and was read already: each of its parts is gone once it was read.
    pub fn is_used_up(&self) -> bool {
        let carried = |location: &Location| matches!(location, Location::Initramfs(path) if !path.join("0000").exists());
        self.root.locations.iter().all(carried)
    }

    /// Bytes of an archive that travelled along and is still there: it goes as the tree comes, so that there is room for it.
    pub fn carried(&self) -> u64 {
        let size = |location: &Location| match location {
            Location::Initramfs(path) => fs::read_dir(path).ok().map(|parts| {
                let sizes = parts.filter_map(|part| Some(part.ok()?.metadata().ok()?.len()));
                sizes.sum::<u64>().saturating_sub(MEMBER)
            }),
            _ => None,
        };
        self.root.locations.iter().filter_map(size).sum()
    }

    /// What the course of a second stage begins with.
    pub fn second(&self) -> Second {
        Second {
            entry: self.entry(),
            policy: self.policy.clone(),
            attended: self.attended,
            attempt: self.attempt,
            catalog: self.catalog.clone(),
        }
    }

    /// The entry to boot: the root alone, on the kernel that runs now.
    pub fn entry(&self) -> Entry {
        let root = &self.root;
        let archive = Artifact {
            locations: root.locations.clone(),
            trust: Trust::of(root.sha256.clone(), root.chunks.clone()),
            chunks: root.chunks.clone(),
            pins: root.pins.clone(),
            connections: root.connections.max(1),
            size: root.size,
            unpacked: root.unpacked,
            entries: root.entries,
            drivers: None,
        };
        let (init, init_args) = (root.init.clone(), root.init_args.clone());
        let boot = Root { archive, size: root.root_size, init, init_args, modules: None, fstab: root.fstab };
        Entry::new(&self.id, &self.title, Boot::SwitchRoot(Box::new(boot)))
    }
}

impl HandedRoot {
    /// The version that knows what is in here: 1 has nothing but a digest over the whole to hold a root against, and would take
    /// one without for unverified.
    pub fn version(&self) -> u32 {
        if self.pins.is_empty() && (self.sha256.is_some() || self.chunks.is_none()) { 1 } else { VERSION }
    }

    /// The root as it is fetched again, or carried to `carried` with the digest it then has.
    pub fn of(root: &Root, carried: Option<(Location, Option<Sha256>)>) -> Self {
        let (locations, sha256, chunks) = match carried {
            Some((location, sha256)) => (vec![location], sha256, None),
            None => {
                let Artifact { locations, chunks, .. } = &root.archive;
                (locations.clone(), root.archive.digest().cloned(), chunks.clone())
            }
        };
        Self {
            locations,
            sha256,
            chunks,
            pins: root.archive.pins.clone(),
            connections: root.archive.connections,
            size: root.archive.size,
            unpacked: root.archive.unpacked,
            entries: root.archive.entries,
            root_size: root.size,
            init: root.init.clone(),
            init_args: root.init_args.clone(),
            fstab: root.fstab,
        }
    }
}
