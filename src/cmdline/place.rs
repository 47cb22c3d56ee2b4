//! Where the root words say that an archive lies: dracut-tmpfs-root's volumes and exports with the file named apart,
//! the URLs of the others. What opens them is `fetch`.

use std::path::{Path, PathBuf};

use super::words::Word;
use super::{CmdlineProblem, location};
use crate::fetch::Location;
use crate::volumes::{Export, Volume};

/// What one `root=tmpfs:` names.
pub(super) enum Place {
    Complete(Location),
    /// Its archive is the file of `rd.tmpfs.imgfile=`, or the device itself.
    Volume(Volume),
    /// Its archive is the file of `rd.tmpfs.imgfile=`.
    Export(Export),
}

impl Place {
    pub(super) fn parse(word: &Word) -> Result<Self, CmdlineProblem> {
        let text = word.value().strip_prefix("tmpfs:").unwrap_or_default();
        let found = match text.strip_prefix("NFS=") {
            Some(spec) => Export::parse_dracut(spec).map(Self::Export).map_err(|why| why.to_string()),
            None if is_volume(text) => volume(text),
            None => url(text).map(Self::of),
        };
        found.map_err(|cause| CmdlineProblem { hint: Some(example(text)), ..word.problem(cause) })
    }

    fn of(location: Location) -> Self {
        match location {
            Location::Volume { volume, file: None } => Self::Volume(volume),
            location => Self::Complete(location),
        }
    }

    pub(super) fn is_bare(&self) -> bool {
        !matches!(self, Self::Complete(_))
    }

    /// The location with the file of `rd.tmpfs.imgfile=` on it.
    pub(super) fn with(self, imgfile: Option<&Path>, word: &Word) -> Result<Location, CmdlineProblem> {
        match (self, imgfile) {
            (Self::Complete(location), _) => Ok(location),
            (Self::Volume(volume), file) => Ok(Location::Volume { volume, file: file.map(Path::to_owned) }),
            (Self::Export(export), Some(file)) => Ok(Location::Nfs { export, file: file.to_owned() }),
            (Self::Export(_), None) => Err(CmdlineProblem {
                hint: Some(format!("such as {} rd.tmpfs.imgfile=images/root.tar.zst", word.text())),
                ..word.problem("names no file on it")
            }),
        }
    }
}

/// A block device by its name, or by something before a `=`, which a slip may have changed.
fn is_volume(text: &str) -> bool {
    let tag = text.split_once('=').is_some_and(|(tag, _)| tag.chars().all(|c| c.is_ascii_alphabetic()));
    tag || text == "/dev" || text.starts_with("/dev/")
}

fn volume(text: &str) -> Result<Place, String> {
    let known = ["/", "LABEL=", "UUID=", "PARTLABEL=", "PARTUUID="].iter().any(|p| text.starts_with(p));
    if !known {
        return Volume::parse(text).map(Place::Volume).map_err(|why| why.to_string());
    }
    let device = if text.starts_with('/') { "dev:" } else { "" };
    location(&format!("{device}{text}")).map(Place::of)
}

/// Any location; `nfs:SERVER:/DIRECTORY/FILE` as dracut's url-lib has it, too: it mounts the directory.
pub(super) fn url(text: &str) -> Result<Location, String> {
    if text.starts_with("torrent:") {
        return Err("a torrent is not fetched".into());
    }
    let nfs = text.strip_prefix("nfs:").or(text.strip_prefix("nfs4:"));
    if nfs.is_none_or(|rest| rest.starts_with("//")) {
        return location(text);
    }
    let export = Export::parse_dracut(text).map_err(|why| why.to_string())?;
    let (directory, file) = export.path.rsplit_once('/').unwrap_or(("", &export.path));
    let file = imgfile(file)?;
    let path = if directory.is_empty() { "/".into() } else { directory.to_owned() };
    Ok(Location::Nfs { export: Export { path, ..export }, file })
}

/// A location, or a path in the initramfs (ramroot).
pub(super) fn or_in_initramfs(text: &str) -> Result<Location, String> {
    Ok(match url(text)? {
        Location::File(path) => Location::Initramfs(path),
        location => location,
    })
}

/// A path on a volume, relative to its root; a leading `/` is harmless.
pub(super) fn imgfile(text: &str) -> Result<PathBuf, String> {
    let path = text.trim_start_matches('/');
    if path.is_empty() || path.ends_with('/') {
        Err("names no file".into())
    } else if path.split('/').any(|part| part == "..") {
        Err("leaves the volume".into())
    } else {
        Ok(PathBuf::from(path))
    }
}

/// How it is written right, of the kind that was meant.
fn example(text: &str) -> String {
    let begins = |tag: &str| text.get(..tag.len()).is_some_and(|t| t.eq_ignore_ascii_case(tag));
    let place = if begins("NFS") {
        "NFS=nfs:10.0.0.1:/srv/images rd.tmpfs.imgfile=root.tar.zst"
    } else if begins("/dev") {
        "/dev/vda1 rd.tmpfs.imgfile=images/root.tar.zst"
    } else if is_volume(text) {
        "LABEL=images rd.tmpfs.imgfile=root.tar.zst"
    } else {
        "http://10.0.0.1/root.tar.zst"
    };
    format!("such as root=tmpfs:{place}")
}
