//! What unpacking will make, told from the members alone: the directories that are no members, so that what is counted
//! while an archive is packed anew or only read is what `tree` counts later; and what it will refuse. Nothing is made here.

use std::collections::HashMap;

use super::Progress;
use super::error::{self, UnpackError};
use super::intake::Ticker;
use super::member::{Kind, Member};
use super::members::Members;
use super::tree::{Place, check, clean};

/// Symbolic links on one way, as the kernel bears (path_resolution(7), ELOOP).
const LINKS: usize = 40;

/// The longest component of a name (NAME_MAX of linux/limits.h).
const NAME: usize = 255;

/// Reads all members and what follows the last one, and tells what they will become.
pub(super) fn survey(members: &mut Members<'_>, ticker: &Ticker<'_>) -> Result<Progress, UnpackError> {
    let mut outline = Outline::default();
    while let Some(member) = members.next()? {
        outline.add(&member)?;
        ticker.set(outline.done());
    }
    members.end()?;
    Ok(outline.done())
}

/// What stands at a place.
#[derive(Clone)]
enum Node {
    Directory,
    Link(Vec<u8>),
    Other,
}

/// The tree so far, by names free of links.
#[derive(Default)]
pub(super) struct Outline {
    nodes: HashMap<Vec<u8>, Node>,
    /// Directories a member needed that were not there.
    made: u64,
    members: u64,
    bytes: u64,
}

impl Outline {
    /// Counted as [`Unpacked`](super::Unpacked) is.
    pub(super) fn done(&self) -> Progress {
        Progress { bytes: self.bytes, entries: self.members + self.made }
    }

    /// Puts a member in its place, unless unpacking would refuse it.
    pub(super) fn add(&mut self, member: &Member) -> Result<(), UnpackError> {
        check(member)?;
        self.put(member).map_err(|reason| UnpackError::member(&member.name, reason))?;
        self.bytes = self.bytes.saturating_add(member.bytes());
        self.members += 1;
        Ok(())
    }

    fn put(&mut self, member: &Member) -> Result<(), String> {
        let path = clean(&member.name)?;
        let Some(place) = Place::of(&path) else {
            let root = matches!(member.kind, Kind::Directory);
            return if root { Ok(()) } else { Err("the root of the archive is not a directory".to_owned()) };
        };
        if path.split(|b| *b == b'/').any(|component| component.len() > NAME) {
            return Err(format!("a name with more than {NAME} bytes between its slashes"));
        }
        let node = match &member.kind {
            Kind::Directory => Node::Directory,
            Kind::Symlink { target } if target.is_empty() || target.contains(&0) => {
                return Err("a symbolic link to nothing, or to a name with a NUL byte".to_owned());
            }
            Kind::Symlink { target } => Node::Link(target.clone()),
            Kind::HardLink { target } => self.linked(target)?,
            Kind::LinkWithData { target, .. } => match self.linked(target)? {
                Node::Other => Node::Other,
                _ => {
                    let target = error::shown(&error::path(target));
                    return Err(format!("hard link with data to {target}, which is no file"));
                }
            },
            _ => Node::Other,
        };
        let dir = self.directory(place.dir).ok_or("what it lies in is no directory")?;
        let name = below(&dir, place.leaf);
        // Looked for only where a directory must go: an archive seldom has one.
        let replaced =
            matches!(self.nodes.get(&name), Some(Node::Directory)) && !matches!(node, Node::Directory);
        if replaced && self.nodes.keys().any(|other| other.starts_with(&below(&name, b""))) {
            return Err("it would replace a directory that is not empty".to_owned());
        }
        self.nodes.insert(name, node);
        Ok(())
    }

    /// A hard link may be one to a symbolic link.
    fn linked(&self, target: &[u8]) -> Result<Node, String> {
        let path = clean(target)?;
        let place = Place::of(&path).ok_or("hard link to the root")?;
        let node = self.lookup(place.dir).and_then(|dir| self.nodes.get(&below(&dir, place.leaf)).cloned());
        let what = match node {
            Some(Node::Directory) => "is a directory",
            Some(node) => return Ok(node),
            None => "is not there yet",
        };
        Err(format!("hard link to {}, which {what}", error::shown(&error::path(target))))
    }

    /// The directory of this name, which is `clean`, free of links; missing ones on the way are made.
    fn directory(&mut self, dir: &[u8]) -> Option<Vec<u8>> {
        let mut at = Vec::new();
        let mut end = 0;
        for name in dir.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
            end += name.len() + usize::from(end > 0);
            let next = below(&at, name);
            at = match self.nodes.get(&next) {
                Some(Node::Directory) => next,
                Some(Node::Link(_)) => self.lookup(&dir[..end])?,
                Some(Node::Other) => return None,
                None => {
                    self.nodes.insert(next.clone(), Node::Directory);
                    self.made += 1;
                    next
                }
            };
        }
        Some(at)
    }

    /// The directory of this name with every link on the way, and at its end, resolved inside the root.
    fn lookup(&self, path: &[u8]) -> Option<Vec<u8>> {
        let reversed = |path: &[u8]| path.rsplit(|b| *b == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (mut at, mut links) = (Vec::new(), 0);
        let mut rest = reversed(path);
        while let Some(name) = rest.pop() {
            match &name[..] {
                b"" | b"." => {}
                b".." => at.truncate(at.iter().rposition(|b| *b == b'/').unwrap_or(0)),
                name => {
                    let next = below(&at, name);
                    match self.nodes.get(&next)? {
                        Node::Directory => at = next,
                        Node::Link(_) if links == LINKS => return None,
                        Node::Link(target) => {
                            links += 1;
                            if target.starts_with(b"/") {
                                at.clear();
                            }
                            rest.extend(reversed(target));
                        }
                        Node::Other => return None,
                    }
                }
            }
        }
        Some(at)
    }
}

fn below(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::pax::Time;

    fn member(name: &str, kind: Kind) -> Member {
        let mtime = Time { seconds: 0, nanoseconds: 0 };
        Member { name: name.into(), kind, mode: 0, uid: 0, gid: 0, mtime, xattrs: Vec::new() }
    }

    fn hard_link(name: &str, target: &str) -> Member {
        member(name, Kind::HardLink { target: target.into() })
    }

    fn symlink(name: &str, target: &str) -> Member {
        member(name, Kind::Symlink { target: target.into() })
    }

    fn file(name: &str) -> Member {
        member(name, Kind::File { size: 1 })
    }

    #[test]
    fn what_unpacking_refuses_is_refused_without_a_tree() {
        let long = "n".repeat(256);
        for (members, want) in [
            (vec![file("a"), file("a/b")], "a/b: what it lies in is no directory"),
            (vec![symlink("a", "b"), symlink("b", "a"), file("a/x")], "a/x: what it lies in is no directory"),
            (vec![symlink("./", "x")], "./: the root of the archive is not a directory"),
            (vec![hard_link("a", "b")], "a: hard link to b, which is not there yet"),
            (
                vec![member("d", Kind::Directory), hard_link("a", "d")],
                "a: hard link to d, which is a directory",
            ),
            (vec![file("d/x"), file("d")], "d: it would replace a directory that is not empty"),
            (vec![symlink("a", "")], "a: a symbolic link to nothing, or to a name with a NUL byte"),
            (vec![file(&long)], "a name with more than 255 bytes between its slashes"),
            (vec![file("../x")], "../x: `..` in the name"),
        ] {
            let mut outline = Outline::default();
            let error = members.iter().find_map(|member| outline.add(member).err()).unwrap().to_string();
            assert!(error.contains(want), "{error:?} lacks {want:?}");
        }
    }

    #[test]
    fn what_unpacking_makes_is_counted() {
        let mut outline = Outline::default();
        for member in [
            symlink("lib", "usr/lib"),
            file("usr/lib/a/x"),
            file("lib/b"),
            hard_link("again", "lib/a/x"),
            hard_link("link", "lib"),
            member("usr", Kind::Directory),
            file("dir/x"),
            member("empty", Kind::Directory),
            file("empty"),
        ] {
            outline.add(&member).unwrap();
        }
        assert_eq!(outline.done(), Progress { bytes: 4 * 4096, entries: 9 + 4 });
    }
}
