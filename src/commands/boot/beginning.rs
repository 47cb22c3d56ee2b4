//! What a worker does before the story: quiet the kernel, load drivers, take the consoles, read the certificates.

use std::fs;
use std::path::Path;

use super::LOG;
use crate::cmdline::{CmdlineProblem, ConsoleWord, Params};
use crate::drivers;
use crate::early::{self, Quiet};
use crate::fetch::{self, Fetcher};
use crate::load::{Failure, Phase};
use crate::machine::running_kernel;
use crate::net;
use crate::tui::{Consoles, Port, attach};

/// Certificate authorities that came with the initrd, and the mark that only they count.
const CA_DIR: &str = "/etc/bootjack/ca";
const CA_ONLY: &str = "/etc/bootjack/ca-only";

pub fn lower_kernel() -> Option<Quiet> {
    Quiet::now().map_err(|e| log::warn!("console loglevel: {e}")).ok()
}

pub fn load_drivers() {
    let dir = Path::new("/lib/modules").join(running_kernel());
    match drivers::coldplug(&dir, &mut |loaded| log::debug!("{loaded}")) {
        Ok(found) => {
            log::info!("{} modules for {} devices", found.loaded.len(), found.devices);
            if let Err(e) = found.drivers.watch(|loaded| log::info!("{loaded}")) {
                log::warn!("watching for new devices: {e}");
            }
        }
        Err(e) => log::warn!("drivers from {}: {e}", dir.display()),
    }
}

/// The consoles that were named, alone or beside the kernel's (Documentation/ABI/testing/sysfs-tty), the last of which is
/// `/dev/console`. Names that lead nowhere must not leave a machine without a screen.
pub fn open_consoles(params: &Params, notices: &mut Vec<String>) -> Consoles {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let port = |name: &str, speed| Port { path: Path::new("/dev").join(name), speed };
    let kernels: Vec<Port> = active.split_whitespace().rev().map(|name| port(name, None)).collect();
    let ConsoleWord { beside, terminals } = &params.consoles;
    let mut wanted: Vec<Port> = terminals.iter().map(|it| port(&it.name, it.speed)).collect();
    if *beside || wanted.is_empty() {
        wanted.extend(kernels.iter().cloned());
    }
    let (mut consoles, lost) = Consoles::open(&wanted, params.plain);
    notices.extend(lost.iter().map(|(path, e)| format!("console {}: {e}", path.display())));
    if consoles.count() == 0 && wanted != kernels {
        consoles = Consoles::open(&kernels, params.plain).0;
    }
    consoles.show_log(Path::new(LOG));
    consoles.tell_around(early::now);
    if let Err(e) = consoles.admit_at(Path::new(attach::SOCKET)) {
        notices.push(format!("bootjack attach will not work: {}: {e}", attach::SOCKET));
    }
    consoles
}

/// Public roots and those that came with the initrd or are named; one that cannot be read costs only itself: what it
/// would have vouched for is then refused.
pub fn make_fetcher(params: &Params, notices: &mut Vec<String>) -> Result<Fetcher, Failure> {
    let mut ca = params.ca.clone();
    if let Ok(files) = fs::read_dir(CA_DIR) {
        let files = files.filter_map(|file| Some(file.ok()?.path()));
        ca.extend(files.filter(|path| path.extension().is_some_and(|e| e == "pem")));
    }
    ca.retain(|file| {
        let alone = fetch::Config { ca: vec![file.clone()], ..fetch::Config::default() };
        let readable = Fetcher::new(&alone);
        if let Err(e) = &readable {
            notices.push(format!("certificates: {e:#}"));
        }
        readable.is_ok()
    });
    let config = fetch::Config {
        ca,
        ca_only: Path::new(CA_ONLY).exists(),
        assembly: params.assembly.clone(),
        device_wait: params.device_wait,
        proxy: params.proxy.clone(),
        unverified_tls: params.unverified_tls,
        ..fetch::Config::default()
    };
    let fetcher = Fetcher::new(&config).map_err(|e| Failure::new(Phase::Fetch, "certificates", e))?;
    let unverified = fetcher.unverified_tls();
    notices.extend(
        unverified.map(|what| format!("{what}: rd.noverifyssl: whoever answers to https is believed")),
    );
    Ok(fetcher)
}

pub fn complaint(problem: &CmdlineProblem) -> String {
    with_hint(problem, problem.hint.as_deref())
}

/// The same for a word of the network.
pub fn network_complaint(problem: &net::Problem) -> String {
    with_hint(problem, problem.hint.as_deref())
}

fn with_hint(problem: &dyn std::fmt::Display, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("kernel command line: {problem}{hint}")
}
