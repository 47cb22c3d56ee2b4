//! Puts the build's date into the binary: the floor below which no clock is believed
//! (a machine whose battery died must still be able to check a certificate).

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=Cargo.toml");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|s| s.parse().ok()).unwrap_or(now);
    println!("cargo:rustc-env=BOOTJACK_BUILD_EPOCH={epoch}");
}
