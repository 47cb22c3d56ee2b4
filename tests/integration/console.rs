//! Consoles on real ttys, read back by a terminal emulator that plays the other end: it answers the question for its
//! size, delivers keys a byte at a time, stalls, hangs up. No part of the picture is taken from the program itself.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bootjack::load::Report;
use bootjack::tui::menu::{Menu, MenuAnswer, MenuModel};
use bootjack::tui::{Answered, Consoles, Look, Port};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcgetwinsize, tcsetwinsize};

use crate::screens;

const PATIENCE: Duration = Duration::from_secs(20);

/// The other end of a tty: a person with a terminal.
pub struct Terminal {
    master: File,
    pub slave: PathBuf,
    /// Open so that the line does not hang up between two users of it.
    pub line: File,
    pub screen: vt100::Parser,
    pub bytes: Vec<u8>,
    /// Answers the question for its size.
    answers: bool,
}

fn emulator(columns: u16, rows: u16) -> vt100::Parser {
    vt100::Parser::new(NonZero::new(rows).unwrap(), NonZero::new(columns).unwrap(), 0)
}

impl Terminal {
    pub fn new(columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let line = File::options().read(true).write(true).open(&slave).unwrap();
        let none = Winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&line, none).unwrap();
        let screen = emulator(columns, rows);
        Self { master: File::from(master), slave, line, screen, bytes: Vec::new(), answers: true }
    }

    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Takes what has come, waiting for it no longer than this.
    fn take(&mut self, wait: Duration) -> usize {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::try_from(wait).unwrap()).unwrap();
        if !fds[0].any().unwrap() {
            return 0;
        }
        let mut buffer = [0; 4096];
        let n = self.master.read(&mut buffer).unwrap();
        let from = self.bytes.len().saturating_sub(3);
        self.bytes.extend_from_slice(&buffer[..n]);
        self.screen.process(&buffer[..n]);
        let asked = self.bytes[from..].windows(4).filter(|w| *w == b"\x1b[6n").count();
        if self.answers && asked > 0 {
            let (rows, columns) = self.screen.screen().size();
            self.press(&format!("\x1b[{rows};{columns}R"));
        }
        n
    }

    /// As a serial line delivers them.
    pub fn press(&mut self, keys: &str) {
        for byte in keys.bytes() {
            self.master.write_all(&[byte]).unwrap();
        }
    }

    pub fn until(&mut self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !is(self) {
            assert!(began.elapsed() < PATIENCE, "no {what} in:\n{}", self.text());
            self.take(Duration::from_millis(20));
        }
    }

    pub fn expect(&mut self, text: &str) {
        self.until(text, |t| t.text().contains(text));
    }

    /// Everything that comes until nothing has come for a while.
    pub fn settle(&mut self) {
        while self.take(Duration::from_millis(700)) > 0 {}
    }
}

/// Asks on a thread; the consoles come back with the answer.
pub fn ask(mut menu: Menu, mut consoles: Consoles) -> JoinHandle<(Answered<MenuAnswer>, Consoles)> {
    std::thread::spawn(move || {
        let answered = consoles.ask(&mut menu, &mut |_| None);
        (answered, consoles)
    })
}

fn open(paths: &[&PathBuf]) -> Consoles {
    let ports: Vec<Port> = paths.iter().map(|path| Port::from((*path).clone())).collect();
    let (consoles, failed) = Consoles::open(&ports, false);
    assert!(failed.is_empty(), "{failed:?}");
    consoles
}

pub fn waiting() -> MenuModel {
    MenuModel { timeout: None, ..screens::model() }
}

fn finish(
    t: &mut Terminal,
    asked: JoinHandle<(Answered<MenuAnswer>, Consoles)>,
) -> (Answered<MenuAnswer>, Consoles) {
    t.press("s");
    t.until("answer", |_| asked.is_finished());
    asked.join().unwrap()
}

#[test]
fn a_line_that_says_0x0_gets_the_picture_of_its_terminals_size() {
    for (columns, rows) in [(80, 24), (40, 12), (200, 60)] {
        let mut t = Terminal::new(columns, rows);
        let asked = ask(Menu::new(waiting()), open(&[&t.slave]));
        let expected = screens::picture(&Menu::new(waiting()), &Look::ASCII, columns, rows);
        t.until("picture", |t| {
            let shown: Vec<String> =
                t.screen.screen().rows(0, columns).map(|r| r.trim_end().to_owned()).collect();
            shown.join("\n") == expected
        });
        t.press("\x1b[B\x1bOB\r");
        t.until("answer", |_| asked.is_finished());
        let (answered, mut consoles) = asked.join().unwrap();
        assert_eq!(answered, Answered { answer: MenuAnswer::Boot(2), console: Some(0) });
        assert!(consoles.was_touched() && !consoles.was_touched(), "told once");
        let told = tcgetwinsize(&t.line).unwrap();
        assert_eq!((told.ws_col, told.ws_row), (columns, rows), "the tty knows it too");
    }
}

#[test]
fn a_terminal_that_does_not_answer_is_80_by_24() {
    let mut t = Terminal::new(80, 24);
    t.answers = false;
    let asked = ask(Menu::new(waiting()), open(&[&t.slave]));
    t.expect("Choose an entry");
    t.until("size", |t| tcgetwinsize(&t.line).unwrap().ws_col == 80);
    finish(&mut t, asked);
}

#[test]
fn what_firmware_left_behind_does_not_show() {
    let mut t = Terminal::new(80, 24);
    // Reverse, bold, line drawing in G0, a scroll region, a half-written screen: and then our first frame.
    t.screen.process(b"\x1bc\x1b[?7l\x1b[7;1;31m\x1b(0\x1b[5;10r\x1b[3;3Hrubbish");
    let asked = ask(Menu::new(waiting()), open(&[&t.slave]));
    t.expect("Choose an entry");
    assert!(!t.text().contains("rubbish"));
    let cell = t.screen.screen().cell(0, 1).unwrap();
    assert!(cell.contents() == "R" && !cell.inverse() && cell.bold(), "the title, in its own attributes");
    let begin = t.bytes.windows(6).position(|w| w == b"\x1b[?7l\x1b").unwrap();
    assert!(begin < 32, "modes come before the picture");
    for mode in [&b"\x1b(B"[..], b"\x1b[m", b"\x1b[r", b"\x1b[?25l"] {
        assert!(t.bytes[..64].windows(mode.len()).any(|w| w == mode), "{}", mode.escape_ascii());
    }
    finish(&mut t, asked);
}

#[test]
fn nothing_depends_on_autowrap_and_the_last_cell_is_never_written() {
    // Without autowrap a terminal stays in the last column; with it the next character is a line below. A picture
    // that never writes beyond the last column is the same on both. The emulator wraps: a line written to its last
    // cell and beyond would be seen as wrapped.
    for (columns, rows) in [(80, 24), (40, 12)] {
        let mut t = Terminal::new(columns, rows);
        let asked = ask(Menu::new(screens::troubled()), open(&[&t.slave]));
        t.expect("? help");
        t.press("jj");
        t.settle();
        let screen = t.screen.screen();
        for row in 0..rows {
            assert!(!screen.row_wrapped(row), "row {row}");
        }
        assert_eq!(screen.cell(rows - 1, columns - 1).unwrap().contents(), "");
        finish(&mut t, asked);
    }
}

fn same_modes(a: &Termios, b: &Termios) -> bool {
    a.input_modes == b.input_modes
        && a.output_modes == b.output_modes
        && a.control_modes == b.control_modes
        && a.local_modes == b.local_modes
        && a.special_codes[rustix::termios::SpecialCodeIndex::VMIN]
            == b.special_codes[rustix::termios::SpecialCodeIndex::VMIN]
}

#[test]
fn a_terminal_is_given_back_as_it_was_and_can_be_taken_again() {
    let mut t = Terminal::new(80, 24);
    let before = tcgetattr(&t.line).unwrap();
    let asked = ask(Menu::new(waiting()), open(&[&t.slave]));
    t.expect("Choose an entry");
    assert!(!same_modes(&before, &tcgetattr(&t.line).unwrap()), "it was raw");
    assert!(t.screen.screen().hide_cursor());
    let (_, mut consoles) = finish(&mut t, asked);

    consoles.give_back();
    t.settle();
    assert!(same_modes(&before, &tcgetattr(&t.line).unwrap()));
    let screen = t.screen.screen();
    assert!(!screen.hide_cursor() && !screen.bold() && !screen.inverse());
    assert_eq!(screen.fgcolor(), vt100::Color::Default);
    assert_eq!(screen.cursor_position(), (23, 0));
    let off = t.bytes.windows(5).rposition(|w| w == b"\x1b[?7l").unwrap();
    let on = t.bytes.windows(5).rposition(|w| w == b"\x1b[?7h").unwrap();
    assert!(on > off, "autowrap is on");

    t.screen.process(b"\x1b[H\x1b[2J# a shell was here");
    consoles.take();
    let asked = ask(Menu::held(waiting()), consoles);
    t.expect("Choose an entry");
    assert!(!t.text().contains("a shell"));
    let (_, consoles) = finish(&mut t, asked);
    drop(consoles);
    assert!(same_modes(&before, &tcgetattr(&t.line).unwrap()), "dropped is given back");
}

#[test]
fn a_console_that_nobody_reads_holds_up_no_other() {
    let mut stalled = Terminal::new(200, 60);
    let mut t = Terminal::new(80, 24);
    let mut consoles = open(&[&stalled.slave, &t.slave]);
    // More than a tty takes while nobody reads: each Ctrl-L is a whole screen.
    let feeding = std::thread::spawn(move || {
        let mut menu = Menu::new(waiting());
        let answered = consoles.ask(&mut menu, &mut |_| None);
        let began = Instant::now();
        drop(consoles);
        (answered, began.elapsed())
    });
    t.expect("Choose an entry");
    for n in 0..300 {
        stalled.master.write_all(b"\x0c").unwrap();
        let digit = n % 3 + 4;
        t.press(&digit.to_string());
        t.until("selection", |t| t.text().contains(&format!(" >   {digit}  ")));
    }
    t.press("2");
    t.expect(" >!  2  ");
    // Read at last, it shows what is now, not all that was: frames were dropped, not kept.
    stalled.until("last selection", |t| t.text().contains(" >!  2  "));
    assert!(stalled.bytes.len() < 30_000, "{} bytes", stalled.bytes.len());
    // And stalled again until the end.
    (0..60).for_each(|_| stalled.press("\x0c"));
    t.press("\r");
    t.until("answer", |_| feeding.is_finished());
    let (answered, closing) = feeding.join().unwrap();
    assert_eq!(answered.console, Some(1));
    assert!(closing < Duration::from_secs(5), "closing a stalled console took {closing:?}");
}

#[test]
fn each_head_says_how_many_watch_and_the_time_as_long_as_there_is_room() {
    let (mut t, mut narrow) = (Terminal::new(80, 24), Terminal::new(40, 12));
    let mut consoles = open(&[&t.slave, &narrow.slave]);
    consoles.tell_around(|| 24 * 60 * 60 * 365 + 14 * 60 * 60 + 3 * 60 + 59);
    let model = MenuModel { header: vec!["node7".into()], ..waiting() };
    let asked = ask(Menu::new(model), consoles);
    t.expect("node7  2 watch  14:03 UTC");
    narrow.expect("node7  2 watch");
    assert!(!narrow.text().contains("UTC"), "{}", narrow.text());
    drop(narrow);
    t.expect("node7  1 watch  14:03 UTC");
    finish(&mut t, asked);
}

#[test]
fn a_console_that_is_gone_ends_nothing() {
    let gone = Terminal::new(80, 24);
    let mut t = Terminal::new(80, 24);
    let asked = ask(Menu::new(waiting()), open(&[&gone.slave, &t.slave]));
    t.expect("Choose an entry");
    drop(gone);
    t.press("j");
    t.expect("Last night's build");
    let (answered, consoles) = finish(&mut t, asked);
    assert_eq!((answered.console, consoles.count()), (Some(1), 1));
    assert_eq!(consoles.path(1), Some(t.slave.as_path()));
}

#[test]
fn a_line_that_ends_is_given_up_even_if_there_is_nothing_to_paint() {
    let mut t = Terminal::new(80, 24);
    let mut consoles = open(&[&t.slave]);
    let (tell, gone) = std::sync::mpsc::channel::<()>();
    let asked = std::thread::spawn(move || {
        // A few rounds after the end; the last sender is dropped with the terminal.
        let mut rounds = 0;
        consoles.ask(&mut Menu::new(waiting()), &mut |_| {
            rounds += u32::from(gone.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected));
            (rounds > 5).then_some(MenuAnswer::Shell)
        });
        consoles.count()
    });
    t.expect("Choose an entry");
    t.settle();
    drop(t);
    drop(tell);
    assert_eq!(asked.join().unwrap(), 0, "read at its end for ever, it would keep a processor busy");
}

#[test]
fn a_window_that_is_resized_is_followed() {
    let mut t = Terminal::new(80, 24);
    let asked = ask(Menu::new(waiting()), open(&[&t.slave]));
    t.expect("Choose an entry");
    t.settle();
    // What was asked for is answered: only the tty itself tells of this one.
    t.answers = false;
    t.screen = emulator(40, 12);
    tcsetwinsize(&t.line, Winsize { ws_row: 12, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let expected = screens::picture(&Menu::new(waiting()), &Look::ASCII, 40, 12);
    t.until("the picture of the new size", |t| {
        let shown: Vec<String> = t.screen.screen().rows(0, 40).map(|r| r.trim_end().to_owned()).collect();
        shown.join("\n") == expected
    });
    finish(&mut t, asked);
}

#[test]
fn without_any_console_time_still_answers() {
    let mut consoles = open(&[]);
    let mut menu = Menu::new(MenuModel { timeout: Some(Duration::from_millis(300)), ..screens::model() });
    let answered = consoles.ask(&mut menu, &mut |_| None);
    assert_eq!(answered, Answered { answer: MenuAnswer::Boot(0), console: None });
    assert!(!consoles.was_touched());
}

#[test]
fn one_port_named_twice_is_used_once() {
    let t = Terminal::new(80, 24);
    let link = tempfile::tempdir().unwrap();
    let other = link.path().join("console");
    std::os::unix::fs::symlink(&t.slave, &other).unwrap();
    assert_eq!(open(&[&t.slave, &other, &t.slave]).count(), 1);
}

#[test]
fn a_path_that_is_no_terminal_is_returned_with_its_error() {
    let t = Terminal::new(80, 24);
    let paths = ["/nowhere/ttyS9".into(), "/dev/null".into(), t.slave.clone()];
    let (consoles, failed) = Consoles::open(&paths.map(Port::from), false);
    assert_eq!((consoles.count(), failed.len()), (1, 2));
}

#[test]
fn escape_alone_is_a_key_and_half_a_sequence_is_none() {
    let mut t = Terminal::new(80, 24);
    let preview = MenuModel { preview: true, ..waiting() };
    let asked = ask(Menu::new(preview), open(&[&t.slave]));
    t.expect("q quit");
    t.press("\x1b[");
    t.settle();
    t.press("2");
    t.expect("Last night's build");
    assert!(!asked.is_finished());
    t.press("\x1b");
    t.until("answer", |_| asked.is_finished());
    assert_eq!(asked.join().unwrap().0.answer, MenuAnswer::Leave);
}

#[test]
fn what_is_pasted_is_no_order() {
    let mut t = Terminal::new(80, 24);
    let asked = ask(Menu::new(waiting()), open(&[&t.slave]));
    t.expect("Choose an entry");
    assert!(t.bytes.windows(8).any(|w| w == b"\x1b[?2004h"), "the terminal is asked for brackets");
    t.press("\x1b[200~2\rrrpps\x1b[201~");
    t.settle();
    assert!(!asked.is_finished());
    assert!(!t.text().contains(" >!  2  "), "{}", t.text());
    t.press("2");
    t.expect(" >!  2  ");
    let (_, consoles) = finish(&mut t, asked);
    drop(consoles);
    t.settle();
    assert!(t.bytes.windows(8).any(|w| w == b"\x1b[?2004l"));
}

#[test]
fn ctrl_l_paints_a_late_attached_terminal() {
    let mut t = Terminal::new(80, 24);
    let asked = ask(Menu::new(waiting()), open(&[&t.slave]));
    t.expect("Choose an entry");
    t.screen = emulator(40, 12);
    t.press("\x0c");
    t.until("the new size", |t| {
        t.text().contains("Enter boot  s shell  ? help") && tcgetwinsize(&t.line).unwrap().ws_col == 40
    });
    finish(&mut t, asked);
}

#[test]
fn bytes_are_few_enough_for_9600_baud() {
    let mut t = Terminal::new(80, 24);
    let counting = MenuModel { timeout: Some(Duration::from_secs(100)), ..screens::troubled() };
    let asked = ask(Menu::new(counting), open(&[&t.slave]));
    t.expect("? help");
    let full = t.bytes.len();
    let seconds = |t: &Terminal| {
        let text = t.text();
        text.split(" s - any key").next()?.rsplit(' ').next()?.parse::<u64>().ok()
    };
    t.until("a whole second", |t| seconds(t) == Some(98));
    let from = t.bytes.len();
    t.until("three more", |t| seconds(t) == Some(95));
    let idle = &t.bytes[from..];
    println!(
        "a full repaint at 80x24: {full} bytes; an idle second of the countdown: {} bytes",
        idle.len() / 3
    );
    assert!(full <= 3 * 1024, "{full}");
    assert_eq!(screens::printed(idle), "765", "its digits, and nothing else");
    // A key stops it: then there is nothing to say.
    t.press("j");
    t.expect("Stopped");
    t.settle();
    let (from, began) = (t.bytes.len(), Instant::now());
    t.until("three seconds", |_| began.elapsed() >= Duration::from_secs(3));
    assert_eq!(t.bytes[from..].escape_ascii().to_string(), "");
    finish(&mut t, asked);
}

#[test]
fn progress_costs_a_slow_line_little() {
    let mut t = Terminal::new(80, 24);
    let mut consoles = open(&[&t.slave]);
    let asked = std::thread::spawn(move || {
        let mut loading = screens::loading();
        let location =
            bootjack::fetch::Location::parse("http://10.0.2.2:8080/images/rescue.tar.zst").unwrap();
        loading.report(Report::Opening { artifact: "root".into(), location: location.clone() });
        loading.report(Report::Started { location, bytes: None });
        let mut fetched = 0;
        consoles.ask(&mut loading, &mut |loading| {
            fetched += 170_001;
            loading.report(Report::Progress { fetched, unpacked: fetched * 4, entries: fetched / 3333 });
            None
        });
    });
    t.expect(" left");
    let (from, began) = (t.bytes.len(), Instant::now());
    t.until("some seconds", |_| began.elapsed() >= Duration::from_secs(4));
    let update = (t.bytes.len() - from) / 16;
    println!("an update of the loading screen, four a second: {update} bytes");
    assert!(update <= 120, "{update}");
    t.press("\x1b");
    t.until("answer", |_| asked.is_finished());
}

/// A boot that lets others in: a terminal of its own, and a socket.
struct Boot {
    at: Terminal,
    socket: PathBuf,
    asked: JoinHandle<(Answered<MenuAnswer>, Consoles)>,
    _dir: tempfile::TempDir,
}

fn boot() -> Boot {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("attach");
    let mut at = Terminal::new(80, 24);
    let mut consoles = open(&[&at.slave]);
    consoles.tell_around(|| 0);
    consoles.admit_at(&socket).unwrap();
    let asked = ask(Menu::new(waiting()), consoles);
    at.expect("1 watch");
    Boot { at, socket, asked, _dir: dir }
}

/// The real program on a terminal of its own.
fn attach(boot: &Boot, terminal: &Terminal) -> std::process::Child {
    tcsetwinsize(&terminal.line, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let end = || terminal.line.try_clone().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bootjack"));
    command.args(["attach", "--socket"]).arg(&boot.socket);
    command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
}

#[test]
fn who_attaches_sees_the_same_and_presses_keys_and_leaves_without_harm() {
    let mut boot = boot();
    let mut guest = Terminal::new(100, 30);
    let before = tcgetattr(&guest.line).unwrap();
    let mut child = attach(&boot, &guest);
    guest.expect("2 watch");
    boot.at.expect("2 watch");
    guest.press("j");
    boot.at.expect("Last night's build");
    boot.at.press("\x1b[B");
    guest.expect(" >x  3  ");
    guest.press("\x1d");
    guest.expect("left; the boot goes on");
    assert!(child.wait().unwrap().success());
    assert!(same_modes(&before, &tcgetattr(&guest.line).unwrap()));
    assert!(!guest.screen.screen().hide_cursor());
    boot.at.expect("1 watch");

    // And once more, with a key that is an answer.
    let mut child = attach(&boot, &guest);
    guest.expect("2 watch");
    guest.press("\r");
    guest.until("answer", |_| boot.asked.is_finished());
    let (answered, consoles) = boot.asked.join().unwrap();
    assert_eq!(answered, Answered { answer: MenuAnswer::Boot(2), console: Some(1) });
    assert_eq!(consoles.path(1), None, "a guest's terminal is none of the machine's");
    drop(consoles);
    guest.expect("the boot has gone on");
    assert!(child.wait().unwrap().success());
    assert!(!boot.socket.exists());
    assert!(same_modes(&before, &tcgetattr(&guest.line).unwrap()));
}

#[test]
fn a_guest_that_dies_leaves_the_others_and_its_terminal_as_they_were() {
    let mut boot = boot();
    let mut guest = Terminal::new(100, 30);
    let before = tcgetattr(&guest.line).unwrap();
    let mut child = attach(&boot, &guest);
    guest.expect("2 watch");
    child.kill().unwrap();
    child.wait().unwrap();
    boot.at.expect("1 watch");
    guest.until("modes", |t| same_modes(&before, &tcgetattr(&t.line).unwrap()));
    // A terminal that goes away, with whoever was at it.
    let mut child = attach(&boot, &guest);
    guest.expect("2 watch");
    drop(guest);
    boot.at.expect("1 watch");
    child.kill().unwrap();
    child.wait().unwrap();
    finish(&mut boot.at, boot.asked);
}

#[test]
fn attach_once_prints_the_screen_as_text() {
    let mut boot = boot();
    let once = |size: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bootjack"));
        command.args(["attach", "--once", "--size", size, "--socket"]).arg(&boot.socket);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let mut look = Look::MONO;
    look.around.watching = 1;
    look.around.minute = Some(0);
    for (size, columns, rows) in [("80x24", 80, 24), ("132x43", 132, 43)] {
        let expected = screens::picture(&Menu::new(waiting()), &look, columns, rows);
        assert_eq!(once(size).trim_end_matches('\n'), expected.trim_end_matches('\n'));
    }
    finish(&mut boot.at, boot.asked);
}

#[test]
fn a_guests_shell_is_run_by_the_guest_while_the_others_go_on() {
    use bootjack::tui::attach::{Ask, Told, line};
    use std::io::BufRead as _;
    let Boot { mut at, socket, asked, _dir } = boot();
    let mut guest = Terminal::new(100, 30);
    let mut boot = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let mut heard = std::io::BufReader::new(boot.try_clone().unwrap()).lines();
    let mut hear = || serde_json::from_str::<Told>(&heard.next().unwrap().unwrap()).unwrap();
    let join = Ask::Join { tty: guest.slave.clone(), colour: true, utf8: false, plain: false };
    boot.write_all(&line(&join)).unwrap();
    assert_eq!(hear(), Told::Joined);
    guest.expect("2 watch");
    // A second time the same terminal is not taken.
    let mut other = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    other.write_all(&line(&join)).unwrap();
    let mut refused = String::new();
    std::io::BufReader::new(other).read_line(&mut refused).unwrap();
    assert!(refused.contains("shows the screens already"), "{refused}");

    guest.press("s");
    guest.until("answer", |_| asked.is_finished());
    let (answered, mut consoles) = asked.join().unwrap();
    assert_eq!((answered.answer, answered.console), (MenuAnswer::Shell, Some(1)));
    assert!(!consoles.lend(0, ""), "a console of the machine is given to nobody");
    assert!(consoles.lend(1, "why not"));
    assert_eq!(hear(), Told::Shell { about: "why not".into() });
    let asked = ask(Menu::new(waiting()), consoles);
    at.expect("1 watch");
    at.press("j");
    at.expect("Last night's build");
    guest.settle();
    assert!(!guest.screen.screen().hide_cursor(), "given back before the shell begins");
    boot.write_all(&line(&Ask::Back)).unwrap();
    guest.expect("2 watch");
    finish(&mut at, asked);
}
