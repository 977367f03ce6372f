//! What a client does in a round: steps, learning rate, loss, images and numbers.

use crate::spec::{
    leaf::{Angle, Decay, NonNegative, Part, Positive, Probability, Several, Share, Whole},
    written::{choice, mapping},
};

mapping! {
    /// What a client does in a round.
    pub struct Local {
        /// Passes over the client's samples.
        epochs: required Whole<1, 10_000>,
        /// Samples per step; under `privacy: {local: ...}` the mean.
        batch_size: required Whole<1, 65_536>,
        /// How weights follow gradients.
        optimizer: required Optimizer,
        /// What becomes of the optimiser's moments between a client's rounds; `reset` when absent.
        optimizer_state: optional OptimizerState,
        /// How the learning rate changes; it stays when absent.
        schedule: optional Schedule,
        /// What is made small; plain cross-entropy when absent.
        loss: optional Loss,
        /// Largest L2 norm of a step's gradient; longer ones are scaled down to it. No bound when absent.
        clip_norm: optional Positive,
        /// How training images are varied; not at all when absent.
        augment: optional Augment,
        /// Share of a client's patients that are kept from training to watch it; none when absent.
        validation: optional Part,
        /// When to stop before the last epoch; never when absent. Needs `validation`.
        early_stop: optional EarlyStop,
        /// Numbers that products are computed with; `f32` when absent.
        precision: optional Precision,
        /// Batches made ready ahead of the one in training.
        ahead: default Whole<1, 1024> = 2u64,
    }
}

choice! {
    /// How weights follow gradients.
    pub enum Optimizer {
        /// Stochastic gradient descent, as PyTorch's.
        Sgd(Sgd) = "sgd",
        /// Adam with L2 penalty in the gradient, as PyTorch's (Kingma and Ba 2015, arXiv:1412.6980).
        Adam(Adam) = "adam",
        /// Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101).
        Adamw(Adam) = "adamw",
    }
}

mapping! {
    /// Settings of stochastic gradient descent.
    pub struct Sgd {
        /// Step size.
        learning_rate: required Positive,
        /// Share of the last step kept.
        momentum: default Decay = 0.0,
        /// Whether the step looks ahead (Nesterov); needs momentum.
        nesterov: default bool = false,
        /// L2 penalty.
        weight_decay: default NonNegative = 0.0,
    }
}

mapping! {
    /// Settings of Adam.
    pub struct Adam {
        /// Step size.
        learning_rate: required Positive,
        /// Decay of the first moment.
        beta1: default Decay = 0.9,
        /// Decay of the second moment.
        beta2: default Decay = 0.999,
        /// Added to the root of the second moment.
        epsilon: default Positive = 1e-8,
        /// Penalty on the weights.
        weight_decay: default NonNegative = 0.0,
    }
}

choice! {
    /// What becomes of the optimiser's moments between a client's rounds.
    pub enum OptimizerState {
        /// They start at zero in every round.
        Reset = "reset",
        /// The client keeps them at its site.
        Kept = "kept",
    }
}

choice! {
    /// How the learning rate changes: a factor of the optimiser's, counted over rounds or epochs.
    pub enum Schedule {
        /// It grows evenly at the start and then stays.
        Constant(Constant) = "constant",
        /// Half a cosine (Loshchilov and Hutter 2016, arXiv:1608.03983, without restarts).
        Cosine(Cosine) = "cosine",
        /// It is multiplied every so often.
        Step(Steps) = "step",
    }
}

choice! {
    /// What a schedule counts.
    pub enum Across {
        /// Rounds: every epoch of a round has the same learning rate.
        Rounds = "rounds",
        /// Epochs: every round starts the schedule anew.
        Epochs = "epochs",
    }
}

mapping! {
    /// A learning rate that grows and then stays.
    pub struct Constant {
        /// What is counted; `rounds` when absent.
        across: optional Across,
        /// Periods at the start in which the learning rate grows evenly.
        warm_up: required Whole<1, 100_000>,
    }
}

mapping! {
    /// A learning rate that follows half a cosine.
    pub struct Cosine {
        /// What is counted; `rounds` when absent.
        across: optional Across,
        /// Periods at the start in which the learning rate grows evenly.
        warm_up: default Whole<0, 100_000> = 0u64,
        /// The factor it ends at.
        least: default Probability = 0.0,
    }
}

mapping! {
    /// A learning rate that shrinks in steps.
    pub struct Steps {
        /// What is counted; `rounds` when absent.
        across: optional Across,
        /// Periods at the start in which the learning rate grows evenly.
        warm_up: default Whole<0, 100_000> = 0u64,
        /// Periods between steps.
        every: required Whole<1, 100_000>,
        /// What the learning rate is multiplied with at each.
        factor: default Share = 0.1,
    }
}

mapping! {
    /// What is made small: the mean of a loss over samples, and over labels where there are several.
    pub struct Loss {
        /// The loss of a sample; `cross_entropy` when absent.
        kind: optional LossKind,
        /// Share of the target spread evenly over the classes; of a label of several, moved to one half.
        smoothing: default Decay = 0.0,
        /// How much each class or label counts; `equal` when absent.
        class_weights: optional ClassWeights,
    }
}

choice! {
    /// The loss of a sample.
    pub enum LossKind {
        /// Cross-entropy: softmax for one class an image, sigmoid for several labels.
        CrossEntropy = "cross_entropy",
        /// Samples that are told well count less (Lin et al. 2017, arXiv:1708.02002).
        Focal(Focal) = "focal",
    }
}

mapping! {
    /// Settings of the focal loss.
    pub struct Focal {
        /// How much less; 0 is cross-entropy.
        gamma: default NonNegative = 2.0,
    }
}

choice! {
    /// How much each class or label counts.
    pub enum ClassWeights {
        /// All the same.
        Equal = "equal",
        /// By the client's own samples, so that rare ones count more.
        Balanced = "balanced",
        /// One for each class or label, in the order of the model's outputs.
        Given(Several<NonNegative>) = "given",
    }
}

mapping! {
    /// How training images are varied.
    pub struct Augment {
        /// Smallest side of a square cut out and scaled back to full size, as a share of the image's; 1 cuts nothing.
        crop: default Share = 1.0,
        /// Probability that left and right are exchanged; the heart has a side.
        flip: default Probability = 0.0,
        /// Largest angle turned either way, in degrees.
        rotate: default Angle = 0.0,
        /// Largest change of brightness, as a share of the range of grey values.
        brightness: default Probability = 0.0,
        /// Largest change of contrast, as a share.
        contrast: default Decay = 0.0,
    }
}

mapping! {
    /// When to stop before the last epoch.
    pub struct EarlyStop {
        /// Epochs without a smaller validation loss before training stops; the best epoch's weights are sent.
        patience: required Whole<1, 10_000>,
        /// By how much a loss must be smaller.
        least: default NonNegative = 0.0,
    }
}

choice! {
    /// Numbers that convolutions are computed with in training; weights and sums stay 32 bits wide.
    pub enum Precision {
        /// 32 bits.
        F32 = "f32",
        /// bfloat16 factors, 32-bit sums.
        Bf16 = "bf16",
    }
}
