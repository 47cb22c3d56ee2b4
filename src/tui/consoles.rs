//! One question on many terminals: every console shows the same screen at its own size, a key on any of them
//! counts, and none can hold up another or the boot. The clock is here, so that no screen needs one.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossterm::event::KeyEvent;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::console::{Console, is_vt, resolve};
use super::keys::{self, Command};
use super::{Event, Look, Screen};
use crate::early;

/// How often a screen hears that time went by: often enough for a gauge, seldom enough for a slow machine.
const TICK: Duration = Duration::from_millis(250);

/// How often the feed is asked.
const FEED: Duration = Duration::from_millis(50);

/// A countdown starts when a first frame is out; if no console takes one (flow control, nobody there) an
/// unattended boot goes on after this.
const FIRST_FRAME: Duration = Duration::from_secs(3);

/// Lines of the log that are shown: all of a boot that goes well.
const LOG_LINES: usize = 5000;

/// The terminals that show what is asked.
pub struct Consoles {
    slots: Vec<Slot>,
    /// A key was pressed, whether it was an answer or not.
    touched: bool,
    /// What `l` shows, and how long it was when it was read last.
    log: Option<(PathBuf, u64)>,
}

struct Slot {
    path: PathBuf,
    /// Opened by path again after it was given back: the end of a shell hangs up its terminal.
    console: Option<Console>,
    look: Look,
    near: bool,
}

/// An answer, and the console it came from; absent: from the time or the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered<A> {
    pub answer: A,
    pub console: Option<usize>,
}

impl Consoles {
    /// Opens terminals; those that cannot be are returned with their errors and are no reason to stop. None at all
    /// is fine: questions are then answered by time alone. `tty0` is the foreground VT; a device named twice is
    /// used once.
    pub fn open(paths: &[PathBuf]) -> (Self, Vec<(PathBuf, io::Error)>) {
        let look = Look::ASCII.from_env();
        let mut consoles = Self { slots: Vec::new(), touched: false, log: None };
        let mut failed = Vec::new();
        for path in paths {
            let resolved = resolve(path);
            let near = is_vt(&resolved);
            let same = |s: &Slot| device(&s.path).is_some_and(|d| Some(d) == device(&resolved));
            if consoles.slots.iter().any(same) {
                continue;
            }
            match Console::open(&resolved, look, near) {
                Ok(console) => {
                    consoles.slots.push(Slot { path: resolved, console: Some(console), look, near });
                }
                Err(e) => failed.push((path.clone(), e)),
            }
        }
        (consoles, failed)
    }

    /// The terminal this process was started in.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub fn stdio() -> io::Result<Self> {
        let (path, look) = (PathBuf::from("/dev/tty"), Look::for_terminal());
        let console = Console::open(&path, look, true)?;
        let slot = Slot { path, console: Some(console), look, near: true };
        Ok(Self { slots: vec![slot], touched: false, log: None })
    }

    /// The file that screens show as the log.
    pub fn show_log(&mut self, path: &Path) {
        self.log = Some((path.to_owned(), 0));
    }

    /// Tells the log that is open on a screen what is new in the file.
    fn tell_log<S: Screen>(&mut self, screen: &mut S) {
        let (Some(view), Some((path, seen))) = (screen.log(), &mut self.log) else { return };
        let length = std::fs::metadata(&*path).map_or(0, |about| about.len());
        if view.is_empty() || length != *seen {
            view.told(early::log_tail(path, LOG_LINES));
            *seen = length;
        }
    }

    /// Path of the console with this index, as in [`Answered`].
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.slots.get(index).map(|s| s.path.as_path())
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
        for slot in &mut self.slots {
            // First closed, then opened: what is saved must be the modes that were given back.
            slot.console = None;
            match Console::open(&slot.path, slot.look, slot.near) {
                Ok(console) => slot.console = Some(console),
                Err(e) => log::warn!("console {}: {e}", slot.path.display()),
            }
        }
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
                if let Some(answer) = screen.on(Event::Tick(passed)) {
                    return Answered { answer, console: None };
                }
                self.all().for_each(Console::follow_size);
                self.tell_log(screen);
                self.draw(screen);
            }
            let keys = self.listen(now);
            self.touched |= !keys.is_empty();
            for (index, key) in &keys {
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
        screen.on(Event::Key(key))
    }

    fn draw<S: Screen>(&mut self, screen: &S) {
        let now = Instant::now();
        self.all().for_each(|console| console.draw(screen, now));
        self.each(|_, console| console.flush());
    }

    fn first_frame_is_out(&self) -> bool {
        let mut there = self.slots.iter().filter_map(|s| s.console.as_ref()).peekable();
        there.peek().is_none() || there.any(Console::is_drained)
    }

    /// Waits for bytes, for room, or for the next thing that is due; the keys that came.
    fn listen(&mut self, now: Instant) -> Vec<(usize, KeyEvent)> {
        let due = self.slots.iter().filter_map(|s| s.console.as_ref()?.due()).min();
        let wait = due.map_or(FEED, |at| at.saturating_duration_since(now).min(FEED));
        let mut fds: Vec<PollFd> = Vec::new();
        for console in self.slots.iter().filter_map(|s| s.console.as_ref()) {
            let room = if console.is_drained() { PollFlags::empty() } else { PollFlags::POLLOUT };
            fds.push(PollFd::new(console.fd(), PollFlags::POLLIN | room));
        }
        // A part of a millisecond would be a busy wait.
        let timeout = PollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => log::error!("waiting for the consoles: {e}"),
        }
        self.hear()
    }

    fn hear(&mut self) -> Vec<(usize, KeyEvent)> {
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
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(console) = &mut slot.console
                && let Err(e) = act(index, console)
            {
                log::warn!("console {} is gone: {e}", slot.path.display());
                slot.console = None;
            }
        }
    }
}

/// The device behind a path: one port may have several names.
fn device(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|m| m.rdev())
}
