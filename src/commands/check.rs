//! `bootjack check`: every problem of every catalog at once. What is a problem is said by `catalog`, and by the servers
//! where `online` asks them.

mod online;

use std::process::ExitCode;

use super::ca::CaArgs;
use super::catalog_file::CatalogFile;
use super::output;
use crate::catalog::{self, Catalog, Parsed, Problem};
use crate::fetch::Fetcher;
use crate::load::{Failure, Phase};

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
    #[command(flatten)]
    pub ca: CaArgs,
}

/// What is said of one catalog.
#[derive(serde::Serialize)]
struct Checked<'a> {
    file: &'a str,
    ok: bool,
    /// Entries that stand; absent if the file as a whole is refused.
    entries: Option<usize>,
    problems: &'a [Problem],
}

/// Checks all catalogs; fails if one of them has an error.
///
/// # Errors
/// [`Failure`] if a catalog cannot be read; the others are checked first.
pub fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let fetcher = args.ca.fetcher()?;
    let mut parsed = Vec::new();
    let mut unread = None;
    for name in &args.catalogs {
        match checked(name, args, &fetcher) {
            Ok(one) => parsed.push(one),
            Err(failure) if unread.is_none() => unread = Some(failure),
            Err(failure) => eprintln!("bootjack: {failure}"),
        }
    }
    let text = if args.json { json(&parsed)? } else { parsed.iter().map(shown).collect() };
    output::print(Phase::Catalog, &text)?;
    match unread {
        Some(failure) => Err(failure),
        None => Ok(ExitCode::from(u8::from(parsed.iter().any(Parsed::has_errors)))),
    }
}

fn checked(name: &str, args: &CheckArgs, fetcher: &Fetcher) -> Result<Parsed, Failure> {
    let file = CatalogFile::read(name, fetcher)?;
    let mut parsed = file.parsed();
    if args.online {
        parsed.problems.extend(online::problems(&file, fetcher));
        parsed.problems.sort_by_key(|p| (p.line, p.column));
    }
    Ok(parsed)
}

/// The problems, and one line that sums up.
fn shown(parsed: &Parsed) -> String {
    let mut text = parsed.render();
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    let entries = parsed.catalog.as_ref().map(entries);
    text + &match (parsed.has_errors(), entries) {
        (false, Some(entries)) => format!("{}: ok, {entries}\n", parsed.origin),
        (true, Some(entries)) => format!("{}: {}; {entries} stand\n", parsed.origin, wrong(parsed)),
        (_, None) => format!("{}: refused as a whole: {}\n", parsed.origin, wrong(parsed)),
    }
}

fn entries(catalog: &Catalog) -> String {
    match catalog.entries.len() {
        1 => "1 entry".to_owned(),
        n => format!("{n} entries"),
    }
}

fn wrong(parsed: &Parsed) -> String {
    match parsed.problems.iter().filter(|p| p.severity == catalog::Severity::Error).count() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    }
}

fn json(all: &[Parsed]) -> Result<String, Failure> {
    let checked: Vec<Checked> = all
        .iter()
        .map(|parsed| Checked {
            file: &parsed.origin,
            ok: !parsed.has_errors(),
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

    fn read(path: &str) -> Result<Parsed, Failure> {
        let args = CheckArgs::default();
        checked(path, &args, &args.ca.fetcher()?)
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
        assert_eq!(shown(&parsed), block("$ bootjack check catalog.toml\n"));
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
