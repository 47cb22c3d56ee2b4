//! What the kernel command line says about the network: `ip=` in the grammars of dracut, initramfs-tools and the kernel,
//! and the words beside it. Pure; doing it is `up`'s.
//!
//! Sources: Documentation/admin-guide/nfs/nfsroot.rst, dracut.cmdline(7), initramfs-tools(7), PXELINUX's IPAPPEND.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::lease::Route;
use super::mac::Mac;

/// As meant: what to do with which interface. Without any rule every interface asks a DHCP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// One for each `ip=` word, in order.
    pub rules: Vec<Rule>,
    /// The interface the firmware booted from (`BOOTIF=`, `hwaddr=`): used first.
    pub bootif: Option<Mac>,
    /// `bootdev=`: of several interfaces with an `ip=`, the one that is the network.
    pub bootdev: Option<String>,
    /// Servers given by hand; they come before those of a lease.
    pub nameservers: Vec<IpAddr>,
    /// `rd.peerdns=0`: those of a lease do not count.
    pub own_dns_only: bool,
    /// `ifname=NAME:MAC`: the interface with that address is called so.
    pub names: Vec<(String, Mac)>,
    /// `rd.route=`: routes beside those of a lease, and for which interface; absent: whichever is the network.
    pub routes: Vec<(Route, Option<String>)>,
    /// `ip=off` or `ip=none`: there is to be no network.
    pub off: bool,
    /// `rd.neednet=1`: nothing is booted without an address.
    pub needed: bool,
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
    /// The machine's name: told to a DHCP server, and set.
    pub hostname: Option<String>,
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
    pub nameservers: Vec<IpAddr>,
}

/// A word that asks for something that cannot be had; it has no effect. `Display` is `word: cause`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// As written, but harmless on a terminal.
    pub word: String,
    pub cause: String,
    /// A right example, where there is one.
    pub hint: Option<String>,
}

/// What is for later is known by this in a cause.
const LATER: &str = "comes with a later version";

impl Config {
    /// From now on this interface has this address, whatever the words say. What the others do stays what it was: the
    /// address is nobody else's, however long it takes.
    pub fn set_by_hand(&mut self, name: String, fixed: Static) {
        (self.off, self.bootif, self.bootdev) = (false, None, None);
        let rule = |interface, method| Rule { interface, method, mtu: None, mac: None, hostname: None };
        self.rules.retain(|rule| rule.interface.as_deref() != Some(&name));
        if self.rules.is_empty() {
            self.rules.push(rule(None, Method::Dhcp));
        }
        self.rules.push(rule(Some(name), Method::Static(fixed)));
    }

    /// Understands the words (`ip`, `dhcp`) of a kernel command line; others are not looked at.
    pub fn parse(words: &[(String, String)]) -> (Self, Vec<Problem>) {
        let mut config = Self::default();
        let mut problems = Vec::new();
        let mut bootif_wanted = true;
        for (key, value) in words {
            let value = value.trim();
            let done = match key.as_str() {
                "ip" => config.ip(value),
                "nameserver" => address(value).map(|a| config.nameservers.push(a)),
                "BOOTIF" | "hwaddr" => bootif(value).map(|mac| config.bootif = Some(mac)),
                "bootdev" => name(value).map(|name| config.bootdev = Some(name)),
                "ifname" => ifname(value).map(|pair| config.names.push(pair)),
                "rd.route" => route(value).map(|route| config.routes.push(route)),
                "rd.bootif" => switch(value).map(|on| bootif_wanted = on),
                "rd.neednet" => switch(value).map(|on| config.needed = on),
                "rd.peerdns" => switch(value).map(|on| config.own_dns_only = !on),
                "vlan" | "bond" | "bridge" | "team" | "ip6" => Err(LATER.into()),
                _ => Ok(()),
            };
            problems.extend(done.err().map(|cause| Problem::new(key, value, cause)));
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
            // initramfs-tools and the kernel: the same as `any`.
            [one] if one.is_empty() => Rule::any(),
            [one] if ipv4(one).is_err() => Rule { method: dhcp(one)?, ..Rule::any() },
            // dracut's short form: interface:how[:mtu[:mac]]
            [interface, how, rest @ ..]
                if !how.is_empty() && ipv4(how).is_err() && ipv4(interface).is_err() =>
            {
                let Tail { mtu, mac, .. } = tail(rest)?;
                Rule { interface: given(interface)?, method: dhcp(how)?, mtu, mac, hostname: None }
            }
            long => long_form(long)?,
        };
        self.off = false;
        self.rules.push(rule);
        Ok(())
    }
}

impl Problem {
    fn new(key: &str, value: &str, cause: String) -> Self {
        let harmless = |c: char| if c.is_control() { '?' } else { c };
        let word = format!("{key}={value}").chars().map(harmless).collect();
        // It repeats a part of the value.
        let cause: String = cause.chars().map(harmless).collect();
        let hint = if cause.ends_with(LATER) { None } else { Some(format!("such as {}", example(key))) };
        Self { word, cause, hint }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word, self.cause)
    }
}

/// How such a word is written.
fn example(key: &str) -> &'static str {
    match key {
        "nameserver" => "nameserver=10.0.0.1",
        "BOOTIF" => "BOOTIF=01-52-54-00-12-34-56",
        "hwaddr" => "hwaddr=52:54:00:12:34:56",
        "bootdev" => "bootdev=eth0",
        "ifname" => "ifname=net0:52:54:00:12:34:56",
        "rd.route" => "rd.route=192.168.7.0/24:10.0.0.1:eth0",
        "rd.bootif" => "rd.bootif=0",
        "rd.neednet" => "rd.neednet=1",
        "rd.peerdns" => "rd.peerdns=0",
        _ => "ip=dhcp, ip=eth0:dhcp or ip=10.0.0.5::10.0.0.1:24:host:eth0:none",
    }
}

impl Rule {
    fn any() -> Self {
        Self { interface: None, method: Method::Dhcp, mtu: None, mac: None, hostname: None }
    }
}

/// `client:peer:gateway:mask:host:interface:how` and what may follow.
fn long_form(fields: &[String]) -> Result<Rule, String> {
    let field = |n: usize| fields.get(n).map(String::as_str).unwrap_or_default();
    let Tail { mtu, mac, nameservers } = tail(fields.get(7..).unwrap_or_default())?;
    let (hostname, interface) = (hostname(field(4))?, given(field(5))?);
    let how = field(6);
    let by_hand = matches!(how, "" | "none" | "off" | "static") && !field(0).is_empty();
    if !by_hand {
        if matches!(how, "none" | "off") {
            return Err("has no address".into());
        }
        let method = if how.is_empty() { Method::Dhcp } else { dhcp(how)? };
        return Ok(Rule { interface, method, mtu, mac, hostname });
    }
    let address = ipv4(field(0))?;
    let gateway = if field(2).is_empty() { None } else { Some(ipv4(field(2))?) };
    let method = Method::Static(Static {
        address,
        prefix: prefix(field(3), address)?,
        gateway: gateway.filter(|g| !g.is_unspecified()),
        nameservers,
    });
    Ok(Rule { interface, method, mtu, mac, hostname })
}

/// What may stand after the method.
#[derive(Default)]
struct Tail {
    mtu: Option<u32>,
    mac: Option<Mac>,
    nameservers: Vec<IpAddr>,
}

/// Either `mtu:mac` with the address's own colons, or name servers (the kernel adds an NTP server, which nothing here
/// asks).
fn tail(fields: &[String]) -> Result<Tail, String> {
    let Some(first) = fields.first() else { return Ok(Tail::default()) };
    if !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit()) || fields.len() >= 7 {
        let mtu = match first.as_str() {
            "" => None,
            digits => Some(mtu(digits)?),
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

/// RFC 791: every link carries 68; below 576 nobody means it.
fn mtu(digits: &str) -> Result<u32, String> {
    let mtu = digits.parse().ok().filter(|mtu| (576..=65535).contains(mtu));
    mtu.ok_or_else(|| format!("{digits} is no MTU: 576 to 65535"))
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
        // `both` is DHCP and BOOTP for initramfs-tools: a server of one of them will do.
        "dhcp" | "on" | "any" | "both" | "single-dhcp" => Ok(Method::Dhcp),
        "dhcp6" | "auto6" | "either6" | "link6" | "link-local" | "ibft" => Err(format!("\"{how}\" {LATER}")),
        "bootp" | "rarp" => Err(format!("\"{how}\" is not asked for any more: DHCP servers answer dhcp")),
        other => Err(format!("\"{other}\" is no way to get an address (dhcp, on, any, both)")),
    }
}

/// Names of Linux: 15 bytes at most, and none that a path could be made of.
fn name(text: &str) -> Result<String, String> {
    let fine = (1..=15).contains(&text.len()) && !matches!(text, "." | "..");
    if fine && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':')) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is no name of an interface"))
}

/// Labels of letters, digits and `-`; Linux keeps 64 bytes.
fn hostname(text: &str) -> Result<Option<String>, String> {
    let label = |label: &str| {
        let within = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !label.is_empty() && !label.starts_with('-') && label.bytes().all(within)
    };
    match text {
        "" => Ok(None),
        name if name.len() <= 64 && name.split('.').all(label) => Ok(Some(name.to_owned())),
        other => Err(format!("\"{other}\" is no host name")),
    }
}

/// A yes or a no; a bare word is a yes.
fn switch(text: &str) -> Result<bool, String> {
    match text {
        "" | "1" | "yes" | "on" | "true" => Ok(true),
        "0" | "no" | "off" | "false" => Ok(false),
        other => Err(format!("\"{other}\" is neither 0 nor 1")),
    }
}

/// An interface, if one is named.
fn given(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() { Ok(None) } else { name(text).map(Some) }
}

fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok(address),
        Err(_) if text.parse::<Ipv6Addr>().is_ok() => Err(format!("IPv6 ({text}) {LATER}")),
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

/// `01-aa-bb-cc-dd-ee-ff`: a hardware type (of ARP, in hex, 01 is Ethernet) and the address; the type may be missing.
fn bootif(value: &str) -> Result<Mac, String> {
    let is_hex = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let address = match value.split_once([':', '-']) {
        Some((kind, rest)) if is_hex(kind) && rest.split([':', '-']).count() == 6 => rest,
        _ => value,
    };
    address.parse().map_err(|_| format!("\"{value}\" is no address of an Ethernet card"))
}

fn ifname(value: &str) -> Result<(String, Mac), String> {
    match value.split_once(':') {
        Some((called, mac)) => Ok((name(called)?, mac.parse::<Mac>().map_err(|e| e.to_string())?)),
        None => Err("is not NAME:MAC".into()),
    }
}

/// `net/mask:gateway[:interface]`; without a gateway the net is on that link.
fn route(value: &str) -> Result<(Route, Option<String>), String> {
    let fields = fields(value)?;
    let [net, gateway, rest @ ..] = fields.as_slice() else {
        return Err("is not NETWORK/BITS:GATEWAY".into());
    };
    let Some((to, mask)) = net.split_once('/') else {
        return Err(format!("\"{net}\" has no /BITS"));
    };
    let to = ipv4(to)?;
    let bits = prefix(mask, to)?;
    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
    let to = Ipv4Addr::from(u32::from(to) & mask);
    let via = if gateway.is_empty() { None } else { Some(ipv4(gateway)?) };
    let interface = match rest {
        [] => None,
        [one] => Some(name(one)?),
        _ => return Err("has too many fields".into()),
    };
    Ok((Route { to, prefix: bits, via }, interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> (Config, Vec<String>) {
        let (config, problems) = told(line);
        (config, problems.iter().map(ToString::to_string).collect())
    }

    fn told(line: &str) -> (Config, Vec<Problem>) {
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
                let dns: String = s.nameservers.iter().map(|n| format!(" dns {n}")).collect();
                format!("{}/{}{gateway}{dns}", s.address, s.prefix)
            }
        };
        let mtu = rule.mtu.map_or(String::new(), |m| format!(" mtu {m}"));
        let mac = rule.mac.map_or(String::new(), |m| format!(" mac {m}"));
        let host = rule.hostname.as_ref().map_or(String::new(), |h| format!(" host {h}"));
        format!("{}: {how}{mtu}{mac}{host}", rule.interface.as_deref().unwrap_or("*"))
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
            ("ip=::::node1:eth0:dhcp", "eth0: dhcp host node1"),
            // initramfs-tools: nothing, and what its scripts take for the same.
            ("ip=", "*: dhcp"),
            ("ip", "*: dhcp"),
            ("ip=:::::eth0", "eth0: dhcp"),
            ("ip=::::::dhcp", "*: dhcp"),
            ("ip=:::::eth0:both", "eth0: dhcp"),
            ("ip=10.0.0.5:10.0.0.2:10.0.0.1:255.255.255.0:n:eth0", "eth0: 10.0.0.5/24 via 10.0.0.1 host n"),
            // The kernel's nfsroot.rst: all fields, with an NTP server.
            (
                "ip=10.0.0.5:10.0.0.2:10.0.0.1:255.255.255.0:n.lab:eth0:none:10.0.0.3:10.0.0.4:10.0.0.6",
                "eth0: 10.0.0.5/24 via 10.0.0.1 dns 10.0.0.3 dns 10.0.0.4 host n.lab",
            ),
            ("ip=10.0.0.5::10.0.0.1:255.255.255.0:n:eth0:off:", "eth0: 10.0.0.5/24 via 10.0.0.1 host n"),
            ("ip=eth0:dhcp ip=eth1:dhcp bootdev=eth1", "eth0: dhcp, eth1: dhcp"),
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
                "eth0: 10.0.0.5/24 via 10.0.0.1 dns 9.9.9.9 dns 1.1.1.1 host n",
            ),
            (
                "ip=10.0.0.5::10.0.0.1:24:n:eth0:off:9.9.9.9::10.0.0.9",
                "eth0: 10.0.0.5/24 via 10.0.0.1 dns 9.9.9.9 host n",
            ),
            (
                "ip=10.0.0.5::10.0.0.1:24:n:eth0:off:[2001:db8::53]",
                "eth0: 10.0.0.5/24 via 10.0.0.1 dns 2001:db8::53 host n",
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
        let ip = "such as ip=dhcp, ip=eth0:dhcp or ip=10.0.0.5::10.0.0.1:24:host:eth0:none";
        let no_way = "is no way to get an address (dhcp, on, any, both)";
        for (line, cause, hint) in [
            ("ip=dhcp6", "\"dhcp6\" comes with a later version", ""),
            ("ip=eth0:auto6", "\"auto6\" comes with a later version", ""),
            ("ip=ibft", "\"ibft\" comes with a later version", ""),
            ("ip6=dhcp", "comes with a later version", ""),
            ("vlan=v5:eth0", "comes with a later version", ""),
            ("bond=bond0:eth0,eth1", "comes with a later version", ""),
            ("team=t0:eth0", "comes with a later version", ""),
            ("bridge=br0:eth0", "comes with a later version", ""),
            (
                "ip=[2001:db8::5]::[2001:db8::1]:64::eth0:none",
                "IPv6 (2001:db8::5) comes with a later version",
                "",
            ),
            ("ip=bootp", "\"bootp\" is not asked for any more: DHCP servers answer dhcp", ip),
            ("ip=:::::eth0:rarp", "\"rarp\" is not asked for any more: DHCP servers answer dhcp", ip),
            ("ip=[2001:db8::5", "a bracket is not closed", ip),
            ("ip=dpch", &format!("\"dpch\" {no_way}"), ip),
            ("ip=eth0", &format!("\"eth0\" {no_way}"), ip),
            ("ip=eth0:static", &format!("\"static\" {no_way}"), ip),
            ("ip=eth0:none", &format!("\"none\" {no_way}"), ip),
            ("ip=10.0.0.5::10.0.0:24::eth0:none", "\"10.0.0\" is no IPv4 address", ip),
            ("ip=10.0.0.5:::255.0.255.0::eth0:none", "the net mask 255.0.255.0 has holes", ip),
            ("ip=10.0.0.5:::33::eth0:none", "a prefix of 33 bits is too long", ip),
            ("ip=10.0.0.5:::255.255.0::eth0:none", "\"255.255.0\" is no net mask", ip),
            ("ip=10.0.0.5:::24:-n:eth0:none", "\"-n\" is no host name", ip),
            ("ip=10.0.0.5:::24::eth0/1:none", "\"eth0/1\" is no name of an interface", ip),
            ("ip=10.0.0.5:::24::eth0:none:70000", "70000 is no MTU: 576 to 65535", ip),
            ("ip=..:dhcp", "\"..\" is no name of an interface", ip),
            ("ip=:::::eth0:none", "has no address", ip),
            ("nameserver=dns.lab", "\"dns.lab\" is no IP address", "such as nameserver=10.0.0.1"),
            ("nameserver=", "\"\" is no IP address", "such as nameserver=10.0.0.1"),
            ("ifname=net0", "is not NAME:MAC", "such as ifname=net0:52:54:00:12:34:56"),
            (
                "ifname=a-very-long-name:52:54:00:12:34:56",
                "\"a-very-long-name\" is no name of an interface",
                "such as ifname=net0:52:54:00:12:34:56",
            ),
            (
                "BOOTIF=eth0",
                "\"eth0\" is no address of an Ethernet card",
                "such as BOOTIF=01-52-54-00-12-34-56",
            ),
            ("hwaddr=01-", "\"01-\" is no address of an Ethernet card", "such as hwaddr=52:54:00:12:34:56"),
            ("bootdev=", "\"\" is no name of an interface", "such as bootdev=eth0"),
            (
                "rd.route=10.0.0.1",
                "is not NETWORK/BITS:GATEWAY",
                "such as rd.route=192.168.7.0/24:10.0.0.1:eth0",
            ),
            (
                "rd.route=10.0.0.0:10.0.0.1",
                "\"10.0.0.0\" has no /BITS",
                "such as rd.route=192.168.7.0/24:10.0.0.1:eth0",
            ),
            ("rd.neednet=maybe", "\"maybe\" is neither 0 nor 1", "such as rd.neednet=1"),
            ("rd.bootif=2", "\"2\" is neither 0 nor 1", "such as rd.bootif=0"),
            ("rd.peerdns=x", "\"x\" is neither 0 nor 1", "such as rd.peerdns=0"),
        ] {
            let (config, problems) = told(line);
            let [Problem { word, cause: said, hint: shown }] = &problems[..] else {
                panic!("{line}: {problems:?}")
            };
            assert_eq!((word.as_str(), said.as_str()), (line, cause));
            assert_eq!(shown.as_deref().unwrap_or_default(), hint, "{line}");
            assert_eq!(config, Config::default(), "{line}");
        }
        assert_eq!(told("ip=\u{1b}x").1[0].word, "ip=?x");
    }

    #[test]
    fn bootif_is_read_in_every_spelling_and_can_be_switched_off() {
        let mac = Some(Mac([0x52, 0x54, 0, 0xab, 0xcd, 0x01]));
        for value in [
            "01-52-54-00-ab-cd-01",
            "01-52-54-00-AB-CD-01",
            "01:52:54:00:ab:cd:01",
            "01-52:54:00:Ab:cD:01",
            "52:54:00:ab:cd:01",
            "52-54-00-AB-CD-01",
            "06-52-54-00-ab-cd-01",
            "FF:52:54:00:ab:cd:01",
        ] {
            assert_eq!(parse(&format!("BOOTIF={value}")).0.bootif, mac, "{value}");
            assert_eq!(parse(&format!("hwaddr={value}")).0.bootif, mac, "{value}");
        }
        for value in ["", "01-", "01-52-54-00-ab", "01-52-54-00-ab-cd-01-02", "001-52-54-00-ab-cd-01"] {
            assert_eq!(parse(&format!("BOOTIF={value}")).0.bootif, None, "{value}");
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
        let (config, problems) = parse(
            "rd.neednet=1 rd.peerdns=0 bootdev=eth1 rd.route=192.168.7.9/24:10.0.0.1:eth1 rd.route=10.9.0.0/16:",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert!(config.needed && config.own_dns_only && config.bootdev.as_deref() == Some("eth1"));
        let to = |a, b, c, d| Ipv4Addr::new(a, b, c, d);
        let over = Route { to: to(192, 168, 7, 0), prefix: 24, via: Some(to(10, 0, 0, 1)) };
        let direct = Route { to: to(10, 9, 0, 0), prefix: 16, via: None };
        assert_eq!(config.routes, [(over, Some("eth1".to_owned())), (direct, None)]);
        assert!(!parse("rd.neednet=1 rd.neednet=0").0.needed && parse("rd.neednet").0.needed);
    }
}
