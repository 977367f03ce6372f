//! The values aggregation computes on: rows of `f32` or `f64`, one row per update, read out of tensor files' bytes.
//!
//! In: little-endian bytes of any floating-point format. Out: a slice of [`Real`]; the bytes themselves where format and
//! alignment allow. Half and brain floats are computed on as `f32`, which holds them exactly.

use super::{
    Element, Float,
    element::{Bf16, F16, F32, F64, Format},
    simd::{Body, widest},
};

pub(super) mod sealed {
    /// How a value is multiplied by a count without rounding.
    pub trait Split: Copy {
        /// A count of at most so many bits, times each of [`Split::halves`], has at most 53.
        const PIECE_BITS: u32;
        /// How many halves can be other than 0.
        const HALVES: usize;

        /// Numbers that add up to the value.
        fn halves(self) -> [f64; 2];
    }

    impl Split for f32 {
        const PIECE_BITS: u32 = 53 - f32::MANTISSA_DIGITS;
        const HALVES: usize = 1;

        #[inline(always)]
        fn halves(self) -> [f64; 2] {
            [f64::from(self), 0.0]
        }
    }

    impl Split for f64 {
        const PIECE_BITS: u32 = 26;
        const HALVES: usize = 2;

        #[inline(always)]
        fn halves(self) -> [f64; 2] {
            // The upper 26 of 53 bits, and the lower 27.
            let upper = f64::from_bits(self.to_bits() & (u64::MAX << 27));
            [upper, self - upper]
        }
    }
}

/// `f32` or `f64`.
pub trait Real: sealed::Split + Copy + PartialOrd + Into<f64> + Send + Sync + 'static {
    /// Zero.
    const ZERO: Self;
    /// The format whose bytes are values of this type.
    const FORMAT: Float;

    /// The nearest value, ties to even.
    fn from_f64(value: f64) -> Self;

    /// Whether it is neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const FORMAT: Float = Float::F32;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const FORMAT: Float = Float::F64;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}

/// The values of `bytes`: borrowed where they lie as they are computed on, else put into `scratch`.
///
/// # Shapes
/// - `bytes`: P values of `float`, little-endian, at any alignment; returns P values
pub fn read_row<'a, R: Real>(float: Float, bytes: &'a [u8], scratch: &'a mut Vec<R>) -> &'a [R] {
    if float == R::FORMAT && cfg!(target_endian = "little") {
        // SAFETY: every pattern of bits is an `f32` or `f64`, and `align_to` checks alignment and length.
        let (before, values, after) = unsafe { bytes.align_to::<R>() };
        if before.is_empty() && after.is_empty() {
            return values;
        }
    }
    scratch.clear();
    match float {
        Float::F16 => scratch.extend(bytes.as_chunks().0.iter().map(|b| R::from_f64(F16::read(*b)))),
        Float::Bf16 => scratch.extend(bytes.as_chunks().0.iter().map(|b| R::from_f64(Bf16::read(*b)))),
        Float::F32 => scratch.extend(bytes.as_chunks().0.iter().map(|b| R::from_f64(F32::read(*b)))),
        Float::F64 => scratch.extend(bytes.as_chunks().0.iter().map(|b| R::from_f64(F64::read(*b)))),
    }
    scratch
}

/// Writes `values` as `float` into `out`, each rounded once to the nearest, ties to even.
///
/// # Shapes
/// - `values`: P values; `out`: P values of `float`, little-endian, at any alignment
/// # Panics
/// Where lengths differ.
pub fn write_row<R: Real>(float: Float, values: &[R], out: &mut [u8]) {
    assert_eq!(
        out.len(),
        values.len() * Element::Float(float).width(),
        "bytes for the values"
    );
    match float {
        Float::F16 => put(values, out, F16::write),
        Float::Bf16 => put(values, out, Bf16::write),
        Float::F32 => put(values, out, F32::write),
        Float::F64 => put(values, out, F64::write),
    }
}

fn put<R: Real, const N: usize>(values: &[R], out: &mut [u8], write: fn(f64) -> [u8; N]) {
    for (out, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *out = write((*value).into());
    }
}

/// The index of the first value that is NaN or infinite.
///
/// Looks at 1024 values at a time for any, then for which: a pass over finite values runs at the speed of the cache.
pub fn first_not_finite<R: Real>(row: &[R]) -> Option<usize> {
    widest(FirstNotFinite(row))
}

struct FirstNotFinite<'a, R>(&'a [R]);

impl<R: Real> Body for FirstNotFinite<'_, R> {
    type Output = Option<usize>;

    #[inline(always)]
    fn run(self) -> Option<usize> {
        const GROUP: usize = 1024;
        for (number, group) in self.0.chunks(GROUP).enumerate() {
            let mut any = false;
            for value in group {
                any |= !value.is_finite();
            }
            if any {
                let place = group.iter().position(|value| !value.is_finite());
                return place.map(|place| number * GROUP + place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_that_are_not_finite_is_found() {
        let mut row = vec![f32::MAX; 5000];
        assert_eq!(first_not_finite(&row), None);
        for (place, value) in [
            (4999, f32::NAN),
            (2049, f32::NEG_INFINITY),
            (2048, f32::INFINITY),
            (0, -f32::NAN),
        ] {
            row[place] = value;
            assert_eq!(first_not_finite(&row), Some(place));
            assert_eq!(FirstNotFinite(&row).run(), Some(place));
            let wide: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
            assert_eq!(first_not_finite(&wide), Some(place));
        }
        assert_eq!(first_not_finite::<f32>(&[]), None);
        assert_eq!(first_not_finite(&[f64::MAX, -f64::MIN_POSITIVE, -0.0]), None);
    }
}
