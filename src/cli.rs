//! The words of the command line: one arm a command. What a command does is in its own file.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{attach, boot, check, initrd, menu, modprobe, output, pack, serve, unpack, vm};

/// Network bootloader: from a PXE ROM to an operating system in memory
#[derive(Parser)]
#[command(name = "bootjack", version, after_help = "Example: bootjack menu menus/example.toml")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Boot(boot::BootArgs),
    Attach(attach::AttachArgs),
    Check(check::CheckArgs),
    Menu(menu::MenuArgs),
    Unpack(unpack::UnpackArgs),
    Pack(pack::PackArgs),
    Initrd(initrd::InitrdArgs),
    Serve(serve::ServeArgs),
    Vm(vm::VmArgs),
}

/// The command line as data: man pages and completions are made from it.
#[doc(hidden)]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Reads the words and does what they say. Process 1 is given words that are meant for init, not for us: it boots.
pub fn run() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let called = words.next().unwrap_or_default();
    if std::process::id() != 1 && called.rsplit('/').next() == Some(modprobe::NAME) {
        return modprobe::run(words);
    }
    let cli = if std::process::id() == 1 { Cli::parse_from(["bootjack", "boot"]) } else { Cli::parse() };
    let done = match &cli.command {
        Command::Boot(args) => boot::run(args),
        Command::Attach(args) => attach::run(args),
        Command::Check(args) => check::run(args),
        Command::Menu(args) => menu::run(args),
        Command::Unpack(args) => unpack::run(args),
        Command::Pack(args) => pack::run(args),
        Command::Initrd(args) => initrd::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Vm(args) => vm::run(args),
    };
    done.unwrap_or_else(|failure| {
        output::complain(&failure);
        ExitCode::from(1)
    })
}
