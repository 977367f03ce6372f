//! One way through a network: weights as tensors, and what the way leaves behind.

use burn::tensor::{Device, Tensor, TensorData};

use super::{Model, Role, Weights, layers::NORM_MOMENTUM, schema::Slot, weights::Values};

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

/// Statistics of one batch in one normalisation layer, and where they belong.
pub(super) struct BatchStatistics {
    pub(super) running_mean: Slot,
    pub(super) running_var: Slot,
    pub(super) num_batches_tracked: Slot,
    pub(super) mean: Tensor<1>,
    /// Biased: divided by the count.
    pub(super) variance: Tensor<1>,
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
    statistics: Vec<BatchStatistics>,
}

/// The gradient of every trained tensor, and the batch statistics: what a step changes weights with.
pub struct StepResult {
    gradients: Vec<(Slot, Vec<f32>)>,
    statistics: Vec<BatchStatistics>,
}

impl Pass {
    /// Copies `weights` of `model` to the CPU device as tensors.
    pub fn new(model: &Model, weights: &Weights, mode: Mode) -> Self {
        let device = match mode {
            Mode::Training => Device::flex().autodiff(),
            Mode::Evaluation => Device::flex(),
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
        let tensors = specs()
            .zip(weights.values())
            .map(|(spec, values)| Some((lift(values, spec.role == Role::Trained)?, spec.shape.clone())))
            .collect();
        let trained = specs().enumerate().filter(|(_, spec)| spec.role == Role::Trained);
        let trained = trained.map(|(index, _)| Slot(index)).collect();
        Self {
            mode,
            device,
            tensors,
            trained,
            statistics: Vec::new(),
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

    /// Keeps statistics for [`Weights::follow`].
    pub(super) fn record(&mut self, statistics: BatchStatistics) {
        self.statistics.push(statistics);
    }

    /// Runs backward from `loss`, a single value computed in this pass.
    pub fn finish(self, loss: &Tensor<1>) -> StepResult {
        let mut all = loss.backward();
        let gradient = |slot: Slot| {
            let leaf = self.tensors[slot.0].as_ref().map(|(tensor, _)| tensor);
            let gradient = leaf.and_then(|tensor| tensor.grad_remove(&mut all));
            let data = gradient
                .expect("every trained tensor takes part in the loss")
                .into_data();
            (
                slot,
                data.try_into_vec().expect("gradients are f32 like their tensors"),
            )
        };
        let gradients = self.trained.into_iter().map(gradient).collect();
        StepResult {
            gradients,
            statistics: self.statistics,
        }
    }
}

impl StepResult {
    /// Gradients by place of the tensor.
    pub fn gradients(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.gradients
            .iter()
            .map(|(slot, values)| (slot.0, values.as_slice()))
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

    fn approach(&mut self, slot: Slot, batch: &Tensor<1>, factor: f32) {
        let batch: Vec<f32> = batch
            .to_data()
            .try_into_vec()
            .expect("statistics are f32 like what they are taken of");
        for (running, value) in self.real_mut(slot.0).iter_mut().zip(batch) {
            *running = (1.0 - NORM_MOMENTUM) * *running + NORM_MOMENTUM * (value * factor);
        }
    }
}
