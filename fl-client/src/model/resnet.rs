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
    relu: false,
};

/// Stem, four stages of residual blocks, global average, head.
pub(super) struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    blocks: Vec<Block>,
    fc: Linear,
}

impl ResNet {
    /// Two basic blocks in each stage: 18 layers with weights.
    pub(super) fn resnet18(schema: &mut Schema, input: Input) -> Self {
        Self::new(schema, input, [2; 4], |schema, name, inputs, width, stride| {
            (
                Block::Basic(BasicBlock::new(schema, name, inputs, width, stride)),
                width,
            )
        })
    }

    /// 3, 4, 6 and 3 bottleneck blocks: 50 layers with weights.
    pub(super) fn resnet50(schema: &mut Schema, input: Input) -> Self {
        Self::new(
            schema,
            input,
            [3, 4, 6, 3],
            |schema, name, inputs, width, stride| {
                let block = Bottleneck::new(schema, name, inputs, width, stride);
                (Block::Bottleneck(block), EXPANSION * width)
            },
        )
    }

    /// `block` makes a block of a name, inputs, width and stride, and says how many channels it puts out.
    fn new(
        schema: &mut Schema,
        input: Input,
        counts: [usize; 4],
        block: impl Fn(&mut Schema, &str, usize, usize, usize) -> (Block, usize),
    ) -> Self {
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
        for (stage, (width, count)) in [64, 128, 256, 512].into_iter().zip(counts).enumerate() {
            for number in 0..count {
                let stride = if stage > 0 && number == 0 { 2 } else { 1 };
                let name = format!("layer{}.{number}", stage + 1);
                let (block, outputs) = block(schema, &name, inputs, width, stride);
                blocks.push(block);
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
        let mut x = ops::max_pool2d(x, POOL);
        for block in &self.blocks {
            x = match block {
                Block::Basic(block) => block.forward(pass, x)?,
                Block::Bottleneck(block) => block.forward(pass, x)?,
            };
        }
        let pixels: Tensor<3> = x.flatten(2, 3);
        Ok(self.fc.forward(pass, pixels.mean_dim(2).flatten(1, 2)))
    }
}

/// A block of either kind.
enum Block {
    Basic(BasicBlock),
    Bottleneck(Bottleneck),
}

/// Two 3×3 convolutions beside a shortcut.
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    /// Fits the shortcut to another number of channels or a smaller image.
    downsample: Option<Shortcut>,
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
        let downsample = Shortcut::where_needed(schema, name, inputs, outputs, stride);
        Self {
            conv1,
            bn1,
            conv2,
            bn2,
            downsample,
        }
    }

    fn forward(&self, pass: &mut Pass, x: Tensor<4>) -> Result<Tensor<4>, LoneValue> {
        let shortcut = Shortcut::of(self.downsample.as_ref(), pass, &x)?;
        let x = self.conv1.forward(pass, x);
        let x = self.bn1.then_conv(pass, x, Activation::Relu, &self.conv2)?;
        self.bn2.forward(pass, x, Then::AddRelu(&shortcut))
    }
}

/// A 1×1 convolution with normalisation that fits a shortcut to another number of channels or a smaller image.
struct Shortcut {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl Shortcut {
    fn where_needed(
        schema: &mut Schema,
        name: &str,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Option<Self> {
        (stride != 1 || inputs != outputs).then(|| {
            let shape = ConvShape {
                inputs,
                outputs,
                kernel: 1,
                stride,
                padding: 0,
            };
            Self {
                conv: Conv2d::before_norm(schema, &format!("{name}.downsample.0"), shape),
                norm: BatchNorm2d::new(schema, &format!("{name}.downsample.1"), outputs),
            }
        })
    }

    fn of(shortcut: Option<&Self>, pass: &mut Pass, x: &Tensor<4>) -> Result<Tensor<4>, LoneValue> {
        match shortcut {
            Some(Self { conv, norm }) => {
                let x = conv.forward(pass, x.clone());
                norm.forward(pass, x, Then::Nothing)
            }
            None => Ok(x.clone()),
        }
    }
}

/// Output channels of a bottleneck block for each of its width.
const EXPANSION: usize = 4;

/// 1×1, 3×3 and 1×1 convolutions beside a shortcut; the stride is in the 3×3, as torchvision has it.
struct Bottleneck {
    convs: [Conv2d; 3],
    norms: [BatchNorm2d; 3],
    downsample: Option<Shortcut>,
}

impl Bottleneck {
    fn new(schema: &mut Schema, name: &str, inputs: usize, width: usize, stride: usize) -> Self {
        let outputs = EXPANSION * width;
        let mut layer = |number: usize, inputs, outputs, kernel, stride| {
            let shape = ConvShape {
                inputs,
                outputs,
                kernel,
                stride,
                padding: kernel / 2,
            };
            let conv = Conv2d::before_norm(schema, &format!("{name}.conv{number}"), shape);
            (
                conv,
                BatchNorm2d::new(schema, &format!("{name}.bn{number}"), outputs),
            )
        };
        let (conv1, norm1) = layer(1, inputs, width, 1, 1);
        let (conv2, norm2) = layer(2, width, width, 3, stride);
        let (conv3, norm3) = layer(3, width, outputs, 1, 1);
        Self {
            convs: [conv1, conv2, conv3],
            norms: [norm1, norm2, norm3],
            downsample: Shortcut::where_needed(schema, name, inputs, outputs, stride),
        }
    }

    fn forward(&self, pass: &mut Pass, x: Tensor<4>) -> Result<Tensor<4>, LoneValue> {
        let [conv1, conv2, conv3] = &self.convs;
        let [norm1, norm2, norm3] = &self.norms;
        let shortcut = Shortcut::of(self.downsample.as_ref(), pass, &x)?;
        let x = conv1.forward(pass, x);
        let x = norm1.then_conv(pass, x, Activation::Relu, conv2)?;
        let x = norm2.then_conv(pass, x, Activation::Relu, conv3)?;
        norm3.forward(pass, x, Then::AddRelu(&shortcut))
    }
}
