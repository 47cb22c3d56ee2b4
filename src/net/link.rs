//! Interfaces by rtnetlink: what is there, and setting them. Which and when is `up`'s.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use futures_util::stream::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};

use super::lease::Lease;
use super::mac::Mac;

/// An Ethernet interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Mac,
    /// Administratively up.
    pub up: bool,
    /// A cable, and somebody at its other end.
    pub carrier: bool,
}

impl Link {
    /// Understands a link message; nothing for what is not an Ethernet card: loopback, tunnels, bonds. A veth pair
    /// counts, so that a network namespace can stand for a machine.
    pub fn from_message(message: &LinkMessage) -> Option<Self> {
        // A bridge repeats messages about its ports, in its own family.
        let plain = message.header.interface_family == AddressFamily::Unspec;
        if !plain || message.header.link_layer_type != LinkLayerType::Ether {
            return None;
        }
        let mut name = None;
        let mut mac = None;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(n) => name = Some(n.clone()),
                LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac),
                LinkAttribute::LinkInfo(infos)
                    if infos.iter().any(|i| matches!(i, LinkInfo::Kind(kind) if *kind != InfoKind::Veth)) =>
                {
                    return None;
                }
                _ => {}
            }
        }
        let flags = message.header.flags;
        let up = flags.contains(LinkFlags::Up);
        let carrier = up && flags.contains(LinkFlags::LowerUp);
        Some(Self { index: message.header.index, name: name?, mac: mac?, up, carrier })
    }

    /// The driver's name, where the device has one.
    pub fn driver(&self) -> Option<String> {
        let link = fs::read_link(Path::new("/sys/class/net").join(&self.name).join("device/driver")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    }

    /// Mbit/s, where the driver knows.
    pub fn speed(&self) -> Option<u32> {
        let text = fs::read_to_string(Path::new("/sys/class/net").join(&self.name).join("speed")).ok()?;
        text.trim().parse().ok().filter(|&mbit| mbit > 0 && mbit < u32::MAX)
    }
}

type Done = Result<(), rtnetlink::Error>;

/// All Ethernet interfaces.
pub async fn all(handle: &Handle) -> Result<Vec<Link>, rtnetlink::Error> {
    let messages: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    Ok(messages.iter().filter_map(Link::from_message).collect())
}

/// The loopback interface, which has index 1 in every network namespace.
pub async fn loopback_up(handle: &Handle) -> Done {
    up(handle, 1).await
}

pub async fn up(handle: &Handle, index: u32) -> Done {
    handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await
}

pub async fn down(handle: &Handle, index: u32) -> Done {
    handle.link().set(LinkUnspec::new_with_index(index).down().build()).execute().await
}

/// Gives the interface, which has to be down, another address.
pub async fn set_mac(handle: &Handle, index: u32, mac: Mac) -> Done {
    let message: LinkMessageBuilder<LinkUnspec> = LinkUnspec::new_with_index(index);
    handle.link().set(message.address(mac.0.to_vec()).build()).execute().await
}

/// Gives the interface, which has to be down, another name.
pub async fn rename(handle: &Handle, index: u32, name: &str) -> Done {
    let message: LinkMessageBuilder<LinkUnspec> = LinkUnspec::new_with_index(index);
    handle.link().set(message.name(name).build()).execute().await
}

async fn mtu(handle: &Handle, index: u32, mtu: u32) -> Done {
    handle.link().set(LinkUnspec::new_with_index(index).mtu(mtu).build()).execute().await
}

/// Takes every IPv4 address away but `keep`; the routes through them go with them.
pub async fn flush(handle: &Handle, index: u32, keep: Option<(IpAddr, u8)>) -> Done {
    let mut addresses = handle.address().get().set_link_index_filter(index).execute();
    let mut old = Vec::new();
    while let Some(message) = addresses.try_next().await? {
        if message.header.family == AddressFamily::Inet && keep != own_address(&message) {
            old.push(message);
        }
    }
    for message in old {
        handle.address().del(message).execute().await?;
    }
    Ok(())
}

fn own_address(message: &rtnetlink::packet_route::address::AddressMessage) -> Option<(IpAddr, u8)> {
    use rtnetlink::packet_route::address::AddressAttribute::{Address, Local};
    let local = message.attributes.iter().find_map(|a| if let Local(ip) = a { Some(*ip) } else { None });
    let address = message.attributes.iter().find_map(|a| if let Address(ip) = a { Some(*ip) } else { None });
    Some((local.or(address)?, message.header.prefix_len))
}

/// Sets MTU, address and routes of a lease. What fails of the MTU or a single route is a text and no reason to go
/// without a network; without the address there is none.
///
/// # Errors
/// When the address cannot be set.
pub async fn apply(handle: &Handle, index: u32, lease: &Lease) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    // As for the command line's; a server may say anything.
    if let Some(wanted) = lease.mtu.filter(|m| (576..=65535).contains(m))
        && let Err(e) = mtu(handle, index, wanted).await
    {
        problems.push(format!("setting the MTU {wanted}: {e}"));
    }
    if let Err(e) = flush(handle, index, Some((lease.address, lease.prefix))).await {
        problems.push(format!("removing old addresses: {e}"));
    }
    let address = handle.address().add(index, lease.address, lease.prefix).replace();
    address
        .execute()
        .await
        .map_err(|e| format!("setting the address {}/{}: {e}", lease.address, lease.prefix))?;
    for route in &lease.routes {
        let set = set_route(handle, index, lease, (route.to, route.prefix), route.via).await;
        if let Err(e) = set {
            problems.push(format!("setting the route to {}/{}: {e}", route.to, route.prefix));
        }
    }
    if let Some(IpAddr::V4(gateway)) = lease.gateway
        && let Err(e) = set_route(handle, index, lease, (Ipv4Addr::UNSPECIFIED, 0), Some(gateway)).await
    {
        problems.push(format!("setting the default route via {gateway}: {e}"));
    }
    Ok(problems)
}

async fn set_route(
    handle: &Handle,
    index: u32,
    lease: &Lease,
    (to, prefix): (Ipv4Addr, u8),
    via: Option<Ipv4Addr>,
) -> Done {
    let mut route =
        RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, prefix).output_interface(index);
    if let IpAddr::V4(own) = lease.address {
        route = route.pref_source(own);
    }
    match via {
        Some(gateway) => {
            route = route.gateway(gateway);
            // A router outside the network (clouds give /32) is reachable all the same: the kernel is told so.
            if !lease.reaches(gateway) {
                route = route.onlink();
            }
        }
        None => route = route.scope(rtnetlink::packet_route::route::RouteScope::Link),
    }
    handle.route().add(route.build()).replace().execute().await
}
