//! The sample-weighted mean, block by block.

use rayon::prelude::*;

use super::{
    CombineError, Part, check_lengths,
    element::{Bf16, Element, F16, F32, F64, Float, Format},
};

/// Values a thread sums at a time: the accumulator (32 KiB) stays in the first-level cache.
const BLOCK: usize = 4096;

/// Averages client parameters, weighting each client by its sample count (FedAvg).
///
/// `out[p] = Σ_k n_k·w_k[p] / Σ_k n_k`
///
/// # Shapes
/// - `parts`: K clients x P values, little-endian; `out` takes P values in the same format
/// # Numerics
/// Sums in `f64` in the order of `parts`, divides, rounds to the format once, to the nearest even. No dependence on
/// thread count nor on how a tensor is cut into pieces. Equal values come out unchanged in formats up to `F32` as long as
/// there are fewer than 2²⁹ samples.
/// # Errors
/// `NoParts` if K = 0; `NoSamples` for a weight of 0; `TooManySamples` above 2⁶⁴; `LengthMismatch` if P differs;
/// `NotFinite` at a NaN or infinity, the first by index, then by part; `Overflow` for `F64` values near the largest
/// # Source
/// McMahan et al. 2017, arXiv:1602.05629, Algorithm 1 (server step)
pub fn weighted_mean(float: Float, parts: &[Part<'_>], out: &mut [u8]) -> Result<(), CombineError> {
    check_lengths(parts, out, Element::Float(float).width())?;
    if let Some(part) = parts.iter().position(|part| part.samples == 0) {
        return Err(CombineError::NoSamples { part });
    }
    let total = parts
        .iter()
        .try_fold(0_u64, |sum, part| sum.checked_add(part.samples));
    let total = total.ok_or(CombineError::TooManySamples)? as f64;
    match float {
        Float::F16 => blocks::<F16, 2>(parts, total, out),
        Float::Bf16 => blocks::<Bf16, 2>(parts, total, out),
        Float::F32 => blocks::<F32, 4>(parts, total, out),
        Float::F64 => blocks::<F64, 8>(parts, total, out),
    }
}

fn blocks<F: Format<N>, const N: usize>(
    parts: &[Part<'_>],
    total: f64,
    out: &mut [u8],
) -> Result<(), CombineError> {
    let first_failure = out
        .par_chunks_mut(BLOCK * N)
        .enumerate()
        .filter_map(|(number, out)| {
            let start = number * BLOCK;
            let index = block::<F, N>(parts, start * N, total, out)?;
            Some(start + index)
        })
        .min();
    match first_failure {
        None => Ok(()),
        Some(index) => Err(explain::<F, N>(parts, index)),
    }
}

/// Fills `out` from the bytes of each part at `offset`; the index of the first sum that is not finite, if any.
fn block<F: Format<N>, const N: usize>(
    parts: &[Part<'_>],
    offset: usize,
    total: f64,
    out: &mut [u8],
) -> Option<usize> {
    let mut sums = [0.0_f64; BLOCK];
    let sums = &mut sums[..out.len() / N];
    for part in parts {
        let weight = part.samples as f64;
        let (values, _) = part.bytes[offset..offset + out.len()].as_chunks::<N>();
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += weight * F::read(*value);
        }
    }
    let (out, _) = out.as_chunks_mut::<N>();
    for (out, sum) in out.iter_mut().zip(&*sums) {
        *out = F::write(sum / total);
    }
    // A NaN or an infinity in any part stays in the sum: infinities of both signs make a NaN.
    sums.iter().position(|sum| !sum.is_finite())
}

/// The part that made the sum at `index` not finite.
fn explain<F: Format<N>, const N: usize>(parts: &[Part<'_>], index: usize) -> CombineError {
    let at = |part: &Part<'_>| F::read(part.bytes.as_chunks::<N>().0[index]);
    match parts.iter().position(|part| !at(part).is_finite()) {
        Some(part) => CombineError::NotFinite {
            part,
            index,
            value: at(&parts[part]),
        },
        None => CombineError::Overflow { index },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Client by client, value by value: the definition.
    fn by_definition(updates: &[(Vec<f32>, u64)]) -> Vec<f32> {
        let total: u64 = updates.iter().map(|update| update.1).sum();
        (0..updates[0].0.len())
            .map(|p| {
                let sum: f64 = updates
                    .iter()
                    .map(|(values, n)| *n as f64 * f64::from(values[p]))
                    .sum();
                (sum / total as f64) as f32
            })
            .collect()
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn mean(updates: &[(Vec<f32>, u64)]) -> Result<Vec<f32>, CombineError> {
        let raw: Vec<Vec<u8>> = updates.iter().map(|(values, _)| bytes(values)).collect();
        let parts: Vec<_> = raw
            .iter()
            .zip(updates)
            .map(|(bytes, (_, samples))| Part {
                bytes,
                samples: *samples,
            })
            .collect();
        let mut out = vec![0; raw.first().map_or(0, Vec::len)];
        weighted_mean(Float::F32, &parts, &mut out)?;
        Ok(out
            .as_chunks()
            .0
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect())
    }

    fn updates(
        clients: std::ops::Range<usize>,
        length: usize,
    ) -> impl Strategy<Value = Vec<(Vec<f32>, u64)>> {
        prop::collection::vec(
            (prop::collection::vec(-1e6_f32..1e6, length), 1_u64..100_000),
            clients,
        )
    }

    proptest! {
        #[test]
        fn blocks_give_the_bits_of_the_definition(updates in (1_usize..3000).prop_flat_map(|length| updates(1..6, length))) {
            prop_assert_eq!(mean(&updates).unwrap(), by_definition(&updates));
        }

        #[test]
        fn a_mean_lies_between_its_parts(updates in updates(1..8, 50)) {
            for (p, value) in mean(&updates).unwrap().into_iter().enumerate() {
                let of = || updates.iter().map(|update| update.0[p]);
                prop_assert!(value >= of().fold(f32::INFINITY, f32::min));
                prop_assert!(value <= of().fold(f32::NEG_INFINITY, f32::max));
            }
        }

        #[test]
        fn equal_updates_come_out_unchanged(
            values in prop::collection::vec(any::<f32>().prop_filter("finite", |v| v.is_finite()), 1..50),
            samples in prop::collection::vec(1_u64..1 << 24, 1..20),
        ) {
            let updates: Vec<_> = samples.into_iter().map(|n| (values.clone(), n)).collect();
            prop_assert_eq!(mean(&updates).unwrap(), values);
        }
    }

    #[test]
    fn pieces_and_threads_change_nothing() {
        let length = 3 * BLOCK + 17;
        let values = |k: usize| {
            (0..length)
                .map(|i| ((i * 31 + k * 17) % 1009) as f32 / 7.0)
                .collect::<Vec<_>>()
        };
        let raw: Vec<Vec<u8>> = (0..5).map(|k| bytes(&values(k))).collect();
        let combine = |from: usize, to: usize, out: &mut [u8]| {
            let parts: Vec<_> = raw
                .iter()
                .map(|raw| Part {
                    bytes: &raw[from..to],
                    samples: 3,
                })
                .collect();
            weighted_mean(Float::F32, &parts, out).unwrap();
        };
        let mut whole = vec![0; raw[0].len()];
        combine(0, whole.len(), &mut whole);
        let mut pieces = vec![0; whole.len()];
        for (number, piece) in pieces.chunks_mut(4 * 1000).enumerate() {
            combine(number * 4000, number * 4000 + piece.len(), piece);
        }
        assert_eq!(pieces, whole);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let mut out = vec![0; whole.len()];
            pool.install(|| combine(0, out.len(), &mut out));
            assert_eq!(out, whole);
        }
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        let mut updates = vec![(vec![1.0; 2 * BLOCK], 5), (vec![2.0; 2 * BLOCK], 5)];
        updates[0].0[BLOCK + 7] = f32::NEG_INFINITY;
        updates[1].0[BLOCK + 3] = f32::INFINITY;
        let error = mean(&updates).unwrap_err();
        assert_eq!(
            error,
            CombineError::NotFinite {
                part: 1,
                index: BLOCK + 3,
                value: f64::INFINITY
            }
        );
        assert_eq!(error.to_string(), "update 1 is inf at index 4099");
    }

    #[test]
    fn what_has_no_mean_is_refused() {
        assert_eq!(mean(&[]), Err(CombineError::NoParts));
        assert_eq!(
            mean(&[(vec![1.0], 4), (vec![1.0], 0)]),
            Err(CombineError::NoSamples { part: 1 })
        );
        assert_eq!(
            mean(&[(vec![1.0], u64::MAX), (vec![1.0], 1)]),
            Err(CombineError::TooManySamples)
        );
        let mismatch = CombineError::LengthMismatch {
            part: 1,
            bytes: 8,
            expected: 4,
        };
        assert_eq!(mean(&[(vec![1.0], 1), (vec![1.0, 2.0], 1)]), Err(mismatch));
    }

    #[test]
    fn doubles_that_overflow_only_together_say_so() {
        let huge = f64::MAX.to_le_bytes();
        let parts = [Part {
            bytes: &huge,
            samples: 1,
        }; 2];
        assert_eq!(
            weighted_mean(Float::F64, &parts, &mut [0; 8]),
            Err(CombineError::Overflow { index: 0 })
        );
    }

    #[test]
    fn narrow_formats_are_averaged_in_full_precision() {
        let (one, next) = ([0x00, 0x3c], [0x01, 0x3c]);
        let parts = [
            Part {
                bytes: &one,
                samples: 1,
            },
            Part {
                bytes: &next,
                samples: 2,
            },
        ];
        let mut out = [0; 2];
        weighted_mean(Float::F16, &parts, &mut out).unwrap();
        assert_eq!(out, next);
        let parts = [
            Part {
                bytes: &[0x80, 0x3f],
                samples: 3,
            },
            Part {
                bytes: &[0x00, 0x40],
                samples: 1,
            },
        ];
        weighted_mean(Float::Bf16, &parts, &mut out).unwrap();
        assert_eq!(out, [0xa0, 0x3f]);
    }
}
