//! `bootjack menu`: the menu of a catalog in this terminal; then the plan of what would be booted, and nothing
//! boots. What the menu looks like and means is `tui`'s.

use std::process::ExitCode;

use serde_json::json;

use super::ca::CaArgs;
use super::catalog_file::CatalogFile;
use super::output;
use crate::catalog::Parsed;
use crate::load::{Failure, Phase};
use crate::machine::Machine;
use crate::plan::{Plan, Step, plan};
use crate::tui::menu::{Menu, MenuAnswer, MenuModel};
use crate::tui::{Consoles, text};
use crate::verify::Trust;

/// Show the menu of a catalog in this terminal, then print the plan of what would be booted; boots nothing
#[derive(clap::Args)]
#[command(after_help = "Example: bootjack menu menus/example.toml\n\n\
    Keys: Enter chooses, q leaves, ? shows all. Exit status: 0 chosen, 1 left without choosing.")]
pub struct MenuArgs {
    /// The catalog: a file or an http(s) URL
    #[arg(value_name = "CATALOG")]
    pub catalog: String,
    /// Print the plan as one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub ca: CaArgs,
}

/// Asks, and prints the plan.
///
/// # Errors
/// [`Failure`] if the catalog cannot be read, there is no terminal, or this machine cannot boot what was chosen.
pub fn run(args: &MenuArgs) -> Result<ExitCode, Failure> {
    let parsed = CatalogFile::read(&args.catalog, &args.ca.fetcher()?)?.parsed();
    let machine = Machine::probe();
    let model = MenuModel::of(&parsed, &machine).ok_or_else(|| refused(&parsed))?;
    let mut menu = Menu::new(MenuModel {
        header: vec![machine.arch.clone(), format!("{} of memory", text::bytes(machine.memory_total))],
        source: format!("catalog {}; a preview: nothing boots", parsed.origin),
        preview: true,
        ..model
    });
    let answer = {
        let mut consoles = Consoles::stdio()
            .map_err(|e| Failure::new(Phase::Menu, "/dev/tty", e).hint("the menu needs a terminal"))?;
        consoles.ask(&mut menu, &mut |_| None).answer
    };
    let (MenuAnswer::Boot(index), Some(catalog)) = (answer, &parsed.catalog) else {
        return Ok(ExitCode::FAILURE);
    };
    let entry = &catalog.entries[index];
    let plan = plan(entry, &machine).map_err(|refusal| Failure {
        hint: refusal.hint,
        ..Failure::because(Phase::Plan, &entry.title, refusal.cause)
    })?;
    let shown = if args.json { format!("{}\n", as_json(&plan)) } else { as_text(&plan) };
    output::print(Phase::Menu, &shown)?;
    Ok(ExitCode::SUCCESS)
}

/// The first complaint; `check` says all.
fn refused(parsed: &Parsed) -> Failure {
    let cause = parsed.problems.first().map_or_else(
        || "refused as a whole".to_owned(),
        |p| format!("{}:{}: {}", p.line, p.column, p.message),
    );
    Failure::because(Phase::Catalog, &parsed.origin, cause)
        .hint(format!("`bootjack check {}` shows all of it", parsed.origin))
}

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
fn as_json(plan: &Plan) -> serde_json::Value {
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
fn as_text(plan: &Plan) -> String {
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

    #[test]
    fn a_catalog_that_is_refused_as_a_whole_says_where_and_what_helps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "version = 2\n").unwrap();
        let args = MenuArgs { catalog: path.to_str().unwrap().into(), json: false, ca: CaArgs::default() };
        let failure = run(&args).unwrap_err();
        assert!(failure.to_string().contains("c.toml: 1:"), "{failure}");
        assert!(failure.hint.unwrap().starts_with("`bootjack check "));
    }
}
