//! A job: a command in a root that was unpacked for it, while process 1 and the worker stay what they are. It has a
//! terminal, a mount namespace and a cgroup of its own, so that all it mounts and all it starts end with it. How it is
//! watched, and what its end leads to, are decided elsewhere.

mod inside;
mod leftovers;
mod output;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, kill_process, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::can_move_into;
use super::init;
use inside::Orders;
use leftovers::Leftovers;
use output::Record;

pub use inside::become_job;
pub use leftovers::{cgroup2, discard_groups};
pub use output::Lines;

/// From the request to end until it is made to.
const GRACE: Duration = Duration::from_secs(10);

/// What does not even end when it is killed hangs in the kernel; it is not waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// The record of a job never holds more (bytes).
const RECORD_MAX: u64 = 1 << 20;

/// Lines of an [`Outcome`].
const LAST_LINES: usize = 50;

/// Bytes taken from the terminal at once, so that a job that never stops talking does not stop whoever listens.
const PORTION: usize = 256 << 10;

/// A terminal that understands little is one that every tool knows how to draw on.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("TERM", "vt100"),
];

/// What is to run, where, and for how long.
#[derive(Clone, Debug)]
pub struct Job {
    /// The entry's id; names the record and the cgroup.
    pub entry: String,
    /// Where the tree is mounted.
    pub root: PathBuf,
    /// Program, an absolute path in the tree, and arguments.
    pub command: Vec<String>,
    /// Beside PATH, HOME and TERM; of something twice, the last.
    pub environment: Vec<(String, String)>,
    pub timeout: Duration,
    /// Columns and rows of its terminal.
    pub size: (u16, u16),
    /// The file that keeps what it says.
    pub record: PathBuf,
    /// This program, as the job starts it.
    pub program: PathBuf,
    /// Where cgroup2 is mounted; absent: the job is known by its root alone.
    pub cgroups: Option<PathBuf>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    Exit(i32),
    /// The signal that killed it: `SIGSEGV`.
    Signal(String),
    /// Its time was over, whatever it made of the signal then.
    Deadline,
    /// A person ended it.
    Stopped,
    /// It did not start: why.
    Refused(String),
}

/// What is known of a job that ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    pub end: End,
    pub elapsed: Duration,
    /// The last lines it said.
    pub log: Vec<String>,
    pub bytes_of_output: u64,
    /// Processes that were still there when the command had ended, and were killed.
    pub left_running: usize,
}

/// What is new of a running job.
#[derive(Debug, Default)]
pub struct Poll {
    /// What it said since, as it goes to a terminal.
    pub output: Vec<u8>,
    /// It ended, and nothing of it is left.
    pub ended: Option<End>,
}

/// A job that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    entry: String,
    timeout: Duration,
    child: Child,
    leftovers: Leftovers,
    terminal: File,
    /// What the child says until it is the command.
    line: UnixStream,
    record: Option<Record>,
    lines: Lines,
    bytes: u64,
    started: Instant,
    /// The request to end: when, and what it makes of the end.
    asked: Option<(Instant, End)>,
    stage: Stage,
    left_running: usize,
}

#[derive(Debug)]
enum Stage {
    Runs,
    /// The command ended at that instant; what it started is being killed.
    Clears(End, Instant),
    Over(End, Duration),
}

/// The file that keeps what the job of an entry says.
pub fn record_of(entry: &str) -> PathBuf {
    PathBuf::from(format!("/run/bootjack/job-{entry}.log"))
}

impl Job {
    /// A job as a boot runs it.
    pub fn new(entry: &str, root: &Path, command: Vec<String>, timeout: Duration) -> Self {
        Self {
            entry: entry.to_owned(),
            root: root.to_owned(),
            command,
            environment: Vec::new(),
            timeout,
            size: (80, 16),
            record: record_of(entry),
            program: "/proc/self/exe".into(),
            cgroups: cgroup2(),
        }
    }

    /// Starts it, after a look at whether it can.
    ///
    /// Its output and its controlling terminal are a pseudo-terminal; its input is `/dev/null`, so that a tool that asks
    /// a question fails at once instead of waiting for an answer until its time is over.
    ///
    /// # Errors
    /// What keeps it from starting, as far as that is known before. What is found out later is an [`End::Refused`].
    pub fn start(&self, now: Instant) -> anyhow::Result<Running> {
        let Some(program) = self.command.first() else { bail!("there is no command") };
        if !program.starts_with('/') {
            bail!("{program} is no absolute path");
        }
        init::check(&self.root, program).map_err(|why| anyhow::anyhow!("{program}: {why}"))?;
        can_move_into(&self.root)?;
        let leftovers = Leftovers::new(&self.root, &self.entry, self.cgroups.as_deref())?;
        let (terminal, [out, err]) = self.open_terminal().context("making a terminal")?;
        let (line, theirs) = UnixStream::pair().context("making a socket pair")?;
        let mut command = Command::new(&self.program);
        command.args(["boot", "--job"]).stdin(std::os::fd::OwnedFd::from(theirs)).stdout(out).stderr(err);
        let child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        // Our copies of its ends: with them open here, no end would ever be seen.
        drop(command);
        let mut running = Running {
            entry: self.entry.clone(),
            timeout: self.timeout,
            child,
            leftovers,
            terminal,
            line,
            record: self.make_record(),
            lines: Lines::new(LAST_LINES),
            bytes: 0,
            started: now,
            asked: None,
            stage: Stage::Runs,
            left_running: 0,
        };
        running.order(&self.orders(&running.leftovers)).context("giving the job its orders")?;
        Ok(running)
    }

    fn orders(&self, leftovers: &Leftovers) -> Orders {
        let usual = ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Orders {
            root: self.root.clone(),
            command: self.command.clone(),
            environment: usual.chain(self.environment.iter().cloned()).collect(),
            cgroup: leftovers.cgroup().map(Path::to_owned),
        }
    }

    /// Our end, which never blocks, and two of the job's.
    fn open_terminal(&self) -> io::Result<(File, [File; 2])> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        let theirs = File::from(open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?);
        let (ws_col, ws_row) = self.size;
        tcsetwinsize(&theirs, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok((File::from(ours), [theirs.try_clone()?, theirs]))
    }

    /// A job is worth more than its record.
    fn make_record(&self) -> Option<Record> {
        let made = Record::create(&self.record, RECORD_MAX);
        made.inspect_err(|e| log::error!("job {}: {}: {e}", self.entry, self.record.display())).ok()
    }
}

impl Running {
    /// Looks at what became of it, without waiting. To be called often, until it says that the job ended.
    pub fn poll(&mut self, now: Instant) -> Poll {
        self.keep_deadline(now);
        self.look_for_end(now);
        let mut output = self.take_output(PORTION);
        self.clear(now, &mut output);
        let ended = match &self.stage {
            Stage::Over(end, _) => Some(end.clone()),
            Stage::Runs | Stage::Clears(..) => None,
        };
        Poll { output, ended }
    }

    /// Asks it to end (SIGTERM); after 10 s it is made to. It has then been [`End::Stopped`].
    pub fn terminate(&mut self, now: Instant) {
        self.ask_to_end(now, End::Stopped);
    }

    /// What became of it. One that still runs is killed.
    pub fn finish(mut self) -> Outcome {
        if !matches!(self.stage, Stage::Over(..)) {
            self.end_now();
        }
        let (end, elapsed) = match &self.stage {
            Stage::Over(end, elapsed) => (end.clone(), *elapsed),
            Stage::Runs | Stage::Clears(..) => (End::Stopped, self.started.elapsed()),
        };
        let log = self.lines.last(LAST_LINES);
        if end != End::Exit(0) {
            // That it failed is the error; these are what it said of that.
            log.iter().for_each(|line| log::info!("job {}: {line}", self.entry));
        }
        let (bytes_of_output, left_running) = (self.bytes, self.left_running);
        Outcome { end, elapsed, log, bytes_of_output, left_running }
    }

    fn order(&mut self, orders: &Orders) -> io::Result<()> {
        self.line.write_all(&serde_json::to_vec(orders)?)?;
        self.line.shutdown(Shutdown::Write)?;
        self.line.set_nonblocking(true)
    }

    /// What kept the child from becoming the command.
    fn refusal(&mut self) -> Option<String> {
        let mut said = Vec::new();
        // All of it is there, or nothing will come: whoever could write is gone.
        if let Err(e) = self.line.read_to_end(&mut said) {
            log::warn!("job {}: listening to it: {e}", self.entry);
        }
        (!said.is_empty()).then(|| String::from_utf8_lossy(&said).into_owned())
    }

    fn keep_deadline(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Runs) {
            return;
        }
        if now.saturating_duration_since(self.started) >= self.timeout {
            self.ask_to_end(now, End::Deadline);
        }
        let Some((at, end)) = &self.asked else { return };
        let since = now.saturating_duration_since(*at);
        if since >= GRACE + PATIENCE {
            log::error!("job {}: it hangs in the kernel, and is left to it", self.entry);
            self.stage = Stage::Clears(end.clone(), now);
        } else if since >= GRACE {
            self.kill();
        }
    }

    /// Only the first asking counts.
    fn ask_to_end(&mut self, now: Instant, end: End) {
        if self.asked.is_some() || !matches!(self.stage, Stage::Runs) {
            return;
        }
        log::warn!("job {}: {end}: sending SIGTERM, in {} s SIGKILL", self.entry, GRACE.as_secs());
        self.asked = Some((now, end));
        let Some(pid) = Pid::from_raw(self.child.id() as i32) else { return };
        // All that share its session's first group; before it has one, itself.
        let term = rustix::process::Signal::TERM;
        if let Err(e) = kill_process_group(pid, term).or_else(|_| kill_process(pid, term)) {
            log::warn!("asking the job {} to end: {e}", self.entry);
        }
    }

    fn kill(&mut self) {
        // It may not have come as far as its cgroup. An error means that it ended already (InvalidInput).
        if let Err(e) = self.child.kill() {
            log::debug!("killing the job {}: {e}", self.entry);
        }
        self.leftovers.kill();
    }

    fn look_for_end(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Runs) {
            return;
        }
        match self.child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                let end = self.end_of(status);
                self.leftovers.kill();
                self.left_running = self.leftovers.count();
                self.stage = Stage::Clears(end, now);
            }
            Err(e) => {
                let end = End::Refused(format!("waiting for it: {e}"));
                self.stage = Stage::Clears(end, now);
            }
        }
    }

    fn end_of(&mut self, status: ExitStatus) -> End {
        if let Some(why) = self.refusal() {
            return End::Refused(why);
        }
        if let Some((_, end)) = self.asked.take() {
            return end;
        }
        match status.signal() {
            Some(number) => {
                let name = Signal::try_from(number).map(|s| s.as_str().to_owned());
                End::Signal(name.unwrap_or_else(|_| format!("signal {number}")))
            }
            None => End::Exit(status.code().unwrap_or(-1)),
        }
    }

    /// After the end: until nothing of it is left, then what was still on its way.
    fn clear(&mut self, now: Instant, output: &mut Vec<u8>) {
        let Stage::Clears(end, at) = &self.stage else { return };
        let (end, at) = (end.clone(), *at);
        let left = self.leftovers.kill();
        if left && now.saturating_duration_since(at) < PATIENCE {
            return;
        }
        if left {
            log::error!("job {}: {} of its processes do not end", self.entry, self.leftovers.count());
        }
        output.extend(self.take_output(usize::MAX));
        self.stage = Stage::Over(end, at.saturating_duration_since(self.started));
    }

    /// What came on its terminal. That its other end is closed (EIO) is not the end of the job.
    fn take_output(&mut self, most: usize) -> Vec<u8> {
        let mut output = Vec::new();
        let mut buffer = [0; 8192];
        while output.len() < most {
            match self.terminal.read(&mut buffer) {
                Ok(n @ 1..) => output.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        self.bytes += output.len() as u64;
        self.lines.push(&output);
        if let Some(record) = self.record.as_mut().filter(|_| !output.is_empty())
            && let Err(e) = record.write(&output)
        {
            log::error!("job {}: its record ends here: {e}", self.entry);
            self.record = None;
        }
        output
    }

    /// Kills and waits for it, but not for ever.
    fn end_now(&mut self) {
        self.kill();
        if !self.leftovers.end(PATIENCE) {
            log::error!("job {}: {} of its processes do not end", self.entry, self.leftovers.count());
        } else if let Err(e) = self.child.wait() {
            log::error!("waiting for the job {}: {e}", self.entry);
        }
        self.take_output(usize::MAX);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over(..)) {
            self.end_now();
        }
    }
}

impl Outcome {
    /// Of a job that did not start.
    pub fn refused(why: impl Into<String>) -> Self {
        let (end, elapsed) = (End::Refused(why.into()), Duration::ZERO);
        Self { end, elapsed, log: Vec::new(), bytes_of_output: 0, left_running: 0 }
    }

    /// Exit status 0, and nothing else.
    pub fn succeeded(&self) -> bool {
        self.end == End::Exit(0)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit status {code}"),
            Self::Signal(name) => write!(f, "killed by {name}"),
            Self::Deadline => f.write_str("its time was over"),
            Self::Stopped => f.write_str("stopped by a person"),
            Self::Refused(why) => write!(f, "not started: {why}"),
        }
    }
}
