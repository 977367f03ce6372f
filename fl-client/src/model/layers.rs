//! Layers: the tensors they declare and what they compute, as PyTorch's of the same names.

use burn::tensor::{Tensor, activation::relu};

use super::{
    pass::{BatchStatistics, LoneValue, Mode, Pass},
    schema::{Role, Schema, Slot, Start},
};
use crate::ops::{self, Activation, BatchNormOutput, Slide};

/// Added to the variance before its root is taken; PyTorch's default.
const NORM_EPSILON: f32 = 1e-5;

/// Share of a new batch in the running statistics; PyTorch's default.
pub(super) const NORM_MOMENTUM: f32 = 0.1;

/// Two-dimensional convolution with a square kernel.
pub(super) struct Conv2d {
    weight: Slot,
    bias: Option<Slot>,
    slide: Slide,
}

/// The shape of a convolution.
#[derive(Clone, Copy)]
pub(super) struct ConvShape {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Conv2d {
    /// With a bias, started as PyTorch does by default.
    pub(super) fn with_bias(schema: &mut Schema, name: &str, shape: ConvShape) -> Self {
        let fan_in = shape.inputs * shape.kernel * shape.kernel;
        let start = Start::UniformFanIn { fan_in };
        let mut conv = Self::new(schema, name, shape, start);
        conv.bias = Some(schema.add(format!("{name}.bias"), &[shape.outputs], Role::Trained, start));
        conv
    }

    /// Without a bias, for a normalisation to follow, started as torchvision does in ResNets.
    pub(super) fn before_norm(schema: &mut Schema, name: &str, shape: ConvShape) -> Self {
        let fan_out = shape.outputs * shape.kernel * shape.kernel;
        Self::new(schema, name, shape, Start::NormalFanOut { fan_out })
    }

    /// Without a bias, started as torchvision does in DenseNets.
    pub(super) fn after_norm(schema: &mut Schema, name: &str, shape: ConvShape) -> Self {
        let fan_in = shape.inputs * shape.kernel * shape.kernel;
        Self::new(schema, name, shape, Start::NormalFanIn { fan_in })
    }

    fn new(schema: &mut Schema, name: &str, shape: ConvShape, start: Start) -> Self {
        let ConvShape {
            inputs,
            outputs,
            kernel,
            stride,
            padding,
        } = shape;
        let weight = schema.add(
            format!("{name}.weight"),
            &[outputs, inputs, kernel, kernel],
            Role::Trained,
            start,
        );
        Self {
            weight,
            bias: None,
            slide: Slide::square(stride, padding),
        }
    }

    pub(super) fn forward(&self, pass: &Pass, x: Tensor<4>) -> Tensor<4> {
        ops::conv2d(
            x,
            pass.tensor(self.weight),
            self.bias.map(|bias| pass.tensor(bias)),
            pass.conv_options(self.slide),
        )
    }
}

/// Convolution of each channel by itself, without a bias, started as torchvision does in EfficientNets.
pub(super) struct DepthwiseConv2d {
    weight: Slot,
    slide: Slide,
}

impl DepthwiseConv2d {
    /// A square kernel with a border that keeps the size, but for the stride.
    pub(super) fn new(
        schema: &mut Schema,
        name: &str,
        channels: usize,
        kernel: usize,
        stride: usize,
    ) -> Self {
        // PyTorch counts the outputs of all groups.
        let fan_out = channels * kernel * kernel;
        let shape = [channels, 1, kernel, kernel];
        let start = Start::NormalFanOut { fan_out };
        Self {
            weight: schema.add(format!("{name}.weight"), &shape, Role::Trained, start),
            slide: Slide::square(stride, kernel / 2),
        }
    }

    pub(super) fn forward(&self, pass: &Pass, x: Tensor<4>) -> Tensor<4> {
        ops::grouped_conv2d(x, pass.tensor(self.weight), self.slide)
    }
}

/// A 1×1 convolution of images of one pixel: `x·Wᵀ + b`, started as torchvision does in EfficientNets.
pub(super) struct PixelConv2d {
    weight: Slot,
    bias: Slot,
    shape: [usize; 2],
}

impl PixelConv2d {
    pub(super) fn new(schema: &mut Schema, name: &str, inputs: usize, outputs: usize) -> Self {
        let start = Start::NormalFanOut { fan_out: outputs };
        let zero = Start::Constant(0.0);
        let shape = [outputs, inputs, 1, 1];
        Self {
            weight: schema.add(format!("{name}.weight"), &shape, Role::Trained, start),
            bias: schema.add(format!("{name}.bias"), &[outputs], Role::Trained, zero),
            shape: [outputs, inputs],
        }
    }

    pub(super) fn forward(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        let weight = pass.tensor::<4>(self.weight).reshape(self.shape);
        x.matmul(weight.transpose()) + pass.tensor::<1>(self.bias).unsqueeze()
    }
}

/// A convolution that has no bias, for a normalisation is beside it.
pub(super) trait Unbiased {
    /// Its weights and how they move.
    fn filter(&self) -> (Slot, Slide);
    /// What it computes.
    fn forward(&self, pass: &Pass, x: Tensor<4>) -> Tensor<4>;
}

impl Unbiased for Conv2d {
    fn filter(&self) -> (Slot, Slide) {
        debug_assert!(self.bias.is_none());
        (self.weight, self.slide)
    }
    fn forward(&self, pass: &Pass, x: Tensor<4>) -> Tensor<4> {
        self.forward(pass, x)
    }
}

impl Unbiased for DepthwiseConv2d {
    fn filter(&self) -> (Slot, Slide) {
        (self.weight, self.slide)
    }
    fn forward(&self, pass: &Pass, x: Tensor<4>) -> Tensor<4> {
        self.forward(pass, x)
    }
}

/// What follows a normalisation.
pub(super) enum Then<'a> {
    /// Nothing.
    Nothing,
    /// ReLU.
    Relu,
    /// SiLU.
    Silu,
    /// A shortcut is added, then ReLU.
    AddRelu(&'a Tensor<4>),
}

/// Batch normalisation of images: by the batch while training, by the running statistics otherwise.
pub(super) struct BatchNorm2d {
    weight: Slot,
    bias: Slot,
    running_mean: Slot,
    running_var: Slot,
    num_batches_tracked: Slot,
    name: String,
}

impl BatchNorm2d {
    pub(super) fn new(schema: &mut Schema, name: &str, channels: usize) -> Self {
        let mut add = |field: &str, shape: &[usize], role, value| {
            schema.add(format!("{name}.{field}"), shape, role, Start::Constant(value))
        };
        Self {
            weight: add("weight", &[channels], Role::Trained, 1.0),
            bias: add("bias", &[channels], Role::Trained, 0.0),
            running_mean: add("running_mean", &[channels], Role::Statistic, 0.0),
            running_var: add("running_var", &[channels], Role::Statistic, 1.0),
            num_batches_tracked: add("num_batches_tracked", &[], Role::Counter, 0.0),
            name: name.to_owned(),
        }
    }

    pub(super) fn forward(
        &self,
        pass: &mut Pass,
        x: Tensor<4>,
        then: Then<'_>,
    ) -> Result<Tensor<4>, LoneValue> {
        match pass.mode() {
            Mode::Training if self.is_frozen(pass) => Ok(self.fixed(pass, x, then)),
            Mode::Training => self.train(pass, x, then),
            Mode::Evaluation => Ok(self.evaluate(pass, x, then)),
        }
    }

    /// Normalisation, `activation`, and a convolution, which holds less memory than one after another.
    pub(super) fn then_conv(
        &self,
        pass: &mut Pass,
        x: Tensor<4>,
        activation: Activation,
        conv: &impl Unbiased,
    ) -> Result<Tensor<4>, LoneValue> {
        if pass.mode() == Mode::Evaluation || self.is_frozen(pass) {
            let then = match activation {
                Activation::None => Then::Nothing,
                Activation::Relu => Then::Relu,
                Activation::Silu => Then::Silu,
            };
            let x = self.forward(pass, x, then)?;
            return Ok(conv.forward(pass, x));
        }
        let count = self.count(&x)?;
        let (affine, (weight, slide)) = (self.affine(pass), conv.filter());
        let weight = pass.tensor(weight);
        let normalized = ops::batch_norm_conv2d(
            x,
            affine,
            NORM_EPSILON,
            activation,
            weight,
            pass.conv_options(slide),
        );
        Ok(self.recorded(pass, normalized, count))
    }

    fn is_frozen(&self, pass: &Pass) -> bool {
        pass.is_frozen(self.weight) && pass.is_frozen(self.bias)
    }

    fn affine(&self, pass: &Pass) -> [Tensor<1>; 2] {
        [pass.tensor(self.weight), pass.tensor(self.bias)]
    }

    /// Values a channel's statistics are taken over: two or more.
    fn count(&self, x: &Tensor<4>) -> Result<usize, LoneValue> {
        let [batch, _, height, width] = x.dims();
        let count = batch * height * width;
        if count < 2 {
            return Err(LoneValue {
                layer: self.name.clone(),
            });
        }
        Ok(count)
    }

    /// The output; its statistics go to the pass.
    fn recorded(&self, pass: &mut Pass, normalized: BatchNormOutput, count: usize) -> Tensor<4> {
        pass.record(BatchStatistics {
            running_mean: self.running_mean,
            running_var: self.running_var,
            num_batches_tracked: self.num_batches_tracked,
            mean: normalized.mean,
            variance: normalized.variance,
            count,
        });
        normalized.out
    }

    fn train(&self, pass: &mut Pass, x: Tensor<4>, then: Then<'_>) -> Result<Tensor<4>, LoneValue> {
        let count = self.count(&x)?;
        let affine = self.affine(pass);
        let normalized = match then {
            Then::Nothing => ops::batch_norm(x, affine, NORM_EPSILON, Activation::None),
            Then::Relu => ops::batch_norm(x, affine, NORM_EPSILON, Activation::Relu),
            Then::Silu => ops::batch_norm(x, affine, NORM_EPSILON, Activation::Silu),
            Then::AddRelu(shortcut) => ops::batch_norm_add_relu(x, affine, shortcut.clone(), NORM_EPSILON),
        };
        Ok(self.recorded(pass, normalized, count))
    }

    /// Scale and shift by the running statistics.
    fn running(&self, pass: &Pass) -> [Tensor<1>; 2] {
        let (mean, variance) = (
            pass.tensor::<1>(self.running_mean),
            pass.tensor::<1>(self.running_var),
        );
        let scale = pass.tensor::<1>(self.weight) / (variance + NORM_EPSILON).sqrt();
        let shift = pass.tensor::<1>(self.bias) - mean * scale.clone();
        [scale, shift]
    }

    /// By the running statistics, with gradients of what goes through.
    fn fixed(&self, pass: &Pass, x: Tensor<4>, then: Then<'_>) -> Tensor<4> {
        let [scale, shift] = self.running(pass).map(|values| {
            let channels = values.dims()[0];
            values.reshape([1, channels, 1, 1])
        });
        let normalized = x * scale + shift;
        match then {
            Then::Nothing => normalized,
            Then::Relu => relu(normalized),
            Then::Silu => ops::silu(normalized),
            Then::AddRelu(shortcut) => relu(normalized + shortcut.clone()),
        }
    }

    fn evaluate(&self, pass: &Pass, x: Tensor<4>, then: Then<'_>) -> Tensor<4> {
        let [scale, shift] = self.running(pass);
        match then {
            Then::Nothing => ops::scale_shift(x, [scale, shift], Activation::None),
            Then::Relu => ops::scale_shift(x, [scale, shift], Activation::Relu),
            Then::Silu => ops::scale_shift(x, [scale, shift], Activation::Silu),
            Then::AddRelu(shortcut) => ops::scale_shift_add_relu(x, [scale, shift], shortcut.clone()),
        }
    }
}

/// `x·Wᵀ + b`, with W stored outputs × inputs as in PyTorch.
pub(super) struct Linear {
    weight: Slot,
    bias: Slot,
}

impl Linear {
    /// Started as torchvision does in DenseNets: weights as by default, no bias.
    pub(super) fn with_zero_bias(schema: &mut Schema, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::starting(
            schema,
            name,
            [inputs, outputs],
            Start::UniformFanIn { fan_in: inputs },
        )
    }

    /// Started as torchvision does in EfficientNets: weights by the number of outputs, no bias.
    pub(super) fn by_outputs(schema: &mut Schema, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::starting(
            schema,
            name,
            [inputs, outputs],
            Start::UniformFanOut { fan_out: outputs },
        )
    }

    fn starting(schema: &mut Schema, name: &str, [inputs, outputs]: [usize; 2], start: Start) -> Self {
        let zero = Start::Constant(0.0);
        Self {
            weight: schema.add(format!("{name}.weight"), &[outputs, inputs], Role::Trained, start),
            bias: schema.add(format!("{name}.bias"), &[outputs], Role::Trained, zero),
        }
    }

    pub(super) fn new(schema: &mut Schema, name: &str, inputs: usize, outputs: usize) -> Self {
        let start = Start::UniformFanIn { fan_in: inputs };
        Self {
            weight: schema.add(format!("{name}.weight"), &[outputs, inputs], Role::Trained, start),
            bias: schema.add(format!("{name}.bias"), &[outputs], Role::Trained, start),
        }
    }

    pub(super) fn forward(&self, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        x.matmul(pass.tensor::<2>(self.weight).transpose()) + pass.tensor::<1>(self.bias).unsqueeze()
    }
}
