//! Waiting for the network, or for what comes over it, with the screen that says what each interface is doing.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::diagnose::{self, Outset};
use super::words::Word;
use super::worker::Story;
use crate::answer::{self, Answer, NoAnswer};
use crate::fetch::Location;
use crate::load::{Failure, Phase};
use crate::net::{self, Lease, Nic, NicState};
use crate::tui::address::{Address, AddressAnswer};
use crate::tui::network::{Awaited, Doing, Link, Network, NetworkAnswer, NicLine, Tested};

/// So long an address may take whatever the time for all tries is: a switch alone keeps a port that came up closed for
/// 30 s (IEEE 802.1D, forward delay), and the interface that `BOOTIF=` names has as long to itself.
const ADDRESS: Duration = Duration::from_secs(60);

/// No fetch gets less: a slow server must not look like none.
const LEAST: Duration = Duration::from_secs(10);

/// How a wait ended.
pub enum Waited<T> {
    For(T),
    /// A person does not want to wait any more.
    Left,
}

impl Story {
    /// Shows the network until something arrives at `finished`, or a person leaves.
    pub fn wait<T>(&mut self, awaited: &dyn Fn() -> Awaited, finished: &Answer<T>) -> Waited<T> {
        let network = Arc::clone(&self.network);
        let ssh = self.ssh.clone();
        let awaited = || Awaited { notes: network.notes(), ssh: ssh.said(), ..awaited() };
        let mut screen = Network::new(awaited(), self.header());
        if self.params.forbids_shell() {
            screen = screen.without_shell();
        }
        let mut test: Option<Test> = None;
        loop {
            let mut arrived = None;
            let answered = self.consoles.ask(&mut screen, &mut |screen| {
                screen.update(network.status().iter().map(line).collect(), awaited());
                screen.tested(test.as_ref().map(Test::so_far));
                match finished.try_take() {
                    Ok(value) => {
                        arrived = Some(value);
                        Some(NetworkAnswer::Back)
                    }
                    Err(NoAnswer::Yet) => None,
                    Err(NoAnswer::Ever) => Some(NetworkAnswer::Back),
                }
            });
            self.touched(answered.console);
            if let Some(value) = arrived {
                return Waited::For(value);
            }
            match answered.answer {
                NetworkAnswer::Retry => network.retry(),
                NetworkAnswer::Address => self.address_by_hand(),
                // One that goes on is waited for.
                NetworkAnswer::Test if test.as_ref().is_some_and(|test| test.so_far().goes_on) => {}
                NetworkAnswer::Test => match Test::begin(self) {
                    Ok(begun) => test = Some(begun),
                    Err(e) => log::error!("starting a thread: {e}"),
                },
                NetworkAnswer::Shell => {
                    // The next frame of this very screen has the log behind `l`.
                    if let Err(failure) = self.shell(answered.console) {
                        log::error!("{failure}");
                    }
                }
                NetworkAnswer::BuiltIn | NetworkAnswer::Back => return Waited::Left,
            }
        }
    }

    /// What a person types, if that is an address.
    fn address_by_hand(&mut self) {
        if !self.may("giving an address") {
            return;
        }
        let names = self.network.status().into_iter().map(|nic| nic.name).collect();
        let mut screen = Address::new(names, self.header());
        let answered = self.consoles.ask(&mut screen, &mut |_| None);
        self.touched(answered.console);
        if let AddressAnswer::Set(interface, fixed) = answered.answer {
            self.network.set(interface, fixed);
        }
    }

    /// Returns once there is an address, or the command line wants none; left if a person does not want to wait.
    ///
    /// # Errors
    /// There is none, and nobody who could wait any longer: [`for_address`].
    pub fn wait_for_network(
        &mut self,
        what_for: &str,
        patience: Option<Duration>,
    ) -> Waited<Result<(), Failure>> {
        if self.network.lease().is_some() {
            return Waited::For(Ok(()));
        }
        Word::Doing("waiting for the network".into()).say();
        let awaited = Awaited { what: format!("an address, for {what_for}"), ..Awaited::default() };
        let stop = AtomicBool::new(false);
        let network = Arc::clone(&self.network);
        let go_on =
            || if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        std::thread::scope(|scope| {
            let work = || for_address(&network, patience, &go_on, what_for);
            let finished = match answer::ask_within(scope, "lease", work) {
                Ok(finished) => finished,
                Err(e) => return Waited::For(Err(Failure::new(Phase::Worker, "starting a thread", e))),
            };
            let waited = self.wait(&|| awaited.clone(), &finished);
            stop.store(true, Ordering::Relaxed);
            waited
        })
    }

    /// The same screen for a person who only wants to see.
    pub fn look_at_network(&mut self) {
        // Nothing ever arrives: only a key ends it. The giver lives as long as the question.
        let (never, finished) = answer::pair();
        let awaited = Awaited { over: true, ..Awaited::default() };
        let (Waited::For(()) | Waited::Left) = self.wait(&|| awaited.clone(), &finished);
        drop(never);
    }
}

/// A look at the way to the server, on a thread of its own: it ends at its next step when nobody is interested any more.
struct Test {
    tested: Arc<Mutex<Tested>>,
    over: Arc<AtomicBool>,
}

impl Test {
    fn begin(story: &Story) -> io::Result<Self> {
        let up = story.network.status().into_iter().filter(|nic| nic.link == Some(true)).map(|nic| nic.name);
        let root = || story.params.root_entry()?.ok()?.places()?.iter().find(|l| l.is_remote()).cloned();
        let catalog = story.params.catalog.as_ref().and_then(|catalog| catalog.clone().ok());
        let location = catalog.filter(Location::is_remote).or_else(root);
        let what = location.as_ref().map_or_else(|| "the network".to_owned(), ToString::to_string);
        let outset = Outset { up: up.collect(), lease: story.network.lease(), location };
        let tested = Arc::new(Mutex::new(Tested { what, steps: vec![], goes_on: true }));
        let test = Self { tested: Arc::clone(&tested), over: Arc::default() };
        let (over, fetcher) = (Arc::clone(&test.over), story.fetcher.clone());
        let look = move || {
            diagnose::run(&outset, &fetcher, &mut |step| {
                log::info!("network test: {}: {:?}: {}", step.what, step.verdict, step.words);
                lock(&tested).steps.push(step);
                if over.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            lock(&tested).goes_on = false;
        };
        std::thread::Builder::new().name("test".into()).spawn(look)?;
        Ok(test)
    }

    fn so_far(&self) -> Tested {
        lock(&self.tested).clone()
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn lock(tested: &Mutex<Tested>) -> MutexGuard<'_, Tested> {
    tested.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for an address, for as long as `go_on` says so.
///
/// # Errors
/// Nobody is there, and for all of `patience`, but at least [`ADDRESS`], there was none.
pub fn for_address(
    network: &net::Network,
    patience: Option<Duration>,
    go_on: &dyn Fn() -> ControlFlow<()>,
    what_for: &str,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let most = patience.map(|left| left.max(ADDRESS));
    let lease = network.wait(most.map(|most| begun + most), go_on);
    match most.filter(|most| lease.is_none() && begun.elapsed() >= *most) {
        Some(most) => Err(no_address(network, most, what_for)),
        None => Ok(()),
    }
}

/// Budget of silent time for a fetch that may have `usual` with a person there.
pub fn budget(usual: Duration, patience: Option<Duration>) -> Duration {
    patience.map_or(usual, |left| usual.min(left.max(LEAST)))
}

fn no_address(network: &net::Network, most: Duration, what_for: &str) -> Failure {
    let nics = network.status();
    let mut failure =
        Failure::because(Phase::Network, what_for, format!("no address in {} s", most.as_secs()));
    failure.cause.extend(nics.iter().map(in_words));
    if nics.is_empty() {
        failure.cause.push("there is no interface".into());
    }
    failure.cause.extend(network.notes());
    failure.hint("check cable, switch and DHCP server; or give an address with ip=")
}

/// An interface that got no address.
fn in_words(nic: &Nic) -> String {
    let driver = nic.driver.as_deref().unwrap_or("no driver");
    let doing = match &nic.state {
        NicState::Asking { attempt, .. } | NicState::Waiting { attempt, .. } => {
            format!("DHCP try {attempt} without an answer")
        }
        NicState::NoLink => "no link".into(),
        NicState::Refused(why) => why.clone(),
        NicState::Down | NicState::Idle => "not used".into(),
        NicState::Leased(lease) | NicState::Static(lease) => lease.address.to_string(),
    };
    let error = nic.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("{} ({driver}): {doing}{error}", nic.name)
}

fn line(nic: &Nic) -> NicLine {
    let ready =
        |lease: &Lease, from: String| Doing::Ready { addresses: vec![lease.address.to_string()], from };
    NicLine {
        name: nic.name.clone(),
        mac: nic.mac.to_string(),
        driver: nic.driver.clone().unwrap_or_default(),
        link: match nic.link {
            Some(true) => Link::Up,
            Some(false) => Link::Down,
            None => Link::Unknown,
        },
        doing: match &nic.state {
            NicState::Down | NicState::Idle => Doing::Idle,
            NicState::Refused(_) => Doing::Idle,
            NicState::NoLink => Doing::AwaitingLink,
            NicState::Asking { attempt, .. } => Doing::Dhcp { attempt: *attempt, next: None },
            NicState::Waiting { attempt, next_in } => Doing::Dhcp { attempt: *attempt, next: Some(*next_in) },
            NicState::Leased(lease) => {
                let server = lease.server.map_or_else(|| "DHCP".into(), |s| format!("DHCP from {s}"));
                ready(lease, server)
            }
            NicState::Static(lease) => ready(lease, "by hand".into()),
        },
        error: match &nic.state {
            NicState::Refused(why) => Some(why.clone()),
            _ => nic.last_error.clone(),
        },
    }
}
