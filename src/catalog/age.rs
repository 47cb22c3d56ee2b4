//! `serial` and `expires`: which of two catalogs is the older one, and until when one counts. Reading the clock, and
//! refusing what is too old, is not done here.

use std::ops::Range;

use toml::value::{Datetime, Offset};

use super::problem::{Page, Problem, Severity};
use super::table::{Table, kind};
use super::written;
use crate::fetch::date;

/// How it is written.
const EXAMPLE: &str = "write expires = 2027-01-31T12:00:00Z, without quotes";

/// Seconds since 1970 at which the catalog ceases to count, and the place of it.
pub(super) fn expires(top: &Table) -> Option<(u64, Range<usize>)> {
    let value = top.value("expires")?;
    let place = value.span();
    let complain = |why: String| top.page.error(&place, format!("\"expires\" {why}"), Some(EXAMPLE.into()));
    let Some(written) = value.get_ref().as_datetime() else {
        complain(format!("must be a date and time, this is {}", kind(value.get_ref())));
        return None;
    };
    let seconds = seconds(written);
    if seconds.is_none() {
        complain(format!("must be a date and time with its offset from UTC, this is {written}"));
    }
    Some((seconds?, place))
}

/// Since 1970; 0 for what is before. Absent: the date, the time or the offset is missing.
fn seconds(written: &Datetime) -> Option<u64> {
    let (date, time, offset) = (written.date?, written.time?, written.offset?);
    if date.year < 1970 {
        return Some(0);
    }
    let days = date::days(date.year.into(), date.month.into(), date.day.into());
    let clock =
        u64::from(time.hour) * 3600 + u64::from(time.minute) * 60 + u64::from(time.second.unwrap_or(0));
    let east = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes) * 60,
    };
    Some((days * 86_400 + clock).saturating_add_signed(-east))
}

/// The warning that the catalog `text` counts no longer at `now`, in seconds since 1970; absent: it does, or it says
/// nothing of it, or cannot be read.
pub fn expired(text: &str, now: u64) -> Option<Problem> {
    let page = Page::new(text);
    let document = written::document(&page)?;
    let (until, place) = expires(&Table::top(&page, document.get_ref()))?;
    let message = format!("expired at {}: refused wherever it is fetched", date::readable(until));
    let problem = Problem::at(text, page.line(place.start), place, Severity::Warning, message);
    let hint = Some("set a later date, a higher serial, and sign it anew".into());
    (until <= now).then_some(Problem { hint, ..problem })
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, parse};
    use super::*;
    use crate::fetch::Location;

    fn read(lines: &str) -> Result<Catalog, String> {
        let text = format!("version = 1\n{lines}\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'shell'\n");
        let parsed = parse(&text, &Location::parse("http://a/c.toml").unwrap(), "c.toml");
        parsed.catalog.clone().ok_or_else(|| parsed.render())
    }

    #[test]
    fn a_date_is_the_same_moment_whatever_its_offset() {
        let at = |text: &str| read(&format!("expires = {text}")).unwrap().expires;
        for same in ["2026-11-29T23:00:00Z", "2026-11-30T00:30:00+01:30", "2026-11-29 15:00:00.5-08:00"] {
            assert_eq!(at(same), Some(1_795_993_200), "{same}");
        }
        assert_eq!(at("1969-12-31T23:59:59Z"), Some(0));
        assert_eq!(at("1970-01-01T00:00:00+23:59"), Some(0));
        assert_eq!(read("").unwrap().expires, None);
    }

    #[test]
    fn what_is_no_moment_refuses_the_catalog_with_a_right_one() {
        for wrong in
            ["'2026-11-29T23:00:00Z'", "2026-11-29T23:00:00", "2026-11-29", "23:00:00", "1795993200", "true"]
        {
            let said = read(&format!("expires = {wrong}")).unwrap_err();
            assert!(said.starts_with("c.toml:2:11: error: \"expires\" must be a date"), "{said}");
            assert!(said.ends_with("hint: write expires = 2027-01-31T12:00:00Z, without quotes"), "{said}");
        }
    }

    #[test]
    fn a_serial_is_a_whole_number() {
        assert_eq!(read("serial = 2026112901").unwrap().serial, Some(2_026_112_901));
        assert_eq!(read("serial = 0").unwrap().serial, Some(0));
        assert_eq!(read("").unwrap().serial, None);
        for wrong in ["-1", "'7'", "1.0"] {
            let said = read(&format!("serial = {wrong}")).unwrap_err();
            assert!(said.starts_with("c.toml:2:10: error: \"serial\" must"), "{said}");
        }
    }

    #[test]
    fn who_has_expired_is_warned_of_at_the_place_of_the_date() {
        let text = "version = 1\nexpires = 2026-11-29T23:00:00Z\n";
        assert_eq!(expired(text, 1_795_993_199), None);
        let warning = expired(text, 1_795_993_200).unwrap();
        assert_eq!((warning.severity, warning.line, warning.column), (Severity::Warning, 2, 11));
        assert_eq!(warning.message, "expired at 2026-11-29 23:00:00 UTC: refused wherever it is fetched");
        assert_eq!(expired("version = 1\n", u64::MAX), None);
        assert_eq!(expired("expires = ", u64::MAX), None);
    }
}
