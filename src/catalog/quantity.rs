//! Durations and sizes as people write them: `"10m"`, `"60%"`, `"2g"`. Which of them fits is decided elsewhere.

use std::time::Duration;

use super::RootSize;

/// No boot waits for longer: what is beyond a year is a slip, and the sums of such durations never overflow.
const LONGEST: u64 = 366 * 24 * 3600;

/// A duration: whole numbers of seconds, minutes or hours, `"90s"`, `"10m"`, `"2h"`.
///
/// # Errors
/// What is wrong, in words that follow the value.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "is no duration: a whole number and s, m or h, such as \"90s\" or \"10m\"".to_owned();
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        _ => return Err(wrong()),
    };
    let seconds = number(&text[..text.len() - 1]).ok_or_else(wrong)?.checked_mul(unit);
    match seconds.filter(|&s| s <= LONGEST) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err("is longer than a year".into()),
    }
}

/// Seconds as a duration, if they are not beyond a year.
pub(super) fn seconds(seconds: u64) -> Option<Duration> {
    (seconds <= LONGEST).then(|| Duration::from_secs(seconds))
}

/// A limit of a tmpfs: `"60%"` of the memory, or bytes with `k`, `m`, `g` (tmpfs(5): powers of 1024, either case).
///
/// # Errors
/// What is wrong, in words that follow the value.
pub fn root_size(text: &str) -> Result<RootSize, String> {
    let wrong = || "is no size: bytes with k, m or g, or a share of the memory such as \"60%\"".to_owned();
    if let Some(share) = text.strip_suffix('%') {
        return match number(share).ok_or_else(wrong)? {
            percent @ 1..=100 => Ok(RootSize::Percent(percent as u8)),
            _ => Err("is not between 1% and 100%".into()),
        };
    }
    let shift = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'k') => 10,
        Some(b'm') => 20,
        Some(b'g') => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    match number(digits).ok_or_else(wrong)?.checked_mul(1 << shift) {
        Some(0) => Err("leaves no room for a root".into()),
        Some(bytes) => Ok(RootSize::Bytes(bytes)),
        None => Err("is more than any machine has".into()),
    }
}

/// Digits only: `parse` alone would take a sign. Too many of them count as the largest number.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_their_unit() {
        let seconds = |text: &str| duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("0s"), Ok(0));
        for wrong in ["", "s", "10", "+1s", "-1s", "1.5h", "1 m", "1d", "10ms", "é"] {
            assert!(duration(wrong).unwrap_err().starts_with("is no duration"), "{wrong}");
        }
        assert_eq!(duration("9000h"), Err("is longer than a year".into()));
        assert_eq!(duration("99999999999999999999h"), Err("is longer than a year".into()));
    }

    #[test]
    fn sizes_are_shares_or_binary_multiples() {
        assert_eq!(root_size("60%"), Ok(RootSize::Percent(60)));
        assert_eq!(root_size("4096"), Ok(RootSize::Bytes(4096)));
        assert_eq!(root_size("3k"), Ok(RootSize::Bytes(3 << 10)));
        assert_eq!(root_size("2M"), Ok(RootSize::Bytes(2 << 20)));
        assert_eq!(root_size("1g"), Ok(RootSize::Bytes(1 << 30)));
        for wrong in ["", "%", "k", "-1", "1.5g", "1t", "1kb", "60 %", "é", "+1%"] {
            assert!(root_size(wrong).unwrap_err().starts_with("is no size"), "{wrong}");
        }
        for wrong in ["0%", "101%", "999999999999999999999%"] {
            assert_eq!(root_size(wrong), Err("is not between 1% and 100%".into()));
        }
        assert_eq!(root_size("0"), Err("leaves no room for a root".into()));
        assert_eq!(root_size("99999999999g"), Err("is more than any machine has".into()));
    }
}
