//! The kernels against burn's own operations, on odd shapes, forward and backward.

use burn::tensor::{
    Device, Distribution, Tensor, TensorData,
    activation::relu,
    module,
    ops::{ConvOptions, PaddedConvOptions},
};
use proptest::prelude::*;

use super::*;

/// Values in -1..1 that differ from element to element, the same every time.
fn values<const D: usize>(shape: [usize; D], salt: u32, device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let draw = |index: usize| {
        let hash = (index as u32 ^ salt.rotate_left(16)).wrapping_mul(0x9e37_79b9);
        let hash = (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b);
        ((hash ^ (hash >> 13)) >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    Tensor::from_data(
        TensorData::new((0..count).map(draw).collect::<Vec<f32>>(), shape),
        device,
    )
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn leaf<const D: usize>(shape: [usize; D], salt: u32) -> Tensor<D> {
    values(shape, salt, &device()).require_grad()
}
