//! A dataset's settings, and the two documents `prepare` and `stats` write about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::part::{InvalidPart, Part};
use crate::{
    ids::{ClientId, DatasetName, ExperimentName, Seed, SpecDigest},
    training::Target,
};

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
    /// A folder of DICOM files, sub-folders included. The label of an image is that of its institution, or an attribute.
    Dicom {
        /// The folder; each folder in it is a collection.
        root: String,
        /// Which institution an image comes from, for the `natural` partition.
        institution: Institution,
        /// What an image shows.
        labels: DicomLabels,
        /// Which slices of a series of CT or MR images are taken.
        slices: Slices,
        /// Whether images that say `BurnedInAnnotation` YES are taken; else they are unusable.
        burned_in: bool,
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
            Source::Folder { root } | Source::Dicom { root, .. } => vec![root],
            Source::Phantom { .. } => vec![],
        }
    }
}

/// Which institution a DICOM image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Institution {
    /// The folder directly below the root that it lies in.
    Collection,
    /// The text of an attribute, by its keyword (DICOM PS3.6), such as `InstitutionName`.
    Attribute(String),
}

/// What a DICOM image shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DicomLabels {
    /// The class of each collection; images of other collections are left out and counted. The label is the number as
    /// text.
    Collections(BTreeMap<String, u32>),
    /// The text of an attribute, by its keyword; several labels are separated by `|` or, as DICOM does, by `\`.
    Attribute(String),
}

/// Which slices of a series of CT or MR images are taken; of other modalities every image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Slices {
    /// The one in the middle, by position; of an even number the later.
    Middle,
    /// The first, and then every n-th; at least 1, which is all.
    Every(u32),
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
    /// Any number of labels an image; labels that are not asked for are ignored.
    Multilabel {
        /// The labels, in the order of the model's outputs.
        labels: Vec<String>,
    },
}

impl Task {
    /// The names of classes or labels in the order of the model's outputs.
    pub fn classes(&self) -> Vec<String> {
        match self {
            Task::Binary { negative } => vec![negative.join("|"), format!("not {}", negative.join("|"))],
            Task::Multiclass { classes } => classes.clone(),
            Task::Multilabel { labels } => labels.clone(),
        }
    }

    /// What the model's outputs are about.
    pub fn target(&self) -> Target {
        match self {
            Task::Binary { .. } | Task::Multiclass { .. } => Target::Classes,
            Task::Multilabel { .. } => Target::Labels,
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
    /// Bits a pixel of a shard has.
    pub depth: Depth,
    /// How an image that is not square becomes so.
    pub fit: Fit,
}

/// How an image that is not square becomes so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Width and height are scaled independently, as most published pipelines do.
    Stretch,
    /// Proportions are kept, those of pixels that are not square too; what is left at two sides is black.
    Pad,
}

/// Bits of a grey value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// 0 (black) to 255.
    U8,
    /// 0 (black) to 65,535.
    U16,
}

impl Depth {
    /// Bytes of a value.
    pub const fn bytes(self) -> usize {
        match self {
            Depth::U8 => 1,
            Depth::U16 => 2,
        }
    }
}

/// What is done about images that cannot be used, and about images that are there twice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// The largest share of images that may be unusable, 0 to below 1: those are skipped and named in the manifest.
    pub unusable: f64,
    /// What is done about the same image of two patients, or on both sides of the test split.
    pub duplicates: Duplicates,
}

/// What is done about the same image of two patients, or on both sides of the test split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// They are named in the manifest and counted in the statistics.
    Report,
    /// They end the job.
    Refuse,
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
    /// Numbers of samples drawn from a Dirichlet distribution; class proportions as they fall.
    QuantitySkew {
        /// Concentration: small is skewed, large is even; more than 0.
        alpha: f64,
        /// Fewest samples a client may have.
        min_size: u32,
    },
    /// Each client has samples of so many classes only (McMahan et al. 2017, arXiv:1602.05629, section 3).
    Pathological {
        /// Classes a client has; 1 to the number of classes.
        classes: u32,
    },
    /// One client for each value of an attribute.
    Attribute(Attribute),
}

/// What a source says about an image beside its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// The projection: `PA`, `AP`, `LL`, …
    View,
    /// The patient's sex: `F`, `M` or `O`.
    Sex,
    /// The patient's age in years by tens: `0-9`, `10-19`, …
    AgeBand,
    /// Who made the detector.
    Manufacturer,
}

impl Attribute {
    /// Every attribute.
    pub const ALL: [Attribute; 4] = [
        Attribute::View,
        Attribute::Sex,
        Attribute::AgeBand,
        Attribute::Manufacturer,
    ];

    /// The word a specification has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Attribute::View => "view",
            Attribute::Sex => "sex",
            Attribute::AgeBand => "age_band",
            Attribute::Manufacturer => "manufacturer",
        }
    }
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
    /// Share of the patients that are not held out of which thresholds are chosen; none when `null`.
    pub validation: Option<f64>,
    /// Number of clients.
    pub clients: u32,
    /// How training samples come to clients.
    pub partition: Partition,
    /// What is done about images that cannot be used.
    pub quality: Quality,
    /// The dataset's seed.
    pub seed: Seed,
}

impl DatasetConfig {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;
}

/// Which side of the splits a sample is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Trained on, by the row's client.
    Train,
    /// Of no client: thresholds are chosen on it.
    Validation,
    /// Held out.
    Test,
}

impl Split {
    /// Every side.
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// The word it is written as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// One image of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRow {
    /// The image as the source names it.
    pub image: String,
    /// The patient as the source names them.
    pub patient: String,
    /// Indices into [`Manifest::classes`], ascending: the one class, or any number of labels.
    pub labels: Vec<u32>,
    /// Side of the splits.
    pub split: Split,
    /// The client that trains on it; `null` for test and validation rows.
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
    /// Whether an image has one class or any number of labels.
    pub target: Target,
    /// Names of classes or labels in the order of the model's outputs.
    pub classes: Vec<String>,
    /// Number of clients.
    pub clients: u32,
    /// Whether there is a validation side.
    pub validation: bool,
    /// The samples whose images were prepared where this was written; all when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Rows of the source left out, counted by reason.
    pub left_out: BTreeMap<String, u64>,
    /// Images that could not be used, in the source's order.
    pub skipped: Vec<Skipped>,
    /// Images that are there more than once.
    pub duplicates: Vec<DuplicateGroup>,
    /// Images whose grey values were stretched between percentiles, as they say nothing of a window.
    pub percentile_windows: u64,
    /// SHA-256 over the names of the images prepared here and their prepared pixels, in order, hexadecimal.
    pub source_digest: String,
    /// The samples, in the source's order; those of all parts.
    pub rows: Vec<ManifestRow>,
}

impl Manifest {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 2;
}

/// An image that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// The image as the source names it.
    pub image: String,
    /// Why, with the value found.
    pub reason: String,
}

/// Images that show the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DuplicateGroup {
    /// How alike they are.
    pub kind: DuplicateKind,
    /// The images as the source names them, in its order; at least two.
    pub images: Vec<String>,
    /// Whether they are of several patients.
    pub across_patients: bool,
    /// Whether they are on different sides of the splits.
    pub across_splits: bool,
}

/// How alike two images are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateKind {
    /// The prepared pixels are equal.
    Exact,
    /// Hashes of what is seen are near; brightness, contrast or compression may differ.
    Perceptual,
}

/// Sizes and class balance of one group of samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupStats {
    /// Number of samples.
    pub samples: u64,
    /// Number of patients.
    pub patients: u64,
    /// Samples with each class or label, in the order of [`DatasetStats::classes`]. With several labels an image they do
    /// not add up to the samples.
    pub class_counts: Vec<u64>,
    /// Samples with none of the labels; 0 where every image has one class.
    pub unlabelled: u64,
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
    /// Hellinger distance between the same two (0 to 1).
    pub hellinger: f64,
    /// Earth mover's distance between the same two, every class as far from every other (0 to 1).
    pub emd: f64,
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
    /// Whether an image has one class or any number of labels. Then a sample counts, in distances of class
    /// distributions, as of its first label in the order of `classes`, and as of one more class if it has none.
    pub target: Target,
    /// Names of classes or labels in the order of the model's outputs.
    pub classes: Vec<String>,
    /// All training samples.
    pub train: GroupStats,
    /// The samples thresholds are chosen on; `null` where there are none.
    pub validation: Option<GroupStats>,
    /// The held-out samples.
    pub test: GroupStats,
    /// Each client, in order.
    pub clients: Vec<ClientStats>,
    /// Rows of the source left out, counted by reason.
    pub left_out: BTreeMap<String, u64>,
    /// How many clients of equal size would weigh as much: `(Σ n_k)² / Σ n_k²` (Kish 1965).
    pub effective_clients: f64,
    /// Images that could not be used.
    pub skipped: u64,
    /// Groups of images that are there more than once and cross patients or splits.
    pub leaks: u64,
}

impl DatasetStats {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 2;
}
