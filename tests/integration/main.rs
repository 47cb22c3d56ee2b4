//! The second floor: the real binary against loopback servers, temporary directories and ptys.

mod initrd;
mod network;
mod refused;
