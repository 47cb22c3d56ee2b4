//! What is known about each interface, shared between the network's thread and whoever draws it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::lease::Lease;
use super::link::Link;
use super::mac::Mac;

/// An interface as a screen shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    pub name: String,
    pub mac: Mac,
    /// Absent for interfaces without a device.
    pub driver: Option<String>,
    /// Whether there is a carrier; absent while the interface is down.
    pub link: Option<bool>,
    /// Mbit/s, where the driver knows.
    pub speed: Option<u32>,
    pub state: NicState,
    /// Why the last try failed; stays until one succeeds.
    pub last_error: Option<String>,
}

/// What an interface is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NicState {
    /// Not brought up: not wanted (yet), or it could not be.
    Down,
    /// Up, and no carrier.
    NoLink,
    /// Try number `attempt` (from 1) is on its way.
    Asking { attempt: u32, since: Instant },
    /// Try number `attempt` failed; the next comes.
    Waiting { attempt: u32, next_in: Duration },
    /// This is the network.
    Leased(Lease),
    /// This is the network, by hand.
    Static(Lease),
    /// Another interface is the network.
    Idle,
    /// The kernel would not do what has to be done.
    Refused(String),
}

/// Behind one lock; readers copy.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    nics: Vec<Known>,
    lease: Option<Lease>,
    notes: Vec<String>,
    off: bool,
}

#[derive(Debug)]
struct Known {
    index: u32,
    nic: Nic,
    /// When a `Waiting` ends.
    until: Option<Instant>,
}

impl Shared {
    pub fn status(&self) -> Vec<Nic> {
        let now = Instant::now();
        let shown = |known: &Known| {
            let mut nic = known.nic.clone();
            if let (NicState::Waiting { next_in, .. }, Some(until)) = (&mut nic.state, known.until) {
                *next_in = until.saturating_duration_since(now);
            }
            nic
        };
        self.lock().nics.iter().map(shown).collect()
    }

    pub fn lease(&self) -> Option<Lease> {
        self.lock().lease.clone()
    }

    pub fn notes(&self) -> Vec<String> {
        self.lock().notes.clone()
    }

    pub fn is_off(&self) -> bool {
        self.lock().off
    }

    /// The lease, as soon as there is one, but after `most` at the latest.
    pub fn wait(&self, most: Duration) -> Option<Lease> {
        let state = self.lock();
        let none = |state: &mut State| state.lease.is_none() && !state.off;
        let (state, _) =
            self.changed.wait_timeout_while(state, most, none).unwrap_or_else(PoisonError::into_inner);
        state.lease.clone()
    }

    pub fn note(&self, text: String) {
        log::warn!("network: {text}");
        self.remark(text);
    }

    pub fn remark(&self, text: String) {
        self.lock().notes.push(text);
    }

    pub fn switch_off(&self) {
        self.lock().off = true;
        self.changed.notify_all();
    }

    pub fn set_lease(&self, lease: Option<Lease>) {
        self.lock().lease = lease;
        self.changed.notify_all();
    }

    /// Takes an interface in, or what the kernel says anew about it.
    pub fn describe(&self, link: &Link) {
        let (driver, speed) = (link.driver(), link.carrier.then(|| link.speed()).flatten());
        let mut state = self.lock();
        let at = match state.nics.binary_search_by_key(&link.index, |k| k.index) {
            Ok(at) => at,
            Err(at) => {
                let nic = Nic {
                    name: link.name.clone(),
                    mac: link.mac,
                    driver: None,
                    link: None,
                    speed: None,
                    state: NicState::Down,
                    last_error: None,
                };
                state.nics.insert(at, Known { index: link.index, nic, until: None });
                at
            }
        };
        let nic = &mut state.nics[at].nic;
        nic.name.clone_from(&link.name);
        nic.mac = link.mac;
        nic.driver = driver;
        nic.link = link.up.then_some(link.carrier);
        nic.speed = speed;
    }

    pub fn forget(&self, index: u32) {
        self.lock().nics.retain(|k| k.index != index);
    }

    pub fn set(&self, index: u32, to: NicState) {
        self.change(index, |known| {
            known.until = match to {
                NicState::Waiting { next_in, .. } => Some(Instant::now() + next_in),
                _ => None,
            };
            if matches!(to, NicState::Leased(_) | NicState::Static(_)) {
                known.nic.last_error = None;
            }
            known.nic.state = to;
        });
    }

    pub fn failed(&self, index: u32, why: String) {
        self.change(index, |known| known.nic.last_error = Some(why));
    }

    fn change(&self, index: u32, by: impl FnOnce(&mut Known)) {
        if let Some(known) = self.lock().nics.iter_mut().find(|k| k.index == index) {
            by(known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, carrier: bool) -> Link {
        let mac = Mac([2, 0, 0, 0, 0, index as u8]);
        Link { index, name: format!("test{index}"), mac, up: true, carrier }
    }

    #[test]
    fn a_pause_is_shown_as_what_is_left_of_it() {
        let shared = Shared::default();
        shared.describe(&link(2, true));
        shared.set(2, NicState::Waiting { attempt: 3, next_in: Duration::from_secs(30) });
        let NicState::Waiting { attempt: 3, next_in } = shared.status()[0].state else { panic!() };
        assert!(next_in < Duration::from_secs(30) && next_in > Duration::from_secs(20));
    }

    #[test]
    fn interfaces_are_kept_by_index_and_an_error_stays_until_success() {
        let shared = Shared::default();
        for index in [4, 2, 3] {
            shared.describe(&link(index, index != 3));
        }
        shared.failed(4, "no answer".into());
        shared.set(4, NicState::NoLink);
        shared.describe(&link(4, false));
        shared.forget(2);
        let status = shared.status();
        let names: Vec<&str> = status.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["test3", "test4"]);
        assert_eq!((status[1].link, status[1].last_error.as_deref()), (Some(false), Some("no answer")));
    }

    #[test]
    fn who_waits_is_woken_by_off() {
        let shared = Shared::default();
        let (tell, hear) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                tell.send(rustix::thread::gettid()).unwrap();
                let begun = Instant::now();
                (shared.wait(Duration::from_secs(60)), begun.elapsed())
            });
            // Off before the wait would prove nothing: it has to sleep first (proc_pid_stat(5)).
            let stat = format!("/proc/self/task/{}/stat", hear.recv().unwrap());
            while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
                std::thread::yield_now();
            }
            shared.switch_off();
            let (lease, waited) = waiter.join().unwrap();
            assert_eq!(lease, None);
            assert!(waited < Duration::from_secs(30), "{waited:?}");
        });
    }
}
