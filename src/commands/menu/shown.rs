//! A plan as `bootjack menu` prints it: for a person, or as one JSON object for a script.

use serde_json::json;

use crate::plan::{Plan, Step};
use crate::tui::text;
use crate::verify::Trust;

fn step(plan: &Plan) -> &'static str {
    match plan.step {
        Step::SwitchRoot(_) => "switch-root",
        Step::Kexec(_) => "kexec",
        Step::Run(_) => "run",
        Step::Shell => "shell",
        Step::Reboot => "reboot",
        Step::PowerOff => "poweroff",
        Step::Local => "local",
    }
}

/// One object; sizes in bytes, what is unknown is null.
pub(super) fn as_json(plan: &Plan) -> serde_json::Value {
    let mut object = json!({ "id": plan.id, "title": plan.title, "boot": step(plan) });
    if let Step::SwitchRoot(root) = &plan.step {
        let sha256 = match &root.archive.trust {
            Trust::Sha256(digest) => Some(digest),
            Trust::Unverified => None,
        };
        // As shown: this is for people and their scripts, which the catalog's passwords are not.
        let locations: Vec<String> = root.archive.locations.iter().map(ToString::to_string).collect();
        object["root"] = json!({
            "locations": locations,
            "verified": sha256.is_some(),
            "sha256": sha256,
            "size": root.archive.size,
            "unpacked": root.archive.unpacked,
            "entries": root.archive.entries,
            "limit": root.limit,
            "memory": root.memory,
            "inits": root.inits,
            "init_args": root.init_args,
        });
    }
    object
}

/// The same as a person reads it.
pub(super) fn as_text(plan: &Plan) -> String {
    let mut out = format!("{}: {}\n  boot      {}\n", plan.id, plan.title, step(plan));
    let Step::SwitchRoot(root) = &plan.step else { return out };
    let archive = &root.archive;
    for (i, location) in archive.locations.iter().enumerate() {
        out += &format!("  {:<9} {location}\n", if i == 0 { "from" } else { "or from" });
    }
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".into(), text::bytes);
    out += &format!("  size      {}, unpacked {}\n", known(archive.size), known(archive.unpacked));
    out += &match &archive.trust {
        Trust::Sha256(digest) => format!("  verified  sha256 {digest}\n"),
        Trust::Unverified => "  verified  UNVERIFIED\n".to_owned(),
    };
    let available = text::bytes(root.memory.available);
    out += &match root.memory.needed {
        Some(needed) => format!("  memory    needs {}, {available} available\n", text::bytes(needed)),
        None => format!("  memory    memory need unknown, {available} available\n"),
    };
    out += &format!("  tmpfs     may grow to {}\n", text::bytes(root.limit));
    let init = root.inits.join(if root.init_named { " " } else { " or " });
    let args: String = root.init_args.iter().map(|a| format!(" {a}")).collect();
    out + &format!("  init      {init}{args}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::fetch::Location;
    use crate::machine::Machine;
    use crate::plan::plan;

    fn planned(text: &str) -> Plan {
        let base = Location::parse("http://a/catalog.toml").unwrap();
        let parsed = catalog::parse(text, &base, "catalog.toml");
        let machine = Machine { memory_total: 2 << 30, memory_available: 1 << 30, ..Machine::default() };
        plan(&parsed.catalog.unwrap().entries[0], &machine).unwrap()
    }

    const ENTRY: &str = "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'switch-root'\n\
        init = '/x'\ninit_args = ['y z']\n\
        root = { url = ['r.tar', 'http://b/r.tar'], unverified = true, size = 1048576 }\n";

    #[test]
    fn the_plan_is_printed_whole() {
        assert_eq!(
            as_text(&planned(ENTRY)),
            "a: A\n  boot      switch-root\n  from      http://a/r.tar\n  or from   http://b/r.tar\n  \
             size      1.0 MiB, unpacked unknown\n  verified  UNVERIFIED\n  \
             memory    memory need unknown, 1.0 GiB available\n  tmpfs     may grow to 1.6 GiB\n  \
             init      /x y z\n"
        );
    }

    #[test]
    fn no_plan_shows_a_password() {
        let plan = planned(&ENTRY.replace("http://b/", "http://ann:s3cret@b/"));
        for shown in [as_text(&plan), as_json(&plan).to_string()] {
            assert!(shown.contains("http://ann:***@b/r.tar") && !shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn json_says_the_same_in_bytes() {
        let json = as_json(&planned(ENTRY));
        assert_eq!((&json["id"], &json["boot"]), (&"a".into(), &"switch-root".into()));
        let root = &json["root"];
        assert_eq!(root["locations"][1], "http://b/r.tar");
        assert_eq!((&root["verified"], &root["sha256"]), (&false.into(), &serde_json::Value::Null));
        assert_eq!((&root["size"], &root["memory"]["available"]), (&1048576.into(), &(1u64 << 30).into()));
        assert_eq!(
            as_json(&planned("version = 1\n[[entry]]\nid='s'\ntitle='S'\nboot='shell'\n"))["boot"],
            "shell"
        );
    }
}
