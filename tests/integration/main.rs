//! The second floor: the real binary against loopback servers, temporary directories and ptys.

mod archive;
mod pack;
mod trees;
