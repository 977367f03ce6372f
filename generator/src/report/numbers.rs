//! Numbers as people read them, the same way everywhere in a report.

use contract::units::Bytes;

use crate::record::Stamp;

/// How an undefined quantity is written.
pub(super) const UNDEFINED: &str = "undefined";

/// A metric, loss or divergence with three decimals.
pub(super) fn metric(value: f64) -> String {
    format!("{value:.3}")
}

/// A metric that can be undefined.
pub(super) fn metric_or_undefined(value: Option<f64>) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), metric)
}

/// A difference of two metrics, always with its sign.
pub(super) fn difference(value: f64) -> String {
    let text = format!("{:.3}", value.abs());
    match text.as_str() {
        "0.000" => "±0.000".to_owned(),
        _ if value < 0.0 => format!("\u{2212}{text}"),
        _ => format!("+{text}"),
    }
}

/// A whole number with its thousands apart: `12 345` (a thin, unbreakable space).
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `n` of something, in the singular where there is one.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A size in B, KiB, MiB, GiB or TiB with one decimal.
pub(crate) fn bytes(size: Bytes) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if size.0 < 1024 {
        return format!("{} B", size.0);
    }
    let mut value = size.0 as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time: `0.34 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub(crate) fn seconds(value: f64) -> String {
    if value < 9.995 {
        return format!("{value:.2} s");
    }
    if value < 59.95 {
        return format!("{value:.1} s");
    }
    let whole = value.round() as u64;
    if whole < 3600 {
        return format!("{} min {:02} s", whole / 60, whole % 60);
    }
    let minutes = (value / 60.0).round() as u64;
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

/// A moment in UTC: `2026-11-22 16:24:47 UTC`.
pub(super) fn moment(at: Stamp) -> String {
    let whole = at.0 / 1000;
    let (days, rest) = (whole / 86_400, whole % 86_400);
    // Days to civil date in the proleptic Gregorian calendar, counted in eras of 400 years from 0000-03-01
    // (Hinnant 2014, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// At most `most` (2 or more) indices of `0..len`, evenly spread, the first and the last among them.
pub(super) fn thinned(len: usize, most: usize) -> Vec<usize> {
    if len <= most {
        return (0..len).collect();
    }
    (0..most).map(|i| i * (len - 1) / (most - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_read_the_same_everywhere() {
        assert_eq!(metric_or_undefined(None), "undefined");
        assert_eq!(
            (difference(-0.0214), difference(0.5)),
            ("\u{2212}0.021".into(), "+0.500".into())
        );
        assert_eq!(difference(-0.0001), "±0.000");
        assert_eq!(
            (count(1234), count(1_234_567)),
            ("1234".into(), "1\u{202f}234\u{202f}567".into())
        );
        assert_eq!(bytes(Bytes(1023)), "1023 B");
        assert_eq!(bytes(Bytes(1024)), "1.0 KiB");
        assert_eq!(bytes(Bytes((1 << 20) - 1)), "1.0 MiB");
        assert_eq!(bytes(Bytes(3 << 29)), "1.5 GiB");
        assert_eq!(seconds(0.336), "0.34 s");
        assert_eq!(seconds(9.999), "10.0 s");
        assert_eq!(seconds(59.96), "1 min 00 s");
        assert_eq!(seconds(245.0), "4 min 05 s");
        assert_eq!(seconds(3599.7), "1 h 00 min");
        assert_eq!(seconds(7380.0), "2 h 03 min");
    }

    #[test]
    fn moments_are_civil_dates() {
        assert_eq!(moment(Stamp(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(Stamp(951_827_696_000)), "2000-02-29 12:34:56 UTC");
        assert_eq!(moment(Stamp(1_795_364_687_123)), "2026-11-22 16:24:47 UTC");
    }

    proptest! {
        #[test]
        fn thinning_keeps_both_ends_and_the_order(len in 0usize..500, most in 2usize..50) {
            let kept = thinned(len, most);
            prop_assert_eq!(kept.len(), len.min(most));
            prop_assert!(kept.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(kept.first().copied(), (len > 0).then_some(0));
            prop_assert_eq!(kept.last().copied(), len.checked_sub(1));
        }
    }
}
