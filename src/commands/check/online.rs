//! `--online`: whether what a catalog names is there, and as long as the catalog says. Each location is opened as a boot
//! opens it and dropped at the first byte: some servers answer HEAD otherwise than GET, or not at all.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::catalog::{self, Mirror, Placed, Problem, Severity};
use crate::commands::catalog_file::CatalogFile;
use crate::fetch::{FetchError, Fetcher, Location, Pin, Timing};
use crate::verify::Sha256;

/// Locations asked at a time: silent ones take 10 s each, and no server minds eight clients.
const AT_ONCE: usize = 8;

/// What a mirror says of an artifact.
#[derive(Clone)]
struct Answer {
    /// The length, if it says one.
    length: Result<Option<u64>, FetchError>,
    /// How many bytes its chunk list is of, or why that is of no use, where there has to be one.
    list: Option<Result<u64, String>>,
}

/// A location, and with what it is asked: the digest of its chunk list, the keys of its server.
type Wanted<'a> = (&'a Location, &'a Option<Sha256>, &'a [Pin]);

fn wanted<'a>(artifact: &'a Placed, location: &'a Location) -> Wanted<'a> {
    (location, &artifact.chunks, &artifact.pins)
}

/// Everything the servers say against the catalog, in the order written.
pub(super) fn problems(file: &CatalogFile, fetcher: &Fetcher) -> Vec<Problem> {
    // What is no text has said so already.
    let Some(text) = file.text() else { return Vec::new() };
    let artifacts = catalog::artifacts(text, file.base());
    let mut seen = HashSet::new();
    let all = artifacts.iter().flat_map(|a| a.mirrors.iter().map(move |m| wanted(a, &m.location)));
    // What comes with an initrd or lies on a machine's disks is nowhere else.
    let wanted: Vec<Wanted<'_>> = all.filter(|w| !w.0.is_of_the_machine() && seen.insert(*w)).collect();
    let answers = ask_all(&wanted, fetcher);
    artifacts.iter().flat_map(|artifact| judge(text, artifact, &answers)).collect()
}

fn ask_all<'a>(wanted: &[Wanted<'a>], fetcher: &Fetcher) -> HashMap<Wanted<'a>, Answer> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(HashMap::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(wanted.len()) {
            scope.spawn(|| {
                while let Some(&asked) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Progress that nobody sees is no reason to stop.
                    let _closed = writeln!(io::stderr(), "asking for {}", asked.0);
                    let answer = ask(asked, fetcher);
                    answers.lock().unwrap_or_else(PoisonError::into_inner).insert(asked, answer);
                }
            });
        }
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn ask((location, chunks, pins): Wanted<'_>, fetcher: &Fetcher) -> Answer {
    let go_on = |_| ControlFlow::Continue(());
    let fetcher = fetcher.pinned(pins);
    let opened = fetcher.open(location, &Timing::for_budget(Duration::ZERO), &go_on);
    let length = opened.map(|source| source.length);
    let list = chunks.as_ref().filter(|_| length.is_ok()).map(|digest| {
        let here = std::slice::from_ref(location);
        let list = fetcher.chunk_list(here, digest, Duration::ZERO, &go_on);
        list.map(|list| list.total()).map_err(|why| format!("the chunk list: {why}"))
    });
    Answer { length, list }
}

/// What is wrong with the mirrors of an artifact. One that does not answer only warns as long as another stands in.
fn judge<'a>(text: &str, artifact: &'a Placed, answers: &HashMap<Wanted<'a>, Answer>) -> Vec<Problem> {
    let fits = |length: &Option<u64>| match (*length, artifact.size) {
        (Some(length), Some(size)) => length == size,
        _ => true,
    };
    let answer = |mirror: &'a Mirror| answers.get(&wanted(artifact, &mirror.location));
    let good = |m: &'a Mirror| answer(m).is_some_and(|a| a.length.as_ref().is_ok_and(fits));
    let another = artifact.mirrors.iter().any(good);
    let complaint = |mirror: &'a Mirror| {
        let complain = |severity, message, hint| Some(mirror.problem(text, severity, message, hint));
        let location = &mirror.location;
        let answer = answer(mirror)?;
        match (&answer.length, artifact.size) {
            (Err(error), _) if another => {
                complain(Severity::Warning, error.to_string(), "another mirror has it")
            }
            (Err(error), _) => complain(Severity::Error, error.to_string(), way_out(location, error)),
            (Ok(Some(length)), Some(size)) if *length != size => complain(
                Severity::Error,
                format!("{location}: has {length} bytes, the catalog says {size}"),
                "the file there is another one than was meant: `bootjack pack` printed what belongs to it",
            ),
            (Ok(None), Some(_)) => complain(
                Severity::Warning,
                format!("{location}: the server does not say how many bytes it has"),
                "\"size\" is compared when it is fetched",
            ),
            (Ok(_), size) => match (answer.list.clone()?, size) {
                (Err(why), _) => complain(Severity::Warning, why, NO_LIST),
                (Ok(total), Some(size)) if total != size => complain(
                    Severity::Error,
                    format!("{location}: its chunk list is of {total} bytes, the catalog says {size}"),
                    "\"chunks\" and \"size\" are of two archives: `bootjack pack` printed what belongs together",
                ),
                _ => None,
            },
        }
    };
    artifact.mirrors.iter().filter_map(complaint).collect()
}

/// What a boot does without.
const NO_LIST: &str = "`bootjack pack` made FILE.chunks beside the archive: both lie on the server, or every chunk comes from a \
                       mirror that has it";

fn way_out(location: &Location, error: &FetchError) -> &'static str {
    match (location, error) {
        (Location::File(_) | Location::Initramfs(_), _) => {
            "looked for on this machine; check the catalog by its URL to see what a machine that boots sees"
        }
        (_, FetchError::Transient { .. }) => "a boot tries again for some minutes; is the server up?",
        _ => "nothing boots from there: correct \"url\", or the server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'switch-root'\n\
        root = { url = ['http://a/r', 'http://b/r'], size = 7, unverified = true }\n";

    fn said(a: Answer, b: Answer) -> Vec<(Severity, usize, String)> {
        let artifacts = catalog::artifacts(TEXT, &Location::File("c.toml".into()));
        let locations: Vec<&Location> = artifacts[0].mirrors.iter().map(|m| &m.location).collect();
        let answers = HashMap::from([
            (wanted(&artifacts[0], locations[0]), a),
            (wanted(&artifacts[0], locations[1]), b),
        ]);
        let problems = judge(TEXT, &artifacts[0], &answers);
        problems.into_iter().map(|p| (p.severity, p.column, p.message)).collect()
    }

    fn has(length: u64) -> Answer {
        Answer { length: Ok(Some(length)), list: None }
    }

    fn gone() -> Answer {
        Answer { length: Err(FetchError::Permanent("gone".into())), list: None }
    }

    #[test]
    fn servers_that_agree_are_silent() {
        assert_eq!(said(has(7), has(7)), []);
    }

    #[test]
    fn a_missing_mirror_warns_as_long_as_another_stands_in() {
        assert_eq!(said(gone(), has(7)), [(Severity::Warning, 17, "gone".into())]);
        let both = said(gone(), gone());
        assert_eq!(both, [(Severity::Error, 17, "gone".into()), (Severity::Error, 31, "gone".into())]);
        // The other one has the wrong file: nothing can be booted.
        assert_eq!(said(gone(), has(8))[0].0, Severity::Error);
    }

    #[test]
    fn a_wrong_length_is_an_error_and_an_unknown_one_a_warning() {
        let wrong = (Severity::Error, 31, "http://b/r: has 8 bytes, the catalog says 7".to_owned());
        assert_eq!(said(has(7), has(8)), [wrong]);
        let silent = Answer { length: Ok(None), list: None };
        assert_eq!(said(silent, has(7))[0].0, Severity::Warning);
    }

    #[test]
    fn a_chunk_list_that_is_of_no_use_is_a_warning() {
        let without = Answer { list: Some(Err("the chunk list: gone".into())), ..has(7) };
        assert_eq!(said(has(7), without), [(Severity::Warning, 31, "the chunk list: gone".into())]);
        let other = Answer { list: Some(Ok(8)), ..has(7) };
        let why = "http://b/r: its chunk list is of 8 bytes, the catalog says 7";
        assert_eq!(said(has(7), other), [(Severity::Error, 31, why.into())]);
    }
}
