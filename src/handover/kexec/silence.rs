//! How long a machine says nothing after the jump, so that the last line before it can tell.
//!
//! Before the second kernel gets a word, each page is copied to its place, the purgatory hashes them all
//! (arch/x86/purgatory, SHA-256 in plain C) with the empty room the kernel was given, and the kernel unpacks itself.
//! How fast a processor does that is measured with the same kind of work: emulated machines are several times slower
//! than their host, and no table says how many.

use std::time::{Duration, Instant};

/// Bytes of one block of SHA-256.
const BLOCK: u64 = 64;

/// Blocks between two looks at the clock: 16 KiB, below 0.1 ms on hardware and some 0.3 ms in an emulated machine.
const BATCH: u32 = 256;

/// How long is measured: enough to meet the other programs of a busy host, too short to be noticed.
const MEASURED: Duration = Duration::from_millis(12);

/// What the purgatory takes beyond the work measured here, with the copying before it, in percent: an emulated machine
/// hashes at 16.7 ns a byte where this measures 11.5.
const SLOWER: u32 = 150;

/// The silence to expect after [`jump`](super::jump), for a kernel's `work` and the bytes of its initrd together. Right
/// within a factor of two in an emulated machine; on hardware rather too long than too short. Measures for 12 ms.
pub fn silence(bytes: u64) -> Duration {
    expected(bytes, measure())
}

/// The arithmetic: `block` is what one block takes.
fn expected(bytes: u64, block: Duration) -> Duration {
    let blocks = bytes as f64 / BLOCK as f64;
    Duration::from_secs_f64(blocks * block.as_secs_f64() * f64::from(SLOWER) / 100.0)
}

/// What a block of hashing takes on this processor now, as busy as its host is.
fn measure() -> Duration {
    let (mut state, mut words) = ([0x6a09_e667; 8], [1; 64]);
    let (start, mut blocks) = (Instant::now(), 0);
    while start.elapsed() < MEASURED {
        (0..BATCH).for_each(|_| work(&mut state, &mut words));
        blocks += BATCH;
    }
    std::hint::black_box(state);
    start.elapsed() / blocks
}

/// The operations of SHA-256 on one block (FIPS 180-4, 6.2.2), in their number, kind and order of dependence. The
/// constants are not those of the standard and take as long; what comes out is no digest.
fn work(state: &mut [u32; 8], words: &mut [u32; 64]) {
    for t in 16..64 {
        let (early, late) = (words[t - 15], words[t - 2]);
        let s0 = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
        let s1 = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
        words[t] = s1.wrapping_add(words[t - 7]).wrapping_add(s0).wrapping_add(words[t - 16]);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for word in words.iter() {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let t1 = h.wrapping_add(s1).wrapping_add((e & f) ^ (!e & g)).wrapping_add(*word);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
    }
    for (sum, value) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *sum = sum.wrapping_add(value);
    }
    // The next block depends on this one, so that none can be left out.
    words[0] ^= state[0];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_is_that_of_machines_that_were_watched() {
        let emulated = Duration::from_nanos(736);
        assert_eq!(expected(0, emulated).as_millis(), 0);
        // A second for 60 MB.
        assert_eq!(expected(60_000_000, emulated).as_millis(), 1035);
        // 15 cycles a byte at 3 GHz.
        assert_eq!(expected(200_000_000, Duration::from_nanos(213)).as_millis(), 998);
        assert!(expected(u64::MAX, Duration::from_millis(1)) > Duration::from_secs(1 << 40));
    }

    #[test]
    fn a_block_takes_some_time_and_the_measurement_not_much() {
        let begin = Instant::now();
        let block = measure();
        assert!(block > Duration::from_nanos(20), "{block:?}: the work was left out");
        assert!(block < Duration::from_millis(1), "{block:?}");
        // Far above what it promises: this host is busy.
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
}
