//! What a person gets when the story does not go on: a shell with job control on the console they are at. When it is
//! offered is `boot`'s.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, ensure};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};

use crate::{sys, tui};

const BUSYBOX: &str = "/bin/busybox";

/// The programs of `bootjack initrd --with` first: busybox's are in /bin, and the kernel's modprobe is in /sbin.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/bin:/sbin";

/// Said first; the words after `exec` become the shell.
const GREETING: &str = r#"
printf '\033[2J\033[H'
echo "bootjack: shell on $(tty); 'exit' or Ctrl-D goes back"
echo "bootjack: the log is /run/bootjack/log"
[ -z "$1" ] || echo "bootjack: $1"
exec /bin/busybox sh -l"#;

/// Runs a shell on the terminal at `tty` until it is left; `about` is a line on what it is for, or nothing.
///
/// # Errors
/// If the initrd has no busybox, or the terminal cannot be opened.
pub fn shell(tty: &Path, about: &str) -> anyhow::Result<ExitStatus> {
    let command = command(tty, about)?;
    let mut child =
        sys::spawn_on_tty(command, tty).with_context(|| format!("starting a shell on {}", tty.display()))?;
    Ok(child.wait()?)
}

/// The same in the session of whoever is at this terminal: nobody else may take it from him (TIOCSCTTY of
/// ioctl_tty(2)).
///
/// # Errors
/// As of [`shell`].
pub fn shell_here(about: &str) -> anyhow::Result<ExitStatus> {
    Ok(command(Path::new("/dev/tty"), about)?.status()?)
}

fn command(tty: &Path, about: &str) -> anyhow::Result<Command> {
    ensure!(
        Path::new(BUSYBOX).exists(),
        "this initrd has no shell: {BUSYBOX} is not there (bootjack initrd --busybox puts it in)"
    );
    install_applets().context("installing busybox's applets")?;
    let mut command = Command::new(BUSYBOX);
    command.args(["sh", "-c", GREETING, "sh", about]).current_dir("/").env_clear();
    command.envs([("HOME", "/root"), ("PATH", PATH), ("TERM", term(tty))]);
    command.env("PS1", r"bootjack:\w# ");
    Ok(command)
}

/// Puts a terminal into the modes a shell or a new system expects (stty sane): whoever drew on it may have died before
/// it could. To one that is `plain` nobody wrote anything that has to be taken back.
pub fn make_sane(tty: &Path, plain: bool) {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let done = open(tty, flags, Mode::empty()).and_then(|terminal| {
        let mut modes = tcgetattr(&terminal)?;
        modes.input_modes |= InputModes::ICRNL | InputModes::IXON | InputModes::BRKINT;
        modes.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        let local = LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        modes.local_modes |= local | LocalModes::ECHO | LocalModes::ECHOE | LocalModes::ECHOK;
        tcsetattr(&terminal, OptionalActions::Now, &modes)?;
        // What it looks like, too: without autowrap and a cursor no shell can be used. As much of it as is taken at once.
        match rustix::io::write(&terminal, if plain { b"" } else { tui::GIVE_BACK }) {
            Err(Errno::AGAIN) => Ok(()),
            written => written.map(drop),
        }
    });
    if let Err(e) = done {
        log::warn!("setting the modes of {}: {e}", tty.display());
    }
}

/// The kernel's own terminal is `linux`; of what hangs on a serial line only the oldest common ground is known.
fn term(tty: &Path) -> &'static str {
    let name = tty.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    let vt = name.strip_prefix("tty").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if vt { "linux" } else { "vt220" }
}

/// Links for all of busybox's commands. What is there already, its own links or a program of `bootjack initrd --with`,
/// it leaves alone without a word (`install_links` of its appletlib.c).
fn install_applets() -> anyhow::Result<()> {
    fs::create_dir_all("/root")?;
    // Not with our standard output: that is for the supervisor.
    let mut install = Command::new(BUSYBOX);
    let status = install.args(["--install", "-s", "/bin"]).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{BUSYBOX} --install: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::term;
    use std::path::Path;

    #[test]
    fn a_serial_line_is_not_taken_for_the_kernels_terminal() {
        assert_eq!(term(Path::new("/dev/tty1")), "linux");
        assert_eq!(term(Path::new("/dev/ttyS0")), "vt220");
        assert_eq!(term(Path::new("/dev/hvc0")), "vt220");
    }
}
