//! One file a command: the only room where rooms meet.

pub mod attach;
pub mod boot;
pub mod ca;
pub mod catalog_file;
pub mod check;
pub mod initrd;
pub mod keys;
pub mod login;
pub mod menu;
pub mod modprobe;
pub mod output;
pub mod pack;
pub mod progress;
pub mod rescue;
pub mod serve;
pub mod signed;
pub mod ssh;
pub mod unpack;
pub mod vm;
