//! A root asked for on the kernel command line becomes an entry like any other, so that it goes through the same plan →
//! load → handover. How the words are written is known to `cmdline`, what an entry is to `catalog`.

use super::{ModulesFrom, RootPlan};
use crate::catalog::{Action, Artifact, Boot, Entry, Fstab, Root, RootSize, Shared};
use crate::cmdline::{CmdlineProblem, Dialect, OnFailure, Params, RootSource, RootWord, Size};
use crate::fetch::Location;
use crate::net::Mac;
use crate::verify::Trust;
use crate::volumes::Tag;

/// Id of the entry made of root words: no catalog can have it.
pub const ROOT_WORD_ID: &str = "root=";

impl Params {
    /// The entry that the root words of the command line ask for, if they ask for one.
    ///
    /// # Errors
    /// The problem for which it is refused; all of them are in `problems`.
    pub fn root_entry(&self) -> Option<Result<Entry, CmdlineProblem>> {
        let root = self.root.as_ref()?.as_ref().map_err(Clone::clone);
        Some(root.map(|word| match &word.source {
            RootSource::Archive(locations) => self.entry_of(word, locations),
            RootSource::Shared(tag) => self.shared_entry(word.dialect, tag),
        }))
    }

    /// A shared directory is the root: read-only unless `rw` says otherwise; osbuild's initrd starts a shell in it where
    /// nothing else is named.
    fn shared_entry(&self, dialect: Dialect, tag: &Tag) -> Entry {
        let usual = (dialect == Dialect::Shared).then(|| "/bin/sh".to_owned());
        let shared = Shared {
            tag: tag.clone(),
            writable: self.writable == Some(true),
            init: self.init.clone().or(usual),
            init_args: self.init_args.clone(),
        };
        let title = format!("virtiofs:{tag}");
        Entry::new(ROOT_WORD_ID, title, Boot::Shared(Box::new(shared)))
    }

    /// What ramroot does for its roots beside unpacking: modules for the running kernel, and a network for ifupdown on
    /// the interface that the firmware booted from.
    pub fn complete(&self, plan: &mut RootPlan, bootif: Option<Mac>) {
        if matches!(&self.root, Some(Ok(word)) if word.dialect == Dialect::Ramroot) {
            plan.interface = bootif;
            if plan.modules == ModulesFrom::Nowhere {
                plan.modules = ModulesFrom::Initrd;
            }
        }
    }

    fn entry_of(&self, word: &RootWord, locations: &[Location]) -> Entry {
        let archive = Artifact {
            locations: locations.to_vec(),
            trust: Trust::of(word.sha256.clone(), word.chunks.clone()),
            chunks: word.chunks.clone(),
            pins: vec![],
            connections: word.connections,
            size: word.length,
            unpacked: None,
            entries: None,
            drivers: None,
        };
        let size = word.size.map_or(RootSize::Percent(80), RootSize::from);
        let (init, init_args) = (self.init.clone(), self.init_args.clone());
        let root = Root { archive, size, init, init_args, modules: None, fstab: Fstab::default() };
        let title = locations.first().map(ToString::to_string).unwrap_or_default();
        let boot = Boot::SwitchRoot(Box::new(root));
        Entry::new(ROOT_WORD_ID, title, boot)
    }
}

impl From<Size> for RootSize {
    fn from(size: Size) -> Self {
        match size {
            Size::Percent(percent) => Self::Percent(percent),
            Size::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<OnFailure> for Action {
    fn from(on_failure: OnFailure) -> Self {
        match on_failure {
            OnFailure::Reboot => Self::Reboot,
            OnFailure::PowerOff => Self::PowerOff,
            OnFailure::Hold => Self::Hold,
            OnFailure::Entry(id) => Self::Entry(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::machine::Machine;
    use crate::plan::{Step, plan};

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn entry(text: &str) -> Entry {
        Params::parse(text).root_entry().unwrap().unwrap()
    }

    fn root(text: &str) -> Root {
        let Boot::SwitchRoot(root) = entry(text).boot else { panic!("a switch-root entry") };
        *root
    }

    #[test]
    fn root_words_become_an_entry() {
        let text =
            format!("root=tmpfs:http://a/r rd.tmpfs.size=60% rd.tmpfs.sha256={ABC} init=/bin/sh -- -c x");
        let entry = entry(&text);
        assert_eq!((entry.id.as_str(), entry.title.as_str()), ("root=", "http://a/r"));
        let root = root(&text);
        assert_eq!(root.archive.trust, Trust::Sha256(ABC.parse().unwrap()));
        assert_eq!((root.size, root.init.as_deref()), (RootSize::Percent(60), Some("/bin/sh")));
        assert_eq!(root.init_args, ["-c", "x"]);
    }

    #[test]
    fn without_a_digest_the_command_line_asks_for_an_unverified_root() {
        assert_eq!(root("root=tmpfs:http://a/r").archive.trust, Trust::Unverified);
        assert_eq!(root("root=tmpfs:/dev/vdb rd.tmpfs.length=1024").archive.size, Some(1024));
        let wrong = Params::parse("root=tmpfs:http://a/r rd.tmpfs.sha256=ab");
        assert!(matches!(wrong.root_entry(), Some(Err(_))));
        assert!(Params::parse("quiet").root_entry().is_none());
    }

    fn shared(dialect: Dialect, text: &str, writable: Option<bool>) -> Shared {
        let source = RootSource::Shared(Tag::parse("rootfs").unwrap());
        let word = RootWord {
            source,
            dialect,
            size: None,
            sha256: None,
            chunks: None,
            connections: 1,
            length: None,
        };
        let params = Params { root: Some(Ok(word)), writable, ..Params::parse(text) };
        let Boot::Shared(shared) = params.root_entry().unwrap().unwrap().boot else {
            panic!("a shared root")
        };
        *shared
    }

    #[test]
    fn a_shared_root_is_read_only_unless_rw_says_otherwise() {
        for (said, writable) in [(None, false), (Some(false), false), (Some(true), true)] {
            assert_eq!(shared(Dialect::Shared, "", said).writable, writable);
        }
    }

    #[test]
    fn a_shared_root_starts_what_its_dialect_starts() {
        let of = |dialect, text| {
            let shared = shared(dialect, text, None);
            (shared.init, shared.init_args)
        };
        assert_eq!(of(Dialect::Shared, ""), (Some("/bin/sh".into()), vec![]));
        assert_eq!(of(Dialect::Virtiofs, ""), (None, vec![]), "the usual list");
        let named = (Some("/run/mnt/t/vm.py".to_owned()), vec!["a".to_owned()]);
        assert_eq!(of(Dialect::Shared, "init=/run/mnt/t/vm.py -- a"), named);
    }

    #[test]
    fn only_a_root_in_ramroots_words_gets_modules_and_a_network_of_this_initrd() {
        let machine = Machine { memory_total: 1 << 32, memory_available: 1 << 31, ..Machine::default() };
        let mut params = Params::parse("root=tmpfs:http://a/r");
        let plan = plan(&params.root_entry().unwrap().unwrap(), &machine).unwrap();
        let Step::SwitchRoot(plan) = plan.step else { panic!("a root") };
        let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
        let mut completed = |dialect| {
            let Some(Ok(word)) = &mut params.root else { panic!("a root word") };
            word.dialect = dialect;
            let mut plan = plan.clone();
            params.complete(&mut plan, mac);
            (plan.modules, plan.interface)
        };
        assert_eq!(completed(Dialect::Ramroot), (ModulesFrom::Initrd, mac));
        for other in [Dialect::Tmpfs, Dialect::Container, Dialect::Virtiofs] {
            assert_eq!(completed(other), (ModulesFrom::Nowhere, None));
        }
    }

    #[test]
    fn the_catalog_and_the_command_line_read_quantities_alike() {
        let numbers =
            ["", "0", "1", "100", "101", "90", "-1", "+1", "1.5", "9000", "99999999999999999999", "é"];
        let units = ["", "%", "k", "K", "m", "M", "g", "G", "s", "h", "t", " "];
        for text in numbers.iter().flat_map(|n| units.iter().map(move |u| format!("{n}{u}"))) {
            let params = Params::parse(&format!(
                "root=tmpfs:/r \"rd.tmpfs.size={text}\" \"bootjack.retry_for={text}\""
            ));
            let size = params.root.unwrap().ok().and_then(|r| r.size).map(RootSize::from);
            assert_eq!(size, catalog::root_size(&text).ok(), "{text:?}");
            assert_eq!(params.retry_for, catalog::duration(&text).ok(), "{text:?}");
        }
    }
}
