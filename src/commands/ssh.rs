//! Keys of ssh, as `initrd --ssh` takes them and a boot uses them: who may log in, and what a machine shows to whoever
//! does. Logging in, and all of cryptography, is dropbear's.

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::verify::Sha256;

/// Where both lie in the initrd; the second stage's has them, too.
pub const AUTHORIZED: &str = "/etc/bootjack/ssh/authorized_keys";
pub const HOST_KEY: &str = "/etc/bootjack/ssh/host_key";

/// The server and what makes it a key, in the initrd.
pub const SERVER: &str = "/usr/sbin/dropbear";
pub const KEYGEN: &str = "/usr/bin/dropbearkey";

/// Kinds of public keys that dropbear knows (signkey.c), those it takes no more left out.
const KINDS: &[&str] = &[
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

/// dropbear passes over longer lines without a word (`MAX_AUTHKEYS_LINE` of svr-authpubkey.c).
const LONGEST_LINE: usize = 4200;

/// The kind of a machine's own key: the only one that every ssh of the last ten years knows.
const ED25519: &str = "ssh-ed25519";

/// How `PRIVATE KEY` of any kind begins.
const PEM: &str = "-----BEGIN ";

/// Checks an authorized_keys file (sshd(8)) to the last line: what is wrong with it would only be seen where nobody can log
/// in any more. Comments are left out.
///
/// # Errors
/// The line, and what is wrong there.
pub fn authorized(text: &str) -> Result<String> {
    let mut keys = String::new();
    for (n, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with(PEM) || line.starts_with("PuTTY-User-Key-File") {
            bail!("line {n} begins a private key: the public one is wanted, FILE.pub beside it");
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        public_key(line).with_context(|| format!("line {n}"))?;
        keys += &format!("{line}\n");
    }
    ensure!(!keys.is_empty(), "there is no key in it: nobody could log in");
    Ok(keys)
}

/// `[options] kind base64 [comment]`.
fn public_key(line: &str) -> Result<()> {
    ensure!(
        line.len() <= LONGEST_LINE,
        "is longer than dropbear reads: {} of {LONGEST_LINE} bytes",
        line.len()
    );
    let words = words(line);
    let at = words.iter().take(2).position(|word| KINDS.contains(word));
    let at = at.with_context(|| format!("no key of a kind that dropbear knows: {}", KINDS.join(", ")))?;
    let blob = words.get(at + 1).context("the key is missing after its kind")?;
    let blob = STANDARD.decode(blob).context("the key is no base64")?;
    let kind = Wire(&blob).text().context("the key is cut off")?;
    ensure!(kind == words[at].as_bytes(), "says {} and is {}", words[at], String::from_utf8_lossy(kind));
    Ok(())
}

/// Blanks in quotes belong to an option.
fn words(line: &str) -> Vec<&str> {
    let mut quoted = false;
    line.split(|c: char| {
        quoted ^= c == '"';
        c.is_ascii_whitespace() && !quoted
    })
    .filter(|word| !word.is_empty())
    .collect()
}

/// What a machine shows to whoever logs in: an ed25519 key, the private half and the public one (RFC 8032).
pub struct HostKey([u8; 64]);

impl HostKey {
    /// Reads dropbear's own form, or OpenSSH's (PROTOCOL.key) without a passphrase.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
        let Some(body) = text.strip_prefix("-----BEGIN OPENSSH PRIVATE KEY-----") else {
            ensure!(!text.starts_with("ssh-"), "is a public key: the private one is wanted");
            ensure!(!text.starts_with(PEM), "is a key in another form than OpenSSH's or dropbear's");
            return Self::halves(&mut Wire(bytes));
        };
        let body = body.split("-----").next().unwrap_or_default();
        let body: String = body.split_whitespace().collect();
        Self::of_openssh(&STANDARD.decode(body).context("is no base64")?)
    }

    fn of_openssh(bytes: &[u8]) -> Result<Self> {
        const CUT: &str = "is cut off";
        let mut key =
            Wire(bytes.strip_prefix(b"openssh-key-v1\0").context("is another version of OpenSSH's form")?);
        let (cipher, _kdf, _options) =
            (key.text().context(CUT)?, key.text().context(CUT)?, key.text().context(CUT)?);
        ensure!(
            cipher == b"none",
            "has a passphrase, and nobody is there to type it: ssh-keygen -p takes it away"
        );
        ensure!(key.number().context(CUT)? == 1, "has more than one key");
        let _public = key.text().context(CUT)?;
        let mut secret = Wire(key.text().context(CUT)?);
        // Twice the same number: it tells whether a passphrase was right.
        let (one, other) = (secret.number().context(CUT)?, secret.number().context(CUT)?);
        ensure!(one == other, "is damaged");
        let kind = Wire(secret.0).text().context(CUT)?;
        if kind == ED25519.as_bytes() {
            // The public half once more comes first here.
            secret.text().context(CUT)?;
            secret.text().context(CUT)?;
            return Self::both(secret.text().context(CUT)?);
        }
        bail!("is of the kind {}: {ED25519} is wanted", String::from_utf8_lossy(kind))
    }

    fn halves(key: &mut Wire) -> Result<Self> {
        let kind = key.text().context("is no private key of ssh")?;
        ensure!(kind == ED25519.as_bytes(), "is of another kind than {ED25519}");
        Self::both(key.text().context("is cut off")?)
    }

    fn both(halves: &[u8]) -> Result<Self> {
        Ok(Self(halves.try_into().context("has not the length of an ed25519 key")?))
    }

    /// As dropbear reads it.
    pub fn bytes(&self) -> Vec<u8> {
        [packed(ED25519.as_bytes()), packed(&self.0)].concat()
    }

    /// As ssh asks about it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        let public = [packed(ED25519.as_bytes()), packed(&self.0[32..])].concat();
        format!("SHA256:{}", STANDARD.encode(Sha256::of(&public).as_bytes()).trim_end_matches('='))
    }
}

/// RFC 4251, section 5: numbers of four bytes, big end first, and texts after their length.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

fn packed(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDcT+BgqT4A3b/QNXh9jm0EJdV5DxSfWEcADT3B2W5W8";

    fn why(text: &str) -> String {
        format!("{:#}", authorized(text).unwrap_err())
    }

    #[test]
    fn keys_come_through_with_their_options_and_comments_of_the_file_do_not() {
        let text = format!("# the team\r\n\n  {ANN} ann\r\nno-pty,command=\"status a b\" {ANN}\n");
        let wanted = format!("{ANN} ann\nno-pty,command=\"status a b\" {ANN}\n");
        assert_eq!(authorized(&text).unwrap(), wanted);
    }

    #[test]
    fn what_would_let_nobody_in_is_refused_with_its_line() {
        assert_eq!(why("# nobody yet\n\n"), "there is no key in it: nobody could log in");
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n";
        assert!(why(&format!("{ANN}\n{private}")).starts_with("line 2 begins a private key"));
        assert!(why("ssh-dss AAAAB3NzaC1kc3M=").starts_with("line 1: no key of a kind that dropbear knows"));
        assert_eq!(why("\nssh-ed25519"), "line 2: the key is missing after its kind");
        assert!(why("ssh-ed25519 AAAA!").starts_with("line 1: the key is no base64"));
        assert_eq!(why("ssh-ed25519 AAAA"), "line 1: the key is cut off");
        assert_eq!(why(&ANN.replace("ssh-ed25519", "ssh-rsa")), "line 1: says ssh-rsa and is ssh-ed25519");
        let long = format!("{ANN} {}", "x".repeat(LONGEST_LINE));
        assert!(why(&long).contains("is longer than dropbear reads"));
    }

    fn key() -> Vec<u8> {
        let halves: Vec<u8> = (0..64).collect();
        [packed(ED25519.as_bytes()), packed(&halves)].concat()
    }

    /// As ssh-keygen writes it.
    fn openssh(cipher: &[u8], kind: &[u8], checks: [u32; 2]) -> String {
        let halves: Vec<u8> = (0..64).collect();
        let public = [packed(kind), packed(&halves[32..])].concat();
        let secret = [
            &checks.map(u32::to_be_bytes).concat()[..],
            &packed(kind),
            &packed(&halves[32..]),
            &packed(&halves),
            &packed(b"lab"),
            &[1, 2],
        ]
        .concat();
        let one = 1u32.to_be_bytes();
        let head = [b"openssh-key-v1\0", &packed(cipher)[..], &packed(b"none"), &packed(b""), &one].concat();
        let body = STANDARD.encode([head, packed(&public), packed(&secret)].concat());
        let lines: Vec<&str> = body.as_bytes().chunks(70).map(|c| std::str::from_utf8(c).unwrap()).collect();
        let name = "OPENSSH PRIVATE KEY";
        format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n"))
    }

    #[test]
    fn a_key_of_either_form_is_the_same_key() {
        let parsed = HostKey::parse(&key()).unwrap();
        assert_eq!(parsed.bytes(), key());
        let other = HostKey::parse(openssh(b"none", b"ssh-ed25519", [7, 7]).as_bytes()).unwrap();
        assert_eq!(other.bytes(), key());
        assert_eq!(other.fingerprint(), parsed.fingerprint());
    }

    #[test]
    fn what_is_no_host_key_says_why() {
        let why = |bytes: &[u8]| format!("{:#}", HostKey::parse(bytes).map(drop).unwrap_err());
        assert!(
            why(openssh(b"aes256-ctr", b"ssh-ed25519", [7, 7]).as_bytes()).starts_with("has a passphrase")
        );
        assert!(why(openssh(b"none", b"ssh-rsa", [7, 7]).as_bytes()).starts_with("is of the kind ssh-rsa"));
        assert_eq!(why(openssh(b"none", b"ssh-ed25519", [7, 8]).as_bytes()), "is damaged");
        assert!(why(ANN.as_bytes()).starts_with("is a public key"));
        assert!(why(b"-----BEGIN RSA PRIVATE KEY-----\n").starts_with("is a key in another form"));
        assert_eq!(why(b""), "is no private key of ssh");
        // However short it is.
        let (whole, text) = (key(), openssh(b"none", b"ssh-ed25519", [7, 7]));
        assert!((0..whole.len()).all(|length| HostKey::parse(&whole[..length]).is_err()));
        let body = text.lines().skip(1).take_while(|line| !line.starts_with('-')).collect::<String>();
        let body = STANDARD.decode(body).unwrap();
        // Behind the key there is a comment, which nobody needs.
        assert!((0..body.len() - 9).all(|length| HostKey::of_openssh(&body[..length]).is_err()));
    }
}
