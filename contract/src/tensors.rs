//! Headers of safetensors files: models, updates and shards.
//!
//! A safetensors file is an eight-byte little-endian header length, a JSON header and the tensors' bytes. The header
//! is written here, in a fixed order, so that the same tensors always give the same bytes; the `safetensors` crate
//! reads it, and so does PyTorch.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Map, Value, json};

use crate::{
    ids::{ClientId, DatasetName, ExperimentName, Round, SpecDigest},
    training::{Arch, Target},
    units::SampleCount,
};

/// The largest header accepted when reading, in bytes; checked before memory is taken.
pub const MAX_HEADER: u64 = 16 << 20;

/// Metadata key of the sample count, read from any update, ours or not.
pub const NUM_SAMPLES: &str = "num_samples";

/// Metadata key of a client's local steps, where the rule needs them: steps taken, or with momentum the L1 norm of the
/// weights with which gradients entered the difference (FedNova's `a`).
pub const LOCAL_STEPS: &str = "local_steps";

/// Metadata key of the mean loss per sample of the global model on the client's samples, where the rule needs it.
pub const TRAIN_LOSS: &str = "train_loss";

/// Metadata key of how the tensors of an update are written: an [`Encoding`](crate::aggregation::Encoding) as a word. In a
/// model: how its trained values are, a [`Broadcast`](crate::training::Broadcast).
pub const ENCODING: &str = "encoding";

/// Metadata key of why an update has no tensors.
pub const ABSENT: &str = "absent";

/// Metadata key of a masked update: fractional bits of the fixed-point numbers in its `U64` tensors, each the sample
/// count times the trained value, modulo 2⁶⁴.
pub const MASKED: &str = "masked_fraction_bits";

/// Suffix of the `F32` scalar that multiplies a tensor written as 8-bit integers.
pub const SCALE_SUFFIX: &str = "#scale";

/// Suffix of the `U32` list of places, ascending, of a tensor of which only the largest values are written.
pub const INDEX_SUFFIX: &str = "#index";

/// Prefix of the change of a parameter's control variate in an update, and of the server's variate in a state file.
pub const CONTROL: &str = "control:";

/// Suffixes of the floating-point running statistics of batch normalisation: data, not parameters.
pub const RUNNING_STATISTICS: [&str; 2] = [".running_mean", ".running_var"];

/// Whether a tensor holds running statistics of batch normalisation.
pub fn is_running_statistic(name: &str) -> bool {
    RUNNING_STATISTICS
        .iter()
        .any(|suffix| name.ends_with(suffix) || name == &suffix[1..])
}

/// Shard tensor of pixel values: `u8` or `u16`, samples x height x width.
pub const SHARD_IMAGES: &str = "images";

/// Shard tensor of class indices (`u8`, samples), or of 0 and 1 for each label (`u8`, samples × labels).
pub const SHARD_LABELS: &str = "labels";

/// Shard tensor of salted hashes of patient identifiers: `u8`, samples × 16.
pub const SHARD_PATIENTS: &str = "patients";

/// Shard metadata: number of patients.
pub const NUM_PATIENTS: &str = "num_patients";

/// Shard metadata: the manifest's `source_digest`.
pub const SOURCE_DIGEST: &str = "source_digest";

/// Shard metadata: the [`Split`](crate::dataset::Split) its samples are on.
pub const SHARD_SPLIT: &str = "split";

/// What a tensor file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorKind {
    /// A global or baseline model.
    Model,
    /// A client's trained model.
    Update,
    /// Samples of a client, or the test samples.
    Shard,
    /// The exact sum of several updates.
    Partial,
    /// What a rule remembers between rounds.
    State,
    /// What the encoding of a client's update left out.
    Residual,
    /// What a client keeps at its site from round to round.
    Personal,
    /// What an interrupted training goes on from.
    Checkpoint,
    /// A model's outputs for every sample of a shard.
    Predictions,
}

impl TensorKind {
    const ALL: [TensorKind; 9] = [
        TensorKind::Model,
        TensorKind::Update,
        TensorKind::Shard,
        TensorKind::Partial,
        TensorKind::State,
        TensorKind::Residual,
        TensorKind::Personal,
        TensorKind::Checkpoint,
        TensorKind::Predictions,
    ];

    /// The word in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            TensorKind::Model => "model",
            TensorKind::Update => "update",
            TensorKind::Shard => "shard",
            TensorKind::Partial => "partial",
            TensorKind::State => "state",
            TensorKind::Residual => "residual",
            TensorKind::Personal => "personal",
            TensorKind::Checkpoint => "checkpoint",
            TensorKind::Predictions => "predictions",
        }
    }
}

impl fmt::Display for TensorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TensorKind {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| format!("unknown kind `{word}`"))
    }
}

/// The metadata fedwing writes into every tensor file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// What the file holds.
    pub kind: TensorKind,
    /// The experiment.
    pub experiment: ExperimentName,
    /// The dataset.
    pub dataset: DatasetName,
    /// SHA-256 of the specification.
    pub spec_digest: SpecDigest,
    /// Whether any sample behind it is drawn rather than taken.
    pub synthetic: bool,
    /// The round, for global models and updates.
    pub round: Option<Round>,
    /// The client, for updates and clients' shards; none for the test and validation shards.
    pub client: Option<ClientId>,
    /// Samples behind it: trained on, or held.
    pub num_samples: SampleCount,
    /// The network, for models and updates.
    pub arch: Option<Arch>,
    /// Image channels the network takes, or the shard is to be read with.
    pub channels: u32,
    /// Image width and height in pixels.
    pub image_size: u32,
    /// Number of classes or labels.
    pub num_classes: u32,
    /// What the network's outputs and a shard's labels are about.
    pub target: Target,
    /// Class names, for shards.
    pub classes: Vec<String>,
    /// For shards: what to subtract from pixel values scaled to 0..1, and what to divide the rest by.
    pub normalize: Option<(f64, f64)>,
}

/// Why metadata is not ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file was not written by fedwing.
    #[error("the header has no `fedwing` format version; the file was not written by fedwing")]
    NotOurs,
    /// The file is newer than this program.
    #[error("the file has format version {found}, this program reads version {known}; use the newer fedwing")]
    Version {
        /// The version in the file.
        found: String,
        /// The version this code reads.
        known: u32,
    },
    /// A field is missing or does not parse.
    #[error("header field `{field}`: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Header {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;

    /// The header as safetensors metadata.
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let Self {
            kind,
            experiment,
            dataset,
            spec_digest,
            synthetic,
            round,
            client,
            num_samples,
            arch,
            channels,
            image_size,
            num_classes,
            target,
            classes,
            normalize,
        } = self;
        let mut map = BTreeMap::new();
        let mut set = |key: &str, value: String| map.insert(key.to_owned(), value);
        set("format", "pt".to_owned());
        set("fedwing", Self::VERSION.to_string());
        set("kind", kind.to_string());
        set("experiment", experiment.to_string());
        set("dataset", dataset.to_string());
        set("spec_digest", spec_digest.to_string());
        set("synthetic", synthetic.to_string());
        set(NUM_SAMPLES, num_samples.0.to_string());
        set("channels", channels.to_string());
        set("image_size", image_size.to_string());
        set("num_classes", num_classes.to_string());
        set("target", target.to_string());
        if let Some(round) = round {
            set("round", round.to_string());
        }
        if let Some(client) = client {
            set("client", client.to_string());
        }
        if let Some(arch) = arch {
            set("arch", arch.to_string());
        }
        if !classes.is_empty() {
            set("classes", json!(classes).to_string());
        }
        if let Some((mean, std)) = normalize {
            set("normalize", format!("{mean:?},{std:?}"));
        }
        map
    }

    /// The inverse of [`Header::to_metadata`].
    ///
    /// # Errors
    /// [`HeaderError`] naming the field.
    pub fn from_metadata<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, HeaderError> {
        let version = get("fedwing").ok_or(HeaderError::NotOurs)?;
        if version != Self::VERSION.to_string() {
            return Err(HeaderError::Version {
                found: version.to_owned(),
                known: Self::VERSION,
            });
        }
        fn parse<T: FromStr>(field: &'static str, text: &str) -> Result<T, HeaderError>
        where
            T::Err: fmt::Display,
        {
            text.parse().map_err(|e: T::Err| HeaderError::Field {
                field,
                reason: format!("`{text}`: {e}"),
            })
        }
        let need = |field: &'static str| {
            get(field).ok_or(HeaderError::Field {
                field,
                reason: "missing".to_owned(),
            })
        };
        let normalize = match get("normalize") {
            None => None,
            Some(text) => {
                let (mean, std) = text.split_once(',').ok_or_else(|| HeaderError::Field {
                    field: "normalize",
                    reason: format!("`{text}` is not `mean,std`"),
                })?;
                Some((parse("normalize", mean)?, parse("normalize", std)?))
            }
        };
        let classes = match get("classes") {
            None => Vec::new(),
            Some(text) => serde_json::from_str(text).map_err(|e| HeaderError::Field {
                field: "classes",
                reason: e.to_string(),
            })?,
        };
        Ok(Self {
            kind: parse("kind", need("kind")?)?,
            experiment: parse("experiment", need("experiment")?)?,
            dataset: parse("dataset", need("dataset")?)?,
            spec_digest: parse("spec_digest", need("spec_digest")?)?,
            synthetic: parse("synthetic", need("synthetic")?)?,
            round: get("round").map(|text| parse("round", text)).transpose()?,
            client: get("client").map(|text| parse("client", text)).transpose()?,
            num_samples: SampleCount(parse(NUM_SAMPLES, need(NUM_SAMPLES)?)?),
            arch: get("arch").map(|text| parse("arch", text)).transpose()?,
            channels: parse("channels", need("channels")?)?,
            image_size: parse("image_size", need("image_size")?)?,
            num_classes: parse("num_classes", need("num_classes")?)?,
            target: parse("target", need("target")?)?,
            classes,
            normalize,
        })
    }
}

/// Name, type and shape of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo<'a> {
    /// The tensor's name, as torchvision's.
    pub name: &'a str,
    /// The safetensors type: `F32`, `I64`, `U8`, …
    pub dtype: &'a str,
    /// The shape; empty for a scalar.
    pub shape: &'a [usize],
    /// The tensor's size in bytes.
    pub bytes: usize,
}

/// The length and JSON header of a safetensors file whose tensors follow in the given order without gaps.
///
/// The header is padded with spaces to a multiple of eight bytes.
pub fn encode_header(metadata: &BTreeMap<String, String>, tensors: &[TensorInfo<'_>]) -> Vec<u8> {
    let mut json = String::from("{\"__metadata__\":");
    json.push_str(
        &Value::Object(
            metadata
                .iter()
                .map(|(k, v)| (k.clone(), json!(v)))
                .collect::<Map<_, _>>(),
        )
        .to_string(),
    );
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.bytes;
        let (dtype, shape) = (json!(tensor.dtype), json!(tensor.shape));
        json.push_str(&format!(
            ",{}:{{\"dtype\":{dtype},\"shape\":{shape},\"data_offsets\":[{offset},{end}]}}",
            json!(tensor.name)
        ));
        offset = end;
    }
    json.push('}');
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: TensorKind::Shard,
            experiment: "e1".parse().unwrap(),
            dataset: "nih".parse().unwrap(),
            spec_digest: "0".repeat(64).parse().unwrap(),
            synthetic: true,
            round: Some(Round(3)),
            client: Some(ClientId(2)),
            num_samples: SampleCount(17),
            arch: Some(Arch::SmallCnn),
            channels: 1,
            image_size: 64,
            num_classes: 2,
            target: Target::Labels,
            classes: vec!["No Finding".to_owned(), "a,b\"c".to_owned()],
            normalize: Some((0.5, 0.25)),
        }
    }

    #[test]
    fn a_header_reads_back_from_its_metadata() {
        let map = header().to_metadata();
        assert_eq!(
            Header::from_metadata(|key| map.get(key).map(String::as_str)),
            Ok(header())
        );
    }

    #[test]
    fn a_newer_format_is_refused_by_its_version() {
        let mut map = header().to_metadata();
        map.insert("fedwing".to_owned(), "2".to_owned());
        let error = Header::from_metadata(|key| map.get(key).map(String::as_str)).unwrap_err();
        assert_eq!(
            error,
            HeaderError::Version {
                found: "2".to_owned(),
                known: 1
            }
        );
    }

    #[test]
    fn an_encoded_header_states_order_and_offsets() {
        let tensors = [
            TensorInfo {
                name: "b",
                dtype: "F32",
                shape: &[2, 1],
                bytes: 8,
            },
            TensorInfo {
                name: "a",
                dtype: "I64",
                shape: &[],
                bytes: 8,
            },
        ];
        let bytes = encode_header(&BTreeMap::from([("k".to_owned(), "v".to_owned())]), &tensors);
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(bytes.len(), 8 + length);
        assert_eq!(
            std::str::from_utf8(&bytes[8..]).unwrap().trim_end(),
            r#"{"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"a":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}"#
        );
    }
}
