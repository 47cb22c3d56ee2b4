//! The part of an entry that runs a job: what runs, for how long, and what follows. Whether an entry that follows exists
//! is seen by `entries`.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::entry::{self, Defaults};
use super::problem::quoted;
use super::quantity;
use super::table::Table;
use super::{Action, Job, Root};
use crate::fetch::Location;

pub(super) const KEYS: &[&str] = &["command", "timeout", "on_success", "on_failure"];

/// How one is written.
const EXAMPLE: &str = "{ command = [\"/usr/sbin/flash\", \"--yes\"] }";

/// `run.timeout` when nobody says.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// An entry that another one names as what follows it.
pub(super) struct Named {
    /// `on_success` or `on_failure`.
    pub(super) key: &'static str,
    pub(super) id: String,
    pub(super) place: Range<usize>,
}

/// A root and the job in it, if all of it can be made out.
pub(super) fn read(
    table: &Table,
    base: &Location,
    defaults: &Defaults,
    named: &mut Vec<Named>,
) -> Option<Job> {
    let modules = entry::modules(table, base, defaults);
    let root = entry::required_root(table, base, defaults);
    if table.key("run").is_none() {
        table.lacks("run", &format!("write run = {EXAMPLE}"));
    }
    let run = table.table("run", "\"run\"", &format!("run = {EXAMPLE}"))?;
    run.only(KEYS, &[], &[]);
    let command = command(&run);
    let timeout = run.read("timeout", "\"30m\"", timeout).map_or(TIMEOUT, |(timeout, _)| timeout);
    let on_success = action(&run, "on_success", named).unwrap_or(Action::Menu);
    let on_failure = action(&run, "on_failure", named).unwrap_or(Action::Hold);
    // No init is started: what the defaults say of one is for others.
    let root = Root { modules: modules?, init: None, init_args: Vec::new(), ..root? };
    Some(Job { root, command: command?, timeout, on_success, on_failure })
}

fn command(run: &Table) -> Option<Vec<String>> {
    if run.key("command").is_none() {
        run.lacks("command", "write command = [\"/usr/sbin/flash\", \"--yes\"]");
    }
    let words = run.texts("command")?;
    let value = run.value("command")?;
    let Some(first) = value.get_ref().as_array().and_then(|items| items.first()) else {
        let hint = Some("name the program: command = [\"/usr/sbin/flash\"]".into());
        run.page.error(&value.span(), "the list \"command\" is empty", hint);
        return None;
    };
    // A first one that is no text is complained of already.
    let (program, place) = words.first().filter(|(_, place)| *place == Spanned::span(first))?;
    if !program.starts_with('/') {
        let message = format!("\"command\": {} is not an absolute path in the root", quoted(program));
        let hint = "no PATH is searched: write the whole path, such as \"/usr/sbin/flash\"";
        run.page.error(place, message, Some(hint.into()));
        return None;
    }
    Some(words.into_iter().map(|(word, _)| word.to_owned()).collect())
}

/// With no time at all every job has failed.
fn timeout(text: &str) -> Result<Duration, String> {
    match quantity::duration(text)? {
        Duration::ZERO => Err("leaves the job no time".into()),
        timeout => Ok(timeout),
    }
}

fn action(run: &Table, key: &'static str, named: &mut Vec<Named>) -> Option<Action> {
    let (word, place) = run.text(key)?;
    let action = Action::of(word);
    if let Action::Entry(id) = &action {
        named.push(Named { key, id: id.clone(), place });
    }
    Some(action)
}

impl Action {
    /// The action that a word is: what is none of the known ones is an entry's id.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "reboot" => Self::Reboot,
            "poweroff" => Self::PowerOff,
            "hold" => Self::Hold,
            "menu" => Self::Menu,
            id => Self::Entry(id.to_owned()),
        }
    }

    /// As a catalog writes it.
    pub fn word(&self) -> &str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
            Self::Hold => "hold",
            Self::Menu => "menu",
            Self::Entry(id) => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Boot, parse};
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn meant(run: &str) -> Job {
        let text = format!(
            "version = 1\n[defaults]\ninit = '/x'\ninit_args = ['y']\nroot_size = '50%'\n\
             [[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'run'\n\
             root = {{ url = 'r', sha256 = '{ABC}', unpacked = 1 }}\nrun = {{ {run} }}\n\
             [[entry]]\nid = 'b'\ntitle = 'B'\nboot = 'shell'\n"
        );
        let parsed = parse(&text, &Location::parse("http://a/c.toml").unwrap(), "c.toml");
        assert!(parsed.problems.is_empty(), "{}", parsed.render());
        match parsed.catalog.unwrap().entries.remove(0).boot {
            Boot::Run(job) => *job,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_absent_has_its_documented_meaning() {
        let job = meant("command = ['/flash', '--yes']");
        assert_eq!((job.command, job.timeout), (vec!["/flash".into(), "--yes".into()], TIMEOUT));
        assert_eq!((job.on_success, job.on_failure), (Action::Menu, Action::Hold));
    }

    #[test]
    fn a_job_takes_the_size_of_its_root_from_the_defaults_and_no_init() {
        let root = meant("command = ['/flash']").root;
        assert_eq!((root.size, root.init), (super::super::RootSize::Percent(50), None));
        assert!(root.init_args.is_empty());
    }

    #[test]
    fn an_end_is_a_word_or_an_entry() {
        let ends = |on_success: &str, on_failure: &str| {
            let text = "command = ['/flash'], timeout = '2h', on_success = 'S', on_failure = 'F'";
            let job = meant(&text.replace('S', on_success).replace('F', on_failure));
            assert_eq!(job.timeout.as_secs(), 7200);
            (job.on_success, job.on_failure)
        };
        assert_eq!(ends("reboot", "poweroff"), (Action::Reboot, Action::PowerOff));
        assert_eq!(ends("hold", "menu"), (Action::Hold, Action::Menu));
        for word in ["reboot", "poweroff", "hold", "menu", "b"] {
            assert_eq!(Action::of(word).word(), word);
        }
        assert_eq!(ends("b", "b"), (Action::Entry("b".into()), Action::Entry("b".into())));
    }
}
