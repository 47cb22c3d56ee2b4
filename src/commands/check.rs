//! `bootjack check`: every problem of every catalog at once. What is a problem is said by `catalog`, and by the servers
//! where `online` asks them.

mod online;
mod watch;

use std::process::ExitCode;

use super::ca::CaArgs;
use super::catalog_file::CatalogFile;
use super::keys::KeyArgs;
use super::output;
use crate::catalog::{self, Catalog, Parsed, Problem};
use crate::early;
use crate::fetch::Fetcher;
use crate::load::{Failure, Phase};
use crate::order;
use crate::plan::unvouched;
use crate::verify::signature::{Keyring, Signed};

/// Show every problem of a catalog, each with its place and a way out
#[derive(clap::Args, Default)]
#[command(
    after_help = "Example: bootjack check --online menus/example.toml http://10.0.2.2:8080/catalog.toml"
)]
pub struct CheckArgs {
    /// Catalogs to check: files or http(s) URLs
    #[arg(required = true, value_name = "CATALOG")]
    pub catalogs: Vec<String>,
    /// Print one JSON array with an object for each catalog
    #[arg(long)]
    pub json: bool,
    /// Ask the servers, too: whether each artifact is there, and as long as the catalog says
    #[arg(long)]
    pub online: bool,
    /// Check again whenever a file changes, until Ctrl-C; the exit status is the last one
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub ca: CaArgs,
}

/// A catalog, and what is to be said of it.
#[derive(Debug)]
struct Found {
    parsed: Parsed,
    /// With `--key`.
    signed: Option<Signed>,
    /// Entries that nobody vouches for, and what of them, a line each; with `--key`.
    unvouched: Vec<String>,
}

/// What is said of one catalog.
#[derive(serde::Serialize)]
struct Checked<'a> {
    file: &'a str,
    ok: bool,
    /// Keys that signed it; absent without `--key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<Vec<String>>,
    /// Parts that have no digest, by entry; absent without `--key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    unvouched: Option<&'a [String]>,
    /// Entries that stand; absent if the file as a whole is refused.
    entries: Option<usize>,
    problems: &'a [Problem],
}

/// All that is said of all catalogs.
struct Said {
    /// For standard output.
    text: String,
    /// No catalog has an error, and each could be read.
    right: bool,
    unread: Vec<Failure>,
}

/// Checks all catalogs; fails if one of them has an error.
///
/// # Errors
/// [`Failure`] if a catalog cannot be read; the others are checked first.
pub fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    if args.watch {
        return Err(watch::run(args));
    }
    let said = say(args)?;
    let mut unread = said.unread.into_iter();
    let first = unread.next();
    unread.for_each(|failure| eprintln!("bootjack: {failure}"));
    output::print(Phase::Catalog, &said.text)?;
    match first {
        Some(failure) => Err(failure),
        None => Ok(ExitCode::from(u8::from(!said.right))),
    }
}

/// Looks at all of them once.
fn say(args: &CheckArgs) -> Result<Said, Failure> {
    let fetcher = args.ca.fetcher()?;
    let keyring = args.keys.keyring().map_err(|e| Failure::new(Phase::Verify, "keys", e))?;
    let mut parsed = Vec::new();
    let mut unread = Vec::new();
    for name in &args.catalogs {
        match checked(name, args, keyring.as_ref(), &fetcher) {
            Ok(one) => parsed.push(one),
            Err(failure) => unread.push(failure),
        }
    }
    let text = if args.json { json(&parsed)? } else { parsed.iter().map(shown).collect() };
    let right = unread.is_empty() && parsed.iter().all(|found| found.errors() == 0);
    Ok(Said { text, right, unread })
}

fn checked(
    name: &str,
    args: &CheckArgs,
    keyring: Option<&Keyring>,
    fetcher: &Fetcher,
) -> Result<Found, Failure> {
    let file = CatalogFile::read(name, fetcher)?;
    // As in a boot: nothing of what is not signed is parsed.
    let signed = keyring.map(|keyring| file.signed(keyring, fetcher)).transpose()?;
    let mut parsed = file.parsed();
    parsed.problems.extend(file.text().and_then(|text| catalog::expired(text, early::now())));
    if args.online {
        parsed.problems.extend(online::problems(&file, fetcher));
    }
    order::by_key(&mut parsed.problems, |p| (p.line, p.column));
    let entries = parsed.catalog.iter().filter(|_| signed.is_some()).flat_map(|catalog| &catalog.entries);
    let unvouched = entries.map(|entry| (&entry.id, unvouched(entry))).filter(|(_, parts)| !parts.is_empty());
    let unvouched = unvouched.map(|(id, parts)| format!("{id}: {}", parts.join(", "))).collect();
    Ok(Found { parsed, signed, unvouched })
}

impl Found {
    fn errors(&self) -> usize {
        let wrong = |problem: &&Problem| problem.severity == catalog::Severity::Error;
        self.parsed.problems.iter().filter(wrong).count() + self.unvouched.len()
    }
}

/// The problems, and one line that sums up.
fn shown(found: &Found) -> String {
    let Found { parsed, signed, unvouched } = found;
    let mut text = parsed.render();
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    for entry in unvouched {
        text += &format!("{}: error: no sha256, refused where there are keys: {entry}\n", parsed.origin);
    }
    let entries = parsed.catalog.as_ref().map(entries);
    let by = signed.as_ref().map(|signed| format!(", {signed}")).unwrap_or_default();
    text + &match (found.errors(), entries) {
        (0, Some(entries)) => format!("{}: ok, {entries}{by}\n", parsed.origin),
        (n, Some(entries)) => format!("{}: {}; {entries} stand{by}\n", parsed.origin, wrong(n)),
        (n, None) => format!("{}: refused as a whole: {}{by}\n", parsed.origin, wrong(n)),
    }
}

fn entries(catalog: &Catalog) -> String {
    match catalog.entries.len() {
        1 => "1 entry".to_owned(),
        n => format!("{n} entries"),
    }
}

fn wrong(errors: usize) -> String {
    match errors {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    }
}

fn json(all: &[Found]) -> Result<String, Failure> {
    let checked: Vec<Checked> = all
        .iter()
        .map(|found @ Found { parsed, signed, unvouched }| Checked {
            file: &parsed.origin,
            ok: found.errors() == 0,
            signed_by: signed.as_ref().map(|signed| signed.by.iter().map(ToString::to_string).collect()),
            unvouched: signed.as_ref().map(|_| &unvouched[..]),
            entries: parsed.catalog.as_ref().map(|c| c.entries.len()),
            problems: &parsed.problems,
        })
        .collect();
    let text = serde_json::to_string_pretty(&checked);
    text.map(|t| t + "\n").map_err(|e| Failure::new(Phase::Catalog, "the result as JSON", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Location;

    fn read(path: &str) -> Result<Found, Failure> {
        let args = CheckArgs::default();
        checked(path, &args, None, &args.ca.fetcher()?)
    }

    fn file(text: &[u8]) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.toml");
        std::fs::write(&path, text).unwrap();
        (dir, path.to_str().unwrap().to_owned())
    }

    const GOOD: &[u8] = b"version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'shell'\n";
    const BAD: &[u8] = b"version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'shel'\n";

    #[test]
    fn a_good_catalog_is_one_line() {
        let (_dir, path) = file(GOOD);
        assert_eq!(shown(&read(&path).unwrap()), format!("{path}: ok, 1 entry\n"));
        let args = CheckArgs { catalogs: vec![path], ..CheckArgs::default() };
        assert_eq!(run(&args).unwrap(), ExitCode::SUCCESS);
    }

    #[test]
    fn one_bad_catalog_fails_the_check() {
        let ((_a, good), (_b, bad)) = (file(GOOD), file(BAD));
        assert!(shown(&read(&bad).unwrap()).ends_with(": 1 error; 0 entries stand\n"));
        let args = CheckArgs { catalogs: vec![bad, good], json: true, ..CheckArgs::default() };
        assert_eq!(run(&args).unwrap(), ExitCode::from(1));
    }

    #[test]
    fn json_says_the_place() {
        let (_dir, path) = file(BAD);
        let json: serde_json::Value = serde_json::from_str(&json(&[read(&path).unwrap()]).unwrap()).unwrap();
        let problem = &json[0]["problems"][0];
        assert_eq!((&json[0]["ok"], &json[0]["entries"]), (&false.into(), &0.into()));
        assert_eq!((&problem["line"], &problem["column"]), (&5.into(), &8.into()));
        assert_eq!((&problem["severity"], &problem["width"]), (&"error".into(), &6.into()));
    }

    #[test]
    fn what_is_no_text_has_a_place() {
        let (_dir, path) = file(b"version = 1\n# caf\xe9\n");
        let shown = shown(&read(&path).unwrap());
        assert!(shown.starts_with(&format!("{path}:2:6: error: byte 0xe9 is no UTF-8 text\n")), "{shown}");
    }

    #[test]
    fn the_docs_show_what_check_says() {
        let docs = include_str!("../../docs/catalog.md");
        let block = |begin: &str| docs.split_once(begin).unwrap().1.split_once("```").unwrap().0;
        let text = block("```toml\n").replace("switch-root", "switchroot");
        let parsed = catalog::parse(&text, &Location::File("catalog.toml".into()), "catalog.toml");
        let found = Found { parsed, signed: None, unvouched: vec![] };
        assert_eq!(shown(&found), block("$ bootjack check catalog.toml\n"));
    }

    #[test]
    fn a_file_that_is_not_there_is_a_failure_that_names_it() {
        let failure = read("/nowhere/catalog.toml").unwrap_err();
        assert!(failure.to_string().starts_with("catalog: /nowhere/catalog.toml: No such file"));
    }

    #[test]
    fn an_endless_file_is_not_read_to_its_end() {
        let shown = shown(&read("/dev/zero").unwrap());
        assert!(shown.contains("the catalog is longer than 4 MiB"), "{shown}");
    }
}
