//! Names to addresses: `/etc/hosts`, then the name servers of the lease, else those of `/etc/resolv.conf`; never a
//! server nobody named. Read anew for each try: in a boot the network may have come up since the last one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ServerOrderingStrategy};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name as DnsName;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Config;
use super::error::seconds;

/// Answers of one server are waited for so long before it is asked once more: both fit into a connect timeout.
const QUERY: Duration = Duration::from_secs(3);

/// What a try may want to say of a name that took too long or led to a place that is down.
pub(super) enum Told<'a> {
    Asking(&'a [SocketAddr]),
    Found(&'a [IpAddr]),
}

type Tell = Arc<dyn Fn(Told<'_>) + Send + Sync>;

/// The resolver of one try.
pub(super) struct Names {
    nameservers: Vec<IpAddr>,
    search: Vec<String>,
    tell: Tell,
}

impl Names {
    pub(super) fn new(config: &Config, tell: Tell) -> Self {
        Self { nameservers: config.nameservers.clone(), search: config.search.clone(), tell }
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let tell = self.tell.clone();
        let (nameservers, search) = (self.nameservers.clone(), self.search.clone());
        Box::pin(async move {
            // In one line: whoever shows it looks for the innermost cause only.
            let found = addresses(name.as_str(), nameservers, search, &tell).await;
            let addresses = found.map_err(|e| format!("{e:#}"))?;
            tell(Told::Found(&addresses));
            // Port 0 stands for the port of the URL.
            Ok(Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}

/// For those who wait on a thread of their own. The error is a line.
pub(super) fn look_up(config: &Config, name: &str, within: Duration) -> Result<Vec<IpAddr>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("starting: {e}"))?;
    let asked = Arc::new(Mutex::new(String::new()));
    let telling = asked.clone();
    let tell: Tell = Arc::new(move |told| {
        if let Told::Asking(servers) = told {
            *telling.lock().unwrap_or_else(PoisonError::into_inner) = asking(servers);
        }
    });
    let found = runtime.block_on(async {
        let looking = addresses(name, config.nameservers.clone(), config.search.clone(), &tell);
        tokio::time::timeout(within, looking).await
    });
    // Not waiting for anything a resolver may still have under way.
    runtime.shutdown_background();
    let why = match found {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(e)) => format!("{e:#}"),
        Err(_) => format!("no answer within {}", seconds(within)),
    };
    Err(format!("{why}{}", asked.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// The name servers that are asked, in words.
pub(super) fn asking(servers: &[SocketAddr]) -> String {
    let servers: Vec<String> = servers.iter().map(|s| s.ip().to_string()).collect();
    format!(" (asking {})", servers.join(", "))
}

async fn addresses(
    name: &str,
    nameservers: Vec<IpAddr>,
    search: Vec<String>,
    tell: &Tell,
) -> anyhow::Result<Vec<IpAddr>> {
    let known = in_hosts(&read(Path::new("/etc/hosts"))?, name);
    if !known.is_empty() {
        return Ok(known);
    }
    if is_localhost(name) {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let servers = if nameservers.is_empty() {
        Servers::parse(&read(Path::new("/etc/resolv.conf"))?)
    } else {
        Servers { addresses: nameservers.into_iter().map(with_port).collect(), search, ndots: 1 }
    };
    if servers.addresses.is_empty() {
        bail!("no name server is known, neither from a lease nor from /etc/resolv.conf");
    }
    tell(Told::Asking(&servers.addresses));
    ask(name, &servers).await
}

async fn ask(name: &str, servers: &Servers) -> anyhow::Result<Vec<IpAddr>> {
    // A domain that is no name is left out: it could never answer.
    let search = servers.search.iter().filter_map(|domain| DnsName::from_str(domain).ok()).collect();
    let servers_of = |address: &SocketAddr| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        server.connections.iter_mut().for_each(|connection| connection.port = address.port());
        server
    };
    let config = ResolverConfig::from_parts(None, search, servers.addresses.iter().map(servers_of).collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.ndots = servers.ndots;
    options.timeout = QUERY;
    options.attempts = 1;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    let resolver = builder.build().context("setting up the resolver")?;
    match resolver.lookup_ip(name).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(e) if e.is_no_records_found() => bail!("no such name"),
        Err(e) => Err(e.into()),
    }
}

/// The port of DNS (RFC 1035, section 4.2).
fn with_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 53)
}

/// An absent file is an empty one: an initrd has neither.
fn read(path: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other.with_context(|| format!("reading {}", path.display())),
    }
}

/// hosts(5): an address, then its names, in any case.
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let matching = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(matching).collect()
}

/// RFC 6761, section 6.3: never asked of a name server.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// What resolv.conf(5) says, as far as it is used here.
#[derive(Debug, PartialEq)]
struct Servers {
    addresses: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

impl Servers {
    /// The last of `search` and `domain` wins; a scope (`fe80::1%eth0`) cannot be asked and is left out.
    fn parse(text: &str) -> Self {
        let mut servers = Self { addresses: vec![], search: vec![], ndots: 1 };
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or("").split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    servers.addresses.extend(words.next().and_then(|w| w.parse().ok()).map(with_port))
                }
                Some("search" | "domain") => servers.search = words.map(ToString::to_string).collect(),
                Some("options") => {
                    let ndots = words.filter_map(|w| w.strip_prefix("ndots:")?.parse().ok()).next_back();
                    // resolv.conf(5) caps it at 15.
                    servers.ndots = ndots.unwrap_or(servers.ndots).min(15);
                }
                _ => {}
            }
        }
        servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_its_manual_says() {
        let text = "# generated\nnameserver 10.0.0.1 ; first\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n\
                    domain a\nsearch lab example.org\noptions timeout:1 ndots:99\nnameserver\n";
        assert_eq!(
            Servers::parse(text),
            Servers {
                addresses: vec!["10.0.0.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()],
                search: vec!["lab".into(), "example.org".into()],
                ndots: 15
            }
        );
        assert_eq!(Servers::parse(""), Servers { addresses: vec![], search: vec![], ndots: 1 });
    }

    #[test]
    fn hosts_are_found_by_any_of_their_names() {
        let text =
            "127.0.0.1 localhost\n10.0.0.9\tboot.lab Boot # 10.0.0.8 no\n::1 boot.lab\nnonsense boot.lab\n";
        let v6: IpAddr = "::1".parse().unwrap();
        assert_eq!(in_hosts(text, "BOOT.lab."), ["10.0.0.9".parse().unwrap(), v6]);
        assert_eq!(in_hosts(text, "boot"), ["10.0.0.9".parse::<IpAddr>().unwrap()]);
        assert_eq!(in_hosts(text, "no"), [] as [IpAddr; 0]);
    }

    #[test]
    fn localhost_is_this_machine_whoever_is_asked() {
        assert!(is_localhost("LocalHost.") && is_localhost("a.localhost") && !is_localhost("mylocalhost"));
    }

    /// A name server on loopback: A for `boot.lab`, NXDOMAIN for any AAAA (as some servers wrongly do) and other name.
    fn name_server() -> SocketAddr {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut query = [0; 512];
            loop {
                let (n, client) = socket.recv_from(&mut query).unwrap();
                // The header is 12 bytes (RFC 1035, section 4.1.1), then the name, its type and class.
                let name_end = 12 + query[12..n].iter().position(|b| *b == 0).unwrap() + 1;
                let question = &query[12..name_end + 4];
                let known = question == b"\x04boot\x03lab\0\0\x01\0\x01";
                let mut reply = query[..2].to_vec();
                reply.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(known), 0, 0, 0, 0]);
                reply.extend(question);
                if known {
                    reply.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x09");
                }
                socket.send_to(&reply, client).unwrap();
            }
        });
        address
    }

    fn asked(name: &str, search: &[&str]) -> Result<Vec<IpAddr>, String> {
        let search = search.iter().map(ToString::to_string).collect();
        let servers = Servers { addresses: vec![name_server()], search, ndots: 1 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask(name, &servers)).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn an_address_is_found_though_the_server_denies_the_other_kind() {
        assert_eq!(asked("boot.lab", &[]).unwrap(), ["10.0.0.9".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_short_name_is_found_in_the_search_domains() {
        assert_eq!(asked("boot", &["elsewhere", "lab"]).unwrap(), ["10.0.0.9".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn an_unknown_name_says_so() {
        assert_eq!(asked("nobody.lab", &[]).unwrap_err(), "no such name");
    }
}
