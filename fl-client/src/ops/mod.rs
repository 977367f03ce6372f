//! Fast CPU kernels of the networks, as operations on burn tensors.
//!
//! In: tensors, with or without autodiff. Out: tensors on the same device; gradients flow through all of [`conv2d`],
//! [`batch_norm`], [`batch_norm_add_relu`], [`batch_norm_conv2d`] and [`max_pool2d`].
//! Start at the functions here; the kernels are in `conv`, `norm` and `pool`, their link to burn in `extension` and `norm_conv`. They
//! compute on the CPU (burn's Flex device); on another device every function is made of burn's own operations (`stock`).
//!
//! # Numerics
//! On the CPU: `f32` throughout, channel sums in `f64`, and operands of convolutions in bfloat16 where asked. Results are the same bits whatever the number of threads: work is split by
//! shape alone and sums keep their order.
//!
//! burn's own Flex layers serve as the oracle in the tests. On the CPU they are slower because the weight gradient runs as
//! products with very few columns and normalisation as a chain of passes on one thread.

mod average;
mod bf16;
mod block_extension;
mod block_stock;
mod blocks;
mod buffer;
mod concat;
mod conv;
mod depthwise;
mod extension;
mod gate;
mod grouped;
mod lanes;
mod matrix;
mod micro;
mod norm;
mod norm_conv;
mod pool;
mod stock;
mod winograd;
mod winograd_tiles;

#[cfg(test)]
mod block_tests;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
/// What the functions here take, and what makes it.
pub use burn::tensor::{Device, Tensor, TensorData};

pub(crate) use bf16::is_fast as multiplies_bf16;
pub use blocks::{gate, grouped_conv2d, halve, join, plane_means, silu};
pub use conv::{ConvOptions, Slide};
pub use norm::Activation;
pub use pool::Pool;

use extension::{EvalOps, Normalized, TrainOps};
use norm_conv::PairOps;

/// Cross-correlation of N×C×H×W images with O×C×kh×kw weights, plus a bias of O values: N×O×oh×ow.
///
/// # Panics
/// If the channels differ or the kernel does not fit into the image with its border.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, options: ConvOptions) -> Tensor<4> {
    if stock::applies(&x) {
        return stock::conv2d(x, weight, bias, options);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => <Dispatch as TrainOps>::conv2d_bias(x, weight, bias.into_dispatch(), options),
        None => <Dispatch as TrainOps>::conv2d(x, weight, options),
    })
}

/// A normalised batch and the statistics it was normalised with.
pub struct BatchNormOutput {
    /// The output, N×C×H×W.
    pub out: Tensor<4>,
    /// Mean of each channel.
    pub mean: Tensor<1>,
    /// Biased variance of each channel.
    pub variance: Tensor<1>,
}

impl From<Normalized<Dispatch>> for BatchNormOutput {
    fn from(Normalized { out, mean, variance }: Normalized<Dispatch>) -> Self {
        Self {
            out: Tensor::from_dispatch(out),
            mean: Tensor::from_dispatch(mean),
            variance: Tensor::from_dispatch(variance),
        }
    }
}

/// Batch normalisation with the batch's own statistics, then `activation`.
pub fn batch_norm(
    x: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    epsilon: f32,
    activation: Activation,
) -> BatchNormOutput {
    if stock::applies(&x) {
        return stock::batch_norm(x, [gamma, beta], epsilon, activation);
    }
    let (gamma, beta) = (gamma.into_dispatch(), beta.into_dispatch());
    <Dispatch as TrainOps>::batch_norm(x.into_dispatch(), gamma, beta, epsilon, activation).into()
}

/// Batch normalisation with the batch's own statistics, plus `shortcut`, through ReLU.
pub fn batch_norm_add_relu(
    x: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    shortcut: Tensor<4>,
    epsilon: f32,
) -> BatchNormOutput {
    if stock::applies(&x) {
        return stock::batch_norm_add_relu(x, [gamma, beta], shortcut, epsilon);
    }
    let (gamma, beta, shortcut) = (
        gamma.into_dispatch(),
        beta.into_dispatch(),
        shortcut.into_dispatch(),
    );
    <Dispatch as TrainOps>::batch_norm_add_relu(x.into_dispatch(), gamma, beta, shortcut, epsilon).into()
}

/// Batch normalisation with the batch's own statistics, `activation`, and a convolution without a bias, in groups as
/// [`grouped_conv2d`] where the weights have fewer channels; the output is that of the convolution. As the layers one after
/// another, to the bit, in less memory.
///
/// # Panics
/// If the channels do not fit, or the kernel does not fit into the image with its border.
pub fn batch_norm_conv2d(
    x: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    epsilon: f32,
    activation: Activation,
    weight: Tensor<4>,
    options: ConvOptions,
) -> BatchNormOutput {
    if stock::applies(&x) {
        let normalized = stock::batch_norm(x, [gamma, beta], epsilon, activation);
        return BatchNormOutput {
            out: match normalized.out.dims()[1] == weight.dims()[1] {
                true => stock::conv2d(normalized.out, weight, None, options),
                false => block_stock::grouped_conv2d(normalized.out, weight, options.slide),
            },
            ..normalized
        };
    }
    let (gamma, beta, weight) = (
        gamma.into_dispatch(),
        beta.into_dispatch(),
        weight.into_dispatch(),
    );
    let x = x.into_dispatch();
    <Dispatch as PairOps>::batch_norm_conv2d(x, gamma, beta, weight, options, epsilon, activation).into()
}

/// `activation(scale·x + shift)` for each channel, for evaluation: no gradients.
pub fn scale_shift(x: Tensor<4>, [scale, shift]: [Tensor<1>; 2], activation: Activation) -> Tensor<4> {
    if stock::applies(&x) {
        return stock::scale_shift(x, [scale, shift], activation);
    }
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(<Dispatch as EvalOps>::scale_shift(
        x.into_dispatch(),
        scale,
        shift,
        activation,
    ))
}

/// `relu(scale·x + shift + shortcut)` for each channel, for evaluation: no gradients.
pub fn scale_shift_add_relu(x: Tensor<4>, [scale, shift]: [Tensor<1>; 2], shortcut: Tensor<4>) -> Tensor<4> {
    if stock::applies(&x) {
        return stock::scale_shift_add_relu(x, [scale, shift], shortcut);
    }
    let (scale, shift, shortcut) = (
        scale.into_dispatch(),
        shift.into_dispatch(),
        shortcut.into_dispatch(),
    );
    Tensor::from_dispatch(<Dispatch as EvalOps>::scale_shift_add_relu(
        x.into_dispatch(),
        scale,
        shift,
        shortcut,
    ))
}

/// Max pooling.
pub fn max_pool2d(x: Tensor<4>, pool: Pool) -> Tensor<4> {
    if stock::applies(&x) {
        return stock::max_pool2d(x, pool);
    }
    Tensor::from_dispatch(<Dispatch as TrainOps>::max_pool2d(x.into_dispatch(), pool))
}
