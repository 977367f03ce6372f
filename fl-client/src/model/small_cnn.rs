//! The small reference network: two convolutions with pooling, a hidden layer, a head.

use burn::tensor::{Tensor, activation::relu};

use super::{
    Input, LoneValue, Network, Pass,
    layers::{BatchNorm2d, Conv2d, ConvShape, Linear, Then},
    schema::Schema,
};
use crate::ops::{self, Pool, Slide};

/// The smallest image of which two poolings leave a pixel.
pub(super) const LEAST_IMAGE_SIZE: u32 = 4;

const POOL: Pool = Pool {
    kernel: 2,
    slide: Slide::square(2, 0),
    relu: true,
};

/// conv 16 3×3, [normalisation,] ReLU, pool 2, conv 32 3×3, ReLU, pool 2, linear 64, ReLU, linear to the classes.
pub(super) struct SmallCnn {
    conv1: Stage,
    conv2: Stage,
    fc1: Linear,
    fc2: Linear,
}

/// Whether a normalisation follows each convolution.
#[derive(Clone, Copy)]
pub(super) enum Normalized {
    Yes,
    No,
}

/// A convolution, its normalisation if there is one, ReLU and pooling.
struct Stage {
    conv: Conv2d,
    norm: Option<BatchNorm2d>,
}

impl Stage {
    fn forward(&self, pass: &mut Pass, x: Tensor<4>) -> Result<Tensor<4>, LoneValue> {
        let x = self.conv.forward(pass, x);
        let x = match &self.norm {
            Some(norm) => norm.forward(pass, x, Then::Nothing)?,
            None => x,
        };
        Ok(ops::max_pool2d(x, POOL))
    }
}

impl SmallCnn {
    pub(super) fn new(schema: &mut Schema, input: Input, normalized: Normalized) -> Self {
        let stage = |schema: &mut Schema, number: usize, inputs, outputs| {
            let shape = ConvShape {
                inputs,
                outputs,
                kernel: 3,
                stride: 1,
                padding: 1,
            };
            let conv = Conv2d::with_bias(schema, &format!("conv{number}"), shape);
            let norm = match normalized {
                Normalized::No => None,
                Normalized::Yes => Some(BatchNorm2d::new(schema, &format!("norm{number}"), outputs)),
            };
            Stage { conv, norm }
        };
        let side = input.image_size as usize / 2 / 2;
        Self {
            conv1: stage(schema, 1, input.channels as usize, 16),
            conv2: stage(schema, 2, 16, 32),
            fc1: Linear::new(schema, "fc1", 32 * side * side, 64),
            fc2: Linear::new(schema, "fc2", 64, input.classes as usize),
        }
    }
}

impl Network for SmallCnn {
    fn forward(&self, pass: &mut Pass, images: Tensor<4>) -> Result<Tensor<2>, LoneValue> {
        let x = self.conv1.forward(pass, images)?;
        let x = self.conv2.forward(pass, x)?;
        let x = relu(self.fc1.forward(pass, x.flatten(1, 3)));
        Ok(self.fc2.forward(pass, x))
    }
}
