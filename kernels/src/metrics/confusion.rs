//! Counts of truth against prediction, and the scores made of them.

use super::ClassScores;

/// How often each class was right, predicted and true.
pub(super) struct Confusion {
    classes: Vec<Counts>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    true_positives: u64,
    predicted: u64,
    support: u64,
}

impl Confusion {
    /// Counts pairs of (true class, predicted class), both below `classes`.
    pub(super) fn count(classes: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut counts = vec![Counts::default(); classes];
        for (truth, predicted) in pairs {
            counts[truth].support += 1;
            counts[predicted].predicted += 1;
            counts[truth].true_positives += u64::from(truth == predicted);
        }
        Self { classes: counts }
    }

    /// Samples whose prediction is the truth.
    pub(super) fn correct(&self) -> u64 {
        self.classes.iter().map(|class| class.true_positives).sum()
    }

    /// The scores of one class.
    pub(super) fn scores(&self, class: usize, auroc: Option<f64>) -> ClassScores {
        let Counts {
            true_positives,
            predicted,
            support,
        } = self.classes[class];
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        ClassScores {
            support,
            precision: ratio(true_positives, predicted),
            recall: ratio(true_positives, support),
            // 2·tp + fp + fn = predicted + support
            f1: ratio(2 * true_positives, predicted + support),
            auroc,
        }
    }
}
