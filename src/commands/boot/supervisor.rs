//! Process 1: starts a worker, reaps, answers Ctrl-Alt-Del, performs the order a worker ends with. It has no threads and
//! parses nothing that came over a network, so that nothing that goes wrong in a boot takes the machine down.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
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
use crate::early;
use crate::handover::{Order, root};
use crate::load::{Failure, Phase};
use crate::sys;

/// A worker that lived shorter than this was never of use; the next one waits a little.
const SHORT_LIFE: Duration = Duration::from_secs(10);

/// After so many short lives in a row a shell on the console is of more use than another worker.
const SHORT_LIVES: u32 = 5;

/// The first number is the level below which messages reach the consoles (proc_sys_kernel(5)).
const PRINTK: &str = "/proc/sys/kernel/printk";

/// What the last resort says and does.
const LAST_RESORT: &str =
    "echo; echo 'bootjack: its workers die as soon as they start; the log is /run/bootjack/log';
echo 'Press Enter within a minute for a shell; otherwise another one is started.';
read -t 60 answer && exec /bin/busybox sh -l";

/// How a worker ended.
enum End {
    Order(Order),
    Died(ExitStatus),
    /// Somebody pressed Ctrl-Alt-Del.
    Interrupted,
}

/// What the supervisor knows of the running worker.
struct Worker {
    child: Child,
    words: ChildStdout,
    unread: Vec<u8>,
    doing: String,
    order: Option<Order>,
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
    prepare_kernel();
    let mut legacy = Legacy::default();
    let mut short_lives = 0;
    loop {
        let Err(e) = serve(&mut legacy, &mut short_lives);
        log::error!("supervisor: {e:#}");
        pause(Duration::from_secs(1));
    }
}

/// What the kernel should do when nobody is there to say: reboot after a panic, leave Ctrl-Alt-Del to us.
fn prepare_kernel() {
    match early::clock_floor() {
        Ok(None) => {}
        Ok(Some(set)) => log::warn!("early: {set}"),
        Err(e) => log::warn!("early: setting the clock: {e}"),
    }
    let panic = "/proc/sys/kernel/panic";
    if fs::read_to_string(panic).is_ok_and(|text| text.trim() == "0")
        && let Err(e) = fs::write(panic, "30")
    {
        log::warn!("early: {panic}: {e}");
    }
    if let Err(e) = nix::sys::reboot::set_cad_enabled(false) {
        log::warn!("early: taking Ctrl-Alt-Del: {e}");
    }
}

/// The kernel's console loglevel; a worker lowers it to draw and may die before it puts it back.
fn loglevel() -> Option<String> {
    fs::read_to_string(PRINTK).ok()?.split_whitespace().next().map(str::to_owned)
}

fn restore_loglevel(level: Option<&String>) {
    if let Some(level) = level
        && let Err(e) = fs::write(PRINTK, level)
    {
        log::warn!("restoring the console loglevel: {e}");
    }
}

/// Lives through workers, one after the other.
fn serve(legacy: &mut Legacy, short_lives: &mut u32) -> anyhow::Result<Infallible> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        signals.add(signal);
    }
    signals.thread_block().context("blocking signals")?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&signals, flags).context("making a signalfd")?;
    let level = loglevel();
    loop {
        let started = Instant::now();
        legacy.write().context("leaving word to the next worker")?;
        let mut worker = Worker::start().context("starting a worker")?;
        let end = worker.watch(&signals, legacy)?;
        end_everything_else();
        restore_loglevel(level.as_ref());
        legacy.worker += 1;
        let order = match end {
            End::Order(order) => order,
            End::Interrupted => Order::Reboot,
            End::Died(status) => {
                legacy.failure = Some(obituary(&worker.doing, status));
                *short_lives = if started.elapsed() < SHORT_LIFE { *short_lives + 1 } else { 0 };
                settle(*short_lives);
                continue;
            }
        };
        log::info!("handing over: {order:?}");
        let Err(e) = order.perform();
        legacy.failure = Some(Failure::new(Phase::Handover, worker.doing, e));
        discard_root();
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
        Ok(Self { child, words, unread: Vec::new(), doing: "starting".into(), order: None })
    }

    /// Waits until it is gone.
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
                if info.ssi_signo == Signal::SIGINT as u32 {
                    return Ok(End::Interrupted);
                }
            }
            if let Some(status) = reap(self.child.id())? {
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
                Ok(Word::Attended(now)) => legacy.attended |= now,
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

/// What is known of a worker's death: how, while doing what, and its last words.
fn obituary(doing: &str, status: ExitStatus) -> Failure {
    let how = match status.signal() {
        Some(number) => {
            let name =
                Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.to_string());
            format!("the worker was killed by {name} while {doing}")
        }
        None => format!("the worker ended with status {} while {doing}", status.code().unwrap_or(-1)),
    };
    log::error!("{how}");
    let removed = discard_root();
    let mut failure = Failure::because(Phase::Worker, doing, how);
    if removed {
        failure.cause.push("the half-made root was unmounted".into());
    }
    failure.hint("a new worker was started; the log (l) has its last lines")
}

fn discard_root() -> bool {
    root::discard().unwrap_or_else(|e| {
        log::error!("unmounting {}: {e}", root::SYSROOT);
        false
    })
}

/// Between workers that die as soon as they start: a growing pause, then a shell on the console.
fn settle(short_lives: u32) {
    match short_lives {
        0 | 1 => {}
        2..SHORT_LIVES => pause(Duration::from_secs(1 << short_lives)),
        _ => last_resort(),
    }
}

/// Nothing else works: a shell where the kernel speaks, for a minute if nobody is there; then another try.
fn last_resort() {
    log::error!("{SHORT_LIVES} workers died as soon as they were started; starting a shell on the console");
    let name = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let Some(name) = name.split_whitespace().next_back() else { return pause(Duration::from_secs(60)) };
    let tty = Path::new("/dev").join(if name == "tty0" { "tty1" } else { name });
    let mut shell = Command::new("/bin/busybox");
    shell.args(["sh", "-c", LAST_RESORT]);
    match sys::spawn_on_tty(shell, &tty) {
        Ok(mut shell) => drop(shell.wait()),
        Err(e) => {
            log::error!("starting a shell on {}: {e}", tty.display());
            pause(Duration::from_secs(60));
        }
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
        let failure = obituary("unpacking debian", ExitStatus::from_raw(Signal::SIGSEGV as i32));
        assert_eq!(failure.cause[0], "the worker was killed by SIGSEGV while unpacking debian");
        let failure = obituary("starting", ExitStatus::from_raw(3 << 8));
        assert_eq!(failure.cause[0], "the worker ended with status 3 while starting");
    }
}
