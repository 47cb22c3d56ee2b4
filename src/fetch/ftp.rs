//! One try over FTP (RFC 959): passive, binary, whole. The control connection is spoken to on a thread of its own until
//! the data flow; then the reader reads them itself.
//!
//! No crate: suppaftp brings a regular expression engine and a calendar along, and blocks where nobody can stop it.

mod control;

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use url::Url;

use super::beside::{PULSE, addresses, beside, connect};
use super::error::seconds;
use super::location::shown;
use super::{Config, FetchError, Flow, Location, OnEvent, Source, Timing};
use control::{Control, Said};

/// RFC 959, section 5.2.
const PORT: u16 = 21;

/// What is asked for.
struct Wanted {
    host: String,
    port: u16,
    user: String,
    password: String,
    /// From the directory the server puts this user in; absolute if the URL says `%2F` (RFC 1738, section 3.2.2).
    path: String,
}

pub(super) fn open(
    config: &Config,
    url: &Url,
    timing: &Timing,
    on: OnEvent<'_>,
) -> Result<Source<'static>, FetchError> {
    let name = shown(url);
    let permanent = |why: &str| FetchError::Permanent(format!("{name}: {why}"));
    if let Some(proxy) = config.proxy.as_ref().and_then(|proxy| proxy.of(url)) {
        let why = format!(
            "the proxy {} is for http and https alone: give an http:// URL, or name the host in no_proxy=",
            shown(proxy)
        );
        return Err(permanent(&why));
    }
    let wanted = Wanted::of(url).map_err(|why| permanent(&why))?;
    let (config, limits, inner) = (config.clone(), timing.clone(), name.clone());
    let begun = Instant::now();
    // Greeting, user, password, type, size, port, file: each has its own limit, all of them this one.
    let within = timing.connect * 2 + timing.stall * 2;
    let transfer = beside(&name, within, on, move || {
        let begun = Instant::now();
        transfer(&config, &wanted, &limits).map_err(|failed| failed.error(&inner, begun.elapsed()))
    })?;
    let Transfer { control, data, length } = transfer;
    let flow = Flow::default();
    let reader = Body {
        control,
        data,
        length,
        had: 0,
        ended: false,
        stall: timing.stall,
        opening: begun.elapsed(),
        name,
        flow: flow.clone(),
    };
    Ok(Source::whole(reader, length, &Location::Ftp(url.clone()), &flow))
}

impl Wanted {
    fn of(url: &Url) -> Result<Self, String> {
        // What would end a line of the protocol would be a command of its own.
        let plain = |what: &str, text: &str| {
            let text = percent_decode_str(text).decode_utf8_lossy().into_owned();
            match text.contains(['\r', '\n', '\0']) {
                true => Err(format!("the {what} holds the end of a line")),
                false => Ok(text),
            }
        };
        let path = url.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let (path, kind) = match path.rsplit_once(";type=") {
            Some((path, kind)) => (path, kind),
            None => (path, "i"),
        };
        if !kind.eq_ignore_ascii_case("i") {
            return Err(format!(";type={kind} would change the bytes: write ;type=i or nothing"));
        }
        let path = plain("path", path)?;
        if path.is_empty() || path.ends_with('/') {
            return Err(
                "names no file: write ftp://SERVER/PATH, such as ftp://10.0.0.1/images/root.tar".into()
            );
        }
        let user = plain("user name", url.username())?;
        let password = plain("password", url.password().unwrap_or_default())?;
        // RFC 1635: whoever has no name there is `anonymous`, and says who it is.
        let (user, password) = match user.is_empty() {
            true => ("anonymous".to_owned(), "bootjack@".to_owned()),
            false => (user, password),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Self { host, port: url.port().unwrap_or(PORT), user, password, path })
    }
}

/// A file on its way.
struct Transfer {
    control: Control,
    data: TcpStream,
    length: Option<u64>,
}

/// What a step came to: in words, and whether it may be another time.
enum Failed {
    Later(String),
    Never(String),
}

impl Failed {
    fn error(self, name: &str, silent: Duration) -> FetchError {
        match self {
            Self::Later(why) => {
                FetchError::Transient { text: format!("{name}: {why}"), silent, retry_after: None }
            }
            Self::Never(why) => FetchError::Permanent(format!("{name}: {why}")),
        }
    }
}

/// The conversation up to the first byte.
fn transfer(config: &Config, wanted: &Wanted, timing: &Timing) -> Result<Transfer, Failed> {
    let addresses = addresses(config, &wanted.host, timing.connect).map_err(Failed::Later)?;
    let places: Vec<SocketAddr> = addresses.iter().map(|ip| SocketAddr::new(*ip, wanted.port)).collect();
    let stream = connect(&places, timing.connect).map_err(Failed::Later)?;
    let mut control = Control::new(stream, timing.stall).map_err(Failed::Later)?;
    control.greeted()?;
    control.log_in(&wanted.user, &wanted.password)?;
    control.expect("TYPE I", 2)?;
    let length = control.size(&wanted.path)?;
    let port = control.passive()?;
    let data = connect(&[SocketAddr::new(control.peer().ip(), port)], timing.connect);
    let data = data.map_err(|why| Failed::Later(format!("the data: {why}")))?;
    data.set_read_timeout(Some(PULSE)).map_err(|e| Failed::Later(e.to_string()))?;
    // 1yz: it comes; what follows it stands on the control connection.
    control.expect(&format!("RETR {}", wanted.path), 1)?;
    Ok(Transfer { control, data, length })
}

/// Reads the data; their end counts only with the server's word that it was the file's.
struct Body {
    control: Control,
    data: TcpStream,
    length: Option<u64>,
    had: u64,
    ended: bool,
    stall: Duration,
    opening: Duration,
    name: String,
    flow: Flow,
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.flow.broken() {
            return Err(error);
        }
        if buf.is_empty() || self.ended {
            return Ok(0);
        }
        // Only what is waited for here is silence: a reader that takes its time is none.
        let waiting = Instant::now();
        loop {
            match self.data.read(buf) {
                Ok(0) => return self.finish().map(|()| 0),
                Ok(n) => {
                    self.had += n as u64;
                    self.flow.passed(n);
                    return Ok(n);
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    return Err(self.broken(&e.to_string(), waiting.elapsed(), ErrorKind::UnexpectedEof));
                }
            }
            if let Some(error) = self.flow.broken() {
                return Err(error);
            }
            if waiting.elapsed() >= self.stall {
                let why = format!("nothing came for {}", seconds(self.stall));
                return Err(self.broken(&why, waiting.elapsed(), ErrorKind::TimedOut));
            }
        }
    }
}

impl Body {
    fn finish(&mut self) -> io::Result<()> {
        let waiting = Instant::now();
        let flow = self.flow.clone();
        let said = self.control.last_word(&|| flow.stopped());
        if let Some(error) = self.flow.broken() {
            return Err(error);
        }
        let why = match said {
            // A length that was wrong stays wrong, but a file may have been replaced under the reader.
            Ok(_) if self.length.is_some_and(|length| length != self.had) => "the file ended".to_owned(),
            Ok(Said { code: 200..300, .. }) => {
                self.ended = true;
                return Ok(());
            }
            Ok(said) => said.in_words(),
            Err(why) => why,
        };
        Err(self.broken(&why, waiting.elapsed(), ErrorKind::UnexpectedEof))
    }

    fn broken(&self, why: &str, silent: Duration, kind: ErrorKind) -> io::Error {
        let of = self.length.map_or_else(String::new, |length| format!(" of {length}"));
        let peer = self.control.peer();
        let text = format!("{}: reading from {peer}: {why} after {}{of} bytes", self.name, self.had);
        let silent = self.opening + silent;
        self.flow.fail(FetchError::Transient { text, silent, retry_after: None }, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(url: &str) -> Result<(String, String, String, u16), String> {
        let w = Wanted::of(&Url::parse(url).unwrap())?;
        Ok((w.user, w.password, w.path, w.port))
    }

    #[test]
    fn a_url_says_who_asks_for_what() {
        let is = |url: &str, user: &str, password: &str, path: &str, port: u16| {
            assert_eq!(wanted(url).unwrap(), (user.into(), password.into(), path.into(), port), "{url}");
        };
        is("ftp://h/a/b%20c.tar", "anonymous", "bootjack@", "a/b c.tar", 21);
        is("ftp://u:p%40q@h:2121/a", "u", "p@q", "a", 2121);
        is("ftp://u@h/%2Fsrv/a", "u", "", "/srv/a", 21);
        is("ftp://h//srv/a;type=I", "anonymous", "bootjack@", "/srv/a", 21);
    }

    #[test]
    fn what_would_be_another_command_is_refused() {
        for (url, why) in [
            ("ftp://h/a%0D%0ADELE%20b", "the path holds the end of a line"),
            ("ftp://h/a%00", "the path holds the end of a line"),
            ("ftp://u%0a:p@h/a", "the user name holds the end of a line"),
            ("ftp://u:p%0a@h/a", "the password holds the end of a line"),
            ("ftp://h/a;type=a", ";type=a would change the bytes"),
            ("ftp://h/", "names no file"),
            ("ftp://h/a/", "names no file"),
        ] {
            let said = wanted(url).unwrap_err();
            assert!(said.starts_with(why), "{url}: {said}");
        }
    }
}
