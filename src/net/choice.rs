//! Which interface is to do what: the command line's wishes against what is there. Pure.

use super::config::{Config, Method, Rule};
use super::link::Link;

/// What one interface is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub method: Method,
    pub mtu: Option<u32>,
    /// An address to set first.
    pub mac: Option<super::mac::Mac>,
    /// The machine's name.
    pub hostname: Option<String>,
}

impl Task {
    fn dhcp() -> Self {
        Self { method: Method::Dhcp, mtu: None, mac: None, hostname: None }
    }
}

/// What `link` is to do, or nothing if another interface is wanted. With `patience` gone (nobody who was wanted
/// brought a network for a while) everybody is let in, in the way the first rule says.
pub fn task(config: &Config, link: &Link, patience: bool) -> Option<Task> {
    let bootif = config.bootif.is_none_or(|mac| mac == link.mac);
    let of = |rule: &Rule| {
        let Rule { method, mtu, mac, hostname, .. } = rule.clone();
        Task { method, mtu, mac, hostname }
    };
    if patience && config.bootdev.as_deref().is_some_and(|name| !is(config, link, name)) {
        return None;
    }
    let named = config.rules.iter().find(|r| r.interface.as_deref().is_some_and(|n| is(config, link, n)));
    if let Some(rule) = named {
        // Named by hand: that is meant, whatever the firmware used.
        return Some(of(rule));
    }
    let open = config.rules.iter().find(|r| r.interface.is_none());
    let wanted = match (open, config.rules.first()) {
        (Some(rule), _) if bootif => Some(of(rule)),
        (None, None) if bootif => Some(Task::dhcp()),
        _ => None,
    };
    let late = || {
        let rule = open.or(config.rules.first());
        let method = rule.map_or(Method::Dhcp, |r| r.method.clone());
        Task { method, hostname: rule.and_then(|r| r.hostname.clone()), ..Task::dhcp() }
    };
    wanted.or_else(|| (!patience).then(late))
}

/// Whether waiting for somebody in particular keeps others out at all.
pub fn is_picky(config: &Config) -> bool {
    config.bootif.is_some()
        || config.bootdev.is_some()
        || (!config.rules.is_empty() && config.rules.iter().all(|r| r.interface.is_some()))
}

/// Whom the command line waits for, in words.
pub fn wanted(config: &Config) -> String {
    match (&config.bootdev, config.bootif) {
        (Some(name), _) => format!("the interface of bootdev= ({name})"),
        (None, Some(mac)) => format!("the interface the firmware booted from ({mac})"),
        (None, None) => {
            let names: Vec<&str> = config.rules.iter().filter_map(|r| r.interface.as_deref()).collect();
            format!("the interface of the command line ({})", names.join(", "))
        }
    }
}

/// A name is the kernel's, or one that `ifname=` gave to an address.
pub fn is(config: &Config, link: &Link, name: &str) -> bool {
    match config.names.iter().find(|(n, _)| n == name) {
        Some((_, mac)) => *mac == link.mac,
        None => name == link.name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::mac::Mac;
    use super::*;

    fn link(n: u8) -> Link {
        let name = format!("eth{n}");
        Link { index: u32::from(n) + 2, name, mac: Mac([2, 0, 0, 0, 0, n]), up: true, carrier: true }
    }

    fn config(line: &str) -> Config {
        let words: Vec<(String, String)> =
            line.split(' ').filter_map(|w| w.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        let (config, problems) = Config::parse(&words);
        assert_eq!(problems, vec![]);
        config
    }

    /// Who of eth0, eth1, eth2 gets something to do: `s` static, `d` DHCP, `-` nothing.
    fn chosen(line: &str, patience: bool) -> String {
        let config = config(line);
        (0..3)
            .map(|n| match task(&config, &link(n), patience).map(|t| t.method) {
                Some(Method::Static(_)) => 's',
                Some(Method::Dhcp) => 'd',
                None => '-',
            })
            .collect()
    }

    #[test]
    fn wishes_come_first_and_everybody_later() {
        for (line, first, later) in [
            ("", "ddd", "ddd"),
            ("ip=dhcp", "ddd", "ddd"),
            ("BOOTIF=01-02-00-00-00-00-01", "-d-", "ddd"),
            ("ip=dhcp BOOTIF=01-02-00-00-00-00-01", "-d-", "ddd"),
            ("ip=eth2:dhcp", "--d", "ddd"),
            ("ip=eth2:dhcp BOOTIF=01-02-00-00-00-00-01", "--d", "ddd"),
            ("ip=eth0:dhcp ip=eth1:dhcp bootdev=eth1", "-d-", "ddd"),
            ("ip=dhcp bootdev=eth2", "--d", "ddd"),
            ("bootdev=net7 ifname=net7:02:00:00:00:00:01", "-d-", "ddd"),
            ("hwaddr=02:00:00:00:00:02", "--d", "ddd"),
            ("ip=net7:dhcp ifname=net7:02:00:00:00:00:01", "-d-", "ddd"),
            ("ip=10.0.0.2:::24::eth1:none", "-s-", "sss"),
            ("ip=10.0.0.2:::24::eth1:none ip=dhcp", "dsd", "dsd"),
            ("ip=10.0.0.2:::24::ens3:none", "---", "sss"),
            ("ip=10.0.0.2:10.0.0.1:10.0.0.1:255.0.0.0 BOOTIF=01-02-00-00-00-00-02", "--s", "sss"),
        ] {
            assert_eq!(chosen(line, true), first, "{line}");
            assert_eq!(chosen(line, false), later, "{line} (later)");
            assert_eq!(is_picky(&config(line)), first != later, "{line}");
        }
    }

    #[test]
    fn an_address_by_hand_is_nobody_elses_however_long_it_takes() {
        let fixed = super::super::config::Static {
            address: [10, 0, 0, 7].into(),
            prefix: 24,
            gateway: None,
            nameservers: vec![],
        };
        let all = |config: &Config, patience| -> String {
            let what = |n| match task(config, &link(n), patience).map(|t| t.method) {
                Some(Method::Static(fixed)) if fixed.address.octets()[3] == 7 => 'h',
                Some(Method::Static(_)) => 's',
                Some(Method::Dhcp) => 'd',
                None => '-',
            };
            (0..3).map(what).collect()
        };
        for (line, first, later) in [
            ("", "hdd", "hdd"),
            ("BOOTIF=01-02-00-00-00-00-01", "hdd", "hdd"),
            ("ip=dhcp bootdev=eth2", "hdd", "hdd"),
            ("ip=eth2:dhcp", "h-d", "hdd"),
            ("ip=eth0:dhcp", "hdd", "hdd"),
            ("ip=10.0.0.2:::24::eth1:none", "hs-", "hss"),
        ] {
            let mut config = config(line);
            config.set_by_hand("eth0".into(), fixed.clone());
            assert_eq!((all(&config, true), all(&config, false)), (first.into(), later.into()), "{line}");
        }
    }
}
