//! Journeys through a real machine: QEMU, a real kernel, the real initrd. One module a journey.
