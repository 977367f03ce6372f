//! Samples sorted by what a network says, and what one pass over them counts.
//!
//! In: values, truth and decisions of one class or label. Out: a [`Ranking`], sorted once, and for any weights a
//! [`Tally`]. Start at [`auroc`] and [`average_precision`].

use super::{
    ClassScores,
    outputs::{Outputs, Told},
};

/// Bits of an item of a ranking below the number its weight has.
const BITS: u32 = 3;
const POSITIVE: u32 = 1;
/// The last of those with the same value.
const LAST: u32 = 2;
const TOLD: u32 = 4;

/// The samples of one class or label against the rest, from the largest value to the smallest.
///
/// An item has the number of the weight that counts for it, whether it is positive, whether it is told to be, and
/// whether the next has another value: all in 32 bits, as intervals pass over it a thousand times.
pub(super) struct Ranking(Vec<u32>);

/// Sums of weights of one class or label.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Tally {
    /// Of what is positive.
    pub positives: f64,
    /// Of what is not.
    pub negatives: f64,
    /// Of what is told to be positive and is.
    pub true_positives: f64,
    /// Of what is told to be positive.
    pub told: f64,
    /// Twice the sum over positive and negative samples of the product of their weights where the positive has the
    /// larger value, and once where both are equal.
    twice_wins: f64,
    /// Sum over positive samples of weight times precision among all that have at least as large a value.
    precisions: f64,
}

impl Ranking {
    /// Sorts the samples of a column; `weight` says which weight counts for a sample.
    pub(super) fn new(
        outputs: &Outputs<'_>,
        told: &Told,
        column: usize,
        weight: impl Fn(usize) -> u32,
    ) -> Self {
        Self::sorted(outputs.values(column), |sample| {
            let positive = if outputs.is_positive(sample, column) {
                POSITIVE
            } else {
                0
            };
            let told = if told.is(sample, column, outputs.samples) {
                TOLD
            } else {
                0
            };
            weight(sample) << BITS | positive | told
        })
    }

    /// Sorts samples by `values`, none of them NaN; `item` gives the bits of a sample.
    fn sorted(values: &[f64], item: impl Fn(usize) -> u32) -> Self {
        let mut order: Vec<(f64, u32)> = values
            .iter()
            .enumerate()
            .map(|(sample, value)| (*value, item(sample)))
            .collect();
        // By the bits too: what is equal has one order, whatever the samples' order was.
        order.sort_unstable_by(|a, b| {
            b.0.partial_cmp(&a.0)
                .unwrap_or(b.0.total_cmp(&a.0))
                .then(a.1.cmp(&b.1))
        });
        let mut items = Vec::with_capacity(order.len());
        // Not on bits: 0.0 and -0.0 are a tie.
        for tied in order.chunk_by(|a, b| a.0 == b.0) {
            items.extend(tied.iter().map(|(_, item)| *item));
            if let Some(last) = items.last_mut() {
                *last |= LAST;
            }
        }
        Self(items)
    }

    /// Sums `weights`, which are finite and at least 0.
    pub(super) fn tally(&self, weights: &[f64]) -> Tally {
        let mut tally = Tally::default();
        let (mut tied_positives, mut tied_negatives) = (0.0, 0.0);
        for item in &self.0 {
            let weight = weights[(item >> BITS) as usize];
            let positive = if item & POSITIVE == 0 { 0.0 } else { weight };
            tied_positives += positive;
            tied_negatives += weight - positive;
            if item & TOLD != 0 {
                tally.told += weight;
                tally.true_positives += positive;
            }
            if item & LAST != 0 {
                tally.twice_wins += tied_negatives * (2.0 * tally.positives + tied_positives);
                tally.positives += tied_positives;
                tally.negatives += tied_negatives;
                if tied_positives > 0.0 {
                    let above = tally.positives + tally.negatives;
                    tally.precisions += tied_positives * (tally.positives / above);
                }
                (tied_positives, tied_negatives) = (0.0, 0.0);
            }
        }
        tally
    }
}

impl Tally {
    /// Weight of all samples.
    pub(super) fn total(&self) -> f64 {
        self.positives + self.negatives
    }

    /// Area under the ROC curve, if there are positives and negatives.
    pub(super) fn auroc(&self) -> Option<f64> {
        // Each first: their product can be too small for a number while neither is.
        let both = self.positives > 0.0 && self.negatives > 0.0;
        both.then(|| self.twice_wins / (2.0 * self.positives * self.negatives))
    }

    /// Average precision, if there are positives.
    pub(super) fn average_precision(&self) -> Option<f64> {
        ratio(self.precisions, self.positives)
    }

    /// `2·tp / (2·tp + fp + fn)`, if anything is positive in truth or prediction.
    pub(super) fn f1(&self) -> Option<f64> {
        // 2·tp + fp + fn is what is told and what is true.
        ratio(2.0 * self.true_positives, self.told + self.positives)
    }

    /// Sensitivity, if there are positives.
    pub(super) fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.positives)
    }

    /// What is not positive and is not told to be.
    pub(super) fn true_negatives(&self) -> f64 {
        self.negatives - (self.told - self.true_positives)
    }

    /// Specificity, if there are negatives.
    pub(super) fn specificity(&self) -> Option<f64> {
        ratio(self.true_negatives(), self.negatives)
    }

    /// The scores of the class or label.
    pub(super) fn scores(&self) -> ClassScores {
        ClassScores {
            support: self.positives,
            precision: ratio(self.true_positives, self.told),
            recall: self.recall(),
            f1: self.f1(),
            auroc: self.auroc(),
            pr_auc: self.average_precision(),
        }
    }
}

/// A part of a whole, if there is one.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// The probability that a positive sample has a larger value than a negative one, a tie counting half.
///
/// `Σ_pos Σ_neg w_pos·w_neg·([v_pos > v_neg] + ½ [v_pos = v_neg]) / (Σ_pos w · Σ_neg w)`, with all weights 1 the
/// Mann-Whitney statistic; equal to the trapezoidal area under the ROC curve.
///
/// # Shapes
/// - `values`, `positive`, `weights`: one per sample, as many as the shortest has; values not NaN, weights at least 0
/// # Numerics
/// Exact sums for integer weights as long as `2·P·N` is below 2⁵³, divided once. O(n log n).
/// # Errors
/// `None` (undefined) without positives or without negatives.
/// # Source
/// Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747. Parity: `tests/parity/metrics/`
/// # Example
/// ```
/// use kernels::metrics::auroc;
/// let values = [0.1, 0.4, 0.4, 0.8];
/// assert_eq!(auroc(&values, &[false, false, true, true], &[1.0; 4]), Some(0.875));
/// assert_eq!(auroc(&values, &[true; 4], &[1.0; 4]), None);
/// ```
pub fn auroc(values: &[f64], positive: &[bool], weights: &[f64]) -> Option<f64> {
    of(values, positive, weights).auroc()
}

/// Mean precision at the positive samples: the area under the precision-recall curve as a sum of rectangles.
///
/// `Σ_i (R_i - R_(i-1))·P_i` over the distinct values from the largest on, with recall `R_i` and precision `P_i` of all
/// samples with at least that value.
///
/// # Shapes
/// - `values`, `positive`, `weights`: one per sample, as many as the shortest has; values not NaN, weights at least 0
/// # Errors
/// `None` (undefined) without positives.
/// # Source
/// As scikit-learn's `average_precision_score`; why no trapezia: Davis and Goadrich 2006, doi:10.1145/1143844.1143874.
/// Parity: `tests/parity/metrics/`
/// # Example
/// ```
/// use kernels::metrics::average_precision;
/// let positive = [true, false, true, false];
/// assert_eq!(average_precision(&[0.9, 0.8, 0.7, 0.1], &positive, &[1.0; 4]), Some((1.0 + 2.0 / 3.0) / 2.0));
/// ```
pub fn average_precision(values: &[f64], positive: &[bool], weights: &[f64]) -> Option<f64> {
    of(values, positive, weights).average_precision()
}

fn of(values: &[f64], positive: &[bool], weights: &[f64]) -> Tally {
    let samples = values.len().min(positive.len()).min(weights.len());
    let item = |sample: usize| (sample as u32) << BITS | if positive[sample] { POSITIVE } else { 0 };
    Ranking::sorted(&values[..samples], item).tally(weights)
}
