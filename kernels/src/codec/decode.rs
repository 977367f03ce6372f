//! Bytes and a piece of the global tensor become the same piece of the client's.

use std::ops::Range;

/// An encoded difference as it lies in a file: little-endian, at any alignment, nothing proven yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form<'a> {
    /// `f32`.
    Delta(&'a [u8]),
    /// Half floats.
    Fp16(&'a [u8]),
    /// Brain floats.
    Bf16(&'a [u8]),
    /// 8-bit integers and what multiplies them.
    Int8 {
        /// Two's complement.
        values: &'a [u8],
        /// What multiplies them.
        scale: f32,
    },
    /// Some values and their places.
    TopK {
        /// Places, `u32`.
        indices: &'a [u8],
        /// Values, `f32`.
        values: &'a [u8],
    },
}

/// Why bytes are no encoded tensor.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum FormError {
    /// Not the bytes of as many values.
    #[error("it has {bytes} bytes of values where {expected} are expected")]
    Length {
        /// Bytes given.
        bytes: usize,
        /// Bytes of as many values as the tensor has, or as there are places.
        expected: usize,
    },
    /// A scale that scales nothing.
    #[error("its scale is {scale}, it must be 0 or a finite number above")]
    Scale {
        /// The scale.
        scale: f32,
    },
    /// No whole number of places.
    #[error("it has {bytes} bytes of places, which are no whole number of `u32`")]
    Places {
        /// Bytes given.
        bytes: usize,
    },
    /// Places that do not ascend.
    #[error("its place {place} at position {position} does not come after the one before it")]
    Order {
        /// Where in the list of places, counted from 0.
        position: usize,
        /// The place there.
        place: u32,
    },
    /// A place beyond the tensor.
    #[error("its place {place} at position {position} is not below the tensor's {len} values")]
    Beyond {
        /// Where in the list of places, counted from 0.
        position: usize,
        /// The place there.
        place: u32,
        /// Number of values of the tensor.
        len: usize,
    },
}

/// An encoded difference whose lengths, scale and places have been checked once.
///
/// # Invariants
/// The bytes are those of [`EncodedTensor::len`] values; a scale is finite and not negative; places ascend and are below
/// `len`, and there are as many values. The values themselves may be anything, NaN included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncodedTensor<'a> {
    form: Form<'a>,
    len: usize,
}

impl<'a> EncodedTensor<'a> {
    /// Checks a form against the number of values of its tensor; reads every place, and none of the values.
    ///
    /// # Errors
    /// [`FormError`] with what does not fit.
    pub fn check(form: Form<'a>, len: usize) -> Result<Self, FormError> {
        let length = |bytes: &[u8], expected: Option<usize>| {
            let expected = expected.unwrap_or(usize::MAX);
            let bytes = bytes.len();
            if bytes == expected {
                Ok(())
            } else {
                Err(FormError::Length { bytes, expected })
            }
        };
        match form {
            Form::Delta(values) => length(values, len.checked_mul(4))?,
            Form::Fp16(values) | Form::Bf16(values) => length(values, len.checked_mul(2))?,
            Form::Int8 { values, scale } => {
                length(values, Some(len))?;
                if !(scale.is_finite() && scale >= 0.0) {
                    return Err(FormError::Scale { scale });
                }
            }
            Form::TopK { indices, values } => {
                let bytes = indices.len();
                let (places, rest) = indices.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(FormError::Places { bytes });
                }
                length(values, Some(bytes))?;
                check_places(places, len)?;
            }
        }
        Ok(Self { form, len })
    }

    /// Number of values of the tensor.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the tensor has no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn check_places(places: &[[u8; 4]], len: usize) -> Result<(), FormError> {
    let mut before = None;
    for (position, place) in places.iter().enumerate() {
        let place = u32::from_le_bytes(*place);
        if before.is_some_and(|before| before >= place) {
            return Err(FormError::Order { position, place });
        }
        if place as usize >= len {
            return Err(FormError::Beyond { position, place, len });
        }
        before = Some(place);
    }
    Ok(())
}

/// Fills `out` with the client's values in `range`: `g + δ`, with `δ` as the table of [`crate::codec`] has it.
///
/// # Shapes
/// - `global` and `out`: the values in `range`, of the global tensor and of the client's
/// # Numerics
/// `δ` and the sum in `f64`, rounded to `f32` once, to the nearest, ties to even; where nothing is written for a value,
/// the global tensor's bits. No dependence on how a tensor is cut into ranges. NaN and infinities in `tensor` and sums
/// that overflow come out as they are: the caller looks for them.
/// # Panics
/// If `range` does not lie within the tensor, or the lengths differ.
/// # Example
/// ```
/// use kernels::codec::{EncodedTensor, Form, decode_block};
/// let form = Form::Int8 { values: &[0x04, 0xff, 0x00], scale: 0.5 };
/// let tensor = EncodedTensor::check(form, 3)?;
/// let mut out = [0.0; 2];
/// decode_block(&tensor, 1..3, &[10.0, 20.0], &mut out);
/// assert_eq!(out, [9.5, 20.0]);
/// # Ok::<(), kernels::codec::FormError>(())
/// ```
pub fn decode_block(tensor: &EncodedTensor<'_>, range: Range<usize>, global: &[f32], out: &mut [f32]) {
    merge(tensor, range, global, out, |global, delta| {
        (f64::from(global) + delta) as f32
    });
}

/// `d - δ` for the whole tensor.
pub(super) fn left_out(tensor: &EncodedTensor<'_>, difference: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; difference.len()];
    merge(
        tensor,
        0..tensor.len,
        difference,
        &mut out,
        |difference, delta| (f64::from(difference) - delta) as f32,
    );
    out
}

/// `out = rule(row, δ)` in `range`; where nothing is written, `row`.
fn merge(
    tensor: &EncodedTensor<'_>,
    range: Range<usize>,
    row: &[f32],
    out: &mut [f32],
    rule: impl Fn(f32, f64) -> f32 + Copy,
) {
    assert!(
        range.start <= range.end && range.end <= tensor.len,
        "{range:?} of {}",
        tensor.len
    );
    assert_eq!((row.len(), out.len()), (range.len(), range.len()));
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { merge_avx2(tensor.form, range, row, out, rule) };
        return;
    }
    merge_any(tensor.form, range, row, out, rule);
}

/// The same operations on more values at once; nothing is fused or reordered, so the bits are the same.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn merge_avx2(
    form: Form<'_>,
    range: Range<usize>,
    row: &[f32],
    out: &mut [f32],
    rule: impl Fn(f32, f64) -> f32 + Copy,
) {
    merge_any(form, range, row, out, rule);
}

#[inline(always)]
fn merge_any(
    form: Form<'_>,
    range: Range<usize>,
    row: &[f32],
    out: &mut [f32],
    rule: impl Fn(f32, f64) -> f32 + Copy,
) {
    match form {
        Form::Delta(values) => {
            let (values, _) = values[4 * range.start..4 * range.end].as_chunks();
            let read = |value: &[u8; 4]| f64::from(f32::from_le_bytes(*value));
            each(values, row, out, |row, value| rule(row, read(value)));
        }
        Form::Fp16(values) => {
            let (values, _) = values[2 * range.start..2 * range.end].as_chunks();
            let read = |value: &[u8; 2]| f64::from(widen(u16::from_le_bytes(*value)));
            each(values, row, out, |row, value| rule(row, read(value)));
        }
        Form::Bf16(values) => {
            let (values, _) = values[2 * range.start..2 * range.end].as_chunks();
            // A brain float is the upper half of a float.
            let read = |value: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*value)) << 16);
            each(values, row, out, |row, value| rule(row, f64::from(read(value))));
        }
        Form::Int8 { values, scale } => {
            let scale = f64::from(scale);
            each(&values[range], row, out, |row, value| {
                // Exact: 8 bits times 24.
                rule(row, f64::from(*value as i8) * scale)
            });
        }
        Form::TopK { indices, values } => {
            out.copy_from_slice(row);
            let (places, (values, _)) = (indices.as_chunks::<4>().0, values.as_chunks::<4>());
            let place = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes) as usize;
            let first = places.partition_point(|bytes| place(bytes) < range.start);
            let pairs = places[first..].iter().zip(&values[first..]);
            for (bytes, value) in pairs.take_while(|(bytes, _)| place(bytes) < range.end) {
                let at = place(bytes) - range.start;
                out[at] = rule(row[at], f64::from(f32::from_le_bytes(*value)));
            }
        }
    }
}

#[inline(always)]
fn each<T>(values: &[T], row: &[f32], out: &mut [f32], rule: impl Fn(f32, &T) -> f32) {
    for ((out, row), value) in out.iter_mut().zip(row).zip(values) {
        *out = rule(*row, value);
    }
}

/// A half float as a float: exact, and without branches or subnormal operands, so that it vectorises and never slows down.
#[inline(always)]
fn widen(code: u16) -> f32 {
    // Exponent and fraction where a float has them; exponents of halves are biased by 15, those of floats by 127.
    let magnitude = u32::from(code & 0x7fff) << 13;
    const REBIAS: u32 = (127 - 15) << 23;
    let normal = magnitude + REBIAS;
    // Exponent 0 has no hidden bit: read as if it had one, at the exponent above, and take it away again.
    const HIDDEN: u32 = REBIAS + (1 << 23);
    let small = (f32::from_bits(magnitude + HIDDEN) - f32::from_bits(HIDDEN)).to_bits();
    let bits = if magnitude < 1 << 23 {
        small
    } else if magnitude >= 31 << 23 {
        normal + REBIAS
    } else {
        normal
    };
    f32::from_bits(bits | u32::from(code & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::widen;

    #[test]
    fn every_half_float_is_widened_exactly() {
        for code in 0..=u16::MAX {
            let (found, expected) = (widen(code), f16::from_bits(code).to_f32());
            let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
            assert!(same, "{code:#06x}: {found} is not {expected}");
        }
    }
}
