//! The tensors of every network by name and shape, so that a planner can prove what a specification says about them and tell
//! how large a model is.
//!
//! In: an [`Arch`], and what it is built for. Out: tensors as in torchvision's state dictionaries, in their order. Start at
//! [`Arch::tensors`].

use crate::{aggregation::NamePattern, training::Arch};

/// What a network is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fits {
    /// Image channels.
    pub channels: u32,
    /// Image width and height in pixels.
    pub image_size: u32,
    /// Number of classes or labels.
    pub classes: u32,
}

/// A tensor of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its shape; empty for a single number.
    pub shape: Vec<usize>,
    /// What it holds.
    pub holds: Holds,
}

/// What a tensor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Values that follow gradients, of a part of the network.
    Trained(Layer),
    /// Running statistics of a normalisation layer.
    Statistic,
    /// The number of batches a normalisation layer has seen: one 64-bit integer.
    Counter,
}

impl Tensor {
    /// Number of values.
    pub fn values(&self) -> u64 {
        self.shape.iter().map(|&side| side as u64).product()
    }
}

/// A trained tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it belongs to.
    pub layer: Layer,
}

/// What a trained tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A normalisation layer.
    Norm,
    /// The last layer, whose outputs are the classes or labels.
    Head,
    /// Another layer.
    Other,
}

impl Arch {
    /// The pattern of the names of the last layer's tensors.
    ///
    /// # Example
    /// ```
    /// use contract::training::Arch;
    /// assert!(Arch::Resnet18.head().matches("fc.weight"));
    /// ```
    pub fn head(self) -> NamePattern {
        NamePattern::from(match self {
            Arch::SmallCnn | Arch::SmallCnnBn => "fc2.*",
            Arch::Resnet18 | Arch::Resnet50 => "fc.*",
            Arch::Densenet121 | Arch::EfficientnetB0 => "classifier.*",
        })
    }

    /// The smallest side of an image from which every layer gets at least a pixel and normalisation more than one.
    pub const fn least_image_size(self) -> u32 {
        match self {
            Arch::SmallCnn | Arch::SmallCnnBn => 4,
            Arch::Resnet18 | Arch::Resnet50 | Arch::Densenet121 | Arch::EfficientnetB0 => 32,
        }
    }

    /// Every tensor of a model, in the order of its file.
    ///
    /// # Example
    /// ```
    /// use contract::{networks::{Fits, Holds}, training::Arch};
    /// let tensors = Arch::Resnet18.tensors(Fits { channels: 3, image_size: 224, classes: 2 });
    /// let trained = tensors.iter().filter(|tensor| matches!(tensor.holds, Holds::Trained(_)));
    /// assert_eq!(trained.map(|tensor| tensor.values()).sum::<u64>(), 11_177_538);
    /// ```
    pub fn tensors(self, fits: Fits) -> Vec<Tensor> {
        let mut list = List {
            tensors: Vec::new(),
            fits,
        };
        match self {
            Arch::SmallCnn => list.small_cnn(Normalised::No),
            Arch::SmallCnnBn => list.small_cnn(Normalised::Yes),
            Arch::Resnet18 => list.resnet([2, 2, 2, 2], Block::Basic),
            Arch::Resnet50 => list.resnet([3, 4, 6, 3], Block::Bottleneck),
            Arch::Densenet121 => list.densenet([6, 12, 24, 16]),
            Arch::EfficientnetB0 => list.efficientnet(),
        }
        list.tensors
    }

    /// Every trained tensor, in the order of the network's layers.
    pub fn parameters(self) -> Vec<Parameter> {
        // Names depend on no size.
        let fits = Fits {
            channels: 1,
            image_size: self.least_image_size(),
            classes: 2,
        };
        let tensors = self.tensors(fits).into_iter();
        tensors
            .filter_map(|Tensor { name, holds, .. }| match holds {
                Holds::Trained(layer) => Some(Parameter { name, layer }),
                Holds::Statistic | Holds::Counter => None,
            })
            .collect()
    }
}

/// Whether there is normalisation after a convolution.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Normalised {
    No,
    Yes,
}

/// What a stage of a ResNet is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1; four times as wide at its end.
    Bottleneck,
}

/// A stage of EfficientNet-B0.
struct Stage {
    /// How much a block widens before its depthwise convolution.
    expansion: usize,
    kernel: usize,
    outputs: usize,
    blocks: usize,
}

const fn stage(expansion: usize, kernel: usize, outputs: usize, blocks: usize) -> Stage {
    Stage {
        expansion,
        kernel,
        outputs,
        blocks,
    }
}

struct List {
    tensors: Vec<Tensor>,
    fits: Fits,
}

impl List {
    fn tensor(&mut self, name: &str, part: &str, shape: &[usize], holds: Holds) {
        self.tensors.push(Tensor {
            name: format!("{name}.{part}"),
            shape: shape.to_vec(),
            holds,
        });
    }

    /// A square convolution without a bias.
    fn conv(&mut self, name: &str, outputs: usize, inputs: usize, kernel: usize) {
        let shape = [outputs, inputs, kernel, kernel];
        self.tensor(name, "weight", &shape, Holds::Trained(Layer::Other));
    }

    fn bias(&mut self, name: &str, outputs: usize, layer: Layer) {
        self.tensor(name, "bias", &[outputs], Holds::Trained(layer));
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.tensor(name, "weight", &[channels], Holds::Trained(Layer::Norm));
        self.bias(name, channels, Layer::Norm);
        self.tensor(name, "running_mean", &[channels], Holds::Statistic);
        self.tensor(name, "running_var", &[channels], Holds::Statistic);
        self.tensor(name, "num_batches_tracked", &[], Holds::Counter);
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize, layer: Layer) {
        self.tensor(name, "weight", &[outputs, inputs], Holds::Trained(layer));
        self.bias(name, outputs, layer);
    }

    fn head(&mut self, name: &str, inputs: usize) {
        self.linear(name, self.fits.classes as usize, inputs, Layer::Head);
    }

    fn channels(&self) -> usize {
        self.fits.channels as usize
    }

    fn small_cnn(&mut self, normalised: Normalised) {
        for (number, outputs, inputs) in [(1, 16, self.channels()), (2, 32, 16)] {
            let name = format!("conv{number}");
            self.conv(&name, outputs, inputs, 3);
            self.bias(&name, outputs, Layer::Other);
            if normalised == Normalised::Yes {
                self.norm(&format!("norm{number}"), outputs);
            }
        }
        // Pooled twice.
        let side = self.fits.image_size as usize / 2 / 2;
        self.linear("fc1", 64, 32 * side * side, Layer::Other);
        self.head("fc2", 64);
    }

    /// `blocks` of each stage.
    fn resnet(&mut self, blocks: [usize; 4], kind: Block) {
        self.conv("conv1", 64, self.channels(), 7);
        self.norm("bn1", 64);
        let mut inputs = 64;
        for ((stage, width), blocks) in (1..).zip([64, 128, 256, 512]).zip(blocks) {
            for block in 0..blocks {
                let name = format!("layer{stage}.{block}");
                // Outputs and kernel of each convolution.
                let convs = match kind {
                    Block::Basic => vec![(width, 3), (width, 3)],
                    Block::Bottleneck => vec![(width, 1), (width, 3), (4 * width, 1)],
                };
                let (mut last, outputs) = (inputs, convs[convs.len() - 1].0);
                for (number, (outputs, kernel)) in (1..).zip(convs) {
                    self.conv(&format!("{name}.conv{number}"), outputs, last, kernel);
                    self.norm(&format!("{name}.bn{number}"), outputs);
                    last = outputs;
                }
                // A shortcut is a convolution where width or stride changes; bottlenecks change the width at once.
                if block == 0 && (stage > 1 || kind == Block::Bottleneck) {
                    self.conv(&format!("{name}.downsample.0"), outputs, inputs, 1);
                    self.norm(&format!("{name}.downsample.1"), outputs);
                }
                inputs = outputs;
            }
        }
        self.head("fc", inputs);
    }

    fn densenet(&mut self, layers: [usize; 4]) {
        /// Channels a layer adds.
        const GROWTH: usize = 32;
        let mut channels = 64;
        self.conv("features.conv0", channels, self.channels(), 7);
        self.norm("features.norm0", channels);
        for (block, layers) in (1..).zip(layers) {
            for layer in 1..=layers {
                let name = format!("features.denseblock{block}.denselayer{layer}");
                self.norm(&format!("{name}.norm1"), channels);
                self.conv(&format!("{name}.conv1"), 4 * GROWTH, channels, 1);
                self.norm(&format!("{name}.norm2"), 4 * GROWTH);
                self.conv(&format!("{name}.conv2"), GROWTH, 4 * GROWTH, 3);
                channels += GROWTH;
            }
            if block < 4 {
                let name = format!("features.transition{block}");
                self.norm(&format!("{name}.norm"), channels);
                self.conv(&format!("{name}.conv"), channels / 2, channels, 1);
                channels /= 2;
            }
        }
        self.norm("features.norm5", channels);
        self.head("classifier", channels);
    }

    fn efficientnet(&mut self) {
        const STAGES: [Stage; 7] = [
            stage(1, 3, 16, 1),
            stage(6, 3, 24, 2),
            stage(6, 5, 40, 2),
            stage(6, 3, 80, 3),
            stage(6, 5, 112, 3),
            stage(6, 5, 192, 4),
            stage(6, 3, 320, 1),
        ];
        const LAST: usize = 1280;
        let mut inputs = 32;
        self.conv_norm("features.0", inputs, self.channels(), 3);
        for (number, stage) in (1..).zip(STAGES) {
            for block in 0..stage.blocks {
                self.inverted_residual(&format!("features.{number}.{block}.block"), &stage, inputs);
                inputs = stage.outputs;
            }
        }
        self.conv_norm("features.8", LAST, inputs, 1);
        self.head("classifier.1", LAST);
    }

    fn conv_norm(&mut self, name: &str, outputs: usize, inputs: usize, kernel: usize) {
        self.conv(&format!("{name}.0"), outputs, inputs, kernel);
        self.norm(&format!("{name}.1"), outputs);
    }

    fn inverted_residual(&mut self, name: &str, stage: &Stage, inputs: usize) {
        let width = inputs * stage.expansion;
        let mut parts = (0..).map(|part| format!("{name}.{part}"));
        let mut next = || parts.next().unwrap_or_default();
        if width != inputs {
            self.conv_norm(&next(), width, inputs, 1);
        }
        // Depthwise: one input for each output.
        self.conv_norm(&next(), width, 1, stage.kernel);
        let (gate, squeezed) = (next(), (inputs / 4).max(1));
        for (part, outputs, inputs) in [("fc1", squeezed, width), ("fc2", width, squeezed)] {
            let name = format!("{gate}.{part}");
            self.conv(&name, outputs, inputs, 1);
            self.bias(&name, outputs, Layer::Other);
        }
        self.conv_norm(&next(), stage.outputs, width, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// SHA-256 of the names, a line each: torchvision 0.29.2's `named_parameters()` gives these.
    #[test]
    fn names_are_torchvisions() {
        let digest = |arch: Arch| {
            let names: Vec<String> = arch.parameters().into_iter().map(|p| p.name).collect();
            let hex: String = Sha256::digest(names.join("\n"))
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            (names.len(), hex[..16].to_owned())
        };
        assert_eq!(digest(Arch::Resnet18), (62, "1f53fdf2e1aa7094".to_owned()));
        assert_eq!(digest(Arch::Resnet50), (161, "ffdf42b2cdf61bc7".to_owned()));
        assert_eq!(digest(Arch::Densenet121), (364, "124dd26d8094d764".to_owned()));
        assert_eq!(digest(Arch::EfficientnetB0), (213, "d0c9d5fba584c25e".to_owned()));
    }

    #[test]
    fn every_network_has_one_head_of_weight_and_bias() {
        for &arch in Arch::ALL {
            let parameters = arch.parameters();
            let heads: Vec<&str> = parameters
                .iter()
                .filter(|parameter| arch.head().matches(&parameter.name))
                .map(|parameter| parameter.name.as_str())
                .collect();
            assert_eq!(heads.len(), 2, "{arch}: {heads:?}");
            let marked = parameters
                .iter()
                .filter(|parameter| parameter.layer == Layer::Head);
            assert_eq!(marked.map(|p| p.name.as_str()).collect::<Vec<_>>(), heads);
            let norms = parameters
                .iter()
                .filter(|parameter| parameter.layer == Layer::Norm)
                .count();
            assert_eq!(norms == 0, arch == Arch::SmallCnn);
        }
    }
}
