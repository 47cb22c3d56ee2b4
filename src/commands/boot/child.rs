//! The worker as process 1 sees it: a child that says what it does, and ends. What its end leads to is the
//! supervisor's.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::LOG;
use super::words::{Legacy, Word};
use crate::early::Watchdog;
use crate::handover::Order;
use crate::load::{Failure, Phase};

/// Signals process 1 is sent by the kernel (Ctrl-Alt-Del: SIGINT) and by busybox's init tools.
pub const REBOOT: &[Signal] = &[Signal::SIGINT, Signal::SIGTERM];
pub const POWER_OFF: &[Signal] = &[Signal::SIGUSR1, Signal::SIGUSR2];

/// A worker that has nothing more to say is gone by then, unless the kernel holds it.
const ENDING: Duration = Duration::from_secs(5);

/// Writing back takes no longer than that, unless a disk is dead.
const WRITING_BACK: Duration = Duration::from_secs(30);

/// How a worker ended.
pub enum End {
    Order(Order),
    Died(ExitStatus),
}

/// What the supervisor knows of the running worker.
pub struct Worker {
    child: Child,
    words: ChildStdout,
    unread: Vec<u8>,
    pub doing: String,
    order: Option<Order>,
    /// Why it ended, in its own words.
    pub failure: Option<Failure>,
}

impl Worker {
    pub fn start() -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["boot", "--worker"]).stdin(Stdio::null()).stdout(Stdio::piped());
        // What a dying worker still says belongs to its log.
        match File::options().append(true).create(true).mode(0o600).open(LOG) {
            Ok(log) => command.stderr(log),
            Err(_) => command.stderr(Stdio::inherit()),
        };
        let mut child = command.spawn()?;
        let words = child.stdout.take().ok_or_else(|| io::Error::other("a worker without a pipe"))?;
        Ok(Self { child, words, unread: Vec::new(), doing: "starting".into(), order: None, failure: None })
    }

    /// Waits until it is gone, and everything it started with it.
    pub fn watch(
        &mut self,
        signals: &SignalFd,
        legacy: &mut Legacy,
        watchdog: &mut Watchdog,
    ) -> anyhow::Result<End> {
        let (mut open, mut ending) = (true, None);
        loop {
            let at_most = ending.map_or(watchdog.due(), |since: Instant| {
                ENDING.saturating_sub(since.elapsed()).min(watchdog.due())
            });
            let ready = wait_for(signals.as_fd(), open.then_some(self.words.as_fd()), at_most)?;
            watchdog.tend();
            if ready.words {
                open = self.listen(legacy)?;
            }
            // It has said its last word, or can say none.
            if ending.is_none() && (self.order.is_some() || !open) {
                ending = Some(Instant::now());
            }
            while ready.signal
                && let Some(info) = signals.read_signal().context("reading a signal")?
            {
                if let Some(order) = asked_by(info.ssi_signo) {
                    end_everything_else(watchdog);
                    return Ok(End::Order(order));
                }
            }
            let mut status = reap(self.child.id())?;
            if status.is_none() && ending.is_some_and(|since| since.elapsed() >= ENDING) {
                log::warn!("the worker does not end: a dead disk or server may hold it");
                let cause = "the worker did not end: a dead disk or server may hold it";
                let failure = || Failure::because(Phase::Worker, &self.doing, cause);
                self.failure.get_or_insert_with(failure);
                status = Some(ExitStatus::from_raw(Signal::SIGKILL as i32));
            }
            if let Some(status) = status {
                // Whoever inherited the pipe must be gone before its end can be waited for.
                end_everything_else(watchdog);
                while open && wait_for(signals.as_fd(), Some(self.words.as_fd()), Duration::ZERO)?.words {
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
                Ok(Word::Password(password)) => legacy.password = Some(password),
                Ok(Word::Failed(failure)) => self.failure = Some(failure),
                Ok(Word::Order(order)) => self.order = Some(order),
                Err(e) => log::error!("the worker said {:?}: {e}", String::from_utf8_lossy(&line)),
            }
        }
        Ok(n > 0)
    }
}

impl Worker {
    /// What is known of its death.
    pub fn obituary(&mut self, status: ExitStatus) -> Failure {
        let failure = self.failure.take().unwrap_or_else(|| death(&self.doing, status));
        log::error!("{failure}");
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

struct Ready {
    signal: bool,
    words: bool,
}

/// Until there is something to hear, or `at_most` is over.
fn wait_for(
    signals: BorrowedFd<'_>,
    words: Option<BorrowedFd<'_>>,
    at_most: Duration,
) -> anyhow::Result<Ready> {
    let mut fds = vec![PollFd::new(signals, PollFlags::POLLIN)];
    fds.extend(words.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    match poll(&mut fds, timeout(at_most)) {
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

/// Writes back what a job may have written to disks; not for ever: a dead one takes nothing. By a process of its own,
/// for sync(2) cannot be told to stop.
pub fn write_back(watchdog: &mut Watchdog) {
    let mut command = Command::new("/proc/self/exe");
    command.args(["boot", "--sync"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut sync = match command.spawn() {
        Ok(sync) => sync,
        Err(e) => return log::error!("not written back: {e}"),
    };
    let until = Instant::now() + WRITING_BACK;
    while Instant::now() < until {
        match sync.try_wait() {
            Ok(None) => pause(Duration::from_millis(20), watchdog),
            Ok(Some(_)) => return,
            Err(e) => return log::error!("writing back: {e}"),
        }
    }
    log::error!("a disk has not taken what was written to it for {} s", WRITING_BACK.as_secs());
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

/// Ends what a worker left running (a shell, its children): the next one needs the terminals, the next system everything.
pub fn end_everything_else(watchdog: &mut Watchdog) {
    // -1 is every process but ourselves and the kernel's (kill(2)).
    if let Err(e) = kill(Pid::from_raw(-1), Signal::SIGKILL)
        && e != Errno::ESRCH
    {
        log::warn!("ending what the worker left running: {e}");
    }
    // One that hangs in the kernel must not hold up the rest: it is left behind after a while.
    for _ in 0..250 {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => pause(Duration::from_millis(20), watchdog),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
    log::warn!("something the worker left running does not end");
}

/// A wait in which the watchdog is petted.
pub fn pause(time: Duration, watchdog: &mut Watchdog) {
    let end = Instant::now() + time;
    loop {
        watchdog.tend();
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if let Err(e) = poll(&mut [], timeout(left.min(watchdog.due())))
            && e != Errno::EINTR
        {
            log::warn!("waiting: {e}");
            return;
        }
    }
}

/// Waits for a program of the supervisor's own, with the watchdog petted meanwhile.
///
/// # Errors
/// Those of pidfd_open(2) (Linux 5.3) and poll(2); the program then still runs.
pub fn wait(child: &mut Child, watchdog: &mut Watchdog) -> io::Result<ExitStatus> {
    let ended = rustix::process::pidfd_open(
        rustix::process::Pid::from_child(child),
        rustix::process::PidfdFlags::empty(),
    )?;
    loop {
        watchdog.tend();
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match poll(&mut [PollFd::new(ended.as_fd(), PollFlags::POLLIN)], timeout(watchdog.due())) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Rounded up: a wait that ends too early would go round and round.
fn timeout(time: Duration) -> PollTimeout {
    PollTimeout::from(u16::try_from(time.as_millis() + 1).unwrap_or(u16::MAX))
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

    #[test]
    fn a_program_is_waited_for_and_its_status_told() {
        let mut child = Command::new("/bin/sh").args(["-c", "exit 3"]).spawn().unwrap();
        let status = wait(&mut child, &mut Watchdog::nowhere()).unwrap();
        assert_eq!(status.code(), Some(3));
    }
}
