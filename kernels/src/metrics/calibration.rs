//! Do probabilities mean what they say?
//!
//! In: outputs and weights. Out: the Brier score and the expected calibration error.

use super::outputs::{Outputs, Target};

/// Bins of equal width of the expected calibration error.
pub const BINS: usize = 15;

/// Mean squared difference of probability and truth (Brier 1950): of class 1 for two classes, summed over more classes,
/// the mean over labels.
pub(super) fn brier(outputs: &Outputs<'_>, weights: &[f64]) -> f64 {
    let of = |column: usize| {
        let pairs = outputs.probabilities(column).iter().zip(weights).enumerate();
        let squares = pairs.map(|(sample, (probability, weight))| {
            let truth = f64::from(u8::from(outputs.is_positive(sample, column)));
            weight * (probability - truth) * (probability - truth)
        });
        squares.sum::<f64>() / weights.iter().sum::<f64>()
    };
    let columns = outputs.columns;
    match outputs.target() {
        Target::Classes if columns == 2 => of(1),
        Target::Classes => (0..columns).map(of).sum(),
        Target::Labels => (0..columns).map(of).sum::<f64>() / columns as f64,
    }
}

/// Mean distance of confidence and truth over [`BINS`] bins (Guo et al. 2017, arXiv:1706.04599, equation 3): of the most
/// probable class and whether it is the true one; of each label's probability and whether it is there, the mean over
/// labels.
pub(super) fn expected_error(outputs: &Outputs<'_>, weights: &[f64]) -> f64 {
    let samples = 0..outputs.samples;
    match outputs.target() {
        Target::Classes => error(samples.map(|sample| {
            let class = outputs.most_probable(sample);
            let confidence = outputs.probabilities(class)[sample];
            (confidence, outputs.is_positive(sample, class), weights[sample])
        })),
        Target::Labels => {
            let of = |column: usize| {
                let probabilities = outputs.probabilities(column);
                error(samples.clone().map(|sample| {
                    (
                        probabilities[sample],
                        outputs.is_positive(sample, column),
                        weights[sample],
                    )
                }))
            };
            (0..outputs.columns).map(of).sum::<f64>() / outputs.columns as f64
        }
    }
}

/// `Σ_b |Σ_(i in b) w_i·(p_i - y_i)| / Σ w`; bin b has the probabilities above b/15 up to (b + 1)/15, the first 0 too.
fn error(samples: impl Iterator<Item = (f64, bool, f64)>) -> f64 {
    let (mut gaps, mut total) = ([0.0; BINS], 0.0);
    for (probability, truth, weight) in samples {
        let bin = (libm::ceil(probability * BINS as f64) as usize).clamp(1, BINS) - 1;
        gaps[bin] += weight * (probability - f64::from(u8::from(truth)));
        total += weight;
    }
    gaps.iter().map(|gap: &f64| gap.abs()).sum::<f64>() / total
}
