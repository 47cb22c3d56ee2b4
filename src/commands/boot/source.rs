//! Where the menu's catalog comes from: the place the kernel command line names, or the initrd; waiting for the network
//! with a screen that says what for.

use std::fmt;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::LOG;
use super::waiting::Waited;
use super::words::Word;
use super::worker::Story;
use crate::catalog::{self, Catalog, Parsed};
use crate::early;
use crate::fetch::{Event, Location};
use crate::load::{Failure, Phase};
use crate::machine::Machine;
use crate::net::Network;
use crate::plan;
use crate::tui::menu::{Broken, MenuModel, rows};
use crate::tui::network::Awaited;

const BUILT_IN: &str = "/etc/bootjack/catalog.toml";

/// A catalog is a text for people; a server that sends more than this sends something else.
const LARGEST: u64 = 4 << 20;

/// Silent time after which a catalog counts as not to be had.
const RETRY_FOR: Duration = Duration::from_secs(60);

/// Where a catalog came from.
#[derive(Clone, Debug)]
pub enum Origin {
    BuiltIn,
    Fetched(Location),
    Nothing,
}

/// A catalog with all that the menu says beside it.
pub struct Offer {
    pub catalog: Catalog,
    pub broken: Vec<Broken>,
    pub origin: Origin,
    pub notices: Vec<String>,
}

/// Why there is none.
pub enum None {
    Failed(Failure),
    /// A person does not want to wait.
    Back,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in catalog"),
            Self::Fetched(location) => write!(f, "{location}"),
            Self::Nothing => f.write_str("no catalog"),
        }
    }
}

/// The catalog to choose from. Without `or_built_in` only the one that was asked for will do.
pub fn get(story: &mut Story, or_built_in: bool) -> Result<Offer, None> {
    let complaints: Vec<String> = story.params.problems.iter().map(ToString::to_string).collect();
    let location = match story.params.catalog.clone() {
        Some(Ok(location)) => location,
        Some(Err(problem)) if or_built_in => {
            return built_in([vec![problem.to_string()], complaints].concat());
        }
        Some(Err(problem)) => {
            return Err(None::Failed(Failure::because(
                Phase::Catalog,
                "bootjack.catalog=",
                problem.to_string(),
            )));
        }
        Option::None => return built_in(complaints),
    };
    let failure = match fetch(story, &location, or_built_in) {
        Ok(offer) => return Ok(Offer { notices: [offer.notices, complaints].concat(), ..offer }),
        Err(failure) => failure,
    };
    match failure {
        Some(failure) if !or_built_in => Err(None::Failed(failure)),
        Option::None if !or_built_in => Err(None::Back),
        failure => {
            let why = failure.map_or_else(
                || format!("This is the built-in catalog: {location} was not waited for."),
                |f| format!("This is the built-in catalog: {f}"),
            );
            log::warn!("{why}");
            built_in([vec![why], complaints].concat())
        }
    }
}

fn built_in(mut notices: Vec<String>) -> Result<Offer, None> {
    let origin = Location::Initramfs(BUILT_IN.into());
    match fs::read_to_string(BUILT_IN) {
        Ok(text) => understood(catalog::parse(&text, &origin, BUILT_IN), BUILT_IN, Origin::BuiltIn)
            .map(|offer| Offer { notices: [notices, offer.notices].concat(), ..offer })
            .map_err(None::Failed),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            notices.push("No catalog: neither bootjack.catalog= nor one in the initrd.".into());
            Ok(Offer { catalog: Catalog::empty(), broken: Vec::new(), origin: Origin::Nothing, notices })
        }
        Err(e) => Err(None::Failed(Failure::new(Phase::Catalog, BUILT_IN, e))),
    }
}

/// Nothing inside: a person stopped waiting.
fn fetch(story: &mut Story, location: &Location, or_built_in: bool) -> Result<Offer, Option<Failure>> {
    Word::Doing(format!("fetching the catalog {location}")).say();
    let stop = AtomicBool::new(false);
    let go_on =
        || if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let waiting_for = Mutex::new(Awaited {
        what: format!("the catalog {location}"),
        built_in: or_built_in,
        ..Awaited::default()
    });
    let awaited = || waiting_for.lock().unwrap_or_else(PoisonError::into_inner);
    let on = |event: Event| {
        if let Event::Retry { error, wait, .. } = event {
            let mut awaited = awaited();
            (awaited.error, awaited.next) = (Some(error), Some(wait));
        }
        go_on()
    };
    let (fetcher, network) = (story.fetcher.clone(), Arc::clone(&story.network));
    let (done, finished) = channel();
    let fetched = std::thread::scope(|scope| {
        let work = || {
            if location.is_remote() {
                drop(network.wait(Option::None, &go_on));
            }
            drop(done.send(fetcher.read_all(std::slice::from_ref(location), RETRY_FOR, LARGEST, &on)));
        };
        if let Err(e) = std::thread::Builder::new().name("catalog".into()).spawn_scoped(scope, work) {
            return Err(Some(Failure::new(Phase::Worker, "starting a thread", e)));
        }
        let waited = story.wait(&|| awaited().clone(), &finished);
        stop.store(true, Ordering::Relaxed);
        match waited {
            Waited::For(done) => done.map_err(|e| Some(not_fetched(location, &e))),
            Waited::Left => Err(Option::None),
        }
    });
    let (bytes, from) = fetched?;
    let text =
        String::from_utf8(bytes).map_err(|e| Some(Failure::new(Phase::Catalog, from.to_string(), e)))?;
    let parsed = catalog::parse(&text, &from, &from.to_string());
    understood(parsed, &from.to_string(), Origin::Fetched(from)).map_err(Some)
}

fn not_fetched(location: &Location, error: &impl fmt::Display) -> Failure {
    Failure::because(Phase::Catalog, location.to_string(), error.to_string())
        .hint("check bootjack.catalog=, the server and the network (n)")
}

/// The entries that stand, and every complaint about the others.
fn understood(parsed: Parsed, name: &str, origin: Origin) -> Result<Offer, Failure> {
    let complaints: Vec<String> = parsed.problems.iter().map(|p| p.render(name)).collect();
    let Some(catalog) = parsed.catalog else {
        return Err(Failure {
            phase: Phase::Catalog,
            thing: name.into(),
            cause: complaints.iter().flat_map(|c| c.lines().map(str::to_owned)).collect(),
            hint: Some("'bootjack check' finds this on the machine the catalog is written on".into()),
        });
    };
    let broken: Vec<Broken> = parsed
        .refused
        .iter()
        .map(|refused| Broken {
            title: refused
                .title
                .clone()
                .or(refused.id.clone())
                .unwrap_or_else(|| "an entry without a name".into()),
            complaints: refused.problems.iter().flat_map(|p| lines(&p.render(name))).collect(),
        })
        .collect();
    let notices = match broken.len() {
        0 => Vec::new(),
        n => {
            let mut all = vec![format!("{n} refused: wrong in the catalog {name}")];
            all.extend(broken.iter().flat_map(|b| b.complaints.clone()));
            all
        }
    };
    Ok(Offer { catalog, broken, origin, notices })
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

impl Story {
    /// All that the menu shows, computed now: the memory there is now decides what can be booted.
    pub fn model(&self, offer: &Offer) -> MenuModel {
        let machine = Machine::probe();
        let Catalog { title, timeout, default, idle, entries, .. } = &offer.catalog;
        let plans = entries.iter().map(|entry| plan::plan(entry, &machine)).collect();
        MenuModel {
            title: title.clone(),
            header: header(&self.network),
            source: offer.origin.to_string(),
            rows: rows(&offer.catalog, plans, offer.broken.clone()),
            default: *default,
            timeout: self.params.timeout.or(*timeout),
            idle: *idle,
            notices: offer.notices.clone(),
            log: early::log_tail(Path::new(LOG), 400),
            preview: false,
        }
    }
}

/// Who this is, for the head of every screen: address first, as it is what an operator looks for.
pub fn header(network: &Network) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(lease) = network.lease() {
        facts.push(format!("{} {}", lease.interface, lease.address));
        facts.extend(lease.hostname);
    }
    facts
}
