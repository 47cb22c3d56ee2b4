//! What people see. A screen is a question: `on` changes its state and may answer, `draw` only draws; the clock and
//! the terminals are [`Consoles`]'s, which asks one screen on all of them at once. What an answer leads to is
//! decided in `commands`.

pub mod address;
pub mod attach;
pub mod consoles;
pub mod countdown;
pub mod edit;
pub mod failure;
pub mod field;
pub mod job;
pub mod keys;
pub mod loading;
pub mod log;
pub mod menu;
pub mod network;
pub mod page;
pub mod pager;
pub mod passphrase;
pub mod power;
pub mod text;
pub mod theme;

mod console;
mod events;
mod paint;
mod plain;
mod port;
mod slot;

use std::time::Duration;

use crossterm::event::KeyEvent;

pub use consoles::{Answered, Consoles};
pub use paint::{GIVE_BACK, Paint};
pub use port::Port;
pub use theme::Look;

/// A question with its answers.
pub trait Screen {
    type Answer;

    /// Something happened; it may be the answer.
    fn on(&mut self, event: Event) -> Option<Self::Answer>;

    /// Whether there is a field for text just now: what is pasted goes there, and else nowhere.
    fn takes_text(&self) -> bool {
        false
    }

    /// The log, if it is open on this screen: it is told of new lines.
    fn log(&mut self) -> Option<&mut log::LogView> {
        None
    }

    /// What it looks like now. Right at any size, and without effect on what is asked.
    fn draw(&self, frame: &mut ratatui::Frame, look: &Look);
}

/// What happens to a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Key(KeyEvent),
    /// So much time went by since the last one; the first comes when the first frame is out.
    Tick(Duration),
}
