//! Which key does what, screen by screen: one table each, from which the keys are acted on, the legend at the foot
//! of a screen is made, and the help is written. The bytes behind a key are the parser's.

mod parser;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub use parser::{Input, Parser};

/// What a key asks for; a screen says what it means there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    /// Entry 1 to 9.
    Number,
    /// Boot the selected entry.
    Accept,
    Retry,
    Menu,
    BuiltIn,
    Cancel,
    /// Take back what was typed.
    Clear,
    Shell,
    Network,
    Notices,
    Log,
    Reload,
    Reboot,
    PowerOff,
    /// End the job.
    Stop,
    Help,
    Repaint,
}

/// One row of a table.
#[derive(Debug)]
pub struct Binding {
    /// As written in the legend and in the help.
    pub name: &'static str,
    keys: &'static [KeyCode],
    pub command: Command,
    /// Its word in the legend; empty: only in the help.
    pub short: &'static str,
    /// Its line in the help.
    pub does: &'static str,
}

const fn bind(
    name: &'static str,
    keys: &'static [KeyCode],
    command: Command,
    short: &'static str,
    does: &'static str,
) -> Binding {
    Binding { name, keys, command, short, does }
}

use KeyCode::{Char, Enter, Esc, F};

const UP: Binding = bind("Up, k", &[KeyCode::Up, Char('k')], Command::Up, "", "one line up");
const DOWN: Binding = bind("Down, j", &[KeyCode::Down, Char('j')], Command::Down, "", "one line down");
const PAGE_UP: Binding = bind("PgUp", &[KeyCode::PageUp], Command::PageUp, "", "one page up");
const PAGE_DOWN: Binding =
    bind("PgDn", &[KeyCode::PageDown, Char(' ')], Command::PageDown, "", "one page down");
const FIRST: Binding = bind("Home, g", &[KeyCode::Home, Char('g')], Command::First, "", "to the first line");
const LAST: Binding = bind("End, G", &[KeyCode::End, Char('G')], Command::Last, "", "to the last line");
const HELP: Binding = bind("?", &[Char('?'), Char('h'), F(1)], Command::Help, "help", "these keys");
const REPAINT: Binding =
    bind("Ctrl-L", &[], Command::Repaint, "", "paint the whole screen again, on this console");
const LOG: Binding = bind("l", &[Char('l')], Command::Log, "log", "what has happened so far");
const SHELL: Binding =
    bind("s", &[Char('s')], Command::Shell, "shell", "a shell; leaving it comes back here");

/// The menu.
pub const MENU: &[Binding] = &[
    bind("Enter", &[Enter], Command::Accept, "boot", "boot the selected entry"),
    UP,
    DOWN,
    bind("1-9", &[], Command::Number, "", "select that entry"),
    PAGE_UP,
    PAGE_DOWN,
    FIRST,
    LAST,
    bind("Esc", &[Esc], Command::Cancel, "", "stop the countdown"),
    SHELL,
    bind("!", &[Char('!')], Command::Notices, "notices", "what is wrong with the catalog or its entries"),
    bind("n", &[Char('n')], Command::Network, "network", "what each network card is doing"),
    LOG,
    bind("c", &[Char('c')], Command::Reload, "", "read the catalog again"),
    bind("r", &[Char('r')], Command::Reboot, "reboot", "reboot (asks once)"),
    bind("p", &[Char('p')], Command::PowerOff, "power off", "power off (asks once)"),
    HELP,
    REPAINT,
];

/// Waiting for the network.
pub const NETWORK: &[Binding] = &[
    bind("Enter, r", &[Enter, Char('r')], Command::Retry, "ask again now", "do not wait for the next try"),
    bind("b", &[Char('b')], Command::BuiltIn, "built-in catalog", "go on with the catalog in the initrd"),
    SHELL,
    bind("Esc", &[Esc], Command::Cancel, "back", "back to the menu"),
    LOG,
    UP,
    DOWN,
    HELP,
    REPAINT,
];

/// Loading an entry.
pub const LOADING: &[Binding] =
    &[bind("Esc", &[Esc], Command::Cancel, "cancel", "stop, and go back to the menu"), HELP, LOG, REPAINT];

/// A job runs: nothing ends it by accident.
pub const JOB: &[Binding] =
    &[bind("x", &[Char('x')], Command::Stop, "end the job", "end the job (asks once)"), HELP, LOG, REPAINT];

/// A passphrase is typed: every other key is a letter of it.
pub const PASSPHRASE: &[Binding] = &[
    bind("Enter", &[Enter], Command::Accept, "open", "try what was typed"),
    bind("Ctrl-U", &[], Command::Clear, "clear", "take back all of it"),
    bind("Esc", &[Esc], Command::Cancel, "leave", "do not open it"),
    REPAINT,
];

/// Something failed.
pub const FAILURE: &[Binding] = &[
    bind("Enter, r", &[Enter, Char('r')], Command::Retry, "retry", "try the same again"),
    bind("m, Esc", &[Char('m'), Esc], Command::Menu, "menu", "back to the menu"),
    SHELL,
    LOG,
    bind("b", &[Char('b')], Command::Reboot, "reboot", "reboot (asks once)"),
    bind("p", &[Char('p')], Command::PowerOff, "power off", "power off (asks once)"),
    UP,
    DOWN,
    PAGE_UP,
    PAGE_DOWN,
    FIRST,
    LAST,
    HELP,
    REPAINT,
];

/// A text to read: help, notices, log.
pub const PAGER: &[Binding] = &[
    bind(
        "Esc, q, Enter",
        &[Esc, Char('q'), Enter, Char('?'), Char('!'), KeyCode::Backspace],
        Command::Cancel,
        "back",
        "back",
    ),
    bind("Up, k", &[KeyCode::Up, Char('k')], Command::Up, "up", "one line up"),
    bind("Down, j", &[KeyCode::Down, Char('j')], Command::Down, "down", "one line down"),
    PAGE_UP,
    PAGE_DOWN,
    FIRST,
    LAST,
    REPAINT,
];

/// What a key means by a table.
pub fn command(table: &[Binding], key: KeyEvent) -> Option<Command> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let wanted = match (key.code, control) {
        (Char('l'), true) => return Some(Command::Repaint),
        // Emacs and less: what a hand does without looking.
        (Char('n'), true) => KeyCode::Down,
        (Char('p'), true) => KeyCode::Up,
        (Char('f'), true) => KeyCode::PageDown,
        (Char('b'), true) => KeyCode::PageUp,
        (Char(_), true) => return None,
        (Char('1'..='9'), false) => {
            return table.iter().any(|b| b.command == Command::Number).then_some(Command::Number);
        }
        (code, _) => code,
    };
    table.iter().find(|b| b.keys.contains(&wanted)).map(|b| b.command)
}

/// Whether this key leaves a program on a workstation: q, or Ctrl-C, which raw mode makes an ordinary key.
pub fn leaves(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    matches!((key.code, control), (Char('q'), false) | (Char('c'), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn no_key_means_two_things_on_one_screen() {
        for table in [MENU, NETWORK, LOADING, JOB, PASSPHRASE, FAILURE, PAGER] {
            let mut seen: Vec<KeyCode> = Vec::new();
            for key in table.iter().flat_map(|b| b.keys) {
                assert!(!seen.contains(key), "{key:?}");
                seen.push(*key);
            }
        }
    }

    #[test]
    fn every_row_says_what_it_does() {
        for binding in [MENU, NETWORK, LOADING, JOB, PASSPHRASE, FAILURE, PAGER].iter().flat_map(|t| t.iter())
        {
            assert!(!binding.does.is_empty() && !binding.name.is_empty());
            assert!(binding.does.is_ascii() && binding.name.is_ascii());
        }
    }

    #[test]
    fn keys_are_found_by_their_table() {
        assert_eq!(command(MENU, press(Enter)), Some(Command::Accept));
        assert_eq!(command(MENU, press(Char('3'))), Some(Command::Number));
        assert_eq!(command(FAILURE, press(Char('3'))), None);
        assert_eq!(command(FAILURE, press(Char('r'))), Some(Command::Retry));
        assert_eq!(command(LOADING, press(Char('r'))), None);
        let ctrl = |c| KeyEvent::new(Char(c), KeyModifiers::CONTROL);
        assert_eq!(command(MENU, ctrl('l')), Some(Command::Repaint));
        assert_eq!(command(MENU, ctrl('r')), None, "Ctrl-R is not r");
        assert!(leaves(ctrl('c')) && leaves(press(Char('q'))) && !leaves(press(Char('c'))));
    }
}
