//! Weights by other hands: safetensors or PyTorch files with torchvision's tensor names, made to fit a network.
//!
//! In: a file, a network, what to do with the head. Out: [`Weights`]. Start at [`import`].

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use contract::{
    ids::Seed,
    job::JobError,
    training::{Arch, Head},
};
use safetensors::Dtype;

use super::{
    Model, ModelFile, Role, TensorSpec, Weights,
    weights::{Values, draw},
};
use crate::pytorch::{self, Found, Kind};

/// Reads the weights of `model` from a safetensors file or one of `torch.save`, told apart by their content.
///
/// A first convolution for colours is summed over them where the network takes grey images; one for grey images is
/// repeated, a third each, where it takes colours. Counters of batches that an old file lacks are 0. DenseNets may have the
/// names of PyTorch before 0.4 (`norm.1`). With [`Head::New`] the head is drawn from `seed`, whatever the file has.
///
/// # Errors
/// `InputMissing`, `Io`; `InputInvalid` naming the first tensor that is missing, unknown, of another shape or type;
/// `NotFinite` naming one that holds NaN or infinity.
pub fn import(path: &Path, model: &Model, head: Head, seed: Seed) -> Result<Weights, JobError> {
    let file = ModelFile::map(path)?;
    let invalid = |reason: String| JobError::invalid(path, reason);
    let found = if pytorch::is_pytorch(file.bytes()) {
        pytorch::tensors(file.bytes()).map_err(invalid)?
    } else {
        from_safetensors(&file)?
    };
    let weights = fit(found, model, head, seed).map_err(|reason| {
        let (arch, input) = (model.arch(), model.input());
        invalid(reason).help(format!(
            "give weights of {arch} for {} channels, {} pixels a side and {} classes, with the tensor names of \
             torchvision; `--head new` lets the head start anew",
            input.channels, input.image_size, input.classes
        ))
    })?;
    file.finite(&weights, model)?;
    Ok(weights)
}

fn from_safetensors<'a>(file: &'a ModelFile<'_>) -> Result<BTreeMap<String, Found<'a>>, JobError> {
    let views = file.tensors()?.tensors();
    let found = views.into_iter().map(|(name, view)| {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::F32,
            Dtype::I64 => Kind::I64,
            other => Kind::Other(format!("{other:?}")),
        };
        let shape = view.shape().to_vec();
        let data = view.data();
        (name, Found { kind, shape, data })
    });
    Ok(found.collect())
}

fn fit(found: BTreeMap<String, Found<'_>>, model: &Model, head: Head, seed: Seed) -> Result<Weights, String> {
    let mut found: BTreeMap<_, _> = found
        .into_iter()
        .map(|(name, tensor)| (renamed(model.arch(), name), tensor))
        .collect();
    let mut values = Vec::new();
    for (place, spec) in model.tensors().iter().enumerate() {
        let in_head = model.head().contains(&place);
        values.push(match (found.remove(&spec.name), in_head, head) {
            (_, true, Head::New) => draw(spec, seed),
            (Some(tensor), true, Head::Kept) if tensor.shape != spec.shape => {
                return Err(format!(
                    "the head's `{}` has shape {:?}, expected {:?}",
                    spec.name, tensor.shape, spec.shape
                ));
            }
            (Some(tensor), ..) => values_of(spec, place, &tensor)?,
            (None, ..) if spec.role == Role::Counter => Values::Count(0),
            (None, ..) => return Err(format!("tensor `{}` is missing", spec.name)),
        });
    }
    match found.keys().next() {
        Some(name) => Err(format!("tensor `{name}` is not one of {}", model.arch())),
        None => Ok(Weights::from_values(values)),
    }
}

/// The name a tensor has today: DenseNets once had `denselayer1.norm.1` for `denselayer1.norm1`.
fn renamed(arch: Arch, name: String) -> String {
    if arch != Arch::Densenet121 || !name.contains(".denselayer") {
        return name;
    }
    ["norm.1", "norm.2", "conv.1", "conv.2"]
        .iter()
        .fold(name, |name, old| {
            name.replace(&format!(".{old}."), &format!(".{}.", old.replace('.', "")))
        })
}

fn values_of(spec: &TensorSpec, place: usize, tensor: &Found<'_>) -> Result<Values, String> {
    let TensorSpec {
        name, shape, role, ..
    } = spec;
    let expected = if *role == Role::Counter {
        Kind::I64
    } else {
        Kind::F32
    };
    if tensor.kind != expected {
        return Err(format!(
            "tensor `{name}` has type {:?}, expected {expected:?}",
            tensor.kind
        ));
    }
    if *role == Role::Counter {
        // Files of old have counters of one dimension.
        let bytes = tensor.data.first_chunk().filter(|_| tensor.data.len() == 8);
        let bytes = bytes.ok_or_else(|| format!("tensor `{name}` is not a single number"))?;
        return Ok(Values::Count(i64::from_le_bytes(*bytes)));
    }
    let numbers: Vec<f32> = if place == 0 || tensor.shape == *shape {
        let (numbers, _) = tensor.data.as_chunks();
        numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    } else {
        Vec::new()
    };
    let fitting: Cow<'_, [f32]> = match (tensor.shape.as_slice(), shape.as_slice()) {
        (from, to) if from == to => numbers.into(),
        (&[o, 3, h, w], &[outputs, 1, height, width])
            if place == 0 && [o, h, w] == [outputs, height, width] =>
        {
            let taps = h * w;
            let kernels = numbers.chunks_exact(3 * taps);
            let sum = |kernel: &[f32], tap: usize| {
                (0..3)
                    .map(|colour| f64::from(kernel[colour * taps + tap]))
                    .sum::<f64>() as f32
            };
            kernels
                .flat_map(|kernel| (0..taps).map(move |tap| sum(kernel, tap)))
                .collect()
        }
        (&[o, 1, h, w], &[outputs, 3, height, width])
            if place == 0 && [o, h, w] == [outputs, height, width] =>
        {
            let thirds = numbers
                .chunks_exact(h * w)
                .map(|kernel| kernel.iter().map(|value| value / 3.0));
            thirds
                .flat_map(|kernel| (0..3).flat_map(move |_| kernel.clone()))
                .collect()
        }
        (from, to) => return Err(format!("tensor `{name}` has shape {from:?}, expected {to:?}")),
    };
    Ok(Values::Real(fitting.into_owned()))
}
