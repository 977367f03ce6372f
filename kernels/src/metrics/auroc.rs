//! Area under the receiver operating characteristic, exact.

/// The probability that a positive sample has a larger value than a negative one, a tie counting half.
///
/// `(Σ_pos Σ_neg [v_pos > v_neg] + ½ [v_pos = v_neg]) / (P·N)`, the Mann-Whitney statistic; equal to the trapezoidal
/// area under the ROC curve, and to what midranks give.
///
/// # Shapes
/// - `values`: one per sample, not NaN; `is_positive` is asked with the sample's index
/// # Numerics
/// Counted in integers, divided once: exact for fewer than 2³¹ samples, and independent of their order.
/// # Errors
/// `None` (undefined) without positives or without negatives.
/// # Source
/// Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747. Parity: `tests/parity/metrics/`
/// # Example
/// ```
/// let values = [0.1, 0.4, 0.4, 0.8];
/// assert_eq!(kernels::metrics::auroc(&values, |i| [false, false, true, true][i]), Some(0.875));
/// assert_eq!(kernels::metrics::auroc(&values, |_| true), None);
/// ```
pub fn auroc(values: &[f64], is_positive: impl Fn(usize) -> bool) -> Option<f64> {
    let mut order: Vec<(f64, bool)> = values
        .iter()
        .enumerate()
        .map(|(i, &v)| (v, is_positive(i)))
        .collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));

    let (mut negatives, mut positives, mut twice_wins) = (0_u64, 0_u64, 0_u128);
    // Not `chunk_by` on bits: 0.0 and -0.0 are a tie.
    for tied in order.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = tied.iter().filter(|(_, positive)| *positive).count() as u64;
        let tied_negatives = tied.len() as u64 - tied_positives;
        twice_wins += u128::from(tied_positives) * u128::from(2 * negatives + tied_negatives);
        positives += tied_positives;
        negatives += tied_negatives;
    }
    let pairs = u128::from(positives) * u128::from(negatives);
    (pairs > 0).then(|| twice_wins as f64 / (2 * pairs) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every pair compared: the definition.
    fn by_pairs(samples: &[(f64, bool)]) -> Option<f64> {
        let of = |wanted: bool| samples.iter().filter(move |s| s.1 == wanted).map(|s| s.0);
        let mut wins = 0.0;
        for positive in of(true) {
            for negative in of(false) {
                wins += if positive > negative {
                    1.0
                } else if positive == negative {
                    0.5
                } else {
                    0.0
                };
            }
        }
        let pairs = of(true).count() * of(false).count();
        (pairs > 0).then(|| wins / pairs as f64)
    }

    proptest! {
        #[test]
        fn counting_sorted_groups_equals_comparing_every_pair(
            samples in prop::collection::vec(((-3_i8..4).prop_map(f64::from), any::<bool>()), 0..60),
        ) {
            let values: Vec<f64> = samples.iter().map(|s| s.0).collect();
            prop_assert_eq!(auroc(&values, |i| samples[i].1), by_pairs(&samples));
        }

        #[test]
        fn turning_the_classes_round_mirrors_the_area(
            samples in prop::collection::vec((-1e3_f64..1e3, any::<bool>()), 2..60),
        ) {
            let values: Vec<f64> = samples.iter().map(|s| s.0).collect();
            let (a, b) = (auroc(&values, |i| samples[i].1), auroc(&values, |i| !samples[i].1));
            prop_assert_eq!(a.is_some(), b.is_some());
            if let (Some(a), Some(b)) = (a, b) {
                prop_assert!((a + b - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn both_zeros_are_a_tie_and_minus_infinity_is_a_value() {
        assert_eq!(auroc(&[0.0, -0.0], |i| i == 0), Some(0.5));
        assert_eq!(auroc(&[f64::NEG_INFINITY, -1.0], |i| i == 1), Some(1.0));
    }
}
