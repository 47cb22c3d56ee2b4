//! The first stage's view of the second: the words for its kernel's command line, and what it is told beside them.
//! Loading the kernel is `load`'s.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::tcgetattr;

use super::handoff::{HandedRoot, Handoff};
use super::kernel::uptime;
use super::report::{Artifact, Part, Report};
use super::words::Policy;
use crate::catalog::{Entry, Kexec, RootSize};
use crate::cmdline::{Dialect, Params, Second, SecondRoot, init_args};
use crate::fetch::Location;
use crate::handover::kernel::Kernel;
use crate::load::{CARRIED, Failure, Fetched, Phase, ROOT};
use crate::net::Lease;
use crate::plan::Way;
use crate::verify::{Password, Sha256, Trust};

/// All that is known when a kexec begins.
#[derive(Clone, Debug)]
pub struct Outlook {
    pub entry: Entry,
    pub kexec: Kexec,
    /// Text of `/proc/cmdline`.
    pub running: String,
    /// The console the person used, with its speed.
    pub console: Option<(String, Option<u32>)>,
    pub lease: Option<Lease>,
    pub attended: bool,
    pub policy: Policy,
    /// What a shell takes there, too.
    pub password: Option<Password>,
    pub attempt: u32,
    pub catalog: Option<Location>,
    /// What the running kernel's command line came to.
    pub params: Params,
    /// What was reported so far.
    pub report: Report,
}

impl Outlook {
    /// The second kernel's command line.
    ///
    /// # Errors
    /// Something that no command line can hold.
    pub fn cmdline(&self, kernel: &Kernel, came: &[Fetched], way: &Way) -> Result<String, Failure> {
        if self.only_a_pin_vouches(way) {
            let why = "the root is fetched again, and nobody there knows the pin, which alone vouches for it";
            let failure = Failure::because(Phase::Plan, &self.entry.id, why);
            return Err(failure
                .hint("say sha256 or chunks, or second_stage = true for the initrd that bootjack is in"));
        }
        let root = self.kexec.root.as_ref().map(|root| {
            let HandedRoot { locations, sha256, chunks, connections, .. } =
                HandedRoot::of(root, self.carried(came, way));
            SecondRoot {
                locations: locations.iter().map(Location::public).collect(),
                sha256: sha256.as_ref().map(ToString::to_string),
                chunks: chunks.as_ref().map(ToString::to_string),
                connections,
                size: match root.size {
                    RootSize::Percent(percent) => format!("{percent}%"),
                    RootSize::Bytes(bytes) => bytes.to_string(),
                },
                init: root.init.clone(),
                init_args: root.init_args.clone(),
                interface: self.lease.as_ref().map(|l| (l.interface.clone(), l.mac.to_string())),
                network: locations.iter().any(Location::is_remote),
            }
        });
        // A UKI says itself how it wants to be started, unless the entry does.
        let its_own = kernel.cmdline.as_deref().filter(|_| self.kexec.cmdline.is_empty());
        let second = Second {
            written: its_own.unwrap_or(&self.kexec.cmdline),
            running: &self.running,
            orders: Some(&self.params),
            console: self.console.as_ref().map(|(device, speed)| (device.as_str(), *speed)),
            root,
            unattended: !self.attended,
        };
        second.compose().map_err(|problem| {
            Failure::because(Phase::Plan, &self.entry.id, format!("the second command line: {problem}"))
        })
    }

    /// Whether the root would come over https from whoever convinces an authority: words alone tell of no pin.
    fn only_a_pin_vouches(&self, way: &Way) -> bool {
        let Some(root) = &self.kexec.root else { return false };
        let told = self.kexec.initrd.is_empty() || self.kexec.initrd.iter().any(|initrd| initrd.second_stage);
        let unverified = root.archive.trust == Trust::Unverified && !root.archive.pins.is_empty();
        unverified && !told && !matches!(way, Way::Carried(_))
    }

    /// What the second stage is told.
    ///
    /// # Errors
    /// Of serializing, or the entry has no root.
    pub fn handoff(&self, came: &[Fetched], way: &Way) -> Result<Vec<u8>, Failure> {
        let failed = |why: String| Failure::because(Phase::Handover, &self.entry.id, why);
        let root = self.kexec.root.as_ref().ok_or_else(|| failed("a hand-off without a root".into()))?;
        let handed = self.with_words(HandedRoot::of(root, self.carried(came, way)));
        let handoff = Handoff {
            version: handed.version(),
            catalog: self.catalog.clone(),
            id: self.entry.id.clone(),
            title: self.entry.title.clone(),
            attended: self.attended,
            policy: self.policy.clone(),
            attempt: self.attempt,
            lease: self.lease.clone(),
            proxy: self.proxy(),
            root: handed,
            password: self.password.clone(),
            modules: self.kexec.modules.is_some(),
            report: self.reported(came, way).map_err(|e| failed(format!("the report: {e}")))?,
        };
        handoff.bytes().map_err(|e| failed(format!("writing the hand-off: {e}")))
    }

    /// With its password, if it has one.
    fn proxy(&self) -> Option<String> {
        let said = [&self.kexec.cmdline, &self.running].map(|text| Params::parse(text).proxy);
        said.into_iter().flatten().next().map(|proxy| proxy.url.into())
    }

    /// Where the entry names no init, its command line may.
    fn with_words(&self, root: HandedRoot) -> HandedRoot {
        let words = Params::parse(&self.kexec.cmdline);
        let said = || init_args(&self.kexec.cmdline, Some(Dialect::Tmpfs));
        let init_args = if root.init_args.is_empty() { said() } else { root.init_args };
        HandedRoot { init: root.init.or(words.init), init_args, ..root }
    }

    /// The report with what came for this kexec.
    fn reported(&self, came: &[Fetched], way: &Way) -> serde_json::Result<serde_json::Value> {
        let mut report = self.report.clone();
        came.iter().for_each(|fetched| report.artifact(Artifact::of(fetched)));
        report.carry(way);
        report.end(Part::Load, uptime().as_secs_f64());
        report.value()
    }

    /// Where the second stage finds an archive that travels with it, and what that is held against once more: where its
    /// chunks were looked at here, the digest of what came.
    fn carried(&self, came: &[Fetched], way: &Way) -> Option<(Location, Option<Sha256>)> {
        let root = came.iter().find(|fetched| fetched.name == ROOT && fetched.trust != Trust::Unverified);
        let meant = self.kexec.root.as_ref().and_then(|root| root.archive.digest());
        let digest = || meant.or(root.map(|root| &root.sha256)).cloned();
        matches!(way, Way::Carried(_)).then(|| (Location::Initramfs(Path::new("/").join(CARRIED)), digest()))
    }
}

/// The running kernel's words with an address that a person gave in place of what `ip=` says: the second stage has nobody
/// who could type it again.
pub fn with_address_by_hand(running: String, lease: Option<&Lease>) -> String {
    let Some(lease) = lease.filter(|lease| lease.server.is_none()) else { return running };
    let (IpAddr::V4(address), true) = (lease.address, lease.prefix <= 32) else { return running };
    // The command line's own address is in its words already.
    if running.split_whitespace().any(|word| word.starts_with(&format!("ip={address}:"))) {
        return running;
    }
    let bits = u32::MAX.checked_shl(32 - u32::from(lease.prefix)).unwrap_or(0);
    let (mask, name) = (Ipv4Addr::from(bits), &lease.interface);
    let gateway = lease.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
    // Behind a bare `--` all is init's.
    let (kernels, inits) = match running.split_once(" -- ") {
        Some((kernels, inits)) => (kernels, Some(inits)),
        None => (running.as_str(), None),
    };
    let mut words: Vec<String> =
        kernels.split(' ').filter(|word| !word.starts_with("ip=")).map(str::to_owned).collect();
    words.push(format!("ip={address}::{gateway}:{mask}::{name}:none"));
    for word in lease.nameservers.iter().map(|server| format!("nameserver={server}")) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.extend(inits.map(|inits| format!("-- {inits}")));
    words.join(" ")
}

/// The console at `path` as a `console=` word has it: its device, and the speed of a serial line.
pub fn console_of(path: &Path) -> Option<(String, Option<u32>)> {
    let device = path.strip_prefix("/dev").ok()?.to_str()?.to_owned();
    if !device.starts_with("ttyS") && !device.starts_with("ttyAMA") {
        return Some((device, None));
    }
    Some((device, speed(path)))
}

/// Baud, as the terminal is set (termios(3)).
fn speed(path: &Path) -> Option<u32> {
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let terminal = open(path, flags, Mode::empty());
    let speed = terminal.and_then(|terminal| tcgetattr(&terminal)).map(|modes| modes.output_speed());
    speed.inspect_err(|e| log::warn!("asking {} for its speed: {e}", path.display())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Action, Artifact, Boot, Carry, Fstab, Root};
    use crate::plan::Numbers;
    use crate::verify::Trust;
    use std::time::Duration;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn outlook() -> Outlook {
        let artifact = |url: &str| Artifact {
            locations: vec![Location::parse(url).unwrap()],
            trust: Trust::Sha256(ABC.parse().unwrap()),
            chunks: None,
            pins: vec![],
            connections: 1,
            size: Some(3),
            unpacked: None,
            entries: None,
            drivers: None,
        };
        let root = Root {
            archive: artifact("http://user:secret@a/root.tar"),
            size: RootSize::Percent(60),
            init: None,
            init_args: vec!["a b".into()],
            modules: None,
            fstab: Fstab::default(),
        };
        let kexec = Kexec {
            kernel: artifact("http://a/vmlinuz"),
            initrd: vec![],
            root: Some(root),
            modules: None,
            cmdline: "console=ttyS0 initrd=x".into(),
            carry: Carry::Auto,
        };
        Outlook {
            entry: Entry::new("debian", "Debian", Boot::Kexec(Box::new(kexec.clone()))),
            kexec,
            running: String::new(),
            console: None,
            lease: None,
            attended: true,
            policy: Policy { retry_for: Duration::from_secs(60), on_failure: Action::Reboot },
            password: None,
            attempt: 2,
            catalog: None,
            params: Params::default(),
            report: Report::continue_from(None),
        }
    }

    fn kernel() -> Kernel {
        Kernel {
            file: tempfile::tempfile().unwrap(),
            bytes: 0,
            memory: 0,
            work: 0,
            release: None,
            cmdline_max: 2048,
            initrd: None,
            cmdline: Some("of the UKI".into()),
            wrapped: vec![],
        }
    }

    fn carried() -> Way {
        Way::Carried(Numbers { kernel: 1, image: 1, initrd: 1, archive: 1, most: 9, available: 9 })
    }

    #[test]
    fn no_password_stands_on_the_second_command_line_and_the_second_stage_has_it() {
        let running = "proxy=ann:secret@10.0.0.1:3128".into();
        let (outlook, again) = (Outlook { running, ..outlook() }, Way::Again("no room".into()));
        let text = outlook.cmdline(&kernel(), &[], &again).unwrap();
        assert!(text.contains("root=tmpfs:http://a/root.tar") && !text.contains("secret"), "{text}");
        let told: Handoff = serde_json::from_slice(&outlook.handoff(&[], &again).unwrap()).unwrap();
        assert_eq!(told.root.locations[0].exact(), "http://user:secret@a/root.tar");
        assert_eq!(told.proxy.as_deref(), Some("http://ann:secret@10.0.0.1:3128/"));
    }

    #[test]
    fn the_second_stage_reads_the_same_root_from_its_words_and_from_what_it_is_told() {
        let outlook = outlook();
        let text = outlook.cmdline(&kernel(), &[], &carried()).unwrap();
        let told: Handoff = serde_json::from_slice(&outlook.handoff(&[], &carried()).unwrap()).unwrap();
        let Boot::SwitchRoot(told) = told.entry().boot else { panic!("a root") };
        let Boot::SwitchRoot(words) = Params::parse(&text).root_entry().unwrap().unwrap().boot else {
            panic!("a root")
        };
        assert_eq!(told.archive.locations, words.archive.locations);
        assert_eq!(told.archive.locations, [Location::parse("initramfs:/bootjack/root").unwrap()]);
        assert_eq!((&told.archive.trust, told.size), (&words.archive.trust, words.size));
        assert_eq!((&told.init, &told.init_args), (&words.init, &words.init_args));
    }

    #[test]
    fn what_was_held_against_chunks_is_carried_with_its_digest_and_fetched_again_with_its_chunks() {
        let mut outlook = outlook();
        let archive = &mut outlook.kexec.root.as_mut().unwrap().archive;
        let list = Sha256::of(b"list");
        (archive.trust, archive.chunks) = (Trust::Chunks(list.clone()), Some(list.clone()));
        let (trust, location) = (archive.trust.clone(), archive.locations[0].clone());
        let came = Fetched {
            name: ROOT.into(),
            trust,
            unpacked: None,
            image: None,
            sha256: Sha256::of(b"what came"),
            mirrors: vec![location.clone()],
            location,
            bytes: 9,
            retries: 0,
            tries: vec![],
            chunks: Some(1),
            elapsed: Duration::ZERO,
        };
        for (way, wanted, words) in [
            (carried(), Trust::Sha256(came.sha256.clone()), format!("rd.tmpfs.sha256={}", came.sha256)),
            (Way::Again("no room".into()), Trust::Chunks(list.clone()), format!("rd.tmpfs.chunks={list}")),
        ] {
            let came = std::slice::from_ref(&came);
            let told: Handoff = serde_json::from_slice(&outlook.handoff(came, &way).unwrap()).unwrap();
            let Boot::SwitchRoot(root) = told.entry().boot else { panic!("a root") };
            assert_eq!(root.archive.trust, wanted);
            let text = outlook.cmdline(&kernel(), came, &way).unwrap();
            assert!(text.contains(&words), "{text}");
            let Boot::SwitchRoot(root) = Params::parse(&text).root_entry().unwrap().unwrap().boot else {
                panic!("a root")
            };
            assert_eq!(root.archive.trust, wanted);
        }
    }

    #[test]
    fn what_only_a_pin_vouches_for_is_not_fetched_by_who_does_not_know_it() {
        let mut outlook = outlook();
        let archive = &mut outlook.kexec.root.as_mut().unwrap().archive;
        archive.trust = Trust::Unverified;
        archive.pins = vec!["sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=".parse().unwrap()];
        let again = Way::Again("no room".into());
        let told: Handoff = serde_json::from_slice(&outlook.handoff(&[], &again).unwrap()).unwrap();
        assert_eq!((told.version, told.root.pins.len()), (2, 1));
        outlook.cmdline(&kernel(), &[], &again).unwrap();
        let artifact = outlook.kexec.kernel.clone();
        outlook.kexec.initrd = vec![crate::catalog::Initrd { artifact, second_stage: false }];
        let failure = outlook.cmdline(&kernel(), &[], &again).unwrap_err();
        assert!(failure.to_string().contains("nobody there knows the pin"), "{failure}");
        outlook.kexec.initrd[0].second_stage = true;
        outlook.cmdline(&kernel(), &[], &again).unwrap();
    }

    #[test]
    fn an_address_that_a_person_gave_is_the_second_stages_too() {
        let fixed = crate::net::Static {
            address: Ipv4Addr::new(10, 0, 0, 7),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
            nameservers: vec![Ipv4Addr::new(10, 0, 0, 2).into()],
        };
        let lease = Lease::by_hand(&fixed, "eth1", crate::net::Mac([2, 0, 0, 0, 0, 1]), None);
        let words = with_address_by_hand("quiet ip=dhcp -- ip=x".into(), Some(&lease));
        assert_eq!(words, "quiet ip=10.0.0.7::10.0.0.1:255.255.255.0::eth1:none nameserver=10.0.0.2 -- ip=x");
        let (config, problems) = crate::net::Config::parse(&Params::parse(&words).network);
        assert_eq!(problems, vec![]);
        let crate::net::Method::Static(read) = &config.rules[0].method else { panic!("an address") };
        assert_eq!((read.address, read.prefix, read.gateway), (fixed.address, 24, fixed.gateway));
        assert_eq!(with_address_by_hand(words.clone(), Some(&lease)), words, "it is there already");
        let leased = Lease { server: Some(Ipv4Addr::new(10, 0, 0, 1).into()), ..lease };
        assert_eq!(with_address_by_hand("ip=dhcp".into(), Some(&leased)), "ip=dhcp");
        assert_eq!(with_address_by_hand("ip=dhcp".into(), None), "ip=dhcp");
    }

    #[test]
    fn an_init_of_the_command_line_counts_where_the_entry_names_none() {
        let mut outlook = outlook();
        outlook.kexec.cmdline = "init=/bin/sh -- -c x".into();
        let root = |outlook: &Outlook| {
            let told: Handoff = serde_json::from_slice(&outlook.handoff(&[], &carried()).unwrap()).unwrap();
            (told.root.init, told.root.init_args)
        };
        assert_eq!(root(&outlook), (Some("/bin/sh".into()), vec!["a b".into()]));
        outlook.kexec.root.as_mut().unwrap().init_args.clear();
        assert_eq!(root(&outlook), (Some("/bin/sh".into()), vec!["-c".into(), "x".into()]));
    }

    #[test]
    fn a_uki_says_how_it_is_started_unless_the_entry_does() {
        let mut outlook = outlook();
        assert!(!outlook.cmdline(&kernel(), &[], &carried()).unwrap().contains("of the UKI"));
        outlook.kexec.cmdline.clear();
        assert!(outlook.cmdline(&kernel(), &[], &carried()).unwrap().starts_with("of the UKI "));
    }
}
