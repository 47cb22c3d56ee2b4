//! When which mirror is tried again, and when to give up: arithmetic only, no clock. `drive` tells it what happened
//! and does the waiting.
//!
//! The budget is spent by time in which no byte arrived, nothing else: the silent part of a failed try and the waits
//! between tries. A try that flows for hours costs nothing until it breaks.

use std::time::Duration;

/// No wait is shorter: what fails at once must not be asked in a tight loop.
const FLOOR: Duration = Duration::from_millis(250);
/// The first back-off is at most this; it doubles with each round.
const BASE: Duration = Duration::from_secs(1);
/// The longest a machine waits on its own account: somebody may be standing in front of it.
const CAP: Duration = Duration::from_secs(15);

/// What a failed try means for its mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is asked again, not before the time it asked for itself.
    Transient { retry_after: Option<Duration> },
    /// It is out.
    Permanent,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait (already charged), then try this mirror (its index).
    Try { mirror: usize, wait: Duration },
    /// The budget is spent, or every mirror is out.
    GiveUp,
}

/// The state of one fetch over all its mirrors.
#[derive(Clone, Debug)]
pub struct Retry {
    left: Duration,
    mirrors: Vec<Mirror>,
    /// The one that is tried now.
    current: usize,
    /// Full rounds of failures since the last progress.
    rounds: u32,
    /// The furthest any try came, in bytes.
    furthest: u64,
    random: u64,
}

#[derive(Clone, Debug, Default)]
struct Mirror {
    out: bool,
    tried_ever: bool,
    tried_this_round: bool,
    /// It asked not to be asked before.
    ready_in: Duration,
}

impl Retry {
    /// A budget of `retry_for` over `mirrors` (at least one is assumed); the same `seed` gives the same waits.
    pub fn new(retry_for: Duration, mirrors: usize, seed: u64) -> Self {
        let mirrors = vec![Mirror::default(); mirrors];
        Self { left: retry_for, mirrors, current: 0, rounds: 0, furthest: 0, random: seed }
    }

    /// The first try: the first mirror, at once.
    pub fn first(&mut self) -> Next {
        self.pick(Duration::ZERO)
    }

    /// What is left to be spent in silence.
    pub fn budget_left(&self) -> Duration {
        self.left
    }

    /// The try under way came so far. Further than any before is progress, and the back-off starts anew; a place that
    /// breaks at the same byte each time makes none.
    pub fn reached(&mut self, bytes: u64) {
        if bytes > self.furthest {
            self.furthest = bytes;
            self.rounds = 0;
        }
    }

    /// The try under way failed after `silent` without a byte. Every mirror gets one try, whatever the budget.
    pub fn failed(&mut self, kind: Kind, silent: Duration) -> Next {
        self.charge(silent);
        if let Some(mirror) = self.mirrors.get_mut(self.current) {
            match kind {
                Kind::Permanent => mirror.out = true,
                Kind::Transient { retry_after } => mirror.ready_in = retry_after.unwrap_or_default(),
            }
        }
        if self.mirrors.iter().all(|m| m.out) {
            return Next::GiveUp;
        }
        if self.untried(|m| !m.tried_this_round && m.ready_in.is_zero()).is_some() {
            let fresh = self.untried(|m| !m.tried_ever).is_some();
            return if self.left.is_zero() && !fresh { Next::GiveUp } else { self.pick(Duration::ZERO) };
        }
        if self.left.is_zero() {
            return Next::GiveUp;
        }
        self.next_round()
    }

    /// Another mirror is tried, though the one under way did not fail.
    pub fn turn_to(&mut self, mirror: usize) {
        self.current = mirror;
        if let Some(mirror) = self.mirrors.get_mut(mirror) {
            (mirror.tried_this_round, mirror.tried_ever) = (true, true);
        }
    }

    /// Whether it may be asked now.
    pub fn is_ready(&self, mirror: usize) -> bool {
        self.mirrors.get(mirror).is_some_and(|mirror| !mirror.out && mirror.ready_in.is_zero())
    }

    /// A mirror that was out is tried again.
    pub fn take_back(&mut self, mirror: usize) {
        if let Some(mirror) = self.mirrors.get_mut(mirror) {
            mirror.out = false;
        }
    }

    fn next_round(&mut self) -> Next {
        self.mirrors.iter_mut().for_each(|m| m.tried_this_round = false);
        let asked = self.mirrors.iter().filter(|m| !m.out).map(|m| m.ready_in).min().unwrap_or_default();
        let wait = self.jitter().max(asked).min(self.left);
        self.rounds = self.rounds.saturating_add(1);
        self.charge(wait);
        self.pick(wait)
    }

    /// The first mirror that may be asked now; where each wants more time than is left, the one that wants least.
    fn pick(&mut self, wait: Duration) -> Next {
        let fresh_only = self.left.is_zero() && wait.is_zero();
        let ready = self
            .untried(|m| !m.tried_this_round && m.ready_in.is_zero() && (!fresh_only || !m.tried_ever))
            .or_else(|| {
                let live = self.mirrors.iter().enumerate().filter(|(_, m)| !m.out);
                live.min_by_key(|(_, m)| m.ready_in).map(|(i, _)| i)
            });
        let Some(at) = ready else { return Next::GiveUp };
        self.current = at;
        self.mirrors[at].tried_this_round = true;
        self.mirrors[at].tried_ever = true;
        Next::Try { mirror: at, wait }
    }

    fn untried(&self, wanted: impl Fn(&Mirror) -> bool) -> Option<usize> {
        self.mirrors.iter().position(|m| !m.out && wanted(m))
    }

    fn charge(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
        for mirror in &mut self.mirrors {
            mirror.ready_in = mirror.ready_in.saturating_sub(time);
        }
    }

    /// Full jitter: anything from the floor to the doubling bound, so that a rack that failed together does not come
    /// back together.
    fn jitter(&mut self) -> Duration {
        let bound = BASE.saturating_mul(1 << self.rounds.min(10)).min(CAP);
        let span = (bound - FLOOR).as_millis() as u64;
        FLOOR + Duration::from_millis(self.draw() % (span + 1))
    }

    /// SplitMix64: enough to spread machines, and the same on each run of a test.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TRANSIENT: Kind = Kind::Transient { retry_after: None };

    fn tried(next: Next) -> (usize, Duration) {
        match next {
            Next::Try { mirror, wait } => (mirror, wait),
            Next::GiveUp => panic!("gave up"),
        }
    }

    #[test]
    fn mirrors_are_tried_in_order_and_only_a_full_round_waits() {
        let mut retry = Retry::new(60 * SECOND, 3, 1);
        assert_eq!(tried(retry.first()), (0, Duration::ZERO));
        assert_eq!(tried(retry.failed(TRANSIENT, Duration::ZERO)), (1, Duration::ZERO));
        assert_eq!(tried(retry.failed(TRANSIENT, Duration::ZERO)), (2, Duration::ZERO));
        let (mirror, wait) = tried(retry.failed(TRANSIENT, Duration::ZERO));
        assert_eq!(mirror, 0);
        assert!(wait >= FLOOR && wait <= SECOND, "{wait:?}");
        assert_eq!(retry.budget_left(), 60 * SECOND - wait);
    }

    #[test]
    fn a_mirror_that_failed_for_good_is_never_tried_again() {
        let mut retry = Retry::new(60 * SECOND, 2, 1);
        retry.first();
        assert_eq!(tried(retry.failed(Kind::Permanent, Duration::ZERO)), (1, Duration::ZERO));
        for _ in 0..5 {
            assert_eq!(tried(retry.failed(TRANSIENT, Duration::ZERO)).0, 1);
        }
        assert_eq!(retry.failed(Kind::Permanent, Duration::ZERO), Next::GiveUp);
    }

    #[test]
    fn slow_but_steady_flow_never_runs_out() {
        // Each try flows for an hour, gets further, and breaks without silence.
        let mut retry = Retry::new(300 * SECOND, 1, 7);
        retry.first();
        let mut hours = 0;
        let mut bytes = 0;
        while let Next::Try { wait, .. } = {
            bytes += 1;
            retry.reached(bytes);
            retry.failed(TRANSIENT, Duration::ZERO)
        } {
            assert!(wait <= BASE, "progress starts the back-off anew: {wait:?}");
            hours += 1;
        }
        assert!(hours >= 300, "{hours} h of flow on 5 min of silence");
    }

    #[test]
    fn a_place_that_breaks_at_the_same_byte_is_backed_off_from() {
        let mut retry = Retry::new(3600 * SECOND, 1, 3);
        retry.first();
        let waits: Vec<Duration> = (0..40)
            .map(|_| {
                retry.reached(1000);
                tried(retry.failed(TRANSIENT, Duration::ZERO)).1
            })
            .collect();
        assert!(waits.iter().any(|w| *w > 10 * SECOND) && waits.iter().all(|w| *w <= CAP), "{waits:?}");
    }

    #[test]
    fn silence_is_charged_and_the_budget_ends_it() {
        let mut retry = Retry::new(25 * SECOND, 1, 1);
        retry.first();
        tried(retry.failed(TRANSIENT, 10 * SECOND));
        tried(retry.failed(TRANSIENT, 10 * SECOND));
        assert_eq!(retry.failed(TRANSIENT, 10 * SECOND), Next::GiveUp);
        assert_eq!(retry.budget_left(), Duration::ZERO);
    }

    #[test]
    fn without_a_budget_every_mirror_still_gets_one_try() {
        let mut retry = Retry::new(Duration::ZERO, 2, 1);
        assert_eq!(tried(retry.first()), (0, Duration::ZERO));
        assert_eq!(tried(retry.failed(TRANSIENT, 10 * SECOND)), (1, Duration::ZERO));
        assert_eq!(retry.failed(TRANSIENT, Duration::ZERO), Next::GiveUp);
    }

    #[test]
    fn retry_after_is_obeyed_and_other_mirrors_go_first() {
        let later = |s| Kind::Transient { retry_after: Some(s * SECOND) };
        let mut retry = Retry::new(100 * SECOND, 1, 1);
        retry.first();
        assert_eq!(tried(retry.failed(later(20), Duration::ZERO)), (0, 20 * SECOND));
        // More than is left: what is left, then a last try.
        assert_eq!(tried(retry.failed(later(900), Duration::ZERO)), (0, 80 * SECOND));
        assert_eq!(retry.failed(later(1), Duration::ZERO), Next::GiveUp);

        let mut retry = Retry::new(100 * SECOND, 2, 1);
        retry.first();
        assert_eq!(tried(retry.failed(later(50), Duration::ZERO)), (1, Duration::ZERO));
        let (mirror, wait) = tried(retry.failed(TRANSIENT, Duration::ZERO));
        assert_eq!(mirror, 1, "the first asked for 50 s");
        assert!(wait <= SECOND);
    }

    #[test]
    fn whatever_happens_it_ends_within_the_budget_and_keeps_its_bounds() {
        for seed in 0..2000 {
            let mut dice = Retry::new(Duration::ZERO, 0, seed);
            let mirrors = 1 + (dice.draw() % 4) as usize;
            let budget = Duration::from_millis(dice.draw() % 400_000);
            let mut retry = Retry::new(budget, mirrors, seed);
            let mut out = vec![false; mirrors];
            let mut seen = vec![false; mirrors];
            let mut spent = Duration::ZERO;
            let mut next = retry.first();
            let mut tries = 0;
            while let Next::Try { mirror, wait } = next {
                assert!(!out[mirror], "seed {seed}: a mirror that is out was tried");
                seen[mirror] = true;
                spent += wait;
                assert!(spent <= budget || wait.is_zero(), "seed {seed}: waits beyond the budget");
                assert_eq!(retry.budget_left(), budget.saturating_sub(spent), "seed {seed}");
                let silent = Duration::from_millis(dice.draw() % 10_000);
                let kind = match dice.draw() % 10 {
                    0 => Kind::Permanent,
                    1 => Kind::Transient { retry_after: Some(Duration::from_millis(dice.draw() % 60_000)) },
                    _ => TRANSIENT,
                };
                out[mirror] = kind == Kind::Permanent;
                retry.reached(dice.draw() % 1_000_000);
                spent += silent;
                next = retry.failed(kind, silent);
                tries += 1;
                assert!(tries <= mirrors * (2 + budget.as_millis() as usize / 250), "seed {seed}: no end");
            }
            assert!(spent >= budget || out.iter().all(|o| *o), "seed {seed}: gave up early");
            assert!(seen.iter().all(|s| *s), "seed {seed}: a mirror was never tried");
        }
    }
}
