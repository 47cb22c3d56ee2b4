//! The login shell of a machine that boots: whoever comes by ssh gets its screens, or the answer to one word, and never a
//! command of his own. A shell is what the screens give, where they do.

use std::fs;
use std::process::ExitCode;

use super::output;
use crate::early::LOG_FILE;
use crate::load::{Failure, Phase};

/// Under this name the server calls, with a dash in front for a login.
pub const NAME: &str = "bootjack-login";

/// What somebody wants who came.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// The words of `bootjack`.
    Command(Vec<String>),
    Log,
}

/// What the words after the name come to: none, or `-c` and what was asked for (`ssh MACHINE WORDS`, sshd(8)).
///
/// # Errors
/// Anything but these.
pub fn wish(words: &[String]) -> Result<Wish, Failure> {
    let asked = match words {
        [] => "attach",
        [flag, asked] if flag == "-c" => asked.trim(),
        _ => return Err(unknown(&words.join(" "))),
    };
    let command = |words: &[&str]| Wish::Command(words.iter().map(ToString::to_string).collect());
    match asked.split_whitespace().collect::<Vec<_>>()[..] {
        [] | ["attach"] => Ok(command(&["attach"])),
        ["status"] => Ok(command(&["attach", "--once"])),
        ["status", size] => Ok(command(&["attach", "--once", "--size", size])),
        ["log"] => Ok(Wish::Log),
        _ => Err(unknown(asked)),
    }
}

fn unknown(asked: &str) -> Failure {
    Failure::because(Phase::Worker, "ssh", format!("{asked:?} is nothing that is done here"))
        .hint("no word shows the screens (ssh -t); status [COLUMNSxROWS] prints the screen, log the log")
}

/// Prints the log.
///
/// # Errors
/// It cannot be read, or nobody reads it.
pub fn log() -> Result<ExitCode, Failure> {
    let text = fs::read(LOG_FILE).map_err(|e| Failure::new(Phase::Worker, LOG_FILE, e))?;
    output::print(Phase::Worker, &String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(words: &[&str]) -> Result<Wish, Failure> {
        wish(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn who_logs_in_gets_the_screens_and_who_asks_the_answer() {
        let command = |words: &[&str]| Wish::Command(words.iter().map(ToString::to_string).collect());
        assert_eq!(wished(&[]).unwrap(), command(&["attach"]));
        assert_eq!(wished(&["-c", " attach "]).unwrap(), command(&["attach"]));
        assert_eq!(wished(&["-c", "status"]).unwrap(), command(&["attach", "--once"]));
        assert_eq!(
            wished(&["-c", "status 100x30"]).unwrap(),
            command(&["attach", "--once", "--size", "100x30"])
        );
        assert_eq!(wished(&["-c", "log"]).unwrap(), Wish::Log);
    }

    #[test]
    fn nobody_brings_a_command_of_his_own() {
        for words in [
            &["-c", "sh"][..],
            &["-c", "status; sh"],
            &["-c", "scp -t /etc"],
            &["-c", "attach --socket /tmp/s"],
            &["-c", "status --socket /tmp/s"],
            &["-c"],
            &["sh"],
            &["-c", "log", "sh"],
        ] {
            let refused = wished(words).unwrap_err();
            assert!(refused.to_string().ends_with("is nothing that is done here"), "{words:?}: {refused}");
        }
    }
}
