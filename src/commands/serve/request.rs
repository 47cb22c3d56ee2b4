//! The head of a request as far as a file server needs it (RFC 9112). Text in, meaning out; no stream, no file.

use super::answer::Status;

/// What a client asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub method: String,
    /// As written: printable ASCII.
    pub target: String,
    /// Decoded, without the query, without empty and `.` parts; `..` is left in for the kernel to judge.
    pub path: Vec<u8>,
    /// Whether the path ended in a slash.
    pub directory: bool,
    /// Whether the connection may stay open.
    pub keep: bool,
    headers: Vec<(String, String)>,
}

impl Request {
    /// # Errors
    /// The status to refuse it with; the connection is then of no more use.
    pub(super) fn parse(head: &[u8]) -> Result<Self, Status> {
        let Some(head) = head.strip_suffix(b"\r\n\r\n") else { return Err(Status::HEAD_TOO_LARGE) };
        let head = std::str::from_utf8(head).map_err(|_| Status::BAD_REQUEST)?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or("").split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Status::BAD_REQUEST);
        };
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if !plain(method) || !plain(target) {
            return Err(Status::BAD_REQUEST);
        }
        let newer = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            v if v.starts_with("HTTP/") => return Err(Status::VERSION),
            _ => return Err(Status::BAD_REQUEST),
        };
        let headers = lines.map(header).collect::<Option<Vec<_>>>().ok_or(Status::BAD_REQUEST)?;
        let (path, directory) = path(target).ok_or(Status::BAD_REQUEST)?;
        let mut request =
            Self { method: method.into(), target: target.into(), path, directory, keep: newer, headers };
        // RFC 9112, section 3.2: exactly one Host.
        let hosts = request.headers.iter().filter(|(name, _)| name == "host").count();
        if hosts > 1 || (newer && hosts == 0) {
            return Err(Status::BAD_REQUEST);
        }
        // A body is never read here, so what follows it must not be taken for a request.
        let body = request.header("content-length").is_some_and(|n| n != "0")
            || request.header("transfer-encoding").is_some();
        let close = request
            .header("connection")
            .is_some_and(|words| words.split(',').any(|w| w.trim().eq_ignore_ascii_case("close")));
        request.keep &= !body && !close;
        Ok(request)
    }

    /// The first header of that name (in lower case).
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    let clean = !value.contains(['\0', '\r', '\n']);
    (token && clean).then(|| (name.to_ascii_lowercase(), value.trim().to_string()))
}

/// Origin form (`/a/b?query`) or absolute form (`http://host/a/b`, RFC 9112, section 3.2).
fn path(target: &str) -> Option<(Vec<u8>, bool)> {
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let target = target.split(['?', '#']).next()?;
    let decoded = decode(target.strip_prefix('/')?)?;
    if decoded.contains(&0) {
        return None;
    }
    let parts: Vec<&[u8]> =
        decoded.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    let directory = decoded.is_empty() || decoded.ends_with(b"/");
    Some((parts.join(&b'/'), directory))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            other => other,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Request, Status> {
        Request::parse(head.as_bytes())
    }

    fn path_of(target: &str) -> Option<String> {
        let request = parse(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).ok()?;
        Some(format!("{}{}", request.path.escape_ascii(), if request.directory { " dir" } else { "" }))
    }

    #[test]
    fn a_request_is_read_with_its_headers() {
        let request = parse("GET /a%20b?x=1 HTTP/1.1\r\nHost: a\r\nRANGE:  bytes=0-1 \r\n\r\n").unwrap();
        assert_eq!((request.method.as_str(), request.path.as_slice()), ("GET", &b"a b"[..]));
        assert_eq!(request.header("range"), Some("bytes=0-1"));
        assert!(request.keep);
    }

    #[test]
    fn paths_are_decoded_once_and_cleaned() {
        assert_eq!(path_of("/").as_deref(), Some(" dir"));
        assert_eq!(path_of("//etc//passwd").as_deref(), Some("etc/passwd"));
        assert_eq!(path_of("/./a/./b/").as_deref(), Some("a/b dir"));
        assert_eq!(path_of("/%2e%2e/x").as_deref(), Some("../x"));
        assert_eq!(path_of("/%252e").as_deref(), Some("%2e"));
        assert_eq!(path_of("http://host/a").as_deref(), Some("a"));
        assert_eq!(path_of("http://host").as_deref(), Some(" dir"));
        for wrong in ["/%00", "/%0", "/%zz", "a", "*", "host:80"] {
            assert_eq!(path_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (head, status) in [
            ("GET / HTTP/1.1\r\n\r\n", Status::BAD_REQUEST),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Status::BAD_REQUEST),
            ("GET /\r\n\r\n", Status::BAD_REQUEST),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Status::BAD_REQUEST),
            ("GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n", Status::BAD_REQUEST),
            ("GET / HTTP/1.1\r\nHost a\r\n\r\n", Status::BAD_REQUEST),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Status::VERSION),
            ("GET / HTTP/1.1\r\nHost: a", Status::HEAD_TOO_LARGE),
        ] {
            assert_eq!(parse(head).unwrap_err(), status, "{head:?}");
        }
    }

    #[test]
    fn a_connection_is_kept_only_where_the_next_request_can_be_found() {
        let keeps = |more: &str| parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")).unwrap().keep;
        assert!(keeps("") && keeps("Content-Length: 0\r\n"));
        assert!(!keeps("Connection: x, Close\r\n"));
        assert!(!keeps("Content-Length: 5\r\n") && !keeps("Transfer-Encoding: chunked\r\n"));
        assert!(!parse("GET / HTTP/1.0\r\n\r\n").unwrap().keep);
    }
}
