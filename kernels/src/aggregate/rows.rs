//! The values aggregation computes on: rows of `f32` or `f64`, one row per update, read out of tensor files' bytes.
//!
//! In: little-endian bytes of any floating-point format. Out: a slice of [`Real`]; the bytes themselves where format and
//! alignment allow. Half and brain floats are computed on as `f32`, which holds them exactly. And back: [`write_row`].

use half::{bf16, f16, slice::HalfFloatSliceExt};

use super::{Element, Float};
use crate::simd::{Body, widest};

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

    /// How a value loses precision on its way to a narrower format.
    pub trait Narrow: Copy {
        /// Rounded to `f32`, where that loses something to the neighbour whose last bit is 1: rounding the result to a
        /// format that is at least two bits narrower gives what rounding the value itself gives.
        ///
        /// Boldo and Melquiond 2008, Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd
        fn to_odd(self) -> f32;
    }

    impl Narrow for f32 {
        #[inline(always)]
        fn to_odd(self) -> f32 {
            self
        }
    }

    impl Narrow for f64 {
        #[inline(always)]
        fn to_odd(self) -> f32 {
            let nearest = self as f32;
            let back = f64::from(nearest);
            let bits = nearest.to_bits();
            // Magnitudes are ordered as their bits are, from 0 to infinity.
            let odd = if bits & 1 == 1 || back == self || self.is_nan() {
                bits
            } else if back.abs() > self.abs() {
                bits - 1
            } else {
                bits + 1
            };
            f32::from_bits(odd)
        }
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
pub trait Real:
    sealed::Split + sealed::Narrow + Copy + PartialOrd + Into<f64> + Send + Sync + 'static
{
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

/// Half and brain floats converted at a time.
const NARROW: usize = 512;

/// The values of `bytes`: borrowed where they lie as they are computed on, else put into `scratch`.
///
/// # Shapes
/// - `bytes`: P values of `float`, little-endian, at any alignment; returns P values
/// # Numerics
/// Exact, but for `F64` read as `f32`: to the nearest, ties to even.
pub fn read_row<'a, R: Real>(float: Float, bytes: &'a [u8], scratch: &'a mut Vec<R>) -> &'a [R] {
    if float == R::FORMAT && cfg!(target_endian = "little") {
        // SAFETY: every pattern of bits is an `f32` or `f64`, and `align_to` checks alignment and length.
        let (before, values, after) = unsafe { bytes.align_to::<R>() };
        if before.is_empty() && after.is_empty() {
            return values;
        }
    }
    // Every value is written below.
    scratch.resize(bytes.len() / Element::Float(float).width(), R::ZERO);
    match float {
        Float::F16 => widen(bytes, scratch, f16::from_le_bytes),
        Float::Bf16 => widen(bytes, scratch, bf16::from_le_bytes),
        Float::F32 => read(bytes, scratch, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Float::F64 => read(bytes, scratch, f64::from_le_bytes),
    }
    scratch
}

fn read<R: Real, const N: usize>(bytes: &[u8], out: &mut [R], read: impl Fn([u8; N]) -> f64) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = R::from_f64(read(*bytes));
    }
}

fn widen<R: Real, H: Copy + Default>(bytes: &[u8], out: &mut [R], read: impl Fn([u8; 2]) -> H)
where
    [H]: HalfFloatSliceExt,
{
    let (mut codes, mut values) = ([H::default(); NARROW], [0.0_f32; NARROW]);
    for (bytes, out) in bytes.chunks(2 * NARROW).zip(out.chunks_mut(NARROW)) {
        let (codes, values) = (&mut codes[..out.len()], &mut values[..out.len()]);
        for (code, bytes) in codes.iter_mut().zip(bytes.as_chunks().0) {
            *code = read(*bytes);
        }
        codes.convert_to_f32_slice(values);
        for (out, value) in out.iter_mut().zip(values) {
            *out = R::from_f64(f64::from(*value));
        }
    }
}

/// The bytes of `values` as `float`, each rounded once to the nearest, ties to even: borrowed where they are that already,
/// else put into `scratch`.
///
/// # Shapes
/// - `values`: P values; returns P values of `float`, little-endian
#[must_use = "the scratch need not hold them"]
pub fn write_row<'a, R: Real>(float: Float, values: &'a [R], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if float == R::FORMAT && cfg!(target_endian = "little") {
        // SAFETY: an `f32` or `f64` is initialised bytes without gaps, and bytes lie at any alignment.
        let (_, bytes, _) = unsafe { values.align_to::<u8>() };
        return bytes;
    }
    scratch.resize(values.len() * Element::Float(float).width(), 0);
    match float {
        Float::F16 => narrow(values, scratch, f16::to_le_bytes),
        Float::Bf16 => narrow(values, scratch, bf16::to_le_bytes),
        Float::F32 => write(values, scratch, |value| (value as f32).to_le_bytes()),
        Float::F64 => write(values, scratch, f64::to_le_bytes),
    }
    scratch
}

fn write<R: Real, const N: usize>(values: &[R], out: &mut [u8], write: impl Fn(f64) -> [u8; N]) {
    for (out, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *out = write((*value).into());
    }
}

/// By way of an odd `f32`: `half` itself rounds an `f64` twice where the processor converts, and drops its lower bits
/// where it does not.
fn narrow<R: Real, H: Copy + Default>(values: &[R], out: &mut [u8], write: impl Fn(H) -> [u8; 2])
where
    [H]: HalfFloatSliceExt,
{
    let (mut codes, mut odd) = ([H::default(); NARROW], [0.0_f32; NARROW]);
    for (values, out) in values.chunks(NARROW).zip(out.chunks_mut(2 * NARROW)) {
        let (codes, odd) = (&mut codes[..values.len()], &mut odd[..values.len()]);
        for (odd, value) in odd.iter_mut().zip(values) {
            *odd = value.to_odd();
        }
        codes.convert_from_f32_slice(odd);
        for (out, code) in out.as_chunks_mut().0.iter_mut().zip(codes) {
            *out = write(*code);
        }
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
mod tests;
