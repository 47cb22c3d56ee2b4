//! bootjack: from a network boot ROM to the operating system you chose, running from memory.
//!
//! The story, which `commands::boot` reads like: make the kernel habitable → read the command line → know the
//! machine → bring up the network → get the catalog → ask the person (or the timeout) → plan → load → hand over.
//!
//! The staircase: a room imports only from rooms to its left; `tests/layers.rs` holds it.
//!
//! `sys answer order < verify volumes privileges secrets < early drivers net fetch archive handover < cmdline catalog machine < plan < load < tui < commands < cli`

pub mod answer;
pub mod archive;
pub mod catalog;
pub mod cli;
pub mod cmdline;
pub mod commands;
pub mod drivers;
pub mod early;
pub mod fetch;
pub mod handover;
pub mod load;
pub mod machine;
pub mod net;
pub mod order;
pub mod plan;
pub mod privileges;
pub mod secrets;
pub mod sys;
pub mod tui;
pub mod verify;
pub mod volumes;
