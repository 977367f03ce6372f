//! The operations of `blocks` from burn's own, for tensors on any device; also what tests compare the kernels with.

use burn::tensor::{
    Tensor,
    activation::sigmoid,
    module,
    ops::{AvgPoolOptions, ConvOptions},
};

use super::Slide;

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
