//! Samples in batches: pixels of one or more shards become normalised tensors.
//!
//! In: checked [`Shard`]s. Out: [`Batch`]es of `f32` pixels and class indices. Start at [`Samples::new`].

use contract::job::JobError;
use rayon::prelude::*;

use crate::{data::shard::Shard, model::Input};

/// The samples of some shards, one after another.
pub struct Samples<'a> {
    shards: Vec<&'a Shard>,
    /// Index of each shard's first sample, then the number of all.
    starts: Vec<usize>,
    input: Input,
    /// What each pixel value becomes: scaled to 0..1, minus the mean, over the standard deviation.
    normalized: [f32; 256],
}

/// Some samples as a network takes them.
pub struct Batch {
    /// N × channels × height × width.
    pub pixels: Vec<f32>,
    /// N × channels × height × width.
    pub shape: [usize; 4],
    /// Class indices, N.
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
            starts,
            input,
            normalized,
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

    /// The class of every sample, in order.
    pub fn labels(&self) -> impl Iterator<Item = u8> {
        self.shards
            .iter()
            .flat_map(|shard| shard.labels().iter().copied())
    }

    fn locate(&self, sample: usize) -> (&'a Shard, usize) {
        let shard = self.starts.partition_point(|start| *start <= sample) - 1;
        (self.shards[shard], sample - self.starts[shard])
    }

    /// The samples with these indices.
    ///
    /// # Panics
    /// If an index is not below [`Samples::len`].
    pub fn batch(&self, indices: &[usize]) -> Batch {
        let side = self.input.image_size as usize;
        let (channels, plane) = (self.input.channels as usize, side * side);
        let mut pixels = vec![0.0; indices.len() * channels * plane];
        pixels
            .par_chunks_mut(channels * plane)
            .zip(indices)
            .for_each(|(image, sample)| {
                let (shard, index) = self.locate(*sample);
                let grey = &shard.images()[index * plane..][..plane];
                for channel in image.chunks_exact_mut(plane) {
                    for (pixel, value) in channel.iter_mut().zip(grey) {
                        *pixel = self.normalized[usize::from(*value)];
                    }
                }
            });
        let label = |sample: &usize| {
            let (shard, index) = self.locate(*sample);
            shard.labels()[index]
        };
        Batch {
            pixels,
            shape: [indices.len(), channels, side, side],
            labels: indices.iter().map(label).collect(),
        }
    }
}
