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
use super::course::Wanted;
use super::waiting::{self, Waited};
use super::words::Word;
use super::worker::Story;
use crate::catalog::{self, Catalog, Parsed};
use crate::early;
use crate::fetch::{Event, Fetcher, Location};
use crate::load::{Failure, Phase};
use crate::machine::Machine;
use crate::net::Network;
use crate::privileges;
use crate::tui::menu::MenuModel;
use crate::tui::network::Awaited;
use crate::verify::Sha256;

const BUILT_IN: &str = "/etc/bootjack/catalog.toml";

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
    pub parsed: Parsed,
    pub origin: Origin,
    /// Over its bytes, for the report; absent: nobody wrote one.
    pub sha256: Option<Sha256>,
    /// What the operator has to know beside the catalog's own faults.
    pub notices: Vec<String>,
}

/// Why there is none.
pub enum NoOffer {
    Failed(Failure),
    /// A person does not want to wait.
    Left,
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

/// The catalog to choose from. Without `or_built_in` only the one that is wanted will do.
pub fn get(
    story: &mut Story,
    wanted: &Wanted,
    or_built_in: bool,
    patience: Option<Duration>,
) -> Result<Offer, NoOffer> {
    let asked = match wanted {
        Some(Ok(location)) => fetch(story, location, or_built_in, patience),
        Some(Err(problem)) => {
            Err(NoOffer::Failed(Failure::because(Phase::Catalog, "bootjack.catalog=", problem.to_string())))
        }
        None => return built_in().map_err(NoOffer::Failed).map(|offer| offer.with(&story.notices)),
    };
    let why = match asked {
        Ok(offer) => return Ok(offer.with(&story.notices)),
        Err(why) if !or_built_in || !Path::new(BUILT_IN).exists() => return Err(why),
        Err(NoOffer::Failed(failure)) => format!("This is the built-in catalog: {failure}"),
        Err(NoOffer::Left) => "This is the built-in catalog: the other was not waited for.".into(),
    };
    log::warn!("{why}");
    let offer = built_in().map_err(NoOffer::Failed)?;
    Ok(Offer { notices: vec![why], ..offer }.with(&story.notices))
}

fn built_in() -> Result<Offer, Failure> {
    let origin = Location::Initramfs(BUILT_IN.into());
    match fs::read(BUILT_IN) {
        Ok(bytes) => understood(parse(&bytes, &origin)?, Sha256::of(&bytes), Origin::BuiltIn),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let empty = catalog::parse("", &origin, BUILT_IN);
            let parsed = Parsed { catalog: Some(Catalog::empty()), problems: Vec::new(), ..empty };
            let notices = vec!["No catalog: neither bootjack.catalog= nor one in the initrd.".into()];
            Ok(Offer { parsed, origin: Origin::Nothing, sha256: None, notices })
        }
        Err(e) => Err(Failure::new(Phase::Catalog, BUILT_IN, e)),
    }
}

fn parse(bytes: &[u8], base: &Location) -> Result<Parsed, Failure> {
    let name = base.to_string();
    match catalog::decode(bytes) {
        // A catalog of anybody's, before anything is known of it: by a thread that can do nothing else.
        Ok(text) => privileges::apart(|| catalog::parse(text, base, &name))
            .map_err(|e| Failure::new(Phase::Worker, "starting a thread", e)),
        Err(problem) => Err(Failure::because(Phase::Catalog, &name, problem.render(&name))),
    }
}

/// With the screen that says what is waited for.
fn fetch(
    story: &mut Story,
    location: &Location,
    or_built_in: bool,
    patience: Option<Duration>,
) -> Result<Offer, NoOffer> {
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
            log::warn!("catalog: {error}");
            let mut awaited = awaited();
            (awaited.error, awaited.next) = (Some(error), Some(wait));
        }
        go_on()
    };
    let (fetcher, network) = (story.fetcher.clone(), Arc::clone(&story.network));
    let (done, finished) = channel();
    let fetched = std::thread::scope(|scope| {
        let fetch = || {
            if location.is_remote() {
                waiting::for_address(&network, patience, &go_on, &location.to_string())?;
            }
            let (from, budget) = (std::slice::from_ref(location), waiting::budget(RETRY_FOR, patience));
            let read = fetcher.read_all(from, budget, catalog::TEXT_LIMIT as u64 + 1, &on);
            read.map_err(|e| not_fetched(location, &e))
        };
        let work = move || drop(done.send(fetch()));
        if let Err(e) = std::thread::Builder::new().name("catalog".into()).spawn_scoped(scope, work) {
            return Err(NoOffer::Failed(Failure::new(Phase::Worker, "starting a thread", e)));
        }
        let waited = story.wait(&|| awaited().clone(), &finished);
        stop.store(true, Ordering::Relaxed);
        match waited {
            Waited::For(done) => done.map_err(NoOffer::Failed),
            Waited::Left => Err(NoOffer::Left),
        }
    });
    let (bytes, from) = fetched?;
    let parsed = parse(&bytes, &from).map_err(NoOffer::Failed)?;
    understood(parsed, Sha256::of(&bytes), Origin::Fetched(from)).map_err(NoOffer::Failed)
}

fn not_fetched(location: &Location, error: &impl fmt::Display) -> Failure {
    Failure::because(Phase::Catalog, location.to_string(), error.to_string()).hint(match location.is_remote() {
        true => "check bootjack.catalog=, the server and the network",
        false => "check bootjack.catalog=, and that the initrd has the drivers: bootjack initrd --drivers storage",
    })
}

/// The entries that stand; a file in which none can be found is a failure with every complaint.
fn understood(parsed: Parsed, sha256: Sha256, origin: Origin) -> Result<Offer, Failure> {
    if parsed.catalog.is_some() {
        return Ok(Offer { parsed, origin, sha256: Some(sha256), notices: Vec::new() });
    }
    let complaints = parsed.render();
    Err(Failure {
        phase: Phase::Catalog,
        thing: parsed.origin,
        cause: complaints.lines().map(str::to_owned).collect(),
        hint: Some("'bootjack check' finds this on the machine the catalog is written on".into()),
    })
}

impl Offer {
    fn with(self, notices: &[String]) -> Self {
        Self { notices: [&self.notices[..], notices].concat(), ..self }
    }

    /// Where it was fetched from in the end; absent: it was not.
    pub fn location(&self) -> Option<Location> {
        match &self.origin {
            Origin::Fetched(location) => Some(location.clone()),
            Origin::BuiltIn | Origin::Nothing => None,
        }
    }

    /// What stands of it.
    pub fn catalog(&self) -> Option<&Catalog> {
        self.parsed.catalog.as_ref()
    }

    /// What was refused of the entry with this id, a complaint a line.
    pub fn complaints(&self, id: &str) -> Option<Vec<String>> {
        let refused = self.parsed.refused.iter().find(|r| r.id.as_deref() == Some(id))?;
        let texts: Vec<String> = refused.problems.iter().map(|p| p.render(&self.parsed.origin)).collect();
        Some(texts.iter().flat_map(|text| text.lines().map(str::to_owned)).collect())
    }
}

impl Story {
    /// All that the menu shows, computed now: the memory there is now decides what can be booted.
    pub fn model(&self, offer: &Offer) -> MenuModel {
        let nothing = || MenuModel { title: "bootjack".into(), ..MenuModel::default() };
        let model = MenuModel::of(&offer.parsed, &Machine::probe()).unwrap_or_else(nothing);
        MenuModel {
            header: self.header(),
            source: offer.origin.to_string(),
            notices: [offer.notices.clone(), model.notices].concat(),
            log: early::log_tail(Path::new(LOG), 400),
            ..model
        }
    }
}

impl Story {
    /// For the head of every screen.
    pub fn header(&self) -> Vec<String> {
        header(&self.network, &self.fetcher)
    }
}

/// Who this is: address first, as it is what an operator looks for; and whom it believes, if that is anybody.
pub fn header(network: &Network, fetcher: &Fetcher) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(fetcher.unverified_tls().map(str::to_owned));
    if let Some(lease) = network.lease() {
        facts.push(format!("{} {}", lease.interface, lease.address));
        facts.extend(lease.hostname);
    }
    facts
}
