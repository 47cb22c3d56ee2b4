//! The control connection: commands, and replies of one or more lines (RFC 959, section 4.2). Nothing of a file passes
//! here.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Failed;
use crate::fetch::beside::PULSE;
use crate::fetch::error::seconds;

/// A reply is a few lines; a server that does not stop talking is none.
const MAX_REPLY: usize = 64 << 10;

pub(super) struct Control {
    stream: TcpStream,
    peer: SocketAddr,
    /// What came and was not understood yet.
    heard: Vec<u8>,
    /// How long each reply may take.
    patience: Duration,
}

/// A reply of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub code: u16,
    /// The last line without its code, harmless on a terminal.
    pub text: String,
}

impl Said {
    pub(super) fn in_words(&self) -> String {
        format!("server answered {} {}", self.code, self.text).trim_end().to_owned()
    }

    /// 4yz passes, 5yz stays (RFC 959, section 4.2.1); who may not log in now may not later.
    fn failed(&self, doing: &str) -> Failed {
        let why = format!("{doing}: {}", self.in_words());
        if (400..500).contains(&self.code) { Failed::Later(why) } else { Failed::Never(why) }
    }
}

impl Control {
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Result<Self, String> {
        let peer = stream.peer_addr().map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(PULSE.min(patience))).map_err(|e| e.to_string())?;
        stream.set_write_timeout(Some(patience)).map_err(|e| e.to_string())?;
        Ok(Self { stream, peer, heard: Vec::new(), patience })
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// 220; a 120 says to wait for it.
    pub(super) fn greeted(&mut self) -> Result<(), Failed> {
        let begun = Instant::now();
        loop {
            let said = self.answer("the greeting")?;
            match said.code {
                100..200 if begun.elapsed() < self.patience => {}
                200..300 => return Ok(()),
                _ => return Err(said.failed("the greeting")),
            }
        }
    }

    pub(super) fn log_in(&mut self, user: &str, password: &str) -> Result<(), Failed> {
        let mut said = self.ask(&format!("USER {user}"), "USER")?;
        if said.code == 331 {
            said = self.ask(&format!("PASS {password}"), "PASS")?;
        }
        match said.code {
            200..300 => Ok(()),
            332 => Err(Failed::Never("the server wants an account, which no URL can say".into())),
            _ => Err(said.failed(&format!("logging in as {user}"))),
        }
    }

    /// A command whose reply must be of this kind, its first digit.
    pub(super) fn expect(&mut self, command: &str, kind: u16) -> Result<Said, Failed> {
        let said = self.ask(command, command)?;
        if said.code / 100 == kind { Ok(said) } else { Err(said.failed(command)) }
    }

    /// What the server says the file's size is (RFC 3659, section 4); one that does not know the command says nothing.
    pub(super) fn size(&mut self, path: &str) -> Result<Option<u64>, Failed> {
        let said = self.ask(&format!("SIZE {path}"), "SIZE")?;
        match said.code {
            213 => Ok(said.text.trim().parse().ok()),
            _ => Ok(None),
        }
    }

    /// The port the data come from: EPSV (RFC 2428), or PASV where that is not known. The address in the latter is
    /// not used: behind a translator it is wrong, and elsewhere it would lead to another machine.
    pub(super) fn passive(&mut self) -> Result<u16, Failed> {
        let extended = self.ask("EPSV", "EPSV")?;
        if extended.code == 229 {
            let nonsense = || Failed::Never(format!("EPSV: {}", extended.in_words()));
            return extended_port(&extended.text).ok_or_else(nonsense);
        }
        if matches!(self.peer.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_none()) {
            return Err(extended.failed("EPSV"));
        }
        let said = self.expect("PASV", 2)?;
        passive_port(&said.text).ok_or_else(|| Failed::Never(format!("PASV: {}", said.in_words())))
    }

    /// What the server says when all is sent. The error is in words.
    pub(super) fn last_word(&mut self, stopped: &dyn Fn() -> bool) -> Result<Said, String> {
        self.hear(stopped)
    }

    fn ask(&mut self, command: &str, doing: &str) -> Result<Said, Failed> {
        let sent = self.stream.write_all(format!("{command}\r\n").as_bytes());
        sent.map_err(|e| Failed::Later(format!("{doing}: sending to {}: {e}", self.peer)))?;
        self.answer(doing)
    }

    fn answer(&mut self, doing: &str) -> Result<Said, Failed> {
        self.hear(&|| false).map_err(|why| Failed::Later(format!("{doing}: {}: {why}", self.peer)))
    }

    fn hear(&mut self, stopped: &dyn Fn() -> bool) -> Result<Said, String> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some((said, used)) = reply(&self.heard)? {
                self.heard.drain(..used);
                return Ok(said);
            }
            if self.heard.len() > MAX_REPLY {
                return Err("the reply does not end".into());
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err("the server hung up".into()),
                Ok(n) => self.heard.extend_from_slice(&piece[..n]),
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(e) => return Err(e.to_string()),
            }
            if stopped() || Instant::now() >= until {
                return Err(format!("no answer for {}", seconds(self.patience)));
            }
        }
    }
}

/// The first whole reply and its bytes: `NNN text`, or lines from `NNN-` to `NNN `.
fn reply(heard: &[u8]) -> Result<Option<(Said, usize)>, String> {
    let (mut at, mut first) = (0, None);
    while let Some(end) = heard[at..].iter().position(|b| *b == b'\n') {
        let line = String::from_utf8_lossy(&heard[at..at + end]);
        let line = line.trim_end_matches('\r');
        at += end + 1;
        let code = line.get(..3).filter(|c| c.bytes().all(|b| b.is_ascii_digit()));
        let code = code.and_then(|code| code.parse::<u16>().ok());
        let more = line.as_bytes().get(3) == Some(&b'-');
        match (first, code) {
            (None, None) => return Err(format!("{:?} is no reply of an FTP server", clean(line))),
            (None, Some(code)) if more => first = Some(code),
            (None, Some(code)) => return Ok(Some((said(code, line), at))),
            (Some(wanted), Some(code)) if code == wanted && !more => return Ok(Some((said(code, line), at))),
            _ => {}
        }
    }
    Ok(None)
}

fn said(code: u16, line: &str) -> Said {
    Said { code, text: clean(line.get(4..).unwrap_or_default()) }
}

fn clean(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `Entering Extended Passive Mode (|||6446|)`; the bar may be any character.
fn extended_port(text: &str) -> Option<u16> {
    let inside = text.split_once('(')?.1.split_once(')')?.0;
    let bar = inside.chars().next()?;
    let parts: Vec<&str> = inside.split(bar).collect();
    match parts[..] {
        ["", _, _, port, ""] => port.parse().ok().filter(|port| *port != 0),
        _ => None,
    }
}

/// `Entering Passive Mode (h1,h2,h3,h4,p1,p2)`; some leave the brackets out.
fn passive_port(text: &str) -> Option<u16> {
    let numbers = text.rsplit_once('(').map_or(text, |(_, inside)| inside);
    let start = numbers.find(|c: char| c.is_ascii_digit())?;
    let numbers: Vec<u8> = numbers[start..]
        .split(|c: char| !(c.is_ascii_digit() || c == ','))
        .next()?
        .split(',')
        .map(|n| n.parse().ok())
        .collect::<Option<_>>()?;
    let [_, _, _, _, high, low] = numbers[..] else { return None };
    Some(u16::from_be_bytes([high, low])).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(u16, String, usize)> {
        reply(text.as_bytes()).unwrap().map(|(said, used)| (said.code, said.text, used))
    }

    #[test]
    fn a_reply_of_several_lines_ends_with_its_own_number() {
        assert_eq!(read("220 hello\r\n"), Some((220, "hello".into(), 11)));
        assert_eq!(read("220\n"), Some((220, String::new(), 4)));
        let long = "230-Welcome\r\n 220 not yet\r\n331 nor this\r\n230-still\r\n230 now\r\n";
        assert_eq!(read(&format!("{long}150 x\r\n")), Some((230, "now".into(), long.len())));
        assert_eq!(read("230-Welcome\r\n"), None);
        assert_eq!(read("220 hel"), None);
        assert_eq!(read("550 \x1b[2Jno\r\n").unwrap().1, "?[2Jno");
        assert_eq!(reply(b"SSH-2.0\r\n").unwrap_err(), "\"SSH-2.0\" is no reply of an FTP server");
    }

    #[test]
    fn ports_are_read_in_both_forms() {
        assert_eq!(extended_port("Entering Extended Passive Mode (|||6446|)"), Some(6446));
        assert_eq!(extended_port("ok (!!!21!)"), Some(21));
        for wrong in ["", "(|||x|)", "(|||0|)", "(|||65536|)", "(||6446|)", "|||6446|", "()"] {
            assert_eq!(extended_port(wrong), None, "{wrong}");
        }
        assert_eq!(passive_port("Entering Passive Mode (127,0,0,1,25,46)."), Some(25 * 256 + 46));
        assert_eq!(passive_port("=127,0,0,1,0,21"), Some(21));
        for wrong in ["", "(127,0,0,1,25)", "(127,0,0,1,256,1)", "(1,1,1,1,0,0)", "(a,b,c,d,e,f)"] {
            assert_eq!(passive_port(wrong), None, "{wrong}");
        }
    }
}
