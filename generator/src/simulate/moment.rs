//! Simulated time: whole microseconds, so that adding up is exact and events have one order.

use std::ops::{Add, Sub};

/// A moment since the start, or a length of time, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The start.
    pub const ZERO: Moment = Moment(0);

    /// So many seconds, to the nearest microsecond; nothing where that is no positive number.
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1e6).round() as u64)
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The first multiple of `cycle` that is not before; itself where there is no cycle.
    #[must_use]
    pub fn at_multiple_of(self, cycle: Moment) -> Self {
        match cycle.0 {
            0 => self,
            cycle => Self(self.0.div_ceil(cycle).saturating_mul(cycle)),
        }
    }

    /// The time from `earlier`; nothing where that is later.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Moment {
    type Output = Moment;
    fn add(self, other: Moment) -> Moment {
        Moment(self.0.saturating_add(other.0))
    }
}

impl Sub for Moment {
    type Output = Moment;
    fn sub(self, other: Moment) -> Moment {
        self.since(other)
    }
}

impl std::iter::Sum for Moment {
    fn sum<I: Iterator<Item = Moment>>(moments: I) -> Moment {
        moments.fold(Moment::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_holds_back_to_its_next_beginning() {
        let at = |seconds| Moment::from_seconds(seconds);
        assert_eq!(at(7.0).at_multiple_of(at(5.0)), at(10.0));
        assert_eq!(at(10.0).at_multiple_of(at(5.0)), at(10.0));
        assert_eq!(at(7.0).at_multiple_of(Moment::ZERO), at(7.0));
        assert_eq!(at(-1.0), Moment::ZERO);
        assert_eq!(at(f64::NAN), Moment::ZERO);
    }
}
