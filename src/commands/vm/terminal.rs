//! The terminal as it was before a machine used it. What the firmware does to it is not our choice.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// SeaBIOS switches autowrap off and a guest may leave colours, a hidden cursor, a scrolling region, line-drawing
/// letters, application keys, the alternate screen and mouse reports behind: back to a normal screen (ECMA-48, xterm's
/// ctlseqs). Setting the region moves the cursor, hence DECSC and DECRC around it.
const NORMAL: &[u8] =
    b"\x1b[?1047l\x1b7\x1b[r\x1b8\x1b[?1000l\x1b[?1002l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b(B\x0f\
    \x1b[?7h\x1b[?25h\x1b[0m\r\n";

/// The settings of the line at the start, if standard input is a terminal.
pub struct Kept(Option<Termios>);

impl Kept {
    pub fn new() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }

    /// Puts everything back, and says so if that fails: the way out is `reset`.
    pub fn restore(self) {
        let line = match &self.0 {
            Some(settings) => tcsetattr(io::stdin(), OptionalActions::Now, settings).map_err(io::Error::from),
            None => Ok(()),
        };
        let mut screen = io::stdout();
        let modes = if screen.is_terminal() {
            screen.write_all(NORMAL).and_then(|()| screen.flush())
        } else {
            Ok(())
        };
        if let Err(e) = line.and(modes) {
            eprintln!("bootjack: vm: restoring the terminal: {e}\nhint: reset");
        }
    }
}
