//! An address that a person gives an interface, where no server does: which interface, the address with its network, and if
//! there are any, a gateway and name servers. Setting it is the network's.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::text::{Line, Span};

use super::field::Field;
use super::keys::{self, Command};
use super::page::{self, Head};
use super::pager::Pager;
use super::{Event, Look, Screen, text};
use crate::net::{Lease, Mac, Static};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressAnswer {
    /// This interface is to be the network, with this address.
    Set(String, Static),
    Back,
}

/// Whoever types and goes away leaves no machine waiting.
const IDLE: Duration = Duration::from_secs(300);

const LABELS: [&str; 4] = ["interface", "address", "gateway", "servers"];

/// What stands in a line in which nothing was typed.
const EXAMPLES: [&str; 4] =
    ["", "such as 10.0.0.7/24", "none", "none; name servers, such as 10.0.0.2 9.9.9.9"];

/// The screen.
#[derive(Debug)]
pub struct Address {
    facts: Vec<String>,
    interfaces: Vec<String>,
    /// Which of them.
    interface: usize,
    /// Address, gateway, name servers.
    fields: [Field; 3],
    selected: usize,
    since: Duration,
    over: Option<Pager>,
}

impl Address {
    /// The screen for these interfaces; `facts` for its head.
    pub fn new(interfaces: Vec<String>, facts: Vec<String>) -> Self {
        let fields = [Field::default(), Field::default(), Field::default()];
        // Of one there is nothing to choose.
        let selected = usize::from(interfaces.len() < 2);
        Self { facts, interfaces, interface: 0, fields, selected, since: Duration::ZERO, over: None }
    }

    /// What was typed, if it makes an address.
    fn meant(&self) -> Result<(String, Static), String> {
        let interface = self.interfaces.get(self.interface).ok_or("there is no interface yet")?.clone();
        let [address, gateway, servers] = self.fields.each_ref().map(|field| field.text().trim().to_owned());
        let (address, prefix) =
            address.split_once('/').ok_or("the address needs its network, as in 10.0.0.7/24")?;
        let address = ip(address)?;
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|bits| *bits <= 32)
            .ok_or_else(|| format!("{prefix:?} is no length of a network: 0 to 32"))?;
        let gateway = if gateway.is_empty() { None } else { Some(ip(&gateway)?) };
        let servers = servers.split([' ', ',']).filter(|server| !server.is_empty());
        let server = |text: &str| text.parse::<IpAddr>().map_err(|_| format!("{text:?} is no address"));
        let nameservers = servers.map(server).collect::<Result<Vec<IpAddr>, String>>()?;
        let fixed = Static { address, prefix, gateway, nameservers };
        if let Some(gateway) = fixed.gateway
            && !Lease::by_hand(&fixed, &interface, Mac([0; 6]), None).reaches(gateway)
        {
            return Err(format!("the gateway {gateway} is not in {address}/{prefix}"));
        }
        Ok((interface, fixed))
    }

    fn key(&mut self, key: KeyEvent) -> Option<AddressAnswer> {
        self.since = Duration::ZERO;
        if let Some(pager) = &mut self.over {
            if !pager.on(key) {
                self.over = None;
            }
            return None;
        }
        let last = LABELS.len() - 1;
        match keys::command(keys::ADDRESS, key) {
            Some(Command::Accept) => {
                return self.meant().ok().map(|(interface, fixed)| AddressAnswer::Set(interface, fixed));
            }
            Some(Command::Cancel) => return Some(AddressAnswer::Back),
            Some(Command::Up) => self.selected = self.selected.checked_sub(1).unwrap_or(last),
            Some(Command::Down) => self.selected = if self.selected < last { self.selected + 1 } else { 0 },
            Some(Command::Help) => self.over = Some(Pager::help(keys::ADDRESS, &[])),
            _ => match self.selected.checked_sub(1) {
                Some(field) => drop(self.fields[field].on(key)),
                None => self.turn(key.code),
            },
        }
        None
    }

    /// Another interface: the next, the one before, or the one with this number.
    fn turn(&mut self, code: KeyCode) {
        let all = self.interfaces.len().max(1);
        self.interface = match code {
            KeyCode::Right | KeyCode::Char(' ') => (self.interface + 1) % all,
            KeyCode::Left => self.interface.checked_sub(1).unwrap_or(all - 1),
            KeyCode::Char(digit) => match digit.to_digit(10).map(|d| d as usize) {
                Some(d) if (1..=all).contains(&d) => d - 1,
                _ => self.interface,
            },
            _ => self.interface,
        };
    }

    fn row(&self, look: &Look, index: usize, cells: usize) -> Line<'static> {
        let active = index == self.selected;
        let style = if active { look.title() } else { look.label() };
        let cursor = if active { '>' } else { ' ' };
        let label = Span::styled(format!(" {cursor} {:<11}", LABELS[index]), style);
        let room = cells.saturating_sub(label.width() + 1);
        let value = match index.checked_sub(1) {
            None => {
                let name = self.interfaces.get(self.interface).map_or("none yet", String::as_str);
                let all = self.interfaces.len();
                let which =
                    if all > 1 { format!("  ({} of {all})", self.interface + 1) } else { String::new() };
                Line::from(text::clip(&format!("{name}{which}"), room))
            }
            Some(field) if self.fields[field].is_empty() && !active => {
                Line::from(text::clip(&format!("({})", EXAMPLES[index]), room))
            }
            Some(field) => self.fields[field].line(look, room, active),
        };
        Line::from([vec![label], value.spans].concat())
    }
}

fn ip(text: &str) -> Result<Ipv4Addr, String> {
    text.parse().map_err(|_| format!("{text:?} is no IPv4 address"))
}

impl Screen for Address {
    type Answer = AddressAnswer;

    fn on(&mut self, event: Event) -> Option<AddressAnswer> {
        match event {
            Event::Key(key) => self.key(key),
            Event::Tick(passed) => {
                self.since += passed;
                (self.since >= IDLE).then_some(AddressAnswer::Back)
            }
        }
    }

    fn takes_text(&self) -> bool {
        self.over.is_none() && self.selected > 0
    }

    fn draw(&self, frame: &mut Frame, look: &Look) {
        if let Some(pager) = &self.over {
            return pager.draw(frame, look);
        }
        let cells = usize::from(frame.area().width);
        let head = Head { title: "An address by hand".into(), facts: self.facts.clone() };
        let legend = page::legend(look, keys::ADDRESS, &[], frame.area().width);
        let mut area = page::frame(frame, look, &head, legend);
        let buffer = frame.buffer_mut();
        let status = page::row(area, area.bottom().saturating_sub(1));
        area.height = area.height.saturating_sub(1);
        let (said, style) = match self.meant() {
            Ok((interface, fixed)) => (
                format!("Enter makes {}/{} the address of {interface}.", fixed.address, fixed.prefix),
                look.title(),
            ),
            Err(why) => (why, look.warn()),
        };
        let said = text::clip(&said, cells.saturating_sub(2));
        page::put(buffer, status, Line::styled(format!(" {said}"), style));
        page::lines(buffer, area, (0..LABELS.len()).map(|index| self.row(look, index, cells)));
    }
}
