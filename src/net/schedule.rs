//! When to ask again: growing pauses with jitter, so that a hundred machines that lost power together do not ask
//! together. Pure.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: f64 = 1.0;
const MOST: f64 = 30.0;

/// The pause after the try number `attempt` (from 1) failed: doubling from 1 s to 30 s, each give or take a quarter
/// but never beyond 30 s. `chance` is from 0 to 1.
pub fn pause(attempt: u32, chance: f64) -> Duration {
    let doubled = FIRST * f64::from(1_u32 << attempt.saturating_sub(1).min(10));
    Duration::from_secs_f64((doubled.min(MOST) * (0.75 + 0.5 * chance.clamp(0.0, 1.0))).min(MOST))
}

/// A number from 0 to 1: what the standard library seeds its hash tables with is random enough for a pause.
pub fn chance() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_one_second_to_thirty() {
        let middle: Vec<u64> = (1..=8).map(|n| pause(n, 0.5).as_secs()).collect();
        assert_eq!(middle, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause(u32::MAX, 1.0), Duration::from_secs(30));
        assert!(pause(0, 0.0) > Duration::ZERO);
    }

    #[test]
    fn pauses_differ() {
        assert!(pause(3, 0.0) < pause(3, 1.0));
        let draws: Vec<f64> = (0..16).map(|_| chance()).collect();
        assert!(draws.iter().all(|c| (0.0..=1.0).contains(c)));
        assert!(draws.iter().any(|c| (c - draws[0]).abs() > 1e-9));
    }
}
