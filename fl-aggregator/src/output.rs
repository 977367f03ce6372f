//! Combines the updates tensor by tensor and writes the new global model.

use std::{collections::BTreeMap, io, ops::Range, path::Path};

use contract::{
    exit::JobExit,
    job::{self, JobError},
    tensors::{Header, NUM_SAMPLES, TensorInfo, encode_header},
};
use kernels::aggregate::{CombineError, Part, combine};

use crate::{
    inputs::{Inputs, Update},
    tensor_file::Tensor,
};

/// Bytes combined and written at a time; a multiple of the width of every type.
const PIECE: usize = 4 << 20;

/// Writes the combined tensors in the global model's order, with `header`, or where there is none (a model from
/// elsewhere) with the global model's own metadata and the new sample count. Whole or not at all.
///
/// # Errors
/// [`JobError`]: a value that is not finite, with file, tensor and coordinates; or the file cannot be written
pub fn write(path: &Path, inputs: &Inputs, header: Option<&Header>) -> Result<(), JobError> {
    let dtypes: Vec<String> = inputs
        .global
        .tensors
        .iter()
        .map(|tensor| tensor.dtype.to_string())
        .collect();
    let infos: Vec<TensorInfo<'_>> = inputs
        .global
        .tensors
        .iter()
        .zip(&dtypes)
        .map(|(tensor, dtype)| TensorInfo {
            name: &tensor.name,
            dtype,
            shape: &tensor.shape,
            bytes: tensor.byte_length(),
        })
        .collect();
    let encoded = encode_header(&metadata(inputs, header), &infos);

    let mut failure = None;
    let written = job::write_whole(path, |out| {
        io::Write::write_all(out, &encoded)?;
        for number in 0..infos.len() {
            write_tensor(inputs, number, out).map_err(|problem| match problem {
                Problem::Writing(error) => error,
                Problem::Combining(error) => {
                    let stop = io::Error::other(error.to_string());
                    failure = Some(error);
                    stop
                }
            })?;
        }
        Ok(())
    });
    failure.map_or(written, Err)
}

fn metadata(inputs: &Inputs, header: Option<&Header>) -> BTreeMap<String, String> {
    // Keys of the global model that are not ours are kept.
    let mut metadata = inputs.global.metadata.clone();
    match header {
        Some(header) => metadata.extend(header.to_metadata()),
        None => {
            metadata.insert(NUM_SAMPLES.to_owned(), inputs.total_samples.to_string());
        }
    }
    metadata
}

enum Problem {
    Writing(io::Error),
    Combining(JobError),
}

fn write_tensor(inputs: &Inputs, number: usize, out: &mut impl io::Write) -> Result<(), Problem> {
    let tensor = &inputs.global.tensors[number];
    let element = tensor
        .element()
        .expect("types that cannot be combined are refused when the inputs are opened");
    let mut piece = vec![0; PIECE.min(tensor.byte_length())];
    let mut start = 0;
    while start < tensor.byte_length() {
        let length = piece.len().min(tensor.byte_length() - start);
        let piece = &mut piece[..length];
        let part = |update| part(update, number, start..start + length);
        let parts: Vec<Part<'_>> = inputs.updates.iter().map(part).collect();
        combine(element, &parts, piece)
            .map_err(|error| Problem::Combining(explain(inputs, tensor, start / element.width(), &error)))?;
        out.write_all(piece).map_err(Problem::Writing)?;
        start += length;
    }
    Ok(())
}

fn part(update: &Update, number: usize, range: Range<usize>) -> Part<'_> {
    Part {
        bytes: &update.bytes(number)[range],
        samples: update.samples,
    }
}

/// Says which file and which value, given the index of the piece's first value.
fn explain(inputs: &Inputs, tensor: &Tensor, first: usize, error: &CombineError) -> JobError {
    let place = |index: usize| match tensor.shape[..] {
        [] => format!("tensor `{}`", tensor.name),
        _ => format!(
            "tensor `{}` at {:?}",
            tensor.name,
            tensor.coordinates(first + index)
        ),
    };
    match error {
        CombineError::NotFinite { part, index, value } => {
            let file = inputs.updates[*part].file.path();
            let message = format!("`{}`: {} is {value}", file.display(), place(*index));
            JobError::new(JobExit::NotFinite, message)
                .about(file)
                .help("the client's training diverged; a smaller learning rate is the usual way out")
        }
        CombineError::Overflow { index } => JobError::new(
            JobExit::NotFinite,
            format!("the weighted sum of {} overflows", place(*index)),
        ),
        // Counts and lengths were checked when the inputs were opened: a defect of ours.
        other => JobError::new(JobExit::Unexpected, format!("tensor `{}`: {other}", tensor.name)),
    }
}
