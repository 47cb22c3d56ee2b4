//! One question on many terminals: every console shows the same screen at its own size, a key on any of them
//! counts, and none can hold up another or the boot. The clock is here, so that no screen needs one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::attach::{Ask, Door, Guest, Told};
use super::console::{Console, Heard};
use super::events::Events;
use super::keys::{self, Command};
use super::plain;
use super::port::Port;
use super::slot::Slot;
use super::theme::Around;
use super::{Event, Look, Screen};
use crate::early;

/// How often a screen hears that time went by: often enough for a gauge, seldom enough for a slow machine.
const TICK: Duration = Duration::from_millis(250);

/// How often the feed is asked.
const FEED: Duration = Duration::from_millis(50);

/// A countdown starts when a first frame is out; if no console takes one (flow control, nobody there) an
/// unattended boot goes on after this.
const FIRST_FRAME: Duration = Duration::from_secs(3);

/// A guest's key for leaving, as telnet's.
const LEAVE: KeyEvent = KeyEvent::new(KeyCode::Char(']'), KeyModifiers::CONTROL);
/// Lines of the log that are shown: all of a boot that goes well.
const LOG_LINES: usize = 5000;

/// The terminals that show what is asked.
pub struct Consoles {
    slots: Vec<Slot>,
    /// A key was pressed, whether it was an answer or not.
    touched: bool,
    /// Where others come in from terminals of their own.
    door: Option<Door>,
    /// Seconds since 1970, where the head of each screen is to say the time.
    clock: Option<fn() -> u64>,
    /// What `l` shows, and how long it was when it was read last.
    log: Option<(PathBuf, u64)>,
}

/// An answer, and the console it came from; absent: from the time or the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered<A> {
    pub answer: A,
    pub console: Option<usize>,
}

impl Consoles {
    /// Opens terminals; those that cannot be are returned with their errors and are no reason to stop. None at all
    /// is fine: questions are then answered by time alone. A port that is named twice, by whatever names, is used once.
    /// With `plain` what they show scrolls.
    pub fn open(ports: &[Port], plain: bool) -> (Self, Vec<(PathBuf, io::Error)>) {
        let look = Look { plain, ..Look::ASCII.from_env() };
        let (mut consoles, mut failed) = (Self::of(Vec::new()), Vec::new());
        for port in ports {
            let device = port.device();
            if consoles.slots.iter().any(|slot| slot.is(&device)) {
                continue;
            }
            match Slot::open(port, look) {
                Ok(slot) => consoles.slots.push(slot),
                Err(e) => failed.push((port.path.clone(), e)),
            }
        }
        (consoles, failed)
    }

    fn of(slots: Vec<Slot>) -> Self {
        Self { slots, touched: false, clock: None, door: None, log: None }
    }

    /// The terminal this process was started in.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub fn stdio() -> io::Result<Self> {
        let (path, look) = (PathBuf::from("/dev/tty"), Look::for_terminal());
        Ok(Self::of(vec![Slot::open_device(Port::from(path.clone()), path, look, true)?]))
    }

    /// The file that screens show as the log.
    pub fn show_log(&mut self, path: &Path) {
        self.log = Some((path.to_owned(), 0));
    }

    /// Tells the log that is open on a screen what is new in the file; what it warns of is then no news any more.
    fn tell_log<S: Screen>(&mut self, screen: &mut S) {
        let (Some(view), Some((path, seen))) = (screen.log(), &mut self.log) else { return };
        early::warnings_were_seen();
        let length = std::fs::metadata(&*path).map_or(0, |about| about.len());
        if view.is_empty() || length != *seen {
            view.told(early::log_tail(path, LOG_LINES));
            *seen = length;
        }
    }

    /// Lets others in, from terminals of their own.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn admit_at(&mut self, socket: &Path) -> io::Result<()> {
        self.door = Some(Door::open(socket)?);
        Ok(())
    }

    /// From now on the head of each screen says how many watch, what time it is by this clock (seconds since 1970), and
    /// how many warnings in the log are new.
    pub fn tell_around(&mut self, clock: fn() -> u64) {
        self.clock = Some(clock);
    }

    /// Path of the console with this index, as in [`Answered`]; a guest's terminal is none of the machine's.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.slots.get(index).filter(|slot| slot.guest.is_none()).map(|slot| slot.device.as_path())
    }

    /// What the console with this index is on, a guest's too: indexes change when a guest leaves.
    pub fn device(&self, index: usize) -> Option<PathBuf> {
        Some(self.slots.get(index)?.device.clone())
    }

    /// The index that the console on this device has now.
    pub fn find(&self, device: &Path) -> Option<usize> {
        self.slots.iter().position(|slot| slot.device == device)
    }

    /// Has a shell run on the terminal of a guest, by the guest, while the others go on; whether it is one.
    pub fn lend(&mut self, index: usize, about: &str) -> bool {
        let Some(slot) = self.slots.get_mut(index) else { return false };
        let Some(guest) = &mut slot.guest else { return false };
        // Given back first: what the shell finds is what was there.
        slot.console = None;
        guest.tell(&Told::Shell { about: about.to_owned() });
        true
    }

    /// How many are there to be seen.
    pub fn count(&self) -> usize {
        self.slots.iter().filter(|s| s.console.is_some()).count()
    }

    /// Columns and rows that all that can be seen have; absent without any.
    pub fn common_size(&self) -> Option<(u16, u16)> {
        let sizes = self.slots.iter().filter_map(|s| Some(s.console.as_ref()?.size()));
        sizes.reduce(|(columns, rows), (width, height)| (columns.min(width), rows.min(height)))
    }

    /// Whether a key was pressed since this was asked last, be it an answer or not.
    pub fn was_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    /// Gives all back as a shell or a kernel expects them; no picture until [`Consoles::take`].
    pub fn give_back(&mut self) {
        self.all().for_each(Console::give_back);
    }

    /// Takes all again, those too that were lost meanwhile; the next question paints them anew.
    pub fn take(&mut self) {
        // Who is in a shell has his terminal for himself.
        let lent = |slot: &Slot| slot.guest.is_some() && slot.console.is_none();
        self.slots.iter_mut().filter(|slot| !lent(slot)).for_each(Slot::reopen);
    }

    /// Asks until there is an answer: from a key, from the time, or from `feed`, which is called many times a second
    /// and may change the screen. Keys that came in one go with an answer are dropped: they were not meant for what
    /// comes next.
    pub fn ask<S: Screen>(
        &mut self,
        screen: &mut S,
        feed: &mut dyn FnMut(&mut S) -> Option<S::Answer>,
    ) -> Answered<S::Answer> {
        let began = Instant::now();
        let mut last: Option<Instant> = None;
        let mut events = Events::of::<S>();
        self.all().for_each(Console::begin);
        self.draw(screen);
        loop {
            if let Some(answer) = feed(screen) {
                return Answered { answer, console: None };
            }
            let now = Instant::now();
            let passed = match last {
                Some(last) => now.duration_since(last),
                None if self.first_frame_is_out() || now.duration_since(began) >= FIRST_FRAME => {
                    last = Some(now);
                    if let Some(answer) = screen.on(Event::Tick(Duration::ZERO)) {
                        return Answered { answer, console: None };
                    }
                    Duration::ZERO
                }
                None => Duration::ZERO,
            };
            if passed >= TICK {
                last = Some(now);
                events.passed(passed);
                if let Some(answer) = screen.on(Event::Tick(passed)) {
                    return Answered { answer, console: None };
                }
                self.slots.iter_mut().for_each(|slot| slot.follow(now));
                self.all().for_each(Console::follow_size);
                self.tell_log(screen);
                self.draw(screen);
            } else if self.all().any(|console| console.is_late() && console.is_drained()) {
                self.draw(screen);
            }
            let takes_text = screen.takes_text();
            // A text on its way somewhere else must not be taken for orders.
            let heard = self.listen(now).into_iter().filter(|(_, heard)| takes_text || !heard.pasted);
            let keys: Vec<(usize, KeyEvent)> = heard.map(|(index, heard)| (index, heard.key)).collect();
            if self.hear_guests(screen) {
                self.draw(screen);
            }
            self.touched |= !keys.is_empty();
            for (index, key) in &keys {
                let console = self.slots.get(*index).map(|slot| slot.device.as_path());
                events.key(*key, screen.takes_text(), console);
                if let Some(answer) = self.press(screen, *index, *key) {
                    return Answered { answer, console: Some(*index) };
                }
            }
            if !keys.is_empty() {
                self.tell_log(screen);
                self.draw(screen);
            }
        }
    }

    fn press<S: Screen>(&mut self, screen: &mut S, index: usize, key: KeyEvent) -> Option<S::Answer> {
        if keys::command(&[], key) == Some(Command::Repaint) {
            self.slots.get_mut(index)?.console.as_mut()?.repaint();
        }
        if key == LEAVE && self.slots.get(index)?.guest.is_some() {
            self.dismiss(index);
            return None;
        }
        screen.on(Event::Key(key))
    }

    /// A guest goes.
    fn dismiss(&mut self, index: usize) {
        let mut slot = self.slots.remove(index);
        log::info!("{} is attached no more", slot.device.display());
        // Given back before the guest hears of it.
        drop(slot.console.take());
        if let Some(guest) = &mut slot.guest {
            guest.tell(&Told::Left);
        }
    }

    /// Lets in who stands before the door, and hears what those inside have to say; whether there is something to draw.
    fn hear_guests<S: Screen>(&mut self, screen: &S) -> bool {
        let mut changed = false;
        for index in (0..self.slots.len()).rev() {
            let slot = &mut self.slots[index];
            let Some(guest) = &mut slot.guest else { continue };
            match guest.hear() {
                Ok(said) if said.contains(&Ask::Back) => {
                    slot.reopen();
                    changed = true;
                }
                // A terminal that went away, too: its console could not be read any more.
                Ok(_) if slot.console.is_none() && !slot.device.exists() => self.dismiss(index),
                Ok(_) => {}
                Err(_) => {
                    self.dismiss(index);
                    changed = true;
                }
            }
        }
        for (guest, ask) in self.door.as_mut().map(Door::admit).unwrap_or_default() {
            changed |= self.let_in(guest, ask, screen);
        }
        changed
    }

    fn let_in<S: Screen>(&mut self, mut guest: Guest, ask: Ask, screen: &S) -> bool {
        match ask {
            Ask::Join { tty, colour, utf8, plain } => {
                let look = Look { colour, utf8, lines: utf8, plain, ..Look::ASCII };
                if self.slots.iter().any(|slot| slot.is(&tty)) {
                    guest
                        .tell(&Told::Refused { why: format!("{} shows the screens already", tty.display()) });
                    return false;
                }
                match Slot::open_device(Port::from(tty.clone()), tty.clone(), look, true) {
                    Ok(mut slot) => {
                        log::info!("{} is attached", tty.display());
                        guest.tell(&Told::Joined);
                        slot.guest = Some(guest);
                        self.slots.push(slot);
                    }
                    Err(e) => guest.tell(&Told::Refused { why: format!("{}: {e}", tty.display()) }),
                }
                true
            }
            Ask::Picture { columns, rows } => {
                let text = picture(screen, self.around(), columns, rows);
                guest.tell(&Told::Picture { text });
                false
            }
            // Of a shell that nobody was given.
            Ask::Back => false,
        }
    }

    fn around(&self) -> Around {
        let Some(clock) = self.clock else { return Around::default() };
        Around {
            watching: self.count().try_into().unwrap_or(u16::MAX),
            minute: Some((clock() / 60 % (24 * 60)) as u16),
            warnings: early::new_warnings(),
        }
    }

    fn draw<S: Screen>(&mut self, screen: &S) {
        let now = Instant::now();
        let around = self.around();
        self.all().for_each(|console| console.draw(screen, around, now));
        self.each(|_, console| console.flush());
    }

    fn first_frame_is_out(&self) -> bool {
        let mut there = self.slots.iter().filter_map(|s| s.console.as_ref()).peekable();
        there.peek().is_none() || there.any(Console::is_drained)
    }

    /// Waits for bytes, for room, or for the next thing that is due; the keys that came.
    fn listen(&mut self, now: Instant) -> Vec<(usize, Heard)> {
        let due = self.slots.iter().filter_map(|s| s.console.as_ref()?.due()).min();
        let wait = due.map_or(FEED, |at| at.saturating_duration_since(now).min(FEED));
        let mut fds: Vec<PollFd> = Vec::new();
        for console in self.slots.iter().filter_map(|s| s.console.as_ref()) {
            let room = if console.is_taken() { PollFlags::empty() } else { PollFlags::POLLOUT };
            fds.push(PollFd::new(console.fd(), PollFlags::POLLIN | room));
        }
        let guests = self.slots.iter().filter_map(|slot| Some(slot.guest.as_ref()?.fd()));
        let door = self.door.iter().flat_map(Door::fds);
        fds.extend(guests.chain(door).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // A part of a millisecond would be a busy wait.
        let timeout = PollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => log::error!("waiting for the consoles: {e}"),
        }
        self.hear()
    }

    fn hear(&mut self) -> Vec<(usize, Heard)> {
        let now = Instant::now();
        let mut heard = Vec::new();
        self.each(|index, console| {
            let mut keys = Vec::new();
            console.flush()?;
            console.read(now, &mut keys)?;
            console.wait(now, &mut keys);
            heard.extend(keys.into_iter().map(|key| (index, key)));
            Ok(())
        });
        heard
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Console> {
        self.slots.iter_mut().filter_map(|s| s.console.as_mut())
    }

    /// Does something with each; one that fails is gone, and nothing else is the worse for it.
    fn each(&mut self, mut act: impl FnMut(usize, &mut Console) -> io::Result<()>) {
        let now = Instant::now();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(console) = &mut slot.console
                && let Err(e) = act(index, console)
            {
                slot.lose(&e, now);
            }
        }
    }
}

/// A screen as text, as large as somebody wants it, within what any screen is made for.
fn picture<S: Screen>(screen: &S, around: Around, columns: u16, rows: u16) -> String {
    let (columns, rows) = (columns.clamp(20, 300), rows.clamp(6, 100));
    let look = Look { around, ..Look::MONO };
    plain::rows(screen, look, columns, rows).into_iter().map(|line| line + "\n").collect()
}
