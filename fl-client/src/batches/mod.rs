//! Samples in batches: pixels of one or more shards become normalised tensors.
//!
//! In: checked [`Shard`]s. Out: [`Batch`]es of `f32` pixels and labels. Start at [`Samples::new`]; [`loader`] makes batches
//! ahead of time, [`augment`] varies images on the way.

pub mod augment;
pub mod loader;

use contract::{job::JobError, training::Target};
use rayon::prelude::*;

use crate::{
    data::shard::{Pixels, Shard},
    model::Input,
};
use augment::{Draw, Variation};

/// The samples of some shards, one after another.
#[derive(Debug)]
pub struct Samples<'a> {
    shards: Vec<&'a Shard>,
    target: Target,
    /// Index of each shard's first sample, then the number of all.
    starts: Vec<usize>,
    input: Input,
    /// What each 8-bit pixel value becomes: scaled to 0..1, minus the mean, over the standard deviation.
    normalized: [f32; 256],
    /// The mean and the standard deviation.
    normalize: (f64, f64),
}

/// Some samples as a network takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// N × channels × height × width.
    pub pixels: Vec<f32>,
    /// N × channels × height × width.
    pub shape: [usize; 4],
    /// Class indices, N; with several labels an image 0 and 1 for each, N × labels.
    pub labels: Vec<u8>,
}

impl<'a> Samples<'a> {
    /// Joins shards in order, for a network that takes `input`.
    ///
    /// The caller has checked that size and classes of each shard are those of `input`.
    ///
    /// # Errors
    /// `InputInvalid` if two shards normalise pixels differently; they were not prepared together then.
    pub fn new(shards: &[(&std::path::Path, &'a Shard)], input: Input) -> Result<Self, JobError> {
        let mut starts = vec![0];
        let mut common = None;
        for (path, shard) in shards {
            starts.push(starts[starts.len() - 1] + shard.len());
            let (mean, std) = *common.get_or_insert(shard.normalize());
            if shard.normalize() != (mean, std) {
                let (found_mean, found_std) = shard.normalize();
                let reason = format!(
                    "its pixels are to be normalised by mean {found_mean} and deviation {found_std}, those of the shards \
                     before it by {mean} and {std}"
                );
                return Err(
                    JobError::invalid(path, reason).help("prepare all shards of the dataset together")
                );
            }
        }
        let (mean, std) = common.unwrap_or((0.0, 1.0));
        let normalized = std::array::from_fn(|value| ((value as f64 / 255.0 - mean) / std) as f32);
        Ok(Self {
            shards: shards.iter().map(|(_, shard)| *shard).collect(),
            target: shards
                .first()
                .map_or(Target::Classes, |(_, shard)| shard.header().target),
            starts,
            input,
            normalized,
            normalize: (mean, std),
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What labels are about.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The shards, in order.
    pub fn shards(&self) -> impl Iterator<Item = &'a Shard> {
        self.shards.iter().copied()
    }

    fn locate(&self, sample: usize) -> (&'a Shard, usize) {
        let shard = self.starts.partition_point(|start| *start <= sample) - 1;
        (self.shards[shard], sample - self.starts[shard])
    }

    /// The labels of a sample: its class index, or 0 and 1 for each label.
    ///
    /// # Panics
    /// If the index is not below [`Samples::len`].
    pub fn labels(&self, sample: usize) -> &'a [u8] {
        let (shard, index) = self.locate(sample);
        let columns = shard.label_columns();
        &shard.labels()[index * columns..(index + 1) * columns]
    }

    /// The samples with these indices, computed by all threads.
    ///
    /// # Panics
    /// If an index is not below [`Samples::len`].
    pub fn batch(&self, indices: &[usize]) -> Batch {
        let mut batch = self.empty(indices);
        batch
            .pixels
            .par_chunks_mut(self.image_len())
            .zip(indices)
            .for_each(|(image, sample)| self.fill(image, *sample, None));
        batch
    }

    /// The samples with these indices, varied if asked for, computed by this thread.
    ///
    /// # Panics
    /// If an index is not below [`Samples::len`].
    pub fn varied(&self, indices: &[usize], variation: Option<Variation<'_>>) -> Batch {
        let mut batch = self.empty(indices);
        for (image, sample) in batch.pixels.chunks_exact_mut(self.image_len()).zip(indices) {
            let draw = variation.map(|variation| variation.of(*sample));
            self.fill(image, *sample, draw.filter(|draw| !draw.is_identity()));
        }
        batch
    }

    /// Values of one image: channels × height × width.
    fn image_len(&self) -> usize {
        let side = self.input.image_size as usize;
        self.input.channels as usize * side * side
    }

    /// Bytes of a batch of so many samples.
    pub fn batch_bytes(&self, samples: usize) -> u64 {
        (samples * self.image_len() * size_of::<f32>()) as u64
    }

    fn empty(&self, indices: &[usize]) -> Batch {
        let (channels, side) = (self.input.channels as usize, self.input.image_size as usize);
        Batch {
            pixels: vec![0.0; indices.len() * self.image_len()],
            shape: [indices.len(), channels, side, side],
            labels: indices
                .iter()
                .flat_map(|sample| self.labels(*sample))
                .copied()
                .collect(),
        }
    }

    /// Writes a sample's normalised pixels to every channel of `image`.
    fn fill(&self, image: &mut [f32], sample: usize, draw: Option<Draw>) {
        let side = self.input.image_size as usize;
        let plane = side * side;
        let (shard, index) = self.locate(sample);
        let grey = shard.pixels().slice(index * plane..(index + 1) * plane);
        let (mean, std) = self.normalize;
        let deep = |value: [u8; 2]| f64::from(u16::from_le_bytes(value)) / 65_535.0;
        let (first, others) = image.split_at_mut(plane);
        match (draw, grey) {
            (None, Pixels::U8(grey)) => {
                for (pixel, value) in first.iter_mut().zip(grey) {
                    *pixel = self.normalized[usize::from(*value)];
                }
            }
            (None, Pixels::U16(grey)) => {
                for (pixel, value) in first.iter_mut().zip(grey) {
                    *pixel = ((deep(*value) - mean) / std) as f32;
                }
            }
            (Some(draw), grey) => {
                let grey: Vec<f32> = match grey {
                    Pixels::U8(grey) => grey.iter().map(|value| f32::from(*value) / 255.0).collect(),
                    Pixels::U16(grey) => grey.iter().map(|value| deep(*value) as f32).collect(),
                };
                for (pixel, value) in first.iter_mut().zip(draw.apply(&grey, side)) {
                    *pixel = ((f64::from(value) - mean) / std) as f32;
                }
            }
        }
        for channel in others.chunks_exact_mut(plane) {
            channel.copy_from_slice(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use contract::{
        dataset::{Depth, Split},
        ids::ClientId,
        tensors::{Header, TensorKind},
        units::SampleCount,
    };

    use super::*;
    use crate::data::shard;

    /// A shard of 2×2 images, all pixels of one sample equal.
    fn shard(dir: &Path, client: u32, greys: &[u8], labels: &[u8], mean: f64) -> (PathBuf, Shard) {
        let header = Header {
            kind: TensorKind::Shard,
            experiment: "e1".parse().unwrap(),
            dataset: "nih".parse().unwrap(),
            spec_digest: "0".repeat(64).parse().unwrap(),
            synthetic: false,
            round: None,
            client: Some(ClientId(client)),
            num_samples: SampleCount(greys.len() as u64),
            arch: None,
            channels: 3,
            image_size: 2,
            num_classes: 2,
            target: contract::training::Target::Classes,
            classes: vec!["a".to_owned(), "b".to_owned()],
            normalize: Some((mean, 0.5)),
        };
        let path = dir.join(format!("c{client}.st"));
        let contents = shard::Contents {
            header: &header,
            split: Split::Train,
            depth: Depth::U8,
            labels,
            patients: &vec![[0; 16]; labels.len()],
            source_digest: &"0".repeat(64),
        };
        shard::write(&path, &contents, |rows| {
            greys.iter().try_for_each(|grey| rows.push(&[*grey; 4]))
        })
        .unwrap();
        let shard = Shard::open(&path).unwrap();
        (path, shard)
    }

    const INPUT: Input = Input {
        channels: 3,
        image_size: 2,
        classes: 2,
    };

    #[test]
    fn a_batch_takes_samples_across_shards_and_repeats_grey_in_every_channel() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (
            shard(dir.path(), 0, &[0, 255], &[0, 1], 0.5),
            shard(dir.path(), 1, &[51], &[1], 0.5),
        );
        let samples = Samples::new(&[(&first.0, &first.1), (&second.0, &second.1)], INPUT).unwrap();
        assert_eq!(samples.len(), 3);
        let batch = samples.batch(&[2, 0, 1]);
        assert_eq!((batch.shape, batch.labels), ([3, 3, 2, 2], vec![1, 0, 1]));
        // (51/255 - 0.5)/0.5 = -0.6
        let expected = [[-0.6; 12], [-1.0; 12], [1.0; 12]].concat();
        assert_eq!(batch.pixels, expected);
    }

    #[test]
    fn sixteen_bits_a_pixel_are_scaled_to_the_same_range() {
        let dir = tempfile::tempdir().unwrap();
        let (_, eight) = shard(dir.path(), 0, &[0], &[0], 0.5);
        let mut header = eight.header().clone();
        header.client = Some(ClientId(1));
        let contents = shard::Contents {
            header: &header,
            split: Split::Train,
            depth: Depth::U16,
            labels: &[1],
            patients: &[[0; 16]],
            source_digest: &"0".repeat(64),
        };
        let path = dir.path().join("deep.st");
        let values = [0u16, 13_107, 26_214, 65_535].map(u16::to_le_bytes);
        shard::write(&path, &contents, |rows| rows.push(values.as_flattened())).unwrap();
        let deep = Shard::open(&path).unwrap();
        let samples = Samples::new(&[(&path, &deep)], INPUT).unwrap();
        // (13107/65535 - 0.5)/0.5 = -0.6, (26214/65535 - 0.5)/0.5 = -0.2
        assert_eq!(samples.batch(&[0]).pixels, [[-1.0, -0.6, -0.2, 1.0]; 3].concat());
    }

    #[test]
    fn shards_normalised_differently_do_not_join() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (
            shard(dir.path(), 0, &[0], &[0], 0.5),
            shard(dir.path(), 1, &[0], &[0], 0.4),
        );
        let error = Samples::new(&[(&first.0, &first.1), (&second.0, &second.1)], INPUT)
            .err()
            .unwrap();
        assert_eq!(error.exit, contract::exit::JobExit::InputInvalid);
        assert_eq!(error.file, Some(second.0));
    }
}
