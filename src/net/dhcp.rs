//! DHCPv4 on one interface: the `mozim` client wrapped so that a try ends, an answer is a [`Lease`], and renewal is
//! one call. When to try again is `schedule`'s, what to do with a lease is `up`'s.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mozim::{DhcpV4Client, DhcpV4Config, DhcpV4Lease, DhcpV4State};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::config::classful;
use super::lease::{Lease, Route};
use super::link::Link;
use super::mac::Mac;

/// How long one try lasts. The client sends at 0 and 3 to 5 s; servers that ping an address before they offer it
/// (dnsmasq) need 3 s.
pub const TRY: Duration = Duration::from_secs(8);

/// Options asked for (RFC 2132; 119 RFC 3397, 121 RFC 3442): mask, router, name servers, host name, domain, MTU,
/// NTP, search list, classless routes.
const WANTED: &[u8] = &[1, 3, 6, 12, 15, 26, 42, 119, 121];

/// Hardware type of option 61: PXE ROMs say `01` + MAC too, and so the server gives the same address again.
const ETHERNET: u8 = 1;

/// A client that holds a lease.
pub struct Client {
    inner: DhcpV4Client,
    interface: String,
    mac: Mac,
}

/// What became of a lease.
pub enum News {
    /// It was renewed; parts of it may have changed.
    Renewed(Lease),
    /// It ran out, and nobody renewed it.
    Expired,
}

impl Client {
    /// Asks once, for at most [`TRY`]; `hostname` goes along (option 12).
    ///
    /// # Errors
    /// A text for the screen: no answer, or what the kernel refused.
    pub async fn ask(link: &Link, hostname: Option<&str>) -> Result<(Self, Lease), String> {
        let (interface, mac) = (link.name.as_str(), link.mac);
        raw_sockets()?;
        let mut config = DhcpV4Config::new(interface);
        config.set_iface_index(link.index);
        hostname.map(|name| config.set_host_name(name));
        config.set_iface_mac_raw(&mac.0).map_err(|e| e.to_string())?;
        config.set_client_id(ETHERNET, &mac.0);
        config.override_request_dhcp_opts(WANTED);
        let inner = DhcpV4Client::init(config, None).await.map_err(|e| e.to_string())?;
        let mut client = Self { inner, interface: interface.to_owned(), mac };
        let mut offered = false;
        let answer = async {
            loop {
                match client.inner.run().await.map_err(|e| e.to_string())? {
                    DhcpV4State::Done(lease) => return Ok::<_, String>(lease),
                    state => offered |= state == DhcpV4State::Selecting,
                }
            }
        };
        match tokio::time::timeout(TRY, answer).await {
            Ok(Ok(given)) => {
                let lease = client.understood(&given);
                Ok((client, lease))
            }
            Ok(Err(e)) => Err(e),
            Err(_) if offered => Err("a server offered an address and then did not confirm it".into()),
            Err(_) => Err(format!("no DHCP server answered within {} s", TRY.as_secs())),
        }
    }

    /// Sleeps until the lease is half over, renews it, and says what came of it.
    ///
    /// # Errors
    /// A text for the screen.
    pub async fn next(&mut self) -> Result<News, String> {
        loop {
            match self.inner.run().await.map_err(|e| e.to_string())? {
                DhcpV4State::Done(given) => return Ok(News::Renewed(self.understood(&given))),
                DhcpV4State::InitReboot => return Ok(News::Expired),
                _ => {}
            }
        }
    }

    fn understood(&self, given: &DhcpV4Lease) -> Lease {
        let routes: Vec<Route> = given
            .classless_routes
            .iter()
            .flatten()
            .map(|r| Route {
                to: r.destination,
                prefix: r.prefix_length.min(32),
                via: Some(r.router).filter(|v| !v.is_unspecified()),
            })
            .collect();
        let (default, routes): (Vec<Route>, Vec<Route>) = routes.into_iter().partition(|r| r.prefix == 0);
        // RFC 3442: with classless routes the router option is not looked at.
        let gateway = match given.classless_routes {
            Some(_) => default.first().and_then(|r| r.via),
            None => given.gateways.iter().flatten().copied().find(|g| !g.is_unspecified()),
        };
        let prefix = match given.prefix_length() {
            0 => classful(given.yiaddr).unwrap_or(24),
            bits => bits,
        };
        let mut search = given.get_option_raw(119).map(|raw| search_list(raw.get(2..).unwrap_or_default()));
        if search.as_ref().is_none_or(Vec::is_empty) {
            // A domain option may hold several names: dhclient and others take it for a search list.
            search = text(&given.domain_name).map(|d| d.split_whitespace().map(str::to_owned).collect());
        }
        Lease {
            interface: self.interface.clone(),
            mac: self.mac,
            address: given.yiaddr.into(),
            prefix,
            gateway: gateway.map(IpAddr::V4),
            routes,
            nameservers: known(given.dns_srvs.iter().flatten().copied()),
            search: search.unwrap_or_default(),
            hostname: text(&given.host_name),
            mtu: given.mtu.map(u32::from),
            server: known([given.srv_id, given.siaddr]).first().copied(),
            seconds: given.lease_time_sec,
        }
    }
}

/// The client hides why it has no socket and looks like one that gets no answer: so it is asked here.
fn raw_sockets() -> Result<(), String> {
    match socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::AFNOSUPPORT) => {
            Err("the kernel has no packet sockets: the module af_packet is missing from the initrd".into())
        }
        Err(e) => Err(format!("opening a packet socket: {e}")),
    }
}

fn known(addresses: impl IntoIterator<Item = Ipv4Addr>) -> Vec<IpAddr> {
    addresses.into_iter().filter(|a| !a.is_unspecified()).map(IpAddr::V4).collect()
}

fn text(option: &Option<String>) -> Option<String> {
    let text = option.as_ref()?.trim_end_matches('\0').trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Names as RFC 1035 packs them, with its pointers back (RFC 3397); ends at what makes no sense.
fn search_list(data: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let Some((name, next)) = name_at(data, at) else { break };
        if !name.is_empty() {
            names.push(name);
        }
        at = next;
    }
    names
}

/// The name at `at`, and where the next one begins.
fn name_at(data: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels: Vec<String> = Vec::new();
    let mut after = None;
    loop {
        match usize::from(*data.get(at)?) {
            0 => return Some((labels.join("."), after.unwrap_or(at + 1))),
            pointer if pointer & 0xc0 == 0xc0 => {
                let to = (pointer & 0x3f) << 8 | usize::from(*data.get(at + 1)?);
                after.get_or_insert(at + 2);
                // Only backwards: there are no circles.
                if to >= at {
                    return None;
                }
                at = to;
            }
            length => {
                let label = std::str::from_utf8(data.get(at + 1..at + 1 + length)?).ok()?;
                if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                    return None;
                }
                labels.push(label.to_owned());
                at += 1 + length;
                if labels.len() > 127 {
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_list_is_unpacked_with_its_pointers() {
        // The example of RFC 3397, section 2.
        let data = b"\x03eng\x05apple\x03com\x00\x09marketing\xC0\x04";
        assert_eq!(search_list(data), ["eng.apple.com", "marketing.apple.com"]);
    }

    #[test]
    fn a_hostile_search_list_ends_without_harm() {
        for data in [&b"\xC0\x00"[..], b"\x03ab", b"\xC0", b"\x01a\xC0\x00", b"\x02a\nb\x00", b"\x00\x00\x00"]
        {
            assert!(search_list(data).len() < 2, "{data:?}");
        }
        // A chain of pointers: each name may be long, but ends.
        let chain: Vec<u8> = b"\x01a\x00".iter().copied().chain([0xC0, 0].repeat(60)).collect();
        assert!(search_list(&chain).iter().all(|n| n == "a"));
    }
}
