//! Counts, sizes, times and shares, each a type of its own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{given}` is not {wanted}")]
pub struct InvalidQuantity {
    /// The text as given.
    pub given: String,
    /// What was wanted, with an example.
    pub wanted: &'static str,
}

/// A number of samples (images).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SampleCount(pub u64);

/// A size in bytes; written `8 GiB`, `512 MiB`, `1 GB` or as a plain number of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    const UNITS: [(&'static str, u64); 9] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1_000),
        ("B", 1),
    ];

    /// The size in MiB, rounded up: the unit of HTCondor's `request_memory`.
    pub fn mebibytes(self) -> u64 {
        self.0.div_ceil(1 << 20)
    }
}

impl FromStr for Bytes {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let invalid = || InvalidQuantity {
            given: text.to_owned(),
            wanted: "a size such as `8 GiB` or `512 MiB`",
        };
        let text = text.trim();
        let (number, factor) = Self::UNITS
            .iter()
            .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number.trim_end(), *factor)))
            .unwrap_or((text, 1));
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Bytes).ok_or_else(invalid);
        }
        match number.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 && factor > 1 => {
                let bytes = (value * factor as f64).round();
                if bytes < u64::MAX as f64 {
                    Ok(Bytes(bytes as u64))
                } else {
                    Err(invalid())
                }
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in &Self::UNITS[..4] {
            if self.0 >= *factor {
                if self.0.is_multiple_of(*factor) {
                    return write!(f, "{} {unit}", self.0 / factor);
                }
                return write!(f, "{:.1} {unit}", self.0 as f64 / *factor as f64);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// A whole number of seconds; written `1h`, `90m`, `30s` or as a plain number of seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u64);

impl FromStr for Seconds {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let invalid = || InvalidQuantity {
            given: text.to_owned(),
            wanted: "a time such as `1h`, `90m` or `30s`",
        };
        let text = text.trim();
        let (number, factor) = match text.as_bytes().last() {
            Some(b'd') => (&text[..text.len() - 1], 86_400),
            Some(b'h') => (&text[..text.len() - 1], 3_600),
            Some(b'm') => (&text[..text.len() - 1], 60),
            Some(b's') => (&text[..text.len() - 1], 1),
            _ => (text, 1),
        };
        let whole: u64 = number.trim_end().parse().map_err(|_| invalid())?;
        whole.checked_mul(factor).map(Seconds).ok_or_else(invalid)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            s if s % 3600 == 0 => write!(f, "{}h", s / 3600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

/// A share: more than 0, at most 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Fraction(f64);

impl Fraction {
    /// The whole.
    pub const ONE: Fraction = Fraction(1.0);

    /// Accepts more than 0 and at most 1.
    ///
    /// # Errors
    /// [`InvalidQuantity`] otherwise.
    pub fn new(value: f64) -> Result<Self, InvalidQuantity> {
        if value > 0.0 && value <= 1.0 {
            Ok(Self(value))
        } else {
            Err(InvalidQuantity {
                given: value.to_string(),
                wanted: "a share more than 0 and at most 1",
            })
        }
    }

    /// The share as a number in (0, 1].
    pub fn get(self) -> f64 {
        self.0
    }

    /// The part of `total` this share stands for: rounded to the nearest whole, at least 1 when `total` is.
    pub fn of(self, total: u32) -> u32 {
        ((self.0 * f64::from(total)).round() as u32).clamp(total.min(1), total)
    }
}

impl TryFrom<f64> for Fraction {
    type Error = InvalidQuantity;
    fn try_from(value: f64) -> Result<Self, InvalidQuantity> {
        Self::new(value)
    }
}

impl From<Fraction> for f64 {
    fn from(fraction: Fraction) -> f64 {
        fraction.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_times_read_as_people_write_them() {
        assert_eq!("8 GiB".parse(), Ok(Bytes(8 << 30)));
        assert_eq!("1.5GiB".parse(), Ok(Bytes(3 << 29)));
        assert_eq!("100".parse(), Ok(Bytes(100)));
        assert_eq!("1h".parse(), Ok(Seconds(3600)));
        assert_eq!("90 m".parse(), Ok(Seconds(5400)));
        for bad in [
            "",
            "GiB",
            "-1 GiB",
            "8 gigs",
            "1.5",
            "99999999999999999999",
            "99999999 TiB",
        ] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad:?}");
        }
        for bad in ["", "h", "1.5h", "-3s", "1 week"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_fraction_of_some_clients_is_at_least_one_client() {
        assert_eq!(Fraction::new(0.01).unwrap().of(10), 1);
        assert_eq!(Fraction::new(0.5).unwrap().of(10), 5);
        assert_eq!(Fraction::ONE.of(10), 10);
        assert!(
            Fraction::new(0.0).is_err() && Fraction::new(1.01).is_err() && Fraction::new(f64::NAN).is_err()
        );
    }

    proptest! {
        #[test]
        fn a_time_prints_as_it_parses(seconds in 0u64..1_000_000_000) {
            prop_assert_eq!(Seconds(seconds).to_string().parse(), Ok(Seconds(seconds)));
        }

        #[test]
        fn a_whole_size_prints_as_it_parses(count in 0u64..1024, unit in 0usize..4) {
            let bytes = Bytes(count << (10 * unit));
            prop_assert_eq!(bytes.to_string().parse(), Ok(bytes));
        }
    }
}
