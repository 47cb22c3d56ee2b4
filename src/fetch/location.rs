//! [`Location`]: a place bytes come from, as text and as meant. Opening one is `fetch`'s.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::urls;

use crate::volumes::{Export, NotATag, NotAVolume, NotAnExport, Tag, Volume};

/// A place bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// `http://` or `https://`.
    Http(Url),
    /// `ftp://`.
    Ftp(Url),
    /// `tftp://`.
    Tftp(Url),
    /// `file:/path`, `file:///path` or a path.
    File(PathBuf),
    /// `initramfs:/path`: a file that came with the initrd, or a directory of numbered members, each gone once read.
    Initramfs(PathBuf),
    /// `dev:/dev/vda1:/path`, `LABEL=x:/path`, …: a file on a block device; without a path, the device itself.
    Volume { volume: Volume, file: Option<PathBuf> },
    /// `nfs://host/export:/path`: a file in what a server exports; without `:/`, a file in the directory before the last `/`.
    Nfs { export: Export, file: PathBuf },
    /// `virtiofs:TAG:/path`: a file in a directory that the host shares.
    Virtiofs { tag: Tag, file: PathBuf },
}

/// Why a text is not a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationError {
    Empty,
    /// The URL parser's own words.
    Url(String),
    /// `initramfs:` and `file:` want an absolute path.
    NotAbsolute,
    /// A path on a volume that leaves it, or names nothing.
    NotInside(String),
    Volume(NotAVolume),
    Nfs(NotAnExport),
    Tag(NotATag),
    /// `virtiofs:TAG` alone.
    NoFileOf(Tag),
    /// A prefix that is known and comes with a later version.
    NotInThisVersion(String),
    UnknownScheme(String),
}

/// Prefixes that are decided and not built yet.
const LATER: &[&str] = &["oci"];

impl fmt::Display for LocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a location is empty"),
            Self::Url(why) => write!(f, "not a URL: {why}"),
            Self::NotAbsolute => f.write_str("the path must begin with '/'"),
            Self::NotInside(path) => {
                write!(
                    f,
                    "{path:?} is no file on it: write a path without '..', such as :/images/root.tar.zst"
                )
            }
            Self::Volume(why) => why.fmt(f),
            Self::Nfs(why) => why.fmt(f),
            Self::Tag(why) => why.fmt(f),
            Self::NoFileOf(tag) => {
                write!(
                    f,
                    "which file of {tag}: virtiofs:{tag}:/images/root.tar.zst; a shared directory as a root is asked \
                     for by root=virtiofs:{tag} on the kernel command line"
                )
            }
            Self::NotInThisVersion(what) => write!(f, "'{what}' locations are not in this version"),
            Self::UnknownScheme(what) => {
                write!(
                    f,
                    "'{what}' is no known kind of location (http://, https://, ftp://, tftp://, nfs://, file:/, \
                     initramfs:/, dev:/dev/…, LABEL=x:/, virtiofs:TAG:/)"
                )
            }
        }
    }
}

impl std::error::Error for LocationError {}

impl LocationError {
    /// How a location of the kind that was meant is written.
    pub fn example(&self) -> &'static str {
        match self {
            Self::NotAbsolute => "file:/srv/images/root.tar.zst",
            Self::NotInside(_) | Self::Volume(_) => "LABEL=images:/root.tar.zst",
            Self::Nfs(_) => "nfs://10.0.0.1/srv/images/root.tar.zst",
            Self::Tag(_) | Self::NoFileOf(_) => "virtiofs:images:/root.tar.zst",
            _ => "http://10.0.0.1/root.tar.zst",
        }
    }
}

impl Location {
    /// A location that stands alone: `http://…`, `https://…`, `file:/…`, `initramfs:/…`, or a path.
    ///
    /// # Errors
    /// [`LocationError`], in words for a person.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        match scheme(text) {
            None => Ok(Self::File(PathBuf::from(text))),
            Some("http" | "https") => with_host(text).map(Self::Http),
            Some("ftp") => with_host(text).map(Self::Ftp),
            Some("tftp") => with_host(text).map(Self::Tftp),
            Some("file") => absolute(&text["file:".len()..]).map(Self::File),
            Some("initramfs") => absolute(&text["initramfs:".len()..]).map(Self::Initramfs),
            Some("dev") => Self::on_volume(&text["dev:".len()..]),
            Some("LABEL" | "UUID" | "PARTLABEL" | "PARTUUID") => Self::on_volume(text),
            Some("nfs" | "nfs4") => Self::on_nfs(text),
            Some("virtiofs") => Self::on_virtiofs(&text["virtiofs:".len()..]),
            Some(other) if LATER.contains(&other) => Err(LocationError::NotInThisVersion(other.into())),
            Some(other) => Err(LocationError::UnknownScheme(other.into())),
        }
    }

    /// `VOLUME[:/path]`.
    fn on_volume(text: &str) -> Result<Self, LocationError> {
        let (volume, file) = match text.split_once(":/") {
            Some((volume, path)) => (volume, Some(inside(path)?)),
            None => (text, None),
        };
        Ok(Self::Volume { volume: Volume::parse(volume).map_err(LocationError::Volume)?, file })
    }

    fn on_nfs(text: &str) -> Result<Self, LocationError> {
        let server = text.find("://").map_or(0, |at| at + 3);
        // The colon of a port is never followed by a slash.
        let (export, file) = match text[server..].find(":/").map(|at| server + at) {
            Some(at) => (text[..at].to_owned(), inside(&text[at + 2..])?),
            None => match text[server..].rfind('/').map(|at| server + at) {
                // What stands directly at the top of a server is in its root.
                Some(at) if !text[server..at].contains('/') => {
                    (text[..=at].to_owned(), inside(&text[at + 1..])?)
                }
                Some(at) => (text[..at].to_owned(), inside(&text[at + 1..])?),
                None => (text.to_owned(), PathBuf::new()),
            },
        };
        Ok(Self::Nfs { export: Export::parse_url(&export).map_err(LocationError::Nfs)?, file })
    }

    fn on_virtiofs(text: &str) -> Result<Self, LocationError> {
        let (tag, path) = text.split_once(":/").unwrap_or((text, ""));
        let tag = Tag::parse(tag).map_err(LocationError::Tag)?;
        if path.trim_start_matches('/').is_empty() {
            return Err(LocationError::NoFileOf(tag));
        }
        Ok(Self::Virtiofs { tag, file: inside(path)? })
    }

    /// A location that may be relative to `self`, the place of the text it stands in, or a directory where that ends
    /// with `/` (RFC 3986, section 5).
    ///
    /// # Errors
    /// As [`Location::parse`].
    pub fn join(&self, text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        if scheme(text).is_some() {
            return Self::parse(text);
        }
        let url = |base: &Url| urls::join(base, text).map_err(LocationError::Url);
        // On a volume the path is below its root, which the text before it names.
        let on = |base: &Path| inside(&sibling(&Path::new("/").join(base), text).to_string_lossy());
        Ok(match self {
            Self::Http(base) => Self::Http(url(base)?),
            Self::Ftp(base) => Self::Ftp(url(base)?),
            Self::Tftp(base) => Self::Tftp(url(base)?),
            Self::File(base) => Self::File(sibling(base, text)),
            Self::Initramfs(base) => Self::Initramfs(sibling(base, text)),
            Self::Volume { volume, file } => {
                let base = file.as_deref().unwrap_or(Path::new(""));
                Self::Volume { volume: volume.clone(), file: Some(on(base)?) }
            }
            Self::Nfs { export, file } => Self::Nfs { export: export.clone(), file: on(file)? },
            Self::Virtiofs { tag, file } => Self::Virtiofs { tag: tag.clone(), file: on(file)? },
        })
    }

    /// The whole of it, a password too: for whoever hands it on to be opened. Everything that a person may see shows
    /// the location itself ([`fmt::Display`]).
    pub fn exact(&self) -> String {
        match self {
            Self::Http(url) | Self::Ftp(url) | Self::Tftp(url) => url.as_str().to_owned(),
            _ => self.to_string(),
        }
    }

    /// Without user and password: for a text that everybody on the machine can read, such as `/proc/cmdline`.
    pub fn public(&self) -> String {
        match self {
            Self::Http(url) | Self::Ftp(url) | Self::Tftp(url) => {
                let mut url = url.clone();
                // Only a URL without a host cannot have them, and then it has none.
                let _no_host = (url.set_username(""), url.set_password(None));
                url.into()
            }
            _ => self.to_string(),
        }
    }

    /// The file that lies beside this one and is called as it is, with this behind its name: a chunk list, a signature. A
    /// query stays where it is. Nothing lies beside a device as a whole.
    pub fn followed_by(&self, suffix: &str) -> Option<Self> {
        let url = |url: &Url| {
            let mut url = url.clone();
            url.set_path(&format!("{}{suffix}", url.path()));
            url
        };
        let path = |path: &Path| {
            let mut path = path.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        Some(match self {
            Self::Http(at) => Self::Http(url(at)),
            Self::Ftp(at) => Self::Ftp(url(at)),
            Self::Tftp(at) => Self::Tftp(url(at)),
            Self::File(at) => Self::File(path(at)),
            Self::Initramfs(at) => Self::Initramfs(path(at)),
            Self::Volume { file: None, .. } => return None,
            Self::Volume { volume, file: Some(file) } => {
                Self::Volume { volume: volume.clone(), file: Some(path(file)) }
            }
            Self::Nfs { export, file } => Self::Nfs { export: export.clone(), file: path(file) },
            Self::Virtiofs { tag, file } => Self::Virtiofs { tag: tag.clone(), file: path(file) },
        })
    }

    /// Whether opening it needs the network.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Ftp(_) | Self::Tftp(_) | Self::Nfs { .. })
    }

    /// Whether a server is asked that has to say who it is.
    pub fn is_https(&self) -> bool {
        matches!(self, Self::Http(url) if url.scheme() == "https")
    }

    /// Whether it is a block device as a whole: what comes behind the archive on it is not the archive's.
    pub fn is_device(&self) -> bool {
        matches!(self, Self::Volume { file: None, .. })
    }

    /// Whether it is found on the machine that boots alone, and says nothing where a catalog is written.
    pub fn is_of_the_machine(&self) -> bool {
        matches!(self, Self::Initramfs(_) | Self::Volume { .. } | Self::Virtiofs { .. })
    }

    /// Whether it lies in this initrd alone: another kernel that starts here does not find it again.
    pub fn is_of_this_initrd(&self) -> bool {
        matches!(self, Self::File(_) | Self::Initramfs(_))
    }
}

/// For screens, logs and reports: without a password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) | Self::Ftp(url) | Self::Tftp(url) => f.write_str(&shown(url)),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Initramfs(path) => write!(f, "initramfs:{}", path.display()),
            Self::Volume { volume, file } => {
                let kind = if matches!(volume, Volume::Device(_)) { "dev:" } else { "" };
                write!(f, "{kind}{volume}")?;
                file.iter().try_for_each(|file| write!(f, ":/{}", file.display()))
            }
            Self::Nfs { export, file } => write!(f, "{export}:/{}", file.display()),
            Self::Virtiofs { tag, file } => write!(f, "virtiofs:{tag}:/{}", file.display()),
        }
    }
}

/// [`Location::exact`], so that it can be read back.
impl serde::Serialize for Location {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.exact())
    }
}

impl<'de> serde::Deserialize<'de> for Location {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A URL for people: without a password.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // Only a URL without a host cannot have one, and then it has none.
        let _no_host = url.set_password(Some("***"));
    }
    url.into()
}

/// The word before the first `:` or `=` if a location could begin so; a path with either in a later part has none.
fn scheme(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))?;
    let word = &text[..end];
    let known_volume = matches!(word, "LABEL" | "UUID" | "PARTLABEL" | "PARTUUID");
    match text.as_bytes()[end] {
        b':' if word.starts_with(|c: char| c.is_ascii_alphabetic()) => Some(word),
        b'=' if known_volume => Some(word),
        _ => None,
    }
}

fn with_host(text: &str) -> Result<Url, LocationError> {
    // The parser would take the first part of the path for the host (WHATWG URL, "special authority slashes").
    if text.split_once("://").is_none_or(|(_, rest)| rest.starts_with(['/', '\\'])) {
        return Err(LocationError::Url("no host".into()));
    }
    let url = urls::parse(text).map_err(LocationError::Url)?;
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(url),
        _ => Err(LocationError::Url("no host".into())),
    }
}

/// A path below the root of a volume, without the `/` it begins with.
fn inside(path: &str) -> Result<PathBuf, LocationError> {
    let bare = path.trim_start_matches('/');
    if bare.is_empty() || bare.ends_with('/') || bare.split('/').any(|part| part == "..") {
        return Err(LocationError::NotInside(format!("/{bare}")));
    }
    Ok(PathBuf::from(bare))
}

/// `//host/path` is no local file; `///path` and `/path` are.
fn absolute(path: &str) -> Result<PathBuf, LocationError> {
    let path = match path.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => path,
    };
    if path.starts_with('/') { Ok(PathBuf::from(path)) } else { Err(LocationError::NotAbsolute) }
}

fn sibling(base: &Path, text: &str) -> PathBuf {
    if base.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return base.join(text);
    }
    base.parent().unwrap_or(Path::new("/")).join(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Location::parse(text).map_or_else(|e| e.to_string(), |l| format!("{l:?}"))
    }

    #[test]
    fn a_tag_without_a_file_says_how_a_shared_root_is_asked_for() {
        for text in ["virtiofs:rootfs", "virtiofs:rootfs:/", "virtiofs:rootfs://"] {
            let said = parsed(text);
            assert!(said.contains("root=virtiofs:rootfs on the kernel command line"), "{said}");
        }
    }

    #[test]
    fn every_kind_reads_back_as_written() {
        for text in [
            "http://a/b.tar",
            "https://[::1]:8443/x?y=z",
            "ftp://a/b.tar",
            "tftp://a/b.tar",
            "/srv/root.tar",
            "initramfs:/root.tar",
            "dev:/dev/vda1:/a/b.tar",
            "dev:/dev/mapper/vg-lv",
            "LABEL=a b/c:/d e.tar",
            "LABEL=x",
            "UUID=AB-12:/r",
            "PARTLABEL=x:/r",
            "PARTUUID=12-01:/r",
            "nfs://a/srv,vers=3:/d/r.tar",
            "nfs4://[2001:db8::1]:2049/:/r.tar",
            "virtiofs:tag:/d/r.tar",
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parsed("file:/a"), r#"File("/a")"#);
        assert_eq!(parsed("file:///a"), r#"File("/a")"#);
        assert_eq!(parsed("file://localhost/a"), r#"File("/a")"#);
        assert_eq!(parsed("dir/with:colon"), r#"File("dir/with:colon")"#);
    }

    #[test]
    fn what_is_no_location_says_why() {
        assert_eq!(parsed(""), "a location is empty");
        assert_eq!(parsed("file:a"), "the path must begin with '/'");
        assert_eq!(parsed("file://host/a"), "the path must begin with '/'");
        assert_eq!(parsed("oci://host/a"), "'oci' locations are not in this version");
        assert!(parsed("LABEL=x:/../a").starts_with("\"/../a\" is no file on it"));
        assert!(parsed("LABEL=x:/").starts_with("\"/\" is no file on it"));
        assert_eq!(parsed("LABEL="), "nothing stands after LABEL=: write LABEL=NAME");
        assert!(parsed("dev:sda:/x").contains("names no block device"));
        assert!(parsed("virtiofs:a/b:/x").starts_with("a tag is a name"));
        assert!(parsed("nfs://a").starts_with("has no path: write nfs://"), "{}", parsed("nfs://a"));
        assert!(parsed("gopher://a/").starts_with("'gopher' is no known kind"));
        assert_eq!(parsed("http://"), "not a URL: empty host");
    }

    #[test]
    fn a_file_of_an_nfs_server_is_in_the_directory_before_it() {
        assert_eq!(parsed("nfs://a/srv/images/r.tar"), parsed("nfs://a/srv/images:/r.tar"));
        assert_eq!(parsed("nfs://a:2049/r.tar"), parsed("nfs://a:2049/:/r.tar"));
    }

    #[test]
    fn a_host_name_beyond_ascii_is_refused_with_the_way_to_write_it() {
        for host in
            ["bücher.example", "Bücher.EXAMPLE", "u:p@Bücher", "B%C3%BCcher.example", "10.4.0.1QQ\u{396}"]
        {
            let refused = parsed(&format!("http://{host}/r.tar"));
            assert!(refused.contains("punycode, like xn--bcher-kva.example"), "{host}: {refused}");
        }
        assert!(Location::parse("http://bü:ü@a.example/ü?ü#ü").is_ok(), "elsewhere there may be any");
        let base = Location::parse("http://a/b").unwrap();
        assert!(base.join("//bücher.example/r.tar").unwrap_err().to_string().contains("punycode"));
        let known = Location::parse("http://xn--bcher-kva.example/r.tar").unwrap();
        assert_eq!(known.to_string(), "http://xn--bcher-kva.example/r.tar");
        // Beyond the host everything may stand.
        assert_eq!(Location::parse("http://a/bücher.tar").unwrap().to_string(), "http://a/b%C3%BCcher.tar");
    }

    #[test]
    fn relative_locations_resolve_against_the_text_they_stand_in() {
        let joined = |base: &str, text: &str| Location::parse(base).unwrap().join(text).unwrap().to_string();
        assert_eq!(joined("http://a/b/catalog.toml?x=1", "root.tar"), "http://a/b/root.tar");
        assert_eq!(joined("http://a/b/catalog.toml", "/root.tar"), "http://a/root.tar");
        assert_eq!(joined("http://a/b/catalog.toml", "../c/root.tar"), "http://a/c/root.tar");
        assert_eq!(joined("http://a/b/catalog.toml", "https://c/d"), "https://c/d");
        assert_eq!(joined("/srv/catalog.toml", "root.tar"), "/srv/root.tar");
        assert_eq!(joined("initramfs:/etc/bootjack/catalog.toml", "r.tar"), "initramfs:/etc/bootjack/r.tar");
        assert_eq!(joined("initramfs:/etc/bootjack/catalog.toml", "/r.tar"), "initramfs:/r.tar");
        assert_eq!(joined("LABEL=x:/boot/catalog.toml", "r.tar"), "LABEL=x:/boot/r.tar");
        assert_eq!(joined("dev:/dev/vda1:/boot/catalog.toml", "/r.tar"), "dev:/dev/vda1:/r.tar");
        assert_eq!(joined("nfs://a/srv:/boot/catalog.toml", "r.tar"), "nfs://a/srv:/boot/r.tar");
        assert_eq!(joined("virtiofs:tag:/catalog.toml", "d/r.tar"), "virtiofs:tag:/d/r.tar");
        let outside = Location::parse("LABEL=x:/catalog.toml").unwrap().join("../r.tar");
        assert!(matches!(outside, Err(LocationError::NotInside(_))));
    }

    #[test]
    fn a_chunk_list_lies_beside_what_it_is_of() {
        let beside =
            |text: &str| Location::parse(text).unwrap().followed_by(".chunks").map(|list| list.exact());
        for (text, want) in [
            ("http://u:p@a/r.tar.zst?t=1", Some("http://u:p@a/r.tar.zst.chunks?t=1")),
            ("/srv/r.tar", Some("/srv/r.tar.chunks")),
            ("LABEL=x:/a/r", Some("LABEL=x:/a/r.chunks")),
            ("nfs://a/b:/c", Some("nfs://a/b:/c.chunks")),
            ("virtiofs:t:/c", Some("virtiofs:t:/c.chunks")),
            ("dev:/dev/vda", None),
        ] {
            assert_eq!(beside(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn a_base_that_ends_with_a_slash_is_the_directory_itself() {
        let joined = |base: &str, text: &str| Location::parse(base).unwrap().join(text).unwrap().to_string();
        assert_eq!(joined("http://a/b/c/", "r.tar"), "http://a/b/c/r.tar");
        assert_eq!(joined("/srv/lab/", "r.tar"), "/srv/lab/r.tar");
        assert_eq!(joined("/srv/lab/", "/r.tar"), "/r.tar");
        assert_eq!(joined("lab/", "r.tar"), "lab/r.tar");
        assert_eq!(joined("initramfs:/roots/", "r.tar"), "initramfs:/roots/r.tar");
        assert_eq!(joined("initramfs:/", "r.tar"), "initramfs:/r.tar");
        // Two steps: a directory found relative to a file is a base in its turn.
        assert_eq!(
            Location::parse("/srv/c.toml").unwrap().join("e/").unwrap().join("r").unwrap().to_string(),
            "/srv/e/r"
        );
    }

    #[test]
    fn a_password_is_handed_on_and_never_shown() {
        let secret = Location::parse("https://ann:s3cret@a:8443/r.tar?x=1").unwrap();
        assert_eq!(secret.to_string(), "https://ann:***@a:8443/r.tar?x=1");
        assert_eq!(secret.exact(), "https://ann:s3cret@a:8443/r.tar?x=1");
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(serde_json::from_str::<Location>(&json).unwrap(), secret);
        for text in ["http://ann@a/r.tar", "/srv/r.tar", "initramfs:/r.tar"] {
            let open = Location::parse(text).unwrap();
            assert_eq!((open.to_string(), open.exact()), (text.to_owned(), text.to_owned()));
        }
    }
}
