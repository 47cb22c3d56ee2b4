//! The second floor: the real binary against loopback servers, temporary directories and ptys.

mod archive;
mod cli;
mod console;
mod cpio;
mod disks;
mod docs;
mod fetch;
mod foreign;
mod ftp;
mod images;
mod initrd;
mod job;
mod network;
mod odd_server;
mod pack;
mod peer;
mod proxy;
mod refused;
mod screens;
mod serve;
mod tftp;
mod trees;
mod vm;
mod volumes;
mod with;
mod words;
