//! A root asked for on the kernel command line becomes an entry like any other, so that it goes through the same plan →
//! load → handover. How the words are written is known to `cmdline`, what an entry is to `catalog`.

use crate::catalog::{Action, Artifact, Boot, Entry, Fstab, Root, RootSize};
use crate::cmdline::{CmdlineProblem, OnFailure, Params, RootSource, RootWord, Size};
use crate::fetch::Location;
use crate::verify::Trust;

/// Id of the entry made of root words: no catalog can have it.
pub const ROOT_WORD_ID: &str = "root=";

impl Params {
    /// The entry that the root words of the command line ask for, if they ask for one.
    ///
    /// # Errors
    /// The problem for which it is refused; all of them are in `problems`.
    pub fn root_entry(&self) -> Option<Result<Entry, CmdlineProblem>> {
        let root = self.root.as_ref()?.as_ref().map_err(Clone::clone);
        Some(root.and_then(|word| match &word.source {
            RootSource::Archive(locations) => Ok(self.entry_of(word, locations)),
            RootSource::Shared(tag) => Err(CmdlineProblem {
                word: format!("rootfs={tag}"),
                cause: "is not in this version".into(),
                hint: None,
            }),
        }))
    }

    fn entry_of(&self, word: &RootWord, locations: &[Location]) -> Entry {
        let archive = Artifact {
            locations: locations.to_vec(),
            trust: word.sha256.clone().map_or(Trust::Unverified, Trust::Sha256),
            size: None,
            unpacked: None,
            entries: None,
        };
        let size = word.size.map_or(RootSize::Percent(80), RootSize::from);
        let (init, init_args) = (self.init.clone(), self.init_args.clone());
        let root = Root { archive, size, init, init_args, modules: None, fstab: Fstab::default() };
        let title = locations.first().map(ToString::to_string).unwrap_or_default();
        let boot = Boot::SwitchRoot(Box::new(root));
        Entry { id: ROOT_WORD_ID.into(), title, help: None, group: None, boot }
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
        let wrong = Params::parse("root=tmpfs:http://a/r rd.tmpfs.sha256=ab");
        assert!(matches!(wrong.root_entry(), Some(Err(_))));
        assert!(Params::parse("quiet").root_entry().is_none());
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
