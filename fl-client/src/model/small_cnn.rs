//! The small reference network: two convolutions with pooling, a hidden layer, a head.

use burn::tensor::{Tensor, activation::relu};

use super::{
    Input, LoneValue, Network, Pass,
    layers::{Conv2d, ConvShape, Linear},
    schema::Schema,
};
use crate::ops::{self, Activation, Pool, Slide};

/// The smallest image of which two poolings leave a pixel.
pub(super) const LEAST_IMAGE_SIZE: u32 = 4;

const POOL: Pool = Pool {
    kernel: 2,
    slide: Slide::square(2, 0),
};

/// conv 16 3×3, ReLU, pool 2, conv 32 3×3, ReLU, pool 2, linear 64, ReLU, linear to the classes.
pub(super) struct SmallCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl SmallCnn {
    pub(super) fn new(schema: &mut Schema, input: Input) -> Self {
        let conv = |schema: &mut Schema, name, inputs, outputs| {
            Conv2d::with_bias(
                schema,
                name,
                ConvShape {
                    inputs,
                    outputs,
                    kernel: 3,
                    stride: 1,
                    padding: 1,
                },
            )
        };
        let side = input.image_size as usize / 2 / 2;
        Self {
            conv1: conv(schema, "conv1", input.channels as usize, 16),
            conv2: conv(schema, "conv2", 16, 32),
            fc1: Linear::new(schema, "fc1", 32 * side * side, 64),
            fc2: Linear::new(schema, "fc2", 64, input.classes as usize),
        }
    }
}

impl Network for SmallCnn {
    fn forward(&self, pass: &mut Pass, images: Tensor<4>) -> Result<Tensor<2>, LoneValue> {
        let x = ops::max_pool2d(self.conv1.forward(pass, images), POOL, Activation::Relu);
        let x = ops::max_pool2d(self.conv2.forward(pass, x), POOL, Activation::Relu);
        let x = relu(self.fc1.forward(pass, x.flatten(1, 3)));
        Ok(self.fc2.forward(pass, x))
    }
}
