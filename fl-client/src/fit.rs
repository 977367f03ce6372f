//! Training on this machine: epochs of shuffled batches, cross-entropy, one optimiser step a batch.
//!
//! In: a model, its weights, samples, a [`Course`]. Out: changed weights and the loss of every epoch. Start at [`fit`].
//! The same arguments give the same bits, whatever the number of threads.

use burn::tensor::{Tensor, activation::log_softmax};
use contract::{exit::JobExit, ids::Seed, job::JobError, training::Optimizer};
use kernels::random::Random;

use crate::{
    batches::{Batch, Samples},
    model::{LoneValue, Mode, Model, Pass, Weights},
    optim::{Descent, NotFinite},
};

/// How training goes.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Passes over the samples.
    pub epochs: u32,
    /// Samples per step; the last step of an epoch takes what is left.
    pub batch_size: u32,
    /// How weights follow gradients; its state starts anew.
    pub optimizer: Optimizer,
    /// Seed of the sample order; every epoch draws its own.
    pub seed: Seed,
}

impl Course {
    /// Steps taken over so many samples.
    pub fn steps(&self, samples: usize) -> u64 {
        u64::from(self.epochs) * (samples as u64).div_ceil(u64::from(self.batch_size.max(1)))
    }
}

/// Trains and returns the mean loss per sample of every epoch, measured while the weights moved.
///
/// # Errors
/// `NotFinite` naming the epoch and step; `DataUnfit` if there are no samples or a batch is too small to normalise;
/// `Usage` if no epochs or empty batches are asked for.
pub fn fit(
    model: &Model,
    weights: &mut Weights,
    samples: &Samples<'_>,
    course: Course,
) -> Result<Vec<f64>, JobError> {
    let Course {
        epochs,
        batch_size,
        optimizer,
        seed,
    } = course;
    if epochs == 0 || batch_size == 0 {
        let text = format!("cannot train for {epochs} epochs in batches of {batch_size}");
        return Err(
            JobError::new(JobExit::Usage, text).help("give at least 1 for `--epochs` and `--batch-size`")
        );
    }
    if samples.is_empty() {
        return Err(JobError::new(
            JobExit::DataUnfit,
            "there are no samples to train on",
        ));
    }
    let mut descent = Descent::new(optimizer);
    let mut losses = Vec::new();
    for epoch in 1..=epochs {
        let order = Random::new(seed.derive(&format!("order of epoch {epoch}")).0).permutation(samples.len());
        let mut total = 0.0;
        for (step, indices) in (1..).zip(order.chunks(batch_size as usize)) {
            let loss = take_step(model, weights, samples.batch(indices), &mut descent)
                .map_err(|trouble| trouble.into_error(model, epoch, step))?;
            total += loss * indices.len() as f64;
        }
        losses.push(total / samples.len() as f64);
    }
    Ok(losses)
}

/// Why a step could not be taken.
#[derive(Debug)]
pub enum Trouble {
    /// The loss is NaN or infinite.
    Loss(f64),
    /// A weight became NaN or infinite.
    Weight(NotFinite),
    /// The batch is too small to normalise.
    Batch(LoneValue),
}

impl Trouble {
    fn into_error(self, model: &Model, epoch: u32, step: usize) -> JobError {
        let at = format!("in step {step} of epoch {epoch}");
        let diverged = |text: String| {
            JobError::new(JobExit::NotFinite, text)
                .help("lower the learning rate, or check the shard's pixel values")
        };
        match self {
            Trouble::Loss(loss) => diverged(format!("the loss is {loss} {at}")),
            Trouble::Weight(NotFinite { tensor }) => diverged(format!(
                "`{}` became NaN or infinite {at}",
                model.tensors()[tensor].name
            )),
            Trouble::Batch(error) => JobError::new(JobExit::DataUnfit, format!("{error} ({at})"))
                .help("choose a batch size that does not leave one sample over, or larger images"),
        }
    }
}

/// One batch forward and backward and one step of the optimiser; returns the mean loss of the batch.
///
/// # Errors
/// [`Trouble`]; the weights may have changed then.
pub fn take_step(
    model: &Model,
    weights: &mut Weights,
    batch: Batch,
    descent: &mut Descent,
) -> Result<f64, Trouble> {
    let Batch {
        pixels,
        shape,
        labels,
    } = batch;
    let mut pass = Pass::new(model, weights, Mode::Training);
    let images = pass.input(pixels, shape);
    let logits = model.forward(&mut pass, images).map_err(Trouble::Batch)?;
    let loss = cross_entropy(&pass, logits, &labels);
    let value = f64::from(loss.clone().into_scalar::<f32>());
    if !value.is_finite() {
        return Err(Trouble::Loss(value));
    }
    let result = pass.finish(&loss);
    descent.step(weights, &result).map_err(Trouble::Weight)?;
    weights.follow(&result);
    Ok(value)
}

/// `-1/N Σ_i ln softmax(logits_i)[label_i]`, as PyTorch's `cross_entropy`.
fn cross_entropy(pass: &Pass, logits: Tensor<2>, labels: &[u8]) -> Tensor<1> {
    let [batch, classes] = logits.dims();
    let mut weight = vec![0.0; batch * classes];
    for (row, label) in weight.chunks_exact_mut(classes).zip(labels) {
        row[usize::from(*label)] = -1.0 / batch as f32;
    }
    (log_softmax(logits, 1) * pass.input(weight, [batch, classes])).sum()
}
