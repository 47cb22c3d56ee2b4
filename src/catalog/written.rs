//! From the text of a catalog to its meaning: the file as a whole. Every problem
//! is found in one pass, by walking the TOML tree with its places. No file and no network is touched.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeTable;

use super::entries::{Entries, Name};
use super::menu::{self, Menu};
use super::problem::{Page, Problem, Severity, quoted};
use super::table::{At, Table};
use super::{Catalog, Entry, age};
use crate::fetch::Location;

/// What a catalog became.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// How messages call the catalog: its path or URL.
    pub origin: String,
    /// Absent if the file as a whole is refused.
    pub catalog: Option<Catalog>,
    /// Entries that are refused, in the order written.
    pub refused: Vec<RefusedEntry>,
    /// All problems, those of refused entries too, in file order.
    pub problems: Vec<Problem>,
}

/// An entry that cannot be booted, with as much of its name as could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEntry {
    pub id: Option<String>,
    pub title: Option<String>,
    pub problems: Vec<Problem>,
}

impl Parsed {
    /// Whether anything is wrong beyond warnings.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error)
    }

    /// Every problem as `check` shows it, an empty line between two.
    pub fn render(&self) -> String {
        let all: Vec<String> = self.problems.iter().map(|p| p.render(&self.origin)).collect();
        all.join("\n\n")
    }
}

/// Bytes of the longest catalog that is read: a thousand times what a person writes.
pub const TEXT_LIMIT: usize = 4 << 20;

/// Said of a longer one.
const TOO_LONG: &str = "the catalog is longer than 4 MiB";

/// The versions this bootjack reads.
const VERSION: u64 = 1;

/// Those that are values; the others are tables.
const TOP_VALUES: &[&str] = &["version", "serial", "expires"];
const TOP_TABLES: &[&str] = &["menu", "defaults", "entry"];
const TOP_KEYS_LATER: &[&str] = &["include", "network", "hooks", "files", "report", "when"];

/// The text in the bytes of a catalog.
///
/// # Errors
/// The problem: more than [`TEXT_LIMIT`], or the first byte that is no UTF-8 (TOML is UTF-8 by definition).
pub fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    if bytes.len() > TEXT_LIMIT {
        return Err(Problem::at("", 1, 0..0, Severity::Error, TOO_LONG.into()));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        // The valid part is text: that is what `valid_up_to` says.
        let text = std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default();
        let message = format!("byte {:#04x} is no UTF-8 text", bytes[e.valid_up_to()]);
        let line = text.matches('\n').count() + 1;
        let problem = Problem::at(text, line, text.len()..text.len(), Severity::Error, message);
        Problem { hint: Some("save the catalog as UTF-8".into()), ..problem }
    })
}

/// Reads the catalog `text`, which was found at `base`; `origin` is what messages call it.
pub fn parse(text: &str, base: &Location, origin: &str) -> Parsed {
    let page = Page::new(text);
    let read = read(&page, base);
    let catalog_refused = page.refused();
    let problems = page.finish();
    let (catalog, names) = read.map_or((None, Vec::new()), |(catalog, names)| (Some(catalog), names));
    let refused = names.into_iter().map(|(index, id, title)| {
        let own = problems.iter().filter(|(entry, _)| *entry == Some(index));
        RefusedEntry { id, title, problems: own.map(|(_, problem)| problem.clone()).collect() }
    });
    Parsed {
        origin: origin.to_owned(),
        refused: refused.collect(),
        catalog: catalog.filter(|_| !catalog_refused),
        problems: problems.into_iter().map(|(_, problem)| problem).collect(),
    }
}

/// As [`parse`], of bytes that may be no text; then that is the one problem.
pub fn parse_bytes(bytes: &[u8], base: &Location, origin: &str) -> Parsed {
    match decode(bytes) {
        Ok(text) => parse(text, base, origin),
        Err(problem) => {
            let origin = origin.to_owned();
            Parsed { origin, catalog: None, refused: Vec::new(), problems: vec![problem] }
        }
    }
}

/// Only reads: what was found is on the page.
pub(super) fn walk(page: &Page, base: &Location) {
    drop(read(page, base));
}

fn read(page: &Page, base: &Location) -> Option<(Catalog, Vec<Name>)> {
    if page.text().len() > TEXT_LIMIT {
        page.error(&(0..0), TOO_LONG, None);
        return None;
    }
    let document = document(page)?;
    let top = Table::top(page, document.get_ref());
    version(&top)?;
    top.only(&[TOP_VALUES, TOP_TABLES].concat(), &[], TOP_KEYS_LATER);
    let menu = Menu::read(&top, base);
    let base = menu.base.as_ref().unwrap_or(base);
    let defaults = menu::defaults(&top, base);
    let entries = Entries::read(&top, base, &defaults);
    folded_groups(page, &menu.folded, &entries);
    let mut catalog = Catalog {
        serial: top.integer("serial").map(|(serial, _)| serial),
        expires: age::expires(&top).map(|(at, _)| at),
        default: entries.default_entry(page, &menu),
        on_failure: entries.on_failure(page, menu.on_failure.as_ref()),
        title: menu.title.unwrap_or_else(|| "bootjack".into()),
        timeout: menu.timeout,
        mirrors: menu.mirrors,
        password: menu.password,
        folded: menu.folded.into_iter().map(|(group, _)| group).collect(),
        idle: menu.idle.unwrap_or(Duration::from_secs(5 * 60)),
        retry_for: menu.retry_for.unwrap_or(Duration::from_secs(10 * 60)),
        entries: entries.standing.into_iter().map(|(_, entry)| entry).collect(),
    };
    for artifact in catalog.entries.iter_mut().flat_map(Entry::artifacts_mut) {
        artifact.connections = menu.connections.max(1);
    }
    Some((catalog, entries.refused))
}

/// The TOML tree. After an error of syntax the rest is guesswork and is not looked at; a key that is there twice leaves
/// the tree as it is.
pub(super) fn document<'a>(page: &Page<'a>) -> Option<Spanned<DeTable<'a>>> {
    let (document, errors) = DeTable::parse_recoverable(page.text());
    let mut whole = true;
    let mut last_line = None;
    for error in &errors {
        let place = error.span().unwrap_or(page.text().len()..page.text().len());
        let double = error.message() == "duplicate key";
        let line = page.line(place.start);
        whole &= double;
        // One slip makes the parser complain several times of the same line.
        if last_line.replace(line) != Some(line) {
            let what = page.text().get(place.clone()).unwrap_or_default();
            let message = match double {
                true => format!("duplicate key {}", quoted(what)),
                false => format!("not TOML: {}", error.message()),
            };
            page.error(&place, message, None);
        }
    }
    whole.then_some(document)
}

/// Warns of a group that nothing is in.
fn folded_groups(page: &Page, folded: &[At<String>], entries: &Entries) {
    let is_in = |group: &str, path: &str| {
        group.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(" / "))
    };
    for (path, place) in folded {
        let mut groups = entries.standing.iter().filter_map(|(_, entry)| entry.group.as_deref());
        if !groups.any(|group| is_in(group, path)) {
            let hint = "a group in another is written with its name, as in \"Systems / Debian\"";
            page.warning(place, format!("\"folded\": no entry is in the group {}", quoted(path)), hint);
        }
    }
}

/// Complains of a wrong version; of another one nothing more is said, since nothing more is known.
fn version(top: &Table) -> Option<()> {
    let hint = Some(format!("this bootjack reads version {VERSION}"));
    if top.key("version").is_none() {
        top.lacks("version", &format!("begin with: version = {VERSION}"));
        return Some(());
    }
    match top.integer("version") {
        Some((VERSION, _)) | None => Some(()),
        Some((other, place)) => {
            top.page.error(&place, format!("version {other} of the catalog is not known"), hint);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::ENTRY_LIMIT;
    use super::super::{Action, Artifact, Boot, Entry, Fstab, Root, RootSize, artifact, entry, menu, run};
    use super::*;
    use crate::verify::Trust;

    const EXAMPLE: &str = include_str!("../../menus/example.toml");
    const DOCS: &str = include_str!("../../docs/catalog.md");
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn parsed(text: &str) -> Parsed {
        super::parse(text, &Location::parse("http://a/b/catalog.toml").unwrap(), "catalog.toml")
    }

    fn meant(text: &str) -> Catalog {
        let parsed = parsed(text);
        assert!(!parsed.has_errors(), "{}", parsed.render());
        parsed.catalog.unwrap()
    }

    fn shell(id: &str) -> String {
        format!("[[entry]]\nid = \"{id}\"\ntitle = \"T\"\nboot = \"shell\"\n")
    }

    fn root(catalog: &Catalog, id: &str) -> Root {
        match &catalog.entries.iter().find(|e| e.id == id).unwrap().boot {
            Boot::SwitchRoot(root) => Root::clone(root),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_absent_has_its_documented_meaning() {
        let catalog = meant(&format!("version = 1\n{}", shell("a")));
        let a = Entry::new("a", "T", Boot::Shell);
        let expected = Catalog {
            serial: None,
            expires: None,
            title: "bootjack".into(),
            timeout: None,
            default: Some(0),
            idle: Duration::from_secs(300),
            retry_for: Duration::from_secs(600),
            on_failure: Action::Reboot,
            folded: vec![],
            password: None,
            mirrors: crate::catalog::MirrorOrder::InOrder,
            entries: vec![a],
        };
        assert_eq!(catalog, expected);
        assert_eq!(meant("version = 1").default, None);
    }

    #[test]
    fn each_machine_begins_with_its_own_mirror_where_that_is_asked_for() {
        let first = |order: &str, machine: u64| {
            let mut catalog = meant(&format!(
                "version = 1\n[menu]\nmirrors = '{order}'\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'switch-root'\n\
                 root = {{ url = ['http://a/r', 'http://b/r', 'http://c/r'], sha256 = '{ABC}', unpacked = 1 }}\n"
            ));
            catalog.order_mirrors(machine);
            let Boot::SwitchRoot(root) = &catalog.entries[0].boot else { panic!("a root") };
            root.archive.locations.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(first("in-order", 1), ["http://a/r", "http://b/r", "http://c/r"]);
        assert_eq!(first("spread", 1), ["http://b/r", "http://c/r", "http://a/r"]);
        assert_eq!(first("spread", 5), ["http://c/r", "http://a/r", "http://b/r"]);
    }

    #[test]
    fn the_example_means_what_it_says() {
        let catalog = meant(EXAMPLE);
        assert_eq!(catalog.title, "Rack 12, row B");
        assert_eq!((catalog.serial, catalog.expires), (Some(2026112901), Some(2_082_758_400)));
        assert_eq!(catalog.timeout, Some(Duration::from_secs(10)));
        assert_eq!(catalog.default, Some(0));
        assert_eq!(catalog.on_failure, Action::Entry("local-disk".into()));
        let boots: Vec<_> = catalog.entries.iter().map(|e| (e.id.as_str(), &e.boot)).collect();
        assert!(matches!(
            boots[..],
            [
                ("rescue", Boot::SwitchRoot(_)),
                ("debian", Boot::SwitchRoot(_)),
                ("nightly", Boot::SwitchRoot(_)),
                ("own-kernel", Boot::Kexec(_)),
                ("installer", Boot::Kexec(_)),
                ("bios", Boot::Run(_)),
                ("shell", Boot::Shell),
                ("local-disk", Boot::Local),
                ("reboot", Boot::Reboot),
                ("poweroff", Boot::PowerOff),
            ]
        ));
        let at = |url: &str| Location::parse(url).unwrap();
        let rescue = Root {
            archive: Artifact {
                locations: vec![
                    at("http://images.rack12.example/rescue.tar.zst"),
                    at("http://10.0.0.2/rescue.tar.zst"),
                ],
                trust: Trust::Sha256(ABC.parse().unwrap()),
                chunks: Some(
                    "0f343b0931126a20f133d67c2b018a3b5e9d4e2a7f6a4b1c8d3e5f7091a2b3c4".parse().unwrap(),
                ),
                pins: vec![],
                connections: 1,
                size: Some(53_721_901),
                unpacked: Some(229_000_000),
                entries: Some(21_034),
                drivers: None,
            },
            size: RootSize::Percent(60),
            init: Some("/sbin/init".into()),
            init_args: vec!["systemd.unit=rescue.target".into()],
            modules: None,
            fstab: Fstab::default(),
        };
        assert_eq!(root(&catalog, "rescue"), rescue);
    }

    #[test]
    fn an_entrys_value_replaces_the_default() {
        let catalog = meant(EXAMPLE);
        let (debian, nightly) = (root(&catalog, "debian"), root(&catalog, "nightly"));
        assert_eq!(debian.init.as_deref(), Some("/lib/systemd/systemd"));
        assert_eq!((debian.size, nightly.size), (RootSize::Percent(80), RootSize::Bytes(2 << 30)));
        assert_eq!(nightly.archive.trust, Trust::Unverified);
    }

    #[test]
    fn a_wrong_entry_costs_only_itself() {
        let text = format!("version = 1\n{}{}tilte = 1\n{}", shell("a"), shell("b"), shell("c"));
        let parsed = parsed(&text);
        let ids: Vec<_> = parsed.catalog.as_ref().unwrap().entries.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["a", "c"]);
        assert_eq!(parsed.refused.len(), 1);
        assert_eq!(parsed.refused[0].id.as_deref(), Some("b"));
        assert_eq!(parsed.refused[0].problems, parsed.problems);
    }

    #[test]
    fn what_is_wrong_outside_the_entries_costs_the_file() {
        for wrong in ["menu.tilte = 1", "oops", "menu.default = 'x'", "menu.title = ''", "version = 1"] {
            let text = format!("version = 1\n{wrong}\n{}", shell("a"));
            assert!(parsed(&text).catalog.is_none(), "{wrong}");
        }
    }

    #[test]
    fn another_entry_never_stands_in_for_a_refused_default() {
        let named = format!("version = 1\nmenu.default = 'a'\n{}x = 1\n{}", shell("a"), shell("b"));
        assert_eq!(parsed(&named).catalog.unwrap().default, None);
        let first = format!("version = 1\n{}x = 1\n{}", shell("a"), shell("b"));
        assert_eq!(parsed(&first).catalog.unwrap().default, None);
        let other = format!("version = 1\nmenu.default = 'b'\n{}x = 1\n{}", shell("a"), shell("b"));
        assert_eq!(parsed(&other).catalog.unwrap().default, Some(0));
    }

    #[test]
    fn the_base_is_a_directory_or_a_place_in_one() {
        let first = |base: &str, url: &str| {
            let artifact = format!("{{ url = '{url}', sha256 = '{ABC}' }}");
            let entry = format!("[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'switch-root'\nroot = {artifact}");
            root(&meant(&format!("version = 1\n{base}\n{entry}")), "a").archive.locations[0].to_string()
        };
        assert_eq!(first("", "r.tar"), "http://a/b/r.tar");
        assert_eq!(first("menu.base = 'http://c/d/'", "r.tar"), "http://c/d/r.tar");
        assert_eq!(first("menu.base = 'http://c/d'", "r.tar"), "http://c/r.tar");
        assert_eq!(first("menu.base = 'initramfs:/roots/'", "r.tar"), "initramfs:/roots/r.tar");
        assert_eq!(first("menu.base = '../e/'", "r.tar"), "http://a/e/r.tar");
        assert_eq!(first("menu.base = 'http://c/d/'", "https://x/y"), "https://x/y");
    }

    #[test]
    fn a_group_to_fold_has_to_be_one() {
        let entry = shell("a") + "group = 'Systems / Debian'\n";
        let folded = |groups: &str| parsed(&format!("version = 1\nmenu.folded = {groups}\n{entry}"));
        assert_eq!(folded("['Systems', 'Systems / Debian']").problems, []);
        let said = folded("['Sys', 'Debian']");
        assert!(!said.has_errors() && said.problems.len() == 2, "{}", said.render());
        assert_eq!(said.catalog.unwrap().folded, ["Sys", "Debian"]);
        assert!(folded("'Systems'").has_errors(), "a list");
    }

    #[test]
    fn warnings_refuse_nothing() {
        let text = format!("version = 1\nmenu.timeout = 5\n{}{}", shell("a"), shell("b"));
        assert!(parsed(&text).render().contains("boots the first entry, \"a\""));
        let artifact = "root = { url = 'r.tar', unverified = true }";
        let text = format!("version = 1\n[[entry]]\nid='a'\ntitle='A'\nboot='switch-root'\n{artifact}");
        let parsed = parsed(&text);
        assert_eq!(parsed.problems.len(), 2);
        assert!(!parsed.has_errors() && parsed.catalog.unwrap().entries.len() == 1);
    }

    #[test]
    fn limits_hold() {
        let many: String = (0..=ENTRY_LIMIT).map(|n| shell(&format!("e{n}"))).collect();
        let parsed = parsed(&format!("version = 1\n{many}"));
        assert!(parsed.catalog.is_none());
        assert_eq!(parsed.problems[0].line, 2 + 4 * ENTRY_LIMIT);
        assert!(super::parse(&" ".repeat(TEXT_LIMIT + 1), &Location::File("c".into()), "c").has_errors());
    }

    #[test]
    fn a_flood_of_problems_is_counted_and_not_kept() {
        let flood: String = (0..3000).map(|n| format!("k{n} = 1\n")).collect();
        let parsed = parsed(&format!("version = 1\n{flood}"));
        assert_eq!(parsed.problems.len(), 1001);
        assert!(parsed.problems[1000].message.starts_with("only the first 1000"));
    }

    #[test]
    fn the_longest_catalog_of_nothing_but_errors_is_soon_read() {
        let start = std::time::Instant::now();
        let job = |then: &str| format!("[[entry]]\nid = 'j{{}}'\nboot = 'run'\nrun.on_success = '{then}'\n");
        let (unknown, circle, refused) = (job("n{}"), job("j{}"), job("j0"));
        for line in [
            "k{} = 1\n",
            "k{} = \n",
            "[[entry]]\nid = {}\n",
            "menu.title = {}\n",
            "a{}={},",
            &unknown,
            &circle,
            &refused,
        ] {
            let mut text = String::from("version = 1\n");
            for n in 0.. {
                let line = line.replace("{}", &n.to_string());
                if text.len() + line.len() > TEXT_LIMIT {
                    break;
                }
                text += &line;
            }
            assert!(parsed(&text).has_errors(), "{line}");
        }
        // Unoptimized, on a machine that does other things too: seconds, where a quadratic reader needs hours.
        assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
    }

    #[test]
    fn no_beginning_of_a_catalog_is_too_short() {
        for (at, _) in EXAMPLE.char_indices() {
            parsed(&EXAMPLE[..at]).render();
        }
    }

    #[test]
    fn no_damage_is_too_great() {
        // A linear congruential generator (Knuth, MMIX): the same damage on each run.
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..3000 {
            let mut bytes = EXAMPLE.as_bytes().to_vec();
            for _ in 0..=random(8) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] ^= 1 << random(8),
                    1 => bytes[at] = b"[]{}=\"'.,#\n\\ 0a-"[random(16)],
                    _ => drop(bytes.drain(at..(at + random(40)).min(bytes.len()))),
                }
            }
            match decode(&bytes) {
                Ok(text) => drop(parsed(text).render()),
                Err(problem) => drop(problem.render("catalog.toml")),
            }
        }
    }

    #[test]
    fn every_key_is_documented_and_every_documented_key_is_known() {
        let tables: [(&str, &[&str]); 6] = [
            ("", TOP_VALUES),
            ("menu.", menu::MENU_KEYS),
            ("defaults.", menu::DEFAULTS_KEYS),
            ("entry.", entry::KEYS),
            ("artifact.", artifact::KEYS),
            ("run.", run::KEYS),
        ];
        let known =
            tables.iter().flat_map(|(table, keys)| keys.iter().map(move |key| format!("{table}{key}")));
        let known: Vec<String> = known.collect();
        let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let rows: Vec<&str> = rows.collect();
        let missing: Vec<_> = known.iter().filter(|key| !rows.contains(&key.as_str())).collect();
        let unknown: Vec<_> = rows.iter().filter(|row| !known.iter().any(|key| key == *row)).collect();
        assert!(missing.is_empty() && unknown.is_empty(), "undocumented: {missing:?}, unknown: {unknown:?}");
    }

    #[test]
    fn the_example_has_every_key() {
        let tables =
            [TOP_VALUES, menu::MENU_KEYS, menu::DEFAULTS_KEYS, entry::KEYS, artifact::KEYS, run::KEYS];
        for key in tables.concat() {
            let written = EXAMPLE.contains(&format!("{key} ")) || EXAMPLE.contains(&format!("[entry.{key}]"));
            assert!(written, "{key}");
        }
    }

    #[test]
    fn every_catalog_in_the_docs_passes() {
        let mut blocks = DOCS.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        assert!(blocks.clone().count() >= 2);
        assert!(blocks.all(|block| !parsed(block).has_errors()), "{}", DOCS);
    }
}
