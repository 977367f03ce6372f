//! Logits as probabilities, values to rank by and losses.
//!
//! In: logits and truth. Out: checked [`Outputs`], column by column, and what is [`Told`]. Start at [`Outputs::new`].

use ndarray::{Array2, ArrayView2};

use super::{ScoreError, Truth};

/// The most samples scored: a ranking keeps their numbers in 28 bits.
const MOST: usize = 1 << 28;

/// What outputs are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// One class a sample.
    Classes,
    /// Any number of labels a sample.
    Labels,
}

/// What a network says of samples, and what is true of them.
pub(super) struct Outputs<'a> {
    /// What is true.
    pub truth: Truth<'a>,
    /// Number of samples.
    pub samples: usize,
    /// Number of classes or labels.
    pub columns: usize,
    /// What each column is ranked by, column by column: the larger, the more probable.
    values: Vec<f64>,
    /// The same as probabilities.
    probabilities: Vec<f64>,
    /// Cross-entropy of each sample, in nats; with several labels their mean.
    pub loss: Vec<f64>,
}

/// What is told of samples.
pub(super) enum Told {
    /// The class of each.
    Class(Vec<usize>),
    /// Whether each has each label, column by column.
    Labels(Vec<bool>),
}

impl<'a> Outputs<'a> {
    /// Checks logits and truth.
    pub(super) fn new(logits: ArrayView2<'_, f32>, truth: Truth<'a>) -> Result<Self, ScoreError> {
        let (samples, columns) = logits.dim();
        let (Truth::Classes(given) | Truth::Labels(given)) = truth;
        let (a_sample, bound) = match truth {
            Truth::Classes(_) => (1, columns),
            Truth::Labels(_) => (columns, 2),
        };
        if columns == 0 || given.len() != samples * a_sample {
            return Err(ScoreError::Shape {
                rows: samples,
                values: given.len(),
                outputs: columns,
            });
        }
        if samples == 0 {
            return Err(ScoreError::NoSamples);
        }
        if samples > MOST {
            return Err(ScoreError::TooMany { samples });
        }
        if let Some(at) = given.iter().position(|value| usize::from(*value) >= bound) {
            return Err(ScoreError::Truth {
                sample: at / a_sample,
                value: given[at],
                bound,
            });
        }
        if let Some(((sample, output), value)) = logits.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(ScoreError::NotFinite {
                sample,
                output,
                value: *value,
            });
        }
        Ok(match truth {
            Truth::Classes(classes) => Self::of_classes(logits, truth, classes),
            Truth::Labels(labels) => Self::of_labels(logits, truth, labels),
        })
    }

    fn of_classes(logits: ArrayView2<'_, f32>, truth: Truth<'a>, classes: &[u8]) -> Self {
        let log = log_softmax(logits);
        let loss = log.rows().into_iter().zip(classes);
        let values: Vec<f64> = log.t().iter().copied().collect();
        Self {
            truth,
            samples: log.nrows(),
            columns: log.ncols(),
            probabilities: values.iter().map(|value| libm::exp(*value)).collect(),
            loss: loss.map(|(row, class)| -row[usize::from(*class)]).collect(),
            values,
        }
    }

    fn of_labels(logits: ArrayView2<'_, f32>, truth: Truth<'a>, labels: &[u8]) -> Self {
        let (samples, columns) = logits.dim();
        let values: Vec<f64> = logits.t().iter().map(|value| f64::from(*value)).collect();
        let entropy = |(value, label): (&f32, &u8)| {
            // -y·ln σ(x) - (1 - y)·ln(1 - σ(x)) = max(x, 0) - x·y + ln(1 + e^-|x|)
            let value = f64::from(*value);
            value.max(0.0) - value * f64::from(*label) + libm::log1p(libm::exp(-value.abs()))
        };
        let rows = logits.rows().into_iter().zip(labels.chunks_exact(columns));
        let loss =
            rows.map(|(row, labels)| row.iter().zip(labels).map(entropy).sum::<f64>() / columns as f64);
        Self {
            truth,
            samples,
            columns,
            probabilities: values.iter().map(|value| sigmoid(*value)).collect(),
            loss: loss.collect(),
            values,
        }
    }

    /// What the outputs are about.
    pub(super) fn target(&self) -> Target {
        match self.truth {
            Truth::Classes(_) => Target::Classes,
            Truth::Labels(_) => Target::Labels,
        }
    }

    /// What to rank a class or label by.
    pub(super) fn values(&self, column: usize) -> &[f64] {
        &self.values[column * self.samples..(column + 1) * self.samples]
    }

    /// The probabilities of a class or label.
    pub(super) fn probabilities(&self, column: usize) -> &[f64] {
        &self.probabilities[column * self.samples..(column + 1) * self.samples]
    }

    /// Whether a sample is of the class or has the label.
    pub(super) fn is_positive(&self, sample: usize, column: usize) -> bool {
        match self.truth {
            Truth::Classes(classes) => usize::from(classes[sample]) == column,
            Truth::Labels(labels) => labels[sample * self.columns + column] == 1,
        }
    }

    /// The most probable class of a sample, the first of them on a tie as numpy's `argmax`.
    pub(super) fn most_probable(&self, sample: usize) -> usize {
        self.largest(|column| self.values(column)[sample])
    }

    /// The first of the columns for which `value` is largest.
    fn largest(&self, value: impl Fn(usize) -> f64) -> usize {
        let mut best = 0;
        for column in 1..self.columns {
            if value(column) > value(best) {
                best = column;
            }
        }
        best
    }

    /// What is told of each sample with these thresholds, or without any.
    pub(super) fn told(&self, thresholds: Option<&[f64]>) -> Result<Told, ScoreError> {
        if let Some(given) = thresholds {
            let valid = given
                .iter()
                .all(|threshold| *threshold > 0.0 && *threshold <= 1.0);
            if given.len() != self.columns || !valid {
                return Err(ScoreError::Thresholds {
                    given: given.to_vec(),
                    outputs: self.columns,
                });
            }
        }
        let class = |sample: usize| match thresholds {
            None => self.most_probable(sample),
            Some(thresholds) if self.columns == 2 => {
                usize::from(self.probabilities(1)[sample] >= thresholds[1])
            }
            Some(thresholds) => {
                self.largest(|column| self.probabilities(column)[sample] / thresholds[column])
            }
        };
        Ok(match self.target() {
            Target::Classes => Told::Class((0..self.samples).map(class).collect()),
            Target::Labels => {
                let column = |column: usize| {
                    // A logit of at least 0 is a probability of at least one half.
                    let (values, from) = match thresholds {
                        None => (self.values(column), 0.0),
                        Some(thresholds) => (self.probabilities(column), thresholds[column]),
                    };
                    values.iter().map(move |value| *value >= from)
                };
                Told::Labels((0..self.columns).flat_map(column).collect())
            }
        })
    }
}

impl Told {
    /// Whether a class or label is told of a sample, of so many.
    pub(super) fn is(&self, sample: usize, column: usize, samples: usize) -> bool {
        match self {
            Told::Class(classes) => classes[sample] == column,
            Told::Labels(labels) => labels[column * samples + sample],
        }
    }
}

/// The log-probabilities of a network's outputs: `(x - max) - ln Σ exp(x - max)` per row, in `f64`.
///
/// # Shapes
/// - `logits`: N × C, in any unit; returns the same shape, in nats
/// # Numerics
/// The largest is taken away first: rows that differ by a constant that needs no rounding give the same bits.
pub fn log_softmax(logits: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut out = logits.mapv(f64::from);
    for mut row in out.rows_mut() {
        let max = row.fold(f64::NEG_INFINITY, |max, &x| max.max(x));
        row -= max;
        let sum = libm::log(row.iter().map(|&x| libm::exp(x)).sum::<f64>());
        row -= sum;
    }
    out
}

/// `1 / (1 + e^-x)`, without an exponential that overflows.
fn sigmoid(x: f64) -> f64 {
    let small = libm::exp(-x.abs());
    if x >= 0.0 {
        1.0 / (1.0 + small)
    } else {
        small / (1.0 + small)
    }
}
