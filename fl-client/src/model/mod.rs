//! Networks: which tensors they have, how those start, and how images become class scores.
//!
//! In: an architecture and the shape of its input. Out: a [`Model`], whose [`Model::tensors`] fix names, shapes and order
//! of [`Weights`], and whose [`Model::forward`] computes with them inside a [`Pass`].
//! Start at [`Model::new`]. Another network is one more file beside `small_cnn` and one more line there.

mod broadcast;
mod densenet;
mod efficientnet;
mod frozen;
mod import;
mod layers;
mod pass;
mod resnet;
mod schema;
mod small_cnn;
mod weights;

use std::{collections::BTreeSet, ops::Range};

use burn::tensor::Tensor;
use contract::training::Arch;

pub use frozen::Frozen;
pub use import::import;
pub use pass::{LoneValue, Mode, Pass, StepResult};
pub use schema::{Role, Start, TensorSpec};
pub use weights::{ModelFile, Weights};

use crate::device::Place;
use schema::Schema;
use small_cnn::Normalized;

/// The largest image side accepted, in pixels.
const MAX_IMAGE_SIZE: u32 = 4096;

/// The most classes accepted: labels are `u8`.
const MAX_CLASSES: u32 = 256;

/// The shape of what goes into a network and comes out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Image channels: 1, or 3 equal ones for networks that started from colour photographs.
    pub channels: u32,
    /// Image width and height in pixels.
    pub image_size: u32,
    /// Number of classes.
    pub classes: u32,
}

/// Why there is no such network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Neither grey nor three equal channels.
    #[error("a network takes 1 or 3 image channels, not {0}")]
    Channels(u32),
    /// Nothing to tell apart, or more than labels can name.
    #[error("a network tells 2 to {MAX_CLASSES} classes apart, not {0}")]
    Classes(u32),
    /// Images too small for the pooling layers, or absurdly large.
    #[error("{arch} takes images of {least} to {MAX_IMAGE_SIZE} pixels a side, not {given}")]
    ImageSize {
        /// The network.
        arch: Arch,
        /// The smallest side it takes.
        least: u32,
        /// The side asked for.
        given: u32,
    },
}

/// What a network computes.
trait Network: Send + Sync {
    /// Class scores (logits), N × classes, of images, N × channels × height × width.
    fn forward(&self, pass: &mut Pass, images: Tensor<4>) -> Result<Tensor<2>, LoneValue>;
}

/// A network without its weights, and where it computes.
pub struct Model {
    place: Place,
    arch: Arch,
    input: Input,
    tensors: Vec<TensorSpec>,
    network: Box<dyn Network>,
}

impl Model {
    /// The network `arch` for images and classes as in `input`, on the CPU.
    ///
    /// # Errors
    /// [`ModelError`] with the value that does not fit.
    pub fn new(arch: Arch, input: Input) -> Result<Self, ModelError> {
        let Input {
            channels,
            image_size,
            classes,
        } = input;
        if !matches!(channels, 1 | 3) {
            return Err(ModelError::Channels(channels));
        }
        if !(2..=MAX_CLASSES).contains(&classes) {
            return Err(ModelError::Classes(classes));
        }
        let least = match arch {
            Arch::SmallCnn | Arch::SmallCnnBn => small_cnn::LEAST_IMAGE_SIZE,
            Arch::Resnet18 | Arch::Resnet50 | Arch::EfficientnetB0 => 1,
            Arch::Densenet121 => densenet::LEAST_IMAGE_SIZE,
        };
        if !(least..=MAX_IMAGE_SIZE).contains(&image_size) {
            return Err(ModelError::ImageSize {
                arch,
                least,
                given: image_size,
            });
        }
        let mut schema = Schema::default();
        let network: Box<dyn Network> = match arch {
            Arch::SmallCnn => Box::new(small_cnn::SmallCnn::new(&mut schema, input, Normalized::No)),
            Arch::SmallCnnBn => Box::new(small_cnn::SmallCnn::new(&mut schema, input, Normalized::Yes)),
            Arch::Resnet18 => Box::new(resnet::ResNet::resnet18(&mut schema, input)),
            Arch::Resnet50 => Box::new(resnet::ResNet::resnet50(&mut schema, input)),
            Arch::Densenet121 => Box::new(densenet::DenseNet::densenet121(&mut schema, input)),
            Arch::EfficientnetB0 => Box::new(efficientnet::EfficientNet::b0(&mut schema, input)),
        };
        Ok(Self {
            place: Place::cpu(),
            arch,
            input,
            tensors: schema.into_tensors(),
            network,
        })
    }

    /// The same network, computing at `place`.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Where the network computes.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The architecture.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The shape of input and output.
    pub fn input(&self) -> Input {
        self.input
    }

    /// Every tensor, in the order of the file.
    pub fn tensors(&self) -> &[TensorSpec] {
        &self.tensors
    }

    /// Number of trained values.
    pub fn parameters(&self) -> usize {
        self.tensors
            .iter()
            .filter(|tensor| tensor.role == Role::Trained)
            .map(TensorSpec::len)
            .sum()
    }

    /// The places of the head's tensors: weight and bias of the last layer.
    pub fn head(&self) -> Range<usize> {
        self.tensors.len() - 2..self.tensors.len()
    }

    /// The places of the tensors of normalisation layers, in order: scales, shifts, running statistics and counters.
    pub fn norms(&self) -> Vec<usize> {
        let specs = &self.tensors;
        // A layer with running statistics is one that normalises.
        let layers: BTreeSet<&str> = specs
            .iter()
            .filter_map(|spec| spec.name.strip_suffix(".running_mean"))
            .collect();
        let within = |spec: &TensorSpec| {
            let layer = spec.name.rsplit_once('.').map(|(layer, _)| layer);
            layer.is_some_and(|layer| layers.contains(layer))
        };
        let places = specs.iter().enumerate().filter(|(_, spec)| within(spec));
        places.map(|(place, _)| place).collect()
    }

    /// Class scores (logits), N × classes, of images, N × channels × height × width.
    ///
    /// # Errors
    /// [`LoneValue`] while training, if a normalisation layer sees a single value per channel.
    pub fn forward(&self, pass: &mut Pass, images: Tensor<4>) -> Result<Tensor<2>, LoneValue> {
        self.network.forward(pass, images)
    }
}

#[cfg(test)]
mod tests {
    use contract::networks::{Fits, Holds};

    use super::*;

    fn model(arch: Arch, channels: u32, image_size: u32, classes: u32) -> Result<Model, ModelError> {
        Model::new(
            arch,
            Input {
                channels,
                image_size,
                classes,
            },
        )
    }

    #[test]
    fn the_reference_network_has_105346_parameters() {
        assert_eq!(model(Arch::SmallCnn, 1, 28, 2).unwrap().parameters(), 105_346);
    }

    #[test]
    fn resnet18_has_the_tensors_of_torchvision() {
        let model = model(Arch::Resnet18, 3, 224, 2).unwrap();
        assert_eq!(model.parameters(), 11_177_538);
        assert_eq!(model.tensors().len(), 122);
        let shape_of = |name: &str| {
            let found = model.tensors().iter().find(|tensor| tensor.name == name);
            found.map(|tensor| tensor.shape.clone())
        };
        assert_eq!(model.tensors()[0].name, "conv1.weight");
        assert_eq!(
            shape_of("layer2.0.downsample.0.weight"),
            Some(vec![128, 64, 1, 1])
        );
        assert_eq!(shape_of("layer4.1.bn2.num_batches_tracked"), Some(vec![]));
        assert_eq!(shape_of("layer1.0.downsample.0.weight"), None);
        assert_eq!(shape_of("fc.weight"), Some(vec![2, 512]));
    }

    #[test]
    fn planners_know_every_tensor() {
        for &arch in Arch::ALL {
            let (channels, image_size, classes) = (3, 64, 5);
            let fits = Fits {
                channels,
                image_size,
                classes,
            };
            let known: Vec<_> = arch
                .tensors(fits)
                .into_iter()
                .map(|tensor| (tensor.name, tensor.shape, tensor.holds))
                .collect();
            let model = model(arch, channels, image_size, classes).unwrap();
            assert_eq!(known.len(), model.tensors().len(), "{arch}");
            for ((name, shape, holds), spec) in known.iter().zip(model.tensors()) {
                assert_eq!((name, shape), (&spec.name, &spec.shape), "{arch}");
                let role = match holds {
                    Holds::Trained(_) => Role::Trained,
                    Holds::Statistic => Role::Statistic,
                    Holds::Counter => Role::Counter,
                };
                assert_eq!(role, spec.role, "{arch}: {name}");
            }
        }
    }

    #[test]
    fn shapes_no_network_takes_are_refused_by_value() {
        let refused = |channels, size, classes| model(Arch::SmallCnn, channels, size, classes).err();
        assert_eq!(refused(2, 28, 2), Some(ModelError::Channels(2)));
        assert_eq!(refused(1, 28, 1), Some(ModelError::Classes(1)));
        let small = ModelError::ImageSize {
            arch: Arch::SmallCnn,
            least: 4,
            given: 3,
        };
        assert_eq!(refused(1, 3, 2), Some(small));
        assert_eq!(refused(1, 4, 2), None);
    }
}
