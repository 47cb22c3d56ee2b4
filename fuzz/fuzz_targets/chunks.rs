#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bootjack_fuzz::chunks(data));
