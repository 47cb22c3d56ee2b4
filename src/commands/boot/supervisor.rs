//! Process 1: starts a worker, reaps, answers Ctrl-Alt-Del, pets the watchdog, performs the order a worker ends with.
//! It has no threads and parses nothing that came over a network, so that nothing that goes wrong in a boot takes the
//! machine down.

use std::convert::Infallible;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::OFlags;

use super::LOG;
use super::child::{self, End, POWER_OFF, REBOOT, Worker, end_everything_else, pause, write_back};
use super::kernel::{DEVKMSG, Kernel, PANIC, PRINTK};
use super::words::{Legacy, Policy};
use crate::catalog::Action;
use crate::cmdline::Params;
use crate::commands::rescue;
use crate::early::{self, Watchdog};
use crate::handover::{self, Fallen, Order, run};
use crate::load::{Failure, HANDOFF, Phase};
use crate::sys;
use crate::volumes;

/// A worker that lived shorter than this was never of use; the next one waits a little.
const SHORT_LIFE: Duration = Duration::from_secs(10);

/// After so many short lives in a row a shell on the console is of more use than another worker.
const SHORT_LIVES: u32 = 5;

/// After so many deaths with nobody there the firmware may know a better way: something kills each worker at the same place.
const MOST_DEATHS: u32 = 20;

/// So often nobody is found, or supervising fails, before the machine is rebooted.
const ROUNDS: u32 = 3;

/// A line of 150 characters takes so long at 1200 baud: no console is waited for longer.
const FAREWELL: Duration = Duration::from_millis(1500);

/// What the last resort says and does.
const LAST_RESORT: &str =
    "echo; echo 'bootjack: its workers die as soon as they start; the log is /run/bootjack/log';
echo 'Press Enter within a minute for a shell; otherwise another one is started.';
read -t 60 answer || exit 1; /bin/busybox sh -l; exit 0";

/// Never returns: process 1 must not end.
pub fn run() -> ! {
    let problems = early::perform(&early::steps());
    let told = fs::read_to_string("/proc/cmdline");
    let handed = Path::new(HANDOFF).exists();
    let params = Params::parse(told.as_deref().unwrap_or_default()).obeying(handed);
    let level = if params.debug { log::LevelFilter::Debug } else { log::LevelFilter::Info };
    if let Err(e) = early::log_to(true, Some(Path::new(LOG)), level) {
        // Nobody hears it but a serial line; there is nowhere else yet.
        eprintln!("bootjack: early: log: {e}");
    }
    log::info!("bootjack {} is process 1", env!("CARGO_PKG_VERSION"));
    for problem in problems {
        log::warn!("early: {problem}");
    }
    if let Err(e) = told {
        log::error!("/proc/cmdline: {e}");
    }
    // What is wrong in its words, a worker says.
    let (kernel, watchdog) = (Kernel::prepare(), Watchdog::new(params.watchdog));
    let (legacy, may_have_shell) = (Legacy::default(), !params.forbids_shell());
    let plain = params.plain;
    let mut life =
        Life { legacy, short_lives: 0, deaths: 0, rounds: 0, kernel, watchdog, may_have_shell, plain };
    for _ in 0..ROUNDS {
        let Err(e) = life.serve();
        log::error!("supervisor: {e:#}");
        end_everything_else(&mut life.watchdog);
        pause(Duration::from_secs(1), &mut life.watchdog);
    }
    // Supervising itself does not work here: the firmware may know a better way to boot.
    reboot_for_ever(&mut life.watchdog)
}

fn reboot_for_ever(watchdog: &mut Watchdog) -> ! {
    write_back(watchdog);
    watchdog.before_jump();
    loop {
        let Err(Fallen::Back(e) | Fallen::Gone(e)) = Order::Reboot.perform();
        log::error!("rebooting: {e:#}");
        // From here on a watchdog is not petted: it may know a way that the kernel does not.
        std::thread::park_timeout(Duration::from_secs(10));
    }
}

/// What lasts from worker to worker.
struct Life {
    legacy: Legacy,
    short_lives: u32,
    /// How many workers died since somebody was there, however long they lived.
    deaths: u32,
    /// How often the last resort found nobody.
    rounds: u32,
    kernel: Kernel,
    watchdog: Watchdog,
    /// Unless the command line forbids it.
    may_have_shell: bool,
    /// The consoles get no control sequences.
    plain: bool,
}

impl Life {
    /// Lives through workers, one after the other.
    fn serve(&mut self) -> anyhow::Result<Infallible> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGCHLD);
        REBOOT.iter().chain(POWER_OFF).for_each(|signal| signals.add(*signal));
        signals.thread_block().context("blocking signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&signals, flags).context("making a signalfd")?;
        loop {
            let started = Instant::now();
            // A worker that does not know what was before it is better than none.
            if let Err(e) = self.legacy.write() {
                log::error!("leaving word to the next worker: {e}");
                self.without_word();
            }
            let mut worker = Worker::start().context("starting a worker")?;
            let end = worker.watch(&signals, &mut self.legacy, &mut self.watchdog)?;
            self.kernel.restore(&[PRINTK]);
            self.legacy.worker += 1;
            let order = match end {
                End::Order(order) => order,
                End::Died(status) => {
                    consoles().iter().for_each(|tty| rescue::make_sane(tty, self.plain));
                    let mut failure = worker.obituary(status);
                    if discard_root() {
                        failure.cause.push("the half-made root was unmounted".into());
                    }
                    self.legacy.failure = Some(failure);
                    self.settle(started.elapsed());
                    continue;
                }
            };
            self.hand_over(&order, &worker.doing);
        }
    }

    /// Jobs ran, and a worker that does not know would run them again (a job may have filled /run): what is declared for
    /// the last one follows at once.
    fn without_word(&mut self) {
        if self.legacy.failing_since.ran.is_empty() {
            return;
        }
        if let Some((_, Policy { on_failure: Action::PowerOff, .. })) = self.legacy.booting {
            let order = Order::PowerOff;
            self.hand_over(&order, "ending a job");
        }
        reboot_for_ever(&mut self.watchdog);
    }

    /// Comes back only if the order could not be carried out and everything is as it was.
    fn hand_over(&mut self, order: &Order, doing: &str) {
        log::info!("handing over: {order}");
        self.kernel.restore(&[PRINTK, PANIC, DEVKMSG]);
        if let Order::Kexec(words) = order {
            self.say_farewell(&format!("\r\nbootjack: {words}\r\n"));
        }
        if !matches!(order, Order::SwitchRoot { .. } | Order::Kexec(_)) {
            write_back(&mut self.watchdog);
        }
        self.watchdog.before_jump();
        // A mount that was given up, and came after all, would move into the new system with /run.
        discard_mounts();
        match order.perform() {
            Err(Fallen::Back(e)) => {
                self.watchdog.after_failed_jump();
                self.legacy.failure = Some(Failure::new(Phase::Handover, doing, e));
                discard_root();
                self.kernel = Kernel::prepare();
            }
            Err(Fallen::Gone(e)) => {
                // Nothing of the failed root is run, and there is nothing else left.
                log::error!("handover: {e:#}: the old root is gone; rebooting in 30 s");
                eprintln!("bootjack: handover: {e:#}: the old root is gone; rebooting in 30 s");
                pause(Duration::from_secs(30), &mut self.watchdog);
                reboot_for_ever(&mut self.watchdog);
            }
        }
    }

    /// The last line, on every console of the kernel, and sent before the ports are shut down.
    fn say_farewell(&mut self, text: &str) {
        let open = |path: &PathBuf| {
            let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits() as i32;
            fs::File::options().write(true).custom_flags(flags).open(path).ok()
        };
        let mut consoles: Vec<fs::File> = consoles().iter().filter_map(open).collect();
        // One that takes nothing (flow control) is none to talk to.
        consoles.retain_mut(|console| console.write_all(text.as_bytes()).is_ok());
        let patience = Instant::now() + FAREWELL;
        while consoles.iter().any(|console| sys::unsent(console).is_ok_and(|bytes| bytes > 0))
            && Instant::now() < patience
        {
            pause(Duration::from_millis(20), &mut self.watchdog);
        }
    }

    /// Between workers that die as soon as they start: a growing pause, then a shell on the console; nobody there, a
    /// reboot.
    fn settle(&mut self, lived: Duration) {
        self.deaths = if self.legacy.attended { 0 } else { self.deaths + 1 };
        if self.deaths >= MOST_DEATHS {
            log::error!("{MOST_DEATHS} workers died with nobody there: rebooting");
            reboot_for_ever(&mut self.watchdog);
        }
        self.short_lives = if lived < SHORT_LIFE { self.short_lives + 1 } else { 0 };
        // Nobody is here who could ask for it.
        let may_have_shell = self.may_have_shell && self.legacy.password.is_none();
        match self.short_lives {
            0 | 1 => {}
            2..SHORT_LIVES => pause(Duration::from_secs(1 << self.short_lives), &mut self.watchdog),
            _ if may_have_shell && last_resort(&mut self.watchdog) => self.rounds = 0,
            _ if !may_have_shell => {
                pause(Duration::from_secs(60), &mut self.watchdog);
                self.rounds += 1;
            }
            _ => self.rounds += 1,
        }
        if self.rounds >= ROUNDS {
            reboot_for_ever(&mut self.watchdog);
        }
    }
}

/// The processes of a worker's job ended with the rest, and their mounts with them: then this gives the memory back.
fn discard_root() -> bool {
    run::discard_groups();
    discard_mounts();
    handover::discard_all().unwrap_or_else(|e| {
        log::error!("throwing away what a worker left: {e}");
        false
    })
}

/// Sources that a worker had mounted.
fn discard_mounts() {
    match volumes::discard_all() {
        Ok(mounts) => {
            mounts.iter().for_each(|at| log::info!("unmounted {}, which a worker left", at.display()))
        }
        Err(e) => log::error!("unmounting what a worker left below {}: {e}", volumes::MOUNTS),
    }
}

/// Nothing else works: a shell where the kernel speaks. Says whether somebody took it.
fn last_resort(watchdog: &mut Watchdog) -> bool {
    log::error!("{SHORT_LIVES} workers died as soon as they were started; offering a shell on the console");
    let Some(tty) = consoles().pop() else {
        pause(Duration::from_secs(60), watchdog);
        return false;
    };
    let mut shell = Command::new("/bin/busybox");
    shell.args(["sh", "-c", LAST_RESORT]);
    match sys::spawn_on_tty(shell, &tty).and_then(|mut shell| child::wait(&mut shell, watchdog)) {
        Ok(status) => status.success(),
        Err(e) => {
            log::error!("starting a shell on {}: {e}", tty.display());
            pause(Duration::from_secs(60), watchdog);
            false
        }
    }
}

/// The kernel's consoles, `/dev/console` last. A `tty0` is whatever is in front: at the start, the first.
fn consoles() -> Vec<PathBuf> {
    let names = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let path = |name| Path::new("/dev").join(if name == "tty0" { "tty1" } else { name });
    names.split_whitespace().map(path).collect()
}
