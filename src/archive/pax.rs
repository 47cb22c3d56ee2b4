//! Records of pax extended headers (POSIX.1-2017, pax, "pax Extended Header"): what `tar-core` does not hand out, or takes
//! less strictly than a root file system needs: times with fractions and before 1970, owner numbers, attributes.

use super::acl;

/// Seconds and nanoseconds since 1970; the nanoseconds always count forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// The most attributes of one member: Linux lists 64 KiB of names (XATTR_LIST_MAX), which is room for some more that
/// nobody has.
const XATTRS: usize = 1000;

/// An extended attribute: name and value.
pub(super) type Xattr = (Vec<u8>, Vec<u8>);

/// Key and value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// What the records of one header say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub mtime: Option<Time>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    /// Whether there is a record for the name, and for the target of a link.
    pub path: bool,
    pub linkpath: bool,
    /// The full size of a sparse file (`GNU.sparse.realsize`, or `.size` in the oldest form).
    pub sparse_size: Option<u64>,
    pub xattrs: Vec<Xattr>,
}

impl Records {
    /// Reads the records of a member's own header.
    pub(super) fn read(data: &[u8]) -> Result<Self, String> {
        let mut records = Self::default();
        let mut acls = Vec::new();
        for record in split(data) {
            match record? {
                (b"SCHILY.acl.access", text) => acls.push((acl::ACCESS, text)),
                (b"SCHILY.acl.default", text) => acls.push((acl::DEFAULT, text)),
                (key, value) => records.set(key, value)?,
            }
        }
        // GNU tar writes an ACL as text with the names of its machine, and with --xattrs as the attribute too, which
        // has the numbers.
        acls.retain(|(name, _)| !records.xattrs.iter().any(|(known, _)| known == name.as_bytes()));
        for (name, text) in acls {
            records.acl(name, text)?;
        }
        Ok(records)
    }

    /// Reads the records of a global header, which hold for all members that follow.
    pub(super) fn read_global(data: &[u8]) -> Result<Self, String> {
        let records = Self::read(data)?;
        let foreign = split(data).filter_map(Result::ok).find(|(key, _)| {
            matches!(*key, b"path" | b"linkpath" | b"size")
                || key.starts_with(b"SCHILY.")
                || key.starts_with(b"GNU.sparse.")
        });
        match foreign {
            Some((key, _)) => {
                Err(format!("a global pax header with {} for all members", String::from_utf8_lossy(key)))
            }
            None => Ok(records),
        }
    }

    /// An empty value takes back what a global header said, which for these keys is the ustar header's again.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match key {
            b"mtime" if !value.is_empty() => self.mtime = Some(time(value)?),
            b"uid" if !value.is_empty() => self.uid = Some(owner(number(key, value)?)?),
            b"gid" if !value.is_empty() => self.gid = Some(owner(number(key, value)?)?),
            b"size" if !value.is_empty() => self.size = Some(number(key, value)?),
            b"path" | b"GNU.sparse.name" => self.path = true,
            b"linkpath" => self.linkpath = true,
            // What `tar --selinux` writes: the label without its NUL.
            b"RHT.security.selinux" => self.xattr(b"security.selinux".to_vec(), [value, b"\0"].concat())?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = Some(number(key, value)?),
            b"GNU.sparse.major" | b"GNU.sparse.minor" | b"GNU.sparse.numblocks" => {
                number(key, value)?;
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    let name = decoded(name);
                    if name.is_empty() || name.contains(&0) {
                        return Err("an extended attribute without a usable name".to_owned());
                    }
                    self.xattr(name, value.to_vec())?;
                }
            }
        }
        Ok(())
    }

    fn acl(&mut self, name: &str, text: &[u8]) -> Result<(), String> {
        if let Some(value) = acl::parse(text)? {
            self.xattr(name.as_bytes().to_vec(), value)?;
        }
        Ok(())
    }

    /// The last of two of the same name counts.
    fn xattr(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<(), String> {
        self.xattrs.retain(|(known, _)| *known != name);
        if self.xattrs.len() == XATTRS {
            return Err(format!("more than {XATTRS} extended attributes"));
        }
        self.xattrs.push((name, value));
        Ok(())
    }
}

/// Owner numbers are 32 bits wide, and the last one means "leave it" to chown(2).
pub(super) fn owner(number: u64) -> Result<u32, String> {
    u32::try_from(number)
        .ok()
        .filter(|n| *n != u32::MAX)
        .ok_or_else(|| format!("owner number {number} is not one Linux has"))
}

/// The records `LENGTH KEY=VALUE\n` of a header; values may hold any byte, newlines and NULs too.
fn split(mut data: &[u8]) -> impl Iterator<Item = Result<Record<'_>, String>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let record = first(data);
        data = record.as_ref().map_or(&[], |(_, rest)| rest);
        Some(record.map(|(record, _)| record))
    })
}

/// The first record and what follows it.
fn first(data: &[u8]) -> Result<(Record<'_>, &[u8]), String> {
    let broken = || "a pax record is malformed".to_owned();
    let space = data.iter().take(20).position(|b| *b == b' ').ok_or_else(broken)?;
    let length = usize::try_from(number(b"length", &data[..space])?).map_err(|_| broken())?;
    let record = data.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(broken)?;
    let equals = record.iter().position(|b| *b == b'=').filter(|at| *at > 0).ok_or_else(broken)?;
    Ok(((&record[..equals], &record[equals + 1..]), &data[length..]))
}

fn number(key: &[u8], value: &[u8]) -> Result<u64, String> {
    let text = std::str::from_utf8(value).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|t| t.parse().ok()).ok_or_else(|| {
        format!(
            "the pax record {} is {:?}, not a number",
            String::from_utf8_lossy(key),
            String::from_utf8_lossy(value)
        )
    })
}

/// A decimal number of seconds, perhaps negative, perhaps with a fraction; finer than nanoseconds rounds down.
fn time(value: &[u8]) -> Result<Time, String> {
    let wrong = || format!("the pax time {:?} is not a number of seconds", String::from_utf8_lossy(value));
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole: i64 = whole.parse().map_err(|_| wrong())?;
    let nanos = format!("{:0<9.9}", fraction).parse::<u32>().map_err(|_| wrong())?;
    let finer = fraction.bytes().skip(9).any(|b| b != b'0');
    if !negative {
        return Ok(Time { seconds: whole, nanoseconds: nanos });
    }
    Ok(match nanos + u32::from(finer) {
        0 => Time { seconds: -whole, nanoseconds: 0 },
        down => Time { seconds: -whole - 1, nanoseconds: 1_000_000_000 - down },
    })
}

/// The time as a pax record's value.
pub(super) fn written(time: Time) -> String {
    let (negative, seconds, nanos) = match (time.seconds < 0, time.nanoseconds) {
        (true, 0) => (true, time.seconds.unsigned_abs(), 0),
        (true, n) => (true, (time.seconds + 1).unsigned_abs(), 1_000_000_000 - n),
        (false, n) => (false, time.seconds.unsigned_abs(), n),
    };
    let sign = if negative { "-" } else { "" };
    match nanos {
        0 => format!("{sign}{seconds}"),
        _ => format!("{sign}{seconds}.{nanos:09}").trim_end_matches('0').to_owned(),
    }
}

/// GNU tar writes `%` and `=` in the name of an attribute as `%25` and `%3D` (tar 1.31 and later).
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        let (byte, used) = match rest {
            [b'%', b'2', b'5', ..] => (b'%', 3),
            [b'%', b'3', b'D', ..] => (b'=', 3),
            _ => (*first, 1),
        };
        plain.push(byte);
        rest = if used == 1 { after } else { &rest[used..] };
    }
    plain
}

/// The name of an attribute as a record's key.
pub(super) fn encoded(name: &str) -> String {
    name.replace('%', "%25").replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanoseconds: u32) -> Time {
        Time { seconds, nanoseconds }
    }

    #[test]
    fn times_keep_their_fraction_and_their_sign() {
        let cases: &[(&str, Time)] = &[
            ("0", at(0, 0)),
            ("1700000000.5", at(1_700_000_000, 500_000_000)),
            ("1.123456789", at(1, 123_456_789)),
            ("1.1234567899", at(1, 123_456_789)),
            ("-1", at(-1, 0)),
            ("-0.25", at(-1, 750_000_000)),
            ("-1.5", at(-2, 500_000_000)),
            ("-1.0000000001", at(-2, 999_999_999)),
        ];
        for (text, want) in cases {
            assert_eq!(time(text.as_bytes()), Ok(*want), "{text}");
        }
        for (text, want) in cases.iter().filter(|(t, _)| t.len() < 12) {
            assert_eq!(written(*want), *text);
        }
        assert_eq!(time(b"1."), Ok(at(1, 0)));
        for wrong in ["", "-", ".", "+1", "1e3", ".5", " 1", "1.x", "1.5.5", "--1"] {
            assert!(time(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_value_may_hold_newlines_and_nuls() {
        let data = b"33 SCHILY.xattr.user.a=x\n20 uid=9\n\0\n";
        let length = data.len();
        let data = [format!("{length}").as_bytes(), &data[2..]].concat();
        let records = Records::read(&data).unwrap();
        assert_eq!(records.xattrs, [(b"user.a".to_vec(), b"x\n20 uid=9\n\0".to_vec())]);
        assert_eq!(records.uid, None);
    }

    #[test]
    fn the_numbers_of_an_acl_win_over_its_names() {
        let text = b"36 SCHILY.acl.access=user:lisa:rwx,\n";
        assert!(Records::read(text).is_err());
        let both = [&text[..], b"48 SCHILY.xattr.system.posix_acl_access=numbers\n"].concat();
        assert_eq!(Records::read(&both).unwrap().xattrs, [(acl::ACCESS.into(), b"numbers".to_vec())]);
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for data in [
            &b"11 uid=abc\n"[..],
            b"18 uid=4294967295\n",
            b"99 uid=1\n",
            b"8 uid=1",
            b"uid=1\n",
            b"8 uid=1\nx",
            b"6 =12\n",
        ] {
            assert!(Records::read(data).is_err(), "{:?}", String::from_utf8_lossy(data));
        }
        assert!(Records::read_global(b"12 path=abc\n").is_err());
        assert_eq!(Records::read_global(b"9 uid=12\n").unwrap().uid, Some(12));
    }

    #[test]
    fn a_thousand_attributes_are_enough() {
        let record = |n: usize| format!("28 SCHILY.xattr.user.{n:05}=\n");
        let records = |count: usize| (0..count).map(record).collect::<String>().into_bytes();
        let (most, one_more) = (records(1000), records(1001));
        assert_eq!(Records::read(&most).unwrap().xattrs.len(), 1000);
        // One of these again is none more.
        assert_eq!(Records::read(&[&most[..], &records(1)].concat()).unwrap().xattrs.len(), 1000);
        assert!(Records::read(&one_more).unwrap_err().contains("more than 1000"));
    }

    #[test]
    fn attribute_names_come_back_as_they_were() {
        for name in ["user.a", "user.a=b", "user.100%", "user.%3D"] {
            assert_eq!(decoded(encoded(name).as_bytes()), name.as_bytes());
        }
    }
}
