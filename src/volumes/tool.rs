//! Runs one of the programs that put block devices together, if it is there: its words to the log, stopped when told
//! so. What is run when is others'.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Where `bootjack initrd --with` leaves them, and distributions have them.
const PLACES: &[&str] = &["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// How often it is asked whether to go on (ms).
const ASK: u16 = 250;

/// What was killed is gone by then, unless the kernel holds it.
const LETTING_GO: Duration = Duration::from_secs(2);

/// A udev that listens makes device nodes by itself.
const UDEV: &str = "/run/udev/control";

/// How a program ended.
pub(super) struct Done {
    pub status: ExitStatus,
    /// All it said.
    pub words: String,
}

/// Whether somebody else makes device nodes.
pub(super) fn has_udev() -> bool {
    Path::new(UDEV).exists()
}

/// Where the program is; nothing where nobody brought it along.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file())
}

/// Runs a program with `input` on its standard input, until it ends; nothing if it was stopped.
///
/// # Errors
/// It cannot be started or waited for.
pub(super) fn run(
    program: &Path,
    args: &[&str],
    input: &[u8],
    on: &dyn Fn() -> ControlFlow<()>,
) -> io::Result<Option<Done>> {
    // A file in memory takes whatever is said without anybody who must read it meanwhile.
    let mut said = File::from(memfd_create("words", MemfdFlags::CLOEXEC)?);
    let mut command = Command::new(program);
    command.args(args).env_clear().env("LC_ALL", "C").env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    if !has_udev() {
        // libdevmapper(3) and mdadm(8): nobody answers, make nodes yourself.
        command.envs([("DM_DISABLE_UDEV", "1"), ("MDADM_NO_UDEV", "1")]);
    }
    command.stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said.try_clone()?);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            // It ended without reading: its status says why.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if on().is_break() {
            end(child, program)?;
            return Ok(None);
        }
        match poll(&mut [PollFd::new(ended.as_fd(), PollFlags::POLLIN)], ASK) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    };
    let mut words = Vec::new();
    said.rewind()?;
    said.read_to_end(&mut words)?;
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    log::info!("{name} {}: {status}", args.join(" "));
    words.lines().for_each(|line| log::info!("{name}: {line}"));
    Ok(Some(Done { status, words }))
}

/// Kills it. One that the kernel holds, on a dead disk, is not waited for.
fn end(mut child: Child, program: &Path) -> io::Result<()> {
    child.kill()?;
    let until = Instant::now() + LETTING_GO;
    while child.try_wait()?.is_none() {
        if Instant::now() >= until {
            log::warn!("{} does not end: a dead disk may hold it", program.display());
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_both_kinds_and_the_status_come_back() {
        let script = "cat; echo more >&2; exit 3";
        let go_on = || ControlFlow::Continue(());
        let done = run(Path::new("/bin/sh"), &["-c", script], b"in\n", &go_on).unwrap().unwrap();
        assert_eq!((done.status.code(), done.words.as_str()), (Some(3), "in\nmore"));
        // What cannot be read is no error, and what it leaves unread neither.
        let done = run(Path::new("/bin/true"), &[], &[0; 1 << 17], &go_on).unwrap().unwrap();
        assert!(done.status.success());
    }

    #[test]
    fn a_program_that_does_not_end_is_stopped() {
        let began = std::time::Instant::now();
        let stopped = run(Path::new("/bin/sleep"), &["100"], b"", &|| ControlFlow::Break(())).unwrap();
        assert!(stopped.is_none() && began.elapsed().as_secs() < 50);
    }
}
