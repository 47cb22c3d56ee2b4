//! [`Volume`]: a block device as a person names it. Which one that is, is found elsewhere.

use std::fmt;
use std::path::PathBuf;

/// A block device, by one of its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Volume {
    /// `/dev/…`.
    Device(PathBuf),
    /// Label of the file system.
    Label(String),
    /// UUID of the file system; compared without regard to case.
    Uuid(String),
    /// Name of the partition in its table (GPT).
    PartLabel(String),
    /// UUID of the partition (GPT), or `SIGNATURE-NN` (MBR); compared without regard to case.
    PartUuid(String),
}

/// Why a text names no block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAVolume {
    /// Nothing after `LABEL=`.
    Empty(&'static str),
    /// A path that is not below `/dev`, or leaves it.
    NotADevice(String),
    /// None of the prefixes.
    Unknown(String),
}

impl Volume {
    /// `/dev/vda1`, `LABEL=x`, `UUID=x`, `PARTLABEL=x`, `PARTUUID=x`. A space in a label may be written `\x20`, as udev
    /// does.
    ///
    /// # Errors
    /// [`NotAVolume`], in words for a person.
    pub fn parse(text: &str) -> Result<Self, NotAVolume> {
        if text.starts_with('/') {
            let leaves = text.split('/').any(|part| part == "..");
            let below = text.strip_prefix("/dev/").is_some_and(|rest| !rest.trim_matches('/').is_empty());
            return match below && !leaves {
                true => Ok(Self::Device(PathBuf::from(text))),
                false => Err(NotAVolume::NotADevice(text.to_owned())),
            };
        }
        let Some((tag, value)) = text.split_once('=') else {
            return Err(NotAVolume::Unknown(text.to_owned()));
        };
        let value = unescaped(value);
        let (made, name) = match tag {
            "LABEL" => (Self::Label(value.clone()), "LABEL="),
            "UUID" => (Self::Uuid(value.clone()), "UUID="),
            "PARTLABEL" => (Self::PartLabel(value.clone()), "PARTLABEL="),
            "PARTUUID" => (Self::PartUuid(value.clone()), "PARTUUID="),
            _ => return Err(NotAVolume::Unknown(text.to_owned())),
        };
        if value.is_empty() { Err(NotAVolume::Empty(name)) } else { Ok(made) }
    }
}

/// `\x20` and its like (udev's `encode_devnode_name`) become the characters they stand for.
pub(super) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest.get(at + 2..at + 4).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[at + 4..];
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "{}", path.display()),
            Self::Label(name) => write!(f, "LABEL={name}"),
            Self::Uuid(name) => write!(f, "UUID={name}"),
            Self::PartLabel(name) => write!(f, "PARTLABEL={name}"),
            Self::PartUuid(name) => write!(f, "PARTUUID={name}"),
        }
    }
}

impl fmt::Display for NotAVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(tag) => write!(f, "nothing stands after {tag}: write {tag}NAME"),
            Self::NotADevice(path) => {
                write!(f, "{path} is no device: write one below /dev, such as /dev/vda1")
            }
            Self::Unknown(text) => {
                write!(
                    f,
                    "{text:?} names no block device: /dev/vda1, LABEL=x, UUID=x, PARTLABEL=x, PARTUUID=x"
                )
            }
        }
    }
}

impl std::error::Error for NotAVolume {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_written() {
        for text in
            ["/dev/vda1", "/dev/mapper/vg-lv", "LABEL=a b/c", "UUID=AB-cd", "PARTLABEL=x=y", "PARTUUID=1-02"]
        {
            assert_eq!(Volume::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Volume::parse("LABEL=a\\x20b\\x2fc").unwrap(), Volume::Label("a b/c".into()));
        assert_eq!(Volume::parse("LABEL=a\\xzz\\x").unwrap(), Volume::Label("a\\xzz\\x".into()));
    }

    #[test]
    fn what_names_no_device_says_how_to() {
        let why = |text: &str| Volume::parse(text).unwrap_err().to_string();
        assert_eq!(why("LABEL="), "nothing stands after LABEL=: write LABEL=NAME");
        for text in ["/dev", "/dev/", "/srv/x", "/dev/../etc/passwd"] {
            assert!(why(text).contains("such as /dev/vda1"), "{text}");
        }
        assert!(why("label=x").starts_with("\"label=x\" names no block device"));
    }
}
