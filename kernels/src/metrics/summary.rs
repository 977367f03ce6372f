//! Means over classes or labels of what is counted of each.
//!
//! In: a [`Tally`] of every class or label. Out: a [`Summary`]. Start at [`summary`].

use super::{
    outputs::Target,
    ranking::{Tally, ratio},
};

/// The scores that follow from tallies; see [`Scores`](super::Scores).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub accuracy: f64,
    pub balanced_accuracy: Option<f64>,
    pub macro_f1: f64,
    pub micro_f1: f64,
    pub auroc: Option<f64>,
    pub pr_auc: Option<f64>,
}

/// Sums up the tallies of all classes or labels, each of samples with the same weights.
pub(super) fn summary(target: Target, tallies: &[Tally]) -> Summary {
    let sum = |of: fn(&Tally) -> f64| tallies.iter().map(of).sum::<f64>();
    let (all, hits) = (tallies[0].total(), sum(|tally| tally.true_positives));
    let (accuracy, balanced_accuracy) = match target {
        Target::Classes => (ratio(hits, all), mean(tallies.iter().filter_map(Tally::recall))),
        Target::Labels => {
            let right = hits + sum(Tally::true_negatives);
            let balanced = |tally: &Tally| Some((tally.recall()? + tally.specificity()?) / 2.0);
            (
                ratio(right, all * tallies.len() as f64),
                mean(tallies.iter().filter_map(balanced)),
            )
        }
    };
    // Of two classes, one's curve says all.
    let ranked = match (target, tallies) {
        (Target::Classes, [_, second]) => std::slice::from_ref(second),
        _ => tallies,
    };
    let ranked = || ranked.iter().filter(|tally| tally.auroc().is_some());
    Summary {
        accuracy: accuracy.unwrap_or(0.0),
        balanced_accuracy,
        macro_f1: mean(tallies.iter().filter_map(Tally::f1)).unwrap_or(0.0),
        micro_f1: ratio(2.0 * hits, sum(|tally| tally.told + tally.positives)).unwrap_or(0.0),
        auroc: mean(ranked().filter_map(Tally::auroc)),
        pr_auc: mean(ranked().filter_map(Tally::average_precision)),
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}
