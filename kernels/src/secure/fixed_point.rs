//! Real numbers as fixed-point numbers of the ring ℤ/2⁶⁴, bounded so that the sum over all clients cannot wrap.

use crate::aggregate::Real;

/// How values are written, and how large they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedPoint {
    fraction_bits: u32,
    limit: u64,
}

/// Why numbers cannot be written that way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// No bit left for the value.
    #[error("{given} fractional bits, at most {most} are possible")]
    FractionBits {
        /// The number given.
        given: u32,
        /// The largest possible.
        most: u32,
    },
    /// Nobody to add up.
    #[error("there are no clients")]
    NoClients,
}

/// Why values cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// A NaN or an infinity.
    #[error("the value is {value} at index {index}")]
    NotFinite {
        /// Index of the value.
        index: usize,
        /// `NaN`, `inf` or `-inf`.
        value: f64,
    },
    /// So large that the sum over all clients could wrap around.
    #[error(
        "the value is {value:?} at index {index}, times {samples} samples that is more than the {largest:e} a client may \
         add to the sum"
    )]
    TooLarge {
        /// Index of the value.
        index: usize,
        /// The value.
        value: f64,
        /// The sample count it is multiplied by.
        samples: u64,
        /// The largest magnitude of value times samples.
        largest: f64,
    },
    /// Not as many places as values.
    #[error("{values} values for {places} places")]
    LengthMismatch {
        /// Number of values.
        values: usize,
        /// Length of the output.
        places: usize,
    },
}

impl FixedPoint {
    /// The largest number of fractional bits.
    pub const MOST_FRACTION_BITS: u32 = 52;

    /// Fixed-point numbers with `fraction_bits` bits after the point, of which `clients` add up without wrapping.
    ///
    /// # Errors
    /// [`ScaleError`] for more than [`FixedPoint::MOST_FRACTION_BITS`], or no clients.
    pub fn new(fraction_bits: u32, clients: u64) -> Result<Self, ScaleError> {
        if fraction_bits > Self::MOST_FRACTION_BITS {
            return Err(ScaleError::FractionBits {
                given: fraction_bits,
                most: Self::MOST_FRACTION_BITS,
            });
        }
        // One below the largest `i64`, so that a conversion that saturates is over the limit of a single client too.
        let limit = (i64::MAX as u64 - 1)
            .checked_div(clients)
            .ok_or(ScaleError::NoClients)?;
        Ok(Self { fraction_bits, limit })
    }

    /// Bits after the point.
    pub fn fraction_bits(self) -> u32 {
        self.fraction_bits
    }

    /// The largest magnitude of value times samples that one client may add to the sum, rounded.
    pub fn largest(self) -> f64 {
        self.limit as f64 / scale(self.fraction_bits)
    }
}

/// `2^bits`, exactly.
fn scale(bits: u32) -> f64 {
    (1_u64 << bits) as f64
}

/// Writes `samples·value` of every value as a fixed-point number, two's complement in a `u64`.
///
/// `out[p] = round(samples·values[p]·2^f)`
///
/// # Shapes
/// - `values`: P values; `out`: P places
/// # Numerics
/// Rounds to the nearest, ties to even: off by at most `2^-(f+1)`. The product with the sample count is exact where it
/// has at most 53 bits, as with `f32` and less than 2²⁹ samples, else rounded to an `f64` first.
/// # Errors
/// [`EncodeError`]; `out` then holds nothing of use. [`EncodeError::TooLarge`] exactly where
/// `clients·|out[p]| ≥ 2^63 - 1` would be possible.
/// # Source
/// Bonawitz et al. 2017, section 4: inputs are vectors over ℤ/R with `R` larger than clients times the largest value
/// # Example
/// ```
/// use kernels::secure::{FixedPoint, decode_mean, encode};
/// let (fixed, mut a, mut b) = (FixedPoint::new(24, 2)?, [0], [0]);
/// encode(&[0.5_f32], 10, fixed, &mut a)?;
/// encode(&[-1.0_f32], 30, fixed, &mut b)?;
/// assert_eq!(decode_mean(a[0].wrapping_add(b[0]), fixed.fraction_bits(), 40), (5.0 - 30.0) / 40.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode<R: Real>(
    values: &[R],
    samples: u64,
    fixed: FixedPoint,
    out: &mut [u64],
) -> Result<(), EncodeError> {
    if values.len() != out.len() {
        return Err(EncodeError::LengthMismatch {
            values: values.len(),
            places: out.len(),
        });
    }
    let (count, scale) = (samples as f64, scale(fixed.fraction_bits));
    let mut ok = true;
    for (value, place) in values.iter().zip(&mut *out) {
        let product: f64 = (*value).into() * count;
        // A value that is no number converts to 0, and one out of range to the nearest `i64`.
        let number = round(product * scale) as i64;
        ok &= number.unsigned_abs() <= fixed.limit && value.is_finite();
        *place = number as u64;
    }
    if ok {
        return Ok(());
    }
    let wrong =
        |(value, number): (&R, &u64)| !value.is_finite() || (*number as i64).unsigned_abs() > fixed.limit;
    let index = values.iter().zip(&*out).position(wrong).unwrap_or_default();
    let value = values[index].into();
    Err(if value.is_finite() {
        EncodeError::TooLarge {
            index,
            value,
            samples,
            largest: fixed.largest(),
        }
    } else {
        EncodeError::NotFinite { index, value }
    })
}

/// The nearest integer, ties to even; as `f64::round_ties_even`, without its call into the C library.
#[inline(always)]
fn round(value: f64) -> f64 {
    // From here on every `f64` is an integer, and adding it to a smaller one rounds that to an integer.
    const WHOLE: f64 = (1_u64 << 52) as f64;
    let magnitude = value.abs();
    if magnitude < WHOLE {
        ((magnitude + WHOLE) - WHOLE).copysign(value)
    } else {
        value
    }
}

/// The weighted mean that a sum of encoded values stands for: `sum / 2^f / total_samples`.
///
/// # Numerics
/// `sum` rounds to an `f64` once and the quotient once. Against the mean of the values as they were, the mean of K
/// clients is off by at most `K·2^-(f+1) / total_samples` before that.
/// # Panics
/// If `fraction_bits` is more than 63.
pub fn decode_mean(sum: u64, fraction_bits: u32, total_samples: u64) -> f64 {
    sum as i64 as f64 / scale(fraction_bits) / total_samples as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_to_the_nearest_and_ties_to_even() {
        for value in [
            0.5,
            1.5,
            2.5,
            -0.5,
            -1.5,
            0.49999999999999994,
            4503599627370495.5,
            1e300,
            -7.0,
            0.0,
        ] {
            assert_eq!(round(value), f64::round_ties_even(value), "{value}");
            assert_eq!(round(-value), f64::round_ties_even(-value), "{value}");
        }
        let mut out = [0; 4];
        encode(
            &[0.5_f64, 0.75, -0.625, -0.125],
            3,
            FixedPoint::new(1, 9).unwrap(),
            &mut out,
        )
        .unwrap();
        // 1.5, 2.25, -1.875, -0.375 in halves: 3, 4.5, -3.75, -0.75.
        assert_eq!(out.map(|number| number as i64), [3, 4, -4, -1]);
    }

    #[test]
    fn the_largest_value_passes_and_the_next_one_is_refused_by_name() {
        let fixed = FixedPoint::new(0, 1 << 16).unwrap();
        let limit = (1_u64 << 47) - 1;
        let mut out = [0; 2];
        encode(&[limit as f64, -(limit as f64)], 1, fixed, &mut out).unwrap();
        assert!(out[0].checked_mul(1 << 16).unwrap() < 1 << 63);
        for value in [(limit + 1) as f64, -((limit + 1) as f64), f64::MAX, f64::MIN] {
            assert_eq!(
                encode(&[1.0, value], 1, fixed, &mut out),
                Err(EncodeError::TooLarge {
                    index: 1,
                    value,
                    samples: 1,
                    largest: limit as f64
                })
            );
        }
        let alone = FixedPoint::new(0, 1).unwrap();
        for value in [f64::MAX, f64::MIN, 9223372036854775808.0, -9223372036854775808.0] {
            assert!(matches!(
                encode(&[value], 1, alone, &mut out[..1]),
                Err(EncodeError::TooLarge { .. })
            ));
        }
    }

    #[test]
    fn the_limit_counts_samples_and_bits() {
        let fixed = FixedPoint::new(24, 10).unwrap();
        let mut out = [0];
        assert!(encode(&[100.0_f32], 1 << 28, fixed, &mut out).is_ok());
        let error = encode(&[500.0_f32], 1 << 28, fixed, &mut out).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the value is 500.0 at index 0, times 268435456 samples that is more than the 5.49755813888e10 a client \
             may add to the sum"
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let fixed = FixedPoint::new(24, 2).unwrap();
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = encode(&[0.0, value], 1, fixed, &mut [0; 2]).unwrap_err();
            assert!(
                matches!(error, EncodeError::NotFinite { index: 1, .. }),
                "{error}"
            );
        }
        let error = encode(&[0.0_f32], 1, fixed, &mut [0; 2]).unwrap_err();
        assert_eq!(error, EncodeError::LengthMismatch { values: 1, places: 2 });
    }

    #[test]
    fn impossible_scales_are_refused() {
        assert_eq!(FixedPoint::new(24, 0), Err(ScaleError::NoClients));
        assert_eq!(
            FixedPoint::new(53, 2),
            Err(ScaleError::FractionBits { given: 53, most: 52 })
        );
    }
}
