//! Where log lines go: a record each into the kernel's log, and a bounded file from which a failure screen shows the
//! last lines. What is worth logging is everybody's own business.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::fs::{FlockOperation, flock};
use rustix::time::{ClockId, clock_gettime};

use crate::secrets::hidden;

/// Where a boot keeps its log.
pub const LOG_FILE: &str = "/run/bootjack/log";

/// The kernel cuts longer records (`PRINTKRB_RECORD_MAX` less its own prefix in kernel/printk/printk.c).
const RECORD_MAX: usize = 976;

/// A log file never holds more than this (bytes); then the older half goes.
const FILE_MAX: u64 = 1 << 20;

/// Turns logging on for this process.
///
/// `kmsg`: into the kernel's log, unlimited by its rate limit; `file`: appended to, opened for each line, so that
/// several processes may share it. Libraries are heard only from a warning on.
///
/// # Errors
/// When `/dev/kmsg` cannot be opened (the file is written to all the same), or logging was turned on before.
pub fn log_to(kmsg: bool, file: Option<&Path>, level: LevelFilter) -> io::Result<()> {
    if kmsg {
        // Its absence costs lines under load, not the log: no reason to fail.
        let _ = fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
    }
    let (logger, opened) = logger(kmsg.then_some(Path::new("/dev/kmsg")), file, level);
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    log::set_max_level(level);
    opened
}

/// A logger in any case, and whether the kernel's log could be opened: the file does not depend on it.
fn logger(kmsg: Option<&Path>, file: Option<&Path>, level: LevelFilter) -> (Logger, io::Result<()>) {
    let (kmsg, opened) = match kmsg.map(|path| OpenOptions::new().write(true).open(path)).transpose() {
        Ok(kmsg) => (kmsg, Ok(())),
        Err(e) => (None, Err(e)),
    };
    (Logger { kmsg, file: file.map(Path::to_owned), level }, opened)
}

/// The last `lines` lines of a log file, oldest first; nothing if it cannot be read.
pub fn log_tail(path: &Path, lines: usize) -> Vec<String> {
    let Ok(bytes) = fs::read(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(ToString::to_string).collect()
}

/// Warnings and errors of this process that nobody has looked at.
static NEW_WARNINGS: AtomicU32 = AtomicU32::new(0);

/// How many warnings and errors were logged since somebody looked.
pub fn new_warnings() -> u32 {
    NEW_WARNINGS.load(Ordering::Relaxed)
}

/// Somebody looks at the log.
pub fn warnings_were_seen() {
    NEW_WARNINGS.store(0, Ordering::Relaxed);
}

struct Logger {
    kmsg: Option<File>,
    file: Option<PathBuf>,
    level: LevelFilter,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        let ours = metadata.target() == "bootjack" || metadata.target().starts_with("bootjack::");
        metadata.level() <= if ours { self.level } else { self.level.min(LevelFilter::Warn) }
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.level() <= Level::Warn {
            NEW_WARNINGS.fetch_add(1, Ordering::Relaxed);
        }
        // Whatever was said of a word or a URL of somebody's: many may read this.
        let text = hidden(&record.args().to_string());
        for line in text.lines() {
            // A log that cannot be written has nowhere to say so.
            if let Some(mut kmsg) = self.kmsg.as_ref() {
                for record in records(record.level(), line) {
                    let _ = kmsg.write_all(record.as_bytes());
                }
            }
            if let Some(file) = &self.file {
                let _ = append(file, &stamped(record.level(), line), FILE_MAX);
            }
        }
    }

    fn flush(&self) {}
}

/// The priorities of syslog(2).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// A line as records for `/dev/kmsg`, none longer than it takes; each is one write.
fn records(level: Level, line: &str) -> Vec<String> {
    let head = format!("<{}>bootjack: ", priority(level));
    let room = RECORD_MAX - head.len() - 1;
    let mut rest = line;
    let mut records = Vec::new();
    loop {
        let end = boundary(rest, room);
        records.push(format!("{head}{}\n", &rest[..end]));
        rest = &rest[end..];
        if rest.is_empty() {
            return records;
        }
    }
}

/// The last character boundary of `text` not beyond `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// With the time since boot, as the kernel's log has it.
fn stamped(level: Level, line: &str) -> String {
    let now = clock_gettime(ClockId::Monotonic);
    let mark = match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        _ => "",
    };
    format!("[{:5}.{:03}] {mark}{line}\n", now.tv_sec, now.tv_nsec / 1_000_000)
}

fn append(path: &Path, line: &str, most: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // Of the processes that share it, one at a time: nobody writes between reading and shortening. It ends with the file.
    flock(&file, FlockOperation::LockExclusive)?;
    file.write_all(line.as_bytes())?;
    if file.metadata()?.len() > most { halve(&mut file, most) } else { Ok(()) }
}

/// Keeps the newer half, from the beginning of a line on. It stays the same file: others have it open as their stderr.
fn halve(file: &mut File, most: u64) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut from = BufReader::new(&mut *file);
    from.seek(SeekFrom::Start(length.saturating_sub(most / 2)))?;
    from.skip_until(b'\n')?;
    let mut newer = Vec::new();
    from.read_to_end(&mut newer)?;
    file.set_len(0)?;
    file.write_all(&newer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_fits_the_kernel_and_nothing_of_a_line_is_lost() {
        let line = "é".repeat(1500);
        let records = records(Level::Warn, &line);
        assert!(records.len() > 3);
        assert!(records.iter().all(|r| r.len() <= RECORD_MAX && r.starts_with("<4>bootjack: ")));
        let joined: String =
            records.iter().map(|r| r.strip_prefix("<4>bootjack: ").unwrap().trim_end()).collect();
        assert_eq!(joined, line);
        assert_eq!(super::records(Level::Info, ""), ["<6>bootjack: \n"]);
    }

    #[test]
    fn warnings_count_until_somebody_looks() {
        let logger = Logger { kmsg: None, file: None, level: LevelFilter::Debug };
        let log = |level, text: &str| {
            let args = format_args!("{text}");
            logger.log(&Record::builder().target("bootjack").level(level).args(args).build());
        };
        // Other tests log, too.
        warnings_were_seen();
        let before = new_warnings();
        [Level::Warn, Level::Error, Level::Info].into_iter().for_each(|level| log(level, "x"));
        assert!(new_warnings() >= before + 2);
    }

    #[test]
    fn libraries_are_heard_from_a_warning_on() {
        let logger = Logger { kmsg: None, file: None, level: LevelFilter::Debug };
        let asks = |target, level| logger.enabled(&Metadata::builder().target(target).level(level).build());
        assert!(asks("bootjack::early", Level::Debug));
        assert!(asks("mozim::dhcpv4", Level::Warn));
        assert!(!asks("mozim::dhcpv4", Level::Info));
        assert!(!asks("bootjacket", Level::Info));
    }

    #[test]
    fn a_full_file_loses_its_older_half_and_keeps_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for n in 0..1000 {
            append(&path, &format!("line {n}\n"), 1000).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= 1000);
        let tail = log_tail(&path, 3);
        assert_eq!(tail, ["line 997", "line 998", "line 999"]);
        assert!(log_tail(&path, 10_000).iter().all(|l| l.starts_with("line ")));
        assert_eq!(log_tail(&dir.path().join("none"), 3), Vec::<String>::new());
    }

    #[test]
    fn who_has_the_file_open_keeps_writing_to_the_one_that_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut stderr = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        for n in 0..1000 {
            append(&path, &format!("line {n}\n"), 1000).unwrap();
        }
        writeln!(stderr, "panicked").unwrap();
        assert_eq!(log_tail(&path, 2), ["line 999", "panicked"]);
        assert!(!fs::read(&path).unwrap().contains(&0), "no hole where the older half was");
    }

    #[test]
    fn nothing_is_written_while_another_process_may_be_halving() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let held = File::create(&path).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        let (tell, hear) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                tell.send(rustix::thread::gettid()).unwrap();
                append(&path, "line\n", 1000)
            });
            // Asleep (proc_pid_stat(5)) or done: it has come to the file.
            let stat = format!("/proc/self/task/{}/stat", hear.recv().unwrap());
            while !writer.is_finished() && !fs::read_to_string(&stat).is_ok_and(|s| s.contains(") S ")) {
                std::thread::yield_now();
            }
            assert_eq!(log_tail(&path, 1), Vec::<String>::new());
            drop(held);
            writer.join().unwrap().unwrap();
        });
        assert_eq!(log_tail(&path, 1), ["line"]);
    }

    #[test]
    fn without_the_kernels_log_the_file_is_written_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (logger, opened) = logger(Some(&dir.path().join("none/kmsg")), Some(&path), LevelFilter::Info);
        assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::NotFound);
        let record =
            Record::builder().target("bootjack").level(Level::Warn).args(format_args!("kept")).build();
        logger.log(&record);
        assert!(log_tail(&path, 1)[0].ends_with("warning: kept"));
    }

    #[test]
    fn a_line_carries_time_and_weight() {
        let line = stamped(Level::Error, "no lease");
        assert!(line.starts_with('[') && line.ends_with("] error: no lease\n"), "{line}");
    }
}
