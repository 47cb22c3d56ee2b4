//! Brings the network up and keeps it: every Ethernet card asks, the first lease wins and is renewed. The thread
//! behind it is `up`'s; fetching over the network is `fetch`'s.
//!
//! The raw sockets of DHCP need the module `af_packet`, which `drivers::coldplug` loads first.

mod ask;
mod choice;
mod config;
mod dhcp;
mod jobs;
mod lease;
mod link;
mod mac;
mod schedule;
mod state;
mod up;

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

pub use config::{Config, Method, Problem, Rule, Static};
pub use lease::{Lease, Route};
pub use mac::{Mac, NotAMac};
use state::Shared;
pub use state::{Nic, NicState};
use up::Order;

use crate::answer;
use crate::privileges::Part;

/// How often a waiting caller is asked whether it still wants to wait.
const TICK: Duration = Duration::from_millis(100);

/// How long taking the interfaces down may last: it is a handful of netlink messages.
const DOWN: Duration = Duration::from_secs(5);

/// The machine's network. Dropping it leaves interfaces and addresses as they are, and renews no longer.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    orders: UnboundedSender<Order>,
}

impl Network {
    /// Starts to bring it up, in a thread of its own, and returns at once. May be called before any driver is
    /// loaded: interfaces that appear later are taken in.
    ///
    /// # Errors
    /// When the thread, its runtime or its netlink socket cannot be had.
    pub fn start(config: Config) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (orders, taken) = unbounded_channel();
        let (ready, started) = answer::pair();
        let theirs = Arc::clone(&shared);
        let live = move || {
            Part::Network.keep();
            up::run(config, &theirs, taken, ready);
        };
        answer::begin("network", Box::new(live))?;
        started.take().unwrap_or_else(|| Err(io::Error::other("the network thread died at its start")))?;
        Ok(Self { shared, orders })
    }

    /// Every interface, by index, and what it is doing right now.
    pub fn status(&self) -> Vec<Nic> {
        self.shared.status()
    }

    /// Something that whoever waits for the network should know from the beginning.
    pub fn remark(&self, text: String) {
        self.shared.remark(text);
    }

    /// What else a person should know (an interface of the command line that is not there), oldest first.
    pub fn notes(&self) -> Vec<String> {
        self.shared.notes()
    }

    /// The lease in use.
    pub fn lease(&self) -> Option<Lease> {
        self.shared.lease()
    }

    /// Waits for a lease until `deadline`, or for as long as `on`, asked ten times a second, says so. Returns at once
    /// when the command line wants no network.
    pub fn wait(&self, deadline: Option<Instant>, on: &dyn Fn() -> ControlFlow<()>) -> Option<Lease> {
        loop {
            let left = deadline.map_or(TICK, |d| d.saturating_duration_since(Instant::now()).min(TICK));
            if let Some(lease) = self.shared.wait(left) {
                return Some(lease);
            }
            let over = deadline.is_some_and(|d| Instant::now() >= d) || self.shared.is_off();
            if over || on().is_break() {
                return None;
            }
        }
    }

    /// Asks again now, on every interface that has no lease.
    pub fn retry(&self) {
        // The thread is gone only after `down`: then there is nothing to retry.
        let _ = self.orders.send(Order::Retry);
    }

    /// Makes an interface the network, with an address that a person gave, whatever was asked for before.
    pub fn set(&self, interface: String, fixed: Static) {
        let _ = self.orders.send(Order::Set(interface, fixed));
    }

    /// Gives the network up, as before a kexec: sockets closed, addresses taken away, links down. For a switch-root it
    /// is not called: there the links stay up.
    pub fn down(&self) {
        let (done, down) = answer::pair();
        if self.orders.send(Order::Down(done)).is_ok() && down.take_within(DOWN).is_err() {
            log::warn!("taking the links down did not end within {} s", DOWN.as_secs());
        }
    }
}
