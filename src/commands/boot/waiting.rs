//! Waiting for the network, or for what comes over it, with the screen that says what each interface is doing.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use super::LOG;
use super::source;
use super::words::Word;
use super::worker::Story;
use crate::early;
use crate::net::{Lease, Nic, NicState};
use crate::tui::network::{Awaited, Doing, Link, Network, NetworkAnswer, NicLine};

/// How a wait ended.
pub enum Waited<T> {
    For(T),
    /// A person does not want to wait any more.
    Left,
}

impl Story {
    /// Shows the network until something arrives at `finished`, or a person leaves.
    pub fn wait<T>(&mut self, awaited: &dyn Fn() -> Awaited, finished: &Receiver<T>) -> Waited<T> {
        let mut screen = Network::new(awaited(), source::header(&self.network));
        let network = Arc::clone(&self.network);
        loop {
            screen.set_log(early::log_tail(Path::new(LOG), 400));
            let mut arrived = None;
            let answered = self.consoles.ask(&mut screen, &mut |screen| {
                screen.update(network.status().iter().map(line).collect(), awaited());
                match finished.try_recv() {
                    Ok(value) => {
                        arrived = Some(value);
                        Some(NetworkAnswer::Back)
                    }
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => Some(NetworkAnswer::Back),
                }
            });
            self.touched(answered.console);
            if let Some(value) = arrived {
                return Waited::For(value);
            }
            match answered.answer {
                NetworkAnswer::Retry => network.retry(),
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

    /// True once there is an address; false if a person does not want to wait.
    pub fn wait_for_network(&mut self, what_for: &str) -> bool {
        if self.network.lease().is_some() {
            return true;
        }
        Word::Doing("waiting for the network".into()).say();
        let awaited = Awaited { what: format!("an address, for {what_for}"), ..Awaited::default() };
        let stop = AtomicBool::new(false);
        let network = Arc::clone(&self.network);
        let go_on =
            || if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let (done, finished) = channel();
        std::thread::scope(|scope| {
            let work = || drop(done.send(network.wait(None, &go_on)));
            if let Err(e) = std::thread::Builder::new().name("lease".into()).spawn_scoped(scope, work) {
                log::error!("starting a thread: {e}");
                return false;
            }
            let waited = self.wait(&|| awaited.clone(), &finished);
            stop.store(true, Ordering::Relaxed);
            matches!(waited, Waited::For(_))
        })
    }

    /// The same screen for a person who only wants to see.
    pub fn look_at_network(&mut self) {
        // Nothing ever arrives: only a key ends it. The sender lives as long as the question.
        let (never, finished) = channel::<()>();
        let awaited = Awaited { over: true, ..Awaited::default() };
        let (Waited::For(()) | Waited::Left) = self.wait(&|| awaited.clone(), &finished);
        drop(never);
    }
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
            NicState::Static(lease) => ready(lease, "ip=".into()),
        },
        error: match &nic.state {
            NicState::Refused(why) => Some(why.clone()),
            _ => nic.last_error.clone(),
        },
    }
}
