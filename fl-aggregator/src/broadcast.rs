//! The global model on its way to the clients: written smaller, and what rounding takes is added to the next one.
//!
//! Clients start from what they can read of what is sent, `s`. With the rule's model `m` (the initial one, or what it made
//! of the updates of clients that started from the `s` before), the global model is `g = m + (g_before - s_before)`, the
//! next `s` is `g` rounded, and so no rounding error adds up over the rounds (error feedback at the server: Tang et al.
//! 2019, DoubleSqueeze, arXiv:1905.05957). Every rule here moves with its clients: what it makes of models that all start
//! `g - s` further on is that much further on.
//!
//! In: `m`, and `g` and `s` of the round before. Out: `g`, `s` and what is sent: trained tensors by their encoding, running
//! statistics and counters as they are. Start at [`run`].

use std::cmp::Reverse;

use contract::{
    args::BroadcastArgs,
    argv::{InputFile, OutputFile},
    exit::JobExit,
    job::JobError,
    tensors::{ENCODING, SCALE_SUFFIX},
    training::Broadcast,
};
use kernels::{
    aggregate::{Element, Float, read_row, write_row},
    codec::{self, EncodeError, Encoded, EncodedTensor, Form, decode_block},
};
use rayon::prelude::*;

use crate::{
    blocks::place,
    distinct,
    tensor_file::{Tensor, TensorFile},
    update::is_encoded,
    written::{NewTensor, Written},
};

/// Writes what `args` ask for.
///
/// # Errors
/// `Usage` for flags that do not go together; `InputMissing`, `InputInvalid` or `Io`
/// naming the file; `NotFinite` naming a value that the encoding cannot hold
pub fn run(args: &BroadcastArgs) -> Result<(), JobError> {
    let BroadcastArgs {
        encoding,
        model,
        before,
        start_before,
        global,
        start,
        broadcast,
    } = args;
    let usage = |text: &str| Err(JobError::new(JobExit::Usage, text));
    if [before.is_some(), start_before.is_some()] != [global.is_some(); 2] {
        return usage(
            "`--before`, `--start-before` and `--global` go together: give all three, or none of the initial model",
        );
    }
    let paths: Vec<_> = [global, start, broadcast]
        .into_iter()
        .flatten()
        .map(OutputFile::path)
        .collect();
    match paths.as_slice() {
        [] => return usage("nothing is to be written: give `--global`, `--start` or `--broadcast`"),
        [first, others @ ..] => distinct(first, others)?,
    }
    let model = TensorFile::open(model.path())?;
    let carried = match (before, start_before) {
        (Some(before), Some(start)) => Some([other(before, &model)?, other(start, &model)?]),
        _ => None,
    };
    let plain: Vec<NewTensor> = model.tensors.iter().map(as_it_is).collect();
    let (sent, layout) = sent_tensors(&model, *encoding);
    let mut sent_metadata = model.metadata.clone();
    sent_metadata.insert(ENCODING.to_owned(), encoding.to_string());
    let create = |file: &Option<OutputFile>, metadata, tensors: &[NewTensor]| {
        let file = file.as_ref();
        file.map(|file| Written::create(file.path(), metadata, tensors))
            .transpose()
    };
    let outputs = Outputs {
        global: create(global, &model.metadata, &plain)?,
        start: create(start, &model.metadata, &plain)?,
        sent: create(broadcast, &sent_metadata, &sent)?,
    };
    (0..model.tensors.len()).into_par_iter().try_for_each(|number| {
        let tensor = &model.tensors[number];
        if !is_encoded(tensor) {
            return outputs.copy(number, layout[number], model.bytes(tensor));
        }
        let mut values = floats(&model, tensor);
        if let Some([before, start]) = &carried {
            carry(
                &mut values,
                [before, start].map(|file| floats(file, file.like(tensor))),
            );
        }
        let encoded =
            codec::encode(rule(*encoding), &values).map_err(|error| refused(&model, tensor, &error))?;
        outputs.write(number, layout[number], &values, &encoded)
    })?;
    outputs.finish()
}

fn rule(encoding: Broadcast) -> codec::Encoding {
    match encoding {
        Broadcast::Fp16 => codec::Encoding::Fp16,
        Broadcast::Bf16 => codec::Encoding::Bf16,
        Broadcast::Int8 => codec::Encoding::Int8,
    }
}

/// Another model with the tensors of `model`.
fn other(file: &InputFile, model: &TensorFile) -> Result<TensorFile, JobError> {
    let other = TensorFile::open(file.path())?;
    let differs = model.tensors.iter().find(|tensor| {
        let found = other.find(&tensor.name).map(|number| &other.tensors[number]);
        found.is_none_or(|found| (found.dtype, &found.shape) != (tensor.dtype, &tensor.shape))
    });
    match differs {
        None if other.tensors.len() == model.tensors.len() => Ok(other),
        _ => {
            let name = differs.map_or("one more tensor", |tensor| &tensor.name);
            let reason = format!(
                "it is not of the same network as `{}`: `{name}`",
                model.path().display()
            );
            Err(JobError::invalid(other.path(), reason))
        }
    }
}

impl TensorFile {
    /// The tensor of the same name as one of another file of the same network.
    fn like(&self, tensor: &Tensor) -> &Tensor {
        let number = self.find(&tensor.name).expect("looked at when it was opened");
        &self.tensors[number]
    }
}

fn floats(file: &TensorFile, tensor: &Tensor) -> Vec<f32> {
    let mut scratch = Vec::new();
    read_row(Float::F32, file.bytes(tensor), &mut scratch).to_vec()
}

/// `m + (g - s)`, rounded once.
fn carry(model: &mut [f32], [before, start]: [Vec<f32>; 2]) {
    for ((value, before), start) in model.iter_mut().zip(before).zip(start) {
        *value = (f64::from(*value) + (f64::from(before) - f64::from(start))) as f32;
    }
}

fn refused(model: &TensorFile, tensor: &Tensor, error: &EncodeError) -> JobError {
    let what = match error {
        EncodeError::NotFinite { index, value }
        | EncodeError::Overflow {
            index,
            value,
            largest: _,
        } => {
            format!("{} is {value}", place(tensor, *index))
        }
        EncodeError::TooLong { len } => format!("`{}` has {len} values", tensor.name),
    };
    let message = format!(
        "`{}`: {what}, which the encoding cannot hold",
        model.path().display()
    );
    JobError::new(JobExit::NotFinite, message)
        .about(model.path())
        .help("lower the learning rate, or broadcast by an encoding with a wider range such as `bf16` or `int8`")
}

fn as_it_is(tensor: &Tensor) -> NewTensor {
    NewTensor {
        name: tensor.name.clone(),
        dtype: tensor.dtype.to_string(),
        shape: tensor.shape.clone(),
        bytes: tensor.byte_length(),
    }
}

/// Where a tensor of the model is among those that are sent.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    values: usize,
    /// Its scale, where it has one.
    scale: usize,
}

/// The tensors that are sent, wider types first so that each is aligned, and where each of the model's is among them.
fn sent_tensors(model: &TensorFile, encoding: Broadcast) -> (Vec<NewTensor>, Vec<Place>) {
    let mut tensors = Vec::new();
    for (number, tensor) in model.tensors.iter().enumerate() {
        let plain = as_it_is(tensor);
        if !is_encoded(tensor) {
            let width = tensor.element().map_or(1, Element::width);
            tensors.push((width, number, plain));
            continue;
        }
        let (dtype, width) = match encoding {
            Broadcast::Fp16 => ("F16", 2),
            Broadcast::Bf16 => ("BF16", 2),
            Broadcast::Int8 => ("I8", 1),
        };
        if encoding == Broadcast::Int8 {
            let scale = NewTensor {
                name: format!("{}{SCALE_SUFFIX}", tensor.name),
                dtype: "F32".to_owned(),
                shape: Vec::new(),
                bytes: 4,
            };
            tensors.push((4, number, scale));
        }
        let values = NewTensor {
            dtype: dtype.to_owned(),
            bytes: plain.bytes / 4 * width,
            ..plain
        };
        tensors.push((width, number, values));
    }
    tensors.sort_by_key(|(width, _, _)| Reverse(*width));
    let mut places = vec![Place::default(); model.tensors.len()];
    for (place, (_, number, tensor)) in tensors.iter().enumerate() {
        match tensor.name.ends_with(SCALE_SUFFIX) {
            true => places[*number].scale = place,
            false => places[*number].values = place,
        }
    }
    (tensors.into_iter().map(|(_, _, tensor)| tensor).collect(), places)
}

/// The files being written.
struct Outputs {
    global: Option<Written>,
    start: Option<Written>,
    sent: Option<Written>,
}

impl Outputs {
    /// A tensor that is sent as it is.
    fn copy(&self, number: usize, sent: Place, bytes: &[u8]) -> Result<(), JobError> {
        let files = [
            (&self.global, number),
            (&self.start, number),
            (&self.sent, sent.values),
        ];
        files
            .into_iter()
            .filter_map(|(file, number)| file.as_ref().map(|file| (file, number)))
            .try_for_each(|(file, number)| file.write(number, 0, bytes))
    }

    /// A tensor's values and what is sent of them.
    fn write(&self, number: usize, sent: Place, values: &[f32], encoded: &Encoded) -> Result<(), JobError> {
        let mut bytes = Vec::new();
        if let Some(global) = &self.global {
            global.write(number, 0, write_row(Float::F32, values, &mut bytes))?;
        }
        if let Some(start) = &self.start {
            let tensor =
                EncodedTensor::check(encoded.form(), values.len()).expect("encoded of as many values");
            let (zeros, mut read) = (vec![0.0; values.len()], vec![0.0; values.len()]);
            decode_block(&tensor, 0..values.len(), &zeros, &mut read);
            start.write(number, 0, write_row(Float::F32, &read, &mut bytes))?;
        }
        let Some(file) = &self.sent else { return Ok(()) };
        match encoded.form() {
            Form::Int8 { values, scale } => {
                file.write(sent.values, 0, values)?;
                file.write(sent.scale, 0, &scale.to_le_bytes())
            }
            Form::Fp16(values)
            | Form::Bf16(values)
            | Form::Delta(values)
            | Form::TopK { values, indices: _ } => file.write(sent.values, 0, values),
        }
    }

    /// Puts all in their places, what others are made of last.
    fn finish(self) -> Result<(), JobError> {
        [self.global, self.start, self.sent]
            .into_iter()
            .flatten()
            .try_for_each(Written::finish)
    }
}
