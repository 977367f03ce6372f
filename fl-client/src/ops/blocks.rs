//! What blocks of newer networks need beside convolution and pooling: groups, SiLU, gates, averages, concatenation.
//!
//! In and out as in [`super`]: gradients flow through all of them. Tensors that are not on the CPU go through burn's own
//! operations.

use burn::{
    backend::Dispatch,
    tensor::{Device, Tensor},
};

use super::{Slide, block_extension::BlockOps, block_stock as stock};

/// Whether `x` is where the kernels cannot reach it.
fn elsewhere<const D: usize>(x: &Tensor<D>) -> bool {
    x.device() != Device::flex()
}

/// Cross-correlation of N×C×H×W images with O×(C/groups)×kh×kw weights: N×O×oh×ow. The number of groups is C over the
/// weights' second dimension; output channels belong to the groups in order.
///
/// # Panics
/// If the channels cannot be split so, or the kernel does not fit into the image with its border.
pub fn grouped_conv2d(x: Tensor<4>, weight: Tensor<4>, slide: Slide) -> Tensor<4> {
    if elsewhere(&x) {
        return stock::grouped_conv2d(x, weight, slide);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(<Dispatch as BlockOps>::grouped_conv2d(x, weight, slide))
}

/// `x·sigmoid(x)`.
pub fn silu(x: Tensor<4>) -> Tensor<4> {
    if elsewhere(&x) {
        return stock::silu(x);
    }
    Tensor::from_dispatch(<Dispatch as BlockOps>::silu(x.into_dispatch()))
}

/// N×C×H×W values, every plane times its gate of N×C.
///
/// # Panics
/// If there is not a gate for every plane.
pub fn gate(x: Tensor<4>, gates: Tensor<2>) -> Tensor<4> {
    if elsewhere(&x) {
        return stock::gate(x, gates);
    }
    Tensor::from_dispatch(<Dispatch as BlockOps>::gate(
        x.into_dispatch(),
        gates.into_dispatch(),
    ))
}

/// Means of windows of 2×2, two apart; a last odd row or column is left out.
///
/// # Panics
/// If there is no such window.
pub fn halve(x: Tensor<4>) -> Tensor<4> {
    if elsewhere(&x) {
        return stock::halve(x);
    }
    Tensor::from_dispatch(<Dispatch as BlockOps>::halve(x.into_dispatch()))
}

/// The mean of every plane: N×C of N×C×H×W.
pub fn plane_means(x: Tensor<4>) -> Tensor<2> {
    if elsewhere(&x) {
        return stock::plane_means(x);
    }
    Tensor::from_dispatch(<Dispatch as BlockOps>::plane_means(x.into_dispatch()))
}

/// The channels of `a`, then those of `b`.
///
/// # Panics
/// If batch, height or width differ.
pub fn join(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    if elsewhere(&a) {
        return stock::join(a, b);
    }
    Tensor::from_dispatch(<Dispatch as BlockOps>::join(a.into_dispatch(), b.into_dispatch()))
}
