//! The network room against a real DHCP server (busybox udhcpd) at the other end of a cable: a veth pair whose ends lie in
//! two network namespaces of their own. Nothing of the host's network is touched, nor its `/etc/resolv.conf` or name.
//!
//! A test runs itself again inside `unshare`; that needs root.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bootjack::fetch::{Fetcher, Location};
use bootjack::net::{Config, Lease, Network, NicState, Static};

const INSIDE: &str = "BOOTJACK_TEST_IN_A_NAMESPACE";

/// Longer than anything here takes: a lease of 8 s that has to run out, on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// Runs `body` in a fresh network, mount and UTS namespace, by starting this very test there.
fn alone(test: &str, body: fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    if std::env::var_os(INSIDE).is_some() {
        let names = fs::read_to_string("/proc/net/dev").unwrap();
        assert_eq!(names.lines().filter(|l| l.contains(':')).count(), 1, "not alone:\n{names}");
        fs::write(dir.path().join("resolv.conf"), "").unwrap();
        sh(&format!("mount --bind {}/resolv.conf /etc/resolv.conf", dir.path().display()));
        return body(dir.path());
    }
    let name = format!("network::{test}");
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--uts", "--"]).arg(std::env::current_exe().unwrap());
    let output = unshare.args([&name, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A machine at the other end of `cable`; killed when dropped.
struct Server {
    child: Child,
    conf: PathBuf,
}

impl Server {
    /// Makes the cable `eth0`, and a namespace for its other end.
    fn new(dir: &Path) -> Self {
        let script = "echo ready; read go; ip addr add 10.99.0.1/24 dev far; ip link set far up; echo up; \
                      while read dns; do busybox udhcpd -f \"$CONF\" 2>\"$CONF.log\" & echo $!; read stop; \
                      kill $!; wait $!; echo stopped; done";
        let conf = dir.join("udhcpd.conf");
        let mut child = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", script])
            .env("CONF", &conf)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(line(&mut child), "ready");
        sh(&format!("ip link add eth0 type veth peer name far && ip link set far netns {}", child.id()));
        let mut server = Self { child, conf };
        server.say("go");
        assert_eq!(line(&mut server.child), "up");
        server
    }

    fn say(&mut self, text: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{text}").unwrap();
    }

    /// Begins to give leases of 8 s, with this name server; an empty one: with none, and no domain either.
    fn serve(&mut self, dns: &str) {
        let leases = self.conf.with_extension("leases");
        fs::OpenOptions::new().append(true).create(true).open(&leases).unwrap();
        let text = format!(
            "start 10.99.0.50\nend 10.99.0.50\ninterface far\nlease_file {}\npidfile /dev/null\nmin_lease 1\n\
             option lease 8\noption subnet 255.255.255.0\noption router 10.98.0.1\n\
             option mtu 1400\noption hostname rack12\n",
            leases.display()
        );
        let names =
            if dns.is_empty() { "".into() } else { format!("option dns {dns}\noption domain lab.example\n") };
        fs::write(&self.conf, text + &names).unwrap();
        self.say(dns);
        line(&mut self.child);
    }

    fn stop(&mut self) {
        self.say("stop");
        assert_eq!(line(&mut self.child), "stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One line, read byte by byte: what follows belongs to the next question.
fn line(child: &mut Child) -> String {
    let mut text = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut text).unwrap();
    text.trim().to_owned()
}

fn config(words: &[(&str, &str)]) -> Config {
    let words: Vec<(String, String)> = words.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let (config, problems) = Config::parse(&words);
    assert_eq!(problems, vec![]);
    config
}

fn lease(network: &Network) -> Lease {
    let begun = Instant::now();
    let lease = network.wait(Some(begun + LONG), &|| ControlFlow::Continue(()));
    lease.unwrap_or_else(|| panic!("no lease: {:?} {:?}", network.status(), network.notes()))
}

#[track_caller]
fn until(what: &str, network: &Network, is: impl Fn(&Network) -> bool) {
    let begun = Instant::now();
    while !is(network) {
        assert!(begun.elapsed() < LONG, "never {what}: {:?}", network.status());
        std::thread::yield_now();
        // The state changes by itself; there is nothing to be woken by but time.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn addresses() -> String {
    sh("ip -4 -o addr show dev eth0")
}

#[test]
fn a_lease_is_used_renewed_lost_and_had_again() {
    alone("a_lease_is_used_renewed_lost_and_had_again", |dir| {
        let mut server = Server::new(dir);
        let network = Network::start(config(&[("nameserver", "9.9.9.9")])).unwrap();
        until("asking", &network, |n| {
            n.status().iter().any(|n| matches!(n.state, NicState::Asking { attempt: 1, .. }))
        });
        server.serve("10.99.0.7");
        let first = lease(&network);
        assert_eq!((first.address.to_string().as_str(), first.prefix), ("10.99.0.50", 24));
        assert_eq!((first.seconds, first.mtu, first.hostname.as_deref()), (8, Some(1400), Some("rack12")));
        assert!(addresses().contains("10.99.0.50/24"), "{}", addresses());
        // The router is outside the network: reachable all the same.
        let routes = sh("ip -4 route");
        assert!(routes.contains("default via 10.98.0.1 dev eth0") && routes.contains("onlink"), "{routes}");
        assert!(sh("ip link show eth0").contains("mtu 1400"));
        assert_eq!(
            fs::read_to_string("/etc/resolv.conf").unwrap(),
            "search lab.example\nnameserver 9.9.9.9\nnameserver 10.99.0.7\n"
        );
        assert_eq!(sh("uname -n").trim(), "rack12");

        // Half a lease later another name server is in it: it was renewed, and never gone.
        server.stop();
        server.serve("10.99.0.8");
        until("renewed", &network, |n| {
            let lease = n.lease().expect("a lease that is renewed in time is never lost");
            lease.nameservers.iter().any(|s| s.to_string() == "10.99.0.8")
        });
        assert!(fs::read_to_string("/etc/resolv.conf").unwrap().contains("10.99.0.8"));

        // Nobody renews: it ends, the address goes, and it is asked for again until somebody answers.
        server.stop();
        until("lost", &network, |n| n.lease().is_none());
        until("flushed", &network, |_| !addresses().contains("10.99.0.50"));
        server.serve("10.99.0.9");
        assert_eq!(lease(&network).nameservers[1].to_string(), "10.99.0.9");
        assert!(addresses().contains("10.99.0.50/24"));

        network.down();
        assert_eq!(addresses(), "");
        assert!(!sh("ip -o link show eth0").contains("UP"), "{}", sh("ip -o link show eth0"));
        assert!(sh("ip -o addr show dev lo").contains("127.0.0.1/8"));
    });
}

#[test]
fn a_link_that_comes_ends_the_pause_at_once() {
    alone("a_link_that_comes_ends_the_pause_at_once", |dir| {
        let mut server = Server::new(dir);
        let network = Network::start(config(&[])).unwrap();
        until("waiting", &network, |n| {
            n.status().iter().any(|n| matches!(n.state, NicState::Waiting { attempt: 1, .. }))
        });
        let failed = network.status().remove(0).last_error;
        assert_eq!(failed.as_deref(), Some("no DHCP server answered within 8 s"));
        let id = server.child.id();
        sh(&format!("nsenter -t {id} -n ip link set far down"));
        until("without a link", &network, |n| n.status()[0].state == NicState::NoLink);
        sh(&format!("nsenter -t {id} -n ip link set far up"));
        // Without a server it would be the second try by now: counting from one again is the promise.
        until("asking anew", &network, |n| {
            matches!(n.status()[0].state, NicState::Asking { attempt: 1, .. })
        });
        server.serve("10.99.0.7");
        lease(&network);
        assert_eq!(network.status()[0].last_error, None);
        // A cable that is pulled does not take the lease away.
        sh(&format!("nsenter -t {id} -n ip link set far down"));
        until("pulled", &network, |n| n.status()[0].link == Some(false));
        assert!(network.lease().is_some());
    });
}

#[test]
fn an_address_by_hand_needs_no_server_and_off_means_off() {
    alone("an_address_by_hand_needs_no_server_and_off_means_off", |dir| {
        let _server = Server::new(dir);
        let off = Network::start(config(&[("ip", "off")])).unwrap();
        assert_eq!(off.wait(None, &|| ControlFlow::Continue(())), None);
        assert!(!sh("ip -o link show eth0").contains("UP"));
        drop(off);

        let words =
            [("ip", "10.99.0.40::10.99.0.1:24:bob:eth0:none:1300"), ("nameserver", "9.9.9.9"), ("x", "y")];
        let network = Network::start(config(&words)).unwrap();
        let lease = lease(&network);
        assert_eq!((lease.server, lease.seconds), (None, 0));
        assert_eq!(network.status()[0].state, NicState::Static(lease));
        assert!(addresses().contains("10.99.0.40/24"));
        sh("ping -c 1 -W 5 10.99.0.1 || busybox ping -c 1 -W 5 10.99.0.1");
        assert!(sh("ip link show eth0").contains("mtu 1300"));
        assert_eq!(sh("uname -n").trim(), "bob");
    });
}

#[test]
fn an_address_that_a_person_gives_takes_the_place_of_a_lease() {
    alone("an_address_that_a_person_gives_takes_the_place_of_a_lease", |dir| {
        let mut server = Server::new(dir);
        let network = Network::start(config(&[])).unwrap();
        server.serve("10.99.0.7");
        assert_eq!(lease(&network).address.to_string(), "10.99.0.50");
        let fixed = Static {
            address: "10.99.0.9".parse().unwrap(),
            prefix: 24,
            gateway: None,
            nameservers: vec!["10.99.0.8".parse().unwrap()],
        };
        network.set("eth7".into(), fixed.clone());
        until("told", &network, |n| n.notes().iter().any(|note| note.contains("no such interface")));
        assert_eq!(lease(&network).address.to_string(), "10.99.0.50", "nothing else changed");
        network.set("eth0".into(), fixed);
        until("the network", &network, |n| n.lease().is_some_and(|l| l.address.to_string() == "10.99.0.9"));
        let seen = addresses();
        assert!(seen.contains("10.99.0.9/24") && !seen.contains("10.99.0.50"), "{seen}");
        assert!(fs::read_to_string("/etc/resolv.conf").unwrap().contains("10.99.0.8"));
    });
}

#[test]
fn what_the_command_line_says_beside_ip_comes_before_the_server() {
    alone("what_the_command_line_says_beside_ip_comes_before_the_server", |dir| {
        let mut server = Server::new(dir);
        server.serve("10.99.0.7");
        let shown = sh("ip -o link show eth0");
        let mac = shown.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
        let bootif = format!("06-{}", mac.to_uppercase().replace(':', "-"));
        let network = Network::start(config(&[
            ("ifname", &format!("net7:{mac}")),
            ("ip", "::::asked.for:net7:dhcp"),
            ("BOOTIF", &bootif),
            ("nameserver", "9.9.9.9"),
            ("rd.peerdns", "0"),
            ("rd.route", "192.168.7.0/24:10.99.0.1:net7"),
            ("rd.route", "192.168.8.0/24:10.99.0.1:eth9"),
        ]))
        .unwrap();
        let lease = lease(&network);
        assert_eq!((lease.interface.as_str(), lease.address.to_string().as_str()), ("net7", "10.99.0.50"));
        assert!(sh("ip -o link show net7").contains(mac), "it is called so");
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), "nameserver 9.9.9.9\n");
        assert_eq!((lease.hostname.as_deref(), sh("uname -n").trim()), (Some("asked.for"), "asked.for"));
        let routes = sh("ip -4 route");
        assert!(routes.contains("192.168.7.0/24 via 10.99.0.1 dev net7"), "{routes}");
        assert!(!routes.contains("192.168.8.0"), "a route of another interface: {routes}");
        // The server writes its leases when it ends: it was told the name.
        server.stop();
        let leases = fs::read(dir.join("udhcpd.leases")).unwrap();
        assert!(String::from_utf8_lossy(&leases).contains("asked.for"), "{leases:?}");
    });
}

#[test]
fn an_address_by_hand_with_a_name_server_resolves_names() {
    alone("an_address_by_hand_with_a_name_server_resolves_names", |dir| {
        let _server = Server::new(dir);
        let words = [("ip", "10.99.0.40::10.99.0.1:24:bob:eth0:none"), ("nameserver", "127.0.0.9")];
        let network = Network::start(config(&words)).unwrap();
        lease(&network);
        let names = std::net::UdpSocket::bind("127.0.0.9:53").unwrap();
        let pages = std::net::TcpListener::bind("10.99.0.40:80").unwrap();
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((n, from)) = names.recv_from(&mut query) {
                names.send_to(&address_of(&query[..n], [10, 99, 0, 40]), from).unwrap();
            }
        });
        std::thread::spawn(move || {
            let page = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            for mut stream in pages.incoming().flatten() {
                let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
                while head.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                stream.write_all(page).unwrap();
            }
        });
        let fetcher = Fetcher::new(&bootjack::fetch::Config::default()).unwrap();
        let place = [Location::parse("http://images.lab/x").unwrap()];
        let (bytes, _) = fetcher.read_all(&place, LONG, 10, &|_| ControlFlow::Continue(())).unwrap();
        assert_eq!(bytes, b"hello");
    });
}

/// The answer to a DNS query (RFC 1035): this address, whatever the name; nothing but addresses of IPv4.
fn address_of(query: &[u8], address: [u8; 4]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let is_a = query[end - 4..end - 2] == [0, 1];
    let mut answer = query[..end].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    if is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address);
    }
    answer
}

#[test]
fn an_interface_that_appears_later_is_taken_in_and_one_that_goes_is_forgotten() {
    let test = "an_interface_that_appears_later_is_taken_in_and_one_that_goes_is_forgotten";
    alone(test, |dir| {
        let network = Network::start(config(&[])).unwrap();
        assert_eq!(network.status(), Vec::new());
        let mut server = Server::new(dir);
        server.serve("10.99.0.7");
        lease(&network);
        sh("ip link del eth0");
        until("forgotten", &network, |n| n.status().is_empty());
        assert_eq!(network.lease(), None);
    });
}

#[test]
fn name_servers_of_an_older_lease_do_not_outlive_it() {
    alone("name_servers_of_an_older_lease_do_not_outlive_it", |dir| {
        fs::write("/etc/resolv.conf", "nameserver 192.0.2.1\n").unwrap();
        let mut server = Server::new(dir);
        server.serve("");
        let network = Network::start(config(&[])).unwrap();
        assert_eq!(lease(&network).nameservers, Vec::<std::net::IpAddr>::new());
        let text = || fs::read_to_string("/etc/resolv.conf").unwrap();
        assert_eq!(text(), "nameserver 192.0.2.1\n", "what the initrd brought is better than nothing");
        let has = |n: &Network, servers: usize| n.lease().is_some_and(|l| l.nameservers.len() == servers);
        server.stop();
        server.serve("10.99.0.7");
        until("renewed with a name server", &network, |n| has(n, 1));
        assert_eq!(text(), "search lab.example\nnameserver 10.99.0.7\n");
        server.stop();
        server.serve("");
        until("renewed without one", &network, |n| has(n, 0));
        assert_eq!(text(), "");
    });
}

#[test]
fn an_interface_that_cannot_be_set_up_is_tried_again_and_again() {
    alone("an_interface_that_cannot_be_set_up_is_tried_again_and_again", |dir| {
        let _server = Server::new(dir);
        // No interface can have a multicast address.
        let network = Network::start(config(&[("ip", "eth0:dhcp:1500:01:00:5e:00:00:01")])).unwrap();
        for attempt in 1..=3 {
            until("tried again", &network, |n| match &n.status()[..] {
                [nic] => {
                    matches!(&nic.state, NicState::Refused(why) if why.ends_with(&format!("(try {attempt})")))
                }
                _ => false,
            });
        }
        // Somebody else brings it up: then it is used.
        sh("ip link set eth0 up");
        until("asking", &network, |n| matches!(n.status()[0].state, NicState::Asking { .. }));
    });
}
