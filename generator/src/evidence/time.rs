//! Times as logs write them.
//!
//! HTCondor writes the local time of the machine it runs on, without saying which zone that is. A [`LocalTime`] is such
//! a reading; who knows the zone turns it into a [`Stamp`].

use crate::record::Stamp;

/// A reading of a clock: milliseconds since 1970-01-01 00:00 on that clock, whatever its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime(pub i64);

impl LocalTime {
    /// The instant, where the clock shows UTC; times before 1970 become 1970.
    pub fn as_utc(self) -> Stamp {
        Stamp(u64::try_from(self.0).unwrap_or(0))
    }

    /// Reads `2026-11-22` and `12:25:24.701` (the fraction may be missing, a `Z` may follow).
    pub fn iso(date: &str, time: &str) -> Option<Self> {
        let mut parts = date.splitn(3, '-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        Self::of(digits(year, 4)?, digits(month, 2)?, digits(day, 2)?, time)
    }

    /// Reads `11/22/26` and `12:25:24`, as HTCondor's daemons write in their own logs.
    pub fn american(date: &str, time: &str) -> Option<Self> {
        let mut parts = date.splitn(3, '/');
        let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
        Self::of(2000 + digits(year, 2)?, digits(month, 2)?, digits(day, 2)?, time)
    }

    fn of(year: i64, month: i64, day: i64, time: &str) -> Option<Self> {
        let time = time.strip_suffix('Z').unwrap_or(time);
        let mut parts = time.splitn(3, ':');
        let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
        let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
        let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
        let known = (1..=12).contains(&month) && (1..=31).contains(&day);
        if !known || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Some(Self(seconds * 1000 + thousandths(fraction)?))
    }
}

/// Reads `2026-11-22T12:26:07.605+00:00`: a time that says its zone.
pub fn zoned(text: &str) -> Option<Stamp> {
    let (date, rest) = text.trim().split_once('T')?;
    if let Some(time) = rest.strip_suffix('Z') {
        return Some(LocalTime::iso(date, time)?.as_utc());
    }
    let at = rest.rfind(['+', '-'])?;
    let (time, offset) = rest.split_at(at);
    let (sign, offset) = offset.split_at(1);
    let (hours, minutes) = offset.split_once(':')?;
    let ahead = (digits(hours, 2)? * 60 + digits(minutes, 2)?) * 60_000;
    let LocalTime(local) = LocalTime::iso(date, time)?;
    Some(LocalTime(if sign == "+" { local - ahead } else { local + ahead }).as_utc())
}

/// Days from 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years counted from March, so that the leap day is the last; 400 years have 146,097 days.
    let year = if month > 2 { year } else { year - 1 };
    let since_march = (month + 9) % 12;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * since_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A number of exactly `length` digits.
fn digits(text: &str, length: usize) -> Option<i64> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// The first three digits behind a decimal point as milliseconds.
fn thousandths(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain([b'0'; 2]).take(3);
    Some(digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_ways_to_write_a_time_are_the_same_instant() {
        let iso = LocalTime::iso("2026-11-22", "12:25:24.701").unwrap();
        assert_eq!(iso, LocalTime(1_795_350_324_701));
        let american = LocalTime::american("11/22/26", "12:25:24").unwrap();
        assert_eq!(iso.0 - american.0, 701);
        assert_eq!(
            zoned("2026-11-22T13:25:24.7+01:00"),
            Some(Stamp(1_795_350_324_700))
        );
        assert_eq!(zoned("2026-11-22T12:25:24Z"), Some(Stamp(1_795_350_324_000)));
    }

    #[test]
    fn leap_days_count() {
        let day = |date| LocalTime::iso(date, "00:00:00").unwrap().0 / 86_400_000;
        assert_eq!(day("2024-03-01") - day("2024-02-28"), 2);
        assert_eq!(day("2100-03-01") - day("2100-02-28"), 1);
        assert_eq!(day("1970-01-01"), 0);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for (date, time) in [
            ("2026-13-01", "00:00:00"),
            ("2026-1-01", "00:00:00"),
            ("2026-01-01", "24:00:00"),
            ("", ""),
        ] {
            assert_eq!(LocalTime::iso(date, time), None, "{date} {time}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_none(text in any::<String>(), other in any::<String>()) {
            let _ = (LocalTime::iso(&text, &other), LocalTime::american(&text, &other), zoned(&text));
        }
    }
}
