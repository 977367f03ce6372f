//! From which probability on a class or label is told.

use ndarray::ArrayView2;

use super::{Outputs, ScoreError, Truth};

/// The threshold with the largest sum of sensitivity and specificity, of those that are values of samples.
///
/// Told is what has at least the threshold. Of several thresholds with the same sum the highest is taken: it raises the
/// fewest alarms.
///
/// # Shapes
/// - `values`, `positive`: one per sample; values not NaN
/// # Numerics
/// Sums are compared as integers: `tp·N - fp·P`.
/// # Errors
/// `None` (undefined) without positives or without negatives.
/// # Source
/// Youden 1950, doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3
/// # Example
/// ```
/// use kernels::metrics::youden;
/// assert_eq!(youden(&[0.1, 0.3, 0.2, 0.9], &[false, true, false, true]), Some(0.3));
/// ```
pub fn youden(values: &[f64], positive: &[bool]) -> Option<f64> {
    let positives = positive.iter().filter(|positive| **positive).count() as i128;
    let negatives = positive.len() as i128 - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut order: Vec<(f64, bool)> = values.iter().copied().zip(positive.iter().copied()).collect();
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut best, mut index) = (None, 0_i128);
    for tied in order.chunk_by(|a, b| a.0 == b.0) {
        for (_, positive) in tied {
            index += if *positive { negatives } else { -positives };
        }
        if best.is_none_or(|(_, largest)| index > largest) {
            best = Some((tied[0].0, index));
        }
    }
    best.map(|(threshold, _)| threshold)
}

/// [`youden`] of every class's or label's probability.
///
/// A probability that is 0 is no threshold; the smallest number above it stands in its place.
///
/// # Errors
/// As [`score`](super::score); [`ScoreError::OneSided`] naming the first class or label that all or none of the samples
/// have.
pub fn thresholds(logits: ArrayView2<'_, f32>, truth: Truth<'_>) -> Result<Vec<f64>, ScoreError> {
    let outputs = Outputs::new(logits, truth)?;
    let of = |column: usize| {
        let positive: Vec<bool> = (0..outputs.samples)
            .map(|sample| outputs.is_positive(sample, column))
            .collect();
        let chosen = youden(outputs.probabilities(column), &positive).ok_or(ScoreError::OneSided {
            output: column,
            positives: positive.iter().filter(|positive| **positive).count(),
            samples: outputs.samples,
        })?;
        Ok(chosen.max(f64::MIN_POSITIVE))
    };
    (0..outputs.columns).map(of).collect()
}
