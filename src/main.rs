//! local trial
use clap::{Parser, Subcommand};
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    c: C,
}
#[derive(Subcommand)]
enum C {
    Initrd(bootjack::commands::initrd::InitrdArgs),
    Vm(bootjack::commands::vm::VmArgs),
}
fn main() -> std::process::ExitCode {
    let Cli { c } = Cli::parse();
    let r = match &c {
        C::Initrd(a) => bootjack::commands::initrd::run(a),
        C::Vm(a) => bootjack::commands::vm::run(a),
    };
    r.unwrap_or_else(|f| {
        eprintln!("bootjack: {f}");
        if let Some(h) = &f.hint {
            eprintln!("hint: {h}");
        }
        std::process::ExitCode::FAILURE
    })
}
