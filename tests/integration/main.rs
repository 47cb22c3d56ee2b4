//! The second floor: the real binary against loopback servers, temporary directories and ptys.

mod fetch;
mod odd_server;
mod refused;
mod initrd;
mod network;
mod serve;
mod console;
mod refused;
mod screens;
mod initrd;
mod refused;
