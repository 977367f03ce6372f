//! Losses: what is made small, and where it points from a batch's outputs.
//!
//! In: a recipe's [`Loss`], labels, outputs (logits) on the host. Out: their sum, and the gradient of their mean. Start at
//! [`Criterion::evaluate`]. Outputs are few (samples × classes), so all of it is computed in `f64` on one thread, in order.

use contract::{
    exit::JobExit,
    job::JobError,
    recipe::{ClassWeights, Loss, LossKind},
    training::Target,
};

/// A loss with everything it needs to know of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    target: Target,
    /// The focusing exponent; 0 is cross-entropy.
    gamma: f64,
    smoothing: f64,
    /// Of each class; of the positives of each label.
    weights: Vec<f64>,
}

/// A loss over some samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Total {
    /// Sum over samples, each times its weight.
    pub sum: f64,
    /// Sum of the samples' weights.
    pub weight: f64,
}

impl Total {
    /// The mean: 0 where all samples weigh nothing.
    pub fn mean(self) -> f64 {
        if self.weight == 0.0 {
            self.sum
        } else {
            self.sum / self.weight
        }
    }

    /// Adds other samples.
    pub fn add(&mut self, other: Total) {
        self.sum += other.sum;
        self.weight += other.weight;
    }
}

/// How many samples have each class or label, of how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Samples.
    pub samples: u64,
    /// Of each class or label.
    pub of_each: Vec<u64>,
}

impl Counts {
    /// Counts rows of labels: a class index each, or 0 and 1 for each of `outputs` labels.
    pub fn of<'a>(target: Target, outputs: usize, rows: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut counts = Self {
            samples: 0,
            of_each: vec![0; outputs],
        };
        for row in rows {
            counts.samples += 1;
            match target {
                Target::Classes => counts.of_each[usize::from(row[0])] += 1,
                Target::Labels => {
                    for (count, label) in counts.of_each.iter_mut().zip(row) {
                        *count += u64::from(*label);
                    }
                }
            }
        }
        counts
    }
}

impl Criterion {
    /// Plain cross-entropy (softmax), or binary cross-entropy with logits, over so many outputs.
    pub fn plain(target: Target, outputs: usize) -> Self {
        Self {
            target,
            gamma: 0.0,
            smoothing: 0.0,
            weights: vec![1.0; outputs],
        }
    }

    /// The loss of a recipe for a network with `outputs` outputs, on training samples that `counts` counts.
    ///
    /// # Errors
    /// `Usage` if the recipe gives weights for another number of classes.
    pub fn new(loss: &Loss, target: Target, outputs: usize, counts: &Counts) -> Result<Self, JobError> {
        let Loss {
            kind,
            smoothing,
            class_weights,
        } = loss;
        let weights = match class_weights {
            ClassWeights::Equal => vec![1.0; outputs],
            ClassWeights::Balanced => balanced(target, counts),
            ClassWeights::Given(weights) if weights.len() == outputs => weights.clone(),
            ClassWeights::Given(weights) => {
                let text = format!(
                    "the recipe gives {} class weights, the model has {outputs} outputs",
                    weights.len()
                );
                return Err(JobError::new(JobExit::Usage, text)
                    .help("give one weight for each class or label, in the order of the model's outputs"));
            }
        };
        Ok(Self {
            target,
            gamma: match kind {
                LossKind::CrossEntropy => 0.0,
                LossKind::Focal { gamma } => *gamma,
            },
            smoothing: *smoothing,
            weights,
        })
    }

    /// What labels are about.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The loss of a batch; writes the gradient of its mean to `gradient`, as long as `logits`.
    ///
    /// One class an image: with targets `q = (1-ε)·[true] + ε/C` and probabilities p by softmax, a sample's loss is
    /// `-Σ_c w_c·q_c·(1-p_c)^γ·ln p_c`, and the mean is `Σ loss / Σ w_true`. Several labels: with `q = (1-ε)·y + ε/2` and
    /// p by sigmoid, it is the mean over labels of `-w·q·(1-p)^γ·ln p - (1-q)·p^γ·ln(1-p)`, and the mean is over samples.
    /// A batch whose samples all weigh nothing has a loss and a gradient of 0 (PyTorch's is NaN).
    ///
    /// # Shapes
    /// - `logits`, `gradient`: N × C; `labels`: N class indices, or N × C of 0 and 1
    /// # Numerics
    /// `f64` with `libm`, samples in order; gradients are rounded to `f32` once. Logits that are not finite give a sum
    /// that is not.
    /// # Source
    /// PyTorch's `CrossEntropyLoss(weight, label_smoothing)` and `BCEWithLogitsLoss(pos_weight)`; Lin et al. 2017,
    /// arXiv:1708.02002, equation 4. Parity: `tests/parity/train/`
    pub fn evaluate(&self, logits: &[f32], labels: &[u8], gradient: Option<&mut [f32]>) -> Total {
        let outputs = self.weights.len();
        let columns = match self.target {
            Target::Classes => 1,
            Target::Labels => outputs,
        };
        assert_eq!(
            logits.len() * columns,
            labels.len() * outputs,
            "outputs and labels of other samples"
        );
        let rows = || logits.chunks_exact(outputs).zip(labels.chunks_exact(columns));
        let weight = match self.target {
            Target::Classes => rows()
                .map(|(_, labels)| self.weights[usize::from(labels[0])])
                .sum(),
            Target::Labels => (labels.len() / columns) as f64,
        };
        let mut slopes = vec![0.0; outputs];
        let mut sum = 0.0;
        match gradient {
            None => rows().for_each(|(logits, labels)| sum += self.sample(logits, labels, &mut slopes)),
            Some(gradient) => {
                assert_eq!(gradient.len(), logits.len(), "a gradient of other outputs");
                for ((logits, labels), gradient) in rows().zip(gradient.chunks_exact_mut(outputs)) {
                    sum += self.sample(logits, labels, &mut slopes);
                    for (gradient, slope) in gradient.iter_mut().zip(&slopes) {
                        *gradient = if weight == 0.0 {
                            0.0
                        } else {
                            (slope / weight) as f32
                        };
                    }
                }
            }
        }
        if weight == 0.0 && sum.is_finite() {
            sum = 0.0;
        }
        Total { sum, weight }
    }

    /// The loss of one sample; its slope along each output goes to `slopes`.
    fn sample(&self, logits: &[f32], labels: &[u8], slopes: &mut [f64]) -> f64 {
        if logits.iter().any(|logit| !logit.is_finite()) {
            slopes.fill(f64::NAN);
            return f64::NAN;
        }
        match self.target {
            Target::Classes => self.softmax(logits, usize::from(labels[0]), slopes),
            Target::Labels => self.sigmoid(logits, labels, slopes),
        }
    }

    fn softmax(&self, logits: &[f32], truth: usize, slopes: &mut [f64]) -> f64 {
        let classes = logits.len() as f64;
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let above = |logit: f32| f64::from(logit) - f64::from(most);
        let sum: f64 = logits.iter().map(|logit| libm::exp(above(*logit))).sum();
        let (mut loss, mut drift) = (0.0, 0.0);
        for (class, logit) in logits.iter().enumerate() {
            let smooth = self.smoothing / classes;
            let target = if class == truth {
                1.0 - self.smoothing + smooth
            } else {
                smooth
            };
            let share = self.weights[class] * target;
            // The slope of share·φ along ln p, gathered below by the softmax's own slopes.
            slopes[class] = 0.0;
            if share > 0.0 {
                let own = libm::exp(above(*logit));
                // The difference would lose a small rest; at most one class is so probable.
                let others = if own > 0.5 * sum {
                    let others = logits.iter().enumerate().filter(|(other, _)| *other != class);
                    others.map(|(_, logit)| libm::exp(above(*logit))).sum()
                } else {
                    sum - own
                };
                let point = Focus {
                    p: own / sum,
                    rest: others / sum,
                    ln_p: ln_share(above(*logit), others, sum),
                };
                loss += share * point.loss(self.gamma);
                slopes[class] = share * point.slope(self.gamma);
                drift += slopes[class];
            }
        }
        for (slope, logit) in slopes.iter_mut().zip(logits) {
            *slope -= libm::exp(above(*logit)) / sum * drift;
        }
        loss
    }

    fn sigmoid(&self, logits: &[f32], labels: &[u8], slopes: &mut [f64]) -> f64 {
        let outputs = logits.len() as f64;
        let mut loss = 0.0;
        for (at, logit) in logits.iter().enumerate() {
            let target = (1.0 - self.smoothing) * f64::from(labels[at]) + self.smoothing / 2.0;
            let (positive, negative) = both(f64::from(*logit));
            let (present, missing) = (self.weights[at] * target, 1.0 - target);
            let mut slope = 0.0;
            // A share of 0 counts for nothing, whatever it multiplies.
            if present > 0.0 {
                loss += present * positive.loss(self.gamma) / outputs;
                slope += present * positive.slope(self.gamma) * positive.rest;
            }
            if missing > 0.0 {
                loss += missing * negative.loss(self.gamma) / outputs;
                slope -= missing * negative.slope(self.gamma) * negative.rest;
            }
            slopes[at] = slope / outputs;
        }
        loss
    }
}

/// `n/(k·n_c)` for class c of k; negatives over positives for a label; 1 for what is not there.
fn balanced(target: Target, counts: &Counts) -> Vec<f64> {
    let Counts { samples, of_each } = counts;
    let classes = of_each.len() as f64;
    let weight = |count: &u64| match (target, *count) {
        (_, 0) => 1.0,
        (Target::Classes, count) => *samples as f64 / (classes * count as f64),
        (Target::Labels, count) => (samples - count) as f64 / count as f64,
    };
    of_each.iter().map(weight).collect()
}

/// `ln(e^above / sum)`, where `sum = e^above + others`: exact for probabilities near 1 too.
fn ln_share(above: f64, others: f64, sum: f64) -> f64 {
    if above == 0.0 {
        -libm::log1p(others)
    } else {
        above - libm::log(sum)
    }
}

/// The probability of what is true, and what it leaves.
struct Focus {
    p: f64,
    /// `1 - p`, without the rounding of p.
    rest: f64,
    ln_p: f64,
}

impl Focus {
    /// `-(1-p)^γ·ln p`.
    fn loss(&self, gamma: f64) -> f64 {
        -self.factor(gamma) * self.ln_p
    }

    /// The derivative of [`Focus::loss`] by `ln p`: `γ·p·(1-p)^(γ-1)·ln p - (1-p)^γ`.
    fn slope(&self, gamma: f64) -> f64 {
        // ln p / (1-p) goes to -1 where p goes to 1.
        let ratio = if self.rest > 0.0 {
            self.ln_p / self.rest
        } else {
            -1.0
        };
        let bend = if gamma == 0.0 { 0.0 } else { gamma * self.p * ratio };
        self.factor(gamma) * (bend - 1.0)
    }

    fn factor(&self, gamma: f64) -> f64 {
        if gamma == 0.0 {
            1.0
        } else {
            libm::pow(self.rest, gamma)
        }
    }
}

/// The sigmoid of a logit and of its negative.
fn both(logit: f64) -> (Focus, Focus) {
    let small = libm::exp(-logit.abs());
    let (larger, smaller) = (1.0 / (1.0 + small), small / (1.0 + small));
    let ln_larger = -libm::log1p(small);
    let ln_smaller = ln_larger - logit.abs();
    let (p, rest, ln_p, ln_rest) = if logit >= 0.0 {
        (larger, smaller, ln_larger, ln_smaller)
    } else {
        (smaller, larger, ln_smaller, ln_larger)
    };
    (
        Focus { p, rest, ln_p },
        Focus {
            p: rest,
            rest: p,
            ln_p: ln_rest,
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn criterion(target: Target, gamma: f64, smoothing: f64, weights: &[f64]) -> Criterion {
        Criterion {
            target,
            gamma,
            smoothing,
            weights: weights.to_vec(),
        }
    }

    #[test]
    fn balanced_weights_are_counted_and_what_is_not_there_weighs_one() {
        let rows: [&[u8]; 4] = [&[0], &[0], &[0], &[2]];
        let counts = Counts::of(Target::Classes, 3, rows.into_iter());
        assert_eq!(balanced(Target::Classes, &counts), [4.0 / 9.0, 1.0, 4.0 / 3.0]);
        let rows: [&[u8]; 4] = [&[1, 0, 1], &[0, 0, 1], &[0, 0, 1], &[0, 0, 1]];
        let counts = Counts::of(Target::Labels, 3, rows.into_iter());
        // Three negatives to a positive; no positives; no negatives.
        assert_eq!(balanced(Target::Labels, &counts), [3.0, 1.0, 0.0]);
    }

    #[test]
    fn samples_that_weigh_nothing_pull_nowhere() {
        let criterion = criterion(Target::Classes, 0.0, 0.1, &[0.0, 1.0]);
        let mut gradient = [7.0; 4];
        let total = criterion.evaluate(&[0.3, 0.1, 2.0, -1.0], &[0, 0], Some(&mut gradient));
        assert_eq!((total.mean(), gradient), (0.0, [0.0; 4]));
    }

    #[test]
    fn outputs_that_are_no_numbers_give_a_loss_that_is_none() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (target, labels) in [(Target::Classes, &[0][..]), (Target::Labels, &[0, 1, 1])] {
                let criterion = criterion(target, 2.0, 0.0, &[1.0, 1.0, 0.0]);
                let total = criterion.evaluate(&[0.0, bad, 1.0], labels, None);
                assert!(!total.mean().is_finite(), "{target} {bad}: {total:?}");
            }
        }
    }

    proptest! {
        /// Central differences of the mean agree with the gradient, for every loss.
        #[test]
        fn the_gradient_is_the_slope_of_the_mean(
            several: bool,
            gamma in prop_oneof![Just(0.0), 0.2..4.0_f64],
            smoothing in prop_oneof![Just(0.0), 0.01..0.9_f64],
            weights in prop::collection::vec(0.1..3.0_f64, 3),
            logits in prop::collection::vec(-4.0..4.0_f32, 6),
            labels in prop::collection::vec(0_u8..2, 6),
        ) {
            let target = if several { Target::Labels } else { Target::Classes };
            let labels = if several { &labels[..] } else { &labels[..2] };
            let criterion = criterion(target, gamma, smoothing, &weights);
            let mut gradient = [0.0; 6];
            criterion.evaluate(&logits, labels, Some(&mut gradient));
            for at in 0..6 {
                let moved = |by: f32| {
                    let mut logits = logits.clone();
                    logits[at] += by;
                    (f64::from(logits[at]), criterion.evaluate(&logits, labels, None).mean())
                };
                let ((low, before), (high, after)) = (moved(-1e-2), moved(1e-2));
                let slope = (after - before) / (high - low);
                prop_assert!((slope - f64::from(gradient[at])).abs() < 1e-4, "{at}: {slope} {gradient:?}");
            }
        }
    }
}
