//! Densely connected networks (Huang et al. 2016, arXiv:1608.06993) with torchvision's structure and names.

use burn::tensor::Tensor;

use super::{
    Input, LoneValue, Network, Pass,
    layers::{BatchNorm2d, Conv2d, ConvShape, Linear, Then},
    schema::Schema,
};
use crate::ops::{self, Activation, Pool, Slide};

/// The smallest image of which the five halvings leave a pixel: the first two round up, the other three down.
pub(super) const LEAST_IMAGE_SIZE: u32 = 29;

/// Channels each layer adds.
const GROWTH: usize = 32;

/// Channels between the two convolutions of a layer.
const BOTTLENECK: usize = 4 * GROWTH;

const POOL: Pool = Pool {
    kernel: 3,
    slide: Slide::square(2, 1),
    relu: false,
};

/// Stem, dense blocks with transitions between them, normalisation, global average, head.
pub(super) struct DenseNet {
    conv0: Conv2d,
    norm0: BatchNorm2d,
    blocks: Vec<(Vec<DenseLayer>, Option<Transition>)>,
    norm5: BatchNorm2d,
    classifier: Linear,
}

/// Normalisation, 1×1 convolution, normalisation, 3×3 convolution.
struct DenseLayer {
    norm1: BatchNorm2d,
    conv1: Conv2d,
    norm2: BatchNorm2d,
    conv2: Conv2d,
}

/// Normalisation and a 1×1 convolution to half the channels; averages of 2×2 follow.
struct Transition {
    norm: BatchNorm2d,
    conv: Conv2d,
}

fn square(inputs: usize, outputs: usize, kernel: usize) -> ConvShape {
    ConvShape {
        inputs,
        outputs,
        kernel,
        stride: 1,
        padding: kernel / 2,
    }
}

impl DenseNet {
    /// Blocks of 6, 12, 24 and 16 layers: 121 layers with weights.
    pub(super) fn densenet121(schema: &mut Schema, input: Input) -> Self {
        let mut channels = 64;
        let stem = ConvShape {
            stride: 2,
            ..square(input.channels as usize, channels, 7)
        };
        let conv0 = Conv2d::after_norm(schema, "features.conv0", stem);
        let norm0 = BatchNorm2d::new(schema, "features.norm0", channels);
        let mut blocks = Vec::new();
        for (number, layers) in (1..).zip([6, 12, 24, 16]) {
            let mut block = Vec::new();
            for layer in 1..=layers {
                let name = format!("features.denseblock{number}.denselayer{layer}");
                block.push(DenseLayer::new(schema, &name, channels));
                channels += GROWTH;
            }
            let transition = (number < 4).then(|| {
                let name = format!("features.transition{number}");
                Transition {
                    norm: BatchNorm2d::new(schema, &format!("{name}.norm"), channels),
                    conv: Conv2d::after_norm(
                        schema,
                        &format!("{name}.conv"),
                        square(channels, channels / 2, 1),
                    ),
                }
            });
            if transition.is_some() {
                channels /= 2;
            }
            blocks.push((block, transition));
        }
        let norm5 = BatchNorm2d::new(schema, "features.norm5", channels);
        let classifier = Linear::with_zero_bias(schema, "classifier", channels, input.classes as usize);
        Self {
            conv0,
            norm0,
            blocks,
            norm5,
            classifier,
        }
    }
}

impl Network for DenseNet {
    fn forward(&self, pass: &mut Pass, images: Tensor<4>) -> Result<Tensor<2>, LoneValue> {
        let x = self.conv0.forward(pass, images);
        let x = self.norm0.forward(pass, x, Then::Relu)?;
        let mut x = ops::max_pool2d(x, POOL);
        for (layers, transition) in &self.blocks {
            for layer in layers {
                let more = layer.forward(pass, x.clone())?;
                x = ops::join(x, more);
            }
            if let Some(Transition { norm, conv }) = transition {
                x = ops::halve(norm.then_conv(pass, x, Activation::Relu, conv)?);
            }
        }
        let x = self.norm5.forward(pass, x, Then::Relu)?;
        Ok(self.classifier.forward(pass, ops::plane_means(x)))
    }
}

impl DenseLayer {
    fn new(schema: &mut Schema, name: &str, inputs: usize) -> Self {
        Self {
            norm1: BatchNorm2d::new(schema, &format!("{name}.norm1"), inputs),
            conv1: Conv2d::after_norm(schema, &format!("{name}.conv1"), square(inputs, BOTTLENECK, 1)),
            norm2: BatchNorm2d::new(schema, &format!("{name}.norm2"), BOTTLENECK),
            conv2: Conv2d::after_norm(schema, &format!("{name}.conv2"), square(BOTTLENECK, GROWTH, 3)),
        }
    }

    fn forward(&self, pass: &mut Pass, x: Tensor<4>) -> Result<Tensor<4>, LoneValue> {
        let x = self.norm1.then_conv(pass, x, Activation::Relu, &self.conv1)?;
        self.norm2.then_conv(pass, x, Activation::Relu, &self.conv2)
    }
}
