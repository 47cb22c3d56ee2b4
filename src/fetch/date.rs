//! Dates as HTTP writes them (RFC 9110, section 5.6.7) and as a person reads them; UTC, proleptic Gregorian calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: u64 = 86_400;

/// `Sun, 06 Nov 1994 08:49:37 GMT`, of seconds since 1970.
pub fn http(epoch: u64) -> String {
    let (year, month, day) = civil(epoch / DAY);
    let name = DAYS[(epoch / DAY % 7) as usize];
    let month = MONTHS[month as usize - 1];
    let (h, m, s) = clock(epoch);
    format!("{name}, {day:02} {month} {year:04} {h:02}:{m:02}:{s:02} GMT")
}

/// `1994-11-06 08:49:37 UTC`, of seconds since 1970.
pub fn readable(epoch: u64) -> String {
    let (year, month, day) = civil(epoch / DAY);
    let (h, m, s) = clock(epoch);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
}

/// The reverse of [`http`]; the two obsolete forms no server has sent for decades are not read.
pub fn parse_http(text: &str) -> Option<u64> {
    let text = text.trim().strip_suffix(" GMT")?.split_once(", ")?.1;
    let mut words = text.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|m| *m == month)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (h, m, s) = (time.next()??, time.next()??, time.next()??);
    if !(1..=31).contains(&day) || !(1970..=9999).contains(&year) || h > 23 || m > 59 || s > 60 {
        return None;
    }
    Some(days(year, month, day) * DAY + h * 3600 + m * 60 + s)
}

/// Seconds since 1970 by this machine's clock; a clock before that says 0.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
pub(super) fn retry_after(text: &str, now: u64) -> Option<Duration> {
    let text = text.trim();
    let seconds = text.parse().ok().or_else(|| Some(parse_http(text)?.saturating_sub(now)))?;
    Some(Duration::from_secs(seconds))
}

fn clock(epoch: u64) -> (u64, u64, u64) {
    (epoch % DAY / 3600, epoch % 3600 / 60, epoch % 60)
}

/// Years are counted from 1 March, so that the leap day comes last and every month's offset is a formula.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days from 1 March of year 0 to 1 January 1970; 146,097 days are 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Days from 1 January 1970 to a date that is not before it.
pub fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = if month > 2 { month - 3 } else { month + 9 };
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_reads_and_writes() {
        assert_eq!(http(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse_http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(readable(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(readable(951_782_400), "2000-02-29 00:00:00 UTC");
    }

    #[test]
    fn every_day_of_five_centuries_comes_back() {
        for day in 0..500 * 366 {
            assert_eq!(parse_http(&http(day * DAY + 1)), Some(day * DAY + 1));
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in
            ["", "yesterday", "Sun, 06 Nov 1994", "Sun, 06 Xxx 1994 08:49:37 GMT", "Sun, 06 Nov 1994 8 GMT"]
        {
            assert_eq!(parse_http(text), None, "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("120", 0), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_770), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_780), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", 0), None);
    }
}
