//! Quality of a classifier's predictions: accuracy, F1, AUROC and cross-entropy.
//!
//! In: log-probabilities (`f64`, samples x classes) and the true class of each sample. Out: [`Scores`].
//! Start at [`score`]; [`log_softmax`] makes its input from a network's outputs, [`log_probabilities`] from
//! probabilities. What is undefined is `None`, never a number that looks like a result.

mod auroc;
mod confusion;

pub use auroc::auroc;

use confusion::Confusion;
use ndarray::{Array2, ArrayView1, ArrayView2};

/// Quality of predictions on a set of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Mean cross-entropy per sample, in nats.
    pub loss: f64,
    /// Share of samples whose most probable class (the first of them on a tie) is the true one.
    pub accuracy: f64,
    /// Mean F1 over the classes that occur in truth or prediction.
    pub macro_f1: f64,
    /// Area under the ROC curve: of class 1 for two classes, else the mean one-against-rest over the classes where it
    /// is defined; `None` when there is no such class.
    pub auroc: Option<f64>,
    /// Each class, in the order of the columns.
    pub per_class: Vec<ClassScores>,
}

/// Quality of predictions for one class against the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScores {
    /// Samples of the class.
    pub support: u64,
    /// True positives over predicted positives; `None` when none is predicted.
    pub precision: Option<f64>,
    /// True positives over positives; `None` when there are none.
    pub recall: Option<f64>,
    /// `2·tp / (2·tp + fp + fn)`; `None` when the class is in neither truth nor prediction.
    pub f1: Option<f64>,
    /// Area under the ROC curve, ties counted half; `None` without positives or without negatives.
    pub auroc: Option<f64>,
}

/// Why predictions cannot be scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// Nothing to score.
    #[error("there are no samples to score")]
    NoSamples,
    /// Predictions and truth differ in length, or there are no classes.
    #[error("predictions are {rows} samples x {classes} classes, the truth has {samples} samples")]
    Shape {
        /// Rows of the predictions.
        rows: usize,
        /// Samples in the truth.
        samples: usize,
        /// Columns of the predictions.
        classes: usize,
    },
    /// A true class beyond the columns.
    #[error("sample {sample} is of class {class}, the predictions have {classes} classes")]
    ClassOutOfRange {
        /// The sample, counted from 0.
        sample: usize,
        /// Its class.
        class: u32,
        /// Number of columns.
        classes: usize,
    },
    /// A value that is no log-probability (NaN or above 0), or minus infinity for the true class.
    #[error("sample {sample} has no finite loss or no valid log-probability for class {class}")]
    NotFinite {
        /// The sample, counted from 0.
        sample: usize,
        /// The class.
        class: usize,
    },
}

/// Scores predictions against the truth.
///
/// `loss = -1/N Σ_i ln p_i[truth_i]`; the other scores depend on the order of the values only.
///
/// # Shapes
/// - `log_probabilities`: N samples x C classes, in nats; minus infinity stands for probability 0
/// - `truth`: N class indices below C
/// # Numerics
/// Sums in `f64` in sample order. AUROC is counted in integers and divided once.
/// # Errors
/// [`ScoreError`]: no samples, a wrong shape, a class out of range, or a value that is no log-probability
/// # Source
/// F1 and its mean as scikit-learn's `f1_score(average="macro")`; AUROC as `roc_auc_score`. Parity: `tests/parity/metrics/`
/// # Example
/// ```
/// use kernels::metrics::{log_softmax, score};
/// let logits = ndarray::array![[2.0, 0.0], [0.5, 1.0], [0.0, 3.0_f32]];
/// let scores = score(log_softmax(logits.view()).view(), &[0, 0, 1])?;
/// assert_eq!(scores.accuracy, 2.0 / 3.0);
/// assert_eq!(scores.auroc, Some(1.0));
/// # Ok::<(), kernels::metrics::ScoreError>(())
/// ```
pub fn score(log_probabilities: ArrayView2<'_, f64>, truth: &[u32]) -> Result<Scores, ScoreError> {
    check(log_probabilities, truth)?;
    let classes = log_probabilities.ncols();
    let rows = || log_probabilities.rows().into_iter().zip(truth);
    let samples = truth.len() as f64;

    let loss = rows().map(|(row, &class)| -row[class as usize]).sum::<f64>() / samples;
    let confusion = Confusion::count(classes, rows().map(|(row, &class)| (class as usize, argmax(row))));
    let class_auroc = |class: usize| {
        let column = log_probabilities.column(class).to_vec();
        auroc(&column, |sample| truth[sample] as usize == class)
    };
    let aurocs: Vec<Option<f64>> = (0..classes).map(class_auroc).collect();
    let per_class: Vec<ClassScores> = aurocs
        .iter()
        .enumerate()
        .map(|(class, &auroc)| confusion.scores(class, auroc))
        .collect();
    Ok(Scores {
        loss,
        accuracy: confusion.correct() as f64 / samples,
        macro_f1: mean(per_class.iter().filter_map(|class| class.f1))
            .expect("there are samples, so at least one class occurs"),
        auroc: if classes == 2 {
            aurocs[1]
        } else {
            mean(aurocs.into_iter().flatten())
        },
        per_class,
    })
}

/// The log-probabilities of a network's outputs: `x - max - ln Σ exp(x - max)` per row, in `f64`.
///
/// # Shapes
/// - `logits`: N x C, in any unit; returns the same shape, in nats
pub fn log_softmax(logits: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut out = logits.mapv(f64::from);
    for mut row in out.rows_mut() {
        let max = row.fold(f64::NEG_INFINITY, |max, &x| max.max(x));
        let shift = max + row.iter().map(|&x| (x - max).exp()).sum::<f64>().ln();
        row -= shift;
    }
    out
}

/// The natural logarithms of probabilities, in `f64`; probability 0 becomes minus infinity.
pub fn log_probabilities(probabilities: ArrayView2<'_, f32>) -> Array2<f64> {
    probabilities.mapv(|p| f64::from(p).ln())
}

fn check(values: ArrayView2<'_, f64>, truth: &[u32]) -> Result<(), ScoreError> {
    if truth.is_empty() {
        return Err(ScoreError::NoSamples);
    }
    let (rows, classes) = values.dim();
    if classes == 0 || rows != truth.len() {
        return Err(ScoreError::Shape {
            rows,
            samples: truth.len(),
            classes,
        });
    }
    for (sample, (row, &class)) in values.rows().into_iter().zip(truth).enumerate() {
        if class as usize >= classes {
            return Err(ScoreError::ClassOutOfRange {
                sample,
                class,
                classes,
            });
        }
        // Rounding can leave the logarithm of a probability of 1 slightly above 0.
        let valid = |class: usize| row[class] <= 1e-6;
        if let Some(class) = (0..classes).find(|&class| !valid(class)) {
            return Err(ScoreError::NotFinite { sample, class });
        }
        if row[class as usize] == f64::NEG_INFINITY {
            return Err(ScoreError::NotFinite {
                sample,
                class: class as usize,
            });
        }
    }
    Ok(())
}

/// The first of the largest values, as numpy's `argmax`.
fn argmax(row: ArrayView1<'_, f64>) -> usize {
    let mut best = 0;
    for (class, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = class;
        }
    }
    best
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    #[test]
    fn a_class_absent_from_the_truth_is_undefined_and_left_out_of_the_mean() {
        let p = log_probabilities(array![[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]].view());
        let scores = score(p.view(), &[0, 1, 1]).unwrap();
        assert_eq!(scores.per_class[2].auroc, None);
        assert_eq!(scores.per_class[2].f1, None);
        assert_eq!(scores.auroc, Some(1.0));
        assert_eq!(scores.macro_f1, (2.0 / 3.0 + 2.0 / 3.0) / 2.0);
    }

    #[test]
    fn one_class_in_the_truth_leaves_auroc_undefined_rather_than_a_half() {
        let p = log_probabilities(array![[0.7, 0.3], [0.4, 0.6]].view());
        let scores = score(p.view(), &[0, 0]).unwrap();
        assert_eq!(scores.auroc, None);
        assert_eq!(scores.accuracy, 0.5);
        assert_eq!(scores.per_class[1].recall, None);
        assert_eq!(scores.per_class[1].precision, Some(0.0));
    }

    #[test]
    fn a_confident_network_does_not_lose_its_order_to_rounding() {
        // As f32 probabilities all three would be exactly 1.
        let logits = array![[0.0, 40.0], [0.0, 50.0], [0.0, 60.0_f32]];
        let scores = score(log_softmax(logits.view()).view(), &[0, 0, 1]).unwrap();
        assert!((scores.loss - 30.0).abs() < 1e-12);
        assert_eq!(scores.per_class[0].auroc, Some(1.0));
    }

    #[test]
    fn what_cannot_be_scored_is_named() {
        let of = |values: Array2<f64>, truth: &[u32]| score(values.view(), truth);
        assert_eq!(of(Array2::zeros((0, 2)), &[]), Err(ScoreError::NoSamples));
        assert_eq!(
            of(array![[-0.1, -0.1], [-0.1, -0.1]], &[0]),
            Err(ScoreError::Shape {
                rows: 2,
                samples: 1,
                classes: 2
            })
        );
        assert_eq!(
            of(array![[-0.5, -1.0]], &[2]),
            Err(ScoreError::ClassOutOfRange {
                sample: 0,
                class: 2,
                classes: 2
            })
        );
        assert_eq!(
            of(array![[f64::NAN, -1.0]], &[1]),
            Err(ScoreError::NotFinite { sample: 0, class: 0 })
        );
        assert_eq!(
            of(array![[0.0, f64::NEG_INFINITY]], &[1]),
            Err(ScoreError::NotFinite { sample: 0, class: 1 })
        );
        assert!(of(array![[0.0, f64::NEG_INFINITY]], &[0]).is_ok());
    }

    proptest! {
        #[test]
        fn the_order_of_samples_does_not_matter(
            rows in prop::collection::vec((prop::array::uniform3(-8.0_f32..8.0), 0_u32..3), 1..40),
            turn in 0_usize..40,
        ) {
            let of = |rows: &[([f32; 3], u32)]| {
                let logits = Array2::from_shape_fn((rows.len(), 3), |(sample, class)| rows[sample].0[class]);
                let truth: Vec<u32> = rows.iter().map(|(_, class)| *class).collect();
                score(log_softmax(logits.view()).view(), &truth).unwrap()
            };
            let mut turned = rows.clone();
            turned.rotate_left(turn % rows.len());
            let (a, b) = (of(&rows), of(&turned));
            prop_assert!((a.loss - b.loss).abs() < 1e-9);
            prop_assert_eq!(Scores { loss: 0.0, ..a }, Scores { loss: 0.0, ..b });
        }
    }
}
