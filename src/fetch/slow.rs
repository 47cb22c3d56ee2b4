//! Which mirror is slow: arithmetic only, no clock. Turning to another one is `stream`'s.
//!
//! Only time spent waiting for bytes counts: whoever reads them may take as long as it likes.

use std::collections::HashMap;
use std::time::Duration;

/// What counts as slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second; less is slow.
    pub least: u64,
    /// So long it must have been slow.
    pub over: Duration,
}

impl Default for Pace {
    /// A fortieth of a slow disk, a quarter of an hour for a small root: whoever has a second mirror wants to know what
    /// that one gives. Longer than a server takes to get going.
    fn default() -> Self {
        Self { least: 256 << 10, over: Duration::from_secs(15) }
    }
}

/// How fast the mirrors were.
pub(super) struct Slow {
    pace: Pace,
    bytes: u64,
    waited: Duration,
    /// Bytes a second of those that were left.
    left: HashMap<usize, u64>,
    /// All were slow: the best of them is stayed with.
    settled: bool,
}

impl Slow {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, bytes: 0, waited: Duration::ZERO, left: HashMap::new(), settled: false }
    }

    /// So many bytes came after waiting so long.
    pub(super) fn note(&mut self, bytes: usize, waited: Duration) {
        if self.waited >= self.pace.over {
            (self.bytes, self.waited) = (0, Duration::ZERO);
        }
        self.bytes += bytes as u64;
        self.waited += waited;
    }

    /// Whether the mirror was slow for long enough to say so.
    pub(super) fn is_slow(&self) -> bool {
        !self.settled && self.waited >= self.pace.over && self.rate() < self.pace.least
    }

    fn rate(&self) -> u64 {
        (self.bytes as f64 / self.waited.as_secs_f64().max(0.001)) as u64
    }

    /// One of the others that may be faster, and why this one is left: one that was not tried, or else the one that was much
    /// faster.
    pub(super) fn better(
        &self,
        mirror: usize,
        others: impl Iterator<Item = usize>,
    ) -> Option<(usize, String)> {
        let others: Vec<usize> = others.filter(|&other| other != mirror).collect();
        let untried = others.iter().copied().find(|other| !self.left.contains_key(other));
        let fastest = || others.iter().copied().max_by_key(|other| self.left.get(other));
        let much_faster =
            |other: &usize| self.left.get(other).is_some_and(|rate| *rate > self.rate() / 2 * 3);
        let to = untried.or_else(|| fastest().filter(much_faster))?;
        let over = self.waited.as_secs_f64();
        Some((to, format!("slow: {} KiB/s over {over:.0} s; another mirror is tried", self.rate() >> 10)))
    }

    /// The mirror that was turned to is no better: it cannot be read from here on.
    pub(super) fn is_no_better(&mut self, mirror: usize) {
        self.left.insert(mirror, 0);
    }

    /// The mirror is left for another one; if that was left before, it is the one to stay with.
    pub(super) fn leaves(&mut self, mirror: usize, to: usize) {
        let rate = self.rate();
        self.settled |= self.left.contains_key(&to);
        self.left.insert(mirror, rate);
        (self.bytes, self.waited) = (0, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(slow: &mut Slow, rate: usize, seconds: u32) {
        (0..seconds).for_each(|_| slow.note(rate, SECOND));
    }

    #[test]
    fn slow_is_what_was_slow_all_the_while() {
        let mut slow = Slow::new(Pace { least: 1000, over: 10 * SECOND });
        after(&mut slow, 999, 9);
        assert!(!slow.is_slow(), "too early to say");
        after(&mut slow, 999, 1);
        assert!(slow.is_slow());
        after(&mut slow, 1000, 10);
        assert!(!slow.is_slow(), "it got better");
        // Time that the reader takes for itself is not told here.
        slow.note(1 << 20, Duration::ZERO);
    }

    #[test]
    fn each_other_mirror_is_tried_and_the_fastest_stayed_with() {
        let mut slow = Slow::new(Pace { least: 1000, over: 10 * SECOND });
        let better = |slow: &Slow, mirror| slow.better(mirror, 0..3).map(|(to, _)| to);
        after(&mut slow, 900, 10);
        let (to, why) = slow.better(0, 0..3).unwrap();
        assert_eq!((to, why.as_str()), (1, "slow: 0 KiB/s over 10 s; another mirror is tried"));
        slow.leaves(0, 1);
        after(&mut slow, 100, 10);
        assert_eq!(better(&slow, 1), Some(2));
        slow.leaves(1, 2);
        after(&mut slow, 500, 10);
        assert_eq!(better(&slow, 2), Some(0));
        slow.leaves(2, 0);
        after(&mut slow, 10, 10);
        assert!(!slow.is_slow(), "it is the best there is");
    }

    #[test]
    fn little_better_is_not_worth_a_change() {
        let mut slow = Slow::new(Pace { least: 1000, over: 10 * SECOND });
        after(&mut slow, 600, 10);
        slow.leaves(0, 1);
        after(&mut slow, 500, 10);
        assert!(slow.is_slow() && slow.better(1, 0..2).is_none());
    }
}
