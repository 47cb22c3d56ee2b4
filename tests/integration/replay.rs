//! What the log of a boot with `debug` says that happened, happens again: its events lead a screen to the picture and the answer
//! they led to. Logs are kept in tests/replay, as they were written, the first word of a file's name says of what.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bootjack::tui::menu::Menu;
use bootjack::tui::power::Power;
use bootjack::tui::{Consoles, Event, Look, Port, Screen};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::console::Terminal;
use crate::screens::{self, picture};

/// After so much time a key, or nothing more.
type Step = (Duration, Option<KeyEvent>);

/// The events of the first screen in a log.
fn steps(log: &str) -> Vec<Step> {
    let events = log.lines().filter_map(|line| Some(line.split_once("event: ")?.1));
    let mut events = events.skip_while(|event| !event.ends_with(" begins")).skip(1);
    let mut steps = Vec::new();
    for event in events.by_ref().take_while(|event| !event.ends_with(" begins")) {
        let (time, what) = event.split_once(" s, ").unwrap_or_else(|| panic!("no time in {event:?}"));
        let (seconds, nanos) = time.split_once('.').unwrap_or_else(|| panic!("no time: {event:?}"));
        let time = Duration::new(seconds.parse().unwrap(), nanos.parse().unwrap());
        assert_eq!(nanos.len(), 9, "{event:?}");
        steps.push((time, what.rsplit_once(" on ").map(|(name, _)| key(name))));
    }
    steps
}

/// A key by its name in the log.
fn key(name: &str) -> KeyEvent {
    let (name, modifiers) = match name.strip_prefix("Ctrl-") {
        Some(rest) => (rest.to_lowercase(), KeyModifiers::CONTROL),
        None => (name.to_owned(), KeyModifiers::NONE),
    };
    let letters: Vec<char> = name.chars().collect();
    let code = match (&*name, &*letters) {
        (_, [c]) => KeyCode::Char(*c),
        ("Space", _) => KeyCode::Char(' '),
        ("Up", _) => KeyCode::Up,
        ("Down", _) => KeyCode::Down,
        ("Left", _) => KeyCode::Left,
        ("Right", _) => KeyCode::Right,
        ("Enter", _) => KeyCode::Enter,
        ("Esc", _) => KeyCode::Esc,
        ("Home", _) => KeyCode::Home,
        ("End", _) => KeyCode::End,
        ("PageUp", _) => KeyCode::PageUp,
        ("PageDown", _) => KeyCode::PageDown,
        ("F1", _) => KeyCode::F(1),
        _ => panic!("{name:?} cannot be pressed again: what was typed into a field is not in a log"),
    };
    KeyEvent::new(code, modifiers)
}

/// Lets it happen again; the answer, as soon as there is one.
fn replay<S: Screen>(screen: &mut S, steps: &[Step]) -> Option<S::Answer> {
    let begun = [Event::Tick(Duration::ZERO)];
    let events = steps.iter().flat_map(|(passed, key)| [Some(Event::Tick(*passed)), key.map(Event::Key)]);
    begun.into_iter().chain(events.flatten()).find_map(|event| screen.on(event))
}

#[test]
fn a_kept_log_leads_to_its_picture_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 2, "{files:?}");
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let steps = steps(&std::fs::read_to_string(&file).unwrap());
        assert!(!steps.is_empty(), "{name}");
        let shown = match name.split('-').next().unwrap() {
            "menu" => shown(&mut Menu::new(screens::model()), &steps),
            "groups" => shown(&mut Menu::new(screens::many(&["Systems / Rocky"])), &steps),
            "power" => shown(&mut Power::new(None, Duration::from_secs(300), vec!["node7".into()]), &steps),
            other => panic!("{other} is no screen that is replayed"),
        };
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("replay-{name}"), shown);
        });
    }
}

fn shown<S: Screen<Answer: std::fmt::Debug>>(screen: &mut S, steps: &[Step]) -> String {
    let answer = replay(screen, steps);
    format!("{}\n{answer:?}", picture(screen, &Look::MONO, 80, 24))
}

/// The events of all consoles of this process.
struct Log(Mutex<Vec<String>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target() == "bootjack::tui::events"
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// A terminal, and how many events there were before it: its number may have been another's.
struct Watched {
    t: Terminal,
    from: usize,
}

impl Watched {
    fn new() -> Self {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            log::set_logger(&LOG).unwrap();
            log::set_max_level(log::LevelFilter::Debug);
        });
        let t = Terminal::new(80, 24);
        let from = LOG.0.lock().unwrap().len();
        Self { t, from }
    }

    fn open(&self) -> Consoles {
        Consoles::open(&[Port::from(self.t.slave.clone())], false).0
    }

    fn log(&self) -> String {
        logged(&self.t, self.from)
    }
}

fn logged(terminal: &Terminal, from: usize) -> String {
    let of = format!(" on {}", terminal.slave.display());
    let all = LOG.0.lock().unwrap();
    let lines: Vec<&str> =
        all[from..].iter().map(String::as_str).filter(|line| line.ends_with(&of)).collect();
    format!("event: Menu begins\n{}\n", lines.join("\n"))
}

#[test]
fn what_the_log_says_is_what_a_terminal_showed() {
    let mut watched = Watched::new();
    let menu = || Menu::new(screens::many(&["Systems / Rocky"]));
    let asked = crate::console::ask(menu(), watched.open());
    let (t, from) = (&mut watched.t, watched.from);
    t.expect("Choose an entry");
    let wait = |t: &mut Terminal, time: u64| {
        let began = Instant::now();
        t.until("some time", |_| began.elapsed() >= Duration::from_millis(time));
    };
    // 12; a group opened; and 1, with 2 too late for 12.
    t.press("12\x1b[B+j\x0c");
    wait(t, 1600);
    t.press("1");
    wait(t, 1600);
    t.press("2");
    // Which means nothing here.
    t.press("Z");
    t.until("all keys", |t| logged(t, from).contains(", Z on "));
    t.settle();
    let shown: Vec<String> = t.screen.screen().rows(0, 80).map(|row| row.trim_end().to_owned()).collect();
    let log = logged(t, from);
    println!("{log}");
    let mut again = menu();
    assert_eq!(replay(&mut again, &steps(&log)), None);
    assert_eq!(picture(&again, &Look::ASCII, 80, 24), shown.join("\n"), "{log}");
    t.press("\r");
    t.until("answer", |_| asked.is_finished());
    let (answered, _) = asked.join().unwrap();
    assert_eq!(replay(&mut menu(), &steps(&logged(t, from))), Some(answered.answer));
}

#[test]
fn what_is_typed_into_a_field_is_not_in_the_log() {
    let mut watched = Watched::new();
    let asked = crate::console::ask(Menu::new(crate::console::waiting()), watched.open());
    let t = &mut watched.t;
    t.expect("Choose an entry");
    t.press("/sesame");
    t.expect("/sesame_");
    t.press("\x7fx");
    t.expect("/sesamx_");
    t.press("\x1b");
    t.expect("Choose an entry");
    t.press("s");
    t.until("answer", |_| asked.is_finished());
    let log = watched.log();
    let names: Vec<&str> =
        log.lines().skip(1).map(|l| l.split_once(" s, ").unwrap().1.split(" on ").next().unwrap()).collect();
    assert_eq!(names, ["/", "a text", "Esc", "s"], "{log}");
}
