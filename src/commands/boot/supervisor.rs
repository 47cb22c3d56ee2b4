//! Process 1: starts a worker, reaps, answers Ctrl-Alt-Del, performs the order a worker ends with. It has no threads and
//! parses nothing that came over a network, so that nothing that goes wrong in a boot takes the machine down.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::LOG;
use super::words::{Legacy, Word};
use crate::commands::rescue;
use crate::early;
use crate::handover::{Fallen, Order, root};
use crate::load::{Failure, Phase};
use crate::sys;

/// A worker that lived shorter than this was never of use; the next one waits a little.
const SHORT_LIFE: Duration = Duration::from_secs(10);

/// After so many short lives in a row a shell on the console is of more use than another worker.
const SHORT_LIVES: u32 = 5;

/// So often nobody is found, or supervising fails, before the machine is rebooted.
const ROUNDS: u32 = 3;

/// Signals process 1 is sent by the kernel (Ctrl-Alt-Del: SIGINT) and by busybox's init tools.
const REBOOT: &[Signal] = &[Signal::SIGINT, Signal::SIGTERM];
const POWER_OFF: &[Signal] = &[Signal::SIGUSR1, Signal::SIGUSR2];

/// What the last resort says and does.
const LAST_RESORT: &str =
    "echo; echo 'bootjack: its workers die as soon as they start; the log is /run/bootjack/log';
echo 'Press Enter within a minute for a shell; otherwise another one is started.';
read -t 60 answer || exit 1; /bin/busybox sh -l; exit 0";

/// How a worker ended.
enum End {
    Order(Order),
    Died(ExitStatus),
}

/// What the supervisor knows of the running worker.
struct Worker {
    child: Child,
    words: ChildStdout,
    unread: Vec<u8>,
    doing: String,
    order: Option<Order>,
    /// Why it ended, in its own words.
    failure: Option<Failure>,
}

/// Never returns: process 1 must not end.
pub fn run() -> ! {
    let problems = early::perform(&early::steps());
    if let Err(e) = early::log_to(true, Some(Path::new(LOG)), log::LevelFilter::Info) {
        // Nobody hears it but a serial line; there is nowhere else yet.
        eprintln!("bootjack: early: log: {e}");
    }
    log::info!("bootjack {} is process 1", env!("CARGO_PKG_VERSION"));
    for problem in problems {
        log::warn!("early: {problem}");
    }
    let mut life = Life { legacy: Legacy::default(), short_lives: 0, rounds: 0, kernel: Kernel::prepare() };
    for _ in 0..ROUNDS {
        let Err(e) = life.serve();
        log::error!("supervisor: {e:#}");
        end_everything_else();
        pause(Duration::from_secs(1));
    }
    // Supervising itself does not work here: the firmware may know a better way to boot.
    reboot_for_ever()
}

fn reboot_for_ever() -> ! {
    loop {
        let Err(Fallen::Back(e) | Fallen::Gone(e)) = Order::Reboot.perform();
        log::error!("rebooting: {e:#}");
        pause(Duration::from_secs(10));
    }
}

/// What lasts from worker to worker.
struct Life {
    legacy: Legacy,
    short_lives: u32,
    /// How often the last resort found nobody.
    rounds: u32,
    kernel: Kernel,
}

/// What the kernel was told by others, to be told again before a system of theirs starts.
struct Kernel {
    settings: Vec<(&'static str, String)>,
}

/// The console loglevel, a reboot after a panic, and how much /dev/kmsg takes (proc_sys_kernel(5)).
const PRINTK: &str = "/proc/sys/kernel/printk";
const PANIC: &str = "/proc/sys/kernel/panic";
const DEVKMSG: &str = "/proc/sys/kernel/printk_devkmsg";

impl Kernel {
    /// What the kernel should do when nobody is there to say: reboot after a panic, leave Ctrl-Alt-Del to us.
    fn prepare() -> Self {
        match early::clock_floor() {
            Ok(None) => {}
            Ok(Some(set)) => log::warn!("early: {set}"),
            Err(e) => log::warn!("early: setting the clock: {e}"),
        }
        let read = |path| Some((path, fs::read_to_string(path).ok()?.trim().to_owned()));
        let settings = Self { settings: [PRINTK, PANIC, DEVKMSG].into_iter().filter_map(read).collect() };
        if settings.settings.iter().any(|(path, value)| *path == PANIC && value == "0")
            && let Err(e) = fs::write(PANIC, "30")
        {
            log::warn!("early: {PANIC}: {e}");
        }
        if let Err(e) = nix::sys::reboot::set_cad_enabled(false) {
            log::warn!("early: taking Ctrl-Alt-Del: {e}");
        }
        settings
    }

    /// A worker lowers the loglevel to draw, and may die before it puts it back.
    fn restore(&self, wanted: &[&str]) {
        for (path, value) in self.settings.iter().filter(|(path, _)| wanted.contains(path)) {
            if let Err(e) = fs::write(path, value) {
                log::warn!("restoring {path}: {e}");
            }
        }
    }
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
            }
            let mut worker = Worker::start().context("starting a worker")?;
            let end = worker.watch(&signals, &mut self.legacy)?;
            self.kernel.restore(&[PRINTK]);
            self.legacy.worker += 1;
            let order = match end {
                End::Order(order) => order,
                End::Died(status) => {
                    consoles().iter().for_each(|tty| rescue::make_sane(tty));
                    self.legacy.failure = Some(worker.obituary(status));
                    self.settle(started.elapsed());
                    continue;
                }
            };
            self.hand_over(&order, &worker.doing);
        }
    }

    /// Comes back only if the order could not be carried out and everything is as it was.
    fn hand_over(&mut self, order: &Order, doing: &str) {
        log::info!("handing over: {order:?}");
        self.kernel.restore(&[PRINTK, PANIC, DEVKMSG]);
        match order.perform() {
            Err(Fallen::Back(e)) => {
                self.legacy.failure = Some(Failure::new(Phase::Handover, doing, e));
                discard_root();
            }
            Err(Fallen::Gone(e)) => {
                // Nothing of the failed root is run, and there is nothing else left.
                log::error!("handover: {e:#}: the old root is gone; rebooting in 30 s");
                eprintln!("bootjack: handover: {e:#}: the old root is gone; rebooting in 30 s");
                pause(Duration::from_secs(30));
                reboot_for_ever();
            }
        }
    }

    /// Between workers that die as soon as they start: a growing pause, then a shell on the console; nobody there, a
    /// reboot.
    fn settle(&mut self, lived: Duration) {
        self.short_lives = if lived < SHORT_LIFE { self.short_lives + 1 } else { 0 };
        match self.short_lives {
            0 | 1 => {}
            2..SHORT_LIVES => pause(Duration::from_secs(1 << self.short_lives)),
            _ if last_resort() => self.rounds = 0,
            _ => self.rounds += 1,
        }
        if self.rounds >= ROUNDS {
            reboot_for_ever();
        }
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["boot", "--worker"]).stdin(Stdio::null()).stdout(Stdio::piped());
        // What a dying worker still says belongs to its log.
        match File::options().append(true).create(true).open(LOG) {
            Ok(log) => command.stderr(log),
            Err(_) => command.stderr(Stdio::inherit()),
        };
        let mut child = command.spawn()?;
        let words = child.stdout.take().ok_or_else(|| io::Error::other("a worker without a pipe"))?;
        Ok(Self { child, words, unread: Vec::new(), doing: "starting".into(), order: None, failure: None })
    }

    /// Waits until it is gone, and everything it started with it.
    fn watch(&mut self, signals: &SignalFd, legacy: &mut Legacy) -> anyhow::Result<End> {
        let mut open = true;
        loop {
            let ready = wait_for(signals.as_fd(), open.then_some(self.words.as_fd()))?;
            if ready.words {
                open = self.listen(legacy)?;
            }
            while ready.signal
                && let Some(info) = signals.read_signal().context("reading a signal")?
            {
                if let Some(order) = asked_by(info.ssi_signo) {
                    end_everything_else();
                    return Ok(End::Order(order));
                }
            }
            if let Some(status) = reap(self.child.id())? {
                // Whoever inherited the pipe must be gone before its end can be waited for.
                end_everything_else();
                while open {
                    open = self.listen(legacy)?;
                }
                return Ok(self.order.take().map_or(End::Died(status), End::Order));
            }
        }
    }

    /// Takes in what it says; false at its end.
    fn listen(&mut self, legacy: &mut Legacy) -> anyhow::Result<bool> {
        let mut buffer = [0; 4096];
        let n = match self.words.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(true),
            other => other.context("listening to the worker")?,
        };
        self.unread.extend(&buffer[..n]);
        while let Some(end) = self.unread.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Word::Doing(what)) => self.doing = what,
                Ok(Word::Attended(now)) => legacy.attended = now,
                Ok(Word::Booting { id, policy }) => legacy.booting = Some((id, policy)),
                Ok(Word::Failing(since)) => legacy.failing_since = since,
                Ok(Word::Failed(failure)) => self.failure = Some(failure),
                Ok(Word::Order(order)) => self.order = Some(order),
                Err(e) => log::error!("the worker said {:?}: {e}", String::from_utf8_lossy(&line)),
            }
        }
        Ok(n > 0)
    }
}

struct Ready {
    signal: bool,
    words: bool,
}

fn wait_for(signals: BorrowedFd<'_>, words: Option<BorrowedFd<'_>>) -> anyhow::Result<Ready> {
    let mut fds = vec![PollFd::new(signals, PollFlags::POLLIN)];
    fds.extend(words.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(e) => return Err(e).context("waiting for the worker"),
    }
    let ready = |fd: &PollFd| fd.any().unwrap_or(false);
    Ok(Ready { signal: ready(&fds[0]), words: fds.get(1).is_some_and(ready) })
}

/// Reaps whatever has ended: process 1 inherits every orphan. Says how `worker` ended, if it did.
fn reap(worker: u32) -> anyhow::Result<Option<ExitStatus>> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(ended),
            Ok(status) => {
                if status.pid().is_some_and(|pid| pid.as_raw() as u32 == worker) {
                    ended = match status {
                        WaitStatus::Exited(_, code) => Some(ExitStatus::from_raw(code << 8)),
                        WaitStatus::Signaled(_, signal, _) => Some(ExitStatus::from_raw(signal as i32)),
                        _ => ended,
                    };
                }
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e).context("reaping"),
        }
    }
}

/// Ends what a worker left running (a shell, its children): the next one needs the terminals, the next system everything.
fn end_everything_else() {
    // -1 is every process but ourselves and the kernel's (kill(2)).
    if let Err(e) = kill(Pid::from_raw(-1), Signal::SIGKILL)
        && e != Errno::ESRCH
    {
        log::warn!("ending what the worker left running: {e}");
    }
    // One that hangs in the kernel must not hold up the rest: it is left behind after a while.
    for _ in 0..250 {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => pause(Duration::from_millis(20)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
    log::warn!("something the worker left running does not end");
}

impl Worker {
    /// What is known of its death.
    fn obituary(&mut self, status: ExitStatus) -> Failure {
        let mut failure = self.failure.take().unwrap_or_else(|| death(&self.doing, status));
        log::error!("{failure}");
        if discard_root() {
            failure.cause.push("the half-made root was unmounted".into());
        }
        failure.hint("a new worker was started; the log (l) has its last lines")
    }
}

/// How it ended, and while doing what.
fn death(doing: &str, status: ExitStatus) -> Failure {
    let how = match status.signal() {
        Some(number) => {
            let name =
                Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.to_string());
            format!("the worker was killed by {name} while {doing}")
        }
        None => format!("the worker ended with status {} while {doing}", status.code().unwrap_or(-1)),
    };
    Failure::because(Phase::Worker, doing, how)
}

fn discard_root() -> bool {
    root::discard().unwrap_or_else(|e| {
        log::error!("unmounting {}: {e}", root::SYSROOT);
        false
    })
}

/// Nothing else works: a shell where the kernel speaks. Says whether somebody took it.
fn last_resort() -> bool {
    log::error!("{SHORT_LIVES} workers died as soon as they were started; offering a shell on the console");
    let Some(tty) = consoles().pop() else {
        pause(Duration::from_secs(60));
        return false;
    };
    let mut shell = Command::new("/bin/busybox");
    shell.args(["sh", "-c", LAST_RESORT]);
    match sys::spawn_on_tty(shell, &tty).and_then(|mut shell| shell.wait()) {
        Ok(status) => status.success(),
        Err(e) => {
            log::error!("starting a shell on {}: {e}", tty.display());
            pause(Duration::from_secs(60));
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

/// What a signal asks for: Ctrl-Alt-Del, and busybox's `reboot`, `halt` and `poweroff` in a shell.
fn asked_by(signal: u32) -> Option<Order> {
    let among = |signals: &[Signal]| signals.iter().any(|s| *s as u32 == signal);
    if among(REBOOT) {
        Some(Order::Reboot)
    } else if among(POWER_OFF) {
        Some(Order::PowerOff)
    } else {
        None
    }
}

fn pause(time: Duration) {
    let milliseconds = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
    // poll(2) on nothing is a wait that a signal may cut short.
    let _ = poll(&mut [], PollTimeout::from(milliseconds));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obituary_names_the_signal_and_what_was_going_on() {
        let failure = death("unpacking debian", ExitStatus::from_raw(Signal::SIGSEGV as i32));
        assert_eq!(failure.cause[0], "the worker was killed by SIGSEGV while unpacking debian");
        let failure = death("starting", ExitStatus::from_raw(3 << 8));
        assert_eq!(failure.cause[0], "the worker ended with status 3 while starting");
    }
}
