//! How a model is trained: a document beside the workflow, the same for every client, round and baseline.
//!
//! What differs from job to job (the round, files, threads, device) stands in the job's arguments; all else stands here,
//! once, so that a plan of a hundred thousand jobs says it once too.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{aggregation::NamePattern, argv::ArgValue, training::Optimizer};

/// Everything about training that is the same for all of an experiment's training jobs; a JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Format version, [`Recipe::VERSION`].
    pub fedwing_recipe: u32,
    /// Samples per step, at least 1; the last step of an epoch takes what is left. Under [`LocalPrivacy`] the mean.
    pub batch_size: u32,
    /// How weights follow gradients.
    pub optimizer: Optimizer,
    /// What becomes of the optimiser's moments between a client's jobs.
    pub optimizer_state: OptimizerState,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// What is made small.
    pub loss: Loss,
    /// What a client does beside following its own gradients.
    pub method: Method,
    /// Largest L2 norm of the gradient of all trained values, more than 0; longer ones are scaled down to it, as
    /// PyTorch's `clip_grad_norm_`. No bound when `null`.
    pub clip_norm: Option<f64>,
    /// Tensors that stay as they are. A normalisation layer whose weight and bias both stay uses its running statistics
    /// and leaves them alone.
    pub freeze: Vec<NamePattern>,
    /// How training images are varied; not at all when `null`.
    pub augment: Option<Augment>,
    /// Share of a client's patients kept from training to watch it, above 0 and below 1; none when `null`.
    pub validation: Option<f64>,
    /// When to stop before the last epoch; needs `validation`.
    pub early_stop: Option<EarlyStop>,
    /// Privacy of the client's samples (DP-SGD); none when `null`.
    pub privacy: Option<LocalPrivacy>,
    /// Numbers that products are computed with.
    pub precision: Precision,
    /// Batches decoded and augmented ahead of the one in training, at least 1.
    pub ahead: u32,
}

impl Recipe {
    /// The format version this code writes and reads.
    pub const VERSION: u32 = 1;

    /// Plain training: cross-entropy, a learning rate that stays, nothing else.
    pub fn plain(batch_size: u32, optimizer: Optimizer) -> Self {
        Self {
            fedwing_recipe: Self::VERSION,
            batch_size,
            optimizer,
            optimizer_state: OptimizerState::Reset,
            schedule: Schedule::CONSTANT,
            loss: Loss::CROSS_ENTROPY,
            method: Method::Plain,
            clip_norm: None,
            freeze: Vec::new(),
            augment: None,
            validation: None,
            early_stop: None,
            privacy: None,
            precision: Precision::F32,
            ahead: 2,
        }
    }

    /// Whether a client keeps something at its site from one of its rounds to the next.
    pub fn is_personal(&self) -> bool {
        self.optimizer_state == OptimizerState::Kept
            || self.privacy.is_some()
            || match self.method {
                Method::Plain | Method::Fedprox { .. } | Method::Qfedavg => false,
                Method::Scaffold | Method::Fedbn | Method::Fedper | Method::Ditto { .. } => true,
            }
    }

    /// Whether a client ends with a model of its own that differs from the global one.
    pub fn has_personal_models(&self) -> bool {
        matches!(self.method, Method::Fedbn | Method::Fedper | Method::Ditto { .. })
    }
}

/// What becomes of the optimiser's moments between a client's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerState {
    /// They start at zero in every round, as in most published work.
    Reset,
    /// The client keeps them at its site for its next round.
    Kept,
}

/// How the learning rate changes: the optimiser's, times a factor in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What is counted.
    pub across: Across,
    /// Periods (epochs or rounds) over which the factor runs, at least 1 and more than `warm_up`. After them a cosine stays
    /// at its end, steps at the last period's factor.
    pub periods: u32,
    /// Periods at the start in which the factor grows evenly: `(p + 1) / (warm_up + 1)` in period p counted from 0.
    pub warm_up: u32,
    /// What follows.
    pub decay: Decay,
}

impl Schedule {
    /// A factor of 1 throughout.
    pub const CONSTANT: Self = Self {
        across: Across::Epochs,
        periods: 1,
        warm_up: 0,
        decay: Decay::None,
    };
}

/// What a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Across {
    /// Epochs of a round: every round starts the schedule anew, a baseline's rounds of as many epochs too.
    Epochs,
    /// Rounds: every epoch of a round has the same learning rate. A baseline counts as many epochs as a round has as
    /// one round.
    Rounds,
}

/// How a learning rate shrinks after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Decay {
    /// Not at all.
    None,
    /// Half a cosine (Loshchilov and Hutter 2016, arXiv:1608.03983, without restarts): in period p of the n after the
    /// warm-up, `least + (1 - least)·(1 + cos(π·p/n))/2`.
    Cosine {
        /// The factor it ends at, 0 to 1.
        least: f64,
    },
    /// `factor` to the power of p / `every`, rounded down, in period p after the warm-up.
    Step {
        /// Periods between steps, at least 1.
        every: u32,
        /// Above 0, at most 1.
        factor: f64,
    },
}

/// What is made small: the mean over samples (and labels, where there are several) of a loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// The loss of a sample: softmax for one class an image, sigmoid (binary, with logits) for several labels.
    pub kind: LossKind,
    /// Share of the target spread evenly over the classes, as PyTorch's `label_smoothing`; of a label of several, moved to
    /// one half. 0 to below 1.
    pub smoothing: f64,
    /// How much each class or label counts.
    pub class_weights: ClassWeights,
}

impl Loss {
    /// Plain cross-entropy.
    pub const CROSS_ENTROPY: Self = Self {
        kind: LossKind::CrossEntropy,
        smoothing: 0.0,
        class_weights: ClassWeights::Equal,
    };
}

/// The loss of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LossKind {
    /// `-ln p`, with p the probability of what is true.
    CrossEntropy,
    /// `-(1-p)^gamma·ln p` (Lin et al. 2017, arXiv:1708.02002).
    Focal {
        /// 0 or more; 0 is cross-entropy.
        gamma: f64,
    },
}

/// How much each class or label counts.
///
/// With one class an image a sample's loss is multiplied by its class's weight and the mean is divided by the weights'
/// sum, as PyTorch's `CrossEntropyLoss(weight)`. With several labels the weight multiplies the loss of positives, as
/// `BCEWithLogitsLoss(pos_weight)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClassWeights {
    /// All the same.
    Equal,
    /// By the client's own training samples: `n/(k·n_c)` for class c of k; negatives over positives for a label. A class
    /// or label that the client does not have counts 1.
    Balanced,
    /// One for each class or label, in the order of the model's outputs; 0 or more, not all 0.
    Given(Vec<f64>),
}

/// What a client does beside following its own gradients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    /// Nothing: FedAvg's clients, and those of rules that are the server's alone. FedNova's too: every update states its
    /// local steps.
    Plain,
    /// Adds `mu/2·‖w - w_global‖²` over the trained tensors to the loss (Li et al. 2018, arXiv:1812.06127).
    Fedprox {
        /// 0 or more.
        mu: f64,
    },
    /// Corrects each gradient by the server's and the client's control variates, and sends the change of the latter
    /// (Karimireddy et al. 2019, arXiv:1910.06378, option II).
    Scaffold,
    /// States the global model's loss on the client's samples (Li et al. 2019, arXiv:1905.10497).
    Qfedavg,
    /// Normalisation layers are the client's own (Li et al. 2021, arXiv:2102.07623).
    Fedbn,
    /// The head is the client's own (Arivazhagan et al. 2019, arXiv:1912.00818).
    Fedper,
    /// The update is FedAvg's; a personal model follows beside it, with `lambda/2·‖v - w_global‖²` in its loss
    /// (Li et al. 2020, arXiv:2012.04221).
    Ditto {
        /// 0 or more.
        lambda: f64,
    },
}

/// How training images are varied, each draw made from seed, epoch and the sample's place in the shard alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Smallest side of a square cut out, as a share of the image's; it is scaled back to full size. Above 0, at most 1
    /// (nothing is cut).
    pub crop: f64,
    /// Probability that left and right are exchanged. 0 unless asked for: the heart has a side.
    pub flip: f64,
    /// Largest angle turned either way, in degrees, 0 to 180.
    pub rotate: f64,
    /// Largest change of brightness, as a share of the range of grey values, 0 to 1.
    pub brightness: f64,
    /// Largest change of contrast about the image's mean, as a share, 0 to below 1.
    pub contrast: f64,
}

/// When to stop before the last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Epochs without a better validation loss before training stops, at least 1. The best epoch's weights are kept.
    pub patience: u32,
    /// By how much a loss must be smaller to be better, 0 or more.
    pub least: f64,
}

/// Differentially private SGD (Abadi et al. 2016, arXiv:1607.00133): every step takes each training sample with
/// probability `batch_size` / samples, scales its gradient down to `norm`, and adds noise to the sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalPrivacy {
    /// Largest L2 norm of a sample's gradient, more than 0.
    pub norm: f64,
    /// Standard deviation of the noise over the norm, more than 0.
    pub noise_multiplier: f64,
    /// Probability with which the promise may fail, above 0 and below 1.
    pub delta: f64,
}

/// Numbers that convolutions are computed with in training; weights and sums stay 32 bits wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// bfloat16 factors, 32-bit sums.
    Bf16,
}

/// Where a model is trained or evaluated; written `auto`, `cpu`, `cuda:0` or `webgpu:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that the binary can use, else the CPU; the log and metrics say which.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device, by its place among those the job may see.
    Cuda(u32),
    /// A device of WebGPU (Vulkan, Metal or Direct3D), by its place.
    Webgpu(u32),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(place) => write!(f, "cuda:{place}"),
            DeviceChoice::Webgpu(place) => write!(f, "webgpu:{place}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let refuse =
            || "must be `auto`, `cpu`, `cuda:0`, `webgpu:0` or another place after the colon".to_owned();
        match word.split_once(':') {
            None if word == "auto" => Ok(DeviceChoice::Auto),
            None if word == "cpu" => Ok(DeviceChoice::Cpu),
            Some(("cuda", place)) => place.parse().map(DeviceChoice::Cuda).map_err(|_| refuse()),
            Some(("webgpu", place)) => place.parse().map(DeviceChoice::Webgpu).map_err(|_| refuse()),
            _ => Err(refuse()),
        }
    }
}

impl ArgValue for DeviceChoice {
    const FORMS: &'static str = "auto, cpu, cuda:N, webgpu:N";
    fn write(&self) -> String {
        self.to_string()
    }
    fn read(word: &str) -> Result<Self, String> {
        word.parse()
    }
}
