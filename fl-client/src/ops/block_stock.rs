//! The operations of `blocks` from burn's own, for tensors on any device; also what tests compare the kernels with.

use burn::tensor::{
    Tensor,
    activation::{sigmoid, silu as burn_silu},
    module,
    ops::{AvgPoolOptions, ConvOptions},
};

use super::{BatchNormOutput, Slide};

/// As [`super::grouped_conv2d`].
pub(super) fn grouped_conv2d(x: Tensor<4>, weight: Tensor<4>, slide: Slide) -> Tensor<4> {
    let groups = x.dims()[1] / weight.dims()[1];
    module::conv2d(
        x,
        weight,
        None,
        ConvOptions::new(slide.stride, slide.padding, [1, 1], groups),
    )
}

/// As [`super::batch_norm_silu`].
pub(super) fn batch_norm_silu(x: Tensor<4>, [gamma, beta]: [Tensor<1>; 2], epsilon: f32) -> BatchNormOutput {
    let channels = x.dims()[1];
    let wide = |tensor: Tensor<1>| tensor.reshape([1, channels, 1, 1]);
    let flat = x.clone().swap_dims(0, 1).reshape([channels as i32, -1]);
    let mean = flat.clone().mean_dim(1);
    let variance = (flat - mean.clone()).square().mean_dim(1).reshape([channels]);
    let mean = mean.reshape([channels]);
    let scale = gamma / (variance.clone() + epsilon).sqrt();
    let out = burn_silu((x - wide(mean.clone())) * wide(scale) + wide(beta));
    BatchNormOutput { out, mean, variance }
}

/// As [`super::silu`].
pub(super) fn silu(x: Tensor<4>) -> Tensor<4> {
    x.clone() * sigmoid(x)
}

/// As [`super::gate`].
pub(super) fn gate(x: Tensor<4>, gates: Tensor<2>) -> Tensor<4> {
    let [batch, channels] = gates.dims();
    x * gates.reshape([batch, channels, 1, 1])
}

/// As [`super::halve`].
pub(super) fn halve(x: Tensor<4>) -> Tensor<4> {
    let mut options = AvgPoolOptions::new([2, 2]);
    options.stride = [2, 2];
    module::avg_pool2d(x, options)
}

/// As [`super::plane_means`].
pub(super) fn plane_means(x: Tensor<4>) -> Tensor<2> {
    let pixels: Tensor<3> = x.flatten(2, 3);
    pixels.mean_dim(2).flatten(1, 2)
}

/// As [`super::join`].
pub(super) fn join(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    Tensor::cat(vec![a, b], 1)
}
