//! The network's thread: hears the kernel, the errands, the handle and the clock, one thing at a time. What each means
//! is decided in `jobs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::StreamExt;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, interval_at, sleep_until};

use super::ask::Event;
use super::config::{Config, Static};
use super::jobs::Jobs;
use super::link::Link;
use super::state::Shared;
use crate::answer::Giver;

/// How often the interfaces are counted again while there is no network: the kernel may drop an event when too many
/// come at once.
const RECOUNT: Duration = Duration::from_secs(5);

/// What the handle asks of the thread.
#[derive(Debug)]
pub enum Order {
    Retry,
    /// The interface with this name gets an address by hand.
    Set(String, Static),
    /// Answered when everything is down.
    Down(Giver<()>),
}

/// The thread's whole life; `ready` hears whether it began.
pub fn run(
    config: Config,
    shared: &Arc<Shared>,
    orders: UnboundedReceiver<Order>,
    ready: Giver<io::Result<()>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return ready.give(Err(e)),
    };
    let life = async {
        let (connection, kernel, mut messages) = match new_multicast_connection(&[MulticastGroup::Link]) {
            Ok(parts) => parts,
            Err(e) => return ready.give(Err(e)),
        };
        spawn_local(connection);
        let (tell, mut events) = unbounded_channel();
        let mut jobs = Jobs::new(config, Arc::clone(shared), kernel, tell);
        ready.give(Ok(()));
        jobs.begin().await;
        serve(&mut jobs, &mut messages, &mut events, orders).await;
    };
    LocalSet::new().block_on(&runtime, life);
}

async fn serve(
    jobs: &mut Jobs,
    messages: &mut (impl StreamExt<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Unpin),
    events: &mut UnboundedReceiver<Event>,
    mut orders: UnboundedReceiver<Order>,
) {
    let mut count = interval_at(Instant::now() + RECOUNT, RECOUNT);
    loop {
        let (lease_ends, patience_ends) = (jobs.lease_ends(), jobs.patience_ends());
        let raise_again = jobs.raise_again();
        tokio::select! {
            message = messages.next() => match message.map(|(m, _)| m.payload) {
                Some(NetlinkPayload::InnerMessage(message)) => heard(jobs, message).await,
                Some(_) => {}
                None => return log::error!("network: the kernel's netlink socket closed"),
            },
            Some(event) = events.recv() => jobs.happened(event).await,
            order = orders.recv() => match order {
                Some(Order::Retry) => jobs.retry().await,
                Some(Order::Set(name, fixed)) => jobs.set(name, fixed).await,
                Some(Order::Down(done)) => {
                    jobs.down().await;
                    return done.give(());
                }
                None => return,
            },
            () = at(patience_ends) => jobs.impatient().await,
            () = at(raise_again) => jobs.raise_due().await,
            () = at(lease_ends) => jobs.overdue().await,
            _ = count.tick(), if !jobs.has_lease() => jobs.recount().await,
        }
    }
}

async fn heard(jobs: &mut Jobs, message: RouteNetlinkMessage) {
    match message {
        RouteNetlinkMessage::NewLink(m) => {
            if let Some(link) = Link::from_message(&m) {
                jobs.take_in(link).await;
            }
        }
        RouteNetlinkMessage::DelLink(m) => jobs.removed(m.header.index).await,
        _ => {}
    }
}

/// Sleeps until `moment`; without one, for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
