//! Screens that scroll: on a terminal of their own, through the consoles as a boot has them. What is said when, in the unit
//! tests of src/tui/plain.rs.

use std::time::Duration;

use bootjack::tui::menu::{Menu, MenuAnswer, MenuModel};
use bootjack::tui::{Consoles, Port};

use crate::console::{Terminal, ask, waiting};

fn plain(t: &Terminal) -> Consoles {
    let (consoles, failed) = Consoles::open(&[Port::from(t.slave.clone())], true);
    assert!(failed.is_empty(), "{failed:?}");
    consoles
}

fn text(t: &Terminal) -> String {
    String::from_utf8(t.bytes.clone()).unwrap()
}

/// Nothing that moves a cursor, sets a colour or asks anything.
fn assert_plain(t: &Terminal) {
    let controls = t.bytes.iter().filter(|b| b.is_ascii_control() && !matches!(b, b'\r' | b'\n')).count();
    assert!(controls == 0 && t.bytes.is_ascii(), "{:?}", text(t));
}

#[test]
fn a_menu_is_a_numbered_list_and_a_number_with_enter_boots() {
    let mut t = Terminal::new(80, 24);
    let asked = ask(Menu::new(waiting()), plain(&t));
    t.until("the keys", |t| text(t).contains("Keys: Enter boot"));
    let first = text(&t);
    assert!(first.contains("\r\n> * 1  Rescue console (Debian 12, in memory)"), "{first}");
    assert!(first.contains("\r\n4  Shell\r\n5  Reboot\r\n"), "{first}");
    assert!(!first.contains("---"), "{first}");
    // The first key on a silent console: whoever pressed it may have come just now.
    t.press("k");
    t.until("all of it again", |t| text(t).matches("Keys: Enter boot").count() == 2);
    let from = t.bytes.len();
    t.press("2");
    t.until("the second one", |t| text(t)[from..].contains("UNVERIFIED: no digest"));
    let said = text(&t)[from..].to_owned();
    assert!(said.contains(">!  2  Debian nightly"), "{said}");
    assert!(!said.contains("Rescue") && !said.contains("Keys:"), "only what is new: {said}");
    t.press("\r");
    t.until("answer", |_| asked.is_finished());
    let (answered, consoles) = asked.join().unwrap();
    assert_eq!(answered.answer, MenuAnswer::Boot(1));
    drop(consoles);
    t.settle();
    assert_plain(&t);
}

#[test]
fn a_countdown_says_where_it_is_now_and_then_and_boots() {
    let mut t = Terminal::new(80, 24);
    let counting = MenuModel { timeout: Some(Duration::from_secs(12)), ..crate::screens::model() };
    let asked = ask(Menu::new(counting), plain(&t));
    t.until("answer", |_| asked.is_finished());
    assert_eq!(asked.join().unwrap().0.answer, MenuAnswer::Boot(0));
    t.settle();
    let counted = text(&t).matches("any key stops").count();
    assert!((1..=3).contains(&counted), "{}", text(&t));
    assert_plain(&t);
}

#[test]
fn ctrl_l_says_all_of_it_again() {
    let mut t = Terminal::new(80, 24);
    let asked = ask(Menu::new(waiting()), plain(&t));
    t.until("the keys", |t| text(t).contains("Keys: "));
    t.press("\x0c");
    t.until("them again", |t| text(t).matches("Keys: ").count() == 2);
    assert_eq!(text(&t).matches("1  Rescue console").count(), 2);
    t.press("s");
    t.until("answer", |_| asked.is_finished());
    assert_plain(&t);
}
