//! What a report holds: the type behind `--json`, from which the texts are made.

use std::collections::BTreeMap;

use contract::{
    metrics::Scores,
    training::{Backend, BaselineKind},
    units::Bytes,
};
use serde::{Deserialize, Serialize};

use crate::record::Stamp;

/// Everything a report shows. Undefined quantities (an AUROC without both classes) are `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Format version, [`Report::VERSION`].
    pub fedwing_report: u32,
    /// The experiment or workflow.
    pub experiment: String,
    /// What the experiment is for, where the specification says it.
    pub intent: Option<String>,
    /// Whether any sample behind any number is drawn rather than taken.
    pub synthetic: bool,
    /// How far the run came.
    pub state: RunState,
    /// The fedwing that ran it.
    pub fedwing: String,
    /// The machine it ran on.
    pub host: String,
    /// When it started.
    pub started_unix_ms: Stamp,
    /// Seconds from its first to its last recorded event, pauses between resumptions included.
    pub elapsed_s: f64,
    /// Jobs at once, as last set.
    pub slots: u32,
    /// How often it was continued.
    pub resumed: u32,
    /// Each dataset that left metrics or statistics, by name.
    pub datasets: Vec<DatasetReport>,
    /// How many jobs are in which state.
    pub jobs: JobCounts,
    /// Jobs whose last attempt failed, by name.
    pub failed_jobs: Vec<FailedJob>,
    /// What each kind of job used, in the order of the data flow.
    pub stages: Vec<StageUse>,
    /// What all jobs used together.
    pub totals: Use,
    /// Every attempt of every job, by start.
    pub timeline: Vec<Attempt>,
    /// SHA-256 of the specification or workflow.
    pub spec_digest: String,
    /// Its text; `null` when the run's folder holds no copy.
    pub spec: Option<String>,
}

impl Report {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 2;
}

/// The report as pretty JSON with a closing newline.
pub fn json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("every map key in a report is text");
    text.push('\n');
    text
}

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Every job is done.
    Done,
    /// Some job failed for good.
    Failed,
    /// Stopped by the user.
    Interrupted,
    /// Still going, or killed: the record has no end.
    Unfinished,
}

/// One dataset's federation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetReport {
    /// Its name.
    pub name: String,
    /// Whether its samples are drawn rather than taken; those of other datasets it is tested on do not count here.
    pub synthetic: bool,
    /// Class names in the order of the model's outputs.
    pub classes: Vec<String>,
    /// Who has how many samples; `null` until the statistics are there.
    pub stats: Option<DatasetSummary>,
    /// Each round that left metrics, in order; round 0 is the initial model.
    pub rounds: Vec<RoundReport>,
    /// What federated training is compared with.
    pub baselines: Vec<BaselineReport>,
    /// Clients' own models after the last round, where they have any.
    pub personal: Vec<PersonalReport>,
    /// The last round's model on the test samples of other datasets.
    pub cross: Vec<CrossReport>,
    /// What the global models tell of any one client's part, after the last round; `null` where nothing bounds it.
    pub privacy: Option<PrivacyReport>,
    /// What a client's updates tell of any one of its samples, for the client of which they tell most; `null` where
    /// nothing bounds it.
    pub sample_privacy: Option<SamplePrivacyReport>,
    /// What models were trained and tested on, each once; empty where no metrics say it.
    pub backends: Vec<Backend>,
    /// What the updates of all rounds took on the way; `null` before the first aggregation.
    pub transfer: Option<TransferReport>,
    /// The last round whose model was evaluated.
    #[serde(rename = "final")]
    pub last: Option<FinalReport>,
}

/// Who has how many samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSummary {
    /// Each client, in order.
    pub clients: Vec<ClientShare>,
    /// All training samples.
    pub train: Group,
    /// The samples thresholds are chosen on; `null` where there are none.
    pub validation: Option<Group>,
    /// The held-out samples.
    pub test: Group,
    /// Rows of the source left out, counted by reason.
    pub left_out: BTreeMap<String, u64>,
    /// How many clients of equal size would weigh as much in a mean by sample count.
    pub effective_clients: f64,
    /// Images that could not be used.
    pub skipped: u64,
    /// Groups of images that are there more than once and cross patients or the test split.
    pub leaks: u64,
}

/// Sizes and class balance of one group of samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Number of samples.
    pub samples: u64,
    /// Number of patients.
    pub patients: u64,
    /// Samples per class, in the order of [`DatasetReport::classes`].
    pub class_counts: Vec<u64>,
    /// Samples with none of the labels, where an image may have several.
    pub unlabelled: u64,
}

/// One client's samples and how far they are from the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientShare {
    /// The client.
    pub client: u32,
    /// Number of samples.
    pub samples: u64,
    /// Number of patients.
    pub patients: u64,
    /// Samples per class, in the order of [`DatasetReport::classes`].
    pub class_counts: Vec<u64>,
    /// Samples with none of the labels, where an image may have several.
    pub unlabelled: u64,
    /// Kullback-Leibler divergence of its classes from those of all clients together, in nats.
    pub kl: f64,
    /// Jensen-Shannon divergence between the same two, in nats.
    pub js: f64,
    /// Hellinger distance between the same two, 0 to 1.
    pub hellinger: f64,
    /// Earth mover's distance between the same two, every class as far from every other, 0 to 1.
    pub emd: f64,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundReport {
    /// The round.
    pub round: u32,
    /// The global model after the round on the test samples; `null` until evaluated.
    pub metrics: Option<Scores>,
    /// Updates that went into the aggregation, or training jobs done where that is not there yet.
    pub num_clients: u32,
    /// Mean loss of the clients' last local epoch, weighted by their samples; `null` without training.
    pub train_loss: Option<f64>,
    /// Mean loss on the clients' validation samples after the epoch whose weights they sent, weighted by their training
    /// samples; `null` where no client watches any.
    pub validation_loss: Option<f64>,
    /// Selected clients without an update, in order.
    pub absent: Vec<AbsentClient>,
    /// What its updates took on the way; `null` until aggregated.
    pub transfer: Option<TransferReport>,
}

/// A selected client without an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbsentClient {
    /// The client.
    pub client: u32,
    /// Why, in its training job's words; `null` where that left none.
    pub reason: Option<String>,
}

/// What updates took on the way to the aggregator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferReport {
    /// Bytes of the update files.
    pub received_bytes: Bytes,
    /// Bytes the same updates have as plain values.
    pub plain_bytes: Bytes,
}

/// The bound on what the global models tell of any one client's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyReport {
    /// The round after which it holds.
    pub round: u32,
    /// The bound's ε, for the client that took part most often; `null` (no bound) without noise.
    pub epsilon: Option<f64>,
    /// The probability with which the bound may fail.
    pub delta: f64,
    /// Standard deviation of the noise over the norm.
    pub noise_multiplier: f64,
    /// The norm to which the round's differences were scaled down.
    pub norm: f64,
    /// Rounds in which the client that took part most often did.
    pub rounds: u64,
}

/// The bound on what a client's updates tell of any one of its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplePrivacyReport {
    /// The last round the client took part in.
    pub round: u32,
    /// The client with the largest ε.
    pub client: u32,
    /// The bound's ε.
    pub epsilon: f64,
    /// The probability with which the bound may fail.
    pub delta: f64,
    /// Standard deviation of the noise over the norm.
    pub noise_multiplier: f64,
    /// The norm to which samples' gradients were scaled down.
    pub norm: f64,
    /// Steps the client took, in all rounds.
    pub steps: u64,
}

/// A client's own model on the test samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalReport {
    /// The client.
    pub client: u32,
    /// The round after which it is.
    pub round: u32,
    /// Quality of its predictions.
    pub metrics: Scores,
}

/// A model federated training is compared with, on the test samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineReport {
    /// Which baseline.
    pub kind: BaselineKind,
    /// The client, for `local_only`.
    pub client: Option<u32>,
    /// Quality of its predictions.
    pub metrics: Scores,
}

/// A model on another dataset's test samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossReport {
    /// The dataset the test samples come from.
    pub test_dataset: String,
    /// The round of the model.
    pub round: u32,
    /// Whether samples it was trained or tested on are drawn rather than taken.
    pub synthetic: bool,
    /// Quality of its predictions.
    pub metrics: Scores,
}

/// The last round whose model was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalReport {
    /// The round.
    pub round: u32,
    /// Quality of its predictions.
    pub metrics: Scores,
}

/// Mean and range of one quantity over models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// Over the values that are defined; `None` when none is.
    pub fn over(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().flatten().collect();
        let (first, rest) = values.split_first()?;
        let (min, max) = rest
            .iter()
            .fold((*first, *first), |(low, high), v| (low.min(*v), high.max(*v)));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Self { mean, min, max })
    }
}

impl DatasetReport {
    /// Whether any of its numbers rests on drawn samples, those of other datasets included.
    pub fn rests_on_synthetic(&self) -> bool {
        self.synthetic || self.cross.iter().any(|cross| cross.synthetic)
    }

    /// Mean and range of `measure` over the baselines of one kind; `None` without any that defines it.
    pub fn baseline(&self, kind: BaselineKind, measure: impl Fn(&Scores) -> Option<f64>) -> Option<Spread> {
        let of_kind = self.baselines.iter().filter(|baseline| baseline.kind == kind);
        Spread::over(of_kind.map(|baseline| measure(&baseline.metrics)))
    }
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobCounts {
    /// Jobs of the run.
    pub total: u64,
    /// Done, outputs there.
    pub done: u64,
    /// The last attempt failed.
    pub failed: u64,
    /// Started, and neither done nor failed.
    pub unfinished: u64,
    /// Never started.
    pub waiting: u64,
    /// Attempts after the first of a job.
    pub retries: u64,
    /// The jobs that started, by kind.
    pub by_kind: Vec<KindCounts>,
}

/// How many jobs of one kind are in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindCounts {
    /// The kind of job.
    pub kind: String,
    /// Done, outputs there.
    pub done: u64,
    /// The last attempt failed.
    pub failed: u64,
    /// Started, and neither done nor failed.
    pub unfinished: u64,
}

/// A job whose last attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedJob {
    /// The job.
    pub job: String,
    /// The kind of job.
    pub kind: String,
    /// Attempts made.
    pub attempts: u32,
    /// How the last attempt ended.
    pub ended: String,
    /// What is wrong, in the job's words.
    pub message: Option<String>,
    /// The file it is about.
    pub file: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// Where the last attempt's stderr is, within the run's folder; there is no such file when it wrote nothing.
    pub log: Option<String>,
}

/// What one kind of job used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageUse {
    /// The kind of job.
    pub kind: String,
    /// What its attempts used together.
    pub used: Use,
}

/// What attempts used together, failed ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// Jobs that started.
    pub jobs: u64,
    /// Attempts that ended.
    pub attempts: u64,
    /// Elapsed time, summed over attempts, in seconds.
    pub wall_s: f64,
    /// User and system CPU time, in seconds.
    pub cpu_s: f64,
    /// Largest resident memory of one attempt.
    pub peak_memory_bytes: Bytes,
    /// Declared inputs linked into the attempts' directories.
    pub bytes_in: Bytes,
    /// Outputs left by done attempts.
    pub bytes_out: Bytes,
}

/// One attempt of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The job.
    pub job: String,
    /// The kind of job.
    pub kind: String,
    /// The dataset, for jobs of ours.
    pub dataset: Option<String>,
    /// The round, for jobs of a round.
    pub round: Option<u32>,
    /// The client, for jobs of a client.
    pub client: Option<u32>,
    /// Counted from 1.
    pub attempt: u32,
    /// Start, in seconds after the run's.
    pub start_s: f64,
    /// End, in seconds after the run's start; `null` while none is recorded. An attempt cut off by the death of
    /// the run and followed by a resumption ends at the last event before it.
    pub end_s: Option<f64>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// More about a failure: the exit code, the signal, the missing file.
    pub detail: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// All outputs are there.
    Done,
    /// It failed.
    Failed,
    /// Stopped with the run.
    Interrupted,
    /// No end is recorded.
    Unfinished,
}

impl AttemptOutcome {
    /// The word it is written as.
    pub const fn as_str(self) -> &'static str {
        match self {
            AttemptOutcome::Done => "done",
            AttemptOutcome::Failed => "failed",
            AttemptOutcome::Interrupted => "interrupted",
            AttemptOutcome::Unfinished => "unfinished",
        }
    }
}

impl RunState {
    /// The word it is written as.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunState::Done => "done",
            RunState::Failed => "failed",
            RunState::Interrupted => "interrupted",
            RunState::Unfinished => "unfinished",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_passes_over_what_is_undefined() {
        let spread = Spread::over([Some(0.5), None, Some(0.7)]).unwrap();
        assert_eq!((spread.min, spread.max), (0.5, 0.7));
        assert!((spread.mean - 0.6).abs() < 1e-12);
        assert_eq!(Spread::over([None, None]), None);
    }
}
