//! The binary fits where it has to go: nothing to load beside it, at most 7.0 MB, and 3.0 MB as it travels.

use std::fs;

use crate::lab;

#[test]
fn the_binary_is_static_and_small() {
    let binary = fs::read(lab::bootjack()).unwrap();
    assert!(!binary.windows(12).any(|w| w == b"/ld-linux-x8"), "it names a dynamic loader");
    // `make PROFILE=quick` is for iterating and not meant to be small.
    if std::env::var("PROFILE").is_ok_and(|p| p != "release") {
        return;
    }
    let packed = zstd::encode_all(&*binary, 19).unwrap();
    println!("{} bytes, {} at zstd -19", binary.len(), packed.len());
    assert!(binary.len() <= 7_000_000, "{} bytes", binary.len());
    assert!(packed.len() <= 3_000_000, "{} bytes at zstd -19", packed.len());
}
