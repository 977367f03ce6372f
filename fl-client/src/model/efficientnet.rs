//! EfficientNets (Tan and Le 2019, arXiv:1905.11946) with torchvision's structure and names.
//!
//! Without dropout before the head and without stochastic depth: what a step computes depends on weights and batch alone.

use burn::tensor::{Tensor, activation::sigmoid};

use super::{
    Input, LoneValue, Network, Pass,
    layers::{BatchNorm2d, Conv2d, ConvShape, DepthwiseConv2d, Linear, PixelConv2d, Then},
    schema::Schema,
};
use crate::ops::{self, Activation};

/// Some blocks of one kind: Tan and Le 2019, table 1.
struct Stage {
    /// Channels within a block for each that goes in.
    expansion: usize,
    kernel: usize,
    /// Of the first block; 1 in the others.
    stride: usize,
    outputs: usize,
    blocks: usize,
}

const fn stage(expansion: usize, kernel: usize, stride: usize, outputs: usize, blocks: usize) -> Stage {
    Stage {
        expansion,
        kernel,
        stride,
        outputs,
        blocks,
    }
}

/// The stages of B0.
const B0: [Stage; 7] = [
    stage(1, 3, 1, 16, 1),
    stage(6, 3, 2, 24, 2),
    stage(6, 5, 2, 40, 2),
    stage(6, 3, 2, 80, 3),
    stage(6, 5, 1, 112, 3),
    stage(6, 5, 2, 192, 4),
    stage(6, 3, 1, 320, 1),
];

/// Channels after the first convolution.
const STEM: usize = 32;

/// Channels before the head.
const LAST: usize = 1280;

/// Stem, stages of inverted residual blocks, a last convolution, global average, head.
pub(super) struct EfficientNet {
    stem: (Conv2d, BatchNorm2d),
    blocks: Vec<InvertedResidual>,
    last: (Conv2d, BatchNorm2d),
    classifier: Linear,
}

fn conv_norm(
    schema: &mut Schema,
    name: &str,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
) -> (Conv2d, BatchNorm2d) {
    let shape = ConvShape {
        inputs,
        outputs,
        kernel,
        stride,
        padding: kernel / 2,
    };
    let conv = Conv2d::before_norm(schema, &format!("{name}.0"), shape);
    (conv, BatchNorm2d::new(schema, &format!("{name}.1"), outputs))
}

impl EfficientNet {
    /// The smallest of the family.
    pub(super) fn b0(schema: &mut Schema, input: Input) -> Self {
        let stem = conv_norm(schema, "features.0", input.channels as usize, STEM, 3, 2);
        let mut blocks = Vec::new();
        let mut inputs = STEM;
        for (number, stage) in (1..).zip(&B0) {
            for block in 0..stage.blocks {
                let name = format!("features.{number}.{block}.block");
                let stride = if block == 0 { stage.stride } else { 1 };
                blocks.push(InvertedResidual::new(schema, &name, stage, inputs, stride));
                inputs = stage.outputs;
            }
        }
        Self {
            stem,
            blocks,
            last: conv_norm(schema, "features.8", inputs, LAST, 1, 1),
            classifier: Linear::by_outputs(schema, "classifier.1", LAST, input.classes as usize),
        }
    }
}

impl Network for EfficientNet {
    fn forward(&self, pass: &mut Pass, images: Tensor<4>) -> Result<Tensor<2>, LoneValue> {
        let x = self.stem.0.forward(pass, images);
        let mut x = self.stem.1.forward(pass, x, Then::Silu)?;
        for block in &self.blocks {
            x = block.forward(pass, x)?;
        }
        let x = self.last.0.forward(pass, x);
        let x = self.last.1.forward(pass, x, Then::Silu)?;
        Ok(self.classifier.forward(pass, ops::plane_means(x)))
    }
}

/// Expansion, depthwise convolution, squeeze and excitation, projection; beside it the input, where shapes allow.
struct InvertedResidual {
    /// Not where it would not widen.
    expand: Option<(Conv2d, BatchNorm2d)>,
    depthwise: (DepthwiseConv2d, BatchNorm2d),
    squeeze: [PixelConv2d; 2],
    project: (Conv2d, BatchNorm2d),
    residual: Residual,
}

/// Whether the input is added to a block's output.
enum Residual {
    Added,
    None,
}

impl InvertedResidual {
    fn new(schema: &mut Schema, name: &str, stage: &Stage, inputs: usize, stride: usize) -> Self {
        let width = inputs * stage.expansion;
        let mut numbers = 0..;
        let mut next = || format!("{name}.{}", numbers.next().unwrap_or_default());
        let expand = (width != inputs).then(|| conv_norm(schema, &next(), inputs, width, 1, 1));
        let part = next();
        let depthwise = (
            DepthwiseConv2d::new(schema, &format!("{part}.0"), width, stage.kernel, stride),
            BatchNorm2d::new(schema, &format!("{part}.1"), width),
        );
        let part = next();
        // A quarter of what goes into the block, not of its width.
        let squeezed = (inputs / 4).max(1);
        let squeeze = [
            PixelConv2d::new(schema, &format!("{part}.fc1"), width, squeezed),
            PixelConv2d::new(schema, &format!("{part}.fc2"), squeezed, width),
        ];
        let project = conv_norm(schema, &next(), width, stage.outputs, 1, 1);
        let residual = if stride == 1 && inputs == stage.outputs {
            Residual::Added
        } else {
            Residual::None
        };
        Self {
            expand,
            depthwise,
            squeeze,
            project,
            residual,
        }
    }

    fn forward(&self, pass: &mut Pass, input: Tensor<4>) -> Result<Tensor<4>, LoneValue> {
        let x = match &self.expand {
            Some((conv, norm)) => {
                let x = conv.forward(pass, input.clone());
                norm.then_conv(pass, x, Activation::Silu, &self.depthwise.0)?
            }
            None => self.depthwise.0.forward(pass, input.clone()),
        };
        let x = self.depthwise.1.forward(pass, x, Then::Silu)?;
        let [fc1, fc2] = &self.squeeze;
        let hidden = fc1.forward(pass, ops::plane_means(x.clone()));
        let hidden = hidden.clone() * sigmoid(hidden);
        let x = ops::gate(x, sigmoid(fc2.forward(pass, hidden)));
        let x = self.project.0.forward(pass, x);
        let x = self.project.1.forward(pass, x, Then::Nothing)?;
        Ok(match self.residual {
            Residual::Added => x + input,
            Residual::None => x,
        })
    }
}
