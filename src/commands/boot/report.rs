//! What is said of a root that was loaded: in the log, and in the report that moves into the new system with `/run`.

use std::fs;
use std::path::Path;

use crate::handover::root::SYSROOT;
use crate::load::Fetched;
use crate::machine::Machine;
use crate::plan::{Plan, RootPlan};
use crate::verify::Trust;

/// Beside the log.
const REPORT: &str = "/run/bootjack/report.json";

/// Tells the log, and writes the report. Neither is worth failing a boot for.
pub fn say_what_came(plan: &Plan, root: &RootPlan, fetched: &Fetched) {
    let Fetched { unpacked, sha256, location, bytes, retries } = fetched;
    let (id, verified) = (&plan.id, root.archive.trust != Trust::Unverified);
    let how = if verified { "verified" } else { "UNVERIFIED" };
    log::info!("{id}: {bytes} bytes from {location} ({retries} retries), {how}, sha256 {sha256}");
    log::info!("{id}: {} entries, {} bytes", unpacked.entries, unpacked.bytes);
    if let Some(lost) = &unpacked.lost_xattrs {
        let (first, name) = (lost.first_member.display(), &lost.first_name);
        log::warn!(
            "{id}: {} xattrs could not be stored; first {name} of {first}, errno {}",
            lost.count,
            lost.errno
        );
    }
    let kernel = Machine::probe().kernel;
    let modules = Path::new(SYSROOT).join("lib/modules").join(&kernel).exists()
        || Path::new(SYSROOT).join("usr/lib/modules").join(&kernel).exists();
    if !modules {
        log::warn!("{id}: the root has no modules for the running kernel {kernel}");
    }
    let report = serde_json::json!({
        "version": 1,
        "entry": id,
        "kernel": kernel,
        "modules": modules,
        "root": {
            "location": location.to_string(),
            "verified": verified,
            "sha256": sha256,
            "bytes": bytes,
            "retries": retries,
            "unpacked": unpacked.bytes,
            "entries": unpacked.entries,
            "lost_xattrs": unpacked.lost_xattrs,
        },
    });
    if let Err(e) = fs::write(REPORT, format!("{report:#}\n")) {
        log::warn!("writing {REPORT}: {e}");
    }
}
