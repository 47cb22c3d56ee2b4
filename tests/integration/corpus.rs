//! The corpora of the fuzz targets, replayed: what was once found stays found, and a target does here what it does when it
//! is fuzzed. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use targets::TARGETS;

#[path = "../../fuzz/src/lib.rs"]
mod targets;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn the_corpus_of_each_fuzz_target_passes() {
    for (name, target) in TARGETS {
        let corpus = fuzz().join("corpus").join(name);
        let files: Vec<PathBuf> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() > 2, "{} holds {} files", corpus.display(), files.len());
        for file in files {
            // Of a panic, the test's own words say which file it was.
            eprintln!("{name}: {}", file.display());
            target(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_fuzz_target_is_fuzzed_and_replayed() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), known);
    assert_eq!(names(&fuzz().join("corpus")), known);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in known {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let target = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("bootjack_fuzz::{name}(data)")), "{name}: {target}");
    }
}
