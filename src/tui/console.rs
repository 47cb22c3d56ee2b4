//! One console: its file, its modes, its size, its picture. Reading and writing never block: what a terminal does
//! not take waits here, and no new frame is made for it meanwhile. When to do what is [`super::Consoles`]'s.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::Terminal;
use ratatui::layout::Size;
use rustix::fs::OFlags;
use rustix::termios::{
    self, ControlModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, Winsize,
};

use super::keys::{Input, Parser};
use super::paint::{self, Paint};
use super::plain::Plain;
use super::theme::Around;
use super::{Look, Screen};
use crate::sys;

/// A terminal that does not say its size has this one, as all do that ever were.
const USUAL_SIZE: Size = Size { width: 80, height: 24 };

/// The answer to the question for the size takes so long at most; at 9600 baud it follows a screen in a second, but
/// a late one is used too: this is only how long the tty is left without any size.
const SIZE_WAIT: Duration = Duration::from_millis(500);

/// Esc is a key if nothing follows it for so long: a serial line over a network tears sequences apart.
const ESC_WAIT: Duration = Duration::from_millis(250);

/// The same where keyboard and screen belong to this machine.
const ESC_WAIT_NEAR: Duration = Duration::from_millis(50);

/// A key after so long a silence may come from somebody who has just attached and sees an old picture or none.
const SILENCE: Duration = Duration::from_secs(60);

/// The last bytes for a terminal that takes none are given up after this.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Bytes that a line may still have to send before the next frame is made: at 9600 baud a fifteenth of a second.
const AS_GOOD_AS_SENT: u32 = 64;

/// A key, or a character of a text that was pasted.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub key: KeyEvent,
    pub pasted: bool,
}

/// Since when nothing was typed here; from the beginning on, if nothing was.
#[derive(Default)]
struct Silence {
    heard: Option<Instant>,
}

impl Silence {
    /// Something was typed: whether it was silent before for so long that it may come from somebody new.
    fn is_broken(&mut self, now: Instant) -> bool {
        self.heard.replace(now).is_none_or(|at| now.duration_since(at) >= SILENCE)
    }
}

pub struct Console {
    file: File,
    saved: Termios,
    terminal: Terminal<Paint>,
    /// Painted and not yet taken by the terminal.
    pending: Vec<u8>,
    late: bool,
    parser: Parser,
    given_up_at: Option<Instant>,
    silence: Silence,
    /// The tty knows its size: a VT, or a terminal emulator's pty.
    size_known: bool,
    size_due: Option<Instant>,
    repaint: bool,
    taken: bool,
    /// In place of pictures.
    plain: Option<Plain>,
}

impl Console {
    /// Opens a terminal device and makes it ours. A `speed` (baud) stays when it is given back: the cable's other end has it.
    pub fn open(path: &Path, speed: Option<u32>, look: Look, near: bool) -> io::Result<Self> {
        let flags = OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags.bits() as i32).open(path)?;
        let mut saved = termios::tcgetattr(&file)?;
        if let Some(speed) = speed {
            saved.set_speed(speed)?;
        }
        let told = told_size(&file);
        let size_known = near && told.is_some();
        let size = told.unwrap_or(USUAL_SIZE);
        let paint = Paint { out: Vec::new(), size, look, ask_size: false };
        let Ok(terminal) = Terminal::new(paint);
        let mut console = Self {
            file,
            saved,
            terminal,
            pending: Vec::new(),
            late: false,
            parser: Parser::default(),
            given_up_at: None,
            silence: Silence::default(),
            size_known,
            size_due: None,
            repaint: true,
            taken: false,
            plain: look.plain.then(Plain::default),
        };
        console.take()?;
        Ok(console)
    }

    fn take(&mut self) -> io::Result<()> {
        let mut raw = self.saved.clone();
        raw.make_raw();
        // Without them a line whose other end is not there yet blocks or hangs up, and "no byte" reads as the end.
        raw.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(&self.file, OptionalActions::Now, &raw)?;
        self.taken = true;
        remember(&self.file, &self.saved, self.parting())
    }

    /// The last bytes: whoever has no control sequences needs none taken back.
    fn parting(&self) -> &'static [u8] {
        if self.plain.is_some() { b"" } else { paint::GIVE_BACK }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Columns and rows, as far as they are known.
    pub fn size(&self) -> (u16, u16) {
        let Size { width, height } = self.terminal.backend().size;
        (width, height)
    }

    /// Whether all that was painted is out. The kernel takes some KiB at once, which a line at 9600 baud sends for seconds:
    /// a frame behind them would show what was.
    pub fn is_drained(&self) -> bool {
        self.pending.is_empty() && sys::unsent(&self.file).unwrap_or(0) <= AS_GOOD_AS_SENT
    }

    /// Whether the terminal has taken all that was painted.
    pub fn is_taken(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether there was something to paint while the last picture was still on its way.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// The next frame is a whole one, and the size is asked for again.
    pub fn repaint(&mut self) {
        self.repaint = true;
    }

    /// Another screen comes.
    pub fn begin(&mut self) {
        self.plain.iter_mut().for_each(Plain::begin);
    }

    /// Paints the screen as it is now, unless the last picture is still on its way.
    pub fn draw<S: Screen>(&mut self, screen: &S, around: Around, now: Instant) {
        self.late = !self.is_drained();
        if self.late {
            return;
        }
        if self.plain.is_some() {
            self.say(screen, now);
            return;
        }
        let look = Look { around, ..self.terminal.backend().look };
        if std::mem::take(&mut self.repaint) {
            self.terminal.backend_mut().ask_size = !self.size_known;
            if !self.size_known {
                self.size_due = Some(now + SIZE_WAIT);
            }
            let Ok(()) = self.terminal.clear();
        }
        let Ok(_) = self.terminal.draw(|frame| screen.draw(frame, &look));
        self.pending.append(&mut self.terminal.backend_mut().out);
    }

    /// Says what is new on the screen.
    fn say<S: Screen>(&mut self, screen: &S, now: Instant) {
        let (columns, _) = self.size();
        let look = self.terminal.backend().look;
        let Some(plain) = &mut self.plain else { return };
        if std::mem::take(&mut self.repaint) {
            plain.begin();
        }
        self.pending.extend(plain.say(screen, look, columns, now).into_bytes());
        self.late = plain.is_late();
    }

    /// Hands the terminal what it takes now.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            let taken = paint::write_some(&self.file, &self.pending)?;
            if taken == 0 {
                break;
            }
            self.pending.drain(..taken);
        }
        Ok(())
    }

    /// Reads what is there and adds the keys in it; an error means that the console is gone.
    pub fn read(&mut self, now: Instant, keys: &mut Vec<Heard>) -> io::Result<()> {
        let mut bytes = [0; 256];
        let mut inputs = Vec::new();
        match (&self.file).read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                bytes[..n].iter().for_each(|b| self.parser.push(*b, &mut inputs));
                let wait = if self.size_known { ESC_WAIT_NEAR } else { ESC_WAIT };
                self.given_up_at = self.parser.is_waiting().then(|| now + wait);
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
        inputs.into_iter().for_each(|input| self.hear(input, now, keys));
        Ok(())
    }

    /// Time went by: half a key is given up, a terminal without an answer gets the usual size, a window that was
    /// resized is followed.
    pub fn wait(&mut self, now: Instant, keys: &mut Vec<Heard>) {
        if self.given_up_at.is_some_and(|at| now >= at) {
            self.given_up_at = None;
            if let Some(input) = self.parser.give_up() {
                self.hear(input, now, keys);
            }
        }
        if self.size_due.is_some_and(|at| now >= at) {
            self.size_due = None;
            if told_size(&self.file).is_none() {
                self.store_size(self.terminal.backend().size);
            }
        }
    }

    /// Follows a window that was resized.
    pub fn follow_size(&mut self) {
        if let Some(size) = told_size(&self.file) {
            self.resize(size);
        }
    }

    /// When `wait` has something to do next.
    pub fn due(&self) -> Option<Instant> {
        [self.given_up_at, self.size_due].into_iter().flatten().min()
    }

    fn hear(&mut self, input: Input, now: Instant, keys: &mut Vec<Heard>) {
        match input {
            Input::Size { columns, rows } if self.size_due.take().is_some() || !self.size_known => {
                let size = Size { width: columns.clamp(20, 500), height: rows.clamp(6, 300) };
                self.store_size(size);
                self.resize(size);
            }
            Input::Size { .. } => {}
            Input::Key(key) => {
                self.repaint |= self.silence.is_broken(now) && !self.size_known;
                keys.push(Heard { key, pasted: false });
            }
            Input::Pasted(c) => {
                self.silence.is_broken(now);
                keys.push(Heard { key: KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE), pasted: true });
            }
        }
    }

    fn resize(&mut self, size: Size) {
        // ratatui sees the new size with the next frame, clears, and paints all of it.
        self.terminal.backend_mut().size = size;
    }

    /// So that a shell on this terminal knows it too.
    fn store_size(&self, size: Size) {
        let winsize = Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
        if let Err(e) = termios::tcsetwinsize(&self.file, winsize) {
            log::debug!("storing the size of a console: {e}");
        }
    }

    /// Gives the terminal back as a shell, a kernel or a getty expects it.
    pub fn give_back(&mut self) {
        if !std::mem::take(&mut self.taken) {
            return;
        }
        self.pending.extend_from_slice(self.parting());
        let until = Instant::now() + LAST_WORDS;
        while self.flush().is_ok() && !self.is_taken() {
            let left = until.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            if left.is_zero() || poll(&mut fds, timeout).is_err() {
                break;
            }
        }
        if !self.is_taken() {
            // Nobody takes them; left in the kernel they would hold up the closing for half a minute.
            let _ = termios::tcflush(&self.file, QueueSelector::OFlush);
            self.pending.clear();
        }
        // Replies and keys meant for the menu are no shell's business.
        let _ = termios::tcflush(&self.file, QueueSelector::IFlush);
        if let Err(e) = termios::tcsetattr(&self.file, OptionalActions::Now, &self.saved) {
            log::debug!("restoring the modes of a console: {e}");
        }
        forget(&self.file);
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The size the tty tells, if it is one: serial lines say 0x0.
fn told_size(file: &File) -> Option<Size> {
    let told = termios::tcgetwinsize(file).ok()?;
    let sane = (20..=1000).contains(&told.ws_col) && (6..=500).contains(&told.ws_row);
    sane.then_some(Size { width: told.ws_col, height: told.ws_row })
}

/// A terminal, its modes, and the bytes that go before them.
type Taken = (File, Termios, &'static [u8]);

/// Terminals to give back when this process panics: `panic = "abort"` runs no destructor.
static TAKEN: Mutex<Vec<Taken>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

fn remember(file: &File, saved: &Termios, parting: &'static [u8]) -> io::Result<()> {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Not waited for: the panic may have happened in the middle of this list.
            if let Ok(taken) = TAKEN.try_lock() {
                for (file, saved, parting) in taken.iter() {
                    let _ = paint::write_some(file, parting);
                    let _ = termios::tcsetattr(file, OptionalActions::Now, saved);
                }
            }
            before(panic);
        }));
    });
    let entry = (file.try_clone()?, saved.clone(), parting);
    TAKEN.lock().map_err(|_| io::Error::other("another thread panicked"))?.push(entry);
    Ok(())
}

fn forget(file: &File) {
    let device = |f: &File| f.metadata().ok().map(|m| (m.dev(), m.ino(), m.rdev()));
    if let Ok(mut taken) = TAKEN.lock() {
        let this = device(file);
        if let Some(at) = taken.iter().position(|(f, ..)| device(f) == this) {
            taken.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_after_a_minute_of_silence_may_be_somebody_elses() {
        let (mut silence, began) = (Silence::default(), Instant::now());
        let mut key_at = |s: f32| silence.is_broken(began + Duration::from_secs_f32(s));
        assert!(key_at(0.0), "the first");
        assert!(!key_at(59.9));
        assert!(!key_at(119.8), "each key begins the minute anew");
        assert!(key_at(179.9));
        assert!(!key_at(180.0));
    }
}
