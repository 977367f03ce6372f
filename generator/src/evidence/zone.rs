//! The zone of this machine's clock.

use std::{collections::HashMap, mem};

use super::time::LocalTime;
use crate::record::Stamp;

/// Turns readings of the local clock into instants.
#[derive(Debug, Default)]
pub struct Zone {
    /// Milliseconds to add, for each quarter of an hour that was asked for: changes come on such boundaries.
    known: HashMap<i64, i64>,
}

const QUARTER_MS: i64 = 15 * 60 * 1000;

impl Zone {
    /// The instant at which this machine's clock shows `local`; of two in autumn, the one the C library picks.
    pub fn stamp(&mut self, local: LocalTime) -> Stamp {
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
    fn times_keep_their_distance_and_their_milliseconds() {
        let mut zone = Zone::default();
        let noon = zone.stamp(LocalTime(1_795_350_324_701));
        let later = zone.stamp(LocalTime(1_795_350_325_702));
        assert_eq!(later.0 - noon.0, 1001);
        assert!(noon.0.abs_diff(1_795_350_324_701) <= 14 * 3_600_000);
    }
}
