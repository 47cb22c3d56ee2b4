//! `bootjack menu`: the menu of a catalog in this terminal; then the plan of what would be booted, and nothing
//! boots. What the menu looks like and means is `tui`'s.

mod pretended;
mod shown;

use std::process::ExitCode;

use super::ca::CaArgs;
use super::catalog_file::CatalogFile;
use super::output;
use crate::catalog::Parsed;
use crate::load::{Failure, Phase};
use crate::machine::Machine;
use crate::plan::{plan, verdict};
use crate::tui::Consoles;
use crate::tui::menu::{Menu, MenuAnswer, MenuModel};
use pretended::PretendArgs;

/// Show the menu of a catalog in this terminal, then print the plan of what would be booted; boots nothing
#[derive(clap::Args)]
#[command(after_help = "Example: bootjack menu --memory 2g --arch x86_64 menus/example.toml\n\n\
    Keys: Enter chooses, q leaves, ? shows all. Exit status: 0 chosen, 1 left without choosing.")]
pub struct MenuArgs {
    /// The catalog: a file or an http(s) URL
    #[arg(value_name = "CATALOG")]
    pub catalog: String,
    /// Print the plan as one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub pretend: PretendArgs,
    #[command(flatten)]
    pub ca: CaArgs,
}

/// Asks, and prints the plan.
///
/// # Errors
/// [`Failure`] if the catalog cannot be read, there is no terminal, or this machine cannot boot what was chosen.
pub fn run(args: &MenuArgs) -> Result<ExitCode, Failure> {
    let mut parsed = CatalogFile::read(&args.catalog, &args.ca.fetcher()?)?.parsed();
    let pretend = &args.pretend;
    let machine = pretend.machine(elsewhere(Machine::probe()));
    if let Some(catalog) = &mut parsed.catalog {
        catalog.order_mirrors(pretend.number(&machine));
    }
    let model = MenuModel::of(&parsed, &machine).ok_or_else(|| refused(&parsed))?;
    let mut menu = Menu::new(MenuModel {
        header: pretend.facts(&machine),
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
    let outcome = plan(entry, &machine);
    let checks = verdict(entry, &outcome, &machine);
    let plan = outcome.map_err(|refusal| Failure {
        hint: refusal.hint,
        ..Failure::because(Phase::Plan, &entry.title, refusal.cause)
    })?;
    let printed = match args.json {
        true => {
            let mut object = shown::as_json(&plan, &checks);
            object["machine"] = pretend.as_json(&machine);
            format!("{object}\n")
        }
        false => pretend.as_text(&machine) + &shown::as_text(&plan) + &shown::checks_as_text(&checks),
    };
    output::print(Phase::Menu, &printed)?;
    Ok(ExitCode::SUCCESS)
}

/// What is previewed here boots on another machine: whether this kernel loads another one, how it was started, which keys
/// and which devices there are here, says nothing of that.
fn elsewhere(machine: Machine) -> Machine {
    let nothing = Machine::default();
    Machine {
        no_kexec: None,
        has_keys: false,
        lockdown: None,
        secure_boot: None,
        devices: None,
        cmdline: nothing.cmdline,
        ..machine
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::fetch::Location;

    #[test]
    fn a_preview_asks_nothing_of_this_kernel() {
        let text = "version = 1\n[[entry]]\nid = 'k'\ntitle = 'K'\nboot = 'kexec'\n\
            kernel = { url = 'vmlinuz', unverified = true }\n";
        let parsed = catalog::parse(text, &Location::parse("http://a/c.toml").unwrap(), "c.toml");
        let entry = &parsed.catalog.unwrap().entries[0];
        let no_kexec = Some("it is a workstation".into());
        let memory = 1 << 30;
        let here = Machine { no_kexec, memory_total: memory, memory_available: memory, ..Machine::default() };
        let refusal = plan(entry, &here).unwrap_err();
        assert_eq!(refusal.cause, "this machine cannot kexec: it is a workstation");
        plan(entry, &elsewhere(here)).unwrap();
    }

    #[test]
    fn a_catalog_that_is_refused_as_a_whole_says_where_and_what_helps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "version = 2\n").unwrap();
        let args = MenuArgs {
            catalog: path.to_str().unwrap().into(),
            json: false,
            pretend: PretendArgs::default(),
            ca: CaArgs::default(),
        };
        let failure = run(&args).unwrap_err();
        assert!(failure.to_string().contains("c.toml: 1:"), "{failure}");
        assert!(failure.hint.unwrap().starts_with("`bootjack check "));
    }
}
