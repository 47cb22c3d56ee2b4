//! One place among the consoles: a port, and the console on it as long as there is one. It follows a virtual terminal that
//! is left for another, and takes a console again that was gone.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::attach::Guest;
use super::console::Console;
use super::port::{self, Port};
use super::theme::Look;

/// How often a console that is gone is looked for again: a serial adapter that was pulled out comes back.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Slot {
    pub port: Port,
    /// What the port means now.
    pub device: PathBuf,
    /// Opened by path again after it was given back: the end of a shell hangs up its terminal.
    pub console: Option<Console>,
    pub look: Look,
    pub near: bool,
    /// Whoever came with it by `bootjack attach`.
    pub guest: Option<Guest>,
    looked: Instant,
}

impl Slot {
    pub fn open(port: &Port, look: Look) -> io::Result<Self> {
        let device = port.device();
        let near = port::is_vt(&device);
        Self::open_device(port.clone(), device, look, near)
    }

    /// The same without asking what the path stands for; `near`: the terminal itself tells its size.
    pub fn open_device(port: Port, device: PathBuf, look: Look, near: bool) -> io::Result<Self> {
        let console = Some(Console::open(&device, port.speed, look, near)?);
        Ok(Self { port, device, console, look, near, guest: None, looked: Instant::now() })
    }

    pub fn is(&self, device: &Path) -> bool {
        port::are_same(&self.device, device)
    }

    /// Takes it again after it was given back.
    pub fn reopen(&mut self) {
        // First closed, then opened: what is saved must be the modes that were given back.
        self.console = None;
        match Console::open(&self.device, self.port.speed, self.look, self.near) {
            Ok(console) => self.console = Some(console),
            Err(e) => log::warn!("console {}: {e}", self.device.display()),
        }
    }

    /// It failed.
    pub fn lose(&mut self, why: &io::Error, now: Instant) {
        log::warn!("console {} is gone: {why}", self.device.display());
        (self.console, self.looked) = (None, now);
    }

    /// Goes where the port means now, and looks for what is gone.
    pub fn follow(&mut self, now: Instant) {
        if self.guest.is_some() {
            return;
        }
        let device = if self.port.moves() { self.port.device() } else { self.device.clone() };
        let is_due = self.console.is_none() && now.duration_since(self.looked) >= LOOK_AGAIN;
        if device == self.device && !is_due {
            return;
        }
        self.looked = now;
        // Given back before the other is taken: nothing of ours stays on a terminal that is left.
        self.console = None;
        match Console::open(&device, self.port.speed, self.look, self.near) {
            Ok(console) => {
                log::info!("console {} is used", device.display());
                self.console = Some(console);
            }
            Err(e) => log::debug!("console {}: {e}", device.display()),
        }
        self.device = device;
    }
}
