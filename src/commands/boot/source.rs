//! Where the menu's catalog comes from: the place the kernel command line names, or the initrd; waiting for the network
//! with a screen that says what for.

use std::fmt;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::course::Wanted;
use super::trust::{BUILT_IN, Trust, Way, demand_fresh};
use super::waiting::{self, Waited};
use super::words::Word;
use super::worker::Story;
use crate::answer;
use crate::catalog::{self, Catalog, Parsed};
use crate::commands::signed;
use crate::early;
use crate::fetch::{Event, Fetcher, Location, OnEvent, Retrying, date};
use crate::load::{Failure, Phase};
use crate::machine::Machine;
use crate::net::Network;
use crate::privileges;
use crate::tui::menu::MenuModel;
use crate::tui::network::Awaited;
use crate::verify::Sha256;
use crate::verify::signature::{Keyring, SIGNATURES_LIMIT, Signed};

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
    /// Why it is believed; absent: there is none.
    pub trust: Option<Trust>,
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
        Err(NoOffer::Failed(failure)) => {
            let hint = failure.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("This is the built-in catalog: {failure}{hint}")
        }
        Err(NoOffer::Left) => "This is the built-in catalog: the other was not waited for.".into(),
    };
    log::warn!("{why}");
    let offer = built_in().map_err(NoOffer::Failed)?;
    let notices = [vec![why], offer.notices.clone()].concat();
    Ok(Offer { notices, ..offer }.with(&story.notices))
}

pub fn built_in() -> Result<Offer, Failure> {
    let origin = Location::Initramfs(BUILT_IN.into());
    match fs::read(BUILT_IN) {
        Ok(bytes) => {
            let offer = understood(&bytes, &origin, Origin::BuiltIn, Trust::BuiltIn)?;
            let past = offer.catalog().and_then(|c| c.expires).filter(|until| *until <= early::now());
            let said = |until| format!("The built-in catalog expired at {}.", date::readable(until));
            Ok(Offer { notices: past.map(said).into_iter().collect(), ..offer })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let empty = catalog::parse("", &origin, BUILT_IN);
            let parsed = Parsed { catalog: Some(Catalog::empty()), problems: Vec::new(), ..empty };
            let notices = vec!["No catalog: neither bootjack.catalog= nor one in the initrd.".into()];
            Ok(Offer { parsed, origin: Origin::Nothing, trust: None, sha256: None, notices })
        }
        Err(e) => Err(Failure::new(Phase::Catalog, BUILT_IN, e)),
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
        if let Event::Retry(again) = event {
            let Retrying { error, wait, .. } = *again;
            log::warn!("catalog: {error}");
            let mut awaited = awaited();
            (awaited.error, awaited.next) = (Some(error), Some(wait));
        }
        go_on()
    };
    let (fetcher, network) = (story.fetcher.clone(), Arc::clone(&story.network));
    let keyring = story.keyring.clone();
    let fetched = std::thread::scope(|scope| {
        let fetch = || {
            if location.is_remote() {
                waiting::for_address(&network, patience, &go_on, &location.to_string())?;
            }
            let reading =
                Reading { fetcher: &fetcher, budget: waiting::budget(RETRY_FOR, patience), on: &on };
            let (bytes, from) =
                reading.read(location, catalog::TEXT_LIMIT).map_err(|e| not_fetched(location, &e))?;
            let signed = keyring.as_ref().map(|ring| reading.signed(ring, location, &bytes)).transpose()?;
            Ok((bytes, from, signed))
        };
        let finished = answer::ask_within(scope, "catalog", fetch)
            .map_err(|e| NoOffer::Failed(Failure::new(Phase::Worker, "starting a thread", e)))?;
        let waited = story.wait(&|| awaited().clone(), &finished);
        stop.store(true, Ordering::Relaxed);
        match waited {
            Waited::For(done) => done.map_err(NoOffer::Failed),
            Waited::Left => Err(NoOffer::Left),
        }
    });
    let (bytes, from, signed) = fetched?;
    let way = || Trust::Way(Way::of(location, &from, story.fetcher.unverified_tls().is_some()));
    let trust = signed.map_or_else(way, Trust::Signed);
    let offer = understood(&bytes, &from, Origin::Fetched(from.clone()), trust).map_err(NoOffer::Failed)?;
    let fresh = offer
        .catalog()
        .map(|catalog| demand_fresh(catalog, &from.to_string(), story.keyring.is_some(), early::now()));
    fresh.transpose().map_err(NoOffer::Failed)?;
    Ok(offer)
}

/// How the parts of a catalog are fetched.
struct Reading<'a> {
    fetcher: &'a Fetcher,
    budget: Duration,
    on: OnEvent<'a>,
}

impl Reading<'_> {
    /// What lies there, and where that was in the end. One byte too many is told by whoever knows the limit.
    fn read(&self, from: &Location, limit: usize) -> Result<(Vec<u8>, Location), String> {
        let read = self.fetcher.read_all(std::slice::from_ref(from), self.budget, limit as u64 + 1, self.on);
        read.map_err(|e| e.to_string())
    }

    /// Who signed the catalog that came from `location`. Its signatures lie beside the place that was asked for, wherever
    /// that redirects to.
    fn signed(&self, keyring: &Keyring, location: &Location, bytes: &[u8]) -> Result<Signed, Failure> {
        let signatures = signed::place_of(location).ok_or_else(|| signed::NO_PLACE.to_owned());
        let signatures = signatures.and_then(|place| Ok(self.read(&place, SIGNATURES_LIMIT)?.0));
        signed::demand(keyring, &location.to_string(), bytes, signatures)
    }
}

fn not_fetched(location: &Location, error: &impl fmt::Display) -> Failure {
    Failure::because(Phase::Catalog, location.to_string(), error.to_string()).hint(match location.is_remote() {
        true => "check bootjack.catalog=, the server and the network",
        false => "check bootjack.catalog=, and that the initrd has the drivers: bootjack initrd --drivers storage",
    })
}

/// The entries that stand; a file in which none can be found is a failure with every complaint.
fn understood(bytes: &[u8], base: &Location, origin: Origin, trust: Trust) -> Result<Offer, Failure> {
    let name = base.to_string();
    // A catalog of anybody's, before anything is known of it: by a thread that can do nothing else.
    let mut parsed = privileges::apart(|| catalog::parse_bytes(bytes, base, &name))
        .map_err(|e| Failure::new(Phase::Worker, "starting a thread", e))?;
    if let Some(catalog) = &mut parsed.catalog {
        catalog.order_mirrors(Machine::probe().number());
        log::info!("catalog: {base}: {trust}");
        let (trust, sha256) = (Some(trust), Some(Sha256::of(bytes)));
        return Ok(Offer { parsed, origin, trust, sha256, notices: Vec::new() });
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
            trust: offer.trust.as_ref().map(ToString::to_string).unwrap_or_default(),
            notices: [offer.notices.clone(), model.notices].concat(),
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
