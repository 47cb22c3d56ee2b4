//! The command line of a second kernel: what the catalog says, without the words that were meant for others, and with
//! those the second stage needs. Pure text; which machine and which entry they come from is known to the caller.

use url::Url;

use super::words::{Word, pieces};
use super::{BreakAt, CmdlineProblem, NETWORK, Params, storage};

/// What a second command line is made of.
#[derive(Clone, Debug, Default)]
pub struct Second<'a> {
    /// The entry's `cmdline`.
    pub written: &'a str,
    /// The running kernel's own, for the words about consoles and the network.
    pub running: &'a str,
    /// What the running stage made of it, for what holds in the second one too.
    pub orders: Option<&'a Params>,
    /// The console a person used (`ttyS0`, `tty1`) with its speed in baud: it stays the one that speaks.
    pub console: Option<(&'a str, Option<u32>)>,
    /// What the second stage is to unpack; absent for a plain kernel.
    pub root: Option<SecondRoot>,
    /// Nobody is there: a kernel that panics is to reboot.
    pub unattended: bool,
}

/// `root=tmpfs:` with its companions.
#[derive(Clone, Debug, Default)]
pub struct SecondRoot {
    /// Locations as they may be read by everybody: without passwords.
    pub locations: Vec<String>,
    pub sha256: Option<String>,
    pub chunks: Option<String>,
    pub connections: u8,
    /// As `rd.tmpfs.size=` takes it.
    pub size: String,
    pub init: Option<String>,
    pub init_args: Vec<String>,
    /// The interface with the lease: what this kernel calls it, and its address.
    pub interface: Option<(String, String)>,
    /// Whether the root has to be fetched: then the network's words go along.
    pub network: bool,
}

/// Seconds after which a panicking kernel reboots where nobody is there to see it.
const PANIC: &str = "panic=30";

/// What a machine does when a boot fails.
const POLICY: &[&str] =
    &["bootjack.retry_for", "bootjack.on_failure", "bootjack.plain", "rd.shell", "rd.emergency"];

/// Words that earlier loaders left, which mean nothing to the second kernel: iPXE's and PXELINUX's.
const LOADERS: &[&str] = &["BOOT_IMAGE", "initrd"];

impl Second<'_> {
    /// The text, in this order: what is written, the consoles, the root, the network; what is init's comes last, after
    /// `--`.
    ///
    /// # Errors
    /// A value that no command line can hold: one with a quote in it.
    pub fn compose(&self) -> Result<String, CmdlineProblem> {
        let (mut words, written_args) = self.kept();
        words.extend(self.consoles());
        if let Some(root) = &self.root {
            words.extend(root.words()?);
            words.extend(self.watchdog());
            words.extend(self.of_the_way());
            words.extend(self.policy());
            if root.network {
                words.extend(self.network(root));
            }
        }
        words.extend(self.panic());
        match &self.root {
            Some(root) if !root.init_args.is_empty() => {
                words.push("--".into());
                for argument in &root.init_args {
                    words.push(quoted("", argument)?);
                }
            }
            _ => words.extend(written_args),
        }
        Ok(words.into_iter().map(closed).collect::<Vec<_>>().join(" "))
    }

    /// What stays of the entry's words, and from a bare `--` on, what is init's.
    fn kept(&self) -> (Vec<String>, Vec<String>) {
        let all = pieces(self.written);
        let end = all.iter().position(|(word, _)| is_end(word)).unwrap_or(all.len());
        let with_root = self.root.is_some();
        let kept = all[..end].iter().filter(|(word, _)| !is_taken_out(word, with_root));
        let named = self.root.as_ref().is_some_and(|root| root.init.is_some());
        let kept = kept.filter(|(word, _)| word.name != "console" && !(named && word.name == "init"));
        let text = |(_, raw): &(Word, &str)| (*raw).to_owned();
        // The second stage is told the password of an entry's own proxy as it is told that of the running kernel's.
        let public = |piece: &(Word, &str)| {
            let proxy =
                (with_root && piece.0.name == "proxy").then(|| Params::parse(piece.1).proxy).flatten();
            proxy.map_or_else(|| text(piece), |proxy| format!("proxy={}", public(proxy.url)))
        };
        (kept.map(public).collect(), all[end..].iter().map(text).collect())
    }

    /// The `console=` words: the entry's, or else those of the running kernel; the last is the kernel's own
    /// (Documentation/admin-guide/serial-console.rst), and that is the one a person used.
    fn consoles(&self) -> Vec<String> {
        let of = |text: &str| -> Vec<String> {
            let before_end = pieces(text).into_iter().take_while(|(word, _)| !is_end(word));
            before_end.filter(|(word, _)| word.name == "console").filter_map(|(word, _)| word.value).collect()
        };
        let (written, running) = (of(self.written), of(self.running));
        let mut consoles = if written.is_empty() { running.clone() } else { written };
        if let Some((device, speed)) = self.console {
            let device = foreground(device);
            let is_it = |value: &&String| name(value) == device;
            let it = consoles.iter().find(is_it).or(running.iter().find(is_it)).cloned();
            let speed = speed.map(|baud| format!(",{baud}")).unwrap_or_default();
            let it = it.unwrap_or_else(|| format!("{device}{speed}"));
            consoles.retain(|value| name(value) != device);
            consoles.push(it);
        }
        consoles.into_iter().map(|value| format!("console={value}")).collect()
    }

    /// How the running kernel was told to find its network, unless the entry says; and DHCP if nobody says.
    fn network(&self, root: &SecondRoot) -> Vec<String> {
        let words = |text: &str| -> Vec<String> {
            let before_end = pieces(text)
                .into_iter()
                .take_while(|(w, _)| !is_end(w))
                .map(|(w, raw)| (w.name, raw.to_owned()));
            before_end
                .filter(|(n, _)| n != "BOOTIF" && n != "rd.bootif" && NETWORK.contains(&n.as_str()))
                .map(|(_, r)| r)
                .collect()
        };
        let says = |all: &[String]| all.iter().any(|word| word.starts_with("ip="));
        if says(&words(self.written)) {
            return Vec::new();
        }
        let mut running = words(self.running);
        if !says(&running) {
            running.push("ip=dhcp".into());
        }
        // Another kernel may count the interfaces in another order: a name is one of an address.
        if let Some((name, mac)) = &root.interface
            && running.iter().any(|word| {
                word.starts_with("ip=") && word.split(':').any(|f| f == name || f == format!("ip={name}"))
            })
        {
            running.push(format!("ifname={name}:{mac}"));
        }
        running
    }

    /// `bootjack.watchdog=` of the entry, or else of the running kernel: what watched over the jump watches on, although
    /// some drivers stop it when the second kernel loads them.
    fn watchdog(&self) -> Option<String> {
        let asked = [self.written, self.running].map(|text| Params::parse(text).watchdog);
        asked.into_iter().flatten().next().map(|seconds| format!("bootjack.watchdog={seconds}"))
    }

    /// What the operator said of failures holds for the whole boot: a catalog that the second stage fetches says less.
    fn policy(&self) -> Vec<String> {
        self.of_the_running(POLICY).into_iter().map(|(_, raw)| raw.to_owned()).collect()
    }

    /// How devices are put together and waited for, what is mounted beside the root, which proxy is asked: as the
    /// running kernel was told, unless the entry says. A proxy's password travels elsewhere: everybody reads this line.
    fn of_the_way(&self) -> Vec<String> {
        let mut words = self.of_the_running(storage::LAST);
        let mounts = ["mount", "mount-ro"].iter().any(|name| self.has(name));
        let running = pieces(self.running);
        let each = running.iter().take_while(|(word, _)| !is_end(word)).filter(|(word, _)| {
            let name = word.name.as_str();
            storage::EACH.contains(&name) && if is_mount(name) { !mounts } else { !self.has(name) }
        });
        words.extend(each.map(|(word, raw)| (word.clone(), *raw)));
        let proxy = || Params::parse(self.running).proxy.map(|proxy| format!("proxy={}", public(proxy.url)));
        let text =
            |(word, raw): (Word, &str)| if word.name == "proxy" { proxy() } else { Some(raw.to_owned()) };
        words.into_iter().filter_map(text).collect()
    }

    /// The last of each of these words that the running kernel was given, and the entry does not say.
    fn of_the_running(&self, names: &[&str]) -> Vec<(Word, &str)> {
        let words = pieces(self.running);
        let before_end: Vec<_> = words.into_iter().take_while(|(word, _)| !is_end(word)).collect();
        let last = |name: &&str| before_end.iter().rfind(|(word, _)| word.name == **name).cloned();
        // Our own are not the entry's to say: they are taken out of it.
        let left = |name: &&&str| name.starts_with("bootjack.") || !self.has(name);
        names.iter().filter(left).filter_map(last).collect()
    }

    /// When the second kernel reboots after a panic: as the entry says, or as this kernel was told. Our second stage
    /// takes that for no order of its own, unless shells are forbidden here: then they are there too.
    fn panic(&self) -> Vec<String> {
        let orders = self.orders.filter(|_| self.root.is_some());
        let mut words = Vec::new();
        if orders.is_some_and(Params::forbids_shell) {
            words.push("bootjack.shell=0".into());
        }
        if orders.is_some_and(|orders| orders.break_at.contains(&BreakAt::BeforeInit)) {
            words.push("rd.break".into());
        }
        match orders.and_then(|orders| orders.panic) {
            _ if self.has("panic") => {}
            Some(seconds) => words.push(format!("panic={seconds}")),
            _ if self.unattended => words.push(PANIC.into()),
            _ => {}
        }
        words
    }

    fn has(&self, name: &str) -> bool {
        pieces(self.written).iter().take_while(|(w, _)| !is_end(w)).any(|(w, _)| w.name == name)
    }
}

impl SecondRoot {
    fn words(&self) -> Result<Vec<String>, CmdlineProblem> {
        let mut words = Vec::new();
        for location in &self.locations {
            words.push(quoted("root=", &format!("tmpfs:{location}"))?);
        }
        words.extend(self.sha256.iter().map(|digest| format!("rd.tmpfs.sha256={digest}")));
        words.extend(self.chunks.iter().map(|digest| format!("rd.tmpfs.chunks={digest}")));
        if self.connections > 1 && self.chunks.is_some() {
            words.push(format!("rd.tmpfs.connections={}", self.connections));
        }
        words.push(format!("rd.tmpfs.size={}", self.size));
        if let Some(init) = &self.init {
            words.push(quoted("init=", init)?);
        }
        // 01: Ethernet, as PXELINUX writes it.
        let mac = self.interface.iter().map(|(_, mac)| mac);
        words.extend(mac.map(|mac| format!("BOOTIF=01-{}", mac.replace(':', "-"))));
        Ok(words)
    }
}

/// A quote that its author did not close ends with the word: else it would keep the words that come after it together, and
/// the second stage would be asked for no root.
fn closed(word: String) -> String {
    if word.matches('"').count() % 2 == 1 { word + "\"" } else { word }
}

/// Whether a word of an entry's `cmdline` is taken out: it was meant for another loader, or is one of ours, which are
/// set anew. A plain kernel keeps its `BOOTIF=`.
fn is_taken_out(word: &Word, with_root: bool) -> bool {
    let name = word.name.to_ascii_lowercase();
    let ours = name.starts_with("bootjack.") || name.starts_with("rd.tmpfs.");
    let root = word.name == "root" && word.value().starts_with("tmpfs:");
    // Another root than the entry's; a plain kernel may have an initrd that reads it.
    let other_root = match word.name.as_str() {
        "BOOTIF" | "rd.container.rootfs" | "ramroot" | "rootfs" => true,
        "boot" => word.value() == "ramdisk",
        "root" => word.value().starts_with("virtiofs:"),
        "rootfstype" => word.value() == "virtiofs",
        _ => false,
    };
    ours || root || LOADERS.contains(&word.name.as_str()) || (with_root && other_root)
}

fn is_mount(name: &str) -> bool {
    name == "mount" || name == "mount-ro"
}

/// Without user and password.
fn public(mut url: Url) -> Url {
    // Only a URL without a host cannot have them, and then it has none.
    let _no_host = (url.set_username(""), url.set_password(None));
    url
}

fn is_end(word: &Word) -> bool {
    word.name == "--" && word.value.is_none()
}

/// The device of a `console=` value, without its speed.
fn name(value: &str) -> &str {
    value.split(',').next().unwrap_or(value)
}

/// The devices of the `console=` words of a command line, in order: the last is the kernel's own.
pub fn consoles_of(text: &str) -> Vec<String> {
    let words = pieces(text).into_iter().take_while(|(word, _)| !is_end(word));
    let values = words.filter(|(word, _)| word.name == "console").filter_map(|(word, _)| word.value);
    values.map(|value| name(&value).to_owned()).collect()
}

/// Virtual terminals are one console to the kernel: the one in front.
fn foreground(device: &str) -> &str {
    let number =
        device.strip_prefix("tty").filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if number.is_some() { "tty0" } else { device }
}

/// `name` with a value that may hold spaces. The kernel knows quotes and no escapes (lib/cmdline.c, `next_arg`).
fn quoted(name: &str, value: &str) -> Result<String, CmdlineProblem> {
    if value.contains('"') {
        let word = Word { name: name.trim_end_matches('=').to_owned(), value: Some(value.to_owned()) };
        return Err(word.problem("a quote cannot stand on a kernel command line"));
    }
    let spaced = value.is_empty() || value.contains(char::is_whitespace);
    Ok(if spaced { format!("{name}\"{value}\"") } else { format!("{name}{value}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(written: &str) -> String {
        Second { written, ..Second::default() }.compose().unwrap()
    }

    fn root() -> SecondRoot {
        SecondRoot {
            locations: vec!["initramfs:/bootjack/root".into()],
            sha256: Some("ab".into()),
            size: "80%".into(),
            ..SecondRoot::default()
        }
    }

    #[test]
    fn a_quote_that_nobody_closed_swallows_no_root() {
        let root = SecondRoot {
            locations: vec!["http://a/r".into()],
            size: "80%".into(),
            init_args: vec!["x".into()],
            ..SecondRoot::default()
        };
        for written in ["quiet a=\"b c ", "\"", "a\"b", "x \"y z"] {
            let second = Second { written, root: Some(root.clone()), ..Second::default() };
            let text = second.compose().unwrap();
            let params = Params::parse(&text);
            assert!(params.root.is_some_and(|root| root.is_ok()), "{text}");
            assert_eq!(params.init_args, ["x"], "{text}");
        }
    }

    #[test]
    fn what_was_meant_for_other_loaders_leaves_and_the_rest_stays_as_written() {
        assert_eq!(
            plain("initrd=initrd a=\"b c\" BOOT_IMAGE=x bootjack.catalog=http://a/c rd.tmpfs.size=1g quiet"),
            "a=\"b c\" quiet"
        );
        assert_eq!(plain("root=/dev/sda1 BOOTIF=01-aa ro"), "root=/dev/sda1 BOOTIF=01-aa ro");
        assert_eq!(plain("x=b\" \"c \"y z=1\" -- initrd=3 b"), "x=b\" \"c \"y z=1\" -- initrd=3 b");
    }

    #[test]
    fn the_second_stage_understands_what_is_composed() {
        let root = SecondRoot {
            locations: vec!["http://a/r".into(), "http://b/r s".into()],
            sha256: Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into()),
            connections: 4,
            chunks: Some("ca7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into()),
            size: "60%".into(),
            init: Some("/sbin/my init".into()),
            init_args: vec!["-x".into(), "a b".into(), String::new()],
            interface: Some(("eth0".into(), "52:54:00:12:34:56".into())),
            network: true,
        };
        let written = "console=ttyS0 root=tmpfs:http://old/r init=/old -- old args";
        let second = Second { written, root: Some(root), ..Second::default() };
        let text = second.compose().unwrap();
        let params = Params::parse(&text);
        assert_eq!(params.problems, [], "{text}");
        assert!(matches!(&params.root, Some(Ok(word)) if word.connections == 4), "{text}");
        assert_eq!(params.init.as_deref(), Some("/sbin/my init"));
        assert_eq!(params.init_args, ["-x", "a b", ""]);
        assert_eq!(
            params.network,
            [("BOOTIF".into(), "01-52-54-00-12-34-56".into()), ("ip".into(), "dhcp".into())]
        );
        assert!(!text.contains("old"), "{text}");
    }

    #[test]
    fn a_carried_root_needs_no_words_of_the_network() {
        let second = Second { root: Some(root()), running: "ip=dhcp", ..Second::default() };
        assert_eq!(
            second.compose().unwrap(),
            "root=tmpfs:initramfs:/bootjack/root rd.tmpfs.sha256=ab rd.tmpfs.size=80%"
        );
    }

    #[test]
    fn the_way_to_the_root_goes_along_unless_the_entry_says() {
        let running = "rd.lvm.lv=vg0/a rd.lvm.lv=vg0/b rd.luks=0 rd.md.uuid=1:2 rd.retry=5 rd.retry=9 rootdelay=3 \
                       rd.noverifyssl mount=b mount-ro=a rd.shell=0 root=tmpfs:http://old/r ramroot=/x";
        let with = |written| {
            let root = SecondRoot { sha256: None, ..root() };
            let second = Second { written, running, root: Some(root), ..Second::default() };
            let text = second.compose().unwrap();
            let params = Params::parse(&text);
            assert_eq!(params.problems, [], "{text}");
            (text, params)
        };
        let (text, params) = with("rootfs=x rootfstype=virtiofs boot=ramdisk rd.container.rootfs=http://a/b");
        let expected = Params::parse(running);
        assert_eq!((params.assembly, &params.mounts), (expected.assembly, &expected.mounts), "{text}");
        assert_eq!((params.device_wait, params.unverified_tls), (expected.device_wait, true), "{text}");
        assert!(text.contains(" rd.shell=0") && !text.contains("old"), "{text}");
        let (text, params) = with("mount-ro=z rd.lvm.lv=vg1/c rd.noverifyssl=0 rd.retry=1 rootdelay=0");
        assert_eq!(params.assembly.lvs, ["vg1/c"]);
        assert_eq!(params.assembly.md, ["1:2"]);
        assert_eq!((params.mounts.len(), params.unverified_tls), (1, false), "{text}");
        assert_eq!(params.device_wait, Some(std::time::Duration::from_secs(1)));
        // A plain kernel is told by its entry alone, and reads these itself.
        let plain = Second { written: "rootfs=x ramroot=/y", running, ..Second::default() };
        assert_eq!(plain.compose().unwrap(), "rootfs=x ramroot=/y");
    }

    #[test]
    fn a_proxys_password_stands_on_no_second_command_line() {
        let running = "proxy=http://ann:s3cret@10.0.0.1:3128";
        let text = Second { running, root: Some(root()), ..Second::default() }.compose().unwrap();
        assert!(text.ends_with(" proxy=http://10.0.0.1:3128/"), "{text}");
        let written = "proxy=ann:s3cret@10.0.0.1:3128 quiet";
        let text = Second { written, root: Some(root()), ..Second::default() }.compose().unwrap();
        assert!(text.starts_with("proxy=http://10.0.0.1:3128/ quiet "), "{text}");
        // Another kernel's own words are its own.
        let text = Second { written, ..Second::default() }.compose().unwrap();
        assert_eq!(text, written);
    }

    #[test]
    fn every_kind_of_location_is_read_back_by_the_second_stage() {
        for text in [
            "http://a/r",
            "ftp://a/r",
            "tftp://a/r",
            "initramfs:/r",
            "dev:/dev/vda1:/r s",
            "dev:/dev/mapper/vg0-images",
            "LABEL=my images/1:/r",
            "UUID=0A-1b",
            "PARTLABEL=a=b:/d/r",
            "PARTUUID=12-01:/r",
            "nfs4://[2001:db8::1]/srv,vers=4.2:/d/r",
            "virtiofs:my tag:/r",
        ] {
            let root = SecondRoot { locations: vec![text.into()], sha256: None, ..root() };
            let second = Second { root: Some(root), ..Second::default() };
            let line = second.compose().unwrap();
            let root = Params::parse(&line).root.unwrap().unwrap();
            let expected = vec![crate::fetch::Location::parse(text).unwrap()];
            assert_eq!(root.source, crate::cmdline::RootSource::Archive(expected), "{line}");
        }
    }

    #[test]
    fn what_the_operator_said_of_failures_goes_along() {
        let running = "bootjack.retry_for=1m bootjack.on_failure=safe bootjack.entry=a bootjack.retry_for=5s \
                       -- bootjack.on_failure=hold";
        let with_root = Second { root: Some(SecondRoot::default()), running, ..Second::default() };
        let line = with_root.compose().unwrap();
        assert!(line.ends_with(" bootjack.retry_for=5s bootjack.on_failure=safe"), "{line}");
        let plain = Second { root: None, ..with_root };
        assert_eq!(plain.compose().unwrap(), "");
    }

    #[test]
    fn a_watchdog_goes_on_in_the_second_stage_and_is_no_business_of_a_plain_kernel() {
        let running = "bootjack.watchdog=60 bootjack.entry=a -- bootjack.watchdog=1";
        let with_root = |written| Second { written, running, root: Some(root()), ..Second::default() };
        assert!(with_root("quiet").compose().unwrap().ends_with(" bootjack.watchdog=60"));
        assert!(with_root("bootjack.watchdog=90").compose().unwrap().ends_with(" bootjack.watchdog=90"));
        assert!(with_root("bootjack.watchdog=no").compose().unwrap().ends_with(" bootjack.watchdog=60"));
        assert_eq!(Second { root: None, ..with_root("quiet") }.compose().unwrap(), "quiet");
    }

    #[test]
    fn the_network_is_found_as_the_running_kernel_found_it() {
        let running = "BOOTIF=01-00 ip=10.0.2.15::10.0.2.2:24:h:eth0:none nameserver=1.1.1.1 quiet";
        let interface = Some(("eth0".to_owned(), "aa:bb:cc:dd:ee:ff".to_owned()));
        let root = SecondRoot { network: true, interface, ..root() };
        let second = Second { running, root: Some(root), ..Second::default() };
        let text = second.compose().unwrap();
        // By its address: the second kernel may call it otherwise.
        let network =
            " ip=10.0.2.15::10.0.2.2:24:h:eth0:none nameserver=1.1.1.1 ifname=eth0:aa:bb:cc:dd:ee:ff";
        assert!(text.ends_with(network), "{text}");
        let text = Second { written: "ip=eth1:dhcp", ..second }.compose().unwrap();
        assert!(text.starts_with("ip=eth1:dhcp ") && !text.contains("10.0.2.15"), "{text}");
    }

    #[test]
    fn the_console_a_person_used_is_the_last_one() {
        let running = "console=ttyS0,115200 console=tty0";
        let with =
            |written, console| Second { written, running, console, ..Second::default() }.compose().unwrap();
        assert_eq!(with("", None), "console=ttyS0,115200 console=tty0");
        assert_eq!(with("console=tty0", None), "console=tty0");
        assert_eq!(with("", Some(("ttyS0", None))), "console=tty0 console=ttyS0,115200");
        assert_eq!(with("console=tty0", Some(("ttyS0", None))), "console=tty0 console=ttyS0,115200");
        assert_eq!(
            with("console=tty0 console=ttyS0,9600", Some(("tty1", None))),
            "console=ttyS0,9600 console=tty0"
        );
        assert_eq!(
            with("quiet", Some(("ttyS1", Some(9600)))),
            "quiet console=ttyS0,115200 console=tty0 console=ttyS1,9600"
        );
    }

    #[test]
    fn an_unattended_kernel_reboots_after_a_panic_unless_the_entry_says_when() {
        let with = |written| Second { written, unattended: true, ..Second::default() }.compose().unwrap();
        assert_eq!(with("quiet"), "quiet panic=30");
        assert_eq!(with("panic=5"), "panic=5");
        assert_eq!(with("a -- panic=5"), "a panic=30 -- panic=5");
    }

    #[test]
    fn whoever_forbids_a_shell_forbids_it_in_the_second_stage_too() {
        let with = |written, orders: &str, handed| {
            let orders = Params::parse(orders).obeying(handed);
            let root = Some(SecondRoot { size: "80%".into(), ..SecondRoot::default() });
            let second =
                Second { written, orders: Some(&orders), root, unattended: true, ..Second::default() };
            second.compose().unwrap()
        };
        assert_eq!(with("", "panic=5", false), "rd.tmpfs.size=80% bootjack.shell=0 panic=5");
        assert_eq!(with("panic=9", "panic=5", false), "panic=9 rd.tmpfs.size=80% bootjack.shell=0");
        assert_eq!(with("", "bootjack.shell=0", true), "rd.tmpfs.size=80% bootjack.shell=0 panic=30");
        // What the stage before this one added for the kernel is nobody's order.
        assert_eq!(with("", "panic=30", true), "rd.tmpfs.size=80% panic=30");
        assert_eq!(with("", "rd.break", false), "rd.tmpfs.size=80% rd.break panic=30");
        assert_eq!(with("", "rd.break=mount", false), "rd.tmpfs.size=80% panic=30");
        let orders = Params::parse("panic=5").obeying(false);
        let plain = Second { written: "a", orders: Some(&orders), ..Second::default() };
        assert_eq!(plain.compose().unwrap(), "a", "a plain kernel is its own");
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let root = SecondRoot { init_args: vec!["a\"b".into()], ..root() };
        let second = Second { root: Some(root), ..Second::default() };
        assert!(second.compose().unwrap_err().cause.contains("quote"));
    }
}
