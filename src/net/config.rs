//! What the kernel command line says about the network: `ip=` in the kernel's and in dracut's grammar, `BOOTIF=`,
//! `nameserver=`, `ifname=`. Pure; doing it is `up`'s.
//!
//! Sources: Documentation/admin-guide/nfs/nfsroot.rst, dracut.cmdline(7), PXELINUX's IPAPPEND.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::mac::Mac;

/// As meant: what to do with which interface. Without any rule every interface asks a DHCP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// One for each `ip=` word, in order.
    pub rules: Vec<Rule>,
    /// The interface the firmware booted from (`BOOTIF=`): used first.
    pub bootif: Option<Mac>,
    /// Servers given by hand; they come before those of a lease.
    pub nameservers: Vec<IpAddr>,
    /// `ifname=NAME:MAC`: what other words call NAME is the interface with that address.
    pub names: Vec<(String, Mac)>,
    /// `ip=off` or `ip=none`: there is to be no network.
    pub off: bool,
}

/// One `ip=` word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// An interface name, or nothing: any interface.
    pub interface: Option<String>,
    pub method: Method,
    pub mtu: Option<u32>,
    /// An address to give the interface (dracut's `macaddr`).
    pub mac: Option<Mac>,
}

/// How an interface gets its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    Dhcp,
    Static(Static),
}

/// An address given by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Static {
    pub address: Ipv4Addr,
    /// Bits, 0 to 32.
    pub prefix: u8,
    pub gateway: Option<Ipv4Addr>,
    pub hostname: Option<String>,
    pub nameservers: Vec<IpAddr>,
}

impl Config {
    /// Understands the words (`ip`, `dhcp`) of a kernel command line; others are not looked at. A word that cannot
    /// be understood is a text for the screen and has no effect.
    pub fn parse(words: &[(String, String)]) -> (Self, Vec<String>) {
        let mut config = Self::default();
        let mut problems = Vec::new();
        let mut bootif_wanted = true;
        for (key, value) in words {
            let value = value.trim();
            let done = match key.as_str() {
                "ip" => config.ip(value),
                "nameserver" => address(value).map(|a| config.nameservers.push(a)),
                "BOOTIF" => bootif(value).map(|mac| config.bootif = Some(mac)),
                "rd.bootif" => {
                    bootif_wanted = !matches!(value, "0" | "no" | "off");
                    Ok(())
                }
                "ifname" => ifname(value).map(|pair| config.names.push(pair)),
                "vlan" | "bond" | "bridge" | "team" | "rd.route" => Err("not in this version".into()),
                _ => Ok(()),
            };
            if let Err(cause) = done {
                problems.push(format!("{key}={value}: {cause}"));
            }
        }
        if !bootif_wanted {
            config.bootif = None;
        }
        (config, problems)
    }

    fn ip(&mut self, value: &str) -> Result<(), String> {
        let fields = fields(value)?;
        let rule = match fields.as_slice() {
            [one] if matches!(one.as_str(), "off" | "none") => {
                self.off = true;
                return Ok(());
            }
            [one] if ipv4(one).is_err() => Rule { method: dhcp(one)?, ..Rule::any() },
            // dracut's short form: interface:how[:mtu[:mac]]
            [interface, how, rest @ ..]
                if !how.is_empty() && ipv4(how).is_err() && ipv4(interface).is_err() =>
            {
                let Tail { mtu, mac, .. } = tail(rest)?;
                Rule { interface: named(interface), method: dhcp(how)?, mtu, mac }
            }
            long => long_form(long)?,
        };
        self.off = false;
        self.rules.push(rule);
        Ok(())
    }
}

impl Rule {
    fn any() -> Self {
        Self { interface: None, method: Method::Dhcp, mtu: None, mac: None }
    }
}

/// `client:peer:gateway:mask:host:interface:how` and what may follow.
fn long_form(fields: &[String]) -> Result<Rule, String> {
    let field = |n: usize| fields.get(n).map(String::as_str).unwrap_or_default();
    let Tail { mtu, mac, nameservers } = tail(fields.get(7..).unwrap_or_default())?;
    let interface = named(field(5));
    let how = field(6);
    let by_hand = matches!(how, "" | "none" | "off") && !field(0).is_empty();
    if !by_hand {
        if matches!(how, "none" | "off") {
            return Err("has no address".into());
        }
        let method = if how.is_empty() { Method::Dhcp } else { dhcp(how)? };
        return Ok(Rule { interface, method, mtu, mac });
    }
    let address = ipv4(field(0))?;
    let gateway = if field(2).is_empty() { None } else { Some(ipv4(field(2))?) };
    let method = Method::Static(Static {
        address,
        prefix: prefix(field(3), address)?,
        gateway: gateway.filter(|g| !g.is_unspecified()),
        hostname: named(field(4)),
        nameservers,
    });
    Ok(Rule { interface, method, mtu, mac })
}

/// What may stand after the method.
#[derive(Default)]
struct Tail {
    mtu: Option<u32>,
    mac: Option<Mac>,
    nameservers: Vec<IpAddr>,
}

/// Either `mtu:mac` with the address's own colons, or name servers (the kernel adds NTP servers,
/// which nothing here asks).
fn tail(fields: &[String]) -> Result<Tail, String> {
    let Some(first) = fields.first() else { return Ok(Tail::default()) };
    if !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit()) || fields.len() >= 7 {
        let mtu = match first.as_str() {
            "" => None,
            digits => Some(digits.parse().map_err(|_| format!("\"{digits}\" is no MTU"))?),
        };
        let mac = match fields.get(1..).unwrap_or_default() {
            [] => None,
            [one] if one.is_empty() => None,
            parts => Some(parts.join(":").parse::<Mac>().map_err(|e| e.to_string())?),
        };
        return Ok(Tail { mtu, mac, nameservers: Vec::new() });
    }
    let servers = fields.iter().take(2).filter(|f| !f.is_empty()).map(|f| address(f));
    Ok(Tail { nameservers: servers.collect::<Result<_, _>>()?, ..Tail::default() })
}

/// Splits at colons outside brackets; an address in brackets comes without them.
fn fields(value: &str) -> Result<Vec<String>, String> {
    let mut inside = false;
    let outside = |c: char| {
        inside = c == '[' || (inside && c != ']');
        c == ':' && !inside
    };
    let parts: Vec<&str> = value.split(outside).collect();
    let bare = |part: &str| match part.strip_prefix('[').map(|p| p.strip_suffix(']')) {
        None => Ok(part.to_owned()),
        Some(Some(address)) => Ok(address.to_owned()),
        Some(None) => Err("a bracket is not closed".to_owned()),
    };
    parts.into_iter().map(bare).collect()
}

fn dhcp(how: &str) -> Result<Method, String> {
    match how {
        "dhcp" | "on" | "any" | "both" | "single-dhcp" => Ok(Method::Dhcp),
        "dhcp6" | "auto6" | "either6" | "link6" | "link-local" | "bootp" | "rarp" | "ibft" => {
            Err(format!("\"{how}\" is not in this version"))
        }
        other => Err(format!("\"{other}\" is no way to get an address (dhcp, on, any, none, off)")),
    }
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok(address),
        Err(_) if text.parse::<Ipv6Addr>().is_ok() => Err(format!("IPv6 ({text}) is not in this version")),
        Err(_) => Err(format!("\"{text}\" is no IPv4 address")),
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| format!("\"{text}\" is no IP address"))
}

/// Bits from a mask, a number, or, as the kernel does (`ic_defaults` in net/ipv4/ipconfig.c), the address's class.
fn prefix(mask: &str, address: Ipv4Addr) -> Result<u8, String> {
    if mask.is_empty() {
        return classful(address).ok_or_else(|| format!("{address} needs a mask"));
    }
    if let Ok(bits) = mask.trim_start_matches('/').parse::<u8>() {
        return if bits <= 32 { Ok(bits) } else { Err(format!("a prefix of {bits} bits is too long")) };
    }
    let bits = u32::from(mask.parse::<Ipv4Addr>().map_err(|_| format!("\"{mask}\" is no net mask"))?);
    if bits.leading_ones() == bits.count_ones() {
        Ok(bits.count_ones() as u8)
    } else {
        Err(format!("the net mask {mask} has holes"))
    }
}

/// The network of an address that came without a mask.
pub(super) fn classful(address: Ipv4Addr) -> Option<u8> {
    match address.octets()[0] {
        0..=127 => Some(8),
        128..=191 => Some(16),
        192..=223 => Some(24),
        _ => None,
    }
}

/// `01-aa-bb-cc-dd-ee-ff`: the hardware type (Ethernet) and the address; the type may be missing.
fn bootif(value: &str) -> Result<Mac, String> {
    let without = value.strip_prefix("01-").or_else(|| value.strip_prefix("01:")).unwrap_or_default();
    without.parse().or_else(|_| value.parse::<Mac>()).map_err(|e| e.to_string())
}

fn ifname(value: &str) -> Result<(String, Mac), String> {
    match value.split_once(':') {
        Some((name, mac)) if !name.is_empty() => {
            Ok((name.to_owned(), mac.parse::<Mac>().map_err(|e| e.to_string())?))
        }
        _ => Err("is not NAME:MAC".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> (Config, Vec<String>) {
        let words: Vec<(String, String)> = line
            .split_whitespace()
            .map(|w| w.split_once('=').unwrap_or((w, "")))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        Config::parse(&words)
    }

    /// A rule in one line.
    fn short(rule: &Rule) -> String {
        let how = match &rule.method {
            Method::Dhcp => "dhcp".to_owned(),
            Method::Static(s) => {
                let gateway = s.gateway.map_or(String::new(), |g| format!(" via {g}"));
                let host = s.hostname.as_ref().map_or(String::new(), |h| format!(" host {h}"));
                let dns: String = s.nameservers.iter().map(|n| format!(" dns {n}")).collect();
                format!("{}/{}{gateway}{host}{dns}", s.address, s.prefix)
            }
        };
        let mtu = rule.mtu.map_or(String::new(), |m| format!(" mtu {m}"));
        let mac = rule.mac.map_or(String::new(), |m| format!(" mac {m}"));
        format!("{}: {how}{mtu}{mac}", rule.interface.as_deref().unwrap_or("*"))
    }

    #[test]
    fn the_forms_people_write_are_understood() {
        for (line, expected) in [
            ("ip=dhcp", "*: dhcp"),
            ("ip=on", "*: dhcp"),
            ("ip=any", "*: dhcp"),
            ("ip=both", "*: dhcp"),
            ("ip=single-dhcp", "*: dhcp"),
            ("ip=eth0:dhcp", "eth0: dhcp"),
            ("ip=ens3:on", "ens3: dhcp"),
            ("ip=eno1:dhcp:9000", "eno1: dhcp mtu 9000"),
            ("ip=eno1:dhcp:9000:52:54:00:12:34:56", "eno1: dhcp mtu 9000 mac 52:54:00:12:34:56"),
            ("ip=eno1:dhcp::52:54:00:12:34:56", "eno1: dhcp mac 52:54:00:12:34:56"),
            (":::::eth0:dhcp", ""),
            ("ip=:::::eth0:dhcp", "eth0: dhcp"),
            ("ip=::::node1:eth0:dhcp", "eth0: dhcp"),
            ("ip=:::::eth0:any:1500", "eth0: dhcp mtu 1500"),
            (
                "ip=10.0.0.5::10.0.0.1:255.255.255.0:node1:eth0:none",
                "eth0: 10.0.0.5/24 via 10.0.0.1 host node1",
            ),
            ("ip=10.0.0.5::10.0.0.1:24::eth0:off", "eth0: 10.0.0.5/24 via 10.0.0.1"),
            ("ip=10.0.0.5::10.0.0.1:24:::none", "*: 10.0.0.5/24 via 10.0.0.1"),
            ("ip=10.0.0.5:::255.255.240.0::eth1:none:1400", "eth1: 10.0.0.5/20 mtu 1400"),
            (
                "ip=10.0.0.5:::24::eth1:none:1400:52:54:00:12:34:56",
                "eth1: 10.0.0.5/24 mtu 1400 mac 52:54:00:12:34:56",
            ),
            (
                "ip=10.0.0.5:10.0.0.2:10.0.0.1:255.255.255.0:n:eth0:none:9.9.9.9:1.1.1.1",
                "eth0: 10.0.0.5/24 via 10.0.0.1 host n dns 9.9.9.9 dns 1.1.1.1",
            ),
            (
                "ip=10.0.0.5::10.0.0.1:24:n:eth0:off:9.9.9.9::10.0.0.9",
                "eth0: 10.0.0.5/24 via 10.0.0.1 host n dns 9.9.9.9",
            ),
            (
                "ip=10.0.0.5::10.0.0.1:24:n:eth0:off:[2001:db8::53]",
                "eth0: 10.0.0.5/24 via 10.0.0.1 host n dns 2001:db8::53",
            ),
            // PXELINUX's IPAPPEND 1: client:server:gateway:mask
            ("ip=192.168.1.5:192.168.1.1:192.168.1.1:255.255.255.0", "*: 192.168.1.5/24 via 192.168.1.1"),
            ("ip=192.168.1.5", "*: 192.168.1.5/24"),
            ("ip=172.16.1.5", "*: 172.16.1.5/16"),
            ("ip=10.1.2.3::0.0.0.0:8::eth0", "eth0: 10.1.2.3/8"),
            ("ip=10.0.0.5::10.0.0.1:24::eth0:dhcp", "eth0: dhcp"),
            ("ip=eth0:dhcp ip=eth1:dhcp", "eth0: dhcp, eth1: dhcp"),
            ("rd.neednet=1 quiet root=tmpfs:http://a/b", ""),
        ] {
            let (config, problems) = parse(line);
            let rules: Vec<String> = config.rules.iter().map(short).collect();
            assert_eq!(rules.join(", "), expected, "{line}");
            assert_eq!(problems, Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_said_and_has_no_effect() {
        for (line, cause) in [
            ("ip=dhcp6", "\"dhcp6\" is not in this version"),
            ("ip=eth0:auto6", "\"auto6\" is not in this version"),
            ("ip=[2001:db8::5]::[2001:db8::1]:64::eth0:none", "IPv6 (2001:db8::5) is not in this version"),
            ("ip=[2001:db8::5", "a bracket is not closed"),
            ("ip=dpch", "\"dpch\" is no way to get an address (dhcp, on, any, none, off)"),
            ("ip=eth0:static", "\"static\" is no way to get an address (dhcp, on, any, none, off)"),
            ("ip=10.0.0.5::10.0.0:24::eth0:none", "\"10.0.0\" is no IPv4 address"),
            ("ip=10.0.0.5:::255.0.255.0::eth0:none", "the net mask 255.0.255.0 has holes"),
            ("ip=10.0.0.5:::33::eth0:none", "a prefix of 33 bits is too long"),
            ("ip=:::::eth0:none", "has no address"),
            ("vlan=v5:eth0", "not in this version"),
            ("bond=bond0:eth0,eth1", "not in this version"),
            ("nameserver=dns.lab", "\"dns.lab\" is no IP address"),
            ("ifname=net0", "is not NAME:MAC"),
            ("BOOTIF=eth0", "\"eth0\" is no MAC address (six bytes in hex, as 52:54:00:12:34:56)"),
        ] {
            let (config, problems) = parse(line);
            assert_eq!(problems, [format!("{line}: {cause}")]);
            assert_eq!(config, Config::default(), "{line}");
        }
    }

    #[test]
    fn bootif_is_read_in_every_spelling_and_can_be_switched_off() {
        let mac = Some(Mac([0x52, 0x54, 0, 0xab, 0xcd, 0x01]));
        for value in
            ["01-52-54-00-ab-cd-01", "01-52-54-00-AB-CD-01", "01:52:54:00:ab:cd:01", "52:54:00:ab:cd:01"]
        {
            assert_eq!(parse(&format!("BOOTIF={value}")).0.bootif, mac, "{value}");
        }
        // An address that begins with 01 itself is not cut.
        assert_eq!(parse("BOOTIF=01-02-03-04-05-06").0.bootif, Some(Mac([1, 2, 3, 4, 5, 6])));
        assert_eq!(parse("rd.bootif=0 BOOTIF=01-52-54-00-ab-cd-01").0.bootif, None);
    }

    #[test]
    fn servers_names_and_off() {
        let (config, problems) =
            parse("nameserver=9.9.9.9 nameserver=[2001:db8::53] ifname=net0:52:54:00:AB:CD:01 ip=off");
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(config.nameservers.len(), 2);
        assert_eq!(config.names, [("net0".to_owned(), Mac([0x52, 0x54, 0, 0xab, 0xcd, 0x01]))]);
        assert!(config.off);
        assert!(parse("ip=none").0.off && !parse("ip=none ip=dhcp").0.off);
    }
}
