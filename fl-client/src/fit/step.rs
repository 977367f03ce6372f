//! One step: a batch forward and backward, its gradient changed and bounded, the weights moved.
//!
//! In: weights, a batch, an optimiser. Out: changed weights and the batch's loss. Start at [`Stepper::take`].

use contract::{exit::JobExit, job::JobError, recipe::Precision};
use rayon::prelude::*;

use super::loss::{Criterion, Total};
use crate::{
    allocator,
    batches::Batch,
    model::{Frozen, LoneValue, Mode, Model, Pass, StepResult, Weights},
    optim::{Descent, NotFinite},
    pieces::Piece,
};

/// Values whose squares one task adds.
const CHUNK: usize = 1 << 15;

/// What a method does to a step's gradients before they are clipped and the optimiser follows them.
pub trait Adjust {
    /// Changes the gradients in `result`, of a loss at `weights`.
    fn adjust(&mut self, weights: &Weights, result: &mut StepResult);

    /// What it remembers from step to step, for an interrupted job to go on from; names start with `method.`.
    fn memory(&self) -> Vec<Piece> {
        Vec::new()
    }

    /// Takes what [`Adjust::memory`] gave before the interruption; whatever lacks is an error in words.
    ///
    /// # Errors
    /// What is missing or wrong.
    fn recall(&mut self, _file: &safetensors::SafeTensors<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// Nothing.
impl Adjust for () {
    fn adjust(&mut self, _: &Weights, _: &mut StepResult) {}
}

/// What is the same in every step.
pub struct Stepper<'a> {
    /// The network.
    pub model: &'a Model,
    /// What is made small.
    pub criterion: &'a Criterion,
    /// Tensors that stay as they are.
    pub frozen: &'a Frozen,
    /// Largest norm of the gradient.
    pub clip_norm: Option<f64>,
    /// What convolutions are computed in.
    pub precision: Precision,
}

/// Why a step could not be taken.
#[derive(Debug)]
pub enum Trouble {
    /// The loss is NaN or infinite.
    Loss(f64),
    /// The norm of the gradient is NaN or infinite.
    Gradient(f64),
    /// A weight became NaN or infinite.
    Weight(NotFinite),
    /// The batch is too small to normalise.
    Batch(LoneValue),
}

impl Stepper<'_> {
    /// Takes one step and returns the loss of the batch, at the weights before the step.
    ///
    /// # Errors
    /// [`Trouble`]; the weights may have changed then.
    pub fn take(
        &self,
        weights: &mut Weights,
        batch: Batch,
        descent: &mut Descent,
        adjust: &mut dyn Adjust,
    ) -> Result<Total, Trouble> {
        let (total, result) = self.gradient(weights, batch)?;
        self.follow(weights, result, descent, adjust)?;
        Ok(total)
    }

    /// The loss of a batch and its gradient.
    ///
    /// # Errors
    /// [`Trouble::Loss`] and [`Trouble::Batch`].
    pub fn gradient(&self, weights: &Weights, batch: Batch) -> Result<(Total, StepResult), Trouble> {
        let Batch {
            pixels,
            shape,
            labels,
        } = batch;
        let mut pass =
            Pass::new(self.model, weights, Mode::Training, self.frozen).in_precision(self.precision);
        let images = pass.input(pixels, shape);
        let logits = self.model.forward(&mut pass, images).map_err(Trouble::Batch)?;
        let dims = logits.dims();
        let values: Vec<f32> = logits
            .clone()
            .into_data()
            .try_into_vec()
            .expect("outputs are f32 like the weights");
        let mut slopes = vec![0.0; values.len()];
        let total = self.criterion.evaluate(&values, &labels, Some(&mut slopes));
        if !total.mean().is_finite() {
            return Err(Trouble::Loss(total.mean()));
        }
        // The gradient of Σ slope·logit along the logits is the slopes themselves: the loss need not be in the graph.
        let pulled = (logits * pass.input(slopes, dims)).sum();
        Ok((total, pass.finish(&pulled)))
    }

    /// Moves the weights along a gradient that the method may change.
    ///
    /// # Errors
    /// [`Trouble::Gradient`] and [`Trouble::Weight`]; the weights may have changed then.
    pub fn follow(
        &self,
        weights: &mut Weights,
        mut result: StepResult,
        descent: &mut Descent,
        adjust: &mut dyn Adjust,
    ) -> Result<(), Trouble> {
        adjust.adjust(weights, &mut result);
        if let Some(most) = self.clip_norm {
            clip(&mut result, most).map_err(Trouble::Gradient)?;
        }
        descent.step(weights, &result).map_err(Trouble::Weight)?;
        weights.follow(&result);
        drop(result);
        allocator::step_over();
        Ok(())
    }
}

/// The L2 norm of all gradients together.
///
/// # Numerics
/// `f64` in fixed pieces and a fixed order: no dependence on thread count.
pub fn norm(result: &StepResult) -> f64 {
    let square = |values: &[f32]| -> f64 {
        let pieces: Vec<f64> = values
            .par_chunks(CHUNK)
            .map(|piece| {
                piece
                    .iter()
                    .map(|value| f64::from(*value) * f64::from(*value))
                    .sum()
            })
            .collect();
        pieces.iter().sum()
    };
    result
        .gradients()
        .map(|(_, values)| square(values))
        .sum::<f64>()
        .sqrt()
}

/// Scales all gradients down so that their norm is at most `most`; returns the norm before, or that norm as the error if
/// it is no number.
///
/// # Source
/// PyTorch's `clip_grad_norm_`: scaled by `most / (norm + 1e-6)` where that is below 1. Parity: `tests/parity/train/`
pub fn clip(result: &mut StepResult, most: f64) -> Result<f64, f64> {
    let norm = norm(result);
    if !norm.is_finite() {
        return Err(norm);
    }
    let scale = most / (norm + 1e-6);
    if scale < 1.0 {
        let scale = scale as f32;
        for (_, values) in result.gradients_mut() {
            values
                .par_chunks_mut(CHUNK)
                .for_each(|piece| piece.iter_mut().for_each(|value| *value *= scale));
        }
    }
    Ok(norm)
}

/// Where in training something happened, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The epoch.
    pub epoch: u32,
    /// The step in the epoch.
    pub step: usize,
}

impl At {
    /// The step before, where an epoch has `steps`.
    pub fn before(self, steps: usize) -> Option<At> {
        match (self.epoch, self.step) {
            (0 | 1, 0 | 1) => None,
            (epoch, 0 | 1) => Some(At {
                epoch: epoch - 1,
                step: steps,
            }),
            (epoch, step) => Some(At {
                epoch,
                step: step - 1,
            }),
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "step {} of epoch {}", self.step, self.epoch)
    }
}

impl Trouble {
    /// The error of a job whose step `at` it happened in, after the step `before`.
    pub fn into_error(self, model: &Model, at: At, before: Option<At>) -> JobError {
        let good = match before {
            Some(before) => format!("the last good step was {before}"),
            None => "it was the first step".to_owned(),
        };
        let diverged = |text: String| {
            JobError::new(JobExit::NotFinite, format!("{text} in {at}; {good}"))
                .help("lower the learning rate, clip gradients, or check the shard's pixel values")
        };
        match self {
            Trouble::Loss(loss) => diverged(format!("the loss is {loss}")),
            Trouble::Gradient(norm) => diverged(format!("the norm of the gradient is {norm}")),
            Trouble::Weight(NotFinite { tensor }) => diverged(format!(
                "`{}` became NaN or infinite",
                model.tensors()[tensor].name
            )),
            Trouble::Batch(error) => JobError::new(JobExit::DataUnfit, format!("{error} (in {at})"))
                .help("choose a batch size that does not leave one sample over, or larger images"),
        }
    }
}
