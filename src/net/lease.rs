//! What an interface was given, by a server or by hand: plain data that travels on (report, second stage).

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use super::config::Static;
use super::mac::Mac;

/// An address and all that came with it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Lease {
    pub interface: String,
    pub mac: Mac,
    pub address: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
    /// Routes the server named one by one (RFC 3442), the default route apart.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// In the order in which to ask.
    pub nameservers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub hostname: Option<String>,
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Who gave it; absent: by hand.
    pub server: Option<IpAddr>,
    /// How long it lasts; 0: for ever.
    pub seconds: u32,
}

/// A route to a network that is not the default one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Route {
    pub to: Ipv4Addr,
    pub prefix: u8,
    /// Absent: on this very link.
    pub via: Option<Ipv4Addr>,
}

impl Lease {
    /// An address given by hand, as if somebody had leased it for ever.
    pub fn by_hand(fixed: &Static, interface: &str, mac: Mac, mtu: Option<u32>) -> Self {
        Self {
            interface: interface.to_owned(),
            mac,
            address: fixed.address.into(),
            prefix: fixed.prefix,
            gateway: fixed.gateway.map(IpAddr::V4),
            routes: Vec::new(),
            nameservers: fixed.nameservers.clone(),
            search: Vec::new(),
            hostname: None,
            mtu,
            server: None,
            seconds: 0,
        }
    }

    /// Whether `other` is in this lease's network, so that it needs no router.
    pub fn reaches(&self, other: Ipv4Addr) -> bool {
        let IpAddr::V4(own) = self.address else { return false };
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        u32::from(own) & mask == u32::from(other) & mask
    }

    /// The text of `/etc/resolv.conf` (resolv.conf(5)).
    pub fn resolv_conf(&self) -> String {
        let mut text = String::new();
        if !self.search.is_empty() {
            text = format!("search {}\n", self.search.join(" "));
        }
        for server in &self.nameservers {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "nameserver {server}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(prefix: u8) -> Lease {
        let fixed = Static {
            address: Ipv4Addr::new(10, 1, 2, 3),
            prefix,
            gateway: Some(Ipv4Addr::new(10, 1, 0, 1)),
            nameservers: vec!["9.9.9.9".parse().unwrap(), "2001:db8::53".parse().unwrap()],
        };
        Lease::by_hand(&fixed, "eth0", Mac([2, 0, 0, 0, 0, 1]), None)
    }

    #[test]
    fn a_router_outside_the_network_is_known_as_such() {
        let router = Ipv4Addr::new(10, 1, 0, 1);
        assert!(lease(16).reaches(router) && lease(0).reaches(router));
        assert!(!lease(24).reaches(router) && !lease(32).reaches(router));
    }

    #[test]
    fn resolv_conf_has_search_and_servers_in_order() {
        let mut lease = lease(24);
        lease.search = vec!["lab".into(), "example.org".into()];
        assert_eq!(
            lease.resolv_conf(),
            "search lab example.org\nnameserver 9.9.9.9\nnameserver 2001:db8::53\n"
        );
    }

    #[test]
    fn a_lease_survives_json() {
        let lease = lease(24);
        let text = serde_json::to_string(&lease).unwrap();
        assert!(text.contains("\"mac\":\"02:00:00:00:00:01\""), "{text}");
        assert_eq!(serde_json::from_str::<Lease>(&text).unwrap(), lease);
    }
}
