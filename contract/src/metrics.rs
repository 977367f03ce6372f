//! Metrics files: what training, aggregation and evaluation report, as versioned JSON.
//!
//! They hold results only, never times or machine facts: the same spec gives the same bytes.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ClientId, DatasetName, ExperimentName, Round, SpecDigest},
    training::{Backend, BaselineKind},
    units::SampleCount,
};

/// What a metrics file is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A client's training in a round.
    Train {
        /// The round.
        round: Round,
        /// The client.
        client: ClientId,
        /// Mean loss per sample of each local epoch, in order; empty when the client is absent.
        epoch_loss: Vec<f64>,
        /// Mean loss per sample on the client's validation samples after each epoch; empty where it has none.
        validation_loss: Vec<f64>,
        /// The epoch whose weights were sent, counted from 1, where training watched validation; `null` elsewhere.
        best_epoch: Option<u32>,
        /// What was spent of the samples' privacy in this and earlier rounds; `null` where nothing bounds it.
        privacy: Option<SamplePrivacySpent>,
        /// Why the client is absent from the round; `null` when it is not.
        absent: Option<String>,
    },
    /// A round's aggregation.
    Aggregate {
        /// The round; `null` where the global model does not state one.
        round: Option<Round>,
        /// Each update's client and sample count, in client order.
        updates: Vec<UpdateShare>,
        /// Selected clients whose update was not there, in order.
        absent: Vec<ClientId>,
        /// The strategy with its settings.
        strategy: String,
        /// What was spent of the clients' privacy so far; `null` where nothing bounds it.
        privacy: Option<PrivacySpent>,
        /// What the updates took on the way.
        transfer: Transfer,
    },
    /// The global model of a round on a test shard.
    Evaluate {
        /// The round of the model; 0 is the initial model.
        round: Round,
        /// The dataset the test samples come from.
        test_dataset: DatasetName,
        /// The client whose own model it is; `null` for the global model.
        client: Option<ClientId>,
    },
    /// A baseline's model on the test shard.
    Baseline {
        /// Which baseline.
        kind: BaselineKind,
        /// The client, for `local_only`.
        client: Option<ClientId>,
        /// Epochs trained.
        epochs: u32,
        /// Mean loss per sample of each epoch, in order.
        epoch_loss: Vec<f64>,
    },
}

/// One update's part in an aggregation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateShare {
    /// The client, where the update names it.
    pub client: Option<ClientId>,
    /// Samples it was trained on.
    pub num_samples: SampleCount,
    /// Its share in the new global model, from 0 to 1; `null` under rules that choose value by value, and where the
    /// updates were added up before.
    pub weight: Option<f64>,
}

/// The bound on what the global models so far tell of any one client's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacySpent {
    /// The bound's ε, for the client that took part most often; `null` (no bound) without noise.
    pub epsilon: Option<f64>,
    /// The probability with which the bound may fail.
    pub delta: f64,
    /// Standard deviation of the noise over the norm.
    pub noise_multiplier: f64,
    /// The norm to which this round's differences were scaled down.
    pub norm: f64,
    /// Rounds in which the client that took part most often did.
    pub rounds: u64,
}

/// The bound on what a client's updates so far tell of any one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplePrivacySpent {
    /// The bound's ε.
    pub epsilon: f64,
    /// The probability with which the bound may fail.
    pub delta: f64,
    /// Standard deviation of the noise over the norm.
    pub noise_multiplier: f64,
    /// The norm to which samples' gradients were scaled down.
    pub norm: f64,
    /// Steps taken, in this and earlier rounds.
    pub steps: u64,
}

/// What a round's updates took on the way to the aggregator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Bytes of the update files.
    pub received_bytes: u64,
    /// Bytes the same updates have as plain values.
    pub plain_bytes: u64,
}

/// Quality of predictions on a set of samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// Mean cross-entropy per sample, in nats; with several labels, of their mean.
    pub loss: f64,
    /// Share of samples whose class is told; with several labels, the share of all labels of all samples.
    pub accuracy: f64,
    /// Mean recall over the classes that occur; with several labels, the mean over labels of the mean of sensitivity and
    /// specificity. `null` (undefined) when no label has both positive and negative samples.
    pub balanced_accuracy: Option<f64>,
    /// Mean F1 over the classes that occur in truth or prediction.
    pub macro_f1: f64,
    /// F1 of all decisions together; with one class an image the accuracy.
    pub micro_f1: f64,
    /// Area under the ROC curve: of class 1 for two classes, else the mean one-against-rest over the classes where it
    /// is defined; `null` (undefined) when no class has both positive and negative samples.
    pub auroc: Option<f64>,
    /// Average precision (area under the precision-recall curve, without interpolation), of the same classes.
    pub pr_auc: Option<f64>,
    /// Mean squared difference of probability and truth: of class 1 for two classes, summed over more classes, the mean
    /// over labels.
    pub brier: f64,
    /// Expected calibration error with 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599): of the most probable
    /// class; the mean over labels.
    pub ece: f64,
    /// Samples by true class (rows) and told class (columns); empty with several labels.
    pub confusion: Vec<Vec<u64>>,
    /// 95 % intervals; `null` where none were asked for.
    pub intervals: Option<Intervals>,
    /// Each class, in the order of the model's outputs.
    pub per_class: Vec<ClassScores>,
}

/// Quality of predictions for one class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassScores {
    /// The class name.
    pub label: String,
    /// Samples of the class.
    pub support: u64,
    /// True positives over predicted positives; `null` (undefined) when none is predicted.
    pub precision: Option<f64>,
    /// True positives over positives; `null` (undefined) when there are none.
    pub recall: Option<f64>,
    /// `2·tp / (2·tp + fp + fn)`; `null` (undefined) when the class is in neither truth nor prediction.
    pub f1: Option<f64>,
    /// Area under the ROC curve, ties counted half; `null` (undefined) without positives or without negatives.
    pub auroc: Option<f64>,
    /// Its 95 % interval (DeLong et al. 1988, on the logit scale); `null` where it or its variance is undefined, and
    /// where no intervals were asked for.
    pub auroc_interval: Option<Interval>,
    /// Average precision; `null` (undefined) without positives.
    pub pr_auc: Option<f64>,
    /// The probability from which on the class or label is told, chosen on validation samples; of more than two classes
    /// the one whose probability is the largest multiple of its threshold is told. `null` for the first of two classes
    /// (the second's threshold tells both), and where the most probable class is told, or a label from one half on.
    pub threshold: Option<f64>,
}

/// 95 % intervals by the percentile bootstrap over patients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intervals {
    /// Times the patients were drawn anew.
    pub draws: u32,
    /// Of the accuracy.
    pub accuracy: Interval,
    /// Of the balanced accuracy.
    pub balanced_accuracy: Option<Interval>,
    /// Of the macro F1.
    pub macro_f1: Interval,
    /// Of the area under the ROC curve.
    pub auroc: Option<Interval>,
    /// Of the average precision.
    pub pr_auc: Option<Interval>,
}

/// An interval, both ends within.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// A metrics file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Format version, [`Metrics::VERSION`].
    pub fedwing_metrics: u32,
    /// The experiment.
    pub experiment: Option<ExperimentName>,
    /// The dataset the model belongs to.
    pub dataset: Option<DatasetName>,
    /// SHA-256 of the specification.
    pub spec_digest: Option<SpecDigest>,
    /// Whether any sample behind it is drawn rather than taken.
    pub synthetic: bool,
    /// What computed it, where a network was trained or evaluated.
    pub backend: Option<Backend>,
    /// Samples trained on or evaluated, each counted once whatever the epochs.
    pub num_samples: SampleCount,
    /// What the file is about.
    pub subject: Subject,
    /// Quality of predictions, where samples were evaluated.
    pub scores: Option<Scores>,
}

impl Metrics {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 2;
}
