//! Which key does what, screen by screen: one table each, from which the keys are acted on, the legend at the foot
//! of a screen is made, and the help is written. The bytes behind a key are the parser's.

mod parser;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::log::Level;
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
    /// The entry with this number.
    Number,
    /// Hide a group behind its heading, and show it.
    Fold,
    Unfold,
    Search,
    /// The next of what was found, and the one before.
    Next,
    Previous,
    /// Stay at the end.
    Follow,
    /// Lines of this weight.
    Level(Level),
    /// Boot the selected entry.
    Accept,
    Retry,
    /// Look where the way to the server ends.
    Test,
    /// Give an address by hand.
    Address,
    Menu,
    BuiltIn,
    Cancel,
    /// Take back what was typed.
    Clear,
    Shell,
    Network,
    Notices,
    /// All that is known of the selected entry.
    Details,
    /// Change the entry for one boot.
    Edit,
    /// The same from the next mirror.
    OtherMirror,
    Log,
    Reload,
    Reboot,
    /// How the machine is left.
    Power,
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

const EDIT_IT: Binding =
    bind("e", &[Char('e')], Command::Edit, "edit", "change the entry for this one boot, then boot it");

const POWER_IT: Binding = bind(
    "p",
    &[Char('p')],
    Command::Power,
    "power",
    "reboot, power off, the firmware's set-up and its boot entries",
);

/// The menu.
pub const MENU: &[Binding] = &[
    bind("Enter", &[Enter], Command::Accept, "boot", "boot the selected entry"),
    UP,
    DOWN,
    bind("0-9", &[], Command::Number, "", "select that entry; from 10 on both digits within a second"),
    SHELL,
    bind("/", &[Char('/')], Command::Search, "search", "show what has these letters; Esc shows all again"),
    EDIT_IT,
    bind("!", &[Char('!')], Command::Notices, "notices", "what is wrong with the catalog or its entries"),
    POWER_IT,
    bind("n", &[Char('n')], Command::Network, "network", "what each network card is doing"),
    LOG,
    bind("d", &[Char('d')], Command::Details, "details", "all that is known of the selected entry"),
    bind("Left, -", &[KeyCode::Left, Char('-')], Command::Fold, "", "hide the group behind its heading"),
    bind("Right, +", &[KeyCode::Right, Char('+')], Command::Unfold, "", "show what is behind a heading"),
    bind("c", &[Char('c')], Command::Reload, "", "read the catalog again"),
    bind("Esc", &[Esc], Command::Cancel, "", "stop the countdown"),
    PAGE_UP,
    PAGE_DOWN,
    FIRST,
    LAST,
    HELP,
    REPAINT,
];

/// Waiting for the network.
pub const NETWORK: &[Binding] = &[
    bind("Enter, r", &[Enter, Char('r')], Command::Retry, "ask again now", "do not wait for the next try"),
    bind("t", &[Char('t')], Command::Test, "test", "look where the way to the server ends"),
    bind("a", &[Char('a')], Command::Address, "address", "give an interface an address by hand"),
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

/// How the machine is left.
pub const POWER: &[Binding] = &[
    bind("Enter", &[Enter], Command::Accept, "do it", "do what is selected, at once"),
    UP,
    DOWN,
    bind("1-9", &[], Command::Number, "", "select that line"),
    FIRST,
    LAST,
    bind("Esc", &[Esc], Command::Cancel, "back", "leave the machine as it is"),
    HELP,
    REPAINT,
];

/// An entry is changed: every other key is a letter of it.
pub const EDIT: &[Binding] = &[
    bind("Enter", &[Enter], Command::Accept, "boot", "boot it as it stands here, this one time"),
    bind("Up", &[KeyCode::Up, KeyCode::BackTab], Command::Up, "", "to the line above"),
    bind("Down, Tab", &[KeyCode::Down, KeyCode::Tab], Command::Down, "next line", "to the line below"),
    bind("Left, Right", &[], Command::Number, "", "in the line; of the mirrors another one, as 1-9"),
    bind("Home, End", &[], Command::First, "", "to its beginning, to its end; Ctrl-A, Ctrl-E"),
    bind("Ctrl-W", &[], Command::Clear, "", "takes a word back; Ctrl-U all before, Ctrl-K all behind"),
    bind("Ctrl-R", &[], Command::Reload, "as before", "all as it was before anything was typed"),
    bind("Esc", &[Esc], Command::Cancel, "back", "change nothing, boot nothing"),
    bind("F1", &[F(1)], Command::Help, "help", "these keys"),
    REPAINT,
];

/// An address is typed.
pub const ADDRESS: &[Binding] = &[
    bind("Enter", &[Enter], Command::Accept, "set it", "make this interface the network, with this address"),
    bind("Up", &[KeyCode::Up, KeyCode::BackTab], Command::Up, "", "to the line above"),
    bind("Down, Tab", &[KeyCode::Down, KeyCode::Tab], Command::Down, "next line", "to the line below"),
    bind("Left, Right", &[], Command::Number, "", "another interface, as 1-9; in a line to and fro"),
    bind("Ctrl-U", &[], Command::Clear, "", "takes back all before the cursor, Ctrl-W a word"),
    bind("Esc", &[Esc], Command::Cancel, "back", "leave it as it is"),
    bind("F1", &[F(1)], Command::Help, "help", "these keys"),
    REPAINT,
];

/// Something failed.
pub const FAILURE: &[Binding] = &[
    bind("Enter, r", &[Enter, Char('r')], Command::Retry, "retry", "try the same again"),
    bind("m, Esc", &[Char('m'), Esc], Command::Menu, "menu", "back to the menu"),
    EDIT_IT,
    bind("o", &[Char('o')], Command::OtherMirror, "mirror", "try again from the next mirror"),
    SHELL,
    LOG,
    POWER_IT,
    bind("b", &[Char('b')], Command::Reboot, "reboot", "reboot (asks once)"),
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

/// The log, while it grows.
pub const LOG_VIEW: &[Binding] = &[
    bind("Esc, q", &[Esc, Char('q'), Char('l'), KeyCode::Backspace], Command::Cancel, "back", "back"),
    UP,
    DOWN,
    PAGE_UP,
    PAGE_DOWN,
    FIRST,
    LAST,
    bind("/", &[Char('/')], Command::Search, "find", "find a text, in either case"),
    bind("n", &[Char('n')], Command::Next, "next", "the next line that has it"),
    bind("N", &[Char('N')], Command::Previous, "", "the line before that has it"),
    bind("a", &[Char('a')], Command::Level(Level::All), "all", "all lines"),
    bind("w", &[Char('w')], Command::Level(Level::Warning), "warnings", "warnings and errors only"),
    bind("e", &[Char('e')], Command::Level(Level::Error), "errors", "errors only"),
    bind("f", &[Char('f')], Command::Follow, "follow", "stay at the end, or do not"),
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
        (Char('0'..='9'), false) => {
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
        for table in [MENU, NETWORK, LOADING, JOB, PASSPHRASE, EDIT, POWER, ADDRESS, FAILURE, PAGER, LOG_VIEW]
        {
            let mut seen: Vec<KeyCode> = Vec::new();
            for key in table.iter().flat_map(|b| b.keys) {
                assert!(!seen.contains(key), "{key:?}");
                seen.push(*key);
            }
        }
    }

    #[test]
    fn letters_of_the_menu_are_no_hotkeys_of_entries() {
        let own = MENU.iter().flat_map(|b| b.keys).filter_map(|key| match key {
            Char(letter) if letter.is_ascii_alphabetic() => Some(*letter),
            _ => None,
        });
        // `q` leaves a preview.
        assert!(own.chain(['q']).all(|letter| crate::catalog::TAKEN_KEYS.contains(letter)));
    }

    #[test]
    fn every_row_says_what_it_does() {
        for binding in
            [MENU, NETWORK, LOADING, JOB, PASSPHRASE, EDIT, POWER, ADDRESS, FAILURE, PAGER, LOG_VIEW]
                .iter()
                .flat_map(|t| t.iter())
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
