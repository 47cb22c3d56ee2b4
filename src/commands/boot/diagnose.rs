//! Looks where the way to a server ends: link, lease, gateway, name, connection, answer, clock; each in a few seconds, with
//! what helps. It changes nothing and decides nothing; a person asked for it.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::early;
use crate::fetch::{Fetcher, Hop, Location, Timing};
use crate::net::Lease;
use crate::tui::network::{Step, Verdict};
use crate::tui::text;

/// No step takes longer: all of them together are a person's patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// A port that a gateway has nothing behind (discard, RFC 863): a refusal is an answer, and so is an open one.
const NOBODYS_PORT: u16 = 9;

/// A clock that is wrong by less makes no certificate invalid and no catalog expire.
const SKEW: u64 = 120;

/// What is known when it begins.
pub struct Outset {
    /// Interfaces with a link.
    pub up: Vec<String>,
    pub lease: Option<Lease>,
    /// What is to be reached.
    pub location: Option<Location>,
}

/// Takes one step after the other, until one says that those behind it cannot succeed; `tell` hears of each when it is done,
/// and may end it.
pub fn run(outset: &Outset, fetcher: &Fetcher, tell: &mut dyn FnMut(Step) -> ControlFlow<()>) {
    // Broken off or done: there is nobody who would have to know which.
    let (ControlFlow::Break(()) | ControlFlow::Continue(())) = steps(outset, fetcher, tell);
}

fn steps(
    outset: &Outset,
    fetcher: &Fetcher,
    tell: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut take = |what: &'static str, step: &dyn Fn() -> Found| {
        let begun = Instant::now();
        let Found { verdict, words, hint } = step();
        let goes_on = verdict != Verdict::Bad;
        tell(Step { what, verdict, words, took: begun.elapsed(), hint })?;
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    take("link", &|| link(outset))?;
    take("lease", &|| lease(outset))?;
    if let Some(gateway) = outset.lease.as_ref().and_then(|lease| lease.gateway) {
        take("gateway", &|| gateway_answers(gateway))?;
    }
    let Some(location) = &outset.location else {
        return take("server", &|| Found::unknown("nothing is to be had over the network"));
    };
    if let Some(hop) = fetcher.first_hop(location) {
        let found = std::cell::RefCell::new(Vec::new());
        take("name", &|| name(fetcher, &hop, &found))?;
        let addresses = found.into_inner();
        take("connect", &|| connect(&hop, &addresses))?;
    }
    let sent = std::cell::Cell::new(None);
    take("answer", &|| answer(fetcher, location, &sent))?;
    match sent.get() {
        Some(server) => take("clock", &|| clock(early::now(), server)),
        None => ControlFlow::Continue(()),
    }
}

/// What a step came to.
struct Found {
    verdict: Verdict,
    words: String,
    hint: Option<&'static str>,
}

impl Found {
    fn good(words: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, words: words.into(), hint: None }
    }

    fn unknown(words: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, words: words.into(), hint: None }
    }

    fn bad(words: impl Into<String>, hint: &'static str) -> Self {
        Self { verdict: Verdict::Bad, words: words.into(), hint: Some(hint) }
    }
}

fn link(outset: &Outset) -> Found {
    match &outset.up[..] {
        [] => Found::bad(
            "no interface has one",
            "look at the cable and the port of the switch, and at the driver",
        ),
        up => Found::good(up.join(", ")),
    }
}

fn lease(outset: &Outset) -> Found {
    match &outset.lease {
        Some(lease) => {
            let from = match lease.server {
                Some(server) => format!("from {server}"),
                None => "by hand".into(),
            };
            Found::good(format!("{} {}/{} {from}", lease.interface, lease.address, lease.prefix))
        }
        None => {
            Found::bad("no address", "is there a DHCP server in this network? a gives an address by hand")
        }
    }
}

/// A refused connection is an answer; to be told that nobody is there is one too, as that is ARP's.
fn gateway_answers(gateway: IpAddr) -> Found {
    match TcpStream::connect_timeout(&SocketAddr::new(gateway, NOBODYS_PORT), PATIENCE) {
        Ok(_) => Found::good(format!("{gateway} answers")),
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => Found::good(format!("{gateway} answers")),
        Err(e) if e.kind() == ErrorKind::TimedOut => {
            Found::unknown(format!("{gateway} is there, or silent: it drops what nobody asked for"))
        }
        // Also what a firewall on it says. Whether it leads anywhere, the next steps find out.
        Err(e) => Found::unknown(format!("{gateway}: {e}: is it the right one, and in this network?")),
    }
}

fn name(fetcher: &Fetcher, hop: &Hop, found: &std::cell::RefCell<Vec<IpAddr>>) -> Found {
    let via = if hop.is_proxy { ", the proxy" } else { "" };
    if let Ok(address) = hop.host.parse::<IpAddr>() {
        found.replace(vec![address]);
        return Found::good(format!("{address}{via}: no name to look up"));
    }
    match fetcher.look_up(&hop.host, PATIENCE) {
        Ok(addresses) if addresses.is_empty() => Found::bad(
            format!("{}: no address", hop.host),
            "is the name right? ask the one who runs the name server",
        ),
        Ok(addresses) => {
            let said: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            found.replace(addresses);
            Found::good(format!("{}{via} is {}", hop.host, said.join(", ")))
        }
        Err(why) => Found::bad(
            format!("{}{via}: {why}", hop.host),
            "check nameserver=, or name the server by its address",
        ),
    }
}

fn connect(hop: &Hop, addresses: &[IpAddr]) -> Found {
    let mut last = "no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&SocketAddr::new(*address, hop.port), PATIENCE) {
            Ok(_) => return Found::good(format!("{address} port {}", hop.port)),
            Err(e) => last = format!("{address} port {}: {e}", hop.port),
        }
    }
    Found::bad(last, "does the server run, and does a firewall let this machine through?")
}

/// The first byte of what is to be had, and when the server thinks that it is.
fn answer(fetcher: &Fetcher, location: &Location, sent: &std::cell::Cell<Option<u64>>) -> Found {
    let begun = Instant::now();
    let timing = Timing { connect: PATIENCE, stall: PATIENCE };
    let on = |_| match begun.elapsed() < PATIENCE * 2 {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let opened = fetcher.open(location, &timing, &on);
    let mut source = match opened {
        Ok(source) => source,
        Err(e) => return Found::bad(e.to_string(), "what the server says is above; its log says why"),
    };
    sent.set(source.version.sent());
    match source.reader.read(&mut [0]) {
        Ok(0) => Found::unknown(format!("{location} is empty")),
        Ok(_) => Found::good(match source.length {
            Some(length) => format!("{location}, {}", text::bytes(length)),
            None => location.to_string(),
        }),
        Err(e) => Found::bad(e.to_string(), "it broke off: the way to the server may be too narrow (MTU)"),
    }
}

/// What a certificate and `expires` are judged by.
fn clock(here: u64, server: u64) -> Found {
    let skew = here.abs_diff(server);
    let span = text::span(Duration::from_secs(skew));
    match (skew <= SKEW, here < server) {
        (true, _) => Found::good("as the server's"),
        (false, behind) => {
            let words = format!("{span} {} the server's", if behind { "behind" } else { "before" });
            let hint = Some("certificates and expires are judged by it: set it in the firmware");
            Found { verdict: Verdict::Unknown, words, hint }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch;
    use std::io::Write;
    use std::net::TcpListener;

    fn lease() -> Lease {
        let fixed = crate::net::Static {
            address: std::net::Ipv4Addr::LOCALHOST,
            prefix: 8,
            gateway: Some(std::net::Ipv4Addr::LOCALHOST),
            nameservers: vec![],
        };
        Lease::by_hand(&fixed, "lo", crate::net::Mac([2, 0, 0, 0, 0, 1]), None)
    }

    fn taken(outset: &Outset) -> Vec<(&'static str, Verdict, String)> {
        let fetcher = Fetcher::new(&fetch::Config::default()).unwrap();
        let mut steps = Vec::new();
        run(outset, &fetcher, &mut |step| {
            steps.push((step.what, step.verdict, step.words));
            ControlFlow::Continue(())
        });
        steps
    }

    fn outset(url: &str) -> Outset {
        let location = Some(Location::parse(url).unwrap());
        Outset { up: vec!["lo".into()], lease: Some(lease()), location }
    }

    /// A server that answers once, at this time.
    fn server(date: u64) -> (String, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/c.toml", listener.local_addr().unwrap());
        let serve = move || {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                let mut head = [0; 2048];
                // The connection that only looks whether there is one says nothing.
                if stream.read(&mut head).unwrap() > 0 {
                    let date = fetch::date::http(date);
                    write!(stream, "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 2\r\n\r\nok").unwrap();
                }
            }
        };
        (url, std::thread::spawn(serve))
    }

    #[test]
    fn a_way_that_is_free_is_good_to_its_end_and_a_wrong_clock_is_told() {
        let (url, served) = server(early::now());
        let steps = taken(&outset(&url));
        let named: Vec<&str> = steps.iter().map(|(what, ..)| *what).collect();
        assert_eq!(named, ["link", "lease", "gateway", "name", "connect", "answer", "clock"]);
        assert!(steps.iter().all(|(_, verdict, _)| *verdict == Verdict::Good), "{steps:?}");
        served.join().unwrap();
        let (url, served) = server(early::now() + 7200);
        let (_, verdict, words) = taken(&outset(&url)).pop().unwrap();
        assert!(verdict == Verdict::Unknown && words.ends_with("behind the server's"), "{words}");
        served.join().unwrap();
    }

    #[test]
    fn it_ends_where_the_way_ends() {
        let ends = |outset: &Outset| taken(outset).pop().unwrap();
        let nothing = Outset { up: vec![], lease: None, location: None };
        assert_eq!((ends(&nothing).0, ends(&nothing).1), ("link", Verdict::Bad));
        let no_lease = Outset { lease: None, ..outset("http://127.0.0.1/") };
        assert_eq!((ends(&no_lease).0, ends(&no_lease).1), ("lease", Verdict::Bad));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (what, verdict, words) = ends(&outset(&format!("http://{closed}/")));
        assert_eq!((what, verdict), ("connect", Verdict::Bad));
        assert!(words.contains("refused"), "{words}");
        let (what, verdict, _) = ends(&outset("http://no-such-host.invalid/"));
        assert_eq!((what, verdict), ("name", Verdict::Bad));
        let nowhere = Outset { location: None, ..outset("http://127.0.0.1/") };
        assert_eq!(ends(&nowhere).1, Verdict::Unknown);
    }

    #[test]
    fn whoever_leaves_ends_it() {
        let fetcher = Fetcher::new(&fetch::Config::default()).unwrap();
        let mut heard = 0;
        run(&outset("http://127.0.0.1/"), &fetcher, &mut |_| {
            heard += 1;
            ControlFlow::Break(())
        });
        assert_eq!(heard, 1);
    }
}
