//! `proxy=` and `no_proxy=`: who is asked in place of an HTTP server, and in place of which not. How, is `http`'s.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::urls;

/// A proxy, and the hosts that are asked without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub url: Url,
    pub not_for: NoProxy,
}

impl Proxy {
    /// Who is asked in place of this server.
    pub(super) fn of(&self, server: &Url) -> Option<&Url> {
        (!self.not_for.holds(server)).then_some(&self.url)
    }
}

/// Hosts that are asked directly: names, with all below them, addresses and networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Direct>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    All,
    /// In lower case, without a dot before it.
    Name(String),
    /// The network, and how many of its bits count.
    Network(IpAddr, u8),
}

impl NoProxy {
    /// Reads a list as curl does: `example.org,.lab,10.0.0.0/8,::1` or `*`, with commas or blanks in between.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let items = text.split([',', ' ']).filter(|item| !item.is_empty());
        let all = items.map(Direct::parse).collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() { Err("no value".into()) } else { Ok(Self(all)) }
    }

    fn holds(&self, server: &Url) -> bool {
        let Some(host) = server.host() else { return false };
        self.0.iter().any(|direct| direct.holds(&host))
    }
}

impl Direct {
    fn parse(item: &str) -> Result<Self, String> {
        if item == "*" {
            return Ok(Self::All);
        }
        let (address, bits) = item.split_once('/').unwrap_or((item, ""));
        if let Ok(address) = address.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = if bits.is_empty() { Ok(most) } else { bits.parse::<u8>() };
            let bits = bits.ok().filter(|bits| *bits <= most);
            return bits
                .map(|bits| Self::Network(address, bits))
                .ok_or_else(|| format!("{item:?} is no network"));
        }
        let name = item.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        match name.is_empty() || !name.chars().all(fits) {
            true => Err(format!("{item:?} is no host, address or network")),
            false => Ok(Self::Name(name)),
        }
    }

    fn holds(&self, host: &Host<&str>) -> bool {
        let address: Option<IpAddr> = match host {
            Host::Ipv4(ip) => Some((*ip).into()),
            Host::Ipv6(ip) => Some((*ip).into()),
            Host::Domain(_) => None,
        };
        match (self, host) {
            (Self::All, _) => true,
            (Self::Name(name), Host::Domain(host)) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                host == *name || host.strip_suffix(name.as_str()).is_some_and(|before| before.ends_with('.'))
            }
            (Self::Network(network, bits), _) => {
                address.is_some_and(|address| same(address, *network, *bits))
            }
            (Self::Name(_), _) => false,
        }
    }
}

/// Whether the first bits of both are the same.
fn same(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differs = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differs.leading_zeros() >= bits.into()
}

/// As it is read.
impl fmt::Display for NoProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.iter().map(|direct| match direct {
            Direct::All => "*".to_owned(),
            Direct::Name(name) => name.clone(),
            Direct::Network(network, bits) => format!("{network}/{bits}"),
        });
        f.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

/// Reads a proxy as curl does: `http://` may be left out; user and password may stand before the host.
///
/// # Errors
/// What is wrong, in words.
pub fn parse_proxy(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("no value".into());
    }
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = urls::parse(&full).map_err(|why| format!("is no URL: {why}"))?;
    if url.scheme() != "http" {
        return Err(format!("a proxy is asked by http, not by {}", url.scheme()));
    }
    match (url.path(), url.query(), url.fragment()) {
        ("" | "/", None, None) => Ok(url),
        _ => Err("a proxy has nothing behind its port".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_and_networks_are_asked_without_the_proxy() {
        let list = NoProxy::parse("Images.lab, .rack12.example *.two 10.0.0.0/8,192.168.7.1 fd00::/8,[::1]")
            .unwrap();
        for (url, direct) in [
            ("http://images.lab/a", true),
            ("http://IMAGES.LAB./a", true),
            ("http://a.images.lab/a", true),
            ("http://notimages.lab/a", false),
            ("http://rack12.example:8080/a", true),
            ("http://b.two/", true),
            ("http://10.255.0.1/a", true),
            ("http://11.0.0.1/a", false),
            ("http://192.168.7.1/", true),
            ("http://192.168.7.2/", false),
            ("http://[fd00::5]/", true),
            ("http://[fe80::5]/", false),
            ("http://[::1]/", true),
        ] {
            assert_eq!(list.holds(&Url::parse(url).unwrap()), direct, "{url}");
        }
        assert!(NoProxy::parse("*").unwrap().holds(&Url::parse("http://anything/").unwrap()));
        assert_eq!(NoProxy::parse(&list.to_string()), Ok(list));
        for (wrong, why) in [
            ("", "no value"),
            (" , ", "no value"),
            ("10.0.0.0/33", "\"10.0.0.0/33\" is no network"),
            ("10.0.0.0/x", "\"10.0.0.0/x\" is no network"),
            ("a/8", "\"a/8\" is no host, address or network"),
            ("http://a", "\"http://a\" is no host, address or network"),
        ] {
            assert_eq!(NoProxy::parse(wrong), Err(why.to_owned()), "{wrong:?}");
        }
    }

    #[test]
    fn a_proxy_is_read_as_curl_reads_it() {
        for (text, url) in [
            ("http://10.0.0.1:3128", "http://10.0.0.1:3128/"),
            ("http://10.0.0.1:3128/", "http://10.0.0.1:3128/"),
            ("proxy.lab:3128", "http://proxy.lab:3128/"),
            ("http://u:p%40q@[::1]:8443", "http://u:p%40q@[::1]:8443/"),
        ] {
            assert_eq!(parse_proxy(text).map(String::from).as_deref(), Ok(url), "{text}");
        }
        for (wrong, why) in [
            ("", "no value"),
            ("socks5://h:1080", "a proxy is asked by http, not by socks5"),
            ("https://h", "a proxy is asked by http, not by https"),
            ("http://", "is no URL: empty host"),
            ("h:port", "is no URL: invalid port number"),
            ("http://h:99999", "is no URL: invalid port number"),
            ("http://h/path", "a proxy has nothing behind its port"),
            ("http://h?x", "a proxy has nothing behind its port"),
        ] {
            assert_eq!(parse_proxy(wrong), Err(why.to_owned()), "{wrong}");
        }
    }
}
