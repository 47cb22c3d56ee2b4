//! A floor for the clock: no certificate can be checked in 1970. Setting the right time is left to the network.

use std::fmt;
use std::io;

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

/// Seconds since 1970 at which this binary was built: it cannot be earlier than that now.
const BUILT: i64 = match i64::from_str_radix(env!("BOOTJACK_BUILD_EPOCH"), 10) {
    Ok(seconds) => seconds,
    Err(_) => panic!("BOOTJACK_BUILD_EPOCH is not a number"),
};

/// Seconds since 1970: as the clock says, and never before this binary was built, whatever became of the clock.
pub fn now() -> u64 {
    not_before(clock_gettime(ClockId::Realtime).tv_sec, BUILT)
}

fn not_before(clock: i64, built: i64) -> u64 {
    u64::try_from(clock.max(built)).unwrap_or(0)
}

/// What was done to the clock (seconds since 1970).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSet {
    pub from: i64,
    pub to: i64,
}

/// Sets the system clock to the build date if it is before it (a battery that died), and says so.
///
/// # Errors
/// When the clock has to be set and the kernel refuses (clock_settime(2)).
pub fn clock_floor() -> io::Result<Option<ClockSet>> {
    let Some(set) = floor(clock_gettime(ClockId::Realtime).tv_sec, BUILT) else { return Ok(None) };
    clock_settime(ClockId::Realtime, Timespec { tv_sec: set.to, tv_nsec: 0 })?;
    Ok(Some(set))
}

fn floor(now: i64, built: i64) -> Option<ClockSet> {
    (now < built).then_some(ClockSet { from: now, to: built })
}

impl fmt::Display for ClockSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the clock stood at {} s since 1970, before this program was built; set to {}",
            self.from, self.to
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_build_is_set_and_a_later_one_is_left_alone() {
        assert_eq!(floor(0, 1_700_000_000), Some(ClockSet { from: 0, to: 1_700_000_000 }));
        assert_eq!(floor(1_700_000_000, 1_700_000_000), None);
        assert_eq!(floor(1_900_000_000, 1_700_000_000), None);
    }

    #[test]
    fn no_time_is_earlier_than_the_build() {
        assert_eq!(not_before(0, 1_700_000_000), 1_700_000_000);
        assert_eq!(not_before(-1, 1_700_000_000), 1_700_000_000);
        assert_eq!(not_before(1_900_000_000, 1_700_000_000), 1_900_000_000);
    }

    #[test]
    fn the_build_date_is_a_date() {
        const { assert!(BUILT > 1_600_000_000) };
    }
}
