//! Who is on which errand, and whose lease is the machine's: interfaces come and go, links too, and the first lease
//! wins. When something happens is `up`'s, how one asks `ask`'s, who is wanted `choice`'s.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rtnetlink::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;

use super::ask::{Event, ask_and_keep};
use super::choice::{self, Task};
use super::config::{Config, Method, Static};
use super::lease::Lease;
use super::link::{self, Link};
use super::mac::Mac;
use super::schedule;
use super::state::{NicState, Shared};

/// How long the interface that was asked for is waited for before the others may try too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where libraries and programs look for name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Every interface and what it is doing.
pub struct Jobs {
    config: Config,
    shared: Arc<Shared>,
    kernel: Handle,
    tell: UnboundedSender<Event>,
    jobs: BTreeMap<u32, Job>,
    /// The interface whose lease is the machine's, and when that ends.
    holder: Option<(u32, Option<Instant>)>,
    /// Whether whoever the command line asked for still has the field to himself, and until when.
    patience: bool,
    patience_ends: Instant,
    /// `/etc/resolv.conf` is ours; before that it is what the initrd brought.
    resolv_conf: bool,
}

struct Job {
    link: Link,
    /// The address it came with; rules match this one.
    born: Mac,
    raised: Raised,
    /// It is on its errand, or its address is set by hand.
    begun: bool,
    errand: Option<AbortHandle>,
}

/// Whether an interface was brought up.
#[derive(Clone, Copy)]
enum Raised {
    NotYet,
    /// The kernel would not do it, so many times; the next try.
    Refused(u32, Instant),
    /// Once; if it is down then, somebody wants it down.
    Done,
}

impl Jobs {
    pub fn new(config: Config, shared: Arc<Shared>, kernel: Handle, tell: UnboundedSender<Event>) -> Self {
        Self {
            patience: choice::is_picky(&config),
            config,
            shared,
            kernel,
            tell,
            jobs: BTreeMap::new(),
            holder: None,
            patience_ends: Instant::now() + PATIENCE,
            resolv_conf: false,
        }
    }

    pub fn has_lease(&self) -> bool {
        self.holder.is_some()
    }

    /// When the machine's lease ends, if it does.
    pub fn lease_ends(&self) -> Option<Instant> {
        self.holder.and_then(|(_, ends)| ends)
    }

    /// When the others may try too, if they are still waiting.
    pub fn patience_ends(&self) -> Option<Instant> {
        (self.patience && self.holder.is_none()).then_some(self.patience_ends)
    }

    pub async fn begin(&mut self) {
        if let Err(e) = link::loopback_up(&self.kernel).await {
            self.shared.note(format!("bringing up the loopback interface: {e}"));
        }
        if self.config.off {
            self.shared.switch_off();
        } else if self.patience {
            let (whom, time) = (choice::wanted(&self.config), PATIENCE.as_secs());
            self.shared
                .note(format!("{whom} is to be the network; after {time} s without it the others may try"));
        }
        self.recount().await;
    }

    pub async fn recount(&mut self) {
        match link::all(&self.kernel).await {
            Ok(links) => {
                for link in links {
                    self.take_in(link).await;
                }
            }
            Err(e) => log::warn!("listing the interfaces: {e}"),
        }
    }

    /// An interface appeared or changed.
    pub async fn take_in(&mut self, link: Link) {
        self.shared.describe(&link);
        let index = link.index;
        let job = self.jobs.entry(index).or_insert_with(|| Job {
            link: Link { carrier: false, ..link.clone() },
            born: link.mac,
            raised: Raised::NotYet,
            begun: false,
            errand: None,
        });
        let gained = link.carrier && !job.link.carrier;
        let lost = !link.carrier && job.link.carrier;
        job.link = link;
        let (up, carrier, raised, begun) = (job.link.up, job.link.carrier, job.raised, job.begun);
        let Some(task) = self.task(index) else { return };
        match (up, carrier) {
            (false, _) if matches!(raised, Raised::NotYet) => self.raise(index, task.mac, 1).await,
            (false, _) => {}
            (true, false) if lost => self.lost(index),
            (true, false) if self.is_holder(index) => {}
            (true, false) => self.shared.set(index, NicState::NoLink),
            (true, true) if gained || !begun => self.set_out(index, &task),
            (true, true) => {}
        }
    }

    /// What the command line wants of this interface, now.
    fn task(&self, index: u32) -> Option<Task> {
        let job = self.jobs.get(&index)?;
        let born = Link { mac: job.born, ..job.link.clone() };
        if self.config.off { None } else { choice::task(&self.config, &born, self.patience) }
    }

    fn is_holder(&self, index: u32) -> bool {
        self.holder.is_some_and(|(h, _)| h == index)
    }

    /// Whether an interface other than this one is the network, and has a carrier.
    fn is_served_by_another(&self, index: u32) -> bool {
        self.holder.is_some_and(|(h, _)| h != index && self.jobs.get(&h).is_some_and(|j| j.link.carrier))
    }

    /// When an interface that the kernel refused to bring up is to be tried again, if there is one.
    pub fn raise_again(&self) -> Option<Instant> {
        self.jobs
            .values()
            .filter_map(|j| if let Raised::Refused(_, at) = j.raised { Some(at) } else { None })
            .min()
    }

    /// Tries again what is due.
    pub async fn raise_due(&mut self) {
        let now = Instant::now();
        let due: Vec<(u32, u32, bool)> = self
            .jobs
            .iter()
            .filter_map(|(index, job)| match job.raised {
                Raised::Refused(attempt, at) if at <= now => Some((*index, attempt, job.link.up)),
                _ => None,
            })
            .collect();
        for (index, attempt, up) in due {
            match self.task(index) {
                Some(task) if !up => self.raise(index, task.mac, attempt + 1).await,
                // Somebody else did it, or it is not wanted any more.
                wanted => self.raised(index, if wanted.is_some() { Raised::Done } else { Raised::NotYet }),
            }
        }
    }

    fn raised(&mut self, index: u32, to: Raised) {
        if let Some(job) = self.jobs.get_mut(&index) {
            job.raised = to;
        }
    }

    async fn raise(&mut self, index: u32, mac: Option<Mac>, attempt: u32) {
        self.rename(index).await;
        let mut done = Ok(());
        if let Some(mac) = mac {
            done = link::set_mac(&self.kernel, index, mac).await.map_err(|e| format!("setting the MAC: {e}"));
        }
        if done.is_ok() {
            done = link::up(&self.kernel, index).await.map_err(|e| format!("bringing the interface up: {e}"));
        }
        let Err(why) = done else { return self.raised(index, Raised::Done) };
        log::warn!("interface {index}: try {attempt}: {why}");
        self.shared.set(index, NicState::Refused(format!("{why} (try {attempt})")));
        let next = Instant::now() + schedule::pause(attempt, schedule::chance());
        self.raised(index, Raised::Refused(attempt, next));
    }

    /// Calls an interface what `ifname=` says. Other words find it by its address in any case.
    async fn rename(&self, index: u32) {
        let Some(job) = self.jobs.get(&index) else { return };
        let called = self.config.names.iter().find(|(_, mac)| *mac == job.born).map(|(name, _)| name);
        if let Some(name) = called.filter(|name| **name != job.link.name)
            && let Err(e) = link::rename(&self.kernel, index, name).await
        {
            self.shared.note(format!("calling {} {name}, as ifname= says: {e}", job.link.name));
        }
    }

    /// The carrier is gone. A lease is kept until another interface has one: cables get knocked.
    fn lost(&mut self, index: u32) {
        if self.is_holder(index) {
            self.wake_others(index);
        } else {
            self.stop(index);
            self.shared.set(index, NicState::NoLink);
        }
    }

    /// Sends an interface with a carrier on its errand, unless another one is the network.
    fn set_out(&mut self, index: u32, task: &Task) {
        if self.is_served_by_another(index) {
            return self.shared.set(index, NicState::Idle);
        }
        self.stop(index);
        let Some(job) = self.jobs.get_mut(&index) else { return };
        job.begun = true;
        match &task.method {
            Method::Static(fixed) => {
                let lease = Lease::by_hand(fixed, &job.link.name, job.link.mac, task.mtu);
                // Only fails when this thread is ending.
                let _ = self.tell.send(Event::Lease(index, lease));
            }
            Method::Dhcp => {
                let (shared, tell) = (Arc::clone(&self.shared), self.tell.clone());
                let errand = ask_and_keep(job.link.clone(), task.hostname.clone(), shared, tell);
                job.errand = Some(spawn_local(errand).abort_handle());
            }
        }
    }

    fn stop(&mut self, index: u32) {
        if let Some(job) = self.jobs.get_mut(&index) {
            job.begun = false;
            if let Some(errand) = job.errand.take() {
                errand.abort();
            }
        }
    }

    /// Everybody with a carrier who stands idle is to try.
    fn wake_others(&mut self, but: u32) {
        let idle: Vec<u32> = self
            .jobs
            .iter()
            .filter(|(i, j)| **i != but && j.link.carrier && !j.begun)
            .map(|(i, _)| *i)
            .collect();
        for index in idle {
            if let Some(task) = self.task(index) {
                self.set_out(index, &task);
            }
        }
    }

    pub async fn happened(&mut self, event: Event) {
        match event {
            Event::Lease(index, lease) => self.leased(index, lease).await,
            Event::Expired(index) if self.is_holder(index) => self.expired(index).await,
            Event::Expired(_) => {}
        }
    }

    async fn leased(&mut self, index: u32, mut lease: Lease) {
        // A word from an errand that was stopped meanwhile.
        if !self.jobs.get(&index).is_some_and(|j| j.begun) {
            return;
        }
        if self.is_served_by_another(index) {
            self.stop(index);
            return self.shared.set(index, NicState::Idle);
        }
        if let Some((other, _)) = self.holder.filter(|(h, _)| *h != index) {
            self.stop(other);
            self.shared.set(other, NicState::NoLink);
            self.flush(other).await;
        }
        self.add_words(index, &mut lease);
        match link::apply(&self.kernel, index, &lease).await {
            Ok(problems) => {
                problems.into_iter().for_each(|p| self.shared.note(format!("{}: {p}", lease.interface)))
            }
            Err(why) => {
                self.stop(index);
                if let Some(job) = self.jobs.get_mut(&index) {
                    // Not again by itself: only a new link or a person makes a difference.
                    job.begun = true;
                }
                return self.shared.set(index, NicState::Refused(why));
            }
        }
        self.announce(index, lease);
    }

    /// What the command line says beside, before, or in place of the server.
    fn add_words(&self, index: u32, lease: &mut Lease) {
        let config = &self.config;
        if config.own_dns_only && lease.server.is_some() {
            lease.nameservers.clear();
            lease.search.clear();
        }
        let mut servers = config.nameservers.clone();
        servers.extend(lease.nameservers.iter().filter(|s| !config.nameservers.contains(s)));
        lease.nameservers = servers;
        if let Some(job) = self.jobs.get(&index) {
            let born = Link { mac: job.born, ..job.link.clone() };
            let its = |name: &Option<String>| name.as_ref().is_none_or(|n| choice::is(config, &born, n));
            let routes = config.routes.iter().filter(|(_, name)| its(name)).map(|(route, _)| route);
            lease.routes.extend(routes.cloned());
        }
        if let Some(task) = self.task(index) {
            lease.mtu = task.mtu.or(lease.mtu);
            lease.hostname = task.hostname.or(lease.hostname.take());
        }
    }

    fn announce(&mut self, index: u32, lease: Lease) {
        self.resolv_conf |= tell_the_machine(&lease, &self.shared, self.resolv_conf);
        let others: Vec<u32> = self.jobs.keys().copied().filter(|i| *i != index).collect();
        for other in others {
            self.stop(other);
            if self.jobs[&other].link.carrier {
                self.shared.set(other, NicState::Idle);
            }
        }
        let news = self.shared.lease().as_ref() != Some(&lease);
        if news {
            log::info!("{}: {}/{} is the network", lease.interface, lease.address, lease.prefix);
        }
        let ends = (lease.server.is_some() && lease.seconds < u32::MAX)
            .then(|| Instant::now() + Duration::from_secs(lease.seconds.into()));
        self.holder = Some((index, ends));
        let how = match lease.server {
            None if lease.seconds == 0 => NicState::Static(lease.clone()),
            _ => NicState::Leased(lease.clone()),
        };
        self.shared.set(index, how);
        self.shared.set_lease(Some(lease));
    }

    /// The lease is over and its errand did not say so: it was asking anew, in vain.
    pub async fn overdue(&mut self) {
        if let Some((index, _)) = self.holder {
            self.expired(index).await;
        }
    }

    async fn expired(&mut self, index: u32) {
        log::warn!("interface {index}: the lease ended");
        self.holder = None;
        self.shared.set_lease(None);
        self.flush(index).await;
        self.wake_others(index);
    }

    async fn flush(&self, index: u32) {
        if let Err(e) = link::flush(&self.kernel, index, None).await {
            log::warn!("interface {index}: removing its addresses: {e}");
        }
    }

    pub async fn removed(&mut self, index: u32) {
        self.stop(index);
        if self.jobs.remove(&index).is_none() {
            return;
        }
        self.shared.forget(index);
        if self.is_holder(index) {
            self.holder = None;
            self.shared.set_lease(None);
            self.wake_others(index);
        }
    }

    pub async fn impatient(&mut self) {
        self.patience = false;
        let (whom, time) = (choice::wanted(&self.config), PATIENCE.as_secs());
        self.shared.note(format!("{whom} brought no network within {time} s: all interfaces may try now"));
        self.recount().await;
    }

    pub async fn retry(&mut self) {
        let holder = self.holder.map(|(h, _)| h);
        let others: Vec<u32> = self.jobs.keys().copied().filter(|i| Some(*i) != holder).collect();
        for index in others {
            self.stop(index);
            self.raised(index, Raised::NotYet);
        }
        self.recount().await;
    }

    /// From now on this interface is the network, with this address, as if the command line had said so.
    pub async fn set(&mut self, name: String, fixed: Static) {
        let found = self.jobs.iter().find(|(_, job)| job.link.name == name);
        let Some((index, link)) = found.map(|(index, job)| (*index, job.link.clone())) else {
            return self.shared.note(format!("an address for {name} by hand: there is no such interface"));
        };
        log::info!("{name}: {}/{} by hand", fixed.address, fixed.prefix);
        self.config.set_by_hand(name, fixed);
        // One that is just being given an address would be the network before this one.
        let others: Vec<u32> = self.jobs.keys().copied().filter(|other| *other != index).collect();
        for other in others {
            self.stop(other);
        }
        if let Some((holder, _)) = self.holder.take() {
            self.shared.set_lease(None);
            self.stop(holder);
            self.shared.set(holder, NicState::Idle);
            self.flush(holder).await;
        }
        self.stop(index);
        match self.task(index) {
            Some(task) if link.up && link.carrier => self.set_out(index, &task),
            Some(task) if !link.up => self.raise(index, task.mac, 1).await,
            _ => self.shared.set(index, NicState::NoLink),
        }
    }

    pub async fn down(&mut self) {
        self.shared.set_lease(None);
        let all: Vec<u32> = self.jobs.keys().copied().collect();
        for index in all {
            self.stop(index);
            self.flush(index).await;
            if let Err(e) = link::down(&self.kernel, index).await {
                log::warn!("interface {index}: taking it down: {e}");
            }
            self.shared.set(index, NicState::Down);
        }
    }
}

/// What processes read who know nothing of us. Says whether it wrote name servers, `again` that it did before: then those
/// of an older lease go, even if there are no new ones.
fn tell_the_machine(lease: &Lease, shared: &Shared, again: bool) -> bool {
    let write = again || !lease.nameservers.is_empty() || !lease.search.is_empty();
    if write {
        let written = fs::create_dir_all("/etc").and_then(|()| fs::write(RESOLV_CONF, lease.resolv_conf()));
        if let Err(e) = written {
            shared.note(format!("writing {RESOLV_CONF}: {e}"));
        }
    }
    if let Some(name) = &lease.hostname
        && let Err(e) = rustix::system::sethostname(name.as_bytes())
    {
        shared.note(format!("setting the host name {name}: {e}"));
    }
    write
}
