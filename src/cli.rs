//! The words of the command line: one arm a command. What a command does is in its own file.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::login::Wish;
use crate::commands::{attach, boot, check, initrd, login, menu, modprobe, output, pack, serve, unpack, vm};
use crate::load::Failure;

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
    let called = called.rsplit('/').next().unwrap_or_default().trim_start_matches('-');
    let done = match called {
        _ if std::process::id() == 1 => done(&Cli::parse_from(["bootjack", "boot"])),
        modprobe::NAME => return modprobe::run(words),
        login::NAME => match login::wish(&words.collect::<Vec<_>>()) {
            Ok(Wish::Command(words)) => done(&Cli::parse_from([vec!["bootjack".to_owned()], words].concat())),
            Ok(Wish::Log) => login::log(),
            Err(refused) => Err(refused),
        },
        _ => done(&Cli::parse()),
    };
    done.unwrap_or_else(|failure| {
        output::complain(&failure);
        ExitCode::from(1)
    })
}

fn done(cli: &Cli) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Boot(args) => boot::run(args),
        Command::Attach(args) => attach::run(args),
        Command::Check(args) => check::run(args),
        Command::Menu(args) => menu::run(args),
        Command::Unpack(args) => unpack::run(args),
        Command::Pack(args) => pack::run(args),
        Command::Initrd(args) => initrd::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Vm(args) => vm::run(args),
    }
}
