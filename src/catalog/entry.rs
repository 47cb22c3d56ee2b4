//! `[[entry]]`, from as written to as meant. Ids that occur twice are seen by `entries`.

use super::artifact::{self, Role};
use super::problem::{nearest, quoted};
use super::quantity::root_size;
use super::run::{self, Named};
use super::table::Table;
use super::{Artifact, Boot, Carry, Entry, Fstab, Root, RootSize, kexec};
use crate::fetch::Location;

/// What an entry does not say.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) cmdline: String,
    pub(super) root_size: RootSize,
    pub(super) init: Option<String>,
    pub(super) init_args: Vec<String>,
    pub(super) carry: Carry,
    pub(super) modules: Option<Artifact>,
    pub(super) fstab: Fstab,
    pub(super) arch: Option<&'static str>,
}

/// Said to one who does not know how an entry may boot.
const WAYS: &str =
    "an entry boots by \"switch-root\", \"kexec\", \"run\", \"shell\", \"reboot\", \"poweroff\" or \"local\"";

/// The kinds of entry.
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
    ("kexec", Kind::Kexec),
    ("run", Kind::Run),
    ("shell", Kind::Shell),
    ("reboot", Kind::Reboot),
    ("poweroff", Kind::PowerOff),
    ("local", Kind::Local),
];

/// Keys that only some kinds of entry have.
const KEYS_OF_KINDS: &[(&str, &[Kind])] = &[
    ("root", &[Kind::SwitchRoot, Kind::Kexec, Kind::Run]),
    ("root_size", &[Kind::SwitchRoot, Kind::Kexec, Kind::Run]),
    // A job starts its command and no init.
    ("init", &[Kind::SwitchRoot, Kind::Kexec]),
    ("init_args", &[Kind::SwitchRoot, Kind::Kexec]),
    ("fstab", &[Kind::SwitchRoot, Kind::Kexec]),
    ("modules", &[Kind::SwitchRoot, Kind::Kexec, Kind::Run]),
    ("kernel", &[Kind::Kexec]),
    ("cmdline", &[Kind::Kexec]),
    ("initrd", &[Kind::Kexec]),
    ("carry", &[Kind::Kexec]),
    ("run", &[Kind::Run]),
    ("arch", &[Kind::SwitchRoot, Kind::Kexec, Kind::Run]),
];

/// Of an entry of any kind.
pub(super) const KEYS: &[&str] = &[
    "id",
    "title",
    "help",
    "group",
    "hotkey",
    "arch",
    "boot",
    "root",
    "root_size",
    "init",
    "init_args",
    "fstab",
    "kernel",
    "initrd",
    "modules",
    "cmdline",
    "carry",
    "run",
];

/// Known, and refused in any entry.
const KEYS_LATER_ANYWHERE: &[&str] = &["when", "files", "hooks", "network", "report", "serial", "expires"];

/// `root_size` when nobody says.
pub(super) const ROOT_SIZE: RootSize = RootSize::Percent(80);

/// The entry, if it can be made out; whether it stands is known from the page. Entries that its end names are added to
/// `named`.
pub(super) fn read(
    table: &Table,
    base: &Location,
    defaults: &Defaults,
    named: &mut Vec<Named>,
) -> Option<Entry> {
    table.only(KEYS, &[], KEYS_LATER_ANYWHERE);
    let id = id(table);
    let title = required(table, "title", "say what the menu shows, such as title = \"Rescue console\"");
    let help = table.text("help").map(|(text, _)| text.to_owned());
    let group = table.text("group").map(|(text, _)| text.to_owned());
    let hotkey = hotkey(table);
    let kind = kind(table);
    keys_of_kind(table, kind);
    // Of a shell or a reboot nothing is built for any machine.
    let built = matches!(kind, Some(Kind::SwitchRoot | Kind::Kexec | Kind::Run));
    let arch = arch(table).or(defaults.arch.filter(|_| built));
    let boot = match kind {
        Some(Kind::SwitchRoot) => switch_root(table, base, defaults),
        Some(Kind::Kexec) => kexec::read(table, base, defaults).map(|k| Boot::Kexec(Box::new(k))),
        Some(Kind::Run) => run::read(table, base, defaults, named).map(|job| Boot::Run(Box::new(job))),
        Some(Kind::Shell) => Some(Boot::Shell),
        Some(Kind::Reboot) => Some(Boot::Reboot),
        Some(Kind::PowerOff) => Some(Boot::PowerOff),
        Some(Kind::Local) => Some(Boot::Local),
        None => {
            // Which kind was meant is not known; what is wrong in its artifacts is.
            root(table, base, defaults);
            artifact::of(table, "kernel", Role::Kernel, base);
            artifact::of(table, "modules", Role::Modules, base);
            None
        }
    };
    Some(Entry { id: id?, title: title?, help, group, hotkey, arch, boot: boot? })
}

fn switch_root(table: &Table, base: &Location, defaults: &Defaults) -> Option<Boot> {
    let modules = modules(table, base, defaults);
    let root = required_root(table, base, defaults)?;
    Some(Boot::SwitchRoot(Box::new(Root { modules: modules?, ..root })))
}

/// A root, complained of if it is not there.
pub(super) fn required_root(table: &Table, base: &Location, defaults: &Defaults) -> Option<Root> {
    if table.key("root").is_none() {
        table.lacks("root", "write root = { url = \"…\", sha256 = \"…\" }; `bootjack pack` prints it");
    }
    root(table, base, defaults)
}

/// The modules that an entry or the defaults name; absent if they are wrong.
pub(super) fn modules(table: &Table, base: &Location, defaults: &Defaults) -> Option<Option<Artifact>> {
    match table.key("modules") {
        Some(_) => artifact::of(table, "modules", Role::Modules, base).map(Some),
        None => Some(defaults.modules.clone()),
    }
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
    if table.key("boot").is_none() {
        table.lacks("boot", WAYS);
    }
    let (word, place) = table.text("boot")?;
    let kind = KINDS.iter().find(|(name, _)| *name == word).map(|&(_, kind)| kind);
    if kind.is_none() {
        let hint = match nearest(word, KINDS.iter().map(|(name, _)| *name)) {
            Some(name) => format!("did you mean {name:?}?"),
            None => WAYS.into(),
        };
        table.page.error(&place, format!("{} is no way to boot", quoted(word)), Some(hint));
    }
    kind
}

/// Complains of keys that do not belong to the entry's kind.
fn keys_of_kind(table: &Table, kind: Option<Kind>) {
    for (key, kinds) in KEYS_OF_KINDS {
        let (Some(place), Some(kind)) = (table.key(key), kind) else { continue };
        if !kinds.contains(&kind) {
            let message = format!("{key:?} does not belong to an entry with boot = {:?}", name(kind));
            let owners: Vec<String> = kinds.iter().map(|&k| format!("{:?}", name(k))).collect();
            table.page.error(&place, message, Some(format!("it belongs to boot = {}", owners.join(", "))));
        }
    }
}

fn name(kind: Kind) -> &'static str {
    KINDS.iter().find(|(_, k)| *k == kind).map_or("", |(name, _)| name)
}

/// The root, its modules left to the caller.
pub(super) fn root(table: &Table, base: &Location, defaults: &Defaults) -> Option<Root> {
    let size = table.read_size("root_size").unwrap_or(defaults.root_size);
    let init = init(table).or_else(|| defaults.init.clone());
    let init_args = init_args(table).unwrap_or_else(|| defaults.init_args.clone());
    let archive = artifact::of(table, "root", Role::Root, base)?;
    let fstab = fstab(table).unwrap_or(defaults.fstab);
    Some(Root { archive, size, init, init_args, modules: None, fstab })
}

pub(super) fn fstab(table: &Table) -> Option<Fstab> {
    let fstab = |text: &str| match text {
        "keep" => Ok(Fstab::Keep),
        "drop" => Ok(Fstab::Drop),
        _ => Err("is neither \"keep\" nor \"drop\"".to_owned()),
    };
    table.read("fstab", "\"keep\" or \"drop\"", fstab).map(|(fstab, _)| fstab)
}

/// Letters that mean something in the menu already.
pub const TAKEN_KEYS: &str = "cdeghjklnpqrsG";

fn hotkey(table: &Table) -> Option<char> {
    let letter = |text: &str| {
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(c), None) if c.is_ascii_alphabetic() && !TAKEN_KEYS.contains(c) => Ok(c),
            (Some(c), None) if c.is_ascii_alphabetic() => {
                Err(format!("means something in the menu already, as each of {TAKEN_KEYS} does"))
            }
            _ => Err("is not one letter from a to z or A to Z".to_owned()),
        }
    };
    table.read("hotkey", "\"m\"", letter).map(|(letter, _)| letter)
}

/// Machines as their kernels call themselves (`uname -m`), and what distributions call them.
const MACHINES: &[(&str, &str)] = &[
    ("x86_64", "amd64"),
    ("aarch64", "arm64"),
    ("riscv64", "rv64"),
    ("ppc64le", "ppc64el"),
    ("s390x", "s390"),
    ("loongarch64", "loong64"),
];

pub(super) fn arch(table: &Table) -> Option<&'static str> {
    table.read("arch", "\"x86_64\"", machine).map(|(arch, _)| arch)
}

/// A kind of machine by the name that its kernel gives it.
///
/// # Errors
/// What is wrong, in words that follow the value.
pub fn machine(text: &str) -> Result<&'static str, String> {
    let known = MACHINES.iter().find(|(name, _)| *name == text);
    known.map(|(name, _)| *name).ok_or_else(|| match MACHINES.iter().find(|(_, other)| *other == text) {
        Some((name, _)) => format!("is {name:?} to kernels, as `uname -m` says"),
        None => {
            let all: Vec<&str> = MACHINES.iter().map(|(name, _)| *name).collect();
            format!("is none of {}, as `uname -m` says", all.join(", "))
        }
    })
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
