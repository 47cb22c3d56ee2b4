//! What is answered to a request: status, validators, range (RFC 9110, sections 13 and 14). Sending it is the caller's.

use std::os::fd::OwnedFd;

use super::request::Request;
use super::tree::{Found, Tree};
use crate::fetch::date;

/// A status line's two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub code: u16,
    pub reason: &'static str,
}

impl Status {
    const OK: Self = Self { code: 200, reason: "OK" };
    const PARTIAL: Self = Self { code: 206, reason: "Partial Content" };
    const MOVED: Self = Self { code: 301, reason: "Moved Permanently" };
    const NOT_MODIFIED: Self = Self { code: 304, reason: "Not Modified" };
    pub(super) const BAD_REQUEST: Self = Self { code: 400, reason: "Bad Request" };
    const FORBIDDEN: Self = Self { code: 403, reason: "Forbidden" };
    const NOT_FOUND: Self = Self { code: 404, reason: "Not Found" };
    const METHOD: Self = Self { code: 405, reason: "Method Not Allowed" };
    const RANGE: Self = Self { code: 416, reason: "Range Not Satisfiable" };
    pub(super) const HEAD_TOO_LARGE: Self = Self { code: 431, reason: "Request Header Fields Too Large" };
    const BROKEN: Self = Self { code: 500, reason: "Internal Server Error" };
    pub(super) const VERSION: Self = Self { code: 505, reason: "HTTP Version Not Supported" };
}

/// A status, its headers (each with its line end), how long the body is, and the body that is really sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: Status,
    headers: String,
    length: Option<u64>,
    pub body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    None,
    Text(String),
    File { file: OwnedFd, from: u64, length: u64 },
}

/// The answer to a request that could be read.
pub(super) fn answer(request: &Request, tree: &Tree) -> Answer {
    let head = match request.method.as_str() {
        "GET" => false,
        "HEAD" => true,
        _ => {
            let refusal = Answer::refusal(Status::METHOD);
            return Answer { headers: format!("{}Allow: GET, HEAD\r\n", refusal.headers), ..refusal };
        }
    };
    let answer = match tree.find(&request.path) {
        Ok(Found::File(file, facts)) if !request.directory => of_file(request, file, &facts),
        Ok(Found::Directory(listing)) if request.directory => Answer::text(Status::OK, "text/html", listing),
        // Links in a listing are relative: they need the slash.
        Ok(Found::Directory(_)) => {
            let moved = Answer::refusal(Status::MOVED);
            let to = super::tree::encode(&request.path);
            Answer { headers: format!("{}Location: /{to}/\r\n", moved.headers), ..moved }
        }
        Ok(_) => Answer::refusal(Status::NOT_FOUND),
        // What leads out of the directory is as if it were not there.
        Err(e) => Answer::refusal(match e.kind() {
            std::io::ErrorKind::PermissionDenied => Status::FORBIDDEN,
            _ if is_absent(&e) => Status::NOT_FOUND,
            _ => Status::BROKEN,
        }),
    };
    if head { Answer { body: Body::None, ..answer } } else { answer }
}

/// openat2(2): EXDEV is a way out of the directory, ELOOP a circle or a magic link, ENXIO a FIFO or socket.
fn is_absent(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let absent = [Errno::NOENT, Errno::NOTDIR, Errno::XDEV, Errno::LOOP, Errno::NAMETOOLONG, Errno::NXIO];
    Errno::from_io_error(error).is_some_and(|errno| absent.contains(&errno))
}

/// What a validator is made of.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub size: u64,
    pub mtime: u64,
    pub mtime_ns: u64,
    pub inode: u64,
}

impl Facts {
    /// Strong: a file written in place has another time, one moved over it another inode.
    fn etag(&self) -> String {
        format!("\"{:x}-{:x}.{:x}-{:x}\"", self.size, self.mtime, self.mtime_ns, self.inode)
    }
}

fn of_file(request: &Request, file: OwnedFd, facts: &Facts) -> Answer {
    let (etag, modified) = (facts.etag(), date::http(facts.mtime));
    let validators = format!("ETag: {etag}\r\nLast-Modified: {modified}\r\nAccept-Ranges: bytes\r\n");
    if unchanged(request, &etag, facts.mtime) {
        return Answer { status: Status::NOT_MODIFIED, headers: validators, length: None, body: Body::None };
    }
    // RFC 9110, section 13.1.5: a range of what is not there any more would be a splice of two files.
    // A date names one state of the file only once its second is over (section 8.8.2.2).
    let settled = date::now() > facts.mtime + 1;
    let same = request.header("if-range").is_none_or(|held| held == etag || (settled && held == modified));
    let range = request.header("range").filter(|_| same && request.method == "GET");
    let range = range.map_or(Range::Whole, |text| Range::parse(text, facts.size));
    let headers = format!("{validators}Content-Type: application/octet-stream\r\n");
    match range {
        Range::Whole => {
            let body = Body::File { file, from: 0, length: facts.size };
            Answer { status: Status::OK, headers, length: Some(facts.size), body }
        }
        Range::Part { from, to } => {
            let length = to - from + 1;
            let headers = format!("{headers}Content-Range: bytes {from}-{to}/{}\r\n", facts.size);
            let body = Body::File { file, from, length };
            Answer { status: Status::PARTIAL, headers, length: Some(length), body }
        }
        Range::Beyond => {
            let refusal = Answer::refusal(Status::RANGE);
            let headers = format!("{}{validators}Content-Range: bytes */{}\r\n", refusal.headers, facts.size);
            Answer { headers, ..refusal }
        }
    }
}

/// RFC 9110, sections 13.1.2 and 13.1.3: the date counts only where no tag is given.
fn unchanged(request: &Request, etag: &str, mtime: u64) -> bool {
    if let Some(held) = request.header("if-none-match") {
        return held.trim() == "*" || held.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag);
    }
    request.header("if-modified-since").and_then(date::parse_http).is_some_and(|held| mtime <= held)
}

/// What of the file is wanted. More than one range, or what is no range, is answered with the whole, as RFC 9110
/// (section 14.2) allows.
#[derive(Debug, PartialEq)]
enum Range {
    Whole,
    /// Both ends included.
    Part {
        from: u64,
        to: u64,
    },
    Beyond,
}

impl Range {
    fn parse(text: &str, size: u64) -> Self {
        let spec = match text.split_once('=') {
            Some((unit, spec)) if unit.trim().eq_ignore_ascii_case("bytes") => spec.trim(),
            _ => return Self::Whole,
        };
        let Some((first, last)) = spec.split_once('-') else { return Self::Whole };
        let number = |text: &str| match text {
            // `parse` takes a sign.
            t if t.is_empty() || !t.bytes().all(|b| b.is_ascii_digit()) => None,
            // More digits than a size has is simply beyond it.
            t => Some(t.parse().unwrap_or(u64::MAX)),
        };
        match (first, last, number(first), number(last)) {
            ("", _, _, Some(0)) => Self::Beyond,
            ("", _, _, Some(_)) if size == 0 => Self::Beyond,
            ("", _, _, Some(n)) => Self::Part { from: size.saturating_sub(n), to: size - 1 },
            (_, "", Some(from), _) if from < size => Self::Part { from, to: size - 1 },
            (_, "", Some(_), _) => Self::Beyond,
            (_, _, Some(from), Some(to)) if to < from => Self::Whole,
            (_, _, Some(from), Some(to)) if from < size => Self::Part { from, to: to.min(size - 1) },
            (_, _, Some(_), Some(_)) => Self::Beyond,
            _ => Self::Whole,
        }
    }
}

impl Answer {
    /// A status with its own words as the body.
    pub(super) fn refusal(status: Status) -> Self {
        Self::text(status, "text/plain", format!("{} {}\n", status.code, status.reason))
    }

    fn text(status: Status, kind: &str, text: String) -> Self {
        let headers = format!("Content-Type: {kind}; charset=utf-8\r\n");
        Self { status, headers, length: Some(text.len() as u64), body: Body::Text(text) }
    }

    /// Everything before the body.
    pub(super) fn head(&self, keep: bool) -> String {
        let length = self.length.map_or_else(String::new, |n| format!("Content-Length: {n}\r\n"));
        format!(
            "HTTP/1.1 {} {}\r\nServer: bootjack/{}\r\nDate: {}\r\nConnection: {}\r\n{length}{}\r\n",
            self.status.code,
            self.status.reason,
            env!("CARGO_PKG_VERSION"),
            date::http(date::now()),
            if keep { "keep-alive" } else { "close" },
            self.headers
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let part = |from, to| Range::Part { from, to };
        for (text, expected) in [
            ("bytes=0-499", part(0, 499)),
            ("bytes=500-999", part(500, 999)),
            ("bytes=-500", part(500, 999)),
            ("bytes=500-", part(500, 999)),
            ("bytes=0-0", part(0, 0)),
            ("bytes=-1", part(999, 999)),
            ("Bytes=0-99999999999999999999999", part(0, 999)),
            ("bytes=-5000", part(0, 999)),
            ("bytes=1000-", Range::Beyond),
            ("bytes=1000-2000", Range::Beyond),
            ("bytes=-0", Range::Beyond),
            ("bytes=5-4", Range::Whole),
            ("bytes=0-0,5-9", Range::Whole),
            ("bytes=+1-2", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=-", Range::Whole),
            ("bytes=", Range::Whole),
            ("lines=1-2", Range::Whole),
            ("", Range::Whole),
        ] {
            assert_eq!(Range::parse(text, 1000), expected, "{text}");
        }
        assert_eq!(Range::parse("bytes=0-", 0), Range::Beyond);
        assert_eq!(Range::parse("bytes=-1", 0), Range::Beyond);
    }
}
