//! The network's thread: takes interfaces in as they appear, sends each on its errand, gives the machine the first
//! lease, and starts over when that is lost. How one asks is `ask`'s, who is wanted `choice`'s.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use futures_util::stream::StreamExt;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep_until};

use super::ask::{Event, ask_and_keep};
use super::choice;
use super::config::{Config, Method};
use super::lease::Lease;
use super::link::{self, Link};
use super::mac::Mac;
use super::state::{NicState, Shared};

/// How long the interface that was asked for is waited for before the others may try too.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the interfaces are counted again while there is no network: the kernel may drop an event when too many
/// come at once.
const RECOUNT: Duration = Duration::from_secs(5);

/// Where libraries and programs look for name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What the handle asks of the thread.
#[derive(Debug)]
pub enum Order {
    Retry,
    /// Answered when everything is down.
    Down(SyncSender<()>),
}

struct Up {
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
}

struct Job {
    link: Link,
    /// The address it came with; rules match this one.
    born: Mac,
    /// It was set up once; if it is down then, somebody wants it down.
    raised: bool,
    /// It is on its errand, or its address is set by hand.
    begun: bool,
    errand: Option<AbortHandle>,
}

/// The thread's whole life; `ready` hears whether it began.
pub fn run(
    config: Config,
    shared: &Arc<Shared>,
    orders: UnboundedReceiver<Order>,
    ready: &SyncSender<io::Result<()>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        // Nobody to tell: then nobody started it.
        Err(e) => return drop(ready.send(Err(e))),
    };
    let life = async {
        let (connection, kernel, mut messages) = match new_multicast_connection(&[MulticastGroup::Link]) {
            Ok(parts) => parts,
            Err(e) => return drop(ready.send(Err(e))),
        };
        spawn_local(connection);
        let (tell, mut events) = unbounded_channel();
        let mut up = Up {
            patience: choice::is_picky(&config),
            config,
            shared: Arc::clone(shared),
            kernel,
            tell,
            jobs: BTreeMap::new(),
            holder: None,
            patience_ends: Instant::now() + PATIENCE,
        };
        let _ = ready.send(Ok(()));
        up.begin().await;
        up.serve(&mut messages, &mut events, orders).await;
    };
    LocalSet::new().block_on(&runtime, life);
}

impl Up {
    async fn begin(&mut self) {
        if let Err(e) = link::loopback_up(&self.kernel).await {
            self.shared.note(format!("bringing up the loopback interface: {e}"));
        }
        if self.config.off {
            self.shared.switch_off();
        }
        self.recount().await;
    }

    async fn serve(
        &mut self,
        messages: &mut (impl StreamExt<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Unpin),
        events: &mut UnboundedReceiver<Event>,
        mut orders: UnboundedReceiver<Order>,
    ) {
        let mut count = tokio::time::interval_at(Instant::now() + RECOUNT, RECOUNT);
        loop {
            let ends = self.holder.and_then(|(_, ends)| ends);
            tokio::select! {
                message = messages.next() => match message.map(|(m, _)| m.payload) {
                    Some(NetlinkPayload::InnerMessage(message)) => self.heard(message).await,
                    Some(_) => {}
                    None => return self.shared.note("the kernel's netlink socket closed".into()),
                },
                Some(event) = events.recv() => self.happened(event).await,
                order = orders.recv() => match order {
                    Some(Order::Retry) => self.retry().await,
                    Some(Order::Down(done)) => {
                        self.down().await;
                        // Whoever asked may have gone: it is down all the same.
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                () = sleep_until(self.patience_ends), if self.patience && self.holder.is_none() => {
                    self.impatient().await;
                }
                () = sleep_until(ends.unwrap_or_else(Instant::now)), if ends.is_some() => {
                    if let Some((index, _)) = self.holder {
                        self.expired(index).await;
                    }
                }
                _ = count.tick(), if self.holder.is_none() => self.recount().await,
            }
        }
    }

    async fn heard(&mut self, message: RouteNetlinkMessage) {
        match message {
            RouteNetlinkMessage::NewLink(m) => {
                if let Some(link) = Link::from_message(&m) {
                    self.take_in(link).await;
                }
            }
            RouteNetlinkMessage::DelLink(m) => self.removed(m.header.index).await,
            _ => {}
        }
    }

    async fn recount(&mut self) {
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
    async fn take_in(&mut self, link: Link) {
        self.shared.describe(&link);
        let index = link.index;
        let job = self.jobs.entry(index).or_insert_with(|| Job {
            link: Link { carrier: false, ..link.clone() },
            born: link.mac,
            raised: false,
            begun: false,
            errand: None,
        });
        let gained = link.carrier && !job.link.carrier;
        let lost = !link.carrier && job.link.carrier;
        job.link = link;
        let born = Link { mac: job.born, ..job.link.clone() };
        if self.config.off {
            return;
        }
        let Some(task) = choice::task(&self.config, &born, self.patience) else { return };
        if !job.link.up {
            if !job.raised {
                self.raise(index, task.mac).await;
            }
            return;
        }
        if lost {
            self.lost(index);
        } else if !self.jobs[&index].link.carrier {
            if self.holder.is_none_or(|(h, _)| h != index) {
                self.shared.set(index, NicState::NoLink);
            }
        } else if gained || !self.jobs[&index].begun {
            self.set_out(index, &task);
        }
    }

    async fn raise(&mut self, index: u32, mac: Option<Mac>) {
        let mut done = Ok(());
        if let Some(mac) = mac {
            done = link::set_mac(&self.kernel, index, mac).await.map_err(|e| format!("setting the MAC: {e}"));
        }
        if done.is_ok() {
            done = link::up(&self.kernel, index).await.map_err(|e| format!("bringing the interface up: {e}"));
        }
        if let Some(job) = self.jobs.get_mut(&index) {
            job.raised = true;
        }
        if let Err(why) = done {
            log::warn!("interface {index}: {why}");
            self.shared.set(index, NicState::Refused(why));
        }
    }

    /// The carrier is gone. A lease is kept until another interface has one: cables get knocked.
    fn lost(&mut self, index: u32) {
        if self.holder.is_some_and(|(h, _)| h == index) {
            self.wake_others(index);
        } else {
            self.stop(index);
            self.shared.set(index, NicState::NoLink);
        }
    }

    /// Sends an interface with a carrier on its errand, unless another one is the network.
    fn set_out(&mut self, index: u32, task: &choice::Task) {
        if self.holder.is_some_and(|(h, _)| h != index && self.jobs.get(&h).is_some_and(|j| j.link.carrier)) {
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
                let errand = ask_and_keep(job.link.clone(), Arc::clone(&self.shared), self.tell.clone());
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
            let job = &self.jobs[&index];
            let born = Link { mac: job.born, ..job.link.clone() };
            if let Some(task) = choice::task(&self.config, &born, self.patience) {
                self.set_out(index, &task);
            }
        }
    }

    async fn happened(&mut self, event: Event) {
        match event {
            Event::Lease(index, lease) => self.leased(index, lease).await,
            Event::Expired(index) if self.holder.is_some_and(|(h, _)| h == index) => {
                self.expired(index).await
            }
            Event::Expired(_) => {}
        }
    }

    async fn leased(&mut self, index: u32, mut lease: Lease) {
        // A word from an errand that was stopped meanwhile.
        if !self.jobs.get(&index).is_some_and(|j| j.begun) {
            return;
        }
        if let Some((other, _)) = self.holder.filter(|(h, _)| *h != index) {
            if self.jobs.get(&other).is_some_and(|j| j.link.carrier) {
                self.stop(index);
                return self.shared.set(index, NicState::Idle);
            }
            self.stop(other);
            self.shared.set(other, NicState::NoLink);
            self.flush(other).await;
        }
        let mut servers = self.config.nameservers.clone();
        servers.extend(lease.nameservers.iter().filter(|s| !self.config.nameservers.contains(s)));
        lease.nameservers = servers;
        if let Some(mtu) = self.wished_mtu(index) {
            lease.mtu = Some(mtu);
        }
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

    fn announce(&mut self, index: u32, lease: Lease) {
        tell_the_machine(&lease, &self.shared);
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

    fn wished_mtu(&self, index: u32) -> Option<u32> {
        let job = self.jobs.get(&index)?;
        let born = Link { mac: job.born, ..job.link.clone() };
        choice::task(&self.config, &born, self.patience)?.mtu
    }

    async fn removed(&mut self, index: u32) {
        self.stop(index);
        if self.jobs.remove(&index).is_none() {
            return;
        }
        self.shared.forget(index);
        if self.holder.is_some_and(|(h, _)| h == index) {
            self.holder = None;
            self.shared.set_lease(None);
            self.wake_others(index);
        }
    }

    async fn impatient(&mut self) {
        self.patience = false;
        let (whom, time) = (choice::wanted(&self.config), PATIENCE.as_secs());
        self.shared.note(format!("{whom} brought no network within {time} s: all interfaces may try now"));
        self.recount().await;
    }

    async fn retry(&mut self) {
        let holder = self.holder.map(|(h, _)| h);
        let others: Vec<u32> = self.jobs.keys().copied().filter(|i| Some(*i) != holder).collect();
        for index in others {
            self.stop(index);
            if let Some(job) = self.jobs.get_mut(&index) {
                job.raised = false;
            }
        }
        self.recount().await;
    }

    async fn down(&mut self) {
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

/// What processes read who know nothing of us.
fn tell_the_machine(lease: &Lease, shared: &Shared) {
    if !lease.nameservers.is_empty() || !lease.search.is_empty() {
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
}
