//! The real program on a terminal of every kind that one meets, as TERM names it: the same picture on each, colours where
//! there are some and nobody minds, and not a sequence that a terminal of 1978 would show instead of obeying.

use std::path::Path;
use std::process::{Child, Command};

use rustix::termios::{Winsize, tcsetwinsize};
use vt100::Color;

use crate::console::Terminal;

/// TERM, and whether such a terminal has colours. What is said to a `dumb` one is no picture: below.
const KINDS: [(&str, bool); 4] = [("linux", true), ("xterm", true), ("vt220", false), ("vt100", false)];

/// Entries that are the same on every machine, of every kind of look.
const CATALOG: &str = r#"version = 1
[menu]
title = "Terminals"
[[entry]]
id = "shell"
title = "A shell"
help = "busybox, before anything is booted."
group = "This machine"
boot = "shell"
[[entry]]
id = "wrong"
title = "What nobody can boot"
group = "This machine"
boot = "switch-root"
[[entry]]
id = "off"
title = "Power off"
boot = "poweroff"
"#;

/// What is seen of a cell besides its colour.
type Cell = (String, bool, bool, bool);

struct Seen {
    cells: Vec<Cell>,
    /// What stands there in a colour of its own.
    coloured: Vec<(String, Color)>,
    bytes: Vec<u8>,
}

/// `bootjack menu catalog.toml` with this terminal as its own.
fn start(terminal: &Terminal, directory: &Path, environment: &[(&str, &str)]) -> Child {
    let end = || terminal.line.try_clone().unwrap();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_bootjack"), "menu", "catalog.toml"]);
    command.current_dir(directory);
    command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C")]).envs(environment.iter().copied());
    command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid of util-linux")
}

/// The menu with its second entry selected, at 80x24; the tty says so itself, or has to ask.
fn seen(environment: &[(&str, &str)], says_its_size: bool) -> Seen {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("catalog.toml"), CATALOG).unwrap();
    let mut t = Terminal::new(80, 24);
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    if says_its_size {
        tcsetwinsize(&t.line, size).unwrap();
    }
    let mut child = start(&t, dir.path(), environment);
    t.expect("q quit");
    t.press("\x1b[B");
    t.expect(" >   2  ");
    t.settle();
    let screen = t.screen.screen();
    let cells = (0..24).flat_map(|y| (0..80).map(move |x| screen.cell(y, x).unwrap()));
    let (mut plain, mut coloured) = (Vec::new(), Vec::<(String, Color)>::new());
    for cell in cells {
        assert_eq!(cell.bgcolor(), Color::Default, "{environment:?}: {:?}", cell.contents());
        let text = if cell.has_contents() { cell.contents() } else { " " }.to_owned();
        match coloured.last_mut().filter(|run| run.1 == cell.fgcolor()) {
            Some(run) => run.0 += &text,
            None => coloured.push((text.clone(), cell.fgcolor())),
        }
        plain.push((text, cell.bold(), cell.inverse(), cell.underline()));
    }
    coloured.retain(|run| run.1 != Color::Default);
    coloured.iter_mut().for_each(|run| run.0 = run.0.trim().to_owned());
    let bytes = t.bytes.clone();
    t.press("q");
    t.until("its end", |_| child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(1), "left without choosing");
    t.settle();
    assert!(!t.screen.screen().hide_cursor(), "given back");
    Seen { cells: plain, coloured, bytes }
}

/// The parameters and the last character of each control sequence.
fn sequences(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let sequence = |rest: &str| {
        // The two without a last letter keep and restore the cursor.
        if rest.starts_with(['7', '8']) {
            return rest[..1].to_owned();
        }
        let last = |c: char| !c.is_ascii_digit() && !matches!(c, '[' | ';' | '?' | '(');
        rest[..=rest.find(last).expect("an end")].to_owned()
    };
    text.split('\x1b').skip(1).map(sequence).collect()
}

/// ECMA-48 as far as a VT100 has it, and the private modes that its kind passes over where it has them not.
fn is_known_everywhere(sequence: &str) -> bool {
    let modes = ["[?7l", "[?6l", "[?25l", "[?2004h", "(B", "7", "8", "[r", "[2J", "[6n"];
    let place = sequence.starts_with('[') && sequence.ends_with(['H', 'C', 'm']);
    place || modes.contains(&sequence)
}

#[test]
fn every_kind_of_terminal_shows_the_same_with_its_size_told_or_asked_for() {
    let mut first: Option<Vec<Cell>> = None;
    for (term, has_colours) in KINDS {
        for says_its_size in [true, false] {
            let seen = seen(&[("TERM", term)], says_its_size);
            let first = first.get_or_insert_with(|| seen.cells.clone());
            assert!(*first == seen.cells, "{term}, its size told: {says_its_size}");
            assert!(seen.coloured.is_empty() != has_colours, "{term}: {:?}", seen.coloured);
            let (label, warn, bad) = (Color::Idx(6), Color::Idx(3), Color::Idx(1));
            for (text, colour) in &seen.coloured {
                // What has a colour is a label or a rule, or says in words what is wrong.
                let meant = match text.as_str() {
                    "This machine" | "Refused: wrong in the catalog" | "does" => label,
                    "refused" => bad,
                    notice if notice.starts_with("! catalog.toml:10:1: the entry lacks") => warn,
                    rule if rule.bytes().all(|b| b == b'-') => label,
                    other => panic!("{term}: {other:?} has a colour"),
                };
                assert_eq!(*colour, meant, "{term}: {text:?}");
            }
            let unknown: Vec<_> =
                sequences(&seen.bytes).into_iter().filter(|s| !is_known_everywhere(s)).collect();
            assert_eq!(unknown, Vec::<String>::new(), "{term}");
            let size_asked = seen.bytes.windows(4).any(|w| w == b"\x1b[6n");
            assert_eq!(size_asked, !says_its_size, "{term}");
            let (bold, inverse) = (seen.cells.iter().filter(|c| c.1), seen.cells.iter().filter(|c| c.2));
            assert!(
                bold.count() > 10 && inverse.count() == 78,
                "{term}: what is selected is seen without colours"
            );
        }
    }
}

#[test]
fn whoever_wants_no_colours_gets_none() {
    let with = seen(&[("TERM", "xterm"), ("NO_COLOR", "")], true);
    assert!(!with.coloured.is_empty(), "no-color.org: present and not an empty string");
    let without = seen(&[("TERM", "xterm"), ("NO_COLOR", "1")], true);
    assert_eq!(without.coloured, []);
    assert!(without.cells == with.cells, "nothing else is different");
    let colours = |s: &String| s.ends_with('m') && s.split([';', '[', 'm']).any(|n| n.len() == 2);
    assert_eq!(sequences(&without.bytes).iter().find(|s| colours(s)), None);
    assert!(sequences(&with.bytes).iter().any(colours));
}

#[test]
fn a_dumb_terminal_gets_lines_and_no_sequence_at_all() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("catalog.toml"), CATALOG).unwrap();
    let mut t = Terminal::new(80, 24);
    let mut child = start(&t, dir.path(), &[("TERM", "dumb")]);
    let text = |t: &Terminal| String::from_utf8(t.bytes.clone()).unwrap();
    t.until("the keys", |t| text(t).contains("Keys: "));
    assert!(text(&t).contains("\r\n> * 1  A shell"), "{}", text(&t));
    t.press("2");
    t.until("the second", |t| text(t).contains(">   2  Power off"));
    t.press("\r");
    t.until("its end", |_| child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0), "chosen");
    t.settle();
    assert!(!t.bytes.contains(&0x1b) && t.bytes.is_ascii(), "{}", text(&t));
    // What was chosen, as ever.
    assert!(text(&t).contains("poweroff") || text(&t).contains("Power off"), "{}", text(&t));
}
