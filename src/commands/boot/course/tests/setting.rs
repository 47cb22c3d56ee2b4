//! One machine, drawn by chance: its command line, its catalogs, its network, what its servers do, who comes by.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent};

use super::chance::Chance;
use crate::catalog::{
    Action, Artifact, Boot, Carry, Catalog, Entry, Fstab, Job, Kexec, Parsed, Root, RootSize,
};
use crate::cmdline::Params;
use crate::fetch::Location;
use crate::verify::Trust;

pub const SERVER: &str = "http://server/catalog.toml";

const OS: &str = "os";
/// The root of the entry "kexec", when its kernel runs.
pub const SECOND: &str = "the root of kexec";

const JOBS: &[&str] = &["job1", "job2", "job3"];
const IDS: &[&str] = &[OS, "other", "kexec", "job1", "job2", "job3", "off", "again"];

pub struct Setting {
    pub cmdline: String,
    pub params: Params,
    /// Words of the ancestors about failures and shells.
    pub orders: Vec<String>,
    pub remote: Option<Catalog>,
    pub built_in: Option<Catalog>,
    /// When there is an address; absent: never.
    pub lease: Option<Duration>,
    /// From when on the catalog can be had, and each entry can be booted; absent: never.
    pub served: Option<Duration>,
    pub good: Vec<(String, Option<Duration>)>,
    /// When the worker dies.
    pub deaths: Vec<Duration>,
    pub keys: Vec<(Duration, KeyEvent)>,
    pub tick: Duration,
    /// Whether the firmware can be asked for anything.
    pub uefi: bool,
    /// There is a password, and nobody knows it.
    pub locked: bool,
}

impl Setting {
    pub fn draw(chance: &mut Chance) -> Self {
        let cmdline = cmdline(chance);
        let mut good = Vec::new();
        for id in IDS.iter().chain(&["root="]) {
            good.push(((*id).to_owned(), sometime(chance, 2000)));
        }
        let second = if chance.one_in(2) { None } else { sometime(chance, 2000) };
        good.push((SECOND.into(), second));
        Self {
            params: Params::parse(&cmdline),
            uefi: cmdline.len().is_multiple_of(2),
            locked: cmdline.len().is_multiple_of(3),
            cmdline,
            orders: vec![],
            remote: (!chance.one_in(6)).then(|| catalog(chance)),
            built_in: chance.one_in(2).then(|| catalog(chance)),
            good,
            lease: if chance.one_in(20) { None } else { Some(chance.within(200)) },
            served: sometime(chance, 1500),
            deaths: if chance.one_in(2) { vec![] } else { times(chance, 4, 3000) },
            keys: if chance.one_in(2) { vec![] } else { keys(chance) },
            tick: Duration::from_millis(chance.of(&[250, 2000, 5000, 10_000])),
        }
    }

    /// The same with what the ancestors' words say of failures and shells.
    pub fn under_orders(mut self, chance: &mut Chance) -> Self {
        let all = [
            ["panic=5", "panic=-1", "panic=40", "panic=0"],
            ["rd.emergency=reboot", "rd.emergency=poweroff", "rd.emergency=halt", "debug"],
            ["rd.shell", "rd.shell=0", "bootjack.shell=0", "bootjack.shell"],
            ["rd.break", "break=mount", "rd.break=cmdline", "quiet"],
        ];
        for (at, words) in all.iter().enumerate() {
            if chance.one_in(if at == 3 { 6 } else { 2 }) {
                self.orders.push(chance.of(words).into());
            }
        }
        self.cmdline = format!("{} {}", self.cmdline, self.orders.join(" "));
        self.params = Params::parse(&self.cmdline).obeying(false);
        self
    }

    /// The same with people who change what they boot, or where it comes from.
    pub fn with_editors(mut self, chance: &mut Chance) -> Self {
        use KeyCode::{Backspace, Char, Enter, Esc};
        for (_, key) in &mut self.keys {
            if chance.one_in(2) {
                *key = KeyEvent::from(chance.of(&[
                    Char('e'),
                    Char('e'),
                    Char('o'),
                    Enter,
                    Enter,
                    Esc,
                    Backspace,
                ]));
            }
        }
        self
    }

    pub fn good(&self, id: &str) -> Option<Duration> {
        self.good.iter().find(|(good, _)| good == id).and_then(|(_, from)| *from)
    }

    /// After it nothing new comes from outside.
    pub fn quiet(&self) -> Duration {
        let times = [self.lease, self.served, self.keys.last().map(|(at, _)| *at)];
        let good = self.good.iter().filter_map(|(_, from)| *from);
        times.into_iter().flatten().chain(good).chain(self.deaths.iter().copied()).max().unwrap_or_default()
    }
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "command line: {}", self.cmdline)?;
        for (name, catalog) in [("remote", &self.remote), ("built-in", &self.built_in)] {
            let Some(c) = catalog else { continue };
            let default = c.default.map(|at| &c.entries[at].id);
            let menu = (c.timeout, c.idle, c.retry_for, &c.on_failure);
            writeln!(f, "{name}: default {default:?}, timeout, idle, retry_for, on_failure {menu:?}")?;
            for entry in &c.entries {
                if let Boot::Run(job) = &entry.boot {
                    writeln!(f, "  {}: {:?}, {:?}", entry.id, job.on_success, job.on_failure)?;
                }
            }
        }
        writeln!(f, "lease {:?}, served {:?}, good {:?}", self.lease, self.served, self.good)?;
        writeln!(f, "deaths {:?}, tick {:?}", self.deaths, self.tick)
    }
}

/// At once, later or never.
fn sometime(chance: &mut Chance, most: u64) -> Option<Duration> {
    match chance.below(4) {
        0 => None,
        1 => Some(chance.within(most)),
        _ => Some(Duration::ZERO),
    }
}

fn times(chance: &mut Chance, most: u64, within: u64) -> Vec<Duration> {
    let mut times: Vec<_> = (0..=chance.below(most)).map(|_| chance.within(within)).collect();
    times.sort();
    times
}

fn cmdline(chance: &mut Chance) -> String {
    let mut words = Vec::new();
    match chance.below(6) {
        0 => words.push("root=tmpfs:http://server/root.tar".into()),
        1 => words.push(format!("bootjack.entry={}", chance.of(&[OS, "kexec", "job1", "nowhere"]))),
        _ => {}
    }
    match chance.below(8) {
        0 | 1 => {}
        2 => words.push("bootjack.catalog=oci://server/catalog".into()),
        _ => words.push(format!("bootjack.catalog={SERVER}")),
    }
    if chance.one_in(20) {
        words.push("root=tmpfs:http://server/root.tar rd.tmpfs.sha256=wrong".into());
    }
    if chance.one_in(4) {
        words.push(format!("bootjack.timeout={}", chance.of(&[0, 5, 900])));
    }
    if chance.one_in(4) {
        words.push(format!("bootjack.retry_for={}", chance.of(&["8s", "2m", "0s"])));
    }
    if chance.one_in(4) {
        let action = chance.of(&["reboot", "poweroff", "hold", OS, "other", "kexec", "nowhere"]);
        words.push(format!("bootjack.on_failure={action}"));
    }
    words.join(" ")
}

fn catalog(chance: &mut Chance) -> Catalog {
    let entries: Vec<Entry> = IDS.iter().map(|id| entry(chance, id)).collect();
    let kexec = IDS.iter().position(|id| *id == "kexec").expect("an entry");
    let any = chance.below(entries.len() as u64) as usize;
    let default = chance.of(&[any, any, any, kexec]);
    Catalog {
        serial: None,
        expires: None,
        title: "Any".into(),
        timeout: (!chance.one_in(3)).then(|| Duration::from_secs(chance.of(&[0, 3, 10, 60, 900]))),
        default: (!chance.one_in(8)).then_some(default),
        idle: Duration::from_secs(chance.of(&[20, 300])),
        retry_for: Duration::from_secs(chance.of(&[0, 8, 60, 600])),
        folded: vec![],
        password: None,
        mirrors: crate::catalog::MirrorOrder::InOrder,
        on_failure: match chance.below(8) {
            0 | 1 => Action::Reboot,
            2 => Action::PowerOff,
            3 => Action::Hold,
            4 => Action::Entry("kexec".into()),
            5 => Action::Entry(chance.of(JOBS).into()),
            _ => Action::Entry(chance.of(IDS).into()),
        },
        entries,
    }
}

fn entry(chance: &mut Chance, id: &str) -> Entry {
    let artifact = || Artifact {
        locations: ["http://server/root.tar", "http://mirror/root.tar"]
            .map(|l| Location::parse(l).unwrap())
            .into(),
        trust: Trust::Unverified,
        chunks: None,
        pins: vec![],
        connections: 1,
        size: None,
        unpacked: None,
        entries: None,
        drivers: None,
    };
    let root = || Root {
        archive: artifact(),
        size: RootSize::Percent(80),
        init: None,
        init_args: vec![],
        modules: None,
        fstab: Fstab::default(),
    };
    let boot = match id {
        "off" => Boot::PowerOff,
        "again" => Boot::Reboot,
        "kexec" => Boot::Kexec(Box::new(Kexec {
            kernel: artifact(),
            initrd: vec![],
            root: Some(root()),
            modules: None,
            cmdline: String::new(),
            carry: Carry::Auto,
        })),
        job if JOBS.contains(&job) => Boot::Run(Box::new(Job {
            root: root(),
            command: vec!["/job".into()],
            timeout: Duration::from_secs(1800),
            on_success: after_job(chance),
            on_failure: after_job(chance),
        })),
        _ => Boot::SwitchRoot(Box::new(root())),
    };
    Entry::new(id, id, boot)
}

fn after_job(chance: &mut Chance) -> Action {
    match chance.below(9) {
        0 => Action::Reboot,
        1 => Action::PowerOff,
        2 => Action::Hold,
        3 | 4 => Action::Menu,
        _ => Action::Entry(chance.of(IDS).into()),
    }
}

/// People who come by, press a few keys, and go.
fn keys(chance: &mut Chance) -> Vec<(Duration, KeyEvent)> {
    use KeyCode::{Char, Down, Enter, Esc};
    let some = [Enter, Enter, Esc, Esc, Down, Char('m'), Char('c'), Char('l'), Char('q'), Char('n')];
    let rare = [Char('s'), Char('b'), Char('p'), Char('r'), Char('?'), Char('x'), Char('5')];
    let mut keys = Vec::new();
    for mut at in times(chance, 3, 2500) {
        for _ in 0..=chance.below(8) {
            let code = if chance.one_in(4) { chance.of(&rare) } else { chance.of(&some) };
            keys.push((at, KeyEvent::from(code)));
            let most = if chance.one_in(5) { 400 } else { 8 };
            at += chance.within(most);
        }
    }
    keys.sort_by_key(|(at, _)| *at);
    keys
}

/// As the parser would have made it.
pub fn parsed(catalog: &Catalog) -> Parsed {
    Parsed { origin: "catalog".into(), catalog: Some(catalog.clone()), refused: vec![], problems: vec![] }
}
