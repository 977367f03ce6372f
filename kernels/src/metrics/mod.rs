//! Quality of a network's predictions: loss, decisions, ranking, calibration, and how sure each of them is.
//!
//! In: logits (samples × outputs) and the truth, one class or any number of labels a sample. Out: [`Scores`].
//! Start at [`score`]; [`bootstrap()`] and [`DeLong`] say how sure the scores are, [`thresholds`] chooses from which
//! probability on a class or label is told. What is undefined is `None`, never a number that looks like a result.
//!
//! | module | has |
//! |---|---|
//! | `outputs` | probabilities, values to rank by and losses of logits |
//! | `ranking` | one sorted pass: areas under curves and counts of decisions, for any weights |
//! | `summary` | means over classes or labels |
//! | `calibration` | Brier score and expected calibration error |
//! | `delong` | variance and interval of an area |
//! | `bootstrap` | intervals from patients drawn anew |
//! | `threshold` | thresholds with the largest sum of sensitivity and specificity |

mod bootstrap;
mod calibration;
mod delong;
mod outputs;
mod ranking;
mod summary;
#[cfg(test)]
mod tests;
mod threshold;

pub use bootstrap::{Bootstrap, DRAWS, Intervals, bootstrap};
pub use calibration::BINS;
pub use delong::DeLong;
pub use outputs::log_softmax;
pub use ranking::{auroc, average_precision};
pub use threshold::{thresholds, youden};

use ndarray::ArrayView2;

use outputs::Outputs;
use ranking::Ranking;
use summary::{Summary, summary};

/// What is true of each sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth<'a> {
    /// One class a sample: N indices below the number of outputs.
    Classes(&'a [u8]),
    /// Any number of labels a sample: N × outputs values 0 or 1, row by row.
    Labels(&'a [u8]),
}

/// What goes into scores beside logits and truth.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Settings<'a> {
    /// How much each sample counts, at least 0 and not all 0; each counts 1 when not given.
    pub weights: Option<&'a [f64]>,
    /// The probability from which on each class or label is told, above 0 and at most 1. When not given, the most
    /// probable class (the first of them on a tie), or each label from one half on.
    ///
    /// Of two classes, the second is told where its probability is at least its threshold, and the first's threshold has
    /// no part in it. Of more, the class whose probability is the largest multiple of its threshold is told.
    pub thresholds: Option<&'a [f64]>,
}

/// Quality of predictions on a set of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Mean cross-entropy per sample, in nats; with several labels, of their mean.
    pub loss: f64,
    /// Share of samples whose class is told; with several labels, the share of all labels of all samples.
    pub accuracy: f64,
    /// Mean recall over the classes that occur; with several labels, the mean of sensitivity and specificity over the
    /// labels that have both positive and negative samples, `None` if there is no such label.
    pub balanced_accuracy: Option<f64>,
    /// Mean F1 over the classes or labels that occur in truth or prediction; 0 if none does.
    pub macro_f1: f64,
    /// F1 of all decisions together, with one class a sample the accuracy; 0 if nothing is positive in truth or prediction.
    pub micro_f1: f64,
    /// Area under the ROC curve: of class 1 for two classes, else the mean over the classes or labels where it is
    /// defined; `None` when there is none.
    pub auroc: Option<f64>,
    /// Average precision, of the classes and labels whose area is in `auroc`.
    pub pr_auc: Option<f64>,
    /// Mean squared difference of probability and truth: of class 1 for two classes, summed over more classes, the mean
    /// over labels.
    pub brier: f64,
    /// Expected calibration error: of the most probable class; the mean over labels.
    pub ece: f64,
    /// Weight of samples by true class (rows) and told class (columns); empty with several labels.
    pub confusion: Vec<Vec<f64>>,
    /// Each class or label, in the order of the outputs.
    pub per_class: Vec<ClassScores>,
}

/// Quality of predictions for one class or label against the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScores {
    /// Weight of the samples of the class.
    pub support: f64,
    /// True positives over predicted positives; `None` when none is predicted.
    pub precision: Option<f64>,
    /// True positives over positives; `None` when there are none.
    pub recall: Option<f64>,
    /// `2·tp / (2·tp + fp + fn)`; `None` when the class is in neither truth nor prediction.
    pub f1: Option<f64>,
    /// Area under the ROC curve, ties counted half; `None` without positives or without negatives.
    pub auroc: Option<f64>,
    /// Average precision; `None` without positives.
    pub pr_auc: Option<f64>,
}

/// Why predictions cannot be scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// Nothing to score.
    #[error("there are no samples to score")]
    NoSamples,
    /// More samples than can be counted.
    #[error("there are {samples} samples, at most 2^28 can be scored")]
    TooMany {
        /// Number of samples.
        samples: usize,
    },
    /// Predictions and truth differ in length, or there are no outputs.
    #[error("logits are {rows} samples x {outputs} outputs, the truth has {values} values")]
    Shape {
        /// Rows of the logits.
        rows: usize,
        /// Values of the truth.
        values: usize,
        /// Columns of the logits.
        outputs: usize,
    },
    /// A true class beyond the columns, or a label that is neither 0 nor 1.
    #[error("sample {sample} has the truth {value}; expected less than {bound}")]
    Truth {
        /// The sample, counted from 0.
        sample: usize,
        /// What is said of it.
        value: u8,
        /// What it must be below.
        bound: usize,
    },
    /// A logit that is no number.
    #[error("sample {sample} has the logit {value} for output {output}")]
    NotFinite {
        /// The sample, counted from 0.
        sample: usize,
        /// The output.
        output: usize,
        /// The logit.
        value: f32,
    },
    /// Weights that are not one a sample, finite and at least 0, or are all 0.
    #[error(
        "there are {given} weights for {samples} samples; expected one each, finite, at least 0 and not all 0"
    )]
    Weights {
        /// Number of weights.
        given: usize,
        /// Number of samples.
        samples: usize,
    },
    /// Thresholds that are not one an output, above 0 and at most 1.
    #[error("the thresholds are {given:?} for {outputs} outputs; expected one each, above 0 and at most 1")]
    Thresholds {
        /// The thresholds.
        given: Vec<f64>,
        /// Number of outputs.
        outputs: usize,
    },
    /// Patients that are not one a sample.
    #[error("there are {given} patients for {samples} samples; expected one each, and at least 1 draw")]
    Patients {
        /// Number of patients.
        given: usize,
        /// Number of samples.
        samples: usize,
    },
    /// Samples from which no threshold can be chosen.
    #[error(
        "a threshold for output {output} needs samples with and without it, there are {positives} of {samples}"
    )]
    OneSided {
        /// The output.
        output: usize,
        /// Samples that have it.
        positives: usize,
        /// All samples.
        samples: usize,
    },
}

/// Scores logits against the truth.
///
/// # Shapes
/// - `logits`: N samples × C outputs, in any unit
/// - `truth`: N classes, or N × C labels
/// # Numerics
/// Probabilities in `f64` with [`libm`]; sums in sample order. Areas are exact sums of weights divided once, as long as
/// the weights are integers and twice the product of positives and negatives is below 2⁵³. Samples are ranked by
/// log-probabilities or logits, which keep their order where probabilities round to 1.
/// # Errors
/// [`ScoreError`]: no samples, a wrong shape, a truth or logit that is none, weights or thresholds out of range
/// # Source
/// Decisions and areas as scikit-learn's `accuracy_score`, `balanced_accuracy_score`, `f1_score`, `roc_auc_score`,
/// `average_precision_score` and `brier_score_loss`. Parity: `tests/parity/metrics/`
/// # Example
/// ```
/// use kernels::metrics::{Settings, Truth, score};
/// let logits = ndarray::array![[2.0, 0.0], [0.5, 1.0], [0.0, 3.0_f32]];
/// let scores = score(logits.view(), Truth::Classes(&[0, 0, 1]), &Settings::default())?;
/// assert_eq!(scores.accuracy, 2.0 / 3.0);
/// assert_eq!(scores.auroc, Some(1.0));
/// # Ok::<(), kernels::metrics::ScoreError>(())
/// ```
pub fn score(
    logits: ArrayView2<'_, f32>,
    truth: Truth<'_>,
    settings: &Settings<'_>,
) -> Result<Scores, ScoreError> {
    let outputs = Outputs::new(logits, truth)?;
    let told = outputs.told(settings.thresholds)?;
    let ones;
    let weights = match settings.weights {
        Some(weights) => check_weights(weights, outputs.samples)?,
        None => {
            ones = vec![1.0; outputs.samples];
            &ones
        }
    };
    let tallies: Vec<_> = (0..outputs.columns)
        .map(|column| Ranking::new(&outputs, &told, column, |sample| sample as u32).tally(weights))
        .collect();
    let Summary {
        accuracy,
        balanced_accuracy,
        macro_f1,
        micro_f1,
        auroc,
        pr_auc,
    } = summary(outputs.target(), &tallies);
    let total: f64 = weights.iter().sum();
    let loss = outputs
        .loss
        .iter()
        .zip(weights)
        .map(|(loss, weight)| loss * weight);
    Ok(Scores {
        loss: loss.sum::<f64>() / total,
        accuracy,
        balanced_accuracy,
        macro_f1,
        micro_f1,
        auroc,
        pr_auc,
        brier: calibration::brier(&outputs, weights),
        ece: calibration::expected_error(&outputs, weights),
        confusion: confusion(&outputs, &told, weights),
        per_class: tallies.iter().map(|tally| tally.scores()).collect(),
    })
}

fn check_weights(weights: &[f64], samples: usize) -> Result<&[f64], ScoreError> {
    let valid = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
    if weights.len() != samples || !valid || weights.iter().all(|weight| *weight == 0.0) {
        return Err(ScoreError::Weights {
            given: weights.len(),
            samples,
        });
    }
    Ok(weights)
}

/// Weights by true class and told class; nothing where a sample has any number of labels.
fn confusion(outputs: &Outputs<'_>, told: &outputs::Told, weights: &[f64]) -> Vec<Vec<f64>> {
    match (outputs.truth, told) {
        (Truth::Classes(truth), outputs::Told::Class(told)) => {
            let mut confusion = vec![vec![0.0; outputs.columns]; outputs.columns];
            for ((truth, told), weight) in truth.iter().zip(told).zip(weights) {
                confusion[usize::from(*truth)][*told] += weight;
            }
            confusion
        }
        _ => Vec::new(),
    }
}
