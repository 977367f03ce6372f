//! The zone of the clock that a run's logs were written by.

use std::{collections::HashMap, mem};

use super::time::LocalTime;
use crate::record::Stamp;

/// Turns readings of that clock into instants: by what the run itself tells of it, else as this machine's clock.
#[derive(Debug, Default)]
pub struct Zone {
    /// Milliseconds to add, where the run told.
    told: Option<i64>,
    /// Milliseconds to add, for each quarter of an hour that was asked for: changes come on such boundaries.
    known: HashMap<i64, i64>,
}

const QUARTER_MS: i64 = 15 * 60 * 1000;

/// No clock is farther from UTC.
const FARTHEST_MS: i64 = 15 * 3_600_000;

impl Zone {
    /// Whether the run told its zone.
    pub fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Learns that the clock showed `local` at `instant`, to within minutes. What no zone can be is not believed.
    pub fn learn(&mut self, local: LocalTime, instant: Stamp) {
        let Ok(instant) = i64::try_from(instant.0) else {
            return;
        };
        let behind = instant.saturating_sub(local.0);
        if behind.abs() <= FARTHEST_MS {
            let quarters = (behind + QUARTER_MS / 2).div_euclid(QUARTER_MS);
            self.told = Some(quarters * QUARTER_MS);
        }
    }

    /// The instant at which the clock shows `local`; of this machine's, the instant at which this machine's clock shows `local`; of two in autumn, the one the C library picks.
    pub fn stamp(&mut self, local: LocalTime) -> Stamp {
        if let Some(told) = self.told {
            return LocalTime(local.0.saturating_add(told)).as_utc();
        }
        let quarter = local.0.div_euclid(QUARTER_MS);
        let behind = *self
            .known
            .entry(quarter)
            .or_insert_with(|| behind(quarter * QUARTER_MS / 1000));
        LocalTime(local.0.saturating_add(behind)).as_utc()
    }
}

/// Milliseconds that UTC is behind the local clock, negated, when it shows these seconds since 1970.
fn behind(local_seconds: i64) -> i64 {
    // SAFETY: both functions read and write only the structures given, which are plain data for which zero is valid, and
    // the process's zone, which nothing here changes.
    unsafe {
        let mut parts: libc::tm = mem::zeroed();
        let seconds: libc::time_t = local_seconds;
        if libc::gmtime_r(&seconds, &mut parts).is_null() {
            return 0;
        }
        parts.tm_isdst = -1;
        (libc::mktime(&mut parts) - seconds).saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_learned_to_the_quarter_of_an_hour() {
        let mut zone = Zone::default();
        // At UTC+05:45, told two seconds late.
        let local = LocalTime(1_795_350_324_000);
        let behind = 345 * 60_000;
        zone.learn(local, Stamp(1_795_350_326_000 - behind));
        assert_eq!(zone.stamp(local), Stamp(1_795_350_324_000 - behind));
        zone.learn(local, Stamp(0));
        assert_eq!(zone.stamp(local), Stamp(1_795_350_324_000 - behind));
    }

    #[test]
    fn times_keep_their_distance_and_their_milliseconds() {
        let mut zone = Zone::default();
        let noon = zone.stamp(LocalTime(1_795_350_324_701));
        let later = zone.stamp(LocalTime(1_795_350_325_702));
        assert_eq!(later.0 - noon.0, 1001);
        assert!(noon.0.abs_diff(1_795_350_324_701) <= 14 * 3_600_000);
    }
}
