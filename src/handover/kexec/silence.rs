//! How long a machine says nothing after the jump, so that the last line before it can tell.
//!
//! Before the second kernel gets a word, the purgatory hashes all that was loaded (arch/x86/purgatory, SHA-256 in
//! plain C), then the kernel unpacks itself. How fast a processor does that is measured with the same kind of work: it
//! takes a hundred times longer in an emulated machine, and no table says how long.

use std::time::{Duration, Instant};

/// Bytes of one block of SHA-256.
const BLOCK: u64 = 64;

/// Blocks between two looks at the clock: 16 KiB, below 0.1 ms on hardware and some 0.3 ms in an emulated machine.
const BATCH: u32 = 256;

/// Batches until the rate is believed; and the time after which what there is must do.
const BATCHES: u32 = 24;
const PATIENCE: Duration = Duration::from_millis(15);

/// A kernel's unpacking of itself, as the bytes that could be hashed meanwhile: Debian's take from 60 (LZ4) to 300 (XZ)
/// of these, and the shorter is of no use to somebody who waits.
const UNPACKING: u64 = 200 << 20;

/// The silence to expect after [`jump`](super::jump) when `bytes` are loaded (kernel and initrd), right within a factor
/// of two. Measures for up to 20 ms.
pub fn silence(bytes: u64) -> Duration {
    expected(bytes, measure())
}

/// The arithmetic: `block` is what one block takes.
fn expected(bytes: u64, block: Duration) -> Duration {
    let blocks = bytes.saturating_add(UNPACKING) / BLOCK;
    Duration::from_secs_f64(blocks as f64 * block.as_secs_f64())
}

/// What a block of hashing takes on this processor now: the fastest of some batches, since whatever else the machine
/// does now ends before the jump.
fn measure() -> Duration {
    let (mut state, mut words) = ([0x6a09_e667; 8], [1; 64]);
    let begin = Instant::now();
    let mut fastest = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..BATCH {
            work(&mut state, &mut words);
        }
        fastest = fastest.min(start.elapsed());
        if begin.elapsed() > PATIENCE {
            break;
        }
    }
    std::hint::black_box(state);
    fastest / BATCH
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
    fn the_silence_grows_with_what_is_hashed() {
        // 16.7 ns a byte, as measured in an emulated machine.
        let block = Duration::from_nanos(1067);
        let (none, much) = (expected(0, block), expected(600_000_000, block));
        assert_eq!(none.as_millis(), 3496);
        assert_eq!((much - none).as_millis(), 10_003);
        // 15 cycles a byte at 3 GHz: a second of silence is nothing to speak of.
        assert_eq!(expected(100_000_000, Duration::from_nanos(320)).as_millis(), 1548);
        assert!(expected(u64::MAX, Duration::from_secs(1)) > much);
    }

    #[test]
    fn a_block_takes_some_time_and_the_measurement_not_much() {
        let begin = Instant::now();
        let block = measure();
        assert!(block > Duration::from_nanos(20), "{block:?}: the work was left out");
        assert!(block < Duration::from_millis(1), "{block:?}");
        // Far above the 20 ms it promises: this host is busy.
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
}
