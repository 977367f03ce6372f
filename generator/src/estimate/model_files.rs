//! Lengths of files that hold a network's tensors: their headers are written as jobs write them, and measured.

use std::collections::BTreeMap;

use contract::{
    aggregation::{Encoding, Strategy},
    argv::ArgValue,
    ids::ClientId,
    networks::{Fits, Holds, Layer, Tensor},
    recipe::{Method, OptimizerState, Recipe},
    secure::{FRACTION_BITS, MASK_CHECK},
    tensors::{
        CONTROL, ENCODING, Header, INDEX_SUFFIX, LOCAL_STEPS, MASKED, SCALE_SUFFIX, TRAIN_LOSS, TensorInfo,
        TensorKind, encode_header,
    },
    training::{Arch, Broadcast, Optimizer},
    units::Bytes,
};

/// `f64` tensors that an exact sum of updates takes for each of the model's.
const COMPONENTS: usize = 2;

/// A tensor of a file.
struct Entry {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    width: usize,
}

impl Entry {
    fn new(name: impl Into<String>, dtype: &'static str, shape: &[usize]) -> Self {
        let width = match dtype {
            "I64" | "U64" | "F64" => 8,
            "F32" | "U32" => 4,
            "F16" | "BF16" => 2,
            _ => 1,
        };
        Self {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
            width,
        }
    }
}

/// The length of a file of these tensors.
fn length(metadata: &BTreeMap<String, String>, entries: &[Entry]) -> Bytes {
    let bytes = |entry: &Entry| entry.shape.iter().product::<usize>() * entry.width;
    let infos: Vec<TensorInfo<'_>> = entries
        .iter()
        .map(|entry| TensorInfo {
            name: &entry.name,
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: bytes(entry),
        })
        .collect();
    let values: usize = entries.iter().map(bytes).sum();
    Bytes((encode_header(metadata, &infos).len() + values) as u64)
}

/// The files of one dataset's models.
pub(super) struct ModelFiles<'a> {
    tensors: Vec<Tensor>,
    header: Header,
    recipe: &'a Recipe,
}

impl<'a> ModelFiles<'a> {
    /// `header` is that of a global model of a round.
    pub fn new(arch: Arch, header: Header, recipe: &'a Recipe) -> Self {
        let tensors = arch.tensors(Fits {
            channels: header.channels,
            image_size: header.image_size,
            classes: header.num_classes,
        });
        Self {
            tensors,
            header,
            recipe,
        }
    }

    /// Values that follow gradients.
    pub fn trained_values(&self) -> u64 {
        self.trained().map(Tensor::values).sum()
    }

    fn trained(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors
            .iter()
            .filter(|tensor| matches!(tensor.holds, Holds::Trained(_)))
    }

    fn as_they_are(&self) -> Vec<Entry> {
        let dtype = |tensor: &Tensor| match tensor.holds {
            Holds::Trained(_) | Holds::Statistic => "F32",
            Holds::Counter => "I64",
        };
        let entry = |tensor: &Tensor| Entry::new(&tensor.name, dtype(tensor), &tensor.shape);
        self.tensors.iter().map(entry).collect()
    }

    /// Single-precision values for each trained tensor.
    fn floats(&self, prefix: &str) -> Vec<Entry> {
        let entry = |tensor: &Tensor| Entry::new(format!("{prefix}{}", tensor.name), "F32", &tensor.shape);
        self.trained().map(entry).collect()
    }

    /// A global model or a baseline's.
    pub fn model(&self) -> Bytes {
        length(&self.header.to_metadata(), &self.as_they_are())
    }

    /// A global model on its way to the clients.
    pub fn broadcast(&self, encoding: Option<Broadcast>) -> Bytes {
        let Some(encoding) = encoding else {
            return self.model();
        };
        let mut metadata = self.header.to_metadata();
        metadata.insert(ENCODING.to_owned(), encoding.to_string());
        let encoding = match encoding {
            Broadcast::Fp16 => Encoding::Fp16,
            Broadcast::Bf16 => Encoding::Bf16,
            Broadcast::Int8 => Encoding::Int8,
        };
        let tensors = self.tensors.iter();
        length(
            &metadata,
            &tensors
                .flat_map(|tensor| encoded(tensor, encoding))
                .collect::<Vec<_>>(),
        )
    }

    fn of_client(&self, kind: TensorKind) -> BTreeMap<String, String> {
        let header = Header {
            kind,
            client: Some(ClientId(0)),
            ..self.header.clone()
        };
        header.to_metadata()
    }

    /// What a client sends.
    pub fn update(&self, encoding: Option<Encoding>, masked: bool) -> Bytes {
        let mut metadata = self.of_client(TensorKind::Update);
        let mut set = |key: &str, value: String| metadata.insert(key.to_owned(), value);
        set(LOCAL_STEPS, "100.0".to_owned());
        if self.recipe.method == Method::Qfedavg {
            set(TRAIN_LOSS, "0.6931471805599453".to_owned());
        }
        let mut entries = match encoding {
            None => self.as_they_are(),
            Some(encoding) => {
                set(ENCODING, encoding.write());
                self.tensors
                    .iter()
                    .flat_map(|tensor| encoded(tensor, encoding))
                    .collect()
            }
        };
        if masked {
            set(MASKED, FRACTION_BITS.to_string());
            set(MASK_CHECK, u64::MAX.to_string());
            for entry in entries.iter_mut().filter(|entry| entry.dtype == "F32") {
                *entry = Entry::new(entry.name.as_str(), "U64", &entry.shape);
            }
        }
        if self.recipe.method == Method::Scaffold {
            entries.extend(self.floats(CONTROL));
        }
        length(&metadata, &entries)
    }

    /// What an encoding left out.
    pub fn residual(&self) -> Bytes {
        length(&self.of_client(TensorKind::Residual), &self.floats(""))
    }

    /// The sum of some updates.
    pub fn partial(&self) -> Bytes {
        let entry = |tensor: &Tensor| match tensor.holds {
            Holds::Counter => Entry::new(&tensor.name, "I64", &tensor.shape),
            Holds::Trained(_) | Holds::Statistic => {
                let shape = [&[COMPONENTS], &tensor.shape[..]].concat();
                Entry::new(&tensor.name, "F64", &shape)
            }
        };
        let entries: Vec<_> = self.tensors.iter().map(entry).collect();
        length(&self.header.to_metadata(), &entries)
    }

    /// What the rule remembers.
    pub fn state(&self, strategy: Strategy) -> Bytes {
        let prefixes: &[&str] = match strategy {
            Strategy::Fedavgm { .. } => &["first_moment:"],
            Strategy::Fedadam { .. } | Strategy::Fedyogi { .. } => &["first_moment:", "second_moment:"],
            Strategy::Fedadagrad { .. } => &["second_moment:"],
            Strategy::Scaffold { .. } => &[CONTROL],
            _ => &[],
        };
        let entries = prefixes.iter().flat_map(|prefix| {
            self.trained()
                .map(move |tensor| Entry::new(format!("{prefix}{}", tensor.name), "F64", &tensor.shape))
        });
        length(&self.header.to_metadata(), &entries.collect::<Vec<_>>())
    }

    /// What a client keeps from round to round.
    pub fn personal(&self) -> Bytes {
        let own = |tensor: &&Tensor| match self.recipe.method {
            Method::Plain | Method::Fedprox { .. } | Method::Scaffold | Method::Qfedavg => false,
            Method::Ditto { .. } => true,
            Method::Fedbn => !matches!(tensor.holds, Holds::Trained(Layer::Head | Layer::Other)),
            Method::Fedper => tensor.holds == Holds::Trained(Layer::Head),
        };
        let dtype = |tensor: &Tensor| match tensor.holds {
            Holds::Counter => "I64",
            Holds::Trained(_) | Holds::Statistic => "F32",
        };
        let mut entries: Vec<_> = self
            .tensors
            .iter()
            .filter(own)
            .map(|tensor| Entry::new(&tensor.name, dtype(tensor), &tensor.shape))
            .collect();
        if self.recipe.method == Method::Scaffold {
            entries.extend(self.floats(CONTROL));
        }
        if self.recipe.optimizer_state == OptimizerState::Kept {
            entries.extend(self.moments(""));
            if matches!(self.recipe.method, Method::Ditto { .. }) {
                entries.extend(self.moments("own."));
            }
        }
        length(&self.of_client(TensorKind::Personal), &entries)
    }

    /// What an interrupted training goes on from: weights and moments.
    pub fn checkpoint(&self) -> Bytes {
        let mut entries = self.as_they_are();
        entries.extend(self.moments(""));
        length(&self.of_client(TensorKind::Checkpoint), &entries)
    }

    fn moments(&self, prefix: &str) -> Vec<Entry> {
        let mut entries = vec![Entry::new(format!("{prefix}optimizer.steps"), "I64", &[])];
        let second = match self.recipe.optimizer {
            Optimizer::Sgd { .. } => false,
            Optimizer::Adam(_) | Optimizer::Adamw(_) => true,
        };
        entries.extend(self.floats(&format!("{prefix}optimizer.first:")));
        if second {
            entries.extend(self.floats(&format!("{prefix}optimizer.second:")));
        }
        entries
    }
}

/// A tensor as an update has it.
fn encoded(tensor: &Tensor, encoding: Encoding) -> Vec<Entry> {
    let Tensor { name, shape, holds } = tensor;
    let one = |dtype| vec![Entry::new(name, dtype, shape)];
    match (holds, encoding) {
        (Holds::Counter, _) => one("I64"),
        (Holds::Statistic, _) | (Holds::Trained(_), Encoding::Delta) => one("F32"),
        (Holds::Trained(_), Encoding::Fp16) => one("F16"),
        (Holds::Trained(_), Encoding::Bf16) => one("BF16"),
        (Holds::Trained(_), Encoding::Int8) => vec![
            Entry::new(name, "I8", shape),
            Entry::new(format!("{name}{SCALE_SUFFIX}"), "F32", &[]),
        ],
        (Holds::Trained(_), Encoding::TopK { share }) => {
            // Rounded up; a product that is a hair above a whole number may count one too many.
            let kept = ((share * tensor.values() as f64).ceil() as usize).max(1);
            vec![
                Entry::new(name, "F32", &[kept]),
                Entry::new(format!("{name}{INDEX_SUFFIX}"), "U32", &[kept]),
            ]
        }
    }
}
