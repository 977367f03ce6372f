//! Buffers that count or choose: never averaged.

use super::{CombineError, Element, Integer, Part, check_lengths};

/// Calls `$function` with the reader of a format.
macro_rules! of_format {
    ($function:ident($integer:expr, $parts:expr, $out:expr)) => {
        match $integer {
            Integer::Bool | Integer::U8 => $function($parts, $out, u8::from_le_bytes),
            Integer::I8 => $function($parts, $out, i8::from_le_bytes),
            Integer::U16 => $function($parts, $out, u16::from_le_bytes),
            Integer::I16 => $function($parts, $out, i16::from_le_bytes),
            Integer::U32 => $function($parts, $out, u32::from_le_bytes),
            Integer::I32 => $function($parts, $out, i32::from_le_bytes),
            Integer::U64 => $function($parts, $out, u64::from_le_bytes),
            Integer::I64 => $function($parts, $out, i64::from_le_bytes),
        }
    };
}

/// Keeps integer buffers exact: the largest value of each element over the parts.
///
/// A counter such as batch normalisation's `num_batches_tracked` stays a count some client reached; equal buffers (index
/// tables, masks) stay as they are; booleans are combined by "or". Independent of the order of parts and of sample
/// counts.
///
/// # Shapes
/// - `parts`: K clients x P values, little-endian; `out` takes P values in the same format
/// # Errors
/// `NoParts` if K = 0; `LengthMismatch` if P differs
pub fn maximum(integer: Integer, parts: &[Part<'_>], out: &mut [u8]) -> Result<(), CombineError> {
    check_lengths(parts, out, Element::Integer(integer).width())?;
    of_format!(fold(integer, parts, out));
    Ok(())
}

/// Keeps integer buffers exact where an update may hold anything: the lower median of each element over the parts, which
/// is always a value that some update holds, and an honest one's or between two of them while fewer than half are not.
///
/// Independent of the order of parts and of sample counts.
///
/// # Shapes
/// - `parts`: K clients x P values, little-endian; `out` takes P values in the same format
/// # Errors
/// `NoParts` if K = 0; `LengthMismatch` if P differs
pub fn lower_median(integer: Integer, parts: &[Part<'_>], out: &mut [u8]) -> Result<(), CombineError> {
    check_lengths(parts, out, Element::Integer(integer).width())?;
    of_format!(middle(integer, parts, out));
    Ok(())
}

fn fold<T: Ord, const N: usize>(parts: &[Part<'_>], out: &mut [u8], read: fn([u8; N]) -> T) {
    for (number, part) in parts.iter().enumerate() {
        let (out, _) = out.as_chunks_mut::<N>();
        for (kept, value) in out.iter_mut().zip(part.bytes.as_chunks::<N>().0) {
            if number == 0 || read(*value) > read(*kept) {
                *kept = *value;
            }
        }
    }
}

fn middle<T: Ord, const N: usize>(parts: &[Part<'_>], out: &mut [u8], read: fn([u8; N]) -> T) {
    let mut values: Vec<[u8; N]> = Vec::with_capacity(parts.len());
    let (out, _) = out.as_chunks_mut::<N>();
    for (place, out) in out.iter_mut().enumerate() {
        values.clear();
        values.extend(parts.iter().map(|part| part.bytes.as_chunks::<N>().0[place]));
        let (_, middle, _) = values.select_nth_unstable_by_key((parts.len() - 1) / 2, |value| read(*value));
        *out = *middle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(integer: Integer, values: &[&[u8]]) -> Vec<u8> {
        let parts: Vec<_> = values.iter().map(|bytes| Part { bytes, samples: 1 }).collect();
        let mut out = vec![0xff; values[0].len()];
        maximum(integer, &parts, &mut out).unwrap();
        out
    }

    #[test]
    fn counters_beyond_the_precision_of_floats_stay_exact() {
        let (a, b) = ((1_i64 << 53) + 1, 1_i64 << 53);
        assert_eq!(
            kept(Integer::I64, &[&b.to_le_bytes(), &a.to_le_bytes()]),
            a.to_le_bytes()
        );
        assert_eq!(
            kept(Integer::I64, &[&(-3_i64).to_le_bytes(), &(-7_i64).to_le_bytes()]),
            (-3_i64).to_le_bytes()
        );
    }

    #[test]
    fn signs_count_where_the_format_has_them() {
        assert_eq!(kept(Integer::I8, &[&[0x01], &[0xff]]), [0x01]);
        assert_eq!(kept(Integer::U8, &[&[0x01], &[0xff]]), [0xff]);
        assert_eq!(kept(Integer::Bool, &[&[0, 1, 0], &[0, 0, 1]]), [0, 1, 1]);
    }

    #[test]
    fn parts_of_other_lengths_are_refused() {
        let parts = [
            Part {
                bytes: &[0; 8],
                samples: 1,
            },
            Part {
                bytes: &[0; 4],
                samples: 1,
            },
        ];
        let error = maximum(Integer::I64, &parts, &mut [0; 8]).unwrap_err();
        assert_eq!(
            error,
            CombineError::LengthMismatch {
                part: 1,
                bytes: 4,
                expected: 8
            }
        );
        assert_eq!(maximum(Integer::I64, &[], &mut []), Err(CombineError::NoParts));
    }

    #[test]
    fn the_lower_middle_value_outvotes_what_one_update_claims() {
        let median = |integer, values: &[&[u8]]| {
            let parts: Vec<_> = values.iter().map(|bytes| Part { bytes, samples: 1 }).collect();
            let mut out = vec![0xff; values[0].len()];
            lower_median(integer, &parts, &mut out).unwrap();
            out
        };
        let raw = |value: i64| value.to_le_bytes();
        let (low, high, claim) = (raw(-5), raw((1 << 53) + 1), raw(i64::MAX));
        assert_eq!(median(Integer::I64, &[&claim, &low, &high]), high);
        assert_eq!(median(Integer::I64, &[&claim, &low, &high, &low]), low);
        assert_eq!(median(Integer::I8, &[&[0x01], &[0xff], &[0x02]]), [0x01]);
        assert_eq!(median(Integer::U8, &[&[0x01], &[0xff], &[0x02]]), [0x02]);
        assert_eq!(median(Integer::Bool, &[&[0, 1], &[1, 1]]), [0, 1]);
        assert_eq!(
            lower_median(Integer::U8, &[], &mut []),
            Err(CombineError::NoParts)
        );
    }

    proptest! {
        #[test]
        fn the_order_of_parts_does_not_matter(a: [i32; 4], b: [i32; 4], c: [i32; 4]) {
            let raw = |values: [i32; 4]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
            let (a, b, c) = (raw(a), raw(b), raw(c));
            prop_assert_eq!(kept(Integer::I32, &[&a, &b, &c]), kept(Integer::I32, &[&c, &a, &b]));
        }
    }
}
