//! All tries of one artifact, with its chunk list first where it has one. What one try does is `once`'s, when the next one is
//! `fetch`'s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::once::{self, Once, Verdict};
use super::{Failure, Fetched, LoadError, Loader, MOST_TRIES, Report, Tried, on_last};
use crate::catalog::Artifact;
use crate::fetch::{self, Event, Exhausted, Fetcher, Terms};
use crate::verify::{ChunkList, Sha256, Trust, Verified};

/// How long a chunk list is tried for where there is a digest over the whole.
const LIST: Duration = Duration::from_secs(30);

/// Makes something of an opened source, once.
type Use<'a, T> = dyn FnMut(&Once<'_>, fetch::Source<'_>) -> Result<(Verified<T>, once::Read), fetch::Attempt<Failure>>
    + 'a;

pub(super) struct Tries<'a> {
    artifact: &'a Artifact,
    name: &'a str,
    loader: &'a Loader<'a>,
    fetcher: Fetcher,
    began: Instant,
    told: Mutex<Told>,
}

/// What was said while trying.
#[derive(Default)]
struct Told {
    retries: u32,
    tries: Vec<Tried>,
    /// Of each mirror, in the artifact's order.
    verdicts: Vec<Verdict>,
    /// What is left to be spent without a byte, if some of it was spent.
    left: Option<Duration>,
}

impl<'a> Tries<'a> {
    pub(super) fn of(artifact: &'a Artifact, name: &'a str, loader: &'a Loader<'a>) -> Self {
        let verdicts = artifact.locations.iter().map(Verdict::before).collect();
        let told = Mutex::new(Told { verdicts, ..Told::default() });
        let fetcher = loader.fetcher.pinned(&artifact.pins);
        Self { artifact, name, loader, fetcher, began: Instant::now(), told }
    }

    /// Tries again and over all mirrors as long as the budget allows.
    pub(super) fn drive<T>(&self, consume: &mut Use<'_, T>) -> Result<(Verified<T>, Fetched), LoadError> {
        let (name, loader) = (self.name, self.loader);
        let chunks = match &self.artifact.chunks {
            Some(digest) => self.chunk_list(digest)?,
            None => None,
        };
        // What the list says of the archive is as good as what the catalog says.
        let size = self.artifact.size.or(chunks.as_ref().map(|list| list.total()));
        let artifact = &Artifact { size, ..self.artifact.clone() };
        let digest = artifact.trust != Trust::Unverified;
        let connections = artifact.connections;
        if connections > 1 && chunks.is_none() {
            log::info!("{name}: over one connection, not {connections}: it has no chunk list");
        }
        let terms = Terms { digest, size, chunks, connections };
        let on_event = |event| self.heard(event);
        let says = |mirror: usize, verdict| {
            if let Some(last) = self.told().verdicts.get_mut(mirror) {
                *last = verdict;
            }
        };
        let authentic = terms.chunks.is_some();
        // The list had its share of the time.
        let left = self.told().left.unwrap_or(loader.retry_for);
        let done = fetch::drive(&artifact.locations, left, &on_event, |attempt| {
            let once = Once { artifact, name, on: loader.on, says: &says, attempt, authentic };
            once.says(Verdict::before(attempt.location()));
            let source = once.open(&self.fetcher, &terms)?;
            consume(&once, source)
        });
        match done {
            Ok((made, read)) => Ok((made, self.fetched(read, terms.chunks.as_deref()))),
            Err(Exhausted::Stopped) => Err(LoadError::Stopped),
            Err(Exhausted::Fatal { error, .. }) => Err(LoadError::Failed(error)),
            Err(exhausted @ Exhausted::GaveUp { .. }) => Err(self.gave_up(&exhausted)),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list, which was held against its digest. Where none is to be had, a digest over the whole does as well: then the
    /// archive is verified at its end.
    fn chunk_list(&self, digest: &Sha256) -> Result<Option<Arc<ChunkList>>, LoadError> {
        let locations = &self.artifact.locations;
        let time = self.time_for_a_list();
        let asked = self.fetcher.chunk_list(locations, digest, time, &|event| self.heard(event));
        let spent = match (&asked, self.told().left) {
            (Err(Exhausted::GaveUp { silent, .. }), _) => *silent,
            (_, left) => time.saturating_sub(left.unwrap_or(time)),
        };
        self.told().left = Some(self.loader.retry_for.saturating_sub(spent));
        let why = match asked {
            Ok(list) => {
                return match self.artifact.size {
                    Some(size) if size != list.total() => {
                        let why =
                            format!("the chunk list is of {} bytes, the catalog says {size}", list.total());
                        Err(LoadError::Failed(self.failure(Verdict::OTHER_BYTES, &why)))
                    }
                    _ => Ok(Some(Arc::new(list))),
                };
            }
            Err(Exhausted::Stopped) => return Err(LoadError::Stopped),
            Err(Exhausted::GaveUp { attempts: 0, .. }) => {
                "no chunk list lies beside a device as a whole".to_owned()
            }
            Err(why) => why.to_string(),
        };
        match &self.artifact.trust {
            Trust::Sha256(_) => {
                log::warn!("{}: no chunk list: {why}; sha256 is compared at the end", self.name);
                Ok(None)
            }
            Trust::Chunks(_) | Trust::Unverified => {
                Err(LoadError::Failed(self.failure(Verdict::NO_LIST, &format!("the chunk list: {why}"))))
            }
        }
    }

    /// One that can be done without is not waited for as long as the archive itself.
    fn time_for_a_list(&self) -> Duration {
        let all = self.loader.retry_for;
        match &self.artifact.trust {
            Trust::Sha256(_) => (all / 5).min(LIST),
            Trust::Chunks(_) | Trust::Unverified => all,
        }
    }

    fn failure(&self, verdict: Verdict, why: &str) -> Failure {
        Failure::because(verdict.phase, self.name, why).hint(verdict.hint)
    }

    fn gave_up(&self, why: &Exhausted<Failure>) -> LoadError {
        let verdict = Verdict::of_all(&self.told().verdicts);
        LoadError::Failed(self.failure(verdict, &why.to_string()))
    }

    /// Hands on what happens, and keeps it.
    fn heard(&self, event: Event) -> std::ops::ControlFlow<()> {
        let Event::Retry(what) = event else { return (self.loader.on)(Report::Tick) };
        let mut told = self.told();
        told.retries = told.retries.max(what.attempt);
        told.left = Some(what.budget_left);
        if what.wrong_bytes {
            let mirrors = self.artifact.locations.iter().zip(&mut told.verdicts);
            let wrong = mirrors.filter(|(location, _)| **location == what.location);
            wrong.for_each(|(_, verdict)| *verdict = Verdict::OTHER_BYTES);
        }
        if told.tries.len() == MOST_TRIES {
            told.tries.remove(0);
        }
        told.tries.push(Tried { at: self.began.elapsed(), what: (*what).clone() });
        drop(told);
        (self.loader.on)(Report::Retrying(*what))
    }

    fn fetched(&self, read: once::Read, chunks: Option<&ChunkList>) -> Fetched {
        let once::Read { sha256, location, bytes } = read;
        let (name, trust) = (self.name.to_owned(), self.artifact.trust.clone());
        on_last(self.loader.on, Report::Verified { artifact: name.clone(), trust: trust.clone() });
        let mut told = self.told();
        Fetched {
            name,
            trust,
            unpacked: None,
            image: None,
            sha256,
            location,
            mirrors: self.artifact.locations.clone(),
            bytes,
            retries: told.retries,
            tries: std::mem::take(&mut told.tries),
            chunks: chunks.map(|list| list.chunks().len() as u64),
            elapsed: self.began.elapsed(),
        }
    }
}
