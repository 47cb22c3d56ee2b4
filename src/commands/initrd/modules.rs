//! Which modules of a kernel go into an initrd: the lists in `initrd/` and names, with all they depend on, and the
//! tables that find them again. Loading them for the hardware found is `drivers`'.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

use super::newc::{Content, Tree};

/// What `--drivers` knows by one word. The lists are data: a driver is added there.
const LISTS: &[(&str, &str)] = &[
    ("net", include_str!("../../../initrd/net.list")),
    ("storage", include_str!("../../../initrd/storage.list")),
    ("input", include_str!("../../../initrd/input.list")),
];

/// The modules of one kernel, as its `modules.*` tables tell (modules.dep(5)).
pub struct Kernel {
    /// `…/lib/modules/RELEASE`.
    directory: PathBuf,
    /// The kernel release, the last part of the directory's name.
    pub release: String,
    /// Module name → its path below the directory, and the names it cannot do without.
    modules: BTreeMap<String, Module>,
    /// Names that are built in.
    builtin: BTreeSet<String>,
    /// The lines of modules.alias and modules.softdep.
    aliases: Vec<String>,
    softdeps: Vec<String>,
}

struct Module {
    path: String,
    needs: Vec<String>,
}

impl Kernel {
    /// Reads the tables of a module directory.
    ///
    /// # Errors
    /// A table cannot be read; `modules.dep` missing says that depmod(8) has not run.
    pub fn read(directory: &Path) -> Result<Self> {
        let directory = directory.canonicalize().context("looking for the module directory")?;
        let release = directory.file_name().context("the module directory has no name")?;
        let release = release.to_str().context("the kernel release is not text")?.to_owned();
        let table = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let lines = |name: &str| Ok::<_, anyhow::Error>(table(name)?.lines().map(str::to_owned).collect());
        Ok(Self {
            modules: table("modules.dep")?.lines().filter_map(dependency).collect(),
            builtin: table("modules.builtin")?.lines().map(name_of).collect(),
            aliases: lines("modules.alias")?,
            softdeps: lines("modules.softdep")?,
            directory,
            release,
        })
    }

    /// The names of all modules that `wanted` asks for (lists, paths, names), and of what they need.
    ///
    /// # Errors
    /// A name that was asked for by itself is unknown to this kernel.
    pub fn select(&self, wanted: &[String]) -> Result<BTreeSet<String>> {
        let mut chosen = BTreeSet::new();
        for word in wanted {
            match LISTS.iter().find(|(list, _)| list == word) {
                _ if word == "all" => chosen.extend(self.modules.keys().cloned()),
                Some((_, list)) => self.follow(list, &mut chosen),
                None => {
                    let found = self.named(word);
                    ensure!(
                        !found.is_empty() || self.builtin.contains(&name_of(word)),
                        "kernel {} has no module {word}, and not built in either",
                        self.release
                    );
                    chosen.extend(found);
                }
            }
        }
        Ok(self.with_needs(chosen))
    }

    /// Puts the modules and the tables about them into an initrd.
    ///
    /// # Errors
    /// A place in the tree is taken.
    pub fn add(&self, chosen: &BTreeSet<String>, tree: &mut Tree) -> Result<()> {
        let base = format!("lib/modules/{}", self.release);
        let mut dependencies = String::new();
        for module in chosen.iter().filter_map(|name| self.modules.get(name)) {
            let place = plain_name(&module.path);
            tree.file(&format!("{base}/{place}"), 0o644, Content::Module(self.directory.join(&module.path)))?;
            let needs = module.needs.iter().filter_map(|name| self.modules.get(name));
            let needs: String = needs.map(|m| format!(" {}", plain_name(&m.path))).collect();
            dependencies.push_str(&format!("{place}:{needs}\n"));
        }
        // `alias PATTERN MODULE` and `softdep MODULE pre: …`.
        let last = |line: &&String| line.split_whitespace().last().is_some_and(|m| chosen.contains(m));
        let second = |line: &&String| line.split_whitespace().nth(1).is_some_and(|m| chosen.contains(m));
        let text = |lines: Vec<&String>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let builtin = fs::read(self.directory.join("modules.builtin")).context("reading modules.builtin")?;
        let tables = [
            ("modules.alias", text(self.aliases.iter().filter(last).collect()).into_bytes()),
            ("modules.builtin", builtin),
            ("modules.dep", dependencies.into_bytes()),
            ("modules.softdep", text(self.softdeps.iter().filter(second).collect()).into_bytes()),
        ];
        for (name, bytes) in tables {
            tree.file(&format!("{base}/{name}"), 0o644, Content::Bytes(bytes))?;
        }
        Ok(())
    }

    /// What a list asks for; what this kernel lacks is passed over.
    fn follow(&self, list: &str, chosen: &mut BTreeSet<String>) {
        let mut here = BTreeSet::new();
        for line in list.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            match line.strip_prefix('-') {
                Some(unwanted) => self.named(unwanted).iter().for_each(|name| {
                    here.remove(name);
                }),
                None => here.extend(self.named(line)),
            }
        }
        chosen.extend(here);
    }

    /// The modules that a name, or a path of a module or a folder, stands for.
    fn named(&self, word: &str) -> Vec<String> {
        if !word.contains('/') {
            return self.modules.get_key_value(&name_of(word)).map(|(k, _)| k.clone()).into_iter().collect();
        }
        let folder = format!("{}/", word.trim_end_matches('/'));
        let inside = |path: &str| path.starts_with(&folder) || plain_name(path) == plain_name(word);
        self.modules.iter().filter(|(_, m)| inside(&m.path)).map(|(name, _)| name.clone()).collect()
    }

    /// Adds dependencies and soft dependencies until nothing new appears.
    fn with_needs(&self, chosen: BTreeSet<String>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut open: Vec<String> = chosen.into_iter().collect();
        while let Some(name) = open.pop() {
            let Some(module) = self.modules.get(&name) else { continue };
            if all.insert(name.clone()) {
                open.extend(module.needs.iter().cloned());
                open.extend(self.soft_needs(&name));
            }
        }
        all
    }

    /// `softdep MODULE pre: a b post: c`: names or aliases.
    fn soft_needs(&self, module: &str) -> Vec<String> {
        let about = self.softdeps.iter().filter(|line| line.split_whitespace().nth(1) == Some(module));
        let words = about.flat_map(|line| line.split_whitespace().skip(2)).filter(|w| !w.ends_with(':'));
        words.flat_map(|word| self.resolve(word)).collect()
    }

    fn resolve(&self, word: &str) -> Vec<String> {
        let direct = self.named(word);
        if !direct.is_empty() {
            return direct;
        }
        let aliased = self.aliases.iter().filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            (words.next() == Some(word)).then(|| words.next().map(name_of)).flatten()
        });
        aliased.collect()
    }
}

/// Reads a module, decompressed: nothing in an initrd should depend on what the kernel can decompress by itself.
///
/// # Errors
/// Reading or decompressing failed.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut plain = Vec::new();
    let done = if bytes.starts_with(b"\xfd7zXZ\0") {
        liblzma::read::XzDecoder::new_multi_decoder(&*bytes).read_to_end(&mut plain)
    } else if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        zstd::Decoder::new(&*bytes).and_then(|mut d| d.read_to_end(&mut plain))
    } else if bytes.starts_with(b"\x1f\x8b") {
        flate2::read::MultiGzDecoder::new(&*bytes).read_to_end(&mut plain)
    } else {
        return Ok(bytes);
    };
    done.map(|_| plain).map_err(|e| anyhow!(e)).with_context(|| format!("decompressing {}", path.display()))
}

/// `kernel/a/b-c.ko.xz: kernel/d.ko` → `b_c` and what it needs.
fn dependency(line: &str) -> Option<(String, Module)> {
    let (path, needs) = line.split_once(':')?;
    let needs = needs.split_whitespace().map(name_of).collect();
    Some((name_of(path), Module { path: path.to_owned(), needs }))
}

/// A module's name from its path, in the kernel's spelling: without folders and suffix, minus read as underscore.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// The path without the suffix of a compression.
fn plain_name(path: &str) -> &str {
    path.find(".ko").map_or(path, |at| &path[..at + 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Kernel {
        let dep = "kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko.xz: kernel/drivers/ptp/ptp.ko.xz\n\
                   kernel/drivers/ptp/ptp.ko.xz:\n\
                   kernel/drivers/net/ethernet/mellanox/mlxsw/mlxsw_core.ko.xz:\n\
                   kernel/drivers/net/phy/realtek.ko.xz:\n\
                   kernel/drivers/net/virtio-net.ko.xz:\n\
                   kernel/fs/ext4/ext4.ko.xz:\n\
                   kernel/crypto/crc32c_generic.ko.xz:\n";
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Kernel {
            directory: "/nowhere".into(),
            release: "6.1.0-test".into(),
            modules: dep.lines().filter_map(dependency).collect(),
            builtin: BTreeSet::from(["nvme".to_owned()]),
            aliases: lines("alias crypto-crc32c crc32c_generic\nalias pci:v00008086d* e1000e"),
            softdeps: lines("softdep ext4 pre: crypto-crc32c\nsoftdep e1000e pre: realtek"),
        }
    }

    fn select(words: &[&str]) -> Result<Vec<String>> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        kernel().select(&words).map(|names| names.into_iter().collect())
    }

    #[test]
    fn a_list_takes_folders_names_and_needs_and_leaves_out_what_it_excludes() {
        assert_eq!(select(&["net"]).unwrap(), ["e1000e", "ptp", "realtek", "virtio_net"]);
    }

    #[test]
    fn soft_dependencies_come_along_by_alias() {
        assert_eq!(select(&["ext4"]).unwrap(), ["crc32c_generic", "ext4"]);
        assert_eq!(select(&["virtio-net"]).unwrap(), ["virtio_net"]);
        assert_eq!(select(&["kernel/drivers/ptp"]).unwrap(), ["ptp"]);
        assert_eq!(select(&["all"]).unwrap().len(), 7);
    }

    #[test]
    fn an_unknown_name_is_an_error_and_a_built_in_one_is_not() {
        let refusal = select(&["e1001"]).unwrap_err().to_string();
        assert_eq!(refusal, "kernel 6.1.0-test has no module e1001, and not built in either");
        assert_eq!(select(&["nvme"]).unwrap(), [""; 0]);
    }

    #[test]
    fn compressed_modules_are_read_plain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ko");
        let plain = b"\x7fELF module".to_vec();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut gz, &plain).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        std::io::Write::write_all(&mut xz, &plain).unwrap();
        let kinds = [
            plain.clone(),
            gz.finish().unwrap(),
            xz.finish().unwrap(),
            zstd::encode_all(&*plain, 3).unwrap(),
        ];
        for bytes in kinds {
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap(), plain);
        }
    }
}
