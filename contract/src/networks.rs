//! The trained tensors of every network by name, so that a planner can prove what a specification says about them.
//!
//! In: an [`Arch`]. Out: names as in torchvision's state dictionaries, in their order. Start at [`Arch::parameters`].

use crate::{aggregation::NamePattern, training::Arch};

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

    /// Every trained tensor, in the order of the network's layers.
    pub fn parameters(self) -> Vec<Parameter> {
        let mut list = List(Vec::new());
        match self {
            Arch::SmallCnn => list.small_cnn(Normalised::No),
            Arch::SmallCnnBn => list.small_cnn(Normalised::Yes),
            Arch::Resnet18 => list.resnet([2, 2, 2, 2], 2),
            Arch::Resnet50 => list.resnet([3, 4, 6, 3], 3),
            Arch::Densenet121 => list.densenet([6, 12, 24, 16]),
            Arch::EfficientnetB0 => list.efficientnet([1, 2, 2, 3, 3, 4, 1]),
        }
        list.0
    }
}

/// Whether there is normalisation after a convolution.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Normalised {
    No,
    Yes,
}

struct List(Vec<Parameter>);

impl List {
    fn tensor(&mut self, name: &str, part: &str, layer: Layer) {
        self.0.push(Parameter {
            name: format!("{name}.{part}"),
            layer,
        });
    }

    fn weight(&mut self, name: &str) {
        self.tensor(name, "weight", Layer::Other);
    }

    fn with_bias(&mut self, name: &str, layer: Layer) {
        self.tensor(name, "weight", layer);
        self.tensor(name, "bias", layer);
    }

    fn small_cnn(&mut self, normalised: Normalised) {
        for number in [1, 2] {
            self.with_bias(&format!("conv{number}"), Layer::Other);
            if normalised == Normalised::Yes {
                self.with_bias(&format!("norm{number}"), Layer::Norm);
            }
        }
        self.with_bias("fc1", Layer::Other);
        self.with_bias("fc2", Layer::Head);
    }

    /// `blocks` of each stage, each of `convs` convolutions.
    fn resnet(&mut self, blocks: [u32; 4], convs: u32) {
        self.weight("conv1");
        self.with_bias("bn1", Layer::Norm);
        for (stage, blocks) in (1..).zip(blocks) {
            for block in 0..blocks {
                let name = format!("layer{stage}.{block}");
                for conv in 1..=convs {
                    self.weight(&format!("{name}.conv{conv}"));
                    self.with_bias(&format!("{name}.bn{conv}"), Layer::Norm);
                }
                // A shortcut is a convolution where width or stride changes; bottlenecks change the width at once.
                if block == 0 && (stage > 1 || convs == 3) {
                    self.weight(&format!("{name}.downsample.0"));
                    self.with_bias(&format!("{name}.downsample.1"), Layer::Norm);
                }
            }
        }
        self.with_bias("fc", Layer::Head);
    }

    fn densenet(&mut self, layers: [u32; 4]) {
        self.weight("features.conv0");
        self.with_bias("features.norm0", Layer::Norm);
        for (block, layers) in (1..).zip(layers) {
            for layer in 1..=layers {
                let name = format!("features.denseblock{block}.denselayer{layer}");
                for conv in [1, 2] {
                    self.with_bias(&format!("{name}.norm{conv}"), Layer::Norm);
                    self.weight(&format!("{name}.conv{conv}"));
                }
            }
            if block < 4 {
                let name = format!("features.transition{block}");
                self.with_bias(&format!("{name}.norm"), Layer::Norm);
                self.weight(&format!("{name}.conv"));
            }
        }
        self.with_bias("features.norm5", Layer::Norm);
        self.with_bias("classifier", Layer::Head);
    }

    /// `blocks` of each of the stages 1 to 7.
    fn efficientnet(&mut self, blocks: [u32; 7]) {
        let conv = |list: &mut Self, name: &str| {
            list.weight(&format!("{name}.0"));
            list.with_bias(&format!("{name}.1"), Layer::Norm);
        };
        conv(self, "features.0");
        for (stage, blocks) in (1..).zip(blocks) {
            for block in 0..blocks {
                let name = |part: u32| format!("features.{stage}.{block}.block.{part}");
                // The first stage does not widen before its depthwise convolution.
                let widened = u32::from(stage > 1);
                for part in 0..=widened {
                    conv(self, &name(part));
                }
                for gate in ["fc1", "fc2"] {
                    self.with_bias(&format!("{}.{gate}", name(widened + 1)), Layer::Other);
                }
                conv(self, &name(widened + 2));
            }
        }
        conv(self, "features.8");
        self.with_bias("classifier.1", Layer::Head);
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
