//! When the menu boots by itself, as a state machine over time that is handed in: no clock in here. The contract:
//! it starts when there is something to boot and the first frame is out, any key stops it, and an operator who
//! went away re-arms it, so that no stray key leaves a machine waiting for ever.

use std::time::Duration;

/// A stray key must not lead to a boot that nobody saw coming: a re-armed countdown is at least so long.
const SHORTEST_REARMED: Duration = Duration::from_secs(10);

/// The countdown of one menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countdown {
    timeout: Duration,
    idle: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing boots by itself.
    Off,
    Running {
        left: Duration,
        rearmed: bool,
    },
    /// A key stopped it; re-armed after so long without another.
    Stopped {
        left: Duration,
    },
}

/// What there is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    /// Whole seconds left, rounded up; `rearmed`: because nobody pressed a key for the idle time.
    Counting {
        seconds: u64,
        rearmed: bool,
    },
    /// Stopped; it runs again after this long without a key.
    Stopped {
        idle: Duration,
    },
}

impl Countdown {
    /// `timeout` absent, or nothing to boot: it never runs.
    pub fn new(timeout: Option<Duration>, idle: Duration, bootable: bool) -> Self {
        let state = match timeout {
            Some(left) if bootable => State::Running { left, rearmed: false },
            _ => State::Off,
        };
        Self { timeout: timeout.unwrap_or_default(), idle, state }
    }

    /// The same, stopped: for a menu that a person is coming back to.
    pub fn hold(&mut self) {
        self.key();
    }

    /// A key was pressed.
    pub fn key(&mut self) {
        if self.state != State::Off {
            self.state = State::Stopped { left: self.idle };
        }
    }

    /// Time went by; true: boot now. A tick of no length fires a timeout of zero.
    pub fn tick(&mut self, passed: Duration) -> bool {
        match &mut self.state {
            State::Off => false,
            State::Running { left, .. } => {
                *left = left.saturating_sub(passed);
                left.is_zero()
            }
            State::Stopped { left } => {
                *left = left.saturating_sub(passed);
                if left.is_zero() {
                    let left = self.timeout.max(SHORTEST_REARMED);
                    self.state = State::Running { left, rearmed: true };
                }
                false
            }
        }
    }

    /// For the screen.
    pub fn shown(&self) -> Shown {
        match self.state {
            State::Off => Shown::Nothing,
            State::Running { left, rearmed } => {
                Shown::Counting { seconds: left.as_millis().div_ceil(1000) as u64, rearmed }
            }
            State::Stopped { .. } => Shown::Stopped { idle: self.idle },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(300);

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn counting(seconds: u64, rearmed: bool) -> Shown {
        Shown::Counting { seconds, rearmed }
    }

    #[test]
    fn it_fires_when_its_time_is_up_and_not_before() {
        let mut c = Countdown::new(Some(s(3)), IDLE, true);
        assert_eq!(c.shown(), counting(3, false));
        assert!(!c.tick(Duration::from_millis(2_999)));
        assert_eq!(c.shown(), counting(1, false));
        assert!(c.tick(Duration::from_millis(1)));
    }

    #[test]
    fn no_timeout_or_nothing_to_boot_never_fires() {
        for mut c in [Countdown::new(None, IDLE, true), Countdown::new(Some(s(1)), IDLE, false)] {
            c.key();
            assert!(!c.tick(s(100_000)));
            assert_eq!(c.shown(), Shown::Nothing);
        }
    }

    #[test]
    fn a_timeout_of_zero_fires_at_the_first_tick() {
        let mut c = Countdown::new(Some(s(0)), IDLE, true);
        assert!(c.tick(s(0)));
    }

    #[test]
    fn any_key_stops_it_and_an_idle_menu_runs_it_again() {
        let mut c = Countdown::new(Some(s(15)), IDLE, true);
        c.tick(s(14));
        c.key();
        assert_eq!(c.shown(), Shown::Stopped { idle: IDLE });
        assert!(!c.tick(s(299)));
        c.key();
        assert!(!c.tick(s(299)), "each key starts the idle time anew");
        assert!(!c.tick(s(1)));
        assert_eq!(c.shown(), counting(15, true));
        assert!(c.tick(s(15)));
    }

    #[test]
    fn a_rearmed_countdown_can_be_seen_even_when_the_timeout_is_zero() {
        let mut c = Countdown::new(Some(s(0)), IDLE, true);
        c.hold();
        assert!(!c.tick(s(300)));
        assert_eq!(c.shown(), counting(10, true));
    }

    #[test]
    fn one_long_tick_never_skips_the_countdown_a_person_should_see() {
        let mut c = Countdown::new(Some(s(5)), IDLE, true);
        c.key();
        assert!(!c.tick(s(100_000)), "a machine that slept shows the countdown first");
    }
}
