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
use crate::fetch::{FetchError, Fetcher, Location, Timing};

/// Locations asked at a time: silent ones take 10 s each, and no server minds eight clients.
const AT_ONCE: usize = 8;

/// The length the server says, if it says one.
type Answer = Result<Option<u64>, FetchError>;

/// Everything the servers say against the catalog, in the order written.
pub(super) fn problems(file: &CatalogFile, fetcher: &Fetcher) -> Vec<Problem> {
    // What is no text has said so already.
    let Some(text) = file.text() else { return Vec::new() };
    let artifacts = catalog::artifacts(text, file.base());
    let mut seen = HashSet::new();
    let all = artifacts.iter().flat_map(|a| &a.mirrors).map(|m| &m.location);
    // What comes with an initrd or lies on a machine's disks is nowhere else.
    let wanted: Vec<&Location> = all.filter(|l| !l.is_of_the_machine() && seen.insert(*l)).collect();
    let answers = ask_all(&wanted, fetcher);
    artifacts.iter().flat_map(|artifact| judge(text, artifact, &answers)).collect()
}

fn ask_all<'a>(wanted: &[&'a Location], fetcher: &Fetcher) -> HashMap<&'a Location, Answer> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(HashMap::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(wanted.len()) {
            scope.spawn(|| {
                while let Some(&location) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Progress that nobody sees is no reason to stop.
                    let _closed = writeln!(io::stderr(), "asking for {location}");
                    let answer = ask(location, fetcher);
                    answers.lock().unwrap_or_else(PoisonError::into_inner).insert(location, answer);
                }
            });
        }
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn ask(location: &Location, fetcher: &Fetcher) -> Answer {
    let go_on = |_| ControlFlow::Continue(());
    fetcher.open(location, &Timing::for_budget(Duration::ZERO), &go_on).map(|source| source.length)
}

/// What is wrong with the mirrors of an artifact. One that does not answer only warns as long as another stands in.
fn judge(text: &str, artifact: &Placed, answers: &HashMap<&Location, Answer>) -> Vec<Problem> {
    let fits = |length: &Option<u64>| match (*length, artifact.size) {
        (Some(length), Some(size)) => length == size,
        _ => true,
    };
    let answer = |mirror: &Mirror| answers.get(&mirror.location);
    let another = artifact.mirrors.iter().any(|m| matches!(answer(m), Some(Ok(length)) if fits(length)));
    let complaint = |mirror: &Mirror| {
        let complain = |severity, message, hint| Some(mirror.problem(text, severity, message, hint));
        let location = &mirror.location;
        match (answer(mirror)?, artifact.size) {
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
            (Ok(_), _) => None,
        }
    };
    artifact.mirrors.iter().filter_map(complaint).collect()
}

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
        let answers = HashMap::from([(locations[0], a), (locations[1], b)]);
        let problems = judge(TEXT, &artifacts[0], &answers);
        problems.into_iter().map(|p| (p.severity, p.column, p.message)).collect()
    }

    fn gone() -> Answer {
        Err(FetchError::Permanent("gone".into()))
    }

    #[test]
    fn servers_that_agree_are_silent() {
        assert_eq!(said(Ok(Some(7)), Ok(Some(7))), []);
    }

    #[test]
    fn a_missing_mirror_warns_as_long_as_another_stands_in() {
        assert_eq!(said(gone(), Ok(Some(7))), [(Severity::Warning, 17, "gone".into())]);
        let both = said(gone(), gone());
        assert_eq!(both, [(Severity::Error, 17, "gone".into()), (Severity::Error, 31, "gone".into())]);
        // The other one has the wrong file: nothing can be booted.
        assert_eq!(said(gone(), Ok(Some(8)))[0].0, Severity::Error);
    }

    #[test]
    fn a_wrong_length_is_an_error_and_an_unknown_one_a_warning() {
        let wrong = (Severity::Error, 31, "http://b/r: has 8 bytes, the catalog says 7".to_owned());
        assert_eq!(said(Ok(Some(7)), Ok(Some(8))), [wrong]);
        assert_eq!(said(Ok(None), Ok(Some(7)))[0].0, Severity::Warning);
    }
}
