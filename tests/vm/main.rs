//! Journeys through a real machine: QEMU, a real kernel, the real initrd. One module a journey, its name the promise.
//! What they need is made by `make test-vm`, which also runs them one at a time.

// The harness serves journeys that arrive with the rooms they travel through.
#![allow(dead_code)]

mod lab;
mod machine;
mod screen;
mod server;

mod a_foreign_modprobe_reads_our_tables;
mod binary_is_static_and_small;
mod harness_sees_types_and_ends;
mod pxe_rom_starts_kernel_and_initrd;
