//! `[menu]` and `[defaults]`, from as written to as meant. Whether the entries they name exist is seen by `entries`.

use std::ops::Range;
use std::time::Duration;

use super::artifact::{self, Role};
use super::entry::{self, Defaults, ROOT_SIZE};
use super::table::{At, Table};
use super::{Carry, Fstab, MirrorOrder, kexec, quantity};
use crate::fetch::{self, Location, MOST_CONNECTIONS};
use crate::verify::Password;

pub(super) const DEFAULTS_KEYS: &[&str] =
    &["cmdline", "root_size", "init", "init_args", "carry", "modules", "fstab", "arch"];
pub(super) const MENU_KEYS: &[&str] = &[
    "title",
    "timeout",
    "default",
    "idle",
    "retry_for",
    "on_failure",
    "base",
    "mirrors",
    "connections",
    "folded",
    "password",
];
/// `[menu]` as written.
#[derive(Default)]
pub(super) struct Menu {
    pub(super) title: Option<String>,
    pub(super) timeout: Option<Duration>,
    pub(super) timeout_place: Range<usize>,
    pub(super) default: Option<At<String>>,
    pub(super) idle: Option<Duration>,
    pub(super) retry_for: Option<Duration>,
    pub(super) on_failure: Option<At<String>>,
    pub(super) base: Option<Location>,
    pub(super) mirrors: MirrorOrder,
    pub(super) connections: u8,
    pub(super) folded: Vec<At<String>>,
    pub(super) password: Option<Password>,
}

impl Menu {
    pub(super) fn read(top: &Table, base: &Location) -> Self {
        let Some(menu) = top.table("menu", "[menu]", "[menu] on a line of its own") else {
            return Self::default();
        };
        menu.only(MENU_KEYS, &[], &[]);
        let owned = |(text, place): At<&str>| (text.to_owned(), place);
        Self {
            title: menu.text("title").map(|(text, _)| text.to_owned()),
            timeout: timeout(&menu),
            timeout_place: menu.key("timeout").unwrap_or_default(),
            default: menu.text("default").map(owned),
            idle: menu.read("idle", "\"5m\"", idle).map(|(idle, _)| idle),
            retry_for: menu.read("retry_for", "\"10m\"", quantity::duration).map(|(time, _)| time),
            on_failure: menu.text("on_failure").map(owned),
            base: menu_base(&menu, base),
            folded: menu.texts("folded").unwrap_or_default().into_iter().map(owned).collect(),
            password: password(&menu),
            mirrors: menu.read("mirrors", "\"spread\"", mirrors).map(|(order, _)| order).unwrap_or_default(),
            connections: connections(&menu).unwrap_or(1),
        }
    }
}

fn password(menu: &Table) -> Option<Password> {
    let (text, place) = menu.text("password")?;
    let read = Password::parse(text);
    read.inspect_err(|why| {
        let hint = "printf %s PASSWORD | argon2 \"$(openssl rand -hex 8)\" -id -m 16 -t 3 -p 1 -e prints one";
        menu.page.error(&place, format!("\"password\" {why}"), Some(hint.into()));
    })
    .ok()
}

fn connections(menu: &Table) -> Option<u8> {
    let (number, place) = menu.integer("connections")?;
    let known = fetch::connections(number);
    if known.is_none() {
        let hint = Some(format!("from 1 to {MOST_CONNECTIONS}; 1 if it is not there"));
        menu.page.error(&place, format!("\"connections\": {number} are not possible"), hint);
    }
    known
}

fn timeout(menu: &Table) -> Option<Duration> {
    if menu.value("timeout")?.get_ref().is_str() {
        let place = menu.value("timeout")?.span();
        let hint = Some("write timeout = 10".into());
        menu.page.error(&place, "\"timeout\" must be a whole number of seconds, this is a text", hint);
        return None;
    }
    let (number, place) = menu.integer("timeout")?;
    let timeout = quantity::seconds(number);
    if timeout.is_none() {
        menu.page.error(&place, format!("\"timeout\": {number} s is longer than a year"), None);
    }
    timeout
}

fn mirrors(text: &str) -> Result<MirrorOrder, String> {
    match text {
        "in-order" => Ok(MirrorOrder::InOrder),
        "spread" => Ok(MirrorOrder::Spread),
        _ => Err("is no order of mirrors: \"in-order\" or \"spread\"".into()),
    }
}

/// With no time at all a key could never stop the menu.
fn idle(text: &str) -> Result<Duration, String> {
    match quantity::duration(text)? {
        Duration::ZERO => Err("leaves nobody time for a second key".into()),
        idle => Ok(idle),
    }
}

/// What relative locations resolve against: a directory ends with `/`, else the last part is not used (RFC 3986, 5.2).
fn menu_base(menu: &Table, base: &Location) -> Option<Location> {
    let (text, place) = menu.text("base")?;
    let written = artifact::location(menu.page, text, &place, base, Some("http://10.0.0.1/images/"))?;
    if !text.ends_with('/') {
        let hint = format!("a directory is written {:?}", format!("{text}/"));
        menu.page.warning(&place, "\"base\" does not end with '/': its last part is not used", &hint);
    }
    Some(written)
}

pub(super) fn defaults(top: &Table, base: &Location) -> Defaults {
    let nothing = Defaults {
        cmdline: String::new(),
        root_size: ROOT_SIZE,
        init: None,
        init_args: Vec::new(),
        carry: Carry::default(),
        modules: None,
        fstab: Fstab::default(),
        arch: None,
    };
    let Some(table) = top.table("defaults", "[defaults]", "[defaults] on a line of its own") else {
        return nothing;
    };
    table.only(DEFAULTS_KEYS, &[], &[]);
    Defaults {
        cmdline: kexec::cmdline(&table).unwrap_or_default(),
        root_size: table.read_size("root_size").unwrap_or(nothing.root_size),
        init: entry::init(&table),
        init_args: entry::init_args(&table).unwrap_or_default(),
        carry: kexec::carry(&table).unwrap_or_default(),
        modules: artifact::of(&table, "modules", Role::Modules, base),
        fstab: entry::fstab(&table).unwrap_or_default(),
        arch: entry::arch(&table),
    }
}
