//! The way in over the network: where `bootjack initrd --ssh` left keys and dropbear in this initrd, it is started and kept
//! going. Who may log in and what the machine shows is `ssh`'s, what who logged in gets `login`'s.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::report;
use crate::commands::ssh::{AUTHORIZED, HOST_KEY, HostKey, KEYGEN, SERVER};
use crate::sys;

/// Where the server looks for users and their keys. The one user is root: the socket of `attach` is root's. That of
/// /etc/shells is demanded of a login shell (getusershell(3)); glibc before 2.34 asks others than files unless told.
const FILES: &[(&str, &str)] = &[
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/bootjack-login\n"),
    ("/etc/group", "root:x:0:\ntty:x:5:\n"),
    ("/etc/shells", "/bin/bootjack-login\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n"),
];
const LOGIN: &str = "/bin/bootjack-login";
const KEYS_OF_ROOT: &str = "/root/.ssh";

/// In the foreground (-F), speaking to us (-E); no passwords (-s), no forwarding (-j, -k): screens, and nothing else. Somebody
/// who is gone without a word is gone after 90 s (-K, three times): dropbear(8).
const FLAGS: &[&str] = &["-F", "-E", "-s", "-j", "-k", "-K", "30", "-p", "22", "-r", HOST_KEY];

/// Before a server that ended is started again; longer each time, unless it had run for longer than the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Who is logged in gets so long to read that the boot goes on, and the server to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// The server, and what a person should know of it.
#[derive(Clone, Debug, Default)]
pub struct Ssh {
    fingerprint: Arc<OnceLock<String>>,
    over: Arc<AtomicBool>,
}

impl Ssh {
    /// Starts it, if this initrd has it: nothing waits for it, and a boot without it is a boot.
    pub fn start(notices: &mut Vec<String>) -> Self {
        let ssh = Self::default();
        if !Path::new(AUTHORIZED).exists() {
            return ssh;
        }
        let told = ssh.clone();
        let serve = move || {
            if let Err(e) = told.serve() {
                log::error!("ssh: nobody can log in: {e:#}");
            }
        };
        if let Err(e) = thread::Builder::new().name("ssh".into()).spawn(serve) {
            notices.push(format!("ssh: nobody can log in: starting a thread: {e}"));
        }
        ssh
    }

    /// A line for the network's screen.
    pub fn said(&self) -> Option<String> {
        self.fingerprint.get().map(|fingerprint| format!("ssh: root, host key {fingerprint}"))
    }

    /// Ends it and all who are logged in, whose screens were given back: for as long as there is a network. Whoever is cut off
    /// without a word by a link that goes down, or by another kernel, waits for minutes.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        if self.said().is_none() {
            return;
        }
        let until = |at_most, over: &dyn Fn(&[Process]) -> bool| {
            let begun = Instant::now();
            while !over(&processes()) && begun.elapsed() < at_most {
                thread::sleep(Duration::from_millis(20));
            }
        };
        let own = std::process::id();
        until(GOODBYE, &|all| all.iter().all(|process| process.parent == own));
        for process in processes() {
            if let Err(e) = kill(Pid::from_raw(process.id), Signal::SIGTERM) {
                log::warn!("ssh: ending process {}: {e}", process.id);
            }
        }
        until(GOODBYE, &<[Process]>::is_empty);
    }

    fn serve(&self) -> Result<()> {
        prepare().context("making a place for it")?;
        let fingerprint = host_key()?.fingerprint();
        log::info!("ssh: host key {fingerprint}");
        report::add(|report, _| report.running().ssh_host_key = Some(fingerprint.clone()));
        // Nobody else ever sets it.
        let _once = self.fingerprint.set(fingerprint);
        let mut pause = PAUSE;
        loop {
            let begun = Instant::now();
            // Too little memory for a process, while a root is unpacked, goes by.
            let ended = match server() {
                Ok(status) => status.to_string(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(e).context(SERVER),
                Err(e) => e.to_string(),
            };
            if self.over.load(Ordering::Relaxed) {
                return Ok(());
            }
            pause = if begun.elapsed() > LONGEST_PAUSE { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            log::warn!("ssh: {SERVER} ended, {ended}; started again in {} s", pause.as_secs());
            thread::sleep(pause);
        }
    }
}

/// Users, keys and the login shell where dropbear looks for them. A file that came with the initrd is somebody's intention,
/// and one that an earlier worker wrote is the same.
fn prepare() -> Result<()> {
    for (path, text) in FILES {
        match fs::read_to_string(path) {
            Ok(there) if there == *text => {}
            Ok(_) => log::warn!("ssh: {path} came with this initrd: logging in is what it makes of it"),
            Err(_) => write(path, text.as_bytes(), 0o644)?,
        }
    }
    match symlink("../init", LOGIN) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e).context(LOGIN),
        _ => {}
    }
    // It believes no keys in a place that others might write to.
    DirBuilder::new().mode(0o700).recursive(true).create(KEYS_OF_ROOT).context(KEYS_OF_ROOT)?;
    let keys = fs::read(AUTHORIZED).context(AUTHORIZED)?;
    write(&format!("{KEYS_OF_ROOT}/authorized_keys"), &keys, 0o600)
}

fn write(path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let file = File::options().write(true).create(true).truncate(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(bytes)).with_context(|| path.to_owned())
}

/// The one of the initrd, or of an earlier worker, or of the first stage; else a new one. It stays where the second stage
/// takes it from.
fn host_key() -> Result<HostKey> {
    if !Path::new(HOST_KEY).exists() {
        let mut keygen = Command::new(KEYGEN);
        keygen.args(["-t", "ed25519", "-f", HOST_KEY]).env_clear().stdin(Stdio::null());
        let made = keygen.output().with_context(|| format!("starting {KEYGEN}"))?;
        let words = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "{KEYGEN}: {}: {}", made.status, words.trim());
    }
    HostKey::parse(&fs::read(HOST_KEY).context(HOST_KEY)?).context(HOST_KEY)
}

/// Runs it until it ends. It goes with this thread, and so with the worker.
fn server() -> io::Result<ExitStatus> {
    let mut command = Command::new(SERVER);
    command.args(FLAGS).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = sys::spawn_tied(&mut command)?;
    if let Some(said) = child.stderr.take() {
        // Not awaited: those who are logged in have it, too, and stay when the server ends.
        let listen = move || {
            for line in BufReader::new(said).split(b'\n').map_while(io::Result::ok) {
                let line = String::from_utf8_lossy(&line);
                log::log!(level(&line), "ssh: {}", words(&line));
            }
        };
        if let Err(e) = thread::Builder::new().name("ssh words".into()).spawn(listen) {
            child.kill()?;
            child.wait()?;
            return Err(e);
        }
    }
    child.wait()
}

/// One of the server's: itself, or one for each who is logged in.
struct Process {
    id: i32,
    parent: u32,
}

/// All of them; those that have ended have no program any more (proc(5)).
fn processes() -> Vec<Process> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let server = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let program = fs::read_link(entry.path().join("exe")).ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        (program == Path::new(SERVER)).then_some(Process { id, parent: parent(&stat)? })
    };
    all.filter_map(|entry| server(entry.ok()?)).collect()
}

/// Out of `id (name) state parent …`: the name may have blanks and brackets.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Without the process and the time before it: `[123] Nov 30 08:00:00 Child connection from …` (svr-main.c).
fn words(line: &str) -> &str {
    let line = line.trim_end();
    let after = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    after.and_then(|(_, rest)| rest.get("Nov 30 08:00:00 ".len()..)).unwrap_or(line)
}

/// Whoever only knocks is noise on a network where many do; who is refused is none (`user 'root', 1 fails`).
fn level(line: &str) -> log::Level {
    let noise = ["Child connection from", "Exit before auth", "Not backgrounding", "Early exit"];
    let refused = line.contains(" fails)") && !line.contains(" 0 fails)");
    if refused {
        return log::Level::Warn;
    }
    if noise.iter().any(|noise| line.contains(noise)) { log::Level::Debug } else { log::Level::Info }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_what_dropbear_says_without_its_clock() {
        let login = "[123] Nov 30 08:00:00 Pubkey auth succeeded for 'root' from 10.0.2.2:1";
        assert_eq!(words(login), "Pubkey auth succeeded for 'root' from 10.0.2.2:1");
        assert_eq!(level(login), log::Level::Info);
        let refused =
            "[1] Nov 30 08:00:00 Exit before auth from <10.0.2.2:1>: (user 'root', 2 fails): Exited normally";
        assert_eq!(level(refused), log::Level::Warn);
        assert_eq!(level(&refused.replace("2 fails", "0 fails")), log::Level::Debug);
        assert_eq!(words("dropbear: cannot"), "dropbear: cannot");
        assert_eq!(words("[1] x"), "[1] x");
        assert_eq!(level("[1] Nov 30 08:00:00 Child connection from 10.0.2.2:1"), log::Level::Debug);
    }

    #[test]
    fn the_parent_of_a_process_is_found_whatever_its_name_is() {
        assert_eq!(parent("12 (dropbear) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (a) S 1 (b)) R 8 1"), Some(8));
        assert_eq!(parent("12 (a"), None);
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(parent(&own), Some(std::os::unix::process::parent_id()));
    }

    #[test]
    fn a_machine_without_keys_of_ssh_starts_nothing_and_says_nothing() {
        assert!(!Path::new(AUTHORIZED).exists(), "this machine boots with bootjack");
        let mut notices = Vec::new();
        assert_eq!(Ssh::start(&mut notices).said(), None);
        assert!(notices.is_empty());
    }
}
