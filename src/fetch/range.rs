//! Going on in the middle of a body: what names a version of it, and which part an answer brings (RFC 9110, sections
//! 8.8, 13.1.5 and 14). What is done with an answer that does not fit is `stream`'s.

use reqwest::header::{self, HeaderMap, HeaderName};

use super::date;

/// Where a try begins and ends, and what must not have changed since.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct At<'a> {
    /// The first byte that is wanted.
    pub start: u64,
    /// The byte behind the last one; absent: all that there are. A place that never sends parts sends all of them.
    pub end: Option<u64>,
    /// What the server called the bytes before it; none if they came from elsewhere.
    pub unchanged: Option<&'a Version>,
}

impl At<'_> {
    /// What stands in `Range` (RFC 9110, section 14.1.2), unless all is wanted.
    pub(super) fn range(&self) -> Option<String> {
        match self.end {
            Some(end) => Some(format!("bytes={}-{}", self.start, end.saturating_sub(1))),
            None => (self.start > 0).then(|| format!("bytes={}-", self.start)),
        }
    }
}

/// How a place names the version of what it sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    etag: Option<String>,
    last_modified: Option<String>,
    date: Option<String>,
}

impl Version {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(|text| text.trim().to_owned());
        Self {
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
            date: text(header::DATE),
        }
    }

    /// When the server sent it, by its own clock: seconds since 1970.
    pub fn sent(&self) -> Option<u64> {
        date::parse_http(self.date.as_deref()?)
    }

    /// What may stand in `If-Range` (RFC 9110, section 13.1.5): a strong entity tag, or a time of change that is older than
    /// the answer by a second, so that it was not changed once more within it (section 8.8.2.2).
    pub(super) fn strong(&self) -> Option<&str> {
        match (&self.etag, &self.last_modified) {
            (Some(etag), _) => (!etag.starts_with("W/")).then_some(etag),
            (None, Some(changed)) => {
                let sent = date::parse_http(self.date.as_deref()?)?;
                (date::parse_http(changed)? < sent).then_some(changed)
            }
            (None, None) => None,
        }
    }

    /// Whether an answer to `If-Range` says that this is still the version: a tag has to stand in it (RFC 9110, section
    /// 15.3.7), a time of change need not.
    pub(super) fn is_confirmed_by(&self, answer: &Self) -> bool {
        self.strong().is_some() && !self.differs(answer) && (self.etag.is_none() || answer.etag == self.etag)
    }

    /// Whether both name something, and not the same.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        differ(&self.etag, &other.etag) || differ(&self.last_modified, &other.last_modified)
    }
}

/// What `Content-Range` says (RFC 9110, section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// First and last byte of this body; absent where there are none (416).
    pub part: Option<(u64, u64)>,
    /// Bytes of the whole, if the server knows.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Nothing where it is not there, or is none.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(header::CONTENT_RANGE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (part, total) = rest.trim().split_once('/')?;
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        let total = if total == "*" { None } else { Some(number(total)?) };
        let part = match part {
            "*" => None,
            part => {
                let (first, last) = part.split_once('-')?;
                Some((number(first)?, number(last)?))
            }
        };
        let sound = part.is_none_or(|(first, last)| first <= last && total.is_none_or(|total| last < total));
        (unit.eq_ignore_ascii_case("bytes") && sound).then_some(Self { part, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(etag: Option<&str>, changed: Option<&str>, date: Option<&str>) -> Version {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Version { etag: text(etag), last_modified: text(changed), date: text(date) }
    }

    #[test]
    fn only_what_names_the_very_bytes_goes_into_if_range() {
        let (then, next) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
        for (etag, changed, date, want) in [
            (Some("\"a\""), None, None, Some("\"a\"")),
            (Some("W/\"a\""), None, None, None),
            // A weak tag says that the time of change is not enough either.
            (Some("W/\"a\""), Some(then), Some(next), None),
            (None, Some(then), Some(next), Some(then)),
            (None, Some(then), Some(then), None),
            (None, Some(then), None, None),
            (None, Some("yesterday"), Some(next), None),
            (None, None, Some(next), None),
        ] {
            assert_eq!(version(etag, changed, date).strong(), want, "{etag:?} {changed:?} {date:?}");
        }
    }

    #[test]
    fn versions_differ_only_in_what_both_say() {
        let a = version(Some("W/\"a\""), None, None);
        assert!(a.differs(&version(Some("W/\"b\""), None, None)));
        assert!(!a.differs(&version(None, Some("x"), Some("y"))) && !a.differs(&a));
        let strong = version(Some("\"a\""), None, None);
        assert!(strong.is_confirmed_by(&strong) && !a.is_confirmed_by(&a));
        assert!(!strong.is_confirmed_by(&version(None, None, None)), "a tag has to be there");
        let (then, next) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
        assert!(version(None, Some(then), Some(next)).is_confirmed_by(&version(None, None, None)));
        assert!(version(None, Some("x"), None).differs(&version(None, Some("z"), None)));
    }

    #[test]
    fn a_range_is_read_or_it_is_none() {
        let range = |part, total| Some(ContentRange { part, total });
        for (text, want) in [
            ("bytes 5-9/10", range(Some((5, 9)), Some(10))),
            ("Bytes  5-5/*", range(Some((5, 5)), None)),
            ("bytes */10", range(None, Some(10))),
            ("bytes 5-9/9", None),
            ("bytes 9-5/10", None),
            ("bytes 5-/10", None),
            ("bytes -5/10", None),
            ("bytes +5-9/10", None),
            ("lines 5-9/10", None),
            ("bytes 5-9", None),
            ("bytes 5-99999999999999999999/*", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), want, "{text:?}");
        }
    }
}
