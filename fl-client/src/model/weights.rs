//! Weights on the host: made from a seed, read from a file, written to one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Write,
    path::Path,
};

use contract::{
    exit::JobExit,
    ids::Seed,
    job::{JobError, write_whole},
    tensors::{ENCODING, Header, MAX_HEADER, SCALE_SUFFIX, TensorInfo, encode_header},
    training::Broadcast,
};
use kernels::random::Random;
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{Model, Role, Start, TensorSpec, broadcast, schema::Slot};

/// The values of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Row-major.
    Real(Vec<f32>),
    /// A counter.
    Count(i64),
}

/// The values of every tensor of a model, in the model's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights(Vec<Values>);

impl Weights {
    /// Weights as training from nothing starts with them, each tensor drawn from a stream of its own.
    ///
    /// A tensor's values depend on `seed`, its name and its shape alone.
    pub fn start(model: &Model, seed: Seed) -> Self {
        Self(model.tensors().par_iter().map(|spec| draw(spec, seed)).collect())
    }

    pub(super) fn from_values(values: Vec<Values>) -> Self {
        Self(values)
    }

    pub(super) fn values(&self) -> &[Values] {
        &self.0
    }

    /// The values of the tensor at `index`, row-major; empty for a counter.
    pub fn real(&self, index: usize) -> &[f32] {
        match &self.0[index] {
            Values::Real(values) => values,
            Values::Count(_) => &[],
        }
    }

    /// The values of the tensor at `index`, row-major; empty for a counter.
    pub fn real_mut(&mut self, index: usize) -> &mut [f32] {
        match &mut self.0[index] {
            Values::Real(values) => values,
            Values::Count(_) => &mut [],
        }
    }

    pub(super) fn count_up(&mut self, slot: Slot) {
        if let Values::Count(count) = &mut self.0[slot.0] {
            *count += 1;
        }
    }

    /// The values of every tensor, by its place; empty for a counter.
    pub fn into_reals(self) -> Vec<Vec<f32>> {
        let reals = self.0.into_iter().map(|values| match values {
            Values::Real(values) => values,
            Values::Count(_) => Vec::new(),
        });
        reals.collect()
    }

    /// These weights' tensors where `wanted` says so, by place; empty elsewhere.
    #[must_use]
    pub fn only(&self, wanted: &[bool]) -> Self {
        let tensors = self.0.iter().zip(wanted);
        Self(
            tensors
                .map(|(values, wanted)| match wanted {
                    true => values.clone(),
                    false => Values::Real(Vec::new()),
                })
                .collect(),
        )
    }

    /// Takes the tensors that `wanted` says, by place, from other weights of the same model.
    pub fn adopt(&mut self, other: &Weights, wanted: &[bool]) {
        for ((values, other), wanted) in self.0.iter_mut().zip(&other.0).zip(wanted) {
            if *wanted {
                values.clone_from(other);
            }
        }
    }

    /// The counter at `index`; `None` if that tensor holds real values.
    pub fn count(&self, index: usize) -> Option<i64> {
        match &self.0[index] {
            Values::Real(_) => None,
            Values::Count(count) => Some(*count),
        }
    }

    /// Writes a model: the same weights and header always give the same bytes.
    ///
    /// # Errors
    /// `Io` naming the file; nothing is left then.
    pub fn save(&self, path: &Path, header: &Header, model: &Model) -> Result<(), JobError> {
        self.save_with(path, &header.to_metadata(), model)
    }

    /// [`Weights::save`] with more metadata than a header has.
    ///
    /// # Errors
    /// `Io` naming the file; nothing is left then.
    pub fn save_with(
        &self,
        path: &Path,
        metadata: &BTreeMap<String, String>,
        model: &Model,
    ) -> Result<(), JobError> {
        let size = |values: &Values| match values {
            Values::Real(values) => ("F32", size_of_val(values.as_slice())),
            Values::Count(count) => ("I64", size_of_val(count)),
        };
        let tensors: Vec<_> = model
            .tensors()
            .iter()
            .zip(&self.0)
            .map(|(TensorSpec { name, shape, .. }, values)| {
                let (dtype, bytes) = size(values);
                TensorInfo {
                    name,
                    dtype,
                    shape,
                    bytes,
                }
            })
            .collect();
        write_whole(path, |out| {
            out.write_all(&encode_header(metadata, &tensors))?;
            self.0.iter().try_for_each(|values| match values {
                Values::Real(values) => {
                    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                    out.write_all(&bytes)
                }
                Values::Count(count) => out.write_all(&count.to_le_bytes()),
            })
        })
    }
}

pub(super) fn draw(spec: &TensorSpec, seed: Seed) -> Values {
    if spec.role == Role::Counter {
        return Values::Count(0);
    }
    let mut random = Random::new(seed.derive(&format!("weights {}", spec.name)).0);
    let mut fill = |next: &mut dyn FnMut(&mut Random) -> f64| {
        (0..spec.len()).map(|_| next(&mut random) as f32).collect()
    };
    Values::Real(match spec.start {
        Start::UniformFanIn { fan_in: fan } | Start::UniformFanOut { fan_out: fan } => {
            let bound = 1.0 / (fan as f64).sqrt();
            fill(&mut |random| random.between(-bound, bound))
        }
        Start::NormalFanOut { fan_out: fan } | Start::NormalFanIn { fan_in: fan } => {
            let deviation = (2.0 / fan as f64).sqrt();
            fill(&mut |random| deviation * random.normal())
        }
        Start::Constant(value) => vec![value; spec.len()],
    })
}

/// A safetensors file of weights, mapped.
///
/// Nothing in fedwing writes to such a file in place (a finished file is renamed over the old one), so its bytes stay
/// while it is mapped.
pub struct ModelFile<'a> {
    path: &'a Path,
    map: Mmap,
}

impl<'a> ModelFile<'a> {
    /// Maps a file and checks that it is whole.
    ///
    /// # Errors
    /// `InputMissing`, `Io`, or `InputInvalid` with what is wrong.
    pub fn open(path: &'a Path) -> Result<Self, JobError> {
        let file = Self::map(path)?;
        file.tensors()?;
        Ok(file)
    }

    /// Maps a file of any kind.
    ///
    /// # Errors
    /// `InputMissing`, `Io`, or `InputInvalid` if it is not a file.
    pub(super) fn map(path: &'a Path) -> Result<Self, JobError> {
        let reading = |error: std::io::Error| JobError::reading(path, &error);
        if !std::fs::metadata(path).map_err(reading)?.is_file() {
            return Err(JobError::invalid(path, "not a regular file"));
        }
        let file = File::open(path).map_err(reading)?;
        // SAFETY: the map is read-only, and the type's documentation says why the file does not change underneath.
        let map = unsafe { Mmap::map(&file) }.map_err(reading)?;
        Ok(Self { path, map })
    }

    /// All of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The tensors, as they lie in the file.
    ///
    /// # Errors
    /// `InputInvalid` if the file is not whole or its header too large.
    pub fn tensors(&self) -> Result<SafeTensors<'_>, JobError> {
        let length = self.map.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        if length.is_some_and(|length| length > MAX_HEADER) {
            let reason = format!("its header is larger than the {MAX_HEADER} bytes accepted");
            return Err(JobError::invalid(self.path, reason));
        }
        SafeTensors::deserialize(&self.map).map_err(|error| {
            JobError::invalid(self.path, format!("not a whole safetensors file ({error})"))
                .help("make the file again: run the job that writes it, or copy it anew")
        })
    }

    /// The metadata fedwing writes.
    ///
    /// # Errors
    /// `InputInvalid` if it is missing or wrong.
    pub fn header(&self) -> Result<Header, JobError> {
        let map = self.metadata()?;
        Header::from_metadata(|key| map.get(key).map(String::as_str))
            .map_err(|error| JobError::invalid(self.path, error.to_string()))
    }

    /// All metadata, as it stands in the file.
    ///
    /// # Errors
    /// `InputInvalid` if the file is not whole.
    pub fn metadata(&self) -> Result<BTreeMap<String, String>, JobError> {
        let (_, metadata) = SafeTensors::read_metadata(&self.map)
            .map_err(|error| JobError::invalid(self.path, error.to_string()))?;
        Ok(metadata
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect())
    }

    /// The weights of `model`: every tensor there with its shape and type, and no other.
    ///
    /// # Errors
    /// `InputInvalid` naming the first tensor that is missing, unknown, of another shape or type; `NotFinite` naming one
    /// that holds NaN or infinity.
    pub fn weights(&self, model: &Model) -> Result<Weights, JobError> {
        let (arch, input) = (model.arch(), model.input());
        let weights = self.values(model, |_| true).map_err(|reason| {
            JobError::invalid(self.path, reason).help(format!(
                "give weights of {arch} for {} channels, {} pixels a side and {} classes, with the tensor names of \
                 torchvision",
                input.channels, input.image_size, input.classes
            ))
        })?;
        self.finite(&weights, model)?;
        Ok(weights)
    }

    /// The tensors of `model` that follow gradients, each with its shape, and no other; the rest of what is returned is
    /// empty.
    ///
    /// # Errors
    /// As [`ModelFile::weights`].
    pub fn trained(&self, model: &Model) -> Result<Weights, JobError> {
        let weights = self
            .values(model, |spec| spec.role == Role::Trained)
            .map_err(|reason| JobError::invalid(self.path, reason))?;
        self.finite(&weights, model)?;
        Ok(weights)
    }

    /// The tensors that `wanted` says are in the file, and nothing for the others; or what is wrong.
    fn values(&self, model: &Model, wanted: impl Fn(&TensorSpec) -> bool) -> Result<Weights, String> {
        let tensors = self.tensors().map_err(|error| error.message)?;
        let encoding = self.broadcast()?;
        let specs = || model.tensors().iter();
        let is_scaled = |spec: &TensorSpec| encoding == Some(Broadcast::Int8) && spec.role == Role::Trained;
        let scale = |spec: &TensorSpec| is_scaled(spec).then(|| format!("{}{SCALE_SUFFIX}", spec.name));
        let known: BTreeSet<String> = specs()
            .filter(|spec| wanted(spec))
            .flat_map(|spec| [Some(spec.name.clone()), scale(spec)])
            .flatten()
            .collect();
        if let Some(name) = tensors
            .names()
            .into_iter()
            .filter(|name| !known.contains(*name))
            .min()
        {
            return Err(format!("tensor `{name}` is not one of {}", model.arch()));
        }
        let read = |spec: &TensorSpec| {
            if !wanted(spec) {
                return Ok(Values::Real(Vec::new()));
            }
            let named = |name: &str| {
                let view = tensors.tensor(name);
                view.map_err(|_| format!("tensor `{name}` is missing"))
            };
            let view = named(&spec.name)?;
            match encoding {
                Some(encoding) if spec.role == Role::Trained => {
                    let scale = scale(spec).map(|name| named(&name)).transpose()?;
                    broadcast::read(encoding, spec, &view, scale.as_ref()).map(Values::Real)
                }
                _ => read_values(spec, &view),
            }
        };
        Ok(Weights(specs().map(read).collect::<Result<_, _>>()?))
    }

    /// How trained values are written, where that is not as they are.
    fn broadcast(&self) -> Result<Option<Broadcast>, String> {
        let metadata = self.metadata().map_err(|error| error.message)?;
        let read = |word: &String| {
            let read = word.parse();
            read.map_err(|reason: String| format!("metadata `{ENCODING}` is `{word}`: it {reason}"))
        };
        // Of an update it says how differences are written, and no update is read as weights.
        metadata.get(ENCODING).map(read).transpose()
    }

    pub(super) fn finite(&self, weights: &Weights, model: &Model) -> Result<(), JobError> {
        match weights.first_not_finite(model) {
            None => Ok(()),
            Some(name) => Err(JobError::new(
                JobExit::NotFinite,
                format!("`{}`: tensor `{name}` holds NaN or infinity", self.path.display()),
            )
            .about(self.path)),
        }
    }
}

impl Weights {
    /// The tensors of `model` in a file where their names have a prefix; what else is in the file is not looked at.
    ///
    /// # Errors
    /// The first tensor that is missing or of another shape or type.
    pub fn read_named(model: &Model, file: &SafeTensors<'_>, prefix: &str) -> Result<Self, String> {
        Self::read_some(model, file, prefix, &vec![true; model.tensors().len()])
    }

    /// The same for the tensors that `wanted` says, by place; the others are empty.
    ///
    /// # Errors
    /// As [`Weights::read_named`].
    pub fn read_some(
        model: &Model,
        file: &SafeTensors<'_>,
        prefix: &str,
        wanted: &[bool],
    ) -> Result<Self, String> {
        let read = |(spec, wanted): (&TensorSpec, &bool)| {
            if !wanted {
                return Ok(Values::Real(Vec::new()));
            }
            let name = format!("{prefix}{}", spec.name);
            let view = file
                .tensor(&name)
                .map_err(|_| format!("tensor `{name}` is missing"))?;
            read_values(spec, &view)
        };
        let tensors = model.tensors().iter().zip(wanted);
        Ok(Self(tensors.map(read).collect::<Result<_, _>>()?))
    }

    /// The first tensor with a value that is NaN or infinite.
    pub fn first_not_finite<'a>(&self, model: &'a Model) -> Option<&'a str> {
        let finite = |values: &Values| match values {
            Values::Real(values) => values.iter().all(|value| value.is_finite()),
            Values::Count(_) => true,
        };
        let mut pairs = model.tensors().iter().zip(&self.0);
        pairs
            .find(|(_, values)| !finite(values))
            .map(|(spec, _)| spec.name.as_str())
    }
}

fn read_values(spec: &TensorSpec, view: &TensorView<'_>) -> Result<Values, String> {
    let TensorSpec {
        name, shape, role, ..
    } = spec;
    if view.shape() != shape {
        return Err(format!(
            "tensor `{name}` has shape {:?}, expected {shape:?}",
            view.shape()
        ));
    }
    let wanted = if *role == Role::Counter {
        Dtype::I64
    } else {
        Dtype::F32
    };
    if view.dtype() != wanted {
        return Err(format!(
            "tensor `{name}` has type {:?}, expected {wanted:?}",
            view.dtype()
        ));
    }
    let data = view.data();
    Ok(match role {
        Role::Counter => {
            let bytes = data
                .first_chunk()
                .ok_or_else(|| format!("tensor `{name}` is cut short"))?;
            Values::Count(i64::from_le_bytes(*bytes))
        }
        Role::Trained | Role::Statistic => {
            let (values, _) = data.as_chunks();
            Values::Real(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use contract::training::Arch;

    use super::*;
    use crate::model::Input;

    fn model(arch: Arch) -> Model {
        Model::new(
            arch,
            Input {
                channels: 1,
                image_size: 8,
                classes: 2,
            },
        )
        .unwrap()
    }

    fn place(model: &Model, name: &str) -> usize {
        model.tensors().iter().position(|spec| spec.name == name).unwrap()
    }

    #[test]
    fn first_weights_depend_on_seed_and_name_and_never_change() {
        let model = model(Arch::SmallCnn);
        let weights = Weights::start(&model, Seed(7));
        assert_eq!(weights, Weights::start(&model, Seed(7)));
        assert_ne!(weights, Weights::start(&model, Seed(8)));
        // A release that changes these cannot repeat the experiments of the one before.
        assert_eq!(weights.real(0)[..3], [-0.3049252, -0.17442161, 0.100287035]);
    }

    #[test]
    fn first_weights_have_the_bounds_and_spread_of_pytorch() {
        let small = model(Arch::SmallCnn);
        let weights = Weights::start(&small, Seed(1));
        let values = weights.real(place(&small, "conv2.weight"));
        let bound = 1.0 / (16.0f32 * 9.0).sqrt();
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        assert!(
            largest <= bound && largest > 0.99 * bound,
            "{largest} within {bound}"
        );

        let resnet = model(Arch::Resnet18);
        let weights = Weights::start(&resnet, Seed(1));
        let values = weights.real(place(&resnet, "layer3.0.conv2.weight"));
        let mean_square = values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
        assert!(
            (mean_square * 256.0 * 9.0 / 2.0 - 1.0).abs() < 0.01,
            "{mean_square}"
        );
        assert!(
            weights
                .real(place(&resnet, "layer1.0.bn1.weight"))
                .iter()
                .all(|value| *value == 1.0)
        );
        assert!(
            weights
                .real(place(&resnet, "bn1.running_mean"))
                .iter()
                .all(|value| *value == 0.0)
        );
        assert!(
            weights
                .real(place(&resnet, "bn1.running_var"))
                .iter()
                .all(|value| *value == 1.0)
        );
    }
}
