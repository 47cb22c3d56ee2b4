//! Every screen at three sizes, as an operator sees it, and at all the sizes nobody should have. With `SCREENS=DIR`
//! the pictures are written there as text, a file each.

use std::num::NonZero;
use std::time::Duration;

use bootjack::archive::Image;
use bootjack::catalog::{
    Action, Artifact, Boot, Carry, Catalog, Entry, Fstab, Initrd, Job, Kexec, MirrorOrder, Root, RootSize,
};
use bootjack::fetch::{Location, Retrying};
use bootjack::handover::run::End;
use bootjack::handover::{BootEntry, Firmware};
use bootjack::load::{self, Phase, Report};
use bootjack::machine::{Device as MachineDevice, Kind, Machine};
use bootjack::net::Static;
use bootjack::plan::plan;
use bootjack::tui::address::{Address, AddressAnswer};
use bootjack::tui::edit::{Edit, EditAnswer};
use bootjack::tui::failure::{Failure, FailureAnswer};
use bootjack::tui::job::{self, JobAnswer};
use bootjack::tui::loading::{Cancel, Loading};
use bootjack::tui::menu::{Broken, Menu, MenuAnswer, MenuModel, rows};
use bootjack::tui::network::{Awaited, Doing, Link, Network, NetworkAnswer, NicLine, Step, Tested, Verdict};
use bootjack::tui::passphrase::{Passphrase, PassphraseAnswer};
use bootjack::tui::power::{Power, PowerAnswer};
use bootjack::tui::theme::Around;
use bootjack::tui::{Event, Look, Paint, Screen};
use bootjack::verify::{Sha256, Trust};
use bootjack::volumes::{Content, Device, Locked};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Size;

const SIZES: &[(u16, u16)] = &[(80, 24), (40, 12), (132, 43)];

/// Bytes of a whole picture at 80x24: three seconds of a line at 9600 baud.
const REPAINT: usize = 3 << 10;
const MIB: u64 = 1 << 20;

pub fn press(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn seconds(n: u64) -> Event {
    Event::Tick(Duration::from_secs(n))
}

fn type_keys<S: Screen>(screen: &mut S, keys: &str) -> Option<S::Answer> {
    keys.chars().map(|c| screen.on(press(KeyCode::Char(c)))).last().flatten()
}

pub fn picture<S: Screen>(screen: &S, look: &Look, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame, look)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y: u16| {
        let cells: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        cells.trim_end().to_owned()
    };
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

/// A screen on its way over a serial line.
pub struct Line(Terminal<Paint>);

impl Line {
    pub fn new(width: u16, height: u16) -> Self {
        let size = Size { width, height };
        Self(Terminal::new(Paint { out: vec![], size, look: Look::ASCII, ask_size: true }).unwrap())
    }

    /// What is sent for this frame.
    pub fn frame<S: Screen>(&mut self, screen: &S) -> Vec<u8> {
        // As full a head as there can be.
        let around = Around { watching: 3, minute: Some(14 * 60 + 3), warnings: 12 };
        let look = Look { around, ..Look::ASCII };
        self.0.draw(|frame| screen.draw(frame, &look)).unwrap();
        std::mem::take(&mut self.0.backend_mut().out)
    }

    pub fn whole<S: Screen>(&mut self, screen: &S) -> Vec<u8> {
        self.0.clear().unwrap();
        self.frame(screen)
    }
}

/// What is printed of bytes for a terminal: all but its control sequences.
pub fn printed(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut pieces = text.split('\x1b');
    let first = pieces.next().unwrap_or_default().to_owned();
    let printed = pieces.fold(first, |all, piece| {
        let end = if piece.starts_with('[') { piece.find(|c: char| c.is_ascii_alphabetic()) } else { None };
        all + end.map_or("", |end| &piece[end + 1..])
    });
    printed.replace(['\r', '\n', '\x0f'], "")
}

/// What is sent is the picture, and not too much for a slow line.
fn is_sent<S: Screen>(name: &str, screen: &S, width: u16, height: u16) {
    let sent = Line::new(width, height).whole(screen);
    if (width, height) == (80, 24) {
        assert!(sent.len() <= REPAINT, "{name}: {} bytes for a whole picture", sent.len());
    }
    let [rows, columns] = [height, width].map(|n| NonZero::new(n).unwrap());
    let mut emulator = vt100::Parser::new(rows, columns, 0);
    emulator.process(&sent);
    let mut drawn = Terminal::new(TestBackend::new(width, height)).unwrap();
    let around = Around { watching: 3, minute: Some(14 * 60 + 3), warnings: 12 };
    drawn.draw(|frame| screen.draw(frame, &Look { around, ..Look::MONO })).unwrap();
    let buffer = drawn.backend().buffer();
    for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
        let cell = emulator.screen().cell(y, x).unwrap();
        let shown = if cell.has_contents() { cell.contents() } else { " " };
        // The last cell is never written.
        let expected = if (x + 1, y + 1) == (width, height) { " " } else { buffer[(x, y)].symbol() };
        assert_eq!(shown, expected, "{name} at {width}x{height}: column {x}, row {y}");
    }
}

/// Compares with the committed picture at each size, and survives every other size.
fn shows<S: Screen>(name: &str, screen: &S) {
    for (width, height) in SIZES.iter().chain(&[(200, 60)]) {
        is_sent(name, screen, *width, *height);
    }
    for (width, height) in SIZES {
        let picture = picture(screen, &Look::MONO, *width, *height);
        assert!(picture.is_ascii(), "{name}: a character beyond ASCII");
        if let Ok(dir) = std::env::var("SCREENS") {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(format!("{dir}/{name}-{width}x{height}.txt"), format!("{picture}\n")).unwrap();
        }
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("{name}-{width}x{height}"), picture);
        });
    }
    for (width, height) in (0..48).flat_map(|w| (0..18).map(move |h| (w, h))) {
        picture(screen, &Look::ASCII, width, height);
    }
    for (width, height) in [(300, 100), (1000, 1), (1, 500), (119, 16), (120, 5), (121, 15)] {
        picture(screen, &Look::UTF8, width, height);
    }
}

pub fn artifact(url: &[&str], trust: Trust, size: Option<u64>, unpacked: Option<u64>) -> Artifact {
    Artifact {
        locations: url.iter().map(|u| Location::parse(u).unwrap()).collect(),
        trust,
        chunks: None,
        pins: vec![],
        connections: 1,
        size,
        unpacked,
        entries: unpacked.map(|_| 17_353),
        drivers: None,
    }
}

fn entry(id: &str, title: &str, group: &str, help: &str, boot: Boot) -> Entry {
    let group = (!group.is_empty()).then(|| group.to_owned());
    let help = (!help.is_empty()).then(|| help.to_owned());
    Entry { help, group, ..Entry::new(id, title, boot) }
}

fn switch_root(archive: Artifact) -> Boot {
    let (size, init, init_args) = (RootSize::Percent(80), None, vec![]);
    Boot::SwitchRoot(Box::new(Root {
        archive,
        size,
        init,
        init_args,
        modules: None,
        fstab: Fstab::default(),
    }))
}

/// A rack's catalog with an entry of every kind.
pub fn catalog() -> Catalog {
    let sha = |text: &str| Trust::Sha256(Sha256::of(text.as_bytes()));
    let rescue = artifact(
        &["http://10.0.2.2:8080/images/rescue.tar.zst", "http://mirror.rack12.example/images/rescue.tar.zst"],
        sha("rescue"),
        Some(53_721_901),
        Some(229_000_000),
    );
    let nightly = artifact(&["http://10.0.2.2:8080/images/nightly.tar.zst"], Trust::Unverified, None, None);
    let huge =
        artifact(&["http://10.0.2.2:8080/images/ci.tar.zst"], sha("ci"), Some(900 * MIB), Some(3100 * MIB));
    Catalog {
        serial: None,
        expires: None,
        title: "Rack 12".into(),
        timeout: Some(Duration::from_secs(10)),
        default: Some(0),
        idle: Duration::from_secs(300),
        retry_for: Duration::from_secs(600),
        on_failure: Action::Reboot,
        folded: vec![],
        password: None,
        mirrors: MirrorOrder::InOrder,
        entries: vec![
            entry(
                "rescue",
                "Rescue console (Debian 12, in memory)",
                "Maintenance",
                "Shell, disk and network tools. Touches no disk.",
                switch_root(rescue),
            ),
            entry(
                "nightly",
                "Debian nightly",
                "Maintenance",
                "Last night's build. Not tested by anybody.",
                switch_root(nightly),
            ),
            entry("ci", "Build worker with all toolchains", "Maintenance", "", switch_root(huge)),
            entry("shell", "Shell", "This machine", "busybox, before anything is booted.", Boot::Shell),
            entry("reboot", "Reboot", "This machine", "", Boot::Reboot),
            entry("off", "Power off", "This machine", "", Boot::PowerOff),
        ],
    }
}

pub fn model() -> MenuModel {
    let catalog = catalog();
    let machine = Machine { memory_total: 2048 * MIB, memory_available: 1862 * MIB, ..Machine::default() };
    MenuModel {
        title: catalog.title.clone(),
        header: vec!["node7".into(), "10.0.2.15".into(), "14:03 UTC".into()],
        source: "http://10.0.2.2:8080/catalog.toml".into(),
        trust: "plain http".into(),
        rows: rows(&catalog, &machine, vec![]),
        default: catalog.default,
        timeout: catalog.timeout,
        idle: catalog.idle,
        ..MenuModel::default()
    }
}

pub fn troubled() -> MenuModel {
    let mut model = model();
    let catalog = catalog();
    let machine = Machine { memory_total: 512 * MIB, memory_available: 200 * MIB, ..Machine::default() };
    let complaint = "catalog.toml:31:1: error: unknown key 'sha265'\n   31 | sha265 = \"ab\"\n      | ^^^^^^\nhint: did you mean 'sha256'?";
    let broken = Broken { title: "bios".into(), complaints: complaint.lines().map(Into::into).collect() };
    model.rows = rows(&catalog, &machine, vec![broken]);
    (model.source, model.trust) = ("built-in catalog".into(), "built-in".into());
    model.notices = vec![
        "the catalog at http://10.0.2.2:8080/catalog.toml could not be read: connecting to 10.0.2.2:8080: connection refused; this is the built-in one".into(),
        "entry 'bios' is refused: catalog.toml:31:1: unknown key 'sha265'".into(),
    ];
    model
}

#[test]
fn the_menu_says_what_each_entry_does_before_a_byte_is_fetched() {
    let mut menu = Menu::new(model());
    menu.on(seconds(0));
    menu.on(Event::Tick(Duration::from_millis(1200)));
    shows("menu", &menu);
    menu.on(press(KeyCode::Char('2')));
    shows("menu-unverified", &menu);
    menu.on(press(KeyCode::Char('4')));
    shows("menu-shell", &menu);
}

#[test]
fn all_that_is_known_of_an_entry_is_one_key_away() {
    let mut menu = Menu::new(model());
    menu.on(press(KeyCode::Char('2')));
    assert_eq!(menu.on(press(KeyCode::Char('d'))), None);
    shows("menu-details", &menu);
    menu.on(press(KeyCode::Esc));
    assert_eq!(menu.on(press(KeyCode::Enter)), Some(MenuAnswer::Boot(1)));
}

#[test]
fn what_is_known_is_a_mark_before_each_entry() {
    let mut catalog = catalog();
    catalog.entries[0].arch = Some("x86_64");
    let machine = Machine {
        arch: "x86_64".into(),
        memory_total: 2048 * MIB,
        memory_available: 1862 * MIB,
        lockdown: Some("integrity".into()),
        devices: Some(vec![
            MachineDevice { name: "eth0".into(), kind: Kind::Nic, drivers: vec!["ixgbe".into()] },
            MachineDevice { name: "nvme0n1".into(), kind: Kind::Disk, drivers: vec!["nvme".into()] },
        ]),
        ..Machine::default()
    };
    let other = Entry { arch: Some("aarch64"), ..catalog.entries[0].clone() };
    let own = Entry {
        arch: Some("x86_64"),
        ..entry("own", "Its own kernel", "Maintenance", "", Boot::Kexec(Box::new(own_kernel())))
    };
    catalog.entries.splice(1..1, [other, own]);
    let mut menu = Menu::new(MenuModel { rows: rows(&catalog, &machine, vec![]), ..model() });
    menu.on(press(KeyCode::Char('3')));
    shows("menu-marks", &menu);
    menu.on(press(KeyCode::Char('d')));
    shows("menu-marks-details", &menu);
}

/// Another kernel whose modules lack what a disk needs.
fn own_kernel() -> Kexec {
    let file = |name: &str, mib: u64| {
        let trust = Trust::Sha256(Sha256::of(name.as_bytes()));
        artifact(&[&format!("http://10.0.2.2:8080/images/{name}")], trust, Some(mib * MIB), None)
    };
    let modules = Artifact { drivers: Some(vec!["ixgbe".into(), "ahci".into()]), ..file("modules.cpio", 12) };
    let archive = Artifact { unpacked: Some(120 * MIB), entries: Some(9000), ..file("debian.tar.zst", 60) };
    let Boot::SwitchRoot(root) = switch_root(archive) else { panic!("a root") };
    Kexec {
        kernel: file("vmlinuz", 8),
        initrd: vec![],
        root: Some(*root),
        modules: Some(modules),
        cmdline: "console=tty0 console=ttyS0,115200".into(),
        carry: Carry::Auto,
    }
}

/// The screen in which an entry is changed, on a machine with room for it.
fn editing(entry: &Entry) -> Edit {
    let machine = Machine {
        arch: "x86_64".into(),
        memory_total: 2048 * MIB,
        memory_available: 1862 * MIB,
        devices: Some(vec![]),
        ..Machine::default()
    };
    Edit::new(entry, machine, Duration::from_secs(300), vec!["node7".into()]).expect("something to change")
}

#[test]
fn an_entry_is_changed_for_one_boot_and_what_comes_of_it_is_seen_while_typing() {
    let own = entry("own", "Its own kernel", "", "", Boot::Kexec(Box::new(own_kernel())));
    let mut edit = editing(&own);
    shows("edit", &edit);
    type_keys(&mut edit, " single");
    shows("edit-changed", &edit);
    edit.on(press(KeyCode::Down));
    edit.on(press(KeyCode::Backspace));
    shows("edit-wrong", &edit);
    assert_eq!(edit.on(press(KeyCode::Enter)), None, "what is wrong cannot be booted");
    type_keys(&mut edit, "%");
    let Some(EditAnswer::Boot(changed)) = edit.on(press(KeyCode::Enter)) else { panic!("a boot") };
    let Boot::Kexec(kexec) = changed.boot else { panic!("a kernel") };
    assert_eq!(kexec.cmdline, "console=tty0 console=ttyS0,115200 single");
    edit.on(press(KeyCode::F(1)));
    shows("edit-help", &edit);
}

#[test]
fn another_mirror_and_a_typed_place_are_asked_first() {
    let rescue = &catalog().entries[0];
    let mut edit = editing(rescue);
    type_keys(&mut edit, "systemd.unit=rescue.target");
    edit.on(press(KeyCode::Down));
    edit.on(press(KeyCode::Down));
    edit.on(press(KeyCode::Right));
    shows("edit-mirror", &edit);
    edit.on(press(KeyCode::Down));
    type_keys(
        &mut edit,
        "https://elsewhere.example/a/rather/long/way/down/to/the/images/rescue-20261130.tar.zst",
    );
    shows("edit-location", &edit);
    let Some(EditAnswer::Boot(changed)) = edit.on(press(KeyCode::Enter)) else { panic!("a boot") };
    let places: Vec<String> = changed.places().unwrap().iter().map(ToString::to_string).collect();
    assert!(places[0].starts_with("https://elsewhere.example/") && places[1].contains("mirror.rack12"));
    assert_eq!(changed.root().unwrap().archive.trust, rescue.root().unwrap().archive.trust);
    edit.on(Event::Key(KeyEvent::new(KeyCode::Char('r'), KeyModifiers::CONTROL)));
    let Some(EditAnswer::Boot(as_before)) = edit.on(press(KeyCode::Enter)) else { panic!("a boot") };
    assert_eq!(&*as_before, rescue);
    assert_eq!(edit.on(press(KeyCode::Esc)), Some(EditAnswer::Back));
}

#[test]
fn whoever_changes_an_entry_and_goes_away_leaves_no_machine_waiting() {
    let mut edit = editing(&catalog().entries[0]);
    assert_eq!(edit.on(seconds(299)), None);
    edit.on(press(KeyCode::Char('x')));
    assert_eq!(edit.on(seconds(299)), None);
    assert_eq!(edit.on(seconds(1)), Some(EditAnswer::Back));
}

#[test]
fn nothing_is_changed_where_nobody_may_have_a_shell_or_nothing_can_be() {
    let mut menu = Menu::new(model());
    assert_eq!(menu.on(press(KeyCode::Char('e'))), Some(MenuAnswer::Edit(0)));
    menu.on(press(KeyCode::Char('4')));
    assert_eq!(menu.on(press(KeyCode::Char('e'))), None, "a shell has nothing to change");
    let mut menu = Menu::new(MenuModel { without_shell: true, ..model() });
    assert_eq!(menu.on(press(KeyCode::Char('e'))), None);
}

#[test]
fn an_entry_that_cannot_boot_stays_visible_with_its_reason() {
    let mut menu = Menu::new(troubled());
    menu.on(press(KeyCode::Home));
    shows("menu-troubled", &menu);
    menu.on(press(KeyCode::End));
    shows("menu-broken", &menu);
    assert_eq!(menu.on(press(KeyCode::Enter)), None, "what the catalog got wrong cannot be booted");
    shows("menu-broken-details", &menu);
    menu.on(press(KeyCode::Esc));
    menu.on(press(KeyCode::Char('!')));
    shows("menu-notices", &menu);
}

/// Another kernel in three ways, and a job: on a machine with room for the first one only.
fn kernels_and_a_job() -> MenuModel {
    let sha = |text: &str| Trust::Sha256(Sha256::of(text.as_bytes()));
    let at = |name: &str| format!("http://10.0.2.2:8080/images/{name}");
    let file = |name: &str, mib: u64| artifact(&[&at(name)], sha(name), Some(mib * MIB), None);
    let root = |mib: u64| Root {
        archive: artifact(&[&at("debian.tar.zst")], sha("debian"), Some(mib * MIB), Some(2 * mib * MIB)),
        size: RootSize::Percent(80),
        init: None,
        init_args: vec![],
        modules: None,
        fstab: Fstab::default(),
    };
    let kexec = Kexec {
        kernel: file("vmlinuz", 8),
        initrd: vec![],
        root: Some(root(60)),
        modules: Some(file("modules.cpio", 12)),
        cmdline: "console=tty0 console=ttyS0,115200".into(),
        carry: Carry::Auto,
    };
    let plain = Kexec {
        initrd: vec![Initrd { artifact: file("initrd.gz", 38), second_stage: false }],
        kernel: artifact(&[&at("linux")], Trust::Unverified, Some(8 * MIB), None),
        root: None,
        modules: None,
        ..kexec.clone()
    };
    let again = Kexec { root: Some(root(400)), modules: None, ..kexec.clone() };
    let job = Job {
        root: root(30),
        command: vec!["/usr/sbin/flash".into(), "--yes".into()],
        timeout: Duration::from_secs(1800),
        on_success: Action::Reboot,
        on_failure: Action::Entry("rescue".into()),
    };
    let boot = |kexec: Kexec| Boot::Kexec(Box::new(kexec));
    let catalog = Catalog {
        entries: vec![
            entry("own", "Debian 12 with its own kernel", "Systems", "", boot(kexec)),
            entry("large", "The same, larger", "Systems", "", boot(again)),
            entry("installer", "Debian installer", "Systems", "", boot(plain)),
            entry("bios", "Flash the BIOS", "Maintenance", "", Boot::Run(Box::new(job))),
        ],
        ..catalog()
    };
    let machine = Machine {
        memory_total: 1000 * MIB,
        memory_available: 900 * MIB,
        own_initrd: 6 * MIB,
        ..Machine::default()
    };
    MenuModel { rows: rows(&catalog, &machine, vec![]), ..model() }
}

#[test]
fn the_menu_says_how_an_archive_gets_into_another_kernel_and_what_follows_a_job() {
    let mut menu = Menu::new(kernels_and_a_job());
    for (key, name) in [('1', "carried"), ('2', "fetched-again"), ('3', "plain-kernel"), ('4', "job")] {
        menu.on(press(KeyCode::Char(key)));
        shows(&format!("menu-{name}"), &menu);
    }
}

#[test]
fn the_help_is_the_table_the_keys_are_acted_on_by() {
    let mut menu = Menu::new(model());
    type_keys(&mut menu, "?");
    shows("menu-help", &menu);
}

#[test]
fn a_long_menu_scrolls_and_says_how_much_there_is() {
    let mut long = model();
    let row = long.rows[1].clone();
    for n in 0..40 {
        let mut more = row.clone();
        (more.title, more.entry) = (format!("Nightly number {n}"), Some(10 + n));
        long.rows.push(more);
    }
    let mut menu = Menu::new(long);
    (0..20).for_each(|_| assert_eq!(menu.on(press(KeyCode::Down)), None));
    shows("menu-long", &menu);
}

/// Two racks' worth of systems, in groups in groups.
pub fn many(folded: &[&str]) -> MenuModel {
    let groups = ["Systems / Debian", "Systems / Rocky", "Maintenance", ""];
    let mut entries: Vec<Entry> = (0..24)
        .map(|n| entry(&format!("e{n}"), &format!("Entry number {n}"), groups[n % 4], "", Boot::Shell))
        .collect();
    entries[6].hotkey = Some('m');
    entries[9].help = Some("Flashes the firmware of the card.".into());
    let catalog = Catalog { entries, ..catalog() };
    let folded = folded.iter().map(ToString::to_string).collect();
    MenuModel {
        rows: rows(&catalog, &Machine::default(), vec![]),
        folded,
        default: None,
        timeout: None,
        ..model()
    }
}

fn chosen(menu: &mut Menu) -> Option<usize> {
    match menu.on(press(KeyCode::Enter)) {
        Some(MenuAnswer::Boot(entry)) => Some(entry),
        _ => None,
    }
}

#[test]
fn a_number_selects_from_10_on_too_if_its_digits_come_soon() {
    let mut menu = Menu::new(many(&[]));
    type_keys(&mut menu, "1");
    menu.on(Event::Tick(Duration::from_millis(400)));
    type_keys(&mut menu, "2");
    assert_eq!(chosen(&mut menu), Some(21), "the twelfth line: the last of the second group");
    type_keys(&mut menu, "1");
    menu.on(Event::Tick(Duration::from_millis(1100)));
    type_keys(&mut menu, "2");
    assert_eq!(chosen(&mut menu), Some(4), "the second");
    // 29 is none: 9 is.
    type_keys(&mut menu, "29");
    assert_eq!(chosen(&mut menu), Some(9));
    type_keys(&mut menu, "00");
    assert_eq!(chosen(&mut menu), Some(9), "0 is none");
}

#[test]
fn groups_are_in_groups_and_fold() {
    let mut menu = Menu::new(many(&[]));
    shows("menu-groups", &menu);
    menu.on(press(KeyCode::Left));
    menu.on(press(KeyCode::Left));
    shows("menu-folded", &menu);
    assert_eq!(chosen(&mut menu), None, "Enter opens it");
    assert_eq!(chosen(&mut menu), None, "and the group in it");
    assert_eq!(chosen(&mut menu), Some(0));
    // What the catalog folds is found by its number all the same.
    let mut menu = Menu::new(many(&["Systems", "Maintenance"]));
    type_keys(&mut menu, "-");
    menu.on(press(KeyCode::Home));
    menu.on(press(KeyCode::Down));
    assert_eq!(chosen(&mut menu), None);
    assert_eq!(chosen(&mut menu), Some(2), "the first of what was folded");
    type_keys(&mut menu, "7");
    assert_eq!(chosen(&mut menu), Some(1));
}

#[test]
fn what_boots_by_itself_is_never_hidden() {
    let model =
        MenuModel { default: Some(4), timeout: Some(Duration::from_secs(5)), ..many(&["Systems / Debian"]) };
    let seen = picture(&Menu::new(model), &Look::MONO, 80, 24);
    assert!(seen.contains("*  2  Entry number 4"), "{seen}");
}

#[test]
fn a_letter_selects_and_boots_nothing() {
    let mut menu = Menu::new(many(&["Maintenance"]));
    assert_eq!(type_keys(&mut menu, "m"), None);
    assert_eq!(chosen(&mut menu), Some(6));
}

#[test]
fn a_search_shows_what_has_the_letters_wherever_it_is() {
    let mut menu = Menu::new(many(&["Systems"]));
    type_keys(&mut menu, "/DEBIAN 2");
    shows("menu-search", &menu);
    menu.on(press(KeyCode::Down));
    assert_eq!(chosen(&mut menu), None, "Enter keeps what was found");
    shows("menu-found", &menu);
    assert_eq!(chosen(&mut menu), Some(20));
    menu.on(press(KeyCode::Esc));
    type_keys(&mut menu, "/firmware");
    chosen(&mut menu);
    assert_eq!(chosen(&mut menu), Some(9), "by its help");
    menu.on(press(KeyCode::Esc));
    type_keys(&mut menu, "/zzz");
    shows("menu-nothing-found", &menu);
    menu.on(press(KeyCode::Esc));
    assert!(chosen(&mut menu).is_some(), "all are there again");
    type_keys(&mut menu, "/q");
    assert!(picture(&menu, &Look::MONO, 80, 24).contains("/q_"), "a letter, even one that leaves a preview");
}

#[test]
fn entries_without_a_group_do_not_look_like_those_of_the_group_above() {
    let mut mixed = model();
    mixed.rows.retain(|r| r.group.is_some());
    let mut alone = mixed.rows[3].clone();
    (alone.title, alone.group) = ("Memory test".into(), None);
    mixed.rows.insert(3, alone);
    // Too low for lines between the groups: this one stays, whatever goes.
    for height in [16, 18, 24, 60] {
        let picture = picture(&Menu::new(mixed.clone()), &Look::MONO, 80, height);
        let lines: Vec<&str> = picture.lines().collect();
        let at = lines.iter().position(|l| l.contains("  4  Memory test")).unwrap();
        assert!(lines[at - 1].is_empty() || !picture.contains(" Maintenance"), "{picture}");
    }
}

#[test]
fn who_signed_the_catalog_stands_under_the_head_and_in_it_where_there_is_no_room_under_it() {
    let by = |trust: &str| Menu::new(MenuModel { trust: trust.into(), ..model() });
    shows("menu-signed", &by("signed by E7620F1842B4E81F"));
    shows("menu-signed-by-two", &by("signed by E7620F1842B4E81F, 0123456789ABCDEF (2 of 3)"));
    for (width, height) in SIZES {
        let picture = picture(&by("signed by E7620F1842B4E81F"), &Look::MONO, *width, *height);
        assert!(picture.contains("signed by E7620F1842B4E81F"), "{picture}");
    }
    let low = picture(&by("signed by E7620F1842B4E81F, 0123456789ABCDEF (2 of 3)"), &Look::MONO, 40, 12);
    assert!(low.contains("signed by ") && low.contains(" (2 of 3)\n"), "{low}");
}

#[test]
fn an_empty_menu_is_a_menu() {
    shows("menu-empty", &Menu::new(MenuModel { title: "bootjack".into(), ..MenuModel::default() }));
}

#[test]
fn keys_choose() {
    let mut menu = Menu::new(model());
    assert_eq!(menu.on(press(KeyCode::Enter)), Some(MenuAnswer::Boot(0)));
    assert_eq!(type_keys(&mut menu, "jj3k"), None);
    assert_eq!(menu.on(press(KeyCode::Enter)), Some(MenuAnswer::Boot(1)));
    assert_eq!(type_keys(&mut menu, "p"), Some(MenuAnswer::Power));
    assert_eq!(type_keys(&mut menu, "s"), Some(MenuAnswer::Shell));
    assert_eq!(type_keys(&mut menu, "n"), Some(MenuAnswer::Network));
    assert_eq!(type_keys(&mut menu, "q"), None, "there is nowhere to leave to");
    assert_eq!(menu.on(press(KeyCode::Esc)), None);
}

#[test]
fn the_machine_is_left_as_somebody_chooses_and_by_nobody() {
    let entry = |number, name: &str| BootEntry { number, name: name.into(), current: number == 1 };
    let entries = vec![entry(1, "UEFI PXEv4 (MAC:525400123456)"), entry(0, "debian"), entry(0xa, "Windows")];
    let firmware = Firmware { setup: true, entries };
    let idle = Duration::from_secs(300);
    let mut power = Power::new(Some(&firmware), idle, vec!["node7".into()]);
    power.on(press(KeyCode::Down));
    shows("power", &power);
    assert_eq!(power.on(press(KeyCode::Enter)), Some(PowerAnswer::PowerOff));
    assert_eq!(type_keys(&mut power, "3"), None, "a digit selects");
    assert_eq!(power.on(press(KeyCode::Enter)), Some(PowerAnswer::Setup));
    power.on(press(KeyCode::End));
    assert_eq!(power.on(press(KeyCode::Enter)), Some(PowerAnswer::Next(0xa)));
    assert_eq!(power.on(press(KeyCode::Esc)), Some(PowerAnswer::Back));
    assert_eq!(power.on(seconds(299)), None);
    assert_eq!(power.on(seconds(1)), Some(PowerAnswer::Back));
    let mut bios = Power::new(None, idle, vec!["node7".into()]);
    shows("power-bios", &bios);
    assert_eq!(type_keys(&mut bios, "3"), None);
    assert_eq!(bios.on(press(KeyCode::Enter)), Some(PowerAnswer::Reboot));
}

#[test]
fn the_menu_boots_its_default_and_not_what_is_selected() {
    let mut menu = Menu::new(model());
    assert_eq!(menu.on(seconds(9)), None);
    assert_eq!(menu.on(seconds(1)), Some(MenuAnswer::Boot(0)));
    let mut menu = Menu::new(model());
    menu.on(press(KeyCode::Down));
    assert_eq!(menu.on(seconds(11)), None, "a key stops the countdown");
    shows("menu-stopped", &menu);
    assert_eq!(menu.on(seconds(300)), None);
    shows("menu-rearmed", &menu);
    assert_eq!(menu.on(seconds(10)), Some(MenuAnswer::Boot(0)));
}

#[test]
fn a_preview_can_be_left_and_offers_nothing_it_cannot_do() {
    for leave in [KeyCode::Esc, KeyCode::Char('q')] {
        let mut menu = Menu::new(MenuModel { preview: true, ..model() });
        assert_eq!(type_keys(&mut menu, "srrpp"), None);
        shows("menu-preview", &menu);
        assert_eq!(menu.on(press(leave)), Some(MenuAnswer::Leave));
    }
}

fn nics() -> Vec<NicLine> {
    let nic = |name: &str, mac: &str, driver: &str, link, doing| NicLine {
        name: name.into(),
        mac: mac.into(),
        driver: driver.into(),
        link,
        doing,
        error: None,
    };
    let ready = Doing::Ready { addresses: vec!["10.0.2.15/24".into()], from: "DHCP from 10.0.2.2".into() };
    let mut waiting = nic(
        "eth0",
        "52:54:00:12:34:56",
        "virtio_net",
        Link::Up,
        Doing::Dhcp { attempt: 3, next: Some(Duration::from_millis(3400)) },
    );
    waiting.error = Some("DHCPNAK from 10.0.2.3: address not available".into());
    vec![
        waiting,
        nic("eno1np0", "3c:ec:ef:01:02:03", "e1000e", Link::Down, Doing::AwaitingLink),
        nic("eth2", "3c:ec:ef:01:02:04", "ixgbe", Link::Up, ready),
    ]
}

#[test]
fn a_wait_for_the_network_says_what_each_card_does() {
    let awaited = Awaited {
        what: "the catalog http://10.0.2.2:8080/catalog.toml".into(),
        error: Some("connecting to 10.0.2.2:8080: connection refused".into()),
        next: Some(Duration::from_secs(4)),
        built_in: true,
        over: false,
        notes: vec![],
        ssh: None,
    };
    let mut network = Network::new(awaited.clone(), vec!["node7".into()]);
    shows("network-no-card", &network);
    network.on(seconds(75));
    network.update(nics(), Awaited { next: None, ..awaited.clone() });
    network.update(nics(), awaited.clone());
    shows("network", &network);
    assert_eq!(type_keys(&mut network, "b"), Some(NetworkAnswer::BuiltIn));
    assert_eq!(network.on(press(KeyCode::Enter)), Some(NetworkAnswer::Retry));
    network.update(nics(), Awaited { built_in: false, ..awaited });
    assert_eq!(type_keys(&mut network, "b"), None, "what is not offered does nothing");
    assert_eq!(network.on(press(KeyCode::Esc)), Some(NetworkAnswer::Back));
}

#[test]
fn an_address_is_given_by_hand_where_no_server_gives_one() {
    let mut network = Network::new(Awaited::default(), vec![]);
    assert_eq!(type_keys(&mut network, "a"), Some(NetworkAnswer::Address));
    assert_eq!(type_keys(&mut Network::new(Awaited::default(), vec![]).without_shell(), "a"), None);
    let mut screen = Address::new(vec!["eth0".into(), "eth1".into()], vec!["node7".into()]);
    shows("address", &screen);
    screen.on(press(KeyCode::Right));
    screen.on(press(KeyCode::Down));
    type_keys(&mut screen, "10.0.0.7/24");
    screen.on(press(KeyCode::Tab));
    type_keys(&mut screen, "10.0.1.1");
    assert_eq!(screen.on(press(KeyCode::Enter)), None, "a gateway in another network");
    shows("address-wrong", &screen);
    type_keys(&mut screen, "");
    (0..3).for_each(|_| drop(screen.on(press(KeyCode::Backspace))));
    type_keys(&mut screen, "0.1");
    screen.on(press(KeyCode::Down));
    type_keys(&mut screen, "10.0.0.2, 9.9.9.9");
    shows("address-typed", &screen);
    let fixed = Static {
        address: "10.0.0.7".parse().unwrap(),
        prefix: 24,
        gateway: Some("10.0.0.1".parse().unwrap()),
        nameservers: vec!["10.0.0.2".parse().unwrap(), "9.9.9.9".parse().unwrap()],
    };
    assert_eq!(screen.on(press(KeyCode::Enter)), Some(AddressAnswer::Set("eth1".into(), fixed)));
    for (typed, why) in
        [("10.0.0.7", "needs its network"), ("10.0.0.7/33", "0 to 32"), ("10.0.0/8", "no IPv4")]
    {
        let mut screen = Address::new(vec!["eth0".into()], vec![]);
        type_keys(&mut screen, typed);
        assert!(picture(&screen, &Look::MONO, 80, 24).contains(why), "{typed}");
        assert_eq!(screen.on(press(KeyCode::Enter)), None);
    }
    assert_eq!(screen.on(seconds(300)), Some(AddressAnswer::Back));
}

#[test]
fn a_test_says_where_the_way_to_the_server_ends() {
    let mut network = Network::new(Awaited { over: true, ..Awaited::default() }, vec!["node7".into()]);
    assert_eq!(type_keys(&mut network, "t"), Some(NetworkAnswer::Test));
    let step = |what, verdict, words: &str, hint| Step {
        what,
        verdict,
        words: words.into(),
        took: Duration::from_millis(12),
        hint,
    };
    network.update(nics(), Awaited { over: true, ..Awaited::default() });
    let mut tested = Tested {
        what: "http://images.rack12.example/catalog.toml".into(),
        steps: vec![
            step("link", Verdict::Good, "eth0", None),
            step("lease", Verdict::Good, "eth0 10.0.2.15/24 from 10.0.2.2", None),
            step(
                "gateway",
                Verdict::Unknown,
                "10.0.2.2 is there, or silent: it drops what nobody asked for",
                None,
            ),
        ],
        goes_on: true,
    };
    network.tested(Some(tested.clone()));
    shows("network-test", &network);
    let hint = Some("check nameserver=, or name the server by its address");
    tested.steps.push(step(
        "name",
        Verdict::Bad,
        "images.rack12.example: no answer within 5 s (asking 10.0.2.3)",
        hint,
    ));
    tested.goes_on = false;
    network.tested(Some(tested));
    shows("network-test-ends", &network);
}

#[test]
fn a_word_of_the_network_that_cannot_be_had_is_seen_while_waiting() {
    let notes = vec!["kernel command line: vlan=v5:eth0: comes with a later version".to_owned()];
    let awaited = Awaited { what: "an address".into(), notes, ..Awaited::default() };
    let network = Network::new(awaited, vec![]);
    let seen = picture(&network, &Look::MONO, 80, 24);
    assert!(seen.contains("vlan=v5:eth0: comes with a later version"), "{seen}");
}

#[test]
fn how_to_log_in_is_seen_while_waiting_and_when_looking_and_can_be_compared() {
    let fingerprint = format!("SHA256:{}", "abcdefghijkl".repeat(4).split_at(43).0);
    let ssh = Some(format!("ssh: root, host key {fingerprint}"));
    for over in [false, true] {
        let awaited = Awaited { what: "an address".into(), over, ssh: ssh.clone(), ..Awaited::default() };
        let mut network = Network::new(awaited.clone(), vec![]);
        network.update(nics(), awaited);
        let seen = picture(&network, &Look::MONO, 80, 24);
        assert!(seen.contains(&format!("ssh: root, host key {fingerprint}")), "{seen}");
        let narrow = picture(&network, &Look::MONO, 40, 12);
        assert!(narrow.replace(['\n', ' '], "").contains(&fingerprint), "{narrow}");
    }
}

#[test]
fn a_shell_that_is_forbidden_is_neither_offered_nor_had() {
    let offered = |seen: String| seen.contains("s shell");
    let failure = || Failure::new(failed(), vec![], log());
    let mut without = failure().without_shell();
    assert!(offered(picture(&failure(), &Look::MONO, 80, 24)));
    assert!(!offered(picture(&without, &Look::MONO, 80, 24)));
    assert_eq!(type_keys(&mut without, "s"), None);
    let mut waiting = Network::new(Awaited::default(), vec![]).without_shell();
    assert!(!offered(picture(&waiting, &Look::MONO, 80, 24)));
    assert_eq!(type_keys(&mut waiting, "s"), None);
    let model = MenuModel { rows: vec![], ..MenuModel::default() };
    let mut menu = Menu::new(MenuModel { without_shell: true, ..model.clone() });
    assert_eq!(type_keys(&mut menu, "s"), None);
    assert_eq!(type_keys(&mut Menu::new(model), "s"), Some(MenuAnswer::Shell));
    let first = picture(&failure().with_shell_first(), &Look::MONO, 80, 24);
    assert!(first.contains("Press s for a shell. What now?"), "{first}");
}

#[test]
fn whoever_only_looked_at_the_network_and_left_keeps_nothing_waiting() {
    let mut network = Network::new(Awaited { over: true, ..Awaited::default() }, vec![]);
    assert_eq!(network.on(seconds(299)), None);
    assert_eq!(type_keys(&mut network, "x"), None);
    assert_eq!(network.on(seconds(299)), None, "a key begins the time anew");
    assert_eq!(network.on(seconds(1)), Some(NetworkAnswer::Back));
    let mut waiting = Network::new(Awaited::default(), vec![]);
    assert_eq!(waiting.on(seconds(100_000)), None, "what is waited for is not given up");
}

#[test]
fn a_held_menu_without_a_default_goes_on_when_nobody_is_there_any_more() {
    let model = MenuModel { default: None, ..model() };
    assert!(model.timeout.is_some());
    let mut menu = Menu::held(model.clone());
    let status = |menu: &Menu, said: &str| picture(menu, &Look::MONO, 80, 24).contains(said);
    assert!(status(&menu, "Stopped. Goes on by itself after"));
    assert_eq!(menu.on(Event::Tick(model.idle)), None);
    assert!(status(&menu, "goes on by itself in"));
    assert_eq!(menu.on(seconds(3600)), Some(MenuAnswer::Reload));
}

#[test]
fn a_job_that_ended_well_is_not_called_a_failure() {
    let said = load::Failure::because(Phase::Worker, "bios", "the job ended well");
    let screen = Failure::new(said, vec![], vec![]).went_well().without_retry();
    let shown = picture(&screen, &Look::MONO, 80, 24);
    assert!(shown.contains("Done") && shown.contains("the job ended well"), "{shown}");
    assert!(!shown.contains("Failed") && !shown.contains("cause"), "{shown}");
}

#[test]
fn the_pause_before_the_next_try_counts_down_and_the_try_is_called_one() {
    let awaited = Awaited {
        what: "the catalog".into(),
        error: Some("connection refused".into()),
        next: Some(Duration::from_secs(8)),
        ..Awaited::default()
    };
    let line = |network: &Network| {
        let picture = picture(network, &Look::MONO, 80, 24);
        picture.lines().find(|l| l.contains(" since ")).unwrap_or_default().trim().to_owned()
    };
    let mut network = Network::new(Awaited { next: None, error: None, ..awaited.clone() }, vec![]);
    network.on(seconds(5));
    assert_eq!(line(&network), "since 5 s");
    for (passed, shown) in [
        (0, "since 5 s; next try in 8 s"),
        (3, "since 8 s; next try in 5 s"),
        (5, "since 13 s; trying now"),
        (20, "since 33 s; trying now"),
    ] {
        network.on(seconds(passed));
        // Told again and again, as the loop around it does: the same pause is no new one.
        network.update(nics(), awaited.clone());
        assert_eq!(line(&network), shown);
    }
    network.update(nics(), Awaited { next: Some(Duration::from_secs(16)), ..awaited });
    assert_eq!(line(&network), "since 33 s; next try in 16 s");
}

pub fn loading() -> Loading {
    let machine = Machine { memory_total: 2048 * MIB, memory_available: 1862 * MIB, ..Machine::default() };
    Loading::new(&plan(&catalog().entries[0], &machine).unwrap(), vec!["node7".into()])
}

#[test]
fn no_update_of_progress_is_more_than_a_slow_line_takes() {
    let (mut loading, mut line) = (loading(), Line::new(80, 24));
    let location = Location::parse("http://10.0.2.2:8080/images/rescue.tar.zst").unwrap();
    loading.report(Report::Opening { artifact: "root".into(), location: location.clone() });
    loading.report(Report::Started { location, bytes: None });
    loading.tell_free(1862 << 20);
    line.whole(&loading);
    let (mut sent, mut fetched) = (Vec::new(), 0);
    // The last update of all says that it is the last, once.
    while fetched < 53_300_000 {
        loading.on(Event::Tick(Duration::from_millis(250)));
        // As uneven as a network is; nothing at all for 4 s in between.
        let goes_on = !(100..116).contains(&sent.len());
        fetched += if goes_on { 70_001 + 39_989 * (sent.len() as u64 % 7) } else { 0 };
        loading.report(Report::Progress { fetched, unpacked: fetched * 229 / 54, entries: fetched / 3096 });
        // As often as the boot looks.
        if sent.len().is_multiple_of(4) {
            loading.tell_free((1862 << 20) - fetched * 4);
        }
        sent.push(line.frame(&loading).len());
    }
    let (most, all) = (sent.iter().max().unwrap(), sent.iter().sum::<usize>());
    println!("{} updates, {most} bytes at most, {} in the mean", sent.len(), all / sent.len());
    assert!(sent.len() > 200 && *most <= 120, "{sent:?}");
}

#[test]
fn of_a_second_of_the_countdown_only_its_digits_are_sent() {
    let (mut menu, mut line) =
        (Menu::new(MenuModel { timeout: Some(Duration::from_secs(100)), ..troubled() }), Line::new(80, 24));
    menu.on(seconds(0));
    menu.on(seconds(2));
    line.whole(&menu);
    for left in (11..98).rev() {
        menu.on(seconds(1));
        let sent = printed(&line.frame(&menu));
        let text = left.to_string();
        assert!(!sent.is_empty() && text.ends_with(&sent), "{left}: {sent:?}");
        assert!(line.frame(&menu).is_empty(), "nothing changed");
    }
}

#[test]
fn loading_an_image_says_that_nothing_is_unpacked() {
    let mut loading = loading();
    let location = Location::parse("http://a/root.squashfs").unwrap();
    loading.report(Report::Opening { artifact: "root".into(), location: location.clone() });
    loading.report(Report::Started { location, bytes: None });
    loading.report(Report::Image(Image::Squashfs));
    loading.on(seconds(1));
    loading.report(Report::Progress { fetched: 20_000_000, unpacked: 0, entries: 0 });
    loading.tell_free(1043 << 20);
    shows("loading-image", &loading);
}

#[test]
fn what_came_before_a_connection_broke_stays_on_the_screen() {
    let mut loading = loading();
    let Boot::SwitchRoot(root) = catalog().entries[0].clone().boot else { panic!("a root") };
    let [one, two] = [&root.archive.locations[0], &root.archive.locations[1]].map(Clone::clone);
    loading.report(Report::Opening { artifact: "root".into(), location: one.clone() });
    loading.report(Report::Started { location: one.clone(), bytes: None });
    let progress =
        |fetched: u64| Report::Progress { fetched, unpacked: 4 * fetched, entries: fetched / 4000 };
    loading.on(seconds(2));
    loading.report(progress(20_000_000));
    loading.report(Report::Retrying(Retrying {
        error: format!(
            "{one}: reading from 10.0.2.2:80: nothing came for 10 s after 20000000 of 53721901 bytes"
        ),
        location: one,
        attempt: 1,
        wait: Duration::from_secs(3),
        budget_left: Duration::from_secs(290),
        next: two,
        from: 20_000_000,
        wrong_bytes: false,
    }));
    // Told while it waits, too: that changes nothing.
    loading.on(seconds(1));
    loading.report(progress(20_000_000));
    shows("loading-going-on", &loading);
    loading.on(seconds(3));
    loading.report(progress(22_000_000));
    let screen = picture(&loading, &Look::MONO, 80, 24);
    assert!(screen.contains("(2 of 2)") && !screen.contains("going on"), "{screen}");
}

#[test]
fn loading_shows_how_much_how_fast_and_how_long_yet() {
    let mut loading = loading();
    let first = catalog().entries[0].clone();
    let Boot::SwitchRoot(root) = first.boot else { panic!("a root") };
    let [one, two] = [&root.archive.locations[0], &root.archive.locations[1]].map(Clone::clone);
    loading.report(Report::Opening { artifact: "root".into(), location: one.clone() });
    loading.on(seconds(3));
    shows("loading-opening", &loading);
    let error = "connecting to 10.0.2.2:8080: connection timed out".to_owned();
    loading.report(Report::Retrying(Retrying {
        location: two.clone(),
        error,
        attempt: 2,
        wait: Duration::from_secs(3),
        budget_left: Duration::from_secs(300),
        next: two.clone(),
        from: 0,
        wrong_bytes: false,
    }));
    loading.on(seconds(1));
    shows("loading-retrying", &loading);
    loading.on(seconds(2));
    loading.report(Report::Started { location: two, bytes: None });
    for step in 1..=12u64 {
        loading.on(Event::Tick(Duration::from_millis(500)));
        loading.report(Report::Progress {
            fetched: step * 2_000_000,
            unpacked: step * 8_000_000,
            entries: step * 600,
        });
    }
    shows("loading", &loading);
    loading.on(seconds(7));
    shows("loading-stalled", &loading);
    loading.report(Report::Progress { fetched: 53_721_901, unpacked: 229_000_000, entries: 17_353 });
    loading.report(Report::Verified { artifact: "root".into(), trust: root.archive.trust });
    shows("loading-verified", &loading);
    assert_eq!(loading.on(press(KeyCode::Enter)), None);
    assert_eq!(loading.on(press(KeyCode::Esc)), Some(Cancel));
}

pub fn job() -> job::Job {
    let command = ["/usr/sbin/flash", "--yes", "--image", "/firmware/x12-2.14.bin"].map(str::to_owned);
    let facts = vec!["node7".into(), "10.0.2.15".into(), "14:03 UTC".into()];
    job::Job::new("Flash the BIOS", &command, Duration::from_secs(1800), job::size_on((80, 24)), facts)
}

#[test]
fn a_job_says_that_it_works_since_when_and_what_it_says_itself() {
    let mut job = job();
    shows("job-silent", &job);
    (1..=40).for_each(|n| job.output(format!("reading block {n} of 40\r\n").as_bytes()));
    job.output(b"\x1b[1mwriting\x1b[m\r\n[###       ]  30 %\r[######    ]  60 %");
    job.on(seconds(12));
    shows("job", &job);
    type_keys(&mut job, "l");
    shows("job-log", &job);
    type_keys(&mut job, "q?");
    shows("job-help", &job);
    type_keys(&mut job, "qx");
    shows("job-asks", &job);
    assert_eq!(type_keys(&mut job, "x"), Some(JobAnswer::Stop));
    shows("job-stopping", &job);
    job.end(&End::Stopped);
    shows("job-stopped", &job);
}

#[test]
fn a_job_that_ended_well_says_so() {
    let mut job = job();
    job.output(b"BIOS 2.13 -> 2.14\r\n");
    job.on(seconds(125));
    job.end(&End::Exit(0));
    shows("job-done", &job);
}

fn failed() -> load::Failure {
    load::Failure {
        phase: Phase::Verify,
        thing: "http://10.0.2.2:8080/images/rescue.tar.zst".into(),
        cause: vec![
            format!("the digest is not the expected one: expected sha256 {}", Sha256::of(b"a")),
            format!("got sha256 {} over 53721901 bytes", Sha256::of(b"b")),
        ],
        hint: Some(
            "the image was replaced without its digest: run `bootjack pack` again, or ask its owner".into(),
        ),
    }
}

fn log() -> Vec<String> {
    (1..=30).map(|n| format!("{n:>5}.0 s  root: line {n} of what happened")).collect()
}

/// As `early::log` writes it.
fn boot_log() -> Vec<String> {
    let line = |n: usize| match n % 8 {
        3 => format!(
            "[    {n}.004] warning: try 1 of http://10.0.2.2:8080/images/rescue.tar.zst: connecting: refused"
        ),
        7 => format!("[    {n}.127] error: fetch: rescue: no mirror left"),
        _ => format!("[    {n}.500] eth0: something that is worth a line, number {n}"),
    };
    (10..60).map(line).collect()
}

#[test]
fn a_failure_says_phase_thing_cause_and_way_out() {
    let mut failure = Failure::new(failed(), vec!["node7".into(), "14:03 UTC".into()], log());
    shows("failure", &failure);
    type_keys(&mut failure, "l");
    failure.log().expect("the log is open").told(boot_log());
    shows("failure-log", &failure);
    type_keys(&mut failure, "w");
    shows("failure-log-warnings", &failure);
    type_keys(&mut failure, "a/CONNECT");
    shows("failure-log-find", &failure);
    failure.on(press(KeyCode::Enter));
    failure.on(press(KeyCode::Esc));
    assert!(failure.log().is_none());
    let mut failure = Failure::new(failed(), vec![], log());
    assert_eq!(type_keys(&mut failure, "eo"), None, "nothing to change, and no other mirror");
    let mut failure = failure.with_edit().with_other_mirror();
    assert!(picture(&failure, &Look::MONO, 80, 24).contains("e edit  o mirror"));
    assert_eq!(type_keys(&mut failure, "e"), Some(FailureAnswer::Edit));
    assert_eq!(type_keys(&mut failure, "o"), Some(FailureAnswer::OtherMirror));
    let mut failure = Failure::new(failed(), vec!["node7".into(), "14:03 UTC".into()], log());
    type_keys(&mut failure, "q");
    assert_eq!(type_keys(&mut failure, "r"), Some(FailureAnswer::Retry));
    assert_eq!(type_keys(&mut failure, "m"), Some(FailureAnswer::Menu));
    assert_eq!(type_keys(&mut failure, "s"), Some(FailureAnswer::Shell));
    assert_eq!(type_keys(&mut failure, "b"), None);
    assert_eq!(type_keys(&mut failure, "b"), Some(FailureAnswer::Reboot));
    assert_eq!(type_keys(&mut failure, "p"), Some(FailureAnswer::Power));
    let mut last = Failure::new(failed(), vec![], vec![]).without_menu().without_retry();
    assert_eq!(type_keys(&mut last, "mr"), None);
}

#[test]
fn an_unattended_failure_goes_on() {
    let declared = || {
        Failure::new(failed(), vec![], vec![]).declare(
            "rebooting",
            Duration::from_secs(30),
            Duration::from_secs(300),
        )
    };
    let mut failure = declared();
    shows("failure-unattended", &failure);
    assert_eq!(failure.on(seconds(29)), None);
    assert_eq!(failure.on(seconds(1)), Some(FailureAnswer::Declared));
}

#[test]
fn a_key_stops_an_unattended_failure_until_nobody_is_there_any_more() {
    let fresh = || Failure::new(failed(), vec![], vec![]);
    let idle = Duration::from_secs(300);
    let declared = || fresh().declare("rebooting", Duration::from_secs(30), idle);
    let status = |failure: &Failure| {
        let picture = picture(failure, &Look::MONO, 80, 24);
        picture.lines().find(|l| l.contains("ebooting")).unwrap_or_default().trim().to_owned()
    };
    let stopped = "Stopped: not rebooting. What now?";
    let mut pressed = declared();
    assert_eq!(pressed.on(seconds(29)), None);
    pressed.on(press(KeyCode::Down));
    for mut failure in [pressed, declared().held()] {
        assert_eq!(status(&failure), stopped);
        assert_eq!(failure.on(seconds(299)), None);
        assert_eq!(status(&failure), stopped);
        failure.on(press(KeyCode::Down));
        assert_eq!(failure.on(seconds(299)), None);
        assert_eq!(status(&failure), stopped, "each key begins the idle time anew");
        assert_eq!(failure.on(seconds(1)), None);
        assert_eq!(status(&failure), "Rebooting in 30 s - any key stops");
        assert_eq!(failure.on(seconds(29)), None);
        assert_eq!(failure.on(seconds(1)), Some(FailureAnswer::Declared));
    }
    for mut failure in [fresh(), fresh().held()] {
        (0..100).for_each(|_| assert_eq!(failure.on(seconds(1000)), None));
        assert_eq!(status(&failure), "");
    }
}

fn locked() -> Locked {
    let uuid = Some("5b4c2f0e-9d9a-4a55-8a51-2f7d6c1b0a99".into());
    let content = Content { kind: "crypto_LUKS", label: Some("images".into()), uuid, ..Content::default() };
    let (name, path) = ("vdb".into(), "/dev/vdb".into());
    let device = Device { name, path, size: 48 << 20, content: Some(content), ..Device::default() };
    Locked::new(device).unwrap()
}

#[test]
fn a_passphrase_is_asked_for_without_being_shown() {
    let mut screen = Passphrase::new(&locked(), 3, Some(Duration::from_secs(600)), vec!["node7".into()]);
    // What means something elsewhere is a letter here.
    assert_eq!(type_keys(&mut screen, "wrong? qs1"), None);
    let shown = picture(&screen, &Look::MONO, 80, 24);
    assert!(!shown.contains("wrong") && shown.contains(&format!("{}_", "*".repeat(10))), "{shown}");
    assert_eq!(screen.on(press(KeyCode::Backspace)), None);
    assert!(picture(&screen, &Look::MONO, 80, 24).contains(&format!(" {}_", "*".repeat(9))));
    assert_eq!(screen.on(press(KeyCode::Enter)), Some(PassphraseAnswer::Open));
    assert_eq!(screen.opening().letters(), 9);
    // What is typed while it is tried is not meant for the next question.
    assert_eq!(type_keys(&mut screen, "x"), None);
    assert!(screen.refused("no key with this passphrase"));
    assert_eq!(type_keys(&mut screen, "secret"), None);
    shows("passphrase-again", &screen);
    let control_u = Event::Key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
    assert_eq!(screen.on(control_u), None);
    assert_eq!(screen.opening().letters(), 0);
    assert!(screen.refused("no key with this passphrase"));
    assert!(!screen.refused("no key with this passphrase"), "three tries");
    assert_eq!(screen.on(press(KeyCode::Esc)), Some(PassphraseAnswer::Leave));
}

#[test]
fn a_passphrase_that_nobody_types_is_not_waited_for_for_ever() {
    let mut screen = Passphrase::new(&locked(), 3, Some(Duration::from_secs(20)), vec![]);
    assert_eq!(screen.on(seconds(19)), None);
    assert_eq!(type_keys(&mut screen, "a"), None, "somebody is there");
    assert_eq!(screen.on(seconds(19)), None);
    assert_eq!(screen.on(seconds(1)), Some(PassphraseAnswer::TimeUp));
    // While it is opened, time means nothing.
    drop(screen.opening());
    assert_eq!(screen.on(seconds(100)), None);
    let mut attended = Passphrase::new(&locked(), 3, None, vec![]);
    assert_eq!(attended.on(seconds(100_000)), None);
}

#[test]
fn a_password_is_asked_for_with_what_it_is_for() {
    let patience = Duration::from_secs(60);
    let mut screen = Passphrase::for_password("a shell", 3, patience, vec!["node7".into()]);
    assert_eq!(type_keys(&mut screen, "sesame"), None);
    let seen = picture(&screen, &Look::MONO, 80, 24);
    assert!(!seen.contains("sesame") && seen.contains("a shell"), "{seen}");
    shows("password", &screen);
}

#[test]
fn a_device_that_is_waited_for_is_named_with_the_time_it_has() {
    let named = "rd.luks.uuid=5b4c2f0e";
    let mut screen = Passphrase::looking_for(named, Duration::from_secs(30), vec!["node7".into()]);
    assert_eq!(screen.on(seconds(12)), None);
    shows("passphrase-looking", &screen);
    assert_eq!(type_keys(&mut screen, "x"), None);
    assert_eq!(screen.on(press(KeyCode::Esc)), Some(PassphraseAnswer::Leave));
}
