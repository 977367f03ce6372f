//! The same operations from burn's own, for tensors on any device.
//!
//! In and out as in the functions of [`super`]. Start at [`applies`]: the kernels beside this file read the memory of the
//! CPU, so that tensors elsewhere go this way. It is also what the tests compare the kernels with.

use burn::tensor::{
    Device, FloatDType, Tensor,
    activation::{relu, silu},
    module,
    ops::{ConvOptions, MaxPoolOptions},
};

use contract::recipe::Precision;

use super::{Activation, BatchNormOutput, Pool, Slide};

/// Whether `x` is where the kernels cannot reach it.
pub(crate) fn applies<const D: usize>(x: &Tensor<D>) -> bool {
    x.device() != Device::flex()
}

/// As [`super::conv2d`].
pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: super::ConvOptions,
) -> Tensor<4> {
    let super::ConvOptions { slide, precision } = options;
    let options = ConvOptions::new(slide.stride, slide.padding, [1, 1], 1);
    match precision {
        Precision::F32 => module::conv2d(x, weight, bias, options),
        Precision::Bf16 => {
            let half = FloatDType::BF16;
            let bias = bias.map(|bias| bias.cast(half));
            module::conv2d(x.cast(half), weight.cast(half), bias, options).cast(FloatDType::F32)
        }
    }
}

/// As [`super::batch_norm`]: `γ·(x - mean)/√(variance + ε) + β`, the variance divided by the count.
pub(crate) fn batch_norm(
    x: Tensor<4>,
    affine: [Tensor<1>; 2],
    epsilon: f32,
    activation: Activation,
) -> BatchNormOutput {
    let normalized = normalize(x, affine, epsilon);
    BatchNormOutput {
        out: activate(normalized.out, activation),
        ..normalized
    }
}

/// As [`super::batch_norm_add_relu`].
pub(crate) fn batch_norm_add_relu(
    x: Tensor<4>,
    affine: [Tensor<1>; 2],
    shortcut: Tensor<4>,
    epsilon: f32,
) -> BatchNormOutput {
    let normalized = normalize(x, affine, epsilon);
    BatchNormOutput {
        out: relu(normalized.out + shortcut),
        ..normalized
    }
}

/// As [`super::scale_shift`].
pub(crate) fn scale_shift(x: Tensor<4>, line: [Tensor<1>; 2], activation: Activation) -> Tensor<4> {
    let [scale, shift] = line.map(wide);
    activate(x * scale + shift, activation)
}

/// As [`super::scale_shift_add_relu`].
pub(crate) fn scale_shift_add_relu(x: Tensor<4>, line: [Tensor<1>; 2], shortcut: Tensor<4>) -> Tensor<4> {
    let [scale, shift] = line.map(wide);
    relu(x * scale + shift + shortcut)
}

/// As [`super::max_pool2d`]. Which of equals takes the gradient is burn's choice.
pub(crate) fn max_pool2d(x: Tensor<4>, pool: Pool) -> Tensor<4> {
    let Pool {
        kernel,
        slide: Slide { stride, padding },
        relu: rectified,
    } = pool;
    let mut options = MaxPoolOptions::new([kernel; 2]);
    options.stride = stride;
    options.padding = padding.map(|padding| (padding, padding));
    module::max_pool2d(if rectified { relu(x) } else { x }, options)
}

fn normalize(x: Tensor<4>, affine: [Tensor<1>; 2], epsilon: f32) -> BatchNormOutput {
    let channels = [x.dims()[1]];
    let [gamma, beta] = affine.map(wide);
    let mean = x.clone().mean_dims(&[0, 2, 3]);
    let centred = x - mean.clone();
    let variance = centred.clone().square().mean_dims(&[0, 2, 3]);
    let scale = gamma / (variance.clone() + epsilon).sqrt();
    BatchNormOutput {
        out: centred * scale + beta,
        // Nothing follows their gradients, and they outlive the step.
        mean: mean.reshape(channels).detach(),
        variance: variance.reshape(channels).detach(),
    }
}

fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::None => x,
        Activation::Relu => relu(x),
        Activation::Silu => silu(x),
    }
}

/// A value for each channel, to be repeated over images and pixels.
fn wide(values: Tensor<1>) -> Tensor<4> {
    let [channels] = values.dims();
    values.reshape([1, channels, 1, 1])
}
