//! Residual networks (He et al. 2015, arXiv:1512.03385) with torchvision's structure and names.

use burn::tensor::Tensor;

use super::{
    Input, LoneValue, Network, Pass,
    layers::{BatchNorm2d, Conv2d, ConvShape, Linear, Then},
    schema::Schema,
};
use crate::ops::{self, Activation, Pool, Slide};

const POOL: Pool = Pool {
    kernel: 3,
    slide: Slide::square(2, 1),
};

/// Stem, four stages of residual blocks, global average, head.
pub(super) struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    blocks: Vec<BasicBlock>,
    fc: Linear,
}

impl ResNet {
    /// Two basic blocks in each stage: 18 layers with weights.
    pub(super) fn resnet18(schema: &mut Schema, input: Input) -> Self {
        let stem = ConvShape {
            inputs: input.channels as usize,
            outputs: 64,
            kernel: 7,
            stride: 2,
            padding: 3,
        };
        let conv1 = Conv2d::before_norm(schema, "conv1", stem);
        let bn1 = BatchNorm2d::new(schema, "bn1", 64);
        let mut blocks = Vec::new();
        let mut inputs = 64;
        for (stage, outputs) in [64, 128, 256, 512].into_iter().enumerate() {
            for block in 0..2 {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                blocks.push(BasicBlock::new(schema, &name, inputs, outputs, stride));
                inputs = outputs;
            }
        }
        let fc = Linear::new(schema, "fc", inputs, input.classes as usize);
        Self {
            conv1,
            bn1,
            blocks,
            fc,
        }
    }
}

impl Network for ResNet {
    fn forward(&self, pass: &mut Pass, images: Tensor<4>) -> Result<Tensor<2>, LoneValue> {
        let x = self.conv1.forward(pass, images);
        let x = self.bn1.forward(pass, x, Then::Relu)?;
        let mut x = ops::max_pool2d(x, POOL, Activation::None);
        for block in &self.blocks {
            x = block.forward(pass, x)?;
        }
        let pixels: Tensor<3> = x.flatten(2, 3);
        Ok(self.fc.forward(pass, pixels.mean_dim(2).flatten(1, 2)))
    }
}

/// Two 3×3 convolutions beside a shortcut.
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    /// Fits the shortcut to another number of channels or a smaller image.
    downsample: Option<(Conv2d, BatchNorm2d)>,
}

impl BasicBlock {
    fn new(schema: &mut Schema, name: &str, inputs: usize, outputs: usize, stride: usize) -> Self {
        let (first, second) = (format!("{name}.conv1"), format!("{name}.conv2"));
        let shape = ConvShape {
            inputs,
            outputs,
            kernel: 3,
            stride,
            padding: 1,
        };
        let conv1 = Conv2d::before_norm(schema, &first, shape);
        let bn1 = BatchNorm2d::new(schema, &format!("{name}.bn1"), outputs);
        let conv2 = Conv2d::before_norm(
            schema,
            &second,
            ConvShape {
                inputs: outputs,
                stride: 1,
                ..shape
            },
        );
        let bn2 = BatchNorm2d::new(schema, &format!("{name}.bn2"), outputs);
        let downsample = (stride != 1 || inputs != outputs).then(|| {
            let shape = ConvShape {
                kernel: 1,
                padding: 0,
                ..shape
            };
            let conv = Conv2d::before_norm(schema, &format!("{name}.downsample.0"), shape);
            (
                conv,
                BatchNorm2d::new(schema, &format!("{name}.downsample.1"), outputs),
            )
        });
        Self {
            conv1,
            bn1,
            conv2,
            bn2,
            downsample,
        }
    }

    fn forward(&self, pass: &mut Pass, x: Tensor<4>) -> Result<Tensor<4>, LoneValue> {
        let shortcut = match &self.downsample {
            Some((conv, norm)) => {
                let shortcut = conv.forward(pass, x.clone());
                norm.forward(pass, shortcut, Then::Nothing)?
            }
            None => x.clone(),
        };
        let x = self.conv1.forward(pass, x);
        let x = self.bn1.forward(pass, x, Then::Relu)?;
        let x = self.conv2.forward(pass, x);
        self.bn2.forward(pass, x, Then::AddRelu(&shortcut))
    }
}
