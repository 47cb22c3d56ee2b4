//! Values of single arguments, from text to meaning; errors are words that follow the argument. The grammars of
//! durations and sizes are the catalog's, a neighbour that is not known here: a test in `plan` holds them together.

use std::path::PathBuf;
use std::time::Duration;

use super::{ConsoleWord, OnFailure, Size, Terminal};
use crate::fetch::{self, MOST_CONNECTIONS};

/// As in a catalog: what is beyond a year is a slip.
const LONGEST: u64 = 366 * 24 * 3600;

pub(super) fn text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("no value".into()) } else { Ok(text.to_owned()) }
}

/// A whole number of seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = number(text).ok_or("is no whole number of seconds")?;
    bounded(Some(seconds))
}

/// Seconds of a watchdog's timeout. More than a day watches nothing.
pub(super) fn watchdog(text: &str) -> Result<u32, String> {
    let seconds = number(text).filter(|s| (1..=24 * 3600).contains(s)).and_then(|s| u32::try_from(s).ok());
    seconds.ok_or("is no timeout: whole seconds, from 1 to 86400".into())
}

/// `90s`, `10m`, `2h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = "is no duration: a whole number and s, m or h, such as 90s or 10m";
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        _ => return Err(wrong.into()),
    };
    bounded(number(&text[..text.len() - 1]).ok_or(wrong)?.checked_mul(unit))
}

fn bounded(seconds: Option<u64>) -> Result<Duration, String> {
    let seconds = seconds.filter(|&s| s <= LONGEST).ok_or("is longer than a year")?;
    Ok(Duration::from_secs(seconds))
}

/// `60%`, or bytes with `k`, `m`, `g` in either case (dracut-tmpfs-root takes what tmpfs(5) takes).
pub(super) fn size(text: &str) -> Result<Size, String> {
    let wrong = "is no size: bytes with k, m or g, or a share of the memory such as 60%";
    let shift = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'%') => {
            let share = number(&text[..text.len() - 1]).ok_or(wrong)?;
            let percent = u8::try_from(share).ok().filter(|p| (1..=100).contains(p));
            return percent.map(Size::Percent).ok_or("is not between 1% and 100%".into());
        }
        Some(b'k') => 10,
        Some(b'm') => 20,
        Some(b'g') => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    match number(digits).ok_or(wrong)?.checked_mul(1 << shift) {
        // tmpfs(5) takes it for no limit, and a root that takes all memory ends in the OOM killer.
        Some(0) => Err("would be no limit at all".into()),
        Some(bytes) => Ok(Size::Bytes(bytes)),
        None => Err("is more than any machine has".into()),
    }
}

/// How many connections at once.
pub(super) fn connections(text: &str) -> Result<u8, String> {
    let known = number(text).and_then(fetch::connections);
    known.ok_or_else(|| format!("is no number of connections: from 1 to {MOST_CONNECTIONS}"))
}

/// How long a file is.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let bytes = number(text).filter(|bytes| (1..u64::MAX).contains(bytes));
    bytes.ok_or("is no number of bytes, in digits alone".into())
}

/// As dracut's `getargbool`: the bare word says yes.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "" | "1" | "yes" | "on" => Ok(true),
        "0" | "no" | "off" => Ok(false),
        _ => Err("is neither 0 nor 1".into()),
    }
}

pub(super) fn on_failure(text: &str) -> Result<OnFailure, String> {
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text {
        "reboot" => Ok(OnFailure::Reboot),
        "poweroff" => Ok(OnFailure::PowerOff),
        "hold" => Ok(OnFailure::Hold),
        // An action at the end of a job only.
        "" | "menu" => Err("is neither reboot, poweroff, hold nor an entry's id".into()),
        id if id.chars().all(is_id) => Ok(OnFailure::Entry(id.to_owned())),
        _ => Err("is neither reboot, poweroff, hold nor an entry's id".into()),
    }
}

pub(super) fn absolute_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("is not an absolute path".into()) }
}

/// Absolute paths with commas between them.
pub(super) fn paths(text: &str) -> Result<Vec<PathBuf>, String> {
    let path = |path: &str| match path.starts_with('/') {
        true => Ok(PathBuf::from(path)),
        false => Err(format!("{path:?} is not an absolute path")),
    };
    text.split(',').map(path).collect()
}

/// Terminals with commas between them: `tty0,ttyS0:115200`, with or without `/dev/`, and a `+` before them where they come
/// beside the kernel's.
pub(super) fn consoles(text: &str) -> Result<ConsoleWord, String> {
    let terminal = |text: &str| {
        let (name, speed) = match text.split_once(':') {
            Some((name, speed)) => (name, Some(baud(speed)?)),
            None => (text, None),
        };
        let bare = name.strip_prefix("/dev/").unwrap_or(name);
        let device = bare.starts_with(|c: char| c.is_ascii_alphabetic());
        if device && bare.chars().all(|c| c.is_ascii_alphanumeric()) {
            Ok(Terminal { name: bare.to_owned(), speed })
        } else {
            Err(format!("{name:?} is no console: a speed is written ttyS0:115200"))
        }
    };
    let names = text.strip_prefix('+').unwrap_or(text);
    let terminals = names.split(',').map(terminal).collect::<Result<_, _>>()?;
    Ok(ConsoleWord { beside: names.len() < text.len(), terminals })
}

/// As stty(1) has them, and whatever else a chip may do.
fn baud(text: &str) -> Result<u32, String> {
    let speed = text.parse().ok().filter(|speed| (50..=4_000_000).contains(speed));
    speed.filter(|_| text.bytes().all(|b| b.is_ascii_digit())).ok_or(format!("{text:?} is no speed in baud"))
}

/// Digits only; too many of them count as the largest number.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}
