//! TFTP's packets as bytes: RFC 1350 with options (RFC 2347: `blksize`, RFC 2348; `tsize`, RFC 2349; `windowsize`,
//! RFC 7440). When which is sent is `tftp`'s.

/// Fits into one frame of Ethernet over IPv4 and IPv6, and through most tunnels.
pub(super) const BLOCK: u16 = 1428;

/// Blocks on their way at once: on a wire of 1 ms that is 20 MB/s instead of 1.4, and a socket's buffer holds them.
pub(super) const WINDOW: u16 = 16;

/// A block where no option says otherwise (RFC 1350, section 2).
pub(super) const PLAIN_BLOCK: u16 = 512;

/// The longest name: the request is one packet of at most 512 bytes, where any server may have its limit.
const MAX_NAME: usize = 440;

/// What a server may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Data { block: u16, bytes: &'a [u8] },
    Accepted(Options),
    Error { code: u16, text: String },
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub block: u16,
    pub window: u16,
    pub size: Option<u64>,
}

impl Options {
    /// Of a server that knows of none.
    pub(super) const PLAIN: Self = Self { block: PLAIN_BLOCK, window: 1, size: None };
}

/// The request; `None`: the name is too long, or ends before its end.
pub(super) fn request(name: &str, with_options: bool) -> Option<Vec<u8>> {
    if name.len() > MAX_NAME || name.contains('\0') {
        return None;
    }
    let (block, window) = (BLOCK.to_string(), WINDOW.to_string());
    let options = ["tsize", "0", "blksize", &block, "windowsize", &window];
    let mut packet = vec![0, 1];
    for text in [name, "octet"].iter().chain(options[..].iter().filter(|_| with_options)) {
        packet.extend_from_slice(text.as_bytes());
        packet.push(0);
    }
    Some(packet)
}

pub(super) fn acknowledged(block: u16) -> Vec<u8> {
    [[0, 4], block.to_be_bytes()].concat()
}

pub(super) fn error(code: u16, text: &str) -> Vec<u8> {
    [&[0, 5], &code.to_be_bytes()[..], text.as_bytes(), &[0]].concat()
}

/// The error is what is wrong with the packet.
pub(super) fn read(packet: &[u8]) -> Result<Packet<'_>, String> {
    let (head, rest) = packet.split_at_checked(2).ok_or("a packet of less than two bytes")?;
    let number = || {
        let (number, rest) = rest.split_at_checked(2).ok_or("a packet without its number")?;
        Ok::<_, String>((u16::from_be_bytes([number[0], number[1]]), rest))
    };
    match u16::from_be_bytes([head[0], head[1]]) {
        3 => number().map(|(block, bytes)| Packet::Data { block, bytes }),
        5 => number().map(|(code, text)| Packet::Error { code, text: words(text) }),
        6 => options(rest).map(Packet::Accepted),
        other => Err(format!("a packet of the kind {other}, which no server sends")),
    }
}

/// Only what was asked for, and not more than was asked for, may be answered (RFC 2347).
fn options(mut rest: &[u8]) -> Result<Options, String> {
    let mut options = Options::PLAIN;
    while !rest.is_empty() {
        let (name, after) = text(rest).ok_or("an option without an end")?;
        let (value, after) = text(after).ok_or_else(|| format!("{name} without an end"))?;
        rest = after;
        let wrong = || format!("{name}={value}, which was not asked for");
        let up_to =
            |low: u16, most: u16| value.parse().ok().filter(|n| (low..=most).contains(n)).ok_or_else(wrong);
        match name.to_ascii_lowercase().as_str() {
            "blksize" => options.block = up_to(8, BLOCK)?,
            "windowsize" => options.window = up_to(1, WINDOW)?,
            "tsize" => options.size = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        }
    }
    Ok(options)
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|b| *b == 0)?;
    Some((words(&bytes[..end]), &bytes[end + 1..]))
}

/// Up to its end, harmless on a terminal.
fn words(bytes: &[u8]) -> String {
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// RFC 1350, section 5, and RFC 2347.
pub(super) fn meaning(code: u16) -> &'static str {
    match code {
        1 => "file not found",
        2 => "access violation",
        3 => "disk full",
        4 => "illegal operation",
        5 => "unknown transfer",
        6 => "file exists",
        7 => "no such user",
        8 => "options refused",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_as_the_standards_have_it() {
        assert_eq!(request("a b", false).unwrap(), b"\0\x01a b\0octet\0");
        assert_eq!(
            request("a", true).unwrap(),
            b"\0\x01a\0octet\0tsize\x000\0blksize\x001428\0windowsize\x0016\0"
        );
        assert!(request(&"x".repeat(MAX_NAME), true).unwrap().len() <= 512);
        assert_eq!(request(&"x".repeat(MAX_NAME + 1), true), None);
        assert_eq!(request("a\0b", true), None);
        assert_eq!(acknowledged(258), [0, 4, 1, 2]);
        assert_eq!(error(5, "no"), [0, 5, 0, 5, b'n', b'o', 0]);
    }

    #[test]
    fn what_a_server_sends_is_read() {
        let accepted = |block, window, size| Packet::Accepted(Options { block, window, size });
        for (packet, meant) in [
            (&b"\0\x03\x01\x02abc"[..], Packet::Data { block: 258, bytes: b"abc" }),
            (b"\0\x03\0\x01", Packet::Data { block: 1, bytes: b"" }),
            (b"\0\x05\0\x01nope\0", Packet::Error { code: 1, text: "nope".into() }),
            (b"\0\x05\0\x01nope", Packet::Error { code: 1, text: "nope".into() }),
            (b"\0\x05\0\0", Packet::Error { code: 0, text: String::new() }),
            (b"\0\x05\0\x01\x1b[2J\0x", Packet::Error { code: 1, text: "?[2J".into() }),
            (b"\0\x06", accepted(512, 1, None)),
            (b"\0\x06BLKSIZE\x001024\0tsize\x007\0", accepted(1024, 1, Some(7))),
            (b"\0\x06windowsize\x004\0", accepted(512, 4, None)),
        ] {
            assert_eq!(read(packet), Ok(meant), "{packet:?}");
        }
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        for (packet, why) in [
            (&b""[..], "a packet of less than two bytes"),
            (b"\0", "a packet of less than two bytes"),
            (b"\0\x03\0", "a packet without its number"),
            (b"\0\x05", "a packet without its number"),
            (b"\0\x01a\0octet\0", "a packet of the kind 1, which no server sends"),
            (b"\0\x04\0\x01", "a packet of the kind 4, which no server sends"),
            (b"\x03\0\0\x01", "a packet of the kind 768, which no server sends"),
            (b"\0\x06blksize", "an option without an end"),
            (b"\0\x06blksize\x001024", "blksize without an end"),
            (b"\0\x06blksize\x001429\0", "blksize=1429, which was not asked for"),
            (b"\0\x06blksize\x007\0", "blksize=7, which was not asked for"),
            (b"\0\x06windowsize\x000\0", "windowsize=0, which was not asked for"),
            (b"\0\x06windowsize\x0017\0", "windowsize=17, which was not asked for"),
            (b"\0\x06tsize\0-1\0", "tsize=-1, which was not asked for"),
            (b"\0\x06multicast\0,,1\0", "multicast=,,1, which was not asked for"),
        ] {
            assert_eq!(read(packet), Err(why.to_owned()), "{packet:?}");
        }
    }

    #[test]
    fn no_packet_however_strange_is_a_panic() {
        // xorshift: the same packets each time, most of them almost right.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let seeds: [&[u8]; 4] = [
            b"\0\x03\x01\x02abcdefgh",
            b"\0\x05\0\x01no such file\0",
            b"\0\x06blksize\x001024\0tsize\x0012345\0windowsize\x004\0",
            b"",
        ];
        let mut understood = 0;
        for _ in 0..200_000 {
            let mut packet = seeds[draw() as usize % seeds.len()].to_vec();
            packet.truncate(draw() as usize % 64);
            for _ in 0..draw() % 4 {
                let at = draw() as usize % (packet.len() + 1);
                match packet.get_mut(at) {
                    Some(byte) => *byte = draw() as u8,
                    None => packet.push(draw() as u8),
                }
            }
            if let Ok(packet) = read(&packet) {
                understood += 1;
                if let Packet::Accepted(options) = packet {
                    assert!((8..=BLOCK).contains(&options.block) && (1..=WINDOW).contains(&options.window));
                }
            }
        }
        assert!(understood > 1000, "{understood}");
    }
}
