//! The size of every file of an experiment, by its name.

use std::collections::BTreeMap;

use contract::{
    args::Binary,
    dataset::{DatasetConfig, Split, TestSplit},
    ids::{ClientId, DatasetName, Round},
    tensors::{
        Header, NUM_PATIENTS, SHARD_IMAGES, SHARD_LABELS, SHARD_PATIENTS, SHARD_SPLIT, SOURCE_DIGEST,
        TensorInfo, TensorKind, encode_header,
    },
    training::Target,
    units::{Bytes, SampleCount},
};

use super::{Basis, FileKind, Samples, model_files::ModelFiles};
use crate::check::Checked;

/// `fl-client` and `fl-aggregator` as they are released: static, stripped, for CPUs.
const PROGRAMS: [(Binary, Bytes); 2] = [
    (Binary::FlClient, Bytes(15_000_000)),
    (Binary::FlAggregator, Bytes(4_300_000)),
];

/// Pegasus' worker package, which a job brings whose machine has no Pegasus.
const WORKER_PACKAGE: Bytes = Bytes(18_000_000);

/// Metrics of a job, as measured on small experiments: half a kilobyte to two.
const METRICS: Bytes = Bytes(1_000);

/// A key or a reveal: names, digest, 32 bytes.
const KEY: Bytes = Bytes(400);

/// A line of a manifest, and of the statistics.
const MANIFEST_ROW: u64 = 154;
const STATS_ROW: u64 = 320;

/// What is known before anything runs; nothing by default.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Samples of datasets.
    pub samples: BTreeMap<DatasetName, Samples>,
    /// Lengths of the job programs.
    pub programs: BTreeMap<Binary, Bytes>,
    /// Length of the weights file.
    pub weights: Option<Bytes>,
}

/// The sizes of an experiment's files.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// `EXPERIMENT.`, with which every name begins.
    prefix: String,
    datasets: BTreeMap<DatasetName, OfDataset>,
    weights: Bytes,
    programs: BTreeMap<Binary, Bytes>,
    assumptions: Vec<String>,
}

/// The sizes of a dataset's files.
#[derive(Debug, Clone)]
struct OfDataset {
    samples: Samples,
    parameters: u64,
    settings: Bytes,
    recipe: Bytes,
    shards: Vec<Bytes>,
    validation: Bytes,
    test: Bytes,
    initial: Bytes,
    global: Bytes,
    broadcast: Bytes,
    update: Bytes,
    partial: Bytes,
    state: Bytes,
    residual: Bytes,
    personal: Bytes,
    checkpoint: Bytes,
    predictions: Bytes,
}

impl Sizes {
    /// The sizes of the files of `checked`, with what is `known` and assumptions for the rest.
    pub fn new(checked: &Checked, known: &Known) -> Self {
        let mut assumptions = Vec::new();
        let mut datasets = BTreeMap::new();
        for dataset in &checked.datasets {
            let config = &dataset.config;
            let samples = known.samples.get(&config.dataset).cloned();
            let samples = samples.unwrap_or_else(|| Samples::of_settings(config));
            assumptions.extend(assumed(config, &samples));
            datasets.insert(config.dataset.clone(), OfDataset::new(checked, config, samples));
        }
        if checked.execution.fan_in.is_some() {
            assumptions.push("a sum of updates takes 16 bytes a value".to_owned());
        }
        let weights = match (&checked.model.weights, known.weights) {
            (None, _) => Bytes(0),
            (Some(_), Some(length)) => length,
            (Some(path), None) => {
                assumptions.push(format!("`{path}` is as large as the model"));
                datasets
                    .values()
                    .next()
                    .map_or(Bytes(0), |dataset| dataset.initial)
            }
        };
        let mut programs = BTreeMap::from(PROGRAMS);
        if known.programs.is_empty() {
            let words =
                PROGRAMS.map(|(binary, length)| format!("`{}` {}", binary.as_str(), megabytes(length)));
            assumptions.push(format!("programs as released: {}", words.join(", ")));
        }
        programs.extend(known.programs.iter().map(|(binary, length)| (*binary, *length)));
        Self {
            prefix: format!("{}.", checked.name),
            datasets,
            weights,
            programs,
            assumptions,
        }
    }

    /// What is not known but assumed, a clause each.
    pub fn assumptions(&self) -> &[String] {
        &self.assumptions
    }

    /// The samples of a dataset; none for a dataset that is not of the experiment.
    pub fn samples(&self, dataset: &DatasetName) -> Option<&Samples> {
        self.datasets.get(dataset).map(|dataset| &dataset.samples)
    }

    /// The number of trained values of a dataset's model; 0 for a dataset that is not of the experiment.
    pub fn parameters(&self, dataset: &DatasetName) -> u64 {
        self.datasets.get(dataset).map_or(0, |dataset| dataset.parameters)
    }

    /// The length of a dataset's model in a file; 0 for a dataset that is not of the experiment.
    pub fn model(&self, dataset: &DatasetName) -> Bytes {
        self.datasets
            .get(dataset)
            .map_or(Bytes(0), |dataset| dataset.global)
    }

    /// The length of what a client of a dataset sends after a round; 0 for a dataset that is not of the experiment.
    pub fn update(&self, dataset: &DatasetName) -> Bytes {
        self.datasets
            .get(dataset)
            .map_or(Bytes(0), |dataset| dataset.update)
    }

    /// The length of a job program.
    pub fn program(&self, binary: Binary) -> Bytes {
        self.programs.get(&binary).copied().unwrap_or_default()
    }

    /// The length of Pegasus' worker package.
    pub fn worker_package(&self) -> Bytes {
        WORKER_PACKAGE
    }

    /// What a file is by its name, with or without a folder; none where it is no name of the experiment's.
    pub fn kind(&self, name: &str) -> Option<FileKind> {
        self.known(name).map(|(_, kind)| kind)
    }

    /// The length of a file by its name, with or without a folder; 0 where it is no name of the experiment's.
    pub fn file_bytes(&self, name: &str) -> Bytes {
        match self.known(name) {
            Some((_, FileKind::Weights)) => self.weights,
            Some((_, FileKind::Program)) => self.program(Binary::FlClient),
            Some((Some(dataset), kind)) => dataset.bytes(kind),
            Some((None, _)) | None => Bytes(0),
        }
    }

    fn known(&self, name: &str) -> Option<(Option<&OfDataset>, FileKind)> {
        let name = name.rsplit('/').next().unwrap_or(name);
        let rest = name.strip_prefix(&self.prefix)?;
        if rest == "weights.safetensors" {
            return Some((None, FileKind::Weights));
        }
        let (dataset, rest) = rest.split_once('.')?;
        let (_, dataset) = self.datasets.iter().find(|(name, _)| name.as_str() == dataset)?;
        FileKind::of(rest).map(|kind| (Some(dataset), kind))
    }
}

/// What is assumed of a dataset's samples.
fn assumed(config: &DatasetConfig, samples: &Samples) -> Option<String> {
    let name = &config.dataset;
    match samples.basis {
        Basis::Counted => None,
        Basis::Expected(images) => Some(format!(
            "the {} images of `{name}` come to its clients evenly",
            images.0
        )),
        Basis::Assumed(images) => Some(format!(
            "`{name}` has {} images, which come to its clients evenly",
            images.0
        )),
    }
    .map(|words| match config.test {
        TestSplit::Fraction(_) => words,
        TestSplit::Column { .. } if samples.basis == Basis::Counted => words,
        TestSplit::Column { .. } => format!("{words}, but for a fifth that is held out"),
    })
}

/// A length in megabytes, for sentences.
fn megabytes(length: Bytes) -> String {
    format!("{:.1} MB", length.0 as f64 / 1e6)
}

impl OfDataset {
    fn new(checked: &Checked, config: &DatasetConfig, samples: Samples) -> Self {
        let header = header(checked, config, TensorKind::Model, samples.train());
        let arch = checked.model.arch;
        let federation = &checked.federation;
        let recipe = &federation.recipe;
        let files = ModelFiles::new(arch, header.clone(), recipe);
        let initial = Header {
            round: Some(Round(0)),
            num_samples: SampleCount(0),
            ..header
        };
        let encoding = federation.compression.map(|compression| compression.encoding);
        let shard = |client: Option<ClientId>, split: Split, count: SampleCount| {
            shard(checked, config, client, split, count)
        };
        let clients = (0..).map(ClientId).zip(&samples.clients);
        Self {
            parameters: files.trained_values(),
            settings: json_bytes(config),
            recipe: json_bytes(recipe),
            shards: clients
                .map(|(client, &count)| shard(Some(client), Split::Train, count))
                .collect(),
            validation: shard(None, Split::Validation, samples.validation),
            test: shard(None, Split::Test, samples.test),
            initial: ModelFiles::new(arch, initial, recipe).model(),
            global: files.model(),
            broadcast: files.broadcast(federation.broadcast),
            update: files.update(encoding, checked.privacy.secure_aggregation),
            partial: files.partial(),
            state: files.state(federation.strategy_for(config.clients)),
            residual: files.residual(),
            personal: files.personal(),
            checkpoint: files.checkpoint(),
            predictions: predictions(config, samples.test),
            samples,
        }
    }

    fn bytes(&self, kind: FileKind) -> Bytes {
        match kind {
            FileKind::Settings => self.settings,
            FileKind::Recipe => self.recipe,
            FileKind::Manifest => Bytes(MANIFEST_ROW * self.samples.all().0),
            FileKind::Stats => Bytes(STATS_ROW * (2 + self.samples.clients.len() as u64)),
            FileKind::Shard(client) => self.shards.get(client.0 as usize).copied().unwrap_or_default(),
            FileKind::ValidationShard => self.validation,
            FileKind::TestShard => self.test,
            FileKind::InitialModel => self.initial,
            FileKind::Global | FileKind::Aggregated | FileKind::Start | FileKind::BaselineModel => {
                self.global
            }
            FileKind::Broadcast => self.broadcast,
            FileKind::Update => self.update,
            FileKind::Partial => self.partial,
            FileKind::State => self.state,
            FileKind::Residual => self.residual,
            FileKind::Personal => self.personal,
            FileKind::Checkpoint => self.checkpoint,
            FileKind::Predictions => self.predictions,
            FileKind::Key | FileKind::Reveal => KEY,
            FileKind::Metrics => METRICS,
            // Of no dataset.
            FileKind::Weights | FileKind::Program => Bytes(0),
        }
    }
}

/// The header of a dataset's files of the last round.
fn header(checked: &Checked, config: &DatasetConfig, kind: TensorKind, samples: SampleCount) -> Header {
    Header {
        kind,
        experiment: checked.name.clone(),
        dataset: config.dataset.clone(),
        spec_digest: checked.digest.clone(),
        synthetic: config.source.is_synthetic(),
        round: Some(Round(checked.federation.rounds)),
        client: None,
        num_samples: samples,
        arch: Some(checked.model.arch),
        channels: config.image.channels,
        image_size: config.image.size,
        num_classes: config.task.classes().len() as u32,
        target: config.task.target(),
        classes: Vec::new(),
        normalize: None,
    }
}

fn shard(
    checked: &Checked,
    config: &DatasetConfig,
    client: Option<ClientId>,
    split: Split,
    samples: SampleCount,
) -> Bytes {
    let header = Header {
        round: None,
        client,
        arch: None,
        classes: config.task.classes(),
        normalize: Some((config.image.mean, config.image.std)),
        ..header(checked, config, TensorKind::Shard, samples)
    };
    let mut metadata = header.to_metadata();
    let mut set = |key: &str, value: &str| metadata.insert(key.to_owned(), value.to_owned());
    set(NUM_PATIENTS, &samples.0.to_string());
    set(SHARD_SPLIT, split.as_str());
    set(SOURCE_DIGEST, &"0".repeat(64));
    let (count, side) = (samples.0 as usize, config.image.size as usize);
    let images = [count, side, side];
    let pixels = count * side * side * config.image.depth.bytes();
    let labels = labels(config, count);
    let label_bytes = labels.iter().product();
    let info = |name, dtype, shape, bytes| TensorInfo {
        name,
        dtype,
        shape,
        bytes,
    };
    let head = encode_header(
        &metadata,
        &[
            info(SHARD_IMAGES, "U16", &images, pixels),
            info(SHARD_LABELS, "U8", &labels, label_bytes),
            info(SHARD_PATIENTS, "U8", &[count, 16], 16 * count),
        ],
    );
    Bytes((head.len() + pixels + label_bytes + 16 * count) as u64)
}

/// The shape of the labels of so many samples.
fn labels(config: &DatasetConfig, count: usize) -> Vec<usize> {
    match config.task.target() {
        Target::Classes => vec![count],
        Target::Labels => vec![count, config.task.classes().len()],
    }
}

/// Outputs, labels and patients of every test sample, and a kilobyte of header.
fn predictions(config: &DatasetConfig, samples: SampleCount) -> Bytes {
    let outputs = 4 * config.task.classes().len() as u64;
    let labels: usize = labels(config, 1).iter().product();
    Bytes(1_000 + samples.0 * (outputs + labels as u64 + 16))
}

fn json_bytes(value: &impl serde::Serialize) -> Bytes {
    let text = serde_json::to_string_pretty(value).expect("settings hold texts and finite numbers");
    Bytes(text.len() as u64 + 1)
}
