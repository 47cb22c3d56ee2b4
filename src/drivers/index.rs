//! Which module drives what and needs what: the texts depmod(8) writes, understood. Pure; loading is `load`'s.
//! The initrd builder asks the same index which modules to pack.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use super::pattern;
use crate::order;

/// The five texts of `/lib/modules/RELEASE` that matter; all but the first may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// `modules.dep`: `path: path path`.
    pub dep: &'a str,
    /// `modules.alias`: `alias PATTERN NAME`.
    pub alias: &'a str,
    /// `modules.softdep`: `softdep NAME pre: a b post: c`.
    pub softdep: &'a str,
    /// `modules.builtin`: a path a line.
    pub builtin: &'a str,
    /// `modules.builtin.modinfo`: `name.key=value`, each ended by NUL.
    pub builtin_modinfo: &'a str,
}

/// A module to load.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Module {
    /// With `_`, as the kernel has it.
    pub name: String,
    /// Relative to the directory of the index, as `modules.dep` spells it: `kernel/fs/fuse/fuse.ko`.
    pub path: String,
}

/// What a set of names comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// In the order in which to load: what is needed before what needs it.
    pub modules: Vec<Module>,
    /// Names that are neither a module, nor an alias of one, nor built into the kernel.
    pub unknown: Vec<String>,
}

/// Every module, with names and patterns spelled with `_` (`-` means the same).
#[derive(Clone, Debug, Default)]
pub struct Index {
    modules: HashMap<String, Known>,
    /// By literal prefix, so that a device is compared with few patterns.
    aliases: HashMap<String, Vec<Alias>>,
    pre: HashMap<String, Vec<String>>,
    post: HashMap<String, Vec<String>>,
    builtin: HashSet<String>,
    builtin_aliases: HashMap<String, Vec<Alias>>,
}

#[derive(Clone, Debug)]
struct Known {
    path: String,
    needs: Vec<String>,
}

#[derive(Clone, Debug)]
struct Alias {
    pattern: String,
    module: String,
}

impl Index {
    /// Understands the texts. A line that makes no sense is passed over, as modprobe(8) does.
    pub fn parse(texts: &Texts) -> Self {
        let mut index = Self::default();
        for line in texts.dep.lines() {
            let Some((path, needs)) = line.split_once(':') else { continue };
            let needs = needs.split_whitespace().map(module_name).collect();
            index.modules.insert(module_name(path), Known { path: path.trim().to_owned(), needs });
        }
        for line in texts.alias.lines() {
            let mut words = line.split_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) = (words.next(), words.next(), words.next()) {
                add_alias(&mut index.aliases, pattern, module);
            }
        }
        for line in texts.softdep.lines() {
            index.soften(line);
        }
        index.builtin = texts.builtin.lines().filter(|l| !l.is_empty()).map(module_name).collect();
        for item in texts.builtin_modinfo.split('\0') {
            if let Some((module, pattern)) = item.split_once(".alias=") {
                add_alias(&mut index.builtin_aliases, pattern, module);
            }
        }
        index
    }

    /// Reads the index of a `/lib/modules/RELEASE`.
    ///
    /// # Errors
    /// When `modules.dep` cannot be read; the others may be missing.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let optional = |name: &str| match fs::read(dir.join(name)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(e),
        };
        Ok(Self::parse(&Texts {
            dep: &fs::read_to_string(dir.join("modules.dep"))?,
            alias: &optional("modules.alias")?,
            softdep: &optional("modules.softdep")?,
            builtin: &optional("modules.builtin")?,
            builtin_modinfo: &optional("modules.builtin.modinfo")?,
        }))
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there are no modules at all.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// Every module whose path begins with `prefix` (`kernel/drivers/net/`), by path.
    pub fn below(&self, prefix: &str) -> Vec<Module> {
        let mut found: Vec<Module> = self
            .modules
            .iter()
            .filter(|(_, known)| known.path.starts_with(prefix))
            .map(|(name, known)| Module { name: name.clone(), path: known.path.clone() })
            .collect();
        order::by(&mut found, |a, b| a.path.cmp(&b.path));
        found
    }

    /// Names of the modules that say they drive `modalias`, a device's or a plain alias such as `fs-ext4`.
    pub fn matching(&self, modalias: &str) -> Vec<String> {
        let mut names = look_up(&self.aliases, modalias);
        names.retain(|n| self.modules.contains_key(n));
        names
    }

    /// Everything that `names` (modules or aliases) need, in the order in which to load it: softdeps `pre` first,
    /// then dependencies, the module itself, softdeps `post`. What is built in needs nothing.
    pub fn closure<S: AsRef<str>>(&self, names: &[S]) -> Closure {
        let mut walk =
            Walk { index: self, seen: HashSet::new(), placed: HashSet::new(), modules: Vec::new() };
        let mut unknown = Vec::new();
        for name in names {
            if !walk.visit_named(name.as_ref()) {
                unknown.push(name.as_ref().to_owned());
            }
        }
        Closure { modules: walk.modules, unknown }
    }

    fn soften(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some("softdep"), Some(module)) = (words.next(), words.next()) else { return };
        let mut after = false;
        for word in words {
            match word {
                "pre:" => after = false,
                "post:" => after = true,
                name => {
                    let map = if after { &mut self.post } else { &mut self.pre };
                    map.entry(normal(module)).or_default().push(normal(name));
                }
            }
        }
    }
}

/// One walk through what needs what. A softdep may lead in a circle (`a` softly wants `b`, which needs `a`):
/// `place` follows hard dependencies only, so these come first whatever the softdeps say.
struct Walk<'a> {
    index: &'a Index,
    seen: HashSet<String>,
    placed: HashSet<String>,
    modules: Vec<Module>,
}

impl Walk<'_> {
    /// A module by name, else all modules of that alias; false if nobody knows it.
    fn visit_named(&mut self, name: &str) -> bool {
        let name = normal(name);
        if self.index.modules.contains_key(&name) {
            self.visit(&name);
            return true;
        }
        if self.index.builtin.contains(&name) {
            return true;
        }
        let modules = self.index.matching(&name);
        for module in &modules {
            self.visit(module);
        }
        !modules.is_empty() || !look_up(&self.index.builtin_aliases, &name).is_empty()
    }

    fn visit(&mut self, name: &str) {
        let Some(known) = self.index.modules.get(name) else { return };
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        let soft = |map: &HashMap<String, Vec<String>>| map.get(name).cloned().unwrap_or_default();
        for before in soft(&self.index.pre) {
            self.visit_named(&before);
        }
        for need in &known.needs {
            self.visit(need);
        }
        self.place(name);
        for after in soft(&self.index.post) {
            self.visit_named(&after);
        }
    }

    fn place(&mut self, name: &str) {
        let Some(known) = self.index.modules.get(name) else { return };
        if !self.placed.insert(name.to_owned()) {
            return;
        }
        for need in &known.needs {
            self.place(need);
        }
        self.modules.push(Module { name: name.to_owned(), path: known.path.clone() });
    }
}

fn add_alias(map: &mut HashMap<String, Vec<Alias>>, pattern: &str, module: &str) {
    let alias = Alias { pattern: normal(pattern), module: normal(module) };
    map.entry(pattern::literal_prefix(&alias.pattern).to_owned()).or_default().push(alias);
}

/// Module names whose pattern takes `text`, each once, in the order of the longest literal prefix last.
fn look_up(map: &HashMap<String, Vec<Alias>>, text: &str) -> Vec<String> {
    let text = normal(text);
    let mut found: Vec<String> = Vec::new();
    for end in (0..=text.len()).filter(|&i| text.is_char_boundary(i)) {
        for alias in map.get(&text[..end]).into_iter().flatten() {
            if pattern::matches(alias.pattern.as_bytes(), text.as_bytes()) && !found.contains(&alias.module) {
                found.push(alias.module.clone());
            }
        }
    }
    found
}

/// `kernel/drivers/net/e1000-x.ko.xz` → `e1000_x`.
pub fn module_name(path: &str) -> String {
    let file = path.trim().rsplit('/').next().unwrap_or_default();
    normal(file.split(".ko").next().unwrap_or_default())
}

/// `-` and `_` mean the same everywhere but in a set of characters (`alias_normalize` in kmod's libkmod-util.c).
fn normal(text: &str) -> String {
    let mut inside = false;
    let one = |c: char| {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            '-' if !inside => return '_',
            _ => {}
        }
        c
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/drivers/net/virtio_net.ko: kernel/net/core/failover.ko kernel/drivers/net/net_failover.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio-pci.ko.xz: kernel/drivers/virtio/virtio.ko
kernel/lib/libcrc32c.ko:
kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko
kernel/arch/x86/crypto/crc32c-intel.ko:
kernel/crypto/crc32c_generic.ko:
kernel/net/a.ko:
kernel/net/b.ko: kernel/net/a.ko
";
    const ALIAS: &str = "\
# Aliases extracted from modules themselves.
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000001v* virtio_net
alias crc32c crc32c_intel
alias crc32c crc32c_generic
alias fs-xfs xfs
alias acpi*:PNP0[A-C]03:* virtio
";
    const SOFTDEP: &str = "\
# Soft dependencies extracted from modules themselves.
softdep libcrc32c pre: crc32c
softdep virtio post: failover nosuch
softdep a pre: b
";
    const BUILTIN: &str = "kernel/net/unix/unix.ko\nkernel/drivers/nvme/host/nvme-core.ko\n";
    const MODINFO: &str = "unix.alias=net-pf-1\0unix.license=GPL\0nvme_core.file=x\0";

    fn index() -> Index {
        Index::parse(&Texts {
            dep: DEP,
            alias: ALIAS,
            softdep: SOFTDEP,
            builtin: BUILTIN,
            builtin_modinfo: MODINFO,
        })
    }

    fn order(names: &[&str]) -> Vec<String> {
        index().closure(names).modules.into_iter().map(|m| m.name).collect()
    }

    #[test]
    fn dependencies_come_before_what_needs_them_and_softdeps_around_it() {
        assert_eq!(order(&["virtio_net"]), ["failover", "net_failover", "virtio", "virtio_net"]);
        assert_eq!(order(&["xfs"]), ["crc32c_intel", "crc32c_generic", "libcrc32c", "xfs"]);
        assert_eq!(order(&["virtio-pci"]), ["virtio", "failover", "virtio_pci"]);
    }

    #[test]
    fn a_circle_of_softdeps_does_not_turn_a_hard_dependency_around() {
        assert_eq!(order(&["a"]), ["a", "b"]);
        assert_eq!(order(&["b"]), ["a", "b"]);
    }

    #[test]
    fn a_device_finds_its_module() {
        let index = index();
        assert_eq!(index.matching("pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00"), ["virtio_pci"]);
        assert_eq!(index.matching("virtio:d00000001v00001AF4"), ["virtio_net"]);
        assert_eq!(index.matching("acpi_x:PNP0B03:"), ["virtio"]);
        assert_eq!(index.matching("pci:v00008086d0000100E"), Vec::<String>::new());
    }

    #[test]
    fn dash_and_underscore_are_the_same_and_paths_stay_as_they_are() {
        let closure = index().closure(&["crc32c-intel", "virtio_pci", "fs_xfs"]);
        assert_eq!(closure.unknown, Vec::<String>::new());
        let path = |name: &str| closure.modules.iter().find(|m| m.name == name).unwrap().path.clone();
        assert_eq!(path("crc32c_intel"), "kernel/arch/x86/crypto/crc32c-intel.ko");
        assert_eq!(path("virtio_pci"), "kernel/drivers/virtio/virtio-pci.ko.xz");
    }

    #[test]
    fn what_is_built_in_is_known_and_needs_nothing() {
        let closure = index().closure(&["unix", "net-pf-1", "nvme_core", "nosuch"]);
        assert_eq!(closure, Closure { modules: vec![], unknown: vec!["nosuch".into()] });
    }

    #[test]
    fn a_folder_of_modules_can_be_listed() {
        let names: Vec<String> = index().below("kernel/drivers/net/").into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["net_failover", "virtio_net"]);
    }

    #[test]
    fn thirty_thousand_aliases_and_a_hundred_devices_take_no_time() {
        let alias: String =
            (0..30_000).map(|n| format!("alias pci:v{n:08X}d*sv*sd*bc*sc*i* m{}\n", n % 100)).collect();
        let dep: String = (0..100).map(|n| format!("kernel/m{n}.ko:\n")).collect();
        let index = Index::parse(&Texts { dep: &dep, alias: &alias, ..Texts::default() });
        let begun = std::time::Instant::now();
        for n in 0..100 {
            let device = format!("pci:v{n:08X}d00001000sv00001AF4sd00000001bc02sc00i00");
            assert_eq!(index.matching(&device), [format!("m{n}")]);
        }
        // Comparing each with each takes seconds in a debug build.
        assert!(begun.elapsed() < std::time::Duration::from_millis(500), "{:?}", begun.elapsed());
    }
}
