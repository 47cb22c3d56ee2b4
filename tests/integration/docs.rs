//! The documentation against what there is: links lead somewhere, `make` knows its targets, the binary its flags.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootjack::tui::keys::{self, Binding};

/// Each table of keys, and the section of docs/menu.md it stands in.
const KEYS: [(&str, &str, &[Binding]); 11] = [
    ("MENU", "The menu", keys::MENU),
    ("PAGER", "Help, notices, details", keys::PAGER),
    ("LOG_VIEW", "The log", keys::LOG_VIEW),
    ("EDIT", "Changing an entry", keys::EDIT),
    ("NETWORK", "The network", keys::NETWORK),
    ("ADDRESS", "An address by hand", keys::ADDRESS),
    ("LOADING", "Loading", keys::LOADING),
    ("FAILURE", "A failure", keys::FAILURE),
    ("JOB", "A job", keys::JOB),
    ("PASSPHRASE", "An encrypted device", keys::PASSPHRASE),
    ("POWER", "Power", keys::POWER),
];

/// README.md and all of docs/, with their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|p| p.extension().is_some_and(|e| e == "md")).chain([root.join("README.md")]);
    pages.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_row_of_the_matrix_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/compatibility.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|') && line.matches(" | ").count() == 4);
    let mut named = 0;
    for row in rows.filter(|row| !row.contains("---") && !row.ends_with("| test |")) {
        let proof = row.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
        let tests: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        for test in &tests {
            let below = if test.starts_with("src/") { root.to_owned() } else { root.join("tests") };
            assert!(below.join(test).exists(), "{test} in {row}");
        }
        // What has no test says why not.
        assert!(
            !tests.is_empty()
                || row.contains("not in this version")
                || row.contains("not understood")
                || proof.trim() == "–" && row.contains("they come"),
            "{row}"
        );
        named += tests.len();
    }
    assert!(named > 40, "{named}");
}

/// What stands in backquotes, and each line of a fenced block: where commands are written.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(line.to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The words after each `program` that stands where a command begins.
fn calls(code: &str, program: &str) -> Vec<Vec<String>> {
    // What another command prints is one word here.
    let mut parts = code.split("$(");
    let first = parts.next().unwrap_or_default().to_owned();
    let code = parts.fold(first, |all, part| all + "X" + part.split_once(')').map_or(part, |(_, rest)| rest));
    let raw: Vec<&str> = code.split_whitespace().collect();
    let words: Vec<String> =
        raw.iter().map(|w| w.trim_end_matches([',', ';', ':', '.']).to_owned()).collect();
    let begins = |at: usize| at == 0 || matches!(words[at - 1].as_str(), "&&" | "|" | "$" | "sudo");
    // With a colon it is what the program says.
    let at = (0..words.len()).filter(|&at| raw[at] == program && begins(at));
    at.map(|at| words[at + 1..].iter().take_while(|w| !w.starts_with(['&', '|', '>'])).cloned().collect())
        .collect()
}

fn help(words: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_bootjack")).args(words).arg("--help").output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn every_link_of_the_documentation_leads_to_a_file() {
    let mut checked = 0;
    for (page, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                let there = page.parent().unwrap().join(file).exists();
                assert!(there, "{}: {link} leads nowhere", page.display());
                checked += 1;
            }
        }
        // Pages name each other without a link too.
        for word in text.split(|c: char| c.is_whitespace() || "`(),;:[]".contains(c)) {
            let word = word.trim_end_matches('.');
            let named = word.starts_with("docs/") || word.starts_with("menus/") || word.starts_with("src/");
            if named && (word.ends_with(".md") || word.ends_with(".toml") || word.ends_with(".rs")) {
                let plain = !word.contains(|c: char| c.is_ascii_uppercase());
                let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(word).exists();
                assert!(there || !plain, "{}: {word} is not there", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked} links seen");
}

#[test]
fn every_make_target_of_the_documentation_is_one() {
    let makefile = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile")).unwrap();
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|l| l.split_once(':').map(|(t, _)| t)).collect();
    let mut checked = 0;
    for (page, text) in pages() {
        for words in code(&text).iter().flat_map(|code| calls(code, "make")) {
            for target in words.iter().filter(|w| !w.contains('=')) {
                assert!(targets.contains(target.as_str()), "{}: make {target}", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "{checked} targets seen");
}

#[test]
fn every_command_and_flag_of_the_documentation_is_in_the_help() {
    let commands = help(&[]);
    let mut checked = 0;
    for (page, text) in pages() {
        for words in code(&text).iter().flat_map(|code| calls(code, "bootjack")) {
            let Some(command) = words.first().filter(|w| w.starts_with(|c: char| c.is_ascii_lowercase()))
            else {
                continue;
            };
            let named = commands.lines().any(|l| l.split_whitespace().next() == Some(command));
            assert!(named, "{}: bootjack {command}", page.display());
            let help = help(&[command]);
            let known: BTreeSet<&str> = help
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .filter(|w| w.starts_with('-'))
                .collect();
            for flag in words.iter().filter(|w| w.starts_with('-')) {
                let flag = flag.split(['=', '[']).next().unwrap_or_default();
                assert!(known.contains(flag), "{}: bootjack {command} {flag}", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked} commands seen");
}

#[test]
fn every_key_of_every_screen_is_in_its_section() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("src/tui/keys/mod.rs")).unwrap();
    let tables = source.lines().filter_map(|l| l.strip_prefix("pub const ")?.split_once(": &[Binding]"));
    let tables: BTreeSet<&str> = tables.map(|(name, _)| name).collect();
    assert_eq!(tables, KEYS.iter().map(|(name, ..)| *name).collect(), "all tables are looked at");

    let page = fs::read_to_string(root.join("docs/menu.md")).unwrap();
    let section = |title: &str| {
        let begin = page.find(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
        page[begin + 4..].split("\n## ").next().unwrap_or_default()
    };
    let rows = |text: &str| {
        let rows = text.lines().filter(|l| l.starts_with("| `")).map(str::to_owned);
        rows.collect::<BTreeSet<String>>()
    };
    let everywhere = rows(section("Keys of every screen"));
    let mut used = BTreeSet::new();
    for (name, title, table) in KEYS {
        let row = |binding: &Binding| format!("| `{}` | {} |", binding.name, binding.does);
        let (keys, mut there) = (table.iter().map(row).collect::<BTreeSet<String>>(), rows(section(title)));
        used.extend(keys.intersection(&everywhere).cloned());
        there.extend(keys.intersection(&everywhere).cloned());
        assert_eq!(there, keys, "{name}, in the section {title}");
    }
    assert_eq!(used, everywhere, "no screen has the others");
}

#[test]
fn every_picture_is_on_a_page() {
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screens");
    let pages = pages();
    let mut seen = 0;
    for picture in fs::read_dir(pictures).unwrap() {
        let name = picture.unwrap().file_name().into_string().unwrap();
        assert!(pages.iter().any(|(_, text)| text.contains(&format!("screens/{name})"))), "{name}");
        seen += 1;
    }
    assert!(seen > 10, "{seen} pictures");
}
