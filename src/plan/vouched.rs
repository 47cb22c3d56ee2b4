//! Where the initrd has signature keys, nothing runs that nobody vouches for: everything that an entry fetches has a
//! digest, and nothing of it is a directory that the host shares. Who signed the digests is known before.

use super::Refusal;
use crate::catalog::{Artifact, Boot, Entry, Root};
use crate::cmdline::Params;
use crate::machine::Machine;
use crate::verify::Trust;

/// What of an entry nobody vouches for, by the name it has in reports.
pub fn unvouched(entry: &Entry) -> Vec<String> {
    let of_root = |root: &Root| {
        let parts = [("root", Some(&root.archive)), ("modules", root.modules.as_ref())];
        parts.into_iter().filter_map(unverified).collect::<Vec<_>>()
    };
    match &entry.boot {
        Boot::SwitchRoot(root) => of_root(root),
        Boot::Run(job) => of_root(&job.root),
        Boot::Shared(shared) => vec![format!("virtiofs:{}, which the host shares", shared.tag)],
        Boot::Kexec(kexec) => {
            let mut parts: Vec<String> = unverified(("kernel", Some(&kexec.kernel))).into_iter().collect();
            for (n, initrd) in (1..).zip(&kexec.initrd) {
                parts.extend(unverified((&format!("initrd {n}"), Some(&initrd.artifact))));
            }
            parts.extend(unverified(("modules", kexec.modules.as_ref())));
            parts.extend(kexec.root.iter().flat_map(of_root));
            parts
        }
        Boot::Shell | Boot::Reboot | Boot::PowerOff | Boot::Local => Vec::new(),
    }
}

fn unverified((name, artifact): (&str, Option<&Artifact>)) -> Option<String> {
    artifact.filter(|artifact| artifact.trust == Trust::Unverified).map(|_| name.to_owned())
}

/// Refuses what nobody vouches for.
pub(super) fn demand(entry: &Entry) -> Result<(), Refusal> {
    let hint = "write sha256 in the catalog and sign it, or rd.tmpfs.sha256= on the kernel command line";
    refuse(&unvouched(entry), hint)
}

impl Params {
    /// Refuses what the host is to share beside a root, if `machine` has keys: an init may be told to run it.
    ///
    /// # Errors
    /// [`Refusal`] that names the tags.
    pub fn demand(&self, machine: &Machine) -> Result<(), Refusal> {
        let named = |tag| format!("virtiofs:{tag}, which the host shares");
        let shared: Vec<String> = self.mounts.iter().map(|mount| named(&mount.tag)).collect();
        if machine.has_keys { refuse(&shared, "take mount= from the kernel command line") } else { Ok(()) }
    }
}

fn refuse(parts: &[String], hint: &str) -> Result<(), Refusal> {
    if parts.is_empty() {
        return Ok(());
    }
    let cause = format!("the initrd has signature keys, and nothing vouches for: {}", parts.join("; "));
    Err(Refusal { cause, hint: Some(hint.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::fetch::Location;
    use crate::plan::plan;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn machine(has_keys: bool) -> Machine {
        Machine { has_keys, memory_total: 1 << 31, memory_available: 1 << 30, ..Machine::default() }
    }

    /// The entry of these lines; `YES` is a digest, `NO` is none.
    fn entry(lines: &str) -> Entry {
        let lines = lines.replace("YES", &format!("sha256 = '{ABC}'")).replace("NO", "unverified = true");
        let text = format!("version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\n{lines}\n");
        let parsed = catalog::parse(&text, &Location::parse("http://a/c.toml").unwrap(), "c.toml");
        assert!(!parsed.has_errors(), "{}", parsed.render());
        parsed.catalog.unwrap().entries.remove(0)
    }

    fn refused(entry: &Entry) -> Option<String> {
        plan(entry, &machine(false)).unwrap();
        plan(entry, &machine(true)).err().map(|refusal| refusal.cause)
    }

    #[test]
    fn with_keys_every_part_of_every_kind_of_entry_needs_a_digest() {
        let said =
            |parts: &str| Some(format!("the initrd has signature keys, and nothing vouches for: {parts}"));
        let run = "boot = 'run'\nrun = { command = ['/x'] }\n";
        for (lines, missing) in [
            ("boot = 'switch-root'\nroot = { url = 'r', YES }".to_owned(), None),
            ("boot = 'switch-root'\nroot = { url = 'r', NO }".to_owned(), said("root")),
            ("boot = 'switch-root'\nroot = { url = 'r', YES }\nmodules = { url = 'm', NO }".to_owned(), said("modules")),
            (format!("{run}root = {{ url = 'r', YES }}"), None),
            (format!("{run}root = {{ url = 'r', NO }}"), said("root")),
            ("boot = 'kexec'\nkernel = { url = 'k', NO }".to_owned(), said("kernel")),
            (
                "boot = 'kexec'\nkernel = { url = 'k', YES }\ninitrd = [{ url = 'i', YES }, { url = 'j', NO }]\n\
                 modules = { url = 'm', NO }\nroot = { url = 'r', NO }"
                    .to_owned(),
                said("initrd 2; modules; root"),
            ),
            ("boot = 'kexec'\nkernel = { url = 'k', YES }\nroot = { url = 'r', YES }\ncarry = 'no'".to_owned(), None),
            ("boot = 'shell'".to_owned(), None),
        ] {
            assert_eq!(refused(&entry(&lines)), missing, "{lines}");
        }
    }

    #[test]
    fn with_keys_a_root_of_the_command_line_needs_a_digest_too_in_whatever_words() {
        let root = |text: &str| refused(&Params::parse(text).root_entry().unwrap().unwrap());
        for words in [
            "root=tmpfs:http://a/r",
            "rd.container.rootfs=http://a/r",
            "boot=ramdisk ramroot=http://a/r",
            "root=tmpfs:initramfs:/r",
        ] {
            assert!(root(words).unwrap().ends_with("nothing vouches for: root"), "{words}");
            assert_eq!(root(&format!("{words} rd.tmpfs.sha256={ABC}")), None, "{words}");
        }
        assert!(
            root("rootfs=share")
                .unwrap()
                .ends_with("nothing vouches for: virtiofs:share, which the host shares")
        );
    }

    #[test]
    fn with_keys_nothing_is_mounted_beside_a_root() {
        let params = Params::parse("mount=t bootjack.entry=a init=/run/mnt/t/vm.py");
        assert_eq!(params.demand(&machine(false)), Ok(()));
        let refusal = params.demand(&machine(true)).unwrap_err();
        assert!(refusal.cause.ends_with("vouches for: virtiofs:t, which the host shares"), "{refusal:?}");
        assert_eq!(Params::parse("bootjack.entry=a").demand(&machine(true)), Ok(()));
    }
}
