//! One file a command: the only room where rooms meet.

pub mod check;
pub mod menu;
