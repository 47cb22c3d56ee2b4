//! Which modules of a kernel go into an initrd: the lists in `initrd/` and names, with all they depend on, and the
//! tables that find them again. Loading them for the hardware found is `drivers`'.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

use crate::archive::newc::{Content, Tree};
use crate::cmdline::nearest;
use crate::drivers::{Index, Module, Texts, module_name};
use crate::order;

/// What `--drivers` knows by one word. The lists are data: a driver is added there.
const LISTS: &[(&str, &str)] = &[
    ("net", include_str!("../../../initrd/net.list")),
    ("storage", include_str!("../../../initrd/storage.list")),
    ("virtiofs", include_str!("../../../initrd/virtiofs.list")),
    ("nfs", include_str!("../../../initrd/nfs.list")),
    ("images", include_str!("../../../initrd/images.list")),
    ("input", include_str!("../../../initrd/input.list")),
    ("watchdog", include_str!("../../../initrd/watchdog.list")),
    ("lvm", include_str!("../../../initrd/lvm.list")),
    ("mdadm", include_str!("../../../initrd/mdadm.list")),
    ("cryptsetup", include_str!("../../../initrd/cryptsetup.list")),
];

/// Folders of drivers for network cards, disks and what they hang on.
const DRIVERS: &[&str] = &[
    "kernel/drivers/net/",
    "kernel/drivers/block/",
    "kernel/drivers/ata/",
    "kernel/drivers/scsi/",
    "kernel/drivers/nvme/",
    "kernel/drivers/message/",
    "kernel/drivers/mmc/",
    "kernel/drivers/virtio/",
    "kernel/drivers/hv/",
    "kernel/drivers/pci/controller/",
    "kernel/drivers/usb/core/",
    "kernel/drivers/usb/host/",
    "kernel/drivers/usb/storage/",
];

/// The modules of one kernel.
pub struct Kernel {
    /// `…/lib/modules/RELEASE`.
    directory: PathBuf,
    /// The kernel release, the last part of the directory's name.
    pub release: String,
    tables: Tables,
    index: Index,
}

/// What depmod(8) wrote about them, as text (modules.dep(5)).
#[derive(Default)]
struct Tables {
    dep: String,
    alias: String,
    softdep: String,
    builtin: String,
    builtin_modinfo: String,
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
        let tables = Tables {
            dep: table("modules.dep")?,
            alias: table("modules.alias")?,
            softdep: table("modules.softdep")?,
            builtin: table("modules.builtin")?,
            // Since Linux 5.2.
            builtin_modinfo: table("modules.builtin.modinfo").unwrap_or_default(),
        };
        Ok(Self { index: tables.index(), directory, release, tables })
    }

    /// All modules that `wanted` asks for (lists, paths, names), with what they need.
    ///
    /// # Errors
    /// A name that was asked for by itself is unknown to this kernel.
    pub fn select(&self, wanted: &[String]) -> Result<Vec<Module>> {
        let mut names = Vec::new();
        for word in wanted {
            match LISTS.iter().find(|(list, _)| list == word) {
                _ if word == "all" => names.extend(self.below("")),
                Some((_, list)) => names.extend(self.follow(list)),
                None => {
                    let found = self.named(word);
                    ensure!(
                        found.is_some(),
                        "kernel {} has no module {word}, and not built in either{}",
                        self.release,
                        self.near(word)
                    );
                    names.extend(found.unwrap_or_default());
                }
            }
        }
        Ok(self.index.closure(&names).modules)
    }

    /// Puts the modules and the tables about them into an initrd.
    ///
    /// # Errors
    /// A place in the tree is taken.
    pub fn add(&self, chosen: &[Module], tree: &mut Tree) -> Result<()> {
        let base = format!("lib/modules/{}", self.release);
        for module in chosen {
            let place = format!("{base}/{}", plain_name(&module.path));
            tree.file(&place, 0o644, Content::Through(self.directory.join(&module.path), read))?;
        }
        let tables = self.tables.about(chosen);
        for (name, text) in [
            ("modules.alias", tables.alias),
            ("modules.builtin", tables.builtin),
            ("modules.builtin.modinfo", tables.builtin_modinfo),
            ("modules.dep", tables.dep),
            ("modules.softdep", tables.softdep),
        ] {
            tree.file(&format!("{base}/{name}"), 0o644, Content::Bytes(text.into_bytes()))?;
        }
        Ok(())
    }

    /// Names of what drives network cards and disks, among these modules and what is built in: what a catalog says of them.
    pub fn drivers_of(&self, chosen: &[Module]) -> Vec<String> {
        let built_in = self.tables.builtin.lines().map(|path| (module_name(path), path.to_owned()));
        let all = chosen.iter().map(|module| (module.name.clone(), module.path.clone())).chain(built_in);
        let drives = |path: &str| DRIVERS.iter().any(|folder| path.starts_with(folder));
        let mut names: Vec<String> = all.filter(|(_, path)| drives(path)).map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What a list asks for; what this kernel lacks is passed over.
    fn follow(&self, list: &str) -> Vec<String> {
        let mut names = Vec::new();
        for line in list.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            match line.strip_prefix('-') {
                Some(unwanted) => {
                    let unwanted = self.named(unwanted).unwrap_or_default();
                    names.retain(|name| !unwanted.contains(name));
                }
                None => names.extend(self.named(line).unwrap_or_default()),
            }
        }
        names
    }

    /// The modules that a name, or a path of a module or a folder, stands for: none if it is built in; nothing if
    /// this kernel does not know it.
    fn named(&self, word: &str) -> Option<Vec<String>> {
        if !word.contains('/') {
            let closure = self.index.closure(&[word]);
            let known = closure.unknown.is_empty();
            return known.then(|| closure.modules.last().map(|_| word.to_owned()).into_iter().collect());
        }
        let folder = self.below(&format!("{}/", word.trim_end_matches('/')));
        let found = if folder.is_empty() { self.below(&format!("{}.ko", plain_stem(word))) } else { folder };
        (!found.is_empty()).then_some(found)
    }

    /// What may have been meant, as the end of a sentence.
    fn near(&self, word: &str) -> String {
        let (name, all) = (module_name(word), self.below(""));
        let mut near: Vec<&str> = all.iter().map(String::as_str).filter(|m| m.contains(&name)).collect();
        order::by_key(&mut near, |module| module.len());
        near.truncate(3);
        if near.is_empty() {
            near.extend(nearest(&name, &all.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        if near.is_empty() { String::new() } else { format!("; near it is {}", near.join(", ")) }
    }

    fn below(&self, prefix: &str) -> Vec<String> {
        self.index.below(prefix).into_iter().map(|m| m.name).collect()
    }
}

impl Tables {
    fn index(&self) -> Index {
        Index::parse(&Texts {
            dep: &self.dep,
            alias: &self.alias,
            softdep: &self.softdep,
            builtin: &self.builtin,
            builtin_modinfo: &self.builtin_modinfo,
        })
    }

    /// The lines about these modules, and the names of what is built in.
    fn about(&self, chosen: &[Module]) -> Self {
        let chosen: HashSet<&str> = chosen.iter().map(|module| &*module.name).collect();
        let has = |word: Option<&str>| word.is_some_and(|w| chosen.contains(&*module_name(w)));
        let kept = |text: &str, keep: &dyn Fn(&str) -> bool| -> String {
            text.lines().filter(|line| keep(line)).map(|line| format!("{line}\n")).collect()
        };
        let aliases = self.builtin_modinfo.split_inclusive('\0').filter(|item| item.contains(".alias="));
        Self {
            // Names without the suffix of a compression, which is gone.
            dep: kept(&self.dep, &|line| has(line.split(':').next()))
                .lines()
                .map(|line| line.split_inclusive([' ', ':']).map(plain_word).collect::<String>() + "\n")
                .collect(),
            alias: kept(&self.alias, &|line| has(line.split_whitespace().nth(2))),
            softdep: kept(&self.softdep, &|line| has(line.split_whitespace().nth(1))),
            builtin: self.builtin.clone(),
            builtin_modinfo: aliases.collect(),
        }
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

/// The path without the suffix of a compression.
fn plain_name(path: &str) -> &str {
    path.find(".ko").map_or(path, |at| &path[..at + 3])
}

fn plain_stem(path: &str) -> &str {
    path.find(".ko").map_or(path, |at| &path[..at])
}

/// A word of modules.dep with the sign after it: `kernel/a.ko.xz:` → `kernel/a.ko:`.
fn plain_word(word: &str) -> String {
    let sign = word.strip_prefix(word.trim_end_matches([' ', ':'])).unwrap_or_default();
    format!("{}{sign}", plain_name(word.trim_end_matches([' ', ':'])))
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
        let tables = Tables {
            dep: dep.into(),
            alias: "alias crypto-crc32c crc32c_generic\nalias pci:v00008086d* e1000e".into(),
            softdep: "softdep ext4 pre: crypto-crc32c\nsoftdep e1000e pre: realtek".into(),
            builtin: "kernel/drivers/nvme/host/nvme.ko\n".into(),
            builtin_modinfo: "nvme.license=GPL\0nvme.alias=fs-nothing\0".into(),
        };
        Kernel { directory: "/nowhere".into(), release: "6.1.0-test".into(), index: tables.index(), tables }
    }

    fn select(words: &[&str]) -> Result<Vec<String>> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        kernel().select(&words).map(|modules| {
            let mut names: Vec<String> = modules.into_iter().map(|m| m.name).collect();
            names.sort();
            names
        })
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
        let near = |word| select(&[word]).unwrap_err().to_string();
        assert!(near("e1000").ends_with("; near it is e1000e"), "{}", near("e1000"));
        assert!(near("virtio_nat").ends_with("; near it is virtio_net"), "{}", near("virtio_nat"));
        assert!(near("virtio").ends_with("; near it is virtio_net"), "{}", near("virtio"));
        assert!(near("zfs").ends_with("either"), "{}", near("zfs"));
        assert_eq!(select(&["nvme"]).unwrap(), [""; 0]);
    }

    #[test]
    fn the_tables_tell_of_the_chosen_alone_and_by_their_new_names() {
        let kernel = kernel();
        let chosen = kernel.select(&["e1000e".to_owned()]).unwrap();
        let tables = kernel.tables.about(&chosen);
        let ptp = "kernel/drivers/ptp/ptp.ko";
        let e1000e = "kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko";
        assert_eq!(tables.dep, format!("{e1000e}: {ptp}\n{ptp}:\nkernel/drivers/net/phy/realtek.ko:\n"));
        assert_eq!(tables.alias, "alias pci:v00008086d* e1000e\n");
        assert_eq!(tables.softdep, "softdep e1000e pre: realtek\n");
        assert_eq!(tables.builtin_modinfo, "nvme.alias=fs-nothing\0");
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
