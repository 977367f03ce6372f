//! How sure an area under the ROC curve is, from the ranks behind it.

use super::{Outputs, ScoreError, Truth};
use ndarray::ArrayView2;

/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// An area under the ROC curve and its variance.
///
/// # Shapes
/// - `values`, `positive`: one per sample; values not NaN
/// # Numerics
/// Midranks by sorting, O(n log n); sums in `f64` in sample order.
/// # Source
/// DeLong et al. 1988, doi:10.2307/2531595, by the algorithm of Sun and Xu 2014, doi:10.1109/LSP.2014.2337313. It takes
/// samples as independent: several images of one patient make it too sure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeLong {
    /// The area.
    pub area: f64,
    /// The variance of the area; `None` (undefined) with fewer than two positives or fewer than two negatives.
    pub variance: Option<f64>,
}

impl DeLong {
    /// The area of `values` for telling `positive` samples, and its variance; `None` (undefined) without positives or
    /// without negatives.
    pub fn new(values: &[f64], positive: &[bool]) -> Option<Self> {
        let of = |wanted: bool| -> Vec<f64> {
            let both = values.iter().zip(positive);
            both.filter(|(_, positive)| **positive == wanted)
                .map(|(value, _)| *value)
                .collect()
        };
        let (positives, negatives) = (of(true), of(false));
        let (p, n) = (positives.len() as f64, negatives.len() as f64);
        if positives.is_empty() || negatives.is_empty() {
            return None;
        }
        let all = midranks(&[positives.as_slice(), &negatives].concat());
        // Placements (section III): the share of the other side that a sample is on the right side of.
        let v10: Vec<f64> = midranks(&positives)
            .iter()
            .zip(&all)
            .map(|(own, of_all)| (of_all - own) / n)
            .collect();
        let v01: Vec<f64> = midranks(&negatives)
            .iter()
            .zip(&all[positives.len()..])
            .map(|(own, of_all)| 1.0 - (of_all - own) / p)
            .collect();
        let ranks: f64 = all[..positives.len()].iter().sum();
        let variance = variance(&v10).zip(variance(&v01));
        Some(Self {
            area: (ranks - p * (p + 1.0) / 2.0) / (p * n),
            variance: variance.map(|(s10, s01)| s10 / p + s01 / n),
        })
    }

    /// Each class's or label's area and variance, by the values [`score`](super::score) ranks by.
    ///
    /// # Errors
    /// As [`score`](super::score).
    pub fn per_class(logits: ArrayView2<'_, f32>, truth: Truth<'_>) -> Result<Vec<Option<Self>>, ScoreError> {
        let outputs = Outputs::new(logits, truth)?;
        let of = |column: usize| {
            let positive: Vec<bool> = (0..outputs.samples)
                .map(|sample| outputs.is_positive(sample, column))
                .collect();
            Self::new(outputs.values(column), &positive)
        };
        Ok((0..outputs.columns).map(of).collect())
    }

    /// The 95 % interval on the scale of the logit, where it stays between 0 and 1:
    /// `logit(A) ± 1.96·√V / (A·(1 - A))`, transformed back.
    ///
    /// `None` (undefined) where the variance is, where it is 0 (all placements alike say nothing), and where the area is
    /// 0 or 1.
    pub fn interval(&self) -> Option<[f64; 2]> {
        let Self { area, variance } = *self;
        let variance = variance.filter(|variance| *variance > 0.0)?;
        let inside = area * (1.0 - area);
        if inside <= 0.0 {
            return None;
        }
        let (logit, half) = (libm::log(area / (1.0 - area)), Z * libm::sqrt(variance) / inside);
        Some([logit - half, logit + half].map(|end| 1.0 / (1.0 + libm::exp(-end))))
    }
}

/// Each value's place in their order, counted from 1; equal values share the mean of their places.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for sample in tied {
            ranks[*sample] = rank;
        }
        before += tied.len();
    }
    ranks
}

/// The variance of a population of which these are drawn; `None` of fewer than two.
fn variance(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean) * (value - mean));
    Some(squares.sum::<f64>() / (count - 1.0))
}
