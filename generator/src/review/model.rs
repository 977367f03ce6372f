//! What a review says, for programs: every field in the unit its type or name says.

use contract::{
    dataset::DatasetConfig,
    units::{Bytes, Seconds},
};
use serde::Serialize;

/// The review of a specification.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Review {
    /// Format version, [`Review::VERSION`].
    pub fedwing_review: u32,
    /// The experiment.
    pub experiment: String,
    /// What it is for, in its author's words.
    pub intent: Option<String>,
    /// SHA-256 of the specification: what a person approves.
    pub spec_digest: String,
    /// The seed everything random descends from.
    pub seed: u64,
    /// Whether any dataset is drawn rather than taken.
    pub synthetic: bool,
    /// The datasets, each a federation of its own.
    pub datasets: Vec<DatasetReview>,
    /// The network.
    pub model: ModelReview,
    /// The federated algorithm's word.
    pub algorithm: String,
    /// Number of rounds.
    pub rounds: u32,
    /// Passes over a client's samples in a round.
    pub epochs: u32,
    /// Fewest clients a round may be left with; all of those selected when `null`.
    pub min_clients: Option<u32>,
    /// How updates are combined, encoded and trained: every setting that is not off.
    pub training: Vec<Setting>,
    /// What the result is compared with and told by.
    pub evaluation: Vec<Setting>,
    /// What others may learn of a client's part.
    pub privacy: Vec<Setting>,
    /// Jobs by kind.
    pub jobs: Vec<JobCount>,
    /// Files by kind, those that are given among them.
    pub files: Vec<FileCount>,
    /// What each layout would make of the plan; the chosen one first.
    pub layouts: Vec<LayoutReview>,
    /// Where jobs run, and what they ask for there.
    pub places: Vec<PlaceReview>,
    /// What moves between the submit host and other machines, by workflow system.
    pub traffic: Vec<TrafficReview>,
    /// Predicted makespans by layout and workflow system; empty where no pool is given.
    pub makespans: Vec<Makespan>,
    /// Warnings of `check`, a line each.
    pub warnings: Vec<String>,
    /// What sizes are based on that is not known.
    pub assumptions: Vec<String>,
    /// What is not settled.
    pub open_questions: Vec<Question>,
}

impl Review {
    /// The format version this code writes.
    pub const VERSION: u32 = 1;
}

/// How long an experiment would take on a pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Makespan {
    /// The layout, as in a specification.
    pub layout: String,
    /// The workflow system.
    pub target: &'static str,
    /// From the start until the last job's results are there, in seconds.
    pub seconds: f64,
}

/// A setting that is on, by its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its path, such as `optimizer.sgd.learning_rate`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetReview {
    /// Its name.
    pub name: String,
    /// Whether it is drawn rather than taken.
    pub synthetic: bool,
    /// Its settings, as `prepare` will read them.
    pub settings: DatasetConfig,
    /// What is at its source; `null` where nobody looked.
    pub found: Option<Found>,
    /// How many samples each side has.
    pub samples: SamplesReview,
    /// Clients asked to train in a round.
    pub selected: u32,
    /// Each client, in order.
    pub clients: Vec<ClientReview>,
}

/// What `profile` found at a dataset's source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The folder.
    pub root: String,
    /// Images that can be read.
    pub images: u64,
    /// Patients, where images name them.
    pub patients: Option<u64>,
    /// Files that are images by name and cannot be used.
    pub unusable: u64,
    /// Images that say they show burned-in annotation.
    pub burned_in: u64,
    /// Groups of files with the same bytes.
    pub same_bytes: u64,
    /// Images by format, modality, size and bits, the commonest first: `PNG 1000`.
    pub kinds: Vec<Setting>,
}

/// How many samples each side of a dataset has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SamplesReview {
    /// `counted`, `expected` (of known images) or `assumed`.
    pub basis: &'static str,
    /// Those of all clients.
    pub train: u64,
    /// Those thresholds are chosen on.
    pub validation: u64,
    /// Those held out.
    pub test: u64,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientReview {
    /// Its number.
    pub client: u32,
    /// The site that holds its data; `null` when all data is in one place.
    pub site: Option<String>,
    /// Its samples.
    pub samples: u64,
    /// Its shard.
    pub shard: Bytes,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelReview {
    /// Its word.
    pub arch: String,
    /// Its trained values, by dataset in order.
    pub parameters: Vec<u64>,
    /// A model's file, by dataset in order.
    pub bytes: Vec<Bytes>,
    /// What a client sends after a round, by dataset in order.
    pub update: Vec<Bytes>,
    /// The weights it starts from; random ones when `null`.
    pub weights: Option<String>,
}

/// Jobs of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobCount {
    /// The kind.
    pub kind: String,
    /// How many.
    pub jobs: u64,
    /// Of those, how many run on the submit host.
    pub on_submit_host: u64,
    /// CPU cores each asks for.
    pub cpus: u32,
    /// Memory each asks for.
    pub memory: Bytes,
    /// GPUs each asks for.
    pub gpus: u32,
    /// Longest run time, of the one that asks for most.
    pub walltime: Seconds,
}

/// Files of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileCount {
    /// The kind.
    pub kind: String,
    /// How many.
    pub files: u64,
    /// What they take together.
    pub bytes: Bytes,
}

/// What a layout makes of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayoutReview {
    /// The layout, as written in a specification.
    pub layout: String,
    /// Whether the specification has it.
    pub chosen: bool,
    /// Entries of the main workflow: jobs and sub-workflows.
    pub entries: u64,
    /// Sub-workflows.
    pub sub_workflows: u64,
    /// How often Pegasus plans.
    pub plannings: u64,
}

/// A place where jobs run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlaceReview {
    /// `submit host`, `any machine`, or the site's name.
    pub place: String,
    /// Its jobs.
    pub jobs: u64,
    /// The most jobs of one round that train there at once, over all datasets.
    pub training_at_once: u64,
    /// Most cores, memory and GPUs that a job there asks for.
    pub cpus: u32,
    /// See `cpus`.
    pub memory: Bytes,
    /// See `cpus`.
    pub gpus: u32,
    /// The folder its data is kept in; `null` where the place is no site.
    pub data: Option<String>,
    /// What its jobs send elsewhere, by kind of file; empty for the submit host.
    pub sends: Vec<SentFile>,
}

/// Files of a kind that jobs of a place send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentFile {
    /// The kind.
    pub kind: String,
    /// How many.
    pub files: u64,
    /// What they take together.
    pub bytes: Bytes,
}

/// What moves between the submit host and other machines under a workflow system, when every job is tried once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrafficReview {
    /// `pegasus` or `dagman`.
    pub target: &'static str,
    /// A round of each dataset on average.
    pub round: Vec<MovedFor>,
    /// By site; jobs of any machine under `any machine`.
    pub places: Vec<MovedFor>,
    /// By kind of file, the most first.
    pub kinds: Vec<MovedFor>,
    /// Everything.
    pub whole: Moved,
}

/// What moves for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedFor {
    /// For what.
    pub name: String,
    /// How much.
    #[serde(flatten)]
    pub moved: Moved,
}

/// What moves, as jobs see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// To jobs.
    pub received: Bytes,
    /// From jobs.
    pub sent: Bytes,
}

/// Something that is not settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The part of the specification it is about.
    pub about: String,
    /// What is not settled.
    pub question: String,
    /// How to settle it.
    pub way_out: String,
}

/// The review as JSON text.
pub fn json(review: &Review) -> String {
    serde_json::to_string_pretty(review).expect("a review holds texts and finite numbers") + "\n"
}
