//! The binary: process id 1 means `boot`, otherwise the first word names the command.

fn main() -> std::process::ExitCode {
    bootjack::cli::run()
}
