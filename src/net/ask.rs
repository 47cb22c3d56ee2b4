//! One interface's endless errand: ask, pause, ask again; once there is a lease, keep it. Who may run, and what a lease
//! does to the machine, is `up`'s.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::dhcp::{Client, News};
use super::lease::Lease;
use super::link::Link;
use super::schedule;
use super::state::{NicState, Shared};

/// What an errand brings back.
#[derive(Debug)]
pub enum Event {
    /// A lease, new or renewed.
    Lease(u32, Lease),
    /// The lease of this interface ended.
    Expired(u32),
}

/// Runs until it is aborted; `hostname` is told to the servers.
pub async fn ask_and_keep(
    link: Link,
    hostname: Option<String>,
    shared: Arc<Shared>,
    tell: UnboundedSender<Event>,
) {
    let index = link.index;
    let mut attempt = 1;
    loop {
        shared.set(index, NicState::Asking { attempt, since: Instant::now() });
        match Client::ask(&link, hostname.as_deref()).await {
            Ok((client, lease)) => {
                attempt = 1;
                let gone = tell.send(Event::Lease(index, lease)).is_err();
                if gone || !keep(client, index, &shared, &tell).await {
                    return;
                }
            }
            Err(why) => {
                log::info!("{}: DHCP try {attempt}: {why}", link.name);
                shared.failed(index, why);
                let next_in = schedule::pause(attempt, schedule::chance());
                shared.set(index, NicState::Waiting { attempt, next_in });
                tokio::time::sleep(next_in).await;
                attempt += 1;
            }
        }
    }
}

/// Renews until the lease is lost. False: nobody listens any more.
async fn keep(mut client: Client, index: u32, shared: &Shared, tell: &UnboundedSender<Event>) -> bool {
    loop {
        let event = match client.next().await {
            Ok(News::Renewed(lease)) => Event::Lease(index, lease),
            Ok(News::Expired) => {
                shared.failed(index, "the lease ran out and no server renewed it".into());
                Event::Expired(index)
            }
            Err(why) => {
                shared.failed(index, format!("renewing the lease: {why}"));
                Event::Expired(index)
            }
        };
        let over = matches!(event, Event::Expired(_));
        if tell.send(event).is_err() {
            return false;
        }
        if over {
            return true;
        }
    }
}
