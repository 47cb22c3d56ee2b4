//! The second floor: the real binary against loopback servers, temporary directories and ptys.

mod console;
mod fetch;
mod initrd;
mod network;
mod odd_server;
mod refused;
mod screens;
mod serve;
mod archive;
mod pack;
mod trees;
mod initrd;
mod network;
mod refused;
