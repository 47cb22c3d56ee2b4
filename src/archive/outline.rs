//! Which directories unpacking will make that are no members, told from the members alone: what is counted while an
//! archive is packed anew has to be what `tree` counts later. Nothing is made here.

use std::collections::HashMap;

use super::member::{Kind, Member};
use super::tree::{Place, clean};

/// Symbolic links on one way, as the kernel bears (path_resolution(7), ELOOP).
const LINKS: usize = 40;

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
    pub made: u64,
}

impl Outline {
    /// Puts a member in its place. One that unpacking will refuse changes nothing.
    pub(super) fn add(&mut self, member: &Member) {
        let Ok(path) = clean(&member.name) else { return };
        let Some(place) = Place::of(&path) else { return };
        let node = match &member.kind {
            Kind::Directory => Node::Directory,
            Kind::Symlink { target } => Node::Link(target.clone()),
            Kind::HardLink { target } | Kind::LinkWithData { target, .. } => self.linked(target),
            _ => Node::Other,
        };
        if let Some(dir) = self.directory(place.dir) {
            self.nodes.insert(below(&dir, place.leaf), node);
        }
    }

    /// A hard link may be one to a symbolic link.
    fn linked(&self, target: &[u8]) -> Node {
        let node = clean(target).ok().and_then(|path| {
            let place = Place::of(&path)?;
            self.nodes.get(&below(&self.lookup(place.dir)?, place.leaf)).cloned()
        });
        node.unwrap_or(Node::Other)
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
