//! Every catalog in `tests/refused` is refused, with exactly the complaint that lies beside it as `.txt`.
//! `BLESS=1` writes the complaints anew; look at the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use bootjack::catalog;
use bootjack::fetch::Location;

/// Where the catalogs are told that they were found: independent of where the test runs.
const BASE: &str = "http://lab.example/catalogs/catalog.toml";

fn catalogs(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|f| f.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

fn parsed(file: &Path) -> catalog::Parsed {
    let name = file.file_name().unwrap().to_str().unwrap();
    catalog::parse(&fs::read_to_string(file).unwrap(), &Location::parse(BASE).unwrap(), name)
}

#[test]
fn every_refused_catalog_gets_its_complaint() {
    let files = catalogs("tests/refused");
    assert!(files.len() >= 40, "{} catalogs", files.len());
    let mut wrong = String::new();
    for file in files {
        let parsed = parsed(&file);
        let complaint = parsed.render() + "\n";
        let expected = file.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &complaint).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if complaint != expected || !parsed.has_errors() {
            wrong += &format!("\n=== {}\n--- expected\n{expected}--- got\n{complaint}", parsed.origin);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn no_complaint_is_left_without_its_catalog() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        assert!(file.with_extension("toml").exists(), "{}", file.display());
    }
}

#[test]
fn every_example_passes() {
    for file in catalogs("menus") {
        let parsed = parsed(&file);
        assert!(!parsed.has_errors(), "{}", parsed.render());
        assert!(parsed.refused.is_empty() && parsed.catalog.is_some(), "{}", parsed.origin);
    }
}
