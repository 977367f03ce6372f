//! DP-SGD: steps that tell little of any one sample.
//!
//! In: a step's samples, drawn by chance. Out: the mean of their bounded gradients, with noise; what all steps so far
//! promise. Start at [`Privately::take`] and [`spent`].
//!
//! The promise is against whoever sees updates and does not know the specification's seed: sampling and noise are drawn
//! from it, so that a job run again gives the same bytes. Who knows the seed can draw both again and take the noise off.
//! Losses, sample counts and personal files are not covered by it.

use contract::{exit::JobExit, ids::Seed, job::JobError, metrics::SamplePrivacySpent, recipe::LocalPrivacy};
use kernels::{
    privacy::{Accountant, Noise, PrivacyError, add_noise},
    random::Random,
};
use rayon::prelude::*;

use super::own::norms;
use crate::{
    batches::Batch,
    fit::{
        Adjust, Course,
        loss::Total,
        step::{At, Stepper, Trouble, norm},
    },
    model::{Frozen, Model, Role, StepResult, Weights},
    optim::Descent,
};

/// Values one task adds noise to.
const CHUNK: usize = 1 << 14;

/// Per tensor: its place among the model's, and a sum for each of its values.
type Sums = Vec<(usize, Vec<f64>)>;

/// How a training's steps are taken.
#[derive(Debug, Clone)]
pub struct Privately {
    norm: f64,
    noise_multiplier: f64,
    /// Probability with which a step takes a sample.
    share: f64,
    /// Steps of an epoch.
    steps: usize,
    /// Samples a step takes on average.
    expected: f64,
    seed: Seed,
}

/// The probability with which a step takes each of `samples` samples: `batch_size / samples`, at most 1.
pub fn sampling_share(batch_size: u32, samples: u64) -> f64 {
    (f64::from(batch_size) / samples as f64).min(1.0)
}

impl Privately {
    /// For a training on so many samples.
    ///
    /// # Errors
    /// `Usage` if a normalisation layer would be trained: its statistics mix samples.
    pub fn new(
        rule: &LocalPrivacy,
        (model, frozen): (&Model, &Frozen),
        course: &Course<'_>,
        samples: usize,
    ) -> Result<Self, JobError> {
        let mixed = norms(model).into_iter().zip(model.tensors()).enumerate();
        let mut mixed = mixed.filter(|(place, (is_norm, spec))| {
            *is_norm && spec.role == Role::Trained && !frozen.contains(*place)
        });
        if let Some((_, (_, spec))) = mixed.next() {
            let text = format!(
                "`privacy` bounds each sample's gradient, and the normalisation layer of `{}` mixes samples",
                spec.name
            );
            return Err(JobError::new(JobExit::Usage, text).help(
                "freeze the weights and biases of every normalisation layer, or choose a network without, such as small_cnn",
            ));
        }
        let batch_size = course.recipe.batch_size;
        let share = sampling_share(batch_size, samples as u64);
        Ok(Self {
            norm: rule.norm,
            noise_multiplier: rule.noise_multiplier,
            share,
            steps: samples.div_ceil(batch_size as usize),
            expected: share * samples as f64,
            seed: course.seed,
        })
    }

    /// The samples of each step of an epoch: every one of `training` with the same probability, whatever the others'
    /// (Poisson sampling). A step may take none.
    pub fn batches(&self, epoch: u32, training: &[usize]) -> Vec<Vec<usize>> {
        let mut random = Random::new(self.seed.derive(&format!("samples of epoch {epoch}")).0);
        let mut draw = || {
            let taken = training.iter().filter(|_| random.uniform() < self.share);
            taken.copied().collect()
        };
        (0..self.steps).map(|_| draw()).collect()
    }

    /// One step along `(Σ_i g_i·min(1, C/‖g_i‖) + z·C·N(0, 1)) / L`, with L the samples a step takes on average.
    ///
    /// A sample's gradient g_i is of its loss times its class's weight: the weighted mean's divisor would tell of the other
    /// samples. What methods add, clipping of the whole and the optimiser come after the noise and cost no privacy.
    ///
    /// # Numerics
    /// Samples one after another; sums and noise in `f64`, rounded to `f32` once: no dependence on thread count. The noise
    /// is [`Noise`] of the job's seed, the step and the tensor.
    /// # Errors
    /// [`Trouble`]; the weights may have changed then.
    /// # Source
    /// Abadi et al. 2016, arXiv:1607.00133, algorithm 1
    pub fn take(
        &self,
        stepper: &Stepper<'_>,
        at: At,
        weights: &mut Weights,
        batch: Batch,
        descent: &mut Descent,
        adjust: &mut dyn Adjust,
    ) -> Result<Total, Trouble> {
        let (total, mut sums) = self.sum(stepper, weights, batch)?;
        let number = u64::from(at.epoch - 1) * self.steps as u64 + at.step as u64;
        let deviation = self.noise_multiplier * self.norm;
        let mut gradients = Vec::with_capacity(sums.len());
        for (place, sum) in &mut sums {
            let noise = Noise::new(self.seed.0, "gradient", number, *place as u64);
            let parts = sum.par_chunks_mut(CHUNK).enumerate();
            parts.for_each(|(part, values)| add_noise(&noise, (part * CHUNK) as u64, deviation, values));
            let mean = sum.iter().map(|value| (value / self.expected) as f32);
            gradients.push((*place, mean.collect()));
        }
        stepper.follow(weights, StepResult::of(gradients), descent, adjust)?;
        Ok(total)
    }

    /// The sum of the samples' bounded gradients, by place of the tensor.
    fn sum(&self, stepper: &Stepper<'_>, weights: &Weights, batch: Batch) -> Result<(Total, Sums), Trouble> {
        let specs = stepper.model.tensors().iter().enumerate();
        let mut sums: Sums = specs
            .filter(|(place, spec)| spec.role == Role::Trained && !stepper.frozen.contains(*place))
            .map(|(place, spec)| (place, vec![0.0; spec.len()]))
            .collect();
        let mut total = Total::default();
        for sample in singles(batch) {
            let (one, result) = stepper.gradient(weights, sample)?;
            // The gradient is that of the mean over one sample: its weight has cancelled out.
            let length = norm(&result) * one.weight;
            if !length.is_finite() {
                return Err(Trouble::Gradient(length));
            }
            let scale = one.weight * (self.norm / length).min(1.0);
            for ((_, sum), (_, gradient)) in sums.iter_mut().zip(result.gradients()) {
                let parts = sum.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
                parts.for_each(|(sum, gradient)| {
                    for (sum, value) in sum.iter_mut().zip(gradient) {
                        *sum += scale * f64::from(*value);
                    }
                });
            }
            total.add(one);
        }
        Ok((total, sums))
    }
}

/// The samples of a batch, each as a batch of its own.
fn singles(batch: Batch) -> impl Iterator<Item = Batch> {
    let Batch {
        pixels,
        shape,
        labels,
    } = batch;
    let (samples, values) = (shape[0], shape[1..].iter().product::<usize>());
    let columns = labels.len().checked_div(samples).unwrap_or(0);
    (0..samples).map(move |sample| Batch {
        pixels: pixels[sample * values..(sample + 1) * values].to_vec(),
        shape: [1, shape[1], shape[2], shape[3]],
        labels: labels[sample * columns..(sample + 1) * columns].to_vec(),
    })
}

/// What `steps` steps so far promise to each sample.
///
/// # Errors
/// `Usage` if the noise is so small that nothing is promised.
pub fn spent(rule: &LocalPrivacy, share: f64, steps: u64) -> Result<SamplePrivacySpent, JobError> {
    let LocalPrivacy {
        norm,
        noise_multiplier,
        delta,
    } = *rule;
    let usage = |error: PrivacyError| JobError::new(JobExit::Usage, error.to_string());
    let accountant = Accountant::sampled(noise_multiplier, share).map_err(usage)?;
    let epsilon = accountant.epsilon(steps, delta).map_err(usage)?.epsilon;
    if !epsilon.is_finite() {
        let text = format!("a noise multiplier of {noise_multiplier} promises nothing over {steps} steps");
        return Err(JobError::new(JobExit::Usage, text).help("give more noise (`noise_multiplier`)"));
    }
    Ok(SamplePrivacySpent {
        epsilon,
        delta,
        noise_multiplier,
        norm,
        steps,
    })
}
