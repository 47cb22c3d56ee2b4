//! `bootjack boot`: process 1. The supervisor keeps the machine alive, a worker process lives the story: make the
//! kernel habitable → read the command line → know the machine → bring up the network → get the catalog → ask the
//! person (or the timeout) → plan → load → hand over.

mod attempt;
pub(super) mod beginning;
mod breaks;
mod child;
mod course;
mod diagnose;
#[doc(hidden)]
mod guard;
pub mod handoff;
mod job;
mod kernel;
mod loading;
pub mod report;
mod second;
mod source;
mod ssh;
mod storage;
mod supervisor;
mod trust;
mod waiting;
mod words;
mod worker;

use std::process::ExitCode;

use crate::handover::run::become_job;
use crate::load::{Failure, Phase};

/// Be process 1: bring the machine up, show the menu, boot what is chosen
#[derive(clap::Args)]
#[command(
    after_help = "Example: a kernel started with this program as /init does it by itself; see docs/boot.md"
)]
pub struct BootArgs {
    /// Be the worker of the supervisor that started it
    #[arg(long, hide = true)]
    worker: bool,
    /// Become the job that is told over standard input
    #[arg(long, hide = true, conflicts_with = "worker")]
    job: bool,
    /// Write back what is in memory, for a process that must not wait for a dead disk
    #[arg(long, hide = true, conflicts_with_all = ["worker", "job"])]
    sync: bool,
}

/// Where the log of all workers is, for the failure screen and for the system that comes up.
pub const LOG: &str = "/run/bootjack/log";

/// Runs the supervisor (which never returns), a worker (which ends with its order), or a job (which is another program
/// from then on).
///
/// # Errors
/// If this is not process 1, nor its worker.
pub fn run(args: &BootArgs) -> Result<ExitCode, Failure> {
    if args.worker {
        return worker::run();
    }
    if args.job {
        return Err(Failure::new(Phase::Worker, "job", become_job()));
    }
    if args.sync {
        rustix::fs::sync();
        return Ok(ExitCode::SUCCESS);
    }
    if std::process::id() != 1 {
        return Err(Failure::because(Phase::Early, "bootjack boot", "this is not process 1").hint(
            "it runs as /init of an initrd: see 'bootjack initrd --help'; 'bootjack menu' shows a menu here",
        ));
    }
    supervisor::run()
}
