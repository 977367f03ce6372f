//! Writes a trained model as a masked update, of which only the sum with the other clients' can be read.
//!
//! In: tensors as slices, the update's header, a [`KeyRing`]. Out: a safetensors file in which each floating-point tensor
//! is `U64`: `samples·value` as fixed-point numbers plus this client's masks, modulo 2⁶⁴; integer buffers stay as they
//! are. Start at [`Masks`]. Parameters are counted through all floating-point tensors in the order given, which is the
//! global model's.

use std::{collections::BTreeMap, io, io::Write, path::Path};

use contract::{
    exit::JobExit,
    ids::Round,
    job::{JobError, write_whole},
    secure::{FRACTION_BITS, MASK_CHECK},
    tensors::{Header, MASKED, TensorInfo, encode_header},
};
use kernels::secure::{EncodeError, FixedPoint, Seed, Sign, add_mask, encode};
use rayon::prelude::*;

use crate::keys::KeyRing;

/// Values masked at a time by one thread: half a mebibyte, within the second-level cache. Results do not depend on it.
const BLOCK: usize = 1 << 16;

/// A tensor of a trained model.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Its name, as torchvision's.
    pub name: &'a str,
    /// Its shape; empty for a scalar.
    pub shape: &'a [usize],
    /// Its values.
    pub values: Values<'a>,
}

/// The values of a tensor.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Floating-point, row-major: masked.
    Real(&'a [f32]),
    /// Integers: written as they are.
    Kept {
        /// Their safetensors type, as `I64`.
        dtype: &'a str,
        /// Little-endian, row-major.
        bytes: &'a [u8],
    },
}

/// The masks of one client for one round.
#[derive(Debug)]
pub struct Masks {
    pairs: Vec<(Sign, Seed)>,
    fixed: FixedPoint,
}

impl Masks {
    /// The masks a client shares with every other one in `round`. Cheap: do it before training, to fail early.
    ///
    /// # Errors
    /// `InputInvalid` naming a public key that is none; `Usage` for more clients than sums can hold.
    pub fn new(keys: &KeyRing, round: Round) -> Result<Self, JobError> {
        let own = keys.of().client;
        let fixed = FixedPoint::new(FRACTION_BITS, keys.clients())
            .map_err(|error| JobError::new(JobExit::Usage, error.to_string()))?;
        Ok(Self {
            pairs: keys
                .others()
                .map(|other| Ok((Sign::between(own.0, other.0), keys.seed(round, other)?)))
                .collect::<Result<_, JobError>>()?,
            fixed,
        })
    }

    /// Writes the update: `tensors` in their order, with `header` and `metadata` of the caller beside it.
    ///
    /// The header's sample count multiplies the values. [`MASK_CHECK`] in the metadata is that count itself, masked as the
    /// parameter after the last.
    ///
    /// # Errors
    /// `NotFinite` naming tensor and place of a NaN or infinity; `DataUnfit` naming tensor and value where the sum over
    /// all clients could wrap; `Unexpected` if a shape does not fit its values; `Io` naming the file. No file is left then.
    pub fn write(
        &self,
        path: &Path,
        header: &Header,
        metadata: &[(&str, String)],
        tensors: &[Tensor<'_>],
    ) -> Result<(), JobError> {
        let infos = tensors.iter().map(info).collect::<Result<Vec<_>, _>>()?;
        let parameters: usize = tensors.iter().map(|tensor| tensor.values.real().len()).sum();
        let head = encode_header(&self.metadata(header, metadata, parameters as u64), &infos);
        // A refusal on the way out of a writer that knows of input and output only.
        let mut refused = None;
        let written = write_whole(path, |out| {
            out.write_all(&head)?;
            let (mut first, mut scratch) = (0, Vec::new());
            for tensor in tensors {
                if let Values::Kept { bytes, .. } = tensor.values {
                    out.write_all(bytes)?;
                }
                let values = tensor.values.real();
                self.mask(values, header.num_samples.0, first, &mut scratch)
                    .map_err(|error| {
                        refused = Some(refusal(tensor.name, error));
                        io::Error::other("refused")
                    })?;
                write_numbers(out, &scratch)?;
                first += values.len() as u64;
            }
            Ok(())
        });
        refused.map_or(written, Err)
    }

    /// `values` encoded and masked into `out`; `first` is the index of the first among all parameters.
    fn mask(&self, values: &[f32], samples: u64, first: u64, out: &mut Vec<u64>) -> Result<(), EncodeError> {
        out.resize(values.len(), 0);
        let blocks = out
            .par_chunks_mut(BLOCK)
            .zip(values.par_chunks(BLOCK))
            .enumerate();
        let blocks: Vec<_> = blocks
            .map(|(block, (out, values))| {
                let start = block * BLOCK;
                encode(values, samples, self.fixed, out).map_err(|error| shifted(error, start))?;
                self.add(first + start as u64, out);
                Ok(())
            })
            .collect();
        // The first in order, whichever thread came first.
        blocks.into_iter().collect()
    }

    fn add(&self, first: u64, numbers: &mut [u64]) {
        for (sign, seed) in &self.pairs {
            add_mask(seed, first, *sign, numbers);
        }
    }

    fn metadata(
        &self,
        header: &Header,
        more: &[(&str, String)],
        parameters: u64,
    ) -> BTreeMap<String, String> {
        let mut check = [header.num_samples.0];
        self.add(parameters, &mut check);
        let mut metadata = header.to_metadata();
        metadata.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        metadata.insert(MASKED.to_owned(), self.fixed.fraction_bits().to_string());
        metadata.insert(MASK_CHECK.to_owned(), check[0].to_string());
        metadata
    }
}

impl<'a> Values<'a> {
    fn real(self) -> &'a [f32] {
        match self {
            Values::Real(values) => values,
            Values::Kept { .. } => &[],
        }
    }
}

fn info<'a>(tensor: &Tensor<'a>) -> Result<TensorInfo<'a>, JobError> {
    let Tensor { name, shape, values } = *tensor;
    let (dtype, bytes) = match values {
        Values::Real(values) => ("U64", values.len() * size_of::<u64>()),
        Values::Kept { dtype, bytes } => (dtype, bytes.len()),
    };
    if let Values::Real(values) = values
        && shape.iter().product::<usize>() != values.len()
    {
        let text = format!(
            "tensor `{name}` has {} values and the shape {shape:?}",
            values.len()
        );
        return Err(JobError::new(JobExit::Unexpected, text));
    }
    Ok(TensorInfo {
        name,
        dtype,
        shape,
        bytes,
    })
}

/// The error of a block as that of the tensor in which the block starts at `start`.
fn shifted(mut error: EncodeError, start: usize) -> EncodeError {
    match &mut error {
        EncodeError::NotFinite { index, .. } | EncodeError::TooLarge { index, .. } => *index += start,
        EncodeError::LengthMismatch { .. } => {}
    }
    error
}

fn write_numbers(out: &mut impl Write, numbers: &[u64]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(BLOCK * size_of::<u64>());
    for block in numbers.chunks(BLOCK) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|number| number.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

fn refusal(tensor: &str, error: EncodeError) -> JobError {
    let (exit, help) = match error {
        EncodeError::NotFinite { .. } => (JobExit::NotFinite, "lower the learning rate"),
        EncodeError::TooLarge { .. } => (
            JobExit::DataUnfit,
            "values this large mean that training diverges: lower the learning rate; else aggregate without masks",
        ),
        EncodeError::LengthMismatch { .. } => (JobExit::Unexpected, "this is a defect of fl-client"),
    };
    JobError::new(exit, format!("tensor `{tensor}` cannot be masked: {error}")).help(help)
}
