//! One way through a network: weights as tensors, and what the way leaves behind.

use burn::tensor::{Device, Tensor, TensorData, Transaction};
use contract::recipe::Precision;

use super::{Frozen, Model, Role, TensorSpec, Weights, layers::NORM_MOMENTUM, schema::Slot, weights::Values};
use crate::ops::{ConvOptions, Slide};

/// Whether gradients and batch statistics are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Normalisation by the batch; gradients are recorded.
    Training,
    /// Normalisation by the running statistics; nothing is recorded.
    Evaluation,
}

/// A normalisation layer saw one value per channel, whose variance says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{layer}` normalises over a single value per channel: a batch of one image, one pixel in size at that depth"
)]
pub struct LoneValue {
    /// The layer.
    pub layer: String,
}

/// Statistics of one batch in one normalisation layer, on the device or (`Vec<f32>`) on the host, and where they belong.
pub(super) struct BatchStatistics<V = Tensor<1>> {
    pub(super) running_mean: Slot,
    pub(super) running_var: Slot,
    pub(super) num_batches_tracked: Slot,
    pub(super) mean: V,
    /// Biased: divided by the count.
    pub(super) variance: V,
    /// Values per channel, at least 2.
    pub(super) count: usize,
}

/// Weights as tensors on a device, for one training step or any number of evaluations.
pub struct Pass {
    mode: Mode,
    device: Device,
    /// One flat tensor per spec, none for counters, with the shape it has in the network.
    tensors: Vec<Option<(Tensor<1>, Vec<usize>)>>,
    trained: Vec<Slot>,
    frozen: Frozen,
    precision: Precision,
    statistics: Vec<BatchStatistics>,
}

/// The gradient of every trained tensor that is not frozen, and the batch statistics: what a step changes weights with.
pub struct StepResult {
    gradients: Vec<(Slot, Vec<f32>)>,
    statistics: Vec<BatchStatistics<Vec<f32>>>,
}

impl Pass {
    /// Copies `weights` of `model` to where it computes, as tensors; training records no gradients of `frozen` ones.
    pub fn new(model: &Model, weights: &Weights, mode: Mode, frozen: &Frozen) -> Self {
        let device = model.place().device().clone();
        let device = match mode {
            Mode::Training => device.autodiff(),
            Mode::Evaluation => device,
        };
        let lift = |values: &Values, trained: bool| {
            let Values::Real(values) = values else { return None };
            let tensor = Tensor::<1>::from_data(TensorData::new(values.clone(), [values.len()]), &device);
            Some(if trained && mode == Mode::Training {
                tensor.require_grad()
            } else {
                tensor
            })
        };
        let specs = || model.tensors().iter();
        let follows = |index: usize, spec: &TensorSpec| spec.role == Role::Trained && !frozen.contains(index);
        let tensors = specs()
            .enumerate()
            .zip(weights.values())
            .map(|((index, spec), values)| Some((lift(values, follows(index, spec))?, spec.shape.clone())))
            .collect();
        let trained = specs().enumerate().filter(|(index, spec)| follows(*index, spec));
        let trained = trained.map(|(index, _)| Slot(index)).collect();
        Self {
            mode,
            device,
            tensors,
            trained,
            frozen: frozen.clone(),
            precision: Precision::F32,
            statistics: Vec::new(),
        }
    }

    /// Computes convolutions in `precision`; in full precision if never called.
    pub fn in_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// How a convolution of this pass computes whose kernel moves by `slide`.
    pub(super) fn conv_options(&self, slide: Slide) -> ConvOptions {
        ConvOptions {
            slide,
            precision: self.precision,
        }
    }

    /// Whether this is training or evaluation.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A tensor of values in row-major order on the device of this pass.
    pub fn input<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// A weight in its shape.
    pub(super) fn tensor<const D: usize>(&self, slot: Slot) -> Tensor<D> {
        let (tensor, shape) = self.tensors[slot.0]
            .as_ref()
            .expect("layers compute with real tensors only");
        let shape: [usize; D] = shape
            .as_slice()
            .try_into()
            .expect("a layer asks for the rank it declared");
        tensor.clone().reshape(shape)
    }

    /// Whether training leaves a weight as it is.
    pub(super) fn is_frozen(&self, slot: Slot) -> bool {
        self.frozen.contains(slot.0)
    }

    /// Keeps statistics for [`Weights::follow`].
    pub(super) fn record(&mut self, statistics: BatchStatistics) {
        self.statistics.push(statistics);
    }

    /// Runs backward from `loss`, a single value computed in this pass, and takes all that comes of it to the host at once.
    pub fn finish(self, loss: &Tensor<1>) -> StepResult {
        let mut all = loss.backward();
        let gradient = |slot: &Slot| {
            let leaf = self.tensors[slot.0].as_ref().map(|(tensor, _)| tensor);
            let gradient = leaf.and_then(|tensor| tensor.grad_remove(&mut all));
            gradient.expect("every trained tensor takes part in the loss")
        };
        let gradients: Vec<Tensor<1>> = self.trained.iter().map(gradient).collect();
        let statistics = self.statistics.iter();
        let statistics = statistics.flat_map(|batch| [batch.mean.clone(), batch.variance.clone()]);
        let mut read = read(gradients.into_iter().chain(statistics)).into_iter();
        let mut next = || read.next().expect("as many are read as were asked for");
        let gradients = self.trained.into_iter().map(|slot| (slot, next())).collect();
        let host = |batch: BatchStatistics| BatchStatistics {
            running_mean: batch.running_mean,
            running_var: batch.running_var,
            num_batches_tracked: batch.num_batches_tracked,
            mean: next(),
            variance: next(),
            count: batch.count,
        };
        StepResult {
            gradients,
            statistics: self.statistics.into_iter().map(host).collect(),
        }
    }
}

/// The values of tensors on one device, waiting for it once.
fn read(tensors: impl Iterator<Item = Tensor<1>>) -> Vec<Vec<f32>> {
    let all = tensors
        .map(Tensor::without_autodiff)
        .fold(Transaction::default(), Transaction::register);
    let values = |data: TensorData| data.try_into_vec().expect("networks compute in f32");
    all.execute().into_iter().map(values).collect()
}

impl StepResult {
    /// Gradients by place of the tensor, computed elsewhere; no batch statistics.
    pub fn of(gradients: Vec<(usize, Vec<f32>)>) -> Self {
        let gradients = gradients.into_iter().map(|(place, values)| (Slot(place), values));
        Self {
            gradients: gradients.collect(),
            statistics: Vec::new(),
        }
    }

    /// Gradients by place of the tensor.
    pub fn gradients(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.gradients
            .iter()
            .map(|(slot, values)| (slot.0, values.as_slice()))
    }

    /// Gradients by place of the tensor, to be changed.
    pub fn gradients_mut(&mut self) -> impl Iterator<Item = (usize, &mut [f32])> {
        self.gradients
            .iter_mut()
            .map(|(slot, values)| (slot.0, values.as_mut_slice()))
    }
}

impl Weights {
    /// Moves the running statistics towards those of a step's batch.
    ///
    /// `running = 0.9·running + 0.1·batch`, the variance unbiased (`·n/(n-1)`), as PyTorch's `BatchNorm2d`.
    pub fn follow(&mut self, step: &StepResult) {
        for batch in &step.statistics {
            let unbiased = batch.count as f32 / (batch.count as f32 - 1.0);
            self.approach(batch.running_mean, &batch.mean, 1.0);
            self.approach(batch.running_var, &batch.variance, unbiased);
            self.count_up(batch.num_batches_tracked);
        }
    }

    fn approach(&mut self, slot: Slot, batch: &[f32], factor: f32) {
        for (running, value) in self.real_mut(slot.0).iter_mut().zip(batch) {
            *running = (1.0 - NORM_MOMENTUM) * *running + NORM_MOMENTUM * (value * factor);
        }
    }
}
