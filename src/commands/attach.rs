//! `bootjack attach`: the screens of a boot that is going on, on one more terminal. Showing them is the boot's; here is what
//! the one who came has to do himself: to wait, to run a shell when told so, and to leave a terminal as it was.

use std::fs;
use std::io::{self, BufRead as _, BufReader, ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::termios::{self, OptionalActions};

use super::rescue;
use crate::load::{Failure, Phase};
use crate::tui::Look;
use crate::tui::attach::{Ask, SOCKET, Told, line};

/// Show the screens of the boot that is going on here in this terminal too; Ctrl-] leaves
#[derive(clap::Args)]
#[command(after_help = "Example: bootjack attach --once --size 100x30\n\n\
    The boot's other consoles go on; a key on any of them counts. Exit status: 0 left, or the boot went on; 1 no boot.")]
pub struct AttachArgs {
    /// Print the screen as text and leave
    #[arg(long)]
    pub once: bool,
    /// How large the text is
    #[arg(long, value_name = "COLUMNSxROWS", value_parser = size, default_value = "80x24", requires = "once")]
    pub size: (u16, u16),
    /// Where the boot listens
    #[arg(long, value_name = "SOCKET", default_value = SOCKET)]
    pub socket: PathBuf,
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let numbers = text.split_once('x').and_then(|(c, r)| Some((c.parse().ok()?, r.parse().ok()?)));
    let fits = |&(columns, rows): &(u16, u16)| (40..=300).contains(&columns) && (12..=100).contains(&rows);
    numbers.filter(fits).ok_or_else(|| "from 40x12 to 300x100".to_owned())
}

/// Joins, and waits until the boot or the person has enough of it.
///
/// # Errors
/// No boot is going on, it lets nobody in, or this is no terminal.
pub fn run(args: &AttachArgs) -> Result<ExitCode, Failure> {
    let about = |e| Failure::new(Phase::Worker, args.socket.display().to_string(), e);
    let stream = UnixStream::connect(&args.socket).map_err(|e| match e.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => about(e)
            .hint("no boot is going on here: attach is for the machine that boots, in a shell or by ssh"),
        _ => about(e),
    })?;
    let mut boot = Boot { to: stream.try_clone().map_err(about)?, from: BufReader::new(stream) };
    if args.once {
        let (columns, rows) = args.size;
        boot.say(&Ask::Picture { columns, rows }).map_err(about)?;
        return match boot.hear().map_err(about)? {
            Some(Told::Picture { text }) => {
                print!("{text}");
                Ok(ExitCode::SUCCESS)
            }
            other => Err(unexpected(other)),
        };
    }
    let tty = terminal().map_err(|e| Failure::new(Phase::Worker, "standard input", e))?;
    join(&mut boot, tty).map_err(|e| match e {
        Ended::Io(e) => about(e),
        Ended::Told(failure) => failure,
    })
}

/// The boot at the other end.
struct Boot {
    to: UnixStream,
    from: BufReader<UnixStream>,
}

impl Boot {
    fn say(&mut self, what: &Ask) -> io::Result<()> {
        self.to.write_all(&line(what))
    }

    /// Nothing when it has gone on.
    fn hear(&mut self) -> io::Result<Option<Told>> {
        let mut text = String::new();
        match self.from.read_line(&mut text) {
            Ok(0) => Ok(None),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(None),
            Ok(_) => Ok(Some(serde_json::from_str(&text)?)),
            Err(e) => Err(e),
        }
    }
}

enum Ended {
    Io(io::Error),
    Told(Failure),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn join(boot: &mut Boot, tty: PathBuf) -> Result<ExitCode, Ended> {
    let modes = termios::tcgetattr(rustix::stdio::stdin()).map_err(io::Error::from)?;
    let Look { colour, utf8, plain, .. } = Look::for_terminal();
    boot.say(&Ask::Join { tty, colour, utf8, plain })?;
    let ended = stay(boot);
    // The boot does it, too, unless it died.
    termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &modes).map_err(io::Error::from)?;
    ended
}

fn stay(boot: &mut Boot) -> Result<ExitCode, Ended> {
    loop {
        match boot.hear()? {
            Some(Told::Joined) => {}
            Some(Told::Shell { about }) => {
                if let Err(e) = rescue::shell_here(&about) {
                    eprintln!("bootjack: {e:#}");
                }
                boot.say(&Ask::Back)?;
            }
            Some(Told::Left) => {
                println!("bootjack: left; the boot goes on");
                return Ok(ExitCode::SUCCESS);
            }
            None => {
                println!("bootjack: the boot has gone on");
                return Ok(ExitCode::SUCCESS);
            }
            other => return Err(Ended::Told(unexpected(other))),
        }
    }
}

fn unexpected(told: Option<Told>) -> Failure {
    match told {
        Some(Told::Refused { why }) => Failure::because(Phase::Worker, "attach", why),
        None => Failure::because(Phase::Worker, "attach", "the boot has gone on"),
        Some(other) => Failure::because(Phase::Worker, "attach", format!("an answer to nothing: {other:?}"))
            .hint("is the boot another version of bootjack?"),
    }
}

/// The terminal this was started in, by the name that others can open it by.
fn terminal() -> io::Result<PathBuf> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(io::Error::other("is no terminal: --once needs none"));
    }
    fs::read_link(Path::new("/proc/self/fd/0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_one_that_screens_are_made_for() {
        assert_eq!(size("132x43"), Ok((132, 43)));
        for wrong in ["", "80", "80x", "39x24", "80x11", "301x24", "80x101", "80x24x3", "-80x24"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
