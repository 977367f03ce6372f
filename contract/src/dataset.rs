//! A dataset's settings, and the two documents `prepare` and `stats` write about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ClientId, DatasetName, ExperimentName, Seed, SpecDigest};

/// Where images and labels come from. Paths are absolute, read in place where `prepare` runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// The NIH ChestX-ray14 layout: a folder of PNG files and the original metadata table
    /// (columns `Image Index`, `Finding Labels` with `|`, `Patient ID`).
    Cxr14 {
        /// Folder searched for the images, sub-folders included.
        images: String,
        /// The metadata table, CSV.
        labels: String,
    },
    /// Any CSV with image paths.
    Table {
        /// The table; image paths in it are relative to its folder.
        csv: String,
        /// Column of image paths.
        image: String,
        /// Column of patient identifiers; the image column itself where each image is a patient of its own.
        patient: String,
        /// Column of the institution, for the `natural` partition.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        site: Option<String>,
        /// One column of label text (several labels separated by `|`), or several columns of 0 and 1.
        labels: Vec<String>,
    },
    /// `<label>/<image>`: the folder's name is the label, each image a patient of its own.
    Folder {
        /// The folder of label folders.
        root: String,
    },
    /// Drawn radiographs; the only synthetic source. Labels are `No Finding` and `Opacity`.
    Phantom {
        /// Number of patients, one image each.
        patients: u32,
        /// Number of institutions the patients come from.
        sites: u32,
    },
}

impl Source {
    /// Whether its images are drawn rather than taken.
    pub fn is_synthetic(&self) -> bool {
        matches!(self, Source::Phantom { .. })
    }

    /// The absolute paths `prepare` reads in place.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Source::Cxr14 { images, labels } => vec![labels, images],
            Source::Table { csv, .. } => vec![csv],
            Source::Folder { root } => vec![root],
            Source::Phantom { .. } => vec![],
        }
    }
}

/// What a model is asked to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// Class 0 when all labels of an image are among `negative`, else class 1.
    Binary {
        /// Labels that make an image negative.
        negative: Vec<String>,
    },
    /// One class an image; images with none or several of the classes are left out and counted.
    Multiclass {
        /// The classes, in the order of the model's outputs.
        classes: Vec<String>,
    },
}

impl Task {
    /// The class names in the order of the model's outputs.
    pub fn classes(&self) -> Vec<String> {
        match self {
            Task::Binary { negative } => vec![negative.join("|"), format!("not {}", negative.join("|"))],
            Task::Multiclass { classes } => classes.clone(),
        }
    }
}

/// The tensors made of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSettings {
    /// Width and height in pixels.
    pub size: u32,
    /// 1 (grey) or 3 (the grey value three times, for networks made for RGB).
    pub channels: u32,
    /// Subtracted from pixel values scaled to 0..1.
    pub mean: f64,
    /// Divides what is left; more than 0.
    pub std: f64,
}

/// Which samples are held out for testing. Always by patient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TestSplit {
    /// A share of the patients, drawn from the seed.
    Fraction(f64),
    /// The source's own split, by the text of a column of a `table`; rows with other values are left out and counted.
    Column {
        /// The column.
        name: String,
        /// Values that mean training.
        train: Vec<String>,
        /// Values that mean testing.
        test: Vec<String>,
    },
}

/// How training samples come to clients. A patient is never split between clients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Partition {
    /// By the source's own institutions.
    Natural,
    /// Evenly at random.
    Iid,
    /// By a hash of the patient identifier: stable when images are added.
    PatientHash,
    /// Class proportions drawn from a Dirichlet distribution (Hsu et al. 2019, arXiv:1909.06335).
    Dirichlet {
        /// Concentration: small is skewed, large is even; more than 0.
        alpha: f64,
        /// Fewest samples a client may have.
        min_size: u32,
    },
}

/// Everything `prepare` needs to know about a dataset; a JSON file beside the workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// Format version, [`DatasetConfig::VERSION`].
    pub fedwing_dataset: u32,
    /// The experiment.
    pub experiment: ExperimentName,
    /// The dataset.
    pub dataset: DatasetName,
    /// SHA-256 of the specification.
    pub spec_digest: SpecDigest,
    /// Where images and labels come from.
    pub source: Source,
    /// What the model is asked to tell.
    pub task: Task,
    /// The tensors made of images.
    pub image: ImageSettings,
    /// Which samples are held out.
    pub test: TestSplit,
    /// Number of clients.
    pub clients: u32,
    /// How training samples come to clients.
    pub partition: Partition,
    /// The dataset's seed.
    pub seed: Seed,
}

impl DatasetConfig {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;
}

/// Which side of the test split a sample is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Trained on, by the row's client.
    Train,
    /// Held out.
    Test,
}

/// One image of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRow {
    /// The image as the source names it.
    pub image: String,
    /// The patient as the source names them.
    pub patient: String,
    /// Index into [`Manifest::classes`].
    pub class: u32,
    /// Side of the test split.
    pub split: Split,
    /// The client that trains on it; `null` for test rows.
    pub client: Option<ClientId>,
}

/// Which image went where: the proof that no patient is on two sides. It names patients and stays where the images are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format version, [`Manifest::VERSION`].
    pub fedwing_manifest: u32,
    /// The experiment.
    pub experiment: ExperimentName,
    /// The dataset.
    pub dataset: DatasetName,
    /// SHA-256 of the specification.
    pub spec_digest: SpecDigest,
    /// Whether the images are drawn rather than taken.
    pub synthetic: bool,
    /// Class names in the order of the model's outputs.
    pub classes: Vec<String>,
    /// Number of clients.
    pub clients: u32,
    /// Rows of the source left out, counted by reason.
    pub left_out: BTreeMap<String, u64>,
    /// The samples, in the source's order.
    pub rows: Vec<ManifestRow>,
}

impl Manifest {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;
}

/// Sizes and class balance of one group of samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupStats {
    /// Number of samples.
    pub samples: u64,
    /// Number of patients.
    pub patients: u64,
    /// Samples per class, in the order of [`DatasetStats::classes`].
    pub class_counts: Vec<u64>,
}

/// One client's share and how far it is from the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientStats {
    /// The client.
    pub client: ClientId,
    /// Sizes and class balance.
    pub group: GroupStats,
    /// Kullback-Leibler divergence of the client's class distribution from that of all clients together, in nats.
    pub kl: f64,
    /// Jensen-Shannon divergence between the same two, in nats (0 to ln 2).
    pub js: f64,
}

/// What a dataset looks like to the federation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetStats {
    /// Format version, [`DatasetStats::VERSION`].
    pub fedwing_stats: u32,
    /// The experiment.
    pub experiment: ExperimentName,
    /// The dataset.
    pub dataset: DatasetName,
    /// Whether the images are drawn rather than taken.
    pub synthetic: bool,
    /// Class names in the order of the model's outputs.
    pub classes: Vec<String>,
    /// All training samples.
    pub train: GroupStats,
    /// The held-out samples.
    pub test: GroupStats,
    /// Each client, in order.
    pub clients: Vec<ClientStats>,
    /// Rows of the source left out, counted by reason.
    pub left_out: BTreeMap<String, u64>,
}

impl DatasetStats {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;
}
