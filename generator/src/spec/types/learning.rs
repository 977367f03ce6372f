//! The network, how clients learn together, and what the result is compared with.

use super::Local;
use crate::spec::{
    decode::At,
    leaf::{Decay, FilePath, NonNegative, Positive, Several, Share, Text, Trim, Whole},
    written::{choice, mapping},
};

mapping! {
    /// The network.
    pub struct Model {
        /// Which network.
        arch: required Arch,
        /// Weights to start from: safetensors or PyTorch's .pt with torchvision's tensor names; random ones when absent.
        weights: optional FilePath,
        /// What becomes of the last layer in `weights` where it has another size; `kept` when absent, which refuses it.
        head: optional Head,
        /// Tensors that stay as they are in training: names in which `*` stands for any characters.
        freeze: optional Several<Text>,
    }
}

choice! {
    /// A network.
    pub enum Arch {
        /// Two 3x3 convolutions (16, 32) with ReLU and 2x2 max pooling, a hidden layer of 64, a linear head.
        SmallCnn = "small_cnn",
        /// The same with batch normalisation after each convolution.
        SmallCnnBn = "small_cnn_bn",
        /// ResNet-18 (He et al. 2015, arXiv:1512.03385).
        Resnet18 = "resnet18",
        /// ResNet-50 (He et al. 2015, arXiv:1512.03385).
        Resnet50 = "resnet50",
        /// DenseNet-121 (Huang et al. 2016, arXiv:1608.06993).
        Densenet121 = "densenet121",
        /// EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946).
        EfficientnetB0 = "efficientnet_b0",
    }
}

choice! {
    /// What becomes of the last layer in a file of weights.
    pub enum Head {
        /// It is taken; one of another size is an error.
        Kept = "kept",
        /// It starts anew, whatever its size in the file.
        New = "new",
    }
}

mapping! {
    /// How clients learn together.
    pub struct Federation {
        /// The rule that makes a new global model from updates.
        algorithm: required Algorithm,
        /// Number of rounds.
        rounds: required Whole<1, 100_000>,
        /// Share of clients trained in each round, drawn from the seed.
        fraction: default Share = 1.0,
        /// Clients may be absent from a round as long as this many remain; every selected one must be there when absent.
        min_clients: optional Whole<1, 100_000>,
        /// How updates are written to be smaller; as plain values when absent.
        compression: optional Compression,
        /// How the global model is written to be smaller on its way to the clients; as it is when absent. What is rounded off
        /// is added to the next one.
        broadcast: optional Broadcast,
        /// What a client does in a round.
        local: required Local,
    }
}

choice! {
    /// How the global model is written on its way to the clients.
    pub enum Broadcast {
        /// As half floats.
        Fp16 = "fp16",
        /// As brain floats.
        Bf16 = "bf16",
        /// As 8-bit integers times a scale per tensor.
        Int8 = "int8",
    }
}

choice! {
    /// An aggregation rule.
    pub enum Algorithm {
        /// Sample-weighted mean (McMahan et al. 2017, arXiv:1602.05629).
        Fedavg = "fedavg",
        /// FedAvg with server momentum (Hsu et al. 2019, arXiv:1909.06335).
        Fedavgm(ServerMomentum) = "fedavgm",
        /// Adam on the server (Reddi et al. 2020, arXiv:2003.00295).
        Fedadam(ServerMoments) = "fedadam",
        /// Yogi on the server (Reddi et al. 2020, arXiv:2003.00295).
        Fedyogi(YogiMoments) = "fedyogi",
        /// Adagrad on the server (Reddi et al. 2020, arXiv:2003.00295).
        Fedadagrad(ServerRate) = "fedadagrad",
        /// FedAvg with a proximal term at the clients (Li et al. 2018, arXiv:1812.06127).
        Fedprox(Proximal) = "fedprox",
        /// Control variates (Karimireddy et al. 2019, arXiv:1910.06378).
        Scaffold(ServerStep) = "scaffold",
        /// Normalised averaging (Wang et al. 2020, arXiv:2007.07481).
        Fednova = "fednova",
        /// FedAvg that keeps batch normalisation at the clients (Li et al. 2021, arXiv:2102.07623).
        Fedbn = "fedbn",
        /// FedAvg that keeps the last layer at the clients (Arivazhagan et al. 2019, arXiv:1912.00818).
        Fedper = "fedper",
        /// FedAvg, and beside it a model of each client's own near the global one (Li et al. 2020, arXiv:2012.04221).
        Ditto(Nearness) = "ditto",
        /// Coordinate-wise median (Yin et al. 2018, arXiv:1803.01498).
        Median = "median",
        /// Coordinate-wise trimmed mean (Yin et al. 2018, arXiv:1803.01498).
        TrimmedMean(TrimmedShare) = "trimmed_mean",
        /// The update closest to the others (Blanchard et al. 2017, arXiv:1703.02757).
        Krum(Byzantine) = "krum",
        /// The mean of the updates closest to the others (Blanchard et al. 2017, arXiv:1703.02757).
        MultiKrum(KeptByzantine) = "multi_krum",
        /// Krum, then a trimmed mean (El Mhamdi et al. 2018, arXiv:1802.07927).
        Bulyan(Byzantine) = "bulyan",
        /// Sample-weighted geometric median (Pillutla et al. 2019, arXiv:1912.13445).
        GeometricMedian(Weiszfeld) = "geometric_median",
        /// FedAvg of updates scaled down to a norm (Sun et al. 2019, arXiv:1911.07963).
        NormBound(Bound) = "norm_bound",
        /// q-FedAvg: clients with a large loss count more (Li et al. 2019, arXiv:1905.10497).
        Qfedavg(Fairness) = "qfedavg",
    }
}

choice! {
    /// How updates are written: as differences from the global model, in full or in part.
    pub enum Compression {
        /// Differences in full precision.
        Delta = "delta",
        /// Differences as half floats.
        Fp16 = "fp16",
        /// Differences as brain floats.
        Bf16 = "bf16",
        /// Differences as 8-bit integers times a scale per tensor.
        Int8(Quantised) = "int8",
        /// Only the largest differences, in full precision, with their places.
        TopK(Largest) = "top_k",
    }
}

mapping! {
    /// Differences as 8-bit integers.
    pub struct Quantised {
        /// Whether a client adds what rounding left out to its next update.
        error_feedback: default bool = true,
    }
}

mapping! {
    /// Only the largest differences.
    pub struct Largest {
        /// Share of each tensor's values that is sent.
        share: default Share = 0.01,
        /// Whether a client adds what was left out to its next update.
        error_feedback: default bool = true,
    }
}

mapping! {
    /// Momentum on the server.
    pub struct ServerMomentum {
        /// Step size of the server.
        server_learning_rate: default Positive = 1.0,
        /// Share of the last step kept.
        server_momentum: default Decay = 0.9,
    }
}

mapping! {
    /// Adaptive steps on the server, with two moments.
    pub struct ServerMoments {
        /// Step size of the server.
        server_learning_rate: default Positive = 0.1,
        /// Decay of the first moment.
        beta1: default Decay = 0.9,
        /// Decay of the second moment.
        beta2: default Decay = 0.99,
        /// Added to the root of the second moment.
        tau: default Positive = 0.001,
    }
}

mapping! {
    /// Yogi's steps on the server, with two moments.
    pub struct YogiMoments {
        /// Step size of the server.
        server_learning_rate: default Positive = 0.01,
        /// Decay of the first moment.
        beta1: default Decay = 0.9,
        /// Decay of the second moment.
        beta2: default Decay = 0.99,
        /// Added to the root of the second moment.
        tau: default Positive = 0.001,
    }
}

mapping! {
    /// Adaptive steps on the server.
    pub struct ServerRate {
        /// Step size of the server.
        server_learning_rate: default Positive = 0.1,
        /// Added to the root of the summed squares.
        tau: default Positive = 0.001,
    }
}

mapping! {
    /// A proximal term at the clients.
    pub struct Proximal {
        /// Weight of the term.
        mu: required NonNegative,
    }
}

mapping! {
    /// A step of the server.
    pub struct ServerStep {
        /// Step size of the server.
        server_learning_rate: default Positive = 1.0,
    }
}

mapping! {
    /// How near a client's own model stays to the global one.
    pub struct Nearness {
        /// Weight of the term that holds it there.
        lambda: required NonNegative,
    }
}

mapping! {
    /// How much to trim.
    pub struct TrimmedShare {
        /// Share of the clients cut on each side.
        beta: default Trim = 0.2,
    }
}

mapping! {
    /// How many clients may lie.
    pub struct Byzantine {
        /// Number of clients that may send anything.
        byzantine: required Whole<0, 100_000>,
    }
}

mapping! {
    /// How many clients may lie, and how many updates are kept.
    pub struct KeptByzantine {
        /// Number of clients that may send anything.
        byzantine: required Whole<0, 100_000>,
        /// Number of updates averaged.
        keep: required Whole<1, 100_000>,
    }
}

mapping! {
    /// How the geometric median is looked for.
    pub struct Weiszfeld {
        /// Most steps.
        iterations: default Whole<1, 1_000_000> = 100u64,
        /// Distances below this count as this.
        smoothing: default Positive = 1e-6,
    }
}

mapping! {
    /// How far an update may be from the global model.
    pub struct Bound {
        /// Largest L2 norm of a difference, over all floating-point tensors together.
        norm: required Positive,
    }
}

mapping! {
    /// How much more clients with a large loss count.
    pub struct Fairness {
        /// Power of the loss; 0 is FedAvg without sample counts.
        q: required NonNegative,
        /// The clients' step size: the inverse of the Lipschitz constant.
        learning_rate: required Positive,
    }
}

mapping! {
    /// What the result is compared with, and how it is told.
    pub struct Evaluation {
        /// Models trained for comparison; none when absent.
        baselines: optional Vec<At<Baseline>>,
        /// Whether each dataset's final model is also tested on the other datasets.
        cross_dataset: default bool = false,
        /// Whether results carry 95 % intervals: bootstrap over patients, and DeLong's for areas under the ROC curve.
        intervals: default bool = false,
        /// Whether the final model's outputs for every test sample are kept.
        predictions: default bool = false,
        /// Whether each client's own model is tested at the end, under `fedbn`, `fedper` and `ditto`; `true` when absent.
        personal: optional bool,
    }
}

choice! {
    /// A model trained for comparison.
    pub enum Baseline {
        /// One model trained on the union of all clients' samples.
        Centralized = "centralized",
        /// One model per client, trained on its samples alone.
        LocalOnly = "local_only",
    }
}
